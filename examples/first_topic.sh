#!/usr/bin/env bash
# A topic made, described, written and read with Kafka's own console tools.
. "$(dirname "$0")/common.sh"
reachable
TOPIC=first-topic-$RUN

say "make a topic with two partitions"
kafka_tool topics --bootstrap-server "$BROKER" --create --topic "$TOPIC" --partitions 2 --replication-factor 1
kafka_tool topics --bootstrap-server "$BROKER" --describe --topic "$TOPIC"

say "write three lines"
printf 'hello\nsluice\nspeaks Kafka\n' | kafka_tool console-producer --bootstrap-server "$BROKER" --topic "$TOPIC"

say "read them from the beginning"
GOT=$(kafka_tool console-consumer --bootstrap-server "$BROKER" --topic "$TOPIC" --from-beginning --max-messages 3 --timeout-ms 90000)
echo "$GOT"
[ "$(sort <<<"$GOT")" = "$(printf 'hello\nsluice\nspeaks Kafka\n' | sort)" ] || fail "other lines came out than went in"
echo done

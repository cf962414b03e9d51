#!/usr/bin/env bash
# Kafka Connect, standalone: lines of a file go into a topic and out into another file.
. "$(dirname "$0")/common.sh"
reachable
need java; need mvn
WORK=$(mktemp -d)
CONNECT=
cleanup() {
    [ -z "$CONNECT" ] || { kill "$CONNECT" 2>/dev/null; wait "$CONNECT" 2>/dev/null; } || true
    rm -rf "$WORK"
}
trap cleanup EXIT

say "a worker with two connectors: in.txt -> topic -> out.txt"
cat >"$WORK/worker.properties" <<TEXT
bootstrap.servers=$BROKER
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename=$WORK/offsets
offset.flush.interval.ms=500
listeners=http://127.0.0.1:0
plugin.discovery=only_scan
TEXT
cat >"$WORK/source.properties" <<TEXT
name=source
connector.class=org.apache.kafka.connect.file.FileStreamSourceConnector
file=$WORK/in.txt
topic=connect-$RUN
TEXT
cat >"$WORK/sink.properties" <<TEXT
name=sink
connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector
file=$WORK/out.txt
topics=connect-$RUN
TEXT
printf 'one\ntwo\nthree\n' >"$WORK/in.txt"
python3 "$ROOT/tests/compat/kafka_dist.py" connect-standalone "$WORK/worker.properties" "$WORK/source.properties" \
    "$WORK/sink.properties" >"$WORK/log" 2>&1 &
CONNECT=$!

wait_for() {
    for _ in $(seq 1000); do
        [ "$(cat "$WORK/out.txt" 2>/dev/null)" = "$1" ] && return 0
        kill -0 "$CONNECT" 2>/dev/null || { tail -n 20 "$WORK/log" >&2; fail "the worker ended"; }
        sleep 0.3
    done
    tail -n 20 "$WORK/log" >&2
    fail "out.txt never became what in.txt is"
}
wait_for "$(printf 'one\ntwo\nthree')"
cat "$WORK/out.txt"

say "a line appended to in.txt arrives in out.txt"
echo four >>"$WORK/in.txt"
wait_for "$(printf 'one\ntwo\nthree\nfour')"
tail -n 1 "$WORK/out.txt"
echo done

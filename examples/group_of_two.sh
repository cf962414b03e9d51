#!/usr/bin/env bash
# Three partitions, keys, and a group of two consumers that share them.
. "$(dirname "$0")/common.sh"
reachable
PYTHON=$(python_with_kafka)
"$PYTHON" "$ROOT/examples/group_of_two.py" "$BROKER" "shared-$RUN"
echo done

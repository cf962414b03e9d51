#!/usr/bin/env bash
# Reading again from a point in time.
. "$(dirname "$0")/common.sh"
reachable
PYTHON=$(python_with_kafka)
"$PYTHON" "$ROOT/examples/replay.py" "$BROKER" "replay-$RUN"
echo done

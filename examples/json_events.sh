#!/usr/bin/env bash
# A Python producer and a consumer of JSON events.
. "$(dirname "$0")/common.sh"
reachable
PYTHON=$(python_with_kafka)
"$PYTHON" "$ROOT/examples/json_events.py" "$BROKER" "json-events-$RUN"
echo done

#!/usr/bin/env bash
# Records that survive a kill and a restart of the broker. Starts a broker of its own.
. "$(dirname "$0")/common.sh"
need python3; need kcat
[ -x "$ROOT/build/sluiced" ] || fail "build it first: ./dev build"
WORK=$(mktemp -d)
# Free now, and below those that the kernel gives to clients: the broker needs it twice.
PORT=$(python3 -c "import sys; sys.path.insert(0, '$ROOT/tests/compat'); import brokers; print(brokers.free_ports()[0])")
PID=
cleanup() {
    [ -z "$PID" ] || { kill "$PID" 2>/dev/null; wait "$PID" 2>/dev/null; } || true
    rm -rf "$WORK"
}
trap cleanup EXIT

start() {
    rm -f "$WORK/out" # the one before said "ready" too
    "$ROOT/build/sluiced" --override "log.dirs=$WORK/data" --override "listeners=PLAINTEXT://127.0.0.1:$PORT" \
        >"$WORK/out" 2>>"$WORK/log" &
    PID=$!
    for _ in $(seq 1200); do
        grep -qs '^sluiced ready' "$WORK/out" && return 0
        kill -0 "$PID" 2>/dev/null || { tail "$WORK/log" >&2; fail "the broker did not start"; }
        sleep 0.1
    done
    fail "the broker was not ready in two minutes"
}

say "start a broker, write a thousand lines"
start
seq 1000 | kcat -b "127.0.0.1:$PORT" -m 60 -P -t numbers -X acks=all

say "kill it the hard way (SIGKILL), start it again on the same directory"
kill -9 "$PID"; wait "$PID" 2>/dev/null || true
start

say "read"
GOT=$(kcat -b "127.0.0.1:$PORT" -m 60 -C -t numbers -o beginning -e -q)
[ "$GOT" = "$(seq 1000)" ] || fail "other lines came out than went in"
echo "$(wc -l <<<"$GOT") lines, the last is $(tail -n 1 <<<"$GOT")"
echo done

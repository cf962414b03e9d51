# Shared by the examples: where the broker is, how tools are found.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BROKER=${BROKER:-127.0.0.1:9092}
RUN=$$ # in names, so that an example can run again

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
fail() { echo "failed: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "this example needs $1"; }

# kafka_tool topics --list ...: Kafka's own tool, from the PATH or from Maven.
kafka_tool() {
    local name=$1; shift
    if command -v "kafka-$name.sh" >/dev/null; then
        "kafka-$name.sh" "$@"
    else
        need java; need javac; need mvn
        python3 "$ROOT/tests/compat/kafka_dist.py" "$name" "$@"
    fi
}

# The Python that has kafka-python.
python_with_kafka() {
    need python3
    python3 -c "import sys; sys.path.insert(0, '$ROOT/tests/compat'); import setup_env; print(setup_env.ensure('venv'))"
}

reachable() {
    python3 -c "import socket,sys; h,p=sys.argv[1].rsplit(':',1); socket.create_connection((h,int(p)),5)" "$BROKER" 2>/dev/null ||
        fail "no broker answers at $BROKER: start one with ./dev run"
}

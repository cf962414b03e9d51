"""The load generator: what it reports is what happened, and open loops do not hide a stall."""
import json
import os
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import client
from runner import check, equal, skip, until

BENCH = Path(os.environ.get("SLUICE_BENCH", Path(__file__).resolve().parents[2] / "build" / "sluice-bench"))
STALL_S, STALLED_RUN_S = 2.4, 4  # more than half of the run


def bench(load, *args, ok=True, timeout=400):
    if not BENCH.exists():
        skip("sluice-bench is not built")
    done = subprocess.run([BENCH, load, *map(str, args)], capture_output=True, text=True,
                          timeout=timeout)
    check((done.returncode == 0) == ok, f"{load} {args} ended with {done.returncode}: "
                                        f"{done.stderr} {done.stdout}")
    return json.loads(done.stdout) if ok and "--json" in args else done.stdout + done.stderr


def end_offsets(broker, topic, partitions):
    with broker.connect() as raw:
        answer = raw.request("ListOffsets", 5, {
            "replicaId": -1, "isolationLevel": 0, "topics": [{"name": topic, "partitions": [
                {"partitionIndex": p, "currentLeaderEpoch": -1, "timestamp": -1}
                for p in range(partitions)]}]})
    return [p["offset"] for p in answer["topics"][0]["partitions"]]


def load_has_begun(broker, topic, partitions=4):
    """Waits until records of a load that was just started are in the log, however long its start takes."""
    until(lambda: sum(max(end, 0) for end in end_offsets(broker, topic, partitions)) > 0, what="records of the load")


def test_bench_counts_are_the_brokers(context):
    topic, at = context.name("bench"), ("--port", context.broker.port, "--json", 1)
    made = bench("produce", *at, "--topic", topic, "--records", 20, "--warmup", 0, "--seconds", 1)
    check(made["records"] > 0 and made["errors"] == 0, f"nothing was produced: {made}")
    there = sum(end_offsets(context.broker, topic, 4))
    check(there >= made["records"], f"{made['records']} records counted, {there} in the log")
    # What was in flight at the end is in the log and not in the count.
    check(there - made["records"] <= 20 * 4 * 5 * 2, f"{there} in the log, {made['records']} counted")
    read = bench("fetch", *at, "--topic", topic, "--verify", 1, "--warmup", 0, "--seconds", 1)
    check(read["records"] > 0 and read["faults"] == 0, f"fetch: {read}")


def test_bench_ends_at_its_bytes(context):
    topic = context.name("bench-bytes")
    made = bench("produce", "--port", context.broker.port, "--json", 1, "--topic", topic,
                 "--records", 10, "--bytes", 500000, "--warmup", 0, "--seconds", 60)
    check(500000 <= made["bytes"] < 5000000 and made["seconds"] < 60, f"bytes: {made}")


def test_bench_raw(context):
    """The barest client: its counts are the broker's, and a refused request or a broken connection is no figure."""
    topic, at = context.name("bench-raw"), ("--port", context.broker.port)
    with context.broker.connect() as raw:
        client.create_topic(raw, topic, 4)
    made = bench("raw", *at, "--json", 1, "--topic", topic, "--records", 20, "--warmup", 0, "--seconds", 1)
    check(made["records"] > 0 and made["errors"] == 0, f"nothing was produced: {made}")
    there = sum(end_offsets(context.broker, topic, 4))
    check(made["records"] <= there <= made["records"] + 20 * 4 * 5 * 2, f"{there} in the log, {made['records']} counted")
    read = bench("fetch", *at, "--json", 1, "--topic", topic, "--verify", 2, "--warmup", 0, "--seconds", 1)
    check(read["records"] > 0 and read["faults"] == 0, f"fetch: {read}")
    check("was refused" in bench("raw", *at, "--topic", "never-made-raw", "--seconds", 1, ok=False), "a missing topic")
    with socket.socket() as s:  # a port where nobody listens
        s.bind(("127.0.0.1", 0))
        check("no broker answers" in bench("raw", "--port", s.getsockname()[1], ok=False), "a missing broker is not named")


def test_bench_end_to_end(context):
    r = bench("e2e", "--port", context.broker.port, "--json", 1, "--topic", context.name("e2e"),
              "--rate", 200, "--arrival", "poisson", "--warmup", 0.2, "--seconds", 2)
    # No more than were due; how many come in time depends on what else runs here.
    check(r["errors"] == 0 and r["faults"] == 0 and 0 < r["records"] < 700, f"e2e: {r}")


def test_bench_idle(context):
    r = bench("idle", "--port", context.broker.port, "--json", 1, "--connections", 300,
              "--broker-pid", context.broker.process.pid, "--seconds", 1)
    equal(r["connections"], 300, "connections held")


def test_bench_refusals(context):
    for args, word in ((("--records", "many"), "must be a number"), (("--nonsense", 1), "no option"),
                       (("--acks", 0), "acks"), (("--arrival", "never"), "constant poisson"),
                       (("--host", "localhost"), "numeric address")):
        text = bench("produce", "--port", context.broker.port, *args, ok=False)
        check(word in text, f"{args}: {text}")
    with socket.socket() as s:  # a port where nobody listens
        s.bind(("127.0.0.1", 0))
        check("no broker answers" in bench("produce", "--port", s.getsockname()[1], ok=False),
              "a missing broker is not named")
    text = bench("fetch", "--port", context.broker.port, "--topic", "never-made", ok=False)
    check("UNKNOWN_TOPIC_OR_PARTITION" in text, f"a missing topic: {text}")


def test_bench_refused_records_are_no_figure(context):
    topic = context.name("bench-small")
    with context.broker.connect() as raw:
        client.create_topic(raw, topic, 4, configs={"max.message.bytes": "100"})
    text = bench("produce", "--port", context.broker.port, "--topic", topic, "--warmup", 0,
                 "--seconds", 0.5, ok=False)
    check("not a clean figure" in text and "MESSAGE_TOO_LARGE" in text, text)


def test_bench_broker_dies(context):
    broker = context.fresh()

    def kill_in_the_middle():
        load_has_begun(broker, "t")
        broker.kill()
    killer = threading.Thread(target=kill_in_the_middle, daemon=True)
    killer.start()
    text = bench("produce", "--port", broker.port, "--topic", "t", "--seconds", 200, ok=False)
    killer.join()
    check("a connection broke" in text, text)


class StallingBroker(threading.Thread):
    """Answers Produce v7 for one topic, each request after `pause`; stops for `stall` once, a while after the start."""

    def __init__(self, pause=0, stall=STALL_S):
        super().__init__(daemon=True)
        self.pause, self.stall = pause, stall
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        try:
            while True:  # a ramp comes again and again
                self.serve(self.listener.accept()[0])
        except OSError:
            pass

    def serve(self, conn):
        with conn:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data, stall_at = b"", time.monotonic() + 1
            while True:
                got = conn.recv(1 << 16)
                if not got:
                    return
                data += got
                while len(data) >= 4 and len(data) >= 4 + struct.unpack(">i", data[:4])[0]:
                    size = struct.unpack(">i", data[:4])[0]
                    frame, data = data[4:4 + size], data[4 + size:]
                    if self.stall and stall_at and time.monotonic() > stall_at:
                        time.sleep(self.stall)
                        stall_at = None
                    if self.pause:
                        time.sleep(self.pause)
                    conn.sendall(self.answer(frame))

    @staticmethod
    def answer(frame):
        correlation = frame[4:8]
        body = correlation + struct.pack(">i", 1) + struct.pack(">h", 5) + b"bench"
        body += struct.pack(">iihqqqi", 1, 0, 0, 0, -1, 0, 0)
        return struct.pack(">i", len(body)) + body


def stalled(*args):
    broker = StallingBroker()
    broker.start()
    r = bench("produce", "--port", broker.port, "--setup", 0, "--json", 1, "--connections", 1,
              "--partitions", 1, "--records", 1, "--warmup", 0, "--seconds", STALLED_RUN_S, *args)
    broker.listener.close()
    return r["latency_us"]


def test_bench_open_loop_sees_the_stall(context):
    """More than half of the requests were due while the broker stood still: the median of an open loop says so, that of
    a closed one does not. Medians, so that what else runs here cannot turn it round."""
    closed, opened = stalled("--in-flight", 1), stalled("--in-flight", 250, "--rate", 80)
    check(closed["max"] > STALL_S * 1e6 * 0.9, f"the stall is not even the maximum: {closed}")
    check(closed["p50"] < opened["p50"] / 4, f"closed {closed}, open {opened}")
    check(opened["p99"] > STALL_S * 1e6 * 0.7, f"open loop: {opened}")

"""Each load of sluice-bench when something goes wrong: no broker, one that dies, Ctrl-C, too few partitions, answers with
errors or without what there is; and what is not measured is not told."""
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import brokers
import client
import records
from runner import check, equal, needs, skip
from test_bench import BENCH, bench
from test_bench_load import Changing, Null, start

NEEDS = frozenset({"slow"})

LONG_S = 600  # what a run is asked for that must not take that long
COUNTED = re.compile(rb" s: [1-9]\d* (records|connections)")

# name: load, its options, what serves it
LOADS = {
    "produce": ("produce", ("--partitions", 2), "broker"),
    "produce, open loop": ("produce", ("--partitions", 2, "--rate", 500, "--threads", 2), "broker"),
    "fetch": ("fetch", ("--partitions", 2, "--verify", 2), "filled"),
    "fetch, open loop": ("fetch", ("--partitions", 2, "--rate", 200), "filled"),
    "e2e": ("e2e", ("--rate", 200), "broker"),
    "mixed": ("mixed", ("--partitions", 2, "--rate", 200, "--records", 5), "broker"),
    "raw": ("raw", ("--partitions", 2), "filled"),
    "idle": ("idle", ("--connections", 20), "broker"),
    "echo": ("echo", ("--in-flight", 2), "echo"),
}


def ran(load, *args, timeout=300):
    """(exit status, the line of JSON or None, what was said on stderr)"""
    if not BENCH.exists():
        skip("sluice-bench is not built")
    done = subprocess.run([BENCH, load, "--json", "1", *map(str, args)], capture_output=True, text=True, timeout=timeout)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


class Running:
    """A load that was started; it has begun to count when the constructor ends."""

    def __init__(self, load, *args):
        if not BENCH.exists():
            skip("sluice-bench is not built")
        self.load, self.said = load, b""
        self.process = subprocess.Popen([BENCH, load, "--json", "1", "--progress", "always", "--seconds", str(LONG_S),
                                         *(() if load == "idle" else ("--warmup", "0")), *map(str, args)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not COUNTED.search(self.said):
            got = os.read(self.process.stderr.fileno(), 4096)
            check(got, f"{load} {args} ended before it counted: {self.said.decode()}")
            self.said += got
        time.sleep(2.5 if load == "idle" else 0.5)  # idle waits a second before it looks

    def end(self, status):
        out, err = self.process.communicate(timeout=300)
        err = (self.said + err).decode()
        equal(self.process.returncode, status, f"exit status of {self.load} ({err})")
        check(out.strip(), f"{self.load}: nothing of what was measured is told: {err}")
        r = json.loads(out)
        check(r["connections" if self.load == "idle" else "records"] > 0 and 0 < r["seconds"] < LONG_S / 2, f"{self.load}: {r}")
        check("sluice-bench: " in err, f"{self.load}: no clear line: {err}")
        return r


class EchoServer:
    """sluice-bench null --echo 1, with what a broker has that tests use."""

    def __init__(self):
        self.process = start("null", "--echo", 1)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def kill(self):
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def served(context, served_by, fresh):
    """(server, options) for a load."""
    if served_by == "echo":
        server = EchoServer()
        try:
            yield server, ("--port", server.port)
        finally:
            server.kill()
        return
    broker = context.fresh() if fresh else context.broker
    topic = context.name("failures")
    args = ("--port", broker.port, "--topic", topic)
    if served_by == "filled":
        bench("produce", *args, "--partitions", 2, "--warmup", 0, "--seconds", 60, "--bytes", 200000)
    yield broker, args


def options_for(load, args):
    """idle and echo know no topic."""
    return args[:2] if load in ("idle", "echo") else args


def test_bench_no_broker(context):
    """A port where nobody listens: a line that says so, at once, and no figure."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        for name, (load, options, _) in LOADS.items():
            status, r, err = ran(load, "--port", s.getsockname()[1], *options, "--seconds", LONG_S)
            equal(status, 1, f"{name}: exit status")
            check(r is None, f"{name}: a figure out of nothing: {r}")
            check("no broker answers" in err or re.search(r"only 0 of \d+ connections", err), f"{name}: {err}")


def test_bench_broker_dies_in_the_middle(context):
    for name, (load, options, served_by) in LOADS.items():
        with served(context, served_by, fresh=True) as (server, args):
            running = Running(load, *options_for(load, args), *options)
            server.kill()
            r = running.end(1)
            check(r.get("partial") and r["partial"] != "interrupted", f"{name} is not marked: {r}")
            if load == "mixed":
                equal(r["fetch"].get("partial"), r["partial"], "the mark of the fetches")


def test_bench_ctrl_c(context):
    for name, (load, options, served_by) in LOADS.items():
        with served(context, served_by, fresh=False) as (_, args):
            running = Running(load, *options_for(load, args), *options)
            running.process.send_signal(signal.SIGINT)
            equal(running.end(130).get("partial"), "interrupted", f"the mark of {name}")


def test_bench_too_few_partitions_to_read(context):
    topic = context.name("narrow")
    with context.broker.connect() as raw:
        client.create_topic(raw, topic, 2)
    args = ("--port", context.broker.port, "--topic", topic, "--partitions", 8)
    status, r, err = ran("fetch", *args, "--connections", 8)
    check(status == 1 and r is None and "UNKNOWN_TOPIC_OR_PARTITION" in err, f"fetch: {status} {r} {err}")
    status, r, err = ran("mixed", *args)
    check(status == 1 and r is None and "has not 8 led partitions" in err, f"mixed: {status} {r} {err}")


class Scripted(threading.Thread):
    """A broker of one partition of the topic `bench`, that answers ListOffsets v5 and Fetch v11 as it is told.

    answers: called with the number of the Fetch and the offset asked for, gives (top error, partition error, high
    watermark, bytes of records)."""

    def __init__(self, answers, pause=0.001):
        super().__init__(daemon=True)
        self.answers, self.pause, self.count = answers, pause, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, conn):
        with conn, contextlib.suppress(OSError), conn.makefile("rb") as stream:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while word := stream.read(4):
                frame = stream.read(struct.unpack(">i", word)[0])
                body = frame[4:8] + (self.fetched(frame) if frame[:2] == b"\0\1" else self.listed())
                conn.sendall(struct.pack(">i", len(body)) + body)

    @staticmethod
    def listed():
        return struct.pack(">iih5siihqqi", 0, 1, 5, b"bench", 1, 0, 0, -1, 0, 0)

    def fetched(self, frame):
        time.sleep(self.pause)
        at = frame.index(b"bench", 30) + 5 + 12  # partitions, index, leader epoch
        offset = struct.unpack(">q", frame[at:at + 8])[0]
        top, error, high, data = self.answers(self.count, offset)
        self.count += 1
        if top:
            return struct.pack(">ihii", 0, top, 0, 0)
        return struct.pack(">ihiih5siihqqqiii", 0, 0, 0, 1, 5, b"bench", 1, 0, error, high, high, 0, -1, -1, len(data)) + data


def scripted(answers, *args, pause=0.001):
    broker = Scripted(answers, pause)
    broker.start()
    try:
        return ran("fetch", "--port", broker.port, "--partitions", 1, "--connections", 1, "--warmup", 0, *args)
    finally:
        broker.listener.close()


ONE = records.batch([b"value"])  # at offset 0


def test_bench_fetch_errors(context):
    """Error codes of a partition and of the whole answer: each is counted by its name, and there is no clean figure."""
    cases = {
        "partition": (lambda n, _: (0, 6, -1, b""), {"NOT_LEADER_OR_FOLLOWER"}),
        "whole": (lambda n, _: (71, 0, -1, b""), {"INVALID_FETCH_SESSION_EPOCH"}),
        "both, and records": (lambda n, _: ((0, 3, -1, b""), (74, 0, -1, b""), (0, 0, 1, ONE))[n % 3],
                              {"UNKNOWN_TOPIC_OR_PARTITION", "FENCED_LEADER_EPOCH"}),
        "not one of Kafka's": (lambda n, _: (0, 999, -1, b""), {"code 999"}),
    }
    for name, (answers, codes) in cases.items():
        status, r, err = scripted(answers, "--seconds", 1)
        equal(status, 1, f"{name}: exit status ({err})")
        equal(set(r["errors_by_code"]), codes, f"{name}: codes")
        equal(sum(r["errors_by_code"].values()), r["errors"], f"{name}: their sum")
        check("not a clean figure" in err, f"{name}: {err}")
        check((r["records"] > 0) == (name == "both, and records"), f"{name}: {r}")


def test_bench_fetch_verify_sees_wrong_answers(context):
    """What --verify 1 must see, and that the right answer has no faults."""
    cases = {
        "right": (lambda n, at: (0, 0, 1, ONE), False),
        "too many offsets": (lambda n, at: (0, 0, 1, records.batch([b"value"], last_offset_delta=1)), True),
        "below what was asked": (lambda n, at: (0, 0, 2, ONE), True),
        "nothing, again and again": (lambda n, at: (0, 0, 2, ONE if at == 0 else b""), True),
        "a wrong checksum": (lambda n, at: (0, 0, 1, records.batch([b"value"], crc=1)), True),
    }
    for name, (answers, wrong) in cases.items():
        status, r, err = scripted(answers, "--seconds", 1, "--verify", 1)
        equal(status, 1 if wrong else 0, f"{name}: exit status ({err})")
        check((r["faults"] > 0) == wrong and ("faults" in err) == wrong and r["records"] > 0, f"{name}: {r} {err}")
        check(not r["errors_by_code"] and r["errors"] == 0, f"{name}: {r}")


def test_bench_fetch_open_loop(context):
    """A broker that needs 20 ms for each: the closed loop's latency is that, the open one's also the wait for the one before."""
    def answers(n, at):
        return 0, 0, 1, ONE
    _, closed, _ = scripted(answers, "--seconds", 1, pause=0.02)
    status, opened, err = scripted(answers, "--seconds", 1, "--rate", 200, pause=0.02)
    equal(status, 0, f"exit status ({err})")
    check(opened["rate"] == 200 and opened["requests"] < opened["seconds"] * 100, f"open loop: {opened}")
    check(opened["latency_us"]["p50"] > 4 * closed["latency_us"]["p50"], f"open {opened}, closed {closed}")
    check(opened["latency_us"]["max"] > 1e6, f"four times what it can, for a second: {opened['latency_us']}")


def test_bench_ramp_with_wrong_answers(context):
    """Frames that come back changed are faults of a ramp, too; and each step tells what can be told."""
    server = Changing()
    server.start()
    status, r, err = ran("echo", "--port", server.port, "--connections", 1, "--in-flight", 1, "--warmup", 0, "--seconds", 0.5,
                         "--rate", 100, "--ramp", 10, "--broker-pid", os.getpid())
    check(status == 1 and "not a clean figure" in err, f"{status} {err}")
    equal(r["partial"], "what came back was wrong", "the mark")
    check(all(s["faults"] > 0 and s["errors"] == 0 and s["broker_core_share"] >= 0 for s in r["steps"]), f"steps: {r['steps']}")
    # A step of 50 requests has no p99.9, and no step of a second has a p99.99 without 10,000 of them.
    check("p99" in r["steps"][0] and "p99.9" not in r["steps"][0], f"the first step: {r['steps'][0]}")
    check(r["hiccup_us"]["max"] > 0, "no hiccup baseline")


def test_bench_idle_without_a_process(context):
    """What was not measured is not told as nothing."""
    args = ("--port", context.broker.port, "--connections", 10, "--seconds", 0.5)
    status, r, err = ran("idle", *args)
    equal(status, 0, f"exit status ({err})")
    equal(sorted(r), ["connections", "load", "seconds"], "what is told")
    text = bench("idle", *args)
    check("CPU not measured" in text and "memory not measured" in text and "%" not in text, text)
    status, r, err = ran("idle", *args, "--broker-pid", context.broker.process.pid)
    check(status == 0 and r["broker_core_share"] >= 0 and "broker_bytes_per_connection" in r, f"{r} {err}")


def test_bench_null_listens_where_it_is_told(context):
    for options in ((), ("--echo", 1)):
        with Null("--host", "127.0.0.2", *options) as server:
            load, more = ("echo", ()) if options else ("produce", ("--setup", 0))
            args = ("--port", server.port, "--warmup", 0, "--seconds", 0.3, *more)
            status, r, err = ran(load, "--host", "127.0.0.2", *args)
            check(status == 0 and r["records"] > 0, f"{load}: {r} {err}")
            status, _, err = ran(load, *args)
            check(status == 1 and "127.0.0.1" in err, f"it also listens on 127.0.0.1: {err}")
    for host, word in (("localhost", "numeric address"), ("192.0.2.1", "cannot listen on 192.0.2.1")):
        p = start("null", "--host", host)
        _, err = p.communicate(timeout=120)
        check(p.returncode == 1 and word in err, f"{host}: {p.returncode} {err}")
    check("not with --echo" in bench("null", "--echo", 1, "--write", context.scratch, ok=False), "--write and --echo")


def test_bench_null_on_ipv6(context):
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        with Null("--host", "::1") as server:
            status, r, err = ran("produce", "--host", "::1", "--port", server.port, "--setup", 0, "--warmup", 0, "--seconds", 0.3)
            check(status == 0 and r["records"] > 0, f"{r} {err}")
        return
    skip("no IPv6 here")


def test_bench_compressed_values_are_looked_at(context):
    """--verify 2 opens compressed batches; one of values that no load made is a fault."""
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        args = ("--port", context.broker.port, "--topic", context.name(codec), "--partitions", 1)
        bench("produce", *args, "--compression", codec, "--records", 50, "--random-pct", 20, "--warmup", 0, "--seconds", 60,
              "--bytes", 50000)
        status, r, err = ran("fetch", *args, "--connections", 1, "--verify", 2, "--warmup", 0, "--seconds", 0.5)
        check(status == 0 and r["records"] > 0 and "unchecked" not in r, f"{codec}: {r} {err}")
    foreign = records.batch([b"twenty bytes or more of it"], codec=records.GZIP)
    status, r, err = scripted(lambda n, at: (0, 0, 1, foreign), "--seconds", 0.5, "--verify", 2)
    check(status == 1 and r["faults"] > 0, f"values of somebody else: {r} {err}")


@needs("sluice")
def test_bench_tells_what_the_broker_counted(context):
    """--metrics: the broker's own counters moved by what the load counted; who shows none is refused."""
    port = brokers.free_ports()[0]
    broker = context.fresh(overrides={"sluice.metrics.listener": f"127.0.0.1:{port}", "sluice.shards": "1"})
    args = ("--port", broker.port, "--topic", context.name("metrics"), "--partitions", 1, "--warmup", 0, "--seconds", 1)
    metrics = ("--metrics", f"127.0.0.1:{port}")
    status, r, err = ran("produce", *args, *metrics)
    equal(status, 0, f"exit status ({err})")
    counters = r["broker"]["counters"]
    counted = counters["kafka_server_brokertopicmetrics_messagesin_total"]
    check(r["records"] <= counted <= r["records"] + 150 * 4 * 5 * 2, f"{counted} in the broker, {r['records']} counted")
    stages = {(s["class"], s["stage"]): s for s in r["broker"]["stages"]}
    check(stages["produce", "total"]["count"] >= r["requests"] and stages["produce", "total"]["p50_us"] > 0, f"stages: {stages}")
    text = bench("produce", *args, *metrics)
    check("produce  total" in text and "messagesin_total" in text, text)
    for address, word in (("127.0.0.1:1", "nobody answers"), (f"127.0.0.1:{broker.port}", "does not show"), ("there", "not an address")):
        status, r, err = ran("produce", *args, "--metrics", address)
        check(status == 1 and r is None and word in err, f"{address}: {status} {r} {err}")

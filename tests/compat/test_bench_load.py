"""The load generator's forms: threads, sizes, compression, idempotence, mixed, echo, ramp, overload, and what it does
when something goes wrong in the middle."""
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import client
import kafka_dist
from runner import check, equal, skip
from test_bench import BENCH, StallingBroker, bench, end_offsets, load_has_begun

NEEDS = frozenset({"slow"})


def start(load, *args):
    if not BENCH.exists():
        skip("sluice-bench is not built")
    return subprocess.Popen([BENCH, load, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Null:
    """sluice-bench null for the time of a `with`."""

    def __init__(self, *args):
        self.args = args

    def __enter__(self):
        self.process = start("null", *self.args)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        equal(self.process.wait(120), 0, "exit status of null")


def test_bench_threads_and_sizes(context):
    """Two threads, sizes that vary, random partitions: the counts are still the broker's."""
    topic = context.name("sizes")
    made = bench("produce", "--port", context.broker.port, "--json", 1, "--topic", topic, "--threads", 2,
                 "--connections", 6, "--partitions", 30, "--spread", "keyed", "--records", 20, "--batch-spread",
                 "exponential", "--record-spread", "uniform", "--in-flight", 2, "--warmup", 0, "--seconds", 1)
    equal(made["threads"], 2, "threads")
    offsets = end_offsets(context.broker, topic, 30)
    # With 20 requests for each, the chance of one without any is 1 to 10^7; a slow disk lets fewer through.
    check(min(offsets) > 0 or 0 < made["requests"] < 30 * 20, f"a partition got nothing: {offsets}")
    check(0 <= sum(offsets) - made["records"] <= 6 * 2 * 200 * 2, f"{sum(offsets)} in the log, {made['records']} counted")
    check(len(made["timeline"]) > 10 and sum(p[1] for p in made["timeline"]) > 0, f"latency over time: {made['timeline']}")
    read = bench("fetch", "--port", context.broker.port, "--json", 1, "--topic", topic, "--partitions", 30, "--threads", 2,
                 "--connections", 30, "--verify", 2, "--warmup", 0, "--seconds", 1)
    check(read["faults"] == 0 and read["records"] > 0, f"fetch: {read}")


def test_bench_compression(context):
    """The broker opens each batch and finds it right; it is smaller than the plain one."""
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        topic = context.name(codec)
        made = bench("produce", "--port", context.broker.port, "--json", 1, "--topic", topic, "--compression", codec,
                     "--records", 50, "--random-pct", 20, "--warmup", 0, "--seconds", 60, "--bytes", 50000)
        check(made["records"] > 0 and made["bytes"] / made["records"] < 70, f"{codec}: {made}")


def test_bench_idempotent(context):
    """More requests than a producer's state remembers, over 3 partitions: no sequence is refused."""
    topic = context.name("idempotent")
    made = bench("produce", "--port", context.broker.port, "--json", 1, "--topic", topic, "--idempotent", 1, "--acks", -1,
                 "--connections", 3, "--partitions", 3, "--threads", 2, "--records", 10, "--warmup", 0, "--seconds", 60,
                 "--bytes", 200000)
    check(made["errors"] == 0 and made["requests"] > 15, f"idempotent: {made}")
    check(sum(end_offsets(context.broker, topic, 3)) >= made["records"], "records are missing")


def test_bench_mixed(context):
    r = bench("mixed", "--port", context.broker.port, "--json", 1, "--topic", context.name("mixed"), "--rate", 300,
              "--records", 10, "--verify", 1, "--warmup", 0.2, "--seconds", 2)
    # No more than the rate; how much less depends on the disk, which others use too.
    check(0 < r["requests"] < 800 and r["errors"] == 0, f"produce: {r}")
    read = r["fetch"]
    check(read["faults"] == 0 and 0 < read["records"] < 10000, f"the followers saw something else: {read}")


def test_bench_echo(context):
    with Null("--echo", 1) as server:
        args = ("--port", server.port, "--json", 1, "--warmup", 0, "--seconds", 1)
        for more in (("--connections", 32, "--in-flight", 1), ("--threads", 2, "--rate", 2000), ("--frame-bytes", 5000)):
            r = bench("echo", *args, *more)
            check(r["records"] > 10 and r["faults"] == 0, f"echo {more}: {r}")


class Changing(threading.Thread):
    """An echo server that changes the last byte of what it sends back."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.listener.accept()
                while data := conn.recv(64):
                    conn.sendall(data[:-1] + bytes([data[-1] ^ 1]))


def test_bench_echo_sees_changes(context):
    server = Changing()
    server.start()
    text = bench("echo", "--port", server.port, "--connections", 1, "--in-flight", 1, "--warmup", 0, "--seconds", 1,
                 ok=False)
    check("faults" in text, text)


def test_bench_ramp_and_overload(context):
    """A server that answers about 500 requests a second: the ramp finds that, more does not bring more."""
    slow = StallingBroker(pause=0.002, stall=0)
    slow.start()
    r = bench("produce", "--port", slow.port, "--setup", 0, "--json", 1, "--connections", 1, "--partitions", 1,
              "--records", 1, "--in-flight", 20, "--warmup", 0.2, "--seconds", 0.8, "--rate", 100, "--ramp", 2,
              "--overload", 1.5)
    # How far it gets depends on what else runs here; that a pause of 2 ms allows no more than 500 a second does not. The 20
    # in flight may have been answered before the 0.8 s and be taken in them: 525.
    check(0 < r["saturation_per_s"] < 530, f"saturation: {r}")
    kinds = [s["kind"] for s in r["steps"]]
    check(len(kinds) >= 2 and set(kinds[:-1]) == {"step"} and kinds[-1] == "overload", f"steps: {kinds}")
    for step in r["steps"][:-2]:
        check(step["reached"] >= 0.9 * step["offered"], f"it went on beyond a step that was not reached: {r['steps']}")
    last = r["steps"][-1]
    check(0 < last["offered"] <= 1.51 * r["saturation_per_s"], f"overload is not 1.5 times the saturation: {r}")
    check(last["unsent"] > 0 or last["reached"] > 0.9 * last["offered"], f"requests got lost: {last}")
    check(last["errors"] == 0 and r["overload_share"] > 0, f"overload: {r}")


def test_bench_says_when_it_is_the_limit(context):
    """The null broker on one core, heavy checks on the load's thread: busy time and the verdict agree."""
    with Null() as server:
        r = bench("produce", "--port", server.port, "--setup", 0, "--json", 1, "--records", 1, "--connections", 64,
                  "--in-flight", 100, "--warmup", 0, "--seconds", 1)
    share = r["client_busy_s"] / r["seconds"]
    equal(r["client_is_limit"], share > 0.95, f"busy {share:.2f}: the verdict")
    check(r["hiccup_us"]["max"] > 0, "no hiccup baseline")


def test_bench_null_that_writes(context):
    """It answers as before, and the bytes are really written; a folder that is not there is refused."""
    with Null("--write", context.scratch) as server:
        r = bench("produce", "--port", server.port, "--setup", 0, "--json", 1, "--warmup", 0, "--seconds", 0.5)
        written = int(next(line.split()[1] for line in open(f"/proc/{server.process.pid}/io", encoding="ascii")
                           if line.startswith("wchar")))
    check(r["errors"] == 0 and written >= r["bytes"] > 0, f"{written} written of {r}")
    p = start("null", "--write", context.scratch / "not-there")
    _, err = p.communicate(timeout=120)
    check(p.returncode == 1 and "null: " in err, err)


def test_bench_disk(context):
    """Durable writes to the disk alone: all of them are counted, and a folder without direct writes is refused."""
    folder = kafka_dist.ROOT / "build"
    try:
        r = bench("disk", "--folder", folder, "--json", 1, "--block", 8192, "--depth", 4, "--warmup", 0, "--seconds", 1.5)
    except AssertionError as e:
        if "no file for direct writes" in str(e):
            skip("a file system without direct writes")
        raise
    check(r["records"] > 0 and r["bytes"] == 8192 * r["records"] and r["latency_us"]["p50"] > 0, f"{r}")
    r = bench("disk", "--folder", folder, "--json", 1, "--way", "read", "--block", 65536, "--depth", 4, "--warmup", 0,
              "--seconds", 1.5)
    check(r["records"] > 0 and r["bytes"] == r["records"] * 65536, f"reads of the disk: {r}")
    check("multiple of 4096" in bench("disk", "--block", 5000, ok=False), "an odd block")
    check("no file for direct writes" in bench("disk", "--folder", "/proc", ok=False), "a folder without files")


def test_bench_live_progress(context):
    with Null() as server:
        text = bench("produce", "--port", server.port, "--setup", 0, "--progress", "always", "--warmup", 0,
                     "--seconds", 3)
    check(text.count(" s: ") >= 2, f"no live line: {text!r}")


# ---- when something goes wrong ----

def finish(process, status):
    out, err = process.communicate(timeout=300)
    equal(process.returncode, status, f"exit status ({err})")
    return json.loads(out) if out.strip() else None, err


def test_bench_ctrl_c_keeps_what_was_measured(context):
    for more in (("--threads", 2), ("--rate", 500)):
        topic = context.name("ctrl-c")
        p = start("produce", "--port", context.broker.port, "--topic", topic, "--json", 1, "--warmup", 0, "--seconds", 200,
                  *more)
        load_has_begun(context.broker, topic)
        time.sleep(1)
        p.send_signal(signal.SIGINT)
        r, err = finish(p, 130)
        check(r and r["partial"] == "interrupted" and r["records"] > 0 and r["seconds"] < 150, f"{more}: {r}")
        check("interrupted" in err, err)


def test_bench_ctrl_c_before_anything(context):
    """A broker that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        p = start("produce", "--port", silent.getsockname()[1], "--json", 1)
        silent.settimeout(120)
        held, _ = silent.accept()  # it runs, and waits
        p.send_signal(signal.SIGINT)
        time.sleep(0.2)
        p.send_signal(signal.SIGINT)
        r, _ = finish(p, 130)
        held.close()
        check(r is None, f"a figure out of nothing: {r}")


def test_bench_broker_dies_partial(context):
    broker = context.fresh()
    p = start("produce", "--port", broker.port, "--topic", "t", "--json", 1, "--threads", 2, "--warmup", 0, "--seconds", 200)
    load_has_begun(broker, "t")
    time.sleep(1)
    broker.kill()
    r, err = finish(p, 1)
    check(r and r["partial"] == "a connection broke during the run" and r["records"] > 0, f"{r} {err}")


def test_bench_too_few_partitions(context):
    topic = context.name("narrow")
    with context.broker.connect() as raw:
        client.create_topic(raw, topic, 2)
    text = bench("produce", "--port", context.broker.port, "--topic", topic, "--partitions", 8, ok=False)
    check("has not 8 led partitions" in text, text)


class Lying(StallingBroker):
    """Answers with another correlation id."""

    @staticmethod
    def answer(frame):
        good = StallingBroker.answer(frame)
        return good[:4] + struct.pack(">i", struct.unpack(">i", good[4:8])[0] + 1) + good[8:]


def test_bench_wrong_answers(context):
    for kind, word in ((Lying, "UNKNOWN_SERVER_ERROR"), (Refusing, "NOT_ENOUGH_REPLICAS"), (Garbage, "a connection broke")):
        broker = kind(stall=0)
        broker.start()
        text = bench("produce", "--port", broker.port, "--setup", 0, "--connections", 1, "--partitions", 1, "--records", 1,
                     "--warmup", 0, "--seconds", 2, ok=False)
        check(word in text, f"{kind.__name__}: {text}")


class Refusing(StallingBroker):
    """Answers each request with NOT_ENOUGH_REPLICAS (19)."""

    @staticmethod
    def answer(frame):
        good = bytearray(StallingBroker.answer(frame))
        at = 4 + 4 + 4 + 2 + 5 + 4 + 4
        good[at:at + 2] = struct.pack(">h", 19)
        return bytes(good)


class Garbage(StallingBroker):
    """Answers with a length that no frame has."""

    @staticmethod
    def answer(frame):
        return b"\xff" * 64


def test_bench_fetch_sees_damage(context):
    """A proxy that flips one bit of what is fetched: --verify says so and the run is no clean figure."""
    topic = context.name("damage")
    bench("produce", "--port", context.broker.port, "--topic", topic, "--partitions", 1, "--records", 50, "--warmup", 0,
          "--seconds", 60, "--bytes", 1000000)
    proxy = Flipping(context.broker.port)
    proxy.start()
    text = bench("fetch", "--port", proxy.port, "--topic", topic, "--partitions", 1, "--connections", 1, "--verify", 1,
                 "--warmup", 0, "--seconds", 2, ok=False)
    check("faults" in text, text)


class Flipping(threading.Thread):
    """Passes bytes on; in each large piece from the broker it flips a bit well behind the headers."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.upstream = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.upstream))
            threading.Thread(target=self.pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, True), daemon=True).start()

    @staticmethod
    def pump(source, sink, flip):
        try:
            while data := source.recv(1 << 16):
                if flip and len(data) > 4000:
                    data = data[:3000] + bytes([data[3000] ^ 1]) + data[3001:]
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_bench_no_memory(context):
    """An address space too small for EAL's heap."""
    done = subprocess.run(["bash", "-c", f"ulimit -v 300000; exec {BENCH} produce --port {context.broker.port}"],
                          capture_output=True, text=True, timeout=300, env=dict(os.environ))
    equal(done.returncode, 1, "exit status")
    check("sluice-bench: " in done.stderr, done.stderr)


def test_bench_port_in_use(context):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        p = start("null", "--port", taken.getsockname()[1])
        out, err = p.communicate(timeout=120)
        equal(p.returncode, 1, "exit status")
        check("busy" in err, f"{out} {err}")

"""What is made slow on purpose shows up in the stage where it is, and in the tail of an open loop.

Three kinds of slowness: a reader behind a proxy that takes its time (sent), a disk that must flush before the answer
(durable), a broker that stands still (all of it, which only the open loop can tell).
"""
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time

import brokers
from runner import check, needs, skip
from test_bench import bench, load_has_begun

NEEDS = frozenset({"slow"})

STALL_S, STALLED_RUN_S = 3.0, 5  # more than half of the run
SLOW_READ_S = 0.008  # before each piece of at most 64 KiB
SLOW_SENT_US = 100000  # what that must at least do to a reply of several MB, beyond all socket buffers


def stages(port):
    """{(class, stage): (count, p50 in us)} of a running broker."""
    done = subprocess.run([brokers.SLUICED.with_name("sluice"), "stages", f"127.0.0.1:{port}"], capture_output=True,
                          text=True, timeout=120, check=True)
    found = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) > 4 and words[2].isdigit():
            found[words[0], words[1]] = int(words[2]), float(words[3])
    return found


def started(context, **overrides):
    port = brokers.free_ports()[0]
    return context.fresh(overrides={"sluice.metrics.listener": f"127.0.0.1:{port}", "sluice.shards": "1",
                                    **{k.replace("_", "."): v for k, v in overrides.items()}}), port


class SlowReader(threading.Thread):
    """Passes bytes on; from the broker it reads through a small window, with a rest before each piece."""

    def __init__(self, port, rest):
        super().__init__(daemon=True)
        self.upstream, self.rest = port, rest
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.socket()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            far.connect(("127.0.0.1", self.upstream))
            threading.Thread(target=self.pump, args=(near, far, 0), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, self.rest), daemon=True).start()

    @staticmethod
    def pump(source, sink, rest):
        try:
            while data := source.recv(65536):
                time.sleep(rest)
                sink.sendall(data)
        except OSError:
            pass


@needs("sluice")
def test_bench_slow_reader_shows_in_sent(context):
    """The same fetches, straight and through a reader that takes its time: only `sent` of fetch grows."""
    p50 = {}
    for rest in (0, SLOW_READ_S):
        broker, port = started(context, sluice_durability="os")
        bench("produce", "--port", broker.port, "--topic", "t", "--partitions", 1, "--records", 500, "--bytes", 8000000,
              "--warmup", 0, "--seconds", 30)
        proxy = SlowReader(broker.port, rest)
        proxy.start()
        bench("fetch", "--port", proxy.port, "--topic", "t", "--partitions", 1, "--connections", 1, "--fetch-bytes",
              8 << 20, "--warmup", 0, "--seconds", 15 if rest else 2)
        found = stages(port)
        p50[rest] = {stage: found["fetch", stage][1] for stage in ("parsed", "replied", "sent")}
        check(found["produce", "appended"][0] > 0, f"no produce stages: {found}")
    slow, fast = p50[SLOW_READ_S], p50[0]
    check(slow["sent"] > SLOW_SENT_US, f"the slow reader is not in sent: {p50}")
    check(slow["sent"] > 5 * fast["sent"], f"sent did not grow: {p50}")
    check(slow["sent"] > 5 * (slow["parsed"] + slow["replied"]), f"another stage grew as much: {p50}")


@needs("sluice")
def test_bench_large_batches_show_in_appended(context):
    """A batch of a million bytes is copied and checksummed in `appended`; one of a hundred is not. Nothing else of the
    request's path touches the records."""
    p50 = {}
    for size in (100, 1000000):
        broker, port = started(context, sluice_durability="os")
        bench("produce", "--port", broker.port, "--topic", "t", "--partitions", 1, "--connections", 1, "--in-flight", 1,
              "--records", 1, "--record-bytes", size, "--warmup", 0, "--seconds", 1)
        found = stages(port)
        p50[size] = {stage: found["produce", stage][1] for stage in ("parsed", "appended", "durable", "replied")}
    large, small = p50[1000000], p50[100]
    check(large["appended"] > 5 * small["appended"] and large["appended"] > 30, f"the copy is not in appended: {p50}")
    check(large["appended"] > large["replied"], f"the copy shows in another stage: {p50}")


def flush_us(folder):
    """Median of a write with a flush, as a durable broker must do it."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as f:
        for _ in range(15):
            begin = time.monotonic()
            os.pwrite(f.fileno(), b"x" * 4096, 0)
            os.fdatasync(f.fileno())
            times.append((time.monotonic() - begin) * 1e6)
    return sorted(times)[7]


@needs("sluice")
def test_bench_slow_disk_shows_in_durable(context):
    """The flush before the answer is the slowness: it is in `durable`, and the open loop's median holds it. What else runs
    here only adds, now to this and then to that: of two rounds the least of each is compared."""
    p50, flushes = {}, []
    for mode in ("os", "fsync") * 2:
        broker, port = started(context, sluice_durability=mode)
        flushes.append(flush_us(broker.folder))
        r = bench("produce", "--port", broker.port, "--json", 1, "--topic", "t", "--partitions", 1, "--connections", 1,
                  "--in-flight", 50, "--records", 1, "--rate", 100, "--warmup", 0, "--seconds", 1.5)
        found = stages(port)
        context.end_test()  # each has the disk for itself
        round50 = {stage: found["produce", stage][1] for stage in ("parsed", "appended", "durable", "sent")}
        # Both count the same requests (no warm-up: a disk with two speeds may change over with it). A stage clock's
        # percentile is right to a bucket, an eighth.
        if mode == "fsync":
            check(r["latency_us"]["p50"] > 0.85 * round50["durable"], f"the load saw {r}, the broker {round50}")
        p50[mode] = {stage: min(us, p50[mode][stage]) if mode in p50 else us for stage, us in round50.items()}
    disk = min(flushes)
    if max(flushes) < 100:
        skip(f"flushes are free here ({disk:.0f} us)")
    check(p50["fsync"]["durable"] > 2 * p50["os"]["durable"] and p50["fsync"]["durable"] > 0.2 * disk,
          f"a flush takes {disk:.0f} us; stages: {p50}")
    others = sum(v for k, v in p50["fsync"].items() if k != "durable")
    check(p50["fsync"]["durable"] > others, f"the disk shows in another stage: {p50}")


@needs("sluice")
def test_bench_standstill_shows_in_the_open_loop(context):
    """A broker that stands still for a while: more than half of the requests of an open loop were due in that time, so
    that its median tells of it; the closed loop's does not, and nothing else that runs here makes it."""
    tails = {}
    for kind, args in (("closed", ("--in-flight", 1)), ("open", ("--in-flight", 250, "--rate", 60))):
        broker, _ = started(context, sluice_durability="os")

        def stand_still(broker=broker):
            load_has_begun(broker, "t", 1)
            broker.process.send_signal(signal.SIGSTOP)
            time.sleep(STALL_S)
            broker.process.send_signal(signal.SIGCONT)
        stall = threading.Thread(target=stand_still, daemon=True)
        stall.start()
        r = bench("produce", "--port", broker.port, "--json", 1, "--topic", "t", "--partitions", 1, "--connections", 1,
                  "--records", 1, "--warmup", 0, "--seconds", STALLED_RUN_S, *args)
        stall.join()
        tails[kind] = r["latency_us"]
        worst = max(r["timeline"], key=lambda piece: piece[4])
        check(worst[4] > STALL_S * 1e6 * 0.5, f"latency over time does not show it: {r['timeline']}")
    check(tails["open"]["max"] > STALL_S * 1e6 * 0.8, f"{tails}")
    check(tails["open"]["p99"] > STALL_S * 1e6 * 0.7, f"the open loop hides the wait: {tails}")
    check(tails["closed"]["p50"] < tails["open"]["p50"] / 4, f"the closed loop should not see it: {tails}")

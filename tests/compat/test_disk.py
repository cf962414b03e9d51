"""Disks that end: full, or gone; each with a second log dir that goes on. Mounts need root."""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import brokers
import client
import records
from runner import check, equal, needs, skip, until
from test_start import run_until_ready

STORAGE_ERROR = 56


class Mounted:
    """A broker in a mount namespace of its own: the metadata and log dir a on the disk, log dir b
    on a tmpfs of `size`. It can be started again on what it left while the namespace lives."""

    def __init__(self, size, settings):
        self.settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="compat-disk-"))
        for name in ("a", "b"):
            (self.folder / name).mkdir()
        self.port = brokers.free_ports()[0]
        script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && echo sluiced ready && exec sleep 600'
        self.holder = run_until_ready(["unshare", "-m", "sh", "-c", script, "sh", size,
                                       str(self.folder / "b")], self.folder, "the mount")
        self.process = None

    def start(self):
        (self.folder / "out").write_text("")
        settings = {"listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
                    "log.dirs": f"{self.folder}/a,{self.folder}/b",
                    "metadata.log.dir": f"{self.folder}/a", "log.segment.bytes": "8388608",
                    **brokers.SLUICE_SETTINGS, **self.settings}
        overrides = [x for k, v in settings.items() for x in ("--override", f"{k}={v}")]
        self.process = run_until_ready(["nsenter", "-m", "-t", str(self.holder.pid),
                                        str(brokers.SLUICED), *overrides], self.folder, "ready")

    def said(self):
        return (self.folder / "out").read_text(errors="replace")

    def seen(self):
        """Log dir b as the broker sees it."""
        return Path(f"/proc/{self.holder.pid}/root{self.folder}/b")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def connect(self):
        return client.Client(f"127.0.0.1:{self.port}", 60)

    def destroy(self):
        for process in (self.process, self.holder):
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def mounted(size, **settings):
    broker = Mounted(size, {k.replace("__", "."): v for k, v in settings.items()})
    try:
        broker.start()
        yield broker
    finally:
        broker.destroy()


def put(c, topic, partition, value):
    answer = c.request("Produce", 9, client.produce_body(
        topic, {partition: records.batch([value])}))
    return answer["responses"][0]["partitionResponses"][0]


def get(c, topic, partition, offset):
    answer = c.request("Fetch", 12, client.fetch_body(topic, partition, offset, max_wait=0,
                                                      max_bytes=1 << 22))
    return answer["responses"][0]["partitions"][0]


def values(c, topic, partition):
    out = []
    while True:
        part = get(c, topic, partition, len(out))
        equal(part["errorCode"], 0, "fetch error")
        batches = records.parse(part["records"])
        if not batches:
            return out
        out += [r.value for b in batches for r in b.records]


def dirs_of(c, folder, topic):
    """{partition: "a" or "b"}"""
    answer = c.request("DescribeLogDirs", 4, {"topics": None})
    return {p["partitionIndex"]: Path(d["logDir"]).relative_to(folder).name
            for d in answer["results"] for t in d["topics"] if t["name"] == topic
            for p in t["partitions"]}


@needs("sluice")
def test_disk_full(context):
    """Produce answers KAFKA_STORAGE_ERROR; the other log dir goes on; what was acked is kept."""
    with mounted("40m", sluice__disk__free__bytes="0") as broker:
        with broker.connect() as c:
            client.create_topic(c, "full", 2)
            where = dirs_of(c, broker.folder, "full")
            equal(sorted(where.values()), ["a", "b"], "a partition in each log dir")
            good, bad = sorted(where, key=where.get)
            acked = {good: [], bad: []}
            error = 0
            for number in range(200):
                value = b"%d " % number + os.urandom(300_000)
                part = put(c, "full", bad, value)
                if part["errorCode"]:
                    error = part["errorCode"]
                    break
                acked[bad].append(value)
            equal(error, STORAGE_ERROR, f"error after {len(acked[bad])} batches")
            equal(put(c, "full", bad, b"again")["errorCode"] in (STORAGE_ERROR, 6), True, "again")
            for number in range(20):
                acked[good].append(b"good %d" % number)
                equal(put(c, "full", good, acked[good][-1])["errorCode"], 0, "the other dir")
            equal(values(c, "full", good), acked[good], "the other dir's records")
            answer = c.request("DescribeLogDirs", 4, {"topics": []})
            equal({Path(d["logDir"]).name: d["errorCode"] for d in answer["results"]},
                  {"a": 0, "b": STORAGE_ERROR}, "DescribeLogDirs")
        equal(broker.stop(), 0, "exit status")
        subprocess.run(["nsenter", "-m", "-t", str(broker.holder.pid), "mount", "-o",
                        "remount,size=200m", str(broker.folder / "b")], check=True)
        broker.start()
        with broker.connect() as c:
            client.wait_topic(c, "full", 2)
            equal(values(c, "full", good), acked[good], "acked records of the good dir")
            kept = values(c, "full", bad)
            equal(kept[:len(acked[bad])] == acked[bad], True, "acked records of the full dir")
            equal(put(c, "full", bad, b"room again")["errorCode"], 0, "with room again")


def fill(c, topic, partition, most=200):
    """Records of 300 KB until one is refused: (values acked, the refusal). No faster than the disk is looked at."""
    acked = []
    for number in range(most):
        value = b"%d " % number + os.urandom(300_000)
        part = put(c, topic, partition, value)
        if part["errorCode"]:
            return acked, part
        acked.append(value)
        time.sleep(0.05)
    raise AssertionError("nothing is refused")


def free_bytes(path):
    st = os.statvfs(path)
    return st.f_bavail * st.f_frsize


def log_dirs(c):
    answer = c.request("DescribeLogDirs", 4, {"topics": []})
    return {Path(d["logDir"]).name: d["errorCode"] for d in answer["results"]}


def topic_in_b(c, broker, name):
    """A topic of two partitions; the one in log dir b."""
    client.create_topic(c, name, 2)
    return next(p for p, d in dirs_of(c, broker.folder, name).items() if d == "b")


@needs("sluice")
def test_disk_low_water(context):
    """Below the mark batches of clients are refused, nothing is offline, and room lifts it again."""
    mark, port = 12 << 20, brokers.free_ports()[0]
    with mounted("40m", sluice__disk__free__bytes=str(mark), sluice__disk__reserve__bytes="1048576",
                 sluice__journal__bytes="1048576",
                 sluice__metrics__listener=f"127.0.0.1:{port}") as broker, broker.connect() as c:
        def metric(name):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
                line = next(x for x in page.read().decode().splitlines()
                            if x.startswith(f'{name}{{log_dir="{broker.folder}/b"}}'))
            return float(line.split()[-1])
        ballast = topic_in_b(c, broker, "ballast")
        for _ in range(36):
            equal(put(c, "ballast", ballast, os.urandom(300_000))["errorCode"], 0, "ballast")
        part = topic_in_b(c, broker, "low")
        acked, refused = fill(c, "low", part)
        equal(refused["errorCode"], STORAGE_ERROR, f"error after {len(acked)} batches")
        check("nearly full" in (refused["errorMessage"] or ""), f"message {refused}")
        free = free_bytes(broker.seen())
        check(0 < free < mark, f"{free} bytes are free, the mark is {mark}")
        equal(put(c, "low", 1 - part, b"still")["errorCode"], 0, "the other log dir")
        equal(values(c, "low", part), acked, "what was acked is read")
        equal(log_dirs(c), {"a": 0, "b": 0}, "DescribeLogDirs")
        level = metric("sluice_log_dir_space")  # a fast disk goes from low to full between two looks
        check(level in (2, 3) and metric("sluice_log_dir_mark_bytes") == mark, f"level {level}")
        check(f"{broker.folder}/b: " in broker.said() and f"mark {mark}" in broker.said(),
              f"the log does not say it: {broker.said()[-600:]}")
        # A real client retries, and a deletion is what it waits for.
        kcat = subprocess.Popen(["kcat", "-b", f"127.0.0.1:{broker.port}", "-m", "60", "-t", "low", "-p",
                                 str(part), "-P", "-X", "message.timeout.ms=250000"],
                                stdin=subprocess.PIPE)
        kcat.stdin.write(b"patience\n")
        kcat.stdin.close()
        time.sleep(1)
        check(kcat.poll() is None, "kcat gave up")
        equal(c.request("DeleteTopics", 5, {"topicNames": ["ballast"], "timeoutMs": 10000})[
            "responses"][0]["errorCode"], 0, "DeleteTopics")
        equal(kcat.wait(300), 0, "kcat's exit status")
        equal(values(c, "low", part), [*acked, b"patience"], "afterwards")
        check(metric("sluice_log_dir_space") < 2, "the metric after it")
        equal(broker.stop(), 0, "exit status")


@needs("sluice")
def test_disk_filled_by_others(context):
    """Another program takes the last byte: acked records are there after kill -9 and a start."""
    with mounted("48m", sluice__disk__free__bytes="16777216",
                 sluice__disk__reserve__bytes="4194304", sluice__journal__bytes="1048576") as broker:
        with broker.connect() as c:
            part = topic_in_b(c, broker, "taken")
            acked = [b"%d" % n for n in range(50)]
            for value in acked:
                equal(put(c, "taken", part, value)["errorCode"], 0, "before")
            reserve = broker.seen() / "sluice-reserve"
            equal(reserve.stat().st_size, 4194304, "the reserve")
            with (broker.seen() / "foreign").open("wb", buffering=0) as f:
                with contextlib.suppress(OSError):
                    while True:
                        f.write(bytes(65536))
            until(lambda: not reserve.exists(), what="the reserve to be given up")
            equal(put(c, "taken", part, b"no")["errorCode"], STORAGE_ERROR, "on a full disk")
            equal(values(c, "taken", part), acked, "reads go on")
        broker.process.kill()
        broker.process.wait()
        broker.start()
        with broker.connect() as c:
            client.wait_topic(c, "taken", 2)
            equal(values(c, "taken", part), acked, "acked records after kill -9 on a full disk")
            equal(put(c, "taken", part, b"no")["errorCode"], STORAGE_ERROR, "still full")
            (broker.seen() / "foreign").unlink()
            until(lambda: put(c, "taken", part, b"again")["errorCode"] == 0, what="room")
            until(reserve_back(broker), what="the reserve to come back")
        equal(broker.stop(), 0, "exit status")


@needs("sluice")
def test_disk_read_only(context):
    """A start on a log dir that is mounted read-only (the kernel refuses to remount it under open
    files): that one is offline, with a line, the other goes on, and nothing of it is lost."""
    with mounted("40m") as broker:
        with broker.connect() as c:
            bad = topic_in_b(c, broker, "ro")
            acked = [os.urandom(200_000) for _ in range(5)]
            for value in acked:
                equal(put(c, "ro", bad, value)["errorCode"], 0, "before")
        equal(broker.stop(), 0, "exit status")
        remount(broker, "ro")
        broker.start()
        check(f"{broker.folder}/b" in broker.said() and "it is offline" in broker.said(),
              f"the log does not say it: {broker.said()[-600:]}")
        with broker.connect() as c:
            until(lambda: put(c, "ro", 1 - bad, b"still")["errorCode"] == 0, 20,
                  what="the other log dir")
            equal(log_dirs(c), {"a": 0, "b": STORAGE_ERROR}, "DescribeLogDirs")
            check(put(c, "ro", bad, b"no")["errorCode"] in (STORAGE_ERROR, 6), "an ack of b")
            equal(values(c, "ro", 1 - bad), [b"still"], "its records")
        broker.stop()
        remount(broker, "rw")
        broker.start()
        with broker.connect() as c:
            client.wait_topic(c, "ro", 2)
            equal(values(c, "ro", bad), acked, "acked records")
            equal(put(c, "ro", bad, b"again")["errorCode"], 0, "writable again")
        equal(broker.stop(), 0, "exit status")


def remount(broker, how):
    subprocess.run(["nsenter", "-m", "-t", str(broker.holder.pid), "mount", "-o",
                    f"remount,{how}", str(broker.folder / "b")], check=True)


def reserve_back(broker):
    return lambda: (broker.seen() / "sluice-reserve").exists()


@needs("sluice")
def test_disk_vanishes(context):
    """A log dir that is not the metadata's goes away: noticed when a file is to be made in it."""
    folder = Path(tempfile.mkdtemp(prefix="compat-vanish-"))
    try:
        broker = context.fresh(overrides={
            "log.dirs": f"{folder}/a,{folder}/b", "metadata.log.dir": f"{folder}/a",
            "log.segment.bytes": "1048576"})
        with broker.connect() as c:
            client.create_topic(c, "gone", 2)
            where = dirs_of(c, folder, "gone")
            good, bad = sorted(where, key=where.get)
            equal(put(c, "gone", bad, b"before")["errorCode"], 0, "before")
            shutil.rmtree(folder / "b")
            errors = [put(c, "gone", bad, os.urandom(300_000))["errorCode"] for _ in range(12)]
            check(errors[-1] in (STORAGE_ERROR, 6), f"it goes on as if nothing had been: {errors}")
            check(STORAGE_ERROR in errors, f"no storage error: {errors}")
            equal(put(c, "gone", good, b"still")["errorCode"], 0, "the other log dir")
            equal(values(c, "gone", good), [b"still"], "the other log dir's records")
        check(broker.running(), "the broker goes on without it")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Forbidden:
    """While it lasts nobody writes to the path: by its mode, or for root, whom modes do not stop, by a mark
    that not every file system has."""

    def __init__(self, path):
        self.path, self.root = path, os.geteuid() == 0

    def __enter__(self):
        if self.root:
            done = subprocess.run(["chattr", "+i", str(self.path)], capture_output=True, check=False)
            if done.returncode != 0:
                skip(f"root, and no chattr +i here: {done.stderr.decode().strip()}")
        else:
            self.path.chmod(0o500 if self.path.is_dir() else 0o400)
        return self

    def __exit__(self, *_):
        if self.root:
            subprocess.run(["chattr", "-i", str(self.path)], check=True)
        else:
            self.path.chmod(0o700 if self.path.is_dir() else 0o600)


def loses_permission(context, what):
    """`what` of a partition in log dir b is forbidden while the broker runs: b goes offline, a goes on."""
    folder = Path(tempfile.mkdtemp(prefix="compat-permission-"))
    try:
        broker = context.fresh(overrides={
            "log.dirs": f"{folder}/a,{folder}/b", "metadata.log.dir": f"{folder}/a",
            "log.segment.bytes": "1048576"})
        with broker.connect() as c:
            client.create_topic(c, "mine", 2)
            where = dirs_of(c, folder, "mine")
            good, bad = sorted(where, key=where.get)
            acked = [os.urandom(100_000) for _ in range(3)]
            for value in acked:
                equal(put(c, "mine", bad, value)["errorCode"], 0, "before")
            partition = folder / "b" / f"mine-{bad}"
            with Forbidden(partition / what if what else partition):
                error = 0
                for _ in range(40):
                    value = os.urandom(100_000)
                    error = put(c, "mine", bad, value)["errorCode"]
                    if error:
                        break
                    acked.append(value)
                equal(error, STORAGE_ERROR, f"error after {len(acked)} batches")
                equal(put(c, "mine", good, b"still")["errorCode"], 0, "the other log dir")
                equal(values(c, "mine", good), [b"still"], "its records")
                equal(log_dirs(c), {"a": 0, "b": STORAGE_ERROR}, "DescribeLogDirs")
                log = broker.log_text()
                check(f"{folder}/b" in log and f"mine-{bad}" in log and "permi" in log.lower(),
                      f"the log does not say it: {log[-600:]}")
        broker.stop()
        broker.start()
        with broker.connect() as c:
            client.wait_topic(c, "mine", 2)
            kept = values(c, "mine", bad)
            equal(kept[:len(acked)] == acked, True, "acked records")
            equal(put(c, "mine", bad, b"again")["errorCode"], 0, "allowed again")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@needs("sluice")
def test_disk_permission_lost_on_a_directory(context):
    """The next segment cannot be made."""
    loses_permission(context, "")


@needs("sluice")
def test_disk_permission_lost_on_a_segment(context):
    """The active one, under the writer. (A mode does not stop who has it open.)"""
    if os.geteuid() != 0:
        skip("a file that is open stays writable for an ordinary user")
    loses_permission(context, "00000000000000000000.log")


def ends_by_itself(broker, seconds=120):
    deadline = time.monotonic() + seconds
    while broker.running() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not broker.running()


@needs("sluice")
def test_metadata_dir_vanishes(context):
    """Without the metadata's dir the broker stops and says so; alone, or when it holds logs as well."""
    for apart in (False, True):
        folder = Path(tempfile.mkdtemp(prefix="compat-vanish-"))
        try:
            overrides = {"log.dirs": f"{folder}/a", "log.flush.offset.checkpoint.interval.ms": "300"}
            if apart:
                overrides["metadata.log.dir"] = f"{folder}/meta"
            broker = context.fresh(overrides=overrides)
            with broker.connect() as c:
                client.create_topic(c, "gone", 1)
                equal(put(c, "gone", 0, b"before")["errorCode"], 0, "before")
                gone = folder / ("meta" if apart else "a")
                shutil.rmtree(gone)
                check(ends_by_itself(broker), f"it goes on without {gone.name}")
            log = broker.log_text()
            check(f"{gone} is offline" in log and "the log dir of the metadata" in log,
                  f"the log does not say why: {log[-600:]}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@needs("sluice")
def test_listener_ipv6(context):
    """A listener on [::1], with a real client."""
    port = brokers.free_ports()[0]
    broker = context.fresh(overrides={"listeners": f"PLAINTEXT://[::1]:{port}"})
    text = b"over IPv6\n" * 1000
    done = subprocess.run(["kcat", "-b", f"[::1]:{port}", "-m", "60", "-t", "six", "-P"], input=text,
                          capture_output=True, timeout=300, check=False)
    equal(done.returncode, 0, f"kcat -P: {done.stderr[-300:]}")
    done = subprocess.run(["kcat", "-b", f"[::1]:{port}", "-m", "60", "-t", "six", "-C", "-e", "-q"],
                          capture_output=True, timeout=300, check=False)
    equal(done.stdout == text, True, "what came back")
    check(broker.running(), "running")


@needs("sluice")
def test_four_shards(context):
    """sluice.shards=4, a client for each, partitions of all: everybody sees everything."""
    broker = context.fresh(overrides={"sluice.shards": "4", "sluice.memory": "512m"})
    clients = [broker.connect() for _ in range(12)]
    client.create_topic(clients[0], "four", 8)
    sent = {p: [] for p in range(8)}
    for number in range(240):
        p = number % 8
        value = b"%d" % number
        part = put(clients[number % 12], "four", p, value)
        equal((part["errorCode"], part["baseOffset"]), (0, len(sent[p])), f"record {number}")
        sent[p].append(value)
    for c in clients:
        for p in range(8):
            equal(values(c, "four", p), sent[p], f"partition {p}")
        c.close()
    equal(broker.stop(), 0, "exit status")
    broker.start()
    with broker.connect() as c:
        client.wait_topic(c, "four", 8)
        equal({p: values(c, "four", p) for p in range(8)}, sent, "after a restart")

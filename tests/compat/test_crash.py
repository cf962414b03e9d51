"""kill -9 under load: what was acknowledged is there afterwards, exactly once, in its place.

Two idempotent producers of different make (confluent-kafka, franz-go; acks=all) write numbered
records to three partitions each while the broker is killed and started again, several times. Every
delivery report names an offset: at the end the record of every report must be found there, no
record may be there twice, and the offsets must be dense. Beside them runs sluice-bench on a topic
of its own until each kill ends it: the log must hold at least what it counted as acknowledged, and
what it reads in the end must be whole. A second test does the same with a raw client that waits for
every answer, over partitions of several segments.
"""
import collections
import json
import random
import subprocess
import threading
import time

import client
import kafka_dist
import programs
import records
from context import SEED
from runner import Skip, check, equal, needs, skip, until
from test_bench import BENCH, bench, end_offsets
from test_confluent import producer

NEEDS = frozenset({"once"})
PARTITIONS = 3


class Load:
    """Produces numbered records in a thread until told to stop.

    `acked` is [(partition, offset, value)] in the order of the delivery reports.
    """

    def __init__(self, broker, topic):
        self.topic, self.acked, self.failed, self.sent = topic, [], [], 0
        self.out = producer(broker, linger_ms=2, enable_idempotence=True, compression_type="lz4",
                            socket_timeout_ms=30000, reconnect_backoff_max_ms=300,
                            message_timeout_ms=300000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _delivered(self, error, message):
        if error is None:
            self.acked.append((message.partition(), message.offset(), message.value()))
        else:
            self.failed.append(str(error))

    def _run(self):
        while not self._stop.is_set():
            try:
                self.out.produce(self.topic, b"record %d" % self.sent, on_delivery=self._delivered,
                                 partition=self.sent % PARTITIONS)
                self.sent += 1
            except BufferError:
                self.out.poll(0.05)
            self.out.poll(0)
            if self.sent % 50 == 0:
                time.sleep(0.002)

    def abandon(self):
        self._stop.set()
        self._thread.join(90)
        self.out.purge()

    def finish(self, broker):
        self._stop.set()
        self._thread.join(90)
        left = self.out.flush(110)
        if left:
            raise AssertionError(f"{left} messages left 110 s after the last restart; the broker "
                                 f"says {seen_from_outside(broker, self.topic)}")


class Program:
    """The same by a program of clients/, which says on stdout what became of each record."""

    def __init__(self, command, topic):
        self.topic, self.acked, self.failed, self.sent = topic, [], [], None
        self._process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, encoding="utf-8")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "ack":
                partition, offset, number = map(int, rest.split())
                self.acked.append((partition, offset, b"record %d" % number))
            elif word == "sent":
                self.sent = int(rest)
            else:
                self.failed.append(line.strip())

    def abandon(self):
        self._process.kill()
        self._process.wait()

    def finish(self, broker):
        self._process.stdin.close()
        self._thread.join(200)
        if self._process.poll() is None and self._thread.is_alive():
            self.abandon()
            raise AssertionError(f"{self.topic}: no end; the broker says {seen_from_outside(broker, self.topic)}")
        equal((self._process.wait(60), self.failed[:3]), (0, []), f"exit status and failures of {self.topic}")


class Bench:
    """sluice-bench, idempotent: each kill ends a run of it, whose report counts what was acknowledged."""

    topic, partitions = "bench", 4

    def __init__(self, broker):
        if not BENCH.exists():
            skip("sluice-bench is not built")
        self.acked, self.reports, self._process = 0, 0, None
        with broker.connect() as raw:
            client.create_topic(raw, self.topic, self.partitions)

    def begin(self, broker):
        self._before = self.stored(broker)
        self._process = subprocess.Popen(
            [BENCH, "produce", "--port", str(broker.port), "--topic", self.topic, "--partitions", str(self.partitions),
             "--idempotent", "1", "--acks", "-1", "--records", "10", "--rate", "400", "--warmup", "0",
             "--seconds", "3600", "--json", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")

    def stored(self, broker):
        return sum(max(end, 0) for end in end_offsets(broker, self.topic, self.partitions))

    def moves(self, broker):
        """True when records of this run are in the log."""
        check(self._process.poll() is None, f"sluice-bench ended with {self._process.returncode}")
        return self.stored(broker) > self._before

    def killed(self):
        """The broker is dead: what the run says of itself."""
        out, err = self._process.communicate(timeout=120)
        check(self._process.returncode == 1 and "a connection broke" in err,
              f"sluice-bench ended with {self._process.returncode}: {err} {out}")
        report = json.loads(out)
        equal((report["errors"], "partial" in report), (0, True), "errors and partial of sluice-bench")
        self.acked += report["records"]
        self.reports += report["records"] > 0

    def abandon(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def held(self, broker, killed):
        stored = self.stored(broker)
        check(stored >= self.acked, f"sluice-bench counted {self.acked} acked records, {stored} are in the log "
                                    f"after {killed} kills")

    def verify(self, broker, rounds):
        """Every record is read once by sluice-bench: offsets, checksums, each value's own hash."""
        self.held(broker, rounds)
        check(self.reports >= (rounds + 1) // 2, f"{self.reports} of {rounds} runs of sluice-bench had an ack")
        stored, seconds = self.stored(broker), 0.5
        while True:
            read = bench("fetch", "--port", broker.port, "--topic", self.topic, "--partitions", self.partitions,
                         "--connections", self.partitions, "--verify", 2, "--follow", 1, "--max-wait-ms", 100,
                         "--warmup", 0, "--seconds", seconds, "--json", 1)
            equal((read["faults"], read["errors"]), (0, 0), "faults and errors in what sluice-bench read")
            if read["records"] == stored:
                return
            check(read["records"] < stored and seconds < 100, f"sluice-bench read {read['records']} of {stored} records")
            seconds *= 3


def seen_from_outside(broker, topic):
    """What a fresh client is told of each partition: (end offset, producers)."""
    out = {}
    with broker.connect() as raw:
        for part in range(PARTITIONS):
            end = raw.request("ListOffsets", 7, {"replicaId": -1, "topics": [{
                "name": topic, "partitions": [{"partitionIndex": part, "timestamp": -1}]}]})
            producers = raw.request("DescribeProducers", 0, {"topics": [{
                "name": topic, "partitionIndexes": [part]}]})
            out[part] = (end["topics"][0]["partitions"][0],
                         producers["topics"][0]["partitions"][0]["activeProducers"])
    return out


def verify(broker, load, killed):
    """Every acked record at its offset; none twice; offsets dense; the producer's order kept."""
    equal(load.failed[:3], [], f"failed deliveries of {load.topic}")
    check(len(load.acked) == load.sent, f"{len(load.acked)} reports for {load.sent} records of {load.topic}")
    for part in range(PARTITIONS):
        values = stored_values(broker, load.topic, part)
        equal(len(set(values)), len(values), f"different records in partition {part}")
        equal(values == sorted(values, key=lambda v: int(v.split()[1])), True, "order")
        acked = {offset: value for p, offset, value in load.acked if p == part}
        lost = [(o, v) for o, v in acked.items() if o >= len(values) or values[o] != v]
        check(not lost, f"{len(lost)} acked records of partition {part} are not in their place "
                        f"after {killed} kills, such as {lost[:3]}")
        equal(len(acked), len(values), "records and reports")


def names_of(broker):
    return {path.name for path in broker.log_dir.iterdir()}


def hidden_after_a_kill(broker):
    """Stock Kafka must not find the directory while records may be in a journal alone."""
    names = names_of(broker)
    check("meta.properties" not in names and "sluice-meta.properties" in names,
          f"files after a kill: {sorted(names)}")


def plain_after_a_stop(context, broker, topic):
    """Nothing of ours is left that Kafka would miss, and its own tool reads a partition's every record."""
    names = names_of(broker)
    check("meta.properties" in names and ".kafka_cleanshutdown" in names and
          not [name for name in names if name.startswith("sluice-journal-")],
          f"files after a clean stop: {sorted(names)}")
    if context.quick:
        return
    dumps_whole(sorted(broker.log_dir.glob(f"{topic}-*/*.log")))


def dumps_whole(files):
    """Kafka's own tool goes through every record; its output is a line for each, so nobody holds it."""
    dump = subprocess.Popen(kafka_dist.java_command("dump-log", ["--deep-iteration", "--files", ",".join(map(str, files))]),
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    watch = threading.Timer(900, dump.kill)
    watch.start()
    lines, wrong, last = 0, [], collections.deque(maxlen=5)
    with dump:
        for line in dump.stdout:
            lines += 1
            last.append(line)
            if "isvalid: false" in line or "invalid bytes" in line:
                wrong.append(line)
    watch.cancel()
    check(dump.returncode == 0 and lines > len(files) and not wrong,
          f"dump-log of {files} ended with {dump.returncode} after {lines} lines: {wrong[:3]} {list(last)}")


def loads_on(context, broker):
    """The producers that verify. franz-go's where there is Go, and not in --quick, which builds nothing."""
    with broker.connect() as raw:
        client.create_topic(raw, "crash", PARTITIONS)
        client.create_topic(raw, "crash-go", PARTITIONS)
    loads = [Load(broker, "crash")]
    if not context.quick:
        try:
            loads.append(Program(programs.franz_go("load", broker.address, "crash-go", PARTITIONS), "crash-go"))
        except Skip as reason:
            print(f"the crash loop goes without franz-go: {reason}", flush=True)
    return loads


def one_round(broker, loads, beside, number, pause_s):
    """Everybody gets on; then the kill."""
    before = [len(load.acked) for load in loads]
    beside.begin(broker)
    for load, count in zip(loads, before):
        until(lambda: len(load.acked) > count + 100 or load.failed, 180, what=f"progress of {load.topic} in round {number}")
    until(lambda: beside.moves(broker), 180, what=f"progress of sluice-bench in round {number}")
    time.sleep(pause_s)
    broker.kill()
    beside.killed()


def crash_loop(context, rounds, overrides):
    rng = random.Random(SEED)
    broker = context.fresh(overrides=overrides)
    beside = Bench(broker)
    loads = loads_on(context, broker)
    try:
        for number in range(rounds):
            one_round(broker, loads, beside, number, rng.uniform(0.05, 0.6))
            if context.kind == "sluice":
                hidden_after_a_kill(broker)
            broker.start()
            beside.held(broker, number + 1)
    except BaseException:
        for load in [*loads, beside]:
            load.abandon()
        raise
    for load in loads:
        load.finish(broker)
    verify_all(broker, loads, beside, rounds)
    equal(broker.stop(), 0, "exit status after SIGTERM")
    if context.kind == "sluice":
        plain_after_a_stop(context, broker, "crash")
    broker.start()
    verify_all(broker, loads, beside, rounds)


def verify_all(broker, loads, beside, rounds):
    for load in loads:
        verify(broker, load, rounds)
    beside.verify(broker, rounds)


def rounds_of(context, full):
    return context.rounds or (2 if context.quick else full)


def test_crash_loop_fsync(context):
    full = 12 if context.kind == "sluice" else 3
    crash_loop(context, rounds_of(context, full), {"sluice.durability": "fsync"})


@needs("sluice")
def test_crash_loop_os(context):
    crash_loop(context, rounds_of(context, 12), {"sluice.durability": "os"})


def raw_load(broker, topic, acked, stop, number):
    """Send one batch at a time with acks=all; note (offset, values) of each answer."""
    rng = random.Random(SEED + number)
    try:
        with broker.connect(60) as raw:
            count = 0
            while not stop.is_set():
                values = [b"%d %d %s" % (number, count, b"x" * rng.randrange(3000))]
                values += [b"more"] * rng.randrange(5)
                answer = raw.request("Produce", 9, client.produce_body(
                    topic, {0: records.batch(values)}))
                part = answer["responses"][0]["partitionResponses"][0]
                if part["errorCode"] == 0:
                    acked.append((part["baseOffset"], values))
                count += 1
    except (client.Closed, client.NoAnswer, OSError):
        pass


def stored_values(broker, topic, partition=0):
    """[value] by offset: the offsets must be dense and the batches' CRCs hold."""
    out, offset = [], 0
    with broker.connect(60) as raw:
        client.wait_topic(raw, topic)
        while True:
            part = raw.request("Fetch", 12, client.fetch_body(
                topic, partition, offset, max_wait=0, max_bytes=1 << 22))["responses"][0][
                    "partitions"][0]
            equal(part["errorCode"], 0, "fetch error")
            batches = records.parse(part["records"])
            if not batches:
                equal(part["highWatermark"], len(out), "high watermark")
                return out
            for b in batches:
                check(b.crc_ok, f"wrong CRC at {b.base_offset}")
                equal(b.base_offset, len(out), "base offset follows")
                out += [r.value for r in b.records]
            offset = len(out)


def segments_loop(context, rounds, overrides):
    """Small segments, several clients, no retries: acked batches stay where they were put."""
    rng = random.Random(SEED)
    broker, acked = context.fresh(overrides=overrides), []
    with broker.connect() as raw:
        client.create_topic(raw, "rolls", 1, {"segment.bytes": "1048576"})
    for number in range(rounds):
        stop, count = threading.Event(), len(acked)
        clients = [threading.Thread(target=raw_load, daemon=True, args=(
            broker, "rolls", acked, stop, number * 10 + n)) for n in range(3)]
        for thread in clients:
            thread.start()
        until(lambda: len(acked) > count + 150, 180, what=f"progress in round {number}")
        time.sleep(rng.uniform(0, 0.4))
        broker.kill()
        stop.set()
        for thread in clients:
            thread.join(90)
        broker.start()
        values = stored_values(broker, "rolls")
        for base, wanted in acked:
            equal(values[base:base + len(wanted)] == wanted, True,
                  f"batch acked at {base}, after kill {number + 1}")


def test_crash_segments_fsync(context):
    full = 6 if context.kind == "sluice" else 2
    segments_loop(context, rounds_of(context, full), {"sluice.durability": "fsync"})


@needs("sluice")
def test_crash_segments_os(context):
    segments_loop(context, rounds_of(context, 6), {"sluice.durability": "os"})

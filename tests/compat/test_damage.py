"""Bits that turn while the broker is down: found, said with file and byte, and nothing else is offline.

A small load, kill -9, one bit in each of several files (of partitions of their own, so that one start is
enough), a start. What was turned is turned back at the end: what was refused must then be whole again.
"""
import random
import re
import struct
import time
from pathlib import Path

import brokers
import client
import records
from context import SEED
from runner import check, equal, needs, until
from test_disk import dirs_of, put

NEEDS = frozenset({"sluice"})
STORAGE_ERROR = 56
RECORDS, RECORD_BYTES = 30, 80_000  # 13 to a segment of 1 MiB: two are full
OFFLINE = (STORAGE_ERROR, 5, 6)  # or no leader, as Metadata says it


class Bits:
    """Bits that were turned, for the message of a failure and to turn them back."""

    def __init__(self):
        self.rng = random.Random(SEED)
        self.turned = {}

    def turn(self, path, low, high, bits=range(8)):
        """One of them in one of the bytes [low, high): the byte."""
        at, bit = self.rng.randrange(low, high), self.rng.choice(bits)
        self.turned[Path(path)] = at, bit
        self._turn(path, at, bit)
        return at

    @staticmethod
    def _turn(path, at, bit):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ (1 << bit)]))

    def back(self, path):
        self._turn(path, *self.turned.pop(Path(path)))

    def __str__(self):
        return ", ".join(f"{p.parent.name}/{p.name} byte {a} bit {b}" for p, (a, b) in self.turned.items())


def batch_places(path):
    """[(position, bytes)] of the batches of a segment file."""
    data, at, out = path.read_bytes(), 0, []
    while at + 12 <= len(data):
        size = struct.unpack_from(">i", data, at + 8)[0] + 12
        if size == 12:
            break  # room that was made ahead
        out.append((at, size))
        at += size
    return out


def turn_in_batch(bits, path, choice):
    """A bit in what the checksum is over, the checksum, or the length, of one of the batches: its position, its number."""
    places = batch_places(path)
    number = bits.rng.choice(choice)
    at, size = places[number]
    low = bits.rng.choice([at + 8, at + 16])
    bits.turn(path, low, low + 4 if low == at + 8 else at + size)
    return at, number


def fetched(c, topic, partition):
    """(error, [(offset, value or None where the checksum is wrong)])"""
    out, offset = [], 0
    while True:
        part = c.request("Fetch", 12, client.fetch_body(topic, partition, offset, max_wait=0,
                                                        max_bytes=1 << 22))["responses"][0]["partitions"][0]
        data = bytes(part["records"] or b"")
        if part["errorCode"] or not data:
            return part["errorCode"], out
        before = offset
        for at, size in split(data):
            one = data[at:at + size]
            base = struct.unpack_from(">q", one)[0]
            whole = records.crc32c(one[21:]) == struct.unpack_from(">I", one, 17)[0]
            values = [r.value for b in records.parse(one) for r in b.records] if whole else [None]
            out += [(base + i, v) for i, v in enumerate(values)]
            offset = base + len(values)
        if offset == before:
            return "no whole batch", out


def split(data):
    at = 0
    while at + 12 <= len(data):
        size = struct.unpack_from(">i", data, at + 8)[0] + 12
        if at + size > len(data):
            return
        yield at, size
        at += size


def whole(c, topic, partition, values):
    error, got = fetched(c, topic, partition)
    equal(error, 0, f"error of {topic}-{partition}")
    check(got == list(enumerate(values)), f"{topic}-{partition} has {len(got)} records, "
          f"{sum(a == b for a, b in zip(got, enumerate(values)))} of {len(values)} as they were")


def load(c, topic, values, partitions=5):
    for number, value in enumerate(values):
        batch = records.batch([value], base_timestamp=records.BASE_TIME + number * 1000)
        answer = c.request("Produce", 9, client.produce_body(topic, {p: batch for p in range(partitions)}))
        for part in answer["responses"][0]["partitionResponses"]:
            equal(part["errorCode"], 0, f"{topic}, record {number}")


def said(broker, *parts):
    """The lines of the last start that have all of these."""
    text = broker.log_text(1 << 20)
    return [line for line in text.splitlines() if all(str(p) in line for p in parts)]


def forget(broker):
    """What is said from now on counts."""
    broker.output.write_text("")


def partition_file(broker, name, file):
    return broker.log_dir / name / file


def newest_segment(broker, name):
    return max((broker.log_dir / name).glob("*.log"))


def damaged_segments(context, durability):
    bits = Bits()
    values = [b"%d " % n + bits.rng.randbytes(RECORD_BYTES) for n in range(RECORDS)]
    # Without the journal: what the damaged files are of is in the files, and nowhere else.
    broker = context.fresh(overrides={"sluice.durability": durability, "sluice.journal.bytes": "0"})
    with broker.connect(60) as c:
        for topic in ("old", "new"):
            client.create_topic(c, topic, 5, {"segment.bytes": "1048576"})
        load(c, "old", values)
    equal(broker.stop(), 0, "exit status")
    broker.start()
    last = b"after the stop"
    with broker.connect(60) as c:
        client.wait_topic(c, "old", 5)
        load(c, "new", values)
        load(c, "old", [last])
        for topic, end in (("new", values[-1]), ("old", last)):
            for p in range(5):
                until(lambda: end in newest_segment(broker, f"{topic}-{p}").read_bytes(), what="the write")
    broker.kill()
    first = "00000000000000000000"
    try:
        turned_segments(bits, broker, durability, values, last, first)
    except AssertionError as error:
        raise AssertionError(f"{error}; turned were {bits}") from None


def turned_segments(bits, broker, durability, values, last, first):
    """`old` was stopped cleanly: what is damaged in its full segments is met when it is used. `new` is scanned."""
    old_log, new_log = (partition_file(broker, f"{t}-0", first + ".log") for t in ("old", "new"))
    active = newest_segment(broker, "new-1")
    metadata = partition_file(broker, "new-3", "partition.metadata")
    head_at, head = batch_places(old_log)[bits.rng.randrange(1, 12)]
    bits.turn(old_log, head_at + 8, head_at + 9)  # its length is now more than the segment has
    payload = partition_file(broker, "old-1", first + ".log")
    _, payload_number = turn_in_payload(bits, payload)
    for name, file in (("old-2", ".index"), ("old-3", ".timeindex")):
        path = partition_file(broker, name, first + file)
        bits.turn(path, 0, path.stat().st_size)
    sealed_at, sealed_number = turn_in_batch(bits, new_log, range(1, 12))
    active_at, active_number = turn_in_batch(bits, active, range(1, len(batch_places(active)) - 1))
    active_number += int(active.stem)
    bits.turn(partition_file(broker, "new-2", "leader-epoch-checkpoint"), 0, 1)
    bits.turn(metadata, 0, metadata.stat().st_size)

    forget(broker)
    broker.start()
    old_values = [*values, last]
    with broker.connect(60) as c:
        # the one that is refused when it is read, with the place
        check(fetched(c, "old", 0)[0] in OFFLINE, f"old-0: {fetched(c, 'old', 0)[0]}")
        line = said(broker, "old-0", f"{first}.log", "offline")
        check(line, f"old-0 is not named: {broker.log_text(1500)}")
        byte = int(re.search(r"byte (\d+)", line[0])[1])
        check(head_at <= byte <= head_at + head, f"turned at {head_at}, said: {line[0]}")
        # what only a checksum shows is the client's to see; nothing else of it is touched
        error, got = fetched(c, "old", 1)
        equal((error, [n for n, v in got if v is None]), (0, [payload_number]), "old-1")
        check([v for n, v in got if v] == [v for n, v in enumerate(old_values) if n != payload_number], "old-1")
        for p in (2, 3, 4):
            whole(c, "old", p, old_values)
        for offset in range(1, 13):  # each by its index entry
            part = c.request("Fetch", 12, client.fetch_body("old", 2, offset, max_wait=0, max_bytes=1))
            part = part["responses"][0]["partitions"][0]
            equal((part["errorCode"], records.parse(part["records"])[0].base_offset), (0, offset), "old-2")
            answer = c.request("ListOffsets", 7, {"replicaId": -1, "topics": [{
                "name": "old", "partitions": [{"partitionIndex": 3, "timestamp": records.BASE_TIME + offset * 1000}]}]})
            equal(answer["topics"][0]["partitions"][0]["errorCode"], 0, "old-3 by time")
        sealed_is_found(c, broker, durability, new_log, sealed_at, values[:sealed_number])
        line = said(broker, "new-1", active.name, str(active_at))
        check(line, f"{active} byte {active_at} is not named: {broker.log_text(2000)}")
        error, got = fetched(c, "new", 1)
        check(error in (0, *OFFLINE) and got == list(enumerate(values[:len(got)])) and len(got) <= active_number,
              f"new-1: error {error}, {len(got)} records, damaged is number {active_number}")
        check(said(broker, partition_file(broker, "new-2", "leader-epoch-checkpoint"), "damaged"), "new-2's epochs")
        check(said(broker, "partition new-3 is offline", metadata), f"new-3: {broker.log_text(2000)}")
        check(fetched(c, "new", 3)[0] in OFFLINE, "new-3 is online")
        for p in (2, 4):
            whole(c, "new", p, values)
        check(not list(broker.log_dir.glob("*-stray")), "something was put aside")
    broker.kill()
    for path in [old_log, metadata] + [new_log] * (durability == "fsync"):
        bits.back(path)
    broker.start()
    with broker.connect(60) as c:
        whole(c, "old", 0, old_values)
        whole(c, "new", 3, values)
        if durability == "fsync":
            whole(c, "new", 0, values)
        for p in (2, 4):
            whole(c, "new", p, values)
            equal(put(c, "new", p, b"more")["errorCode"], 0, f"produce to new-{p}")


def turn_in_payload(bits, path):
    places = batch_places(path)
    number = bits.rng.randrange(1, 12)
    at, size = places[number]
    bits.turn(path, at + records.HEAD, at + size)
    return at, number


def sealed_is_found(c, broker, durability, path, at, before):
    """Acknowledged batches follow: with fsync nothing is cut, with os the log ends there, as in Kafka."""
    line = said(broker, "new-0", path.name, str(at))
    check(line, f"{path} byte {at} is not named: {broker.log_text(2000)}")
    error, got = fetched(c, "new", 0)
    if durability == "fsync":
        check(f"byte {at}" in line[0] and "partition new-0 is offline" in line[0], line[0])
        check(error in OFFLINE, f"new-0: {error}")
    else:
        equal((error, got == list(enumerate(before))), (0, True), f"new-0, {len(got)} of {len(before)}")


def test_damage_in_segments_fsync(context):
    damaged_segments(context, "fsync")


def test_damage_in_segments_os(context):
    damaged_segments(context, "os")


def small_load(c, topic, partitions, number, count):
    """{partition: values}, one at a time; each is acknowledged."""
    out = {p: [] for p in range(partitions)}
    for n in range(count):
        p = n % partitions
        value = b"%s %d %d " % (topic.encode(), number, n) + random.Random(SEED + number * 1000 + n).randbytes(150)
        equal(put(c, topic, p, value)["errorCode"], 0, f"{topic}-{p}")
        out[p].append(value)
    return out


def refused_start(broker, *parts):
    """It does not start, and the last line has all of these."""
    try:
        broker.start()
    except brokers.StartFailed as error:
        check(all(str(p) in str(error) for p in parts), f"refused, but no {parts}: {error}")
        return str(error)
    raise AssertionError(f"it starts: {broker.log_text(2000)}")


def test_damage_in_checkpoints_and_metadata(context):
    """Checkpoints: a line each, and more is scanned. The metadata log: refused, with file and byte."""
    bits = Bits()
    broker = context.fresh(overrides={"log.flush.offset.checkpoint.interval.ms": "300"})
    names = ["recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint"]
    with broker.connect(60) as c:
        client.create_topic(c, "t", 3)
        values = small_load(c, "t", 3, 0, 60)
        answer = c.request("DeleteRecords", 2, {"topics": [{"name": "t", "partitions": [
            {"partitionIndex": 0, "offset": 5}]}], "timeoutMs": 30000})
        equal(answer["topics"][0]["partitions"][0]["errorCode"], 0, "DeleteRecords")
        until(lambda: all("t 0 " in (broker.log_dir / n).read_text() for n in names if (broker.log_dir / n).exists())
              and "t 0 5\n" in (broker.log_dir / names[1]).read_text(), what="the checkpoints")
    broker.kill()
    for name in names:
        bits.turn(broker.log_dir / name, 0, 1)  # the version: no list of numbers that is known here
    forget(broker)
    broker.start()
    for name in names:
        check(said(broker, broker.log_dir / name, "damaged and not used"), f"{name}: {broker.log_text(2000)}")
    with broker.connect(60) as c:
        whole(c, "t", 1, values[1])
        whole(c, "t", 2, values[2])
        start = c.request("ListOffsets", 7, {"replicaId": -1, "topics": [{
            "name": "t", "partitions": [{"partitionIndex": 0, "timestamp": -2}]}]})["topics"][0]["partitions"][0]
        equal((start["errorCode"], start["offset"]), (0, 0), "what was deleted is back, and the rest is there")
        whole(c, "t", 0, values[0])
    broker.kill()
    log = broker.log_dir / "sluice.meta.log"
    for _ in range(4):
        before = log.read_bytes()
        bits.turn(log, 0, len(before) // 2)
        line = refused_start(broker, log, "byte ")
        bits.back(log)
        check(log.read_bytes() == before, f"it was changed: {line}")
    broker.start()
    with broker.connect(60) as c:
        for p in range(3):
            whole(c, "t", p, values[p])
            equal(put(c, "t", p, b"more")["errorCode"], 0, "produce")


class Two:
    """A broker with log dirs a, where the metadata is, and b; a load that is in their journals when it is killed."""

    def __init__(self, context):
        self.broker = context.fresh()
        self.broker.stop()
        a, b = (self.broker.folder / name for name in ("a", "b"))
        self.broker.overrides.update({"log.dirs": f"{a},{b}", "metadata.log.dir": str(a), "sluice.shards": "1"})
        self.journals = {path.name: path / "sluice-journal-0" for path in (a, b)}
        self.broker.start()
        with self.broker.connect(60) as c:
            client.create_topic(c, "j", 4)
            self.where = dirs_of(c, self.broker.folder, "j")
        self.values = {p: [] for p in range(4)}

    def killed_with_a_journal(self):
        """{partition: [values]} of the load that no segment has yet."""
        for attempt in range(20):
            begin = time.monotonic()
            with self.broker.connect(60) as c:
                new = small_load(c, "j", 4, attempt, max(16, 80 >> attempt // 4))  # less, on a slow disk
                there = all(path.exists() for path in self.journals.values())
            for p, values in new.items():
                self.values[p] += values
            if there and time.monotonic() - begin < 1.0 and attempt:
                self.broker.kill()
                if time.monotonic() - begin < 1.5:  # they go to the segments after 2 s
                    return new
                self.broker.start()
        raise AssertionError("never fast enough")

    def whole(self, partitions):
        with self.broker.connect(60) as c:
            for p in partitions:
                whole(c, "j", p, self.values[p])


def test_damage_in_a_journal(context):
    """Its header: the log dir is offline, or the start refused where the metadata is. A frame: that partition's end."""
    bits, two = Bits(), Two(context)
    broker, in_b = two.broker, [p for p, d in two.where.items() if d == "b"]
    in_a = [p for p in range(4) if p not in in_b]
    new = two.killed_with_a_journal()

    bits.turn(two.journals["a"], 0, 64)
    refused_start(broker, two.journals["a"], "byte ")
    bits.back(two.journals["a"])

    bits.turn(two.journals["b"], 0, 64)
    forget(broker)
    broker.start()
    check(said(broker, two.journals["b"], "byte ", f"log dir {broker.folder}/b is offline"), broker.log_text(2000))
    two.whole(in_a)
    with broker.connect(60) as c:
        for p in in_b:
            check(fetched(c, "j", p)[0] in OFFLINE, f"j-{p} is online")
    broker.kill()
    bits.back(two.journals["b"])

    hit = bits.rng.choice(in_b)
    number = bits.rng.randrange(1, len(new[hit]) // 2)
    at = two.journals["b"].read_bytes().index(new[hit][number])
    at = bits.turn(two.journals["b"], at, at + len(new[hit][number]))
    forget(broker)
    broker.start()
    line = said(broker, two.journals["b"], "is damaged", f"of partition {hit} ")
    check(len(line) == 1, f"{bits}: {broker.log_text(2000)}")
    found = re.search(r"byte (\d+) is damaged: (\d+) bytes", line[0])
    check(int(found[1]) <= at < int(found[1]) + int(found[2]), f"{bits}: {line}")
    two.whole([p for p in range(4) if p != hit])
    with broker.connect(60) as c:
        error, got = fetched(c, "j", hit)
        kept = len(two.values[hit]) - len(new[hit]) + number
        equal((error, got), (0, list(enumerate(two.values[hit][:kept]))), f"j-{hit}, {bits}")

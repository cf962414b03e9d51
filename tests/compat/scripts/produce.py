"""Produce without idempotence: versions, acks, every way a batch can be wrong."""
import struct

import client
import records
from records import BASE_TIME as PAST, GZIP, LZ4, NONE, SNAPPY, ZSTD, batch, old_message, record

HOUR = 3_600_000


def send(s, name, version, topic, data, partition=0, acks=-1, topic_id=None, timeout=30000):
    """One batch to one partition."""
    return s.ask(name, "Produce", version, client.produce_body(
        topic, {partition: data}, acks, timeout, topic_id if version >= 13 else None))


def stored(s, topic, name="stored", offset=0, partition=0, version=11):
    """What a fetch of everything gives: offsets, times, attributes, records."""
    s.ask(f"{name} in {topic}", "Fetch", version, client.fetch_body(
        topic, partition, offset, max_wait=0, min_bytes=0, max_bytes=1 << 22))


def produce_versions(s):
    """Good batches, acks, unknown topics and partitions at every version."""
    for v in s.versions("Produce"):
        t = f"pv{v}"
        topic_id = s.create(t, 3)

        def put(name, data, **more):
            send(s, name, v, t, data, topic_id=topic_id, **more)
        put("acks all", batch([b"a", b"b"]))
        put("acks 1", batch([b"c"]), acks=1)
        for acks in (2, -2, 32767):
            put(f"acks {acks}", batch([b"no"]), acks=acks)
        # Not asked: null records. Stock Kafka 4.3.1 never answers them.
        put("no bytes", b"")
        put("timeout 0", batch([b"d"]), timeout=0)
        put("timeout -1", batch([b"e"]), timeout=-1)
        for partition in (3, -1, 2**31 - 1):
            put(f"partition {partition}", batch(), partition=partition)
        send(s, "unknown topic", v, "pv-unknown", batch(), topic_id="f" * 32)
        send(s, "zero topic id", v, "pv-unknown", batch(), topic_id="0" * 32)
        send(s, "unknown topic, acks 1", v, "pv-unknown", batch(), topic_id="e" * 32, acks=1)
        name = {"topicId": topic_id} if v >= 13 else {"name": t}
        other = {"topicId": "d" * 32} if v >= 13 else {"name": "pv-unknown"}

        def several(what, *topics, acks=-1):
            s.ask(what, "Produce", v, {"acks": acks, "timeoutMs": 30000, "topicData": [
                {**n, "partitionData": [{"index": p, "records": d} for p, d in parts]}
                for n, parts in topics]})
        several("three partitions", (name, [(0, batch([b"f"])), (1, batch([b"g"])),
                                            (2, batch([b"h"]))]))
        several("good and bad", (name, [(0, batch([b"i"])), (9, batch()), (1, batch(crc=1))]),
                (other, [(0, batch())]))
        several("nothing")
        several("no partitions", (name, []))
        put("after all", batch([b"z"]))
        # No answer comes to acks=0: the next answer on the connection is the next request's.
        s.connection().send("Produce", v, client.produce_body(
            t, {1: batch([b"silent"])}, 0, topic_id=topic_id if v >= 13 else None))
        s.connection().sent.clear()
        s.ask("after acks 0", "Metadata", 12, {"topics": []})
        s.wait("acks 0 stored", lambda t=t: s.quiet("Fetch", 11, client.fetch_body(
            t, 1, 0, max_wait=0))["responses"][0]["partitions"][0]["highWatermark"] == 2 + 0)
        stored(s, t)
        stored(s, t, partition=1)
    for bad in ("..", "a/b", "", "x" * 250, "grüße"):
        send(s, f"bad name {bad[:9]!r}", 9, bad, batch())
        send(s, f"bad name {bad[:9]!r}", 12, bad, batch())


def produce_acks_zero_errors(s):
    """acks=0 with an error: stock Kafka closes the connection, so that the producer notices."""
    s.create("az")
    for name, topic, data in (("unknown topic", "az-unknown", batch()),
                              ("wrong CRC", "az", batch(crc=1)),
                              ("unknown codec", "az", batch(attributes=6)),
                              ("old magic", "az", old_message())):
        s.connection("zero").send("Produce", 9, client.produce_body(topic, {0: data}, 0))
        s.connection("zero").sent.clear()
        s.ask(f"after {name}", "Metadata", 12, {"topics": []}, which="zero")


def good_batches(s):
    """Unusual batches that must be accepted, and come back as they were."""
    cases = {
        "one": batch([b"x"]), "empty value": batch([b""]), "null value": batch([None]),
        "keys": batch([b"1", b"2"], keys=[b"k", b""]),
        "headers": batch([b"v"], headers=[(b"a", b"1"), (b"a", None), ("ü".encode(), b"")]),
        "many": batch([b"%d" % n for n in range(500)]),
        "large": batch([b"y" * 500_000]), "zero time": batch(base_timestamp=0),
        "no time": batch(base_timestamp=-1, timestamp_step=0),
        "times going back": batch([b"a", b"b", b"c"], timestamp_step=-5, max_timestamp=PAST),
        "base offset set": batch(base_offset=12345), "leader epoch set": batch(epoch=77),
        "record attributes": batch(records=[record(0, b"v", attributes=0x7F)]),
        "base sequence alone": batch(base_sequence=5),
        "epoch alone": batch(producer_epoch=3),
        "unused attribute bits": batch(attributes=0x4000),
        "time type bit": batch(attributes=8, base_timestamp=PAST),
        "high record delta": batch(records=[record(0, b"a"), record(1, b"b", None, 2**40)],
                                   max_timestamp=PAST + 2**40),
    }
    for codec, number in records.CODECS.items():
        cases[f"codec {codec}"] = batch([b"zip zip zip %d" % n for n in range(100)],
                                        codec=number)
        cases[f"codec {codec}, one"] = batch([b"a"], codec=number)
    s.create("good")
    for name, data in cases.items():
        t = f"good-{name.replace(' ', '-').replace(',', '')}"
        s.create(t)
        for v in (3, 7, 9):
            send(s, name, v, t, data)
        stored(s, t)
        s.ask(f"newest time in {t}", "ListOffsets", 7, {"replicaId": -1, "topics": [
            {"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -3}]}]})
    for v in range(3, 13):
        send(s, "zstd by version", v, "good", batch(codec=ZSTD))


def resized(data, by):
    """The batch with its length field wrong by `by`."""
    base, length = struct.unpack_from(">qi", data)
    return struct.pack(">qi", base, length + by) + data[12:]


def bad_batches(s):
    """Batches that must be refused: each error code, and nothing of them in the log."""
    good = batch([b"a", b"b", b"c"])
    three = [record(n, b"v%d" % n) for n in range(3)]
    flipped = bytearray(good)
    flipped[-1] ^= 1
    cases = {
        "wrong crc": batch(crc=0x12345678), "flipped byte": bytes(flipped),
        "magic 3": batch(magic=3), "magic -1": batch(magic=-1),
        "magic 0": old_message(magic=0), "magic 1": old_message(magic=1),
        "magic 1, wrong crc": old_message(crc=5), "two magic 1": old_message() + old_message(),
        "magic 1 gzip": old_message(value=records.compress(GZIP, old_message()), attributes=1),
        "count too high": batch(records=three, count=4),
        "count too low": batch(records=three, count=2),
        "count negative": batch(records=three, count=-1),
        "count a billion": batch(records=three, count=10**9, last_offset_delta=10**9 - 1),
        "count zero": batch(records=[], count=0, last_offset_delta=0),
        "no records, delta -1": batch(records=[]),
        "last delta too high": batch(records=three, last_offset_delta=5),
        "last delta too low": batch(records=three, last_offset_delta=1),
        "last delta negative": batch(records=three, last_offset_delta=-1),
        "count and delta too high": batch(records=three, count=5, last_offset_delta=4),
        "deltas not in order": batch(records=[record(1, b"a"), record(0, b"b")]),
        "delta twice": batch(records=[record(0, b"a"), record(0, b"b")]),
        "delta gap": batch(records=[record(0, b"a"), record(5, b"b")]),
        "delta not from zero": batch(records=[record(3, b"a")]),
        "length too long": resized(good, 1), "length too short": resized(good, -1),
        "length far too long": resized(good, 10**6), "length zero": resized(good, -len(good) + 12),
        "length negative": resized(good, -len(good)),
        "length least": resized(good, 49 - len(good) + 12),
        "length max": resized(good, 2**31 - 1 - len(good) + 12),
        "cut head": good[:30], "cut records": good[:-3], "one byte": b"x", "only length": good[:12],
        "trailing byte": good + b"x", "trailing bytes": good + b"x" * 40,
        "two batches": good + good, "good and bad": good + batch(crc=1),
        "three batches": good * 3,
        "record too long": batch(records=[record(0, b"v", length_error=5)]),
        "record too short": batch(records=[record(0, b"v", length_error=-1)]),
        "record length zero": batch(raw_records=b"\0"),
        "record length negative": batch(raw_records=b"\x01"),
        "records missing": batch(raw_records=b""),
        "key too long": batch(raw_records=bytes([20, 0, 0, 0, 0x7E]) + b"k" * 6),
        "header count negative": batch(raw_records=bytes([14, 0, 0, 0, 1, 2, 65, 1])),
        "header key null": batch(raw_records=bytes([18, 0, 0, 0, 1, 2, 65, 2, 1, 1])),
        "long varint": batch(raw_records=b"\xff" * 12),
        "rubbish": batch(raw_records=bytes(range(40))),
        "codec 5": batch(attributes=5), "codec 6": batch(attributes=6),
        "codec 7": batch(attributes=7),
        "control": batch(attributes=0x20), "transactional": batch(attributes=0x10),
        "transactional with id": batch(attributes=0x10, producer_id=9, producer_epoch=0,
                                       base_sequence=0),
        "id without sequence": batch(producer_id=9, producer_epoch=0),
        "id without epoch": batch(producer_id=9, base_sequence=0),
        "id and sequence negative": batch(producer_id=9, producer_epoch=0, base_sequence=-5),
        "id -2": batch(producer_id=-2, producer_epoch=0, base_sequence=0),
        "max timestamp wrong": batch([b"a", b"b"], max_timestamp=PAST + 99),
        "max timestamp -1": batch([b"a", b"b"], max_timestamp=-1),
        "negative time": batch(base_timestamp=-2, timestamp_step=0),
        "far future": batch(base_timestamp=PAST * 4),
        "delete horizon": batch(attributes=0x40),
    }
    for codec in (GZIP, SNAPPY, LZ4, ZSTD):
        packed = records.compress(codec, b"".join(three))
        for name, payload in (("cut", packed[:-4]), ("rubbish", b"\xaa" * 50), ("empty", b""),
                              ("plain", b"".join(three)), ("and more", packed + b"tail")):
            cases[f"codec {codec} {name}"] = batch(records=three, attributes=codec,
                                                   raw_records=payload)
        cases[f"codec {codec} count too high"] = batch(records=three, codec=codec, count=4,
                                                       last_offset_delta=3)
        cases[f"codec {codec} count too low"] = batch(records=three, codec=codec, count=2,
                                                      last_offset_delta=1)
        cases[f"codec {codec} gap"] = batch(records=[record(0, b"a"), record(5, b"b")],
                                            codec=codec)
    for number, (name, data) in enumerate(cases.items()):
        t = f"bad-{number}"
        s.create(t)
        for v in (3, 9):
            send(s, name, v, t, data)
        send(s, f"{name}, acks 1", 7, t, data, acks=1)
        send(s, f"good after {name}", 9, t, good)
        stored(s, t, f"after {name}")


def by_topic_config(s):
    """What a topic's own configs change: times, sizes, compression, compaction, replicas."""
    s.create("tc-append", message__timestamp__type="LogAppendTime")
    for codec in (NONE, GZIP, LZ4):
        send(s, f"append time codec {codec}", 9, "tc-append", batch([b"a", b"b"], codec=codec))
    stored(s, "tc-append")
    s.create("tc-small", max__message__bytes="1000")
    for size in (100, 900, 920, 930, 931, 932, 940, 1000, 5000):
        send(s, f"{size} bytes in 1000", 9, "tc-small", batch([b"x" * size]))
    send(s, "two that fit alone", 9, "tc-small", batch([b"x" * 600]) * 2)
    send(s, "compressed", 9, "tc-small", batch([b"x" * 5000], codec=GZIP))
    stored(s, "tc-small")
    s.create("tc-compact", cleanup__policy="compact")
    send(s, "no key", 9, "tc-compact", batch([b"a", b"b", b"c"], keys=[b"k", None, None]))
    send(s, "keys", 9, "tc-compact", batch([b"a", None], keys=[b"k", b"l"]))
    send(s, "no key, gzip", 9, "tc-compact", batch([b"a"], codec=GZIP))
    send(s, "no key, v3", 3, "tc-compact", batch([b"a"]))
    stored(s, "tc-compact")
    s.create("tc-isr", min__insync__replicas="2")
    for acks in (-1, 1):
        send(s, f"two in-sync replicas wanted, acks {acks}", 9, "tc-isr", batch(), acks=acks)
    s.create("tc-times", message__timestamp__before__max__ms=str(HOUR),
             message__timestamp__after__max__ms=str(HOUR))
    send(s, "too old", 9, "tc-times", batch([b"a", b"b"]))
    send(s, "too old, v3", 3, "tc-times", batch([b"a", b"b"]))
    for codec in ("gzip", "uncompressed", "producer", "lz4", "snappy", "zstd"):
        t = f"tc-{codec}"
        s.create(t, compression__type=codec)
        for number in records.CODECS.values():
            send(s, f"codec {number} to {codec}", 9, t, batch([b"a" * 50] * 5, codec=number))
        stored(s, t)


def produce_large_request(s):
    """Requests of some megabytes: the broker's and the topic's limits."""
    s.create("big", 2)
    for size in (1_000_000, 1_048_500, 1_048_519, 1_048_520, 1_048_588, 1_100_000, 5_000_000):
        send(s, f"{size} bytes", 9, "big", batch([b"z" * size]))
    s.create("bigger", max__message__bytes="10000000")
    send(s, "eight megabytes", 9, "bigger", batch([b"z" * 8_000_000]))
    s.ask("end", "ListOffsets", 7, {"replicaId": -1, "topics": [
        {"name": "big", "partitions": [{"partitionIndex": 0, "timestamp": -1}]},
        {"name": "bigger", "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})


SCRIPTS = [produce_versions, produce_acks_zero_errors, good_batches, bad_batches, by_topic_config,
           produce_large_request]

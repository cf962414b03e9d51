"""kcat, the Debian package: a text goes in and comes out byte for byte."""
import hashlib
import json
import shutil
import subprocess

import client
import records
from runner import check, equal, needs, skip


def kcat(broker, *args, data=None, timeout=300):
    if shutil.which("kcat") is None:
        skip("kcat is not installed")
    done = subprocess.run(["kcat", "-b", broker.address, "-m", "60", *args], input=data, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(done.returncode == 0, f"kcat {' '.join(args)} ended with {done.returncode}: "
                                f"{done.stderr.decode(errors='replace')[-1500:]}")
    return done.stdout


def produce(broker, topic, text, *more, partition=0):
    kcat(broker, "-P", "-t", topic, "-p", str(partition), "-X", "acks=all", *more, data=text)


def consume(broker, topic, *more, partition=0, offset="beginning"):
    return kcat(broker, "-C", "-t", topic, "-p", str(partition), "-o", offset, "-e", "-q", *more)


def same_text(got, wanted, when):
    check(got == wanted, f"{when}: {len(got)} bytes {hashlib.sha256(got).hexdigest()[:12]} came "
                         f"out, {len(wanted)} bytes {hashlib.sha256(wanted).hexdigest()[:12]} "
                         f"went in")


def batches_on_disk(broker, topic):
    """Every batch of the first partition, as fetches return them."""
    with broker.connect() as raw:
        found, offset = [], 0
        while True:
            answer = raw.request("Fetch", 12, client.fetch_body(topic, offset=offset,
                                                                max_wait=0))
            part = answer["responses"][0]["partitions"][0]
            batches = records.parse(part["records"])
            if not batches:
                return found
            found += batches
            check(all(b.crc_ok for b in batches), "a batch with a wrong CRC came back")
            offset = batches[-1].base_offset + batches[-1].last_offset_delta + 1


def stored_with(broker, topic, codec):
    """Fails if batches are of another codec, or none is of this one. Clients leave a batch that would not get smaller."""
    number, found = records.CODECS[codec], {b.attributes & 7 for b in batches_on_disk(broker, topic)}
    check(number in found and found <= {number, records.NONE}, f"{topic}: codecs {found} in the log, wanted {number}")


def test_kcat_lists_metadata(context):
    topic = context.name("kcat-meta")
    with context.broker.connect() as raw:
        client.create_topic(raw, topic, 3)
    listing = json.loads(kcat(context.broker, "-L", "-J"))
    equal(len(listing["brokers"]), 1, "brokers")
    equal(listing["brokers"][0]["name"], context.broker.address, "the broker's name")
    entry = [t for t in listing["topics"] if t["topic"] == topic]
    equal(len(entry), 1, "entries of the topic")
    equal(sorted(p["partition"] for p in entry[0]["partitions"]), [0, 1, 2], "partitions")
    node = listing["brokers"][0]["id"]
    for part in entry[0]["partitions"]:
        equal((part["leader"], part["replicas"], part["isrs"]),
              (node, [{"id": node}], [{"id": node}]), "leader, replicas, in-sync replicas")


def test_kcat_creates_topic_by_producing(context):
    topic = context.name("kcat-auto")
    produce(context.broker, topic, b"one\ntwo\n")
    same_text(consume(context.broker, topic), b"one\ntwo\n", "auto-created topic")


def test_kcat_every_compression(context):
    text = context.text(600_000)
    for codec in records.CODECS:
        topic = context.name(f"kcat-{codec}")
        with context.broker.connect() as raw:
            client.create_topic(raw, topic)
        produce(context.broker, topic, text, "-z", codec, "-X", "linger.ms=20")
        same_text(consume(context.broker, topic), text, codec)
        stored_with(context.broker, topic, codec)


def test_kcat_idempotent_producer(context):
    topic, text = context.name("kcat-idem"), context.text(600_000)
    with context.broker.connect() as raw:
        client.create_topic(raw, topic)
    produce(context.broker, topic, text, "-X", "enable.idempotence=true")
    same_text(consume(context.broker, topic), text, "idempotent")
    check(all(b.producer_id >= 0 for b in batches_on_disk(context.broker, topic)), "a batch without a producer's id")


def test_kcat_keys_headers_and_nulls(context):
    topic = context.name("kcat-keys")
    with context.broker.connect() as raw:
        client.create_topic(raw, topic)
    produce(context.broker, topic, b"k1:v1\nk2:\n:v3\n", "-K", ":", "-Z", "-H", "name=value")
    got = consume(context.broker, topic, "-f", "%o|%k|%K|%S|%s|%h\n")
    same_text(got, b"0|k1|2|2|v1|name=value\n1|k2|2|-1||name=value\n2||-1|2|v3|name=value\n",
              "keys and headers")


def test_kcat_partitions_and_offsets(context):
    topic, lines = context.name("kcat-parts"), context.text(300_000).splitlines(keepends=True)
    with context.broker.connect() as raw:
        client.create_topic(raw, topic, 4)
    for part in range(4):
        produce(context.broker, topic, b"".join(lines[part::4]), partition=part)
    for part in range(4):
        same_text(consume(context.broker, topic, partition=part), b"".join(lines[part::4]),
                  f"partition {part}")
    count = len(lines[1::4])
    got = kcat(context.broker, "-Q", "-t", f"{topic}:1:-1").decode()
    equal(got.split()[-1], str(count), "end offset by -Q")
    same_text(consume(context.broker, topic, partition=1, offset=str(count - 2)),
              b"".join(lines[1::4][-2:]), "from an offset")
    same_text(consume(context.broker, topic, partition=1, offset="-1"), lines[1::4][-1],
              "the last one")


def test_kcat_text_survives_restart_and_kill(context):
    broker, text = context.fresh(), context.text()
    half = text.index(b"\n", len(text) // 2) + 1
    with broker.connect() as raw:
        client.create_topic(raw, "text")
    produce(broker, "text", text[:half])
    same_text(consume(broker, "text"), text[:half], "before the restart")
    equal(broker.stop(), 0, "exit status after SIGTERM")
    broker.start()
    same_text(consume(broker, "text"), text[:half], "after the restart")
    produce(broker, "text", text[half:], "-z", "lz4")
    broker.kill()
    broker.start()
    same_text(consume(broker, "text"), text, "after kill -9")
    broker.kill()
    broker.start()
    same_text(consume(broker, "text"), text, "after a second kill -9")
    produce(broker, "text", b"one more\n")
    same_text(consume(broker, "text"), text + b"one more\n", "appended after kill -9")


@needs("slow")
def test_kcat_two_at_once(context):
    """A consumer that was there first sees all that several producers send meanwhile."""
    topic, text = context.name("kcat-both"), context.text(1_000_000)
    lines = text.splitlines(keepends=True)
    with context.broker.connect() as raw:
        client.create_topic(raw, topic)
    if shutil.which("kcat") is None:
        skip("kcat is not installed")
    reader = subprocess.Popen(["kcat", "-b", context.broker.address, "-m", "60", "-C", "-t", topic, "-p", "0",
                               "-o", "beginning", "-q", "-u", "-c", str(len(lines))],
                              stdout=subprocess.PIPE)
    try:
        writers = [subprocess.Popen(["kcat", "-b", context.broker.address, "-P", "-t", topic, "-p",
                                     "0", "-X", "acks=all"], stdin=subprocess.PIPE)
                   for _ in range(3)]
        for number, writer in enumerate(writers):
            writer.stdin.write(b"".join(lines[number::3]))
            writer.stdin.close()
        equal([w.wait(300) for w in writers], [0, 0, 0], "producers' exit status")
        got = reader.communicate(timeout=300)[0]
    finally:
        reader.kill()
    equal(sorted(got.splitlines(keepends=True)) == sorted(lines), True, "the same lines")
    for number in range(3):
        mine = set(lines[number::3])
        same_text(b"".join(x for x in got.splitlines(keepends=True) if x in mine),
                  b"".join(lines[number::3]), f"order of producer {number}")

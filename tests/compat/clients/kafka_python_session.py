"""A session with kafka-python, written so that 2.0.2 and the newest release both run it.

    python kafka_python_session.py <address> <prefix of topic names> <file with a text>

Prints one line per step: `ok <step>` or `FAIL <step>: <reason>`; exit status 1 if one failed.
"""
import sys
import time
import traceback

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, \
    NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

OLD = kafka.__version__.startswith("2.0.")
ADDRESS, PREFIX, TEXT_FILE = sys.argv[1:4]
with open(TEXT_FILE, "rb") as text_file:
    TEXT = text_file.read()
BASE_TIME = int(time.time() - 3 * 86400) * 1000  # within the default retention
WAIT = 90  # seconds
LINES = TEXT.splitlines(keepends=True)
# 2.0.2 gives a broker two seconds to say what it is.
PLACE = {"bootstrap_servers": ADDRESS, **({"api_version_auto_timeout_ms": 60000} if OLD else {})}


def topic(name):
    return f"{PREFIX}-{name}"


def admin():
    return KafkaAdminClient(**PLACE)


def producer(**options):
    return KafkaProducer(**PLACE, **{"acks": "all", **options})


def create(name, partitions=1, **more):
    client = admin()
    client.create_topics([NewTopic(topic(name), partitions, 1, **more)])
    client.close()
    return topic(name)


def read_all(name, partition=0, start=None, wanted=None):
    """All values (or records) of one partition from its start."""
    place = TopicPartition(name, partition)
    consumer = KafkaConsumer(**PLACE, group_id=None, enable_auto_commit=False,
                             fetch_max_wait_ms=100)
    consumer.assign([place])
    if start is None:
        consumer.seek_to_beginning(place)
    else:
        consumer.seek(place, start)
    end, out = consumer.end_offsets([place])[place], []
    limit = time.monotonic() + WAIT
    while consumer.position(place) < end:
        for batch in consumer.poll(timeout_ms=500).values():
            out += batch
        if time.monotonic() > limit:
            raise AssertionError(f"{len(out)} records read of {end} in {WAIT} s")
    consumer.close()
    return out


def same(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {str(got)[:300]}, wanted {str(wanted)[:300]}")


def step_sync():
    name, out = create("sync"), producer()
    for number in range(50):
        meta = out.send(name, LINES[number]).get(timeout=WAIT)
        same((meta.topic, meta.partition, meta.offset), (name, 0, number), "metadata")
    out.close()
    same(b"".join(r.value for r in read_all(name)), b"".join(LINES[:50]), "values")


def step_async_text():
    name, out, done, failed = create("async"), producer(linger_ms=5), [], []
    for line in LINES:
        out.send(name, line).add_callback(lambda m: done.append(m.offset)) \
            .add_errback(failed.append)
    out.flush(WAIT)
    out.close()
    same(failed, [], "failures")
    same(done, list(range(len(LINES))), "offsets in callbacks")
    same(b"".join(r.value for r in read_all(name)) == TEXT, True, "text byte for byte")


def step_keyed_partitions():
    name, out = create("keyed", 3), producer(linger_ms=5)
    sent = {}
    for number, line in enumerate(LINES[:600]):
        key = b"key-%d" % (number % 17)
        sent.setdefault(key, []).append(line)
        out.send(name, key=key, value=line, headers=[("n", b"%d" % number)])
    out.flush(WAIT)
    out.close()
    got, where = {}, {}
    for part in range(3):
        for record in read_all(name, part):
            got.setdefault(record.key, []).append(record.value)
            where.setdefault(record.key, set()).add(part)
            same(record.headers[0][0], "n", "header name")
    same(got, sent, "values by key")
    same([k for k, v in where.items() if len(v) != 1], [], "keys in several partitions")


def step_compressions():
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        name, out = create(codec), producer(compression_type=codec, linger_ms=50)
        for line in LINES[:2000]:
            out.send(name, line)
        out.flush(WAIT)
        out.close()
        same(b"".join(r.value for r in read_all(name)) == b"".join(LINES[:2000]), True, codec)


def step_acks():
    for acks in (0, 1):
        name, out = create(f"acks{acks}"), producer(acks=acks, **(
            {} if OLD else {"enable_idempotence": False}))
        for line in LINES[:100]:
            out.send(name, line)
        out.flush(WAIT)
        out.close()
        limit = time.monotonic() + WAIT
        while len(read_all(name)) < 100 and time.monotonic() < limit:
            time.sleep(0.1)
        same(b"".join(r.value for r in read_all(name)), b"".join(LINES[:100]), f"acks={acks}")


def step_idempotent():
    if OLD:
        return "2.0.2 has no idempotent producer"
    name, out = create("idempotent"), producer(enable_idempotence=True, linger_ms=5)
    for line in LINES:
        out.send(name, line)
    out.flush(WAIT)
    out.close()
    same(b"".join(r.value for r in read_all(name)) == TEXT, True, "text byte for byte")


def step_offsets_and_times():
    name, out = create("times"), producer()
    for number in range(10):
        out.send(name, b"v%d" % number, timestamp_ms=BASE_TIME + number * 1000)
        out.flush(WAIT)
    out.close()
    place = TopicPartition(name, 0)
    consumer = KafkaConsumer(**PLACE, group_id=None)
    same(consumer.beginning_offsets([place])[place], 0, "beginning")
    same(consumer.end_offsets([place])[place], 10, "end")
    found = consumer.offsets_for_times({place: BASE_TIME + 4500})[place]
    same((found.offset, found.timestamp), (5, BASE_TIME + 5000), "offset for a time")
    same(consumer.offsets_for_times({place: BASE_TIME + 10**7})[place], None, "a later time")
    consumer.close()
    same([r.value for r in read_all(name, start=7)], [b"v7", b"v8", b"v9"], "from an offset")
    same([r.timestamp for r in read_all(name, start=8)],
         [BASE_TIME + 8000, BASE_TIME + 9000], "timestamps")


def step_subscribe_by_pattern():
    """Values of every topic of the pattern, also of one that comes later; resuming by commit."""
    group = f"{PREFIX}-pattern"
    out = producer()
    for name in ("pattern-a", "pattern-b"):
        create(name)
        out.send(topic(name), name.encode()).get(timeout=WAIT)
    options = {**PLACE, "group_id": group, "auto_offset_reset": "earliest",
               "enable_auto_commit": False, "metadata_max_age_ms": 500}
    consumer = KafkaConsumer(**options)
    consumer.subscribe(pattern=f"^{PREFIX}-pattern-.*")

    def poll_until(wanted):
        """What is not committed may come again after a rebalance."""
        got, limit = set(), time.monotonic() + WAIT
        while not got >= wanted and time.monotonic() < limit:
            for batch in consumer.poll(timeout_ms=2000).values():
                got |= {r.value for r in batch}
        same(wanted - got, set(), "values that never came")
    poll_until({b"pattern-a", b"pattern-b"})
    create("pattern-c")
    out.send(topic("pattern-c"), b"pattern-c").get(timeout=WAIT)
    poll_until({b"pattern-c"})
    consumer.commit()
    consumer.close()
    out.send(topic("pattern-a"), b"later").get(timeout=WAIT)
    out.close()
    consumer = KafkaConsumer(**options)
    consumer.subscribe(pattern=f"^{PREFIX}-pattern-.*")
    poll_until({b"later"})
    consumer.close()


def step_timeouts():
    """Iteration ends after consumer_timeout_ms, a poll after its own time, with nothing."""
    name, out = create("timeouts"), producer()
    out.send(name, b"one").get(timeout=WAIT)
    out.close()
    consumer = KafkaConsumer(**PLACE, group_id=None, consumer_timeout_ms=1500)
    place = TopicPartition(name, 0)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    got, limit = [], time.monotonic() + WAIT
    while not got and time.monotonic() < limit:  # the time-out is short: not for the first record
        got += [r.value for batch in consumer.poll(timeout_ms=500).values() for r in batch]
    same(got, [b"one"], "the value")
    same([r.value for r in consumer], [], "values until the time-out")
    same(consumer.poll(timeout_ms=200), {}, "a poll of nothing")
    consumer.close()


def step_metadata():
    name = create("meta", 4)
    consumer = KafkaConsumer(**PLACE, group_id=None)
    same(consumer.partitions_for_topic(name), {0, 1, 2, 3}, "partitions")
    same(name in consumer.topics(), True, "topic listed")
    consumer.close()
    client = admin()
    same(name in client.list_topics(), True, "topic listed by admin")
    described = client.describe_topics([name])
    same(len(described[0]["partitions"]), 4, "partitions described")
    cluster = client.describe_cluster()
    same(len(cluster["brokers"]), 1, "brokers")
    client.close()


def step_admin_topics():
    name, client = create("admin", 1, topic_configs={"retention.ms": "123456"}), admin()
    try:
        client.create_topics([NewTopic(name, 1, 1)])
        raise AssertionError("created twice")
    except TopicAlreadyExistsError:
        pass
    client.create_partitions({name: NewPartitions(3)})
    limit = time.monotonic() + WAIT
    while len(client.describe_topics([name])[0]["partitions"]) != 3:
        same(time.monotonic() < limit, True, "three partitions in time")
        time.sleep(0.1)
    client.delete_topics([name])
    limit = time.monotonic() + WAIT
    while name in client.list_topics():
        same(time.monotonic() < limit, True, "topic deleted in time")
        time.sleep(0.1)
    try:
        client.delete_topics([name])
        raise AssertionError("deleted twice")
    except UnknownTopicOrPartitionError:
        pass
    client.close()


def config_value(client, name, key):
    resource = ConfigResource(ConfigResourceType.TOPIC, name)
    if OLD:
        answer = client.describe_configs([resource])[0].resources[0]
        return {c[0]: c[1] for c in answer[4]}[key]
    return client.describe_configs([resource], config_filter="all")["topic"][name][key]["value"]


def step_admin_configs():
    name, client = create("configs"), admin()
    same(config_value(client, name, "cleanup.policy"), "delete", "default")
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name,
                                         {"retention.ms": "777000"})])
    limit = time.monotonic() + WAIT
    while config_value(client, name, "retention.ms") != "777000":
        same(time.monotonic() < limit, True, "config altered in time")
        time.sleep(0.1)
    client.close()


def main():
    failed = False
    for function in [f for n, f in globals().items() if n.startswith("step_")]:
        name = function.__name__.removeprefix("step_")
        try:
            note = function()
            print(f"ok {name}" + (f" (left out: {note})" if note else ""))
        except Exception as error:
            failed = True
            print(f"FAIL {name}: {type(error).__name__}: {error}")
            print(traceback.format_exc(limit=-3), file=sys.stderr)
    sys.exit(failed)


main()

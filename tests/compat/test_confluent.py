"""confluent-kafka (the newest librdkafka): producing, consuming by assignment, administration."""
import time

import client
import records
from runner import check, equal, until
from test_kcat import batches_on_disk, stored_with

PATIENCE_S = 150  # a bound for what hangs, not a measure
BEGINNING, END = -2, -1  # librdkafka's logical offsets
QUIET = {"log_level": 1}  # what librdkafka says about brokers that a test stops is no news


def producer(broker, **options):
    from confluent_kafka import Producer
    return Producer({"bootstrap.servers": broker.address, "acks": "all", **QUIET,
                     **{k.replace("_", "."): v for k, v in options.items()}})


def send_all(out, topic, values, partition=0, keys=None):
    """Produce and wait; the offsets in the order of the callbacks. Fails on the first error."""
    offsets, failures = [], []

    def delivered(error, message):
        if error is None:
            offsets.append(message.offset())
        else:
            failures.append(str(error))
    for number, value in enumerate(values):
        while True:
            try:
                out.produce(topic, value, partition=partition, on_delivery=delivered,
                            **({"key": keys[number]} if keys else {}))
                break
            except BufferError:
                out.poll(0.1)
        out.poll(0)
    equal(out.flush(PATIENCE_S), 0, "messages left after flush")
    equal(failures[:3], [], "failed deliveries")
    return offsets


def read_all(broker, topic, partition=0, offset=BEGINNING, **options):
    """Messages from `offset` to the end that the broker reported at the beginning."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "unused",
                         "enable.auto.commit": False, "fetch.wait.max.ms": 100,
                         "check.crcs": True, "enable.partition.eof": True, **QUIET, **options})
    place = TopicPartition(topic, partition, offset)
    consumer.assign([place])
    out, limit = [], time.monotonic() + PATIENCE_S
    try:
        while True:
            check(time.monotonic() < limit, f"no end in {PATIENCE_S} s, {len(out)} messages came")
            # consume() waits the whole time for the whole number: keep both small.
            for message in consumer.consume(200, timeout=0.1):
                if message.error() is None:
                    out.append(message)
                elif message.error().name() == "_PARTITION_EOF":
                    return out
                else:
                    raise AssertionError(f"consuming {topic}: {message.error()}")
    finally:
        consumer.close()


def admin(broker):
    from confluent_kafka.admin import AdminClient
    return AdminClient({"bootstrap.servers": broker.address, **QUIET})


def new_topic(context, prefix, partitions=1):
    topic = context.name(prefix)
    with context.broker.connect() as raw:
        client.create_topic(raw, topic, partitions)
    return topic


def test_confluent_text_byte_for_byte(context):
    topic, text = new_topic(context, "ck-text"), context.text()
    lines = text.splitlines(keepends=True)
    offsets = send_all(producer(context.broker, linger_ms=5), topic, lines)
    equal(offsets == list(range(len(lines))), True, "offsets dense and in order")
    got = read_all(context.broker, topic)
    equal(b"".join(m.value() for m in got) == text, True, "text byte for byte")


def test_confluent_one_by_one(context):
    topic, out = new_topic(context, "ck-sync"), producer(context.broker, linger_ms=0)
    for number in range(100):
        equal(send_all(out, topic, [b"m%d" % number]), [number], "offset")
    equal([m.value() for m in read_all(context.broker, topic)],
          [b"m%d" % n for n in range(100)], "values")


def test_confluent_every_compression(context):
    lines = context.text(400_000).splitlines(keepends=True)
    for codec in records.CODECS:
        topic = new_topic(context, f"ck-{codec}")
        send_all(producer(context.broker, linger_ms=20, compression_type=codec), topic, lines)
        equal(b"".join(m.value() for m in read_all(context.broker, topic)) == b"".join(lines),
              True, f"{codec} byte for byte")
        stored_with(context.broker, topic, codec)


def test_confluent_idempotent(context):
    topic, lines = new_topic(context, "ck-idem"), context.text(1_000_000).splitlines(True)
    out = producer(context.broker, linger_ms=1, enable_idempotence=True)
    equal(send_all(out, topic, lines) == list(range(len(lines))), True, "offsets dense")
    equal([m.value() for m in read_all(context.broker, topic)] == lines, True, "values")
    check(all(b.producer_id >= 0 for b in batches_on_disk(context.broker, topic)), "a batch without a producer's id")


def test_confluent_keys_choose_partitions(context):
    topic = new_topic(context, "ck-keys", 4)
    keys = [b"key-%d" % (n % 23) for n in range(500)]
    send_all(producer(context.broker, linger_ms=5, partitioner="murmur2_random"), topic,
             [b"%d" % n for n in range(500)], partition=-1, keys=keys)
    where, got = {}, {}
    for part in range(4):
        for message in read_all(context.broker, topic, part):
            where.setdefault(message.key(), set()).add(part)
            got.setdefault(message.key(), []).append(int(message.value()))
    equal(sum(map(len, got.values())), 500, "messages")
    equal([k for k, v in where.items() if len(v) > 1], [], "keys in two partitions")
    equal([k for k, v in got.items() if v != sorted(v)], [], "keys out of order")


def test_confluent_acks(context):
    for acks in ("0", "1"):
        topic, values = new_topic(context, f"ck-acks{acks}"), [b"%d" % n for n in range(200)]
        out = producer(context.broker, acks=acks)
        for value in values:
            out.produce(topic, value, partition=0)
        equal(out.flush(PATIENCE_S), 0, "messages left after flush")
        until(lambda: len(read_all(context.broker, topic)) == 200, PATIENCE_S, 0.2, f"acks={acks}")
        equal([m.value() for m in read_all(context.broker, topic)], values, f"acks={acks}")


def test_confluent_headers_timestamps_and_nulls(context):
    topic, out = new_topic(context, "ck-fields"), producer(context.broker)
    out.produce(topic, None, b"gone", partition=0, timestamp=records.BASE_TIME + 123,
                headers=[("a", b"1"), ("a", None), ("b", b"")])
    out.produce(topic, b"", b"", partition=0, timestamp=records.BASE_TIME + 456)
    equal(out.flush(PATIENCE_S), 0, "messages left")
    first, second = read_all(context.broker, topic)
    equal((first.key(), first.value(), first.timestamp()[1], first.headers()),
          (b"gone", None, records.BASE_TIME + 123, [("a", b"1"), ("a", None), ("b", b"")]), "first")
    equal((second.key(), second.value(), second.timestamp()[1]),
          (b"", b"", records.BASE_TIME + 456), "second")


def test_confluent_seek_watermarks_and_times(context):
    from confluent_kafka import Consumer, TopicPartition
    topic, out = new_topic(context, "ck-times"), producer(context.broker)
    for number in range(20):
        out.produce(topic, b"%d" % number, partition=0, timestamp=records.BASE_TIME + number)
        out.flush(PATIENCE_S)
    consumer = Consumer({"bootstrap.servers": context.broker.address, "group.id": "unused"})
    try:
        equal(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE_S), (0, 20),
              "watermarks")
        found = consumer.offsets_for_times([TopicPartition(topic, 0, records.BASE_TIME + 7)], PATIENCE_S)
        equal(found[0].offset, 7, "offset for a time")
        later = records.BASE_TIME + 10**7
        found = consumer.offsets_for_times([TopicPartition(topic, 0, later)], PATIENCE_S)
        equal(found[0].offset, END, "offset for a later time")
        consumer.assign([TopicPartition(topic, 0, BEGINNING)])

        def value(wanted):
            """The next message's, after those that were on their way before a seek."""
            message = consumer.poll(0.5)
            return message is not None and message.error() is None and message.value() == wanted
        until(lambda: value(b"19"), 60, 0, "the last message")
        consumer.seek(TopicPartition(topic, 0, 3))
        after = []

        def read():
            message = consumer.poll(0.5)
            after.extend([message.value()] if message is not None and message.error() is None else [])
            return after
        equal(until(read, 60, 0, "a message after a seek"), [b"3"], "the first message after a seek")
    finally:
        consumer.close()
    equal([m.value() for m in read_all(context.broker, topic, offset=15)],
          [b"%d" % n for n in range(15, 20)], "from an offset")


def test_confluent_large_message_is_refused(context):
    topic = new_topic(context, "ck-large")
    out, errors = producer(context.broker, message_max_bytes=4_000_000), []
    out.produce(topic, b"x" * 1_500_000, partition=0,
                on_delivery=lambda error, _: errors.append(error and error.name()))
    equal(out.flush(PATIENCE_S), 0, "messages left")
    equal(errors, ["MSG_SIZE_TOO_LARGE"], "delivery error")
    send_all(out, topic, [b"x" * 900_000])
    equal(len(read_all(context.broker, topic)), 1, "the smaller one is there")


def test_confluent_admin(context):
    from confluent_kafka import KafkaException, TopicCollection
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, \
        NewPartitions, NewTopic, OffsetSpec
    from confluent_kafka import TopicPartition
    boss, name = admin(context.broker), context.name("ck-admin")

    def error_of(future):
        try:
            future.result(PATIENCE_S)
            return None
        except KafkaException as failure:
            return failure.args[0].name()

    equal(error_of(boss.create_topics([NewTopic(name, 2, 1, config={"retention.ms": "9"})])[name]),
          None, "create")
    equal(error_of(boss.create_topics([NewTopic(name, 2, 1)])[name]), "TOPIC_ALREADY_EXISTS",
          "create again")
    equal(error_of(boss.create_topics([NewTopic("bad/name", 1, 1)])["bad/name"]),
          "TOPIC_EXCEPTION", "bad name")
    equal(error_of(boss.create_topics([NewTopic(name + "x", 1, 3)])[name + "x"]),
          "INVALID_REPLICATION_FACTOR", "too many replicas")
    equal(error_of(boss.create_partitions([NewPartitions(name, 5)])[name]), None, "partitions")
    until(lambda: len(boss.list_topics(name, PATIENCE_S).topics[name].partitions) == 5, what="5 partitions")
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    change = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[
        ConfigEntry("max.message.bytes", "12345", incremental_operation=AlterConfigOpType.SET)])
    equal(error_of(boss.incremental_alter_configs([change])[change]), None, "alter config")

    def configured():
        found = boss.describe_configs([resource])[resource].result(PATIENCE_S)
        return (found["retention.ms"].value, found["max.message.bytes"].value)
    until(lambda: configured() == ("9", "12345"), what="configs")
    described = boss.describe_topics(TopicCollection([name]))[name].result(PATIENCE_S)
    equal((described.name, len(described.partitions)), (name, 5), "described")
    equal(len(boss.describe_cluster().result(PATIENCE_S).nodes), 1, "nodes")
    place = TopicPartition(name, 0)
    equal(boss.list_offsets({place: OffsetSpec.latest()})[place].result(PATIENCE_S).offset, 0, "offset")
    send_all(producer(context.broker), name, [b"1", b"2", b"3"])
    equal(boss.list_offsets({place: OffsetSpec.latest()})[place].result(PATIENCE_S).offset, 3, "offset")
    boss.delete_records([TopicPartition(name, 0, 2)])[place].result(PATIENCE_S)
    equal(boss.list_offsets({place: OffsetSpec.earliest()})[place].result(PATIENCE_S).offset, 2, "start")
    equal(error_of(boss.delete_topics([name])[name]), None, "delete")
    equal(error_of(boss.delete_topics([name])[name]), "UNKNOWN_TOPIC_OR_PART", "delete again")


def test_confluent_pattern_and_timeouts(context):
    """A subscription by pattern in a group; polls and commits that come to nothing in time."""
    from confluent_kafka import Consumer
    topics = [new_topic(context, f"ck-pattern-{n}") for n in range(2)]
    for topic in topics:
        send_all(producer(context.broker), topic, [topic.encode()])
    consumer = Consumer({"bootstrap.servers": context.broker.address, **QUIET,
                         "group.id": context.name("ck-pattern"), "enable.auto.commit": False,
                         "auto.offset.reset": "earliest"})
    consumer.subscribe(["^ck-pattern-[01]-.*"])
    try:
        got, limit = set(), time.monotonic() + PATIENCE_S
        while got != {t.encode() for t in topics} and time.monotonic() < limit:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                got.add(message.value())
        equal(got, {t.encode() for t in topics}, "values")
        committed = consumer.commit(asynchronous=False)
        equal({(p.topic, p.offset) for p in committed}, {(t, 1) for t in topics}, "commits")
        check(consumer.poll(0.2) is None, "a message from beyond the end")
    finally:
        consumer.close()

"""Kafka's own command line tools, run one after another in one JVM."""
import json
import re

import client
import records
from runner import check, equal, needs, until
from test_kcat import consume, same_text

java = needs("java")


def tool(context, name, *args, broker=None, stdin="", code=0, bootstrap="--bootstrap-server"):
    """Run a tool against the broker; its standard output."""
    where = (broker or context.broker).address
    answer = context.tools.run(name, *([bootstrap, where] if bootstrap else []), *args,
                               stdin=stdin)
    check(code is None or answer.code == code,
          f"{name} {' '.join(map(str, args))} ended with {answer.code}:\n"
          f"{answer.out[-1500:]}\n{answer.err[-1500:]}")
    return answer.out + (answer.err if code != 0 else "")


def new_topic(context, prefix, partitions=1):
    topic = context.name(prefix)
    with context.broker.connect() as raw:
        client.create_topic(raw, topic, partitions)
    return topic


@java
def test_kafka_topics(context):
    topic = context.name("tool-topics")
    out = tool(context, "topics", "--create", "--topic", topic, "--partitions", 3, "--config",
               "retention.ms=123456")
    equal(out.strip(), f"Created topic {topic}.", "create")
    check(topic in tool(context, "topics", "--list").split(), "list")
    out = tool(context, "topics", "--create", "--topic", topic, code=1)
    check("already exists" in out, f"create again: {out}")
    out = tool(context, "topics", "--create", "--topic", topic, "--if-not-exists")
    out = tool(context, "topics", "--describe", "--topic", topic)
    check(re.search(rf"Topic: {topic}\s+TopicId: \S+\s+PartitionCount: 3\s+ReplicationFactor: 1"
                    r"\s+Configs: .*retention.ms=123456", out), f"describe: {out}")
    equal(len(re.findall(r"Partition: \d\s+Leader: 1\s+Replicas: 1\s+Isr: 1", out)), 3, "lines")
    tool(context, "topics", "--alter", "--topic", topic, "--partitions", 5)
    out = until(lambda: (o := tool(context, "topics", "--describe", "--topic", topic))
                and "PartitionCount: 5" in o and o, what="five partitions")
    out = tool(context, "topics", "--alter", "--topic", topic, "--partitions", 2, code=1)
    check("InvalidPartitionsException" in out, f"fewer partitions: {out}")
    for state in ("--under-replicated-partitions", "--unavailable-partitions",
                  "--under-min-isr-partitions", "--at-min-isr-partitions"):
        out = tool(context, "topics", "--describe", "--topic", topic, state)
        equal(out.count("Partition: "), 5 if state == "--at-min-isr-partitions" else 0, state)
    check("retention.ms" in tool(context, "topics", "--describe", "--topics-with-overrides"),
          "topics with overrides")
    tool(context, "topics", "--delete", "--topic", topic)
    until(lambda: topic not in tool(context, "topics", "--list").split(), what="deletion")
    out = tool(context, "topics", "--describe", "--topic", topic, code=1)
    check("does not exist" in out, f"describe after delete: {out}")
    out = tool(context, "topics", "--create", "--topic", "bad/name", code=1)
    check("InvalidTopicException" in out, f"bad name: {out}")
    out = tool(context, "topics", "--create", "--topic", topic + "r", "--replication-factor", 3,
               code=1)
    check("InvalidReplicationFactorException" in out, f"three replicas: {out}")


@java
def test_kafka_configs_of_topics(context):
    topic = new_topic(context, "tool-configs")
    entity = ("--entity-type", "topics", "--entity-name", topic)
    tool(context, "configs", "--alter", *entity, "--add-config",
         "retention.ms=9999,cleanup.policy=[compact,delete]")
    out = until(lambda: (o := tool(context, "configs", "--describe", *entity))
                and "retention.ms=9999" in o and o, what="the config")
    check("cleanup.policy=compact,delete" in out and "DYNAMIC_TOPIC_CONFIG" in out, out)
    tool(context, "configs", "--alter", *entity, "--delete-config", "retention.ms")
    until(lambda: "retention.ms" not in tool(context, "configs", "--describe", *entity),
          what="the config gone")
    out = tool(context, "configs", "--describe", *entity, "--all")
    check("segment.bytes=1073741824" in out and "retention.ms=604800000" in out, out)
    out = tool(context, "configs", "--alter", *entity, "--add-config", "retention.ms=soon",
               code=1)
    check("InvalidConfigurationException" in out or "InvalidRequest" in out, out)


@java
def test_kafka_configs_of_brokers(context):
    broker = context.fresh()
    entity = ("--entity-type", "brokers", "--entity-name", "1")
    tool(context, "configs", "--alter", *entity, "--add-config", "message.max.bytes=2000000",
         broker=broker)
    until(lambda: "message.max.bytes=2000000" in tool(context, "configs", "--describe", *entity,
                                                      broker=broker), what="the config")
    default = ("--entity-type", "brokers", "--entity-default")
    tool(context, "configs", "--alter", *default, "--add-config", "log.retention.ms=777",
         broker=broker)
    until(lambda: "log.retention.ms=777" in tool(context, "configs", "--describe", *default,
                                                 broker=broker), what="the default")
    out = tool(context, "configs", "--describe", *entity, "--all", broker=broker)
    check("node.id=1 " in out and "log.dirs=" in out, out[-2000:])
    out = tool(context, "configs", "--alter", *entity, "--add-config", "node.id=5", code=1,
               broker=broker)
    check("Cannot update these configs dynamically" in out, out)
    equal(broker.stop(), 0, "exit status")
    broker.start()
    out = tool(context, "configs", "--describe", *entity, broker=broker)
    check("message.max.bytes=2000000" in out, f"after a restart: {out}")
    tool(context, "configs", "--alter", *entity, "--delete-config", "message.max.bytes",
         broker=broker)
    until(lambda: "message.max.bytes=2000000" not in tool(
        context, "configs", "--describe", *entity, broker=broker), what="the config gone")


@java
def test_kafka_console_producer(context):
    topic, text = new_topic(context, "tool-console"), context.text(300_000).decode()
    tool(context, "console-producer", "--topic", topic, stdin=text)
    same_text(consume(context.broker, topic), text.encode(), "console producer")
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        topic = new_topic(context, f"tool-console-{codec}")
        tool(context, "console-producer", "--topic", topic, "--compression-codec", codec,
             stdin=text[:50_000].rpartition("\n")[0] + "\n")
        same_text(consume(context.broker, topic),
                  (text[:50_000].rpartition("\n")[0] + "\n").encode(), codec)
    topic = new_topic(context, "tool-console-keys")
    tool(context, "console-producer", "--topic", topic, "--property", "parse.key=true",
         "--property", "key.separator=:", stdin="k1:v1\nk2:v2\n")
    same_text(consume(context.broker, topic, "-f", "%k=%s\n"), b"k1=v1\nk2=v2\n", "keys")


@java
def test_kafka_console_consumer(context):
    topic, text = new_topic(context, "tool-consumer"), context.text(200_000)
    lines = text.decode().splitlines(keepends=True)
    with context.broker.connect() as raw:
        for start in range(0, len(lines), 100):
            raw.request("Produce", 9, client.produce_body(topic, {0: records.batch(
                [x.rstrip("\n").encode() for x in lines[start:start + 100]])}))
    common = ("--topic", topic, "--partition", 0)
    out = tool(context, "console-consumer", *common, "--offset", "earliest", "--max-messages",
               len(lines))
    equal(out == "".join(lines), True, "from the earliest")
    out = tool(context, "console-consumer", *common, "--offset", len(lines) - 5,
               "--max-messages", 5)
    equal(out, "".join(lines[-5:]), "from an offset")
    out = tool(context, "console-consumer", *common, "--offset", 0, "--max-messages", 1,
               "--formatter-property", "print.offset=true", "--formatter-property",
               "print.timestamp=true")
    check(out.startswith(f"CreateTime:{records.BASE_TIME}\tOffset:0\t"), out)


@java
def test_kafka_get_offsets(context):
    topic = new_topic(context, "tool-offsets", 2)
    with context.broker.connect() as raw:
        for number in range(4):
            raw.request("Produce", 9, client.produce_body(topic, {0: records.batch(
                [b"x"], base_timestamp=records.BASE_TIME + number)}))

    def offsets(*args):
        return sorted(tool(context, "get-offsets", "--topic", topic, *args).split())
    equal(offsets(), [f"{topic}:0:4", f"{topic}:1:0"], "latest")
    equal(offsets("--time", "earliest"), [f"{topic}:0:0", f"{topic}:1:0"], "earliest")
    equal(offsets("--time", records.BASE_TIME + 2)[0], f"{topic}:0:2", "for a time")
    equal(offsets("--time", "max-timestamp")[0], f"{topic}:0:3", "newest")
    equal(offsets("--partitions", "1"), [f"{topic}:1:0"], "one partition")
    with context.broker.connect() as raw:
        raw.request("DeleteRecords", 2, {"topics": [{"name": topic, "partitions": [
            {"partitionIndex": 0, "offset": 3}]}], "timeoutMs": 5000})
    equal(offsets("--time", "-2")[0], f"{topic}:0:3", "earliest after deletion")


@java
def test_kafka_producer_perf_test(context):
    topic = new_topic(context, "tool-perf", 2)
    common = ("--topic", topic, "--num-records", 20000, "--record-size", 100, "--throughput", -1)
    total = 0
    for acks in ("all", "1", "0"):
        out = tool(context, "producer-perf-test", *common, "--producer-props",
                   f"bootstrap.servers={context.broker.address}", f"acks={acks}",
                   "enable.idempotence=" + ("true" if acks == "all" else "false"), bootstrap=None)
        check("20000 records sent" in out, out)
        total += 20000

    def count():
        out = tool(context, "get-offsets", "--topic", topic)
        return sum(int(line.split(":")[2]) for line in out.split())
    until(lambda: count() == total, what=f"{total} records")


@java
def test_kafka_broker_api_versions(context):
    out = tool(context, "broker-api-versions")
    check(f"{context.broker.address} (id: 1" in out, out[:300])
    for wanted in ("Produce(0): ", "Fetch(1): 4 to 18", "Metadata(3): 0 to 13",
                   "ApiVersions(18): 0 to 4", "CreateTopics(19): ",
                   "DescribeTopicPartitions(75): 0"):
        check(wanted in out, f"{wanted} is not in {out[:4000]}")


@java
def test_kafka_delete_records(context):
    topic = new_topic(context, "tool-delete")
    with context.broker.connect() as raw:
        for _ in range(5):
            raw.request("Produce", 9, client.produce_body(topic, {0: records.batch()}))
    file = context.scratch / "delete.json"
    file.write_text(json.dumps({"version": 1, "partitions": [
        {"topic": topic, "partition": 0, "offset": 3}]}))
    out = tool(context, "delete-records", "--offset-json-file", file)
    check(f"partition: {topic}-0\tlow_watermark: 3" in out, out)
    equal(tool(context, "get-offsets", "--topic", topic, "--time", "earliest").strip(),
          f"{topic}:0:3", "earliest")


@java
def test_kafka_log_dirs(context):
    topic = new_topic(context, "tool-dirs", 2)
    with context.broker.connect() as raw:
        raw.request("Produce", 9, client.produce_body(topic, {1: records.batch([b"x" * 500])}))
    out = tool(context, "log-dirs", "--describe", "--topic-list", topic)
    found = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    equal([b["broker"] for b in found["brokers"]], [1], "brokers")
    place = found["brokers"][0]["logDirs"][0]
    equal((place["logDir"], place["error"]), (str(context.broker.log_dir), None), "directory")
    sizes = {p["partition"]: p["size"] for p in place["partitions"]}
    equal(sizes[f"{topic}-0"], 0, "size of the empty partition")
    check(500 < sizes[f"{topic}-1"] < 800, f"sizes {sizes}")


def dump(context, path, *args):
    return tool(context, "dump-log", "--files", path, "--deep-iteration", *args, bootstrap=None)


@java
def test_kafka_dump_log_after_clean_stop(context):
    """Stock kafka-dump-log reads our segments and indexes; file sizes are exact."""
    broker, topic = context.fresh(overrides={"log.index.interval.bytes": "1000"}), "dump"
    lines = context.text(200_000).splitlines()
    with broker.connect() as raw:
        client.create_topic(raw, topic, 1, {"index.interval.bytes": "1000"})
        for number, start in enumerate(range(0, len(lines), 50)):
            codec = number % 5
            raw.request("Produce", 9, client.produce_body(topic, {0: records.batch(
                lines[start:start + 50], codec=codec, base_timestamp=records.BASE_TIME + number)}))
        idem = raw.request("InitProducerId", 4, {"transactionTimeoutMs": 1000,
                                                 "transactionalId": None})
        if idem["errorCode"] == 0:
            raw.request("Produce", 9, client.produce_body(topic, {0: records.batch(
                [b"last"], producer_id=idem["producerId"], producer_epoch=0, base_sequence=0)}))
    equal(broker.stop(), 0, "exit status")
    folder = broker.log_dir / f"{topic}-0"
    log = folder / "00000000000000000000.log"
    out = dump(context, log, "--print-data-log")
    payloads = re.findall(r"^\| offset: (\d+) .*? payload: (.*)$", out, re.M)
    equal([int(n) for n, _ in payloads][:len(lines)], list(range(len(lines))), "offsets")
    equal([p for _, p in payloads][:len(lines)] == [x.decode() for x in lines], True, "payloads")
    check("isvalid: false" not in out, "an invalid batch")
    last = re.findall(r"^baseOffset: .* position: (\d+) .* size: (\d+) ", out, re.M)[-1]
    equal(sum(map(int, last)), log.stat().st_size, "end of the last batch and of the file")
    check("Log starting offset: 0" in out, out[:300])
    index = tool(context, "dump-log", "--files", folder / "00000000000000000000.index",
                 "--index-sanity-check", bootstrap=None)
    check("passed sanity check" in index, index)
    out = dump(context, folder / "00000000000000000000.timeindex")
    check("timestamp: " in out and "not found" not in out.lower(), out[-800:])
    out = tool(context, "dump-log", "--files", folder / "00000000000000000000.index",
               bootstrap=None)
    check("offset: " in out and "Mismatches" not in out, out[-800:])
    snapshots = sorted(folder.glob("*.snapshot"))
    check(snapshots, f"no producer snapshot among {sorted(p.name for p in folder.iterdir())}")
    if idem["errorCode"] == 0:
        out = tool(context, "dump-log", "--files", snapshots[-1], bootstrap=None)
        check(f"producerId: {idem['producerId']} " in out, out)
    names = {p.name for p in broker.log_dir.iterdir()}
    check({"meta.properties", ".kafka_cleanshutdown", "recovery-point-offset-checkpoint",
           "log-start-offset-checkpoint"} <= names, f"files of the log dir: {sorted(names)}")
    check({"partition.metadata", "leader-epoch-checkpoint"} <=
          {p.name for p in folder.iterdir()}, f"{sorted(p.name for p in folder.iterdir())}")

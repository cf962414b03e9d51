"""DescribeConfigs, IncrementalAlterConfigs, AlterConfigs; the configs in CreateTopics' answer."""
import itertools

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = range(4)
TOPIC_KEYS = ["cleanup.policy", "retention.ms", "retention.bytes", "segment.bytes",
              "max.message.bytes", "compression.type", "message.timestamp.type",
              "min.insync.replicas", "unclean.leader.election.enable", "flush.messages"]
BROKER_KEYS = ["log.retention.ms", "log.retention.hours", "log.segment.bytes",
               "message.max.bytes", "num.partitions", "auto.create.topics.enable", "log.dirs",
               "node.id", "compression.type", "log.cleanup.policy", "min.insync.replicas",
               "default.replication.factor", "log.message.timestamp.type", "max.connections",
               "socket.request.max.bytes"]


def describe(s, name, version, *resources, **more):
    s.ask(name, "DescribeConfigs", version, {"resources": [
        {"resourceType": t, "resourceName": n, "configurationKeys": k}
        for t, n, k in resources], **more})


def describe_topic_configs(s):
    """DescribeConfigs of topics: filters, synonyms, documentation, sources."""
    s.create("conf", 1, retention__ms="60000", cleanup__policy="compact,delete")
    for v in s.versions("DescribeConfigs"):
        keys = (TOPIC, "conf", TOPIC_KEYS)
        describe(s, "keys", v, keys)
        describe(s, "synonyms", v, keys, includeSynonyms=True)
        describe(s, "documentation", v, keys, includeDocumentation=True)
        describe(s, "one key", v, (TOPIC, "conf", ["retention.ms"]))
        describe(s, "unknown key", v, (TOPIC, "conf", ["no.such.key", "retention.ms"]))
        describe(s, "key twice", v, (TOPIC, "conf", ["retention.ms", "retention.ms"]))
        describe(s, "unknown topic", v, (TOPIC, "conf-unknown", None))
        for number, bad in enumerate(("", "..", "a/b", "x" * 250)):
            describe(s, f"bad name {number}", v, (TOPIC, bad, None))
        describe(s, "topic twice", v, (TOPIC, "conf", ["retention.ms"]),
                 (TOPIC, "conf", ["segment.bytes"]))
        describe(s, "good and bad", v, (TOPIC, "conf", ["retention.ms"]),
                 (TOPIC, "conf-unknown", None))
        describe(s, "nothing", v)
        describe(s, "no keys", v, (TOPIC, "conf", []))


def every_topic_config(s):
    """All configs of a topic without a filter, and those in CreateTopics' answer."""
    s.create("conf-all", 1, segment__bytes="2000000")
    for v in s.versions("DescribeConfigs"):
        answer = s.quiet("DescribeConfigs", v, {
            "resources": [{"resourceType": TOPIC, "resourceName": "conf-all",
                           "configurationKeys": None}],
            "includeSynonyms": True, "includeDocumentation": True})
        for entry in answer["results"][0]["configs"]:
            s.note(f"{entry['name']} (DescribeConfigs v{v})", s.normalise(entry))
    answer = s.quiet("CreateTopics", 7, {"topics": [{
        "name": "conf-created", "numPartitions": 1, "replicationFactor": 1,
        "configs": [{"name": "retention.ms", "value": "5000"}]}], "timeoutMs": 15000})
    for entry in answer["topics"][0]["configs"]:
        s.note(f"{entry['name']} (CreateTopics v7)", s.normalise(entry))


def describe_broker_configs(s):
    """DescribeConfigs of the broker and of resources that are neither."""
    for v in s.versions("DescribeConfigs"):
        keys = [k for k in BROKER_KEYS]
        describe(s, "broker keys", v, (BROKER, "1", keys))
        describe(s, "broker synonyms", v, (BROKER, "1", keys), includeSynonyms=True)
        describe(s, "broker documentation", v, (BROKER, "1", keys), includeDocumentation=True)
        describe(s, "cluster default", v, (BROKER, "", None))
        describe(s, "broker unknown key", v, (BROKER, "1", ["no.such.key"]))
        for bad in ("2", "-1", "one", " 1", "99999999999"):
            describe(s, f"broker {bad!r}", v, (BROKER, bad, ["log.dirs"]))
        for kind in (0, 1, 3, 64, -1, 127):
            describe(s, f"kind {kind}", v, (kind, "x", None))


def alter(s, name, version, *resources, validate=False, api="IncrementalAlterConfigs"):
    """`resources`: (type, name, [(key, operation, value)]); AlterConfigs has no operations."""
    def entry(key, operation, value):
        more = {"configOperation": operation} if api == "IncrementalAlterConfigs" else {}
        return {"name": key, "value": value, **more}
    s.ask(name, api, version, {"validateOnly": validate, "resources": [
        {"resourceType": t, "resourceName": n, "configs": [entry(*e) for e in entries]}
        for t, n, entries in resources]})


def look(s, name, topic, *keys):
    describe(s, f"{name}: now", 4, (TOPIC, topic, list(keys)), includeSynonyms=True)


def alter_topic_configs(s):
    """IncrementalAlterConfigs of topics: the four operations, good and bad."""
    s.create("alter-last")
    marks = itertools.count(1)

    def settled():
        """What was changed before shows: stock Kafka answers first, and applies changes in their order."""
        mark = str(next(marks))
        s.quiet("IncrementalAlterConfigs", 1, {"validateOnly": False, "resources": [
            {"resourceType": TOPIC, "resourceName": "alter-last", "configs": [
                {"name": "retention.ms", "configOperation": SET, "value": mark}]}]})
        s.wait_config(TOPIC, "alter-last", "retention.ms", mark)
    for v in s.versions("IncrementalAlterConfigs"):
        t = f"alter{v}"
        s.create(t)

        def one(name, key, operation, value, wait=None, **more):
            alter(s, name, v, (TOPIC, t, [(key, operation, value)]), **more)
            if wait is not None:
                s.wait_config(TOPIC, t, key, wait)
            settled()
            look(s, name, t, key)
        one("set", "retention.ms", SET, "1234567", "1234567")
        one("set again", "retention.ms", SET, "7654321", "7654321")
        one("set to the default", "segment.bytes", SET, "1073741824")
        one("validate only", "retention.ms", SET, "1", validate=True)
        one("delete", "retention.ms", DELETE, None, "604800000")
        one("delete what is not set", "max.message.bytes", DELETE, None)
        one("delete with a value", "segment.bytes", DELETE, "5")
        one("append", "cleanup.policy", APPEND, "compact", "delete,compact")
        one("append again", "cleanup.policy", APPEND, "compact")
        one("subtract", "cleanup.policy", SUBTRACT, "delete", "compact")
        one("subtract what is not there", "cleanup.policy", SUBTRACT, "delete")
        one("append to a number", "retention.ms", APPEND, "5")
        one("subtract from a number", "retention.ms", SUBTRACT, "5")
        one("append null", "cleanup.policy", APPEND, None)
        one("set null", "retention.ms", SET, None)
        one("set empty", "cleanup.policy", SET, "")
        one("set garbage", "retention.ms", SET, "soon")
        one("set too small", "max.message.bytes", SET, "-5")
        one("set a bad choice", "compression.type", SET, "brotli")
        one("spaces", "retention.bytes", SET, " 5000 ")
        one("operation 4", "retention.ms", 4, "1")
        one("operation -1", "retention.ms", -1, "1")
        one("unknown key", "no.such.key", SET, "1")
        one("delete unknown key", "no.such.key", DELETE, None)
        one("empty key", "", SET, "1")
        alter(s, "unknown topic", v, (TOPIC, "alter-unknown", [("retention.ms", SET, "1")]))
        alter(s, "bad name", v, (TOPIC, "..", [("retention.ms", SET, "1")]))
        alter(s, "empty name", v, (TOPIC, "", [("retention.ms", SET, "1")]))
        alter(s, "key twice", v, (TOPIC, t, [("retention.ms", SET, "1"),
                                             ("retention.ms", SET, "2")]))
        alter(s, "topic twice", v, (TOPIC, t, [("retention.ms", SET, "1")]),
              (TOPIC, t, [("retention.ms", SET, "2")]))
        alter(s, "good and bad keys", v, (TOPIC, t, [("retention.ms", SET, "77"),
                                                     ("segment.bytes", SET, "x")]))
        look(s, "after good and bad keys", t, "retention.ms", "segment.bytes")
        alter(s, "good and bad topics", v, (TOPIC, t, [("flush.messages", SET, "9")]),
              (TOPIC, "alter-unknown", [("flush.messages", SET, "9")]))
        s.wait_config(TOPIC, t, "flush.messages", "9")
        look(s, "after good and bad topics", t, "flush.messages")
        alter(s, "nothing", v)
        alter(s, "no keys", v, (TOPIC, t, []))
        for kind in (0, 1, 64, -1):
            alter(s, f"kind {kind}", v, (kind, "x", [("retention.ms", SET, "1")]))


def replace_topic_configs(s):
    """AlterConfigs: everything that is not named falls back to its default."""
    for v in s.versions("AlterConfigs"):
        t = f"replace{v}"
        s.create(t, 1, retention__ms="111")

        def ask(name, *resources, **more):
            alter(s, name, v, *[(k, n, [(key, 0, value) for key, value in entries])
                                for k, n, entries in resources], api="AlterConfigs", **more)
            look(s, name, t, "retention.ms", "segment.bytes")
        ask("validate only", (TOPIC, t, [("retention.ms", "222")]), validate=True)
        alter(s, "replace", v, (TOPIC, t, [("segment.bytes", 0, "2000000")]), api="AlterConfigs")
        s.wait_config(TOPIC, t, "segment.bytes", "2000000")
        look(s, "replaced", t, "retention.ms", "segment.bytes")
        ask("garbage", (TOPIC, t, [("retention.ms", "soon")]))
        ask("null", (TOPIC, t, [("retention.ms", None)]))
        ask("unknown key", (TOPIC, t, [("no.such.key", "1")]))
        ask("unknown topic", (TOPIC, "replace-unknown", [("retention.ms", "1")]))
        ask("bad name", (TOPIC, "..", [("retention.ms", "1")]))
        # Not asked: the same topic twice. Stock Kafka 4.3.1 never answers that.
        ask("kind 0", (0, t, [("retention.ms", "1")]))
        alter(s, "nothing named", v, (TOPIC, t, []), api="AlterConfigs")
        s.wait_config(TOPIC, t, "segment.bytes", "1073741824")
        look(s, "nothing named", t, "retention.ms", "segment.bytes")


def alter_broker_configs(s):
    """The broker's dynamic configs: per broker, as cluster default, read-only ones refused."""
    key, default = "log.retention.ms", "604800000"

    def look_broker(name):
        describe(s, f"{name}: broker now", 4, (BROKER, "1", [key, "message.max.bytes"]),
                 includeSynonyms=True)
        describe(s, f"{name}: default now", 4, (BROKER, "", [key, "message.max.bytes"]),
                 includeSynonyms=True)
        describe(s, f"{name}: topic now", 4, (TOPIC, "broker-conf", ["max.message.bytes"]),
                 includeSynonyms=True)
    s.create("broker-conf")
    for v in s.versions("IncrementalAlterConfigs"):
        def one(name, resource, k, operation, value, **more):
            alter(s, name, v, (BROKER, resource, [(k, operation, value)]), **more)
        one("default", "", "message.max.bytes", SET, "2000000")
        s.wait_config(BROKER, "1", "message.max.bytes", "2000000")
        look_broker("default")
        one("broker", "1", "message.max.bytes", SET, "3000000")
        s.wait_config(BROKER, "1", "message.max.bytes", "3000000")
        look_broker("broker")
        one("validate only", "1", key, SET, "5", validate=True)
        one("read-only", "1", "node.id", SET, "7")
        one("read-only default", "", "log.dirs", SET, "/nowhere")
        one("per broker only", "", "listeners", SET, "PLAINTEXT://127.0.0.1:1")
        one("garbage", "1", "message.max.bytes", SET, "many")
        one("unknown key", "1", "no.such.key", SET, "1")
        one("another broker", "2", "message.max.bytes", SET, "4000000")
        one("not a number", "one", "message.max.bytes", SET, "4000000")
        look_broker("after the refused")
        one("delete broker", "1", "message.max.bytes", DELETE, None)
        s.wait_config(BROKER, "1", "message.max.bytes", "2000000")
        one("delete default", "", "message.max.bytes", DELETE, None)
        s.wait_config(BROKER, "1", "message.max.bytes", "1048588")
        look_broker("at the end")
        one("delete again", "1", "message.max.bytes", DELETE, None)
    s.note("retention is as before", s.config_values(BROKER, "1", [key]) in ({key: None},
                                                                             {key: default}))


SCRIPTS = [describe_topic_configs, every_topic_config, describe_broker_configs,
           alter_topic_configs, replace_topic_configs, alter_broker_configs]

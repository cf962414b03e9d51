"""Settings that several clients alter at once."""
import client
from runner import equal, needs

KEYS = {"retention.ms": 123456789, "retention.bytes": 98765432, "segment.bytes": 7654321, "segment.ms": 7654321,
        "max.message.bytes": 765432, "index.interval.bytes": 8192, "flush.ms": 60001, "file.delete.delay.ms": 59999,
        "delete.retention.ms": 86400001, "min.cleanable.dirty.ratio": 0.25}
ROUNDS = 5


def altered(connection, topic, key, value):
    return connection.send("IncrementalAlterConfigs", 1, {"validateOnly": False, "resources": [
        {"resourceType": 2, "resourceName": topic, "configs": [{"name": key, "configOperation": 0, "value": str(value)}]}]})


@needs("broker")
def test_configs_of_a_topic_altered_at_once(context):
    """Each client alters another key while partitions are added, and has its answer: none of them is lost."""
    with context.broker.connect(60) as c:
        for _ in range(ROUNDS):
            topic = context.name("at-once")
            client.create_topic(c, topic, 1, {"retention.ms": 1000, "cleanup.policy": "delete"})
            connections = [context.broker.connect(60) for _ in KEYS]
            c.send("CreatePartitions", 2, {"topics": [{"name": topic, "count": 40, "assignments": None}],
                                           "timeoutMs": 60000, "validateOnly": False})
            for connection, (key, value) in zip(connections, KEYS.items()):
                altered(connection, topic, key, value)
            equal(c.receive()[1]["results"][0]["errorCode"], 0, "CreatePartitions")
            for connection in connections:
                with connection:
                    equal(connection.receive()[1]["responses"][0]["errorCode"], 0, "IncrementalAlterConfigs")
            found = c.request("DescribeConfigs", 4, {"resources": [
                {"resourceType": 2, "resourceName": topic, "configurationKeys": [*KEYS, "cleanup.policy"]}],
                "includeSynonyms": False, "includeDocumentation": False})["results"][0]["configs"]
            equal({x["name"]: x["value"] for x in found},
                  {**{k: str(v) for k, v in KEYS.items()}, "cleanup.policy": "delete"}, "settings")

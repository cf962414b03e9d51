"""Metadata, DescribeCluster, DescribeTopicPartitions and other looks at the cluster."""
import records

LONG_OK = "n" * 249
BAD_NAMES = ["", ".", "..", "a/b", "a b", "n" * 250, "grüße", "a\0b", "a:b", "x" * 5000]
SOME_ID = "0123456789abcdef0123456789abcdef"


def named(*names, **more):
    return {"topics": [{"name": n} for n in names], "allowAutoTopicCreation": False, **more}


def metadata_by_name(s):
    """Metadata of known, unknown, repeated and impossible names at every version."""
    s.create("meta-a", 3)
    s.create("meta-b")
    for v in s.versions("Metadata"):
        create = v < 4  # before v4 asking creates; only existing names are safe to ask
        s.ask("one topic", "Metadata", v, named("meta-a"))
        s.ask("two topics", "Metadata", v, named("meta-b", "meta-a"))
        s.ask("repeated", "Metadata", v, named("meta-a", "meta-a"))
        if not create:
            s.ask("unknown", "Metadata", v, named("meta-unknown"))
            s.ask("known and unknown", "Metadata", v, named("meta-unknown", "meta-a"))
        s.ask("authorized operations", "Metadata", v, named(
            "meta-a", includeClusterAuthorizedOperations=True,
            includeTopicAuthorizedOperations=True))
        s.ask("no topics", "Metadata", v, {"topics": []}) if v else None
    for v in (1, 4, 9, 12, 13):
        for number, name in enumerate(BAD_NAMES):
            s.ask(f"bad name {number}", "Metadata", v,
                  {"topics": [{"name": name}], "allowAutoTopicCreation": v < 9})


def metadata_all(s):
    """All topics: an empty list at v0, null after."""
    s.create("meta-all", 2)
    for v in s.versions("Metadata"):
        s.ask("all", "Metadata", v, {"topics": None if v else [],
                                     "allowAutoTopicCreation": True})
        if v:
            s.ask("none", "Metadata", v, {"topics": [], "allowAutoTopicCreation": True})
    s.ask("null at v0", "Metadata", 0, {"topics": None})


def metadata_auto_create(s):
    """Asking for an unknown topic creates it, unless told not to."""
    for v in s.versions("Metadata"):
        name = f"meta-auto-{v}"
        if v >= 4:
            s.ask("not created", "Metadata", v, named(name))
        s.ask("created", "Metadata", v, {"topics": [{"name": name}],
                                         "allowAutoTopicCreation": True})
        s.wait(f"{name} there", lambda n=name: s.quiet("Metadata", 12, named(n))["topics"][0][
            "partitions"])
        s.ask("afterwards", "Metadata", v, named(name))
    s.ask("two at once", "Metadata", 12, {"topics": [{"name": "meta-auto-x"},
                                                     {"name": "meta-auto-y"}],
                                          "allowAutoTopicCreation": True})
    s.ask("longest name", "Metadata", 12, {"topics": [{"name": LONG_OK}],
                                           "allowAutoTopicCreation": True})
    s.wait("longest name there", lambda: s.quiet("Metadata", 12, named(LONG_OK))["topics"][0][
        "partitions"])
    s.ask("longest name afterwards", "Metadata", 12, named(LONG_OK))
    s.create("meta-auto.dot", 1)
    s.ask("colliding name", "Metadata", 12, {"topics": [{"name": "meta-auto_dot"}],
                                             "allowAutoTopicCreation": True})
    s.ask("asked later", "Metadata", 12, {"topics": [{"name": "meta-auto-later"}],
                                          "allowAutoTopicCreation": True})
    s.wait("asked later there", lambda: s.quiet("Metadata", 12, named("meta-auto-later"))[
        "topics"][0]["partitions"])
    s.ask("colliding name afterwards", "Metadata", 12, named("meta-auto_dot"))


def metadata_by_id(s):
    """Topic ids, from v10 (usable from v12)."""
    known = s.create("meta-id", 2)
    for v in (10, 11, 12, 13):
        def ids(*wanted):
            return {"topics": [{"topicId": i, "name": n} for i, n in wanted],
                    "allowAutoTopicCreation": False}
        s.ask("known id", "Metadata", v, ids((known, None)))
        s.ask("unknown id", "Metadata", v, ids((SOME_ID, None)))
        s.ask("known and unknown id", "Metadata", v, ids((SOME_ID, None), (known, None)))
        s.ask("id and its name", "Metadata", v, ids((known, "meta-id")))
        s.ask("id and another name", "Metadata", v, ids((known, "other")))
        s.ask("neither", "Metadata", v, ids(("0" * 32, None)))
        s.ask("the same id twice", "Metadata", v, ids((known, None), (known, None)))
    s.quiet("DeleteTopics", 3, {"topicNames": ["meta-id"], "timeoutMs": 5000})
    s.wait_gone("meta-id")
    s.ask("id of a deleted topic", "Metadata", 12, {"topics": [{"topicId": known, "name": None}],
                                                    "allowAutoTopicCreation": False})


def describe_cluster(s):
    """DescribeCluster: end points, authorized operations, fenced brokers."""
    for v in s.versions("DescribeCluster"):
        for kind in (1, 2, 3, 0, -1):
            s.ask(f"endpoint type {kind}", "DescribeCluster", v, {"endpointType": kind})
        s.ask("operations", "DescribeCluster", v, {"includeClusterAuthorizedOperations": True})
        s.ask("fenced too", "DescribeCluster", v, {"includeFencedBrokers": True})


def describe_topic_partitions(s):
    """DescribeTopicPartitions: limits and cursors."""
    s.create("dtp-a", 5)
    s.create("dtp-b", 2)

    def ask(name, topics, limit=2000, cursor=None):
        s.ask(name, "DescribeTopicPartitions", 0, {
            "topics": [{"name": t} for t in topics], "responsePartitionLimit": limit,
            "cursor": cursor and {"topicName": cursor[0], "partitionIndex": cursor[1]}})
    ask("one", ["dtp-a"])
    ask("two", ["dtp-b", "dtp-a"])
    ask("repeated", ["dtp-a", "dtp-a"])
    ask("unknown", ["dtp-unknown", "dtp-b"])
    ask("bad name", ["..", "a/b"])
    ask("empty name", [""])
    for limit in (1, 3, 5, 6, 7, 0, -1, -5):
        ask(f"limit {limit}", ["dtp-a", "dtp-b"], limit)
    ask("cursor", ["dtp-a", "dtp-b"], 3, ("dtp-a", 3))
    ask("cursor at second topic", ["dtp-a", "dtp-b"], 3, ("dtp-b", 0))
    ask("cursor past the partitions", ["dtp-a", "dtp-b"], 3, ("dtp-a", 99))
    ask("cursor past the topics", ["dtp-a", "dtp-b"], 3, ("zzz", 0))
    ask("cursor between the topics", ["dtp-a", "dtp-b"], 3, ("dtp-aa", 0))
    ask("negative cursor", ["dtp-a"], 3, ("dtp-a", -1))


def list_partition_reassignments(s):
    """ListPartitionReassignments: one node never has any."""
    s.create("reassign", 2)

    def ask(name, topics, timeout=5000):
        s.ask(name, "ListPartitionReassignments", 0, {
            "timeoutMs": timeout, "topics": topics and [
                {"name": n, "partitionIndexes": p} for n, p in topics]})
    ask("all", None)
    ask("one", [("reassign", [0, 1])])
    ask("unknown topic", [("reassign-unknown", [0])])
    ask("unknown partition", [("reassign", [7, -1])])
    ask("no partitions", [("reassign", [])])
    ask("no time", None, 0)
    s.ask("empty list", "ListPartitionReassignments", 0, {"timeoutMs": 5000, "topics": []})


def describe_log_dirs(s):
    """DescribeLogDirs: sizes of partitions on disk."""
    s.create("dirs", 2)
    s.produce("dirs", records.batch([b"x" * 100] * 10), records.batch([b"y" * 50]))
    for v in s.versions("DescribeLogDirs"):
        def ask(name, topics):
            s.ask(name, "DescribeLogDirs", v, {"topics": topics and [
                {"topic": n, "partitions": p} for n, p in topics]})
        ask("one topic", [("dirs", [0, 1])])
        ask("one partition", [("dirs", [0])])
        ask("unknown partition", [("dirs", [0, 9])])
        ask("unknown topic", [("dirs-unknown", [0])])
        ask("no partitions", [("dirs", [])])
        s.ask("empty list", "DescribeLogDirs", v, {"topics": []})
        answer = s.quiet("DescribeLogDirs", v, {"topics": None})
        found = [t for r in answer["results"] for t in r["topics"] if t["name"] == "dirs"]
        s.note(f"all: our topic (v{v})", s.normalise(found))


SCRIPTS = [metadata_by_name, metadata_all, metadata_auto_create, metadata_by_id, describe_cluster,
           describe_topic_partitions, list_partition_reassignments, describe_log_dirs]

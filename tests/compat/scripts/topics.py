"""CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords."""
import records

BAD_NAMES = ["", ".", "..", "a/b", "a b", "n" * 250, "grüße", "a\0b", "a,b", "x" * 3000]
TIMEOUT = 15000


def topic(name, partitions=1, replicas=1, assignments=None, configs=None):
    return {"name": name, "numPartitions": partitions, "replicationFactor": replicas,
            "assignments": [{"partitionIndex": p, "brokerIds": b}
                            for p, b in (assignments or {}).items()],
            "configs": [{"name": k, "value": v} for k, v in (configs or {}).items()]}


def create(s, name, version, *topics, validate=False, timeout=TIMEOUT):
    """CreateTopics; each topic's configs are compared by scripts/configs.py instead."""
    answer = s.quiet("CreateTopics", version, {"topics": list(topics), "timeoutMs": timeout,
                                               "validateOnly": validate})
    for entry in answer["topics"]:
        if entry.get("configs"):
            entry["configs"] = "some"
    s.note(f"{name} (CreateTopics v{version})", s.normalise(answer))
    for entry in answer["topics"]:
        if entry["errorCode"] == 0 and not validate:
            s.wait(f"{entry['name']} there", lambda n=entry["name"]: s.quiet(
                "Metadata", 12, {"topics": [{"name": n}], "allowAutoTopicCreation": False})[
                    "topics"][0]["errorCode"] == 0)


def described(s, name, what="described"):
    s.ask(f"{what} {name}", "Metadata", 12, {"topics": [{"name": name}],
                                             "allowAutoTopicCreation": False})


def create_topics(s):
    """Good and bad creations at every version."""
    for v in s.versions("CreateTopics"):
        p = f"ct{v}"
        create(s, "one", v, topic(f"{p}-a"))
        create(s, "again", v, topic(f"{p}-a"))
        create(s, "validated only", v, topic(f"{p}-v", 3), validate=True)
        described(s, f"{p}-v")
        create(s, "exists, validated only", v, topic(f"{p}-a"), validate=True)
        create(s, "several", v, topic(f"{p}-b", 3), topic(f"{p}-c", 2), topic(f"{p}-a"))
        described(s, f"{p}-b")
        create(s, "the same twice", v, topic(f"{p}-d"), topic(f"{p}-d", 2))
        described(s, f"{p}-d")
        create(s, "no topics", v)
        for number in (0, -1, -2):
            create(s, f"{number} partitions", v, topic(f"{p}-p{number}", number))
        for number in (0, -1, -2, 2, 32767):
            create(s, f"{number} replicas", v, topic(f"{p}-r{number}", 1, number))
        create(s, "defaults", v, topic(f"{p}-def", -1, -1))
        create(s, "timeout 0", v, topic(f"{p}-t0"), timeout=0)
        create(s, "timeout -1", v, topic(f"{p}-t1"), timeout=-1)
    for number, name in enumerate(BAD_NAMES):
        create(s, f"bad name {number}", 7, topic(name))
        create(s, f"bad name {number}", 2, topic(name))
    create(s, "longest name", 7, topic("m" * 249))
    create(s, "good and bad", 7, topic("ct-good"), topic("ct/bad"), topic("ct-good-2", 1, 9))
    create(s, "dot", 7, topic("ct.collide"))
    create(s, "underscore collides with dot", 7, topic("ct_collide"))


def create_with_assignments(s):
    """Manual assignments, good and bad."""
    cases = {
        "good": topic("as-good", -1, -1, {0: [1], 1: [1]}),
        "out of order": topic("as-order", -1, -1, {1: [1], 0: [1]}),
        "with numbers": topic("as-numbers", 2, 1, {0: [1], 1: [1]}),
        "with partitions": topic("as-parts", 2, -1, {0: [1], 1: [1]}),
        "unknown broker": topic("as-broker", -1, -1, {0: [2]}),
        "negative broker": topic("as-negative", -1, -1, {0: [-1]}),
        "repeated broker": topic("as-repeat", -1, -1, {0: [1, 1]}),
        "no broker": topic("as-none", -1, -1, {0: []}),
        "gap": topic("as-gap", -1, -1, {0: [1], 2: [1]}),
        "from one": topic("as-one", -1, -1, {1: [1]}),
        "negative partition": topic("as-neg-part", -1, -1, {-1: [1]}),
        "different sizes": topic("as-sizes", -1, -1, {0: [1], 1: [1, 2]}),
    }
    for v in (2, 4, 5, 7):
        for name, wanted in cases.items():
            create(s, name, v, {**wanted, "name": f"{wanted['name']}-{v}"})
    twice = topic("as-twice", -1, -1)
    twice["assignments"] = [{"partitionIndex": 0, "brokerIds": [1]}] * 2
    create(s, "partition twice", 7, twice)
    described(s, "as-good-7")


def create_with_configs(s):
    """Topic configs at creation, good and bad."""
    cases = {
        "good": {"retention.ms": "60000", "cleanup.policy": "compact"},
        "both policies": {"cleanup.policy": "compact,delete"},
        "unknown key": {"no.such.key": "1"},
        "bad number": {"retention.ms": "soon"},
        "too small": {"segment.bytes": "1"},
        "negative": {"max.message.bytes": "-1"},
        "bad choice": {"cleanup.policy": "burn"},
        "bad boolean": {"preallocate": "maybe"},
        "bad ratio": {"min.cleanable.dirty.ratio": "2"},
        "null value": {"retention.ms": None},
        "empty value": {"retention.ms": ""},
        "empty key": {"": "1"},
        "spaces": {"retention.ms": " 60000 "},
        "timestamp type": {"message.timestamp.type": "LogAppendTime"},
        "bad timestamp type": {"message.timestamp.type": "logappendtime"},
        "compression": {"compression.type": "zstd"},
        "bad compression": {"compression.type": "brotli"},
        "too large for int": {"max.message.bytes": "99999999999"},
        "tiered": {"remote.storage.enable": "true"},
    }
    for v in (2, 7):
        for number, (name, configs) in enumerate(cases.items()):
            create(s, name, v, topic(f"cc{v}-{number}", configs=configs))
            create(s, f"{name}, validated", v, topic(f"cc{v}-{number}-v", configs=configs),
                   validate=True)
    twice = topic("cc-twice")
    twice["configs"] = [{"name": "retention.ms", "value": "1000"},
                        {"name": "retention.ms", "value": "2000"}]
    create(s, "key twice", 7, twice)


def delete_topics(s):
    """DeleteTopics by name and id."""
    for v in s.versions("DeleteTopics"):
        ids = {n: s.create(f"dt{v}-{n}") for n in "abcde"}

        def ask(name, *wanted, timeout=TIMEOUT):
            """`wanted`: names, or (name, id) from v6 on."""
            pairs = [w if isinstance(w, tuple) else (w, "0" * 32) for w in wanted]
            s.ask(name, "DeleteTopics", v, {
                "topicNames": [n for n, _ in pairs if n is not None],
                "topics": [{"name": n, "topicId": i} for n, i in pairs], "timeoutMs": timeout})
        ask("one", f"dt{v}-a")
        s.wait_gone(f"dt{v}-a")
        ask("again", f"dt{v}-a")
        ask("unknown and known", "dt-unknown", f"dt{v}-b")
        s.wait_gone(f"dt{v}-b")
        ask("the same twice", f"dt{v}-c", f"dt{v}-c")
        ask("none")
        ask("bad name", "..")
        ask("empty name", "")
        if v >= 6:
            ask("by id", (None, ids["d"]))
            s.wait_gone(f"dt{v}-d")
            ask("by an id that is gone", (None, ids["d"]))
            ask("by an unknown id", (None, "f" * 32))
            ask("by neither", (None, "0" * 32))
            ask("name and id", (f"dt{v}-e", ids["e"]))
            ask("id twice", (None, ids["e"]), (None, ids["e"]))
            ask("name and id apart", f"dt{v}-e", (None, ids["e"]))
        s.ask("what is left", "Metadata", 12, {
            "topics": [{"name": f"dt{v}-{n}"} for n in "ce"], "allowAutoTopicCreation": False})
        ask("timeout 0", f"dt{v}-e", timeout=0)
    old = s.create("dt-again")
    s.fill("dt-again", 3)
    s.ask("before", "DeleteTopics", 5, {"topicNames": ["dt-again"], "timeoutMs": TIMEOUT})
    s.wait_gone("dt-again")
    new = s.create("dt-again")
    s.note("another id after creating again", old != new)
    s.ask("empty after creating again", "ListOffsets", 7, {"replicaId": -1, "topics": [
        {"name": "dt-again", "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})


def create_partitions(s):
    """CreatePartitions: more, fewer, assigned, validated."""
    for v in s.versions("CreatePartitions"):
        name = f"cp{v}"
        s.create(name, 2)

        def ask(what, *wanted, validate=False, timeout=TIMEOUT):
            s.ask(what, "CreatePartitions", v, {
                "topics": [{"name": n, "count": c, "assignments": a and [
                    {"brokerIds": b} for b in a]} for n, c, a in wanted],
                "timeoutMs": timeout, "validateOnly": validate})
        ask("validated", (name, 5, None), validate=True)
        described(s, name, "after validation")
        ask("to three", (name, 3, None))
        s.wait("three", lambda n=name: len(s.quiet("Metadata", 12, {"topics": [{"name": n}]})[
            "topics"][0]["partitions"]) == 3)
        described(s, name)
        for count in (3, 2, 0, -1):
            ask(f"to {count}", (name, count, None))
        ask("unknown topic", ("cp-unknown", 4, None))
        ask("bad name", ("..", 4, None))
        ask("assigned", (name, 4, [[1]]))
        ask("assigned too few", (name, 7, [[1]]))
        ask("assigned too many", (name, 5, [[1], [1]]))
        ask("assigned to unknown broker", (name, 5, [[9]]))
        ask("assigned to nobody", (name, 5, [[]]))
        ask("assigned twice to one", (name, 5, [[1, 1]]))
        s.ask("assigned, empty", "CreatePartitions", v, {
            "topics": [{"name": name, "count": 6, "assignments": []}], "timeoutMs": TIMEOUT})
        ask("the same topic twice", (name, 7, None), (name, 8, None))
        ask("two topics", (name, 9, None), ("cp-unknown", 2, None))
        ask("none")
        s.wait("nine", lambda n=name: len(s.quiet("Metadata", 12, {"topics": [{"name": n}]})[
            "topics"][0]["partitions"]) == 9)
        described(s, name, "at the end")


def delete_records(s):
    """DeleteRecords: where the log starts, and what cannot be deleted."""
    for v in s.versions("DeleteRecords"):
        name = f"dr{v}"
        s.create(name, 2)
        s.fill(name, 10)

        def ask(what, *wanted, timeout=TIMEOUT):
            s.ask(what, "DeleteRecords", v, {"topics": [
                {"name": n, "partitions": [{"partitionIndex": p, "offset": o} for p, o in parts]}
                for n, parts in wanted], "timeoutMs": timeout})

        def look(what):
            s.ask(f"start, {what}", "ListOffsets", 7, {"replicaId": -1, "topics": [
                {"name": name, "partitions": [{"partitionIndex": 0, "timestamp": -2}]}]})
            for offset in (0, 4, 5, 9, 10):
                s.ask(f"fetch {offset}, {what}", "Fetch", 11, {
                    "maxWaitMs": 0, "minBytes": 0, "maxBytes": 1 << 20, "topics": [
                        {"topic": name, "partitions": [{
                            "partition": 0, "fetchOffset": offset,
                            "partitionMaxBytes": 1 << 20}]}]})
        ask("to 5", (name, [(0, 5)]))
        look("after 5")
        ask("to 3, already gone", (name, [(0, 3)]))
        ask("past the end", (name, [(0, 11)]))
        for offset in (-2, -1000, 2**63 - 1):
            ask(f"to {offset}", (name, [(0, offset)]))
        ask("unknown topic", ("dr-unknown", [(0, 1)]))
        ask("unknown partition", (name, [(7, 1), (-1, 1)]))
        ask("empty partition", (name, [(1, 0)]))
        ask("empty partition, past", (name, [(1, 1)]))
        ask("two", (name, [(0, 6), (1, -1)]), ("dr-unknown", [(0, 0)]))
        ask("nothing")
        ask("no partitions", (name, []))
        ask("timeout 0", (name, [(0, 7)]), timeout=0)
        ask("timeout -1", (name, [(0, 8)]), timeout=-1)
        ask("to the end", (name, [(0, -1)]))
        look("after all")
        s.fill(name, 2)
        look("after more")
    s.create("dr-compact", cleanup__policy="compact")
    s.produce("dr-compact", records.batch([b"v"], keys=[b"k"]))
    s.ask("compacted topic", "DeleteRecords", 2, {"topics": [{"name": "dr-compact", "partitions": [
        {"partitionIndex": 0, "offset": 1}]}], "timeoutMs": TIMEOUT})


SCRIPTS = [create_topics, create_with_assignments, create_with_configs, delete_topics,
           create_partitions, delete_records]

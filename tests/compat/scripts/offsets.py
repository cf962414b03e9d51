"""ListOffsets and OffsetForLeaderEpoch."""
from records import BASE_TIME as BASE, GZIP, batch

SPECIAL = (-1, -2, -3, -4, -5, -6, -7, -100, -2**63)


def list_offsets(s, name, version, *topics, **more):
    """`topics`: (name, [(partition, timestamp)]) or with a third item, the leader epoch."""
    s.ask(name, "ListOffsets", version, {"replicaId": -1, "timeoutMs": 5000, "topics": [
        {"name": t, "partitions": [{"partitionIndex": p[0], "timestamp": p[1],
                                    "currentLeaderEpoch": p[2] if len(p) > 2 else -1}
                                   for p in parts]} for t, parts in topics], **more})


def offsets_by_timestamp(s):
    """Every special timestamp, and times before, between and after the records, per version."""
    s.create("lo", 2)
    s.fill("lo", 10)
    s.create("lo-gaps")
    s.produce("lo-gaps", batch([b"a"] * 5, base_timestamp=BASE + 5000),
              batch([b"b"] * 5, base_timestamp=BASE, timestamp_step=1000),
              batch([b"c"] * 5, base_timestamp=BASE + 2000, codec=GZIP, timestamp_step=500))
    s.create("lo-empty")
    for v in s.versions("ListOffsets"):
        for stamp in SPECIAL:
            list_offsets(s, f"special {stamp}", v, ("lo", [(0, stamp)]))
            list_offsets(s, f"special {stamp}, empty", v, ("lo-empty", [(0, stamp)]))
            list_offsets(s, f"special {stamp}, gaps", v, ("lo-gaps", [(0, stamp)]))
        for after in (-1, 0, 1, 4500, 9000, 9001, 10**9):
            list_offsets(s, f"time {after}", v, ("lo", [(0, BASE + after)]))
            list_offsets(s, f"time {after}, gaps", v, ("lo-gaps", [(0, BASE + after)]))
        list_offsets(s, "time 0", v, ("lo", [(0, 0)]))
        list_offsets(s, "largest time", v, ("lo", [(0, 2**63 - 1)]))
        list_offsets(s, "time in nothing", v, ("lo-empty", [(0, BASE)]))


def offsets_errors(s):
    """Unknown topics and partitions, epochs, isolation levels, repeated partitions."""
    s.create("le", 2)
    s.fill("le", 3)
    for v in s.versions("ListOffsets"):
        list_offsets(s, "unknown topic", v, ("le-unknown", [(0, -1)]))
        list_offsets(s, "unknown partition", v, ("le", [(5, -1), (-1, -1)]))
        list_offsets(s, "good and bad", v, ("le", [(0, -1), (9, -1)]), ("le-unknown", [(0, -2)]))
        list_offsets(s, "bad name", v, ("..", [(0, -1)]))
        list_offsets(s, "empty name", v, ("", [(0, -1)]))
        list_offsets(s, "nothing", v)
        list_offsets(s, "no partitions", v, ("le", []))
        list_offsets(s, "partition twice", v, ("le", [(0, -1), (0, -2)]))
        list_offsets(s, "topic twice", v, ("le", [(0, -1)]), ("le", [(1, -1)]))
        for level in (1, 2, -1):
            list_offsets(s, f"isolation {level}", v, ("le", [(0, -1)]), isolationLevel=level)
        for epoch in (0, 1, 99, -2):
            list_offsets(s, f"leader epoch {epoch}", v, ("le", [(0, -1, epoch)]))
        for replica in (-2, 0, 1, 5):
            list_offsets(s, f"replica {replica}", v, ("le", [(0, -1)]), replicaId=replica)
        list_offsets(s, "timeout -1", v, ("le", [(0, -1)]), timeoutMs=-1)
        list_offsets(s, "timeout 0", v, ("le", [(0, -3)]), timeoutMs=0)


def leader_epochs(s):
    """OffsetForLeaderEpoch: the end of an epoch on a node that has had only one."""
    s.create("oe", 2)
    s.fill("oe", 4)

    def ask(name, version, *topics, replica=-2):
        s.ask(name, "OffsetForLeaderEpoch", version, {"replicaId": replica, "topics": [
            {"topic": t, "partitions": [{"partition": p, "currentLeaderEpoch": c,
                                         "leaderEpoch": e} for p, c, e in parts]}
            for t, parts in topics]})
    for v in s.versions("OffsetForLeaderEpoch"):
        for epoch in (0, 1, 5, -1, -2, 2**31 - 1):
            ask(f"epoch {epoch}", v, ("oe", [(0, -1, epoch)]))
            ask(f"epoch {epoch}, empty partition", v, ("oe", [(1, -1, epoch)]))
        for current in (0, 1, 50, -2):
            ask(f"current epoch {current}", v, ("oe", [(0, current, 0)]))
        ask("unknown topic", v, ("oe-unknown", [(0, -1, 0)]))
        ask("unknown partition", v, ("oe", [(7, -1, 0), (-1, -1, 0)]))
        ask("two partitions", v, ("oe", [(0, -1, 0), (1, -1, 0)]), ("oe-unknown", [(0, -1, 0)]))
        ask("bad name", v, ("..", [(0, -1, 0)]), ("", [(0, -1, 0)]))
        ask("nothing", v)
        for replica in (-1, 1, 5):
            ask(f"replica {replica}", v, ("oe", [(0, -1, 0)]), replica=replica)


SCRIPTS = [offsets_by_timestamp, offsets_errors, leader_epochs]

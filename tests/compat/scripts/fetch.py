"""Fetch without sessions: offsets, limits, epochs, topic ids, waiting."""
import time

import client
from records import GZIP, batch

# A wait that must not be waited out, and what is surely less: no stall of a busy machine is as long.
LONG_MS, LONG_S = 25000, 20.0


def places(version, *topics, ids=None):
    """The `topics` field; each (name, [(partition, offset, {more})])."""
    out = []
    for name, parts in topics:
        named = {"topicId": (ids or {}).get(name, "f" * 32)} if version >= 13 else {"topic": name}
        out.append({**named, "partitions": [
            {"partition": p[0], "fetchOffset": p[1], "partitionMaxBytes": 1 << 20,
             **(p[2] if len(p) > 2 else {})} for p in parts]})
    return out


def fetch(s, name, version, *topics, ids=None, timeout=None, which="main", **more):
    body = {"maxWaitMs": 0, "minBytes": 0, "maxBytes": 1 << 22,
            "topics": places(version, *topics, ids=ids), **more}
    return s.ask(name, "Fetch", version, body, timeout=timeout, which=which)


def fetch_offsets(s):
    """Offsets inside, at the end and outside of the log, at every version."""
    ids = {"fo": s.create("fo", 2)}
    s.produce("fo", batch([b"a", b"b", b"c"]), batch([b"d", b"e"], codec=GZIP), batch([b"f"]))
    for v in s.versions("Fetch"):
        def at(name, *parts, **more):
            fetch(s, name, v, ("fo", parts), ids=ids, **more)
        for offset in (0, 1, 2, 3, 4, 5, 6, 7, 100, -1, -2, 2**63 - 1):
            at(f"offset {offset}", (0, offset))
        at("empty partition", (1, 0))
        at("empty partition, past", (1, 1))
        at("unknown partition", (2, 0))
        at("negative partition", (-1, 0))
        at("several", (0, 4), (1, 0), (5, 0), (0, 99))
        at("same partition twice", (0, 0), (0, 5))
        fetch(s, "unknown topic", v, ("fo-unknown", [(0, 0)]), ids=ids)
        fetch(s, "known and unknown", v, ("fo", [(0, 5)]), ("fo-unknown", [(0, 0)]), ids=ids)
        fetch(s, "nothing", v)
        fetch(s, "no partitions", v, ("fo", []), ids=ids)
        for level in (1, 2, -1):
            at(f"isolation {level}", (0, 5), isolationLevel=level)
        if v >= 9:
            for epoch in (0, 1, 50, -2):
                at(f"leader epoch {epoch}", (0, 5, {"currentLeaderEpoch": epoch}))
        if v >= 12:
            for epoch in (0, 1, 7, -2):
                at(f"last fetched epoch {epoch}", (0, 5, {"lastFetchedEpoch": epoch}))
                at(f"last fetched epoch {epoch} past the end",
                   (0, 50, {"lastFetchedEpoch": epoch}))
        if v >= 11:
            at("rack", (0, 5), rackId="rack-1")
        if v >= 12:
            at("cluster id", (0, 5), clusterId="another")
        if v >= 13:
            fetch(s, "zero topic id", v, ("fo", [(0, 0)]), ids={"fo": "0" * 32})
    for number, bad in enumerate(("..", "", "x" * 250, "grüße")):
        fetch(s, f"bad name {number}", 11, (bad, [(0, 0)]))


def fetch_as_replica(s):
    """A replica id that is not -1: a broker that is not a replica, a debugging consumer."""
    ids = {"fr": s.create("fr")}
    s.fill("fr", 3)
    for v in s.versions("Fetch"):
        for replica in (-2, 0, 1, 2, 77):
            more = {"replicaId": replica} if v < 15 else {
                "replicaState": {"replicaId": replica, "replicaEpoch": -1}}
            fetch(s, f"replica {replica}", v, ("fr", [(0, 1)]), ids=ids, **more)


def fetch_limits(s):
    """Byte limits of partitions and requests: the first batch always comes whole."""
    s.create("fl", 3)
    sizes = (100, 1000, 5000, 200, 20000)
    for partition in range(3):
        s.produce("fl", *[batch([bytes([65 + n]) * size]) for n, size in enumerate(sizes)],
                  partition=partition)
    for v in (4, 6, 10, 11, 12):
        for limit in (0, 1, 61, 170, 171, 300, 1300, 6000, 10**6, -1, -100):
            fetch(s, f"partition limit {limit}", v,
                  ("fl", [(0, 0, {"partitionMaxBytes": limit})]))
            fetch(s, f"request limit {limit}", v, ("fl", [(0, 0), (1, 0), (2, 0)]),
                  maxBytes=limit)
        fetch(s, "both limits", v, ("fl", [(0, 2, {"partitionMaxBytes": 100}),
                                           (1, 0, {"partitionMaxBytes": 400}),
                                           (2, 4, {"partitionMaxBytes": 9})]), maxBytes=6000)
        fetch(s, "end first", v, ("fl", [(0, 5), (1, 0), (2, 0)]), maxBytes=100)
        fetch(s, "error first", v, ("fl", [(9, 0), (1, 4), (2, 0)]), maxBytes=100)
        fetch(s, "limits at an inner batch", v, ("fl", [(0, 2, {"partitionMaxBytes": 5075})]))
    # Which partitions came with data, in the order of the answer: the first asked is served first.
    for order in ([0, 1, 2], [2, 0, 1]):
        answer = s.quiet("Fetch", 11, {"maxWaitMs": 0, "minBytes": 0, "maxBytes": 500,
                                       "topics": places(11, ("fl", [(p, 0) for p in order]))})
        s.note(f"order {order}", [(p["partitionIndex"], len(p["records"] or b""))
                                  for t in answer["responses"] for p in t["partitions"]])


def fetch_waits(s):
    """min_bytes and max_wait: empty after the time, or at once when bytes come."""
    s.create("fw", 2)
    s.fill("fw", 2)

    def timed(name, v, *topics, low=0.0, high=LONG_S, **more):
        begin = time.monotonic()
        fetch(s, name, v, *topics, **more)
        took = time.monotonic() - begin
        s.note(f"{name}: time as expected", low <= took < high)
    end = ("fw", [(0, 2)])
    for v in (4, 7, 11, 12):
        timed("waits in vain", v, end, maxWaitMs=300, minBytes=1, low=0.28)
        timed("no minimum, no wait", v, end, maxWaitMs=LONG_MS, minBytes=0)
        timed("enough is there", v, ("fw", [(0, 0)]), maxWaitMs=LONG_MS, minBytes=1)
        timed("more than there is", v, ("fw", [(0, 0)]), maxWaitMs=300, minBytes=10**6, low=0.28)
        timed("an error ends the wait", v, ("fw", [(0, 2), (0, 99), (1, 0)]), maxWaitMs=LONG_MS,
              minBytes=1)
        timed("an unknown topic does not end it", v, end, ("fw-unknown", [(0, 0)]), maxWaitMs=300,
              minBytes=1, low=0.28)
        timed("no time", v, end, maxWaitMs=0, minBytes=1)
        timed("negative time", v, end, maxWaitMs=-1, minBytes=1)
        timed("negative minimum", v, end, maxWaitMs=LONG_MS, minBytes=-1)
        timed("nothing asked", v, maxWaitMs=LONG_MS, minBytes=1)


def fetch_wakes(s):
    """A waiting fetch is answered when a produce comes, on other connections meanwhile unseen."""
    s.create("wake", 2)
    for v in (4, 7, 11, 12):
        end = s.quiet("ListOffsets", 7, {"replicaId": -1, "topics": [
            {"name": "wake", "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})
        end = end["topics"][0]["partitions"][0]["offset"]
        waiter = s.connection("waiter")
        waiter.send("Fetch", v, {"maxWaitMs": LONG_MS, "minBytes": 1, "maxBytes": 1 << 20,
                                 "topics": places(v, ("wake", [(0, end), (1, 0)]))})
        begin = time.monotonic()
        s.ask("another connection goes on", "Metadata", 12, {"topics": []})
        s.produce("wake", batch([b"wake up"]))
        s.note(f"woken (Fetch v{v})", s.normalise(waiter.receive()[1]))
        s.note(f"woken early (Fetch v{v})", time.monotonic() - begin < LONG_S)


def fetch_pipelined(s):
    """Answers come in the order of the requests, also behind a waiting fetch."""
    s.create("pipe", 1)
    s.fill("pipe", 2)
    connection = s.connection("pipe")
    order = [("Fetch", 11, {"maxWaitMs": 500, "minBytes": 1, "maxBytes": 1 << 20,
                            "topics": places(11, ("pipe", [(0, 2)]))}),
             ("Metadata", 12, {"topics": []}),
             ("Produce", 9, client.produce_body("pipe", {0: batch([b"x"])})),
             ("Fetch", 12, {"maxWaitMs": 0, "minBytes": 0, "maxBytes": 1 << 20,
                            "topics": places(12, ("pipe", [(0, 2)]))}),
             ("ListOffsets", 7, {"replicaId": -1, "topics": [{"name": "pipe", "partitions": [
                 {"partitionIndex": 0, "timestamp": -1}]}]})]
    sent = [connection.send(*request) for request in order]
    for number, (api, version, _) in zip(sent, order):
        correlation, answer = connection.receive()
        s.note(f"{api} v{version} in its turn", (correlation == number, s.normalise(answer)))


SCRIPTS = [fetch_offsets, fetch_as_replica, fetch_limits, fetch_waits, fetch_wakes,
           fetch_pipelined]

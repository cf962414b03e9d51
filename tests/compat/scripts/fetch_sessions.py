"""Incremental fetch sessions (KIP-227)."""
from records import batch
from scripts.fetch import places

SOME_SESSION = 123456789


class Play:
    """A session being talked to: sends with its id and the next epoch."""

    def __init__(self, s, version, ids):
        self.s, self.version, self.ids = s, version, ids
        self.id, self.epoch = 0, 0

    def ask(self, name, *topics, forget=(), session=None, epoch=None, **more):
        """Returns the raw answer; `session`/`epoch` override and leave the play as it is."""
        s, v = self.s, self.version
        named = "topicId" if v >= 13 else "topic"
        answer = s.ask(name, "Fetch", v, {
            "maxWaitMs": 0, "minBytes": 0, "maxBytes": 1 << 20,
            "sessionId": self.id if session is None else session,
            "sessionEpoch": self.epoch if epoch is None else epoch,
            "topics": places(v, *topics, ids=self.ids),
            "forgottenTopicsData": [{named: self.ids.get(t, "f" * 32) if v >= 13 else t,
                                     "partitions": list(p)} for t, p in forget], **more})
        if answer and session is None and epoch is None and answer["errorCode"] == 0:
            self.id, self.epoch = answer["sessionId"], self.epoch + 1
        return answer


def session_life(s):
    """Opening, growing, shrinking, closing a session, at every version."""
    for v in s.versions("Fetch"):
        if v < 7:
            continue
        t = f"fs{v}"
        ids = {t: s.create(t, 4)}
        s.fill(t, 3)
        p = Play(s, v, ids)
        p.ask("open", (t, [(0, 0), (1, 0)]))
        p.ask("nothing new, not advanced")
        p.ask("advanced", (t, [(0, 3)]))
        p.ask("nothing new")
        s.produce(t, batch([b"new 0"]))
        p.ask("one has data")
        p.ask("one still has data")
        p.ask("advanced again", (t, [(0, 4)]))
        s.produce(t, batch([b"new 1"]), partition=1)
        s.produce(t, batch([b"new 2"]), partition=2)
        p.ask("one of them is ours")
        p.ask("add a partition", (t, [(2, 0)]))
        p.ask("forget one", forget=[(t, [1])])
        s.produce(t, batch([b"new 1 b"]), partition=1)
        p.ask("the forgotten is silent", (t, [(2, 1)]))
        p.ask("forget one that is not there", forget=[(t, [3])])
        p.ask("add and forget the same", (t, [(3, 0)]), forget=[(t, [3])])
        p.ask("add one that is unknown", (t, [(77, 0)]))
        p.ask("the unknown stays an error")
        p.ask("forget the unknown", forget=[(t, [77])])
        p.ask("out of range", (t, [(0, 99)]))
        p.ask("still out of range")
        p.ask("back in range", (t, [(0, 4)]))
        p.ask("nothing at the end")
        s.quiet("DeleteRecords", 2, {"topics": [{"name": t, "partitions": [
            {"partitionIndex": 0, "offset": 2}]}], "timeoutMs": 5000})
        p.ask("log start moved")
        p.ask("log start known")
        p.ask("an unknown topic", ("fs-unknown", [(0, 0)]))
        p.ask("the unknown topic again")
        p.ask("close", epoch=-1)
        p.ask("after the close")


def session_errors(s):
    """Wrong ids and epochs, opening twice, sessionless requests with ids."""
    for v in (7, 9, 11, 12, 13, 15, 18):
        t = f"fe{v}"
        ids = {t: s.create(t, 2)}
        s.fill(t, 2)
        p = Play(s, v, ids)
        p.ask("unknown session", (t, [(0, 0)]), session=SOME_SESSION, epoch=1)
        p.ask("unknown session, epoch 0", (t, [(0, 0)]), session=SOME_SESSION, epoch=0)
        p.ask("unknown session, closing", (t, [(0, 0)]), session=SOME_SESSION, epoch=-1)
        p.ask("no session, epoch 1", (t, [(0, 0)]), session=0, epoch=1)
        p.ask("no session, epoch -1", (t, [(0, 0)]), session=0, epoch=-1)
        p.ask("epoch -2", (t, [(0, 0)]), session=0, epoch=-2)
        p.ask("negative session", (t, [(0, 0)]), session=-5, epoch=1)
        p.ask("open", (t, [(0, 2)]))
        for epoch in (2, 3, 100, -2, 2**31 - 1):
            p.ask(f"epoch {epoch} in place of 1", session=p.id, epoch=epoch)
        p.ask("epoch 1 after the wrong ones")
        p.ask("epoch 1 again", session=p.id, epoch=1)
        first = p.id
        p.ask("open another in its place", (t, [(0, 2), (1, 0)]), session=first, epoch=0)
        p.ask("the old one is gone", session=first, epoch=2)
        p.ask("open with nothing", session=0, epoch=0)
        p.ask("open with an error in it", (t, [(0, 0), (9, 0)]), session=0, epoch=0)
        p.ask("open with unknown topics", ("fe-unknown", [(0, 0)]), session=0, epoch=0)
        p.ask("forgetting while opening", (t, [(0, 0), (1, 0)]), session=0, epoch=0,
              forget=[(t, [1])])
        p.ask("the same partition twice", (t, [(0, 0), (0, 1)]), session=0, epoch=0)


def session_of_deleted_topic(s):
    """A topic in a session is deleted, and created again."""
    for v in (11, 12, 13, 17):
        t = f"fd{v}"
        ids = {t: s.create(t), "fd-other": s.create(f"fd-other-{v}")}
        ids[f"fd-other-{v}"] = ids["fd-other"]
        s.fill(t, 1)
        p = Play(s, v, ids)
        p.ask("open", (t, [(0, 1)]), (f"fd-other-{v}", [(0, 0)]))
        s.quiet("DeleteTopics", 3, {"topicNames": [t], "timeoutMs": 5000})
        s.wait_gone(t)
        s.wait("the partition gone", lambda t=t: s.quiet("ListOffsets", 7, {
            "replicaId": -1, "topics": [{"name": t, "partitions": [
                {"partitionIndex": 0, "timestamp": -1}]}]})["topics"][0]["partitions"][0][
                    "errorCode"] == 3)
        p.ask("deleted")
        p.ask("still deleted")
        s.create(t)
        s.fill(t, 3)
        p.ask("created again")
        p.ask("created again, another time")


def session_empties(s):
    """A session with no partitions left, and one that waits."""
    ids = {"fx": s.create("fx", 2)}
    for v in (7, 12, 13):
        p = Play(s, v, ids)
        p.ask("open", ("fx", [(0, 0)]))
        p.ask("forget all", forget=[("fx", [0])])
        p.ask("empty session")
        p.ask("refill", ("fx", [(1, 0)]))
        p.ask("waits in vain", maxWaitMs=200, minBytes=1)
        waiter = s.connection("waiter")
        end = s.quiet("ListOffsets", 7, {"replicaId": -1, "topics": [{"name": "fx", "partitions": [
            {"partitionIndex": 1, "timestamp": -1}]}]})["topics"][0]["partitions"][0]["offset"]
        p.ask("at the end", ("fx", [(1, end)]))
        waiter.send("Fetch", v, {"maxWaitMs": 25000, "minBytes": 1, "maxBytes": 1 << 20,
                                 "sessionId": p.id, "sessionEpoch": p.epoch, "topics": []})
        s.produce("fx", batch([b"come"]), partition=1)
        s.note(f"woken in a session (Fetch v{v})", s.normalise(waiter.receive()[1]))


SCRIPTS = [session_life, session_errors, session_of_deleted_topic, session_empties]

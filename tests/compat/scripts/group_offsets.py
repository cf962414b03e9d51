"""OffsetCommit, OffsetFetch, OffsetDelete and DeleteGroups."""
from scripts.groups import UNKNOWN, coordinator, enter, leave

LONG = "m" * 4096


def commit_body(s, version, group, topics, generation=-1, member="", **more):
    """topics: {name: {partition: (offset, epoch, metadata)}}"""
    out = []
    for name, partitions in topics.items():
        topic = {"partitions": [
            {"partitionIndex": p, "committedOffset": o, "committedLeaderEpoch": e,
             "committedMetadata": m} for p, (o, e, m) in partitions.items()]}
        if version >= 10:
            topic["topicId"] = s.ids.get(name, "f" * 32)
        else:
            topic["name"] = name
        out.append(topic)
    return {"groupId": group, "generationIdOrMemberEpoch": generation, "memberId": member,
            "topics": out, **more}


def fetch_body(s, version, group, topics, **more):
    """topics: {name: [partition]} or None for all."""
    if version >= 8:
        def entry(name, parts):
            which = {"topicId": s.ids.get(name, "f" * 32)} if version >= 10 else {"name": name}
            return {**which, "partitionIndexes": parts}
        wanted = None if topics is None else [entry(n, p) for n, p in topics.items()]
        return {"groups": [{"groupId": group, "topics": wanted}], **more}
    wanted = None if topics is None else [
        {"name": n, "partitionIndexes": p} for n, p in topics.items()]
    return {"groupId": group, "topics": wanted, **more}


def commits(s):
    """Commits without members at every version, and what comes back at every version."""
    coordinator(s, "oc-any")
    s.ids = {"oc-a": s.create("oc-a", 3), "oc-b": s.create("oc-b")}
    for v in s.versions("OffsetCommit"):
        group = f"oc-{v}"

        def commit(name, topics, generation=-1, member="", v=v, group=group, **more):
            s.ask(name, "OffsetCommit", v, commit_body(s, v, group, topics, generation, member,
                                                       **more))
        commit("good", {"oc-a": {0: (5, -1, ""), 2: (6, 0, "note")}, "oc-b": {0: (0, -1, None)}})
        commit("unknown topic", {"oc-none": {0: (1, -1, "")}})
        commit("unknown partition", {"oc-a": {3: (1, -1, ""), 1: (1, -1, "")}})
        commit("negative partition", {"oc-a": {-1: (1, -1, "")}})
        commit("longest metadata", {"oc-b": {0: (9, -1, LONG)}})
        commit("metadata too long", {"oc-b": {0: (10, -1, LONG + "m")}, "oc-a": {1: (7, 1, "x")}})
        commit("negative offset", {"oc-a": {1: (-5, -1, "")}})
        commit("nothing", {})
        commit("of a generation", {"oc-a": {0: (50, -1, "")}}, 3)
        commit("of a member", {"oc-a": {0: (51, -1, "")}}, -1, UNKNOWN)
        commit("of a member and generation", {"oc-a": {0: (52, -1, "")}}, 0, UNKNOWN)
        if v >= 7:
            commit("of a static member", {"oc-a": {0: (53, -1, "")}}, -1, "",
                   groupInstanceId="i")
        for f in s.versions("OffsetFetch"):
            if v in (2, 6, 9, 10) or f in (7, 9, 10):
                s.ask(f"after v{v}", "OffsetFetch", f, fetch_body(
                    s, f, group, {"oc-a": [0, 1, 2, 3, -1], "oc-b": [0], "oc-none": [0]}))
                if f >= 2:
                    s.ask(f"all after v{v}", "OffsetFetch", f, fetch_body(s, f, group, None))
        s.ask("describe", "DescribeGroups", 5, {"groups": [group]})


def fetches(s):
    """OffsetFetch of nothing, of unknown groups, of several groups, of members."""
    coordinator(s, "of-any")
    s.ids = {"of-a": s.create("of-a", 2)}
    for group in ("of-x", "of-y"):
        s.quiet("OffsetCommit", 8, commit_body(s, 8, group, {"of-a": {0: (3, -1, group)}}))
    for v in s.versions("OffsetFetch"):
        s.ask("unknown group", "OffsetFetch", v, fetch_body(s, v, "of-none", {"of-a": [0, 1]}))
        s.ask("empty group", "OffsetFetch", v, fetch_body(s, v, "", {"of-a": [0]}))
        s.ask("no topics", "OffsetFetch", v, fetch_body(s, v, "of-x", {}))
        s.ask("no partitions", "OffsetFetch", v, fetch_body(s, v, "of-x", {"of-a": []}))
        s.ask("twice", "OffsetFetch", v, fetch_body(s, v, "of-x", {"of-a": [0, 0]}))
        if v >= 2:
            s.ask("all of an unknown group", "OffsetFetch", v, fetch_body(s, v, "of-none", None))
        if v >= 7:
            s.ask("stable", "OffsetFetch", v, fetch_body(s, v, "of-x", {"of-a": [0]},
                                                         requireStable=True))
        if v >= 8:
            several = fetch_body(s, v, "of-x", None)["groups"] + fetch_body(
                s, v, "of-none", {"of-a": [0]})["groups"] + fetch_body(
                s, v, "of-y", {"of-a": [0, 1]})["groups"]
            s.ask("several groups", "OffsetFetch", v, {"groups": several})
            s.ask("no groups", "OffsetFetch", v, {"groups": []})
            s.ask("the same group twice", "OffsetFetch", v, {"groups": several[:1] * 2})
        if v >= 9:
            for member, epoch in ((UNKNOWN, 1), (UNKNOWN, -1), (None, 5), ("", -1)):
                body = fetch_body(s, v, "of-x", {"of-a": [0]})
                body["groups"][0].update(memberId=member, memberEpoch=epoch)
                s.ask(f"member {member} epoch {epoch}", "OffsetFetch", v, body)


def member_commits(s):
    """Commits of members: generations, strangers."""
    coordinator(s, "mc")
    s.ids = {"mc-a": s.create("mc-a")}
    member, generation = enter(s, "mc")
    for v in s.versions("OffsetCommit"):
        for name, who, when in (("good", member, generation), ("old", member, generation - 1),
                                ("later", member, generation + 1), ("stranger", UNKNOWN, generation),
                                ("nobody", "", generation), ("simple", "", -1),
                                ("no generation", member, -1)):
            s.ask(name, "OffsetCommit", v, commit_body(
                s, v, "mc", {"mc-a": {0: (v * 10, -1, name)}}, when, who))
        s.ask("now", "OffsetFetch", 8, fetch_body(s, 8, "mc", {"mc-a": [0]}))
    s.ask("delete subscribed", "OffsetDelete", 0, {"groupId": "mc", "topics": [
        {"name": "mc-a", "partitions": [{"partitionIndex": 0}]}]})
    leave(s, "mc", member)
    s.ask("simple in the empty group", "OffsetCommit", 8, commit_body(
        s, 8, "mc", {"mc-a": {0: (1000, -1, "")}}))
    s.ask("of the gone member", "OffsetCommit", 8, commit_body(
        s, 8, "mc", {"mc-a": {0: (1001, -1, "")}}, generation, member))
    s.ask("now", "OffsetFetch", 8, fetch_body(s, 8, "mc", {"mc-a": [0]}))


def offset_delete(s):
    """OffsetDelete and DeleteGroups of groups that hold offsets alone."""
    coordinator(s, "od")
    s.ids = {"od-a": s.create("od-a", 2), "od-b": s.create("od-b")}
    s.quiet("OffsetCommit", 8, commit_body(s, 8, "od", {
        "od-a": {0: (1, -1, ""), 1: (2, -1, "")}, "od-b": {0: (3, -1, "")}}))
    s.ask("describe", "DescribeGroups", 5, {"groups": ["od"]})
    s.ask("some", "OffsetDelete", 0, {"groupId": "od", "topics": [
        {"name": "od-a", "partitions": [{"partitionIndex": 1}, {"partitionIndex": 7}]},
        {"name": "od-none", "partitions": [{"partitionIndex": 0}]}]})
    s.ask("left", "OffsetFetch", 8, fetch_body(s, 8, "od", None))
    s.ask("again", "OffsetDelete", 0, {"groupId": "od", "topics": [
        {"name": "od-a", "partitions": [{"partitionIndex": 1}]}]})
    s.ask("nothing", "OffsetDelete", 0, {"groupId": "od", "topics": []})
    s.ask("delete the group", "DeleteGroups", 2, {"groupsNames": ["od"]})
    s.ask("after the group", "OffsetFetch", 8, fetch_body(s, 8, "od", None))
    s.ask("delete it again", "DeleteGroups", 2, {"groupsNames": ["od"]})


def topic_deleted(s):
    """A topic's deletion takes its offsets along; a new topic of that name has none."""
    coordinator(s, "td")
    s.ids = {"td-a": s.create("td-a"), "td-b": s.create("td-b")}
    s.quiet("OffsetCommit", 8, commit_body(s, 8, "td", {"td-a": {0: (1, -1, "")},
                                                        "td-b": {0: (2, -1, "")}}))
    s.quiet("DeleteTopics", 5, {"topicNames": ["td-a"], "timeoutMs": 10000})
    s.wait_gone("td-a")

    def left():
        answer = s.quiet("OffsetFetch", 8, fetch_body(s, 8, "td", None))
        return len(answer["groups"][0]["topics"]) == 1
    s.wait("td-a's offsets gone", left)
    s.ask("left", "OffsetFetch", 8, fetch_body(s, 8, "td", None))
    s.create("td-a")
    s.ask("of the new topic", "OffsetFetch", 8, fetch_body(s, 8, "td", {"td-a": [0]}))


SCRIPTS = [commits, fetches, member_commits, offset_delete, topic_deleted]

"""Classic groups: members, rebalances, static members, what tools see."""
import itertools
import time

CONSUMER = "consumer"
SESSION = {"sessionTimeoutMs": 30000, "rebalanceTimeoutMs": 30000}
BAD_IDS = ["", "g" * 300, "grüße", "a/b", "a b"]
OFFSETS_PARTITIONS = 50
UNKNOWN = "compat-00000000-0000-0000-0000-000000000000"


def partition_of(group):
    """Of __consumer_offsets: Java's hash of the name, over the default number of partitions."""
    value = 0
    for unit in group.encode("utf-16-be")[1::2]:  # ASCII alone
        value = (31 * value + unit) & 0xFFFFFFFF
    return (value & 0x7FFFFFFF) % OFFSETS_PARTITIONS


def name_in(partition, prefix):
    """The first of prefix-0, prefix-1, ... with its place in that partition of __consumer_offsets."""
    return next(name for n in itertools.count() if partition_of(name := f"{prefix}-{n}") == partition)


def coordinator(s, group):
    """Until the group's coordinator is there and loaded, not written down; and once in each life of a broker, those of all
    groups: stock Kafka loads them one after the other, each when it is its turn."""
    def ready(name):
        answer = s.quiet("FindCoordinator", 2, {"key": name, "keyType": 0})
        if answer["errorCode"]:
            return False
        return s.quiet("Heartbeat", 3, {"groupId": name, "generationId": 1,
                                        "memberId": "nobody"})["errorCode"] == 25
    s.wait(f"coordinator of {group}", lambda: ready(group))
    if getattr(s.broker, "coordinators_of", None) != s.broker.process.pid:
        for partition in range(OFFSETS_PARTITIONS):
            s.wait("every coordinator", lambda p=partition: ready(name_in(p, "loaded")))
        s.broker.coordinators_of = s.broker.process.pid


def join_body(group, member="", protocols=(("range", b"meta"),), kind=CONSUMER, **more):
    return {"groupId": group, "memberId": member, "protocolType": kind,
            "protocols": [{"name": n, "metadata": m} for n, m in protocols], **SESSION, **more}


def join_first(s, group, which="main", version=9, **more):
    """A new dynamic member's id, given by MEMBER_ID_REQUIRED, not written down."""
    member = s.quiet("JoinGroup", version, join_body(group, **more), which=which)["memberId"]
    s.normalise({"memberId": member})  # numbered now, whatever order later answers have
    return member


def enter(s, group, which="main", **more):
    """Joins and syncs a group of one; (member id, generation), not written down."""
    member = join_first(s, group, which, **more)
    answer = s.quiet("JoinGroup", 9, join_body(group, member, **more), which=which)
    s.quiet("SyncGroup", 5, {
        "groupId": group, "generationId": answer["generationId"], "memberId": member,
        "protocolType": CONSUMER, "protocolName": "range",
        "assignments": [{"memberId": member, "assignment": b"all"}]}, which=which)
    return member, answer["generationId"]


def leave(s, group, *members, which="main"):
    s.quiet("LeaveGroup", 5, {"groupId": group, "members": [
        {"memberId": m, "reason": "done"} for m in members]}, which=which)


def find_group_coordinator(s):
    """FindCoordinator for groups, once __consumer_offsets is there."""
    coordinator(s, "fc-group")
    for v in s.versions("FindCoordinator"):
        s.ask("group", "FindCoordinator", v, {
            "key": "fc-group", "coordinatorKeys": ["fc-group", "fc-other", "fc-group"],
            "keyType": 0})
        s.ask("empty id", "FindCoordinator", v, {"key": "", "coordinatorKeys": [""],
                                                 "keyType": 0})
    s.ask("the topic", "Metadata", 12, {"topics": [{"name": "__consumer_offsets"}],
                                        "allowAutoTopicCreation": False})
    s.ask("its settings", "DescribeConfigs", 4, {"resources": [
        {"resourceType": 2, "resourceName": "__consumer_offsets", "configurationKeys": [
            "cleanup.policy", "compression.type", "segment.bytes"]}]})


def group_strangers(s):
    """Requests for groups and members that do not exist."""
    coordinator(s, "gs-any")
    for v in s.versions("JoinGroup"):
        s.ask("unknown member", "JoinGroup", v, join_body("gs-none", UNKNOWN))
        s.ask("empty group id", "JoinGroup", v, join_body(""))
        s.ask("session too short", "JoinGroup", v, join_body("gs-none", **{
            "sessionTimeoutMs": 5999}) if v == 0 else {**join_body("gs-none"),
                                                       "sessionTimeoutMs": 5999})
        s.ask("session too long", "JoinGroup", v, {**join_body("gs-none"),
                                                   "sessionTimeoutMs": 1800001})
        s.ask("no protocols", "JoinGroup", v, join_body("gs-none", protocols=()))
        s.ask("no protocol type", "JoinGroup", v, join_body("gs-none", kind=""))
        if v >= 5:
            s.ask("unknown static member", "JoinGroup", v,
                  join_body("gs-none", UNKNOWN, groupInstanceId="i"))
    for v in s.versions("SyncGroup"):
        for group in ("gs-none", ""):
            s.ask(f"unknown group '{group}'", "SyncGroup", v, {
                "groupId": group, "generationId": 1, "memberId": UNKNOWN, "assignments": []})
    for v in s.versions("Heartbeat"):
        for group in ("gs-none", ""):
            s.ask(f"unknown group '{group}'", "Heartbeat", v, {
                "groupId": group, "generationId": 1, "memberId": UNKNOWN})
    for v in s.versions("LeaveGroup"):
        for group in ("gs-none", ""):
            s.ask(f"unknown group '{group}'", "LeaveGroup", v, {
                "groupId": group, "memberId": UNKNOWN, "members": [
                    {"memberId": UNKNOWN}, {"memberId": "", "groupInstanceId": "i"}]})
        if v >= 3:
            s.ask("nobody", "LeaveGroup", v, {"groupId": "gs-none", "members": []})
    for v in s.versions("DescribeGroups"):
        s.ask("unknown", "DescribeGroups", v, {
            "groups": ["gs-none", "", "gs-none"], "includeAuthorizedOperations": True})
        s.ask("nothing", "DescribeGroups", v, {"groups": []})
    for v in s.versions("DeleteGroups"):
        s.ask("unknown", "DeleteGroups", v, {"groupsNames": ["gs-none", "", "gs-none"]})
    s.ask("unknown group", "OffsetDelete", 0, {"groupId": "gs-none", "topics": []})
    s.ask("empty group", "OffsetDelete", 0, {"groupId": "", "topics": []})


def group_ids(s):
    """Odd group ids take members like any other."""
    coordinator(s, "gi-any")
    for number, group in enumerate(BAD_IDS[1:]):
        answer = s.ask(f"join {number}", "JoinGroup", 3, join_body(group))
        s.ask(f"leave {number}", "LeaveGroup", 2, {"groupId": group,
                                                   "memberId": answer["memberId"]})
        s.ask(f"delete {number}", "DeleteGroups", 2, {"groupsNames": [group]})


def group_of_one(s):
    """A member's life at every version: join, sync, heartbeat, leave."""
    for v in s.versions("JoinGroup"):
        group = f"one-{v}"
        coordinator(s, group)
        body = join_body(group, protocols=(("range", b"r"), ("roundrobin", b"")))
        answer = s.ask("join", "JoinGroup", v, body)
        if v >= 4:
            answer = s.ask("join with id", "JoinGroup", v, {**body, "memberId":
                                                            answer["memberId"]})
        member, generation = answer["memberId"], answer["generationId"]
        sync = min(v, 5)
        heart = min(v, 4)
        beat = {"groupId": group, "generationId": generation, "memberId": member}
        s.ask("heartbeat before sync", "Heartbeat", heart, beat)
        s.ask("describe before sync", "DescribeGroups", min(v, 6), {"groups": [group]})
        s.ask("sync of a wrong generation", "SyncGroup", sync, {
            **beat, "generationId": generation + 1, "assignments": []})
        s.ask("sync of a wrong member", "SyncGroup", sync, {
            **beat, "memberId": UNKNOWN, "assignments": []})
        if sync == 5:
            s.ask("sync of a wrong type", "SyncGroup", 5, {
                **beat, "protocolType": "connect", "protocolName": "range", "assignments": []})
            s.ask("sync of a wrong protocol", "SyncGroup", 5, {
                **beat, "protocolType": CONSUMER, "protocolName": "roundrobin",
                "assignments": []})
        s.ask("sync", "SyncGroup", sync, {
            **beat, "protocolType": CONSUMER, "protocolName": "range",
            "assignments": [{"memberId": member, "assignment": b"mine"},
                            {"memberId": "stranger", "assignment": b"other"}]})
        s.ask("sync again", "SyncGroup", sync, {
            **beat, "protocolType": CONSUMER, "protocolName": "range", "assignments": []})
        s.ask("heartbeat", "Heartbeat", heart, beat)
        s.ask("heartbeat of an old generation", "Heartbeat", heart,
              {**beat, "generationId": generation - 1})
        s.ask("heartbeat of a stranger", "Heartbeat", heart, {**beat, "memberId": UNKNOWN})
        s.ask("describe", "DescribeGroups", min(v, 6), {
            "groups": [group], "includeAuthorizedOperations": True})
        s.ask("join of another type", "JoinGroup", v, join_body(group, kind="connect"))
        s.ask("join without a common protocol", "JoinGroup", v,
              join_body(group, protocols=(("other", b""),)))
        s.ask("delete a group with members", "DeleteGroups", 2, {"groupsNames": [group]})
        s.ask("leave", "LeaveGroup", min(v, 5), {
            "groupId": group, "memberId": member, "members": [{"memberId": member}]})
        s.ask("leave again", "LeaveGroup", min(v, 5), {
            "groupId": group, "memberId": member, "members": [{"memberId": member}]})
        s.ask("describe the empty group", "DescribeGroups", min(v, 6), {"groups": [group]})
        s.ask("heartbeat in the empty group", "Heartbeat", heart, beat)
        s.ask("delete", "DeleteGroups", 2, {"groupsNames": [group]})
        s.ask("describe the deleted group", "DescribeGroups", 6, {"groups": [group]})


def group_of_two(s):
    """A second member makes the first one join again; roles, protocols, assignments."""
    coordinator(s, "two")
    first, generation = enter(s, "two")
    beat = {"groupId": "two", "generationId": generation, "memberId": first}
    second = join_first(s, "two", "b")
    s.connection("b").send("JoinGroup", 9, join_body(
        "two", second, protocols=(("roundrobin", b"b-rr"), ("range", b"b-r"))))
    s.wait("rebalance", lambda: s.quiet("Heartbeat", 4, beat)["errorCode"] == 27)
    s.ask("heartbeat while rebalancing", "Heartbeat", 4, beat)
    s.ask("sync while rebalancing", "SyncGroup", 5, {**beat, "assignments": []})
    s.ask("commit while rebalancing", "OffsetCommit", 9, {
        "groupId": "two", "generationIdOrMemberEpoch": generation, "memberId": first,
        "topics": []})
    s.ask("describe while rebalancing", "DescribeGroups", 5, {"groups": ["two"]})
    answer = s.ask("the first joins again", "JoinGroup", 9, join_body("two", first))
    s.note("the second's join", s.normalise(s.connection("b").receive()[1]))
    generation = answer["generationId"]
    beat["generationId"] = generation
    s.ask("heartbeat before sync", "Heartbeat", 4, beat)
    s.ask("describe before sync", "DescribeGroups", 5, {"groups": ["two"]})
    s.connection("b").send("SyncGroup", 5, {
        "groupId": "two", "generationId": generation, "memberId": second, "assignments": []})
    time.sleep(0.2)  # most often the second's comes first; either way both are told the same
    s.ask("the leader's sync", "SyncGroup", 5, {**beat, "assignments": [
        {"memberId": first, "assignment": b"1"}, {"memberId": second, "assignment": b"2"}]})
    s.note("the second's sync", s.normalise(s.connection("b").receive()[1]))
    s.ask("describe", "DescribeGroups", 5, {"groups": ["two"]})
    s.ask("the same join again", "JoinGroup", 9, join_body(
        "two", second, protocols=(("roundrobin", b"b-rr"), ("range", b"b-r"))), which="b")
    leave(s, "two", second)
    s.wait("rebalance", lambda: s.quiet("Heartbeat", 4, beat)["errorCode"] == 27)
    s.ask("alone again", "JoinGroup", 9, join_body("two", first))
    s.ask("leave both", "LeaveGroup", 5, {"groupId": "two", "members": [
        {"memberId": first}, {"memberId": second}]})


def static_members(s):
    """Members with a name of their own (KIP-345)."""
    coordinator(s, "static")
    body = join_body("static", groupInstanceId="i1")
    answer = s.ask("join", "JoinGroup", 7, body)
    member, generation = answer["memberId"], answer["generationId"]
    beat = {"groupId": "static", "generationId": generation, "memberId": member,
            "groupInstanceId": "i1"}
    s.ask("sync", "SyncGroup", 5, {**beat, "assignments": [
        {"memberId": member, "assignment": b"x"}]})
    for v in (3, 4):
        s.ask("heartbeat", "Heartbeat", v, beat)
        s.ask("heartbeat of another name", "Heartbeat", v, {**beat, "groupInstanceId": "i2"})
        s.ask("heartbeat of a fenced member", "Heartbeat", v, {**beat, "memberId": UNKNOWN})
    for v in (5, 6, 7, 8, 9):
        answer = s.ask("comes back", "JoinGroup", v, body)
        s.ask("the old id is fenced", "Heartbeat", 4, {
            **beat, "memberId": member, "generationId": answer["generationId"]})
        s.ask("joins with the old id", "JoinGroup", v, {**body, "memberId": member})
        s.ask("joins with its id", "JoinGroup", v, {**body, "memberId": answer["memberId"]})
        member = answer["memberId"]
        s.ask("describe", "DescribeGroups", 5, {"groups": ["static"]})
        s.ask("sync", "SyncGroup", 5, {**beat, "memberId": member, "generationId":
                                       answer["generationId"], "assignments": [
                                           {"memberId": member, "assignment": b"y"}]})
    for version in (7, 9):
        s.ask("commit of a fenced member", "OffsetCommit", version, {
            "groupId": "static", "generationIdOrMemberEpoch": generation, "memberId": UNKNOWN,
            "groupInstanceId": "i1", "topics": []})
    s.ask("leave by a wrong name", "LeaveGroup", 5, {"groupId": "static", "members": [
        {"memberId": "", "groupInstanceId": "i9"}]})
    s.ask("leave with a wrong id", "LeaveGroup", 5, {"groupId": "static", "members": [
        {"memberId": UNKNOWN, "groupInstanceId": "i1"}]})
    s.ask("leave by name", "LeaveGroup", 3, {"groupId": "static", "members": [
        {"memberId": "", "groupInstanceId": "i1"}]})
    s.ask("describe the empty group", "DescribeGroups", 5, {"groups": ["static"]})


def list_groups(s):
    """ListGroups with filters by state and type."""
    coordinator(s, "list-any")
    member, _ = enter(s, "list-stable")
    answer = join_first(s, "list-waiting")
    other, _ = enter(s, "list-empty")
    leave(s, "list-empty", other)

    def ask(name, v, **body):
        got = s.quiet("ListGroups", v, body)
        got["groups"] = [g for g in got["groups"] if g["groupId"].startswith("list-")]
        s.note(f"{name} (ListGroups v{v})", s.normalise(got))
    for v in s.versions("ListGroups"):
        ask("all", v)
        if v >= 4:
            for states in (["Stable"], ["stable"], ["Empty", "Stable"], ["Dead"], ["nonsense"],
                           ["PreparingRebalance"], ["CompletingRebalance"], ["Assigning"], [""]):
                ask(f"states {states}", v, statesFilter=states)
        if v >= 5:
            for types in (["classic"], ["Classic"], ["consumer"], ["consumer", "classic"],
                          ["nonsense"], ["share"], ["streams"]):
                ask(f"types {types}", v, typesFilter=types)
            ask("state and type", v, typesFilter=["classic"], statesFilter=["Empty"])
    leave(s, "list-stable", member)
    s.note("an id was given", bool(answer))


def group_restart(s):
    """What a group is after the broker's end: the same members, the same generation."""
    coordinator(s, "again")
    s.create("again", 2)
    member, generation = enter(s, "again")
    beat = {"groupId": "again", "generationId": generation, "memberId": member}
    s.ask("commit", "OffsetCommit", 8, {
        "groupId": "again", "generationIdOrMemberEpoch": generation, "memberId": member,
        "topics": [{"name": "again", "partitions": [
            {"partitionIndex": 1, "committedOffset": 7, "committedMetadata": "note"}]}]})
    for kill in (False, True):
        s.restart(kill)
        coordinator(s, "again")
        s.ask("describe", "DescribeGroups", 5, {"groups": ["again"]})
        s.ask("heartbeat", "Heartbeat", 4, beat)
        s.ask("sync", "SyncGroup", 5, {**beat, "assignments": []})
        s.ask("fetch", "OffsetFetch", 8, {"groups": [{"groupId": "again", "topics": None}]})
    leave(s, "again", member)
    s.ask("delete", "DeleteGroups", 2, {"groupsNames": ["again"]})
    s.restart(kill=True)
    coordinator(s, "again")
    s.ask("describe the deleted group", "DescribeGroups", 6, {"groups": ["again"]})


def odd_timeouts(s):
    """Time-outs of zero, below zero, and of years."""
    coordinator(s, "ot-any")
    for name, session, rebalance in (
            ("session 0", 0, 30000), ("session -1", -1, 30000), ("session of years", 2**31 - 1, 30000),
            ("longest session", 1800000, 30000), ("rebalance 0", 30000, 0),
            ("rebalance -1", 30000, -1), ("rebalance of years", 30000, 2**31 - 1)):
        for v in (3, 9):
            s.ask(name, "JoinGroup", v, join_body(
                f"ot-{name.replace(' ', '-')}-{v}", sessionTimeoutMs=session,
                rebalanceTimeoutMs=rebalance))
    for name, rebalance in (("0", 0), ("-1", -1), ("-2", -2), ("of years", 2**31 - 1)):
        s.ask(f"newer protocol, rebalance {name}", "ConsumerGroupHeartbeat", 1, {
            "groupId": f"ot-new-{name.replace(' ', '-')}", "memberEpoch": 0, "topicPartitions": [],
            "memberId": "member-a-11111111-1111-1111-1111-111111111111",
            "rebalanceTimeoutMs": rebalance, "subscribedTopicNames": ["ot-none"]})
    for name, retention in (("0", 0), ("-2", -2), ("of years", 2**62)):
        s.ask(f"commit kept {name}", "OffsetCommit", 4, {
            "groupId": "ot-commit", "generationIdOrMemberEpoch": -1, "memberId": "",
            "retentionTimeMs": retention, "topics": [{"name": "ot-none", "partitions": [
                {"partitionIndex": 0, "committedOffset": 1, "committedMetadata": ""}]}]})


def large_metadata(s):
    """Metadata, user data and subscriptions of hundreds of kilobytes."""
    coordinator(s, "lm-any")
    s.create("lm-a")
    names = ["lm-a"] + [f"lm-none-{n:05d}" for n in range(9999)]
    subscription = (b"\0\1" + len(names).to_bytes(4, "big") + b"".join(
        len(n).to_bytes(2, "big") + n.encode() for n in names) + b"\xff" * 4 + b"\0" * 4)
    # Not asked: half a megabyte that is no subscription, as "consumer". Kafka 4.3.1 never answers.
    for name, kind, metadata in (("10,000 topics", CONSUMER, subscription),
                                 ("half a megabyte", "other", b"x" * 500_000)):
        group = f"lm-{len(metadata)}"
        more = {"kind": kind, "protocols": (("range", metadata),)}
        member = join_first(s, group, **more)
        answer = s.ask(f"join with {name}", "JoinGroup", 9, join_body(group, member, **more))
        s.ask(f"sync with {name}", "SyncGroup", 5, {
            "groupId": group, "generationId": answer["generationId"], "memberId": member,
            "protocolType": kind, "protocolName": "range",
            "assignments": [{"memberId": member, "assignment": b"all"}]})
        got = s.quiet("DescribeGroups", 5, {"groups": [group]})["groups"][0]
        s.note(f"described with {name}", (got["groupState"], [
            len(m["memberMetadata"]) for m in got["members"]]))
        leave(s, group, member)
    answer = s.ask("newer protocol, 10,000 topics", "ConsumerGroupHeartbeat", 1, {
        "groupId": "lm-new", "memberEpoch": 0, "topicPartitions": [],
        "memberId": "member-a-11111111-1111-1111-1111-111111111111",
        "rebalanceTimeoutMs": 60000, "subscribedTopicNames": names})
    s.ask("commit with a long note", "OffsetCommit", 8, {
        "groupId": "lm-commit", "generationIdOrMemberEpoch": -1, "memberId": "", "topics": [
            {"name": "lm-a", "partitions": [{"partitionIndex": 0, "committedOffset": 1,
                                             "committedMetadata": "n" * size}
                                            for size in (4097,)]}]})
    s.ask("commit with the longest note", "OffsetCommit", 8, {
        "groupId": "lm-commit", "generationIdOrMemberEpoch": -1, "memberId": "", "topics": [
            {"name": "lm-a", "partitions": [{"partitionIndex": 0, "committedOffset": 1,
                                             "committedMetadata": "n" * 4096}]}]})


SCRIPTS = [find_group_coordinator, group_strangers, group_ids, group_of_one, group_of_two,
           static_members, list_groups, group_restart,
           odd_timeouts, large_metadata]

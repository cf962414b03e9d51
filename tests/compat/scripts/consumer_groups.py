"""Groups of the newer protocol (KIP-848): heartbeats, assignments, what tools see."""
import time

from scripts.groups import coordinator, enter, leave, name_in, partition_of

A = "member-a-11111111-1111-1111-1111-111111111111"
B = "member-b-22222222-2222-2222-2222-222222222222"
BEAT = "ConsumerGroupHeartbeat"


def beat(group, member=A, epoch=0, **more):
    return {"groupId": group, "memberId": member, "memberEpoch": epoch, **more}


def joining(group, *topics, member=A, **more):
    return beat(group, member, 0, rebalanceTimeoutMs=60000, subscribedTopicNames=list(topics),
                topicPartitions=[], **more)


def owned(assignment):
    return [{"topicId": t["topicId"], "partitions": sorted(t["partitions"])}
            for t in assignment["topicPartitions"]]


def settle(s, members, which="main", timeout=90.0):
    """Heartbeats of all members until none has news and the group says so; {member: partitions} and their epochs.

    `members`: {member: answer of its last heartbeat}, of one group `s.group`.
    """
    held = {m: owned(a["assignment"]) if a["assignment"] else [] for m, a in members.items()}
    epochs = {m: a["memberEpoch"] for m, a in members.items()}
    def stable():
        described = s.quiet("ConsumerGroupDescribe", 1, {"groupIds": [s.group]}, which=which)
        return described["groups"][0]["groupState"] == "Stable"
    quiet, end = 0, time.monotonic() + timeout
    while quiet < 8 or not stable():
        if time.monotonic() > end:
            raise AssertionError(f"{s.group} does not settle: {held}, {epochs}")
        quiet += 1
        for member in members:
            answer = s.quiet(BEAT, 1, beat(s.group, member, epochs[member],
                                           topicPartitions=held[member]), which=which)
            if answer["errorCode"]:
                raise AssertionError(f"{member}: {answer}")
            if answer["memberEpoch"] != epochs[member]:
                epochs[member], quiet = answer["memberEpoch"], 0
            if answer["assignment"] and owned(answer["assignment"]) != held[member]:
                held[member], quiet = owned(answer["assignment"]), 0
        time.sleep(0.2)
    return held, epochs


def create_known(s, topic, partitions=1, group=None):
    """A topic that the coordinator of `group` (s.group) knows: stock Kafka hands each its image of the metadata some time
    after the topic is there, and a member that comes earlier holds nothing at first. A member of another group of the
    same coordinator sees when."""
    topic_id = s.create(topic, partitions)
    know(s, topic, group or s.group)
    return topic_id


def know(s, topic, of):
    group = name_in(partition_of(of), f"probe-{topic}")
    coordinator(s, group)
    answer, end = s.quiet(BEAT, 1, joining(group, topic)), time.monotonic() + 90
    while not (answer["assignment"] and answer["assignment"]["topicPartitions"]):
        if answer["errorCode"] or time.monotonic() > end:
            raise AssertionError(f"{group} is given nothing: {answer}")
        time.sleep(0.1)
        news = s.quiet(BEAT, 1, beat(group, A, answer["memberEpoch"], topicPartitions=[]))
        answer = news if news["assignment"] else {**answer, "memberEpoch": news["memberEpoch"], "errorCode": news["errorCode"]}
    s.quiet(BEAT, 1, beat(group, A, -1))
    s.quiet("DeleteGroups", 2, {"groupsNames": [group]})


def consumer_strangers(s):
    """Heartbeats that are refused."""
    coordinator(s, "cs-any")
    s.create("cs-a")
    for v in s.versions(BEAT):
        s.ask("empty group id", BEAT, v, joining("", "cs-a"))
        s.ask("unknown group", BEAT, v, beat("cs-none", A, 5))
        s.ask("leave an unknown group", BEAT, v, beat("cs-none", A, -1))
        s.ask("leave an unknown group for a while", BEAT, v, beat("cs-none", A, -2,
                                                                instanceId="i"))
        s.ask("negative epoch", BEAT, v, beat("cs-none", A, -3))
        s.ask("no timeout", BEAT, v, {**joining("cs-none", "cs-a"), "rebalanceTimeoutMs": -1})
        s.ask("no subscription", BEAT, v, {**joining("cs-none"), "subscribedTopicNames": None})
        s.ask("no partitions", BEAT, v, {**joining("cs-none", "cs-a"), "topicPartitions": None})
        s.ask("owns something", BEAT, v, {**joining("cs-none", "cs-a"), "topicPartitions": [
            {"topicId": "f" * 32, "partitions": [0]}]})
        s.ask("empty instance", BEAT, v, joining("cs-none", "cs-a", instanceId=""))
        s.ask("empty rack", BEAT, v, joining("cs-none", "cs-a", rackId=""))
        s.ask("unknown assignor", BEAT, v, joining("cs-none", "cs-a", serverAssignor="best"))
        s.ask("a member of no epoch", BEAT, v, beat("cs-none", "", 3))
    s.ask("no member id", BEAT, 1, joining("cs-none", "cs-a", member=""))
    for number, regex in enumerate(("[", "(", "a{2", "*")):
        s.ask(f"bad pattern {number}", BEAT, 1, {
            **joining("cs-none"), "subscribedTopicNames": None, "subscribedTopicRegex": regex})
    for v in s.versions("ConsumerGroupDescribe"):
        s.ask("unknown", "ConsumerGroupDescribe", v, {
            "groupIds": ["cs-none", ""], "includeAuthorizedOperations": True})
        s.ask("nothing", "ConsumerGroupDescribe", v, {"groupIds": []})


def consumer_group_of_one(s):
    """One member: joins, holds everything, is described, leaves."""
    s.group = "co"
    coordinator(s, "co")
    topic_id = create_known(s, "co-a", 3)
    for v in s.versions(BEAT):
        member = A if v else ""
        answer = s.ask("join", BEAT, v, joining("co", "co-a", member=member))
        member = answer["memberId"]
        held, epochs = settle(s, {member: answer})
        s.note(f"holds (v{v})", s.normalise(held[member]))
        s.note(f"epoch (v{v})", epochs[member])
        s.ask("again", BEAT, v, beat("co", member, epochs[member]))
        s.ask("a later epoch", BEAT, v, beat("co", member, epochs[member] + 1))
        s.ask("a much older epoch", BEAT, v, beat("co", member, epochs[member] - 5))
        s.ask("a stranger", BEAT, v, beat("co", B, epochs[member]))
        for d in s.versions("ConsumerGroupDescribe"):
            s.ask("describe", "ConsumerGroupDescribe", d, {
                "groupIds": ["co"], "includeAuthorizedOperations": True})
        s.ask("describe as classic", "DescribeGroups", 6, {"groups": ["co"]})
        s.ask("join as classic", "JoinGroup", 9, {
            "groupId": "co", "sessionTimeoutMs": 30000, "rebalanceTimeoutMs": 30000,
            "memberId": "", "protocolType": "connect", "protocols": [
                {"name": "x", "metadata": b""}]})
        for o in (8, 9, 10):
            for name, epoch in (("good", epochs[member]), ("stale", epochs[member] - 1),
                                ("later", epochs[member] + 1)):
                topic = {"topicId": topic_id} if o >= 10 else {"name": "co-a"}
                s.ask(f"commit {name}", "OffsetCommit", o, {
                    "groupId": "co", "generationIdOrMemberEpoch": epoch, "memberId": member,
                    "topics": [{**topic, "partitions": [
                        {"partitionIndex": 0, "committedOffset": 4, "committedMetadata": ""}]}]})
        for name, who, epoch in (("good", member, epochs[member]), ("stranger", B, 1),
                                 ("stale", member, epochs[member] - 1), ("nobody", None, -1)):
            s.ask(f"fetch {name}", "OffsetFetch", 9, {"groups": [
                {"groupId": "co", "memberId": who, "memberEpoch": epoch, "topics": [
                    {"name": "co-a", "partitionIndexes": [0]}]}]})
        s.ask("delete with members", "DeleteGroups", 2, {"groupsNames": ["co"]})
        s.ask("leave", BEAT, v, beat("co", member, -1))
        s.ask("after leaving", BEAT, v, beat("co", member, epochs[member]))
        got = s.quiet("ListGroups", 5, {})
        s.note(f"listed (v{v})", [g for g in got["groups"] if g["groupId"] == "co"])
    s.ask("delete", "DeleteGroups", 2, {"groupsNames": ["co"]})
    s.ask("describe the deleted group", "ConsumerGroupDescribe", 1, {"groupIds": ["co"]})


def consumer_group_of_two(s):
    """Two members share; one takes over when the other goes."""
    s.group = "ct"
    coordinator(s, "ct")
    create_known(s, "ct-a", 4)
    first = s.ask("first", BEAT, 1, joining("ct", "ct-a", member=A))
    held, epochs = settle(s, {A: first})
    s.note("the first alone", s.normalise(held[A]))
    second = s.ask("second", BEAT, 1, joining("ct", "ct-a", member=B))
    first = {"memberEpoch": epochs[A], "assignment": {"topicPartitions": held[A]}}
    held, epochs = settle(s, {A: first, B: second})
    s.note("partitions of each", [sum(len(t["partitions"]) for t in held[m]) for m in (A, B)])
    s.note("same epoch", epochs[A] == epochs[B])
    for d in s.versions("ConsumerGroupDescribe"):
        got = s.quiet("ConsumerGroupDescribe", d, {"groupIds": ["ct"]})["groups"][0]
        s.note(f"described (v{d})", (got["groupState"], got["assignorName"], len(got["members"]),
                                     [m["memberEpoch"] == epochs[A] for m in got["members"]]))
    s.ask("second leaves", BEAT, 1, beat("ct", B, -1))
    state = {"memberEpoch": epochs[A], "assignment": {"topicPartitions": held[A]}}
    held, epochs = settle(s, {A: state})
    s.note("the first alone again", s.normalise(held[A]))
    s.ask("first leaves", BEAT, 1, beat("ct", A, -1))


def consumer_pattern(s):
    """A subscription by pattern; a topic that appears later."""
    s.group = "cp"
    coordinator(s, "cp")
    create_known(s, "cp-one", 2)
    create_known(s, "xcp-two")
    answer = s.ask("join", BEAT, 1, {**joining("cp"), "subscribedTopicNames": None,
                                     "subscribedTopicRegex": "cp-.*"})
    held, epochs = settle(s, {A: answer})
    s.note("holds", s.normalise(held[A]))
    s.ask("describe", "ConsumerGroupDescribe", 1, {"groupIds": ["cp"]})
    s.ask("leave", BEAT, 1, beat("cp", A, -1))


def consumer_static(s):
    """Static members: leave for a while, come back, are fenced."""
    s.group = "cst"
    coordinator(s, "cst")
    create_known(s, "cst-a", 2)
    answer = s.ask("join", BEAT, 1, joining("cst", "cst-a", instanceId="i1"))
    held, epochs = settle(s, {A: answer})
    s.ask("another with that name", BEAT, 1, joining("cst", "cst-a", member=B, instanceId="i1"))
    s.ask("leaves for a while", BEAT, 1, beat("cst", A, -2, instanceId="i1"))
    answer = s.ask("comes back under another id", BEAT, 1, joining("cst", "cst-a", member=B,
                                                                  instanceId="i1"))
    held, epochs = settle(s, {B: answer})
    s.note("holds", s.normalise(held[B]))
    s.ask("the old id", BEAT, 1, beat("cst", A, epochs[B], instanceId="i1"))
    s.ask("leaves", BEAT, 1, beat("cst", B, -1, instanceId="i1"))


def consumer_and_classic(s):
    """A classic group is in the way of a newer one, and the other way round."""
    s.group = "cc"
    coordinator(s, "cc")
    create_known(s, "cc-a")
    member, _ = enter(s, "cc")
    s.ask("describe a classic group", "ConsumerGroupDescribe", 1, {"groupIds": ["cc"]})
    leave(s, "cc", member)
    answer = s.ask("an empty classic group is taken over", BEAT, 1, joining("cc", "cc-a"))
    held, _ = settle(s, {A: answer})
    s.note("holds", s.normalise(held[A]))
    s.ask("leave", BEAT, 1, beat("cc", A, -1))
    member, generation = enter(s, "cc")
    s.note("generation of the classic group again", generation)
    leave(s, "cc", member)


SCRIPTS = [consumer_strangers, consumer_group_of_one, consumer_group_of_two, consumer_pattern,
           consumer_static, consumer_and_classic]

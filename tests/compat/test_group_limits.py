"""Many groups, and what a broker does with them when its log is damaged."""
import struct
from pathlib import Path

import client
from runner import check, equal, needs, until
from test_bad_input import memory_kib, wait_group

MANY = 10_000


def commit_body(group, offset):
    return {"groupId": group, "generationIdOrMemberEpoch": -1, "memberId": "", "topics": [
        {"name": "many", "partitions": [{"partitionIndex": 0, "committedOffset": offset,
                                         "committedMetadata": ""}]}]}


def offsets_of(raw, groups):
    """{group: committed offset}, asked for 500 groups at a time."""
    found = {}
    for at in range(0, len(groups), 500):
        answer = raw.request("OffsetFetch", 9, {"groups": [
            {"groupId": g, "memberId": None, "memberEpoch": -1,
             "topics": [{"name": "many", "partitionIndexes": [0]}]}
            for g in groups[at:at + 500]]}, 60)
        for g in answer["groups"]:
            equal(g["errorCode"], 0, g["groupId"])
            found[g["groupId"]] = g["topics"][0]["partitions"][0]["committedOffset"]
    return found


@needs("slow")
def test_ten_thousand_groups(context):
    """They commit, are listed, survive a restart, and are deleted; what they take is bounded."""
    broker = context.fresh(overrides={"offsets.topic.num.partitions": "5"})
    groups = [f"many-{n:05d}" for n in range(MANY)]
    with broker.connect() as raw:
        client.create_topic(raw, "many", 1)
        wait_group(raw, groups[0])
        before = memory_kib(broker.process)
        for number, group in enumerate(groups):
            answer = raw.request("OffsetCommit", 8, commit_body(group, number), 60)
            equal(answer["topics"][0]["partitions"][0]["errorCode"], 0, group)
        if broker.kind == "sluice":
            grown = memory_kib(broker.process) - before
            check(grown < 128 * 1024, f"{grown} KiB for {MANY} groups")
        listed = {g["groupId"] for g in raw.request("ListGroups", 5, {}, 60)["groups"]}
        check(listed >= set(groups), f"{len(listed)} groups listed")
        described = raw.request("DescribeGroups", 5, {"groups": groups[:2000]}, 60)["groups"]
        equal({g["groupState"] for g in described}, {"Empty"}, "states")
    equal(broker.stop(), 0, "exit status")
    broker.start()
    with broker.connect() as raw:
        wait_group(raw, groups[0])
        until(lambda: len(raw.request("ListGroups", 5, {}, 60)["groups"]) >= MANY, 180,
              what="all groups loaded")
        equal(offsets_of(raw, groups), {g: n for n, g in enumerate(groups)}, "offsets")
        for at in range(0, MANY, 1000):
            results = raw.request("DeleteGroups", 2, {"groupsNames": groups[at:at + 1000]}, 120)
            equal({r["errorCode"] for r in results["results"]}, {0}, "deletions")
        equal(raw.request("ListGroups", 5, {}, 60)["groups"], [], "groups left")


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


@needs("sluice")
def test_damaged_offsets_log(context):
    """A batch of __consumer_offsets rots while the broker is down: the others still count."""
    broker = context.fresh(overrides={"offsets.topic.num.partitions": "1"})
    groups = [f"rot-{n}" for n in range(20)]
    with broker.connect() as raw:
        client.create_topic(raw, "many", 1)
        wait_group(raw, groups[0])
        for number, group in enumerate(groups):
            raw.request("OffsetCommit", 8, commit_body(group, number))
    equal(broker.stop(), 0, "exit status")
    log = next(p for p in Path(broker.log_dir).glob("__consumer_offsets-0/*.log"))
    data, starts, at = log.read_bytes(), [], 0
    while at + 12 <= len(data):
        starts.append(at)
        at += 12 + struct.unpack_from(">i", data, at + 8)[0]
    check(len(starts) >= 20, f"{len(starts)} batches")
    victim = starts[len(starts) // 2]
    flip(log, victim + 61 + 10)  # within its first record: the checksum does not fit any more
    broker.start()
    with broker.connect() as raw:
        wait_group(raw, groups[0])
        found = offsets_of(raw, groups)
        right = {g: n for n, g in enumerate(groups)}
        lost = [g for g in groups if found[g] != right[g]]
        check(len(lost) <= 1, f"{len(lost)} offsets lost: {lost}")
        equal({found[g] for g in lost} <= {-1}, True, "the lost one reads as none")
        answer = raw.request("OffsetCommit", 8, commit_body(groups[10], 77))
        equal(answer["topics"][0]["partitions"][0]["errorCode"], 0, "a commit afterwards")
        equal(offsets_of(raw, [groups[10]]), {groups[10]: 77}, "and its offset")

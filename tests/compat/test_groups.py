"""Consumer groups as real clients use them: members come and go, commits survive."""
import json
import re

import client
import kafka_dist
import records
from members import Member, wait
from runner import check, equal, needs, until
from test_bench import end_offsets
from test_kcat import kcat
from test_tools import tool

java = needs("java")


def new_topic(broker, name, partitions=1):
    with broker.connect() as raw:
        client.create_topic(raw, name, partitions)
        client.wait_topic(raw, name, partitions)
    return name


def produce(broker, topic, partitions, count):
    """`count` records to each partition; {(partition, offset)}."""
    out = set()
    with broker.connect() as raw:
        for p in range(partitions):
            answer = raw.request("Produce", 9, client.produce_body(topic, {p: records.batch(
                [b"value %d" % n for n in range(count)])}))
            base = answer["responses"][0]["partitionResponses"][0]["baseOffset"]
            out |= {(p, base + n) for n in range(count)}
    return out


def committed(broker, group, topic):
    """{partition: offset} of the group, by a request of its own."""
    with broker.connect() as raw:
        answer = raw.request("OffsetFetch", 8, {"groups": [{"groupId": group, "topics": None}]})
    group_answer = answer["groups"][0]
    if group_answer["errorCode"]:
        return {}
    return {p["partitionIndex"]: p["committedOffset"] for t in group_answer["topics"]
            if t["name"] == topic for p in t["partitions"]}


def two_members(context, library, variant=None):
    """A group of two that rebalances, commits, and resumes; nothing is lost and no two share."""
    broker, group = context.broker, context.name("group")
    topic = new_topic(broker, context.name("group-of-two"), 4)
    sent = produce(broker, topic, 4, 50)
    first = Member(context, library, variant, topic, group)
    second = None

    def committed_are(offset):
        return committed(broker, group, topic) == dict.fromkeys(range(4), offset)
    try:
        wait(lambda: first.owned == [0, 1, 2, 3], "all partitions with the first", first)
        wait(lambda: first.got() >= sent, "all records with the first", first)
        wait(lambda: committed_are(50), "commits of the first", first)
        second = Member(context, library, variant, topic, group)
        both = first, second
        wait(lambda: second.owned and sorted(first.owned + second.owned) == [0, 1, 2, 3] and
             len(first.owned) == 2, "two partitions each", *both)
        changes = [m.changes() for m in both]
        begin = [len(m.events) for m in both]
        sent |= produce(broker, topic, 4, 50)
        wait(lambda: first.got() | second.got() >= sent, "all records with both", *both)
        check(not {o for _, o in second.got() if o < 50}, "what had been committed was read again")
        if [m.changes() for m in both] == changes:  # else a member was kept waiting for too long, and lost its seat
            for m, at in zip(both, begin):
                equal({p for p, _ in m.got(at)}, set(m.owned), "partitions that one has read")
        wait(lambda: committed_are(100), "commits of everything", *both)
        second.leave()
        wait(lambda: first.owned == [0, 1, 2, 3], "all partitions with the first again", first)
        sent |= produce(broker, topic, 4, 10)
        wait(lambda: first.got() | second.got() >= sent, "the last records", first)
        wait(lambda: committed_are(110), "commits of the last records", first)
    finally:
        first.leave()
        if second:
            second.leave()
    equal([m.events[-1][0] for m in both], ["left", "left"], "their ends")


def test_group_of_two_kafka_python_2_0_2(context):
    two_members(context, "kafka-python", "venv-kafka-python-2.0.2")


def test_group_of_two_kafka_python_newest(context):
    two_members(context, "kafka-python", "venv")


def test_group_of_two_confluent(context):
    two_members(context, "confluent", "venv")


def test_group_of_two_confluent_newer_protocol(context):
    """The same with group.protocol=consumer (KIP-848)."""
    two_members(context, "confluent-consumer", "venv")


def test_group_of_two_kcat(context):
    two_members(context, "kcat")


@needs("slow")
def test_group_of_two_aiokafka(context):
    two_members(context, "aiokafka", "venv-aiokafka")


@needs("slow")
def test_group_of_two_kafkajs(context):
    two_members(context, "kafkajs")


@needs("slow")
def test_group_of_two_franz_go(context):
    two_members(context, "franz-go")


@needs("java", "slow")
def test_group_of_two_java(context):
    two_members(context, "java-4.3", "classic")


@needs("java", "slow")
def test_group_of_two_java_newer_protocol(context):
    two_members(context, "java-4.3", "consumer")


@needs("java", "slow")
def test_group_of_two_java_3_9(context):
    two_members(context, "java-3.9", "classic")


def resume(context, how, library="confluent", variant="venv"):
    """A member that lives through the broker's end goes on where it committed, and so does one that comes later."""
    broker, group = context.fresh(), context.name("group")
    topic = new_topic(broker, context.name("group-resume"), 2)
    sent = produce(broker, topic, 2, 100)
    member = Member(context, library, variant, topic, group, broker)

    def committed_are(offset):
        return committed(broker, group, topic) == {0: offset, 1: offset}
    try:
        wait(lambda: member.got() >= sent, "all records", member)
        wait(lambda: committed_are(100), "commits", member)
        how(broker)
        broker.start()
        wait(lambda: committed_are(100), "the commits after the restart", member)
        before = len(member.events)
        new = produce(broker, topic, 2, 10)
        wait(lambda: member.got() >= sent | new, "records after the restart", member)
        wait(lambda: committed_are(110), "commits after the restart", member)
        equal(member.got(before), new, "records read after the restart")
    finally:
        member.leave()
    equal(member.events[-1][0], "left", "the member's end")
    new = produce(broker, topic, 2, 5)
    other = Member(context, library, variant, topic, group, broker)
    try:
        wait(lambda: other.got() >= new, "the records behind the commits", other)
        wait(lambda: committed_are(115), "commits of the other", other)
        equal(other.got(), new, "records of the other")
    finally:
        other.leave()


def killed(broker):
    broker.kill()


def stopped(broker):
    broker.stop()


def test_group_resumes_after_a_stop(context):
    resume(context, stopped)


def test_group_resumes_after_kill(context):
    resume(context, killed)


@needs("slow")
def test_group_resumes_after_kill_confluent_newer_protocol(context):
    resume(context, killed, "confluent-consumer")


@needs("slow")
def test_group_resumes_after_kill_kcat(context):
    resume(context, killed, "kcat", None)


@needs("slow")
def test_group_resumes_after_kill_kafka_python_2_0_2(context):
    resume(context, killed, "kafka-python", "venv-kafka-python-2.0.2")


@needs("slow")
def test_group_resumes_after_kill_kafka_python_newest(context):
    resume(context, killed, "kafka-python", "venv")


@needs("slow")
def test_group_resumes_after_kill_aiokafka(context):
    resume(context, killed, "aiokafka", "venv-aiokafka")


@needs("slow")
def test_group_resumes_after_kill_kafkajs(context):
    resume(context, killed, "kafkajs", None)


@needs("slow")
def test_group_resumes_after_kill_franz_go(context):
    resume(context, killed, "franz-go", None)


@needs("java", "slow")
def test_group_resumes_after_kill_java(context):
    resume(context, killed, "java-4.3", "classic")


@needs("java", "slow")
def test_group_resumes_after_kill_java_newer_protocol(context):
    resume(context, killed, "java-4.3", "consumer")


@needs("java", "slow")
def test_group_resumes_after_kill_java_3_9(context):
    resume(context, killed, "java-3.9", "classic")


def test_group_without_a_member_that_died(context):
    """A member that is killed is out after its session time-out."""
    broker, group = context.broker, context.name("group")
    topic = new_topic(broker, context.name("group-death"), 2)
    first = Member(context, "confluent", "venv", topic, group)
    second = Member(context, "confluent", "venv", topic, group, session_ms=6000)
    try:
        wait(lambda: first.owned and second.owned, "a partition each", first, second)
        second.kill()
        wait(lambda: first.owned == [0, 1], "both partitions with the one that lives", first)
    finally:
        first.leave()
        second.kill()


def test_group_kcat(context):
    broker, group = context.broker, context.name("group")
    topic = new_topic(broker, context.name("group-kcat"), 3)

    def read():
        out = kcat(broker, "-G", group, topic, "-e", "-q", "-f", "%p %o\n",
                   "-X", "auto.offset.reset=earliest")
        return {tuple(map(int, line.split())) for line in out.decode().splitlines()}
    equal(read(), set(), "of an empty topic")
    sent = produce(broker, topic, 3, 40)
    equal(read(), sent, "the first time")
    more = produce(broker, topic, 3, 7)
    equal(read(), more, "the second time")
    out = kcat(broker, "-G", context.name("group"), f"^{topic}$", "-e", "-q", "-f", "%p %o\n",
               "-X", "auto.offset.reset=earliest")
    got = {tuple(map(int, line.split())) for line in out.decode().splitlines()}
    equal(got, sent | more, "by pattern")


@java
def test_group_console_consumer(context):
    topic = new_topic(context.broker, context.name("group-console"), 3)
    produce(context.broker, topic, 3, 20)
    common = ("--topic", topic, "--timeout-ms", 120000)
    out = tool(context, "console-consumer", *common, "--from-beginning", "--max-messages", 60)
    equal(len(out.split("\n")) - 1, 60, "lines without a group")
    group = ("--group", context.name("group"))
    out = tool(context, "console-consumer", *common, *group, "--from-beginning",
               "--max-messages", 60)
    equal(len(out.split("\n")) - 1, 60, "lines of a new group")
    produce(context.broker, topic, 3, 1)
    out = tool(context, "console-consumer", *common, *group, "--max-messages", 3)
    equal(len(out.split("\n")) - 1, 3, "lines after the commits")


# ---- kafka-consumer-groups, against stock Kafka's output

def scene(broker, raw):
    """The same groups on any broker: one with offsets alone, one with a member of `raw`."""
    for topic, partitions in (("cg-a", 2), ("cg-b", 1)):
        client.create_topic(raw, topic, partitions)
        client.wait_topic(raw, topic, partitions)
    for topic, partition, count in (("cg-a", 0, 10), ("cg-a", 1, 4), ("cg-b", 0, 3)):
        for number in range(count):
            raw.request("Produce", 9, client.produce_body(topic, {partition: records.batch(
                [b"x"], base_timestamp=records.BASE_TIME + number * 1000)}))
    until(lambda: raw.request("FindCoordinator", 2, {"key": "cg", "keyType": 0})[
        "errorCode"] == 0, what="a coordinator")

    def commit():
        answer = raw.request("OffsetCommit", 8, {
            "groupId": "cg-simple", "generationIdOrMemberEpoch": -1, "memberId": "", "topics": [
                {"name": "cg-a", "partitions": [
                    {"partitionIndex": 0, "committedOffset": 3, "committedMetadata": ""},
                    {"partitionIndex": 1, "committedOffset": 4, "committedMetadata": ""}]},
                {"name": "cg-b", "partitions": [
                    {"partitionIndex": 0, "committedOffset": 0, "committedMetadata": ""}]}]})
        return all(p["errorCode"] == 0 for t in answer["topics"] for p in t["partitions"])
    until(commit, what="the commit")


SUBSCRIPTION = (b"\0\1" + b"\0\0\0\1" + b"\0\4cg-b" + b"\xff\xff\xff\xff" + b"\0\0\0\0")
ASSIGNMENT = b"\0\1" + b"\0\0\0\1" + b"\0\4cg-b" + b"\0\0\0\1" + b"\0\0\0\0" + b"\xff\xff\xff\xff"


def join(raw):
    body = {"groupId": "cg-member", "sessionTimeoutMs": 60000, "rebalanceTimeoutMs": 60000,
            "memberId": "", "groupInstanceId": "one", "protocolType": "consumer",
            "protocols": [{"name": "range", "metadata": SUBSCRIPTION}]}
    answer = {}

    def joined():
        answer.update(raw.request("JoinGroup", 7, body))
        return answer["errorCode"] == 0
    until(joined, what="the member")
    raw.request("SyncGroup", 4, {
        "groupId": "cg-member", "generationId": answer["generationId"],
        "memberId": answer["memberId"], "groupInstanceId": "one",
        "assignments": [{"memberId": answer["memberId"], "assignment": ASSIGNMENT}]})


def masked(text, broker):
    """A tool's output without what must differ; rows sorted, blanks as one."""
    text = re.sub(r"one-[0-9a-f-]{36}", "<member>", text)  # which may hold the port's digits
    text = text.replace(broker.address, "<address>").replace(str(broker.port), "<port>")
    text = re.sub(rf"/{re.escape(broker.client_host)}(?=\s)", "/<client>", text)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return sorted(line for line in lines if line and not line.startswith("at "))


STEPS = [
    ("list", "--list"),
    ("list with state", "--list", "--state"),
    ("list of a state", "--list", "--state", "Stable"),
    ("list with type", "--list", "--type"),
    ("list of a type", "--list", "--type", "classic"),
    ("describe", "--describe", "--group", "cg-simple"),
    ("describe offsets of a member", "--describe", "--group", "cg-member", "--offsets"),
    ("describe members", "--describe", "--group", "cg-member", "--members"),
    ("describe members, verbose", "--describe", "--group", "cg-member", "--members", "--verbose"),
    ("describe state", "--describe", "--group", "cg-member", "--state"),
    ("describe state of offsets alone", "--describe", "--group", "cg-simple", "--state"),
    ("describe members of offsets alone", "--describe", "--group", "cg-simple", "--members"),
    ("describe all", "--describe", "--all-groups"),
    ("describe unknown", "--describe", "--group", "cg-none"),
    ("delete with members", "--delete", "--group", "cg-member"),
    ("delete unknown", "--delete", "--group", "cg-none"),
    ("delete offsets", "--delete-offsets", "--group", "cg-simple", "--topic", "cg-b"),
    ("delete offsets of unknown", "--delete-offsets", "--group", "cg-none", "--topic", "cg-b"),
]
RESETS = [
    ("earliest", "--to-earliest"), ("latest", "--to-latest"), ("offset", "--to-offset", 2),
    ("past the end", "--to-offset", 99), ("current", "--to-current"), ("shift", "--shift-by", -1),
    ("shift up", "--shift-by", 3),
    ("datetime", "--to-datetime", "2020-01-01T00:00:00.000"), ("duration", "--by-duration", "P1D"),
]


@java
def test_consumer_groups_tool_as_stock(context):
    """kafka-consumer-groups in every form, its output against both brokers."""
    wrong, outputs = [], []
    for broker in (context.fresh("kafka"), context.fresh()):
        seen = {}
        with broker.connect() as raw:
            scene(broker, raw)
            join(raw)

            def run(name, *args, broker=broker, seen=seen):
                answer = context.tools.run("consumer-groups", "--bootstrap-server",
                                           broker.address, *args)
                seen[name] = (answer.code, masked(answer.out, broker), masked(answer.err, broker))
            for name, *args in STEPS:
                run(name, *args)
            for name, *args in RESETS:
                common = ("--reset-offsets", "--group", "cg-simple", "--topic", "cg-a", *args)
                run(f"reset to {name}, dry", *common, "--dry-run")
                run(f"reset to {name}", *common, "--execute")
                run(f"after the reset to {name}", "--describe", "--group", "cg-simple")
            run("reset one partition", "--reset-offsets", "--group", "cg-simple", "--topic",
                "cg-a:1", "--to-offset", 1, "--execute")
            run("reset all topics", "--reset-offsets", "--group", "cg-simple", "--all-topics",
                "--to-earliest", "--execute")
            run("export", "--reset-offsets", "--group", "cg-simple", "--all-topics",
                "--to-current", "--export", "--dry-run")
            plan = context.scratch / "plan.csv"
            plan.write_text("\"cg-a\",0,7\n\"cg-a\",1,2\n")
            run("from a file", "--reset-offsets", "--group", "cg-simple", "--from-file", plan,
                "--execute")
            run("reset a group with members", "--reset-offsets", "--group", "cg-member",
                "--topic", "cg-b", "--to-earliest", "--execute")
            run("delete", "--delete", "--group", "cg-simple")
            run("list at the end", "--list")
        outputs.append(seen)
    for name, stock in outputs[0].items():
        if stock != outputs[1][name]:
            wrong.append(f"{name}:\n    stock: {stock}\n    ours:  {outputs[1][name]}")
    check(not wrong, f"{len(wrong)} outputs differ\n  " + "\n  ".join(wrong[:10]))


# ---- settings of groups and reassignments, against stock Kafka's output

REASSIGNMENT = json.dumps({"version": 1, "partitions": [
    {"topic": "ra-a", "partition": p, "replicas": [1], "log_dirs": ["any"]} for p in range(2)] + [
    {"topic": "ra-none", "partition": 0, "replicas": [1], "log_dirs": ["any"]}]})
ELSEWHERE = json.dumps({"version": 1, "partitions": [
    {"topic": "ra-a", "partition": 7, "replicas": [1], "log_dirs": ["any"]}]})
GROUP_STEPS = [
    ("nothing set", "configs", "--describe", "--entity-type", "groups", "--entity-name", "s-g"),
    ("set", "configs", "--alter", "--entity-type", "groups", "--entity-name", "s-g",
     "--add-config", "consumer.session.timeout.ms=50000,consumer.heartbeat.interval.ms=6000"),
    ("now set", "configs", "--describe", "--entity-type", "groups", "--entity-name", "s-g"),
    ("of all groups", "configs", "--describe", "--entity-type", "groups"),
    ("too small", "configs", "--alter", "--entity-type", "groups", "--entity-name", "s-g",
     "--add-config", "consumer.session.timeout.ms=5"),
    ("unknown", "configs", "--alter", "--entity-type", "groups", "--entity-name", "s-g",
     "--add-config", "no.such.key=5"),
    ("delete", "configs", "--alter", "--entity-type", "groups", "--entity-name", "s-g",
     "--delete-config", "consumer.session.timeout.ms"),
    ("one left", "configs", "--describe", "--entity-type", "groups", "--entity-name", "s-g"),
    ("list of groups", "groups", "--list"),
    ("consumer groups", "groups", "--list", "--consumer"),
    ("of a type", "groups", "--list", "--group-type", "classic"),
]
GROUP_CHANGES = {"set": "50000", "delete": "45000"}  # consumer.session.timeout.ms after these steps


def session_timeout(broker, group):
    with broker.connect() as raw:
        answer = raw.request("DescribeConfigs", 4, {"resources": [{
            "resourceType": 32, "resourceName": group, "configurationKeys": ["consumer.session.timeout.ms"]}]})
    return answer["results"][0]["configs"][0]["value"]


@java
def test_group_settings_and_reassignments_as_stock(context):
    """kafka-configs --entity-type groups, kafka-groups, kafka-reassign-partitions --verify."""
    brokers = [context.fresh("kafka"), context.fresh()]
    plan, elsewhere = context.scratch / "plan.json", context.scratch / "elsewhere.json"
    plan.write_text(REASSIGNMENT)
    elsewhere.write_text(ELSEWHERE)
    steps = GROUP_STEPS + [
        ("verify", "reassign-partitions", "--verify", "--reassignment-json-file", plan),
        ("verify, throttles kept", "reassign-partitions", "--verify", "--preserve-throttles",
         "--reassignment-json-file", plan),
        ("verify of a partition that is not there", "reassign-partitions", "--verify",
         "--reassignment-json-file", elsewhere),
        ("list", "reassign-partitions", "--list"),
    ]
    wrong = []
    for broker in brokers:
        with broker.connect() as raw:
            scene(broker, raw)
            client.create_topic(raw, "ra-a", 2)
            client.wait_topic(raw, "ra-a", 2)
    for name, program, *args in steps:
        outs = []
        for broker in brokers:
            answer = context.tools.run(program, "--bootstrap-server", broker.address, *args)
            outs.append((answer.code, masked(answer.out, broker), masked(answer.err, broker)[:3]))
            if name in GROUP_CHANGES:  # a change of stock Kafka's is seen a little later
                until(lambda: session_timeout(broker, "s-g") == GROUP_CHANGES[name], what=f"{name} to show")
        if outs[0] != outs[1]:
            wrong.append(f"{name}\n    stock: {outs[0]}\n    ours:  {outs[1]}")
    check(not wrong, f"{len(wrong)} outputs differ\n  " + "\n  ".join(wrong[:10]))


@java
def test_verifiable_tools(context):
    """In JVMs of their own: they finish their work in a shutdown hook."""
    topic = new_topic(context.broker, context.name("group-verifiable"), 2)
    where = ("--bootstrap-server", context.broker.address, "--topic", topic)
    done = kafka_dist.run_tool("verifiable-producer", *where, "--max-messages", 500)
    equal(done.returncode, 0, f"exit status, {done.stderr[-1500:]}")
    equal(done.stdout.count('"name":"producer_send_success"'), 500, "records sent")
    check('"sent":500' in done.stdout and '"acked":500' in done.stdout, done.stdout[-500:])
    done = kafka_dist.run_tool("verifiable-consumer", *where, "--group-id", context.name("group"),
                               "--max-messages", 500, "--reset-policy", "earliest")
    equal(done.returncode, 0, f"exit status, {done.stderr[-1500:]}")
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    equal(sum(e["count"] for e in events if e["name"] == "records_consumed"), 500, "records")
    commits = [e for e in events if e["name"] == "offsets_committed"]
    check(commits and all(e["success"] for e in commits), f"commits: {commits[:3]}")
    equal({e["name"] for e in events} >= {"startup_complete", "partitions_assigned",
                                          "shutdown_complete"}, True, "events")


@java
def test_stock_formatters_read_our_offsets(context):
    """Records of __consumer_offsets by stock Kafka's own decoders."""
    broker, group = context.fresh(), "fmt-group"
    topic = new_topic(broker, "fmt-topic", 1)
    produce(broker, topic, 1, 5)
    tool(context, "console-consumer", "--topic", topic, "--group", group, "--from-beginning",
         "--max-messages", 5, broker=broker)
    written = {p: end for p, end in enumerate(end_offsets(broker, "__consumer_offsets", 50)) if end > 0}
    for name, wanted in (("OffsetsMessageFormatter", ('"offset":5', '"topic":"fmt-topic"')),
                         ("GroupMetadataMessageFormatter", ('"protocolType":"consumer"',))):
        out = "".join(tool(context, "console-consumer", "--topic", "__consumer_offsets", "--partition", p,
                           "--offset", "earliest", "--max-messages", end, "--timeout-ms", 90000, "--formatter",
                           f"org.apache.kafka.tools.consumer.{name}", broker=broker)
                      for p, end in written.items())
        check(all(w in out for w in (f'"group":"{group}"', *wanted)), f"{name}: {out[-2000:]}")
    broker.stop()
    logs = [p for p in broker.log_dir.glob("__consumer_offsets-*/*.log") if p.stat().st_size]
    check(logs, "no log of __consumer_offsets holds anything")
    out = "".join(tool(context, "dump-log", "--offsets-decoder", "--files", p, bootstrap=None)
                  for p in logs)
    check(group in out and "fmt-topic" in out, f"dump-log: {out[-2000:]}")


def test_internal_topic_is_guarded(context):
    """__consumer_offsets is listed as internal, and clients may not write to it."""
    with context.broker.connect() as raw:
        until(lambda: raw.request("FindCoordinator", 2, {"key": "x", "keyType": 0})[
            "errorCode"] == 0, what="a coordinator")
        entry = client.wait_topic(raw, "__consumer_offsets", 50)
        check(entry["isInternal"], "it is not told to be internal")
        answer = raw.request("Produce", 9, client.produce_body("__consumer_offsets", {
            0: records.batch([b"x"], keys=[b"k"])}))
        equal(answer["responses"][0]["partitionResponses"][0]["errorCode"], 17, "error")

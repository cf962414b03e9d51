"""/metrics, /healthz and /readyz of sluice.metrics.listener, and `sluice stages` on top of them."""
import re
import subprocess
import urllib.error
import urllib.request

import brokers
import client
import kafka_dist
import records
from runner import check, equal, needs, until


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def samples(page):
    """{name{labels}: value}; every line must be one of the format's."""
    found = {}
    for line in page.splitlines():
        if re.fullmatch(r"# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* .+", line):
            continue
        m = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?) ([-+0-9.eE]+)", line)
        check(m, f"not a line of the format: {line!r}")
        check(m[1] not in found, f"{m[1]} stands there twice")
        found[m[1]] = float(m[2])
    return found


def total(values, prefix):
    return sum(v for k, v in values.items() if k == prefix or k.startswith(prefix + "{"))


@needs("sluice")
def test_metrics_count_what_happened(context):
    port = brokers.free_ports()[0]
    broker = context.fresh(overrides={"sluice.metrics.listener": f"127.0.0.1:{port}"})
    equal(get(port, "/healthz")[0], 200, "/healthz")
    equal(get(port, "/readyz"), (200, "ready\n"), "/readyz")
    before = samples(get(port, "/metrics")[1])
    equal(total(before, "kafka_server_brokertopicmetrics_messagesin_total"), 0, "records at the start")
    with broker.connect() as raw:
        client.create_topic(raw, "counted", 1)
        batch = records.batch([b"x" * 100] * 7)
        for _ in range(3):
            answer = raw.request("Produce", 9, client.produce_body("counted", {0: batch}))
            equal(answer["responses"][0]["partitionResponses"][0]["errorCode"], 0, "produce")
        answer = raw.request("Produce", 9, client.produce_body("not-there", {0: batch}))
        check(answer["responses"][0]["partitionResponses"][0]["errorCode"] != 0, "no such topic")
        # A shard counts beside its answers: soon, not before them.
        wanted = {'kafka_network_requestmetrics_requests_total{request="Produce"}': 4,
                  'sluice_stage_seconds_count{class="produce",stage="durable"}': 3}
        until(lambda: wanted.items() <= samples(get(port, "/metrics")[1]).items(), what=f"{wanted}")
        after = samples(get(port, "/metrics")[1])
        equal(total(after, "kafka_server_socket_server_metrics_connection_count"), 1, "connections")
        fetched = client.fetch_body("counted", max_wait=0)
        got = raw.request("Fetch", 12, fetched)["responses"][0]["partitions"][0]["records"]
        equal(len(got), 3 * len(batch), "bytes of a fetch")
        fetched_bytes, sent_bytes = ("kafka_server_brokertopicmetrics_bytesout_total",
                                     "kafka_server_socket_server_metrics_outgoing_byte_total")

        def counted():
            page = samples(get(port, "/metrics")[1])
            whole = total(page, fetched_bytes) and total(page, sent_bytes) - total(after, sent_bytes) > len(got)
            return page if whole else None
        later = until(counted, what="the count of what was fetched")
    equal(total(after, "kafka_server_brokertopicmetrics_messagesin_total"), 21, "records")
    equal({k: after[k] for k in wanted}, wanted, "requests and durable appends, once more")
    equal(total(after, "kafka_server_brokertopicmetrics_bytesin_total"), 3 * len(batch), "bytes of records")
    equal(total(after, fetched_bytes), 0, "bytes fetched before")
    equal(total(later, fetched_bytes), len(got), "bytes fetched")
    equal(after['kafka_network_requestmetrics_errors_total{request="Produce"}'], 1, "errors")
    check(total(after, "kafka_server_socket_server_metrics_incoming_byte_total") > 4 * len(batch), "bytes of requests")
    check(after["process_resident_memory_bytes"] > 1 << 20, "resident memory")
    check(get(port, "/nothing")[0] == 404, "a page that is not there")
    done = subprocess.run([brokers.SLUICED.with_name("sluice"), "stages", f"127.0.0.1:{port}"],
                          capture_output=True, text=True, timeout=120)
    check(done.returncode == 0 and re.search(r"^produce +durable +3 ", done.stdout, re.M), done)
    done = subprocess.run([brokers.SLUICED.with_name("sluice"), "stages", "--shards", f"127.0.0.1:{port}"],
                          capture_output=True, text=True, timeout=120)
    rows = re.findall(r"^(\d+) +produce +durable +(\d+) ", done.stdout, re.M)
    equal(sum(int(n) for _, n in rows), 3, f"over the shards: {done}")


@needs("sluice")
def test_metrics_are_those_of_the_page(context):
    """docs/metrics.md and /metrics name the same metrics, with their types and labels."""
    page = {m[1]: (m[2], frozenset(re.findall(r"\w+", m[3])))
            for m in re.finditer(r"^\| `(\w+)` \| (\w+) \| ([\w, -]+) \|",
                                 (kafka_dist.ROOT / "docs" / "metrics.md").read_text(), re.M)}
    port = brokers.free_ports()[0]
    broker = context.fresh(overrides={"sluice.metrics.listener": f"127.0.0.1:{port}"})
    with broker.connect() as raw:
        raw.request("ApiVersions", 0, {})
        text = get(port, "/metrics")[1]
    told = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    equal(told, {name: kind for name, (kind, _) in page.items()}, "names and types")
    equal(set(re.findall(r"^# HELP (\w+) ", text, re.M)), set(page), "names with a help")
    for sample in samples(text):
        name, _, labels = sample.partition("{")
        name = name if name in page else re.sub(r"_(bucket|sum|count)$", "", name)
        equal(set(re.findall(r'(\w+)="', labels)) - {"le", "quantile"}, set(page[name][1]), f"labels of {name}")


@needs("sluice")
def test_metrics_tell_the_lag_of_groups(context):
    port = brokers.free_ports()[0]
    broker = context.fresh(overrides={"sluice.metrics.listener": f"127.0.0.1:{port}",
                                      "offsets.topic.num.partitions": "2"})
    group = 'odd "name"\\'
    name = f'sluice_group_lag_records{{group="odd \\"name\\"\\\\",topic="lagging"}}'

    def lag():
        return samples(get(port, "/metrics")[1]).get(name)

    def commit(partition, offset):
        answer = raw.request("OffsetCommit", 8, {
            "groupId": group, "generationIdOrMemberEpoch": -1, "memberId": "", "topics": [
                {"name": "lagging", "partitions": [{
                    "partitionIndex": partition, "committedOffset": offset,
                    "committedMetadata": ""}]}]})
        return answer["topics"][0]["partitions"][0]["errorCode"] == 0

    with broker.connect() as raw:
        client.create_topic(raw, "lagging", 3)
        for partition in range(3):
            raw.request("Produce", 9, client.produce_body("lagging", {
                partition: records.batch([b"x"] * 10)}))
        raw.request("FindCoordinator", 2, {"key": group, "keyType": 0})
        until(lambda: commit(0, 3), what="a commit")
        until(lambda: lag() == 7, what="lag of a partition")
        check(commit(1, 10), "commit")
        check(commit(2, 500), "commit beyond the end")
        check(commit(0, 4), "commit")
        until(lambda: lag() == 6, what="lag of three partitions")
        equal(raw.request("DeleteTopics", 5, {"topicNames": ["lagging"], "timeoutMs": 9000})[
            "responses"][0]["errorCode"], 0, "deletion")
        until(lambda: lag() is None, what="no lag of a topic that is gone")


@needs("sluice")
def test_metrics_address_is_checked(context):
    for address in ("nowhere", "127.0.0.1:notaport", f"127.0.0.1:{context.broker.port}"):
        try:
            context.fresh(overrides={"sluice.metrics.listener": address})
        except brokers.StartFailed as e:
            check("sluice.metrics.listener" in str(e), f"{address}: {e}")
        else:
            check(False, f"started with {address}")

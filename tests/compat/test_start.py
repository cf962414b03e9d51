"""Starting and refusing to start: configuration, data directories, ports. For Sluice alone."""
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import brokers
import client
import kafkaproto
import records
from runner import check, equal, needs, skip, until

# The keys and values of the server.properties that Kafka 4.3 ships.
SHIPPED = Path(__file__).resolve().parents[1] / "unit/control/config/shipped.properties"
sluice = needs("sluice")


def run_sluiced(*args, timeout=120):
    """Run to its end (it is expected to refuse)."""
    folder = tempfile.mkdtemp(prefix="compat-start-")
    try:
        return subprocess.run([brokers.SLUICED, *map(str, args)], capture_output=True, text=True,
                              timeout=timeout, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refused(done, *words):
    """Exit 1, a reason on standard error with these words, nothing claimed on standard output."""
    equal(done.returncode, 1, f"exit status; standard error: {done.stderr[-800:]}")
    check("sluiced ready" not in done.stdout, "ready, but refused")
    missing = [w for w in words if str(w) not in done.stderr]
    check(not missing, f"{missing} not in: {done.stderr[-1200:]}")


def properties_file(context, text):
    path = context.scratch / "server.properties"
    path.write_text(text)
    return path


def own(log_dir, port=None):
    port = port or brokers.free_ports()[0]
    return ["--override", f"listeners=PLAINTEXT://127.0.0.1:{port}", "--override",
            f"log.dirs={log_dir}"]


def run_until_ready(command, folder, what):
    """Started in its folder; the process once it is ready (skips when it cannot be set up here)."""
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)

    def said():
        return (folder / "out").read_text(errors="replace")
    try:
        until(lambda: "sluiced ready" in said() or process.poll() is not None, 120, what=what)
        if said().startswith(("unshare:", "mount:", "ip:")):
            skip(f"not possible here: {said()[:200].strip()}")
        check(process.poll() is None, said()[-1500:])
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


@sluice
def test_start_with_shipped_properties(context):
    """The keys and values of Kafka 4.3's own file; only ports and directory differ here."""
    port, other = brokers.free_ports(2)
    folder = Path(tempfile.mkdtemp(prefix="compat-shipped-"))
    text = SHIPPED.read_text().replace("/tmp/kraft-combined-logs", str(folder / "data"))
    path = folder / "server.properties"
    path.write_text(re.sub("9092|9093", lambda m: str(port if m[0] == "9092" else other), text))
    process = run_until_ready([brokers.SLUICED, path], folder, "the ready line")
    try:
        with client.Client(f"127.0.0.1:{port}") as c:
            answer = c.request("Metadata", 12, {"topics": []})
            equal([(b["nodeId"], b["host"], b["port"]) for b in answer["brokers"]],
                  [(1, "localhost", port)], "advertised")
        process.send_signal(signal.SIGINT)
        equal(process.wait(120), 0, "exit status after SIGINT")
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@sluice
def test_start_with_shipped_file_itself(context):
    """The file as it is, its ports too (in a network of its own), only log.dirs overridden."""
    folder = Path(tempfile.mkdtemp(prefix="compat-shipped-"))
    process = run_until_ready(
        ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", brokers.SLUICED,
         SHIPPED, "--override", f"log.dirs={folder}/data"], folder, "the ready line")
    try:
        check("PLAINTEXT://:9092" in (folder / "out").read_text(), "the file's own port")
        process.send_signal(signal.SIGTERM)
        equal(process.wait(120), 0, "exit status after SIGTERM")
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@sluice
def test_start_refuses_wrong_values(context):
    """File, line, key and what was found are named."""
    for line, words in (("num.partitions=many", ("num.partitions", "many")),
                        ("num.partitions=0", ("num.partitions", "0")),
                        ("sluice.durability=maybe", ("sluice.durability", "maybe")),
                        ("sluice.shards=-1", ("sluice.shards", "-1")),
                        ("auto.create.topics.enable=perhaps", ("auto.create.topics.enable",)),
                        ("listeners=PLAINTEXT://127.0.0.1:99999", ("listeners",)),
                        ("listeners=NOPE://127.0.0.1:1", ("listeners", "NOPE")),
                        ("advertised.listeners=PLAINTEXT://0.0.0.0:9092",
                         ("advertised.listeners", "0.0.0.0"))):
        path = properties_file(context, f"# first\n\n{line}\n")
        refused(run_sluiced(path), path.name, *words)
        done = run_sluiced("--check", path)
        check(done.returncode == 1, f"--check took {line}")
        check(re.search(r":3\b|line 3\b", done.stderr), f"no line in {done.stderr[-500:]}")
        refused(run_sluiced("--override", line), *words)


@sluice
def test_start_warns_of_unknown_keys(context):
    broker = context.fresh(overrides={"no.such.key": "1"})
    equal(broker.log_text(100_000).count("no.such.key"), 1, "warnings")


@sluice
def test_start_check_help_version(context):
    path = properties_file(context, "num.partitions=7\n")
    done = run_sluiced("--check", path)
    equal(done.returncode, 0, f"--check: {done.stderr[-500:]}")
    check("num.partitions" in done.stdout and "7" in done.stdout, done.stdout[:800])
    for flag in ("--help", "--version"):
        done = run_sluiced(flag)
        equal(done.returncode, 0, flag)
        check(done.stdout.strip(), f"{flag} prints nothing")
    refused(run_sluiced("--no-such-option"))
    refused(run_sluiced("/no/such/server.properties"), "/no/such/server.properties")


@sluice
def test_start_second_broker_on_a_directory(context):
    broker = context.fresh()
    refused(run_sluiced(*own(broker.log_dir)), str(broker.log_dir))
    with broker.connect() as c:
        c.request("Metadata", 12, {"topics": []})


@sluice
def test_start_waits_for_memory_that_is_looked_at(context):
    """Somebody lists the named log memory (as `sluice log memory` does) while its broker starts again."""
    broker = context.fresh(overrides={"sluice.durability": "os"})
    with broker.connect() as c:
        client.create_topic(c, "looked-at")
        c.request("Produce", 9, client.produce_body("looked-at", {0: records.batch([b"kept"])}))
    broker.kill()
    regions = sorted(brokers.named_memory(broker.folder))
    if not regions:
        skip("no named log memory here")
    with regions[0].open("r+b") as looker:
        fcntl.flock(looker, fcntl.LOCK_EX)
        end = threading.Timer(0.5, fcntl.flock, (looker, fcntl.LOCK_UN))
        end.start()
        broker.start()
        end.join()
    with broker.connect() as c:
        client.wait_topic(c, "looked-at")
        part = c.request("Fetch", 12, client.fetch_body("looked-at"))["responses"][0]["partitions"][0]
        equal([r.value for b in records.parse(part["records"]) for r in b.records], [b"kept"], "what was acked")


@sluice
def test_start_port_in_use(context):
    broker = context.fresh()
    folder = tempfile.mkdtemp(prefix="compat-port-")
    try:
        refused(run_sluiced(*own(folder, broker.port)), str(broker.port))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@sluice
def test_start_bad_directories(context):
    file = context.scratch / "plain-file"
    file.write_text("not a directory")
    refused(run_sluiced(*own(file)), str(file))
    refused(run_sluiced(*own("/proc/no-such-place")), "/proc/no-such-place")
    refused(run_sluiced(*own("/sys")), "/sys")


@sluice
def test_start_several_listeners(context):
    ports = brokers.free_ports(2)
    listeners = ",".join(f"{n}://127.0.0.1:{p}" for n, p in zip(("INNER", "OUTER"), ports))
    broker = context.fresh(overrides={
        "listeners": listeners, "inter.broker.listener.name": "INNER",
        "listener.security.protocol.map": "INNER:PLAINTEXT,OUTER:PLAINTEXT"})
    for port in ports:
        with client.Client(f"127.0.0.1:{port}") as c:
            answer = c.request("Metadata", 12, {"topics": []})
            equal([b["port"] for b in answer["brokers"]], [port], "port of the own listener")
    check(broker.running(), "running")


@sluice
def test_start_directory_vanishes(context):
    """The data directory is moved away under load: errors or an end, never a false ack."""
    broker = context.fresh()
    with broker.connect() as c:
        client.create_topic(c, "vanish")
        c.request("Produce", 9, client.produce_body("vanish", {0: records.batch([b"1"])}))
        moved = broker.log_dir.with_name("moved")
        os.rename(broker.log_dir, moved)
        acked = 0
        try:
            for _ in range(20):
                part = c.request("Produce", 9, client.produce_body("vanish", {0: records.batch(
                    [b"2"])}))["responses"][0]["partitionResponses"][0]
                acked += part["errorCode"] == 0
        except client.Closed:
            pass
    if broker.running():
        broker.kill()
    if broker.log_dir.exists():
        shutil.rmtree(broker.log_dir)
    os.rename(moved, broker.log_dir)
    broker.start()
    with broker.connect() as c:
        client.wait_topic(c, "vanish")
        end = c.request("ListOffsets", 7, {"replicaId": -1, "topics": [
            {"name": "vanish", "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})
        check(end["topics"][0]["partitions"][0]["offset"] >= 1 + acked, "an acked record is lost")


@sluice
def test_start_full_disk(context):
    """A disk that fills up: produces fail with an error, nothing acked is lost, reads go on."""
    folder = tempfile.mkdtemp(prefix="compat-full-")
    script = 'mount -t tmpfs -o size=48m tmpfs "$1" && shift && exec "$@"'
    port = brokers.free_ports()[0]
    out = open(Path(folder).with_suffix(".out"), "wb")
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script, "sh", folder, brokers.SLUICED,
         *own(f"{folder}/data", port), "--override", "log.segment.bytes=8388608"],
        stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 120
        text = Path(out.name)
        while "sluiced ready" not in text.read_text(errors="replace"):
            said = text.read_text(errors="replace")[-600:].strip()
            if said.startswith(("unshare:", "mount:")):
                skip(f"no small file system can be mounted here: {said}")
            check(process.poll() is None and time.monotonic() < deadline, said)
            time.sleep(0.05)
        with client.Client(f"127.0.0.1:{port}", 60) as c:
            client.create_topic(c, "full")
            acked, error = 0, 0
            for _ in range(150):
                try:
                    part = c.request("Produce", 9, client.produce_body("full", {
                        0: records.batch([os.urandom(500_000)])}))
                except client.Closed:
                    error = "closed"
                    break
                part = part["responses"][0]["partitionResponses"][0]
                if part["errorCode"]:
                    error = part["errorCode"]
                    break
                acked += 1
            equal(error in (56, "closed"), True, f"error after {acked} half megabytes: {error}")
            try:
                c.request("ApiVersions", 0, {})
            except (client.Closed, client.NoAnswer, OSError):
                # The metadata lives in the same directory: the broker may end, with status 1.
                equal(process.wait(120), 1, "exit status")
    finally:
        process.kill()
        process.wait()
        out.close()
        os.unlink(out.name)
        shutil.rmtree(folder, ignore_errors=True)


@sluice
def test_removed_versions(context):
    """Versions of 3.9 that 4.0 removed, where advertised, say what the newest version says."""
    old = kafkaproto.old()
    with context.broker.connect() as c:
        ranges = {a["apiKey"]: a["minVersion"] for a in
                  c.request("ApiVersions", 0, {})["apiKeys"]}
        topic = context.name("removed")
        c.protocol = old

        def has(name, version):
            return ranges[old.by_name[name].key] <= version
        if has("CreateTopics", 0):
            answer = c.request("CreateTopics", 0, {"topics": [{
                "name": topic, "numPartitions": 2, "replicationFactor": 1, "assignments": [],
                "configs": []}], "timeoutMs": 10000})
            equal(answer["topics"][0]["errorCode"], 0, "CreateTopics v0")
        c.protocol = kafkaproto.current()
        if not has("CreateTopics", 0):
            client.create_topic(c, topic, 2)
        client.wait_topic(c, topic, 2)
        for _ in range(3):
            c.request("Produce", 9, client.produce_body(topic, {0: records.batch()}))
        c.protocol = old
        if has("ListOffsets", 0):
            for stamp, wanted in ((-1, [3, 0]), (-2, [0])):
                answer = c.request("ListOffsets", 0, {"replicaId": -1, "topics": [{
                    "name": topic, "partitions": [{"partitionIndex": 0, "timestamp": stamp,
                                                   "maxNumOffsets": 5}]}]})
                part = answer["topics"][0]["partitions"][0]
                equal((part["errorCode"], part["oldStyleOffsets"]), (0, wanted),
                      f"ListOffsets v0 {stamp}")
        for version in (0, 1):
            if has("OffsetForLeaderEpoch", version):
                answer = c.request("OffsetForLeaderEpoch", version, {"topics": [{
                    "topic": topic, "partitions": [{"partition": 0, "leaderEpoch": 0}]}]})
                part = answer["topics"][0]["partitions"][0]
                equal((part["errorCode"], part["endOffset"]), (0, 3), f"epochs v{version}")
        if has("DescribeConfigs", 0):
            answer = c.request("DescribeConfigs", 0, {"resources": [{
                "resourceType": 2, "resourceName": topic,
                "configurationKeys": ["retention.ms"]}]})
            entry = answer["results"][0]["configs"][0]
            equal((entry["name"], entry["value"], entry["isDefault"]),
                  ("retention.ms", "604800000", True), "DescribeConfigs v0")
        if has("DescribeLogDirs", 0):
            answer = c.request("DescribeLogDirs", 0, {"topics": [{"topic": topic,
                                                                  "partitions": [0]}]})
            equal(answer["results"][0]["errorCode"], 0, "DescribeLogDirs v0")
        if has("DeleteTopics", 0):
            answer = c.request("DeleteTopics", 0, {"topicNames": [topic], "timeoutMs": 10000})
            equal(answer["responses"][0]["errorCode"], 0, "DeleteTopics v0")


@sluice
def test_start_without_the_metadata(context):
    """log.dirs in another order, or the metadata's disk not mounted: no new metadata is begun beside the old data."""
    broker = context.fresh()
    broker.stop()
    a, b, c = (broker.folder / name for name in "abc")
    broker.overrides["log.dirs"] = f"{a},{b}"
    broker.start()
    with broker.connect() as conn:
        client.create_topic(conn, "there", 4)
        conn.request("Produce", 9, client.produce_body("there", {p: records.batch([b"kept"]) for p in range(4)}))
    broker.stop()
    before = sorted(str(p) for p in broker.folder.rglob("*.log"))
    refused(run_sluiced(*own(f"{b},{a}")), b, a, "metadata.log.dir")
    refused(run_sluiced(*own(f"{c},{b}")), c, b, "is it mounted")
    refused(run_sluiced(*own(b), "--override", f"metadata.log.dir={c}"), c, b, "is it mounted")
    equal(sorted(str(p) for p in broker.folder.rglob("*.log")), before, "files")
    broker.start()
    with broker.connect() as conn:
        client.wait_topic(conn, "there", 4)
        for p in range(4):
            part = conn.request("Fetch", 12, client.fetch_body("there", p))["responses"][0]["partitions"][0]
            equal([r.value for x in records.parse(part["records"]) for r in x.records], [b"kept"], "what was acked")

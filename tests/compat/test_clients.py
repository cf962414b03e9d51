"""Clients of other makes and languages, each with a session of its own in clients/ and java/: produce, consume by
assignment, subscribe, commit, resume, share partitions in a group of two, subscribe by pattern.
"""
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import kafka_dist
from runner import check, needs, skip

CLIENTS = Path(__file__).resolve().parent / "clients"


def run_session(command, steps, timeout=400, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, **options)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    check(done.returncode == 0 and done.stdout.count("ok ") == steps,
          "\n  ".join(["", *failed]) + f"\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}")


def version(command):
    """(major, minor) of a tool, None if it is not there."""
    if shutil.which(command[0]) is None:
        return None
    found = re.search(r"(\d+)\.(\d+)", subprocess.run(command, capture_output=True, text=True).stdout)
    return found and (int(found[1]), int(found[2]))


def copied(name):
    """The client's sources in the cache, where its packages are installed beside them."""
    target = kafka_dist.cache_dir() / f"client-{name}"
    shutil.copytree(CLIENTS / name, target, dirs_exist_ok=True)
    return target


@needs("slow")
def test_aiokafka(context):
    text = context.scratch / "aiokafka-text"
    text.write_bytes(context.text(200_000))
    run_session([context.python("venv-aiokafka"), CLIENTS / "aiokafka_session.py", context.broker.address,
                 context.name("aio"), text], 6)


def kafkajs_folder():
    """Its sources with its packages beside them."""
    node = version(["node", "--version"])
    if node is None or node < (14, 0) or shutil.which("npm") is None:
        skip("kafkajs needs node 14 or later and npm")
    folder = copied("kafkajs")
    if not (folder / "node_modules" / "kafkajs").exists():
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder,
                              capture_output=True, text=True, timeout=300)
        check(done.returncode == 0, f"npm install: {done.stderr[-1500:]}")
    return folder


@needs("slow")
def test_kafkajs(context):
    run_session(["node", kafkajs_folder() / "session.js", context.broker.address, context.name("js")], 8)


@needs("slow")
def test_franz_go(context):
    wanted = re.search(r"^go (\d+)\.(\d+)", (CLIENTS / "franzgo" / "go.mod").read_text(), re.M)
    found = version(["go", "version"])
    if found is None or found < (int(wanted[1]), int(wanted[2])):
        skip(f"franz-go needs Go {wanted[1]}.{wanted[2]} or later, here is {found or 'none'}")
    folder = copied("franzgo")
    sources = b"".join(p.read_bytes() for p in sorted((CLIENTS / "franzgo").iterdir()))
    session = f"session-{hashlib.sha256(sources).hexdigest()[:12]}"
    if not (folder / session).exists():
        for command in (["go", "mod", "tidy"], ["go", "build", "-o", session, "."]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
            check(done.returncode == 0, f"{' '.join(command)}: {done.stderr[-1500:]}")
    run_session([folder / session, context.broker.address, context.name("go")], 5)


def java_session(context, classpath, prefix, protocol):
    conf = kafka_dist.home() / "log4j2-error.yaml"
    run_session(["java", *kafka_dist.JVM_QUICK, f"-Dlog4j2.configurationFile={conf}", "-cp", classpath, "ClientSession",
                 context.broker.address, context.name(prefix), protocol], 4)


@needs("java", "slow")
def test_java_4_3_classic(context):
    java_session(context, kafka_dist.classpath(), "java43", "classic")


@needs("java", "slow")
def test_java_4_3_consumer_protocol(context):
    java_session(context, kafka_dist.classpath(), "java43new", "consumer")


@needs("java", "slow")
def test_java_3_9(context):
    kafka_dist.old_messages()
    old = kafka_dist.cache_dir() / f"kafka-clients-{kafka_dist.OLD_CLIENTS_VERSION}" / "libs"
    java_session(context, f"{old}/*:{kafka_dist.classpath()}", "java39", "classic")

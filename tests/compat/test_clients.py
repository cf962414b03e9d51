"""Clients of other makes and languages, each with a session of its own in clients/ and java/: produce, consume by
assignment, subscribe, commit, resume, share partitions in a group of two, subscribe by pattern.
"""
import subprocess

import programs
import records
from runner import check, needs, skip
from test_kcat import batches_on_disk, stored_with

CODECS = [codec for codec in records.CODECS if codec != "none"]


def run_session(context, command, prefix, steps, timeout=1200, codecs=CODECS):
    """Run a session's program; all of its steps must be ok. Its topics `<prefix>-codec-<codec>` must hold batches of that
    codec, made by an idempotent producer."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    check(done.returncode == 0 and done.stdout.count("ok ") == steps,
          "\n  ".join(["", *failed]) + f"\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}")
    for codec in codecs:
        batches = batches_on_disk(context.broker, f"{prefix}-codec-{codec}")
        stored_with(context.broker, f"{prefix}-codec-{codec}", codec)
        check(all(b.producer_id >= 0 for b in batches), f"{codec}: the producer was not idempotent")


@needs("slow")
def test_aiokafka(context):
    text, prefix = context.scratch / "aiokafka-text", context.name("aio")
    text.write_bytes(context.text(200_000))
    session = programs.CLIENTS / "aiokafka_session.py"
    run_session(context, [context.python("venv-aiokafka"), session, context.broker.address, prefix, text], prefix,
                session.read_text().count("\nasync def step_"))


@needs("slow")
def test_kafkajs(context):
    prefix = context.name("js")
    run_session(context, programs.kafkajs("session.js", context.broker.address, prefix), prefix, 9, codecs=["gzip"])


def kafkajs_codec(context, codec):
    """kafkajs has gzip alone; the other codecs are packages of their own, lz4's with a binary for some machines."""
    prefix = context.name("js")
    command = programs.kafkajs("session.js", context.broker.address, prefix, codec)
    probe = subprocess.run([*map(str, programs.kafkajs("codecs.js", codec))], capture_output=True, text=True, timeout=60)
    if probe.returncode != 0:
        skip(f"kafkajs has no {codec} here: {probe.stdout.strip()}{probe.stderr[-300:]}")
    run_session(context, command, prefix, 1, codecs=[codec])


@needs("slow")
def test_kafkajs_snappy(context):
    kafkajs_codec(context, "snappy")


@needs("slow")
def test_kafkajs_lz4(context):
    kafkajs_codec(context, "lz4")


@needs("slow")
def test_kafkajs_zstd(context):
    kafkajs_codec(context, "zstd")


@needs("slow")
def test_franz_go(context):
    prefix = context.name("go")
    run_session(context, programs.franz_go("session", context.broker.address, prefix), prefix, 6)


def java_session(context, release, protocol, steps=6):
    prefix = context.name(f"java-{release}-{protocol}")
    run_session(context, programs.java(release, "ClientSession", context.broker.address, prefix, protocol), prefix, steps)


@needs("java", "slow")
def test_java_4_3_classic(context):
    java_session(context, "4.3", "classic")


@needs("java", "slow")
def test_java_4_3_consumer_protocol(context):
    java_session(context, "4.3", "consumer", 7)


@needs("java", "slow")
def test_java_3_9(context):
    java_session(context, "3.9", "classic")

"""The golden files are current, and the Java client's generated classes agree with them."""
import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import kafka_dist
import kafkaproto
from runner import check, needs
from kafkaproto import within

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"


def test_golden_files_are_current(context):
    done = subprocess.run([sys.executable, str(HERE / "golden" / "make_golden.py"), "--check"],
                          capture_output=True, text=True)
    check(done.returncode == 0, done.stdout + done.stderr)


def java_json(shape, version, value):
    """The JSON that Kafka's own JsonConverter reads: bytes in base64, uuids in their short form."""
    out = {}
    for field in shape.fields:
        if not within(version, field.versions) or field.name not in value:
            continue

        def one(item):
            if item is None:
                return None
            if field.struct:
                return java_json(field.struct, version, item)
            if field.type in ("bytes", "records"):
                return base64.b64encode(bytes.fromhex(item)).decode()
            if field.type == "uuid":
                return base64.urlsafe_b64encode(bytes.fromhex(item)).decode().rstrip("=")
            return item
        item = value[field.name]
        out[field.name] = [one(i) for i in item] if field.array and item is not None else one(item)
    return out


def java_lines(folder, protocol):
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text().splitlines():
            kind, version, _, body, values = line.split(" ", 4)
            version = int(version[1:])
            if path.stem.endswith("Header"):
                name = path.stem
                message = protocol.request_header if kind == "request" \
                    else protocol.response_header
            else:
                name = path.stem + kind.capitalize()
                message = getattr(protocol.by_name[path.stem], kind)
            value, text = json.loads(values), "-"
            if folder.name != "unknown_tags":
                text = json.dumps(java_json(message.struct, version, value))
            yield f"{name}Data {version} {body} {text}\n"


def java_check(lines, classpath):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(lines)
        file.flush()
        done = subprocess.run(
            ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath,
             "GoldenCheck", file.name],
            capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return done.stdout


@needs("java")
def test_golden_agrees_with_java_client(context):
    now = kafkaproto.current()
    lines = list(java_lines(GOLDEN, now)) + list(java_lines(GOLDEN / "unknown_tags", now))
    check(len(lines) > 400, f"only {len(lines)} lines")
    java_check(lines, kafka_dist.classpath())


@needs("java")
def test_golden_removed_versions_agree_with_java_client(context):
    lines = list(java_lines(GOLDEN / "removed", kafkaproto.old()))
    check(lines, "no lines")
    old = kafka_dist.cache_dir() / f"kafka-clients-{kafka_dist.OLD_CLIENTS_VERSION}" / "libs"
    # kafka-clients first: the rest of the class path only gives it Jackson and slf4j.
    jackson = [p for p in (kafka_dist.home() / "libs").glob("*.jar")
               if p.name.startswith(("jackson-", "slf4j-"))]
    java_check(lines, os.pathsep.join([str(kafka_dist.java_helpers()), f"{old}/*",
                                       *map(str, jackson)]))

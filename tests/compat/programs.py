"""Client programs of clients/ and java/: each function returns the argv of one, what it needs fetched by package name and
built at the first call. A test whose toolchain is missing or too old is skipped with a line that says so.

What is fetched or built is put in place at once, under a name with a digest of what it was made of: runs beside each
other, and trees of other versions, never see half of it or another's.
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import kafka_dist
from runner import check, skip

CLIENTS = Path(__file__).resolve().parent / "clients"
NODE = (18, 0)  # lz4-napi's; kafkajs alone runs with 14


def version(command):
    """(major, minor) of a tool, None if it is not there."""
    if shutil.which(command[0]) is None:
        return None
    found = re.search(r"(\d+)\.(\d+)", subprocess.run(command, capture_output=True, text=True).stdout)
    return found and (int(found[1]), int(found[2]))


def digest(*files):
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]


def made(name, make):
    """The path `name` in the cache; make(folder) fills a folder beside it, which then gets the name."""
    target = kafka_dist.cache_dir() / name
    if target.exists():
        return target
    with kafka_dist.filling():
        if target.exists():
            return target
        work = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=kafka_dist.cache_dir()))
        try:
            make(work)
            work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


def fetch_in(folder, *command):
    done = kafka_dist.fetch(command, cwd=folder, timeout=1200)
    check(done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}")


def kafkajs(script, *args):
    """A script of clients/kafkajs with its packages in reach."""
    node = version(["node", "--version"])
    if node is None or node < NODE or shutil.which("npm") is None:
        skip(f"kafkajs needs npm and node {NODE[0]} or later, here is {node or 'none'}")
    package = CLIENTS / "kafkajs" / "package.json"

    def install(folder):
        shutil.copy(package, folder)
        fetch_in(folder, "npm", "install", "--no-audit", "--no-fund", "--silent", "--fetch-retries", "10")
    folder = made(f"kafkajs-{digest(package)}", install)
    return ["env", f"NODE_PATH={folder / 'node_modules'}", "node", CLIENTS / "kafkajs" / script, *args]


def franz_go(*args):
    sources = sorted((CLIENTS / "franzgo").iterdir())
    wanted = re.search(r"^go (\d+)\.(\d+)", (CLIENTS / "franzgo" / "go.mod").read_text(), re.M)
    found = version(["go", "version"])
    if found is None or found < (int(wanted[1]), int(wanted[2])):
        skip(f"franz-go needs Go {wanted[1]}.{wanted[2]} or later, here is {found or 'none'}")

    def build(folder):
        for source in sources:
            shutil.copy(source, folder)
        fetch_in(folder, "go", "mod", "tidy")
        fetch_in(folder, "go", "build", "-o", "program", ".")
    return [made(f"franzgo-{digest(*sources)}", build) / "program", *args]


def java(release, main, *args):
    """A class of java/ with the Java client of Kafka 4.3 or of 3.9."""
    if release == "4.3":
        return kafka_dist.java_command(main, args)
    kafka_dist.old_messages()
    old = kafka_dist.cache_dir() / f"kafka-clients-{kafka_dist.OLD_CLIENTS_VERSION}" / "libs"
    command = kafka_dist.java_command(main, args)
    at = command.index("-cp") + 1
    command[at] = f"{old}/*{os.pathsep}{command[at]}"
    return command

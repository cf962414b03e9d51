"""Stock Apache Kafka, fetched from Maven by package name, and its tools.

`home()` returns a folder `.cache/kafka-<version>/` below the repository root (or below the
folder named by SLUICE_CACHE) with `libs/*.jar`, fetched once. The message definitions that ship
inside the kafka-clients jar are unpacked beside them at run time and are never committed.

    python3 kafka_dist.py                      fetch, print the folder
    python3 kafka_dist.py topics --help        run one tool
"""
import atexit
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KAFKA_VERSION = os.environ.get("SLUICE_KAFKA_VERSION", "4.3.1")
# The last release that still spoke the versions which 4.0 removed; only its message
# definitions are used.
OLD_CLIENTS_VERSION = "3.9.1"
# kafka_2.13 brings log4j-core but no slf4j binding; this one belongs to the same release.
LOG4J_VERSION = "2.25.4"

TOOLS = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "configs": "kafka.admin.ConfigCommand",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "storage": "kafka.tools.StorageTool",
    "server": "kafka.Kafka",
}

JVM_QUICK = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
             "-XX:-UsePerfData", "-Dfile.encoding=UTF-8"]

LOG4J_QUIET = """\
# Only errors, and only on standard error: the tools' answers are on standard output.
Configuration:
  status: error
  Appenders:
    Console:
      name: STDERR
      target: SYSTEM_ERR
      follow: true
      PatternLayout:
        pattern: "[%d] %p %m (%c)%n"
  Loggers:
    Root:
      level: {level}
      AppenderRef:
        - ref: STDERR
"""

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice.compat</groupId><artifactId>{name}</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{deps}  </dependencies>
</project>
"""


def cache_dir():
    """The folder for everything fetched or built at run time; it ignores itself in git."""
    cache = Path(os.environ.get("SLUICE_CACHE", ROOT / ".cache"))
    cache.mkdir(parents=True, exist_ok=True)
    ignore = cache / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return cache


_thread_fills = threading.RLock()
_filling = 0  # how deep the thread that holds it is in filling()


@contextlib.contextmanager
def filling():
    """Held while something is put into the cache: one process at a time, however many ask. It may be nested."""
    global _filling
    with _thread_fills, open(cache_dir() / ".lock", "w", encoding="ascii") as lock:
        if _filling == 0:
            fcntl.flock(lock, fcntl.LOCK_EX)
        _filling += 1
        try:
            yield
        finally:
            _filling -= 1


def fetch(command, **options):
    """Runs what fetches over the network, up to five times: registries have bad moments. Its CompletedProcess."""
    for pause in (20, 20, 20, 20, None):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        if done.returncode == 0 or pause is None:
            return done
        print(f"{command[0]} failed; it is tried again in {pause} s", file=sys.stderr, flush=True)
        time.sleep(pause)


def _maven(name, coordinates, target, transitive=True):
    """Copy the jars of (group, artifact, version) triples into `target`, all or nothing."""
    if (target / ".complete").exists():
        return
    with filling():
        if not (target / ".complete").exists():
            _maven_fetch(name, coordinates, target, transitive)


def _maven_fetch(name, coordinates, target, transitive):
    work = target.with_name(target.name + f".tmp{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    deps = "".join(
        f"    <dependency><groupId>{g}</groupId><artifactId>{a}</artifactId>"
        f"<version>{v}</version></dependency>\n" for g, a, v in coordinates)
    (work / "pom.xml").write_text(POM.format(name=name, deps=deps))
    print(f"fetching {name} with Maven into {target}", file=sys.stderr, flush=True)
    command = ["mvn", "-q", "-B", "-f", str(work / "pom.xml"), "dependency:copy-dependencies",
               "-Daether.connector.http.retryHandler.count=10", "-Dmaven.wagon.http.retryHandler.count=10",
               "-DincludeScope=runtime", f"-DoutputDirectory={work / 'libs'}"]
    if not transitive:
        command.append("-DexcludeTransitive=true")
    done = fetch(command)
    if done.returncode != 0:
        shutil.rmtree(work, ignore_errors=True)
        raise RuntimeError(f"Maven could not fetch {name}:\n{done.stdout[-3000:]}")
    (work / ".complete").write_text("")
    shutil.rmtree(target, ignore_errors=True)
    work.rename(target)


def home():
    """Folder of stock Kafka, fetched at the first call."""
    target = cache_dir() / f"kafka-{KAFKA_VERSION}"
    _maven(f"kafka-{KAFKA_VERSION}", [
        ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        ("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
        ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
        ("org.apache.logging.log4j", "log4j-1.2-api", LOG4J_VERSION),
    ], target)
    for level in ("error", "warn"):
        conf = target / f"log4j2-{level}.yaml"
        if not conf.exists():
            made = conf.with_suffix(f".tmp{os.getpid()}")
            made.write_text(LOG4J_QUIET.format(level=level))
            made.rename(conf)
    return target


# Tools of former generations, for the long mode; each with the main classes of its time.
OLDER_TOOLS = {
    "2.8.2": {"topics": "kafka.admin.TopicCommand",
              "console-producer": "kafka.tools.ConsoleProducer",
              "console-consumer": "kafka.tools.ConsoleConsumer"},
    "3.9.1": {"topics": "org.apache.kafka.tools.TopicCommand",
              "console-producer": "kafka.tools.ConsoleProducer",
              "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer"},
}


def run_older_tool(version, name, *args, stdin=None, timeout=300):
    """Run a tool of an older Kafka, fetched at the first call; subprocess.CompletedProcess."""
    target = cache_dir() / f"kafka-tools-{version}"
    coordinates = [("org.apache.kafka", "kafka_2.13", version)]
    if version > "3":
        coordinates.append(("org.apache.kafka", "kafka-tools", version))
    _maven(target.name, coordinates, target)
    command = ["java", *JVM_QUICK, "-cp", f"{target / 'libs'}/*", OLDER_TOOLS[version][name],
               *map(str, args)]
    return subprocess.run(command, input=stdin, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout)


def _unpack_messages(jar, out):
    if (out / ".complete").exists():
        return out
    with filling():
        if (out / ".complete").exists():
            return out
        tmp = out.with_name(out.name + f".tmp{os.getpid()}")
        tmp.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(jar) as z:
            for name in z.namelist():
                if name.startswith("common/message/") and name.endswith(".json"):
                    (tmp / Path(name).name).write_bytes(z.read(name))
        (tmp / ".complete").write_text("")
        shutil.rmtree(out, ignore_errors=True)
        tmp.rename(out)
    return out


def messages():
    """Folder with the message definitions (*.json) of the stock Kafka above."""
    base = home()
    return _unpack_messages(base / "libs" / f"kafka-clients-{KAFKA_VERSION}.jar",
                            base / "messages")


def old_messages():
    """Folder with the message definitions of the last 3.x release."""
    base = cache_dir() / f"kafka-clients-{OLD_CLIENTS_VERSION}"
    _maven(base.name, [("org.apache.kafka", "kafka-clients", OLD_CLIENTS_VERSION)], base,
           transitive=False)
    return _unpack_messages(base / "libs" / f"kafka-clients-{OLD_CLIENTS_VERSION}.jar",
                            base / "messages")


def java_helpers():
    """Folder with this folder's java/*.java compiled, again when a source has changed."""
    sources = sorted((HERE / "java").glob("*.java"))
    digest = hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:16]
    out = home() / f"helpers-{digest}"
    if out.exists():
        return out
    with filling():
        if out.exists():
            return out
        tmp = out.with_name(f"{out.name}.tmp{os.getpid()}")
        done = subprocess.run(["javac", "-nowarn", "-d", tmp, "-cp", f"{home() / 'libs'}/*",
                               *sources], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"javac: {done.stdout}{done.stderr}")
        tmp.rename(out)
    return out


def classpath():
    return f"{java_helpers()}{os.pathsep}{home() / 'libs'}/*"


def java_command(main, args=(), jvm=(), log_level="error", heap=None):
    """argv that runs a main class with Kafka on the class path."""
    options = list(JVM_QUICK)
    if heap:
        options[0] = f"-Xmx{heap}"
    conf = home() / f"log4j2-{log_level}.yaml"
    return ["java", *options, f"-Dlog4j2.configurationFile={conf}", *jvm,
            "-cp", classpath(), TOOLS.get(main, main), *map(str, args)]


def connect_command(*args):
    """argv of a standalone Connect worker with the file connectors; args are its property files."""
    target = cache_dir() / f"connect-{KAFKA_VERSION}"
    _maven(target.name, [("org.apache.kafka", "connect-runtime", KAFKA_VERSION),
                         ("org.apache.kafka", "connect-file", KAFKA_VERSION)], target)
    return ["java", *JVM_QUICK, f"-Dlog4j2.configurationFile={home() / 'log4j2-error.yaml'}", "-cp",
            f"{target / 'libs'}/*", "org.apache.kafka.connect.cli.ConnectStandalone", *map(str, args)]


def run_tool(name, *args, stdin=None, timeout=300):
    """Run one tool in a JVM of its own; returns subprocess.CompletedProcess with text output."""
    return subprocess.run(java_command(name, args), input=stdin, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)


class ToolServer:
    """One JVM in which Kafka's tools run one after another (a JVM start each is what costs)."""

    Answer = namedtuple("Answer", "code out err")

    def __init__(self):
        self.process = subprocess.Popen(java_command("ToolServer"), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, encoding="utf-8")
        atexit.register(self.close)

    def run(self, tool, *args, stdin="", timeout=300):
        """Run one tool; Answer(exit code, standard output, standard error)."""
        command = {"main": TOOLS.get(tool, tool), "args": [str(a) for a in args], "stdin": stdin}
        watch = threading.Timer(timeout, self.process.kill)
        watch.start()
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            raise RuntimeError(f"{tool} {' '.join(command['args'])}: "
                               f"the tools' JVM ended or took over {timeout} s")
        return self.Answer(**json.loads(line))

    def alive(self):
        return self.process.poll() is None

    def close(self):
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(home())
        print(messages())
    else:
        connect = sys.argv[1] == "connect-standalone"
        argv = connect_command(*sys.argv[2:]) if connect else java_command(sys.argv[1], sys.argv[2:])
        os.execvp(argv[0], argv)

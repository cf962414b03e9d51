"""The brokers that are compared: how each is started, waited for, and stopped. One class a peer; PEERS names them."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "build" / "sluice-bench"
sys.path.insert(0, str(ROOT / "tests" / "compat"))


class Null:
    """sluice-bench null: the limit that client and kernel allow."""
    title = "null broker"
    promise = "none"
    topics = False

    def __init__(self, folder, durability):
        self.process, self.port = None, None

    def start(self):
        self.process = subprocess.Popen([BENCH, "null"], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def destroy(self):
        if self.process:
            self.process.terminate()
            self.process.wait()


class Wrapped:
    """A broker of the client tests' harness."""
    topics = True

    def start(self):
        self.inner.folder.mkdir(parents=True, exist_ok=True)
        self.inner.start()
        self.process, self.port = self.inner.process, self.inner.port

    def connect(self):
        return self.inner.connect()

    def destroy(self):
        self.inner.destroy()


class Sluice(Wrapped):
    title = "Sluice"

    def __init__(self, folder, durability):
        import brokers
        self.promise = f"{durability}, 1 shard"
        self.inner = brokers.Sluice({"sluice.shards": "1", "sluice.durability": durability}, folder)


class Kafka(Wrapped):
    """Stock Kafka with the JVM settings of its own start script, free to use every core."""
    title = "stock Kafka"

    def __init__(self, folder, durability):
        if shutil.which("java") is None or shutil.which("mvn") is None:
            raise SystemExit("compare: stock Kafka needs java and mvn (openjdk-17-jdk-headless, maven); "
                             "--against null compares without it")
        import brokers
        flush = {"log.flush.interval.messages": "1"} if durability == "fsync" else {}
        self.promise = f"{durability}, {os.cpu_count()} cores, heap 1 GiB"
        self.inner = brokers.StockKafka(flush, folder)
        quick = self.inner.command
        self.inner.command = lambda: self.full_speed(quick())

    @staticmethod
    def full_speed(command):
        jvm = ["-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
               "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]
        rest = [a for a in command[1:] if not a.startswith(("-Xmx", "-Xms", "-XX:", "-Xshare"))]
        return [command[0], *jvm, *rest]


PEERS = {"sluice": Sluice, "kafka": Kafka, "null": Null}

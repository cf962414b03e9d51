"""Stock Kafka with the JVM settings of its own start script and its own defaults, free to use every core."""
import os
import shutil
import subprocess

from peers import TESTS_OWN, Wrapped

HEAP = "1g"
JVM = ["-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
       "-XX:+ExplicitGCInvokesConcurrent"]
PLACE = ("process.roles", "controller.quorum.voters", "listeners", "controller.listener.names", "log.dirs", "node.id")


class Peer(Wrapped):
    title = "stock Kafka"
    warm = True  # a JVM compiles its hot paths: it gets a turn that does not count

    def __init__(self, folder, durability):
        if shutil.which("java") is None or shutil.which("mvn") is None:
            raise SystemExit("compare: stock Kafka needs java and mvn (openjdk-17-jdk-headless, maven); "
                             "--against null compares without it")
        import brokers
        flush = {"log.flush.interval.messages": "1"} if durability == "fsync" else {}
        self.promise = f"{durability}, {os.cpu_count()} cores, heap 1 GiB"
        self.inner = brokers.StockKafka(flush, folder)
        self.defaults()
        quick, tests = self.inner.command, self.inner.properties
        self.inner.command = lambda: self.full_speed(quick())
        self.inner.properties = lambda: {k: v for k, v in tests().items() if k not in TESTS_OWN}

    @staticmethod
    def full_speed(command):
        rest = [a for a in command[1:] if not a.startswith(("-Xmx", "-Xms", "-XX:", "-Xshare"))]
        return [command[0], f"-Xmx{HEAP}", f"-Xms{HEAP}", *JVM, *rest]

    def settings(self):
        """Each property that is not its default, but for where it is."""
        own = [f"{k}={v}" for k, v in sorted(self.inner.properties().items()) if k not in PLACE]
        return [f"cores={os.cpu_count()}", f"heap={HEAP}", f"jvm={' '.join(JVM)}", *own]

    @staticmethod
    def versions():
        import kafka_dist
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
        return {"Kafka": kafka_dist.KAFKA_VERSION, "Java": said.partition("\n")[0]}

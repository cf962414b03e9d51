"""Stock Kafka with the JVM settings of its own start script, free to use every core."""
import os
import shutil

from peers import Wrapped


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
        # The harness wants a broker that died to be forgotten soon; here Kafka's own defaults hold, or a busy machine
        # makes its controller think that it is gone.
        own = {"broker.session.timeout.ms": "9000", "broker.heartbeat.interval.ms": "2000",
               "controlled.shutdown.enable": "true"}
        self.inner = brokers.StockKafka({**own, **flush}, folder)
        quick = self.inner.command
        self.inner.command = lambda: self.full_speed(quick())

    @staticmethod
    def full_speed(command):
        jvm = ["-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
               "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]
        rest = [a for a in command[1:] if not a.startswith(("-Xmx", "-Xms", "-XX:", "-Xshare"))]
        return [command[0], *jvm, *rest]

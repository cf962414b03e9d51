#!/usr/bin/env python3
"""compare: the same load on Sluice, stock Kafka and the null broker, in turns (A B C A B C ...).

usage: ./dev compare [--rounds N] [--seconds S] [scenario...]      (default: 3 rounds of 4 s, every scenario)

Both brokers keep their promise for the death of the process (sluice.durability=os; stock Kafka's default). Sluice
runs one shard, stock Kafka (heap 1 GiB, G1) may use every core; the load is one thread. Each turn has a
fresh topic. Prints the median and the range of the rounds and writes bench/results/compare.json.
"""
import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "compat"))

# name: (what it is, sluice-bench produce arguments); the names are those of docs/performance.md
SCENARIOS = {
    "P16K": ("150 records x 100 B a batch, 4 connections, 5 in flight, 4 partitions, acks=1",
             ["--records", "150", "--connections", "4", "--in-flight", "5", "--partitions", "4"]),
    "P64K": ("600 records x 100 B a batch, 4 connections, 5 in flight, 4 partitions, acks=1",
             ["--records", "600", "--connections", "4", "--in-flight", "5", "--partitions", "4"]),
    "P1": ("one 100 B record a request, 4 connections, 16 in flight, 4 partitions, acks=1",
           ["--records", "1", "--connections", "4", "--in-flight", "16", "--partitions", "4"]),
    "P1x256": ("one 100 B record a request, 256 connections, one in flight each",
               ["--records", "1", "--connections", "256", "--in-flight", "1", "--partitions", "4"]),
    "L1": ("one 100 B record a request, one connection, one in flight",
           ["--records", "1", "--connections", "1", "--in-flight", "1", "--partitions", "1"]),
}
BENCH = ROOT / "build" / "sluice-bench"
FREE_DISK_SHARE = 4  # a turn is not started with less than four times what the last one wrote


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Null:
    """sluice-bench null: the limit that client and kernel allow."""

    def __init__(self):
        self.process = subprocess.Popen([BENCH, "null"], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def destroy(self):
        self.process.terminate()
        self.process.wait()


def full_speed(command):
    """The command of the tests' stock Kafka with the JVM settings of Kafka's own start script."""
    jvm = ["-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
           "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]
    rest = [a for a in command[1:] if not a.startswith(("-Xmx", "-Xms", "-XX:", "-Xshare"))]
    return [command[0], *jvm, *rest]


def start_all(folder):
    import brokers
    started = {"sluice": brokers.Sluice({"sluice.shards": "1", "sluice.durability": "os"}, folder / "sluice"),
               "kafka": brokers.StockKafka({}, folder / "kafka")}
    quick = started["kafka"].command
    started["kafka"].command = lambda: full_speed(quick())
    for b in started.values():
        b.folder.mkdir(parents=True, exist_ok=True)
        b.start()
    started["null"] = Null()
    return started


def create(broker, topic, args):
    """Makes the topic and lets it settle: stock Kafka tells leaders before they serve."""
    if isinstance(broker, Null):
        return
    partitions = int(args[args.index("--partitions") + 1])
    with broker.connect() as c:
        c.request("CreateTopics", 5, {"topics": [{"name": topic, "numPartitions": partitions, "replicationFactor": 1,
                                                  "assignments": [], "configs": []}], "timeoutMs": 10000})
    time.sleep(1)


def turn(broker, name, args, seconds, topic):
    create(broker, topic, args)
    before = cpu_seconds(broker.process.pid)
    setup = "0" if isinstance(broker, Null) else "1"
    out = subprocess.run([BENCH, "produce", "--port", str(broker.port), "--topic", topic, "--setup", setup,
                          "--warmup", "1", "--seconds", str(seconds), *args], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"compare: {name} failed: {out.stderr.strip()}")
    result = json.loads(out.stdout)
    result["broker_cpu_s"] = cpu_seconds(broker.process.pid) - before
    # The warm-up is in the broker's CPU but not in the count: scale by the time of both.
    share = result["seconds"] / (result["seconds"] + 1)
    result["cpu_s_per_m_records"] = result["broker_cpu_s"] * share / (result["records"] / 1e6)
    return result


def delete(broker, topic):
    if isinstance(broker, Null):
        return
    with broker.connect() as c:
        c.request("DeleteTopics", 5, {"topicNames": [topic], "timeoutMs": 10000})
    time.sleep(0.5)


def spread(values):
    return statistics.median(values), min(values), max(values)


def report(name, results):
    rate = {k: spread([r["records_per_s"] for r in v]) for k, v in results.items()}
    print(f"\n{name}: {SCENARIOS[name][0]}")
    print(f"  {'':8}{'records/s':>14}{'range':>26}{'ack p50 us':>12}{'p99 us':>10}{'CPU s per M':>13}")
    for k, v in results.items():
        p50 = statistics.median(r["latency_us"]["p50"] for r in v)
        p99 = statistics.median(r["latency_us"]["p99"] for r in v)
        cpu = statistics.median(r["cpu_s_per_m_records"] for r in v)
        print(f"  {k:8}{rate[k][0]:>14,.0f}{rate[k][1]:>13,.0f}-{rate[k][2]:<12,.0f}{p50:>12,.1f}{p99:>10,.1f}{cpu:>13.3f}")
    print(f"  sluice is {rate['sluice'][0] / rate['kafka'][0]:.1f}x stock Kafka, "
          f"{100 * rate['sluice'][0] / rate['null'][0]:.0f} % of the null broker", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("scenario", nargs="*", default=[])
    options = parser.parse_args()
    names = options.scenario or list(SCENARIOS)
    for name in names:
        if name not in SCENARIOS:
            raise SystemExit(f"compare: unknown scenario {name}; there are {', '.join(SCENARIOS)}")
    folder = Path(tempfile.mkdtemp(prefix="compare-", dir=ROOT / "build"))
    started, everything = {}, {}
    try:
        started = start_all(folder)
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}; "
              f"sluice: 1 shard, durability os; kafka: every core, its defaults; load: one thread on loopback")
        for name in names:  # the JVM compiles its hot paths: not counted
            turn(started["kafka"], f"{name} on kafka", SCENARIOS[name][1], 2 * options.seconds, f"warm-{name.lower()}")
            delete(started["kafka"], f"warm-{name.lower()}")
        for name in names:
            results = {k: [] for k in started}
            for i in range(options.rounds):
                for k, broker in started.items():
                    topic = f"compare-{name.lower()}-{i}"
                    r = turn(broker, f"{name} on {k}", SCENARIOS[name][1], options.seconds, topic)
                    results[k].append(r)
                    delete(broker, topic)
                    if shutil.disk_usage(folder).free < FREE_DISK_SHARE * r["bytes"]:
                        raise SystemExit("compare: the disk has not room for another turn")
            report(name, results)
            everything[name] = results
    finally:
        for broker in started.values():
            broker.destroy()
        shutil.rmtree(folder, ignore_errors=True)
    out = ROOT / "bench" / "results" / "compare.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"host": socket.gethostname() and platform.platform(), "scenarios": everything}, indent=1))
    print(f"\nraw figures: {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""Clients that people have, as loads of a comparison: Kafka's own performance tools and a librdkafka program.

Each takes (broker, options, topic, seconds) and returns a result in the form of sluice-bench's: records_per_s,
latency_us, records, bytes. They are slower than sluice-bench, so that they measure themselves as much as the broker.
"""
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "compat"))  # behind bench: both have a bypass and programs
MARGIN_S = 180


def java(main, *args):
    import kafka_dist
    conf = kafka_dist.home() / "log4j2-error.yaml"
    command = ["java", "-Xmx512m", f"-Dlog4j2.configurationFile={conf}", "-cp", kafka_dist.classpath(), main,
               *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MARGIN_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{main.rsplit('.', 1)[1]} ended with {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
    return done.stdout


def kafka_producer(broker, options, topic, seconds):
    n, size = options["records"], options.get("record-bytes", 100)
    text = java("org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", f"127.0.0.1:{broker.port}", "--topic",
                topic, "--num-records", n, "--record-size", size, "--throughput", -1, "--command-property",
                f"acks={options.get('acks', 1)}")
    m = re.search(r"^(\d+) records sent, ([\d.]+) records/sec .* avg latency, ([\d.]+) ms max latency, (\d+) ms 50th, "
                  r"(\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99.9th", text, re.M)
    if not m or int(m[1]) != n:
        raise RuntimeError(f"producer-perf-test: {text[-400:]}")
    return {"records": n, "bytes": n * size, "records_per_s": float(m[2]), "seconds": n / float(m[2]), "latency_us": {
        "p50": float(m[4]) * 1e3, "p99": float(m[6]) * 1e3, "p99.9": float(m[7]) * 1e3, "max": float(m[3]) * 1e3}}


def kafka_consumer(broker, options, topic, seconds):
    n = options["records"]
    text = java("org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", f"127.0.0.1:{broker.port}", "--topic",
                topic, "--num-records", n, "--hide-header", "--timeout", 30000)
    row = [w.strip() for w in text.strip().splitlines()[-1].split(",")]
    if len(row) != 10 or int(row[4]) < n:
        raise RuntimeError(f"consumer-perf-test: {text[-400:]}")
    rate = float(row[9])  # without the time that the group needed to form
    return {"records": int(row[4]), "bytes": int(float(row[2]) * 2**20), "records_per_s": rate,
            "seconds": int(row[4]) / rate}


def kafka_end_to_end(broker, options, topic, seconds):
    n = options["records"]
    text = java("org.apache.kafka.tools.EndToEndLatency", f"127.0.0.1:{broker.port}", topic, n, options.get("acks", 1),
                options.get("record-bytes", 100))
    m = re.search(r"Percentiles: 50th = (\d+), 99th = (\d+), 99.9th = (\d+)", text)
    mean = re.search(r"Avg latency: ([\d.]+) ms", text)
    if not m or not mean:
        raise RuntimeError(f"end-to-end latency: {text[-400:]}")
    # Its percentiles are whole milliseconds, rounded down; its mean is not.
    return {"records": n, "bytes": 0, "mean_us": float(mean[1]) * 1e3, "latency_us": {
        "p50": float(m[1]) * 1e3, "p99": float(m[2]) * 1e3, "p99.9": float(m[3]) * 1e3}}


def rdkafka(mode):
    def run(broker, options, topic, seconds):
        import setup_env
        command = [setup_env.ensure("venv"), Path(__file__).with_name("rdkafka.py"), mode, str(broker.port), topic,
                   str(options["records"]), str(options.get("record-bytes", 100)), str(options.get("acks", 1))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=MARGIN_S, check=False)
        if done.returncode:
            raise RuntimeError(f"librdkafka {mode}: {done.stderr[-400:]}")
        return json.loads(done.stdout)
    return run


TOOLS = {"kafka-producer": kafka_producer, "kafka-consumer": kafka_consumer, "kafka-end-to-end": kafka_end_to_end,
         "rdkafka-produce": rdkafka("produce"), "rdkafka-consume": rdkafka("consume"), "rdkafka-latency": rdkafka("latency")}

#!/usr/bin/env python3
"""100,000 open connections on one shard of a real broker: what they cost. Needs no root.

usage: many.py [--binary PATH] [--connections N]     N a multiple of 20,000

Each of several memif cables carries 20,000 connections of a sluice-bench of its own. Printed, in bytes: the broker's resident
memory with all of them open, with blocks for 16 (`without`), and the difference for each: blocks and all.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from lab import free_port

EACH = 20000  # of one sluice-bench
HOLD_S = 5
OPEN_S = 120  # for one cable


def resident(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def port(folder, i, role):
    host = 2 if role == "server" else 1
    return f"net_memif{i if role == 'server' else 0},role={role},socket={folder}/c{i},socket-abstract=no;address=10.9.{i}.{host}/24"


def begin(binary, folder, cables, connections):
    metrics = f"127.0.0.1:{free_port()}"
    names = [f"C{i}" for i in range(cables)]
    over = {
        "log.dirs": f"{folder}/data", "sluice.shards": 1, "sluice.memory": "1g", "sluice.transport": "dpdk",
        "listeners": ",".join(f"{n}://10.9.{i}.2:{9092 + i}" for i, n in enumerate(names)),
        "listener.security.protocol.map": ",".join(f"{n}:PLAINTEXT" for n in names),
        "inter.broker.listener.name": names[0], "sluice.dpdk.connections": connections,
        "connections.max.idle.ms": -1, "sluice.metrics.listener": metrics,
        "sluice.dpdk.ports": " ".join(port(folder, i, "server") for i in range(cables))}
    args = [a for k, v in over.items() for a in ("--override", f"{k}={v}")]
    with open(f"{folder}/log", "wb") as log:
        broker = subprocess.Popen([binary, *args], stdout=subprocess.PIPE, stderr=log, text=True)
    if " ready" not in broker.stdout.readline():
        with open(f"{folder}/log") as log:
            sys.exit(f"the broker did not start:\n{log.read()}")
    return broker, metrics


def count(metrics):
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("kafka_server_socket_server_metrics_connection_count{"):
                return int(float(line.split()[-1]))
    return 0


def end(process):
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=60)


def without(o, cables):
    """Resident memory of the same broker with blocks for 16 connections, idle."""
    with tempfile.TemporaryDirectory(prefix="sluice-few-") as folder:
        broker, _ = begin(o.binary, folder, cables, 16)
        time.sleep(1)
        bytes_ = resident(broker.pid)
        end(broker)
        return bytes_


def open_all(metrics, want, load):
    until = time.monotonic() + OPEN_S
    while (have := count(metrics)) < want:
        if load.poll() is not None or time.monotonic() > until:
            sys.exit(f"{have} of {want} connections are open; the load says: {end(load)}")
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/sluiced")
    parser.add_argument("--connections", type=int, default=100000)
    o = parser.parse_args()
    cables = o.connections // EACH
    bench = os.path.join(os.path.dirname(os.path.abspath(o.binary)), "sluice-bench")
    base = without(o, cables)
    with tempfile.TemporaryDirectory(prefix="sluice-many-") as folder:
        broker, metrics = begin(o.binary, folder, cables, o.connections)
        loads = []
        try:
            before = resident(broker.pid)
            for i in range(cables):
                loads.append(subprocess.Popen(
                    [bench, "idle", "--ports", port(folder, i, "client"), "--host", f"10.9.{i}.2", "--port", str(9092 + i),
                     "--connections", str(EACH), "--seconds", str(OPEN_S * cables), "--progress", "never"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
                open_all(metrics, EACH * (i + 1), loads[-1])
            time.sleep(HOLD_S)
            have, after = count(metrics), resident(broker.pid)
            print(json.dumps({"connections": have, "resident": after, "without": base, "before": before,
                              "bytes_each": round((after - base) / o.connections)}))
            return 0 if have == o.connections else 1
        finally:
            for process in (*loads, broker):
                end(process)


if __name__ == "__main__":
    sys.exit(main())

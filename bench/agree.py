#!/usr/bin/env python3
"""agree: does another program see what sluice-bench reports?

A second client that shares no line with sluice-bench (Python, one socket, its own encoding of batch and request) puts
three scenarios on the same broker in turns with it, and the best turns' rate and median latency are compared (the least disturbed ones). Both have one
request in flight, and both are scenarios in which the broker's part is much longer than the client's: a flush before
each answer (then the disk is what both see), and records of 100,000 and 500,000 bytes.

And is sluice-bench the limit? Against the null broker the produce load and the barest client there can be (sluice-bench raw:
sockets, epoll, encoded requests, nothing else) in turns: the produce load should reach 90 % of its rate. Python could not
load that broker. Prints one line a scenario and writes agree.json to the results' folder; a run that ends early writes what it
has, marked partial.
"""
import argparse
import json
import os
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

import command
import compare
import peers

ROOT = Path(__file__).resolve().parents[1]
TOPIC = "agree"
ANSWER_S = 60
SCENARIOS = {"durable-4k": ("fsync", 4000), "large-records": ("os", 100000), "huge-records": ("os", 500000)}
NULL = {"null P16K": (150, 4, 5), "null P1": (1, 4, 16), "null P1x256": (1, 256, 1), "null L1": (1, 1, 1)}


class Simple:
    """Produce v7, one record a request, one request in flight, never asleep while it waits."""

    def __init__(self, port, size):
        import records
        batch = records.batch([b"v" * size])
        head = struct.pack(">hhih6sh", 0, 7, 0, 6, b"simple", -1) + struct.pack(">hii", 1, 30000, 1)
        body = struct.pack(">h", len(TOPIC)) + TOPIC.encode() + struct.pack(">iii", 1, 0, len(batch)) + batch
        self.frame = bytearray(struct.pack(">i", len(head) + len(body)) + head + body)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.error_at = 4 + 4 + 4 + 2 + len(TOPIC) + 4 + 4

    def one(self, number):
        struct.pack_into(">i", self.frame, 8, number)
        self.socket.setblocking(True)
        self.socket.sendall(self.frame)
        self.socket.setblocking(False)
        got = b""
        end = time.perf_counter() + ANSWER_S
        while len(got) < 4 or len(got) < 4 + struct.unpack_from(">i", got)[0]:
            try:
                piece = self.socket.recv(4096)
            except BlockingIOError:
                if time.perf_counter() > end:
                    raise TimeoutError(f"the broker did not answer in {ANSWER_S} s") from None
                continue
            if not piece:
                raise RuntimeError("the broker closed the connection")
            got += piece
        if struct.unpack_from(">i", got, 4)[0] != number or struct.unpack_from(">h", got, self.error_at)[0]:
            raise RuntimeError(f"a wrong answer: {got[:64]!r}")

    def run(self, warmup, seconds):
        times, number = [], 0
        begin = time.perf_counter() + warmup
        last = time.perf_counter()
        while last < begin + seconds:
            number += 1
            self.one(number)
            now = time.perf_counter()
            if last >= begin:
                times.append(now - last)
            last = now
        self.socket.close()
        times.sort()
        return {"records_per_s": len(times) / sum(times), "p50_us": times[len(times) // 2] * 1e6}


def ours(broker, size, warmup, seconds):
    r = compare.bench("produce", broker, {"topic": TOPIC, "partitions": 1, "connections": 1, "in-flight": 1, "records": 1,
                                          "record-bytes": size, "warmup": warmup}, seconds)
    return {"records_per_s": r["records_per_s"], "p50_us": r["latency_us"]["p50"]}


def measure(name, rounds, warmup, seconds):
    """{"ours", "simple": the best of the rounds, "rate_ratio", "p50_ratio": ours to simple}."""
    durability, size = SCENARIOS[name]
    with tempfile.TemporaryDirectory(prefix="agree-", dir=ROOT / "build") as folder:
        broker = peers.load("sluice")(Path(folder) / "sluice", durability)
        try:
            broker.start()
            seen = {"ours": [], "simple": []}
            for _ in range(rounds):
                seen["ours"].append(ours(broker, size, warmup, seconds))
                seen["simple"].append(Simple(broker.port, size).run(warmup, seconds))
        finally:
            broker.destroy()
    return best(seen)


def best(seen):
    row = {who: {"records_per_s": max(r["records_per_s"] for r in runs), "p50_us": min(r["p50_us"] for r in runs)}
           for who, runs in seen.items()}
    row["rate_ratio"] = row["ours"]["records_per_s"] / row["simple"]["records_per_s"]
    row["p50_ratio"] = row["ours"]["p50_us"] / row["simple"]["p50_us"]
    return row


def against_null(name, rounds, warmup, seconds):
    """As measure(): "simple" is sluice-bench raw."""
    records, connections, in_flight = NULL[name]
    broker = peers.load("null")(None, None)
    try:
        broker.start()
        seen = {"ours": [], "simple": []}
        for _ in range(rounds):
            for who, load in (("ours", "produce"), ("simple", "raw")):
                args = [peers.BENCH, load, "--port", broker.port, "--json", 1, "--seconds", seconds, "--warmup", warmup, "--records",
                        records, "--connections", connections, "--in-flight", in_flight, *(("--setup", 0) if who == "ours" else ())]
                r = json.loads(command.output(args, command.load_limit_s(seconds)))
                seen[who].append({"records_per_s": r["records_per_s"], "p50_us": r["latency_us"]["p50"]})
    finally:
        broker.destroy()
    return best(seen)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=command.count, default=5)
    p.add_argument("--seconds", type=command.seconds, default=2)
    p.add_argument("--results", type=Path, default=ROOT / "bench" / "results")
    p.add_argument("scenario", nargs="*", help=f"default: all of {', '.join([*SCENARIOS, *NULL])}")
    o = p.parse_args()
    for name in o.scenario:
        if name not in SCENARIOS and name not in NULL:
            p.error(f"no such scenario: {name}")
    return o


def show(name, row):
    print(f"{name}: sluice-bench {row['ours']['records_per_s']:,.0f} records/s, p50 {row['ours']['p50_us']:.0f} us; "
          f"simple client {row['simple']['records_per_s']:,.0f}, {row['simple']['p50_us']:.0f} us; "
          f"rate {row['rate_ratio']:.3f}, p50 {row['p50_ratio']:.3f} of it", flush=True)


def agree():
    o = arguments()
    load, rows, partial, status = " ".join(f"{x:.1f}" for x in os.getloadavg()), {}, None, 0
    try:
        (ROOT / "build").mkdir(exist_ok=True)
        for name in o.scenario or [*SCENARIOS, *NULL]:
            rows[name] = (measure if name in SCENARIOS else against_null)(name, o.rounds, 0.5, o.seconds)
            show(name, rows[name])
    except command.Stopped as e:
        partial, status = e.why, e.status
    except Exception as e:  # whatever it is: what was measured is kept
        partial, status = command.text(e), 1
    if rows:
        o.results.mkdir(parents=True, exist_ok=True)
        (o.results / "agree.json").write_text(json.dumps({"load_average": load, "partial": partial, "scenarios": rows}, indent=1))
    if partial:
        print(f"agree: not whole: {partial}", file=sys.stderr)
    return status


if __name__ == "__main__":
    command.end("agree", agree)

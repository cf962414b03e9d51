#!/usr/bin/env python3
"""catchup: row C: an old reader beside producers. Are they slowed, and what does the reader get of the disk?

Sluice on kernel sockets, one shard. A topic is filled, and other data is written behind it until none of it is cached. Then in
turns: P16K (150 records x 100 B a batch, 4 connections, 4 partitions) at half of the rate that it reached alone; the same
beside one consumer that reads the old topic; that consumer alone; and the disk alone (sequential O_DIRECT reads of 256 KiB, 8
under way). The table shows the median of the rounds and their range: what producers see (p50, p99), what the reader got, and
both as ratios in the same round. GOALS: p99 at most 1.2 times, 80 % of the disk. Needs --gb free space three times.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import compare
import peers

ROOT = Path(__file__).resolve().parents[1]
P16K = ["--records", "150", "--connections", "4", "--in-flight", "5"]
READ = ["--partitions", "4", "--fetch-bytes", "1048576"]
COUNTERS = ("sluice_disk_read_bytes_total", "sluice_read_ahead_bytes_total", "sluice_read_ahead_wasted_bytes_total",
            "sluice_read_ahead_hits_total", "sluice_disk_read_requests_total")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--gb", type=float, default=20, help="of old data (default 20)")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=10, help="of each turn (default 10)")
    p.add_argument("--durability", choices=("os", "fsync"), default="fsync")
    p.add_argument("--memory", default="512m", help="sluice.memory, with k, m or g (default 512m)")
    p.add_argument("--readers", type=int, default=1, help="connections of the reader (default 1)")
    p.add_argument("--binary", type=Path, help="another sluiced")
    p.add_argument("--folder", type=Path, help="for the data (default: a temporary one in build/)")
    p.add_argument("--results", type=Path, default=ROOT / "bench" / "results", help="folder for the results (default bench/results)")
    return p.parse_args()


def command(load, port, options):
    return [str(peers.BENCH), load, "--port", str(port), "--json", "1", *map(str, options)]


def run(args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"catchup: {' '.join(args[1:])}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def counters(clocks):
    try:
        page = urllib.request.urlopen(f"http://127.0.0.1:{clocks}/metrics", timeout=10).read().decode()
    except OSError:
        return {}
    found = {}
    for line in page.splitlines():
        name = line.split("{")[0]
        if name in COUNTERS:
            found[name] = found.get(name, 0) + float(line.rsplit(" ", 1)[1])
    return found


def fill(port, topic, gb):
    run(command("produce", port, ["--topic", topic, "--partitions", 4, "--records", 600, "--connections", 4, "--in-flight", 4,
                                  "--bytes", int(gb * 1e9), "--seconds", 3600, "--warmup", 0]))


def produce(o, port, rate, extra=()):
    return command("produce", port, [*P16K, "--topic", "new", "--partitions", 4, "--rate", int(rate), "--seconds", o.seconds,
                                     "--warmup", 1, *extra])


def read(o, port):
    return command("fetch", port, [*READ, "--topic", "old", "--connections", o.readers, "--seconds", o.seconds, "--warmup", 1])


def one_round(o, port, clocks, folder, rate):
    r = {"alone": run(produce(o, port, rate))}
    before = counters(clocks)
    reader = subprocess.Popen(read(o, port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    r["beside"] = run(produce(o, port, rate))
    out, err = reader.communicate()
    if reader.returncode:
        raise SystemExit(f"catchup: the reader: {err.strip()}")
    r["reader"] = json.loads(out)
    after = counters(clocks)
    r["counters"] = {k: after[k] - before.get(k, 0) for k in after}
    r["reader alone"] = run(read(o, port))
    r["disk"] = run([str(peers.BENCH), "disk", "--json", "1", "--folder", str(folder), "--way", "read", "--block", "262144",
                     "--depth", "8", "--seconds", str(o.seconds / 2)])
    return r


def memory_bytes(text):
    return int(text[:-1]) << {"k": 10, "m": 20, "g": 30}[text[-1]]


def rate_of(result):
    return result["bytes"] / result["seconds"] / 1e6


def summary(rounds):
    """[what, its figure in each round, how it is written]: what producers see, what the reader gets, both as ratios."""
    rows = [[f"produce {turn}: {q}, us", [r[turn]["latency_us"][q] for r in rounds], "{:,.0f}"]
            for turn in ("alone", "beside") for q in ("p50", "p99")]
    rows.append(["p99 beside the reader, times alone (aim: at most 1.2)",
                 [r["beside"]["latency_us"]["p99"] / r["alone"]["latency_us"]["p99"] for r in rounds], "{:.2f}"])
    rows += [[f"{turn}, MB/s", [rate_of(r[turn]) for r in rounds], "{:,.0f}"] for turn in ("reader", "reader alone", "disk")]
    rows += [[f"{who}, of the disk{aim}", [rate_of(r[turn]) / rate_of(r["disk"]) for r in rounds], "{:.2f}"] for who, turn, aim in
             (("reader beside producers", "reader", " (aim: at least 0.8)"), ("reader alone", "reader alone", ""))]
    return rows


def report(rounds):
    counted = [[name, [r["counters"][name] for r in rounds], "{:,.0f}"] for name in COUNTERS if rounds[-1]["counters"].get(name)]
    for name, values, form in summary(rounds) + counted:
        middle, least, most = (form.format(v) for v in (statistics.median(values), min(values), max(values)))
        print(f"{name:54} {middle:>10}   ({least} ... {most})")


def main():
    o = arguments()
    folder = o.folder or Path(tempfile.mkdtemp(prefix="catchup-", dir=ROOT / "build"))
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < 3e9 * o.gb:
        raise SystemExit("catchup: the disk has not room enough")
    broker = peers.load("sluice")(folder / "broker", o.durability)
    broker.inner.overrides["sluice.memory"] = o.memory
    if o.binary:
        sys.modules["brokers"].SLUICED = o.binary.resolve()
    rounds, others = [], compare.busy_with_others()
    try:
        broker.start()
        fill(broker.port, "old", o.gb)
        fill(broker.port, "between", 1.5 * memory_bytes(o.memory) / 1e9)
        full = run(command("produce", broker.port, [*P16K, "--topic", "new", "--partitions", 4, "--seconds", 3]))
        rate = full["records"] / 150 / full["seconds"] / 2
        print(f"P16K: {full['records'] / full['seconds'] / 1e6:.2f} M rec/s; {rate:.0f} batches a second from here on")
        for i in range(o.rounds):
            print(f"round {i + 1} of {o.rounds}", file=sys.stderr)
            rounds.append(one_round(o, broker.port, broker.clocks, folder, rate))
    finally:
        broker.destroy()
        if not o.folder:
            shutil.rmtree(folder, ignore_errors=True)
    o.results.mkdir(parents=True, exist_ok=True)
    (o.results / "catchup.json").write_text(json.dumps({
        "gb": o.gb, "seconds": o.seconds, "durability": o.durability, "memory": o.memory, "readers": o.readers,
        "busy_before": others, "batches_per_s": rate, "rounds": rounds}, indent=1))
    report(rounds)
    print(f"others used {others:.0%} of the processors before; every run: {os.path.relpath(o.results / 'catchup.json')}")


if __name__ == "__main__":
    main()

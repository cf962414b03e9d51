#!/usr/bin/env python3
"""catchup: row C: an old reader beside producers. Are they slowed, and what does the reader get of the disk?

Sluice on kernel sockets, one shard. A topic is filled, and other data is written behind it until none of it is cached. Then in
turns: P16K (150 records x 100 B a batch, 4 connections, 4 partitions) at half of the rate that it reached alone; the same
beside one consumer that reads the old topic; that consumer alone; the disk alone (sequential O_DIRECT reads of 256 KiB, 8
under way); and without a broker what the disk makes of both, which is the limit: durable writes of 64 KiB, 2 under way, alone
and beside a process that reads 256 KiB, 2 under way. The table shows the median of the rounds and their range: what producers
see (p50, p99), what the reader got, and both as ratios in the same round. GOALS: p99 at most 1.2 times, 80 % of the disk. Needs
--gb free space three times. A run that ends early keeps its whole rounds, marked partial.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import command
import compare
import peers

ROOT = Path(__file__).resolve().parents[1]
FILL_S = 3600
FULL_S = 10  # at full rate, less with few GB: disks take bursts faster than what lasts
BEGUN_BYTES = 16 << 20  # that a reader of the disk alone has read when it counts as reading
P16K = ["--records", "150", "--connections", "4", "--in-flight", "5"]
READ = ["--partitions", "4", "--fetch-bytes", "1048576"]
UNITS = {"k": 10, "m": 20, "g": 30}
COUNTERS = ("sluice_disk_read_bytes_total", "sluice_read_ahead_bytes_total", "sluice_read_ahead_wasted_bytes_total",
            "sluice_read_ahead_hits_total", "sluice_disk_read_requests_total")


def size(words):
    """Bytes from a number with k, m or g."""
    if len(words) < 2 or words[-1] not in UNITS or not words[:-1].isdecimal() or int(words[:-1]) == 0:
        raise argparse.ArgumentTypeError(f"{words!r} is not a size with k, m or g")
    return words


def arguments():
    p = argparse.ArgumentParser(prog="./dev compare C", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--gb", type=command.amount, default=20, help="of old data (default 20)")
    p.add_argument("--rounds", type=command.count, default=3)
    p.add_argument("--seconds", type=command.seconds, default=10, help="of each turn (default 10)")
    p.add_argument("--durability", choices=("os", "fsync"), default="fsync")
    p.add_argument("--memory", type=size, default="512m", help="sluice.memory, with k, m or g (default 512m)")
    p.add_argument("--readers", type=command.count, default=1, help="connections of the reader (default 1)")
    p.add_argument("--binary", type=Path, help="another sluiced")
    p.add_argument("--folder", type=Path, help="for the data (default: a temporary one in build/)")
    p.add_argument("--results", type=Path, default=ROOT / "bench" / "results", help="folder for the results (default bench/results)")
    p.add_argument("row", nargs="*", help="C, or its file, catchup: the only row here")
    o = p.parse_args()
    if set(o.row) - {"C", "catchup"}:
        p.error("row C is measured by itself, without other rows")
    return o


def load(name, port, options):
    return [peers.BENCH, name, "--port", port, "--json", 1, *options]


def run(args, seconds):
    return json.loads(command.output(args, command.load_limit_s(seconds)))


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
    run(load("produce", port, ["--topic", topic, "--partitions", 4, "--records", 600, "--connections", 4, "--in-flight", 4,
                               "--bytes", int(gb * 1e9), "--seconds", FILL_S, "--warmup", 0]), FILL_S)


def produce(o, port, rate):
    return run(load("produce", port, [*P16K, "--topic", "new", "--partitions", 4, "--rate", int(rate), "--seconds", o.seconds,
                                      "--warmup", 1]), o.seconds)


def read(o, port):
    return load("fetch", port, [*READ, "--topic", "old", "--connections", o.readers, "--seconds", o.seconds, "--warmup", 1])


def one_round(o, port, clocks, folder, rate):
    r = {"alone": produce(o, port, rate)}
    before = counters(clocks)
    reader = command.start(read(o, port))
    try:
        r["beside"] = produce(o, port, rate)
        r["reader"] = json.loads(command.finish(reader, command.load_limit_s(o.seconds), "the reader"))
    finally:
        reader.kill()  # if the producers failed
    after = counters(clocks)
    r["counters"] = {k: after[k] - before.get(k, 0) for k in after}
    r["reader alone"] = run(read(o, port), o.seconds)
    r["disk"] = run(raw(folder, "read", 262144, 8, o.seconds / 2), o.seconds)
    r["raw alone"] = run(raw(folder, "write", 65536, 2, o.seconds / 2), o.seconds)
    r["raw beside"] = raw_beside(o, folder)
    return r


def raw(folder, way, block, depth, seconds):
    return [peers.BENCH, "disk", "--json", 1, "--folder", folder, "--way", way, "--block", block, "--depth", depth, "--seconds", seconds]


def raw_beside(o, folder):
    """Durable writes of the disk alone, beside reads of it."""
    reader = command.start(raw(folder, "read", 262144, 2, 4 * command.load_limit_s(o.seconds)))
    try:
        until = time.monotonic() + command.load_limit_s(o.seconds)
        while read_bytes(reader.pid) < BEGUN_BYTES:  # it fills its file first
            if reader.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the reader of the disk alone does not begin")
            time.sleep(0.05)
        return run(raw(folder, "write", 65536, 2, o.seconds / 2), o.seconds)
    finally:
        reader.kill()
        reader.communicate()


def read_bytes(pid):
    counted = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(counted["read_bytes"])


def memory_bytes(text):
    return int(text[:-1]) << UNITS[text[-1]]


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
    if all("raw beside" in r for r in rounds):
        rows += [[f"raw durable writes {turn}: p99, us", [r[f"raw {turn}"]["latency_us"]["p99"] for r in rounds], "{:,.0f}"]
                 for turn in ("alone", "beside")]
        rows += [["raw p99 beside a raw reader, times alone",
                  [r["raw beside"]["latency_us"]["p99"] / r["raw alone"]["latency_us"]["p99"] for r in rounds], "{:.2f}"],
                 ["raw durable bytes beside a raw reader, of alone",
                  [rate_of(r["raw beside"]) / rate_of(r["raw alone"]) for r in rounds], "{:.2f}"]]
    return rows


def report(rounds):
    counted = [[name, [r["counters"][name] for r in rounds], "{:,.0f}"] for name in COUNTERS if rounds[-1]["counters"].get(name)]
    for name, values, form in summary(rounds) + counted:
        middle, least, most = (form.format(v) for v in (statistics.median(values), min(values), max(values)))
        print(f"{name:54} {middle:>10}   ({least} ... {most})")


def measure(o, broker, folder, result):
    """Fills result's rounds and the rate of their producers."""
    broker.start()
    print(f"filling {o.gb:g} GB", file=sys.stderr)
    fill(broker.port, "old", o.gb)
    fill(broker.port, "between", 1.5 * memory_bytes(o.memory) / 1e9)
    seconds = max(o.seconds, min(o.gb, FULL_S))
    full = run(load("produce", broker.port, [*P16K, "--topic", "new", "--partitions", 4, "--seconds", seconds]), seconds)
    result["batches_per_s"] = full["records"] / 150 / full["seconds"] / 2
    print(f"P16K: {full['records'] / full['seconds'] / 1e6:.2f} M rec/s; {result['batches_per_s']:.0f} batches a second from here on")
    for i in range(o.rounds):
        print(f"round {i + 1} of {o.rounds}", file=sys.stderr)
        result["rounds"].append(one_round(o, broker.port, broker.clocks, folder, result["batches_per_s"]))


def keep(o, result):
    """Shows and writes the whole rounds, if there are any."""
    if not result["rounds"]:
        return
    o.results.mkdir(parents=True, exist_ok=True)
    (o.results / "catchup.json").write_text(json.dumps(result, indent=1))
    report(result["rounds"])
    print(f"others used {result['busy_before']:.0%} of the processors before; every run: "
          f"{os.path.relpath(o.results / 'catchup.json')}{' (partial)' if result['partial'] else ''}")


def catchup():
    o = arguments()
    others, status, broker, folder = compare.busy_with_others(), 0, None, o.folder
    result = {"gb": o.gb, "seconds": o.seconds, "durability": o.durability, "memory": o.memory, "readers": o.readers,
              "busy_before": others, "partial": None, "rounds": []}
    try:
        (ROOT / "build").mkdir(exist_ok=True)
        folder = folder or Path(tempfile.mkdtemp(prefix="catchup-", dir=ROOT / "build"))
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < 3e9 * o.gb:
            raise OSError(f"the disk has not room enough: {o.gb:g} GB of old data need three times that (--gb)")
        broker = peers.load("sluice")(folder / "broker", o.durability)
        broker.inner.overrides["sluice.memory"] = o.memory
        if o.binary:
            sys.modules["brokers"].SLUICED = o.binary.resolve()
        measure(o, broker, folder, result)
    except command.Stopped as e:
        result["partial"], status = e.why, e.status
    except Exception as e:  # whatever it is: what was measured is kept
        result["partial"], status = command.text(e), 1
    finally:
        command.deaf()
        if broker:
            broker.destroy()
        if folder and not o.folder:
            shutil.rmtree(folder, ignore_errors=True)
    keep(o, result)
    if result["partial"]:
        print(f"catchup: not whole: {result['partial']}", file=sys.stderr)
    return status


if __name__ == "__main__":
    command.end("catchup", catchup)

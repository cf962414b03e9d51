#!/usr/bin/env python3
"""bench: the micro benchmarks and our own scenarios, compared with the committed baseline.

Micro benchmarks are judged as ratios to a calibration loop that runs beside them, scenarios as ratios to the null
broker, so that another machine can judge a change. What is further from the baseline than FAR is named; times never
fail a run (machines differ), heap allocations on a fast path do. Results: bench/results/bench.md and bench.json.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import command
import compare

ROOT = Path(__file__).resolve().parents[1]
MICRO = ROOT / "build" / "bench" / "micro" / "sluice-micro"
BASELINE = ROOT / "bench" / "baseline.json"
FAR = 1.5  # times the baseline's ratio
NOISY = ("mailbox_round_trip",)  # needs two free cores at once: shown, not judged
DEFAULT = ("P16K", "P1", "L1", "E2E")
MICRO_S_MAX = 3600


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=command.count, default=3, help="of micro benchmarks and scenarios (default 3)")
    p.add_argument("--seconds", type=command.seconds, default=2, help="of each scenario's turn (default 2)")
    p.add_argument("--filter", default="", help="micro benchmarks whose name matches this pattern")
    p.add_argument("--no-micro", action="store_true")
    p.add_argument("--update-baseline", action="store_true", help="this run becomes the baseline")
    p.add_argument("--results", type=Path, default=compare.RESULTS, help="folder for the results (default bench/results)")
    p.add_argument("scenario", nargs="*", help=f"default: {' '.join(DEFAULT)}; none: only the micro benchmarks")
    o = p.parse_args()
    o.all, o.durability, o.peers, o.warmup = compare.scenarios(), "os", ["sluice", "null"], 1
    o.durations, o.all = [o.seconds], {n: r for n, r in o.all.items() if r["load"] != "catchup"}
    o.names = [] if o.scenario == ["none"] else o.scenario or list(DEFAULT)
    for name in o.names:
        if name not in o.all:
            raise SystemExit(f"bench: unknown scenario {name}; there are {', '.join(o.all)}, none")
    if not o.no_micro and not MICRO.exists():
        raise SystemExit("bench: the micro benchmarks are not built (libbenchmark-dev and a C++ compiler are missing); "
                         "--no-micro runs without them")
    return o


def micro(options):
    """{case: {"ns", "cycles", "allocs", "bytes_per_s", "ratio"}}, the fastest of the rounds."""
    args = [MICRO, "--benchmark_format=json", "--benchmark_min_time=0.1", f"--benchmark_repetitions={options.rounds}"]
    if options.filter:
        args.append(f"--benchmark_filter=calibration|{options.filter}")
    said = command.output(args, MICRO_S_MAX)
    if not said.strip():
        raise RuntimeError(f"sluice-micro has no case that matches {options.filter}")
    found = {}
    for row in json.loads(said)["benchmarks"]:
        if row.get("run_type") == "aggregate":
            continue
        name = row["name"].removesuffix("/manual_time").split("/repeats:")[0].removesuffix("/manual_time")
        if row.get("error_occurred"):
            raise RuntimeError(f"{name}: {row['error_message']}")
        seen = {"ns": row["real_time"], "cycles": row["cycles"], "allocs": row["allocs"],
                "bytes_per_s": row.get("bytes_per_second"), "label": row.get("label")}
        before = found.get(name, seen)
        found[name] = dict(min(before, seen, key=lambda r: r["ns"]), allocs=max(before["allocs"], seen["allocs"]))
    for row in found.values():
        row["ratio"] = row["ns"] / found["calibration"]["ns"]
    return found


def own(options, everything, say):
    """Runs the scenarios; everything gets what they measured, as compare.run() does."""
    if not options.names:
        return
    (ROOT / "build").mkdir(exist_ok=True)
    folder, started = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / "build")), {}
    try:
        started = compare.start_all(options, folder, say)
        failed = compare.run(options, started, folder, everything, say)
        if failed:
            raise RuntimeError(failed)
    finally:
        command.deaf()
        for broker in started.values():
            broker.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def figures(everything):
    """{scenario: {"records_per_s", "p50_us", "p99_us", "ratio"}}: medians; ratio to the null broker where it can."""
    rows = {}
    for name, entry in everything.items():
        ours = entry["rounds"].get("sluice")
        if not ours or "records_per_s" not in ours[0]:
            continue
        rate = {k: statistics.median(r["records_per_s"] for r in rounds) for k, rounds in entry["rounds"].items() if rounds}
        rows[name] = {"records_per_s": rate["sluice"]}
        for p in ("p50", "p99"):
            rows[name][f"{p}_us"] = statistics.median(r["latency_us"][p] for r in ours)
        rows[name]["ratio"] = rate["sluice"] / rate["null"] if rate.get("null") else None
    return rows


def verdict(now, before, more_is_better, name):
    """Text about a ratio against the baseline's; empty: near it."""
    if not before or not now or name in NOISY:
        return ""
    change = now / before
    if more_is_better:
        change = 1 / change
    return f"{change:.2f}x slower" if change > FAR else f"{1 / change:.2f}x faster" if change < 1 / FAR else ""


def tables(found, rows, baseline):
    out, faults = ["# Own figures", ""], []
    if found:
        out += ["| operation | ns | cycles | GB/s | allocations | of the calibration loop | baseline | |",
                "|---|---:|---:|---:|---:|---:|---:|---|"]
        for name, r in found.items():
            before = baseline.get("micro", {}).get(name)
            rate = f"{r['bytes_per_s'] / 1e9:.2f}" if r["bytes_per_s"] else ""
            where = f" ({r['label']})" if r["label"] else ""
            out.append(f"| {name}{where} | {r['ns']:.1f} | {r['cycles']:.0f} | {rate} | {r['allocs']:.3g} | {r['ratio']:.4g} | "
                       f"{f'{before:.4g}' if before else '-'} | {verdict(r['ratio'], before, False, name)} |")
            if r["allocs"] > 0:
                faults.append(f"{name} takes {r['allocs']:.3g} heap allocations an operation")
        out.append("")
    if rows:
        out += ["| scenario | records/s | p50 us | p99 us | of the null broker | baseline | |", "|---|---:|---:|---:|---:|---:|---|"]
        for name, r in rows.items():
            before, ratio = baseline.get("scenarios", {}).get(name), r["ratio"]
            out.append(f"| {name} | {r['records_per_s']:,.0f} | {r['p50_us']:.1f} | {r['p99_us']:.1f} | "
                       f"{f'{ratio:.3f}' if ratio else '-'} | {f'{before:.3f}' if before else '-'} | "
                       f"{verdict(ratio, before, True, name)} |")
        out.append("")
    return "\n".join(out), faults


def write(options, found, everything, failure):
    """Prints and keeps what was measured; faults of it, as text."""
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    rows = figures(everything)
    text, faults = tables(found, rows, baseline)
    print(text)
    if found or rows:
        options.results.mkdir(parents=True, exist_ok=True)
        (options.results / "bench.md").write_text((f"**Partial: {failure}**\n\n" if failure else "") + text)
        (options.results / "bench.json").write_text(json.dumps(
            {"partial": failure, "micro": found, "scenarios": rows, "rounds": everything}, indent=1))
        print(f"written: {os.path.relpath(options.results / 'bench.md')}, bench.json{' (partial)' if failure else ''}")
    if options.update_baseline and not failure:
        baseline.setdefault("micro", {}).update({k: round(v["ratio"], 6) for k, v in found.items()})
        baseline.setdefault("scenarios", {}).update({k: round(v["ratio"], 4) for k, v in rows.items() if v["ratio"]})
        BASELINE.write_text(json.dumps(baseline, indent=1) + "\n")
        print("this run is now the baseline: bench/baseline.json")
    return faults


def bench():
    options = arguments()
    begin, found, everything, failure, status = time.monotonic(), {}, {}, None, 0

    def say(text):
        print(f"[{time.monotonic() - begin:.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        if not options.no_micro:
            say("micro benchmarks")
            found = micro(options)
        own(options, everything, say)
    except command.Stopped as e:
        failure, status = e.why, e.status
    except Exception as e:  # whatever it is: what was measured is kept
        failure, status = command.text(e), 1
    faults = write(options, found, everything, failure)
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    if failure:
        print(f"bench: stopped before the end: {failure}", file=sys.stderr)
    return status or int(bool(faults))


if __name__ == "__main__":
    command.end("bench", bench)

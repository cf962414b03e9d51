#!/usr/bin/env python3
"""performance: docs/performance.md from results of real runs. Nothing in that document is written by hand.

    python3 bench/performance.py --run             measures all parts (about an hour), then writes the document
    python3 bench/performance.py --run os agree    measures these parts anew, then writes the document
    python3 bench/performance.py                   writes the document from the results that are there

Minutes on the two cores of docs/performance.md: {minutes}.

The parts' results lie in bench/performance/, committed beside the document that they make.
"""
import argparse
import json
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import agree
import aims
import bypass
import catchup
import command
import figures
import repeat
import report
import spread

ROOT = Path(__file__).resolve().parents[1]
STAGED = ("P16K", "P1", "L1", "F", "DL")  # rows whose stage clocks the document shows
BUSY_SHARE = 0.2  # of the processors, used by others before a run: then its figures show little
KEPT = ROOT / "bench" / "performance"
DOCUMENT = ROOT / "docs" / "performance.md"
# part: (title, script, arguments, file that the script writes, rounds, seconds of a turn, minutes that it takes)
PARTS = {
    "os": ("Kernel sockets, one shard, `sluice.durability=os`", "compare.py", [], "compare.json", 3, 2, 12),
    "fsync": ("Durable: both flush before they answer", "compare.py",
              ["--durability", "fsync", "--against", "kafka,null", "durable", "L1"], "compare.json", 5, 1.5, 8),
    "catchup": ("An old reader beside producers", "catchup.py", ["--gb", "20"], "catchup.json", 3, 5, 6),
    "bypass": ("Our own TCP over a memif cable: broker on one core, load on the other", "bypass.py", [], "bypass.json", 4, 1.5, 7),
    "linkedin": ("LinkedIn's table of 2014", "compare.py", ["linkedin-2014"], "compare.json", 4, 1.5, 12),
    "clients": ("Clients that people have", "compare.py", ["--against", "kafka", "clients"], "compare.json", 4, 1.5, 6),
    "repeat": ("Does a repeat agree?", "repeat.py", ["--run", "3", "--against", "null", "P16K", "P1", "L1", "E2E"], "repeat.json",
               5, 1.5, 7),
    "agree": ("Does another program see the same?", "agree.py", [], "agree.json", 5, 2, 3),
    "bench": ("Operations, one by one", "bench.py", ["none"], "bench.json", 3, 1.5, 1),
}
__doc__ = __doc__.format(minutes=", ".join(f"{part} {row[-1]}" for part, row in PARTS.items()))


def whole(words):
    """Runs a part; its exit status. A signal to this program ends the part first, which stops its brokers."""
    process = subprocess.Popen(words)
    try:
        return process.wait()
    except command.Stopped:
        process.terminate()  # it may have been told by the terminal already: one more changes nothing
        process.wait()
        raise


def measure(part, o):
    _, script, arguments, name, rounds, seconds, minutes = PARTS[part]
    print(f"performance: {part}, about {minutes} min", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        code = whole([sys.executable, ROOT / "bench" / script, "--results", folder, "--rounds", str(o.rounds or rounds),
                      "--seconds", str(o.seconds or seconds), *arguments, *shlex.split(o.more or "")])
        made = Path(folder) / name
        judged = script == "repeat.py"  # runs that do not agree are a result, too
        if not made.exists() or code and not judged:
            raise SystemExit(f"performance: {part} ended with {code}; the document is as it was")
        KEPT.mkdir(exist_ok=True)
        data = json.loads(made.read_text()) | {"asked": {"rounds": o.rounds or rounds, "seconds": o.seconds or seconds}}
        (KEPT / f"{part}.json").write_text(json.dumps(slim(data), indent=None, separators=(",", ":")) + "\n")


def slim(data):
    """Without what the document does not show."""
    for entry in data.get("scenarios", {}).values() if "about" in data else ():
        for rounds in entry["rounds"].values():
            for r in rounds:
                r.pop("timeline", None)
    if isinstance(data.get("rows"), dict):  # the cable's: what summary() reads
        for rounds in data["rows"].values():
            for r in rounds:
                r[:] = [{k: v for k, v in r[-1].items() if k in ("requests_per_s", "records_per_s", "latency_us", "overload_share")}]
    elif "gb" in data:  # what catchup.summary() reads
        for r in data["rounds"]:
            r.pop("counters", None)
            for turn, row in r.items():
                r[turn] = {k: row[k] for k in ("bytes", "seconds", "records_per_s") if k in row} | {
                    "latency_us": {q: row["latency_us"][q] for q in ("p50", "p99")} if "latency_us" in row else {}}
    elif "about" not in data:
        data.pop("rounds", None)
    return data


def asked(run):
    """The words that ask for the rounds and seconds of a run; what an older result does not hold is left to the default."""
    return [w for name in ("rounds", "seconds") if name in run for w in (f"--{name}", f"{run[name]:g}")]


def compared(title, data):
    about, scenarios = data["about"], data["scenarios"]
    out = [f"## {title}", "", *report.run_facts(about), "", f"Median of the rounds, range in brackets. {figures.REPEAT_SAID}.", ""]
    if about.get("busy_before", 0) > BUSY_SHARE:
        out += ["**The machine was busy with other work in this run: look at the ranges; the figures show little.**", ""]
    if data.get("partial"):
        out += [f"**Partial: {data['partial']}**", ""]
    shapes = {}
    for name, entry in scenarios.items():
        shapes.setdefault(entry["load"], []).append((name, entry))
    for shape, entries in shapes.items():
        columns = figures.COLUMNS[shape]
        out += ["| | | " + " | ".join(t for t, _, _ in columns) + " |", "|---|---|" + "---:|" * len(columns)]
        for name, entry in entries:
            for peer, m in figures.medians(entry).items():
                cells = [figures.cell(m[key]) for _, key, _ in columns]
                out.append(f"| {name} | {peer} | " + " | ".join(cells) + " |")
        out.append("")
    out += [f"- {name}: {e['what']}" + (f" (`{e['options']}`)" if e.get("options") else "") for name, e in scenarios.items()] + [""]
    judged = aims.markdown(aims.judged(about, scenarios))
    if judged:
        out += ["Against the aims (ratios within this run):", "", *judged]
    out += ["Where Sluice loses:", "", *report.losses(scenarios), "", *report.stages(scenarios, STAGED)]
    limits = [f"{n} ({', '.join(figures.limits(e))})" for n, e in scenarios.items() if figures.limits(e)]
    if limits:
        out += [f"The load's own thread was busy all the time, and is what was measured, in: {'; '.join(limits)}.", ""]
    return out + [f"Repeat: `{figures.command(about)}`", ""]


def cabled(title, data):
    out = [f"## {title}", "", f"Two processes on cores {' and '.join(data['cores'])}, each polling; MTU 1,500 unless the row says "
           f"9,000; checksums computed and verified; {data['rounds']} rounds of {data['seconds']} s in turns. Others used "
           f"{data['busy_before']:.0%} of the processors before it began. `frames`: bare frames over the same cable. The aims are "
           "of a machine on which bare frames are 6-7.6M (32 outstanding) and 13-16M (256).", "",
           "| row | median | least | most | p99 us | aim | against its yardstick |", "|---|---:|---:|---:|---:|---|---|"]
    out += ["| " + " | ".join(row) + " |" for row in bypass.summary(data["rows"])]
    rows = [] if set(data["rows"]) == set(bypass.ROWS) else list(data["rows"])
    words = [*asked(data), "--cores", ",".join(data["cores"]), *(["--realtime"] if data.get("realtime") else []), *rows]
    return out + ["", f"Repeat: `./dev compare --bypass {shlex.join(words)}`", ""]


def caught(title, data):
    out = [f"## {title}", "", f"Durability `{data['durability']}`, {data['memory']} of memory for the broker, {data['gb']:g} GB of old "
           f"data, none of it in memory. Producers as in P16K at half of what they reached alone ({data['batches_per_s']:,.0f} batches a "
           f"second), {data['readers']} consumer; median of {len(data['rounds'])} rounds of {data['seconds']:g} s in turns. "
           f"{figures.REPEAT_SAID}. Others used {data['busy_before']:.0%} of the processors before the run.", "",
           "| | median | a repeat | least | most |", "|---|---:|---:|---:|---:|"]
    for name, values, form in catchup.summary(data["rounds"]):
        s = (statistics.median(values), min(values), max(values), spread.expected(values))
        out.append(f"| {name} | {form.format(s[0])} | {figures.repeat(s)} | {form.format(s[1])} | {form.format(s[2])} |")
    words = ["--gb", f"{data['gb']:g}", *asked({"rounds": len(data["rounds"]), "seconds": data["seconds"]}), "--durability",
             data["durability"], "--memory", data["memory"], "--readers", str(data["readers"])]
    return out + ["", f"Repeat: `python3 bench/catchup.py {shlex.join(words)}`", ""]


def repeated(title, data):
    about, runs = data["about"], data["runs"]
    out = [f"## {title}", "", f"The same comparison {runs} times, one after the other, each with fresh brokers: medians of {about['rounds']} "
           f"rounds of {about['seconds']} s. Each pair of runs is a check: is the later median within what the earlier run told of a "
           f"repeat? {data['checks']} checks, {data['missed']} apart; 5 % are expected, up to {data['allowed']} may be chance: the runs "
           + ("agree." if data["missed"] <= data["allowed"] else "**do not agree.**") +
           " Judged are ratios to the peer that had its turns beside ours, and figures where there was none; those in brackets have the "
           "machine's speed of the hour in them.", "",
           "| | | figure | " + " | ".join(f"run {i + 1}" for i in range(runs)) + " | |", "|---|---|---|" + "---:|" * runs + "---|"]
    for r in data["rows"]:
        cells = " | ".join(f"{figures.number(s[0])} {figures.repeat(s)}" for s in r["runs"])
        out.append(f"| {r['scenario']} | {r['peer']} | {r['figure']} | {cells} | {repeat.verdict(r)} |")
    return out + ["", f"Repeat: `python3 bench/repeat.py --run {runs} {' '.join(figures.command(about).split()[2:])}`", ""]


def agreed(title, data):
    out = [f"## {title}", "", "A simple client that shares no code with sluice-bench, in turns with it on one broker, one "
           f"request in flight; the least disturbed turns of each. Rows `null`: the produce load and the barest client "
           "there can be (`sluice-bench raw`) against the null broker; with 90 % of its rate or more the load is not what limits. "
           f"Load average when it began: {data['load_average']}.", "",
           "| scenario | sluice-bench: records/s, p50 us | simple client: records/s, p50 us | rate, p50: ours to the other's |",
           "|---|---:|---:|---:|"]
    for name, r in data["scenarios"].items():
        cells = [f"{r[w]['records_per_s']:,.0f}, {r[w]['p50_us']:.0f}" for w in ("ours", "simple")]
        out.append(f"| {name} | {cells[0]} | {cells[1]} | {r['rate_ratio']:.3f}, {r['p50_ratio']:.3f} |")
    apart = [max(abs(r["rate_ratio"] - 1), abs(r["p50_ratio"] - 1)) for n, r in data["scenarios"].items() if n in agree.SCENARIOS]
    worst = f"The largest difference to the other program is {max(apart):.0%}. " if apart else ""
    words = [*asked(data.get("asked", {})), *([] if set(data["scenarios"]) == {*agree.SCENARIOS, *agree.NULL} else data["scenarios"])]
    return out + ["", f"{worst}Repeat: `{shlex.join(['python3', 'bench/agree.py', *words])}`", ""]


def operations(title, data):
    words = asked(data.get("asked", {}))[:2]  # it has no turns, so no seconds of them
    out = [f"## {title}", "", f"The fastest of the rounds. Repeat: `{shlex.join(['./dev', 'bench', *words, 'none'])}`", "",
           "| operation | ns | cycles | GB/s | heap allocations |", "|---|---:|---:|---:|---:|"]
    for name, r in data["micro"].items():
        rate = f"{r['bytes_per_s'] / 1e9:.1f}" if r["bytes_per_s"] else ""
        out.append(f"| {name} | {r['ns']:.1f} | {r['cycles']:.0f} | {rate} | {r['allocs']:.3g} |")
    return out + [""]


def document(results):
    """The text, of {part: its result}. A part without one is named as not measured."""
    out = ["# Performance", "", "<!-- Written by bench/performance.py from bench/performance/*.json: do not edit. -->", "",
           "Measured tables, losses included. Ratios within one run hold; absolute figures belong to the machine, and on a "
           "virtual one to its neighbours. [benchmarking.md](benchmarking.md) says what the columns mean and how to measure "
           "on hardware of your own.", ""]
    make = {"compare.py": compared, "bypass.py": cabled, "catchup.py": caught, "repeat.py": repeated, "agree.py": agreed,
            "bench.py": operations}
    for part, (title, script, *_, minutes) in PARTS.items():
        out += make[script](title, results[part]) if part in results else [
            f"## {title}", "", f"Not measured: no result is kept here. `python3 bench/performance.py --run {part}` measures it, in about "
            f"{minutes} min.", ""]
    return "\n".join(out).rstrip() + "\n"


def write():
    DOCUMENT.write_text(document({p: json.loads((KEPT / f"{p}.json").read_text()) for p in PARTS if (KEPT / f"{p}.json").exists()}))
    print(f"written: {DOCUMENT.relative_to(ROOT)}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", nargs="*", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}; none named: all")
    p.add_argument("--rounds", type=int, help="default: each part's own")
    p.add_argument("--seconds", type=float, help="of each turn (default: each part's own)")
    p.add_argument("--more", metavar="WORDS", help="more words for the part's script, as one: --more='--cores 2,3'")
    o = p.parse_args()
    if o.run is not None:
        if shutil.disk_usage(ROOT).free < 20 << 30:
            raise SystemExit("performance: less than 20 GB of free disk")
        for part in o.run or PARTS:
            measure(part, o)
    write()
    return 0


if __name__ == "__main__":
    command.end("performance", main)

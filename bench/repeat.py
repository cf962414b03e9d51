#!/usr/bin/env python3
"""repeat: do equal runs agree within the spread that they print?

    python3 bench/repeat.py --run 3 P1 L1 --against null     runs that comparison three times, then judges (options: compare's)
    python3 bench/repeat.py A/compare.json B/compare.json    judges runs of another hour, in this order

Each pair of runs is a check for each figure: is the later median within what the earlier run told of a repeat (the ± of its
tables)? That is a promise of 95 %, so one check in twenty may fail. Judged are ratios to the peer that had its turns beside ours;
a figure by itself, where there was none (the others are shown in brackets: the machine's speed of the hour is in them). Status 1: more failed than chance explains (at most 1 % of
cases if the checks were independent; a rate and its latency are not, so look at what failed, too). Writes repeat.json. If a run
ends early, nothing is judged; what was measured stays in the runs' folders (repeat-1 and so on), the last one marked partial.
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import command
import figures
import report
import spread

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", type=int, metavar="N", help="run the comparison N times; what follows is for compare.py")
    p.add_argument("--results", type=Path, default=RESULTS, help="folder for the results (default bench/results)")
    o, o.rest = p.parse_known_args()
    if o.run is not None and o.run < 2:
        p.error("--run wants 2 or more")
    if o.run is None and len(o.rest) < 2:
        p.error("two or more results of compare, or --run N")
    return o


def run(o):
    """(results of the runs, exit status of one that ended early or 0)."""
    paths, status = [], 0
    for i in range(o.run):
        folder = o.results / f"repeat-{i + 1}"
        (folder / "compare.json").unlink(missing_ok=True)  # of another time
        print(f"repeat: run {i + 1} of {o.run}", file=sys.stderr, flush=True)
        try:
            status = command.below([sys.executable, ROOT / "bench" / "compare.py", "--results", folder, *o.rest],
                                   stdout=subprocess.DEVNULL)
            why = f"ended with {status}"
        except command.Stopped as e:
            status, why = e.status, e.why
        if (folder / "compare.json").exists():
            paths.append(folder / "compare.json")
        if status:
            print(f"repeat: run {i + 1} {why}; nothing is judged; "
                  f"{'measured: ' + ', '.join(os.path.relpath(p) for p in paths) if paths else 'nothing was measured'}",
                  file=sys.stderr)
            break
    return paths, status


def load(paths):
    runs = []
    for path in paths:
        try:
            runs.append(json.loads(Path(path).read_text()))
            shape = [runs[-1]["about"][k] for k in ("rounds", "seconds", "durability")]
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise SystemExit(f"repeat: {path} is no result of compare: {e}") from e
        if shape[0] < 2:
            raise SystemExit(f"repeat: {path}: one round does not tell what a repeat may give")
        if shape != [runs[0]["about"][k] for k in ("rounds", "seconds", "durability")]:
            raise SystemExit(f"repeat: {path} is no repeat: other rounds, seconds or durability than {paths[0]}")
    return runs


def told_of(entry):
    """{(peer, whether it is judged): {figure's key: spread}}: each peer's own figures, and ours to each other peer's.

    A figure by itself moves with the machine, which on a shared one is another hour's in the next run. Where another peer
    had its turns beside ours the ratio is what is promised, and judged.
    """
    others = [p for p, rounds in entry["rounds"].items() if p != "sluice" and rounds]
    columns = report.COLUMNS[entry["load"]]
    found = {(p, not others): m for p, m in report.medians(entry).items()}
    return found | {(f"sluice to {p}", True): {key: figures.ratio(entry, key, p) for _, key, _ in columns} for p in others}


def rows(runs):
    """[{"scenario", "peer", "figure", "judged", "runs": [[median, least, most, what a repeat may give]], "misses": [[i, j]]}]."""
    found = []
    for name in (n for n in runs[0]["scenarios"] if all(n in r["scenarios"] for r in runs)):
        entries = [r["scenarios"][name] for r in runs]
        told = [told_of(e) for e in entries]
        for who in (w for w in told[0] if all(w in t for t in told)):
            for title, key, _ in report.COLUMNS[entries[0]["load"]]:
                spreads = [t[who][key] for t in told]
                if any(s is None for s in spreads):
                    continue
                misses = [[i + 1, j + 1] for j in range(len(runs)) for i in range(j)
                          if not spreads[i][3][0] <= spreads[j][0] <= spreads[i][3][1]]
                found.append({"scenario": name, "peer": who[0], "figure": title, "judged": who[1], "runs": spreads, "misses": misses})
    return found


def judge(found, runs):
    judged = [r for r in found if r["judged"]]
    checks = len(judged) * runs * (runs - 1) // 2
    return checks, sum(len(r["misses"]) for r in judged), spread.misses_allowed(checks)


def verdict(r):
    apart = "agree" if not r["misses"] else "apart: " + ", ".join(f"{i} and {j}" for i, j in r["misses"])
    return apart if r.get("judged", True) else f"({apart})"


def repeat():
    o = arguments()
    paths, status = run(o) if o.run else (o.rest, 0)
    if status:
        return status if status > 0 else 1
    runs = load(paths)
    found = rows(runs)
    if not found:
        raise SystemExit("repeat: these runs have no scenario in common")
    for r in found:
        told = "  ".join(f"{report.number(s[0])} {report.repeat(s)}" for s in r["runs"])
        print(f"{r['scenario']:8} {r['peer']:7} {r['figure']:20} {told}  {verdict(r)}")
    checks, missed, allowed = judge(found, len(runs))
    print(f"{checks} checks, {missed} apart; 5 % are expected, {allowed} may be chance: "
          f"{'the runs agree' if missed <= allowed else 'the runs do NOT agree'}")
    o.results.mkdir(parents=True, exist_ok=True)
    (o.results / "repeat.json").write_text(json.dumps(
        {"about": runs[0]["about"], "runs": len(runs), "checks": checks, "missed": missed, "allowed": allowed, "rows": found}))
    return 0 if missed <= allowed else 1


if __name__ == "__main__":
    command.end("repeat", repeat)

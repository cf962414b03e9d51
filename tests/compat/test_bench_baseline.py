"""`./dev bench` judges: what is far from the baseline is named, heap memory on a fast path fails the run, and
`--update-baseline` makes a run the baseline. The micro benchmarks' program is a double that prints what a test wants."""
import json
import subprocess
import sys

import kafka_dist
from runner import check, equal

FOLDER = kafka_dist.ROOT / "bench"
# In a process of its own: bench/ and this folder both have modules called programs.
RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import bench
import command
bench.MICRO, bench.BASELINE = Path(sys.argv[2]), Path(sys.argv[3])
sys.argv[1:] = sys.argv[4:]
command.end("bench", bench.bench)
"""
BEFORE = {"calibration": 1.0, "steady": 0.1, "slower": 0.1, "faster": 0.1, "mailbox_round_trip": 0.1, "left_out": 0.5}


def row(name, ns, **more):
    return {"name": f"{name}/manual_time", "run_type": "iteration", "real_time": ns, "cycles": 2 * ns, "allocs": 0.0, **more}


def judge(context, rows, *args, status=0, before=BEFORE):
    """Runs bench.py on these rows; everything it said, its bench.json, and the baseline afterwards."""
    folder = context.scratch / context.name("judge")
    folder.mkdir(parents=True)
    micro, baseline = folder / "micro", folder / "baseline.json"
    (folder / "rows.json").write_text(json.dumps({"benchmarks": rows}))
    micro.write_text(f"#!/bin/sh\ncat '{folder}/rows.json'\n")
    micro.chmod(0o755)
    baseline.write_text(json.dumps({"micro": before, "scenarios": {"P1": 0.5}}))
    done = subprocess.run([sys.executable, "-c", RUN, FOLDER, micro, baseline, "--results", folder / "results", *args, "none"],
                          capture_output=True, text=True, timeout=120)
    equal(done.returncode, status, f"exit status: {done.stdout[-600:]} {done.stderr[-600:]}")
    found = json.loads((folder / "results" / "bench.json").read_text()) if (folder / "results").exists() else None
    return done.stdout + done.stderr, found, json.loads(baseline.read_text())


def line(text, name):
    return next(r for r in text.splitlines() if r.startswith(f"| {name} "))


def test_bench_names_what_is_far(context):
    """The calibration loop takes 1,000 ns: 100 ns are the baseline's ratio, 160 are far above, 60 far below."""
    rows = [row("calibration", 1000), row("steady", 140), row("slower", 160), row("faster", 60),
            row("mailbox_round_trip", 900, label="CPUs 0 and 1"), row("unknown", 5, bytes_per_second=2e9)]
    text, found, baseline = judge(context, rows)
    check("1.60x slower" in line(text, "slower"), text)
    check("1.67x faster" in line(text, "faster"), text)
    for name in ("steady", "mailbox_round_trip", "unknown"):  # near; too noisy to be judged; no baseline
        check("slower" not in line(text, name) and "faster" not in line(text, name), line(text, name))
    check("CPUs 0 and 1" in line(text, "mailbox_round_trip"), text)
    check("| 2.00 |" in line(text, "unknown"), text)
    equal(found["micro"]["slower"]["ratio"], 0.16, "ratio")
    equal(baseline["micro"], BEFORE, "a run that was not asked to change the baseline")


def test_bench_takes_the_fastest_round_and_all_heap_calls(context):
    """Of several rounds the fastest counts; an allocation in any of them fails the run, with its name."""
    for at in range(3):
        rows = [row("steady", ns, allocs=0.25 if i == at else 0.0) for i, ns in enumerate((100, 90, 95))]
        text, found, _ = judge(context, [row("calibration", 1000), *rows], status=1)
        check("steady takes 0.25 heap allocations an operation" in text, text)
        equal((found["micro"]["steady"]["ns"], found["micro"]["steady"]["allocs"]), (90, 0.25), f"allocations in round {at}")


def test_bench_updates_the_baseline(context):
    """What ran has new ratios, what did not keeps its own."""
    _, _, baseline = judge(context, [row("calibration", 500), row("steady", 100), row("new", 5)], "--update-baseline")
    equal(baseline, {"micro": {**BEFORE, "steady": 0.2, "new": 0.01}, "scenarios": {"P1": 0.5}}, "the baseline")


def test_bench_failure_leaves_the_baseline(context):
    """A case that could not be set up ends the run, and nothing of it becomes the baseline."""
    rows = [row("calibration", 500), {**row("steady", 100), "error_occurred": True, "error_message": "setup failed"}]
    text, _, baseline = judge(context, rows, "--update-baseline", status=1)
    check("steady: setup failed" in text, text)
    equal(baseline["micro"], BEFORE, "the baseline")

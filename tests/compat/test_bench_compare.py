"""`./dev compare` and `./dev bench` when something is wrong: a clear line, a status, nothing left running, what was
measured kept and marked."""
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import kafka_dist
from runner import check, equal, skip, until
from test_bench import BENCH

NEEDS = frozenset({"slow"})

FOLDER = kafka_dist.ROOT / "bench"


def start(context, script, *args, background=False, **env):
    """script: of bench/, or code. background: as a shell starts it there, with SIGINT ignored."""
    if not BENCH.exists():
        skip("sluice-bench is not built")
    results = context.scratch / context.name("results")
    what = [FOLDER / script] if script.endswith(".py") else ["-c", script]
    ignore = (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if background else None
    with said(results).open("w") as errors:
        process = subprocess.Popen([sys.executable, *what, "--results", results, *map(str, args)], stdout=subprocess.PIPE,
                                   stderr=errors, text=True, env={**os.environ, "PYTHONPATH": str(FOLDER), **env},
                                   start_new_session=True, preexec_fn=ignore)
    return process, results


def said(results):
    """What it writes on its standard error, beside its results."""
    return results.with_name(f"{results.name}.err")


def finish(process, status, results):
    out, _ = process.communicate(timeout=600)
    err = said(results).read_text()
    equal(process.returncode, status, f"exit status ({err[-400:]} {out[-400:]})")
    return out + err


def children(pid):
    """Processes below pid, by their parents in /proc."""
    below = {pid}
    found = {}
    for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda p: int(p.parent.name)):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if int(rest.split()[1]) in below:
            below.add(int(stat.parent.name))
            found[int(stat.parent.name)] = name
    return found


def gone(pids):
    return not [p for p in pids if Path(f"/proc/{p}").exists()]


def test_compare_refusals(context):
    for args, word in ((("P17K",), "unknown scenario P17K"), (("--against", "pulsar"), "unknown peer pulsar"),
                       (("--durability", "hope"), "invalid choice")):
        process, results = start(context, "compare.py", *args)
        process.communicate(timeout=300)
        err = said(results).read_text()
        check(process.returncode != 0 and word in err, f"{args}: {process.returncode} {err}")
    process, results = start(context, "bench.py", "P17K")
    check("unknown scenario P17K" in finish(process, 1, results), "bench")


def test_compare_without_java(context):
    """A PATH without java: said before anything is measured, and Sluice, which ran already, is stopped."""
    empty = context.scratch / "empty"
    empty.mkdir(exist_ok=True)
    process, results = start(context, "compare.py", "--against", "kafka", "L1", PATH=str(empty))
    text = finish(process, 1, results)
    check("java" in text and "--against null" in text, text)
    check(not results.exists(), "a report of nothing")


def second_round(process, results):
    """Waits until the first round of every peer is measured and broker and load run again; the pids below it."""
    def look():
        found = children(process.pid)
        names = [n for n in found.values() if n.startswith(("sluiced", "sluice-bench"))]
        return found if "round 2 of" in said(results).read_text() and len(set(names)) >= 2 else None
    return until(look, timeout=300, what="the second round")


def partial(results):
    about = json.loads((results / "compare.json").read_text())
    check("Partial" in (results / "compare.md").read_text(), "the summary does not say partial")
    check("class=partial" in (results / "compare.html").read_text(), "the page does not say partial")
    return about


def stopped_in_the_second_round(context, number, status, word):
    process, results = start(context, "compare.py", "--against", "null", "--rounds", 30, "--seconds", 1, "L1")
    pids = second_round(process, results)
    os.killpg(process.pid, number)
    text = finish(process, status, results)
    check(word in text and "Traceback" not in text, text)
    until(lambda: gone(pids), what=f"the end of {pids}")
    told = partial(results)
    equal(told["partial"], word, "why it is partial")
    check(told["scenarios"]["L1"]["rounds"]["sluice"][0]["records"] > 0, f"what was measured is lost: {told}")


def test_compare_ctrl_c(context):
    stopped_in_the_second_round(context, signal.SIGINT, 130, "interrupted")


def test_compare_sigterm(context):
    stopped_in_the_second_round(context, signal.SIGTERM, 143, "terminated")


def test_compare_ctrl_c_before_the_brokers(context):
    """While it looks how busy the machine is: a line, and no folder is left."""
    before = set((FOLDER.parent / "build").glob("compare-*"))
    process, results = start(context, "compare.py", "--against", "null", "L1", background=True)
    until(lambda: int(re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())[1], 16) >> 14 & 1,
          what="its handler of SIGTERM")
    os.kill(process.pid, signal.SIGINT)
    text = finish(process, 130, results)
    check("compare: interrupted" in text and "Traceback" not in text, text)
    equal(set((FOLDER.parent / "build").glob("compare-*")) - before, set(), "folders left")
    check(not results.exists(), "a report of nothing")


def test_compare_broker_dies(context):
    process, results = start(context, "compare.py", "--against", "null", "--rounds", 30, "--seconds", 1, "L1")
    pids = second_round(process, results)
    for pid, name in pids.items():
        if name == "sluiced":
            os.kill(pid, signal.SIGKILL)
    text = finish(process, 1, results)
    check("Sluice" in text and ("ended in the middle" in text or "Connection" in text or "refused" in text), text)
    until(lambda: gone(pids), what=f"the end of {pids}")
    check(partial(results)["partial"], "not marked")


def test_compare_goes_on_after_a_scenario_that_fails(context):
    """A scenario that this broker refuses (a batch over the limit of a topic): named, marked, and the next one is run."""
    code = ("import compare; found = compare.scenarios(); found['L1']['options'].update({'records': 20, 'record-bytes': "
            "100000}); compare.scenarios = lambda: found; compare.main()")
    process, results = start(context, code, "--against", "", "--rounds", 1, "--seconds", 1.5, "L1", "P1")
    text = finish(process, 1, results)
    check("L1: Sluice" in text and "MESSAGE_TOO_LARGE" in text, text)
    about = partial(results)
    check(about["scenarios"]["P1"]["rounds"]["sluice"][0]["records"] > 0, "the next one was not run")
    check("L1" not in about["scenarios"], "a figure out of refused requests")


def test_compare_starts(context):
    """Rows without records: each turn is a restart, and what was held is seen of the process that runs then."""
    process, results = start(context, "compare.py", "--against", "", "--rounds", 2, "--seconds", "0.5", "R", "S")
    finish(process, 0, results)
    rows = {n: e["rounds"]["sluice"] for n, e in json.loads((results / "compare.json").read_text())["scenarios"].items()}
    check(len(rows["S"]) == 2 and all(r["ready_s"] > 0 and r["own_mib"] > 1 for r in rows["S"]), f"S {rows['S']}")
    check(all(r["bytes"] > 0 and r["own_mib"] >= r["started_mib"] / 2 for r in rows["R"]), f"R {rows['R']}")


def test_compare_durations(context):
    """Each scenario once with each length; the report says what was compared, with which settings, and how to repeat it."""
    process, results = start(context, "compare.py", "--against", "", "--rounds", 1, "--durations", "0.3,0.6", "L1")
    finish(process, 0, results)
    told = json.loads((results / "compare.json").read_text())
    lengths = {n: e["rounds"]["sluice"][0]["seconds"] for n, e in told["scenarios"].items()}
    equal(set(lengths), {"L1, 0.3 s", "L1, 0.6 s"}, "rows")
    # at least: the machine may stand still in either
    check(lengths["L1, 0.3 s"] > 0.25 and lengths["L1, 0.6 s"] > 0.55, f"lengths {lengths}")
    about = told["about"]
    equal([about["durations"], about["command"]],
          [[0.3, 0.6], "./dev compare --rounds 1 --durations 0.3,0.6 --against '' L1"], "what it says of itself")
    check("sluiced " in about["versions"]["Sluice"], f"{about['versions']}")
    settings = about["peers"]["sluice"]["settings"]
    check("sluice.shards=1" in settings and "sluice.durability=os" in settings and "sluice.poll=adaptive" in settings, f"{settings}")
    check("in-flight=1" in told["scenarios"]["L1, 0.3 s"]["options"], "the load's options")


def test_bench_micro_filter(context):
    """One group of the micro benchmarks, quickly: a table with ratios and no heap calls."""
    if not (kafka_dist.ROOT / "build/bench/micro/sluice-micro").exists():
        skip("sluice-micro is not built")
    process, results = start(context, "bench.py", "--filter", "map_get", "--rounds", 1, "none")
    text = finish(process, 0, results)
    rows = json.loads((results / "bench.json").read_text())["micro"]
    equal(set(rows), {"calibration", "map_get_hit", "map_get_miss"}, "cases")
    check(all(r["allocs"] == 0 and r["ns"] > 0 and r["cycles"] > 0 for r in rows.values()), f"{rows}")
    check("of the calibration loop" in text, text)

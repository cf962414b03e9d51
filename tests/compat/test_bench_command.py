"""What the measuring programs of bench/ do with numbers that make no sense, with signals and with children that hang."""
import json
import os
import signal
import subprocess
import sys

from runner import check, equal, until
from test_bench_compare import FOLDER, children, finish, gone, said, start

sys.path.append(str(FOLDER))

import command  # noqa: E402

NEEDS = frozenset({"slow"})

PROGRAMS = ("compare.py", "bench.py", "catchup.py", "bypass.py", "agree.py")
LEFT = ("compare-*", "bench-*", "catchup-*", "agree-*")


def refused(context, program, args, word):
    process, results = start(context, program, *args)
    process.communicate(timeout=300)
    err = said(results).read_text()
    check(process.returncode not in (0, None) and word in err and "Traceback" not in err, f"{program} {args}: {process.returncode} {err}")
    check(not results.exists(), f"{program} {args}: results of nothing")


def test_bench_refuses_numbers(context):
    for program in PROGRAMS:
        for args in (("--rounds", 0), ("--rounds", -1), ("--seconds", 0)):
            refused(context, program, args, f"argument {args[0]}: '{args[1]}' is not")
    refused(context, "bench.py", ("--seconds", "nan"), "is not a number of seconds")
    refused(context, "bypass.py", ("--cores", "a,b"), "--cores wants")
    refused(context, "catchup.py", ("--memory", "much"), "argument --memory")
    refused(context, "catchup.py", ("--gb", 0), "argument --gb")
    process, results = start(context, "repeat.py", "--run", 2, "--rounds", 0, "L1")
    text = finish(process, 2, results)
    check("argument --rounds" in text and "nothing was measured" in text, text)


def test_compare_refuses_durations(context):
    for words, line in (("2,0", "'0' is not"), ("2,,3", "'' is not"), ("2,2", "names a length twice"), ("2,long", "'long' is not")):
        refused(context, "compare.py", ("--durations", words, "L1"), line)
    refused(context, "compare.py", ("--durations", "2,3", "--seconds", 1, "L1"), "not allowed with")


def test_compare_row_c(context):
    """By its name; alone; and where it is told."""
    refused(context, "compare.py", ("C", "--rounds", 0), "argument --rounds")
    refused(context, "compare.py", ("C", "P1"), "row C is measured by itself")
    refused(context, "compare.py", ("C", "--gb", 900000), "the disk has not room enough")
    done = subprocess.run([sys.executable, FOLDER / "compare.py", "--list"], capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == 0 and any(line.startswith("C ") for line in done.stdout.splitlines()), f"{done.stdout} {done.stderr}")


def left():
    return {p for name in LEFT for p in (FOLDER.parent / "build").glob(name)}


def stopped(context, number, status, program, args, ready):
    """Started in the background and stopped by itself alone when ready(process, results): its status, no trace, no child, no
    folder. Its results' folder."""
    before = left()
    process, results = start(context, program, *args, background=True)
    until(lambda: ready(process, results) or process.poll() is not None, timeout=300, what=f"{program} under way")
    pids = children(process.pid)
    os.kill(process.pid, number)
    text = finish(process, status, results)
    check("Traceback" not in text, text)
    until(lambda: gone(pids), what=f"the end of {pids}")
    equal(left() - before, set(), "folders left")
    return results


def says(word):
    return lambda process, results: word in said(results).read_text()


def prints(process, results):
    """Its first line is there."""
    return process.stdout.readline()


def why(results, name):
    return json.loads((results / name).read_text())["partial"]


def test_bench_sigterm(context):
    results = stopped(context, signal.SIGTERM, 143, "bench.py", ("--no-micro", "--rounds", 50, "--seconds", 0.3, "L1"), says("round 2 of"))
    equal(why(results, "bench.json"), "terminated", "bench.json")
    check("Partial: terminated" in (results / "bench.md").read_text(), "bench.md")


def test_bench_agree_interrupted(context):
    results = stopped(context, signal.SIGINT, 130, "agree.py", ("--rounds", 1, "--seconds", 0.7, "null L1", "null P1", "null P16K"), prints)
    equal(why(results, "agree.json"), "interrupted", "agree.json")


def test_bench_repeat_interrupted(context):
    """Its comparison is told, writes what it has and stops its brokers before it ends."""
    results = stopped(context, signal.SIGINT, 130, "repeat.py", ("--run", 2, "--against", "", "--rounds", 50, "--seconds", 0.3, "L1"),
                      says("round 2 of"))
    equal(why(results / "repeat-1", "compare.json"), "interrupted", "the run's own")
    check(not (results / "repeat.json").exists(), "half a run was judged")


def test_bench_catchup_interrupted(context):
    results = stopped(context, signal.SIGINT, 130, "catchup.py",
                      ("--gb", 0.05, "--memory", "128m", "--rounds", 50, "--seconds", 0.3), says("round 2 of"))
    equal(why(results, "catchup.json"), "interrupted", "catchup.json")


def test_bench_performance_terminated(context):
    """The part that it runs is told, and stops its broker; the document is as it was."""
    document = FOLDER.parent / "docs" / "performance.md"
    before = document.read_bytes()
    code = ("import sys, command, performance; at = sys.argv.index('--results'); del sys.argv[at:at + 2]; "
            "performance.shutil.disk_usage = lambda path: type('usage', (), {'free': 1 << 40}); command.end('performance', performance.main)")
    stopped(context, signal.SIGTERM, 143, code,
            ("--run", "agree", "--rounds", 1, "--seconds", 0.7, "--more='null L1' 'null P1' 'null P16K'"), prints)
    equal(document.read_bytes() == before, True, "docs/performance.md as it was")


def test_bench_bypass_terminated(context):
    results = stopped(context, signal.SIGTERM, 143, "bypass.py", ("--rounds", 50, "--seconds", 0.3, "frames32"), prints)
    equal(why(results, "bypass.json"), "terminated", "bypass.json")


def test_bench_bypass_turn_that_fails(context):
    """A row whose load ends with an error: the other's figures are kept, marked partial."""
    code = ("import bypass, command; bad = list(bypass.ROWS['frames32']); bad[2] = '--outstanding many'; bypass.ROWS['bad'] = bad; "
            "command.end('bypass', bypass.bypass)")
    process, results = start(context, code, "--rounds", 1, "--seconds", 0.3, "frames32", "bad")
    text = finish(process, 1, results)
    check("round 1 bad: FAILED" in text, text)
    kept = json.loads((results / "bypass.json").read_text())
    check("round 1 bad" in kept["partial"] and len(kept["rows"]["frames32"]) == 1, f"{kept}")


def test_bench_children_that_hang(context):
    """A load that does not end is killed; a server that says nothing is given up."""
    hangs = command.start(["sleep", 600])
    try:
        command.finish(hangs, 0.3, "the load")
        check(False, "it was waited for")
    except TimeoutError as e:
        check("the load did not end in 0.3 s" in str(e), str(e))
    check(hangs.poll() is not None, "it is still there")
    for args, word in ((["sleep", "600"], "said nothing"), (["true"], "ended at its start")):
        with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as silent:
            try:
                command.first_line(silent, 0.3 if args[0] == "sleep" else 30, "it")
                check(False, "a line of nothing")
            except RuntimeError as e:
                check(word in str(e), str(e))
            silent.kill()

#!/usr/bin/env python3
"""Run the client tests against stock Kafka or Sluice.

    python3 tests/compat/run.py [--broker kafka|sluice] [--quick] [--list] [pattern ...]

A pattern picks tests whose "module.test_name" contains it. The exit status is 0 when nothing
failed. See README.md in this folder.
"""
import argparse
import importlib
import os
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
FIRST = ["test_harness", "test_golden", "test_kcat"]  # the quickest to say that something is wrong
LONG_ROUNDS = 100  # of each test of the crash loop
MODULES = FIRST + sorted({p.stem for p in HERE.glob("test_*.py")} - set(FIRST))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--broker", choices=("kafka", "sluice"), default="sluice",
                        help="the broker under test (default: sluice)")
    parser.add_argument("--binary", help="the sluiced to test (default: build/sluiced)")
    parser.add_argument("--override", action="append", default=[], metavar="key=value",
                        help="a setting for every Sluice started (repeatable)")
    parser.add_argument("--quick", action="store_true",
                        help="no Java, less data: under a minute")
    parser.add_argument("--long", action="store_true",
                        help="also what takes minutes: tests marked long, more rounds")
    parser.add_argument("--bypass", action="store_true",
                        help="brokers on their own TCP stack over taps, in a namespace (root)")
    parser.add_argument("--rounds", type=int, help="rounds of each test of the crash loop")
    parser.add_argument("--second", type=int, default=0, metavar="N",
                        help="if at most N tests fail, each is tried once more at the end, and named (default: 0)")
    parser.add_argument("--lanes", type=int, default=1, metavar="N",
                        choices=range(1, 5),  # brokers.LANES_MAX
                        help="so many modules beside each other (default: 1; --bypass: always 1)")
    parser.add_argument("--list", action="store_true", help="name the tests and stop")
    parser.add_argument("--trace", action="store_true", help="Python traces of errors")
    parser.add_argument("patterns", nargs="*", metavar="pattern")
    return parser.parse_args()


def in_environment():
    """Go on in the Python environment that has the clients, making it when it is not there."""
    import setup_env
    python = setup_env.ensure("venv")
    if Path(sys.prefix).resolve() != python.parents[1].resolve():
        os.execv(python, [str(python), *sys.argv])


def chosen(options):
    """(module, [(name of a test, its function)]) for each module that has some."""
    import bypass
    import runner
    modules = [m for m in MODULES if m in bypass.MODULES] if options.bypass else MODULES
    for module_name in modules:
        module = importlib.import_module(module_name)
        tests = [(f"{module_name}.{f.__name__}", f) for f in runner.tests_of(module)]
        tests = [t for t in tests if not options.patterns or any(p in t[0] for p in options.patterns)]
        if tests:
            yield module_name, tests


def wanted(function):
    return getattr(function, "needs", frozenset()) | getattr(sys.modules[function.__module__], "NEEDS", frozenset())


def reason_to_skip(function, options):
    wants = wanted(function)
    if options.quick and wants & {"java", "slow"}:
        return "not in --quick"
    if "long" in wants and not (options.long or options.patterns):
        return "only in --long"
    if "sluice" in wants and options.broker != "sluice":
        return "only for Sluice"
    return None


def new_context(options):
    from context import Context
    return Context(options.broker, options.quick, options.rounds or (LONG_ROUNDS if options.long else None))


def run_tests(tests, context, options, totals):
    """Runs them in order; the names of those that failed."""
    import runner
    failed = []
    for name, function in tests:
        reason = reason_to_skip(function, options)
        test = function if reason is None else lambda _, r=reason: runner.skip(r)
        outcome = runner.run_one(name, test, context, totals, options.trace)
        context.end_test(failed=outcome == "FAIL")
        if outcome == "FAIL":
            failed.append(name)
    return failed


def run_lanes(by_module, options, totals):
    """The same in processes beside each other."""
    import lanes

    def run_module(context, module):
        counts = {}
        return run_tests(by_module[module], context, options, counts), counts

    failed = []
    for names, counts in lanes.run(options.lanes, lanes.in_order(list(by_module), FIRST),
                                   lambda: new_context(options), run_module):
        failed += names
        for outcome, n in counts.items():
            totals[outcome] = totals.get(outcome, 0) + n
    return failed


def run_all(options):
    from context import SEED
    totals, begin, by_module = {}, time.monotonic(), dict(chosen(options))
    over = " over a tap" if options.bypass else ""
    lanes = f", {options.lanes} modules at a time" if options.lanes > 1 else ""
    print(f"client tests against {options.broker}{over}, seed {SEED}{lanes}", flush=True)
    context = new_context(options)
    try:
        if options.lanes > 1:
            failed = run_lanes(by_module, options, totals)
        else:
            failed = [name for tests in by_module.values() for name in run_tests(tests, context, options, totals)]
        functions = dict(test for tests in by_module.values() for test in tests)
        if len(failed) <= options.second:
            for name in failed:
                second_try(name, functions[name], context, totals, options.trace)
    finally:
        context.close()
    print(f"client tests took {time.monotonic() - begin:.0f} s")
    print(f"{totals.get('pass', 0)} passed, {totals.get('FAIL', 0)} failed, "
          f"{totals.get('skip', 0)} skipped")
    return 1 if totals.get("FAIL") else 0


def second_try(name, function, context, totals, show_trace):
    """Once more, with brokers of its own. One marked once (a record that was lost once is lost) has had its try."""
    import runner
    if "once" in wanted(function):
        print(f"no second try for {name}", flush=True)
        return
    outcome = runner.run_one(f"{name}, second try", function, context, totals, show_trace)
    context.end_test(failed=outcome == "FAIL")
    if outcome != "skip":  # which is no answer to the first
        totals["FAIL"] -= 1
    if outcome == "pass":
        print(f"UNSTEADY {name}: failed at its first try (above), passed at the second", flush=True)


def interrupt(*_):
    """SIGTERM ends a run as ^C does: with what ends its brokers. (SystemExit is a test's failure.)"""
    raise KeyboardInterrupt


def main():
    options = arguments()
    in_environment()
    signal.signal(signal.SIGTERM, interrupt)
    if options.binary:
        os.environ["SLUICE_BINARY"] = str(Path(options.binary).resolve())
    os.environ["SLUICE_COMPAT_OVERRIDES"] = "\n".join(options.override)
    import brokers
    if options.list:
        for _, tests in chosen(options):
            for name, _ in tests:
                print(name)
        return 0
    if options.broker == "sluice" and not brokers.SLUICED.exists():
        sys.exit(f"{brokers.SLUICED} is not there: build it first (./dev build)")
    if not options.bypass:
        return run_all(options)
    options.lanes = 1  # addresses of the taps are counted in one process
    import bypass
    missing = None if bypass.inside() else bypass.cannot()
    if missing:
        print(f"skipped: --bypass needs network namespaces and taps ({missing})")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    if not bypass.inside():
        return bypass.enter()
    brokers.KINDS["sluice"] = bypass.Bypassed
    return run_all(options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")

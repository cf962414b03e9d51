"""The tiny test runner: tests are functions `test_*` in modules `test_*.py`.

A test takes one argument, the Context (see context.py), and fails by raising. `needs(...)`
marks what it cannot do without; `skip(reason)` ends it as skipped.
"""
import time
import traceback


class Skip(Exception):
    """Raised to end a test that cannot run here."""


def skip(reason):
    raise Skip(reason)


def needs(*what):
    """Mark a test: 'broker', 'stock', 'java', 'slow' (left out by --quick), 'sluice' (only it),
    'long' (only in --long, or when named), 'once' (no second try)."""
    def mark(function):
        function.needs = getattr(function, "needs", frozenset()) | frozenset(what)
        return function
    return mark


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: got {shorten(got)}, wanted {shorten(wanted)}")


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def shorten(value, limit=600):
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def until(condition, timeout=90.0, pause=0.05, what="condition"):
    """Call `condition` until it gives something true; returns that. Time in which the machine stood still, so
    that a pause took seconds, does not count."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        now = time.monotonic()
        if now > end:
            raise AssertionError(f"{what} did not come about in {timeout:g} s")
        time.sleep(pause)
        end += max(0.0, time.monotonic() - now - pause - 1)


def tests_of(module):
    """The module's tests in the order in which they were defined."""
    found = [f for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
    return [f for f in found if f.__module__ == module.__name__]


def run_one(name, function, context, totals, show_trace):
    """Run, print one line, count. Returns 'pass', 'skip' or 'FAIL'."""
    begin, detail = time.monotonic(), ""
    try:
        function(context)
        outcome = "pass"
    except Skip as reason:
        outcome, detail = "skip", f": {reason}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a test may end with SystemExit
        outcome, detail = "FAIL", f": {type(error).__name__}: {error}"
        if show_trace and not isinstance(error, AssertionError):
            detail += "\n" + traceback.format_exc()
    seconds = time.monotonic() - begin
    totals[outcome] = totals.get(outcome, 0) + 1
    print(f"{outcome} {name} ({seconds:.1f} s){detail}", flush=True)
    return outcome

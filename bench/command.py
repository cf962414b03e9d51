"""command: what every measuring program here shares: numbers that make sense, the end by a signal, children that do not
outlive it.

A program calls end(name, run), and run() returns its exit status. SIGINT and SIGTERM raise Stopped in it, once: from then on
both are ignored, so that nothing keeps it from stopping brokers and writing what it has. That holds in a background job, too,
which a shell starts with SIGINT ignored.
"""
import argparse
import math
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ROUNDS_MAX, SECONDS_MAX = 1000, 86400
BENCH_INTERRUPTED = 130  # sluice-bench after SIGINT or SIGTERM
OUR_SIGNAL_S = 0.5  # a signal to all of us may be seen by a child first


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM; the exit status is a shell's."""

    def __init__(self, number):
        super().__init__(number)
        self.status = 128 + number
        self.why = "interrupted" if number == signal.SIGINT else "terminated"

    def __str__(self):
        return self.why


def deaf():
    """Nothing keeps what was started from being stopped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def stop(number, _):
    deaf()
    raise Stopped(number)


def end(name, run):
    """Runs a program and leaves with its status."""
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        status = run()
    except Stopped as why:
        print(f"{name}: {why}", file=sys.stderr)
        status = why.status
    sys.exit(status)


def text(error):
    """One line about what ended a run."""
    plain = isinstance(error, (RuntimeError, OSError, Stopped)) and str(error)
    return plain or f"{type(error).__name__}: {error}"


# ---- numbers asked for

def number(words, most, what, kind):
    try:
        value = kind(words)
    except ValueError:
        value = 0
    if not (math.isfinite(value) and 0 < value <= most):
        raise argparse.ArgumentTypeError(f"{words!r} is not {what} above 0 and at most {most:g}")
    return value


def count(words):
    """Of rounds: 1 or more."""
    return number(words, ROUNDS_MAX, "a whole number", int)


def seconds(words):
    return number(words, SECONDS_MAX, "a number of seconds", float)


def amount(words):
    """Of anything else that is more than nothing."""
    return number(words, 1e6, "a number", float)


def durations(words):
    """Lengths in seconds, separated by commas, each once."""
    found = [seconds(w) for w in words.split(",")]
    if len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{words!r} names a length twice")
    return found


# ---- programs that are started

def finish(process, limit_s, what):
    """What a load that was started prints. RuntimeError with what it said if it fails, TimeoutError if it takes too long;
    it is dead when this ends, however it ends."""
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{what} did not end in {limit_s:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode in (BENCH_INTERRUPTED, -signal.SIGINT):
        time.sleep(OUR_SIGNAL_S)
        raise Stopped(signal.SIGINT)
    if process.returncode:
        said = [line for line in err.splitlines() if line and " INFO " not in line]
        raise RuntimeError(" ".join(said) or f"{what} ended with {process.returncode}")
    return out


def start(args):
    return subprocess.Popen([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(args, limit_s):
    """What a load prints, as finish(); the first of args is the program, the second the load."""
    return finish(start(args), limit_s, f"{Path(args[0]).name} {args[1]}")


def load_limit_s(seconds_):
    """A load of so many seconds hangs when it takes longer than this."""
    return seconds_ * 4 + 120


def first_line(process, limit_s, who):
    """The line with which a server, whose output is a pipe, says that it is there."""
    ready = select.select([process.stdout], [], [], limit_s)[0]
    line = process.stdout.readline() if ready else ""
    if line:
        return line
    raise RuntimeError(f"{who} ended at its start" if ready else f"{who} said nothing in {limit_s:g} s after its start")


def below(args, **how):
    """Exit status of another program of these, which stops what it started itself: when this one is stopped, that one is
    told and waited for."""
    process = subprocess.Popen([str(a) for a in args], **how)
    try:
        return process.wait()
    except Stopped as why:
        process.send_signal(why.status - 128)
        process.wait()
        raise

#!/usr/bin/env python3
"""The simulator cuts a failing run down, and what it prints repeats it: test_shrink.py <sim_shard>.

A planted bug is found by some seed. The steps that are left over must be few, must fail again in the
same words, and must not fail without the bug or without the steps.
"""
import re
import subprocess
import sys

PLANT, SEEDS, STEPS = "JOURNAL_UNFLUSHED", 400, 200


def run(*args):
    done = subprocess.run([sys.argv[1], *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8")
    return done.returncode, done.stdout.splitlines()


def check(condition, message):
    if not condition:
        sys.exit(f"test_shrink: {message}")


def steps_of(text):
    """The numbers in "1,5-9"."""
    ranges = [part.split("-") for part in text.split(",")]
    return [n for r in ranges for n in range(int(r[0]), int(r[-1]) + 1)]


def numbers(steps):
    return ",".join(map(str, steps))


def main():
    status, lines = run("--plant", PLANT, "--seed", "1", "--seeds", str(SEEDS), "--steps", str(STEPS))
    again = [line for line in lines if line.startswith("again: sim_shard ")]
    check(status == 1 and len(again) == 1, f"status {status}, {again} with {PLANT} in {SEEDS} seeds")
    check(any(line.startswith("FAILED seed ") for line in lines), f"no seed is named in {lines}")
    words = again[0].split()[2:]
    failure, kept = lines[lines.index(again[0]) - 1], steps_of(words[words.index("--keep") + 1])
    check(re.match(r"step \d+, .*\.c:\d+: ", failure), f"the failure reads {failure!r}")
    check(0 < len(kept) <= STEPS // 4, f"{len(kept)} of {STEPS} steps are left over")

    status, lines = run(*words)
    check((status, lines[-1]) == (1, failure), f"again: status {status}, {lines[-1]!r} instead of {failure!r}")
    for step in kept:  # each of them is needed
        rest = words[:-1] + [numbers(n for n in kept if n != step)]
        status, lines = run(*rest)
        check((status, lines[-1]) == (0, "passed"), f"without step {step}: status {status}, {lines[-1]!r}")
    at = words.index("--plant")
    status, lines = run(*words[:at], *words[at + 2:])
    check((status, lines[-1]) == (0, "passed"), f"without the bug: status {status}, {lines[-1]!r}")
    print(f"seed {words[words.index('--seed') + 1]}: {len(kept)} of {STEPS} steps are left over, and each is needed")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Every unit test that takes a seed, with new seeds for a while: seeds.py <build> [seconds each] [part of a name].

Prints what runs each failure again. Ends with 1 if one failed; after five a program's turn is over. Two programs
run beside each other, as on two cores.
"""
import concurrent.futures
import json
import os
import subprocess
import sys
import time

FAILURES_MAX, LIMIT_SECONDS = 5, 300


def programs(build):
    """The unit tests, sorted by name; those with arguments of their own name their seeds there."""
    tests = json.loads(subprocess.check_output(["meson", "introspect", "--tests", build]))
    tests = [t for t in tests if len(t["cmd"]) == 1 and any(suite.endswith(":unit") for suite in t["suite"])]
    return sorted(tests, key=lambda t: t["name"])


def run(test, seed):
    """True if it passed, whether it took the seed, and what it printed."""
    env = dict(os.environ, **test["env"], SLUICE_TEST_SEED=str(seed))
    try:
        done = subprocess.run(test["cmd"], env=env, cwd=test["workdir"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=LIMIT_SECONDS)
        passed, out = done.returncode in (0, 77), done.stdout
    except subprocess.TimeoutExpired as e:
        passed, out = False, (e.stdout or b"") + f"\nmore than {LIMIT_SECONDS} s\n".encode()
    return passed, f"SLUICE_TEST_SEED={seed}".encode() in out, out.decode("utf-8", "replace")


def turn(test, first, seconds):
    """Seeds one by one until the time is over; the number of runs, and the failures."""
    begin, n, failed = time.monotonic(), 0, []
    while time.monotonic() - begin < seconds and len(failed) < FAILURES_MAX:
        passed, seeded, out = run(test, first + n)
        n += 1
        if not passed:
            failed.append((first + n - 1, out))
        if not seeded:
            break
    return test, n, failed


def main():
    build = sys.argv[1]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5
    part = sys.argv[3] if len(sys.argv) > 3 else ""
    first = int(os.environ.get("SLUICE_TEST_SEED", int(time.time()) * 1000))
    runs = failures = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        turns = [pool.submit(turn, t, first, seconds) for t in programs(build) if part in t["name"]]
        for done in concurrent.futures.as_completed(turns):
            test, n, failed = done.result()
            runs, failures = runs + n, failures + len(failed)
            for seed, out in failed:
                print(out[-4000:], f"FAILED {test['name']}; again: SLUICE_TEST_SEED={seed} {test['cmd'][0]}", sep="\n", flush=True)
    print(f"unit tests with seeds from {first} on: {len(turns)} programs, {runs} runs, {failures} failures")
    return 1 if failures or not runs else 0


if __name__ == "__main__":
    sys.exit(main())

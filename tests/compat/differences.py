#!/usr/bin/env python3
"""What the last differential run found, the same difference at several versions told once.

    python3 tests/compat/differences.py [script ...]

Reads the logs that test_differential.py leaves in `.cache/differential/`.
"""
import ast
import re
import sys

import kafka_dist
import test_differential


def read(path):
    lines = path.read_text().split("\n")
    return [(name, ast.literal_eval(outcome.strip()))
            for name, outcome in zip(lines[::2], lines[1::2])]


def main():
    folder = kafka_dist.cache_dir() / "differential"
    for path in sorted(folder.glob("*.stock.txt")):
        script = path.name.removesuffix(".stock.txt")
        if sys.argv[1:] and script not in sys.argv[1:]:
            continue
        stock, ours = read(path), read(folder / f"{script}.ours.txt")
        found, messages, known = test_differential.compare(script, stock, ours)
        groups = {}
        for place, a, b in found + messages:
            step = place.removeprefix(f"{script}: ")
            version = re.search(r"\((\w+) v(-?\d+)\)(?: #\d+)?", step)
            short = step.replace(version[0], "") if version else step
            key = (re.sub(r"\s+", " ", short), test_differential.shorten(a),
                   test_differential.shorten(b))
            groups.setdefault(key, []).append(f"{version[1]} v{version[2]}" if version else "-")
        if groups or known:
            print(f"\n== {script}: {len(found)} differences, {len(messages)} of messages, "
                  f"{len(known)} known")
        for (step, a, b), where in groups.items():
            print(f"{step}   [{', '.join(dict.fromkeys(where))}]\n    stock: {a}\n    ours:  {b}")


if __name__ == "__main__":
    main()

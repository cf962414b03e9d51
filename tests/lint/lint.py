#!/usr/bin/env python3
"""lint: the house rules that a compiler does not check. Prints each breach as file:line: text, exits 1 if any.

Rules: includes never run against the floors; files, headers and functions stay small; clocks, randomness and
pointer hashing only at their seams; no promise of work in comments; generated documents are up to date;
clang-format agrees.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Each folder may include itself and what is named here (base is open to all).
FLOORS = {
    "base": [],
    "core": [],
    "storage": ["core"],
    "dataplane/proto": ["core"],
    "dataplane/tcp": ["core"],
    "dataplane/nic": ["core"],
    "dataplane/ip": ["core", "dataplane/tcp", "dataplane/nic", "dataplane/proto"],
    "dataplane/transport": ["core", "dataplane/ip", "dataplane/tcp", "dataplane/nic"],
    "dataplane/kafka": ["core", "storage", "dataplane/proto", "dataplane/transport"],
    "control": ["core", "storage", "dataplane"],
    "bench": ["core", "storage", "dataplane", "control/config"],
}
FILE_LINES_MAX = 800
HEADER_LINES_MAX = 300
FUNCTION_LINES_MAX = 80

SEAMS = [
    (re.compile(r"\b(clock_gettime|gettimeofday|time\(NULL\)|rte_rdtsc|rte_get_timer_cycles|rte_get_tsc_cycles)\b"),
     {"base/clock.c", "tests/unit/unit.h"}, "time is taken outside base/clock"),
    (re.compile(r"\b(getrandom|rand|random|srand|drand48|rte_rand)\s*\("), {"base/rng.c"},
     "randomness is taken outside base/rng"),
    (re.compile(r"XXH3?_\w+\(&?\w+, sizeof\(void ?\*\)"), set(), "a pointer is hashed: runs would not replay"),
]
PROMISE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def tracked():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [p for p in out.stdout.splitlines() if (ROOT / p).is_file()]


def folder_of(path):
    best = None
    for folder in FLOORS:
        if path.startswith(folder + "/") and (best is None or len(folder) > len(best)):
            best = folder
    return best


def check_includes(path, lines, report):
    folder = folder_of(path)
    if folder is None:
        return
    for number, line in enumerate(lines, 1):
        m = re.match(r'\s*#include "([^"]+)"', line)
        if not m or "/" not in m.group(1):
            continue
        target = m.group(1)
        allowed = ["base", folder] + FLOORS[folder]
        if folder.startswith("dataplane/proto"):
            allowed.append("dataplane/proto")
        if not any(target.startswith(a + "/") for a in allowed):
            report(path, number, f'"{target}" is not below {folder}/ (floors: base < core < storage < dataplane < control)')


def check_sizes(path, lines, report):
    limit = HEADER_LINES_MAX if path.endswith(".h") else FILE_LINES_MAX
    if len(lines) > limit:
        report(path, limit, f"{len(lines)} lines, more than {limit}")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start > FUNCTION_LINES_MAX:
                report(path, start, f"a function of {number - start} lines, more than {FUNCTION_LINES_MAX}")
            start = None


def check_seams(path, lines, report):
    if path.startswith("tests/"):
        return
    for number, line in enumerate(lines, 1):
        for pattern, allowed, text in SEAMS:
            if path not in allowed and pattern.search(line):
                report(path, number, text)


def check_format(files, report):
    for i in range(0, len(files), 50):
        r = subprocess.run(["clang-format", "--dry-run", "--Werror", *files[i:i + 50]], cwd=ROOT, capture_output=True, text=True)
        seen = set()
        for m in re.finditer(r"^(\S+?):(\d+):\d+: error: code should be clang-formatted", r.stderr, re.M):
            if m.group(1) not in seen:
                seen.add(m.group(1))
                report(m.group(1), int(m.group(2)), "clang-format disagrees (clang-format -i)")


def check_generated(report):
    for script in ["dataplane/proto/protocol_md.py", "control/config/config_md.py", "control/metrics/metrics_md.py",
                   "tests/compat/known_differences.py"]:
        if (ROOT / script).exists():
            r = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True)
            if r.returncode:
                report(script, 1, (r.stdout + r.stderr).strip() or "the generated document is out of date")


def main():
    breaches = []

    def report(path, number, text):
        breaches.append(f"{path}:{number}: {text}")

    sources = [p for p in tracked() if p.endswith((".c", ".h", ".def"))]
    for path in sources:
        lines = (ROOT / path).read_text(encoding="utf-8").split("\n")
        if lines and lines[-1] == "":
            lines.pop()
        check_includes(path, lines, report)
        if not path.endswith(".def"):
            check_sizes(path, lines, report)
        check_seams(path, lines, report)
    for path in tracked():
        if path.endswith((".c", ".h", ".def", ".py", ".build", ".api")) and not path.startswith("tests/lint/"):
            for number, line in enumerate((ROOT / path).read_text(encoding="utf-8", errors="replace").split("\n"), 1):
                if PROMISE.search(line):
                    report(path, number, "promises work instead of doing it")
    check_format([p for p in sources if not p.endswith(".def")], report)
    check_generated(report)
    for line in breaches:
        print(line)
    print(f"lint: {len(sources)} sources, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())

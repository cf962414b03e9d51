"""What a comparison prints as the spread of a repeat: it holds what it says, on drawn rounds and on real ones."""
import copy
import json
import math
import random
import statistics
import subprocess
import sys

import kafka_dist
from runner import check, equal

FOLDER = kafka_dist.ROOT / "bench"
sys.path.append(str(FOLDER))

import figures  # noqa: E402
import report  # noqa: E402
import report_html  # noqa: E402
import spread  # noqa: E402

SEED, PAIRS = 20141, 3000


def held(draw, n):
    """In which share of PAIRS a second run's median is within what the first told."""
    hits = 0
    for _ in range(PAIRS):
        least, most = spread.expected([draw() for _ in range(n)], 0)
        hits += least <= statistics.median([draw() for _ in range(n)]) <= most
    return hits / PAIRS


def test_spread_holds_a_repeat(context):
    """Log-normal rounds: what the factors were made for. 95 %, give or take what so few draws leave open."""
    for n in (2, 3, 4, 5, 7, 10, 16):
        rng = random.Random(SEED + n)
        share = held(lambda r=rng: 1e5 * math.exp(0.1 * r.gauss(0, 1)), n)
        check(0.93 <= share <= 0.97, f"{n} rounds: the spread holds {share:.1%} of the repeats (seed {SEED + n})")


def test_spread_holds_with_stalls(context):
    """One round in ten three times slower, and skewed rounds: neither is normal, and the promise is not far off."""
    for n in (3, 5, 9):
        rng = random.Random(SEED + n)
        share = held(lambda r=rng: 100 * math.exp(0.05 * r.gauss(0, 1)) * (3 if r.random() < 0.1 else 1), n)
        check(share > 0.93, f"{n} rounds with stalls: {share:.1%} (seed {SEED + n})")
        share = held(lambda r=rng: 1 + r.expovariate(1), n)
        check(share > 0.92, f"{n} skewed rounds: {share:.1%} (seed {SEED + n})")


def test_spread_range_does_not(context):
    """Why the range is not what is told: a median of three misses the range of three in two of five cases."""
    rng, out = random.Random(SEED), 0
    for _ in range(PAIRS):
        first, second = ([rng.gauss(0, 1) for _ in range(3)] for _ in range(2))
        out += not min(first) <= statistics.median(second) <= max(first)
    check(0.37 < out / PAIRS < 0.43, f"{out / PAIRS:.1%} (seed {SEED})")


def test_spread_edges(context):
    check(spread.expected([5.0]) is None, "one round tells of no repeat")
    least, most = spread.expected([100, 100, 100])
    check(least < 97 and most > 103, f"equal rounds: the next step of the histogram is no difference: {least} {most}")
    least, most = spread.expected([0.0, 0.01, 0.0])
    check(least == 0 and 0.01 < most < 0.1, f"with zeros: {least} {most}")
    least, most = spread.expected([1e-9, 1e9])
    check(math.isfinite(most) and 0 < least < most, f"nothing in common: {least} {most}")
    equal([spread.misses_allowed(n) for n in (1, 3, 30)], [1, 1, 5], "misses that may be chance")


def result(rng, level=1.0, rounds=5, machine=None):
    """A result of compare with drawn rounds of one scenario; machine: how fast it is, with the null broker's turns beside ours."""
    def one(level):
        noise = math.exp(0.05 * rng.gauss(0, 1))
        return {"records_per_s": 1e5 * level * noise, "records": 1000, "cpu_s_per_m_records": 1.0, "client_is_limit": False,
                "latency_us": {p: (i + 1) * 10 / level / noise for i, p in enumerate(figures.PERCENTILES)}}
    about = {"cpu": "drawn", "cores": 2, "memory_gib": 1, "kernel": "1", "durability": "os", "rounds": rounds, "seconds": 1,
             "peers": {"sluice": {"title": "Sluice", "promise": "os", "start_s": 1}}, "command": "./dev compare L1"}
    turns = {"sluice": [one(level * (machine or 1)) for _ in range(rounds)]}
    if machine:
        turns["null"] = [one(machine) for _ in range(rounds)]
    return {"about": about, "partial": None, "scenarios": {"L1": {"what": "drawn", "load": "produce", "rounds": turns}}}


def write(folder, name, data):
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def judged(folder, *paths):
    done = subprocess.run([sys.executable, FOLDER / "repeat.py", "--results", folder, *paths], capture_output=True, text=True,
                          timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_repeat_judges(context):
    """Three runs of one distribution agree; one that is half as fast does not; what is no repeat is refused."""
    folder, rng = context.scratch / "repeat", random.Random(SEED)
    folder.mkdir(exist_ok=True)
    same = [write(folder, f"{i}.json", result(rng)) for i in range(3)]
    status, text = judged(folder, *same)
    check(status == 0 and "the runs agree" in text, f"{status} {text}")
    kept = json.loads((folder / "repeat.json").read_text())
    equal([kept["runs"], kept["checks"]], [3, 15], "five figures, three pairs")
    code = ("import json, performance; d = performance.slim(json.load(open('" + str(folder / "repeat.json") + "'))); "
            "print('\\n'.join(performance.repeated('Repeat', d)))")
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, timeout=120, capture_output=True, text=True, check=False)
    check("the runs agree" in done.stdout and done.stdout.count("| agree |") == 5, f"the document: {done.stdout} {done.stderr}")
    status, text = judged(folder, *same[:2], write(folder, "slow.json", result(rng, 0.5)))
    check(status == 1 and "apart: 1 and 3, 2 and 3" in text and "NOT" in text, f"{status} {text}")
    hours = [write(folder, f"hour-{m}.json", result(rng, machine=m)) for m in (1.0, 0.6, 1.5)]
    status, text = judged(folder, *hours)  # another machine each time, and for both: the ratio stays
    check(status == 0 and "(apart: 1 and 2" in text and "the runs agree" in text, f"{status} {text}")
    status, text = judged(folder, *hours[:2], write(folder, "slow-hour.json", result(rng, 0.5, machine=1.0)))
    check(status == 1 and "NOT" in text, f"{status} {text}")
    for bad, word in ((write(folder, "more.json", result(rng, rounds=7)), "is no repeat"),
                      (write(folder, "no.json", {"a": 1}), "no result of compare"), (folder / "none.json", "no result of compare")):
        status, text = judged(folder, same[0], bad)
        check(status == 1 and word in text, f"{bad.name}: {status} {text}")


def test_spread_in_every_report(context):
    """Drawn and committed results, of three rounds and older ones too: every table shows what a repeat may give."""
    kept = [json.loads(path.read_text()) for path in sorted((FOLDER / "performance").glob("*.json"))]
    kept = [d for d in kept if "about" in d and "scenarios" in d]
    check(kept, "no committed result")
    alone = result(random.Random(SEED), rounds=1)
    for data in [*kept, result(random.Random(SEED))]:
        about, scenarios = data["about"], copy.deepcopy(data["scenarios"])
        for text in (report.markdown(about, scenarios, None), report_html.page(about, scenarios, None),
                     "".join(report.text_rows(n, e) for n, e in scenarios.items())):
            check("±" in text, f"a report of {about['command']} without the spread of a repeat")
        for name, entry in scenarios.items():
            for peer, columns in figures.medians(entry).items():
                for key, s in columns.items():
                    check(s is None or s[3][0] <= s[0] <= s[3][1], f"{name} {peer} {key}: {s}")
    text = report.markdown(alone["about"], alone["scenarios"], None)
    row = next(line for line in text.splitlines() if line.startswith("| sluice"))
    check("±" not in row and "÷" not in row, f"one round tells of no repeat: {row}")


def test_bench_finds_its_own_modules(context):
    """bench and tests/compat are both on its path, and each has a `programs` and a `bypass`: bench's are meant."""
    code = "import performance; print(len(performance.bypass.compare.programs.TOOLS), len(performance.bypass.ROWS))"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, timeout=120, capture_output=True, text=True, check=False)
    check(done.returncode == 0 and all(int(n) >= 6 for n in done.stdout.split()), f"{done.stdout} {done.stderr}")

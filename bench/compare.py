#!/usr/bin/env python3
"""compare: the same load on Sluice, stock Kafka and the null broker, in turns (A B C A B C ...).

Both brokers make the same promise: with --durability os (the default) for the death of the process, which is what
stock Kafka promises as it comes; with fsync both flush before they answer. Sluice runs one shard, stock Kafka may use
every core; the load is one thread. Each turn has a fresh topic. The report (bench/results/compare.html, .md and .json)
shows the median, the range of the rounds and how far a repeat may be from it, and names each row in which Sluice loses. A run
that ends early (Ctrl-C, SIGTERM, a broker that died, an answer with an error) leaves a report of what it had, marked
partial, and exits with 130, 143 or 1. Row C (an old reader beside producers) is a measurement of its own: ./dev compare C --help.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import about
import aims
import command
import peers
import programs
import report
import starts
from peers.sluice import between

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
FREE_DISK_SHARE = 4  # a turn writes at most a quarter of the free disk
CUT = " (turns ended early, when a quarter of the free disk was written)"
LEADERS_WAIT_S = 60
PARTITIONS_AT_ONCE = 1000
SETTLE_S = 0.2  # for what a broker does behind a topic that was made or deleted; then the load's idle spin and warm-up follow
GONE_WAIT_S = 1
WARMUP_S = 0.5
WARM_S_MAX = 5  # of the turn that warms a JVM
RESTARTS = ("start", "memory")  # each turn of theirs is a new process
TIMELESS = ("start", "tool")  # loads that take as long as they take
ROW_C = ("C", "catchup")  # its name and its file's
ROUNDS, SECONDS = 3, 2
QUICK = {"rounds": 3, "seconds": 0.5, "names": ["P16K", "P1", "L1", "E2E"]}


def scenarios():
    found = {}
    for path in sorted((ROOT / "bench" / "scenarios").glob("*.toml")):
        for name, row in tomllib.loads(path.read_text()).items():
            found[name] = dict(row, file=path.stem)
    return found


def parser():
    p = argparse.ArgumentParser(prog="./dev compare", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=command.count, help=f"at least 3 for a figure; 5 halve the ± (default {ROUNDS})")
    length = p.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=command.seconds, help=f"of each turn (default {SECONDS})")
    length.add_argument("--durations", type=command.durations, metavar="S,S...",
                        help="several lengths of a turn, as 2,30: each scenario once with each")
    p.add_argument("--durability", choices=("os", "fsync"), default="os")
    p.add_argument("--against", default="kafka,null",
                   help=f"peers, comma-separated, of {', '.join(peers.NAMES)} (default kafka,null)")
    p.add_argument("--quick", action="store_true",
                   help=f"{', '.join(QUICK['names'])}: {QUICK['rounds']} rounds of {QUICK['seconds']} s, under three minutes")
    p.add_argument("--results", type=Path, default=RESULTS, help="folder for the results (default bench/results)")
    p.add_argument("--list", action="store_true", help="name the scenarios and end")
    p.add_argument("scenario", nargs="*", help="default: those of goals.toml; a file's name: all of it (linkedin-2014, clients)")
    return p


def chosen(words, found):
    """Names of scenarios from names and names of files."""
    files = {r["file"] for r in found.values()}
    names = [n for s in words for n in ([k for k, r in found.items() if r["file"] == s] if s in files else [s])]
    for name in names:
        if name not in found:
            raise SystemExit(f"compare: unknown scenario {name}; there are {', '.join(found)}, and all of {', '.join(files)}")
    return list(dict.fromkeys(names))


def asks_for_c(words):
    """Row C has a program and options of its own."""
    return any(w in ROW_C for i, w in enumerate(words) if words[i - 1:i] != ["--results"])


def arguments():
    o, found = parser().parse_args(), scenarios()
    if o.list:
        print("\n".join(f"{name:22} {row['file']:14} {row['what']}" for name, row in found.items()))
        raise SystemExit(0)
    o.all, o.warmup, o.words = found, WARMUP_S, o.scenario or (QUICK["names"] if o.quick else [])
    o.names = chosen(o.words or ["goals"], found)
    o.rounds = o.rounds or (QUICK["rounds"] if o.quick else ROUNDS)
    o.durations = o.durations or [o.seconds or (QUICK["seconds"] if o.quick else SECONDS)]
    try:
        aims.load()  # not first when the report is written
    except ValueError as e:
        raise SystemExit(f"compare: {e}") from e
    o.peers = list(dict.fromkeys(["sluice", *filter(None, o.against.split(","))]))
    for p_ in o.peers:
        if p_ not in peers.NAMES:
            raise SystemExit(f"compare: unknown peer {p_}; there are {', '.join(peers.NAMES)}")
    return o


def ended(broker):
    """What to say of a broker that is gone; its connections break a moment before it is."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return f"{broker.title} ended in the middle of a turn, with {broker.process.wait(GONE_WAIT_S)}"


def bench(load, broker, options, seconds):
    """One run of sluice-bench; its result, or RuntimeError with the line that it printed."""
    args = [peers.BENCH, load, "--port", broker.port, "--json", 1, "--seconds", seconds, "--broker-pid", broker.process.pid]
    for key, value in options.items():
        args += [f"--{key}", value]
    try:
        return json.loads(command.output(args, command.load_limit_s(seconds)))
    except RuntimeError as e:
        raise RuntimeError(ended(broker) or f"{broker.title}: {e}") from None


def process_cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def program(broker, row, options, seconds, topic):
    """One run of a program of other makers; what it used of the broker's CPU is measured around it."""
    before = process_cpu_s(broker.process.pid)
    r = programs.TOOLS[row["tool"]](broker, options, topic, seconds)
    return dict(r, broker_cpu_s=process_cpu_s(broker.process.pid) - before)


def request(broker, api, version, body):
    with broker.connect() as c:
        return c.request(api, version, body)


def make_topic(broker, topic, partitions):
    """In steps: stock Kafka's controller takes no more than 10,000 changes at once."""
    step = min(partitions, PARTITIONS_AT_ONCE)
    request(broker, "CreateTopics", 5, {"topics": [{
        "name": topic, "numPartitions": step, "replicationFactor": 1, "assignments": [], "configs": []}], "timeoutMs": 30000})
    wait_served(broker, topic, step)
    for count in range(step + PARTITIONS_AT_ONCE, partitions + PARTITIONS_AT_ONCE, PARTITIONS_AT_ONCE):
        request(broker, "CreatePartitions", 3, {"topics": [{"name": topic, "count": min(count, partitions), "assignments": None}],
                                                "timeoutMs": 30000, "validateOnly": False})
        wait_served(broker, topic, min(count, partitions))


def delete(broker, topic):
    if broker.topics and broker.process.poll() is None:
        request(broker, "DeleteTopics", 5, {"topicNames": [topic], "timeoutMs": 30000})
        time.sleep(SETTLE_S)


def wait_served(broker, topic, partitions):
    """Stock Kafka tells leaders before they serve; and a moment more, for what it does behind that."""
    import client
    end = time.monotonic() + LEADERS_WAIT_S
    with broker.connect() as c:
        while not client.leaders_serve(c, topic, partitions):
            if time.monotonic() > end:
                raise RuntimeError(f"{broker.title}: {topic} has no leaders after {LEADERS_WAIT_S} s")
            time.sleep(0.05)
    time.sleep(SETTLE_S)


def measured(broker, row, options, seconds, topic, warmup):
    """The load of a row on its topic, with the stage clocks of the time between."""
    if row["load"] in RESTARTS:
        r = starts.restart(broker, topic, options["partitions"])
        return r if row["load"] == "start" else starts.after_load(
            broker, r, lambda: bench("produce", broker, options, seconds))
    if "fill" in row:
        bench("produce", broker, dict(row["fill"], topic=topic, warmup=0), 60)
    clocks = broker.stages() if hasattr(broker, "stages") else {}
    if row["load"] == "tool":
        r = program(broker, row, options, seconds, topic)
    else:
        r = bench(row["load"], broker, dict(options, warmup=warmup), seconds)
    if clocks:
        r["stages"] = between(clocks, broker.stages())
    return r


def turn(broker, row, seconds, topic, warmup=1):
    options = dict(row["options"])
    if row["load"] == "idle":
        return bench("idle", broker, options, seconds)
    if broker.topics:
        partitions = options.get("partitions", 1)
        make_topic(broker, topic, partitions)
        options["topic"] = topic
    elif row["load"] == "produce":
        options["setup"] = 0
    try:
        r = measured(broker, row, options, seconds, topic, warmup)
    except Exception:
        with contextlib.suppress(Exception):  # what went wrong first is what counts
            delete(broker, topic)
        raise
    delete(broker, topic)
    if r["records"]:
        r["cpu_s_per_m_records"] = r["broker_cpu_s"] / (r["records"] / 1e6)
    return r


def disk_turn(options, folder, seconds, ours):
    """What the disk alone does with writes of that size and depth, told in records as long as those of Sluice's turn."""
    args = [peers.BENCH, "disk", "--json", 1, "--folder", folder, "--seconds", seconds, "--block", options["block"],
            "--depth", options["depth"]]
    r = json.loads(command.output(args, command.load_limit_s(seconds)))
    r["records_per_s"] = r["bytes"] / r["seconds"] / (ours["bytes"] / ours["records"])
    return r


def start_all(options, folder, say):
    started = {}
    for name in options.peers:
        begin = time.monotonic()
        try:
            peer = peers.load(name)(folder / name, options.durability)
            say(f"starting {peer.title}")
            started[name] = peer
            peer.start()
        except BaseException:
            for broker in started.values():
                broker.destroy()
            raise
        started[name].start_s = time.monotonic() - begin
    return started


def usable(row, name):
    return name not in peers.LIMITS or row.get("null", True)


def plan(options):
    """(title, name, seconds) of what is measured: each scenario with each length, those that have none once."""
    rows = []
    for name in options.names:
        lengths = options.durations if options.all[name]["load"] not in TIMELESS else options.durations[:1]
        rows += [(f"{name}, {s:g} s" if len(lengths) > 1 else name, name, s) for s in lengths]
    return rows


def slug(title):
    return re.sub(r"[^a-z0-9.]+", "-", title.lower())


def within_disk(row, broker, folder):
    """The row, with an end for a load that writes as fast as it can."""
    if row["load"] != "produce" or not broker.topics:
        return row
    return dict(row, options=dict(row["options"], bytes=shutil.disk_usage(folder).free // FREE_DISK_SHARE))


def in_order(options):
    """(round, title, name, seconds): all scenarios in each round, so that a scenario's rounds lie as far apart as the run is
    long and their spread knows what the machine does meanwhile. What restarts the brokers, and leaves them cold, comes last."""
    rows = plan(options)
    later = [r for r in rows if options.all[r[1]]["load"] in RESTARTS]
    first = [r for r in rows if r not in later]
    return [(i, *row) for part in (first, later) for i in range(options.rounds) for row in part]


def warm_up(options, title, row, seconds, started, entry, folder, say):
    for k in entry["rounds"]:
        if getattr(started.get(k), "warm", False) and row["load"] not in RESTARTS:
            say(f"{title}: warming {started[k].title}")
            turn(started[k], within_disk(row, started[k], folder), min(seconds, WARM_S_MAX), f"warm-{slug(title)}", options.warmup)


def one_round(options, i, title, row, seconds, started, folder, entry, say):
    """A turn of each peer in one scenario."""
    results = entry["rounds"]
    for k in results:
        say(f"round {i + 1} of {options.rounds}, {title}: {started[k].title if k in started else 'the disk alone'}")
        if k == "disk":
            r = disk_turn(row["disk"], folder, seconds, results["sluice"][-1])
        else:
            r = turn(started[k], within_disk(row, started[k], folder), seconds, f"compare-{slug(title)}-{i}", options.warmup)
        results[k].append(r)
        if row["load"] == "produce" and r["seconds"] < 0.9 * seconds and CUT not in entry["what"]:
            entry["what"] += CUT
        if row["load"] in ("mixed", "memory") and shutil.disk_usage(folder).free < FREE_DISK_SHARE * r["bytes"]:
            raise OSError("the disk has not room for another turn")


def entry_of(options, name, seconds, started):
    row, results = options.all[name], {k: [] for k in started if usable(options.all[name], k)}
    if "disk" in row and options.durability == "fsync":
        results["disk"] = []
    return {"what": row["what"], "load": row.get("shape", row["load"]), "scenario": name, "seconds": seconds,
            "options": " ".join(f"{k}={v}" for k, v in row["options"].items()), "rounds": results}


def run(options, started, folder, everything, say):
    """Fills everything; returns what failed, as text. A turn that fails ends its scenario; a broker that ended, all."""
    failed = {}
    everything.update({title: entry_of(options, name, seconds, started) for title, name, seconds in plan(options)})
    for i, title, name, seconds in in_order(options):
        if title in failed:
            continue
        row, entry = options.all[name], everything[title]
        try:
            if i == 0:
                warm_up(options, title, row, seconds, started, entry, folder, say)
            one_round(options, i, title, row, seconds, started, folder, entry, say)
        except RuntimeError as e:
            if any(broker.process.poll() is not None for broker in started.values()):
                raise
            failed[title] = f"{title}: {e}"
            print(f"compare: {failed[title]}", file=sys.stderr)
        if i == options.rounds - 1 or title in failed:
            print(report.text_rows(title, entry), flush=True)
    return "; ".join(failed.values())


def processor():
    """Of all cores since the start of the machine, in ticks: all, idle, taken by the hypervisor."""
    ticks = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4], ticks[7]


def busy_with_others(seconds=2):
    """The share of the processors that others use, the hypervisor included, while nothing of ours runs."""
    before = processor()
    time.sleep(seconds)
    everything, idle, _ = (b - a for a, b in zip(before, processor()))
    return round(1 - idle / max(everything, 1), 3)


def estimate(options):
    around_s = options.warmup + 1  # of a turn: topic, idle spin, warm-up
    return 15 + sum((seconds + around_s) * (options.rounds * len([k for k in options.peers if usable(options.all[name], k)]) + 1)
                    for _, name, seconds in plan(options))


def measure(options, others, say):
    """(about, scenarios, what made it end early or None, exit status)."""
    (ROOT / "build").mkdir(exist_ok=True)
    started, everything, failure, status, told, folder, ticks = {}, {}, None, 0, {}, None, processor()
    try:
        folder = Path(tempfile.mkdtemp(prefix="compare-", dir=ROOT / "build"))
        started = start_all(options, folder, say)
        told = about.machine(options, started) | {"busy_before": others}
        failure = run(options, started, folder, everything, say) or None
    except command.Stopped as e:
        failure, status = e.why, e.status
    except Exception as e:  # whatever it is: what was measured is kept
        failure = next(filter(None, map(ended, started.values())), None) or command.text(e)
    finally:
        command.deaf()
        for broker in started.values():
            broker.destroy()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    spent = [b - a for a, b in zip(ticks, processor())]
    told["stolen_share"] = round(spent[2] / max(spent[0], 1), 3)
    return told, {n: e for n, e in everything.items() if e["rounds"].get("sluice")}, failure, status or int(bool(failure))


def compare():
    if asks_for_c(sys.argv[1:]):
        import catchup
        return catchup.catchup()
    options = arguments()
    begin, budget = time.monotonic(), estimate(options)

    def say(text):
        left = max(0, budget - (time.monotonic() - begin))
        print(f"[about {left / 60:.0f} min left] {text}", file=sys.stderr, flush=True)

    told, everything, failure, status = measure(options, busy_with_others(), say)
    if everything:
        options.results.mkdir(parents=True, exist_ok=True)
        report.write(options.results, told, everything, failure)
        print(f"report: {os.path.relpath(options.results / 'compare.html')}, compare.md, compare.json"
              f"{' (partial)' if failure else ''}")
    if failure:
        print(f"compare: not whole: {failure}", file=sys.stderr)
    return status


def main():
    command.end("compare", compare)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""compare: the same load on Sluice, stock Kafka and the null broker, in turns (A B C A B C ...).

Both brokers make the same promise: with --durability os (the default) for the death of the process, which is what
stock Kafka promises as it comes; with fsync both flush before they answer. Sluice runs one shard, stock Kafka may use
every core; the load is one thread. Each turn has a fresh topic. The report (bench/results/compare.html, .md and .json)
shows the median, the range of the rounds and how far a repeat may be from it, and names each row in which Sluice loses. A run
that ends early (Ctrl-C, a broker that died, an answer with an error) leaves a report of what it had, marked partial, and
exits with 130 or 1.
"""
import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import peers
import programs
import report
import starts
from peers.sluice import between

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
FREE_DISK_SHARE = 4  # a turn is not started with less than four times what the last one wrote
LEADERS_WAIT_S = 60
PARTITIONS_AT_ONCE = 1000
GONE_WAIT_S = 1
WARMUP_S = 0.5
BENCH_INTERRUPTED = 130  # sluice-bench, after SIGINT
RESTARTS = ("start", "memory")  # each turn of theirs is a new process
QUICK = {"rounds": 4, "seconds": 1, "names": ["P16K", "P1", "L1", "E2E"]}


def scenarios():
    found = {}
    for path in sorted((ROOT / "bench" / "scenarios").glob("*.toml")):
        for name, row in tomllib.loads(path.read_text()).items():
            found[name] = dict(row, file=path.stem)
    return found


def arguments():
    p = argparse.ArgumentParser(prog="./dev compare", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3, help="at least 3 for a figure; 5 halve the ± (default 3)")
    p.add_argument("--seconds", type=float, default=2, help="of each turn (default 2)")
    p.add_argument("--durability", choices=("os", "fsync"), default="os")
    p.add_argument("--against", default="kafka,null",
                   help=f"peers, comma-separated, of {', '.join(peers.NAMES)} (default kafka,null)")
    p.add_argument("--quick", action="store_true", help="four scenarios of 1 s, under three minutes")
    p.add_argument("--results", type=Path, default=RESULTS, help="folder for the results (default bench/results)")
    p.add_argument("scenario", nargs="*", help="default: those of goals.toml; a file's name: all of it (linkedin-2014, clients)")
    o = p.parse_args()
    o.all, o.warmup = scenarios(), WARMUP_S
    files = {r["file"] for r in o.all.values()}
    o.names = [n for s in o.scenario for n in ([k for k, r in o.all.items() if r["file"] == s] if s in files else [s])]
    o.names = o.names or (QUICK["names"] if o.quick else [n for n, r in o.all.items() if r["file"] == "goals"])
    if o.quick:
        o.rounds, o.seconds = QUICK["rounds"], QUICK["seconds"]
    for name in o.names:
        if name not in o.all:
            raise SystemExit(f"compare: unknown scenario {name}; there are {', '.join(o.all)}, and all of {', '.join(files)}")
    o.peers = ["sluice"] + [p for p in o.against.split(",") if p and p != "sluice"]
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
    args = [peers.BENCH, load, "--port", str(broker.port), "--json", "1", "--seconds", str(seconds),
            "--broker-pid", str(broker.process.pid)]
    for key, value in options.items():
        args += [f"--{key}", str(value)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=seconds * 4 + 120)
    if done.returncode:
        if ended(broker):
            raise RuntimeError(ended(broker))
        if done.returncode == BENCH_INTERRUPTED:  # Ctrl-C is everybody's; the load's end may be seen first
            raise KeyboardInterrupt
        raise RuntimeError(f"{broker.title}: {done.stderr.strip() or f'sluice-bench {load} ended with {done.returncode}'}")
    return json.loads(done.stdout)


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
        time.sleep(0.5)


def wait_served(broker, topic, partitions):
    """Stock Kafka tells leaders before they serve; and a moment more, for what it does behind that."""
    import client
    end = time.monotonic() + LEADERS_WAIT_S
    with broker.connect() as c:
        while not client.leaders_serve(c, topic, partitions):
            if time.monotonic() > end:
                raise RuntimeError(f"{broker.title}: {topic} has no leaders after {LEADERS_WAIT_S} s")
            time.sleep(0.05)
    time.sleep(0.5)


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
    except BaseException:
        with contextlib.suppress(Exception):  # what went wrong first is what counts
            delete(broker, topic)
        raise
    delete(broker, topic)
    if r["records"]:
        r["cpu_s_per_m_records"] = r["broker_cpu_s"] / (r["records"] / 1e6)
    return r


def disk_turn(options, folder, seconds, ours):
    """What the disk alone does with writes of that size and depth, told in records as long as those of Sluice's turn."""
    command = [peers.BENCH, "disk", "--json", "1", "--folder", str(folder), "--seconds", str(seconds), "--block",
               str(options["block"]), "--depth", str(options["depth"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 4 + 120)
    if done.returncode:
        raise RuntimeError(f"the disk alone: {done.stderr.strip()}")
    r = json.loads(done.stdout)
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


def one_round(options, i, name, started, folder, results, say):
    """A turn of each peer in one scenario."""
    row = options.all[name]
    for k in results:
        if i == 0 and getattr(started.get(k), "warm", False) and row["load"] not in RESTARTS:
            say(f"{name}: warming {started[k].title}")
            turn(started[k], row, options.seconds, f"warm-{name.lower()}", options.warmup)
    for k in results:
        say(f"round {i + 1} of {options.rounds}, {name}: {started[k].title if k in started else 'the disk alone'}")
        if k == "disk":
            r = disk_turn(row["disk"], folder, options.seconds, results["sluice"][-1])
        else:
            r = turn(started[k], row, options.seconds, f"compare-{name.lower()}-{i}", options.warmup)
        results[k].append(r)
        if shutil.disk_usage(folder).free < FREE_DISK_SHARE * r.get("bytes", 0):
            raise OSError("the disk has not room for another turn")


def entry_of(options, row, started):
    results = {k: [] for k in started if usable(row, k)}
    if "disk" in row and options.durability == "fsync":
        results["disk"] = []
    return {"what": row["what"], "load": row.get("shape", row["load"]), "rounds": results}


def in_order(options):
    """(round, scenario): all scenarios in each round, so that a scenario's rounds lie as far apart as the run is long and
    their spread knows what the machine does meanwhile. What restarts the brokers, and leaves them cold, comes last."""
    later = [n for n in options.names if options.all[n]["load"] in RESTARTS]
    first = [n for n in options.names if n not in later]
    return [(i, n) for names in (first, later) for i in range(options.rounds) for n in names]


def run(options, started, folder, everything, say):
    """Fills everything; returns what failed, as text. A turn that fails ends its scenario; a broker that ended, all."""
    failed = {}
    everything.update({n: entry_of(options, options.all[n], started) for n in options.names})
    for i, name in in_order(options):
        if name in failed:
            continue
        try:
            one_round(options, i, name, started, folder, everything[name]["rounds"], say)
        except RuntimeError as e:
            if any(broker.process.poll() is not None for broker in started.values()):
                raise
            failed[name] = f"{name}: {e}"
            print(f"compare: {failed[name]}", file=sys.stderr)
        if i == options.rounds - 1 or name in failed:
            print(report.text_rows(name, everything[name]), flush=True)
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


def machine(options, started):
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "durability": options.durability, "rounds": options.rounds, "seconds": options.seconds,
            "peers": {k: {"title": b.title, "promise": b.promise, "start_s": round(b.start_s, 2)}
                      for k, b in started.items()},
            "command": "./dev compare " + " ".join(without_results(sys.argv[1:]))}


def without_results(words):
    """A command without the folder of its results: that belongs to the machine."""
    return [w for i, w in enumerate(words) if w != "--results" and (i == 0 or words[i - 1] != "--results")]


def estimate(options):
    each = options.seconds + 3
    return 25 + sum(each * (options.rounds + 1) * len([k for k in options.peers if usable(options.all[n], k)])
               for n in options.names)


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin, budget = time.monotonic(), estimate(options)

    def say(text):
        left = max(0, budget - (time.monotonic() - begin))
        print(f"[about {left / 60:.0f} min left] {text}", file=sys.stderr, flush=True)

    (ROOT / "build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="compare-", dir=ROOT / "build"))
    started, everything, failure, about = {}, {}, None, {}
    others, ticks = busy_with_others(), processor()
    try:
        started = start_all(options, folder, say)
        about = machine(options, started) | {"busy_before": others}
        failure = run(options, started, folder, everything, say) or None
    except KeyboardInterrupt:
        failure = "interrupted"
    except Exception as e:  # whatever it is: what was measured is kept
        failure = next(filter(None, map(ended, started.values())), None)
        if failure is None:
            failure = str(e) if isinstance(e, (RuntimeError, OSError)) and str(e) else f"{type(e).__name__}: {e}"
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing keeps the brokers from being stopped
        for broker in started.values():
            broker.destroy()
        shutil.rmtree(folder, ignore_errors=True)
    everything = {n: e for n, e in everything.items() if e["rounds"].get("sluice")}
    if everything:
        spent = [b - a for a, b in zip(ticks, processor())]
        about["stolen_share"] = round(spent[2] / max(spent[0], 1), 3)
        options.results.mkdir(parents=True, exist_ok=True)
        report.write(options.results, about, everything, failure)
        print(f"report: {os.path.relpath(options.results / 'compare.html')}, compare.md, compare.json"
              f"{' (partial)' if failure else ''}")
    if failure:
        print(f"compare: not whole: {failure}", file=sys.stderr)
        raise SystemExit(130 if failure == "interrupted" else 1)


if __name__ == "__main__":
    main()

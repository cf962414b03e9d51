#!/usr/bin/env python3
"""bypass: our own TCP on a memif cable between two processes, one core each: broker (or yardstick) and load.

Rows in turns, each turn with fresh processes and a fresh cable: bare frames, TCP echo, the null broker and Sluice.
Sluice polls (sluice.poll=always) on the first core with sluice.durability=os. The table shows the median of the
rounds and their range, and what GOALS asks; bench/results/bypass.json holds every run. Needs no root and no network:
the cable is a socket in a temporary folder. A run that was stopped, or in which a turn failed, is marked partial.
--realtime (root) keeps other work off both cores while a turn runs, that of the kernel's threads which write to disk as
well: P16K comes to a tenth with it.
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import command
import compare

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
OURS, THEIRS = "10.9.0.2", "10.9.0.1"
PORT = 9092
START_S = 30
LOG_END = 500  # characters of a server's log that tell why it ended
P1 = "--records 1 --in-flight {} --connections {}"
P16K = "--records 150 --in-flight 5 --connections 4"

# name: (server, load, options, MTU, what is reported, goal as text)
ROWS = {
    "frames32": ("frames", "frames", "--outstanding 32 --frame-bytes 104", 1500, "requests_per_s", "yardstick"),
    "frames256": ("frames", "frames", "--outstanding 256 --frame-bytes 104", 1500, "requests_per_s", "yardstick"),
    "TE32": ("echo", "echo", "--in-flight 1 --connections 32", 1500, "requests_per_s", "1.9M"),
    "TE256": ("echo", "echo", "--in-flight 1 --connections 256", 1500, "requests_per_s", "1.8M"),
    "null P1x256": ("null", "produce", P1.format(1, 256), 1500, "requests_per_s", "yardstick"),
    "null P1x16": ("null", "produce", P1.format(16, 4), 1500, "requests_per_s", "yardstick"),
    "P1x256": ("sluice", "produce", P1.format(1, 256), 1500, "requests_per_s", "1.2M"),
    "P1x16": ("sluice", "produce", P1.format(16, 4), 1500, "requests_per_s", "1.5M, 60 % of null"),
    "P16K": ("sluice", "produce", P16K, 1500, "records_per_s", "15M"),
    "P16K 9000": ("sluice", "produce", P16K, 9000, "records_per_s", "25M"),
    "L1": ("sluice", "produce", P1.format(1, 1), 1500, "latency_us/p50", "p50 4 us, p99 8 us"),
    "E2E": ("sluice", "e2e", "--rate 20000", 1500, "latency_us/p50", "p50 10 us, p99 20 us"),
    "F": ("sluice", "fetch", "--connections 4", 1500, "records_per_s", "15M"),
    "F 9000": ("sluice", "fetch", "--connections 4", 9000, "records_per_s", "25M"),
    "O": ("sluice", "produce", P1.format(1, 256) + " --overload 1.5", 1500, "overload_share", "goodput 95 %"),
}
FILL = P16K.split() + ["--bytes", "200000000", "--seconds", "60", "--warmup", "0"]


def arguments():
    p = argparse.ArgumentParser(prog="./dev compare --bypass", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=command.count, default=3)
    p.add_argument("--seconds", type=command.seconds, default=3, help="of each turn (default 3)")
    p.add_argument("--cores", default="0,1", help="of the broker and of the load (default 0,1)")
    p.add_argument("--realtime", action="store_true", help="the polling threads above all others while a turn runs (root); not for P16K")
    p.add_argument("--results", type=Path, default=ROOT / "bench" / "results", help="folder for the results (default bench/results)")
    p.add_argument("row", nargs="*", help=f"default: all of {', '.join(ROWS)}")
    o = p.parse_args()
    o.cores = o.cores.split(",")
    if len(o.cores) != 2 or not all(c.isdecimal() for c in o.cores):
        p.error("--cores wants the numbers of two")
    for name in o.row:
        if name not in ROWS:
            p.error(f"no such row: {name}")
    return o


class Turn:
    """Server and load on one cable."""

    def __init__(self, o, name):
        self.o, self.name = o, name
        self.server, self.load, options, self.mtu, self.key, self.goal = ROWS[name]
        self.options = options.split()
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-cable-"))
        self.process = None

    def port(self, role, address, extra=""):
        return (f"net_memif0,role={role},socket={self.folder}/cable,socket-abstract=no{extra};"
                f"address={address}/24;mtu={self.mtu}")

    def command(self):
        ports = self.port("server", OURS)
        if self.server == "frames":
            return [BUILD / "sluice-bench", "frames", "--echo", "1", "--ports", ports, "--seconds", "0"]
        if self.server in ("echo", "null"):
            return [BUILD / "sluice-bench", "null", "--echo", "1" if self.server == "echo" else "0", "--host", OURS,
                    "--port", str(PORT), "--ports", ports, "--seconds", "0"]
        over = {"log.dirs": self.folder / "data", "sluice.dpdk.ports": ports, "sluice.poll": "always",
                "listeners": f"PLAINTEXT://127.0.0.1:0,BYPASS://{OURS}:{PORT}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:1,BYPASS://{OURS}:{PORT}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BYPASS:PLAINTEXT",
                "inter.broker.listener.name": "PLAINTEXT", "sluice.shards": 1,
                "listener.name.bypass.sluice.transport": "dpdk", "sluice.durability": "os",
                "sluice.cpus": self.o.cores[0], "sluice.memory": 1 << 30}
        return [BUILD / "sluiced"] + [a for k, v in over.items() for a in ("--override", f"{k}={v}")]

    def start(self):
        pin = ["taskset", "-c", self.o.cores[0]] if self.server != "sluice" else []
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(pin + self.command(), stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = command.first_line(self.process, START_S, self.server)
        except RuntimeError as e:
            raise RuntimeError(f"{e}: {(self.folder / 'log').read_text(errors='replace')[-LOG_END:].strip()}") from None
        if " ready" not in line:
            raise RuntimeError(f"{self.server} is not ready: {line.strip()}")
        self.admin = None
        if self.server == "sluice":
            self.admin = next(w.rsplit(":", 1)[1] for w in line.split() if "127.0.0.1" in w)

    def realtime(self, pid):
        """The threads that poll. All others stay as they are: one above its peers that waits for another of
        them (libuv's main loop spins until a sender is done) would keep that one off the core."""
        for task in Path(f"/proc/{pid}/task").iterdir() if self.o.realtime else ():
            with contextlib.suppress(OSError):  # a short load may have ended
                if not (task / "comm").read_text().startswith(("eal-", "iou-", "control", "worker", "sluiced")):
                    subprocess.run(["chrt", "-r", "-p", "1", task.name], capture_output=True)

    def run_load(self, load, options, timed=True):
        ports = self.port("client", THEIRS, ",zero-copy=yes")
        args = ["taskset", "-c", self.o.cores[1], BUILD / "sluice-bench", load, "--ports", ports, "--json", "1", *options]
        if timed:
            args += ["--seconds", str(self.o.seconds), "--warmup", "1"]
        if load != "frames":
            args += ["--host", OURS, "--port", str(PORT), "--progress", "never"]
        if self.admin:
            args += ["--admin-port", self.admin]
        if self.server == "null":
            args += ["--setup", "0"]
        p = command.start(args)
        try:
            time.sleep(1)  # the cable is up: its threads are not needed any more
            if p.poll() is None:
                self.realtime(p.pid)
                self.realtime(self.process.pid)
            out = command.finish(p, self.o.seconds * 10 + 120, f"the load {load}")
        finally:
            p.kill()  # if it was stopped before that
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def run(self):
        try:
            self.start()
            if self.load == "fetch":
                self.run_load("produce", FILL, timed=False)
            return self.run_load(self.load, self.options)
        finally:
            if self.process:
                self.process.send_signal(signal.SIGTERM)
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)


def value(results, key):
    """One figure of a run: the place in its last line of JSON."""
    got = results[-1]
    for part in key.split("/"):
        got = got[part]
    return got


def shown(v, key):
    if v is None:
        return "-"
    if key.startswith("latency"):
        return f"{v:.1f} us"
    if key == "overload_share":
        return f"{100 * v:.0f} %"
    return f"{v / 1e6:.2f}M"


def summary(runs):
    """[row, median, least, most (as text), p99 us, goal, ratio to its yardstick as text] of each row that has figures."""
    rows, yard = [], {}
    for name, results in runs.items():
        key, goal = ROWS[name][4:]
        got = [v for v in (value(r, key) for r in results) if v is not None]
        if not got:
            rows.append([name, "no figure", "", "", "", goal, ""])
            continue
        m = statistics.median(got)
        p99 = [r[-1]["latency_us"]["p99"] for r in results if r[-1].get("latency_us", {}).get("p99")]
        if goal == "yardstick":
            yard[name] = m
        base = {"TE32": "frames32", "TE256": "frames256"}.get(name, "null " + name)
        ratio = f"{m / yard[base]:.3f} of {base}" if base in yard and yard[base] else ""
        rows.append([name, shown(m, key), shown(min(got), key), shown(max(got), key),
                     f"{statistics.median(p99):.1f}" if p99 else "-", goal, ratio])
    return rows


def table(runs):
    print(f"\n{'row':12} {'median':>10} {'least':>10} {'most':>10} {'p99 us':>8}  {'goal':20} against the yardstick")
    for name, middle, least, most, p99, goal, ratio in summary(runs):
        print(f"{name:12} {middle:>10} {least:>10} {most:>10} {p99:>8}  {goal:20} {ratio}")


def rounds(o, runs, failed):
    """Fills runs with the results of each row; failed with what did not work, as text."""
    for i in range(o.rounds):
        for name in runs:
            try:
                r = Turn(o, name).run()
                figure = shown(value(r, ROWS[name][4]), ROWS[name][4])
                runs[name].append(r)
                print(f"round {i + 1} {name}: {figure}", flush=True)
            except (RuntimeError, OSError, LookupError) as e:
                failed.append(f"round {i + 1} {name}: {command.text(e)}")
                print(f"round {i + 1} {name}: FAILED: {command.text(e)}", flush=True)


def bypass():
    o = arguments()
    runs, failed, others, status = {name: [] for name in o.row or ROWS}, [], compare.busy_with_others(), 0
    try:
        rounds(o, runs, failed)
    except command.Stopped as e:
        status = e.status
        failed.append(e.why)
    partial = "; ".join(failed) or None
    if any(runs.values()):
        table(runs)
        o.results.mkdir(parents=True, exist_ok=True)
        (o.results / "bypass.json").write_text(json.dumps({
            "rounds": o.rounds, "seconds": o.seconds, "cores": o.cores, "realtime": o.realtime,
            "busy_before": others, "partial": partial, "rows": runs}, indent=1))
        print(f"\nothers used {others:.0%} of the processors before; every run: {os.path.relpath(o.results / 'bypass.json')}"
              f"{' (partial)' if partial else ''}")
    if partial:
        print(f"bypass: not whole: {partial}", file=sys.stderr)
    return status or int(bool(partial))


if __name__ == "__main__":
    command.end("bypass", bypass)

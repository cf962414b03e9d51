#!/usr/bin/env python3
"""The same traces against Linux's TCP and ours: what each answers, compared step by step.

usage: against.py [--end build/tests/bypass/bypass_end] [--all] [--list] [pattern]     needs root

Both hosts stand on wires of their own: Linux's at the end of a veth pair in a namespace, ours on a tap. The other end of each
wire is a station (player.py) whose address no kernel has, so that no kernel speaks for it.

        namespace "linux"                namespace "station"              this process
        linux_end.py, le0 ---- veth ---- le1 ------------- packet socket, Station
        bypass_end ------------ tap ---- lt0 ------------- packet socket, Station

What may differ stands in differences.py. --all prints what was the same, too; --list the table for docs/tcp.md.
"""
import argparse
import os
import re
import select
import subprocess
import sys
import threading
import traceback

from differences import KNOWN
from lab import START_S, Failed, Namespace, cannot, check
from player import Application, Play, Station
from states import TRACES
import traces  # noqa: F401, adds to them

HERE = os.path.dirname(os.path.abspath(__file__))
HOST, STATION, LISTENING, FIRST_PORT = "10.99.0.2", "10.99.0.1", 7000, 20000
# No pauses between answers, no memory of earlier connections, no SACKs that wait for others.
LINUX = {"net__ipv4__tcp_invalid_ratelimit": 0, "net__ipv4__tcp_no_metrics_save": 1, "net__ipv4__tcp_comp_sack_nr": 0,
         "net__ipv4__tcp_ecn": 1, "net__ipv4__icmp_ratelimit": 0}
NOTHING = "nothing"


def begin(*command):
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    while True:
        if not select.select([process.stdout], [], [], START_S)[0]:
            process.kill()
            raise Failed(f"{command[0]} does not start")
        line = process.stdout.readline()
        if line == "ready\n":
            return process
        check(line, f"{' '.join(command)} ended")


class Side(threading.Thread):
    """All traces against one host. `results`: name -> steps, or what went wrong."""

    def __init__(self, station, process, names):
        super().__init__()
        self.station, self.process, self.names, self.results = station, process, names, {}

    def run(self):
        application = Application(self.process)
        for name in self.names:
            play = Play(self.station, application, name, FIRST_PORT + list(TRACES).index(name), LISTENING)
            try:
                TRACES[name](play)
                self.results[name] = play.steps
            except Exception as e:
                self.results[name] = play.steps + [("failed", [str(e) if isinstance(e, Failed) else traceback.format_exc()])]
                if self.process.poll() is not None:
                    return


def play_all(end, names):
    """(Linux's results, ours) of the traces."""
    linux, station, made = Namespace("sluice-linux"), None, []
    try:
        station = Namespace("sluice-station")
        station.sysctl(net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
        linux.sysctl(**LINUX)
        linux.ip("link", "add", "le0", "type", "veth", "peer", "name", "le1", "netns", station.name)
        linux.python("tx_off", "le0")
        linux.ip("addr", "add", f"{HOST}/24", "dev", "le0")
        linux.ip("link", "set", "le0", "up")
        station.ip("link", "set", "le1", "up")
        processes = [begin("ip", "netns", "exec", linux.name, sys.executable, f"{HERE}/linux_end.py", str(LISTENING))]
        made += processes
        processes.append(begin(end, f"net_tap0,iface=lt0;address={HOST}/24;netns={station.name}", str(LISTENING)))
        made.append(processes[1])
        station.ip("link", "set", "lt0", "up")
        sides = []
        for interface, process in zip(("le1", "lt0"), processes):
            sides.append(Side(Station(station.name, interface, STATION, HOST), process, names))
            made.append(sides[-1].station.sock)
            sides[-1].station.resolve()
        for side in sides:
            side.start()
        for side in sides:
            side.join()
        return sides[0].results, sides[1].results
    finally:
        for thing in made:
            if isinstance(thing, subprocess.Popen):
                thing.stdin.close()
                try:
                    thing.wait(START_S)
                except subprocess.TimeoutExpired:
                    thing.kill()
            else:
                thing.close()
        for ns in (linux, station):
            if ns:
                ns.remove()


def texts(steps):
    return [(what, " | ".join(lines) or NOTHING) for what, lines in steps]


def compare(name, linux, ours):
    """[(step, what Linux answers, what ours answers, reason or None)] of the steps that differ."""
    found = []
    linux, ours = texts(linux), texts(ours)
    for i in range(max(len(linux), len(ours))):
        a = linux[i] if i < len(linux) else ("", "no such step")
        b = ours[i] if i < len(ours) else ("", "no such step")
        if a == b:
            continue
        reason = next((k.reason for k in KNOWN if re.fullmatch(k.trace, name) and re.fullmatch(k.linux, a[1]) and
                       re.fullmatch(k.ours, b[1])), None)
        found.append((a[0] if a[0] == b[0] else f"{a[0]} / {b[0]}", a[1], b[1], reason))
    return found


def differences(linux, ours, names):
    """{name: what compare says}, for those with something to say."""
    all_of = {name: compare(name, linux.get(name, []), ours.get(name, [])) for name in names}
    return {name: found for name, found in all_of.items() if found}


class Linux:
    """For run.py."""

    def __init__(self, binary):
        end = os.path.join(os.path.dirname(os.path.abspath(binary)), "tests/bypass/bypass_end")
        self.names = list(TRACES)
        self.linux, self.ours = play_all(end, self.names)

    def close(self):
        return 0

    def test_same_answers(self):
        new = [f"{name}: {step}: Linux: {a}; ours: {b}" for name, found in differences(self.linux, self.ours, self.names).items()
               for step, a, b, reason in found if reason is None]
        check(not new, f"{len(new)} differences\n  " + "\n  ".join(new[:40]))

    def test_everything_was_played(self):
        for results in (self.linux, self.ours):
            failed = [name for name in self.names if name not in results or any(what == "failed" for what, _ in results[name])]
            check(not failed, f"failed: {' '.join(failed[:20])}")

    def test_the_list_is_no_longer_than_needed(self):
        """Kernels differ from each other: a difference that is not seen is told, not refused."""
        seen = {reason for found in differences(self.linux, self.ours, self.names).values() for *_, reason in found}
        for known in KNOWN:
            if known.reason not in seen:
                print(f"note: not seen with Linux {os.uname().release}: {known.reason}")


def print_trace(name, linux, ours, differs):
    print(f"== {name}")
    wrong = {(step, a, b): reason for step, a, b, reason in differs}
    for (what, a), (_, b) in zip(texts(linux), texts(ours)):
        print(f"  < {what}")
        if a == b:
            print(f"      {a}")
        else:
            print(f"      Linux: {a}\n      ours:  {b}\n      why:   {wrong.get((what, a, b))}")
    for steps, who in ((linux, "Linux"), (ours, "ours")):
        for what, lines in steps:
            if what == "failed":
                print(f"  {who} failed: {lines[0]}")


def table():
    print("| Where | Linux | Ours | Why |\n|---|---|---|---|")
    for k in dict((k.reason, k) for k in KNOWN).values():
        print(f"| {k.where} | {k.linux_text} | {k.ours_text} | {k.reason} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--end", default="build/tests/bypass/bypass_end")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("pattern", nargs="?", default="")
    args = parser.parse_args()
    if args.list:
        return table()
    missing = cannot()
    if missing:
        sys.exit(f"needs root and /dev/net/tun ({missing})")
    names = [name for name in TRACES if re.search(args.pattern, name)]
    linux, ours = play_all(args.end, names)
    found = differences(linux, ours, names)
    for name in names:
        if args.all or any(reason is None for *_, reason in found.get(name, [])):
            print_trace(name, linux.get(name, []), ours.get(name, []), found.get(name, []))
    new = sum(reason is None for d in found.values() for *_, reason in d)
    print(f"{len(names)} traces, {sum(map(len, found.values()))} differences, {new} of them new")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())

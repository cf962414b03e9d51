#!/usr/bin/env python3
"""The same traces against Linux's TCP and ours: what each answers, compared step by step.

usage: against.py [--end build/tests/bypass/bypass_end] [--all] [--list] [--ip 4|6] [pattern]     needs root

Both hosts stand on wires of their own: Linux's at the end of a veth pair in a namespace, ours on a tap. The other end of each
wire is a station (player.py) whose address no kernel has, so that no kernel speaks for it.

        namespace "linux"                namespace "station"              this process
        linux_end.py, le0 ---- veth ---- le1 ------------- packet socket, Station
        bypass_end ------------ tap ---- lt0 ------------- packet socket, Station

What may differ stands in differences.py. --all prints what was the same, too; --list the table for docs/tcp.md. Each
trace is played over IPv4 and IPv6, at the same time; --ip: over one of them.
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
from states import FAMILY, TRACES
import traces  # noqa: F401, adds to them

HERE = os.path.dirname(os.path.abspath(__file__))
LISTENING = 7000
# Of each IP: the host's address, the station's, the length of their prefix, the station's first port.
FAMILIES = {4: ("10.99.0.2", "10.99.0.1", 24, 20000), 6: ("fd99::2", "fd99::1", 64, 30000)}
# No pauses between answers, no memory of earlier connections, no SACKs that wait for others.
LINUX = {"net__ipv4__tcp_invalid_ratelimit": 0, "net__ipv4__tcp_no_metrics_save": 1, "net__ipv4__tcp_comp_sack_nr": 0,
         "net__ipv4__tcp_ecn": 1, "net__ipv4__icmp_ratelimit": 0, "net__ipv6__icmp__ratelimit": 0}
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


def runs(pattern="", families=tuple(FAMILIES)):
    """(family, trace) of all that is played."""
    return [(family, name) for name in TRACES if re.search(pattern, name) for family in families
            if FAMILY.get(name, family) == family]


def title(run):
    return run[1] if run[0] == 4 else f"{run[1]} over IPv6"


class Side(threading.Thread):
    """The runs of one family against one host. `results`: run -> steps, or what went wrong."""

    def __init__(self, station, application, family, played):
        super().__init__()
        self.station, self.application, self.family, self.results = station, application, family, {}
        self.runs = [run for run in played if run[0] == family]

    def run(self):
        ports = {name: FAMILIES[self.family][3] + i for i, name in enumerate(TRACES)}
        for run in self.runs:
            name = run[1]
            play = Play(self.station, self.application, name, ports[name], LISTENING)
            try:
                TRACES[name](play)
                self.results[run] = play.steps
            except Exception as e:
                self.results[run] = play.steps + [("failed", [str(e) if isinstance(e, Failed) else traceback.format_exc()])]
                if self.application.process.poll() is not None:
                    return


def play_all(end, played):
    """(Linux's results, ours) of the runs."""
    linux, station, made = Namespace("sluice-linux"), None, []
    try:
        station = Namespace("sluice-station")
        station.sysctl(net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
        linux.sysctl(**LINUX)
        linux.ip("link", "add", "le0", "type", "veth", "peer", "name", "le1", "netns", station.name)
        linux.python("tx_off", "le0")
        linux.ip("link", "set", "le0", "up")
        for host, _, length, _ in FAMILIES.values():
            linux.ip("addr", "add", f"{host}/{length}", "dev", "le0", *(["nodad"] if ":" in host else []))
        station.ip("link", "set", "le1", "up")
        processes = [begin("ip", "netns", "exec", linux.name, sys.executable, f"{HERE}/linux_end.py", str(LISTENING))]
        made += processes
        addresses = ";".join(f"address={host}/{length}" for host, _, length, _ in FAMILIES.values())
        processes.append(begin(end, f"net_tap0,iface=lt0;{addresses};netns={station.name}", str(LISTENING)))
        made.append(processes[1])
        station.ip("link", "set", "lt0", "up")
        sides = []
        for interface, process in zip(("le1", "lt0"), processes):
            application = Application(process)
            for family, (host, address, *_) in FAMILIES.items():
                sides.append(Side(Station(station.name, interface, address, host), application, family, played))
                made.append(sides[-1].station.sock)
                sides[-1].station.resolve()
        for side in sides:
            side.start()
        for side in sides:
            side.join()
        return sides[0].results | sides[1].results, sides[2].results | sides[3].results
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


def differences(linux, ours, played):
    """{run: what compare says}, for those with something to say."""
    all_of = {run: compare(run[1], linux.get(run, []), ours.get(run, [])) for run in played}
    return {run: found for run, found in all_of.items() if found}


def answers(end, played):
    """play_all, and once more what differed in a new way. On a busy machine a timer may run out between two segments: what is
    sent again is passed over, and an answer that went with it, too. What differs twice does not depend on that."""
    linux, ours = play_all(end, played)
    again = [run for run, found in differences(linux, ours, played).items() if any(reason is None for *_, reason in found)]
    if again:
        print(f"note: played again: {', '.join(map(title, again))}")
        more = play_all(end, again)
        linux, ours = linux | more[0], ours | more[1]
    return linux, ours


class Linux:
    """For run.py."""

    def __init__(self, binary):
        end = os.path.join(os.path.dirname(os.path.abspath(binary)), "tests/bypass/bypass_end")
        self.runs = runs()
        self.linux, self.ours = answers(end, self.runs)

    def close(self):
        return 0

    def test_same_answers(self):
        new = [f"{title(run)}: {step}: Linux: {a}; ours: {b}" for run, found in differences(self.linux, self.ours, self.runs).items()
               for step, a, b, reason in found if reason is None]
        check(not new, f"{len(new)} differences\n  " + "\n  ".join(new[:40]))

    def test_everything_was_played(self):
        for results in (self.linux, self.ours):
            failed = [title(run) for run in self.runs if run not in results or any(what == "failed" for what, _ in results[run])]
            check(not failed, f"failed: {' '.join(failed[:20])}")

    def test_the_list_is_no_longer_than_needed(self):
        """Kernels differ from each other: a difference that is not seen is told, not refused."""
        seen = {reason for found in differences(self.linux, self.ours, self.runs).values() for *_, reason in found}
        for known in KNOWN:
            if known.reason not in seen:
                print(f"note: not seen with Linux {os.uname().release}: {known.reason}")


def print_trace(run, linux, ours, differs):
    print(f"== {title(run)}")
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
    parser.add_argument("--ip", type=int, choices=list(FAMILIES))
    parser.add_argument("pattern", nargs="?", default="")
    args = parser.parse_args()
    if args.list:
        return table()
    missing = cannot()
    if missing:
        sys.exit(f"needs root and /dev/net/tun ({missing})")
    played = runs(args.pattern, [args.ip] if args.ip else FAMILIES)
    linux, ours = answers(args.end, played)
    found = differences(linux, ours, played)
    for run in played:
        if args.all or any(reason is None for *_, reason in found.get(run, [])):
            print_trace(run, linux.get(run, []), ours.get(run, []), found.get(run, []))
    new = sum(reason is None for d in found.values() for *_, reason in d)
    six = sum(family == 6 for family, _ in played)
    print(f"{len(played) - six} traces over IPv4, {six} over IPv6, {sum(map(len, found.values()))} differences, {new} of them new")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())

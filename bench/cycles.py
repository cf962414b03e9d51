#!/usr/bin/env python3
"""cycles: where a message's time goes on each end of the cable, for rows of bypass.py.

Both processes of a turn are sampled by perf while they poll. A sample's place is the source file of its innermost
inlined line, so that the groups below hold whatever the compiler put where. Cycles are those of the time stamp counter
(its nominal rate from /proc/cpuinfo); a thread is sampled while it runs, so that what others take from it is in no
figure. An end that waits polls, which is in its figures. Needs perf and a build with line numbers (the default). Prints a table for each row, as Markdown.
"""
import argparse
import collections
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import bypass

# A sample belongs to the first group that its place matches: "file of the line|library or binary".
GROUPS = [
    ("memif driver (rings, its copies)", r"memif|rte_ethdev|rte_intr"),
    ("mbufs: allocate, free, chains", r"rte_mbuf|rte_pktmbuf|rte_mempool|rte_ring|rte_lcore|core/chain|core/mem"),
    ("checksums", r"checksum"),
    ("Ethernet, IP, neighbours", r"dataplane/ip/"),
    ("port: bursts, prefetch, counters", r"dataplane/nic/|rte_prefetch"),
    ("connection look-up", r"tcp/table|tcp/siphash|xxh|^find$|^key_of"),
    ("TCP: receiving", r"tcp/(input|ack|sack|recovery|reassemble|congestion)"),
    ("TCP: sending", r"tcp/(output|segment)"),
    ("TCP: headers read and written", r"tcp/wire"),
    ("TCP: timers, round-trip time", r"tcp/timers|core/wheel"),
    ("TCP: calls, events", r"dataplane/tcp/"),
    ("transport: events, windows", r"dataplane/transport/"),
    ("request: framing, parsing, order", r"dataplane/(kafka|proto)/"),
    ("log: append, checks, memory", r"storage/|control/"),
    ("CRC32C", r"crc32|isal|iscsi"),
    ("time: clock readings, histograms", r"vdso|clock|base/hist|core/stages"),
    ("the load's or yardstick's own", r"bench/"),
    ("loop", r"core/(shard|mailbox|ring)"),
    ("library copies and compares", r"libc\.so|string_fortified"),
    ("kernel", r"kernel|kallsyms"),
]
OTHER = "other"
RATE = 4000  # samples of a second in which the thread runs
HELPERS = r"base/bytes\.h|base/str\.h|intrin\.h|rte_byteorder|rte_common|string_fortified|<artificial>|^\?\?"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=4, help="of each turn (default 4)")
    p.add_argument("--rounds", type=int, default=1, help="turns of each row; the fastest is shown (default 1)")
    p.add_argument("--cores", default="0,1", help="of the server and of the load (default 0,1)")
    p.add_argument("--build", type=Path, default=bypass.BUILD, help="where sluiced and sluice-bench are")
    p.add_argument("--realtime", action="store_true", help="as bypass.py's; perf above them (root)")
    p.add_argument("row", nargs="*", default=["frames32", "TE32", "TE256", "null P1x256", "P1x256"])
    o = p.parse_args()
    o.cores = o.cores.split(",")
    if not shutil.which("perf") or not shutil.which("addr2line"):
        p.error("perf and addr2line are needed")
    return o


def polling(folder):
    """{end: thread id} of the turn whose files are in folder: the thread that has run most."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words, name = path.read_text(), (path.parent / "comm").read_text().strip()
            if str(folder) not in words or name not in ("sluice-bench", "sluiced"):
                continue
            ran = {t.name: int((t / "stat").read_text().rsplit(")")[-1].split()[11])
                   for t in (path.parent / "task").iterdir()}
        except OSError:
            continue
        found["server" if "role=server" in words else "load"] = max(ran, key=ran.get)
    return found


def sampled_s(o):
    return o.seconds - 1.5


def sample(folder, o, data):
    """Samples both ends in the middle of the turn."""
    end = time.monotonic() + 15
    while len(polling(folder)) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(2.2)  # until the warm-up is over
    above = ["chrt", "-r", "2"] if o.realtime else []
    runs = [subprocess.Popen(above + ["perf", "record", "-e", "cpu-clock", "-F", str(RATE), "-o", data / which, "-t", thread,
                              "--", "sleep", str(sampled_s(o))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for which, thread in polling(folder).items()]
    for run in runs:
        run.wait()


def addresses(binary):
    """{symbol: address} of a binary's functions."""
    out = subprocess.run(["nm", binary], capture_output=True, text=True).stdout
    return {w[2]: int(w[0], 16) for w in (line.split() for line in out.splitlines()) if len(w) == 3}


def files(binary, places):
    """{address: file} by the line tables; of helpers that are everywhere, the file that calls them."""
    text = "\n".join(hex(a) for a in places)
    out = subprocess.run(["addr2line", "-a", "-i", "-e", binary], input=text, capture_output=True, text=True).stdout
    found, at = {}, None
    for line in out.splitlines():
        if line.startswith("0x"):
            at = int(line, 16)
        elif at not in found and not re.search(HELPERS, line):
            found[at] = line.split(":")[0]
    return found


def places(data, binary):
    """How many samples fell into each place."""
    out = subprocess.run(["perf", "script", "-i", data, "-F", "ip,sym,symoff,dso"], capture_output=True, text=True).stdout
    at, ours, counts = addresses(binary), collections.Counter(), collections.Counter()
    for line in out.splitlines():
        m = re.match(r"\s*[0-9a-f]+ (\S+?)(?:\+0x([0-9a-f]+))?\s+\((.*)\)", line)
        if not m:
            continue
        if m[3].endswith(("sluice-bench", "sluiced")) and m[1] in at:
            ours[at[m[1]] + int(m[2] or "0", 16), m[1]] += 1
        else:
            counts[f"{m[1]} {m[3]}"] += 1
    known = files(binary, {a for a, _ in ours})
    for (a, symbol), n in ours.items():
        file = known.get(a, ".o")
        counts[symbol if file.endswith(".o") else file] += n  # DPDK's archives have no line numbers
    return counts


def grouped(counts):
    sums = collections.Counter()
    for place, n in counts.items():
        name = next((g for g, pattern in GROUPS if re.search(pattern, place, re.I)), OTHER)
        sums[name] += n
        if name == OTHER:
            print(f"  ({n} samples in {place})", file=sys.stderr)
    return sums


def hertz():
    text = Path("/proc/cpuinfo").read_text()
    return float(re.search(r"cpu MHz\s*:\s*([\d.]+)", text)[1]) * 1e6


def turn(o, row):
    """(messages a second, the load's result, {end: samples by group}) of one turn."""
    bypass.BUILD = o.build
    t = bypass.Turn(o, row)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        watcher = threading.Thread(target=sample, args=(t.folder, o, data))
        watcher.start()
        result = t.run()[-1]
        watcher.join()
        server = o.build / ("sluiced" if t.server == "sluice" else "sluice-bench")
        groups = {end: grouped(places(data / end, binary))
                  for end, binary in (("server", server), ("load", o.build / "sluice-bench"))}
    return result["requests_per_s"], result, groups


def table(o, row, per_s, result, groups):
    each = hertz() / RATE / (per_s * sampled_s(o))  # cycles of a message that one sample stands for
    print(f"\n### {row}: {per_s / 1e6:.2f}M/s\n")
    if result.get("frames_in"):
        n = result["requests"]
        print(f"Frames for a message: {result['frames_out'] / n:.3f} there, {result['frames_in'] / n:.3f} back, "
              f"{result['wire_bytes'] / n:.0f} bytes in all; the load receives {result['frames_in'] / result['bursts']:.1f} "
              f"in a burst and is busy {100 * result['client_busy_s'] / result['seconds']:.0f} % of the time.\n")
    print("| | server | load |\n|---|---|---|")
    for name in [g for g, _ in GROUPS] + [OTHER]:
        got = [each * groups[end][name] for end in ("server", "load")]
        if max(got) >= 0.5:
            print(f"| {name} | {got[0]:.0f} | {got[1]:.0f} |")
    print("| together | " + " | ".join(f"{each * sum(groups[end].values()):.0f}" for end in ("server", "load")) + " |",
          flush=True)


def main():
    o = arguments()
    for row in o.row:
        turns = [turn(o, row) for _ in range(o.rounds)]
        table(o, row, *max(turns, key=lambda t: t[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

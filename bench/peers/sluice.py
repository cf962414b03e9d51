"""Sluice with one shard; its stage clocks are read around each turn."""
import re
import subprocess
import urllib.request

from peers import ROOT, START_S, Wrapped

LINE = re.compile(r'^sluice_stage_seconds_bucket\{class="(\w+)",stage="(\w+)",le="([^"]+)"\} ([\d.e+]+)$', re.M)
SETTINGS = ("sluice.shards", "sluice.durability", "sluice.poll", "sluice.memory", "sluice.journal.bytes", "sluice.transport")


class Peer(Wrapped):
    title = "Sluice"

    def __init__(self, folder, durability):
        import brokers
        self.promise = f"{durability}, 1 shard"
        self.clocks = brokers.free_ports()[0]
        self.inner = brokers.Sluice({"sluice.shards": "1", "sluice.durability": durability,
                                     "sluice.metrics.listener": f"127.0.0.1:{self.clocks}"}, folder)
        self.defaults()

    def asked(self, *args):
        """What the broker's program prints and ends; empty if it does not."""
        done = subprocess.run([*self.inner.command()[:1], *args], capture_output=True, text=True, timeout=START_S, check=False)
        return "" if done.returncode else done.stdout

    def settings(self):
        """Those that matter here, set or default, as the program itself says (--check)."""
        lines = (line.partition("  #")[0] for line in self.asked("--check", *self.inner.command()[1:]).splitlines())
        return [line for line in lines if line.startswith(tuple(f"{k}=" for k in SETTINGS))]

    def versions(self):
        """With the commit if it is this tree's build."""
        import about
        import brokers
        commit = about.git_commit() if brokers.SLUICED.resolve() == ROOT / "build" / "sluiced" else ""
        return {"Sluice": f"{self.asked('--version').strip()}{f' ({commit})' if commit else ''}"}

    def stages(self):
        """{(class, stage): {upper edge in us: how many at most that}} since the start; {} if it cannot be read."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.clocks}/metrics", timeout=10) as answer:
                page = answer.read().decode()
        except OSError:
            return {}
        found = {}
        for cls, stage, edge, count in LINE.findall(page):
            found.setdefault((cls, stage), {})[float(edge.replace("+Inf", "inf")) * 1e6] = float(count)
        return found


def quantile(counts, q):
    """The upper edge under which so much of a cumulative histogram lies."""
    total = max(counts.values())
    return next(edge for edge, count in sorted(counts.items()) if count >= q * total)


def between(before, after):
    """[class, stage, count, p50, p99] in us of what happened between two looks."""
    rows = []
    for key, edges in after.items():
        counts = {e: n - before.get(key, {}).get(e, 0) for e, n in edges.items()}
        total = int(max(counts.values()))
        if total:
            p50, p99 = quantile(counts, 0.5), quantile(counts, 0.99)
            rows.append([*key, total, min(p50, 1e9), min(p99, 1e9)])
    return rows

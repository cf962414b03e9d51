"""Sluice with one shard; its stage clocks are read around each turn."""
import re
import urllib.request

from peers import Wrapped

LINE = re.compile(r'^sluice_stage_seconds_bucket\{class="(\w+)",stage="(\w+)",le="([^"]+)"\} ([\d.e+]+)$', re.M)


class Peer(Wrapped):
    title = "Sluice"

    def __init__(self, folder, durability):
        import brokers
        self.promise = f"{durability}, 1 shard"
        self.clocks = brokers.free_ports()[0]
        self.inner = brokers.Sluice({"sluice.shards": "1", "sluice.durability": durability,
                                     "sluice.metrics.listener": f"127.0.0.1:{self.clocks}"}, folder)

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

"""The brokers that are compared: one small file each, with a class `Peer` that says how to start, wait and stop.

A Peer has: title, promise (text), topics (False: it has none to make), start(), destroy(); after start() process (a Popen)
and port; connect() if it has topics. It raises SystemExit in its constructor when something is missing on this machine. It
may have, asked after start(): settings(), what of its configuration matters, as "key=value"; versions(), {name: text}.
"""
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "build" / "sluice-bench"
sys.path.append(str(ROOT / "tests" / "compat"))  # behind bench: both have a bypass and programs

LIMITS = ("null", "null_write")  # they answer Produce and nothing else
START_S = 30  # for a server of our own that has nothing to read first
# What the client tests set for their own sake. Here both brokers keep their defaults.
TESTS_OWN = ("log.retention.check.interval.ms", "group.initial.rebalance.delay.ms", "log.initial.task.delay.ms",
             "controlled.shutdown.enable", "broker.session.timeout.ms", "broker.heartbeat.interval.ms")
NAMES = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def load(name):
    return importlib.import_module(f"peers.{name}").Peer


class Wrapped:
    """A broker of the client tests' harness, as self.inner."""
    topics = True

    def defaults(self):
        """A broker of the tests without what only they want."""
        for key in TESTS_OWN:
            self.inner.overrides.pop(key, None)

    def start(self, *how):
        self.inner.folder.mkdir(parents=True, exist_ok=True)
        self.inner.start(*how)
        self.process, self.port = self.inner.process, self.inner.port

    def connect(self):
        return self.inner.connect()

    def destroy(self):
        self.inner.destroy()

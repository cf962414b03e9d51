"""What tests share: the broker under test, a stock Kafka, the tools' JVM, a text to carry."""
import itertools
import os
import random
import shutil
import tempfile
from pathlib import Path

import brokers
import kafka_dist
import setup_env

SEED = int(os.environ.get("SLUICE_TEST_SEED", "20240229"))
WORDS = ("the broker keeps what it was told and says so when it has kept it a partition is a file "
         "that grows at one end readers walk along behind the writers and nobody waits for a lock "
         "batch offset leader epoch segment flush replica follower ledger harbour signal Größe "
         "façade naïve Ω ≈ 東京 журнал 0x7f 3.14159 -- «quoted» (aside) "
         "{json:true}").split()


def make_text(size, seed=SEED):
    """Lines of words, numbered, of uneven length, UTF-8, `size` bytes or a little more."""
    rng, out, total = random.Random(seed), [], 0
    while total < size:
        count = rng.choice((1, 3, 8, 12, 12, 20, 60))
        line = f"{len(out):07d} {' '.join(rng.choices(WORDS, k=count))}\n".encode()
        out.append(line)
        total += len(line)
    return b"".join(out)


class Context:
    """Handed to every test. Everything is started at its first use and ended by close()."""

    def __init__(self, kind, quick=False, rounds=None):
        self.kind, self.quick, self.rounds = kind, quick, rounds
        self.scratch = Path(tempfile.mkdtemp(prefix="compat-scratch-"))
        self._broker = self._tools = self._pair = None
        self._own = []
        self._names = itertools.count(1)

    @property
    def broker(self):
        """The shared broker under test (running, whatever an earlier test did to it)."""
        if self._broker is None:
            self._broker = brokers.start(self.kind)
        elif not self._broker.running():
            raise AssertionError(f"the shared broker ended with "
                                 f"{self._broker.process.returncode}:\n{self._broker.log_text()}")
        return self._broker

    def fresh(self, kind=None, overrides=None):
        """A broker of its own for one test; ended when the test ends."""
        broker = brokers.start(kind or self.kind, overrides)
        self._own.append(broker)
        return broker

    @property
    def pair(self):
        """Stock Kafka and the broker under test, asked only by the differential scripts."""
        if self._pair is None:
            self._pair = brokers.start("kafka"), brokers.start(self.kind)
        for broker in self._pair:
            if not broker.running():
                broker.start()
        return self._pair

    def pair_unused(self):
        return self._pair is None

    @property
    def tools(self):
        if self._tools is None or not self._tools.alive():
            self._tools = kafka_dist.ToolServer()
        return self._tools

    def python(self, environment="venv"):
        return setup_env.ensure(environment)

    def name(self, prefix="topic"):
        """A topic name nobody used in this run."""
        return f"{prefix}-{next(self._names)}"

    def text(self, size=None):
        """The text that goes in and must come out byte for byte."""
        return make_text(size or (600_000 if self.quick else 4_000_000))

    def end_test(self, failed=False):
        """After a failure nobody trusts the shared brokers: the next test gets new ones."""
        for broker in self._own:
            broker.destroy()
        self._own.clear()
        if self._broker is not None and (failed or not self._broker.running()):
            self._broker.destroy()
            self._broker = None
        if self._pair is not None and failed:
            for broker in self._pair:
                broker.destroy()
            self._pair = None

    def close(self):
        self.end_test()
        if self._broker is not None:
            self._broker.destroy()
        for broker in self._pair or ():
            broker.destroy()
        if self._tools is not None:
            self._tools.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

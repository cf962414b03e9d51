"""Start, stop, kill and restart a broker: stock Kafka or Sluice behind one interface.

    broker = brokers.start("kafka" or "sluice", overrides={"num.partitions": "3"})
    broker.address, broker.log_dir
    broker.stop() -> exit status     broker.kill()     broker.start()  (again, on the same data)
    broker.destroy()                 stops it and removes its folder

Every broker listens on 127.0.0.1 on a port that was free a moment before (and is its own for its
life, over restarts), keeps its data in a temporary folder, and dies with this process.
"""
import atexit
import base64
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import client
import kafka_dist

SLUICED = Path(os.environ.get("SLUICE_BINARY", kafka_dist.ROOT / "build" / "sluiced"))
# More settings for every Sluice started: "key=value" separated by newlines (run.py --override).
SLUICE_SETTINGS = dict(line.split("=", 1) for line in
                       os.environ.get("SLUICE_COMPAT_OVERRIDES", "").splitlines())
START_SECONDS = 300  # a bound for what hangs: a machine that others use takes its time
CLUSTER_ID = "c2x1aWNlLWNvbXBhdC10ZX"  # any 16 bytes in base64, for stock Kafka
# Both brokers get these; a test adds its own with `overrides`. Some tests write records with very
# old times: no retention pass may come by while they look.
COMMON = {"node.id": "1", "num.partitions": "1", "offsets.topic.replication.factor": "1",
          "transaction.state.log.replication.factor": "1",
          "transaction.state.log.min.isr": "1",
          "log.retention.check.interval.ms": "86400000", "group.initial.rebalance.delay.ms": "0"}
_alive = set()
_ports_tried = itertools.count()
LANES_MAX = 4  # runs beside each other that never try the same port


def take_lane(number):
    """This process and its children are one of several runs (lanes.py)."""
    os.environ["SLUICE_TEST_LANE"] = str(number % LANES_MAX)


def _ephemeral_start():
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        return int(text.split()[0])
    except (OSError, ValueError):
        return 32768


def free_ports(count=1):
    """Ports of 127.0.0.1 that nobody listens on now, below those the kernel gives to clients.

    A client that tries again and again to reach a port of that range while its broker is down may
    be given the same port as its own, connect to itself, and keep the broker from coming back.
    """
    high = _ephemeral_start() - 1
    if high < 5000:  # all ports are given to clients: no range is better than another
        high = 65535
    low = max(1025, high - 15000)
    span, lane = (high - low) // LANES_MAX * LANES_MAX, int(os.environ.get("SLUICE_TEST_LANE", "0"))
    found = []
    while len(found) < count:
        port = low + ((os.getpid() * 7919 + next(_ports_tried)) * LANES_MAX + lane) % span
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                continue
    return found


@atexit.register
def end_all():
    """Also those that nobody knows any more, since their test failed while it made them."""
    for broker in list(_alive):
        broker.destroy()


class StartFailed(AssertionError):
    """A broker did not come up; the text holds the end of its output."""


def named_memory(folder):
    """What a killed Sluice left in /dev/shm for the log dirs below `folder` (docs/storage.md)."""
    found = []
    for properties in Path(folder).rglob("*meta.properties"):
        for line in properties.read_text(errors="replace").splitlines():
            key, _, value = line.partition("=")
            if key != "directory.id":
                continue
            try:
                name = base64.urlsafe_b64decode(value.strip() + "==").hex()
            except ValueError:
                continue
            found += Path("/dev/shm").glob(f"sluice-{name}-*")
    return found


class Broker:
    """What both kinds share; a subclass gives `command()` and `_wait_ready()`."""

    kind = None
    clean_status = 0
    client_host = "127.0.0.1"  # where it sees its clients

    def __init__(self, overrides=None, folder=None):
        self.folder = Path(folder or tempfile.mkdtemp(prefix=f"compat-{self.kind}-"))
        self.log_dir = self.folder / "data"
        self.output = self.folder / "output.txt"
        self.port, self.other_port = free_ports(2)
        self.overrides = {**COMMON, **(overrides or {})}
        self.process = None
        _alive.add(self)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def connect(self, timeout=30.0):
        return client.Client(self.address, timeout)

    def log_text(self, last=6000):
        return self.output.read_text(errors="replace")[-last:] if self.output.exists() else ""

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, poll_s=0.05, wait_s=START_SECONDS):
        assert not self.running()
        with self.output.open("ab") as out:
            begin = out.tell()
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.STDOUT, cwd=self.folder)
        end = time.monotonic() + wait_s
        while not self._is_ready(begin):
            if not self.running():
                raise StartFailed(f"{self.kind} ended with {self.process.returncode}:\n"
                                  f"{self.log_text(2000)}")
            if time.monotonic() > end:
                raise StartFailed(f"{self.kind} not ready in {wait_s} s:\n"
                                  f"{self.log_text(2000)}")
            time.sleep(poll_s)
        return self

    def stop(self, timeout=120):
        """SIGTERM; the exit status (0 for a clean stop)."""
        self.process.send_signal(signal.SIGTERM)
        status = self._wait(timeout)
        return 0 if status == self.clean_status else status

    def kill(self):
        """SIGKILL, as a crash of the process."""
        self.process.kill()
        return self._wait(60)

    def _wait(self, timeout):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.kind} did not end in {timeout} s") from None

    def destroy(self):
        if self.running():
            self.kill()
        _alive.discard(self)
        for region in named_memory(self.folder):
            region.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class StockKafka(Broker):
    """Apache Kafka, broker and controller in one process."""

    kind = "kafka"
    clean_status = 143  # a JVM that ran its shutdown hooks after SIGTERM

    def properties(self):
        return {
            "process.roles": "broker,controller",
            "controller.quorum.voters": f"1@127.0.0.1:{self.other_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},"
                         f"CONTROLLER://127.0.0.1:{self.other_port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.log_dir),
            # A clean stop of the only node has nobody to hand its leaders to.
            "controlled.shutdown.enable": "false",
            "log.initial.task.delay.ms": "86400000",
            # A killed broker's registration blocks the next one until its session ends; but one that
            # stands still for longer is fenced, its partitions have no leader, and other epochs after it.
            "broker.session.timeout.ms": "6000", "broker.heartbeat.interval.ms": "300",
            **{k: v for k, v in self.overrides.items() if not k.startswith("sluice.")}}

    def command(self):
        config = self.folder / "server.properties"
        config.write_text("".join(f"{k}={v}\n" for k, v in self.properties().items()))
        return kafka_dist.java_command("StockBroker", [config, CLUSTER_ID], heap="512m",
                                       log_level="warn")

    def _is_ready(self, _):
        try:
            with client.Client(self.address, 20.0) as probe:
                answer = probe.request("Metadata", 12, {"topics": []})
                return len(answer["brokers"]) == 1 and answer["controllerId"] >= 0
        except (OSError, client.Closed, client.NoAnswer):
            return False


class Sluice(Broker):
    """The broker under test; ready when it says so."""

    kind = "sluice"

    def settings(self):
        return {"listeners": f"PLAINTEXT://127.0.0.1:{self.port}", "log.dirs": str(self.log_dir)}

    def command(self):
        out = [str(SLUICED)]
        for key, value in {**self.settings(), **SLUICE_SETTINGS, **self.overrides}.items():
            out += ["--override", f"{key}={value}"]
        return out

    def _is_ready(self, begin):
        with self.output.open("rb") as file:
            file.seek(begin)
            return any(line.startswith(b"sluiced ready") for line in file)


KINDS = {"kafka": StockKafka, "sluice": Sluice}


def start(kind, overrides=None):
    broker = KINDS[kind](overrides)
    try:
        return broker.start()
    except BaseException:
        broker.destroy()
        raise

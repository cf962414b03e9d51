"""run.py --bypass: the same tests with every Sluice on a network port of its own.

The runner starts itself again inside a network namespace made for it. There, each broker opens a tap
device (its own TCP stack on it) and Linux's TCP on the other end is what the clients use; nothing of
the broker's traffic passes a kernel socket on its side. Needs root and /dev/net/tun.
"""
import itertools
import os
import signal
import subprocess
import sys

import brokers
from kafka_dist import ROOT

sys.path.append(str(ROOT / "tests" / "bypass"))
from lab import cannot  # noqa: E402

INSIDE = "SLUICE_COMPAT_NAMESPACE"
# What a client can do; the other modules look at files, signals and stock Kafka's own answers.
MODULES = ("test_kcat", "test_python_clients", "test_confluent", "test_clients", "test_groups",
           "test_tools", "test_connect", "test_examples", "test_bad_input")
_numbers = itertools.count(1)


def inside():
    return INSIDE in os.environ


def enter():
    """Runs this program again in a namespace; its exit status. The namespace goes with it."""
    name = f"sluice-compat-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        process = subprocess.Popen(["ip", "netns", "exec", name, sys.executable, *sys.argv],
                                   env={**os.environ, INSIDE: name})
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            return process.wait()
        except KeyboardInterrupt:
            return process.wait()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


class Bypassed(brokers.Sluice):
    """A Sluice whose listener stands on a tap of its own."""

    def __init__(self, overrides=None, folder=None):
        super().__init__(overrides, folder)
        self.number = next(_numbers)
        self.interface = f"slc{self.number}"
        self.net = f"10.{64 + self.number // 250}.{self.number % 250}"
        self.up = False

    @property
    def address(self):
        return f"{self.net}.2:{self.port}"

    @property
    def client_host(self):
        return f"{self.net}.1"

    def settings(self):
        port = f"net_tap0,iface={self.interface};address={self.net}.2/24"
        return {**super().settings(), "listeners": f"PLAINTEXT://{self.address}",
                "sluice.transport": "dpdk", "sluice.dpdk.ports": port}

    def start(self):
        self.up = False
        return super().start()

    def _is_ready(self, begin):
        """The kernel's end of the tap gets its address as soon as it is there."""
        if not super()._is_ready(begin):
            return False
        if not self.up:
            # it may have the address: the device of a broker that was killed just now, which the new one found
            for command in (["addr", "replace", f"{self.net}.1/24", "dev", self.interface],
                            ["link", "set", self.interface, "up"]):
                subprocess.run(["ip", *command], check=True)
            self.up = True
        return True

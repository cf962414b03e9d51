"""The broker behind a bad wire: kcat and kafka-python through loss, doubling, overtaking, delay, small MTUs and
peers that leave out options of TCP. Used by run.py."""
import os
import signal
import subprocess
import sys
import tempfile

from lab import Broker, Failed, Namespace, check, lines, round_trip

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "compat"))

BROKER, BROKER6 = "10.99.0.2:9092", "[fd99::2]:9093"
PORT = "address=10.99.0.2/24;address=fd99::2/64"
PYTHON_SEED, PYTHON_RECORDS = 77, 300


class Wire:
    """wire.py between two interfaces of a namespace, while it lasts; `counts` afterwards."""

    def __init__(self, ns, seed, *names, **settings):
        self.ns, self.counts = ns, {}
        self.args = [str(seed), *names, *(f"{k}={v}" for k, v in settings.items())]

    def __enter__(self):
        self.process = subprocess.Popen(["ip", "netns", "exec", self.ns.name, sys.executable, f"{HERE}/wire.py", *self.args],
                                        stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == "ready\n", "the wire does not start")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=60)
        self.counts = {k: int(v) for k, v in (w.split("=") for w in said.split())}


class Wired:
    """Client, wire and broker's port: the client's namespace, a veth pair, wire.py, the port's interface.

        client namespace        namespace of the wire
        swc --------- veth ---- swm   wire.py   <interface of the port> ---- broker
    """

    kind, port, far, mtu, settings = None, None, None, 1500, ()

    def __init__(self, binary):
        self.client, self.middle = Namespace(f"{self.kind}-client"), None
        try:
            self.middle = Namespace(f"{self.kind}-wire")
            self.middle.sysctl(net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
            self.client.ip("link", "add", "swc", "mtu", str(self.mtu), "type", "veth", "peer", "name", "swm",
                           "mtu", str(self.mtu), "netns", self.middle.name)
            self.middle.ip("link", "set", "swm", "up")
            self.addresses()
            self.client.python("tx_off", "swc")
            self.prepare()
            self.broker = Broker(
                binary, "listeners=TAP://10.99.0.2:9092,SIX://[fd99::2]:9093", "inter.broker.listener.name=TAP",
                "listener.security.protocol.map=TAP:PLAINTEXT,SIX:PLAINTEXT", "sluice.transport=dpdk",
                "sluice.memory=512m", f"sluice.dpdk.ports={self.port};{PORT};mtu={self.mtu};netns={self.middle.name}",
                *self.settings)
            self.broker.wait_ready()
            self.middle.ip("link", "set", self.far, "up")
        except BaseException:
            self.close()
            raise

    def prepare(self):
        """What the port wants to find."""

    def addresses(self):
        self.client.ip("link", "set", "swc", "up")
        self.client.ip("addr", "replace", "10.99.0.1/24", "dev", "swc")
        self.client.ip("addr", "replace", "fd99::1/64", "dev", "swc", "nodad")

    def close(self):
        code = self.broker.stop() if hasattr(self, "broker") else 0
        for ns in (self.client, self.middle):
            if ns:
                ns.remove()
        return code

    def wire(self, seed, **settings):
        return Wire(self.middle, seed, "swm", self.far, **settings)

    def kafka_python(self, topic):
        import setup_env
        python = str(setup_env.ensure("venv"))
        self.client.run(python, f"{HERE}/through.py", BROKER, topic, str(PYTHON_SEED), str(PYTHON_RECORDS), timeout=300)

    def test_straight(self):
        with self.wire(1) as wire:
            round_trip(self.client, BROKER, "straight", lines(101, 5000, 300))
        check(wire.counts["passed"] > 100 and wire.counts["lost"] == 0, f"{wire.counts}")


class WiredTap(Wired):
    kind, port, far = "sluice-wire", "net_tap0,iface=swt0", "swt0"

    def test_loss(self):
        with self.wire(2, loss=0.02, delay=1) as wire:
            round_trip(self.client, BROKER, "loss", lines(102, 3000, 300))
            self.kafka_python("loss-python")
        check(wire.counts["lost"] > 5, f"nothing was lost: {wire.counts}")

    def test_overtaking(self):
        with self.wire(3, late=0.05, delay=1, jitter=1) as wire:
            round_trip(self.client, BROKER, "late", lines(103, 3000, 300))
        check(wire.counts["late"] > 10, f"nothing was late: {wire.counts}")

    def test_doubling(self):
        with self.wire(4, double=0.2) as wire:
            round_trip(self.client, BROKER, "double", lines(104, 3000, 300))
        check(wire.counts["doubled"] > 20, f"nothing was doubled: {wire.counts}")

    def test_everything_at_once(self):
        with self.wire(5, loss=0.02, double=0.02, late=0.02, delay=5, jitter=3) as wire:
            round_trip(self.client, BROKER, "all", lines(105, 2000, 300))
            round_trip(self.client, BROKER6, "all6", lines(106, 2000, 300))
            self.kafka_python("all-python")
        check(min(wire.counts[k] for k in ("lost", "doubled", "late")) > 5, f"{wire.counts}")

    def test_small_mtu(self):
        """An interface of 576 bytes: no IPv6 on it (1,280 at least)."""
        for mtu in (1280, 576):
            self.client.ip("link", "set", "swc", "mtu", str(mtu))
            with self.wire(6, loss=0.01):
                round_trip(self.client, BROKER, f"mtu{mtu}", lines(107, 2000, 300))
                if mtu >= 1280:
                    round_trip(self.client, BROKER6, f"mtu{mtu}-six", lines(108, 2000, 300))
        self.client.ip("link", "set", "swc", "mtu", "1500")
        self.addresses()  # Linux took IPv6's away

    def test_peers_without_options(self):
        """One after the other left out, each with loss; what each default was comes back."""
        for i, (name, value) in enumerate((("net__ipv4__tcp_sack", 0), ("net__ipv4__tcp_timestamps", 0),
                                           ("net__ipv4__tcp_window_scaling", 0), ("net__ipv4__tcp_ecn", 1))):
            path = name.replace("__", ".")
            before = self.client.run("sysctl", "-n", path).stdout.decode().strip()
            self.client.sysctl(**{name: value})
            with self.wire(20 + i, loss=0.02, late=0.01, delay=1):
                round_trip(self.client, BROKER, f"option{i}", lines(110 + i, 2000, 300))
            self.client.sysctl(**{name: before})

    def test_tiny_windows(self):
        before = self.client.run("sysctl", "-n", "net.ipv4.tcp_rmem").stdout.decode().split()
        self.client.sysctl(net__ipv4__tcp_rmem="2048 2304 2304")
        with self.wire(30, loss=0.01):
            round_trip(self.client, BROKER, "tiny", lines(120, 600, 300))
        self.client.sysctl(net__ipv4__tcp_rmem=" ".join(before))

    def test_wire_cut_for_a_while(self):
        """Everything is lost for a second in the middle; the transfer goes on by itself."""
        data = lines(121, 3000, 300)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(data)
            stdin.seek(0)
            with self.wire(31, delay=40):
                kcat = subprocess.Popen(["ip", "netns", "exec", self.client.name, "kcat", "-b", BROKER, "-m", "60", "-P", "-t", "cut"],
                                        stdin=stdin, stderr=subprocess.PIPE)
                try:
                    kcat.wait(0.5)
                except subprocess.TimeoutExpired:
                    pass
            # No wire now: frames of both sides end in the middle.
            try:
                kcat.wait(1)
            except subprocess.TimeoutExpired:
                pass
            with self.wire(32):
                try:
                    _, said = kcat.communicate(timeout=180)
                except subprocess.TimeoutExpired:
                    kcat.kill()
                    raise Failed("the transfer does not go on") from None
                check(kcat.returncode == 0, said.decode(errors="replace"))
                got = self.client.kcat(BROKER, "-C", "-t", "cut", "-e", "-q").stdout
        check(got == data, f"{len(got)} bytes came back of {len(data)}, or others")


class WiredXdp(Wired):
    """AF_XDP on a veth whose other end the wire has, with the largest frames it carries."""

    kind, port, far, mtu = "sluice-wxdp", "net_af_xdp0,iface=sxp0", "sxp1", 3500

    def prepare(self):
        self.middle.ip("link", "add", "sxp0", "mtu", str(self.mtu), "type", "veth", "peer", "name", "sxp1",
                       "mtu", str(self.mtu))
        self.middle.ip("link", "set", "sxp0", "up")
        self.middle.ip("link", "set", "sxp1", "up")
        self.middle.python("tx_off", "sxp1")

    def test_ping(self):
        with self.wire(40):
            self.client.python("ping", "10.99.0.2", "0", "1472", "3472")

    def test_loss(self):
        with self.wire(41, loss=0.02, delay=1) as wire:
            round_trip(self.client, BROKER, "loss", lines(130, 3000, 300))
            round_trip(self.client, BROKER6, "loss6", lines(131, 2000, 300))
        check(wire.counts["lost"] > 0, f"nothing was lost: {wire.counts}")

#!/usr/bin/env python3
"""The broker on network ports of its own, with Linux's TCP as the client, in namespaces made here.

usage: run.py [--binary PATH] [pattern]      needs root; without it everything is skipped
"""
import argparse
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

from against import Linux
from cable import Cable
from large import through_large_segments
from lab import Broker, Failed, Namespace, cannot, check, free_port, lines, round_trip, run
from wired import WiredTap, WiredXdp

LISTEN = ("listeners=TAP://10.99.0.2:9092,SIX://[fd99::2]:9093,HOST://127.0.0.1:0",
          "listener.security.protocol.map=TAP:PLAINTEXT,SIX:PLAINTEXT,HOST:PLAINTEXT",
          "inter.broker.listener.name=TAP",
          "sluice.transport=dpdk", "listener.name.host.sluice.transport=uring",
          "sluice.memory=512m")


def pcap_frames(path):
    with open(path, "rb") as f:
        data = f.read()
    check(struct.unpack("<IHH", data[:8]) == (0xA1B23C4D, 2, 4), f"{path} is no pcap file")
    at = 24
    while at < len(data):
        _, _, kept, length = struct.unpack("<IIII", data[at:at + 16])
        check(kept == length, "a frame is cut")
        yield data[at + 16:at + 16 + kept]
        at += 16 + kept


class Tap:
    """One broker on a tap for all tests of this class."""

    def __init__(self, binary, shards):
        self.binary, self.metrics = binary, f"127.0.0.1:{free_port()}"
        self.ns = Namespace(f"sluice-tap{shards}")
        try:
            self.broker = Broker(
                binary, *LISTEN, f"sluice.shards={shards}", "sluice.capture.bytes=8m",
                f"sluice.metrics.listener={self.metrics}",
                "sluice.dpdk.ports=net_tap0,iface=slt0;address=10.99.0.2/24;address=fd99::2/64;"
                f"netns={self.ns.name}")
            self.ready = self.broker.wait_ready()
            self.ns.ip("addr", "add", "10.99.0.1/24", "dev", "slt0")
            self.ns.ip("addr", "add", "fd99::1/64", "dev", "slt0", "nodad")
            self.ns.ip("link", "set", "slt0", "up")
        except BaseException:
            self.close()
            raise

    def close(self):
        waiting = None
        if hasattr(self, "ready"):
            waiting = self.ns.python_begin("hold", "10.99.0.2", "9092")
            waiting.stdout.readline()
        code = self.broker.stop() if hasattr(self, "broker") else 0
        if waiting and waiting.wait(180) != 0:
            code = code or "a client that waits is not told"
        self.ns.remove()
        return code

    def test_arp(self):
        self.ns.kcat("10.99.0.2:9092", "-L")
        table = self.ns.ip("neigh", "show", "10.99.0.2")
        check("lladdr" in table, f"no ARP entry: {table}")

    def test_ping(self):
        self.ns.python("ping", "10.99.0.2", "0", "56", "1000", "1472")

    def test_ping_v6(self):
        self.ns.python("ping", "fd99::2", "0", "56", "1000", "1452")

    def test_ping_in_fragments(self):
        """Requests come in pieces of 576 bytes; the answers fit our MTU."""
        self.ns.ip("link", "set", "slt0", "mtu", "576")
        self.ns.python("ping", "10.99.0.2", "1000", "1472")
        self.ns.ip("link", "set", "slt0", "mtu", "1500")
        self.ns.ip("addr", "replace", "fd99::1/64", "dev", "slt0", "nodad")

    def test_refuses_closed_port(self):
        self.ns.python("closed", "10.99.0.2", "9999")

    def test_content(self):
        round_trip(self.ns, "10.99.0.2:9092", "content", lines(1, 20000, 200))

    def test_content_v6(self):
        round_trip(self.ns, "[fd99::2]:9093", "six", lines(2, 5000, 200))

    def test_large_messages(self):
        round_trip(self.ns, "10.99.0.2:9092", "large", lines(3, 12, 1000000))

    def test_small_mtu(self):
        for mtu in (576, 1280):
            self.ns.ip("route", "replace", "10.99.0.0/24", "dev", "slt0", "mtu", "lock", str(mtu))
            round_trip(self.ns, "10.99.0.2:9092", f"mtu{mtu}", lines(mtu, 3000, 300))
        self.ns.ip("route", "replace", "10.99.0.0/24", "dev", "slt0")

    def test_peers_options(self):
        for i, values in enumerate(({"net__ipv4__tcp_sack": 0}, {"net__ipv4__tcp_timestamps": 0},
                                    {"net__ipv4__tcp_window_scaling": 0}, {"net__ipv4__tcp_ecn": 1})):
            self.ns.sysctl(**values)
            round_trip(self.ns, "10.99.0.2:9092", f"options{i}", lines(10 + i, 3000, 300))

    def test_clients_that_vanish(self):
        for _ in range(20):
            self.ns.python("half_request", "10.99.0.2", "9092")
        round_trip(self.ns, "10.99.0.2:9092", "vanish", lines(20, 1000, 300))

    def test_link_down_and_up(self):
        self.ns.ip("link", "set", "slt0", "down")
        self.ns.ip("link", "set", "slt0", "up")
        self.ns.ip("addr", "add", "fd99::1/64", "dev", "slt0", "nodad")  # Linux drops them with the link
        round_trip(self.ns, "10.99.0.2:9092", "updown", lines(21, 1000, 300))

    def test_capture(self):
        """Switched on while the broker runs; what comes is a pcap file with the connection that was made."""
        tool = os.path.join(os.path.dirname(os.path.abspath(self.binary)), "sluice")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.pcap")
            for asked, least in (("9092", 8), ("9093", 0)):
                capture = subprocess.Popen([tool, "capture", "--seconds", "30", "--port", asked, "--address",
                                            "10.99.0.1", self.metrics, path], stdout=subprocess.PIPE)
                end = time.monotonic() + 120
                while self.broker.log().count("switched on") <= (asked == "9093") and time.monotonic() < end:
                    time.sleep(0.02)
                again = subprocess.run([tool, "capture", self.metrics, f"{path}.2"], capture_output=True, text=True)
                check(again.returncode == 1 and "on already" in again.stderr, again.stderr)
                self.ns.kcat("10.99.0.2:9092", "-L")
                capture.send_signal(signal.SIGINT)
                check(capture.wait(120) == 0, "sluice capture failed")
                frames = list(pcap_frames(path))
                check(len(frames) >= least and (least or not frames), f"{len(frames)} frames of port {asked}")
                for frame in frames:
                    ports = struct.unpack("!HH", frame[34:38])
                    check(frame[12:14] == b"\x08\x00" and frame[23] == 6 and 9092 in ports, f"another frame: {frame[:40]}")
                flags = {}  # of each connection; one made before may still say its last
                for frame in frames:
                    flags.setdefault(sum(struct.unpack("!HH", frame[34:38])), []).append(frame[47])
                whole = [f for f in flags.values() if f[:2] == [2, 18]]
                check(not frames or whole, f"flags {flags}: no SYN, SYN-ACK in front")

    def test_kernel_listener_beside(self):
        port = self.ready.split("HOST://127.0.0.1:")[1].split()[0]
        text = run("kcat", "-b", f"127.0.0.1:{port}", "-m", "60", "-L").stdout.decode()
        check("broker 1" in text, text)


class Xdp:
    """AF_XDP on one end of a veth pair whose other end is in the namespace."""

    def __init__(self, binary):
        self.ns = Namespace("sluice-xdp")
        try:
            self.ns.ip("link", "add", "slx0", "type", "veth", "peer", "name", "slx1")
            self.ns.ip("link", "set", "slx0", "up")
            self.ns.ip("link", "set", "slx1", "up")
            self.ns.python("tx_off", "slx1")
            self.ns.ip("addr", "add", "10.99.0.1/24", "dev", "slx1")
            self.broker = Broker(
                binary, "listeners=PLAINTEXT://10.99.0.2:9092", "sluice.transport=dpdk",
                "sluice.shards=2", "sluice.memory=512m",
                f"sluice.dpdk.ports=net_af_xdp0,iface=slx0;address=10.99.0.2/24;netns={self.ns.name}")
            self.broker.wait_ready()
        except BaseException:
            self.close()
            raise

    def close(self):
        code = self.broker.stop() if hasattr(self, "broker") else 0
        self.ns.remove()
        return code

    def test_ping(self):
        self.ns.python("ping", "10.99.0.2", "0", "56", "1000", "1472")

    def test_content(self):
        round_trip(self.ns, "10.99.0.2:9092", "content", lines(31, 20000, 200))

    def test_large_messages(self):
        round_trip(self.ns, "10.99.0.2:9092", "large", lines(32, 12, 1000000))


class Nic:
    """sluice nic test: a tap whose other end is Linux, a ring, memif between two ports; what must fail fails."""

    def __init__(self, binary):
        self.tool = os.path.join(os.path.dirname(os.path.abspath(binary)), "sluice")
        self.ns = Namespace("sluice-nic")

    def close(self):
        self.ns.remove()
        return 0

    def nic_test(self, *args, code=0, wait_for=None):
        process = subprocess.Popen([self.tool, "nic", "test", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True)
        if wait_for:
            end = time.monotonic() + 120
            while wait_for not in self.ns.ip("link", "show") and process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            self.ns.ip("addr", "add", "10.99.0.1/24", "dev", wait_for)
            self.ns.ip("link", "set", wait_for, "up")
        said, _ = process.communicate(timeout=300)
        check(process.returncode == code, f"exit code {process.returncode}:\n{said}")
        return said

    def tap(self, neighbor, **kw):
        return self.nic_test("--ping", neighbor, f"net_tap0,iface=slt5;address=10.99.0.2/24;netns={self.ns.name}",
                             wait_for="slt5", **kw)

    def test_neighbour(self):
        said = self.tap("10.99.0.1")
        check("neighbour  ok" in said and "42 to 1514 bytes" in said, said)

    def test_nobody(self):
        said = self.tap("10.99.0.77", code=1)
        check("nobody says where 10.99.0.77 is" in said, said)

    def test_ring_and_memif(self):
        said = self.nic_test("net_ring0")
        check(said.count(" ok ") == 6 and "FAILED" not in said, said)
        with tempfile.TemporaryDirectory() as folder:
            ends = [f"net_memif{i},role={role},socket={folder}/s;mtu=9000" for i, role in enumerate(("server", "client"))]
            said = self.nic_test("--queues", "3", *ends)
        check(said.count(" ok ") == 9 and "60 to 9014 bytes" in said and "0 went astray" in said, said)

    def test_large_segments(self):
        end = os.path.join(os.path.dirname(self.tool), "tests/bypass/bypass_end")
        through_large_segments(end, self.ns)

    def test_refused(self):
        said = self.nic_test("net_memif0,role=waiter", code=1)
        check("FAILED" in said and "needs a role" in said, said)


class Refusals:
    """Starts that are refused, with one line that says why."""

    def __init__(self, binary):
        self.binary = binary

    def close(self):
        return 0

    def refused(self, ports, part, user=None, extra=()):
        broker = Broker(self.binary, "listeners=PLAINTEXT://10.99.0.2:9092", "sluice.transport=dpdk",
                        f"sluice.dpdk.ports={ports}", *extra, user=user)
        try:
            line = broker.refused()
        finally:
            broker.stop()
        check(part in line, f"{ports}: {line}")

    def test_no_ports(self):
        self.refused("", "sluice.dpdk.ports is empty")

    def test_unknown_driver(self):
        self.refused("eth0;address=10.99.0.2/24", "no such driver; known: net_tap")

    def test_unknown_field(self):
        self.refused("net_tap0;adress=10.99.0.2/24", "no such field")

    def test_unknown_namespace(self):
        self.refused("net_tap0,iface=slt9;address=10.99.0.2/24;netns=sluice-none", "no such network namespace")

    def test_mtu_over_the_device(self):
        self.refused("net_tap0,iface=slt9;address=10.99.0.2/24;mtu=9000", "over this device's 1500")

    def test_no_interface(self):
        self.refused("net_af_xdp0,iface=sluice-none;address=10.99.0.2/24", "an interface that exists")

    def test_no_card(self):
        self.refused("0000:ff:1f.7;address=10.99.0.2/24", "bound to vfio-pci")

    def test_address_of_no_port(self):
        self.refused("net_tap0,iface=slt9;address=10.99.0.3/24", "is no address of a port")

    def test_gateway_out_of_reach(self):
        self.refused("net_tap0,iface=slt9;address=10.99.0.2/24;gateway=10.98.0.1", "no address of the port reaches it")

    def test_no_permission(self):
        self.refused("net_tap0,iface=slt9;address=10.99.0.2/24", "CAP_NET_ADMIN", user="nobody")


GROUPS = (("tap", Tap, (1,)), ("tap-shards", Tap, (2,)), ("xdp", Xdp, ()), ("wire", WiredTap, ()),
          ("wire-jumbo", WiredXdp, ()), ("nic", Nic, ()), ("cable", Cable, ()), ("linux", Linux, ()),
          ("refusals", Refusals, ()))


def run_group(name, kind, more, binary, tests, counts):
    """Runs them and returns those that failed; all of them when the group itself did."""
    group, failed = None, []
    try:
        group = kind(binary, *more)
        for test in tests:
            title = f"{name}.{test[5:]}"
            try:
                getattr(group, test)()
                counts["passed"] += 1
                print(f"ok    {title}", flush=True)
            except Exception as e:
                counts["failed"] += 1
                failed.append(test)
                print(f"FAIL  {title}: {e if isinstance(e, Failed) else traceback.format_exc()}", flush=True)
        code = group.close()
        group = None
        counts["passed" if code == 0 else "failed"] += 1
        print(f"{'ok   ' if code == 0 else 'FAIL '} {name}.stops_with_0{'' if code == 0 else f': {code}'}", flush=True)
        return failed if code == 0 else tests
    except Exception as e:
        counts["failed"] += 1
        print(f"FAIL  {name}: {e if isinstance(e, Failed) else traceback.format_exc()}", flush=True)
        return tests
    finally:
        if group:
            group.close()


def run_and_retry(name, kind, more, args, counts):
    """A group with all of its tests; those that failed once more in a new group, if they are at most args.second."""
    tests = [t for t in dir(kind) if t.startswith("test_") and args.pattern in f"{name}.{t[5:]}"]
    if not tests:
        return
    first, again = dict.fromkeys(counts, 0), dict.fromkeys(counts, 0)
    failed = run_group(name, kind, more, args.binary, tests, first)
    if failed and first["failed"] <= args.second:
        print(f"again {name}: {len(failed)} tests", flush=True)
        run_group(name, kind, more, args.binary, failed, again)
        if not again["failed"]:
            print(f"UNSTEADY {name}: {first['failed']} failed at the first try (above), none at the second", flush=True)
            again["passed"], first["failed"] = first["failed"], 0
        else:
            again["passed"] = again["failed"] = 0
    for key in counts:
        counts[key] += first[key] + again[key]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/sluiced")
    parser.add_argument("--second", type=int, default=0, metavar="N",
                        help="if at most N tests of a group fail, they are tried once more, and named (default: 0)")
    parser.add_argument("pattern", nargs="?", default="")
    args = parser.parse_args()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    missing = cannot()
    if missing:
        print(f"skipped: network namespaces and taps need root and /dev/net/tun ({missing})")
        counts["skipped"] = 1
    else:
        for name, kind, more in GROUPS:
            run_and_retry(name, kind, more, args, counts)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""./dev run --bypass: a broker on a tap in a network namespace of its own, and what to type.

usage: demo.py BINARY [--xdp] [arguments of sluiced]      needs root; everything goes with Ctrl-C
"""
import os
import subprocess
import sys
import time

from lab import Namespace

BROKER, CLIENT = "10.99.0.2", "10.99.0.1"


def tap(ns):
    return f"net_tap0,iface=sluice0;address={BROKER}/24;address=fd99::2/64;netns={ns.name}", "sluice0"


def xdp(ns):
    ns.ip("link", "add", "sluice0", "type", "veth", "peer", "name", "sluice1")
    for name in ("sluice0", "sluice1"):
        ns.ip("link", "set", name, "up")
    ns.python("tx_off", "sluice1")
    return f"net_af_xdp0,iface=sluice0;address={BROKER}/24;address=fd99::2/64;netns={ns.name}", "sluice1"


def say(ns):
    print(f"""
The broker has {BROKER}:9092 in the network namespace {ns.name}; no kernel socket is involved on its side.
From another terminal, as root:

    ip netns exec {ns.name} kcat -b {BROKER}:9092 -L
    echo hello | ip netns exec {ns.name} kcat -b {BROKER}:9092 -P -t greetings
    ip netns exec {ns.name} kcat -b {BROKER}:9092 -C -t greetings -e

Ctrl-C ends it and removes the namespace.""", flush=True)


def main():
    binary, args = sys.argv[1], sys.argv[2:]
    if os.geteuid() != 0:
        sys.exit("--bypass makes a network namespace and a tap: it needs root")
    make = xdp if "--xdp" in args else tap
    args = [a for a in args if a != "--xdp"]
    ns = Namespace("sluice", own=False)
    process = None
    try:
        ports, interface = make(ns)
        process = subprocess.Popen([
            binary, *args, "--override", f"listeners=PLAINTEXT://{BROKER}:9092",
            "--override", "sluice.transport=dpdk", "--override", f"sluice.dpdk.ports={ports}"])
        while process.poll() is None and interface not in ns.ip("link", "show"):
            time.sleep(0.05)
        if process.poll() is None:
            ns.ip("addr", "add", f"{CLIENT}/24", "dev", interface)
            ns.ip("addr", "add", "fd99::1/64", "dev", interface, "nodad")
            ns.ip("link", "set", interface, "up")
            say(ns)
        return process.wait()
    except KeyboardInterrupt:
        return process.wait() if process else 0
    finally:
        if process and process.poll() is None:
            process.terminate()
            process.wait()
        ns.remove()


if __name__ == "__main__":
    sys.exit(main())

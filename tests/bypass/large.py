"""Segments larger than the MTU, cut by the driver.

net_tap cuts them in software (rte_gso), as a card would; the broker does without it (quirks.h: this driver wants the Ethernet
header inside the MTU, cuts IPv4 alone and has few buffers for it). So the peer's segments are small here and its window, too.
"""
from against import begin
from lab import START_S, check
from player import Application

HOST, PEER, PORT, INTERFACE = "10.99.0.2", "10.99.0.1", 7000, "slt6"
MSS, WINDOW = 1380, 20000
SEND, SENDS = 60000, 40


def received(ns):
    return int(ns.run("cat", f"/sys/class/net/{INTERFACE}/statistics/rx_packets").stdout)


def through_large_segments(end, ns):
    process = begin(end, f"net_tap0,iface={INTERFACE};address={HOST}/24;netns={ns.name}", str(PORT), "spoilt")
    client = None
    try:
        ns.ip("addr", "add", f"{PEER}/24", "dev", INTERFACE)
        ns.ip("link", "set", INTERFACE, "up")
        ns.ip("route", "replace", "10.99.0.0/24", "dev", INTERFACE, "advmss", str(MSS))
        application = Application(process)
        client = ns.python_begin("stream", HOST, str(PORT), str(SEND * SENDS), str(WINDOW))
        peer = client.stdout.readline().strip()
        for _ in range(SENDS):
            check(application.say(f"send {peer} {SEND}") == "ok", "what is sent is not taken")
        check(client.wait(START_S) == 0, "the stream does not arrive as it was sent")
        _, segments, size = application.say("emitted 0").split()
        segments, size, frames = int(segments), int(size), received(ns)
        check(size / segments > 3 * MSS, f"{size} bytes left in {segments} segments: they were not large")
        check(frames > 2 * segments and frames * MSS >= size, f"{frames} frames came of {segments} segments, {size} bytes")
    finally:
        if client:
            client.kill()
            client.wait()
        process.stdin.close()
        process.wait(START_S)

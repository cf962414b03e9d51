#!/usr/bin/env python3
"""A bad wire between two interfaces: loses, doubles, delays and overtakes frames, from a seed.

usage: wire.py SEED INTERFACE INTERFACE [loss=SHARE] [double=SHARE] [late=SHARE] [delay=MS] [jitter=MS]

Shares are of 1. Every frame takes delay plus up to jitter, in order; a `late` one takes ten times as long again, so that others
overtake it. Runs until SIGTERM; then one line says what became of the frames. Both interfaces belong to the
wire alone, in a namespace without addresses; what is sent to them must carry whole checksums.
"""
import heapq
import random
import select
import signal
import socket
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
QUEUE_MAX = 4096  # frames under way; more are lost, as in a router
FRAME_MAX = 65536
BURST = 64


class Wire:
    def __init__(self, seed, names, settings):
        self.rng = random.Random(seed)
        self.settings = {"loss": 0.0, "double": 0.0, "late": 0.0, "delay": 0.0, "jitter": 0.0}
        unknown = set(settings) - set(self.settings)
        if unknown:
            sys.exit(f"no such setting: {', '.join(unknown)}")
        self.settings.update(settings)
        self.sockets = []
        for name in names:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.bind((name, ETH_P_ALL))
            sock.setblocking(False)
            self.sockets.append(sock)
        self.heap, self.number = [], 0
        self.in_order = [0.0, 0.0]  # when the last frame of each way arrives
        self.counts = dict.fromkeys(("passed", "lost", "doubled", "late", "overflowed"), 0)

    def chance(self, what):
        return self.rng.random() < self.settings[what]

    def queue(self, to, frame, at):
        if len(self.heap) >= QUEUE_MAX:
            self.counts["overflowed"] += 1
            return
        self.number += 1
        heapq.heappush(self.heap, (at, self.number, to, frame))

    def take(self, to, frame, now):
        s = self.settings
        if self.chance("loss"):
            self.counts["lost"] += 1
            return
        at = now + (s["delay"] + s["jitter"] * self.rng.random()) / 1000
        if self.chance("late"):
            self.counts["late"] += 1
            at += 10 * max(s["delay"] + s["jitter"], 1) / 1000
        else:
            at = self.in_order[to] = max(at, self.in_order[to])
        self.queue(to, frame, at)
        if self.chance("double"):
            self.counts["doubled"] += 1
            self.queue(to, frame, at)

    def receive(self, index, now):
        for _ in range(BURST):
            try:
                frame, address = self.sockets[index].recvfrom(FRAME_MAX)
            except BlockingIOError:
                return
            except OSError:  # the interface went down; it may come back
                return
            if address[2] != PACKET_OUTGOING:
                self.take(1 - index, frame, now)

    def send_due(self, now):
        while self.heap and self.heap[0][0] <= now:
            _, _, to, frame = heapq.heappop(self.heap)
            try:
                self.sockets[to].send(frame)
                self.counts["passed"] += 1
            except OSError:
                self.counts["overflowed"] += 1

    def run(self):
        print("ready", flush=True)
        while True:
            wait = None if not self.heap else max(0.0, self.heap[0][0] - time.monotonic())
            readable, _, _ = select.select(self.sockets, [], [], wait)
            now = time.monotonic()
            for sock in readable:
                self.receive(self.sockets.index(sock), now)
            self.send_due(time.monotonic())


def main():
    seed, *names = sys.argv[1:4]
    wire = Wire(int(seed), names, {k: float(v) for k, v in (a.split("=") for a in sys.argv[4:])})

    def end(*_):
        print(" ".join(f"{k}={v}" for k, v in wire.counts.items()), flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    wire.run()


if __name__ == "__main__":
    main()

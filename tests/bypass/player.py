"""A station that no kernel owns, and a play: one connection's segments sent by hand, with what came back written down.

Nothing is measured in time. Between two segments the station asks for two echoes: what was answered at once lies in front
of the second reply. What may come later (a delayed ACK, a retransmission) is waited for, up to PATIENCE_S.
"""
import ctypes
import dataclasses
import os
import re
import select
import socket
import struct
import threading
import time
import zlib

from lab import Failed
from packets import (ADVERTISE, ECHO6_REPLY, ECHO_REPLY, ETH_ARP, ETH_IP, ETH_IP6, ICMP, ICMP6, MASK, SOLICIT, TCP, Segment,
                     pack_arp, pack_echo, pack_neighbour, pack_packet, pack_pieces, pack_tcp, solicited, take_tcp)

PATIENCE_S = 60
PATTERN = bytes(range(251))
ETH_P_ALL, PACKET_OUTGOING, CLONE_NEWNET = 3, 4, 0x40000000
BROADCAST = b"\xff" * 6
LINK = 14  # bytes of an Ethernet header


def address_of(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def pattern(at, n):
    at %= len(PATTERN)
    return (PATTERN * (n // len(PATTERN) + 2))[at:at + n]


def packet_socket(namespace, interface):
    """One that lives in another network namespace; a thread's namespace is its own."""
    made = []

    def make():
        with open(f"/run/netns/{namespace}") as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) == 0:
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                sock.bind((interface, ETH_P_ALL))
                sock.setblocking(False)
                made.append(sock)
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if not made:
        raise Failed(f"no packet socket on {interface} in {namespace}")
    return made[0]


class Station:
    """An address, IPv4 or IPv6, with its own MAC on an interface, opposite the host that is looked at."""

    def __init__(self, namespace, interface, address, host):
        self.sock = packet_socket(namespace, interface)
        self.name, self.text, self.address, self.host = host, address, address_of(address), address_of(host)
        self.six = len(self.address) == 16
        self.mac, self.host_mac = bytes([2, 0, 0, 0, len(self.address), self.address[-1]]), None
        self.echoes, self.echo_number = set(), 0
        self.inbox = []  # segments that nobody has looked at

    def close(self):
        self.sock.close()

    def send_frame(self, kind, body, to=None):
        frame = (to or self.host_mac) + self.mac + struct.pack("!H", kind) + body
        self.sock.send(frame.ljust(60, b"\0"))

    def send(self, segment, **ip):
        self.send_packet(pack_tcp(segment, self.address, self.host), ecn=segment.ecn, **ip)

    def send_packet(self, body, protocol=TCP, **ip):
        self.send_frame(ETH_IP6 if self.six else ETH_IP, pack_packet(protocol, self.address, self.host, body, **ip))

    def send_pieces(self, body, at, ident, order):
        """The packet in two fragments, in the order given."""
        pieces = pack_pieces(TCP, self.address, self.host, body, at, ident)
        for i in order:
            self.send_frame(ETH_IP6 if self.six else ETH_IP, pieces[i])

    def ask(self):
        """Who has the host's address?"""
        if not self.six:
            self.send_frame(ETH_ARP, pack_arp(1, self.mac, self.address, bytes(6), self.host), BROADCAST)
            return
        group, mac = solicited(self.host)
        body = pack_neighbour(self.address, group, SOLICIT, self.host, self.mac)
        self.send_frame(ETH_IP6, pack_packet(ICMP6, self.address, group, body, hops=255), mac)

    def take_arp(self, body):
        operation, mac, source, target = struct.unpack("!6xH6s4s6x4s", body[:28])
        if operation == 1 and target == self.address:
            self.send_frame(ETH_ARP, pack_arp(2, self.mac, self.address, mac, source), mac)
        if source == self.host:
            self.host_mac = mac

    def take_ip(self, body):
        text = body[(body[0] & 15) * 4:struct.unpack("!H", body[2:4])[0]]
        if (body[12:16], body[16:20]) == (self.host, self.address):
            self.take_text(body[9], text, body[1] & 3)

    def take_ip6(self, body):
        text = body[40:40 + struct.unpack("!H", body[4:6])[0]]
        if body[6] == ICMP6 and text[0] == SOLICIT and text[8:24] == self.address:
            source, mac = body[8:24], text[26:32]
            answer = pack_neighbour(self.address, source, ADVERTISE, self.address, self.mac)
            self.send_frame(ETH_IP6, pack_packet(ICMP6, self.address, source, answer, hops=255), mac)
        elif body[6] == ICMP6 and text[0] == ADVERTISE and text[8:24] == self.host:
            self.host_mac = text[26:32]
        elif (body[8:24], body[24:40]) == (self.host, self.address):
            self.take_text(body[6], text, body[1] >> 4 & 3)

    def take_text(self, protocol, text, ecn):
        if (protocol, text[0]) in ((ICMP, ECHO_REPLY), (ICMP6, ECHO6_REPLY)):
            self.echoes.add(struct.unpack("!HH", text[4:8]))
        elif protocol == TCP:
            self.inbox.append(take_tcp(text, ecn, self.host, self.address))

    def receive(self, end):
        """Takes what is there; waits for it until the time `end`."""
        if not select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
            return
        while True:
            try:
                frame, address = self.sock.recvfrom(65536)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            kind = struct.unpack("!H", frame[12:LINK])[0]
            if kind == ETH_ARP and not self.six:
                self.take_arp(frame[LINK:])
            elif kind == ETH_IP and frame[:6] == self.mac:
                self.take_ip(frame[LINK:])
            elif kind == ETH_IP6 and self.six:
                self.take_ip6(frame[LINK:])

    def until(self, ask, come, each=1.0):
        """Asks again each second until `come`; a frame may be lost while an interface comes up."""
        give_up = time.monotonic() + PATIENCE_S
        while not come():
            if time.monotonic() > give_up:
                return False
            ask()
            end = min(give_up, time.monotonic() + each)
            while not come() and time.monotonic() < end:
                self.receive(end)
        return True

    def resolve(self):
        if not self.until(self.ask, lambda: self.host_mac):
            raise Failed(f"{self.name} does not say where it is")

    def settle(self):
        """What was sent before has been answered, as far as it is answered at once."""
        for _ in range(2):
            self.echo_number += 1
            echo = (os.getpid() & 0xFFFF, self.echo_number & 0xFFFF)
            protocol, request = pack_echo(self.address, self.host, *echo)
            if not self.until(lambda: self.send_packet(request, protocol), lambda: echo in self.echoes):
                raise Failed(f"{self.name} does not answer echoes")
            self.echoes.clear()


class Application:
    """end.c or linux_end.py behind two pipes."""

    def __init__(self, process):
        self.process, self.lock = process, threading.Lock()

    def say(self, line):
        with self.lock:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], PATIENCE_S)[0]:
                raise Failed(f"no answer to {line}")
            return self.process.stdout.readline().strip()


class Play:
    """One connection of the station's port `port`. Sequence numbers count from each side's SYN, as in tests/tcp/script.h.

    `steps` is what happened: (what was done, [what came]). What comes twice in a step is written once, and what occupies
    sequence space and came before is a retransmission: it is passed over unless the step is about it.
    """

    def __init__(self, station, application, name, port, listening):
        self.station, self.application, self.port, self.listening = station, application, port, listening
        self.full = 1500 - (60 if station.six else 40)  # text of the largest segment, without options
        self.iss = zlib.crc32(name.encode())
        self.steps, self.seen = [], set()
        self.nxt, self.rcv, self.acked = 0, 0, 0  # next of ours, next of theirs, what they have acknowledged
        self.peer_iss, self.ts, self.peer_ts = None, None, 0
        self.scale, self.edge, self.window = 0, 0, None
        self.ws_offered, self.sent_ack = False, 0
        self.default_window = 65535
        self.held = None    # what an ACK says that is not to cover their FIN
        self.probes = False  # their probes (one below what is next, empty) are written down

    # --- what comes ---

    def relative(self, seq):
        if self.peer_iss is None:
            return "" if seq == 0 else "=ack " if seq == self.sent_ack else "? "
        return (seq - self.peer_iss + (1 << 31) & MASK) - (1 << 31)

    def learn(self, s):
        if "S" in s.flags and self.peer_iss is None:
            self.peer_iss = s.seq
            self.scale = s.options.get("ws", 0) if self.ws_offered else 0
        if "ts" in s.options:
            self.peer_ts = s.options["ts"][0]
        if "." in s.flags and "R" not in s.flags:
            ack = s.ack - self.iss & MASK
            self.acked = max(self.acked, ack)
            self.window = s.window << (0 if "S" in s.flags else self.scale)
            self.edge = ack + self.window

    def describe(self, s):
        seq = self.relative(s.seq)
        text = s.flags.replace("P", "") or "-"  # which of several segments are pushed is each sender's own
        if self.peer_iss is None:
            text += f" {seq}".rstrip()
        else:
            text += f" {seq}:{seq + s.space()}({len(s.data)})"
            at = seq - 1 + ("S" in s.flags)
            if s.data and s.data != pattern(at, len(s.data)):
                text += " WRONG BYTES"
        if "." in s.flags:
            text += f" ack {s.ack - self.iss & MASK}"
        if "R" not in s.flags:
            text += " win +" if s.window else " win 0"
        o = dict(s.options)
        if "ts" in o:
            text += f" ts {o.pop('ts')[1]}"
        for a, b in o.pop("sack", []):
            text += f" sack {a - self.iss & MASK}-{b - self.iss & MASK}"
        for kind, value in sorted(o.items()):
            text += f" {kind}" if kind in ("ws", "sackok") else f" {kind} {value}"
        return text + (f" ecn {s.ecn}" if s.ecn else "") + ("" if s.sound else " BAD CHECKSUM") + \
            (f" urgent {s.urgent}" if s.urgent else "")

    @staticmethod
    def is_bare(line):
        return line.startswith(". ") and "(0)" in line

    def take(self, again=False):
        """What came, as lines; `again`: retransmissions are looked for."""
        lines = []
        mine = [s for s in self.station.inbox if s.dport == self.port]
        self.station.inbox = []
        for s in mine:
            known, acked = self.peer_iss is not None and "R" not in s.flags, self.acked
            self.learn(s)
            line = self.describe(s)
            if known and s.space() > 0:
                seq = self.relative(s.seq)
                octets = range(seq, seq + s.space())
                old = all(o in self.seen for o in octets)
                if old and not again and self.acked == acked:
                    continue
                if old and not again:  # its timer was faster than its ACK, which is what counts
                    line = self.describe(dataclasses.replace(s, flags=".", seq=self.peer_iss + self.rcv, data=b""))
                self.seen.update(octets)
                self.rcv = max(self.rcv, seq + s.space())
            elif "S" in s.flags:
                self.seen.add(0)
                self.rcv = max(self.rcv, 1)
            elif known and self.rcv and self.relative(s.seq) == self.rcv - 1 and not self.probes:
                continue  # a keepalive or a window probe of theirs
            if line not in lines:
                lines.append(line)
        return lines

    # --- what is done ---

    def step(self, text, lines):
        self.steps.append((text, lines))
        return lines

    def timestamps(self, options):
        """The option, with the next value, when both have offered it."""
        if self.ts is None or "ts" in options or options.pop("no_ts", False):
            return options
        self.ts += 1
        return {"ts": (self.ts, self.peer_ts), **options}

    def send(self, flags, data=b"", seq=None, ack=None, window=None, options=None, text=None, ip=None, **fields):
        """Sends one segment; seq None: the next in order, which it then occupies. Returns what it was, as text."""
        data = pattern(self.nxt - 1 if seq is None else seq - 1, data) if isinstance(data, int) else data
        at = self.nxt if seq is None else seq
        options = self.timestamps(dict(options or {}))
        if "sack" in options:
            options["sack"] = [(a + (self.peer_iss or 0), b + (self.peer_iss or 0)) for a, b in options["sack"]]
        ack = self.rcv if ack is None else ack
        self.sent_ack = (self.peer_iss or 0) + ack & MASK if "." in flags else 0
        s = Segment(flags=flags, seq=self.iss + at, ack=self.sent_ack, data=data,
                    window=self.default_window if window is None else window, options=options,
                    sport=self.port, dport=fields.pop("port", self.listening), **fields)
        if "S" in flags and seq is None:
            self.ws_offered = "ws" in options
        if seq is None:
            self.nxt += s.space()
        self.station.send(s, **(ip or {}))
        return text or f"{flags} {at}:{at + s.space()}({len(data)})" + (f" ack {ack}" if "." in flags else "")

    def inject(self, *args, **kw):
        """A segment, and what is answered at once."""
        again = kw.pop("again", False)
        text = self.send(*args, **kw)
        self.station.settle()
        return self.step(text, self.take(again))

    def wait(self, what, done, again=False):
        lines = []
        end = time.monotonic() + PATIENCE_S
        while True:
            lines += [line for line in self.take(again) if line not in lines]
            if done(lines):
                return lines
            if time.monotonic() > end:
                return lines + [f"not {what} after a long time"]
            self.station.receive(end)

    def data(self, n, flags="P.", **kw):
        """Text in order; its ACK may be delayed, and may come in parts: the last one counts."""
        text = self.send(flags, n, **kw)
        lines = self.wait("acknowledged", lambda lines: self.acked >= self.nxt or any("R" in x.split()[0] for x in lines))
        bare = [line for line in lines if self.is_bare(line)]
        return self.step(text, [line for line in lines if line not in bare[:-1]])

    def app(self, what, *args, bare=False):
        """A command to the application and what leaves because of it; ACKs that only move the window are passed over
        unless `bare`."""
        said = self.application.say(" ".join(map(str, (what, self.port, *args))))
        self.station.settle()
        lines = self.take()
        if not bare:
            lines = [line for line in lines if not self.is_bare(line)]
        return self.step(" ".join(map(str, ("app", what, *args))), [said, *lines])

    def read(self):
        """What the application has got; with no regard to windows."""
        return self.app("read")

    def connect(self, local):
        """The application's active open; the SYN tells where numbers begin."""
        said = self.application.say(f"connect {local} {self.port} {self.station.text}")
        self.listening = local
        self.ws_offered, self.sent_ack = True, 0
        self.station.settle()
        return self.step("app connect", [said, *self.take()])

    def await_again(self, what="retransmitted", seq=None):
        """The first thing that is sent again; seq: the one that begins there. Which of several ACKs made it leave, and so
        the timestamp that it echoes, depends on the time between them."""
        def wanted(lines):
            return [line for line in lines if seq is None or f" {seq}:" in line]
        lines = self.wait(what, wanted, again=True)
        lines = [re.sub(r" ts \d+", "", line) for line in wanted(lines)[:1] or lines[-1:]]
        return self.step(f"until {what}", lines)

    def renew(self, iss):
        """A new connection of the same ports: our SYN will be `iss` of the old numbers."""
        self.iss = self.iss + iss & MASK
        self.seen, self.peer_iss = set(), None
        self.nxt, self.rcv, self.acked = 0, 0, 0

    def alive(self, ack=None, seq=None):
        """An old byte, as some keepalives send: a connection answers with its ACK, a host without one with RST.
        Which timestamp it echoes is another question (echo_of_an_old_segment)."""
        ack = ack if ack is not None else self.held
        lines = self.inject("P.", b"?", seq=self.nxt - 1 if seq is None else seq, ack=ack, text="alive?")
        self.steps[-1] = ("alive?", [re.sub(r" ts \d+", "", line) for line in lines])

    def offer(self, *args, **kw):
        """Text that may be taken or not. Its ACK may be delayed: what is asked at once tells which it was."""
        text = self.send(*args, **kw)
        self.station.settle()
        self.step(text, [line for line in self.take() if not self.is_bare(line)])
        self.alive(seq=0)

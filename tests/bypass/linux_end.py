"""The commands of end.c on kernel sockets: linux_end.py PORT. See there."""
import errno
import socket
import struct
import sys
import zlib

PATTERN = bytes(range(251))
OPENING = (2, 3)  # SYN_SENT, SYN_RECV
STATES = {errno.ECONNRESET: "reset", errno.EPIPE: "reset", errno.ECONNREFUSED: "refused", errno.ETIMEDOUT: "timeout"}


def pattern(at, n):
    at %= len(PATTERN)
    return (PATTERN * (n // len(PATTERN) + 2))[at:at + n]


class Conn:
    def __init__(self, sock, state):
        self.sock, self.state, self.sent = sock, state, 0
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self):
        got = b""
        while self.state in ("opening", "open"):
            try:
                text = self.sock.recv(65536)
            except BlockingIOError:
                if self.state == "opening" and self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO) & 0xFF not in OPENING:
                    self.state = "open"
                break
            except OSError as e:
                if self.state == "opening" and e.errno == errno.ENOTCONN:
                    break
                self.state = STATES.get(e.errno, str(e))
                break
            self.state = "open" if text else "eof"
            got += text
        return got

    def end(self, how):
        if how == "shutdown":
            self.sock.shutdown(socket.SHUT_WR)
            return
        if how == "abort":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.state = "closed"


class End:
    def __init__(self, port):
        self.listeners = [socket.create_server(("", port), family=family, backlog=1024)
                          for family in (socket.AF_INET, socket.AF_INET6)]
        for listener in self.listeners:
            listener.setblocking(False)
        self.conns = {}

    def accept(self, listener):
        while True:
            try:
                sock, (_, remote, *_) = listener.accept()
            except BlockingIOError:
                return
            self.conns[remote] = Conn(sock, "open")

    def connect(self, local, remote, address):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.bind(("", local))
        conn = self.conns[remote] = Conn(sock, "opening")
        try:
            conn.sock.connect((address, remote))
        except BlockingIOError:
            pass
        return "ok"

    def command(self, what, *args):
        for listener in self.listeners:
            self.accept(listener)
        if what == "connect":
            return self.connect(int(args[0]), int(args[1]), args[2])
        conn = self.conns.get(int(args[0]))
        if what == "read":
            got = conn.read() if conn else b""
            return f"read {len(got)} {zlib.crc32(got):08x} {conn.state if conn else 'none'}"
        if not conn or conn.state == "closed":
            return "refused"
        try:
            if what == "send":
                text = pattern(conn.sent, int(args[1]))
                conn.sent += len(text)
                return "ok" if conn.sock.send(text) == len(text) else "short"
            conn.end(what)
        except OSError:
            return "refused"
        return "ok"


def main():
    end = End(int(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        print(end.command(*line.split()), flush=True)


if __name__ == "__main__":
    main()

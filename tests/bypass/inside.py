"""What runs inside the namespace: echo requests, a check of a MAC address, offloads of an interface."""
import fcntl
import os
import socket
import struct
import sys

from packets import checksum


def ping(host, *sizes):
    six = ":" in host
    family, proto = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    sock = socket.socket(family, socket.SOCK_RAW, proto)
    sock.settimeout(60)
    for sequence, size in enumerate(map(int, sizes)):
        body = os.urandom(size)
        head = struct.pack("!BBHHH", 128 if six else 8, 0, 0, 4242, sequence)
        if not six:
            head = struct.pack("!BBHHH", 8, 0, checksum(head + body), 4242, sequence)
        sock.sendto(head + body, (host, 0))
        while True:
            data = sock.recv(65535)
            icmp = data if six else data[(data[0] & 15) * 4:]
            if icmp[0] == (129 if six else 0) and struct.unpack("!HH", icmp[4:8]) == (4242, sequence):
                break
        if icmp[8:] != body:
            sys.exit(f"{size} bytes came back changed")
    print(len(sizes))


def closed(host, port):
    """A port that nobody listens on is refused at once."""
    try:
        socket.create_connection((host, int(port)), timeout=60)
    except ConnectionRefusedError:
        return
    sys.exit("not refused")


def tx_off(name):
    """ethtool -K <name> tx off: the kernel must send whole checksums to a port without offloads."""
    SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
    value = bytearray(struct.pack("II", ETHTOOL_STXCSUM, 0))
    import ctypes
    buffer = (ctypes.c_char * len(value)).from_buffer(value)
    request = struct.pack("16sP", name.encode(), ctypes.addressof(buffer)).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, request)


def stream(host, port, size, window):
    """A client that takes `size` bytes of end.c's stream through a window; its port is said when it is connected."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(window))
    sock.settimeout(60)
    sock.connect((host, int(port)))
    print(sock.getsockname()[1], flush=True)
    got = bytearray()
    while len(got) < int(size):
        more = sock.recv(65536)
        if not more:
            sys.exit(f"the stream ends after {len(got)} bytes")
        got += more
    cycle = bytes(range(251))
    if got != (cycle * (len(got) // 251 + 1))[:len(got)]:
        sys.exit("other bytes came")


def hold(host, port):
    """A client that waits for what does not come: it hears of the broker's end at once."""
    sock = socket.create_connection((host, int(port)), timeout=60)
    print("holding", flush=True)
    sock.settimeout(150)
    try:
        if sock.recv(1):
            sys.exit("bytes came")
    except ConnectionResetError:
        pass


def half_request(host, port):
    """A client that announces a request, sends a part, and vanishes; another that resets."""
    for way in range(2):
        sock = socket.create_connection((host, int(port)), timeout=60)
        sock.sendall(struct.pack("!i", 1000000) + b"x" * 50000)
        if way:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

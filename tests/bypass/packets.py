"""Frames by hand: Ethernet, ARP, neighbour discovery, IPv4 and IPv6, echo and TCP, made and taken apart. Bytes in, bytes out;
nothing is sent here. An address is 4 or 16 bytes, and says by that which IP it is of."""
import dataclasses
import struct

MASK = 0xFFFFFFFF
FLAGS = "FSRP.UEW"  # bit 0 first; `.` is ACK
ETH_IP, ETH_ARP, ETH_IP6 = 0x0800, 0x0806, 0x86DD
ICMP, TCP, FRAGMENT, ICMP6 = 1, 6, 44, 58
ECHO, ECHO_REPLY, ECHO6, ECHO6_REPLY, SOLICIT, ADVERTISE = 8, 0, 128, 129, 135, 136


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo(source, target, protocol, body):
    """The checksum over the pseudo header and what it is for."""
    if len(source) == 4:
        return checksum(source + target + struct.pack("!BBH", 0, protocol, len(body)) + body)
    return checksum(source + target + struct.pack("!II", len(body), protocol) + body)


@dataclasses.dataclass
class Segment:
    flags: str
    seq: int
    ack: int = 0
    data: bytes = b""
    window: int = 65535
    options: dict = dataclasses.field(default_factory=dict)  # mss, ws, sackok, ts: (value, echo), sack: [(from, to)], raw
    urgent: int = 0
    ecn: int = 0          # of the IP header
    sound: bool = True    # False: the checksum is wrong
    header: int = 0       # data offset in bytes, if it is to lie
    sport: int = 0
    dport: int = 0

    def space(self):
        return len(self.data) + ("S" in self.flags) + ("F" in self.flags)


def pack_options(options):
    out = b""
    for kind, value in options.items():
        if kind == "mss":
            out += struct.pack("!BBH", 2, 4, value)
        elif kind == "ws":
            out += struct.pack("!BBBB", 1, 3, 3, value)
        elif kind == "sackok":
            out += struct.pack("!BB", 4, 2)
        elif kind == "ts":
            out += struct.pack("!BBII", 8, 10, *(v & MASK for v in value))
        elif kind == "sack":
            out += struct.pack("!BB", 5, 2 + 8 * len(value))
            out += b"".join(struct.pack("!II", a & MASK, b & MASK) for a, b in value)
        else:
            out += value
    return out + b"\1" * (-len(out) % 4)


def take_options(data):
    out, at = {}, 0
    while at < len(data) and data[at] != 0:
        kind = data[at]
        if kind == 1:
            at += 1
            continue
        body = data[at + 2:at + data[at + 1]]
        at += data[at + 1]
        if kind == 2:
            out["mss"] = struct.unpack("!H", body)[0]
        elif kind == 3:
            out["ws"] = body[0]
        elif kind == 4:
            out["sackok"] = True
        elif kind == 8:
            out["ts"] = struct.unpack("!II", body)
        elif kind == 5:
            out["sack"] = [struct.unpack("!II", body[i:i + 8]) for i in range(0, len(body), 8)]
        else:
            out[f"option{kind}"] = body
    return out


def pack_tcp(segment, source, target):
    """The TCP header and text of a segment between two addresses."""
    options = pack_options(segment.options)
    bits = sum(1 << FLAGS.index(f) for f in segment.flags)
    header = segment.header or 20 + len(options)
    packed = struct.pack("!HHIIBBHHH", segment.sport, segment.dport, segment.seq & MASK, segment.ack & MASK,
                         header // 4 << 4, bits, segment.window, 0, segment.urgent) + options + segment.data
    total = pseudo(source, target, TCP, packed)
    if not segment.sound:
        total ^= 0x0101
    return packed[:16] + struct.pack("!H", total) + packed[18:]


def take_tcp(data, ecn, source, target):
    sport, dport, seq, ack, offset, bits, window, _, urgent = struct.unpack("!HHIIBBHHH", data[:20])
    header = offset >> 4 << 2
    return Segment(flags="".join(f for i, f in enumerate(FLAGS) if bits >> i & 1), seq=seq, ack=ack, data=data[header:],
                   window=window, options=take_options(data[20:header]), urgent=urgent, ecn=ecn, sport=sport, dport=dport,
                   sound=pseudo(source, target, TCP, data) == 0)


def pack_ip(protocol, source, target, body, ecn=0, options=b"", ident=0, fragment=0x4000):
    """fragment: flags and offset in eights, as in the header; don't fragment by default."""
    length = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | length // 4, ecn, length + len(body), ident, fragment, 64, protocol, 0)
    head += source + target + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def pack_ip6(protocol, source, target, body, ecn=0, extensions=(), hops=64):
    """extensions: (number, bytes from the second one on) of each header between this one and the body."""
    protocols = [number for number, _ in extensions] + [protocol]
    for (_, rest), follows in zip(reversed(extensions), reversed(protocols)):
        body = bytes([follows]) + rest + body
    return struct.pack("!IHBB", 6 << 28 | ecn << 20, len(body), protocols[0], hops) + source + target + body


def pack_packet(protocol, source, target, body, **fields):
    return (pack_ip if len(source) == 4 else pack_ip6)(protocol, source, target, body, **fields)


def pack_pieces(protocol, source, target, body, at, ident):
    """The packet in two fragments; the first holds `at` bytes."""
    if len(source) == 4:
        fields = [{"ident": ident, "fragment": fragment} for fragment in (0x2000, at // 8)]
    else:
        fields = [{"extensions": [(FRAGMENT, struct.pack("!BHI", 0, word, ident))]} for word in (1, at)]
    return [pack_packet(protocol, source, target, piece, **f) for piece, f in zip((body[:at], body[at:]), fields)]


def pack_icmp6(source, target, kind, body):
    whole = struct.pack("!BBH", kind, 0, 0) + body
    return whole[:2] + struct.pack("!H", pseudo(source, target, ICMP6, whole)) + whole[4:]


def pack_echo(source, target, number, sequence):
    """(protocol, request)."""
    body = struct.pack("!HH", number, sequence)
    if len(source) == 16:
        return ICMP6, pack_icmp6(source, target, ECHO6, body)
    head = struct.pack("!BBH", ECHO, 0, 0) + body
    return ICMP, head[:2] + struct.pack("!H", checksum(head)) + head[4:]


def pack_neighbour(source, target, kind, about, mac):
    """A solicitation, or the advertisement that answers one: `about` is an address, the MAC is the sender's."""
    flags = 0x60000000 if kind == ADVERTISE else 0  # solicited, override
    option = bytes([2 if kind == ADVERTISE else 1, 1]) + mac
    return pack_icmp6(source, target, kind, struct.pack("!I", flags) + about + option)


def solicited(address):
    """The group that is asked for the address, and its MAC."""
    return bytes.fromhex("ff0200000000000000000001ff") + address[13:], b"\x33\x33\xff" + address[13:]


def pack_arp(operation, mac, source, target_mac, target):
    return struct.pack("!HHBBH", 1, ETH_IP, 6, 4, operation) + mac + source + target_mac + target

"""The traces that tell a story: what is played against Linux's TCP and ours, besides each kind of segment in each
state (states.py)."""
from packets import FRAGMENT, pack_tcp, Segment
from player import pattern
from states import FULL, ODD_MSS, SYN_OPTIONS, close_wait, closing, each, fin_wait_2_closed, last_ack, opened, syn, time_wait, trace

# --- opening -------------------------------------------------------------------------------------------------------------


@each(**SYN_OPTIONS)
def options(p, value):
    opened(p, value)
    p.data(10)
    p.app("send", 4000)
    p.inject(".")
    p.read()


@each(**{str(mss): mss for mss in ODD_MSS})
def mss(p, value):
    opened(p, {"mss": value})
    p.app("send", 600)
    p.inject(".")


@trace
def window_of_the_syn_is_not_scaled(p):
    syn(p, FULL, window=100)
    p.inject(".", window=1)
    p.app("send", 400)
    p.inject(".", window=2)
    p.inject(".", window=100)


@trace
def syn_with_text(p):
    p.inject("S", b"x" * 20, seq=0, options={"mss": 1460})
    p.nxt = 1
    p.inject(".")
    p.data(20)
    p.read()


@trace
def syn_again(p):
    syn(p)
    p.inject("S", seq=0, options=FULL, again=True)
    p.inject(".")
    p.data(5)


@trace
def syn_again_otherwise(p):
    """The same number with other options: what the first one said counts, or not."""
    syn(p)
    p.inject("S", seq=0, options={"mss": 600}, again=True)
    p.inject(".")
    p.app("send", 1000)


@each(low=-10, high=10)
def bad_ack_in_syn_rcvd(p, off):
    syn(p, {"mss": 1460})
    p.inject(".", ack=1 + off)
    p.inject("P.", 10, seq=1, ack=1 + off)
    p.inject(".")
    p.data(5)


@trace
def reset_in_syn_rcvd(p):
    syn(p)
    p.inject("R", seq=1)
    p.inject(".")


@trace
def handshake_with_text(p):
    syn(p)
    p.data(100)
    p.app("send", 100)
    p.inject(".")
    p.read()


@trace
def handshake_with_fin(p):
    syn(p)
    p.data(0, "F.")
    p.read()
    p.app("close")
    p.inject(".")


@trace
def handshake_out_of_order(p):
    syn(p)
    p.inject("P.", 10, seq=11)
    p.data(10)
    p.nxt = 21
    p.read()
    p.alive()


@trace
def handshake_without_timestamp(p):
    """A box takes the option away after both have offered it."""
    syn(p)
    p.inject(".", options={"no_ts": True})
    p.offer("P.", 10, options={"no_ts": True})
    p.read()


@trace
def handshake_with_a_strange_echo(p):
    syn(p)
    p.inject(".", options={"ts": (1001, 77)})


@trace
def handshake_with_an_old_timestamp(p):
    syn(p)
    echo = p.peer_ts  # of the SYN-ACK: Linux refuses an echo of its own challenge ACK, if that is a tick younger
    p.inject(".", options={"ts": (900, echo)})
    p.inject(".", options={"ts": (1001, echo)})
    p.ts = 1001
    p.data(10)


@trace
def timestamp_that_was_not_offered(p):
    syn(p, {"mss": 1460})
    p.inject(".")
    p.offer("P.", 10, options={"ts": (50, 60)})
    p.read()


@trace
def numbers_wrap(p):
    p.iss = 0xFFFFFFFF - 50
    opened(p)
    p.data(100)
    p.inject("P.", 100, seq=201)
    p.data(100)
    p.nxt = 301
    p.data(10)
    p.read()


# --- opened by the application ---------------------------------------------------------------------------------------------


def answer(p, flags="S.", options=None, ack=1, **kw):
    options = FULL if options is None else options
    p.ws_offered = "ws" in options
    lines = p.inject(flags, seq=0, ack=ack, options=dict(options, ts=(1000, p.peer_ts)) if "ts" in options else options, **kw)
    p.nxt = 1
    if "ts" in options:
        p.ts = 1000
    return lines


@each(**{kind: SYN_OPTIONS[kind] for kind in ("none", "mss", "ws", "sack", "ts", "all")})
def active(p, value):
    p.connect(p.port)
    answer(p, options=value)
    p.app("send", 3000)
    p.inject(".")
    p.data(20)
    p.read()


@each(refused=("R.", 1), refused_without_ack=("R", 0), refused_with_a_wrong_ack=("R.", 50), wrong_ack=("S.", 50), ack_alone=(".", 1),
      wrong_ack_alone=(".", 50), nothing=("", 0), fin=("F.", 1))
def active_answered_by(p, value):
    p.connect(p.port)
    p.inject(value[0], seq=0, ack=value[1], options={})
    p.read()
    answer(p)
    p.read()


@trace
def active_text_on_the_syn_ack(p):
    p.connect(p.port)
    answer(p, data=b"x" * 10)
    p.data(10)
    p.read()


@trace
def active_simultaneous(p):
    p.connect(p.port)
    p.ws_offered = True
    p.inject("S", seq=0, options=FULL, again=True)
    p.nxt, p.ts = 1, 1000
    p.inject("S.", seq=0, ack=1, options=dict(FULL, ts=(1001, p.peer_ts)))
    p.ts = 1001
    p.inject(".")
    p.data(10)
    p.app("send", 10)
    p.read()


@trace
def active_simultaneous_then_ack(p):
    p.connect(p.port)
    p.inject("S", seq=0, options={"mss": 1460}, again=True)
    p.nxt = 1
    p.inject(".")
    p.data(10)
    p.read()


# --- text ----------------------------------------------------------------------------------------------------------------


@trace
def echo_of_timestamps(p):
    """TS.Recent moves with what is next in order alone."""
    opened(p)
    p.inject("P.", 10, seq=11, options={"ts": (2000, p.peer_ts)})
    p.inject("P.", 10, seq=21, options={"ts": (2100, p.peer_ts)})
    p.inject("P.", 10, seq=1, options={"ts": (1900, p.peer_ts)})
    p.nxt, p.ts = 31, 2200
    p.data(10)
    p.app("send", 10)


@trace
def echo_of_an_old_segment(p):
    opened(p)
    p.data(10)
    p.inject("P.", b"?", seq=10, options={"ts": (3000, p.peer_ts)})
    p.app("send", 10)


@trace
def without_timestamp_when_agreed(p):
    opened(p)
    p.offer("P.", 10, options={"no_ts": True})
    p.read()


@trace
def old_timestamp(p):
    opened(p)
    p.data(10)
    p.inject("P.", 10, seq=11, options={"ts": (500, p.peer_ts)})
    p.read()
    p.data(10)


@trace
def two_segments(p):
    opened(p, SYN_OPTIONS["sack"])
    p.send("P.", 1000)
    p.data(1000)
    p.read()


@each(all=FULL, no_timestamps=SYN_OPTIONS["sack"], no_sack=SYN_OPTIONS["ts"], none=SYN_OPTIONS["mss"])
def holes(p, value):
    """Six pieces with holes between, reported newest first; then the holes are filled, last first."""
    opened(p, value)
    for at in (101, 301, 501, 701, 901, 1101):
        p.inject("P.", 100, seq=at)
    p.inject("P.", 100, seq=501)
    for at in (1001, 801, 601, 401, 201):
        p.inject("P.", 100, seq=at)
    p.inject("P.", 100, seq=1)
    p.nxt = 1201
    p.read()
    p.data(10)


@each(sack=SYN_OPTIONS["sack"], no_sack=SYN_OPTIONS["mss"])
def duplicates(p, value):
    opened(p, value)
    p.data(300)
    p.inject("P.", 300, seq=1)
    p.inject("P.", 100, seq=101)
    p.inject("P.", 100, seq=251)
    p.nxt = 351
    p.inject("P.", 100, seq=451)
    p.inject("P.", 100, seq=451)
    p.inject("P.", 50, seq=471)
    p.read()


OVERLAPS = {"same": (101, 100), "inside": (121, 50), "left": (51, 100), "right": (151, 100), "around": (51, 200), "exact_left": (51, 50),
            "exact_right": (201, 50)}


@each(**OVERLAPS)
def overlap(p, value):
    """Two pieces of other bytes over the same numbers, then what is in front of them."""
    opened(p)
    p.inject("P.", b"a" * 100, seq=101)
    p.inject("P.", b"b" * value[1], seq=value[0])
    p.inject("P.", b"c" * 300, seq=1)
    p.inject(".", seq=301)
    p.read()


@trace
def overlap_in_front(p):
    opened(p)
    p.data(100)
    p.inject("P.", b"z" * 200, seq=51)
    p.nxt = 251
    p.read()


@trace
def text_without_ack(p):
    opened(p)
    p.inject("P", 10, seq=1)
    p.data(10)
    p.read()


@trace
def urgent(p):
    opened(p)
    p.data(10, "P.U", urgent=5)
    p.alive()
    p.read()


@trace
def a_burst_of_small_text(p):
    opened(p, SYN_OPTIONS["sack"])
    for _ in range(50):
        p.send("P.", 7)
    p.data(7)
    p.read()


@trace
def padded_frame(p):
    """Bytes behind the IP packet are not text: a bare ACK fills less than a frame."""
    opened(p, {})
    p.inject(".")
    p.data(1)
    p.read()


@each(family=4, no_operation=b"\1\1\1\1", record_route=b"\7\7\4\0\0\0\0\0", router_alert=b"\x94\4\0\0", unknown=b"\x5e\4\0\0")
def ip_options(p, value):
    opened(p)
    p.data(10, ip={"options": value})
    p.read()


HOP_BY_HOP, ROUTING, DESTINATION = 0, 43, 60
PADDING = b"\0\1\4\0\0\0\0"
EXTENSIONS = {
    "hop_by_hop": [(HOP_BY_HOP, PADDING)], "destination": [(DESTINATION, PADDING)], "both": [(HOP_BY_HOP, PADDING), (DESTINATION, PADDING)],
    "pad1": [(DESTINATION, b"\0" * 7)], "two_destinations": [(DESTINATION, PADDING)] * 2, "long": [(DESTINATION, b"\1\1\x0c" + b"\0" * 12)],
    "whole_in_a_fragment": [(FRAGMENT, b"\0\0\0\0\0\0\7")], "routing_done": [(ROUTING, b"\0\0\0\0\0\0\0")],
    "routing_type_0": [(ROUTING, b"\2\0\1\0\0\0\0" + b"\xfd\x99" + b"\0" * 13 + b"\7")],
    "routing_unknown": [(ROUTING, b"\0\x63\1\0\0\0\0")], "routing_unknown_done": [(ROUTING, b"\0\x63\0\0\0\0\0")],
    "hop_by_hop_late": [(DESTINATION, PADDING), (HOP_BY_HOP, PADDING)], "length_beyond": [(DESTINATION, b"\x20\1\4\0\0\0\0")],
    "unknown_header": [(253, PADDING)],
    **{f"{name}_{action}": [(kind, bytes([0, bits << 6 | 0x1E, 4, 0, 0, 0, 0]))]
       for name, kind in (("hop_by_hop", HOP_BY_HOP), ("destination", DESTINATION))
       for bits, action in enumerate(("skip", "drop", "drop_and_tell", "drop_and_tell_one"))},
    "option_beyond": [(DESTINATION, b"\0\1\x10\0\0\0\0")],
}


@each(family=6, **EXTENSIONS)
def extension_headers(p, value):
    """Text behind IPv6 extension headers: taken, or dropped with all it carries."""
    opened(p)
    p.offer("P.", 10, ip={"extensions": value})
    p.read()


@each(in_order=(0, 1), backwards=(1, 0))
def fragments(p, order):
    opened(p)
    text = Segment("P.", p.iss + 1, p.peer_iss + 1, pattern(0, 600), sport=p.port, dport=p.listening,
                   options={"ts": (p.ts + 1, p.peer_ts)})
    p.station.send_pieces(pack_tcp(text, p.station.address, p.station.host), 320, p.port, order)
    p.nxt, p.ts = 601, p.ts + 1
    p.station.settle()
    p.step("two fragments", [x for x in p.wait("acknowledged", lambda lines: p.acked >= 601)][-1:])
    p.read()


# --- windows -------------------------------------------------------------------------------------------------------------


def fill(p):
    """Text until the window is closed; how much that is differs."""
    p.read()
    for _ in range(400):
        room = p.edge - p.nxt
        if room <= 0 and p.window == 0:
            break
        p.send("P.", min(1400, room)) if room > 0 else None
        p.wait("acknowledged", lambda lines: p.acked >= p.nxt and (p.edge > p.nxt or p.window == 0))
    p.station.settle()
    p.take()


def number(p, lines):
    """Without the numbers, which depend on the window."""
    for off, text in ((0, "N"), (-1, "N-1"), (1, "N+1")):
        lines = [line.replace(str(p.nxt + off), text) for line in lines]
    p.steps[-1] = (p.steps[-1][0].split()[0], lines)


@each(byte=("P.", 1, 0), below=(".", 0, -1), reset_below=("R", 0, -1), old=("P.", 1, -1), ack=(".", 0, 0), fin=("F.", 0, 0), reset=("R", 0, 0))
def closed_window(p, value):
    flags, size, off = value
    opened(p, SYN_OPTIONS["mss"])
    fill(p)
    lines = p.inject(flags, b"x" * size, seq=p.nxt + off, text=f"{flags} {size} at N{off:+}")
    number(p, [] if "F" in flags else lines)  # a FIN may be taken, and its ACK delayed
    number(p, p.inject("P.", b"?", seq=p.nxt - 1, text="alive?"))


@trace
def closed_window_opens(p):
    opened(p, SYN_OPTIONS["mss"])
    fill(p)
    p.application.say(f"read {p.port}")
    p.wait("opened", lambda lines: p.window > 0)
    number(p, p.step("opened", []))
    number(p, p.inject("P.", b"?", seq=p.nxt - 1, text="alive?"))


@trace
def ack_while_the_window_is_closed(p):
    opened(p, SYN_OPTIONS["mss"])
    fill(p)
    number(p, p.app("send", 20))
    number(p, p.inject(".", seq=p.nxt))
    number(p, p.app("send", 20))


@each(straddling=-100, at_the_edge=0, beyond=1)
def text_beyond_the_window(p, off):
    opened(p, SYN_OPTIONS["mss"])
    edge = p.edge
    lines = p.inject("P.", 200, seq=edge + off, text=f"200 at the edge {off:+}")
    p.steps[-1] = (p.steps[-1][0], lines)
    p.read()
    p.alive()


# --- sending -------------------------------------------------------------------------------------------------------------


@trace
def window_limits(p):
    opened(p, SYN_OPTIONS["mss"], window=3000)
    p.app("send", 8000)
    p.inject(".", window=p.full)
    p.inject(".", window=5000)
    p.inject(".", window=5000)


@trace
def window_shrinks(p):
    opened(p, SYN_OPTIONS["mss"], window=5000)
    p.app("send", 3000)
    p.inject(".", ack=1 + p.full, window=0)
    p.app("send", 1000)
    p.inject(".", ack=1 + p.full, window=5000)
    p.inject(".", ack=p.rcv, window=5000)


@trace
def smaller_window_without_news(p):
    opened(p, SYN_OPTIONS["mss"])
    p.inject(".", window=3000)
    p.app("send", 5000)


@trace
def old_segment_does_not_move_the_window(p):
    opened(p, SYN_OPTIONS["mss"], window=2920)
    p.data(10)
    p.inject(".", seq=1, window=50000, ack=1)
    p.app("send", 8000)


@trace
def window_probe(p):
    opened(p, SYN_OPTIONS["mss"])
    p.inject(".", window=0)
    p.app("send", 100)
    p.probes = True
    p.await_again("a probe")
    p.probes = False
    p.inject(".", window=1000)
    p.inject(".")


@each(all=FULL, no_timestamps=SYN_OPTIONS["sack"])
def fast_retransmit(p, value):
    """The first segment is lost; three others are reported."""
    opened(p, value)
    p.app("send", 7000)
    mss = p.full - (12 if "ts" in value else 0)
    for last in (2, 3, 4):
        p.send(".", ack=1, options={"sack": [(1 + mss, 1 + last * mss)]})
    p.await_again(seq=1)
    p.inject(".", ack=7001)


@trace
def fast_retransmit_without_sack(p):
    opened(p, SYN_OPTIONS["mss"])
    p.app("send", 7000)
    for _ in range(3):
        p.send(".", ack=1)
    p.await_again(seq=1)
    p.inject(".", ack=7001)


@trace
def two_holes(p):
    opened(p)
    p.app("send", 10000)
    mss = p.full - 12
    for last in (2, 3, 4):
        p.send(".", ack=1, options={"sack": [(1 + mss, 1 + last * mss)]})
    p.await_again(seq=1)
    p.inject(".", ack=10001)


@each(above=(50000, 60000), below=(-5000, -4000), empty=(100, 100), backwards=(200, 100), wild=(2000000000, 2000001000))
def sack_of_what_was_not_sent(p, block):
    opened(p)
    p.app("send", 100)
    p.inject(".", ack=1, options={"sack": [block]})
    p.inject(".")
    p.app("send", 100)
    p.inject(".")


@trace
def lost_text(p):
    opened(p)
    p.app("send", 100)
    p.await_again()
    p.inject(".")
    p.app("send", 100)


@trace
def lost_fin(p):
    opened(p)
    p.app("shutdown")
    p.await_again()
    p.inject(".")
    p.alive()


@trace
def lost_syn_ack(p):
    syn(p)
    p.await_again()
    p.inject(".")
    p.data(10)


@trace
def ack_in_parts(p):
    opened(p)
    p.app("send", 1000)
    for ack in (2, 100, 100, 50, 999, 1001):
        p.inject(".", ack=ack)
    p.app("send", 10)


# --- congestion marks ----------------------------------------------------------------------------------------------------


@each(asked="SEW", only_e="SE", only_w="SW")
def ecn_asked(p, flags):
    syn(p, flags=flags)
    p.inject(".")
    p.data(10)
    p.app("send", 10)


@trace
def ecn_marked(p):
    syn(p, flags="SEW")
    p.inject(".")
    p.data(100, ecn=3)
    p.data(100, ecn=2)
    p.data(100, flags="P.W", ecn=2)
    p.data(100, ecn=2)


@trace
def ecn_echoed(p):
    syn(p, flags="SEW")
    p.inject(".")
    p.app("send", 100)
    p.inject(".E")
    p.app("send", 100)
    p.inject(".E")
    p.app("send", 100)
    p.inject(".")
    p.app("send", 100)


@trace
def ecn_active(p):
    p.connect(p.port)
    answer(p, flags="S.E")
    p.app("send", 10)


@trace
def ecn_active_mirrored(p):
    """A peer that sends back what it got has not agreed."""
    p.connect(p.port)
    answer(p, flags="S.EW")
    p.app("send", 10)


# --- closing -------------------------------------------------------------------------------------------------------------


@trace
def close_passive(p):
    opened(p)
    p.data(10, "FP.")
    p.read()
    p.app("send", 10)
    p.inject(".")
    p.app("close")
    p.inject(".")
    p.alive()


@trace
def close_active(p):
    opened(p)
    p.app("send", 10)
    p.inject(".")
    p.app("shutdown")
    p.inject(".")
    p.data(10)
    p.inject("F.")
    p.inject("F.", seq=p.nxt - 1)
    p.read()
    p.alive()


@trace
def close_simultaneous(p):
    opened(p)
    p.app("shutdown")
    p.inject("F.", ack=1)
    p.inject(".", ack=2)
    p.alive()


@trace
def fin_with_ack_of_ours(p):
    opened(p)
    p.app("shutdown")
    p.inject("F.")
    p.alive()


@trace
def fin_and_text_out_of_order(p):
    opened(p)
    p.inject("FP.", 10, seq=11)
    p.read()
    p.inject("P.", 10, seq=1)
    p.nxt = 22
    p.read()
    p.alive()


@trace
def fin_again(p):
    close_wait(p)
    p.inject("F.", seq=1)
    p.inject("FP.", b"x", seq=0)
    p.read()


@each(new=(2, 10), over_the_fin=(1, 10), bare=(2, 0))
def text_after_fin(p, value):
    close_wait(p)
    p.inject("P.", value[1], seq=value[0])
    p.read()
    p.alive()


@trace
def text_to_a_closed_application(p):
    opened(p)
    p.app("close")
    p.inject("P.", 10)
    p.alive()


@trace
def text_to_a_closed_application_in_fin_wait_2(p):
    fin_wait_2_closed(p)
    p.inject("P.", 10)
    p.alive()


@trace
def closed_with_text_unread(p):
    opened(p)
    p.data(10)
    p.app("close")
    p.alive()


@trace
def aborted(p):
    opened(p)
    p.app("send", 10)
    p.app("abort")
    p.alive()


@trace
def aborted_after_fin(p):
    close_wait(p)
    p.app("abort")
    p.alive()


@trace
def closed_with_text_to_send(p):
    opened(p, SYN_OPTIONS["mss"], window=100)
    p.app("send", 250)
    p.app("close")
    p.inject(".", window=100)
    p.inject(".", window=100)
    p.inject(".", window=100)
    p.inject("F.")
    p.inject("F.", seq=1)


@trace
def last_ack_then_old(p):
    last_ack(p)
    p.inject(".", ack=1)
    p.inject(".", ack=2)
    p.alive()


# --- TIME_WAIT -----------------------------------------------------------------------------------------------------------

REUSE = {"higher": (100000, {"mss": 1460}), "higher_newer": (100000, dict(FULL, ts=(9000, 0))),
         "lower_newer": (-100000, dict(FULL, ts=(9000, 0))), "lower_older": (-100000, dict(FULL, ts=(10, 0))),
         "higher_older": (100000, dict(FULL, ts=(10, 0))), "lower": (-100000, {"mss": 1460})}


@each(**REUSE)
def time_wait_syn(p, value):
    off, options = value
    time_wait(p)
    old = p.nxt
    p.renew(old + off)
    p.ts = None
    p.inject("S", seq=0, options=options)
    p.nxt = 1
    if p.peer_iss is None:
        return
    p.inject("R", seq=1)
    p.alive()


@trace
def time_wait_fin_again(p):
    time_wait(p)
    p.inject("F.", seq=p.nxt - 1)
    p.inject("R", seq=p.nxt)
    p.inject("F.", seq=p.nxt - 1)

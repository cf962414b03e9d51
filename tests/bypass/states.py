"""The states that traces begin in, each kind of segment in each of them, and the list of all traces. A trace is a function
of a Play (player.py); its name is the function's, with what it was made for."""
from packets import TCP, pack_tcp, Segment

TRACES = {}
FAMILY = {}  # of traces that are for IPv4 (4) or IPv6 (6) alone
FULL = {"mss": 1460, "sackok": True, "ts": (1000, 0), "ws": 7}
SYN_OPTIONS = {
    "none": {}, "mss": {"mss": 1460}, "ws": {"mss": 1460, "ws": 7}, "sack": {"mss": 1460, "sackok": True},
    "ts": {"mss": 1460, "ts": (1000, 0)}, "all": FULL, "backwards": dict(reversed(FULL.items())),
    "unknown": {"raw": b"\xfd\x04ab", "mss": 1460, "ws": 3}, "fast_open": {"mss": 1460, "raw": b"\x22\x02"},
    "length_0": {"mss": 1460, "raw": b"\x05\x00", "ws": 7}, "length_beyond": {"mss": 1460, "raw": b"\x05\x30"},
    "end_in_front": {"raw": b"\x00\x00\x00\x00", "mss": 1460}, "mss_length_3": {"raw": b"\x02\x03\x05\x01"},
    "ws_15": {"mss": 1460, "ws": 15}, "ws_14": {"mss": 1460, "ws": 14}, "twice": {"mss": 1460, "raw": b"\x02\x04\x02\x58"},
}
ODD_MSS = (0, 1, 47, 63, 64, 88, 536, 1459, 1461, 9000, 65535)


def trace(function):
    TRACES[function.__name__] = function
    return function


def each(family=None, **kinds):
    """One trace for each, named function_kind, called with its value."""
    def register(function):
        for kind, value in kinds.items():
            name = f"{function.__name__}_{kind}"
            TRACES[name] = lambda p, value=value: function(p, value)
            if family:
                FAMILY[name] = family
        return function
    return register


# --- states --------------------------------------------------------------------------------------------------------------


def syn(p, options=None, flags="S", **kw):
    options = FULL if options is None else options
    if "ts" in options:
        p.ts = None  # an option of its own on the SYN
    lines = p.inject(flags, seq=0, options=options, **kw)
    p.ws_offered = "ws" in options
    p.nxt = 1
    if "ts" in options and any(" ts " in line for line in lines):
        p.ts = options["ts"][0]
    return lines


def opened(p, options=None, window=None):
    syn(p, options)
    p.default_window = window or p.default_window
    p.inject(".")


def close_wait(p):
    opened(p)
    p.data(0, "F.")


def last_ack(p):
    close_wait(p)
    p.app("close")
    p.held = p.rcv - 1


def fin_wait_1(p):
    opened(p)
    p.app("shutdown")
    p.held = p.rcv - 1


def fin_wait_1_closed(p):
    opened(p)
    p.app("close")
    p.held = p.rcv - 1


def fin_wait_2(p):
    fin_wait_1(p)
    p.held = None
    p.inject(".")


def fin_wait_2_closed(p):
    fin_wait_1_closed(p)
    p.held = None
    p.inject(".")


def closing(p):
    fin_wait_1(p)
    p.inject("F.", ack=p.held)


def time_wait(p):
    fin_wait_2_closed(p)
    p.inject("F.")


STATES = {"syn_rcvd": syn, "established": opened, "close_wait": close_wait, "last_ack": last_ack,
          "fin_wait_1": fin_wait_1, "fin_wait_1_closed": fin_wait_1_closed, "fin_wait_2": fin_wait_2,
          "fin_wait_2_closed": fin_wait_2_closed, "closing": closing, "time_wait": time_wait}

# What arrives in each state; `ack` leaves their FIN unacknowledged where it has not been acknowledged before.
ARRIVALS = {
    "rst": lambda p, ack: p.inject("R", seq=p.nxt),
    "rst_ack": lambda p, ack: p.inject("R.", seq=p.nxt, ack=ack),
    "rst_in_window": lambda p, ack: p.inject("R", seq=p.nxt + 5),
    "rst_below": lambda p, ack: p.inject("R", seq=p.nxt - 1),
    "rst_beyond": lambda p, ack: p.inject("R", seq=p.nxt + 10000000),
    "rst_old_timestamp": lambda p, ack: p.inject("R", seq=p.nxt, options={"ts": (5, 0)}),
    "syn": lambda p, ack: p.inject("S", seq=p.nxt, options={"mss": 1460}),
    "syn_old": lambda p, ack: p.inject("S", seq=0, options={"mss": 1460}),
    "syn_in_window": lambda p, ack: p.inject("S", seq=p.nxt + 5, options={"mss": 1460}),
    "syn_beyond": lambda p, ack: p.inject("S", seq=p.nxt + 10000000, options={"mss": 1460}),
    "syn_ack": lambda p, ack: p.inject("S.", seq=p.nxt - 1, ack=ack, options={"mss": 1460}),
    "nothing_set": lambda p, ack: p.inject("", 10, seq=p.nxt, ack=ack),
    "fin_without_ack": lambda p, ack: p.inject("F", seq=p.nxt),
    "ack": lambda p, ack: p.inject(".", seq=p.nxt, ack=ack),
    "ack_unsent": lambda p, ack: p.inject(".", seq=p.nxt, ack=p.rcv + 100),
    "ack_unsent_data": lambda p, ack: p.inject("P.", 10, seq=p.nxt, ack=p.rcv + 100),
    "ack_below": lambda p, ack: p.inject(".", seq=p.nxt, ack=-100000),
    "old_data": lambda p, ack: p.alive(),
    "data_beyond": lambda p, ack: p.inject("P.", 10, seq=p.nxt + 10000000, ack=ack),
    "old_timestamp": lambda p, ack: p.inject("P.", 10, seq=p.nxt, ack=ack, options={"ts": (5, 0)}),
    "out_of_order": lambda p, ack: p.inject("P.", 10, seq=p.nxt + 10, ack=ack),
    "wrong_checksum": lambda p, ack: p.inject("P.", 10, seq=p.nxt, ack=ack, sound=False),
}


def arrival(state, what):
    def play(p):
        STATES[state](p)
        ARRIVALS[what](p, p.rcv if p.held is None else p.held)
        if state not in ("syn_rcvd", "time_wait"):
            p.read()
        p.alive()
    TRACES[f"in_{state}_{what}"] = play


for _state in STATES:
    for _what in ARRIVALS:
        if _state != "time_wait" or not _what.startswith("syn"):  # those: time_wait_syn
            arrival(_state, _what)


# --- no connection -------------------------------------------------------------------------------------------------------

ALONE = {"syn": "S", "ack": ".", "rst": "R", "rst_ack": "R.", "fin": "F", "fin_ack": "F.", "syn_ack": "S.", "syn_fin": "SF",
         "syn_rst": "SR", "push_urgent": "PU", "nothing": "", "all": "FSRP.U", "syn_push": "SP", "syn_urgent": "SU"}


@each(**{f"{kind}_{size}": (flags, size) for kind, flags in ALONE.items() for size in (0, 100)})
def closed_port(p, value):
    flags, size = value
    p.inject(flags, b"x" * size, seq=700, ack=900, port=1)


@each(**{f"{kind}_{size}": (flags, size) for kind, flags in ALONE.items() for size in (0, 100)})
def listening(p, value):
    flags, size = value
    p.inject(flags, b"x" * size, seq=0, ack=900)
    p.inject("R", seq=1)  # ends what it may have begun
    p.inject(".", seq=1, ack=p.rcv)


@each(below_5={"header": 16}, beyond={"header": 60}, wrong_checksum={"sound": False}, port_0={"sport": 0})
def broken_header(p, fields):
    fields = dict(fields)
    port = fields.pop("sport", p.port)
    s = Segment("S", p.iss, sport=port, dport=p.listening, options={"mss": 1460}, **fields)
    p.station.send(s)
    p.station.settle()
    p.step("a broken SYN", [f"{x.flags}" for x in p.station.inbox if x.sport == p.listening and x.dport == port])


@trace
def cut_header(p):
    """A packet that ends inside the TCP header."""
    whole = pack_tcp(Segment("S", p.iss, sport=p.port, dport=p.listening), p.station.address, p.station.host)
    p.station.send_packet(whole[:12])
    p.station.settle()
    p.step("12 bytes of a SYN", p.take())

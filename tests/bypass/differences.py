"""Where our TCP answers otherwise than Linux's, and why. against.py allows what stands here and nothing else.

trace, linux and ours are regular expressions over the trace's name and the answers of one step, as against.py prints them.
"""
import dataclasses


@dataclasses.dataclass
class Known:
    trace: str
    linux: str
    ours: str
    where: str       # the rest is for docs/tcp.md
    linux_text: str
    ours_text: str
    reason: str


def known(trace, *pairs, where, linux, ours, why):
    return [Known(trace, a, b, where, linux, ours, why) for a, b in pairs]


ACK = r"\. \d+:\d+\(0\) ack \d+ win \+( ts \d+)?( sack \d+-\d+)*"
RST = r"R \d+:\d+\(0\)"
RST_ACK = r"R\. -?\d+:-?\d+\(0\) ack \d+( ts \d+)?"
READ = r"read \d+ \w+ \w+"
SENT = r"ok( \| \.\w* \d+:\d+\(\d+\) ack \d+ win \+( ts \d+)?( ecn 2)?)*"

KNOWN = [
    *known("in_syn_rcvd_syn(_in_window)?", (RST_ACK, ACK), (RST, ACK),
           where="another SYN in the window of a passive SYN_RCVD", linux="RST, back to LISTEN", ours="challenge ACK",
           why="RFC 5961 4.2: a guessed SYN ends nothing; a peer that began anew answers the ACK with RST"),
    *known("in_syn_rcvd_rst_old_timestamp", (ACK, RST),
           where="RST with an old timestamp in SYN_RCVD", linux="dropped by PAWS", ours="ends the handshake",
           why="RFC 7323 5.2: PAWS is not for RSTs"),
    *known("in_.*_ack_below", (ACK, "nothing"),
           where="an ACK far below what is acknowledged, but not further than the largest window", linux="challenge ACK", ours="old ACK, passed over",
           why="RFC 5961 5.2 sets the bound at the largest window; Linux also at what was acknowledged so far"),
    *known("in_close_wait_rst(_ack|_old_timestamp)?", (READ, READ),
           where="RST after FIN", linux="the application reads an orderly end", ours="it hears of the RST",
           why="what it has sent is lost, and it should know"),
    *known("in_(close_wait|last_ack|closing)_rst_below", (RST, ACK),
           where="RST one below what is next, after FIN", linux="ends the connection (for the sake of macOS)", ours="passed over",
           why="RFC 5961 3.2: the exact number alone"),
    *known("text_after_fin_over_the_fin", (RST, "nothing"), (RST, ACK),
           where="text beyond the peer's FIN", linux="RST", ours="passed over", why="RFC 9293 3.10.7.4: the text is ignored"),
    *known("(in_.*_closed_out_of_order|text_to_a_closed_application.*)", (RST, RST_ACK),
           where="the RST for text to an application that closed", linux="RST at the ACK that came", ours="RST and ACK at what is next",
           why="what the peer expects unless our FIN is still under way"),
    *known("in_fin_wait_2_closed_.*", (ACK, ACK), ("nothing", ACK), (RST, ACK), (RST_ACK, ACK), (ACK, "nothing"), (ACK, RST),
           where="FIN_WAIT_2 of an application that closed", linux="as TIME_WAIT: no D-SACK, RSTs pass PAWS, a SYN gets RST", ours="as any FIN_WAIT_2",
           why="Linux keeps a smaller block there"),
    *known("(in_time_wait_rst(_ack)?|time_wait_fin_again)", (RST, ACK),
           where="RST in TIME_WAIT", linux="ends it (tcp_rfc1337 is off)", ours="does not", why="RFC 1337"),
    *known("handshake_with_a_strange_echo", (ACK, "nothing"),
           where="a timestamp echo in the last ACK of the handshake that was never sent", linux="challenge ACK (since 6.15)", ours="taken",
           why="the ACK number proves the peer; boxes rewrite timestamps"),
    *known("active_simultaneous", (ACK, ACK),
           where="simultaneous open: the SYN that comes again with an ACK", linux="reported by D-SACK", ours="plain ACK", why="a SYN is no text"),
    *known("active_simultaneous_then_ack", (r"S\. .* sackok ws", r"S\. .* mss 14[46]0"),
           where="simultaneous open with a peer that offers no options", linux="offers all once more", ours="offers the MSS alone",
           why="RFC 7323 2.2 and 3.2: on a SYN-ACK only what the SYN had"),
    *known("echo_of_an_old_segment", (ACK, ACK), (SENT, SENT),
           where="the timestamp of a segment that is old as a whole", linux="echoed", ours="not echoed",
           why="RFC 7323 4.3: only acceptable segments move TS.Recent; so Eifel sees that the first one had come"),
    *known("without_timestamp_when_agreed", (ACK, ACK), (READ, READ),
           where="a segment without the timestamps that were agreed upon", linux="taken", ours="dropped in silence", why="RFC 7323 3.2"),
    *known("holes_(all|no_timestamps)", (ACK, ACK),
           where="a hole is filled next to ranges that no longer fit into a report", linux="reports the part it remembers", ours="reports the whole range",
           why="RFC 2018 3: blocks are contiguous ranges"),
    *known("overlap_.*", (READ, READ),
           where="overlapping segments with other bytes", linux="the newer ones count where they cover older ones", ours="the first ones count",
           why="no RFC says; what was reported by SACK does not change"),
    *known("urgent", (READ, READ),
           where="urgent data", linux="its byte is taken out of the stream", ours="stays in line", why="RFC 6093"),
    *known("smaller_window_without_news", (SENT, SENT),
           where="a smaller window with the same numbers", linux="not believed", ours="taken", why="RFC 9293 3.10.7.4: the newest segment's window counts"),
    *known("ecn_active_mirrored", (r"\.W .*", ACK), (SENT, SENT),
           where="a SYN-ACK with both ECE and CWR", linux="ECN is on", ours="ECN is off", why="RFC 3168 6.1.1.1: a peer that mirrors bits has not agreed"),
    *known("extension_headers_long", (ACK, ACK), (READ, READ),
           where="more than 7 bytes of padding in an IPv6 extension header", linux="dropped", ours="taken",
           why="RFC 8200 4.2 sets no bound; RFC 4942 2.1.9.5 is for firewalls"),
    *known("fin_again", (ACK, ACK),
           where="a FIN that comes again", linux="reported by D-SACK", ours="plain ACK", why="a FIN is no text"),
]

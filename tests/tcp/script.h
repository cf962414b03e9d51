/*
 * script: packet scripts, in a small notation after packetdrill's semantics.
 *
 * Purpose: plays one side's segments against a stack at stated times and compares what leaves with
 * what is expected. One command a line; `#` starts a comment. Times are in ms: absolute, or `+n` after
 * the line before. Sequence numbers count from each side's SYN (ours is 0 in both directions).
 *
 *   opt sack=0 ts=0 ...             options of the stack, before anything else (see script.c); v6=1: IPv6
 *   listen | connect                our side opens passively or actively
 *   peer N                          the lines below speak of peer N (1 to 8; 1 at first), each with its
 *                                   own address, connection and numbers
 *   <time> < FLAGS seq:end(len) ack N win N [options]    a segment arrives
 *   <time> > FLAGS seq:end(len) ack N [win N] [options]  a segment must leave by then, nothing before it
 *   <time> idle                     nothing leaves until then
 *   <time> send N | shutdown | close | abort | window N | read [N]
 *   <time> reads N V                the next N bytes all have the value V (`fill V` on what arrives)
 *   <time> icmp big SEQ MTU | icmp hard SEQ | icmp soft SEQ | nagle
 *   <time> before                   our numbers count from the SYN-ACK before the last one
 *   <time> flood N                  N hosts, new ones, send a SYN each; each must get its SYN-ACK, at once
 *   <time> most cwnd|descriptors|memory|ooo|syns|time_waits|conns N
 *   <time> is STATE | readable N | acked N | finished | closed REASON | stat name N
 *
 * FLAGS: of S F R P A (or .) E W; options: mss N, ws N, sackok, ts V/E (E `echo`: the peer's newest),
 * sack a:b..., ce (CE in the IP header), bad (a wrong checksum). The checksum of all that leaves is
 * checked against a plain one, except with `opt tso`.
 * An expected segment without `win` or options matches any; P must be there if it is written.
 * Owner: one test. A failed script prints the line and what left instead.
 */
#ifndef TESTS_TCP_SCRIPT_H
#define TESTS_TCP_SCRIPT_H

#include <stdbool.h>

#include "tests/tcp/world.h"

/* False: it failed, and why was printed. `name` is for the message. */
bool script_run(const char *name, const char *text, struct world_pools *pools);

#endif

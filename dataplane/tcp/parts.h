/*
 * parts: what the files of dataplane/tcp offer each other; private to the folder.
 *
 * Purpose: the stack's inner functions, by file. All take blocks of one stack (tcb.h) and run on its
 * thread; none calls a hook but `emit`, `route` and what tcp_deliver_events delivers.
 */
#ifndef DATAPLANE_TCP_PARTS_H
#define DATAPLANE_TCP_PARTS_H

#include "dataplane/tcp/tcb.h"

/* --- stack.c: blocks and lists ------------------------------------------------------------------ */
struct tcp_conn *tcp_conn_alloc(struct tcp *t);
void tcp_conn_release(struct tcp_conn *c); /* frees all it holds; not in the table any more */
struct tcp_desc *tcp_desc_alloc(struct tcp *t);
void tcp_desc_release(struct tcp *t, struct tcp_desc *d);
struct tcp_synb *tcp_synb_alloc(struct tcp *t);
void tcp_synb_release(struct tcp_synb *b);
void tcp_want_output(struct tcp_conn *c);
void tcp_event(struct tcp_conn *c, enum tcp_event e);
/* The end: out of the table, timers off, queues dropped (rx kept if keep_rx), closed to follow. */
void tcp_conn_end(struct tcp_conn *c, enum tcp_close_reason reason, bool keep_rx);
uint32_t tcp_isn(struct tcp *t, const struct tcp_key *key);
uint32_t tcp_ts_offset(struct tcp *t, const struct tcp_key *key);
/* One SYN block or conn less that waits to be accepted. */
void tcp_listener_done(struct tcp *t, uint32_t index, uint32_t generation);
void tcp_deliver_events(struct tcp *t, uint32_t budget);
/* A conn's block with what its handshake settled; ready for output in the state given. */
void tcp_conn_setup(struct tcp_conn *c, const struct tcp_key *key, const struct tcp_route *route);
/* ESTABLISHED is reached: snd_una and windows are set. */
void tcp_conn_established(struct tcp_conn *c);
/* Derives mss from path and peer; call when one of them changes. */
void tcp_conn_set_mss(struct tcp_conn *c);

/* --- output.c, segment.c -------------------------------------------------------------------------- */
void tcp_conn_output(struct tcp_conn *c);
/* The override timer of silly-window avoidance: sends what fits, or a window probe. */
void tcp_output_override(struct tcp_conn *c);
bool tcp_output_waits(const struct tcp_conn *c); /* unsent bytes or FIN */
/* A segment without payload that belongs to no conn. */
void tcp_emit_bare(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *s);
/*
 * Emits header s and up to `len` bytes of payload from *pos, which moves on; cut by the port into
 * pieces of mss bytes if it is longer. Returns the payload's bytes; less than len (and then without
 * PSH and FIN) if it lies in too many mbufs. ERR_NO_MEMORY: nothing left.
 */
int tcp_emit_data(struct tcp_conn *c, struct tcp_seg *s, struct chain_pos *pos, uint32_t len,
                  uint32_t mss);
void tcp_reset_answer(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *in);
void tcp_send_rst(struct tcp_conn *c);
/* Header of an ordinary segment of this conn: ports, ack, window, timestamp, SACK blocks. */
void tcp_conn_header(struct tcp_conn *c, struct tcp_seg *s, uint8_t flags, uint32_t seq);
void tcp_conn_moved_window(struct tcp_conn *c);

/* --- listen.c, cookie.c, timewait.c --------------------------------------------------------------- */
void tcp_listen_input(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *s,
                      struct rte_mbuf *m);
void tcp_synb_input(struct tcp *t, struct tcp_synb *b, const struct tcp_seg *s, struct rte_mbuf *m);
void tcp_syn_ack(struct tcp *t, struct tcp_synb *b);
struct tcp_listener *tcp_listener_find(struct tcp *t, const struct tcp_key *key);
uint32_t tcp_cookie_make(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *syn);
/* Timestamp that carries what a cookie has no room for. */
uint32_t tcp_cookie_ts(struct tcp *t, const struct tcp_synb *b);
/* Fills b from an ACK that answers a cookie; false: not one of ours. */
bool tcp_cookie_check(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *s,
                      struct tcp_synb *b);
/* Takes the conn's place in the table. */
void tcp_tw_enter(struct tcp_conn *c);
void tcp_tw_input(struct tcp *t, struct tcp_tw *w, const struct tcp_seg *s, struct rte_mbuf *m);
void tcp_tw_remove(struct tcp_tw *w);
void tcp_tw_timer(struct wheel_timer *w, int64_t now);

/* --- input.c, ack.c, reassemble.c ------------------------------------------------------------------ */
/* m holds the payload alone (its header taken off); owned by the callee. */
void tcp_conn_input(struct tcp_conn *c, const struct tcp_seg *s, struct rte_mbuf *m);
void tcp_challenge_ack(struct tcp_conn *c);
bool tcp_challenge_allowed(struct tcp *t);
/* False: the segment must be dropped. */
bool tcp_conn_ack(struct tcp_conn *c, const struct tcp_seg *s);
/* Payload [seq, seq + len) already cut to the window. */
void tcp_conn_data(struct tcp_conn *c, uint32_t seq, uint32_t len, struct rte_mbuf *m);
void tcp_ooo_free(struct tcp_conn *c);
uint32_t tcp_sack_report(struct tcp_conn *c, struct tcp_block *out, uint32_t max);
uint32_t tcp_chain_memory(const struct rte_mbuf *m);
void tcp_dsack_note(struct tcp_conn *c, uint32_t start, uint32_t end);

/* --- recovery.c, sack.c: scoreboard, RACK-TLP -------------------------------------------------------- */
struct tcp_acked {
    uint32_t bytes;        /* newly acknowledged cumulatively */
    uint32_t sacked_bytes; /* newly by SACK */
    int64_t rtt;           /* of a piece sent once; -1: none */
    bool dsack;
    uint32_t dsack_start, dsack_end;
    uint32_t ack, ts_ecr;
    bool has_ecr, acked_retrans; /* a piece that was sent more than once is acknowledged */
};
void tcp_scoreboard_ack(struct tcp_conn *c, uint32_t ack, struct tcp_acked *a);
void tcp_scoreboard_sack(struct tcp_conn *c, const struct tcp_seg *s, struct tcp_acked *a);
void tcp_scoreboard_drop(struct tcp_conn *c);
/* Cuts d so that its first `len` bytes stand alone; false without descriptors. */
bool tcp_desc_split(struct tcp_conn *c, struct tcp_desc *d, uint32_t len);
void tcp_desc_lost(struct tcp_conn *c, struct tcp_desc *d);
void tcp_rack_sample(struct tcp_conn *c, const struct tcp_desc *d, struct tcp_acked *a);
/* Marks what RACK thinks lost; arms the reordering timer; true if anything was marked. */
bool tcp_rack_detect(struct tcp_conn *c);
void tcp_rack_reordering(struct tcp_conn *c, const struct tcp_acked *a);
void tcp_recovery_after_ack(struct tcp_conn *c, struct tcp_acked *a, bool duplicate);
void tcp_recovery_enter(struct tcp_conn *c);
void tcp_recovery_timeout(struct tcp_conn *c);
void tcp_rtt_sample(struct tcp_conn *c, int64_t rtt);

/* --- congestion.c -------------------------------------------------------------------------------------- */
void tcp_cc_init(struct tcp_conn *c);
void tcp_cc_acked(struct tcp_conn *c, uint32_t bytes, int64_t rtt);
void tcp_cc_loss(struct tcp_conn *c);    /* fast recovery begins, or ECE: sets ssthresh and cwnd */
void tcp_cc_timeout(struct tcp_conn *c); /* RTO */
void tcp_cc_idle(struct tcp_conn *c);    /* before sending after an idle time */
void tcp_cc_save(struct tcp_conn *c);
void tcp_cc_undo(struct tcp_conn *c);
uint32_t tcp_cc_initial(uint32_t mss);

/* --- timers.c, path.c ------------------------------------------------------------------------------------ */
void tcp_timer_set(struct tcp_conn *c, enum tcp_timer kind, int64_t at);
/* After any change of what is in flight: RTO or TLP as RFC 6298 and 8985 say, or none. */
void tcp_timer_rearm(struct tcp_conn *c);
void tcp_timer_sync(struct tcp_conn *c); /* wheel follows timer_at, ack_at, keep_at */
void tcp_conn_timer(struct wheel_timer *w, int64_t now);
void tcp_synb_timer(struct wheel_timer *w, int64_t now);
void tcp_keepalive_restart(struct tcp_conn *c);
void tcp_path_lower(struct tcp_conn *c, uint16_t mss_path);
/* An RTO, before it is acted upon: full segments may vanish in a black hole (RFC 4821 7.7). */
void tcp_path_timeout(struct tcp_conn *c);

#endif

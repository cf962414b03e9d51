/*
 * conn: bytes to frames. What a conn may hold of unread, half-read and unsent bytes is bounded
 * here.
 *
 * Read-ahead (want) is small enough that all conns together stay within the receive buffers that
 * no request has reserved; a frame that does not come whole with it needs a reserve of its full
 * length before more of it is read.
 */
#include <stdarg.h>
#include <stdio.h>

#include "dataplane/kafka/kafka_internal.h"

/* ---- trouble ---- */

static void conn_let_go(struct conn *c)
{
    if (c->reserved > 0)
        reserve_give(c->k->reserve, c->reserved);
    c->reserved = 0;
    c->need = 0;
    c->wait = CONN_WAITS_NOT;
    link_remove(&c->wait_link);
    link_remove(&c->partial_link);
}

void conn_close(struct conn *c, bool abort)
{
    if (c->closing)
        return;
    c->closing = true;
    conn_let_go(c);
    link_remove(&c->idle_link);
    chain_free(&c->tc->rx);
    tconn_close(c->tc, abort);
}

void conn_close_when_answered(struct conn *c)
{
    c->doomed = true;
    conn_let_go(c);
    chain_free(&c->tc->rx);
    if (c->inflight == 0)
        conn_close(c, false);
}

void conn_doom(struct conn *c, const char *fmt, ...)
{
    if (c->doomed || c->closing)
        return;
    struct kafka *k = c->k;
    k->counters.conns_closed_bad++;
    uint64_t suppressed = 0;
    if (log_limit_pass(&k->log_limit, kafka_clock(k), &suppressed)) {
        char peer[TCONN_PEER_TEXT_MAX], why[256], more[64] = "";
        va_list args;
        va_start(args, fmt);
        vsnprintf(why, sizeof(why), fmt, args);
        va_end(args);
        if (suppressed > 0)
            snprintf(more, sizeof(more), " (%llu such lines suppressed)",
                     (unsigned long long)suppressed);
        tconn_peer_text(c->tc, peer);
        log_warn("kafka", "closing connection from %s: %s%s", peer, why, more);
    }
    conn_close_when_answered(c);
}

static bool looks_like_http(const uint8_t p[4])
{
    static const char starts[][5] = {"GET ", "POST", "PUT ", "HEAD", "DELE",
                                     "OPTI", "PATC", "CONN", "TRAC", "PRI "};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (memcmp(p, starts[i], 4) == 0)
            return true;
    return false;
}

static void doom_for_length(struct conn *c, int32_t len)
{
    if (c->prefix[0] == 0x16 && c->prefix[1] == 0x03)
        conn_doom(c, "it speaks TLS to a PLAINTEXT listener");
    else if (looks_like_http(c->prefix))
        conn_doom(c, "it speaks HTTP; this is a Kafka listener");
    else if (len <= 0)
        conn_doom(c, "invalid request length %d", len);
    else
        conn_doom(
            c,
            "request length %d is over %llu, the smaller of socket.request.max.bytes and what "
            "sluice.memory admits",
            len, (unsigned long long)c->k->o.request_bytes_max);
}

/* ---- waiting lines and timers ---- */

static void arm_timer(struct kafka *k, int64_t at_ns)
{
    if (!wheel_armed(&k->timer) || at_ns < k->timer.deadline_ns)
        wheel_arm(&k->shard->wheel, &k->timer, at_ns);
}

static void arm_for_idle(struct kafka *k, const struct conn *c)
{
    if (k->o.idle_ns > 0)
        arm_timer(k, c->active_ns + k->o.idle_ns);
}

static void arm_for_partial(struct kafka *k)
{
    if (link_alone(&k->partials))
        return;
    const struct conn *c = container_of(k->partials.next, struct conn, partial_link);
    arm_timer(k, c->partial_ns + k->o.partial_request_ns);
}

void conn_line_up(struct conn *c, enum conn_wait wait)
{
    DCHECK(c->wait == CONN_WAITS_NOT);
    c->wait = (uint8_t)wait;
    link_push(&c->k->waiting[wait], &c->wait_link);
    if (wait == CONN_WAITS_RESERVE) {
        c->k->counters.reserve_waits++;
        arm_for_partial(c->k);
    }
}

static bool others_wait(const struct kafka *k)
{
    return !link_alone(&k->waiting[CONN_WAITS_RESERVE]) || k->rx_low;
}

static void expire_partial(struct kafka *k, int64_t now_ns)
{
    while (!link_alone(&k->partials) && others_wait(k)) {
        struct conn *c = container_of(k->partials.next, struct conn, partial_link);
        if (now_ns - c->partial_ns < k->o.partial_request_ns) {
            arm_for_partial(k);
            return;
        }
        conn_doom(c,
                  "%llu of %u bytes of its request came in %lld ms, and others wait for the memory",
                  (unsigned long long)c->tc->rx.bytes, c->need,
                  (long long)((now_ns - c->partial_ns) / CLOCK_NS_PER_MS));
    }
}

/* A conn with a request in work is not idle; one that takes no bytes of a reply is. */
static void expire_idle(struct kafka *k, int64_t now_ns)
{
    while (!link_alone(&k->idle) && k->o.idle_ns > 0) {
        struct conn *c = container_of(k->idle.next, struct conn, idle_link);
        if (now_ns - c->active_ns < k->o.idle_ns) {
            arm_for_idle(k, c);
            return;
        }
        link_remove(&c->idle_link);
        if (c->inflight > 0) {
            c->active_ns = now_ns;
            link_push(&k->idle, &c->idle_link);
        } else {
            conn_close(c, c->unsent > 0);
        }
    }
}

/* As stock Kafka when max.connections was lowered: those that were silent longest. */
void conn_close_excess(struct kafka *k)
{
    struct admission *a = k->o.admission;
    uint32_t shard = k->shard->index;
    struct link *next;
    for (struct link *l = k->idle.next; l != &k->idle && admission_owed(a, shard) > 0; l = next) {
        struct conn *c = container_of(l, struct conn, idle_link);
        next = l->next;
        if (!admission_claim(a, shard, c->listener))
            continue;
        c->claimed = true;
        conn_close(c, false);
    }
}

void conn_expire(struct kafka *k, int64_t now_ns)
{
    expire_partial(k, now_ns);
    expire_idle(k, now_ns);
}

static void conn_touch(struct conn *c, int64_t now_ns)
{
    if (now_ns - c->active_ns < idle_touch_ns || c->closing)
        return;
    c->active_ns = now_ns;
    link_remove(&c->idle_link);
    link_push(&c->k->idle, &c->idle_link);
}

/* ---- how much may be read ---- */

void conn_ahead(struct kafka *k)
{
    uint64_t share = k->reserve->limit / 4;
    if (k->counters.conns > 1)
        share /= k->counters.conns;
    k->ahead = share < ahead_bytes_min   ? ahead_bytes_min
               : share > ahead_bytes_max ? ahead_bytes_max
                                         : share;
}

static uint64_t ahead_now(const struct kafka *k)
{
    if (!link_alone(&k->waiting[CONN_WAITS_RESERVE]))
        return 0;
    if (k->reserve->used > k->reserve->limit / 2)
        return ahead_bytes_min;
    return k->ahead;
}

/*
 * Once per event: what is left of the last setting stays as long as half of the read-ahead is
 * there.
 */
void conn_settle_want(struct conn *c)
{
    if (c->closing)
        return;
    struct tconn *tc = c->tc;
    if (c->doomed || c->slow || c->wait == CONN_WAITS_RESERVE || c->k->draining) {
        if (tc->want > 0)
            tconn_want(tc, 0);
        return;
    }
    uint64_t ahead = ahead_now(c->k), rest = 0;
    if (c->need > 0) {
        if (tc->rx.bytes >= c->need)
            return; /* its turn comes; until then nothing more is asked for */
        rest = c->need - tc->rx.bytes;
    } else if (ahead < ahead_bytes_min) {
        ahead = ahead_bytes_min;
    }
    if (tc->want < rest + ahead / 2 || tc->want == 0)
        tconn_want(tc, rest + ahead);
}

/* ---- framing ---- */

/* The length word, kept here while it is incomplete so that the conn holds no buffer. */
static bool conn_length(struct conn *c)
{
    struct chain *rx = &c->tc->rx;
    uint32_t missing = frame_prefix_bytes - c->prefix_len;
    uint32_t n = rx->bytes < missing ? (uint32_t)rx->bytes : missing;
    chain_copy_out(rx, 0, c->prefix + c->prefix_len, n);
    chain_consume(rx, n);
    c->prefix_len = (uint8_t)(c->prefix_len + n);
    if (c->prefix_len < frame_prefix_bytes)
        return false;
    c->prefix_len = 0;
    int32_t len = bytes_get_i32(c->prefix);
    if (len <= 0 || (uint64_t)len > c->k->o.request_bytes_max) {
        doom_for_length(c, len);
        return false;
    }
    c->need = (uint32_t)len;
    return true;
}

static void conn_await_rest(struct conn *c)
{
    struct kafka *k = c->k;
    if (c->reserved == 0 && c->need > small_frame_bytes) {
        if (!link_alone(&k->waiting[CONN_WAITS_RESERVE]) || !reserve_take(k->reserve, c->need)) {
            conn_line_up(c, CONN_WAITS_RESERVE);
            return;
        }
        c->reserved = c->need;
    }
    if (link_alone(&c->partial_link)) {
        c->partial_ns = kafka_clock(k);
        link_push(&k->partials, &c->partial_link);
        if (others_wait(k))
            arm_for_partial(k);
    }
}

/* True if a whole frame stands at the front of rx. */
static bool conn_frame(struct conn *c)
{
    if (c->need == 0 && (c->tc->rx.bytes == 0 || !conn_length(c)))
        return false;
    if (c->tc->rx.bytes >= c->need)
        return true;
    conn_await_rest(c);
    return false;
}

static bool conn_may_start(const struct conn *c)
{
    return !c->closing && !c->doomed && !c->slow && c->wait == CONN_WAITS_NOT && !c->k->draining;
}

/* A member of a group that waits for the others: for minutes, in a place that others may need. */
static bool waits_for_others(const struct request *r)
{
    return !r->done && (r->api_key == API_JoinGroup || r->api_key == API_SyncGroup);
}

/* The peer has ended: nothing waits for more than is there. `stands`: a request stands in rx. */
static void conn_finish(struct conn *c, bool stands)
{
    if (c->head != NULL && waits_for_others(c->head)) {
        conn_close(c, false);
        return;
    }
    for (struct request *r = c->head, *next; r != NULL; r = next) {
        next = r->next;
        if (!r->done && r->api_key == API_Fetch)
            fetch_wake(r);
    }
    if (!stands || c->k->draining)
        conn_close_when_answered(c);
}

/*
 * After the peer's end, too, as in Kafka: who produces with acks=0 and leaves has sent what it has sent,
 * and who shuts down its half still reads answers.
 */
void conn_input(struct conn *c)
{
    bool later = false;
    while (!later && conn_may_start(c) && conn_frame(c))
        later = request_start(c) == REQUEST_LATER;
    bool stands = later || c->slow || c->wait == CONN_WAITS_SLOT || c->wait == CONN_WAITS_LOG;
    if (c->ended && !c->doomed && !c->closing)
        conn_finish(c, stands);
    conn_settle_want(c);
}

/*
 * The frame at the front was read in place, or has been moved to r->body (then need is 0 already).
 */
void conn_frame_taken(struct conn *c, struct request *r)
{
    c->k->counters.bytes_in += r->frame_bytes + frame_prefix_bytes;
    if (c->need > 0) {
        chain_consume(&c->tc->rx, c->need);
        if (c->reserved > 0)
            reserve_give(c->k->reserve, c->reserved);
        c->reserved = 0;
        c->need = 0;
    }
    link_remove(&c->partial_link);
}

void conn_push(struct conn *c, struct request *r)
{
    r->next = NULL;
    if (c->tail != NULL)
        c->tail->next = r;
    else
        c->head = r;
    c->tail = r;
    c->produce_only = r->api_key == API_Produce && (c->inflight == 0 || c->produce_only);
    c->inflight++;
}

/* r was the head, and is free afterwards. */
void conn_answered(struct conn *c, struct request *r)
{
    CHECK(c->head == r && c->inflight > 0);
    c->head = r->next;
    if (c->head == NULL)
        c->tail = NULL;
    c->inflight--;
    request_free(r);
}

/* ---- what was waited for is there ---- */

static uint32_t serve_reserve(struct kafka *k)
{
    struct link *line = &k->waiting[CONN_WAITS_RESERVE];
    uint32_t n = 0;
    while (!link_alone(line)) {
        struct conn *c = container_of(line->next, struct conn, wait_link);
        if (!reserve_take(k->reserve, c->need))
            break;
        c->reserved = c->need;
        link_remove(&c->wait_link);
        c->wait = CONN_WAITS_NOT;
        conn_input(c);
        n++;
    }
    return n;
}

/* One that still cannot start goes back to the front. */
static uint32_t serve_slots(struct kafka *k)
{
    struct link *line = &k->waiting[CONN_WAITS_SLOT];
    uint32_t n = 0;
    while (!link_alone(line) && k->requests.free > 0) {
        struct conn *c = container_of(line->next, struct conn, wait_link);
        link_remove(&c->wait_link);
        c->wait = CONN_WAITS_NOT;
        struct link rest;
        link_take_all(&rest, line); /* nobody stands before it now: it may start */
        conn_input(c);
        bool again = c->wait == CONN_WAITS_SLOT;
        while (!link_alone(&rest)) {
            struct link *l = rest.next;
            link_remove(l);
            link_push(line, l);
        }
        if (again)
            break;
        n++;
    }
    return n;
}

static uint32_t serve_all(struct link *line, size_t link_offset, uint32_t budget)
{
    struct link now;
    link_take_all(&now, line);
    uint32_t n = 0;
    for (; !link_alone(&now) && n < budget; n++) {
        struct conn *c = (struct conn *)((char *)now.next - link_offset);
        link_remove(now.next);
        c->wait = link_offset == offsetof(struct conn, wait_link) ? CONN_WAITS_NOT : c->wait;
        conn_input(c);
    }
    while (!link_alone(&now)) {
        struct link *l = now.next;
        link_remove(l);
        link_push(line, l);
    }
    return n;
}

uint32_t conn_serve_waiting(struct kafka *k, uint32_t budget)
{
    uint32_t n = 0;
    if (!link_alone(&k->waiting[CONN_WAITS_RESERVE]))
        n += serve_reserve(k);
    if (!link_alone(&k->waiting[CONN_WAITS_SLOT])) {
        n += serve_slots(k);
        if (!link_alone(&k->waiting[CONN_WAITS_SLOT]))
            fetch_relieve(k);
    }
    if (!link_alone(&k->waiting[CONN_WAITS_LOG]) && k->parked_head == NULL)
        n += serve_all(&k->waiting[CONN_WAITS_LOG], offsetof(struct conn, wait_link), budget);
    if (!link_alone(&k->resume))
        n += serve_all(&k->resume, offsetof(struct conn, resume_link), budget);
    return n;
}

/* ---- events ---- */

static void log_refusal(struct kafka *k, const struct tconn *tc, const char *why)
{
    char peer[TCONN_PEER_TEXT_MAX];
    if (!log_limit_pass(&k->log_limit, kafka_clock(k), NULL))
        return;
    tconn_peer_text(tc, peer);
    log_warn("kafka", "refusing connection from %s: %s", peer, why);
}

static int admit(struct kafka *k, const struct tconn *tc, uint32_t listener)
{
    if (k->draining)
        return ERR_CLOSED;
    if (k->o.admission == NULL)
        return 0;
    const char *refusal = admission_enter(k->o.admission, &tc->peer, k->shard->index, listener);
    if (refusal != NULL)
        log_refusal(k, tc, refusal);
    return refusal != NULL ? ERR_FULL : 0;
}

static int on_accepted(void *ctx, struct tconn *tc, uint32_t listener)
{
    struct kafka *k = ctx;
    int rc = admit(k, tc, listener);
    if (rc < 0)
        return rc;
    struct conn *c = pool_take(&k->conns);
    if (c == NULL) {
        log_refusal(k, tc, "all connection blocks of the shard are in use");
        if (k->o.admission != NULL)
            admission_leave(k->o.admission, &tc->peer, k->shard->index, listener, false);
        return ERR_FULL;
    }
    memset(c, 0, sizeof(*c));
    c->tc = tc;
    c->k = k;
    c->listener = listener;
    c->active_ns = kafka_clock(k);
    struct link *links[] = {&c->wait_link, &c->flush_link, &c->resume_link, &c->partial_link,
                            &c->idle_link};
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        link_init(links[i]);
    link_push(&k->idle, &c->idle_link);
    arm_for_idle(k, c);
    tc->user = c;
    k->counters.conns++;
    conn_ahead(k);
    conn_settle_want(c);
    return 0;
}

static void on_readable(struct tconn *tc)
{
    struct conn *c = tc->user;
    if (c->closing || c->doomed) {
        chain_free(&tc->rx);
        return;
    }
    c->received_ns = c->k->shard->now_ns; /* it was there when the step began */
    conn_touch(c, c->received_ns);
    conn_input(c);
}

static void on_ended(struct tconn *tc)
{
    struct conn *c = tc->user;
    c->ended = true;
    if (c->doomed || c->closing) /* closed when everything before is answered */
        return;
    conn_touch(c, c->k->shard->now_ns);
    conn_input(c);
}

static void follow_sample(struct conn *c, uint64_t bytes)
{
    if (c->sample_left > bytes) {
        c->sample_left -= bytes;
        return;
    }
    c->sampled = false;
    c->sample.at[STAMP_SENT] = c->k->shard->now_ns;
    stage_clocks_record(&c->k->clocks, c->sample_class, &c->sample);
}

static void on_sent(struct tconn *tc, uint64_t bytes)
{
    struct conn *c = tc->user;
    struct kafka *k = c->k;
    CHECK(bytes <= c->unsent && bytes <= k->unsent);
    c->unsent -= bytes;
    k->unsent -= bytes;
    if (c->sampled)
        follow_sample(c, bytes);
    conn_touch(c, k->shard->now_ns);
    if (c->slow && c->unsent <= k->o.reply_bytes_max / 2) {
        c->slow = false;
        if (link_alone(&c->resume_link))
            link_push(&k->resume, &c->resume_link);
    }
}

/* Requests that run on go without their conn; what only waits is ended. */
static void orphan_requests(struct conn *c)
{
    while (c->head != NULL) {
        struct request *r = c->head;
        c->head = r->next;
        r->conn = NULL;
        r->next = NULL;
        if (r->done)
            request_free(r);
        else if (r->api_key == API_Fetch && r->fetch.phase == FETCH_WAIT)
            fetch_wake(r);
        else if (request_is_forwarded(r))
            forward_orphan(r);
    }
    c->tail = NULL;
}

static void on_closed(struct tconn *tc, enum transport_close reason)
{
    struct conn *c = tc->user;
    struct kafka *k = c->k;
    (void)reason;
    conn_let_go(c);
    struct link *links[] = {&c->flush_link, &c->resume_link, &c->idle_link};
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        link_remove(links[i]);
    chain_free(&tc->rx);
    orphan_requests(c);
    k->unsent -= c->unsent;
    k->counters.conns--;
    conn_ahead(k);
    if (k->o.admission != NULL)
        admission_leave(k->o.admission, &tc->peer, k->shard->index, c->listener, c->claimed);
    tc->user = NULL;
    pool_give(&k->conns, c);
}

static void on_connected(struct tconn *tc)
{
    (void)tc; /* the request path opens no connections */
}

void conn_events(struct kafka *k)
{
    k->events = (struct transport_events){
        .accepted = on_accepted,
        .readable = on_readable,
        .sent = on_sent,
        .closed = on_closed,
        .connected = on_connected,
        .ctx = k,
        .ended = on_ended,
    };
}

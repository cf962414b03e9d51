#include "dataplane/transport/filter.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "dataplane/transport/transport_internal.h"

struct filter_conn {
    struct tconn head;
    struct filter *f;
    struct tconn *lower;            /* NULL: gone */
    STAILQ_ENTRY(filter_conn) work; /* in work or free */
    struct chain wire_in;           /* received, not decoded yet */
    struct chain plain_in;          /* decoded, over what the consumer wants */
    struct chain plain_out;         /* not encoded yet */
    uint64_t wire_given, wire_sent; /* to and by the lower transport */
    struct {
        uint64_t wire_end; /* once this much was sent ... */
        uint64_t plain;    /* ... these bytes of the consumer were, too */
    } marks[filter_marks_max];
    uint8_t mark_count, reason;
    bool used, on_work;
    bool close_wanted, abort_wanted, lower_closing, failed;
    bool lower_ended, end_told;
};

struct filter {
    struct filter_options options;
    struct transport_events lower_events;
    STAILQ_HEAD(, filter_conn) free, work;
    uint32_t work_count, open;
    uint8_t *blocks;
    size_t block_bytes;
};

static void *state_of(struct filter_conn *c)
{
    size_t at = (sizeof *c + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    return (uint8_t *)c + at;
}

static void add_work(struct filter_conn *c)
{
    if (c->on_work || !c->used)
        return;
    c->on_work = true;
    STAILQ_INSERT_TAIL(&c->f->work, c, work);
    c->f->work_count++;
}

/* ---- wire bytes out ---- */

static void close_lower(struct filter_conn *c, bool abort)
{
    if (c->lower == NULL)
        return;
    c->lower_closing = true;
    tconn_close(c->lower, abort);
}

static void fail(struct filter_conn *c, bool abort)
{
    c->failed = true;
    close_lower(c, abort);
}

/* `plain` bytes of the consumer are done once all of `wire` is sent. */
static void give_wire(struct filter_conn *c, struct chain *wire, uint64_t plain)
{
    c->wire_given += wire->bytes;
    if (plain > 0) {
        if (c->mark_count < filter_marks_max)
            c->marks[c->mark_count++].plain = 0;
        c->marks[c->mark_count - 1].plain += plain;
        c->marks[c->mark_count - 1].wire_end = c->wire_given;
    }
    if (wire->bytes > 0 && c->lower != NULL && !c->lower_closing)
        tconn_send(c->lower, wire);
    else
        chain_free(wire);
}

static void wrap_some(struct filter_conn *c)
{
    const struct filter_options *o = &c->f->options;
    while (c->plain_out.bytes > 0 && c->lower != NULL && !c->lower_closing) {
        uint64_t pending = c->wire_given - c->wire_sent;
        if (pending >= filter_wire_bytes_max && !c->close_wanted)
            return; /* the next sent event goes on */
        uint64_t room = c->close_wanted ? UINT64_MAX : filter_wire_bytes_max - pending;
        uint64_t before = c->plain_out.bytes;
        struct chain wire = {0};
        int err = o->ops->wrap(state_of(c), o->mem, &c->plain_out, room, &wire);
        give_wire(c, &wire, before - c->plain_out.bytes);
        if (err == 0 && before != c->plain_out.bytes)
            continue;
        if (err == ERR_NO_MEMORY && !c->close_wanted)
            add_work(c);
        else if (err != ERR_NEED_MORE && err != 0)
            fail(c, true);
        return;
    }
}

/* Everything that can leave leaves; then the close that was asked for. */
static void pump_out(struct filter_conn *c)
{
    const struct filter_options *o = &c->f->options;
    wrap_some(c);
    if (!c->close_wanted || c->lower_closing || c->lower == NULL)
        return;
    struct chain last = {0};
    bool abort = c->abort_wanted || o->ops->finish(state_of(c), o->mem, &last) < 0;
    give_wire(c, &last, 0);
    close_lower(c, abort);
}

/* ---- wire bytes in ---- */

static void pump_in(struct filter_conn *c)
{
    const struct filter_options *o = &c->f->options;
    struct chain reply = {0};
    if (c->lower != NULL)
        chain_join(&c->wire_in, &c->lower->rx);
    if (c->close_wanted || c->failed) {
        chain_free(&c->wire_in);
        return;
    }
    int err = o->ops->unwrap(state_of(c), o->mem, &c->wire_in, &c->plain_in, &reply);
    bool told = reply.bytes > 0;
    give_wire(c, &reply, 0);
    if (err == ERR_NO_MEMORY)
        add_work(c);
    else if (err < 0 && err != ERR_NEED_MORE)
        fail(c, !told);
}

static void deliver(struct filter_conn *c)
{
    if (c->close_wanted || c->failed)
        return;
    int64_t n = transport_deliver(&c->head, &c->plain_in, c->f->options.mem->ref_pool);
    if (n < 0)
        add_work(c);
    if (n > 0)
        c->head.events->readable(&c->head);
}

/* The peer's end, once nothing is left that could be delivered; what is in the way of that has work to do. */
static void tell_end(struct filter_conn *c)
{
    if (!c->lower_ended || c->end_told || c->on_work || c->plain_in.bytes > 0 || c->close_wanted ||
        c->failed)
        return;
    c->end_told = true;
    c->head.events->ended(&c->head);
}

static void set_lower_want(struct filter_conn *c)
{
    if (c->lower == NULL || c->lower_closing)
        return;
    uint64_t want = 0;
    if (!c->close_wanted && !c->failed && c->plain_in.bytes == 0)
        want = c->f->options.ops->wire_want(state_of(c), c->wire_in.bytes, c->head.want);
    if (want != c->lower->want)
        tconn_want(c->lower, want);
}

/* ---- blocks ---- */

static void conn_send(struct tconn *head, struct chain *out)
{
    struct filter_conn *c = (struct filter_conn *)head;
    if (!c->used || c->close_wanted || c->lower == NULL || c->failed) {
        chain_free(out);
        return;
    }
    head->tx_bytes += out->bytes;
    chain_join(&c->plain_out, out);
    pump_out(c);
}

static void conn_want(struct tconn *head, uint64_t bytes)
{
    struct filter_conn *c = (struct filter_conn *)head;
    head->want = bytes;
    if (c->plain_in.bytes > 0 && bytes > 0)
        add_work(c); /* an event is not for now */
    set_lower_want(c);
}

static void conn_close(struct tconn *head, bool abort)
{
    struct filter_conn *c = (struct filter_conn *)head;
    if (!c->used)
        return;
    c->close_wanted = true;
    head->want = 0;
    if (abort && !c->abort_wanted) {
        c->abort_wanted = true;
        close_lower(c, true);
    }
    pump_out(c);
    if (c->lower == NULL)
        add_work(c); /* waited for the consumer to read the rest */
}

static const struct tconn_ops conn_ops = {
    .send = conn_send, .want = conn_want, .close = conn_close};

static void conn_release(struct filter_conn *c)
{
    struct filter *f = c->f;
    c->used = false;
    if (c->on_work) {
        STAILQ_REMOVE(&f->work, c, filter_conn, work);
        f->work_count--;
    }
    chain_free(&c->head.rx);
    chain_free(&c->wire_in);
    chain_free(&c->plain_in);
    chain_free(&c->plain_out);
    f->options.ops->close(state_of(c));
    STAILQ_INSERT_HEAD(&f->free, c, work);
    f->open--;
}

static struct filter_conn *conn_open(struct filter *f, bool active)
{
    struct filter_conn *c = STAILQ_FIRST(&f->free);
    if (c == NULL)
        return NULL;
    STAILQ_REMOVE_HEAD(&f->free, work);
    memset(c, 0, f->block_bytes);
    if (f->options.ops->open(f->options.ctx, state_of(c), active) < 0) {
        STAILQ_INSERT_HEAD(&f->free, c, work);
        return NULL;
    }
    c->f = f;
    c->used = true;
    c->head.ops = &conn_ops;
    c->head.events = f->options.events;
    f->open++;
    return c;
}

static void attach(struct filter_conn *c, struct tconn *lower)
{
    c->lower = lower;
    c->head.id = lower->id;
    c->head.opened_ns = lower->opened_ns;
    c->head.peer = lower->peer;
}

static void end(struct filter_conn *c)
{
    c->used = false; /* what the consumer still calls has no effect */
    c->head.events->closed(&c->head, (enum transport_close)c->reason);
    conn_release(c);
}

/* ---- events of the lower transport ---- */

static int lower_accepted(void *ctx, struct tconn *lower, uint32_t listener)
{
    struct filter *f = ctx;
    struct filter_conn *c = conn_open(f, false);
    if (c == NULL)
        return ERR_FULL;
    attach(c, lower);
    lower->user = c;
    int err = f->options.events->accepted(f->options.events->ctx, &c->head, listener);
    if (err < 0) {
        conn_release(c);
        return err;
    }
    pump_in(c); /* a transform that speaks first */
    set_lower_want(c);
    return 0;
}

static void lower_readable(struct tconn *lower)
{
    struct filter_conn *c = lower->user;
    pump_in(c);
    deliver(c);
    pump_out(c);
    set_lower_want(c);
}

static void lower_ended(struct tconn *lower)
{
    struct filter_conn *c = lower->user;
    c->lower_ended = true;
    tell_end(c);
}

static void lower_sent(struct tconn *lower, uint64_t bytes)
{
    struct filter_conn *c = lower->user;
    uint64_t plain = 0;
    uint8_t done = 0;
    c->wire_sent += bytes;
    while (done < c->mark_count && c->marks[done].wire_end <= c->wire_sent)
        plain += c->marks[done++].plain;
    c->mark_count = (uint8_t)(c->mark_count - done);
    memmove(c->marks, c->marks + done, c->mark_count * sizeof c->marks[0]);
    if (plain > 0) {
        c->head.tx_bytes -= plain;
        c->head.events->sent(&c->head, plain);
    }
    pump_out(c);
}

static void lower_closed(struct tconn *lower, enum transport_close reason)
{
    struct filter_conn *c = lower->user;
    chain_join(&c->wire_in, &lower->rx);
    c->lower = NULL;
    c->reason = (uint8_t)reason;
    if (c->failed)
        c->reason = TRANSPORT_CLOSE_RESET;
    if (c->close_wanted)
        c->reason = TRANSPORT_CLOSE_LOCAL;
    bool rest = c->wire_in.bytes > 0 || c->plain_in.bytes > 0;
    if (c->reason == TRANSPORT_CLOSE_PEER && rest)
        add_work(c); /* all of it is delivered first */
    else
        end(c);
}

static void lower_connected(struct tconn *lower)
{
    struct filter_conn *c = lower->user;
    c->head.opened_ns = lower->opened_ns;
    c->head.events->connected(&c->head);
    pump_in(c); /* a handshake begins with us */
    pump_out(c);
    set_lower_want(c);
}

static void conn_step(struct filter_conn *c)
{
    if (c->wire_in.bytes > 0)
        pump_in(c);
    deliver(c);
    tell_end(c);
    pump_out(c);
    set_lower_want(c);
    if (c->lower != NULL)
        return;
    if (c->failed)
        c->reason = TRANSPORT_CLOSE_RESET;
    if (c->close_wanted)
        c->reason = TRANSPORT_CLOSE_LOCAL;
    if (c->close_wanted || c->failed || (c->wire_in.bytes == 0 && c->plain_in.bytes == 0))
        end(c);
}

uint32_t filter_flush(void *filter, int64_t now_ns, uint32_t budget)
{
    struct filter *f = filter;
    uint32_t count = f->work_count < budget ? f->work_count : budget;
    for (uint32_t i = 0; i < count; i++) {
        struct filter_conn *c = STAILQ_FIRST(&f->work);
        STAILQ_REMOVE_HEAD(&f->work, work);
        f->work_count--;
        c->on_work = false;
        conn_step(c);
    }
    return count;
}

/* ---- the whole ---- */

int filter_connect(struct filter *f, int (*open_lower)(void *lower, void *user, struct tconn **out),
                   void *lower, void *user, struct tconn **out)
{
    struct filter_conn *c = conn_open(f, true);
    if (c == NULL)
        return ERR_FULL;
    struct tconn *below;
    int err = open_lower(lower, c, &below);
    if (err < 0) {
        conn_release(c);
        return err;
    }
    attach(c, below);
    c->head.user = user;
    *out = &c->head;
    return 0;
}

int filter_new(struct filter **out, const struct filter_options *options)
{
    if (options->conn_max == 0 || options->conn_max > conn_count_max)
        return ERR_INVALID;
    struct filter *f = calloc(1, sizeof *f);
    if (f == NULL)
        return ERR_NO_MEMORY;
    size_t unit = alignof(max_align_t);
    f->options = *options;
    f->block_bytes =
        (sizeof(struct filter_conn) + options->ops->state_bytes + 2 * unit - 2) & ~(unit - 1);
    f->blocks = calloc(options->conn_max, f->block_bytes);
    if (f->blocks == NULL) {
        free(f);
        return ERR_NO_MEMORY;
    }
    STAILQ_INIT(&f->free);
    STAILQ_INIT(&f->work);
    for (uint32_t i = options->conn_max; i-- > 0;)
        STAILQ_INSERT_HEAD(&f->free, (struct filter_conn *)(f->blocks + i * f->block_bytes), work);
    f->lower_events = (struct transport_events){
        .accepted = lower_accepted,
        .readable = lower_readable,
        .sent = lower_sent,
        .closed = lower_closed,
        .connected = lower_connected,
        .ctx = f,
        .ended = options->events->ended != NULL ? lower_ended : NULL,
    };
    *out = f;
    return 0;
}

void filter_free(struct filter *f)
{
    if (f == NULL)
        return;
    for (uint32_t i = 0; i < f->options.conn_max; i++) {
        struct filter_conn *c = (struct filter_conn *)(f->blocks + i * f->block_bytes);
        if (c->used)
            conn_release(c);
    }
    free(f->blocks);
    free(f);
}

const struct transport_events *filter_lower_events(const struct filter *f)
{
    return &f->lower_events;
}

uint32_t filter_open(const struct filter *f)
{
    return f->open;
}

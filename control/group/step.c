#include <stdlib.h>

#include "base/check.h"
#include "control/group/group.h"

/* How a call's state field reads. */
enum call_state { CALL_NEW, CALL_PARKED, CALL_HELD, CALL_READY, CALL_TAKEN };

static void list_add(struct call_list *l, struct group_call *call)
{
    call->next = NULL;
    call->prev = l->end;
    *l->end = call;
    l->end = &call->next;
}

static void list_remove(struct call_list *l, struct group_call *call)
{
    *call->prev = call->next;
    if (call->next)
        call->next->prev = call->prev;
    else
        l->end = call->prev;
    call->next = NULL;
    call->prev = NULL;
}

bool group_step_begin(struct coordinator *c, struct group_call *call, struct group_now now)
{
    c->now = now;
    if (c->failed == 0)
        return true;
    if (call)
        group_reply_error(c, call, c->failed);
    return false;
}

void group_reply(struct coordinator *c, struct group_call *call)
{
    CHECK(call->state == CALL_NEW);
    if (c->failed)
        group_response_fail(call, c->failed);
    call->after_seq = c->open ? c->open->pub.seq : c->next_seq - 1;
    if (c->failed || call->after_seq <= c->durable_seq) {
        call->state = CALL_READY;
        list_add(&c->replies, call);
    } else {
        call->state = CALL_HELD;
        list_add(&c->held, call);
    }
}

void group_reply_error(struct coordinator *c, struct group_call *call, int16_t kerr)
{
    call->response = NULL;
    group_response_fail(call, kerr);
    group_reply(c, call);
}

bool group_park(struct coordinator *c, struct group_call *call, struct group_call **slot)
{
    if (c->n_parked >= c->settings.waiting_calls_max)
        return false;
    CHECK(call->state == CALL_NEW && *slot == NULL);
    call->state = CALL_PARKED;
    call->waits_in = slot;
    *slot = call;
    list_add(&c->parked, call);
    c->n_parked++;
    return true;
}

struct group_call *group_unpark(struct coordinator *c, struct group_call **slot)
{
    struct group_call *call = *slot;
    if (call == NULL)
        return NULL;
    CHECK(call->state == CALL_PARKED && call->waits_in == slot);
    *slot = NULL;
    call->waits_in = NULL;
    call->state = CALL_NEW;
    list_remove(&c->parked, call);
    c->n_parked--;
    return call;
}

void coordinator_cancel(struct coordinator *c, struct group_call *call)
{
    switch ((enum call_state)call->state) {
    case CALL_PARKED:
        group_unpark(c, call->waits_in);
        break;
    case CALL_HELD:
        list_remove(&c->held, call);
        break;
    case CALL_READY:
        list_remove(&c->replies, call);
        break;
    case CALL_NEW:
    case CALL_TAKEN:
        return;
    }
    call->state = CALL_TAKEN;
}

static struct group_pending_append *open_append(struct coordinator *c)
{
    if (c->open)
        return c->open;
    struct group_pending_append *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->pub.seq = c->next_seq++;
    a->pub.timestamp_ms = c->now.wall_ms;
    return c->open = a;
}

static void append_free(struct group_pending_append *a)
{
    for (uint32_t i = 0; i < a->pub.n_records; i++)
        free((uint8_t *)(uintptr_t)a->pub.records[i].key);
    free(a->pub.records);
    free(a);
}

/* Key and value in one piece of memory, which `key` heads. */
static bool append_add(struct group_pending_append *a, const void *key, uint32_t key_len,
                       const void *value, uint32_t value_len)
{
    if (a->pub.n_records == a->capacity) {
        uint32_t capacity = a->capacity ? a->capacity * 2 : 4;
        struct group_record *r = realloc(a->pub.records, capacity * sizeof(*r));
        if (r == NULL)
            return false;
        a->pub.records = r;
        a->capacity = capacity;
    }
    uint8_t *p = malloc((size_t)key_len + value_len + 1);
    if (p == NULL)
        return false;
    memcpy(p, key, key_len);
    if (value_len)
        memcpy(p + key_len, value, value_len);
    a->pub.records[a->pub.n_records++] =
        (struct group_record){p, key_len, value ? p + key_len : NULL, value ? value_len : 0};
    a->pub.bytes += key_len + value_len;
    return true;
}

void group_emit(struct coordinator *c, const void *key, uint32_t key_len, const void *value,
                uint32_t value_len)
{
    if (c->failed)
        return;
    c->record_order++;
    struct group_pending_append *a = open_append(c);
    if (a == NULL || !append_add(a, key, key_len, value, value_len))
        group_fail(c, KERR_COORDINATOR_NOT_AVAILABLE);
}

/* What the log adds to each record, generously. */
#define record_overhead_bytes 32

bool group_step_fits(const struct coordinator *c, size_t bytes)
{
    size_t used = c->open ? c->open->pub.bytes + c->open->pub.n_records * record_overhead_bytes : 0;
    return used + bytes + record_overhead_bytes <= c->settings.append_bytes_max;
}

void group_step_end(struct coordinator *c)
{
    struct group_pending_append *a = c->open;
    if (a == NULL)
        return;
    c->open = NULL;
    if (c->failed) {
        append_free(a);
        return;
    }
    *c->appends_end = &a->pub;
    c->appends_end = &a->pub.next;
    *c->in_flight_end = a;
    c->in_flight_end = &a->in_flight_next;
}

bool coordinator_take(struct coordinator *c, struct group_outputs *out)
{
    group_step_end(c);
    *out = (struct group_outputs){c->replies.head, c->failed ? NULL : c->appends};
    for (struct group_call *call = c->replies.head; call; call = call->next)
        call->state = CALL_TAKEN;
    c->replies = (struct call_list){NULL, &c->replies.head};
    c->appends = NULL;
    c->appends_end = &c->appends;
    return out->replies || out->appends;
}

void group_release(struct coordinator *c)
{
    struct group_call *call;
    while ((call = c->held.head) && call->after_seq <= c->durable_seq) {
        list_remove(&c->held, call);
        call->state = CALL_READY;
        list_add(&c->replies, call);
    }
}

void group_fail(struct coordinator *c, int16_t kerr)
{
    if (c->failed)
        return;
    c->failed = kerr;
    for (struct group_call *call; (call = c->held.head);) {
        list_remove(&c->held, call);
        call->state = CALL_NEW;
        group_reply(c, call);
    }
    for (struct group_call *call; (call = c->parked.head);) {
        group_unpark(c, call->waits_in);
        group_reply(c, call);
    }
}

/* The oldest append is done with; NULL if that is not seq. */
struct group_pending_append *group_append_pop(struct coordinator *c, uint64_t seq)
{
    struct group_pending_append *a = c->in_flight;
    if (a == NULL || a->pub.seq != seq)
        return NULL;
    c->in_flight = a->in_flight_next;
    if (c->in_flight == NULL)
        c->in_flight_end = &c->in_flight;
    return a;
}

void group_append_free(struct group_pending_append *a)
{
    append_free(a);
}

void group_appends_free(struct coordinator *c)
{
    for (struct group_pending_append *a = c->in_flight, *next; a; a = next) {
        next = a->in_flight_next;
        append_free(a);
    }
    if (c->open)
        append_free(c->open);
    c->in_flight = c->open = NULL;
}

/* More than two years is not told from them: the wheel counts in int64 nanoseconds. */
#define timer_ms_max (1000LL * 3600 * 24 * 800)

void group_timer_arm(struct coordinator *c, struct wheel_timer *t, int64_t ms)
{
    if (ms < 0)
        ms = 0;
    if (ms > timer_ms_max)
        ms = timer_ms_max;
    wheel_arm(&c->wheel, t, c->now.mono_ns + ms * WHEEL_TICK_NS);
}

void group_timer_cancel(struct coordinator *c, struct wheel_timer *t)
{
    wheel_cancel(&c->wheel, t);
}

int16_t group_append_error(int16_t kerr)
{
    switch (kerr) {
    case KERR_UNKNOWN_TOPIC_OR_PARTITION:
    case KERR_NOT_ENOUGH_REPLICAS:
    case KERR_REQUEST_TIMED_OUT:
        return KERR_COORDINATOR_NOT_AVAILABLE;
    case KERR_NOT_LEADER_OR_FOLLOWER:
    case KERR_KAFKA_STORAGE_ERROR:
        return KERR_NOT_COORDINATOR;
    case KERR_MESSAGE_TOO_LARGE:
    case KERR_RECORD_LIST_TOO_LARGE:
    case KERR_INVALID_FETCH_SIZE:
        return KERR_UNKNOWN_SERVER_ERROR;
    default:
        return kerr;
    }
}

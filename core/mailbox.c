#include "core/mailbox.h"

#include <rte_ring.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define mailbox_burst 32

/* --- the ring -------------------------------------------------------------------------------- */

/*
 * ThreadSanitizer keeps what happened-before per address, and the ring's tail is written as 64 bits
 * and read as 32: it would see no order between sender and receiver. So it is told of the order, and
 * looks into the messages but not into the ring.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MAILBOX_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define MAILBOX_TSAN 1
#endif

#ifdef MAILBOX_TSAN
#include <sanitizer/tsan_interface.h>
#define RING_ACCESS         __attribute__((noinline, no_sanitize("thread")))
#define ORDER_RELEASE(ring) __tsan_release(ring)
#define ORDER_ACQUIRE(ring) __tsan_acquire(ring)
#else
#define RING_ACCESS inline
#define ORDER_RELEASE(ring)
#define ORDER_ACQUIRE(ring)
#endif

static RING_ACCESS bool ring_put(struct rte_ring *ring, struct msg *msg)
{
    ORDER_RELEASE(ring);
    return rte_ring_mp_rts_enqueue_bulk(ring, (void **)&msg, 1, NULL) == 1;
}

static RING_ACCESS uint32_t ring_take(struct rte_ring *ring, void **msgs, uint32_t n)
{
    uint32_t got = rte_ring_sc_dequeue_burst(ring, msgs, n, NULL);
    ORDER_ACQUIRE(ring);
    return got;
}

/* --- making ---------------------------------------------------------------------------------- */

/*
 * Senders use the relaxed-tail discipline: one that is preempted in the middle of an enqueue holds
 * up the visibility of later messages, but no other sender spins for it.
 */
int agent_init(struct agent *a, const char *name, uint32_t index, uint32_t slots,
               void (*wake)(struct agent *), void *wake_ctx)
{
    if (index >= agent_count_max || slots < 2 || (slots & (slots - 1)) != 0)
        return ERR_INVALID;
    ssize_t bytes = rte_ring_get_memsize(slots);
    if (bytes < 0)
        return ERR_INVALID;
    struct rte_ring *ring = aligned_alloc(RTE_CACHE_LINE_SIZE, (size_t)bytes);
    if (ring == NULL)
        return ERR_NO_MEMORY;
    CHECK(rte_ring_init(ring, name, slots, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ) == 0);
    memset(a, 0, sizeof(*a));
    a->name = name;
    a->index = index;
    a->ring = ring;
    a->wake = wake;
    a->wake_ctx = wake_ctx;
    return 0;
}

void agent_fini(struct agent *a)
{
    if (a == NULL)
        return;
    free(a->ring);
    a->ring = NULL;
}

/* --- sending --------------------------------------------------------------------------------- */

static inline void slot_append(struct outbox_slot *slot, struct msg *msg)
{
    msg->next = NULL;
    if (slot->tail != NULL)
        slot->tail->next = msg;
    else
        slot->head = msg;
    slot->tail = msg;
}

/* A slot is in self->dirty from its first message until a flush leaves nothing to do for it. */
static inline struct outbox_slot *slot_of(struct agent *self, struct agent *to)
{
    struct outbox_slot *slot = &self->out[to->index];
    if (!slot->posted && slot->head == NULL) {
        self->peers[to->index] = to;
        self->dirty[self->dirty_count++] = to->index;
    }
    DCHECK(self->peers[to->index] == to);
    return slot;
}

void agent_post(struct agent *self, struct agent *to, struct msg *msg)
{
    struct outbox_slot *slot = slot_of(self, to);
    if (slot->head == NULL && ring_put(to->ring, msg))
        slot->posted = true;
    else
        slot_append(slot, msg); /* behind what waits already: the order stays */
}

/* Moves what waits into the ring as far as it goes; returns how many messages still wait. */
static uint32_t slot_drain(struct outbox_slot *slot, struct agent *to)
{
    while (slot->head != NULL) {
        struct msg *msg = slot->head;
        /* Read before the post: the message is the receiver's afterwards. */
        struct msg *next = msg->next;
        if (!ring_put(to->ring, msg))
            break;
        slot->posted = true;
        slot->head = next;
    }
    if (slot->head == NULL)
        slot->tail = NULL;
    uint32_t waiting = 0;
    for (struct msg *msg = slot->head; msg != NULL; msg = msg->next)
        waiting++;
    return waiting;
}

/*
 * The fence orders "enqueue, then read parked" against the receiver's "set parked, then read the
 * ring" (agent_park_begin): one of the two sees the other. Only the sender that takes the flag
 * down wakes.
 */
static void wake_if_parked(struct agent *to)
{
    rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (atomic_load_explicit(&to->parked, memory_order_relaxed) == 0)
        return;
    if (atomic_exchange(&to->parked, 0) == 1 && to->wake != NULL)
        to->wake(to);
}

uint32_t agent_flush(struct agent *self)
{
    uint32_t waiting = 0, kept = 0;
    for (uint32_t i = 0; i < self->dirty_count; i++) {
        uint32_t index = self->dirty[i];
        struct outbox_slot *slot = &self->out[index];
        struct agent *to = self->peers[index];
        uint32_t left = slot_drain(slot, to);
        if (slot->posted && to != self)
            wake_if_parked(to);
        slot->posted = false;
        if (left > 0)
            self->dirty[kept++] = index;
        waiting += left;
    }
    self->dirty_count = kept;
    return waiting;
}

/* --- receiving ------------------------------------------------------------------------------- */

uint32_t agent_receive(struct agent *self, uint32_t budget)
{
    void *msgs[mailbox_burst];
    uint32_t done = 0;
    while (done < budget) {
        uint32_t want = budget - done < mailbox_burst ? budget - done : mailbox_burst;
        uint32_t got = ring_take(self->ring, msgs, want);
        for (uint32_t i = 0; i < got; i++) {
            struct msg *msg = msgs[i];
            msg->deliver(msg);
        }
        done += got;
        if (got < want)
            break;
    }
    return done;
}

bool agent_has_mail(const struct agent *self)
{
    const struct rte_ring *r = self->ring;
    return __atomic_load_n(&r->prod.tail, __ATOMIC_ACQUIRE) !=
           __atomic_load_n(&r->cons.tail, __ATOMIC_RELAXED);
}

bool agent_park_begin(struct agent *self)
{
    atomic_store_explicit(&self->parked, 1, memory_order_relaxed);
    rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!agent_has_mail(self))
        return true;
    agent_park_end(self);
    return false;
}

void agent_park_end(struct agent *self)
{
    atomic_store_explicit(&self->parked, 0, memory_order_relaxed);
}

/* --- who runs here --------------------------------------------------------------------------- */

static _Thread_local struct agent *current;

struct agent *agent_current(void)
{
    return current;
}

void agent_enter(struct agent *a)
{
    current = a;
}

/* --- calls ----------------------------------------------------------------------------------- */

static struct call *call_of(struct msg *msg)
{
    return (struct call *)((char *)msg - offsetof(struct call, msg));
}

static void deliver_run(struct msg *msg)
{
    struct call *call = call_of(msg);
    call->run(call);
}

static void deliver_done(struct msg *msg)
{
    struct call *call = call_of(msg);
    call->done(call);
}

void agent_call(struct agent *self, struct agent *to, struct call *call)
{
    call->caller = self;
    call->callee = to;
    if (self == to) {
        call->run(call);
        return;
    }
    call->msg.deliver = deliver_run;
    agent_post(self, to, &call->msg);
}

void call_finish(struct call *call)
{
    if (call->caller == call->callee) {
        call->done(call);
        return;
    }
    call->msg.deliver = deliver_done;
    agent_post(call->callee, call->caller, &call->msg);
}

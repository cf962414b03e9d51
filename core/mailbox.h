/*
 * mailbox: how threads of the broker talk: messages, never shared state.
 *
 * Purpose: each thread that does work (a shard, the control thread, a worker) is an `agent` with one
 * mailbox: a DPDK ring (many producers, one consumer) of pointers to messages. Posting never blocks
 * and never fails: what does not fit the ring waits in the sender's outbox, in order, until the next
 * flush. The number of messages is bounded because each is embedded in an owner that is bounded
 * (a request slot, a partition, a topic).
 * Owner: the mailbox belongs to its agent; the outbox to the sending thread. A message belongs to
 * the receiver from post until it is posted back.
 * Order: messages from one agent to another arrive in the order of posting.
 * Waking: an agent that parks sets `parked`, fences, checks its ring once more, then sleeps;
 * agent_flush wakes each parked receiver once per batch.
 */
#ifndef CORE_MAILBOX_H
#define CORE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

#define agent_count_max       (shard_count_max + 16) /* shards, control, workers */
#define mailbox_slots_default 4096                   /* ring size, a power of two */

struct rte_ring;

/* First member of (or embedded in) whatever is sent; deliver runs on the receiver's thread. */
struct msg {
    void (*deliver)(struct msg *msg);
    struct msg *next; /* outbox link, private */
};

struct outbox_slot {
    struct msg *head, *tail; /* waiting for room in the ring */
    bool posted;             /* something was enqueued since the last flush */
};

struct agent {
    const char *name;
    uint32_t index; /* unique in the broker, < agent_count_max */
    struct rte_ring *ring;
    _Atomic uint32_t parked;          /* 1: asleep or about to, wants a wake */
    void (*wake)(struct agent *self); /* called on any thread; must be async-safe between threads */
    void *wake_ctx;
    struct agent *peers[agent_count_max]; /* destinations seen, for the flush; owner thread only */
    struct outbox_slot out[agent_count_max];
    uint32_t dirty_count; /* slots with pending or unwoken messages */
    uint32_t dirty[agent_count_max];
};

/*
 * Makes the ring of `slots` (a power of two; one less fits) on the heap. name must outlive the
 * agent. wake may be NULL for agents that only poll. ERR_NO_MEMORY; ERR_INVALID: bad index or slots.
 */
int agent_init(struct agent *a, const char *name, uint32_t index, uint32_t slots,
               void (*wake)(struct agent *), void *wake_ctx);

/* Undelivered messages stay with their owners. NULL is accepted. */
void agent_fini(struct agent *a);

/*
 * From self's thread: queue msg for `to` (also to self). Visible to it after agent_flush at the
 * latest; a parked receiver is woken by agent_flush only.
 */
void agent_post(struct agent *self, struct agent *to, struct msg *msg);

/* Retries what waits and wakes parked receivers. Returns the number of messages still waiting. */
uint32_t agent_flush(struct agent *self);

/* Delivers at most `budget` messages of self's own mailbox; returns how many. */
uint32_t agent_receive(struct agent *self, uint32_t budget);

/* True if the ring holds a message (the recheck before sleeping). */
bool agent_has_mail(const struct agent *self);

/* Park protocol: agent_park_begin returns false if mail came meanwhile (do not sleep). */
bool agent_park_begin(struct agent *self);
void agent_park_end(struct agent *self);

/*
 * The agent whose code runs on this thread now (set by shard_step, worker_step and the control
 * loop through agent_enter). Only for code that is called back by a library without a context:
 * the free callback of lent log memory, which must know whether it is at home.
 */
struct agent *agent_current(void);
void agent_enter(struct agent *a);

/*
 * call: a request to another agent and its answer, in one embedded struct.
 * The caller sets run and done and calls agent_call; `run` runs on the callee and must lead, now or
 * later, to call_finish on the callee's thread; `done` then runs on the caller's thread. Between
 * agent_call and done the callee owns the enclosing struct. If caller and callee are the same agent
 * run is called at once, and done from within call_finish.
 */
struct call {
    struct msg msg;
    struct agent *caller, *callee;
    void (*run)(struct call *call);
    void (*done)(struct call *call);
};

void agent_call(struct agent *self, struct agent *to, struct call *call);
void call_finish(struct call *call);

#endif

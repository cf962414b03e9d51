/*
 * Delayed fetches. A fetch that found too little waits on all its partitions at once: for those of
 * this shard with the plog, for those of other shards through a call that stays with the owner
 * until there is news. Enough data, the deadline, an error or the end of its conn wake it; then
 * every wait is taken back before it reads again.
 */
#include "dataplane/kafka/kafka_internal.h"

/* On the owner: bytes the fetch could get now, at most its limit. */
uint64_t fetch_available(struct part *p)
{
    struct fetch_part *fp = &p->fetch;
    struct plog *plog = p->partition->plog;
    struct plog_marks marks;
    plog_marks(plog, &marks);
    fp->lost = marks.failed || fp->offset > marks.end || fp->offset < marks.log_start;
    if (fp->lost || fp->max_bytes <= 0)
        return 0;
    uint64_t n = plog_readable(plog, fp->offset, p->r->fetch.isolation == 1);
    return n < (uint64_t)fp->max_bytes ? n : (uint64_t)fp->max_bytes;
}

static bool enough(const struct fetch_state *f)
{
    int64_t min_bytes = f->min_bytes < f->max_bytes ? f->min_bytes : f->max_bytes;
    return (int64_t)f->available >= min_bytes;
}

static void ready(struct request *r)
{
    DCHECK(r->fetch.phase == FETCH_WAKE && link_alone(&r->fetch.ready_link));
    link_push(&r->k->fetch_ready, &r->fetch.ready_link);
}

/* On whatever shard the plog is; evaluated in its kafka_run. */
static void fired(struct plog_waiter *w)
{
    struct part *p = container_of(w, struct part, fetch.waiter);
    link_push(&p->owner->fired, &p->fetch.fired_link);
}

static void arm(struct part *p)
{
    p->fetch.waiter.fire = fired;
    plog_wait(p->partition->plog, &p->fetch.waiter);
}

static void disarm(struct part *p)
{
    if (p->fetch.waiter.prev != NULL)
        plog_wait_cancel(&p->fetch.waiter);
    link_remove(&p->fetch.fired_link);
}

/* ---- at home ---- */

static void count_news(struct part *p)
{
    struct fetch_state *f = &p->r->fetch;
    f->available = f->available - p->fetch.reported + p->fetch.available;
    p->fetch.reported = p->fetch.available;
}

static void wait_remote_run(struct call *call);

static void wait_remote_done(struct call *call)
{
    struct part *p = container_of(call, struct part, call);
    struct request *r = p->r;
    struct fetch_state *f = &r->fetch;
    f->remote--;
    p->fetch.state = FETCH_PART_IDLE;
    count_news(p);
    if (f->phase == FETCH_WAKE) {
        if (f->remote == 0)
            ready(r);
        return;
    }
    if (p->fetch.lost || enough(f)) {
        fetch_wake(r);
        return;
    }
    f->remote++;
    p->fetch.state = FETCH_PART_AWAY;
    part_call(p, wait_remote_run, wait_remote_done);
}

static void cancel_done(struct call *call)
{
    struct part *p = container_of(call, struct part, fetch.cancel);
    struct fetch_state *f = &p->r->fetch;
    if (--f->remote == 0)
        ready(p->r);
}

static void news_here(struct part *p)
{
    struct request *r = p->r;
    p->fetch.available = fetch_available(p);
    count_news(p);
    if (p->fetch.lost || enough(&r->fetch)) {
        p->fetch.state = FETCH_PART_IDLE;
        fetch_wake(r);
    } else {
        arm(p);
    }
}

static void deadline(struct wheel_timer *timer, int64_t now_ns)
{
    (void)now_ns;
    fetch_wake(container_of(timer, struct request, fetch.timer));
}

/* The first round's reads have told what each partition has; what came since is looked at here. */
void fetch_wait(struct request *r)
{
    struct kafka *k = r->k;
    struct fetch_state *f = &r->fetch;
    bool lost = false;
    f->phase = FETCH_WAIT;
    f->available = 0;
    link_push(&k->fetch_waiting, &f->wait_link);
    for (struct part *p = r->parts; p != NULL && !p->fetch.erroneous; p = p->next) {
        if (p->owner == k) {
            p->fetch.available = p->fetch.reported = fetch_available(p);
            lost |= p->fetch.lost;
            arm(p);
            p->fetch.state = FETCH_PART_ARMED;
        } else {
            f->remote++;
            p->fetch.state = FETCH_PART_AWAY;
            part_call(p, wait_remote_run, wait_remote_done);
        }
        f->available += p->fetch.reported;
    }
    if (lost || enough(f)) {
        fetch_wake(r);
        return;
    }
    f->timer.fire = deadline;
    wheel_arm(&k->shard->wheel, &f->timer, k->shard->now_ns + f->max_wait_ms * CLOCK_NS_PER_MS);
}

static void cancel_remote_run(struct call *call);

/* Takes all waits back; the request is ready when the last one is home. */
void fetch_wake(struct request *r)
{
    struct kafka *k = r->k;
    struct fetch_state *f = &r->fetch;
    if (f->phase != FETCH_WAIT)
        return;
    f->phase = FETCH_WAKE;
    wheel_cancel(&k->shard->wheel, &f->timer);
    link_remove(&f->wait_link);
    for (struct part *p = r->parts; p != NULL && !p->fetch.erroneous; p = p->next) {
        if (p->fetch.state == FETCH_PART_AWAY) {
            f->remote++;
            p->fetch.cancel.run = cancel_remote_run;
            p->fetch.cancel.done = cancel_done;
            agent_call(k->self, p->owner->self, &p->fetch.cancel);
        } else if (p->fetch.state == FETCH_PART_ARMED) {
            disarm(p);
            p->fetch.state = FETCH_PART_IDLE;
        }
    }
    if (f->remote == 0)
        ready(r);
}

/*
 * Requests wait for slots or parts: those who have waited longest for data give theirs back, with an
 * early and empty answer. More consumers than slots can wait, but nobody waits for them.
 */
void fetch_relieve(struct kafka *k)
{
    const struct link *line = &k->waiting[CONN_WAITS_SLOT];
    if (!link_alone(&k->fetch_ready) || !link_alone(&k->flush))
        return; /* slots come back anyway */
    int n = 0;
    for (const struct link *l = line->next; l != line && n < relieve_fetches_max; l = l->next, n++)
        if (!link_alone(&k->fetch_waiting))
            fetch_wake(container_of(k->fetch_waiting.next, struct request, fetch.wait_link));
}

static bool has_removed_topic(const struct request *r)
{
    for (const struct part *p = r->parts; p != NULL; p = p->next)
        if (p->topic != NULL && p->topic->removal[r->k->shard->index] != NULL)
            return true;
    return false;
}

void fetch_wake_all(struct kafka *k, bool removed_only)
{
    struct link *next;
    for (struct link *l = k->fetch_waiting.next; l != &k->fetch_waiting; l = next) {
        next = l->next;
        struct request *r = container_of(l, struct request, fetch.wait_link);
        if (!removed_only || has_removed_topic(r))
            fetch_wake(r);
    }
}

/* ---- on the owner, for another shard ---- */

static void answer_remote(struct part *p)
{
    p->fetch.armed = false;
    call_finish(&p->call);
}

/* News, or a wait until there are some. */
static void wait_here(struct part *p)
{
    p->fetch.available = fetch_available(p);
    if (p->fetch.lost || p->fetch.available != p->fetch.reported) {
        answer_remote(p);
        return;
    }
    p->fetch.armed = true;
    arm(p);
}

static void wait_remote_run(struct call *call)
{
    wait_here(container_of(call, struct part, call));
}

/* Arrives behind the wait it takes back; that may have been answered already. */
static void cancel_remote_run(struct call *call)
{
    struct part *p = container_of(call, struct part, fetch.cancel);
    if (p->fetch.armed) {
        disarm(p);
        answer_remote(p);
    }
    call_finish(call);
}

/* ---- the stage ---- */

uint32_t waiters_run(struct kafka *k, uint32_t budget)
{
    uint32_t n = 0;
    for (; !link_alone(&k->fired) && n < budget; n++) {
        struct part *p = container_of(k->fired.next, struct part, fetch.fired_link);
        link_remove(&p->fetch.fired_link);
        if (p->owner == p->r->k)
            news_here(p);
        else
            wait_here(p);
    }
    for (; !link_alone(&k->fetch_ready) && n < budget; n++) {
        struct request *r = container_of(k->fetch_ready.next, struct request, fetch.ready_link);
        link_remove(&r->fetch.ready_link);
        if (r->conn == NULL) {
            r->fetch.phase = FETCH_DONE;
            request_unpend(r);
        } else {
            r->fetch.phase = FETCH_REREAD;
            fetch_begin(r);
        }
    }
    return n;
}

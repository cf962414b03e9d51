/*
 * broker_stop: down, in order: doors closed, requests in work answered, partitions closed, threads
 * ended, metadata snapshot, and the marks of a clean stop last.
 */
#include "base/err.h"
#include "base/log.h"
#include "control/broker_impl.h"

/* Bounded: a client that waits for what cannot come must not hold up a stop. */
static void drain(struct broker *b)
{
    struct clock *clock = b->seams.clock;
    int64_t end = clock_mono_ns(clock) + broker_drain_ns_max;
    for (;;) {
        bool all = b->control.requests_in_work == 0 && groups_stopped(b->control.groups);
        if (broker_shards_call(b, broker_shard_drain_run, broker_drain_ns_max) != 0)
            return;
        for (uint32_t i = 0; i < b->shard_count; i++)
            all = all && b->shards[i].drained;
        if (all)
            break;
        if (clock_mono_ns(clock) >= end) {
            log_warn("broker", "requests were still in work when the stop went on");
            break;
        }
        control_loop_run(&b->loop, NULL, NULL, broker_drain_poll_ns);
    }
    /* The last replies leave the transport. */
    control_loop_run(&b->loop, NULL, NULL, broker_linger_ns);
}

static bool topics_are_stopped(void *ctx)
{
    struct broker *b = ctx;
    return topics_stopped(b->control.topics);
}

static void threads_stop(struct broker *b)
{
    for (uint32_t i = 0; i < b->shard_count; i++)
        shard_stop(&b->shards[i].shard);
    for (uint32_t i = 0; i < b->worker_count; i++)
        worker_stop(&b->workers[i].worker);
}

/* A dir is clean if its partitions were all closed, or if it was clean and nothing was opened. */
static bool dir_is_clean(const struct broker *b, uint32_t dir, bool opened)
{
    const struct log_dir *d = &b->logdirs->dirs[dir];
    if (!d->online || !d->begun)
        return false;
    return opened ? topics_dir_closed_clean(b->control.topics, dir) : d->clean;
}

/*
 * True if every dir that is online got its mark; one that failed earlier is no failure of the stop.
 */
static bool marks_write(struct broker *b, bool opened)
{
    bool all = true;
    for (uint32_t i = 0; i < b->logdirs->data_count; i++) {
        const struct log_dir *d = &b->logdirs->dirs[i];
        int err = dir_is_clean(b, i, opened)
                      ? logdirs_mark_clean(b->logdirs, i, b->control.image.boots)
                      : ERR_IO;
        if (err)
            log_warn("broker", "%s is left without the mark of a clean stop", d->path);
        all = all && (err == 0 || !d->online || !opened);
    }
    return all;
}

static bool snapshot_write(struct broker *b)
{
    if (!b->control.store || meta_store_failed(b->control.store))
        return false;
    int err = meta_store_snapshot(b->control.store);
    if (err)
        log_warn("broker", "no snapshot of the metadata: %s", err_text(err));
    return err == 0;
}

static bool begun(const struct broker *b)
{
    return b->logdirs && b->logdirs->dirs[b->logdirs->metadata].begun;
}

void broker_stop(struct broker *b)
{
    if (b->stopped)
        return;
    b->stopped = true;
    if (!begun(b)) {
        b->clean = true; /* nothing was written */
        return;
    }
    bool opened = b->control.topics && b->running;
    atomic_store(&b->metrics.state, METRICS_STOPPING);
    bool closed = true;
    if (opened) {
        log_info("broker", "stopping");
        control_loop_closing(&b->loop); /* what can be closed cleanly still is */
        groups_stop(b->control.groups); /* who waits for a rebalance is answered */
        drain(b);
        b->control.stopping = true;
        topics_stop(b->control.topics);
        closed = control_loop_run(&b->loop, topics_are_stopped, b, broker_close_ns_max) == 0;
        if (!closed)
            log_error("broker", "not all partitions could be closed");
    }
    threads_stop(b);
    bool snapshot = snapshot_write(b);
    b->clean = closed && marks_write(b, opened) && snapshot;
    log_info("broker", "stopped%s", b->clean ? "" : ", not cleanly");
}

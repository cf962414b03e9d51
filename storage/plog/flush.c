/* flush.messages and flush.ms, which add to PLOG_OS: the medium has what was written until then. */
#include <stdatomic.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/plog/plog_internal.h"

static void flush_end(struct plog *p, int err)
{
    segment_unpin(p->flushing);
    if (err)
        plog_fail(p, err, "flushing");
    else if (!p->failed && p->flush_target > p->flushed)
        p->flushed = p->flush_target;
    p->flushing = NULL;  /* until here nobody may take the plog away */
    plog_flush_check(p); /* for what was written meanwhile */
    plog_detach_try(p);
}

static void mark_run(struct job *job)
{
    flush_mark_set(job->plog);
}

static void mark_done(struct job *job)
{
    struct plog *p = job->plog;
    flush_end(p, atomic_load_explicit(&p->flush_err, memory_order_relaxed));
}

static void name_run(struct job *job)
{
    job->err = job->plog->fs->ops->sync_dir(job->plog->fs, job->plog->dir);
}

static void name_done(struct job *job)
{
    struct plog *p = job->plog;
    if (job->err == 0)
        p->flushing->name_kept = true;
    flush_end(p, job->err);
}

/* The bytes are on the medium; a file that was made since the directory was synced has no name there. */
static void flush_done(struct io_req *req, int64_t result)
{
    struct plog *p = (struct plog *)((char *)req - offsetof(struct plog, flush));
    if (result < 0) {
        atomic_store_explicit(&p->flush_err, (int)result, memory_order_relaxed);
        job_start(p, NULL, &p->flush_job, mark_run, mark_done);
        plog_fail(p, (int)result,
                  "flushing"); /* at once: a seal may be under way, and must not count */
    } else if (!p->flushing->name_kept && !p->failed) {
        job_start(p, NULL, &p->flush_job, name_run, name_done);
    } else {
        flush_end(p, 0);
    }
}

/* Earlier segments are flushed by their seal; seal_done comes back here. */
static bool waits_for_seal(const struct plog *p, const struct segment *s)
{
    uint32_t i = p->segment_count;
    while (i > 0 && p->segments[i - 1]->base >= s->base)
        i--;
    return i > 0 && !p->segments[i - 1]->sealed;
}

static void flush_start(struct plog *p)
{
    struct segment *s = p->visible;
    if (p->flushing || p->failed || s->file == NULL || p->flushed >= p->high_watermark)
        return;
    if (p->flush_total == 0) {
        p->flush_total = plog_store_acks(p) ? p->appended_total : p->written_total;
        p->flush_target = p->high_watermark;
    }
    if (p->written_total < p->flush_total) { /* what is acknowledged goes to the file first */
        plog_drain(p);
        return;
    }
    if (waits_for_seal(p, s))
        return;
    p->flush_total = 0;
    p->flushing = s;
    s->pins++;
    p->flush = (struct io_req){.op = IO_FLUSH, .file = s->file, .done = flush_done};
    io_submit(p->env->io, &p->flush);
}

static void flush_arm(struct plog *p)
{
    const int64_t longest_ms = INT64_MAX / CLOCK_NS_PER_MS / 4;
    if (p->state != PLOG_ATTACHED || p->config.flush_ms > longest_ms ||
        wheel_armed(&p->flush_timer))
        return;
    p->flush_timer.fire = plog_flush_timer;
    wheel_arm(p->env->wheel, &p->flush_timer,
              *p->env->now_ns + p->config.flush_ms * CLOCK_NS_PER_MS);
}

void plog_flush_check(struct plog *p)
{
    if (p->env->durability != PLOG_OS || p->failed || p->state != PLOG_ATTACHED)
        return;
    flush_arm(p);
    if (p->flush_total ? p->written_total >= p->flush_total
                       : p->high_watermark - p->flushed >= p->config.flush_messages)
        flush_start(p);
}

void plog_flush_timer(struct wheel_timer *timer, int64_t now_ns)
{
    flush_start((struct plog *)((char *)timer - offsetof(struct plog, flush_timer)));
}

/*
 * Group commit: what is appended in small pieces becomes durable in a journal of the shard and log
 * dir, together with that of other logs; its segment has it later, in large writes. A log of which
 * more waits for one flush than the device moves in the time of a durable write (storage/journal/
 * probe.h) writes to its segment at once, which covers what the journal alone has of it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "storage/plant.h"
#include "storage/plog/plog_internal.h"

enum group_state { GROUP_NEW, GROUP_MAKING, GROUP_READY, GROUP_NONE };

/* The logs of a shard in one log dir, and their journal. */
struct group {
    struct plog_env *env;
    char *log_dir;
    struct uuid dir;
    enum group_state state; /* NONE: there is no room for a journal, or it failed */
    uint64_t small;         /* bytes of one log that the journal may take with one flush */
    struct journal *journal;
    struct plog *waiting, **waiting_tail; /* for a commit, in order */
    uint64_t drained_to;                  /* logs with older commits have been told to write */
    bool stuck_told, lost_told;
    uint64_t life;
    struct job job;
    struct group *next;
};

static struct plog *plog_of(struct journal_log *log)
{
    return (struct plog *)((char *)log - offsetof(struct plog, journal));
}

bool group_acks(const struct plog *p)
{
    return p->group && p->group->state == GROUP_READY;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void wait_add(struct plog *p)
{
    struct group *g = p->group;
    if (p->group_prev)
        return;
    p->group_next = NULL;
    p->group_prev = g->waiting_tail;
    *g->waiting_tail = p;
    g->waiting_tail = &p->group_next;
}

/* One that failed writes no more: what it has in the journal alone is the journal's from now on. */
void group_forget(struct plog *p)
{
    if (p->failed)
        journal_leave(&p->journal);
    if (p->group_prev == NULL)
        return;
    *p->group_prev = p->group_next;
    if (p->group_next)
        p->group_next->group_prev = p->group_prev;
    else
        p->group->waiting_tail = p->group_prev;
    p->group_prev = NULL;
}

/* --- the journal's file ----------------------------------------------------------------------- */

static void make_run(struct job *job)
{
    struct group *g = (struct group *)((char *)job - offsetof(struct group, job));
    struct journal_options o = {.fs = g->env->fs,
                                .io = g->env->io,
                                .log_dir = g->log_dir,
                                .dir = g->dir,
                                .shard = g->env->self->index,
                                .bytes = g->env->journal_bytes,
                                .life = g->life,
                                .clock = g->env->clock};
    struct journal *j = NULL;
    job->err = journal_make(&j, &o);
    job->memory = j;
}

static void judge(struct group *g)
{
    uint64_t worth = journal_worth(g->journal), most = journal_piece_max(g->journal);
    if (worth) {
        g->small = worth < plog_journal_bytes_min   ? plog_journal_bytes_min
                   : worth > plog_journal_bytes_max ? plog_journal_bytes_max
                                                    : worth;
        log_info("storage",
                 "%s: up to %" PRIu64 " bytes of a partition and flush go to the journal",
                 g->log_dir, g->small);
    }
    if (g->small > most)
        g->small = most;
}

/* Without a journal every log writes to its segment; an error of the disk takes the log dir down. */
static void make_done(struct job *job)
{
    struct group *g = (struct group *)((char *)job - offsetof(struct group, job));
    g->state = job->err ? GROUP_NONE : GROUP_READY;
    g->journal = job->memory;
    if (g->journal)
        judge(g);
    if (job->err == ERR_IO)
        plog_fail(job->plog, job->err, "making the journal");
    else if (job->err)
        log_warn("storage", "%s has no journal (%s): each partition is flushed by itself",
                 g->log_dir, err_text(job->err));
}

static void make_start(struct plog *p)
{
    struct group *g = p->group;
    g->state = GROUP_MAKING;
    g->life = rng_u64(g->env->rng);
    job_start(p, NULL, &g->job, make_run, make_done);
}

/* --- what the journal asks for and tells ------------------------------------------------------ */

static void on_copy(struct journal_log *log, const struct journal_frame *f, uint8_t *dst)
{
    const struct segment *s = plog_active(plog_of(log));
    CHECK(s->base == f->base);
    for (uint32_t at = f->position, end = f->position + f->bytes; at < end;) {
        const struct chunk *chunk = s->chunks[at / tail_chunk_bytes];
        uint32_t off = at % tail_chunk_bytes;
        uint32_t n = end - at < tail_chunk_bytes - off ? end - at : tail_chunk_bytes - off;
        CHECK(chunk != NULL && off >= chunk->start && off + n <= chunk->used);
        memcpy(dst, chunk->data + off, n);
        dst += n;
        at += n;
    }
}

static void on_moved(struct journal_log *log)
{
    struct plog *p = plog_of(log);
    if (PLANT(JOURNAL_REUSED_EARLY))
        journal_written(log, log->durable);
    if (!p->failed)
        plog_complete(p);
}

static void on_failed(struct journal_log *log, int err)
{
    struct plog *p = plog_of(log);
    if (!p->failed)
        p->group->lost_told = true;
    plog_fail(p, err, "writing the journal");
}

/* --- life ------------------------------------------------------------------------------------- */

static struct group *group_new(struct plog_env *env, const char *log_dir)
{
    struct group *g = calloc(1, sizeof(*g));
    CHECK(g != NULL);
    g->env = env;
    g->log_dir = strdup(log_dir);
    CHECK(g->log_dir != NULL);
    g->state = env->dir_id(env, log_dir, &g->dir) ? GROUP_NEW : GROUP_NONE;
    g->small = plog_journal_bytes;
    g->waiting_tail = &g->waiting;
    g->next = env->shard->groups;
    env->shard->groups = g;
    return g;
}

/* Like shard_new at start, and when the first partition of a log dir comes to the shard. */
void group_attach(struct plog *p)
{
    struct plog_env *env = p->env;
    if (env->durability != PLOG_FSYNC || env->journal_bytes == 0 || uuid_is_zero(&p->topic_id))
        return;
    struct group *g = env->shard->groups;
    while (g && strcmp(g->log_dir, p->log_dir) != 0)
        g = g->next;
    p->group = g ? g : group_new(env, p->log_dir);
    p->journal.copy = on_copy;
    p->journal.moved = on_moved;
    p->journal.failed = on_failed;
}

void group_detach(struct plog *p)
{
    group_forget(p);
    journal_leave(&p->journal);
    p->group = NULL;
}

void group_fini(struct plog_env *env)
{
    while (env->shard->groups) {
        struct group *g = env->shard->groups;
        env->shard->groups = g->next;
        journal_free(g->journal);
        free(g->log_dir);
        free(g);
    }
}

/* --- the switch ------------------------------------------------------------------------------- */

/* Up to here bytes are in the segment, or in commits. */
static uint64_t covered(const struct plog *p)
{
    return p->journal.submitted > p->written_total ? p->journal.submitted : p->written_total;
}

/* Writes under way, or wanted, that cover what no commit does: what follows goes the same way. */
static bool goes_direct(const struct plog *p)
{
    uint64_t direct = p->submitted_total > p->drain_total ? p->submitted_total : p->drain_total;
    return direct > covered(p);
}

/* The journal may take what is not covered: little, and all of it in the active segment. */
static bool goes_to_journal(const struct plog *p)
{
    uint64_t bytes = p->appended_total - covered(p);
    return !goes_direct(p) && bytes <= p->group->small && bytes <= plog_active(p)->size;
}

void group_step(struct plog *p)
{
    if (p->group == NULL || p->failed || p->state != PLOG_ATTACHED ||
        p->appended_total == covered(p))
        return;
    bool small = goes_to_journal(p);
    if (p->group->state == GROUP_NEW && small)
        make_start(p); /* until it is there this goes to the segment */
    if (!group_acks(p))
        return;
    if (!small) {
        group_forget(p);
        p->drain_total = p->appended_total;
    } else if (plog_active(p)->file) {
        wait_add(p); /* else when the file has been made */
    }
}

/* --- commits ---------------------------------------------------------------------------------- */

static bool commit_add(struct group *g, struct plog *p)
{
    const struct segment *s = plog_active(p);
    uint32_t bytes = (uint32_t)(p->appended_total - covered(p));
    struct journal_frame f = {
        .topic_id = p->topic_id,
        .partition = p->partition,
        .leader_epoch = p->leader_epoch,
        .base = s->base,
        .position = s->size - bytes,
        .bytes = bytes,
    };
    p->journal.journal = g->journal;
    return journal_add(g->journal, &p->journal, &f, p->appended_total);
}

/* Those that wait, as many as fit. Meanwhile one may have grown, or gone another way. */
static uint32_t commit_fill(struct group *g)
{
    uint32_t taken = 0;
    while (g->waiting) {
        struct plog *p = g->waiting;
        if (p->appended_total == covered(p) || !goes_to_journal(p) || !plog_active(p)->file) {
            group_forget(p);
            plog_mark_dirty(p); /* group_step decides */
            taken++;
            continue;
        }
        if (!commit_add(g, p))
            break;
        group_forget(p);
        plog_lazy_add(p);
        taken++;
    }
    return taken;
}

/* The journal takes nothing: everything that waits is written to its segment. */
static uint32_t all_direct(struct group *g)
{
    uint32_t n = 0;
    for (; g->waiting; n++) {
        struct plog *p = g->waiting;
        group_forget(p);
        plog_drain(p);
    }
    return n;
}

/* The logs that keep the journal's older half are written to their segments. */
static void drain_old(struct group *g)
{
    uint64_t to = journal_pressed(g->journal);
    if (to <= g->drained_to)
        return;
    g->drained_to = to;
    for (struct plog *p = g->env->shard->lazy, *next; p; p = next) {
        next = p->lazy_next;
        if (p->group != g || journal_oldest(&p->journal) >= to)
            continue;
        plog_lazy_remove(p);
        plog_drain(p);
    }
}

static void stuck_say(struct group *g)
{
    struct journal_stats stats;
    journal_stats(g->journal, &stats);
    if (!stats.stuck || g->stuck_told)
        return;
    g->stuck_told = true;
    log_warn("storage",
             "%s: the journal of shard %u has no room beside what failed partitions left in it (%u "
             "pieces): until the next start each partition is flushed by itself",
             g->log_dir, g->env->self->index, stats.left);
}

/* A commit that held nothing of a log that still works told nobody. */
static void journal_lost(struct group *g)
{
    int err = journal_error(g->journal);
    g->state = GROUP_NONE;
    if (!g->lost_told && g->env->disk_error && !plog_err_is_want(err))
        g->env->disk_error(g->env, g->waiting, err);
}

static uint32_t commits_begin(struct group *g)
{
    uint32_t taken = 0;
    while (g->waiting) {
        switch (journal_begin(g->journal)) {
        case JOURNAL_BEGUN:
            taken += commit_fill(g);
            journal_commit(g->journal);
            g->env->shard->wrote_ns = *g->env->now_ns;
            break;
        case JOURNAL_BUSY:
            return taken;
        case JOURNAL_FAILED:
            journal_lost(g);
            return taken + all_direct(g);
        case JOURNAL_FULL:
            stuck_say(g);
            return taken + all_direct(g);
        }
    }
    return taken;
}

bool group_writing(const struct plog_env *env)
{
    for (const struct group *g = env->shard->groups; g; g = g->next)
        if (g->journal && journal_writing(g->journal))
            return true;
    return false;
}

uint32_t group_run(struct plog_env *env)
{
    uint32_t taken = 0;
    for (struct group *g = env->shard->groups; g; g = g->next) {
        if (g->state != GROUP_READY)
            continue;
        taken += commits_begin(g);
        if (g->state == GROUP_READY)
            drain_old(g);
    }
    return taken;
}

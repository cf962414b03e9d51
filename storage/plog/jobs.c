/* What blocks, done for a segment by the worker. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/plant.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/plog_internal.h"

static struct job *job_of(struct call *call)
{
    return (struct job *)((char *)call - offsetof(struct job, call));
}

static void call_run(struct call *call)
{
    struct job *job = job_of(call);
    job->run(job);
    call_finish(call);
}

static void call_done(struct call *call)
{
    struct job *job = job_of(call);
    struct plog *p = job->plog;
    if (job->segment)
        job->segment->busy = false;
    job->done(job); /* may free the job and the segment that it is in */
    p->jobs--;      /* until here nobody may take the plog away, whatever was answered */
    plog_detach_try(p);
}

void job_start(struct plog *p, struct segment *s, struct job *job, job_fn *run, job_fn *done)
{
    job->plog = p;
    job->segment = s;
    job->run = run;
    job->done = done;
    job->err = 0;
    job->file = job->direct = NULL;
    job->call.run = call_run;
    job->call.done = call_done;
    p->jobs++;
    if (s) {
        CHECK(!s->busy);
        s->busy = true;
    }
    agent_call(p->env->self, p->env->worker, &job->call);
}

void plog_want_tell(struct plog *p, int err, const char *what)
{
    struct plog_env *env = p->env;
    if (log_limit_pass(&env->shard->want_told, *env->now_ns, NULL))
        log_warn("storage", "%s/%s: %s: %s; it is tried again", p->log_dir, p->name, what,
                 err == ERR_FULL ? "too many open files (ulimit -n)"
                                 : "the system has no memory left");
}

/* --- the file of a new segment ---------------------------------------------------------------- */

static void create_run(struct job *job)
{
    struct plog *p = job->plog;
    struct segment *s = job->segment;
    char path[io_path_bytes_max];
    job->err = segment_path(p, s->base, ".log", path);
    if (job->err == 0)
        job->err = p->fs->ops->open(
            p->fs, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE,
            &job->file);
    if (job->err)
        return;
    job->direct = segment_open_direct(s, IO_OPEN_READ | IO_OPEN_WRITE);
    if (p->env->durability == PLOG_FSYNC && !PLANT(UNSYNCED_NAME))
        job->err = p->fs->ops->sync_dir(p->fs, p->dir);
}

/* Reads that waited for the file go on, or end: the log may have failed meanwhile. */
static void openers_resume(struct segment *s, int err)
{
    struct read_op *op = s->openers;
    s->openers = NULL;
    while (op) {
        struct read_op *next = op->next;
        op->next = NULL;
        if (s->plog->failed) {
            read_op_fail(op, KERR_KAFKA_STORAGE_ERROR);
        } else if (err) {
            read_op_defer(op);
        } else {
            s->pins++;
            read_op_resume(op);
        }
        op = next;
    }
}

static void create_done(struct job *job)
{
    struct plog *p = job->plog;
    job->segment->name_kept = p->env->durability == PLOG_FSYNC;
    job->segment->file = job->file;
    job->segment->direct = job->direct;
    p->rolls_pending--;
    if (job->err)
        plog_fail(p, job->err, "creating a segment");
    else
        plog_mark_dirty(p);
    openers_resume(job->segment, job->err);
    if (job->segment != plog_active(p))
        segment_seal(job->segment); /* rolled while it was empty */
    segment_doom_step(job->segment);
    plog_doom_steps(p); /* some waited until there was an active segment */
}

void segment_create(struct segment *s)
{
    job_start(s->plog, s, &s->job, create_run, create_done);
}

/* On the worker. The shard must know of an error before it believes anything it reads or flushes. */
static int log_sync(struct plog *p, struct segment *s)
{
    int err = p->fs->ops->sync(p->fs, s->file);
    if (err) {
        atomic_store_explicit(&p->flush_err, err, memory_order_release);
        flush_mark_set(p);
    }
    return err;
}

/* --- room ahead of the writes ----------------------------------------------------------------- */

#define room_share 32 /* of what the disk has left room takes at most such a part at a time */

/*
 * Many logs may ask between two looks of who watches the disk: together they must not fill it. Whoever
 * cannot tell makes none.
 */
static int room_fits(struct plog *p, struct segment *s)
{
    int64_t size;
    uint64_t total, available;
    if (p->fs->ops->size(p->fs, s->file, &size) != 0 ||
        p->fs->ops->space(p->fs, p->dir, &total, &available) != 0)
        return ERR_NO_SPACE;
    return s->room > size && (uint64_t)(s->room - size) > available / room_share ? ERR_NO_SPACE : 0;
}

/*
 * The file grows to s->room with its blocks, so that writes within find them and change no size.
 * What is behind the last batch reads as zeros, which recovery cuts.
 */
static void room_run(struct job *job)
{
    struct plog *p = job->plog;
    struct segment *s = job->segment;
    job->err = room_fits(p, s);
    if (job->err == 0)
        job->err = p->fs->ops->allocate(p->fs, s->file, s->room);
    if (job->err == 0 && p->env->durability == PLOG_FSYNC)
        job->err = log_sync(p, s);
}

static void room_done(struct job *job)
{
    struct segment *s = job->segment;
    struct plog *p = job->plog;
    plog_fail_flush(p);
    s->no_room = job->err != 0; /* then writes make the file grow, or say why they cannot */
    if (job->err && job->err != ERR_NO_SPACE && job->err != ERR_UNSUPPORTED)
        plog_fail(p, job->err, "making room in a segment");
    if (s != plog_active(p))
        segment_seal(s);
    segment_doom_step(s);
}

void segment_make_room(struct segment *s)
{
    struct plog *p = s->plog;
    int64_t most =
        p->config.segment_bytes < segment_bytes_max ? p->config.segment_bytes : segment_bytes_max;
    int64_t ahead = s->size < ahead_bytes_min   ? (int64_t)ahead_bytes_min
                    : s->size > ahead_bytes_max ? (int64_t)ahead_bytes_max
                                                : s->size;
    if (s->direct == NULL || s->busy || s->no_room || s->size < ahead_from_bytes ||
        p->space->level >= PLOG_SPACE_TIGHT || p->state != PLOG_ATTACHED || s->room >= most ||
        s->room > s->size + ahead / 2)
        return;
    int64_t room = s->size + ahead < most ? s->size + ahead : most;
    if (room <= s->room)
        return;
    s->room = room;
    s->grown = true;
    job_start(p, s, &s->job, room_run, room_done);
}

/* --- the end of a segment's growth ------------------------------------------------------------ */

static void seal_run(struct job *job)
{
    struct plog *p = job->plog;
    struct segment *s = job->segment;
    job->err = segment_cut(s);
    if (job->err == 0)
        job->err = log_sync(p, s);
    if (job->err == 0)
        job->err = segment_write_indexes(s);
    if (job->err == 0 && s->snapshot)
        job->err = segment_write_snapshot(p, s->next, s->snapshot, s->snapshot_bytes);
    if (job->err == 0)
        job->err = p->fs->ops->sync_dir(p->fs, p->dir);
}

static void list_open(struct segment *s)
{
    struct plog_shard *shard = s->plog->env->shard;
    s->lru_next = NULL;
    s->lru_prev = shard->open_tail;
    *shard->open_tail = s;
    shard->open_tail = &s->lru_next;
    shard->open_count++;
}

void segment_unlist(struct segment *s)
{
    if (s->lru_prev == NULL)
        return;
    struct plog_shard *shard = s->plog->env->shard;
    *s->lru_prev = s->lru_next;
    if (s->lru_next)
        s->lru_next->lru_prev = s->lru_prev;
    else
        shard->open_tail = s->lru_prev;
    s->lru_prev = NULL;
    shard->open_count--;
}

/* --- open sealed segments: at most plog_segments_open_max ------------------------------------- */

static void close_run(struct job *job)
{
    struct plog *p = job->plog;
    p->fs->ops->close(p->fs, job->segment->file);
    if (job->segment->direct)
        p->fs->ops->close(p->fs, job->segment->direct);
    if (job->memory_bytes)
        munmap(job->memory, job->memory_bytes);
    else
        free(job->memory);
}

static void close_done(struct job *job)
{
    struct segment *s = job->segment;
    s->file = s->direct = NULL;
    segment_open_waiting(s); /* also of a doomed one: they came before it was */
    segment_doom_step(s);
}

static void segment_close(struct segment *s)
{
    segment_unlist(s);
    s->loaded = false;
    s->job.memory = s->memory;
    s->job.memory_bytes = s->memory_bytes;
    s->memory = NULL;
    s->memory_bytes = 0;
    s->offsets = s->times = (struct index){0};
    job_start(s->plog, s, &s->job, close_run, close_done);
}

static void close_unused(struct plog_shard *shard)
{
    struct segment *s = shard->open;
    while (shard->open_count > plog_segments_open_max && s) {
        struct segment *next = s->lru_next;
        if (s->pins == 0 && !s->busy)
            segment_close(s);
        s = next;
    }
}

/* seal_run synced the directory: it has the names of all files that were made before. */
static void names_kept(struct plog *p)
{
    for (uint32_t i = p->segment_count; i-- > 0 && !p->segments[i]->name_kept;)
        p->segments[i]->name_kept = p->segments[i]->file != NULL;
}

static void seal_done(struct job *job)
{
    struct segment *s = job->segment;
    struct plog *p = job->plog;
    free(s->snapshot);
    s->snapshot = NULL;
    if (job->err) {
        plog_fail(p, job->err, "sealing a segment");
        return;
    }
    if (p->failed) /* perhaps at the seal before: plog_recovery_point looks for no other behind this one */
        return;
    s->sealed = s->name_kept = true;
    names_kept(p);
    if (s->next > p->flushed)
        p->flushed = s->next;
    plog_flush_check(p); /* a flush of the next segment waits for this */
    if (!s->doomed) {
        list_open(s);
        close_unused(p->env->shard);
    }
    segment_doom_step(s);
}

void segment_seal(struct segment *s)
{
    if (s->sealed || s->busy || s->file == NULL || s->plog->failed || s->written < s->size)
        return;
    job_start(s->plog, s, &s->job, seal_run, seal_done);
}

static void open_run(struct job *job)
{
    struct plog *p = job->plog;
    struct segment *s = job->segment;
    char path[io_path_bytes_max];
    job->err = segment_path(p, s->base, ".log", path);
    if (job->err == 0)
        job->err = p->fs->ops->open(p->fs, path, IO_OPEN_READ, &job->file);
    if (job->err == 0)
        job->err = segment_use_indexes(s, &s->offsets, &s->times, &s->memory);
    if (job->err && job->file) {
        p->fs->ops->close(p->fs, job->file);
        job->file = NULL;
    }
    if (job->err == 0)
        job->direct = segment_open_direct(s, IO_OPEN_READ);
}

/* A segment that cannot be opened is the partition's; who only reads ahead leaves it to readers. */
static void open_failed(struct segment *s, int err)
{
    char what[64];
    snprintf(what, sizeof(what), "opening %020" PRId64 ".log", s->base);
    if (plog_err_is_want(err))
        plog_want_tell(s->plog, err, what);
    else if (s->openers)
        plog_fail_alone(s->plog, err, what);
}

static void open_done(struct job *job)
{
    struct segment *s = job->segment;
    if (job->err) {
        open_failed(s, job->err);
    } else {
        s->file = job->file;
        s->direct = job->direct;
        s->memory_bytes = 0;
        s->loaded = true;
        if (!s->doomed)
            list_open(s);
    }
    openers_resume(s, job->err);
    close_unused(s->plog->env->shard);
    segment_doom_step(s);
}

static void open_start(struct segment *s)
{
    job_start(s->plog, s, &s->job, open_run, open_done);
}

void segment_open_waiting(struct segment *s)
{
    if (s->openers)
        open_start(s);
}

bool segment_open_for(struct segment *s, struct read_op *op)
{
    if (s->file && s->loaded) {
        if (s->lru_prev) {
            segment_unlist(s);
            list_open(s);
        }
        s->pins++;
        return true;
    }
    op->next = s->openers;
    s->openers = op;
    if (!s->busy)
        open_start(s);
    return false;
}

bool segment_open_soon(struct segment *s)
{
    if (s->file && s->loaded)
        return true;
    if (s->sealed && !s->busy && !s->plog->failed)
        open_start(s);
    return false;
}

void segment_unpin(struct segment *s)
{
    CHECK(s->pins > 0);
    s->pins--;
    segment_doom_step(s);
}

/* --- deletion --------------------------------------------------------------------------------- */

static const char *const suffixes[] = {".log", ".index", ".timeindex", ".txnindex", ".snapshot"};
#define suffix_count (sizeof(suffixes) / sizeof(suffixes[0]))

static void rename_run(struct job *job)
{
    struct plog *p = job->plog;
    char from[io_path_bytes_max], to[io_path_bytes_max];
    for (uint32_t i = 0; i < suffix_count && job->err == 0; i++) {
        char suffix[32];
        strcpy(suffix, suffixes[i]);
        strcat(suffix, ".deleted");
        job->err = segment_path(p, job->segment->base, suffixes[i], from);
        if (job->err == 0)
            job->err = segment_path(p, job->segment->base, suffix, to);
        if (job->err == 0)
            job->err = p->fs->ops->rename(p->fs, from, to);
        if (job->err == ERR_NOT_FOUND)
            job->err = 0;
    }
}

static void rename_done(struct job *job)
{
    struct segment *s = job->segment;
    if (job->err) {
        plog_fail(job->plog, job->err, "deleting a segment");
        return;
    }
    s->renamed = true;
    segment_doom_step(s);
    plog_doom_steps(s->plog); /* the next older one waited for this */
}

void segment_rename_doomed(struct segment *s)
{
    job_start(s->plog, s, &s->job, rename_run, rename_done);
}

static void unlink_run(struct job *job)
{
    struct plog *p = job->plog;
    char path[io_path_bytes_max];
    for (uint32_t i = 0; i < suffix_count; i++) {
        char suffix[32];
        strcpy(suffix, suffixes[i]);
        strcat(suffix, ".deleted");
        int err = segment_path(p, job->segment->base, suffix, path);
        if (err == 0)
            err = p->fs->ops->unlink(p->fs, path);
        if (err && err != ERR_NOT_FOUND)
            job->err = err;
    }
}

static void unlink_done(struct job *job)
{
    struct segment *s = job->segment, **at = &job->plog->doomed;
    struct plog *p = job->plog;
    int err = job->err;
    while (*at != s)
        at = &(*at)->next_doomed;
    *at = s->next_doomed;
    segment_free(s);
    if (err)
        plog_fail(p, err, "deleting a segment");
}

void segment_unlink_doomed(struct segment *s)
{
    job_start(s->plog, s, &s->job, unlink_run, unlink_done);
}

/* --- leader epochs ---------------------------------------------------------------------------- */

static void epochs_run(struct job *job)
{
    job->err = file_replace(job->plog->fs, job->plog->dir, "leader-epoch-checkpoint", job->memory,
                            job->memory_bytes);
}

static void epochs_done(struct job *job)
{
    struct plog *p = job->plog;
    free(job->memory);
    p->epoch_job_busy = false;
    if (job->err)
        plog_fail(p, job->err, "writing leader-epoch-checkpoint");
    else if (p->epochs_changed)
        plog_write_epochs(p);
}

void plog_write_epochs(struct plog *p)
{
    if (p->epoch_job_busy || p->failed || p->state != PLOG_ATTACHED) {
        p->epochs_changed = true; /* plog_close writes them too */
        return;
    }
    p->epochs_changed = false;
    p->epoch_job.memory = epochs_format(&p->epochs, &p->epoch_job.memory_bytes);
    if (p->epoch_job.memory == NULL) {
        p->epochs_changed = true;
        return;
    }
    p->epoch_job_busy = true;
    job_start(p, NULL, &p->epoch_job, epochs_run, epochs_done);
}

/* The ring of commits of one shard in one log dir. */
#include "storage/journal/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/journal/journal_internal.h"
#include "storage/plant.h"

#define entries_per_block 4

/* ---- life ---- */

void journal_free(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->file)
        j->fs->ops->close(j->fs, j->file);
    free(j->buffers);
    free(j->commits);
    free(j->entries);
    free(j);
}

int journal_new(struct journal **out, const struct journal_options *o, uint32_t blocks)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return ERR_NO_MEMORY;
    j->fs = o->fs;
    j->io = o->io;
    j->life = o->life;
    j->blocks = blocks;
    j->head = 1;
    j->commit_blocks = journal_commit_size_max / journal_block_bytes;
    if (j->commit_blocks > (blocks - 1) / 4)
        j->commit_blocks = (blocks - 1) / 4;
    j->commit_max = blocks;
    j->entry_max = blocks * entries_per_block + journal_commit_frames;
    size_t buffer = (size_t)j->commit_blocks * journal_block_bytes;
    j->buffers = aligned_alloc(journal_block_bytes, buffer * journal_writes_max);
    j->commits = calloc(j->commit_max, sizeof(*j->commits));
    j->entries = calloc(j->entry_max, sizeof(*j->entries));
    if (j->buffers == NULL || j->commits == NULL || j->entries == NULL) {
        journal_free(j);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < journal_writes_max; i++) {
        j->writes[i] = (struct journal_write){.journal = j, .buffer = j->buffers + buffer * i};
        j->writes[i].next = j->writes_free;
        j->writes_free = &j->writes[i];
    }
    j->sequence = 1;
    j->flight_tail = &j->flight;
    *out = j;
    return 0;
}

void journal_stats(const struct journal *j, struct journal_stats *out)
{
    *out = (struct journal_stats){.blocks = j->blocks,
                                  .used = j->used,
                                  .commits = j->commit_count,
                                  .written = j->written,
                                  .frames = j->frames,
                                  .write_bytes = j->write_bytes,
                                  .left = j->left,
                                  .stuck = j->stuck,
                                  .failed = j->failed};
}

/* ---- space ---- */

uint32_t journal_find_room(const struct journal *j, uint32_t n, uint32_t keep, uint32_t *skip)
{
    uint32_t free = j->blocks - 1 - j->used, end = j->blocks - j->head;
    *skip = n <= end ? 0 : end;
    if (n + *skip + keep > free)
        return 0;
    return *skip ? 1 : j->head;
}

/* Those at the ring's begin that ended and hold nothing alone any more. */
static bool spent(const struct journal *j, uint32_t i)
{
    return commit_at(j, i)->done && commit_at(j, i)->live == 0;
}

/*
 * The oldest commits that are spent: their space is free once a later commit that says so has ended.
 * Before that a start would take what overwrites them for damage.
 */
static void retire(struct journal *j)
{
    while (j->commit_count > 0 && spent(j, 0)) {
        struct commit *c = commit_at(j, 0);
        if (c->sequence >= j->tail_durable)
            return;
        if (c->carried)
            j->carried_blocks -= c->blocks;
        j->used -= c->blocks + c->skipped;
        j->entry_count -= c->entries;
        j->entry_first = (j->entry_first + c->entries) % j->entry_max;
        j->commit_first = (j->commit_first + 1) % j->commit_max;
        j->commit_count--;
    }
}

static void entry_drop(struct journal_entry *e)
{
    struct journal_log *log = e->log;
    log->first = e->next;
    if (log->first == NULL)
        log->last = NULL;
    e->log = NULL;
}

void journal_written(struct journal_log *log, uint64_t total)
{
    if (log->first == NULL)
        return;
    struct journal *j = log->journal;
    while (log->first && log->first->end_total <= total) {
        log->first->commit->live--;
        entry_drop(log->first);
    }
    retire(j);
}

void journal_leave(struct journal_log *log)
{
    while (log->first) {
        journal_carry_add(log->journal, log->first);
        entry_drop(log->first);
    }
    log->journal = NULL;
}

uint64_t journal_pressed(const struct journal *j)
{
    if (j->commit_count < 2 || j->used < j->blocks / 2)
        return 0;
    return commit_at(j, j->commit_count / 2)->sequence;
}

uint64_t journal_oldest(const struct journal_log *log)
{
    return log->first ? log->first->commit->sequence : UINT64_MAX;
}

/* ---- commits ---- */

static void commit_submit(struct journal *j);

static void build_begin(struct journal *j)
{
    j->building = true;
    j->build = (struct commit){.sequence = j->sequence, .bytes = journal_commit_head};
}

/* A commit of no frames, whose tail frees what is spent. */
static void tail_say(struct journal *j)
{
    if (j->commit_count == 0 || j->flight || !spent(j, 0))
        return;
    build_begin(j);
    commit_submit(j);
}

static bool full(const struct journal *j)
{
    uint32_t skip;
    return j->commit_count + 1 >= j->commit_max ||
           journal_find_room(j, j->commit_blocks, 1 + journal_carry_room(j), &skip) == 0 ||
           j->entry_count + j->left + journal_commit_frames > j->entry_max;
}

enum journal_begin journal_begin(struct journal *j)
{
    CHECK(!j->building);
    if (j->failed)
        return JOURNAL_FAILED;
    if (j->left && (j->used >= j->blocks / 2 || full(j)))
        journal_carry_try(j);
    if (j->writes_free == NULL)
        return JOURNAL_BUSY;
    if (full(j)) {
        tail_say(j);
        return JOURNAL_FULL;
    }
    build_begin(j);
    return JOURNAL_BEGUN;
}

int journal_error(const struct journal *j)
{
    return j->err;
}

bool journal_writing(const struct journal *j)
{
    return j->flight != NULL;
}

uint32_t journal_piece_max(const struct journal *j)
{
    return j->commit_blocks * journal_block_bytes - journal_data_at(1);
}

uint64_t journal_worth(const struct journal *j)
{
    return j->worth;
}

bool journal_add(struct journal *j, struct journal_log *log, const struct journal_frame *f,
                 uint64_t end_total)
{
    struct commit *c = &j->build;
    CHECK(j->building && end_total > log->submitted);
    uint64_t bytes = (uint64_t)c->bytes + journal_frame_head + f->bytes;
    if (c->entries == journal_commit_frames ||
        bytes > (uint64_t)j->commit_blocks * journal_block_bytes)
        return false;
    c->bytes = (uint32_t)bytes;
    uint32_t i = (j->entry_first + j->entry_count + c->entries) % j->entry_max;
    j->entries[i] = (struct journal_entry){.log = log, .frame = *f, .end_total = end_total};
    c->entries++;
    log->submitted = end_total;
    return true;
}

/* The commit's bytes; the entries become their logs'. */
static void fill(struct journal *j, struct commit *c, uint8_t *p)
{
    uint32_t at = journal_data_at(c->entries);
    for (uint32_t i = 0; i < c->entries; i++) {
        struct journal_entry *e = entry_of(j, c, i);
        e->commit = c;
        e->log->copy(e->log, &e->frame, p + at);
        journal_frame_put(p, i, &e->frame, p + at);
        at += e->frame.bytes;
        if (e->log->last)
            e->log->last->next = e;
        else
            e->log->first = e;
        e->log->last = e;
    }
    CHECK(at == c->bytes);
    memset(p + at, 0, (size_t)c->blocks * journal_block_bytes - at);
}

static void write_done(struct io_req *req, int64_t result);

/* The sequence of the oldest commit that is not spent; at the latest that of c itself. */
static uint64_t tail_now(const struct journal *j)
{
    uint32_t i = 0;
    while (spent(j, i))
        i++;
    return commit_at(j, i)->sequence;
}

void journal_commit(struct journal *j)
{
    CHECK(j->building);
    if (j->build.entries == 0)
        j->building = false;
    else
        commit_submit(j);
}

struct journal_write *journal_write_take(struct journal *j)
{
    struct journal_write *w = j->writes_free;
    j->writes_free = w->next;
    return w;
}

void journal_write_give(struct journal *j, struct journal_write *w)
{
    w->next = j->writes_free;
    j->writes_free = w;
}

struct commit *journal_commit_place(struct journal *j, const struct commit *build)
{
    struct commit *c = commit_at(j, j->commit_count);
    *c = *build;
    c->sequence = j->sequence++;
    c->blocks = journal_blocks_of(c->bytes);
    c->start = journal_find_room(j, c->blocks, 0, &c->skipped);
    CHECK(c->start > 0);
    c->live = c->entries;
    c->first_entry = (j->entry_first + j->entry_count) % j->entry_max;
    j->entry_count += c->entries;
    j->commit_count++;
    j->used += c->blocks + c->skipped;
    j->head = c->start + c->blocks == j->blocks ? 1 : c->start + c->blocks;
    return c;
}

void journal_commit_write(struct journal *j, struct commit *c, struct journal_write *w)
{
    struct journal_commit head = {.life = j->life,
                                  .sequence = c->sequence,
                                  .tail = tail_now(j),
                                  .done = j->done,
                                  .bytes = c->bytes,
                                  .frames = c->entries};
    journal_commit_put(w->buffer, &head);
    w->commit = c;
    w->tail = head.tail;
    w->ended = false;
    w->next = NULL;
    *j->flight_tail = w;
    j->flight_tail = &w->next;
    uint64_t bytes = (uint64_t)c->blocks * journal_block_bytes;
    w->iov = (struct iovec){w->buffer, bytes};
    w->req = (struct io_req){.op = IO_WRITE,
                             .durable = !PLANT(JOURNAL_UNFLUSHED),
                             .file = j->file,
                             .iov = &w->iov,
                             .iov_count = 1,
                             .offset = (int64_t)c->start * journal_block_bytes,
                             .bytes = bytes,
                             .done = write_done};
    j->written++;
    j->frames += c->entries;
    j->write_bytes += bytes;
    io_submit(j->io, &w->req);
}

static void commit_submit(struct journal *j)
{
    j->building = false;
    struct journal_write *w = journal_write_take(j);
    struct commit *c = journal_commit_place(j, &j->build);
    fill(j, c, w->buffer);
    journal_commit_write(j, c, w);
}

/* Those that are there still; a log may go while another one is told. */
static void tell(struct journal *j, struct commit *c)
{
    for (uint32_t i = 0; i < c->entries; i++) {
        struct journal_entry *e = entry_of(j, c, i);
        struct journal_log *log = e->log;
        if (log == NULL)
            continue;
        if (j->failed) {
            log->failed(log, j->err);
        } else {
            log->durable = e->end_total;
            log->moved(log);
        }
    }
}

static void write_done(struct io_req *req, int64_t result)
{
    struct journal_write *w =
        (struct journal_write *)((char *)req - offsetof(struct journal_write, req));
    struct journal *j = w->journal;
    w->ended = true;
    if (result < 0 && !j->failed) {
        j->failed = true;
        j->err = (int)result;
    }
    /* what ended before the failing one ended well, but what is after it must not count */
    while (j->flight && j->flight->ended) {
        w = j->flight;
        j->flight = w->next;
        if (j->flight == NULL)
            j->flight_tail = &j->flight;
        struct commit *c = w->commit;
        journal_write_give(j, w);
        c->done = !j->failed;
        if (c->done) {
            j->done = c->sequence;
            j->tail_durable = w->tail;
            if (c->carries)
                journal_carry_end(j, c);
        }
        tell(j, c);
    }
    retire(j);
}

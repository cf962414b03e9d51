/*
 * How old a segment is that was opened from its index files alone: its largest timestamp is the last
 * entry of the time index, for which nothing vouches. Before a segment is deleted by it, the worker
 * looks at the batch that the entry is of.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/plog/plog_internal.h"

#define age_piece_bytes    (64 * KIB)
#define old_header_bytes   26 /* of a message in the formats before 2, with its timestamp */
#define old_timestamp_byte 18 /* in format 1 */

struct age_check {
    struct job job; /* first */
    uint8_t *piece; /* bytes [piece_at, piece_at + piece_bytes) of the file */
    uint32_t piece_at, piece_bytes;
    uint32_t at, size; /* where to begin; of the segment when the look began */
    bool indexed;      /* `at` is known: the indexes were in memory */
    bool distrusted;   /* the segment's own batches say otherwise, namely: */
    int64_t max_timestamp, max_timestamp_offset;
};

/* What is wanted of a batch, whatever its format. */
struct stamp {
    uint32_t bytes;
    int64_t last_offset, max_timestamp; /* -1: it has none */
};

/* n bytes at the position, or NULL with *err set. */
static const uint8_t *age_bytes(struct age_check *k, uint32_t at, uint32_t n, int *err)
{
    struct fs *fs = k->job.plog->fs;
    if (at < k->piece_at || at + n > k->piece_at + k->piece_bytes) {
        int64_t got = fs->ops->pread(fs, k->job.file, k->piece, age_piece_bytes, at);
        *err = got < 0 ? (int)got : got < (int64_t)n ? ERR_CORRUPT : 0;
        k->piece_at = at;
        k->piece_bytes = got < 0 ? 0 : (uint32_t)got;
        if (*err)
            return NULL;
    }
    return k->piece + (at - k->piece_at);
}

static int stamp_read(struct age_check *k, uint32_t at, struct stamp *out)
{
    uint32_t left = k->size - at;
    int err = 0;
    if (left < old_header_bytes)
        return ERR_CORRUPT;
    const uint8_t *p = age_bytes(k, at, old_header_bytes, &err);
    if (p == NULL)
        return err;
    uint32_t length = bytes_get_u32(p + BATCH_LENGTH);
    uint8_t magic = p[BATCH_MAGIC];
    if (length < batch_length_min || length > left - batch_overhead_bytes || magic > 2)
        return ERR_CORRUPT;
    *out = (struct stamp){
        .bytes = length + batch_overhead_bytes,
        .last_offset = bytes_get_i64(p),
        .max_timestamp = magic == 1 ? bytes_get_i64(p + old_timestamp_byte) : -1,
    };
    if (magic < 2)
        return 0;
    if (left < batch_header_bytes || out->bytes < batch_header_bytes)
        return ERR_CORRUPT;
    p = age_bytes(k, at, batch_header_bytes, &err);
    if (p == NULL)
        return err;
    struct batch_header h;
    batch_decode(p, &h);
    out->last_offset = batch_last_offset(&h);
    out->max_timestamp = h.max_timestamp;
    return 0;
}

/* True: the batch that the entry is of, sought from `at` on, is of the entry's time. */
static bool entry_holds(struct age_check *k, uint32_t at)
{
    const struct segment *s = k->job.segment;
    struct stamp b;
    while (at < k->size) {
        if (stamp_read(k, at, &b) != 0)
            return false;
        if (b.last_offset >= s->entry_offset)
            return b.max_timestamp == s->entry_timestamp;
        at += b.bytes;
    }
    return false;
}

/* The largest timestamp of all batches. */
static int find_largest(struct age_check *k)
{
    struct stamp b;
    k->max_timestamp = k->max_timestamp_offset = -1;
    for (uint32_t at = 0; at < k->size; at += b.bytes) {
        int err = stamp_read(k, at, &b);
        if (err)
            return err;
        if (b.max_timestamp <= k->max_timestamp)
            continue;
        k->max_timestamp = b.max_timestamp;
        k->max_timestamp_offset = b.last_offset;
    }
    k->distrusted = k->max_timestamp != k->job.segment->entry_timestamp;
    return 0;
}

static uint32_t entry_position(const struct segment *s, const struct index *offsets)
{
    return offset_index_lookup(offsets, (uint32_t)(s->entry_offset - s->base));
}

static int age_look(struct age_check *k)
{
    struct segment *s = k->job.segment;
    struct index offsets, times;
    void *memory;
    if (!k->indexed) {
        int err = segment_use_indexes(s, &offsets, &times, &memory);
        if (err)
            return err;
        k->at = entry_position(s, &offsets);
        free(memory);
    }
    return entry_holds(k, k->at) ? 0 : find_largest(k);
}

static void age_run(struct job *job)
{
    struct age_check *k = (struct age_check *)job;
    struct fs *fs = job->plog->fs;
    char path[io_path_bytes_max];
    k->piece = malloc(age_piece_bytes);
    job->err = k->piece ? segment_path(job->plog, job->segment->base, ".log", path) : ERR_NO_MEMORY;
    if (job->err == 0)
        job->err = fs->ops->open(fs, path, IO_OPEN_READ, &job->file);
    if (job->err == 0)
        job->err = age_look(k);
    if (job->file)
        fs->ops->close(fs, job->file);
    free(k->piece);
}

static void age_known(struct age_check *k)
{
    struct segment *s = k->job.segment;
    if (s->size != k->size)
        return; /* appended to: it is not old any more, or looked at again */
    s->age = AGE_KNOWN;
    if (!k->distrusted)
        return;
    segment_distrust(s, "its last time is none of the segment's");
    s->max_timestamp = k->max_timestamp;
    s->max_timestamp_offset = k->max_timestamp_offset;
}

static void age_done(struct job *job)
{
    struct age_check *k = (struct age_check *)job;
    struct segment *s = job->segment;
    struct plog *p = job->plog;
    if (plog_err_is_want(job->err)) {
        plog_want_tell(p, job->err, "looking how old a segment is");
    } else if (job->err) {
        log_warn("storage",
                 "%s/%020" PRId64 ".log: %s: how old its records are cannot be told, it is deleted "
                 "by the age of the file",
                 p->dir, s->base, err_text(job->err));
        s->age = AGE_OF_FILE;
    } else {
        age_known(k);
    }
    free(k);
    segment_open_waiting(s);
    if (s != plog_active(p))
        segment_seal(s);
    segment_doom_step(s);
    if (s->age != AGE_BY_INDEX)
        plog_retention(p);
}

void segment_age_look(struct segment *s)
{
    struct age_check *k = s->busy ? NULL : calloc(1, sizeof(*k));
    if (k == NULL)
        return; /* with the next look at retention */
    k->size = s->size;
    k->indexed = s->loaded;
    if (s->loaded)
        k->at = entry_position(s, &s->offsets);
    job_start(s->plog, s, &k->job, age_run, age_done);
}

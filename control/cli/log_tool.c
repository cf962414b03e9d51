#include "control/cli/log_tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/cli/log_journal.h"
#include "control/cli/log_verify.h"
#include "control/cli/log_walk.h"
#include "storage/plog/decompress.h"
#include "storage/plog/validate.h"

static const char *const codec_names[CODEC_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

/* ---- dump ---- */

static void dump_batch(const struct log_batch *b, FILE *out)
{
    const struct batch_header *h = &b->h;
    enum batch_codec codec = batch_codec(h);
    if (b->magic < 2) {
        fprintf(out, "offset: %" PRId64 " position: %" PRId64 " size: %u magic: %u isvalid: %s\n",
                h->base_offset, b->position, h->bytes, b->magic, b->crc_right ? "true" : "false");
        return;
    }
    int32_t last = h->base_sequence < 0 ? -1 : batch_sequence_add(h->base_sequence, h->last_delta);
    fprintf(out,
            "baseOffset: %" PRId64 " lastOffset: %" PRId64 " count: %d baseSequence: %d "
            "lastSequence: %d producerId: %" PRId64 " producerEpoch: %d partitionLeaderEpoch: %d "
            "isTransactional: %s isControl: %s position: %" PRId64 " %s: %" PRId64
            " size: %u magic: %u compresscodec: %s crc: %u isvalid: %s\n",
            h->base_offset, batch_last_offset(h), h->count, h->base_sequence, last, h->producer_id,
            h->producer_epoch, h->leader_epoch,
            h->attributes & batch_transactional ? "true" : "false",
            h->attributes & batch_control ? "true" : "false", b->position,
            h->attributes & batch_log_append_time ? "LogAppendTime" : "CreateTime",
            h->max_timestamp, h->bytes, b->magic, codec < CODEC_COUNT ? codec_names[codec] : "?",
            h->crc, b->crc_right ? "true" : "false");
}

static int dump_records(struct unzip *unzip, const struct log_batch *b, FILE *out)
{
    struct reader plain, *r = &plain;
    struct record_info info;
    int err = 0;
    if (b->magic < 2 || !b->crc_right)
        return 0;
    reader_init(&plain, b->bytes + batch_header_bytes, b->h.bytes - batch_header_bytes);
    if (batch_codec(&b->h) >= CODEC_COUNT)
        return ERR_MALFORMED;
    if (batch_codec(&b->h) != CODEC_NONE)
        r = unzip_open(unzip, batch_codec(&b->h), r);
    for (int32_t i = 0; i < b->h.count && err == 0; i++) {
        err = record_next(r, &b->h, &info);
        if (err == 0)
            fprintf(out,
                    "| offset: %" PRId64 " CreateTime: %" PRId64 " keySize: %d valueSize: %d\n",
                    b->h.base_offset + info.offset_delta, info.timestamp_ms, info.key_bytes,
                    info.value_bytes);
    }
    unzip_close(unzip);
    return err;
}

static int dump_segment(struct fs *fs, const char *path, struct unzip *unzip, FILE *out, char *why,
                        size_t why_size)
{
    struct log_walk w;
    struct log_batch b;
    int err = log_walk_open(&w, fs, path), got;
    if (err) {
        snprintf(why, why_size, "%s: %s", path, err_text(err));
        return err;
    }
    fprintf(out, "Dumping %s\n", path);
    while ((got = log_walk_next(&w, &b)) > 0) {
        dump_batch(&b, out);
        if (unzip && dump_records(unzip, &b, out) != 0) {
            snprintf(why, why_size, "%s: byte %" PRId64 ": the records cannot be read", path,
                     b.position);
            got = ERR_CORRUPT;
            break;
        }
    }
    if (got == 0 && w.room)
        fprintf(out, "%" PRId64 " bytes of room behind the last batch\n", w.room);
    if (got < 0 && why[0] == '\0')
        snprintf(why, why_size, "%s: byte %" PRId64 ": %s", path, w.at,
                 got == ERR_CORRUPT ? w.text : err_text(got));
    log_walk_close(&w);
    return got;
}

static int dump_dir(struct fs *fs, const char *dir, struct unzip *unzip, FILE *out, char *why,
                    size_t why_size)
{
    int64_t *bases = NULL;
    uint32_t count = 0;
    int err = log_segments(fs, dir, &bases, &count);
    if (err)
        snprintf(why, why_size, "%s: %s", dir, err_text(err));
    for (uint32_t i = 0; i < count && err == 0; i++) {
        char path[io_path_bytes_max];
        snprintf(path, sizeof(path), "%.4000s/%020" PRId64 ".log", dir, bases[i]);
        err = dump_segment(fs, path, unzip, out, why, why_size);
    }
    free(bases);
    return err;
}

int log_dump(struct fs *fs, const char *path, bool records, FILE *out, char *why, size_t why_size)
{
    struct unzip *unzip = NULL;
    struct fs_stat st;
    why[0] = '\0';
    int err = fs->ops->stat(fs, path, &st);
    if (err) {
        snprintf(why, why_size, "%s: %s", path, err_text(err));
        return err;
    }
    if (!st.is_dir && log_is_journal(path))
        return log_journal_dump(fs, path, out, why, why_size);
    if (records && unzip_new(&unzip) != 0)
        return ERR_NO_MEMORY;
    err = (st.is_dir ? dump_dir : dump_segment)(fs, path, unzip, out, why, why_size);
    unzip_free(unzip);
    return err;
}

/* ---- verify, stat ---- */

static int totals_of(struct fs *fs, const char *path, bool compacted, struct log_totals *t,
                     char *why, size_t why_size)
{
    struct log_verify_rules rules = {.compacted = compacted, .index_interval = -1};
    struct log_fault fault;
    int err = log_verify(fs, path, &rules, t, &fault);
    if (err == ERR_CORRUPT)
        snprintf(why, why_size, "%s: byte %" PRId64 ": %s", fault.file, fault.position, fault.text);
    else if (err)
        snprintf(why, why_size, "%s: %s", fault.file, err_text(err));
    return err;
}

int log_check(struct fs *fs, const char *path, bool compacted, FILE *out, char *why,
              size_t why_size)
{
    struct log_totals t;
    if (log_is_journal(path))
        return log_journal_check(fs, path, out, why, why_size);
    int err = totals_of(fs, path, compacted, &t, why, why_size);
    if (err == 0)
        fprintf(out,
                "%s: good: %u segments, %" PRIu64 " batches, offsets %" PRId64 " to %" PRId64
                "%s\n",
                path, t.segments, t.batches, t.first, t.next,
                t.room ? ", room behind the last batch" : "");
    return err;
}

int log_stat(struct fs *fs, const char *path, FILE *out, char *why, size_t why_size)
{
    struct log_totals t;
    int err = totals_of(fs, path, true, &t, why, why_size);
    fprintf(out,
            "segments %u\nbytes %" PRIu64 "\nroom %" PRIu64 "\nfirst offset %" PRId64
            "\nend offset %" PRId64 "\nbatches %" PRIu64 "\nrecords %" PRIu64
            "\nleader epoch %d\noldest timestamp %" PRId64 "\nnewest timestamp %" PRId64 "\n",
            t.segments, t.bytes, t.room, t.first, t.next, t.batches, t.records, t.epoch,
            t.oldest_ms, t.newest_ms);
    for (int i = 0; i < CODEC_COUNT; i++)
        if (t.codec_batches[i])
            fprintf(out, "%s: %" PRIu64 " batches, %" PRIu64 " bytes\n", codec_names[i],
                    t.codec_batches[i], t.codec_bytes[i]);
    return err;
}

/*
 * Random bytes as one of the small files that a start reads: indexes, the epochs, the producers and the
 * partition's own of a log of two segments, or a checkpoint of the log dir. Input: byte 0 which file,
 * byte 1 the settings (bit 0 a clean stop was before, bit 1 the promise), then the file.
 *
 * Checked besides the sanitizers: whatever these files say, a log that opens has the records of its
 * segments, an index that is taken names positions within its segment, and what was opened closes
 * and opens again.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "storage/io/sim.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/plog_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define data_dir        "/data"
#define dir             data_dir "/t-0/"
#define input_bytes_max 4096
#define value_bytes     40
#define batch_bytes     (batch_header_bytes + value_bytes)
#define batches         6 /* three in each segment */

static const char *const files[] = {
    dir "00000000000000000000.index",
    dir "00000000000000000000.timeindex",
    dir "00000000000000000003.index",
    dir "00000000000000000003.timeindex",
    dir "00000000000000000006.snapshot",
    dir "leader-epoch-checkpoint",
    dir "partition.metadata",
};
#define file_count (sizeof(files) / sizeof(files[0]))

static void put(struct fs *fs, const char *path, const void *bytes, size_t n)
{
    struct io_file *f;
    CHECK(fs->ops->open(fs, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &f) == 0);
    CHECK(n == 0 || fs->ops->pwrite(fs, f, bytes, n, 0) == 0);
    fs->ops->close(fs, f);
}

/* The records are never looked at by a start: any bytes will do. */
static void put_segment(struct fs *fs, const char *path, int64_t base)
{
    uint8_t all[3 * batch_bytes] = {0};
    for (int i = 0; i < 3; i++) {
        uint8_t *h = all + i * batch_bytes;
        bytes_put_u64(h, (uint64_t)(base + i));
        bytes_put_u32(h + BATCH_LENGTH, batch_bytes - batch_overhead_bytes);
        h[BATCH_MAGIC] = 2;
        bytes_put_u64(h + BATCH_BASE_TIMESTAMP, (uint64_t)(1000 + base + i));
        bytes_put_u64(h + BATCH_MAX_TIMESTAMP, (uint64_t)(1000 + base + i));
        bytes_put_u64(h + BATCH_PRODUCER_ID, 7);
        bytes_put_u32(h + BATCH_BASE_SEQUENCE, (uint32_t)(base + i));
        bytes_put_u32(h + BATCH_COUNT, 1);
        bytes_put_u32(h + BATCH_CRC,
                      crc32c(0, h + BATCH_ATTRIBUTES, batch_bytes - BATCH_ATTRIBUTES));
    }
    put(fs, path, all, sizeof(all));
}

static struct plog_open open_of(struct fs *fs, bool clean, enum plog_durability durability)
{
    return (struct plog_open){
        .fs = fs,
        .log_dir = data_dir,
        .topic = STR("t"),
        .topic_id = {{1}},
        .config = {.segment_bytes = MIB,
                   .segment_index_bytes = 4096,
                   .index_interval_bytes = 1,
                   .producer_expiration_ms = INT64_MAX / 4},
        .clean = clean,
        .recovery_point = -1,
        .log_start = -1,
        .wall_ms = 2000,
        .durability = durability,
    };
}

static void look_at_indexes(const struct plog *p)
{
    for (uint32_t i = 0; i < p->segment_count; i++) {
        struct segment *s = p->segments[i];
        struct index offsets, times;
        void *memory;
        uint32_t relative;
        if (segment_use_indexes(s, &offsets, &times, &memory) != 0)
            continue;
        for (uint32_t k = 0; k < 5; k++) {
            CHECK(offset_index_lookup(&offsets, k) < s->size);
            time_index_lookup(&times, 1000 + k, &relative);
        }
        free(memory);
    }
}

static void one_file(const char *path, const struct plog_open *o, const uint8_t *bytes, size_t n)
{
    char why[512];
    struct plog *p;
    put(o->fs, path, bytes, n);
    for (int again = 0; again < 2; again++) {
        int err = plog_open(&p, o, why, sizeof(why));
        if (strcmp(path, dir "partition.metadata") == 0 && err == ERR_INVALID)
            return;
        CHECK(err == 0);
        CHECK(p->end == batches && p->log_start == 0 && p->segment_count == 2);
        look_at_indexes(p);
        CHECK(plog_close(p) == 0);
    }
}

static void one_checkpoint(struct plog_open *o, const uint8_t *bytes, size_t n)
{
    struct checkpoint c;
    char why[512];
    struct plog *p;
    put(o->fs, data_dir "/" CHECKPOINT_LOG_START, bytes, n);
    if (checkpoint_read(o->fs, data_dir, CHECKPOINT_LOG_START, &c) != 0)
        return;
    o->log_start = checkpoint_find(&c, o->topic, 0);
    o->recovery_point = checkpoint_find(&c, o->topic, 1);
    int err = plog_open(&p, o, why, sizeof(why));
    bool behind = o->log_start > batches || (!o->clean && o->recovery_point > batches);
    CHECK(err == 0 || (err == ERR_CORRUPT && behind && o->durability == PLOG_FSYNC));
    if (err == 0) {
        CHECK(p->end == (o->log_start > batches ? o->log_start : batches));
        CHECK(p->log_start == (o->log_start > 0 ? o->log_start : 0));
        CHECK(plog_close(p) == 0);
    }
    CHECK(checkpoint_write(o->fs, data_dir, CHECKPOINT_LOG_START, &c) == 0);
    checkpoint_free(&c);
    CHECK(checkpoint_read(o->fs, data_dir, CHECKPOINT_LOG_START, &c) == 0);
    checkpoint_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int quiet = -1;
    struct io_sim sim;
    struct plog *p;
    char why[512];
    if (size < 2 || size > input_bytes_max)
        return 0;
    if (quiet < 0)
        log_set_fd(quiet = open("/dev/null", O_WRONLY | O_CLOEXEC));
    io_sim_init(&sim, 1);
    CHECK(sim.fs.ops->mkdir(&sim.fs, data_dir) == 0);
    CHECK(sim.fs.ops->mkdir(&sim.fs, data_dir "/t-0") == 0);
    put_segment(&sim.fs, dir "00000000000000000000.log", 0);
    put_segment(&sim.fs, dir "00000000000000000003.log", 3);
    struct plog_open o = open_of(&sim.fs, false, data[1] & 2 ? PLOG_OS : PLOG_FSYNC);
    CHECK(plog_open(&p, &o, why, sizeof(why)) == 0); /* makes the other files */
    CHECK(plog_close(p) == 0);
    o.clean = data[1] & 1;
    if (data[0] < file_count)
        one_file(files[data[0]], &o, data + 2, size - 2);
    else
        one_checkpoint(&o, data + 2, size - 2);
    io_sim_free(&sim);
    return 0;
}

/* Appends and reads on a disk that works. */
#include <string.h>

#include "tests/unit/storage/plog/rig.h"

static void test_append_and_read_back(void)
{
    struct rig r;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    struct plog *p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    struct rig_batch_spec spec = rig_spec();
    int64_t next = 0;
    uint8_t *all = NULL;
    uint32_t all_bytes = 0;
    for (int i = 0; i < 50; i++) {
        struct rig_op op;
        spec.codec = (enum batch_codec)(i % CODEC_COUNT);
        spec.snappy_raw = i % 2;
        uint32_t n = 1 + (uint32_t)rng_below(&r.rng, 20);
        struct rig_batch b = rig_batch_random(&r, &spec, n, (uint32_t)rng_below(&r.rng, 4000));
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        CU_ASSERT_EQUAL(op.append.base_offset, next);
        bytes_put_u64(b.bytes, (uint64_t)next);
        bytes_put_u32(b.bytes + BATCH_LEADER_EPOCH, 0);
        next += n;
        all = realloc(all, all_bytes + b.size);
        memcpy(all + all_bytes, b.bytes, b.size);
        all_bytes += b.size;
        rig_batch_free(&b);
    }
    struct plog_marks marks;
    plog_marks(p, &marks);
    CU_ASSERT_EQUAL(marks.end, next);
    CU_ASSERT_EQUAL(marks.high_watermark, next);
    CU_ASSERT_EQUAL(marks.size_bytes, all_bytes);
    struct rig_read read;
    CU_ASSERT_EQUAL(rig_read(&r, p, 0, UINT32_MAX, true, &read), 0);
    CU_ASSERT_EQUAL(read.size, all_bytes);
    CU_ASSERT(read.size == all_bytes && memcmp(read.bytes, all, all_bytes) == 0);
    rig_read_free(&read);
    CU_ASSERT(rig_nothing_lent(&r));
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);

    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    plog_marks(p, &marks);
    CU_ASSERT_EQUAL(marks.end, next);
    uint32_t at = 0;
    while (at < all_bytes) {
        struct batch_header h;
        batch_decode(all + at, &h);
        CU_ASSERT_EQUAL(rig_read(&r, p, h.base_offset, h.bytes, false, &read), 0);
        CU_ASSERT_EQUAL(read.size, h.bytes);
        CU_ASSERT(read.size == h.bytes && memcmp(read.bytes, all + at, h.bytes) == 0);
        rig_read_free(&read);
        at += h.bytes;
    }
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    free(all);
    rig_down(&r);
}

/* One step of the shard in which the device ends nothing. */
static void step(struct rig *r)
{
    plog_env_run(&r->env, r->now_ns, 64);
}

/*
 * The slower the device, the larger the writes: what comes while one is under way goes out in the
 * next one, up to a write's limit. So many batches of 100 bytes come during each write.
 */
static uint32_t writes_for(uint32_t batches_a_write)
{
    enum { batches = 64 };
    static struct rig_op ops[batches];
    struct rig r;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    struct plog *p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 1, 30);
    for (uint32_t i = 0; i < batches; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_append_start(&r, p, &b, &ops[i]), 0);
        step(&r);
        CU_ASSERT(r.sim.in_flight <= 1); /* they share a block */
        if ((i + 1) % batches_a_write == 0)
            io_sim_step(&r.sim);
    }
    rig_settle(&r);
    for (uint32_t i = 0; i < batches; i++)
        CU_ASSERT(ops[i].done && ops[i].append.error == 0);
    uint32_t writes = (uint32_t)r.env.writes;
    rig_batch_free(&b);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
    return writes;
}

static void test_slow_device_gets_large_writes(void)
{
    CU_ASSERT_EQUAL(writes_for(1), 64);
    CU_ASSERT_EQUAL(writes_for(8), 9); /* the first alone, then what came during the one before */
    CU_ASSERT_EQUAL(writes_for(64), 2);
}

static struct rig_batch batch_of(uint32_t bytes)
{
    struct rig_record record = {0, "key", "value", bytes, 0};
    struct rig_batch_spec spec = rig_spec();
    return rig_batch_make(&spec, &record, 1);
}

/* segment.bytes grows while the segment is empty: it takes what is larger than it was made for. */
static void test_larger_than_the_empty_segment(void)
{
    for (int reopened = 0; reopened < 2; reopened++) {
        struct rig r;
        struct rig_op op;
        struct plog_marks marks;
        rig_up(&r, unit_seed(), 128, PLOG_FSYNC);
        r.config.segment_bytes = 100000;
        r.config.max_message_bytes = 8 * MIB;
        struct plog *p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        if (reopened) {
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
            p = rig_open(&r, true, NULL);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        }
        struct rig_batch b = batch_of(2 * MIB);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_RECORD_LIST_TOO_LARGE);
        r.config.segment_bytes = 5 * MIB;
        plog_configure(p, &r.config);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        CU_ASSERT_EQUAL(op.append.base_offset, 1);
        plog_marks(p, &marks);
        CU_ASSERT_FALSE(marks.failed);
        CU_ASSERT_EQUAL(r.disk_errors, 0);
        struct fs_stat st; /* both are in the first segment */
        CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, rig_dir "/topic-0/00000000000000000001.log", &st),
                        ERR_NOT_FOUND);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0); /* the third one rolls */
        CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, rig_dir "/topic-0/00000000000000000002.log", &st), 0);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        p = rig_open(&r, false, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        plog_marks(p, &marks);
        CU_ASSERT_EQUAL(marks.end, 3);
        rig_batch_free(&b);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        rig_down(&r);
    }
}

UNIT_MAIN("plog/append", UNIT_CASE(test_append_and_read_back),
          UNIT_CASE(test_slow_device_gets_large_writes),
          UNIT_CASE(test_larger_than_the_empty_segment))

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

UNIT_MAIN("plog/append", UNIT_CASE(test_append_and_read_back))

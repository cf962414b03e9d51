#include "control/meta/frame.h"

#include <string.h>

#include "base/err.h"
#include "tests/unit/unit.h"

static void heads_name_their_kind(void)
{
    uint8_t head[meta_head_bytes];
    int64_t offset = -1;
    meta_head_encode(META_FILE_LOG, 42, head);
    CU_ASSERT_EQUAL(meta_head_decode(META_FILE_LOG, head, sizeof(head), &offset), 0);
    CU_ASSERT_EQUAL(offset, 42);
    CU_ASSERT_EQUAL(meta_head_decode(META_FILE_SNAPSHOT, head, sizeof(head), &offset), ERR_CORRUPT);
    CU_ASSERT_EQUAL(meta_head_decode(META_FILE_LOG, head, sizeof(head) - 1, &offset),
                    ERR_NEED_MORE);
    for (size_t i = 0; i < sizeof(head); i++) {
        head[i] ^= 0x40;
        CU_ASSERT_EQUAL(meta_head_decode(META_FILE_LOG, head, sizeof(head), &offset), ERR_CORRUPT);
        head[i] ^= 0x40;
    }
}

static void make(struct meta_frame *f, uint32_t records)
{
    for (uint32_t i = 0; i < records; i++) {
        struct meta_record r = {.type = META_PRODUCER_IDS, .value = i};
        CU_ASSERT_EQUAL_FATAL(meta_frame_add(f, &r), 0);
    }
    CU_ASSERT_EQUAL_FATAL(meta_frame_end(f, 9), 0);
}

static void frames_come_back(void)
{
    for (uint32_t records = 0; records < 300; records += 37) {
        struct meta_frame f = {0};
        struct meta_frame_view v;
        make(&f, records);
        CU_ASSERT_EQUAL(meta_frame_decode(f.bytes, f.size, &v), (int64_t)f.size);
        CU_ASSERT_EQUAL(v.count, records);
        CU_ASSERT_EQUAL(v.offset, 9);
        CU_ASSERT_EQUAL(v.length, records * 14);
        meta_frame_clear(&f);
        make(&f, 1);
        CU_ASSERT_EQUAL(meta_frame_decode(f.bytes, f.size, &v), (int64_t)f.size);
        CU_ASSERT_EQUAL(v.count, 1);
        meta_frame_free(&f);
    }
}

static void every_flipped_bit_shows(void)
{
    struct meta_frame f = {0};
    struct meta_frame_view v;
    make(&f, 3);
    for (size_t bit = 0; bit < f.size * 8; bit++) {
        f.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_TRUE(meta_frame_decode(f.bytes, f.size, &v) < 0);
        f.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < f.size; cut++)
        CU_ASSERT_EQUAL(meta_frame_decode(f.bytes, cut, &v), ERR_NEED_MORE);
    meta_frame_free(&f);
}

static void records_over_the_limit_are_refused(void)
{
    struct meta_frame f = {.count = meta_frame_records_max};
    struct meta_record r = {.type = META_PRODUCER_IDS, .value = 1};
    CU_ASSERT_EQUAL(meta_frame_add(&f, &r), ERR_TOO_LARGE);
    f.count--;
    CU_ASSERT_EQUAL(meta_frame_add(&f, &r), 0);
    meta_frame_free(&f);
}

UNIT_MAIN("control/meta/frame", UNIT_CASE(heads_name_their_kind), UNIT_CASE(frames_come_back),
          UNIT_CASE(every_flipped_bit_shows), UNIT_CASE(records_over_the_limit_are_refused))

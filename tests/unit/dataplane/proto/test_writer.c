#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"
#include "tests/unit/unit.h"
#include "wire.h"

static struct rte_mempool *pool, *tiny, *refs;

/* What was written, checked against the expected bytes; the chain is freed. */
static void expect(struct writer *w, const void *bytes, size_t n)
{
    struct chain out;
    chain_init(&out);
    CU_ASSERT_EQUAL(writer_bytes(w), n);
    CU_ASSERT_EQUAL(writer_finish(w, &out), 0);
    CU_ASSERT_EQUAL(out.bytes, n);
    uint8_t *flat = wire_flat(&out);
    CU_ASSERT_TRUE(out.bytes == n && memcmp(flat, bytes, n) == 0);
    free(flat);
    chain_free(&out);
}

static void write_each(struct writer *w)
{
    writer_bool(w, true);
    writer_i8(w, -2);
    writer_i16(w, -2);
    writer_u16(w, 0xfffe);
    writer_i32(w, 0x01020304);
    writer_u32(w, 0xfffffffe);
    writer_i64(w, INT64_C(0x0102030405060708));
    writer_f64(w, 1.5);
    writer_uvarint(w, 0);
    writer_uvarint(w, 300);
    writer_uvarint(w, UINT32_MAX);
    writer_str(w, STR("ab"), false);
    writer_str(w, STR_NULL, true);
    writer_compact_str(w, STR("cd"), false);
    writer_compact_str(w, STR_NULL, true);
    writer_bytes_field(w, (struct proto_bytes){(const uint8_t *)"e", 1}, false);
    writer_bytes_field(w, PROTO_BYTES_NULL, true);
    writer_compact_bytes_field(w, PROTO_BYTES_EMPTY, false);
    writer_array_len(w, 3, false);
    writer_array_len(w, -1, true);
    writer_compact_array_len(w, 3, false);
    writer_compact_array_len(w, -1, true);
    writer_tag(w, 1, 2);
    writer_no_tags(w);
}

static void primitives(void)
{
    static const uint8_t bytes[] = {
        1,   0xfe, 0xff, 0xfe, 0xff, 0xfe, 1,    2,    3,    4,    0xff, 0xff, 0xff, 0xfe, 1,
        2,   3,    4,    5,    6,    7,    8,    0x3f, 0xf8, 0,    0,    0,    0,    0,    0,
        0,   0xac, 2,    0xff, 0xff, 0xff, 0xff, 0x0f, 0,    2,    'a',  'b',  0xff, 0xff, 3,
        'c', 'd',  0,    0,    0,    0,    1,    'e',  0xff, 0xff, 0xff, 0xff, 1,    0,    0,
        0,   3,    0xff, 0xff, 0xff, 0xff, 4,    0,    1,    2,    0};
    struct writer w;
    writer_init(&w, pool);
    write_each(&w);
    expect(&w, bytes, sizeof(bytes));
    writer_init(&w, tiny); /* every value straddles */
    write_each(&w);
    expect(&w, bytes, sizeof(bytes));
    writer_init_count(&w);
    write_each(&w);
    CU_ASSERT_EQUAL(writer_bytes(&w), sizeof(bytes));
}

static void invalid_values(void)
{
    static char longest[PROTO_STRING_BYTES_MAX + 1];
    struct chain out;
    chain_init(&out);
    for (int i = 0; i < 8; i++) {
        struct writer w;
        writer_init(&w, pool);
        writer_i32(&w, 1);
        if (i == 0)
            writer_str(&w, STR_NULL, false);
        else if (i == 1)
            writer_compact_str(&w, STR_NULL, false);
        else if (i == 2)
            writer_str(&w, (struct str){longest, sizeof(longest)}, true);
        else if (i == 3)
            writer_array_len(&w, -1, false);
        else if (i == 4)
            writer_compact_array_len(&w, -2, true);
        else if (i == 5)
            writer_bytes_field(&w, PROTO_BYTES_NULL, false);
        else if (i == 6)
            writer_compact_records(&w, PROTO_RECORDS_NULL, false);
        else
            writer_compact_str(&w, (struct str){longest, sizeof(longest)}, true);
        writer_i64(&w, 2); /* does nothing any more */
        CU_ASSERT_EQUAL(w.err, ERR_INVALID);
        CU_ASSERT_EQUAL(writer_finish(&w, &out), ERR_INVALID);
        CU_ASSERT_EQUAL(out.bytes, 0);
    }
    struct writer w;
    writer_init_count(&w);
    writer_str(&w, (struct str){longest, PROTO_STRING_BYTES_MAX}, false);
    CU_ASSERT_EQUAL(w.err, 0);
    CU_ASSERT_EQUAL(writer_bytes(&w), 2 + PROTO_STRING_BYTES_MAX);
}

static void frames(void)
{
    for (size_t lead = 0; lead < 20; lead++) {
        struct writer w;
        writer_init(&w, tiny);
        for (size_t i = 0; i < lead; i++)
            writer_i8(&w, 'l');
        struct writer_frame one = writer_frame_begin(&w);
        writer_raw(&w, "abc", 3);
        writer_frame_end(&w, one);
        struct writer_frame two = writer_frame_begin(&w);
        writer_frame_end(&w, two);
        uint8_t want[64];
        memset(want, 'l', lead);
        memcpy(want + lead, "\0\0\0\3abc\0\0\0\0", 11);
        expect(&w, want, lead + 11);
    }
}

static void records_by_reference(void)
{
    struct chain log = wire_chain("0123456789", 10, NULL, 4);
    unsigned before = rte_mempool_avail_count(pool), refs_before = rte_mempool_avail_count(refs);
    struct chain out;
    chain_init(&out);
    struct writer w;
    writer_init(&w, pool);
    writer_set_refs(&w, refs);
    writer_records(&w, (struct proto_records){{chain_pos_at(&log, 2), 5}, false}, false);
    writer_compact_records(&w, PROTO_RECORDS_NULL, true);
    writer_compact_records(&w, (struct proto_records){0}, false);
    writer_records(&w, proto_records_of(&log), true);
    CU_ASSERT_EQUAL(writer_bytes(&w), 4 + 5 + 1 + 1 + 4 + 10);
    CU_ASSERT_EQUAL(writer_finish(&w, &out), 0);
    uint8_t *flat = wire_flat(&out);
    CU_ASSERT_EQUAL(memcmp(flat,
                           "\0\0\0\5"
                           "23456\0\1\0\0\0\12"
                           "0123456789",
                           25),
                    0);
    free(flat);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), before - 2); /* two runs of copied bytes */
    CU_ASSERT_TRUE(rte_mempool_avail_count(refs) < refs_before);
    /* No byte of the records was copied: the same memory is on both sides. */
    CU_ASSERT_PTR_EQUAL(rte_pktmbuf_mtod(out.head->next, uint8_t *),
                        rte_pktmbuf_mtod(log.head, uint8_t *) + 2);
    chain_free(&out);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), before);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(refs), refs_before);
    wire_free(&log);
}

static void chains_move(void)
{
    struct chain part, out;
    chain_init(&part);
    chain_init(&out);
    CU_ASSERT_EQUAL(chain_append_bytes(&part, pool, "moved", 5), 0);
    struct writer w;
    writer_init(&w, pool);
    writer_i8(&w, 'a');
    writer_chain(&w, &part);
    writer_i8(&w, 'z');
    CU_ASSERT_EQUAL(part.bytes, 0);
    expect(&w, "amovedz", 7);
}

static void finish_appends(void)
{
    struct chain out;
    chain_init(&out);
    struct writer w;
    writer_init(&w, pool);
    writer_i8(&w, 'a');
    CU_ASSERT_EQUAL(writer_finish(&w, &out), 0);
    writer_i8(&w, 'b'); /* usable again */
    CU_ASSERT_EQUAL(writer_finish(&w, &out), 0);
    CU_ASSERT_EQUAL(out.bytes, 2);
    CU_ASSERT_EQUAL(writer_finish(&w, &out), 0); /* nothing written, nothing added */
    CU_ASSERT_EQUAL(out.bytes, 2);
    chain_free(&out);
}

/* With k mbufs to be had, for every k: an error, nothing leaked, or the whole message. */
static void every_pool_size(void)
{
    struct chain log = wire_chain("0123456789", 10, NULL, 3);
    struct rte_mempool *scarce = wire_pool(31, 8);
    unsigned full = rte_mempool_avail_count(scarce);
    struct rte_mbuf *held[31];
    int succeeded = 0;
    for (unsigned k = 0; k <= full; k++) {
        for (unsigned i = 0; i < full - k; i++)
            held[i] = rte_pktmbuf_alloc(scarce);
        struct chain out;
        chain_init(&out);
        struct writer w;
        writer_init(&w, scarce);
        struct writer_frame frame = writer_frame_begin(&w);
        writer_records(&w, proto_records_of(&log), false);
        writer_raw(&w, "abcdefghijklmnopqrstuvwxyz", 26);
        writer_frame_end(&w, frame);
        int err = writer_finish(&w, &out);
        CU_ASSERT_TRUE(err == 0 || err == ERR_NO_MEMORY);
        CU_ASSERT_EQUAL(out.bytes, err ? 0 : 4 + 4 + 10 + 26);
        succeeded += err == 0;
        chain_free(&out);
        for (unsigned i = 0; i < full - k; i++)
            rte_pktmbuf_free(held[i]);
        CU_ASSERT_EQUAL(rte_mempool_avail_count(scarce), full);
    }
    CU_ASSERT_TRUE(succeeded > 0 && succeeded < (int)full);
    wire_free(&log);
}

/* A pool without data room cannot hold bytes: an error, not an endless loop. */
static void pool_without_room(void)
{
    struct writer w;
    writer_init(&w, refs);
    writer_i32(&w, 1);
    CU_ASSERT_EQUAL(w.err, ERR_NO_MEMORY);
    writer_abort(&w);
}

static void setup(void)
{
    wire_start();
    pool = wire_pool(63, 256);
    tiny = wire_pool(511, 7);
    refs = rte_pktmbuf_pool_create("refs", 63, 0, 0, 0, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(refs);
}

UNIT_MAIN("proto/writer", UNIT_CASE(setup), UNIT_CASE(primitives), UNIT_CASE(invalid_values),
          UNIT_CASE(frames), UNIT_CASE(records_by_reference), UNIT_CASE(chains_move),
          UNIT_CASE(finish_appends), UNIT_CASE(every_pool_size), UNIT_CASE(pool_without_room),
          UNIT_CASE(wire_stop))

/*
 * Properties of every generated decoder and encoder, by random messages: what is written is read
 * back the same however the bytes are cut; every prefix is refused; mutated bytes, lengths and
 * counts never lead outside the bytes or beyond the arena's limit.
 */
#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"
#include "dump.h"
#include "tests/unit/unit.h"
#include "wire.h"

#define ARENA_BYTES (1 << 20)

static struct rte_mempool *pool;
static struct rng rng;
static struct chain records;
static struct arena arena;
static _Alignas(16) uint8_t value[1024], other[1024]; /* the message at hand, what was decoded */

static void setup(void)
{
    uint8_t bytes[400];
    wire_start();
    pool = wire_pool(4095, 256);
    rng_seed(&rng, unit_seed());
    rng_fill(&rng, bytes, sizeof(bytes));
    records = wire_chain(bytes, sizeof(bytes), &rng, 90);
    arena_init(&arena, 16 * ARENA_BYTES);
    for (size_t i = 0; i < message_count; i++)
        CU_ASSERT_TRUE_FATAL(message_table[i].root->size <= sizeof(value));
}

/* A random message's bytes in one heap block; caller frees. */
static uint8_t *random_bytes(const struct message_info *m, int version, int depth, size_t *n)
{
    struct chain out;
    chain_init(&out);
    dump_fill(m->root, value, version, &rng, &arena, &records, depth);
    struct writer w;
    writer_init(&w, pool);
    CU_ASSERT_EQUAL_FATAL(m->encode(value, &w, version), 0);
    CU_ASSERT_EQUAL_FATAL(writer_finish(&w, &out), 0);
    struct writer count;
    writer_init_count(&count);
    CU_ASSERT_EQUAL(m->encode(value, &count, version), 0);
    CU_ASSERT_EQUAL(writer_bytes(&count), out.bytes);
    uint8_t *bytes = wire_flat(&out);
    *n = out.bytes;
    chain_free(&out);
    return bytes;
}

/* For each message and version: the body sees m, version. */
#define FOR_EACH_VERSION(m, version)                                                               \
    for (const struct message_info *m = message_table; m < message_table + message_count; m++)     \
        for (int version = m->min; version <= m->max; version++)

static void one_round_trip(const struct message_info *m, int version)
{
    size_t n;
    uint8_t *bytes = random_bytes(m, version, 3, &n);
    char *want = dump_json(m->root, value, version);
    struct chain c = wire_chain(bytes, n, &rng, 1 + rng_below(&rng, 64));
    struct reader r;
    reader_init_chain(&r, &c);
    CU_ASSERT_EQUAL_FATAL(m->decode(other, &r, version, &arena), 0);
    CU_ASSERT_EQUAL(reader_left(&r), 0);
    char *got = dump_json(m->root, other, version);
    CU_ASSERT_STRING_EQUAL(got, want);
    struct chain out;
    chain_init(&out);
    struct writer w;
    writer_init(&w, pool);
    CU_ASSERT_EQUAL(m->encode(other, &w, version), 0);
    CU_ASSERT_EQUAL(writer_finish(&w, &out), 0);
    uint8_t *again = wire_flat(&out);
    CU_ASSERT_TRUE(out.bytes == n && memcmp(again, bytes, n) == 0);
    chain_free(&out);
    wire_free(&c);
    free(again);
    free(got);
    free(want);
    free(bytes);
    arena_reset(&arena);
}

static void round_trips(void)
{
    FOR_EACH_VERSION(m, version)
    for (int round = 0; round < 12; round++)
        one_round_trip(m, version);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), pool->size);
}

static void defaults_round_trip(void)
{
    FOR_EACH_VERSION(m, version)
    {
        struct chain out;
        chain_init(&out);
        m->root->init(value);
        char *want = dump_json(m->root, value, version);
        struct writer w;
        writer_init(&w, pool);
        CU_ASSERT_EQUAL(m->encode(value, &w, version), 0);
        CU_ASSERT_EQUAL(writer_finish(&w, &out), 0);
        struct reader r;
        reader_init_chain(&r, &out);
        CU_ASSERT_EQUAL(m->decode(other, &r, version, &arena), 0);
        char *got = dump_json(m->root, other, version);
        CU_ASSERT_STRING_EQUAL(got, want);
        free(got);
        free(want);
        chain_free(&out);
        arena_reset(&arena);
    }
}

static void prefixes_are_malformed(void)
{
    FOR_EACH_VERSION(m, version)
    {
        size_t n;
        uint8_t *bytes = random_bytes(m, version, 2, &n);
        size_t step = n > 1500 ? n / 1500 : 1;
        for (size_t cut = 0; cut < n; cut += step) {
            struct chain c = wire_chain(bytes, cut, NULL, 1 + rng_below(&rng, 2000));
            struct reader r;
            reader_init_chain(&r, &c);
            memset(other, 0x5a, sizeof(other));
            CU_ASSERT_EQUAL(m->decode(other, &r, version, &arena), ERR_MALFORMED);
            CU_ASSERT_TRUE(other[0] == 0x5a && other[m->root->size - 1] == 0x5a); /* untouched */
            wire_free(&c);
            arena_reset(&arena);
        }
        free(bytes);
    }
}

/* Decodes bytes that may be nonsense; what is accepted encodes and decodes to the same again. */
static int accept_or_refuse(const struct message_info *m, int version, const uint8_t *bytes,
                            size_t n)
{
    struct arena small;
    arena_init(&small, ARENA_BYTES);
    struct chain c = wire_chain(bytes, n, &rng, 1 + rng_below(&rng, 200));
    struct reader r;
    reader_init_chain(&r, &c);
    int rc = m->decode(other, &r, version, &small);
    CU_ASSERT_TRUE(rc == 0 || rc == ERR_MALFORMED || rc == ERR_NO_MEMORY);
    CU_ASSERT_TRUE(small.used <= ARENA_BYTES);
    if (rc == 0) {
        struct chain out;
        chain_init(&out);
        struct writer w;
        writer_init(&w, pool);
        CU_ASSERT_EQUAL(m->encode(other, &w, version), 0);
        CU_ASSERT_EQUAL(writer_finish(&w, &out), 0);
        reader_init_chain(&r, &out);
        CU_ASSERT_EQUAL(m->decode(value, &r, version, &small), 0);
        CU_ASSERT_EQUAL(reader_left(&r), 0);
        chain_free(&out);
    }
    wire_free(&c);
    arena_free(&small);
    return rc;
}

static void mutations(void)
{
    static const uint8_t nasty[][8] = {
        {0x3b, 0x9a, 0xca, 0x00}, /* a billion as int32 */
        {0x7f, 0xff, 0xff, 0xff},       {0x80, 0x00, 0x00, 0x00},
        {0xff, 0xff, 0xff, 0xff, 0x07}, /* 2^31 - 1 as a varint */
        {0x81, 0x94, 0xeb, 0xdc, 0x03}, /* a billion and one as a varint */
        {0xff, 0xff, 0xff, 0xff, 0x0f},
    };
    int refused = 0;
    FOR_EACH_VERSION(m, version)
    {
        for (int round = 0; round < 120; round++) {
            size_t n;
            uint8_t *bytes = random_bytes(m, version, 2, &n);
            size_t at = n ? rng_below(&rng, n) : 0;
            if (n > 0 && round % 2)
                bytes[at] ^= (uint8_t)(1 + rng_below(&rng, 255));
            else if (n > 0)
                memcpy(bytes + at, nasty[round / 2 % 6], n - at < 5 ? n - at : 5);
            refused += accept_or_refuse(m, version, bytes, n) != 0;
            free(bytes);
            arena_reset(&arena);
        }
    }
    CU_ASSERT_TRUE(refused > 1000);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), pool->size);
}

static void random_garbage(void)
{
    FOR_EACH_VERSION(m, version)
    {
        for (int round = 0; round < 40; round++) {
            size_t n = rng_below(&rng, 300);
            uint8_t *bytes = malloc(n + 1);
            for (size_t i = 0; i < n; i++)
                bytes[i] =
                    rng_below(&rng, 3) ? (uint8_t)rng_below(&rng, 4) : (uint8_t)rng_u64(&rng);
            accept_or_refuse(m, version, bytes, n);
            free(bytes);
        }
    }
}

/* A message of many small elements against a small arena. */
static void arena_limit_holds(void)
{
    const struct message_info *m = message_table;
    while (strcmp(m->name, "metadata_request") != 0)
        m++;
    size_t n = 4 + 2 * 100000;
    uint8_t *bytes = calloc(n, 1); /* 100,000 empty names */
    bytes[1] = 0x01;
    bytes[2] = 0x86;
    bytes[3] = 0xa0;
    struct arena small;
    arena_init(&small, ARENA_BYTES);
    struct chain c = wire_chain(bytes, n, NULL, 50000);
    struct reader r;
    reader_init_chain(&r, &c);
    CU_ASSERT_EQUAL(m->decode(other, &r, 0, &small), ERR_NO_MEMORY);
    CU_ASSERT_TRUE(small.used <= ARENA_BYTES);
    arena_free(&small);
    arena_init(&small, 64 * ARENA_BYTES);
    reader_init_chain(&r, &c);
    CU_ASSERT_EQUAL(m->decode(other, &r, 0, &small), 0);
    arena_free(&small);
    wire_free(&c);
    free(bytes);
}

static void versions_outside_are_unsupported(void)
{
    for (size_t i = 0; i < message_count; i++) {
        const struct message_info *m = &message_table[i];
        for (int side = 0; side < 2; side++) {
            int version = side ? m->max + 1 : m->min - 1;
            struct reader r;
            reader_init_memory(&r, "\0\0\0\0\0\0", 6);
            CU_ASSERT_EQUAL(m->decode(other, &r, version, &arena), ERR_UNSUPPORTED);
            m->root->init(value);
            struct writer w;
            writer_init(&w, pool);
            CU_ASSERT_EQUAL(m->encode(value, &w, version), ERR_UNSUPPORTED);
            writer_abort(&w);
        }
    }
}

/* A field that the version lacks: dropped if the schema says so, else refused. */
static void fields_that_do_not_fit(void)
{
    int refused = 0, dropped = 0;
    FOR_EACH_VERSION(m, version)
    {
        struct writer plain;
        writer_init_count(&plain);
        m->root->init(value);
        m->encode(value, &plain, version);
        for (uint32_t i = 0; i < m->root->field_count; i++) {
            const struct field_info *f = &m->root->fields[i];
            if (version >= f->min && version <= f->max)
                continue;
            m->root->init(value);
            dump_set(f, value, &rng, &arena, &records);
            struct writer w;
            writer_init_count(&w);
            int rc = m->encode(value, &w, version);
            CU_ASSERT_EQUAL(rc, f->ignorable ? 0 : ERR_UNSUPPORTED);
            if (f->ignorable)
                CU_ASSERT_EQUAL(writer_bytes(&w), writer_bytes(&plain));
            refused += !f->ignorable;
            dropped += f->ignorable;
            arena_reset(&arena);
        }
    }
    CU_ASSERT_TRUE(refused > 50 && dropped > 50);
}

/* Null is written where the version has it, else refused. */
static void nulls_that_do_not_fit(void)
{
    int refused = 0;
    FOR_EACH_VERSION(m, version)
    {
        for (uint32_t i = 0; i < m->root->field_count; i++) {
            const struct field_info *f = &m->root->fields[i];
            bool may = version >= f->null_min && version <= f->null_max && f->null_min >= 0;
            if (version < f->min || version > f->max || f->tag >= 0 || f->pointer ||
                (!f->array && f->kind != FIELD_STRING && f->kind != FIELD_BYTES))
                continue;
            m->root->init(value);
            memset(value + f->offset, 0, sizeof(void *));
            if (f->array)
                *(int32_t *)(value + f->count_offset) = -1;
            struct writer w;
            writer_init_count(&w);
            CU_ASSERT_EQUAL(m->encode(value, &w, version), may ? 0 : ERR_INVALID);
            refused += !may;
        }
    }
    CU_ASSERT_TRUE(refused > 100);
}

static void teardown(void)
{
    arena_free(&arena);
    wire_free(&records);
    wire_stop();
}

UNIT_MAIN("proto/gen property", UNIT_CASE(setup), UNIT_CASE(round_trips),
          UNIT_CASE(defaults_round_trip), UNIT_CASE(prefixes_are_malformed), UNIT_CASE(mutations),
          UNIT_CASE(random_garbage), UNIT_CASE(arena_limit_holds),
          UNIT_CASE(versions_outside_are_unsupported), UNIT_CASE(fields_that_do_not_fit),
          UNIT_CASE(nulls_that_do_not_fit), UNIT_CASE(teardown))

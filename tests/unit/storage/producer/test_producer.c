/* Idempotent producers: Kafka's rules case by case, expiry, snapshots. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "storage/producer/producer.h"
#include "tests/unit/unit.h"

static int64_t next_offset;

static struct producer_append batch(int64_t id, int16_t epoch, int32_t sequence, int32_t n)
{
    return (struct producer_append){
        .producer_id = id,
        .base_offset = next_offset,
        .last_offset = next_offset + n - 1,
        .max_timestamp_ms = 1000 + next_offset,
        .base_sequence = sequence,
        .last_sequence = (int32_t)(((int64_t)sequence + n - 1) & INT32_MAX),
        .epoch = epoch,
        .from_client = true,
    };
}

static int16_t append(struct producers *p, int64_t id, int16_t epoch, int32_t sequence, int32_t n)
{
    struct producer_append a = batch(id, epoch, sequence, n);
    int16_t err = producers_check(p, &a);
    if (err == 0) {
        CU_ASSERT_EQUAL(producers_reserve(p, id), 0);
        producers_update(p, &a);
        next_offset += n;
    }
    return err;
}

static int64_t duplicate_offset(struct producers *p, int64_t id, int16_t epoch, int32_t sequence,
                                int32_t n)
{
    struct producer_append a = batch(id, epoch, sequence, n);
    const struct producer_batch *b = producers_duplicate(p, &a);
    return b ? b->last_offset - b->offset_delta : -1;
}

static void test_sequences(void)
{
    struct producers p;
    producers_init(&p, 1);
    next_offset = 0;
    CU_ASSERT_EQUAL(append(&p, 7, 0, 0, 3), 0);
    CU_ASSERT_EQUAL(append(&p, 7, 0, 3, 2), 0);
    CU_ASSERT_EQUAL(append(&p, 7, 0, 6, 1), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER); /* a gap */
    CU_ASSERT_EQUAL(append(&p, 7, 0, 4, 1), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER); /* overlaps */
    CU_ASSERT_EQUAL(append(&p, 7, 0, 5, 1), 0);
    /* nothing known: any sequence may begin */
    CU_ASSERT_EQUAL(append(&p, 8, 3, 1234, 1), 0);
    CU_ASSERT_EQUAL(append(&p, 8, 3, 1236, 1), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    producers_free(&p);
}

static void test_epochs(void)
{
    struct producers p;
    producers_init(&p, 1);
    CU_ASSERT_EQUAL(append(&p, 7, 5, 0, 1), 0);
    CU_ASSERT_EQUAL(append(&p, 7, 4, 0, 1), KERR_INVALID_PRODUCER_EPOCH);
    CU_ASSERT_EQUAL(append(&p, 7, 6, 1, 1), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER); /* begins with 0 */
    CU_ASSERT_EQUAL(append(&p, 7, 6, 0, 1), 0);
    CU_ASSERT_EQUAL(append(&p, 7, 5, 1, 1), KERR_INVALID_PRODUCER_EPOCH);
    CU_ASSERT_EQUAL(producers_find(&p, 7)->count, 1); /* batches of the old epoch are forgotten */
    producers_free(&p);
}

static void test_wrap(void)
{
    struct producers p;
    producers_init(&p, 1);
    next_offset = 100;
    CU_ASSERT_EQUAL(append(&p, 7, 0, INT32_MAX - 1, 2), 0);
    CU_ASSERT_EQUAL(append(&p, 7, 0, 0, 4), 0);
    CU_ASSERT_EQUAL(append(&p, 8, 0, INT32_MAX - 2, 6), 0); /* across the wrap */
    CU_ASSERT_EQUAL(producer_last(producers_find(&p, 8))->last_sequence, 2);
    CU_ASSERT_EQUAL(duplicate_offset(&p, 8, 0, INT32_MAX - 2, 6), 106);
    CU_ASSERT_EQUAL(append(&p, 8, 0, 3, 1), 0);
    producers_free(&p);
}

static void test_duplicates(void)
{
    struct producers p;
    producers_init(&p, 1);
    next_offset = 0;
    for (int i = 0; i < 7; i++)
        CU_ASSERT_EQUAL(append(&p, 7, 0, i * 10, 10), 0);
    CU_ASSERT_EQUAL(duplicate_offset(&p, 7, 0, 10, 10), -1); /* only five are kept */
    for (int i = 2; i < 7; i++)
        CU_ASSERT_EQUAL(duplicate_offset(&p, 7, 0, i * 10, 10), i * 10);
    CU_ASSERT_EQUAL(duplicate_offset(&p, 7, 0, 60, 9), -1); /* not the same range */
    CU_ASSERT_EQUAL(duplicate_offset(&p, 7, 1, 60, 10), -1);
    CU_ASSERT_EQUAL(duplicate_offset(&p, 9, 0, 60, 10), -1);
    producers_free(&p);
}

static void test_transactions(void)
{
    struct producers p;
    producers_init(&p, 1);
    next_offset = 50;
    struct producer_append a = batch(7, 0, 0, 1);
    a.transactional = true;
    CU_ASSERT_EQUAL(producers_check(&p, &a), KERR_INVALID_TXN_STATE); /* none was begun here */
    CU_ASSERT_EQUAL(append(&p, 7, 2, 0, 1), 0);
    CU_ASSERT_EQUAL(producers_check(&p, &a), KERR_INVALID_PRODUCER_EPOCH);
    a = batch(7, 2, 1, 1);
    a.transactional = true;
    a.from_client = false;
    CU_ASSERT_EQUAL(producers_check(&p, &a), 0);
    producers_update(&p, &a);
    CU_ASSERT_EQUAL(producers_first_unstable(&p), 51);
    a.from_client = true;
    a.base_sequence = a.last_sequence = 2;
    CU_ASSERT_EQUAL(producers_check(&p, &a), 0); /* goes on */
    a.transactional = false;
    CU_ASSERT_EQUAL(producers_check(&p, &a), KERR_INVALID_TXN_STATE);
    CU_ASSERT_EQUAL(producers_expire(&p, INT64_MAX / 2, 1), 0); /* an open one does not expire */
    producers_end_transaction(&p, 7, 2, 9, 5000);
    CU_ASSERT_EQUAL(producers_first_unstable(&p), -1);
    CU_ASSERT_EQUAL(producers_find(&p, 7)->coordinator_epoch, 9);
    CU_ASSERT_EQUAL(producers_find(&p, 7)->last_timestamp_ms, 5000);
    producers_free(&p);
}

static void test_expiry(void)
{
    struct producers p;
    producers_init(&p, 1);
    next_offset = 0;
    for (int64_t id = 0; id < 100; id++)
        CU_ASSERT_EQUAL(append(&p, id, 0, 0, 1), 0); /* timestamps 1000 to 1099 */
    CU_ASSERT_EQUAL(producers_expire(&p, 1100, 101), 0);
    CU_ASSERT_EQUAL(producers_expire(&p, 1100, 50), 51);
    for (int64_t id = 0; id < 100; id++)
        CU_ASSERT_EQUAL(producers_find(&p, id) != NULL, id > 50);
    CU_ASSERT_EQUAL(append(&p, 3, 0, 77, 1), 0); /* forgotten: begins anew */
    producers_free(&p);
}

static void test_snapshot(void)
{
    struct producers p, q;
    struct rng rng;
    rng_seed(&rng, unit_seed());
    producers_init(&p, 1);
    producers_init(&q, 2);
    next_offset = 0;
    for (int i = 0; i < 300; i++)
        append(&p, (int64_t)rng_below(&rng, 90), 0, (int32_t)i, 1 + (int32_t)rng_below(&rng, 5));
    size_t n = producers_snapshot_bytes(&p);
    uint8_t *bytes = malloc(n);
    producers_snapshot(&p, bytes);
    CU_ASSERT_EQUAL(producers_load(&q, bytes, n, 0, INT64_MAX), 0);
    CU_ASSERT_EQUAL(q.count, p.count);
    for (uint32_t i = 0; i < p.count; i++) {
        const struct producer *a = &p.entries[i], *b = producers_find(&q, a->id);
        CU_ASSERT_PTR_NOT_NULL_FATAL(b);
        CU_ASSERT_EQUAL(b->epoch, a->epoch);
        CU_ASSERT_EQUAL(b->last_timestamp_ms, a->last_timestamp_ms);
        CU_ASSERT_EQUAL(b->count, 1);
        CU_ASSERT_EQUAL(producer_last(b)->last_offset, producer_last(a)->last_offset);
        CU_ASSERT_EQUAL(producer_last(b)->last_sequence, producer_last(a)->last_sequence);
    }
    for (size_t at = 0; at < n; at++) { /* any flipped bit and any cut is found */
        bytes[at] ^= 4;
        CU_ASSERT_EQUAL(producers_load(&q, bytes, n, 0, INT64_MAX), ERR_CORRUPT);
        CU_ASSERT_EQUAL(q.count, 0);
        bytes[at] ^= 4;
        CU_ASSERT_EQUAL(producers_load(&q, bytes, at, 0, INT64_MAX), ERR_CORRUPT);
    }
    CU_ASSERT_EQUAL(producers_load(&q, bytes, n, 1000000, 1000), 0);
    CU_ASSERT_EQUAL(q.count, 0); /* all expired */
    free(bytes);
    producers_free(&p);
    producers_free(&q);
}

/* The file as Kafka 4.3 writes it (kafka-dump-log prints the same). */
static void test_snapshot_format(void)
{
    struct producers p;
    producers_init(&p, 1);
    struct producer_append a = {.producer_id = 1000,
                                .base_offset = 10,
                                .last_offset = 12,
                                .max_timestamp_ms = 99,
                                .base_sequence = 4,
                                .last_sequence = 6,
                                .epoch = 1,
                                .from_client = true};
    CU_ASSERT_EQUAL(producers_reserve(&p, 1000), 0);
    producers_update(&p, &a);
    /* clang-format off */
    static const uint8_t expected[] = {
        0, 1, 0, 0, 0, 0, 0, 0, 0, 1,                      /* version, checksum, count */
        0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 1, 0, 0, 0, 6,       /* id, epoch, last sequence */
        0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 2,               /* last offset, its delta */
        0, 0, 0, 0, 0, 0, 0, 99, 0xff, 0xff, 0xff, 0xff,   /* timestamp, coordinator epoch */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,    /* first offset of a transaction */
    };
    /* clang-format on */
    uint8_t bytes[64];
    CU_ASSERT_EQUAL_FATAL(producers_snapshot_bytes(&p), sizeof(expected));
    producers_snapshot(&p, bytes);
    CU_ASSERT_EQUAL(bytes_get_u32(bytes + 2), crc32c(0, bytes + 6, sizeof(expected) - 6));
    memset(bytes + 2, 0, 4);
    CU_ASSERT_EQUAL(memcmp(bytes, expected, sizeof(expected)), 0);
    producers_free(&p);
}

/* At the limit the most silent are forgotten for new ones; who has a transaction open never is. */
static void test_limit(void)
{
    struct producers p;
    struct rng rng;
    enum { open_every = 100 };
    uint64_t turn = 2 * rng_u64((rng_seed(&rng, unit_seed()), &rng)) + 1;
    producers_init(&p, 1);
    next_offset = 0;
    for (int64_t id = 0; id < producer_ids_max; id++) {
        struct producer_append a = batch(id * 977, 0, 0, 1);
        a.max_timestamp_ms = (int64_t)((uint64_t)id * turn % producer_ids_max); /* each once */
        a.transactional = id % open_every == 0;
        if (producers_reserve(&p, a.producer_id) != 0)
            break;
        producers_update(&p, &a);
    }
    CU_ASSERT_EQUAL(p.count, producer_ids_max);
    CU_ASSERT_EQUAL(producers_reserve(&p, 977), 0); /* one that is known */
    CU_ASSERT_EQUAL(p.count, producer_ids_max);
    struct producer_append a = batch(1, 0, 0, 1);
    CU_ASSERT_EQUAL_FATAL(producers_reserve(&p, a.producer_id), 0);
    producers_update(&p, &a);
    CU_ASSERT(p.count >= producer_ids_max / 16 * 15 && p.count < producer_ids_max);
    uint32_t wrong = 0, found = 0;
    for (int64_t id = 0; id < producer_ids_max; id++) {
        int64_t time = (int64_t)((uint64_t)id * turn % producer_ids_max);
        const struct producer *e = producers_find(&p, id * 977);
        found += e != NULL;
        if (e ? e->last_timestamp_ms != time : id % open_every == 0 || time > producer_ids_max / 4)
            wrong++;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(found + 1, p.count);
    CU_ASSERT_PTR_NOT_NULL(producers_find(&p, 1));
    producers_free(&p);
}

static void test_limit_of_transactions(void)
{
    struct producers p;
    producers_init(&p, 1);
    next_offset = 0;
    for (int64_t id = 0; id < producer_ids_max; id++) {
        struct producer_append a = batch(id, 0, 0, 1);
        a.transactional = id != 300; /* all of one time */
        CU_ASSERT_EQUAL_FATAL(producers_reserve(&p, id), 0);
        producers_update(&p, &a);
    }
    CU_ASSERT_EQUAL(producers_reserve(&p, producer_ids_max), 0);
    CU_ASSERT_PTR_NULL(producers_find(&p, 300));
    struct producer_append a = batch(producer_ids_max, 0, 0, 1);
    a.transactional = true;
    producers_update(&p, &a);
    CU_ASSERT_EQUAL(producers_reserve(&p, -5), ERR_FULL);
    CU_ASSERT_EQUAL(producers_reserve(&p, 977), 0);
    CU_ASSERT_EQUAL(p.count, producer_ids_max);
    producers_free(&p);
}

UNIT_MAIN("producer", UNIT_CASE(test_sequences), UNIT_CASE(test_epochs), UNIT_CASE(test_wrap),
          UNIT_CASE(test_duplicates), UNIT_CASE(test_transactions), UNIT_CASE(test_expiry),
          UNIT_CASE(test_snapshot), UNIT_CASE(test_snapshot_format), UNIT_CASE(test_limit),
          UNIT_CASE(test_limit_of_transactions))

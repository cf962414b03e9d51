/* Reads of old data: read ahead, in turn, around the tail cache, within their memory. */
#include <string.h>

#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"
#include "tests/unit/unit.h"

#define batch_bytes 100000 /* of a value, its number over and over */

static struct rig r;
static struct plog *p;
static uint32_t batch_size;

/* A log of n batches, none of which is cached. */
static void up(uint32_t log_chunks, uint32_t read_chunks, uint32_t n)
{
    struct rig_op op;
    rig_up_reads(&r, unit_seed(), log_chunks, read_chunks, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    struct rig_batch_spec spec = rig_spec();
    for (uint32_t i = 0; i < n; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%08x", i);
        struct rig_record record = {0, "k", value, batch_bytes, 0};
        struct rig_batch b = rig_batch_make(&spec, &record, 1);
        batch_size = b.size;
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
    }
    rig_detach(&r, p);
    plog_attach(p, &r.env);
    rig_sleep(&r, plog_busy_ms + 1);
}

static void down(void)
{
    uint32_t all, left;
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    plog_reads_chunks(&r.env, &all, &left);
    CU_ASSERT_EQUAL(all, left);
    CU_ASSERT_EQUAL(r.env.reads.under_way, 0);
    CU_ASSERT(rig_nothing_lent(&r));
    rig_down(&r);
}

static const struct stream *stream_of(int64_t next_offset)
{
    for (uint32_t i = 0; i < plog_streams_max; i++) {
        const struct stream *st = &r.env.shard->streams.all[i];
        if (st->plog == p && st->next_offset == next_offset)
            return st;
    }
    return NULL;
}

/* The batches from `offset` on, whole, as many as fit. */
static void check_read(int64_t offset, uint32_t max_bytes, int64_t batches)
{
    struct rig_read read;
    CU_ASSERT_EQUAL(rig_read(&r, p, offset, max_bytes, true, &read), 0);
    CU_ASSERT_FATAL(read.size >= batches * batch_size);
    for (int64_t i = 0; i < batches; i++) {
        char value[16];
        const uint8_t *b = read.bytes + i * batch_size;
        snprintf(value, sizeof(value), "%08x", (unsigned)(offset + i));
        CU_ASSERT_EQUAL(bytes_get_i64(b), offset + i);
        CU_ASSERT_EQUAL(memcmp(b + batch_size - 1 - batch_bytes, value, 8), 0);
        CU_ASSERT_EQUAL(memcmp(b + batch_size - 9, value, 8), 0);
    }
    rig_read_free(&read);
}

/* Twice as far with each answer, up to the limit; then there is nothing to wait for. */
static void test_sequential(void)
{
    enum { batches = 150 };
    up(32, 256, batches);
    uint32_t expected = 0;
    for (int64_t at = 0; at < 60; at += 2) {
        check_read(at, 2 * batch_size, 2);
        const struct stream *st = stream_of(at + 2);
        CU_ASSERT_PTR_NOT_NULL_FATAL(st);
        CU_ASSERT_EQUAL(st->ahead, expected);
        CU_ASSERT_EQUAL(st->next_position, (at + 2) * batch_size);
        CU_ASSERT(st->stop <= st->next_position + st->ahead + 2 * tail_chunk_bytes);
        CU_ASSERT(at < 20 || st->have >= st->next_position + plog_ahead_bytes_max - 5 * 65536);
        expected = expected == 0                     ? plog_ahead_bytes_min
                   : expected < plog_ahead_bytes_max ? expected * 2
                                                     : expected;
    }
    CU_ASSERT_EQUAL(expected, plog_ahead_bytes_max);
    CU_ASSERT(r.env.reads.ahead_hits >= 20);
    CU_ASSERT(r.env.reads.ahead_bytes > plog_ahead_bytes_max);
    CU_ASSERT_EQUAL(r.env.reads.wasted_bytes, 0);
    check_read(100, batch_size, 1); /* elsewhere: another stream */
    CU_ASSERT_EQUAL(stream_of(101)->ahead, 0);
    check_read(60, batch_size, 1); /* the first goes on */
    CU_ASSERT_EQUAL(stream_of(61)->ahead, plog_ahead_bytes_max);
    down();
    CU_ASSERT(r.env.reads.wasted_bytes > 0);
}

static void on_read(struct plog_read *read)
{
    read->state = read;
}

static void start(struct plog_read *read, int64_t offset, uint32_t bytes, bool min_one)
{
    *read = (struct plog_read){
        .offset = offset, .max_bytes = bytes, .min_one = min_one, .done = on_read};
    plog_read(p, read);
}

/*
 * Answers that end within a batch: the reader asks for that one next. Some memory is being sent: what
 * is read ahead is less then, not nothing.
 */
static void test_cut_batches(void)
{
    struct plog_read held;
    up(32, 150, 100);
    start(&held, 85, MIB, true);
    for (int64_t at = 0; at < 70; at += 10) {
        check_read(at, 10 * batch_size + 7000, 10);
        const struct stream *st = stream_of(at + 10);
        CU_ASSERT_PTR_NOT_NULL_FATAL(st);
        CU_ASSERT_EQUAL(st->next_position, (at + 10) * batch_size);
        CU_ASSERT(at == 0 || st->ahead > 0);
        CU_ASSERT(at < 20 || st->have > st->next_position + plog_ahead_bytes_min);
    }
    CU_ASSERT(r.env.reads.ahead_hits >= 2);
    CU_ASSERT_PTR_EQUAL(held.state, &held);
    chain_free(&held.data);
    down();
}

static void test_random_reads_nothing_ahead(void)
{
    enum { batches = 60 };
    up(32, 64, batches);
    for (int i = 0; i < 100; i++) {
        int64_t at = 2 + (int64_t)rng_below(&r.rng, batches - 2);
        while (stream_of(at)) /* by chance where one ended */
            at = at > 2 ? at - 1 : batches - 1;
        check_read(at, batch_size, 1);
        if (stream_of(at + 1) == NULL)
            continue;
        CU_ASSERT_EQUAL(stream_of(at + 1)->ahead, 0);
    }
    CU_ASSERT_EQUAL(r.env.reads.ahead_bytes, 0);
    CU_ASSERT(r.env.reads.disk_bytes < 100ULL * (batch_size + 2 * tail_chunk_bytes));
    down();
}

/* What others read from the tail stays where it is. */
static void test_around_the_cache(void)
{
    struct cache_stats before, after;
    struct rig_op op;
    up(32, 64, 40);
    struct rig_batch_spec spec = rig_spec();
    struct rig_record record = {0, "k", "v", batch_bytes, 0};
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    for (int i = 0; i < 30; i++) /* the tail cache is full */
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    cache_stats(r.cache, &before);
    CU_ASSERT(before.free < 2 && before.evictions > 0);
    for (int64_t at = 0; at < 40; at++)
        check_read(at, batch_size, 1);
    cache_stats(r.cache, &after);
    CU_ASSERT_EQUAL(after.evictions, before.evictions);
    CU_ASSERT_EQUAL(after.free, before.free);
    uint64_t requests = r.env.reads.disk_requests;
    struct rig_read read;
    CU_ASSERT_EQUAL(rig_read(&r, p, 69, 2 * batch_size, true, &read), 0); /* still cached */
    CU_ASSERT_EQUAL(r.env.reads.disk_requests, requests);
    rig_read_free(&read);
    rig_batch_free(&b);
    down();
}

static uint32_t issued(int64_t offset)
{
    for (uint32_t i = 0; i < plog_streams_max; i++) {
        const struct stream *st = &r.env.shard->streams.all[i];
        if (st->op && st->op->read->offset == offset)
            return st->issued - st->base;
    }
    return UINT32_MAX; /* it has its answer */
}

/* At most so many requests; each reader has one in its turn; fewer while there are writes. */
static void test_turns(void)
{
    enum { readers = 6, block = stream_block_chunks_max * tail_chunk_bytes };
    struct plog_read reads[readers];
    struct rig_op op;
    up(200, 160, 120);
    for (int i = 0; i < readers; i++)
        start(&reads[i], i * 20, MIB, true);
    CU_ASSERT_EQUAL(r.env.reads.under_way, plog_shard_reads_max);
    CU_ASSERT_EQUAL(r.sim.in_flight, plog_shard_reads_max);
    for (int steps = 0; steps < 10000 && r.sim.in_flight; steps++) {
        uint32_t least = UINT32_MAX, most = 0;
        for (int i = 2; i < readers; i++) { /* those that came when all places were taken */
            uint32_t n = issued(i * 20);
            least = n < least ? n : least;
            most = n > most && n != UINT32_MAX && n < MIB ? n : most;
        }
        CU_ASSERT(most <= least || most - least <= block);
        io_sim_step(&r.sim);
        CU_ASSERT(r.env.reads.under_way <= plog_shard_reads_max);
    }
    for (int i = 0; i < readers; i++) {
        CU_ASSERT_PTR_EQUAL(reads[i].state, &reads[i]);
        CU_ASSERT(reads[i].data.bytes > MIB / 2);
        chain_free(&reads[i].data);
    }
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 1, 20);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0); /* now it writes */
    for (int i = 0; i < readers; i++)
        start(&reads[i], 10 + i * 20, MIB, true);
    CU_ASSERT_EQUAL(r.env.reads.under_way, plog_busy_reads_max);
    rig_settle(&r);
    for (int i = 0; i < readers; i++)
        chain_free(&reads[i].data);
    /* the write takes longer than the while for which one counts that has ended */
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &op), 0);
    plog_env_run(&r.env, r.now_ns, 64);
    CU_ASSERT_EQUAL(r.sim.in_flight, 1);
    r.now_ns += 10 * plog_busy_ms * CLOCK_NS_PER_MS;
    for (int i = 0; i < readers; i++)
        start(&reads[i], 5 + i * 20, MIB, true);
    CU_ASSERT_EQUAL(r.env.reads.under_way, plog_busy_reads_max);
    rig_settle(&r);
    for (int i = 0; i < readers; i++)
        chain_free(&reads[i].data);
    rig_batch_free(&b);
    down();
}

/* All read memory is being sent: who must have something waits, not for ever; the others do not. */
static void test_memory_is_short(void)
{
    enum { readers = 40 };
    struct plog_read reads[readers], more;
    up(64, plog_read_chunks_min, 60);
    int held = 0;
    for (int i = 0; i < readers; i++) {
        start(&reads[i], i, batch_size, false);
        rig_settle(&r);
        CU_ASSERT_PTR_EQUAL(reads[i].state, &reads[i]);
        CU_ASSERT_EQUAL(reads[i].error, 0);
        held += reads[i].data.bytes > 0;
    }
    CU_ASSERT(held >= 2 && held < readers);
    CU_ASSERT(r.env.reads.gaps > 0);
    start(&more, 50, batch_size, true);
    rig_settle(&r);
    CU_ASSERT_PTR_NULL(more.state);
    rig_sleep(&r, plog_read_wait_ms - 5);
    CU_ASSERT_PTR_NULL(more.state);
    rig_sleep(&r, 10);
    CU_ASSERT_PTR_EQUAL(more.state, &more);
    CU_ASSERT(more.error == 0 && more.data.bytes == 0);
    start(&more, 50, batch_size, true);
    rig_settle(&r);
    CU_ASSERT_PTR_NULL(more.state);
    for (int i = 0; i < readers; i++)
        chain_free(&reads[i].data);
    rig_settle(&r);
    CU_ASSERT_PTR_EQUAL(more.state, &more);
    CU_ASSERT_EQUAL(more.data.bytes, batch_size);
    chain_free(&more.data);
    down();
}

/* More readers than streams: the longest unused one is forgotten, and reads right all the same. */
static void test_many_readers(void)
{
    up(32, 256, 10);
    for (uint32_t i = 0; i < plog_streams_max; i++)
        CU_ASSERT_PTR_NULL(r.env.shard ? r.env.shard->streams.all[i].op : NULL);
    check_read(0, batch_size, 1);
    CU_ASSERT_PTR_NOT_NULL(stream_of(1));
    for (uint32_t i = 0; i < plog_streams_max - 1; i++)
        check_read(5, batch_size, 1);
    CU_ASSERT_PTR_NOT_NULL(stream_of(1));
    check_read(5, batch_size, 1);
    CU_ASSERT_PTR_NULL(stream_of(1));
    check_read(1, batch_size, 1);
    CU_ASSERT_EQUAL(stream_of(2)->ahead, 0);
    down();
}

/* Batches too large for read memory go through log memory, one after the other. */
static void test_large_batches(void)
{
    enum { readers = 3 };
    struct plog_read reads[readers];
    struct rig_op op;
    rig_up_reads(&r, unit_seed(), 64, plog_read_chunks_min, PLOG_FSYNC);
    r.config.max_message_bytes = 10 << 20;
    p = rig_open(&r, true, NULL);
    struct rig_record record = {0, "k", "large", 1300000, 0};
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    CU_ASSERT(b.size > plog_read_chunks_min * tail_chunk_bytes);
    for (int i = 0; i < readers; i++)
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_detach(&r, p);
    plog_attach(p, &r.env);
    for (int i = 0; i < readers; i++)
        start(&reads[i], i, 1000, true);
    uint8_t *bytes = malloc(b.size);
    int done = 0;
    for (int rounds = 0; rounds < 5; rounds++) {
        rig_settle(&r);
        for (int i = 0; i < readers; i++) {
            if (reads[i].state != &reads[i])
                continue;
            CU_ASSERT_EQUAL(reads[i].data.bytes, b.size);
            chain_copy_out(&reads[i].data, 0, bytes, b.size);
            CU_ASSERT_EQUAL(bytes_get_i64(bytes), i);
            CU_ASSERT_EQUAL(memcmp(bytes + BATCH_CRC, b.bytes + BATCH_CRC, b.size - BATCH_CRC), 0);
            chain_free(&reads[i].data);
            reads[i].state = NULL;
            done++;
        }
    }
    CU_ASSERT_EQUAL(done, readers);
    free(bytes);
    rig_batch_free(&b);
    down();
}

/* An error of what is read ahead is nobody's yet; of what a reader wants it is the partition's. */
static void test_errors(void)
{
    struct rig_read read;
    up(32, 256, 100);
    check_read(0, batch_size, 1);
    check_read(1, batch_size, 1); /* from here on something is read ahead */
    check_read(2, 2 * batch_size, 2);
    for (uint64_t i = 1; i < 4; i++)
        io_sim_fail(&r.sim, SIM_READ, i, ERR_IO);
    check_read(4, batch_size, 1); /* is there; the next requests fail */
    rig_settle(&r);
    struct plog_marks m;
    plog_marks(p, &m);
    CU_ASSERT_FALSE(m.failed);
    r.sim.fault_count = 0;
    for (int64_t at = 5; at < 30; at++)
        check_read(at, batch_size, 1);
    io_sim_fail(&r.sim, SIM_READ, 1, ERR_IO);
    CU_ASSERT_EQUAL(rig_read(&r, p, 90, batch_size, true, &read), KERR_KAFKA_STORAGE_ERROR);
    rig_read_free(&read);
    plog_marks(p, &m);
    CU_ASSERT_TRUE(m.failed);
    CU_ASSERT_EQUAL(r.disk_errors, 0); /* its log dir goes on */
    rig_detach(&r, p);
    CU_ASSERT_EQUAL(plog_close(p), ERR_CORRUPT);
    rig_down(&r);
}

/* The partition goes while requests are under way: they end first, and keep their memory until then. */
static void test_detach_under_way(void)
{
    struct plog_read reads[4];
    up(32, 64, 60);
    check_read(0, batch_size, 1);
    start(&reads[0], 1, batch_size, true);
    start(&reads[1], 20, MIB, true);
    start(&reads[2], 40, MIB, true);
    CU_ASSERT(r.sim.in_flight > 2);
    rig_detach(&r, p);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_PTR_EQUAL(reads[i].state, &reads[i]);
        chain_free(&reads[i].data);
    }
    plog_attach(p, &r.env);
    down();
}

UNIT_MAIN("plog/stream", UNIT_CASE(test_sequential), UNIT_CASE(test_cut_batches),
          UNIT_CASE(test_random_reads_nothing_ahead), UNIT_CASE(test_around_the_cache),
          UNIT_CASE(test_turns), UNIT_CASE(test_memory_is_short), UNIT_CASE(test_many_readers),
          UNIT_CASE(test_large_batches), UNIT_CASE(test_errors), UNIT_CASE(test_detach_under_way))

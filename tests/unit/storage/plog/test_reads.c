/* Reads that wait, and segments that close, open or go while somebody reads them. */
#include <string.h>

#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"
#include "tests/unit/unit.h"

static struct rig r;
static struct plog *p;
static uint32_t batch_size;

/* A log of n batches of one record, each with so many bytes of value. */
static void fill(uint32_t log_chunks, uint32_t read_chunks, uint32_t n, uint32_t value_bytes,
                 int64_t segment_bytes)
{
    struct rig_op op;
    rig_up_reads(&r, unit_seed(), log_chunks, read_chunks, PLOG_FSYNC);
    r.config.segment_bytes = segment_bytes;
    r.config.max_message_bytes = 100 * MIB;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    struct rig_batch_spec spec = rig_spec();
    struct rig_record record = {0, "k", "old", value_bytes, 0};
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    batch_size = b.size;
    for (uint32_t i = 0; i < n; i++)
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    rig_sleep(&r, plog_busy_ms + 1);
}

/* The same; nothing is cached. */
static void up(uint32_t log_chunks, uint32_t read_chunks, uint32_t n, uint32_t value_bytes,
               int64_t segment_bytes)
{
    fill(log_chunks, read_chunks, n, value_bytes, segment_bytes);
    rig_detach(&r, p);
    plog_attach(p, &r.env);
}

static void down(void)
{
    uint32_t all, left;
    int err = p->failed ? ERR_CORRUPT : 0; /* reads alone failed: its log dir stays */
    CU_ASSERT_EQUAL(rig_close(&r, p), err);
    plog_reads_chunks(&r.env, &all, &left);
    CU_ASSERT_EQUAL(all, left);
    CU_ASSERT(rig_nothing_lent(&r));
    rig_down(&r);
}

static uint32_t answered;

static void on_read(struct plog_read *read)
{
    read->state = read;
    answered++;
}

static void start(struct plog_read *read, int64_t offset, uint32_t bytes, bool min_one)
{
    *read = (struct plog_read){
        .offset = offset, .max_bytes = bytes, .min_one = min_one, .done = on_read};
    plog_read(p, read);
}

/* The answer begins with the batch of that offset. */
static void expect(struct plog_read *read, int64_t base)
{
    uint8_t raw[8];
    CU_ASSERT_PTR_EQUAL_FATAL(read->state, read);
    CU_ASSERT_EQUAL(read->error, 0);
    CU_ASSERT_FATAL(read->data.bytes >= batch_size);
    chain_copy_out(&read->data, 0, raw, sizeof(raw));
    CU_ASSERT_EQUAL(bytes_get_i64(raw), base);
    chain_free(&read->data);
}

/* More reads wait for a read_op than there are, and those that get one need none any more. */
static void test_those_that_wait_end_at_once(void)
{
    enum { reads = plog_reads_max * 3 };
    static struct plog_read all[reads];
    int64_t low;
    up(32, 256, 100, 3000, MIB);
    answered = 0;
    for (uint32_t i = 0; i < reads; i++)
        start(&all[i], i % 50, 100, true);
    CU_ASSERT(answered < plog_reads_max); /* they wait for the disk, or for an op */
    CU_ASSERT_EQUAL(plog_delete_records(p, 60, &low), 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL(answered, reads);
    for (uint32_t i = 0; i < reads; i++)
        chain_free(&all[i].data);
    down();
}

/* The same, when the disk fails. */
static void test_those_that_wait_fail(void)
{
    enum { reads = plog_reads_max * 3 };
    static struct plog_read all[reads];
    up(32, 256, 100, 3000, MIB);
    answered = 0;
    for (uint32_t i = 0; i < reads; i++)
        start(&all[i], i % 50, 100, true);
    io_sim_fail(&r.sim, SIM_READ, 1, ERR_IO);
    rig_settle(&r);
    CU_ASSERT_EQUAL(answered, reads);
    for (uint32_t i = 0; i < reads; i++)
        chain_free(&all[i].data);
    down();
}

/* Very many wait, and each one's turn ends at once: not one inside the other. */
static void test_very_many_wait(void)
{
    enum { reads = 100000, held = plog_reads_max };
    struct plog_read *all = calloc(reads, sizeof(*all)), first[held], lent[4];
    CU_ASSERT_PTR_NOT_NULL_FATAL(all);
    up(64, plog_read_chunks_min, 100, 100000, 100 * MIB);
    for (int i = 0; i < 4; i++) { /* all read memory is being sent */
        start(&lent[i], i * 10, 1 * MIB, true);
        rig_settle(&r);
    }
    for (int i = 4; i < 60; i++) {
        struct plog_read more;
        start(&more, i, 1000, false);
        rig_settle(&r);
        CU_ASSERT_PTR_EQUAL(more.state, &more);
        if (more.data.bytes == 0)
            break;
        chain_join(&lent[0].data, &more.data);
    }
    for (uint32_t i = 0; i < held; i++)
        start(&first[i], 50, 200000, true);
    answered = 0;
    for (uint32_t i = 0; i < reads; i++)
        start(&all[i], 60, 200000, false);
    CU_ASSERT_EQUAL(answered, 0);
    rig_sleep(&r, plog_read_wait_ms + 1);
    CU_ASSERT_EQUAL(answered, held + reads);
    for (uint32_t i = 0; i < reads; i++)
        chain_free(&all[i].data);
    for (uint32_t i = 0; i < held; i++)
        chain_free(&first[i].data);
    for (int i = 0; i < 4; i++)
        chain_free(&lent[i].data);
    free(all);
    down();
}

static uint32_t listed(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->segment_count; i++)
        n += p->segments[i]->lru_prev != NULL;
    return n;
}

/* A segment is deleted while a read has it opened: it is in no list of open ones afterwards. */
static void test_deleted_while_it_opens(void)
{
    struct plog_read read;
    int64_t low;
    up(32, 64, 60, 3000, 10000);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    struct segment *s = p->segments[0];
    CU_ASSERT_FALSE(s->loaded);
    start(&read, 0, 1000, true);
    CU_ASSERT_TRUE(s->busy);
    CU_ASSERT_EQUAL(plog_delete_records(p, 30, &low), 0);
    plog_retention(p);
    CU_ASSERT_TRUE(s->doomed);
    rig_settle(&r);
    CU_ASSERT_PTR_EQUAL(read.state, &read);
    chain_free(&read.data);
    CU_ASSERT_EQUAL(r.env.shard->open_count, listed());
    rig_sleep(&r, r.config.file_delete_delay_ms + 1);
    CU_ASSERT_PTR_NULL(p->doomed);
    start(&read, 40, 1000, true);
    rig_settle(&r);
    expect(&read, 40);
    down();
}

/*
 * Readers that ask for more and more and take nothing: each gets its part of the memory, then nothing, and who
 * takes its answers reads on all the while.
 */
static void test_slow_readers_hold_their_part(void)
{
    enum { slow = 4, asks = 200, memory = 96, batches = 400 };
    static struct plog_read held[slow][asks];
    up(64, memory, batches, 30000, 100 * MIB);
    for (uint32_t i = 0; i < slow; i++) {
        uint64_t got = 0, last = 1;
        uint32_t n = 0;
        for (; n < asks && last > 0; n++) {
            struct plog_read *read = &held[i][n];
            int64_t offset = (int64_t)rng_below(&r.rng, batches);
            /* some ask for little, which holds whole chunks too */
            *read = (struct plog_read){.offset = offset,
                                       .max_bytes = n % 2 ? 100 : 1 * MIB,
                                       .min_one = true,
                                       .reader = 7 + i,
                                       .done = on_read};
            plog_read(p, read);
            rig_settle(&r);
            CU_ASSERT_EQUAL(read->error, 0);
            last = read->data.bytes;
            got += last;
        }
        CU_ASSERT(n < asks);
        CU_ASSERT(got >= batch_size);
        CU_ASSERT(got <= memory * (uint64_t)tail_chunk_bytes / 2);
        uint64_t waits = r.env.reads.waits;
        for (int64_t offset = 0; offset < batches;) {
            struct rig_read read = {0};
            CU_ASSERT_EQUAL(rig_read(&r, p, offset, 500000, true, &read), 0);
            CU_ASSERT_FATAL(read.size >= batch_size);
            offset += read.size / batch_size;
            rig_read_free(&read);
        }
        CU_ASSERT_EQUAL(r.env.reads.waits, waits);
        /* one that took everything has room again; this one never does */
        for (uint32_t j = 0; i == 0 && j < n; j++)
            chain_free(&held[i][j].data);
    }
    rig_settle(&r);
    struct plog_read again = {.offset = 5, .max_bytes = 1 * MIB, .reader = 7, .done = on_read};
    plog_read(p, &again);
    rig_settle(&r);
    CU_ASSERT(again.data.bytes >= batch_size);
    chain_free(&again.data);
    for (uint32_t i = 1; i < slow; i++)
        for (uint32_t j = 0; j < asks; j++)
            chain_free(&held[i][j].data);
    down();
}

/* The first batch of who holds nothing comes, whatever its size; the next one waits until it was taken. */
static void test_large_batch_of_a_slow_reader(void)
{
    struct plog_read first = {
        .offset = 0, .max_bytes = 1, .min_one = true, .reader = 3, .done = on_read};
    struct plog_read second = first;
    second.offset = 1;
    up(64, 32, 3, 500000, 100 * MIB);
    plog_read(p, &first);
    rig_settle(&r);
    CU_ASSERT(first.data.bytes >= batch_size);
    plog_read(p, &second);
    rig_settle(&r);
    CU_ASSERT_EQUAL(second.error, 0);
    CU_ASSERT_EQUAL(second.data.bytes, 0);
    chain_free(&first.data);
    rig_settle(&r);
    plog_read(p, &second);
    rig_settle(&r);
    CU_ASSERT(second.data.bytes >= batch_size);
    chain_free(&second.data);
    down();
}

/* No memory or no file descriptor for a segment: the read is empty, and the next one has it. */
static void test_cannot_open_now(void)
{
    static const int wants[] = {ERR_NO_MEMORY, ERR_FULL};
    for (int i = 0; i < 2; i++) {
        fill(64, 64, 40, 3000, 20000);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        p = rig_open(&r, true, NULL); /* sealed segments are closed now */
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        struct rig_read read;
        for (int first = 0; first < 2; first++) {
            io_sim_fail(&r.sim, SIM_OPEN, 1, wants[i]);
            CU_ASSERT_EQUAL(rig_read(&r, p, 0, 1000, first == 0, &read), 0);
            CU_ASSERT_EQUAL(read.size, 0);
            CU_ASSERT_FALSE(p->failed);
            rig_read_free(&read);
        }
        CU_ASSERT_EQUAL(rig_read(&r, p, 0, 1000, true, &read), 0);
        CU_ASSERT(read.size >= batch_size);
        CU_ASSERT_EQUAL(r.disk_errors, 0);
        rig_read_free(&read);
        down();
    }
}

/* The system has no memory for a request: the read is empty, a large batch's too, and the next one has it. */
static void test_cannot_read_now(void)
{
    static const uint32_t sizes[] = {3000, 600000}; /* the second is read in pieces */
    for (int i = 0; i < 2; i++) {
        up(64, 32, 3, sizes[i], 100 * MIB);
        for (uint64_t nth = 1; nth <= 2; nth++) {
            struct rig_read read;
            io_sim_fail(&r.sim, SIM_READ, nth, ERR_NO_MEMORY);
            CU_ASSERT_EQUAL(rig_read(&r, p, 1, 1000, true, &read), 0);
            CU_ASSERT_EQUAL(read.size, r.sim.fault_count ? batch_size : 0); /* one request did */
            CU_ASSERT_FALSE(p->failed);
            rig_read_free(&read);
            r.sim.fault_count = 0;
            CU_ASSERT_EQUAL(rig_read(&r, p, 1, 1000, true, &read), 0);
            CU_ASSERT(read.size >= batch_size);
            rig_read_free(&read);
        }
        CU_ASSERT_EQUAL(r.disk_errors, 0);
        down();
    }
}

/* A segment is deleted while it is closed, and a read wants it open again. */
static void test_deleted_while_it_closes(void)
{
    enum { segments = plog_segments_open_max + 10 };
    struct plog_read read, other;
    struct segment *closing = NULL;
    int64_t low;
    fill(32, 64, segments, 3000, 5000); /* a batch in each */
    CU_ASSERT_FATAL(p->segment_count >= segments);
    for (int64_t at = 0; at + 2 < segments && closing == NULL; at++) {
        start(&other, at, 1000, true);
        while (closing == NULL && rig_step(&r))
            for (uint32_t i = 0; i < p->segment_count; i++)
                if (p->segments[i]->busy && p->segments[i]->file && !p->segments[i]->loaded)
                    closing = p->segments[i];
        if (closing == NULL)
            chain_free(&other.data);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(closing);
    start(&read, closing->base, 1000, true);
    CU_ASSERT_PTR_NOT_NULL(closing->openers);
    CU_ASSERT_EQUAL(plog_delete_records(p, closing->next, &low), 0);
    plog_retention(p);
    CU_ASSERT_TRUE(closing->doomed);
    rig_settle(&r);
    CU_ASSERT_PTR_EQUAL(read.state, &read);
    chain_free(&read.data);
    chain_free(&other.data);
    CU_ASSERT_EQUAL(r.env.shard->open_count, listed());
    down();
}

/* A reader of committed data gets nothing behind a gap that is behind the last stable offset. */
static void test_gap_before_the_stable_end(void)
{
    struct plog_read read;
    up(32, 64, 20, 3000, 10000);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, rig_dir "/topic-0/00000000000000000006.log"), 0);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    uint32_t i = plog_segment_at(p, 7);
    CU_ASSERT(p->segments[i]->base < 6 && p->segments[i + 1]->base > 6);
    int64_t next = p->segments[i + 1]->base;
    p->first_unstable = next; /* a transaction begins there */
    plog_move_stable(p);
    for (int committed = 0; committed < 2; committed++) {
        read = (struct plog_read){.offset = 6,
                                  .max_bytes = MIB,
                                  .min_one = true,
                                  .read_committed = committed,
                                  .done = on_read};
        plog_read(p, &read);
        rig_settle(&r);
        if (committed) {
            CU_ASSERT_PTR_EQUAL(read.state, &read);
            CU_ASSERT_EQUAL(read.error, 0);
            CU_ASSERT_EQUAL(read.data.bytes, 0);
            chain_free(&read.data);
        } else {
            expect(&read, next);
        }
    }
    down();
}

/* A read waits for memory; what readers leave who came after it is not kept from it. */
static void test_waiting_read_gets_what_others_leave(void)
{
    enum { held = plog_read_chunks_min - 3, after = 3 };
    struct plog_read first[held], waits, others[after];
    struct rig_op op;
    up(64, plog_read_chunks_min, 400, 3000, 100 * MIB);
    struct rig_batch_spec spec = rig_spec();
    struct rig_record record = {0, "k", "large", 200000, 0}; /* four chunks */
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    rig_detach(&r, p);
    plog_attach(p, &r.env);
    uint32_t all, left;
    for (int i = 0; i < held; i++) {
        start(&first[i], i * 20, 100, true);
        rig_settle(&r);
        CU_ASSERT_PTR_EQUAL(first[i].state, &first[i]);
    }
    start(&waits, 400, 100, true);
    rig_settle(&r);
    CU_ASSERT_PTR_NULL_FATAL(waits.state);
    plog_reads_chunks(&r.env, &all, &left);
    CU_ASSERT_EQUAL(left, after);
    for (int i = 0; i < after; i++)
        start(&others[i], 390 - i * 20, 100, true);
    rig_settle(&r);
    for (int i = 0; i < after; i++)
        expect(&others[i], 390 - i * 20);
    chain_free(&first[0].data);
    rig_settle(&r); /* no time passes */
    CU_ASSERT_PTR_EQUAL(waits.state, &waits);
    CU_ASSERT(waits.data.bytes > 200000);
    chain_free(&waits.data);
    rig_sleep(&r, plog_read_wait_ms + 1);
    for (int i = 1; i < held; i++)
        chain_free(&first[i].data);
    down();
}

/* Readers that came once left their last chunk each; who reads on is read ahead of all the same. */
static void test_leftovers_and_read_ahead(void)
{
    enum { once = 60 };
    struct plog_read read;
    uint32_t all, left;
    up(32, 64, once * 3, 100000, 100 * MIB);
    for (int64_t i = 0; i < once; i++) {
        start(&read, once + 2 * i, 100, true); /* none goes on where another ended */
        rig_settle(&r);
        expect(&read, once + 2 * i);
    }
    plog_reads_chunks(&r.env, &all, &left);
    CU_ASSERT(left < all / 2);
    CU_ASSERT_EQUAL(r.env.reads.ahead_bytes, 0);
    for (int64_t at = 0; at < 12; at++) {
        start(&read, at, 100, true);
        rig_settle(&r);
        expect(&read, at);
    }
    CU_ASSERT(r.env.reads.ahead_bytes > 0);
    CU_ASSERT(r.env.reads.ahead_hits > 0);
    down();
}

/* Written with more log memory than there is now: an error, not a wait without an end; the others are read. */
static void test_batch_larger_than_memory(void)
{
    enum { before = 64, after = 16 };
    struct plog_read read;
    struct rig_op op;
    up(before, plog_read_chunks_min, 3, 3000, 100 * MIB);
    uint64_t bytes = r.mem.log_bytes;
    struct rig_batch_spec spec = rig_spec();
    struct rig_record record = {0, "k", "huge", 30 * tail_chunk_bytes, 0};
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    record = (struct rig_record){0, "k", "old", 3000, 0};
    b = rig_batch_make(&spec, &record, 1);
    CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    r.mem.log_bytes = after * tail_chunk_bytes;
    rig_crash(&r, p, SIM_PROCESS_DEATH);
    p = rig_open(&r, false, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (int64_t at = 0; at < 5; at++) {
        start(&read, at, 1000, true);
        rig_settle(&r);
        if (at != 3) {
            expect(&read, at);
            continue;
        }
        CU_ASSERT_PTR_EQUAL(read.state, &read);
        CU_ASSERT_EQUAL(read.error, KERR_UNKNOWN_SERVER_ERROR);
        CU_ASSERT_EQUAL(read.data.bytes, 0);
    }
    CU_ASSERT_FALSE(p->failed);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    r.mem.log_bytes = bytes;
    rig_down(&r);
}

/*
 * Who reads on finds the beginning of the next segment read ahead of, too; also where segments are not open
 * yet: then they are opened ahead.
 */
static void test_read_ahead_across_segments(void)
{
    enum { batches = 120 };
    struct plog_read read;
    for (int closed = 0; closed < 2; closed++) {
        up(32, 256, batches, 100000, 1200000);
        if (closed) {
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
            p = rig_open(&r, true, NULL);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        }
        uint32_t begins = 0, waits = 0;
        for (int64_t at = 0; at < batches - 12; at++) {
            bool first = p->segments[plog_segment_at(p, at)]->base == at;
            start(&read, at, 100, true);
            bool there = read.state == &read;
            rig_settle(&r);
            expect(&read, at);
            if (at < 30)
                continue;
            begins += first;
            waits += !there;
        }
        CU_ASSERT(begins >= 5);
        CU_ASSERT_EQUAL(waits, 0);
        CU_ASSERT_EQUAL(r.env.reads.wasted_bytes, 0);
        down();
    }
}

/* Of a batch the middle is cached, and what is before and behind it is not. */
static void test_cached_in_the_middle(void)
{
    enum { chunks = 24, small = 16, large = 3 * tail_chunk_bytes };
    struct plog_read read;
    struct rig_op op;
    fill(chunks, 64, small, 10000, 100 * MIB);
    const struct segment *s = p->segments[0];
    struct rig_batch_spec spec = rig_spec();
    struct rig_record record = {0, "k", "large", large, 0};
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    uint32_t first = s->size / tail_chunk_bytes; /* where it begins */
    CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    /* an answer that ends within the second of its chunks: these two are the last used */
    start(&read, small - 1, (first + 1) * tail_chunk_bytes + 1000 - (s->size - large - 10000),
          true);
    CU_ASSERT_PTR_EQUAL(read.state, &read);
    chain_free(&read.data);
    record = (struct rig_record){0, "k", "more", 60000, 0};
    b = rig_batch_make(&spec, &record, 1);
    for (int i = 0; i < chunks * 2 && s->chunks[first]; i++)
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    CU_ASSERT_PTR_NULL(s->chunks[first]);
    CU_ASSERT_PTR_NOT_NULL(s->chunks[first + 1]);
    CU_ASSERT_PTR_NULL(s->chunks[first + 2]);
    start(&read, small, 1000, true);
    rig_settle(&r);
    expect(&read, small);
    down();
}

UNIT_MAIN("plog/reads", UNIT_CASE(test_those_that_wait_end_at_once),
          UNIT_CASE(test_those_that_wait_fail), UNIT_CASE(test_very_many_wait),
          UNIT_CASE(test_deleted_while_it_opens), UNIT_CASE(test_cannot_open_now),
          UNIT_CASE(test_cannot_read_now), UNIT_CASE(test_slow_readers_hold_their_part),
          UNIT_CASE(test_large_batch_of_a_slow_reader), UNIT_CASE(test_deleted_while_it_closes),
          UNIT_CASE(test_gap_before_the_stable_end),
          UNIT_CASE(test_waiting_read_gets_what_others_leave),
          UNIT_CASE(test_leftovers_and_read_ahead), UNIT_CASE(test_batch_larger_than_memory),
          UNIT_CASE(test_read_ahead_across_segments), UNIT_CASE(test_cached_in_the_middle))

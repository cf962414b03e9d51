/* Attach, detach, remove; log memory at its limit; reads that must wait; flush settings. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"

static struct rig r;
static struct plog *p;

static void up(uint32_t chunks, enum plog_durability durability)
{
    rig_up(&r, unit_seed(), chunks, durability);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
}

static void down(void)
{
    struct cache_stats stats;
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    cache_stats(r.cache, &stats);
    CU_ASSERT_EQUAL(stats.free, stats.chunks);
    rig_down(&r);
}

static struct rig_batch make(uint32_t n, uint32_t value_bytes)
{
    struct rig_batch_spec spec = rig_spec();
    struct rig_record record = {0, "k", "v", value_bytes, 0};
    CU_ASSERT_EQUAL_FATAL(n, 1);
    return rig_batch_make(&spec, &record, n);
}

static struct plog_marks marks(void)
{
    struct plog_marks m;
    plog_marks(p, &m);
    return m;
}

struct detach_op {
    struct plog_detach detach;
    int times;
};

static void on_detached(struct plog_detach *d)
{
    ((struct detach_op *)d)->times++;
}

static void on_fire(struct plog_waiter *w)
{
    w->next = (struct plog_waiter *)w; /* marks that it was called */
}

static void on_read(struct plog_read *read)
{
    read->state = read;
}

/* What was accepted is written and acked; new work is refused; waiters fire; done comes later. */
static void test_detach(void)
{
    struct rig_op before, after;
    struct rig_read read;
    up(32, PLOG_FSYNC);
    struct rig_batch b = make(1, 100);
    struct plog_waiter waiter = {.fire = on_fire};
    plog_wait(p, &waiter);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &before), 0);
    struct detach_op d = {.detach.done = on_detached};
    plog_detach(p, &d.detach);
    CU_ASSERT_EQUAL(d.times, 0);
    CU_ASSERT_PTR_EQUAL(waiter.next, &waiter);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &after), 0);
    CU_ASSERT_TRUE(after.done);
    CU_ASSERT_EQUAL(after.append.error, KERR_NOT_LEADER_OR_FOLLOWER);
    CU_ASSERT_EQUAL(rig_read(&r, p, 0, 100, true, &read), KERR_NOT_LEADER_OR_FOLLOWER);
    rig_read_free(&read);
    rig_settle(&r);
    CU_ASSERT_EQUAL(d.times, 1);
    CU_ASSERT_TRUE(before.done);
    CU_ASSERT_EQUAL(before.append.error, 0);
    CU_ASSERT_EQUAL(marks().high_watermark, 1);
    plog_attach(p, &r.env); /* and back */
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &after), 0);
    CU_ASSERT_EQUAL(after.append.base_offset, 1);
    rig_batch_free(&b);
    down();
}

/* Whoever detaches may close at once, on another thread. */
static void on_detached_close(struct plog_detach *d)
{
    ((struct detach_op *)d)->times++;
    plog_close(p);
}

/* The read that waits for a segment ends with the detach; the job that opened it is not done then. */
static void test_detach_while_a_segment_is_opened(void)
{
    static const int errors[] = {0, ERR_FULL, ERR_IO};
    mallopt(M_PERTURB, 0x5a); /* what is freed is not what it was */
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct rig_op op;
        struct detach_op d = {.detach.done = on_detached_close};
        struct plog_read read = {.max_bytes = 1000, .min_one = true, .done = on_read};
        up(32, PLOG_FSYNC);
        r.config.segment_bytes = 8000;
        plog_configure(p, &r.config);
        struct rig_batch b = make(1, 5000);
        for (int k = 0; k < 3; k++)
            CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        p = rig_open(&r, true, NULL);
        plog_read(p, &read);
        if (errors[i])
            io_sim_fail(&r.sim, SIM_OPEN, 1, errors[i]);
        plog_detach(p, &d.detach);
        rig_settle(&r);
        CU_ASSERT_EQUAL(d.times, 1);
        CU_ASSERT_PTR_NOT_NULL(read.state);
        chain_free(&read.data);
        rig_down(&r);
    }
    mallopt(M_PERTURB, 0);
}

static void test_remove_and_create_again(void)
{
    struct rig_op op;
    struct fs_stat st;
    up(32, PLOG_FSYNC);
    struct rig_batch b = make(1, 100);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    rig_detach(&r, p);
    CU_ASSERT_EQUAL(plog_remove(p), 0);
    CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, rig_dir "/topic-0", &st), ERR_NOT_FOUND);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_EQUAL(marks().end, 0);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(op.append.base_offset, 0);
    rig_batch_free(&b);
    down();
}

/* A removal that a crash interrupts at any operation: the log is whole or gone, never a part. */
static void test_interrupted_remove(void)
{
    int whole = 0, gone = 0;
    for (uint64_t nth = 1; nth < 16; nth++) {
        struct rig_op op;
        struct fs_stat st;
        up(32, PLOG_FSYNC);
        struct rig_batch b = make(1, 100);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
        rig_detach(&r, p);
        io_sim_crash_at(&r.sim, nth, SIM_POWER_CUT);
        int err = plog_remove(p);
        if (r.sim.dead)
            rig_crash(&r, NULL, SIM_POWER_CUT);
        r.sim.die_at = 0;
        CU_ASSERT_EQUAL(plog_sweep(r.fs, rig_dir), 0);
        bool there = r.fs->ops->stat(r.fs, rig_dir "/topic-0", &st) == 0;
        CU_ASSERT_FALSE(err == 0 && there);
        whole += there;
        gone += !there;
        p = rig_open(&r, false, NULL);
        CU_ASSERT_EQUAL(marks().end, there ? 1 : 0);
        down();
    }
    CU_ASSERT(whole > 0 && gone > 0);
}

/* The longest topic name: the name of the directory that is being removed still fits. */
static void test_long_names(void)
{
    char name[topic_name_bytes_max + 1];
    memset(name, 'n', topic_name_bytes_max);
    name[topic_name_bytes_max] = '\0';
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
    CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, name, true, -1, -1, &p), 0);
    CU_ASSERT_EQUAL(strlen(plog_name(p)), topic_name_bytes_max + 2);
    CU_ASSERT_EQUAL(plog_remove(p), 0);
    CU_ASSERT_EQUAL(rig_try_open(&r, "", true, -1, -1, &p), ERR_INVALID);
    char longer[topic_name_bytes_max + 2];
    memset(longer, 'n', topic_name_bytes_max + 1);
    longer[topic_name_bytes_max + 1] = '\0';
    CU_ASSERT_EQUAL(rig_try_open(&r, longer, true, -1, -1, &p), ERR_INVALID);
    rig_down(&r);
}

/* All log memory is unwritten: nothing happens until writes give some back. */
static void test_log_memory_is_full(void)
{
    struct rig_op ops[64];
    up(16, PLOG_FSYNC);
    struct rig_batch b = make(1, 60000);
    int accepted = 0;
    while (accepted < 64 && rig_append_start(&r, p, &b, &ops[accepted]) == 0)
        accepted++;
    CU_ASSERT(accepted >= 14 && accepted <= 18);
    CU_ASSERT_EQUAL(marks().end, accepted);
    int before = accepted;
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &ops[accepted]), ERR_FULL);
    CU_ASSERT_EQUAL(marks().end, before); /* nothing happened */
    CU_ASSERT_FALSE(ops[accepted].done);
    rig_settle(&r);
    for (int i = 0; i < accepted; i++)
        CU_ASSERT_TRUE(ops[i].done && ops[i].append.error == 0);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &ops[accepted]), 0);
    CU_ASSERT_EQUAL(ops[accepted].append.base_offset, before);
    struct rig_read read;
    for (int i = 0; i <= accepted; i++) {
        CU_ASSERT_EQUAL(rig_read(&r, p, i, 70000, true, &read), 0);
        CU_ASSERT(read.size >= b.size && bytes_get_i64(read.bytes) == i);
        rig_read_free(&read);
    }
    rig_batch_free(&b);
    down();
}

/* Reads find all read memory lent: they wait, and go on when replies were sent. */
static void test_reads_wait_for_memory(void)
{
    struct rig_op op;
    enum { reads = 24 };
    struct plog_read read[reads];
    up(16, PLOG_FSYNC);
    struct rig_batch b = make(1, 200000);
    for (int i = 0; i < reads; i++)
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_detach(&r, p);
    plog_attach(p, &r.env); /* nothing is cached now */
    for (int i = 0; i < reads; i++) {
        read[i] =
            (struct plog_read){.offset = i, .max_bytes = b.size, .min_one = true, .done = on_read};
        plog_read(p, &read[i]);
    }
    rig_settle(&r);
    int done = 0, rounds = 0;
    while (done < reads && rounds++ < 100) {
        rig_settle(&r);
        for (int i = 0; i < reads; i++) {
            if (read[i].state != &read[i])
                continue;
            CU_ASSERT_EQUAL(read[i].error, 0);
            CU_ASSERT_EQUAL(read[i].data.bytes, b.size);
            chain_free(&read[i].data);
            read[i].state = NULL;
            done++;
        }
    }
    CU_ASSERT_EQUAL(done, reads);
    CU_ASSERT(rounds > 1);
    rig_batch_free(&b);
    down();
}

/* More reads at once than there are places for. */
static void test_many_reads_at_once(void)
{
    struct rig_op op;
    enum { reads = plog_reads_max * 2 + 5 };
    static struct plog_read read[reads];
    up(200, PLOG_FSYNC);
    struct rig_batch b = make(1, 50);
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_detach(&r, p);
    plog_attach(p, &r.env);
    for (int i = 0; i < reads; i++) {
        read[i] = (struct plog_read){
            .offset = i % 10, .max_bytes = 100, .min_one = true, .done = on_read};
        plog_read(p, &read[i]);
    }
    int done = 0; /* each answer holds a chunk of read memory until it is sent */
    for (int rounds = 0; rounds < 10; rounds++) {
        rig_settle(&r);
        for (int i = 0; i < reads; i++) {
            if (read[i].state != &read[i])
                continue;
            CU_ASSERT_EQUAL(read[i].error, 0);
            CU_ASSERT(read[i].data.bytes >= 61);
            chain_free(&read[i].data);
            read[i].state = NULL;
            done++;
        }
    }
    CU_ASSERT_EQUAL(done, reads);
    rig_batch_free(&b);
    down();
}

/* One batch that is larger than what one read of the disk brings. */
static void test_large_batch_from_disk(void)
{
    struct rig_op op;
    struct rig_read read;
    up(200, PLOG_FSYNC);
    struct plog_config c = rig_config();
    c.max_message_bytes = 10 << 20;
    plog_configure(p, &c);
    struct rig_batch b = make(1, 1600000), small = make(1, 10);
    CU_ASSERT_EQUAL(rig_append(&r, p, &small, &op), 0);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(rig_append(&r, p, &small, &op), 0);
    rig_detach(&r, p);
    plog_attach(p, &r.env);
    CU_ASSERT_EQUAL(rig_read(&r, p, 1, 1000, true, &read), 0);
    CU_ASSERT_EQUAL(read.size, b.size);
    CU_ASSERT_EQUAL(memcmp(read.bytes + BATCH_CRC, b.bytes + BATCH_CRC, b.size - BATCH_CRC), 0);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(rig_read(&r, p, 1, 1000, false, &read), 0); /* does not fit: left out */
    CU_ASSERT_EQUAL(read.size, 0);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(rig_read(&r, p, 2, 1000, false, &read), 0); /* found behind the large one */
    CU_ASSERT_EQUAL(read.size, small.size);
    rig_read_free(&read);
    rig_batch_free(&b);
    rig_batch_free(&small);
    down();
}

static void test_offsets_out_of_range(void)
{
    struct rig_op op;
    struct rig_read read;
    up(32, PLOG_FSYNC);
    struct rig_batch b = make(1, 50);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(rig_read(&r, p, -1, 100, true, &read), KERR_OFFSET_OUT_OF_RANGE);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(rig_read(&r, p, 2, 100, true, &read), KERR_OFFSET_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(read.read.high_watermark, 1);
    CU_ASSERT_EQUAL(read.read.log_start_offset, 0);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(rig_read(&r, p, 1, 100, true, &read), 0);
    CU_ASSERT_EQUAL(read.size, 0);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(plog_readable(p, 0, false), b.size);
    CU_ASSERT_EQUAL(plog_readable(p, 1, false), 0);
    /* appended, not durable: not readable, and no error */
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(plog_readable(p, 1, false), 0);
    struct plog_read early = {.offset = 1, .max_bytes = 1000, .min_one = true, .done = on_read};
    plog_read(p, &early);
    CU_ASSERT_PTR_EQUAL(early.state, &early);
    CU_ASSERT_EQUAL(early.error, 0);
    CU_ASSERT_EQUAL(early.data.bytes, 0);
    rig_settle(&r);
    CU_ASSERT(plog_readable(p, 1, false) >= b.size); /* exact to an index interval */
    rig_batch_free(&b);
    down();
}

static struct agent other;

static void *free_elsewhere(void *arg)
{
    agent_enter(&other);
    chain_free(arg);
    agent_flush(&other);
    return NULL;
}

/* What a read lent outlives the plog, and comes home from another thread. */
static void test_lent_outlives_the_plog(void)
{
    struct rig_op op;
    struct cache_stats stats;
    up(32, PLOG_FSYNC);
    CU_ASSERT_EQUAL_FATAL(agent_init(&other, "other", 5, 64, NULL, NULL), 0);
    struct rig_batch b = make(1, 150000);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    struct plog_read read = {.offset = 0, .max_bytes = 1 << 20, .done = on_read};
    plog_read(p, &read);
    CU_ASSERT_PTR_EQUAL(read.state, &read);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    uint8_t *bytes = malloc(b.size);
    chain_copy_out(&read.data, 0, bytes, b.size);
    CU_ASSERT_EQUAL(memcmp(bytes + BATCH_CRC, b.bytes + BATCH_CRC, b.size - BATCH_CRC), 0);
    free(bytes);
    cache_stats(r.cache, &stats);
    CU_ASSERT_EQUAL(stats.free, stats.chunks - 3);
    pthread_t thread;
    CU_ASSERT_EQUAL(pthread_create(&thread, NULL, free_elsewhere, &read.data), 0);
    pthread_join(thread, NULL);
    cache_stats(r.cache, &stats);
    CU_ASSERT_EQUAL(stats.free, stats.chunks - 3); /* the message has not been read yet */
    rig_settle(&r);
    cache_stats(r.cache, &stats);
    CU_ASSERT_EQUAL(stats.free, stats.chunks);
    CU_ASSERT_EQUAL(stats.lent, 0);
    agent_fini(&other);
    rig_batch_free(&b);
    rig_down(&r);
}

/* segment.ms looks at timestamps: a batch that is later than the segment's first by more rolls. */
static void test_roll_by_time(void)
{
    struct rig_op op;
    struct fs_stat st;
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
    r.config.segment_ms = 1000;
    p = rig_open(&r, true, NULL);
    static const int64_t at[] = {0, 1000, 500, 1001, 5000};
    for (int i = 0; i < 5; i++) {
        struct rig_record record = {at[i], "k", "v", 0, 0};
        struct rig_batch_spec spec = rig_spec();
        struct rig_batch b = rig_batch_make(&spec, &record, 1);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
    }
    CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, rig_dir "/topic-0/00000000000000000003.log", &st), 0);
    CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, rig_dir "/topic-0/00000000000000000004.log", &st), 0);
    CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, rig_dir "/topic-0/00000000000000000001.log", &st),
                    ERR_NOT_FOUND);
    down();
}

/* A header may say what it likes of its records' timestamps. */
static void test_roll_by_a_wrong_time(void)
{
    static const int64_t said[] = {INT64_MIN, INT64_MIN + 1, -2, -1, 0};
    struct rig_op op;
    struct fs_stat st;
    up(32, PLOG_FSYNC);
    for (int i = 0; i < 6; i++) {
        struct rig_batch b = make(1, 10);
        if (i > 0) {
            bytes_put_u64(b.bytes + BATCH_MAX_TIMESTAMP, (uint64_t)said[i - 1]);
            rig_batch_seal(&b);
        }
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
    }
    CU_ASSERT_EQUAL(marks().end, 6);
    for (int i = 1; i < 6; i++) {
        char path[64];
        snprintf(path, sizeof(path), rig_dir "/topic-0/%020d.log", i);
        CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, path, &st), ERR_NOT_FOUND);
    }
    down();
}

/* With PLOG_OS nothing is flushed on the way, unless flush.messages or flush.ms ask for it. */
static void test_flush_settings(void)
{
    struct rig_op op;
    up(32, PLOG_OS);
    struct rig_batch b = make(1, 50);
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(r.sim.ops[SIM_FLUSH], 0);
    CU_ASSERT_EQUAL(plog_recovery_point(p), 0);
    struct plog_config c = rig_config();
    c.flush_messages = 4;
    plog_configure(p, &c);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(r.sim.ops[SIM_FLUSH], 1);
    CU_ASSERT_EQUAL(plog_recovery_point(p), 11);
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(r.sim.ops[SIM_FLUSH], 3);
    c.flush_messages = INT64_MAX;
    c.flush_ms = 1000;
    plog_configure(p, &c);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(r.sim.ops[SIM_FLUSH], 3);
    rig_sleep(&r, 1002);
    CU_ASSERT_EQUAL(r.sim.ops[SIM_FLUSH], 4);
    CU_ASSERT_EQUAL(plog_recovery_point(p), 20);
    rig_batch_free(&b);
    down();
}

/* What is written while a flush is under way has its own. */
static void test_flush_during_a_flush(void)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct rig_op ops[20];
        rig_up(&r, unit_seed() + seed, 32, PLOG_OS);
        r.config.flush_messages = 1;
        r.config.segment_bytes = seed % 2 ? 1000 : 1 << 20;
        p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        struct rig_batch b = make(1, 50);
        for (int i = 0; i < 20; i++) {
            CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &ops[i]), 0);
            for (uint64_t n = rng_below(&r.rng, 4); n > 0; n--)
                rig_step(&r);
        }
        rig_batch_free(&b);
        rig_settle(&r);
        CU_ASSERT_EQUAL(plog_recovery_point(p), 20);
        down();
    }
}

/*
 * A flush of a new segment's file says nothing of its name. Usually the seal of the segment before syncs the
 * directory; here that one was deleted, and the worker is busy.
 */
static void test_flush_keeps_the_name(void)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct rig_op op;
        rig_up(&r, unit_seed() + seed, 32, PLOG_OS);
        r.config.flush_messages = 1;
        r.config.retention_bytes = 0;
        p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        struct rig_batch b = make(1, 50);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        plog_retention(p); /* its only segment goes: another one takes its place */
        CU_ASSERT_EQUAL(marks().log_start, 1);
        agent_flush(&r.agent);
        CU_ASSERT_EQUAL(worker_step(&r.worker, 1), 1); /* its file is made, no more */
        agent_receive(&r.agent, 64);
        CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &op), 0);
        rig_batch_free(&b);
        do {
            plog_env_run(&r.env, r.now_ns, 64);
        } while (io_sim_step(&r.sim));
        CU_ASSERT_TRUE(op.done);
        CU_ASSERT_EQUAL(r.sim.ops[SIM_FLUSH], 2);
        if (seed % 2) { /* else the power goes before the worker comes to it */
            rig_settle(&r);
            CU_ASSERT_EQUAL(plog_recovery_point(p), 2);
        }
        int64_t flushed = plog_recovery_point(p);
        rig_crash(&r, p, SIM_POWER_CUT);
        p = rig_open(&r, false, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT(marks().end >= flushed);
        down();
    }
}

/* One write covers what was appended while the one before was under way. */
static void test_group_commit(void)
{
    struct rig_op ops[40];
    up(32, PLOG_FSYNC);
    struct rig_batch b = make(1, 50);
    for (int i = 0; i < 40; i++) {
        CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &ops[i]), 0);
        if (i == 0)
            plog_env_run(&r.env, r.now_ns, 8);
    }
    rig_settle(&r);
    CU_ASSERT_EQUAL(r.env.writes, 2);
    for (int i = 0; i < 40; i++)
        CU_ASSERT(ops[i].done && ops[i].append.base_offset == i);
    rig_batch_free(&b);
    down();
}

/* What a symbolic link in a log dir points to is not the log's. On the real file system. */
static void test_links_are_removed_alone(void)
{
    static const char *const dirs[] = {"kept", "logs", "logs/t-0.1-delete"};
    static const char *const links[] = {"logs/t-1.2-delete", "logs/t-0.1-delete/inner"};
    char root[] = "/tmp/sluice_life_XXXXXX", path[128], target[128];
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", root, dirs[i]);
        CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
    }
    snprintf(target, sizeof(target), "%s/kept/file", root);
    FILE *f = fopen(target, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fclose(f);
    snprintf(target, sizeof(target), "%s/kept", root);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", root, links[i]);
        CU_ASSERT_EQUAL_FATAL(symlink(target, path), 0);
    }
    snprintf(path, sizeof(path), "%s/logs", root);
    CU_ASSERT_EQUAL(plog_sweep(fs_real(), path), 0);
    CU_ASSERT_EQUAL(rmdir(path), 0); /* nothing is left in it */
    snprintf(target, sizeof(target), "%s/kept/file", root);
    CU_ASSERT_EQUAL(unlink(target), 0);
    snprintf(target, sizeof(target), "%s/kept", root);
    CU_ASSERT_EQUAL(rmdir(target), 0);
    CU_ASSERT_EQUAL(rmdir(root), 0);
}

UNIT_MAIN("plog/life", UNIT_CASE(test_detach), UNIT_CASE(test_detach_while_a_segment_is_opened),
          UNIT_CASE(test_remove_and_create_again), UNIT_CASE(test_interrupted_remove),
          UNIT_CASE(test_long_names), UNIT_CASE(test_log_memory_is_full),
          UNIT_CASE(test_reads_wait_for_memory), UNIT_CASE(test_many_reads_at_once),
          UNIT_CASE(test_large_batch_from_disk), UNIT_CASE(test_offsets_out_of_range),
          UNIT_CASE(test_lent_outlives_the_plog), UNIT_CASE(test_roll_by_time),
          UNIT_CASE(test_roll_by_a_wrong_time), UNIT_CASE(test_flush_settings),
          UNIT_CASE(test_flush_during_a_flush), UNIT_CASE(test_flush_keeps_the_name),
          UNIT_CASE(test_group_commit), UNIT_CASE(test_links_are_removed_alone))

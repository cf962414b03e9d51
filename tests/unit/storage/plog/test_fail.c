/* Disks that fail: each write of the log made to fail in turn, full disks, torn tails. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"

static struct rig r;
static struct plog *p;

#define batches 60

struct run {
    struct rig_op ops[batches];
    uint32_t sizes[batches];
    uint32_t started;
};
static struct run run;

/* Appends with rolls until something fails; nothing acked may be lost afterwards. */
static void append_many(void)
{
    struct rig_batch_spec spec = rig_spec();
    run.started = 0;
    for (uint32_t i = 0; i < batches; i++) {
        struct rig_batch b = rig_batch_random(&r, &spec, 2, 800);
        if (rig_append_start(&r, p, &b, &run.ops[i]) == 0)
            run.started++;
        else
            run.ops[i].done = false;
        rig_batch_free(&b);
        if (run.started != i + 1)
            break;
        if (rng_below(&r.rng, 3) == 0)
            rig_settle(&r);
    }
    rig_settle(&r);
}

/* How far the acks go, in order; the rest is answered KAFKA_STORAGE_ERROR. */
static int64_t check_answers(void)
{
    int64_t acked = 0;
    bool failed = false;
    for (uint32_t i = 0; i < run.started; i++) {
        const struct plog_append *a = &run.ops[i].append;
        CU_ASSERT_TRUE(run.ops[i].done);
        if (a->error == 0) {
            CU_ASSERT_FALSE(failed);
            acked = a->base_offset + 2;
        } else {
            CU_ASSERT_EQUAL(a->error, KERR_KAFKA_STORAGE_ERROR);
            CU_ASSERT_EQUAL(a->base_offset, -1);
            failed = true;
        }
    }
    return acked;
}

/* True if there was an nth call. */
static bool fault_at(enum sim_op op, uint64_t nth, int err)
{
    struct plog_marks marks;
    struct rig_read read;
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC); /* the same calls up to the one that fails */
    r.config.segment_bytes = 12000;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    uint64_t at = r.sim.ops[op] + nth;
    io_sim_fail(&r.sim, op, nth, err);
    append_many();
    bool reached = r.sim.ops[op] >= at;
    int64_t acked = check_answers();
    plog_marks(p, &marks);
    CU_ASSERT(reached || !marks.failed);
    CU_ASSERT_EQUAL(marks.failed, r.disk_errors == 1);
    CU_ASSERT(r.disk_errors <= 1);
    if (marks.failed) {
        CU_ASSERT_EQUAL(r.last_disk_error, err);
        CU_ASSERT_EQUAL(rig_read(&r, p, 0, 100, true, &read), KERR_KAFKA_STORAGE_ERROR);
        rig_read_free(&read);
        struct rig_batch_spec spec = rig_spec();
        struct rig_batch b = rig_batch_random(&r, &spec, 1, 8);
        struct rig_op op_after;
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op_after), KERR_KAFKA_STORAGE_ERROR);
        rig_batch_free(&b);
    }
    rig_crash(&r, p, SIM_POWER_CUT);
    p = rig_open(&r, false, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    plog_marks(p, &marks);
    CU_ASSERT(marks.end >= acked);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
    return reached;
}

/* Until there is no such call any more. */
static void each_call(enum sim_op op, int err)
{
    uint64_t nth = 1;
    while (nth < 1000 && fault_at(op, nth, err))
        nth++;
    CU_ASSERT(nth > 3 && nth < 1000);
}

static void test_every_write(void)
{
    each_call(SIM_WRITE, ERR_IO);
    each_call(SIM_WRITE, ERR_NO_SPACE);
}

static void test_every_worker_op(void)
{
    static const enum sim_op ops[] = {SIM_OPEN, SIM_PWRITE, SIM_SYNC, SIM_SYNC_DIR};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        each_call(ops[i], ERR_IO);
}

/*
 * A disk that fills up: acked ones stay, the plog is FAILED, and after room was made all goes on.
 */
static void test_full_disk(void)
{
    for (uint64_t room = 100; room < 60000; room += 3011) {
        struct plog_marks marks;
        rig_up(&r, unit_seed() + room, 32, PLOG_FSYNC);
        r.config.segment_bytes = 12000;
        p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        r.sim.bytes_limit = r.sim.bytes + room;
        append_many();
        int64_t acked = check_answers();
        plog_marks(p, &marks);
        CU_ASSERT_TRUE(marks.failed);
        CU_ASSERT_EQUAL(r.last_disk_error, ERR_NO_SPACE);
        rig_crash(&r, p, SIM_PROCESS_DEATH);
        r.sim.bytes_limit = 0;
        p = rig_open(&r, false, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        plog_marks(p, &marks);
        CU_ASSERT(marks.end >= acked);
        append_many();
        CU_ASSERT_EQUAL(run.started, batches);
        CU_ASSERT_EQUAL(check_answers(), marks.end + 2 * batches);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        rig_down(&r);
    }
}

/* A failed read is the partition's, not a client's silence, and not the log dir's. */
static void test_failed_read(void)
{
    struct rig_read read;
    struct rig_op op;
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 5, 300);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    p = rig_open(&r, true, NULL);
    io_sim_fail(&r.sim, SIM_READ, 1, ERR_IO);
    CU_ASSERT_EQUAL(rig_read(&r, p, 0, 100, true, &read), KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(read.size, 0);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(r.disk_errors, 0);
    rig_detach(&r, p);
    CU_ASSERT_EQUAL(plog_close(p), ERR_CORRUPT); /* its log dir stays */
    rig_down(&r);
}

struct fired {
    struct plog_waiter waiter;
    int times;
};

static void on_fire(struct plog_waiter *w)
{
    ((struct fired *)w)->times++;
}

static void test_waiters_fire_on_failure(void)
{
    struct rig_op op;
    struct fired a = {.waiter.fire = on_fire}, gone = {.waiter.fire = on_fire};
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    plog_wait(p, &a.waiter);
    plog_wait(p, &gone.waiter);
    plog_wait_cancel(&gone.waiter);
    plog_wait_cancel(&gone.waiter);
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 1, 8);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(a.times, 1); /* the high watermark moved */
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(a.times, 1); /* once per arm */
    plog_wait(p, &a.waiter);
    io_sim_fail(&r.sim, SIM_WRITE, 1, ERR_IO);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(a.times, 2);
    CU_ASSERT_EQUAL(gone.times, 0);
    rig_batch_free(&b);
    rig_detach(&r, p);
    plog_close(p);
    rig_down(&r);
}

/*
 * The last batch cut at every byte, and with every byte of it wrong: the ones before stay, it goes.
 */
static void test_torn_tails(void)
{
    struct rig_op op;
    struct plog_marks marks;
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    struct rig_batch_spec spec = rig_spec();
    uint32_t before = 0;
    for (int i = 0; i < 3; i++) {
        struct rig_batch b = rig_batch_random(&r, &spec, 2, 60);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        before += i < 2 ? b.size : 0;
        rig_batch_free(&b);
    }
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    const char *path = rig_dir "/topic-0/00000000000000000000.log";
    struct io_file *f;
    uint8_t all[4096], wrong;
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_READ | IO_OPEN_WRITE, &f), 0);
    uint32_t size = (uint32_t)r.fs->ops->pread(r.fs, f, all, sizeof(all), 0);
    for (uint32_t at = before; at <= size; at++) {
        for (int how = 0; how < 3; how++) {
            CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, 0), 0);
            CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, all, how == 0 ? at : size, 0), 0);
            wrong = at < size ? (uint8_t)(all[at] ^ 0x40) : 0;
            if (how == 1 && at < size)
                CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, &wrong, 1, at), 0);
            if (how == 2) /* zeros from there on, and more of them */
                CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, at) +
                                    r.fs->ops->truncate(r.fs, f, size + 5000),
                                0);
            p = rig_open(&r, false, NULL);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
            plog_marks(p, &marks);
            uint32_t in = at - before;
            bool whole = at == size;
            if (how == 1 && in >= BATCH_LEADER_EPOCH && in < BATCH_MAGIC)
                whole = true; /* not under the checksum: cannot be told */
            for (uint32_t i = at; how == 2 && i <= size; i++) {
                whole = i == size; /* zeros were there */
                if (i < size && all[i] != 0)
                    break;
            }
            if (marks.end != (whole ? 6 : 4))
                printf("byte %u way %d end %lld of %u %u\n", in, how, (long long)marks.end, size,
                       before);
            CU_ASSERT_EQUAL(marks.end, whole ? 6 : 4);
            CU_ASSERT_EQUAL(marks.size_bytes, whole ? size : before);
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        }
    }
    r.fs->ops->close(r.fs, f);
    rig_down(&r);
}

static void on_read(struct plog_read *read)
{
    ((struct rig_read *)read)->done = true;
}

static void append_some(uint32_t n)
{
    struct rig_op op;
    struct rig_batch_spec spec = rig_spec();
    for (uint32_t i = 0; i < n; i++) {
        struct rig_batch b = rig_batch_random(&r, &spec, 1, 3000);
        rig_append(&r, p, &b, &op);
        rig_batch_free(&b);
    }
}

/* Room that cannot be made is no failure; a flush that fails after it is, whatever its error. */
static void test_failed_flush_of_room(void)
{
    struct plog_marks marks;
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
    r.config.segment_bytes = 10 * MIB;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    io_sim_fail(&r.sim, SIM_SYNC, 1, ERR_NO_SPACE);
    append_some(40);
    CU_ASSERT_EQUAL(r.sim.fault_count, 0);
    plog_marks(p, &marks);
    CU_ASSERT_TRUE(marks.failed);
    CU_ASSERT_EQUAL(r.last_disk_error, ERR_NO_SPACE);
    rig_crash(&r, p, SIM_POWER_CUT);
    rig_down(&r);
}

static void worker_goes(void)
{
    agent_flush(&r.agent);
    agent_enter(&r.worker.agent);
    while (worker_step(&r.worker, 16) > 0)
        ;
    agent_enter(&r.agent);
}

/* The flush of a full segment fails at the worker; what is read before the shard hears of it. */
static void test_read_after_failed_seal(void)
{
    struct rig_op op;
    rig_up(&r, unit_seed(), 32, PLOG_OS);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    append_some(5);
    struct io_file *f;
    CU_ASSERT_EQUAL_FATAL(
        r.fs->ops->open(r.fs, rig_dir "/topic-0/00000000000000000000.log", IO_OPEN_WRITE, &f), 0);
    CU_ASSERT_EQUAL(r.fs->ops->sync(r.fs, f), 0);
    r.fs->ops->close(r.fs, f);
    append_some(5);
    rig_detach(&r, p); /* nothing is cached */
    r.config.segment_bytes = 1000;
    plog_attach(p, &r.env);
    plog_configure(p, &r.config);
    struct rig_read read = {.read = {.max_bytes = MIB, .min_one = true, .done = on_read}};
    plog_read(p, &read.read); /* the disk is asked */
    CU_ASSERT_FALSE(read.done);
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 1, 10);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    io_sim_fail(&r.sim, SIM_SYNC, 1, ERR_IO);
    worker_goes();
    CU_ASSERT_EQUAL(r.sim.fault_count, 0);
    rig_disk(&r);
    CU_ASSERT_TRUE(read.done);
    CU_ASSERT_EQUAL(read.read.error, KERR_KAFKA_STORAGE_ERROR);
    rig_settle(&r);
    CU_ASSERT_EQUAL(r.last_disk_error, ERR_IO);
    rig_crash(&r, p, SIM_POWER_CUT);
    rig_down(&r);
}

/* Writes begin, and one request of the disk ends. */
static void disk_goes(void)
{
    plog_env_run(&r.env, r.now_ns, 64);
    if (!io_sim_step(&r.sim) && r.failing)
        io_fail_run(&r.fail);
}

/* A log whose segments hold one batch each, and such a batch. */
static struct rig_batch up_small(int64_t flush_messages)
{
    struct rig_batch_spec spec = rig_spec();
    const struct rig_record record = {.value = "v", .value_bytes = 600};
    rig_up(&r, unit_seed(), 32, PLOG_OS);
    r.config.segment_bytes = 1000;
    r.config.flush_messages = flush_messages;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    return rig_batch_make(&spec, &record, 1);
}

/* Two full segments wait for the worker; the flush of the first one fails, that of the second does not. */
static void test_seal_behind_failed_seal(void)
{
    struct rig_op ops[3];
    struct rig_batch b = up_small(INT64_MAX);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &ops[i]), 0);
        worker_goes(); /* the next file */
        agent_receive(&r.agent, 64);
    }
    rig_batch_free(&b);
    while (!ops[1].done)
        disk_goes();
    disk_goes();
    io_sim_fail(&r.sim, SIM_SYNC, 1, ERR_IO);
    rig_settle(&r);
    CU_ASSERT_EQUAL(r.sim.fault_count, 0);
    CU_ASSERT_TRUE(r.sim.ops[SIM_SYNC] >= 2);
    CU_ASSERT_EQUAL(r.last_disk_error, ERR_IO);
    CU_ASSERT_EQUAL(plog_recovery_point(p), 0);
    rig_crash(&r, p, SIM_PROCESS_DEATH);
    rig_down(&r);
}

/* The flush of a segment fails while its seal waits for the worker: the kernel tells of an error once. */
static void test_seal_behind_failed_flush(void)
{
    struct rig_op ops[2];
    struct rig_batch b = up_small(1);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &ops[0]), 0);
    plog_env_run(&r.env, r.now_ns, 64);
    CU_ASSERT_TRUE(io_sim_step(&r.sim));                      /* written; a flush is under way */
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &ops[1]), 0); /* rolls */
    rig_batch_free(&b);
    io_sim_fail(&r.sim, SIM_FLUSH, 1, ERR_IO);
    rig_disk(&r);
    CU_ASSERT_EQUAL(r.sim.fault_count, 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL(r.last_disk_error, ERR_IO);
    CU_ASSERT_EQUAL(plog_recovery_point(p), 0);
    rig_crash(&r, p, SIM_PROCESS_DEATH);
    rig_down(&r);
}

/* A partition that failed alone has its log dir's disk fail under it: that is told. */
static void test_disk_fails_behind_a_read(void)
{
    struct rig_op op;
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    io_sim_fail(&r.sim, SIM_WRITE, 1, ERR_IO);
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 1, 10);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    plog_env_run(&r.env, r.now_ns, 64);
    plog_fail_alone(p, ERR_CORRUPT, "reading");
    CU_ASSERT_EQUAL(r.disk_errors, 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL(r.sim.fault_count, 0);
    CU_ASSERT_EQUAL(r.disk_errors, 1);
    rig_detach(&r, p);
    CU_ASSERT_EQUAL(plog_close(p), ERR_IO);
    rig_down(&r);
}

/* A close that cannot remove a segment leaves those behind it, too. */
static void test_failed_unlink_at_close(void)
{
    for (uint64_t nth = 1; nth <= 40; nth++) {
        char path[64];
        struct fs_stat st;
        bool before = false, reached;
        rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
        r.config.segment_bytes = 4000;
        p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        struct rig_batch_spec spec = rig_spec();
        const struct rig_record record = {.value = "v", .value_bytes = 3000};
        for (int i = 0; i < 5; i++) {
            struct rig_op op;
            struct rig_batch b = rig_batch_make(&spec, &record, 1);
            CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
            rig_batch_free(&b);
        }
        rig_settle(&r);
        r.config.retention_bytes = 1;
        plog_configure(p, &r.config);
        plog_retention(p);
        rig_detach(&r, p);
        io_sim_fail(&r.sim, SIM_UNLINK, nth, ERR_IO);
        int err = plog_close(p);
        reached = r.sim.fault_count == 0;
        r.sim.fault_count = 0;
        for (int i = 0; i < 5; i++) {
            snprintf(path, sizeof(path), rig_dir "/topic-0/%020d.log", i);
            bool there = r.fs->ops->stat(r.fs, path, &st) == 0;
            CU_ASSERT(there || !before);
            CU_ASSERT(!there || i == 4 || (reached && err == ERR_IO));
            before |= there;
        }
        p = rig_open(&r, err == 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        rig_down(&r);
    }
}

UNIT_MAIN("plog/fail", UNIT_CASE(test_failed_unlink_at_close),
          UNIT_CASE(test_seal_behind_failed_flush), UNIT_CASE(test_disk_fails_behind_a_read),
          UNIT_CASE(test_seal_behind_failed_seal), UNIT_CASE(test_every_write),
          UNIT_CASE(test_failed_flush_of_room), UNIT_CASE(test_read_after_failed_seal),
          UNIT_CASE(test_every_worker_op), UNIT_CASE(test_full_disk), UNIT_CASE(test_failed_read),
          UNIT_CASE(test_waiters_fire_on_failure), UNIT_CASE(test_torn_tails))

/*
 * A plog against a model: random batches, reads, rolls, clean stops, crashes at any operation of
 * the disk. What was acked is there, in order and byte for byte; nothing is invented.
 */
#include <string.h>

#include "base/check.h"
#include "tests/unit/storage/plog/rig.h"

#define model_batches_max 4096
#define model_ops_max     24

struct model_batch {
    uint8_t *bytes;
    uint32_t size;
    int64_t base, last;
};

struct model {
    struct rig r;
    struct plog *p;
    struct model_batch batches[model_batches_max]; /* accepted, in order */
    uint32_t count;
    int64_t acked; /* offsets below this were acked */
    int64_t start;
    struct rig_op ops[model_ops_max];
    int64_t op_end[model_ops_max]; /* -1: free */
    bool clean;
    uint32_t failures;
    uint32_t one_in; /* so many batches is large */
};

#define EXPECT(m, cond)                                                                            \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("line %d: %s\n", __LINE__, #cond);                                              \
            (m)->failures++;                                                                       \
        }                                                                                          \
    } while (0)

static int64_t model_end(const struct model *m)
{
    return m->count ? m->batches[m->count - 1].last + 1 : m->start;
}

static void collect_acks(struct model *m)
{
    for (uint32_t i = 0; i < model_ops_max; i++) {
        if (m->op_end[i] < 0 || !m->ops[i].done)
            continue;
        if (m->ops[i].append.error == 0 && m->op_end[i] > m->acked)
            m->acked = m->op_end[i];
        m->op_end[i] = -1;
    }
}

static void append_one(struct model *m)
{
    uint32_t slot = 0;
    if (m->r.named && m->r.sim.dead)
        return; /* the dead store nothing */
    while (slot < model_ops_max && m->op_end[slot] >= 0)
        slot++;
    if (slot == model_ops_max || m->count == model_batches_max)
        return;
    struct rig_batch_spec spec = rig_spec();
    spec.codec = (enum batch_codec)rng_below(&m->r.rng, CODEC_COUNT);
    spec.base_timestamp = m->r.wall_ms;
    uint32_t n = 1 + (uint32_t)rng_below(&m->r.rng, 8);
    uint32_t value = rng_below(&m->r.rng, m->one_in) ? 300 : 12000;
    struct rig_batch b = rig_batch_random(&m->r, &spec, n, value);
    int err = rig_append_start(&m->r, m->p, &b, &m->ops[slot]);
    if (err == ERR_FULL) {
        rig_batch_free(&b);
        return;
    }
    EXPECT(m, err == 0);
    struct plog_append *a = &m->ops[slot].append;
    if (m->ops[slot].done && a->error) {
        /* a dead disk may not have been noticed yet */
        bool too_large = b.size > m->r.config.segment_bytes;
        EXPECT(m, (a->error == KERR_KAFKA_STORAGE_ERROR && m->r.sim.dead) ||
                      (a->error == KERR_RECORD_LIST_TOO_LARGE && too_large));
        rig_batch_free(&b);
        return;
    }
    EXPECT(m, a->base_offset == model_end(m));
    bytes_put_u64(b.bytes, (uint64_t)a->base_offset);
    bytes_put_u32(b.bytes + BATCH_LEADER_EPOCH, 0);
    m->batches[m->count++] =
        (struct model_batch){b.bytes, b.size, a->base_offset, a->base_offset + n - 1};
    m->op_end[slot] = a->base_offset + n;
}

/* Compares an answer with the model's bytes from the batch that holds the offset on. */
static void check_bytes(struct model *m, int64_t offset, const struct rig_read *read, int64_t end)
{
    uint32_t i = 0, at = 0;
    while (i < m->count && m->batches[i].last < offset)
        i++;
    while (at < read->size && i < m->count && m->batches[i].base < end) {
        const struct model_batch *b = &m->batches[i++];
        uint32_t n = read->size - at < b->size ? read->size - at : b->size;
        EXPECT(m, memcmp(read->bytes + at, b->bytes, n) == 0);
        at += n;
    }
    EXPECT(m, at == read->size);
}

static void read_one(struct model *m)
{
    struct plog_marks marks;
    struct rig_read read;
    plog_marks(m->p, &marks);
    int64_t offset = marks.log_start +
                     (int64_t)rng_below(&m->r.rng, (uint64_t)(marks.end - marks.log_start + 2));
    bool min_one = rng_below(&m->r.rng, 2);
    uint32_t max = (uint32_t)rng_below(&m->r.rng, rng_below(&m->r.rng, 2) ? 1000 : 300000);
    int16_t err = rig_read(&m->r, m->p, offset, max, min_one, &read);
    collect_acks(m);
    if (m->r.sim.dead) {
        rig_read_free(&read);
        return;
    }
    struct plog_marks after;
    plog_marks(m->p, &after);
    if (offset > after.end)
        EXPECT(m, err == KERR_OFFSET_OUT_OF_RANGE);
    else
        EXPECT(m, err == 0);
    if (err == 0) {
        if (min_one && offset < marks.high_watermark)
            EXPECT(m, read.size > 0);
        check_bytes(m, offset, &read, after.high_watermark);
    }
    rig_read_free(&read);
}

/* Reads the whole log and compares; the model follows what a crash cut off. */
static void check_all(struct model *m)
{
    struct plog_marks marks;
    plog_marks(m->p, &marks);
    EXPECT(m, marks.end >= m->acked);
    EXPECT(m, marks.end <= model_end(m));
    while (m->count && m->batches[m->count - 1].base >= marks.end)
        free(m->batches[--m->count].bytes);
    EXPECT(m, model_end(m) == marks.end);
    EXPECT(m, marks.high_watermark == marks.end);
    m->acked = marks.end;
    int64_t offset = marks.log_start;
    while (offset < marks.end && m->failures == 0) {
        struct rig_read read;
        int16_t err = rig_read(&m->r, m->p, offset, 100000, true, &read);
        if (m->r.sim.dead) {
            rig_read_free(&read);
            return;
        }
        EXPECT(m, err == 0);
        EXPECT(m, read.size > 0);
        if (m->failures)
            printf("offset %lld of [%lld, %lld)\n", (long long)offset, (long long)marks.log_start,
                   (long long)marks.end);
        check_bytes(m, offset, &read, marks.end);
        uint32_t at = 0;
        while (at + batch_header_bytes <= read.size) {
            struct batch_header h;
            batch_decode(read.bytes + at, &h);
            if (h.bytes > read.size - at)
                break;
            at += h.bytes;
            offset = batch_last_offset(&h) + 1;
        }
        EXPECT(m, at > 0);
        rig_read_free(&read);
    }
}

static void open_plog(struct model *m)
{
    int err;
    while ((err = rig_try_open(&m->r, "topic", m->clean, m->clean ? -1 : 0, m->start, &m->p)) !=
               0 &&
           m->r.sim.dead) {
        rig_crash(&m->r, NULL, SIM_PROCESS_DEATH); /* in the middle of the recovery */
        m->clean = false;
    }
    EXPECT(m, err == 0);
    CHECK(err == 0);
    plog_attach(m->p, &m->r.env);
    m->clean = false;
    struct plog_marks marks;
    plog_marks(m->p, &marks);
    EXPECT(m, marks.log_start >= m->start);
    m->start = marks.log_start;
    check_all(m);
}

static void crash(struct model *m)
{
    /* power cuts are part of the promise of PLOG_FSYNC alone */
    enum sim_crash how = m->r.env.durability == PLOG_FSYNC && rng_below(&m->r.rng, 2)
                             ? SIM_POWER_CUT
                             : SIM_PROCESS_DEATH;
    if (m->r.sim.dead)
        how = m->r.sim.die_how;
    rig_crash(&m->r, m->p, how);
    collect_acks(m);
    for (uint32_t i = 0; i < model_ops_max; i++)
        EXPECT(m, m->op_end[i] < 0);
    open_plog(m);
}

static void delete_some(struct model *m)
{
    struct plog_marks marks;
    int64_t low;
    plog_marks(m->p, &marks);
    if (marks.failed || marks.high_watermark == marks.log_start)
        return;
    int64_t to =
        marks.log_start +
        (int64_t)rng_below(&m->r.rng, (uint64_t)(marks.high_watermark - marks.log_start)) / 2;
    EXPECT(m, plog_delete_records(m->p, to, &low) == 0);
    EXPECT(m, low == to);
    /* the checkpoint of log starts is written before the answer */
    m->start = to;
}

static void step(struct model *m)
{
    uint64_t what = rng_below(&m->r.rng, 100);
    if (what < 55)
        append_one(m);
    else if (what < 80)
        rig_step(&m->r);
    else if (what < 90)
        read_one(m);
    else if (what < 92)
        rig_settle(&m->r);
    else if (what < 93)
        rig_sleep(&m->r, (int64_t)rng_below(&m->r.rng, 100000));
    else if (what < 95)
        delete_some(m);
    else if (what < 97 && !m->r.sim.dead) {
        int err = rig_close(&m->r, m->p);
        collect_acks(m);
        if (m->r.sim.dead) {
            rig_crash(&m->r, NULL, SIM_PROCESS_DEATH);
        } else {
            EXPECT(m, err == 0);
            m->clean = true;
        }
        open_plog(m);
    } else if (what < 98) {
        crash(m);
    } else if (!m->r.sim.dead) {
        io_sim_crash_at(&m->r.sim, 1 + rng_below(&m->r.rng, 40),
                        m->r.env.durability == PLOG_FSYNC && rng_below(&m->r.rng, 2)
                            ? SIM_POWER_CUT
                            : SIM_PROCESS_DEATH);
    }
    collect_acks(m);
    if (m->r.sim.dead && rng_below(&m->r.rng, 4) == 0)
        crash(m);
}

static uint32_t run_model(uint64_t seed, enum plog_durability durability, bool named,
                          uint32_t steps)
{
    static struct model m;
    m = (struct model){0};
    for (uint32_t i = 0; i < model_ops_max; i++)
        m.op_end[i] = -1;
    rig_up(&m.r, seed, 8 + (uint32_t)(seed % 3) * 8, durability);
    if (named)
        rig_use_named(&m.r);
    m.r.config.segment_bytes = 20000 + (int64_t)rng_below(&m.r.rng, 400000);
    m.r.config.index_interval_bytes = (int64_t)rng_below(&m.r.rng, 8192);
    m.r.config.file_delete_delay_ms = 1000;
    m.one_in = seed % 4 ? 10 : 1;
    m.r.env.retention_check_ms = 500;
    open_plog(&m);
    for (uint32_t i = 0; i < steps && m.failures == 0; i++)
        step(&m);
    if (m.r.sim.dead)
        crash(&m);
    m.r.sim.die_at = 0;
    EXPECT(&m, rig_close(&m.r, m.p) == 0);
    collect_acks(&m);
    m.clean = true;
    open_plog(&m);
    EXPECT(&m, rig_nothing_lent(&m.r));
    EXPECT(&m, rig_close(&m.r, m.p) == 0);
    struct cache_stats stats;
    cache_stats(m.r.cache, &stats);
    EXPECT(&m, stats.free == stats.chunks && stats.lent == 0);
    for (uint32_t i = 0; i < m.count; i++)
        free(m.batches[i].bytes);
    rig_down(&m.r);
    if (m.failures)
        printf("failing seed %llu\n", (unsigned long long)seed);
    return m.failures;
}

static void run_seeds(enum plog_durability durability, bool named)
{
    const char *count = getenv("SLUICE_TEST_RUNS");
    uint64_t runs = count ? strtoull(count, NULL, 0) : 12;
    for (uint64_t i = 0; i < runs; i++)
        CU_ASSERT_EQUAL_FATAL(run_model(unit_seed() + i, durability, named, 400), 0);
}

static void test_model_fsync(void)
{
    run_seeds(PLOG_FSYNC, false);
}

static void test_model_os(void)
{
    run_seeds(PLOG_OS, false);
}

static void test_model_named(void)
{
    run_seeds(PLOG_OS, true);
}

UNIT_MAIN("plog/model", UNIT_CASE(test_model_fsync), UNIT_CASE(test_model_os),
          UNIT_CASE(test_model_named))

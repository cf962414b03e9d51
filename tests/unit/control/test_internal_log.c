#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/kerr.h"
#include "control/internal_log.h"
#include "tests/unit/control/rig.h"

#define answers_max 4096

struct probe {
    struct internal_log log;
    uint32_t answers;
    uint64_t tags[answers_max];
    int16_t errors[answers_max];
    int64_t bases[answers_max];
    /* of a load */
    bool loaded;
    struct internal_load_result result;
    uint32_t records;
    int64_t first, last;
    uint64_t sum; /* of the numbers in the keys */
    uint32_t corrupt;
};

static void on_appended(void *ctx, uint64_t tag, int16_t kerr, int64_t base, uint32_t bytes)
{
    struct probe *p = ctx;
    CU_ASSERT_TRUE(bytes > 0);
    if (p->answers < answers_max) {
        p->tags[p->answers] = tag;
        p->errors[p->answers] = kerr;
        p->bases[p->answers] = base;
    }
    p->answers++;
}

static int on_record(void *ctx, const struct record_view *r)
{
    struct probe *p = ctx;
    uint64_t number;
    CU_ASSERT_EQUAL_FATAL(r->item.key_len, sizeof(number));
    memcpy(&number, r->item.key, sizeof(number));
    if (p->records++ == 0)
        p->first = r->offset;
    else
        CU_ASSERT_EQUAL(r->offset, p->last + 1);
    p->last = r->offset;
    p->sum += number;
    return 0;
}

static int on_marker(void *ctx, int64_t producer_id, bool commit)
{
    (void)ctx;
    (void)producer_id;
    (void)commit;
    CU_FAIL("there are no transactions here");
    return 0;
}

static void on_corrupt(void *ctx, int64_t offset, const char *what)
{
    struct probe *p = ctx;
    (void)offset;
    (void)what;
    p->corrupt++;
}

static void on_loaded(void *ctx, const struct internal_load_result *result)
{
    struct probe *p = ctx;
    CU_ASSERT_FALSE(p->loaded);
    p->loaded = true;
    p->result = *result;
}

static void probe_open(struct probe *p, struct rig *r, const char *topic, int32_t partition)
{
    memset(p, 0, sizeof(*p));
    internal_log_init(&p->log, &r->control, &rig_topic(r, topic)->id, partition);
    p->log.ctx = p;
    p->log.appended = on_appended;
}

/* `records` records in one batch, the first with this number, values of value_len bytes. */
static int append(struct probe *p, uint64_t number, uint32_t records, uint32_t value_len)
{
    static uint8_t value[600000];
    uint64_t keys[64];
    struct record_item items[64];
    for (uint32_t i = 0; i < records; i++) {
        keys[i] = number + i;
        items[i] = (struct record_item){(const uint8_t *)&keys[i], 8, value, value_len};
    }
    return internal_log_append(&p->log, items, records, 1700000000000, number);
}

static void load(struct probe *p, struct rig *r, uint32_t piece)
{
    const struct record_visitor v = {p, on_record, on_marker, on_corrupt};
    p->loaded = false;
    p->records = p->corrupt = 0;
    p->sum = 0;
    CU_ASSERT_EQUAL_FATAL(internal_log_load(&p->log, piece, &v, on_loaded), 0);
    CU_ASSERT_TRUE(internal_log_busy(&p->log));
    CU_ASSERT_FALSE(p->loaded);
    rig_settle(r);
    CU_ASSERT_TRUE_FATAL(p->loaded);
    CU_ASSERT_FALSE(internal_log_busy(&p->log));
}

static void start(struct rig *r)
{
    rig_make(r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(r), 0);
    CU_ASSERT_EQUAL_FATAL(rig_create(r, "inner", 4), 0);
}

static void finish(struct rig *r)
{
    CU_ASSERT_TRUE(rig_stop(r));
    rig_free(r);
}

static void what_is_appended_is_answered_and_replayed_in_order(void)
{
    struct rig r;
    static struct probe p;
    start(&r);
    probe_open(&p, &r, "inner", 2);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 300; i++) {
        uint32_t n = 1 + (uint32_t)i % 5;
        CU_ASSERT_EQUAL(append(&p, 1000 * i, n, 100), 0);
        for (uint32_t k = 0; k < n; k++)
            sum += 1000 * i + k;
    }
    CU_ASSERT_TRUE(p.log.with_shard <= internal_log_window_max);
    CU_ASSERT_EQUAL(p.answers, 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL_FATAL(p.answers, 300);
    int64_t next = 0;
    for (uint64_t i = 0; i < 300; i++) {
        CU_ASSERT_EQUAL(p.tags[i], 1000 * i);
        CU_ASSERT_EQUAL(p.errors[i], 0);
        CU_ASSERT_EQUAL(p.bases[i], next);
        next += 1 + (int64_t)i % 5;
    }
    /* pieces smaller than a batch, of some batches, and one for all */
    for (uint32_t piece = 64; piece <= 1 << 20; piece <<= 4) {
        load(&p, &r, piece);
        CU_ASSERT_EQUAL(p.result.err, 0);
        CU_ASSERT_EQUAL(p.result.end, next);
        CU_ASSERT_EQUAL(p.records, next);
        CU_ASSERT_EQUAL(p.sum, sum);
        CU_ASSERT_EQUAL(p.corrupt, 0);
    }
    finish(&r);
}

static void an_empty_log_is_loaded_at_once(void)
{
    struct rig r;
    static struct probe p;
    start(&r);
    probe_open(&p, &r, "inner", 0);
    load(&p, &r, 65536);
    CU_ASSERT_EQUAL(p.result.err, 0);
    CU_ASSERT_EQUAL(p.records, 0);
    finish(&r);
}

/* More than the shard's log memory holds: appends wait for it, in order. */
static void order_holds_without_log_memory(void)
{
    struct rig r;
    static struct probe p;
    start(&r);
    probe_open(&p, &r, "inner", 1);
    for (uint64_t i = 0; i < 40; i++)
        CU_ASSERT_EQUAL(append(&p, i, 1, 500000), 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL_FATAL(p.answers, 40);
    for (uint64_t i = 0; i < 40; i++) {
        CU_ASSERT_EQUAL(p.tags[i], i);
        CU_ASSERT_EQUAL(p.errors[i], 0);
        CU_ASSERT_EQUAL(p.bases[i], (int64_t)i);
    }
    load(&p, &r, 100000);
    CU_ASSERT_EQUAL(p.records, 40);
    finish(&r);
}

static void limits_hold(void)
{
    struct rig r;
    static struct probe p;
    start(&r);
    probe_open(&p, &r, "inner", 1);
    CU_ASSERT_EQUAL(append(&p, 1, 4, 600000), ERR_TOO_LARGE); /* internal_batch_bytes_max */
    uint64_t taken = 0;
    int err = 0;
    while (err == 0)
        if ((err = append(&p, taken, 1, 600000)) == 0)
            taken++;
    CU_ASSERT_EQUAL(err, ERR_FULL);
    CU_ASSERT_TRUE(p.log.queued_bytes <= internal_log_bytes_max);
    CU_ASSERT_TRUE(p.log.queued_bytes + 700000 > internal_log_bytes_max);
    internal_log_discard(&p.log);
    rig_settle(&r);
    CU_ASSERT_EQUAL(p.answers, internal_log_window_max); /* what was on its way */
    CU_ASSERT_EQUAL(p.log.queued_bytes, 0);
    CU_ASSERT_EQUAL(append(&p, 7, 1, 10), 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL(p.tags[p.answers - 1], 7);
    finish(&r);
}

static void a_topic_that_is_not_there_answers(void)
{
    struct rig r;
    static struct probe p;
    const struct record_visitor v = {&p, on_record, on_marker, on_corrupt};
    start(&r);
    probe_open(&p, &r, "inner", 99);
    CU_ASSERT_EQUAL(append(&p, 1, 1, 10), 0);
    CU_ASSERT_EQUAL(p.answers, 1);
    CU_ASSERT_EQUAL(p.errors[0], KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(internal_log_load(&p.log, 1000, &v, on_loaded), ERR_NOT_FOUND);
    probe_open(&p, &r, "inner", 0);
    CU_ASSERT_EQUAL(rig_delete(&r, "inner"), 0);
    CU_ASSERT_EQUAL(append(&p, 1, 1, 10), 0);
    CU_ASSERT_EQUAL(p.errors[0], KERR_UNKNOWN_TOPIC_OR_PARTITION);
    finish(&r);
}

/* A deletion waits for the appends under way, and those behind it are refused. */
static void deletion_under_appends(void)
{
    struct rig r;
    static struct probe p;
    start(&r);
    probe_open(&p, &r, "inner", 3);
    for (uint64_t i = 0; i < 200; i++)
        CU_ASSERT_EQUAL(append(&p, i, 1, 1000), 0);
    CU_ASSERT_EQUAL(rig_delete(&r, "inner"), 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL_FATAL(p.answers, 200);
    bool refused = false;
    for (uint32_t i = 0; i < 200; i++) {
        CU_ASSERT_TRUE(!refused || p.errors[i] != 0);
        refused |= p.errors[i] != 0;
    }
    CU_ASSERT_TRUE(refused);
    CU_ASSERT_FALSE(internal_log_busy(&p.log));
    finish(&r);
}

static void a_failing_disk_answers_all(void)
{
    struct rig r;
    static struct probe p;
    start(&r);
    probe_open(&p, &r, "inner", 0);
    CU_ASSERT_EQUAL(append(&p, 1, 1, 10), 0);
    rig_settle(&r);
    for (uint64_t i = 2; i < 100; i++)
        CU_ASSERT_EQUAL(append(&p, i, 1, 10), 0);
    io_sim_crash(&r.sim, SIM_POWER_CUT);
    rig_settle(&r);
    CU_ASSERT_EQUAL_FATAL(p.answers, 99);
    CU_ASSERT_EQUAL(p.errors[0], 0);
    for (uint32_t i = 1; i < 99; i++) {
        CU_ASSERT_EQUAL(p.tags[i], i + 1);
        CU_ASSERT_EQUAL(p.errors[i], KERR_KAFKA_STORAGE_ERROR);
    }
    rig_crash(&r, SIM_POWER_CUT);
    rig_free(&r);
}

/* Whenever the power goes: what was answered is there, and what is there is a prefix. */
static void a_crash_loses_nothing_that_was_answered(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 30; round++) {
        struct rig r;
        static struct probe p;
        rig_make(&r, unit_seed() + (uint64_t)round);
        CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
        CU_ASSERT_EQUAL_FATAL(rig_create(&r, "inner", 1), 0);
        probe_open(&p, &r, "inner", 0);
        for (uint64_t i = 0; i < 100; i++)
            append(&p, i, 1, (uint32_t)rng_below(&rng, 3000));
        uint64_t steps = rng_below(&rng, 60);
        for (uint64_t i = 0; i < steps; i++)
            rig_step(&r);
        uint32_t answered = 0;
        while (answered < p.answers && p.errors[answered] == 0)
            answered++;
        io_sim_crash(&r.sim, round % 2 ? SIM_POWER_CUT : SIM_PROCESS_DEATH);
        internal_log_discard(&p.log);
        rig_crash(&r, SIM_POWER_CUT);
        CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
        probe_open(&p, &r, "inner", 0);
        load(&p, &r, 4096);
        CU_ASSERT_EQUAL(p.result.err, 0);
        CU_ASSERT_TRUE(p.records >= answered);
        CU_ASSERT_EQUAL(p.sum, (uint64_t)p.records * (p.records ? p.records - 1 : 0) / 2);
        finish(&r);
    }
}

static void a_prefix_goes(void)
{
    struct rig r;
    static struct probe p;
    start(&r);
    probe_open(&p, &r, "inner", 0);
    for (uint64_t i = 0; i < 50; i++)
        CU_ASSERT_EQUAL(append(&p, i, 2, 100), 0);
    rig_settle(&r);
    internal_log_drop_before(&p.log, 40);
    rig_settle(&r);
    load(&p, &r, 1000);
    CU_ASSERT_EQUAL(p.result.log_start, 40);
    CU_ASSERT_EQUAL(p.first, 40);
    CU_ASSERT_EQUAL(p.records, 60);
    internal_log_drop_before(&p.log, 30); /* never back */
    internal_log_drop_before(&p.log, INT64_MAX);
    rig_settle(&r);
    load(&p, &r, 1000);
    CU_ASSERT_EQUAL(p.result.log_start, 100);
    CU_ASSERT_EQUAL(p.records, 0);
    finish(&r);
}

UNIT_MAIN("control/internal_log", UNIT_CASE(what_is_appended_is_answered_and_replayed_in_order),
          UNIT_CASE(an_empty_log_is_loaded_at_once), UNIT_CASE(order_holds_without_log_memory),
          UNIT_CASE(limits_hold), UNIT_CASE(a_topic_that_is_not_there_answers),
          UNIT_CASE(deletion_under_appends), UNIT_CASE(a_failing_disk_answers_all),
          UNIT_CASE(a_crash_loses_nothing_that_was_answered), UNIT_CASE(a_prefix_goes))

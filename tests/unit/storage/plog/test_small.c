/* The pure parts: epochs, indexes, checkpoints. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "storage/io/sim.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/epochs.h"
#include "storage/plog/index.h"
#include "tests/unit/unit.h"

static void expect_end(const struct epochs *e, int32_t epoch, int32_t found, int64_t end)
{
    int32_t f;
    int64_t at;
    epochs_end(e, epoch, 500, &f, &at);
    CU_ASSERT_EQUAL(f, found);
    CU_ASSERT_EQUAL(at, end);
}

static void test_epochs(void)
{
    struct epochs e = {0};
    bool changed;
    CU_ASSERT_EQUAL(epochs_latest(&e), -1);
    expect_end(&e, 0, -1, -1);
    CU_ASSERT_EQUAL(epochs_assign(&e, 2, 10, &changed), 0);
    CU_ASSERT_TRUE(changed);
    CU_ASSERT_EQUAL(epochs_assign(&e, 2, 30, &changed), 0);
    CU_ASSERT_FALSE(changed);
    CU_ASSERT_EQUAL(epochs_assign(&e, 4, 100, NULL), 0);
    CU_ASSERT_EQUAL(epochs_assign(&e, 7, 200, NULL), 0);
    expect_end(&e, -1, -1, -1);
    expect_end(&e, 1, 1, 10);
    expect_end(&e, 2, 2, 100);
    expect_end(&e, 3, 2, 100);
    expect_end(&e, 4, 4, 200);
    expect_end(&e, 6, 4, 200);
    expect_end(&e, 7, 7, 500);
    expect_end(&e, 8, -1, -1);
    CU_ASSERT_EQUAL(epochs_at(&e, 9), -1);
    CU_ASSERT_EQUAL(epochs_at(&e, 10), 2);
    CU_ASSERT_EQUAL(epochs_at(&e, 199), 4);
    CU_ASSERT_EQUAL(epochs_at(&e, 1000), 7);
    /* an entry that begins where a later one did takes its place */
    CU_ASSERT_EQUAL(epochs_assign(&e, 9, 200, &changed), 0);
    CU_ASSERT_EQUAL(e.count, 3);
    expect_end(&e, 4, 4, 200);
    CU_ASSERT_TRUE(epochs_truncate_start(&e, 150));
    CU_ASSERT_FALSE(epochs_truncate_start(&e, 150));
    CU_ASSERT_EQUAL(epochs_at(&e, 149), -1);
    CU_ASSERT_EQUAL(epochs_at(&e, 150), 4);
    CU_ASSERT_FALSE(epochs_truncate_end(&e, 201));
    CU_ASSERT_TRUE(epochs_truncate_end(&e, 200));
    CU_ASSERT_EQUAL(epochs_latest(&e), 4);
    epochs_free(&e);
}

static void test_epochs_text(void)
{
    struct epochs e = {0}, f = {0};
    size_t n;
    CU_ASSERT_EQUAL(epochs_assign(&e, 0, 0, NULL), 0);
    CU_ASSERT_EQUAL(epochs_assign(&e, 3, 9876543210LL, NULL), 0);
    char *text = epochs_format(&e, &n);
    CU_ASSERT_EQUAL(strlen("0\n2\n0 0\n3 9876543210\n"), n);
    CU_ASSERT_EQUAL(memcmp(text, "0\n2\n0 0\n3 9876543210\n", n), 0);
    CU_ASSERT_EQUAL(epochs_parse(&f, text, n), 0);
    CU_ASSERT_EQUAL(f.count, 2);
    CU_ASSERT_EQUAL(f.entries[1].start, 9876543210LL);
    free(text);
    static const char *const bad[] = {"",
                                      "1\n0\n",
                                      "0\n",
                                      "0\n1\n",
                                      "0\nx\n",
                                      "0\n1\n1\n",
                                      "0\n1\n1 2 3\n",
                                      "0\n1\n-1 2\n",
                                      "0\n1\n1 -2\n",
                                      "0\n1\n1 2\n3 4\n",
                                      "0\n1\n99999999999 1\n",
                                      "0\n1\n1 99999999999999999999\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(epochs_parse(&f, bad[i], strlen(bad[i])), ERR_CORRUPT);
    }
    epochs_free(&e);
    epochs_free(&f);
}

/* Against a plain search. */
static void test_indexes(void)
{
    enum { entries = 200 };
    uint8_t a[entries * offset_index_entry_bytes], b[entries * time_index_entry_bytes];
    struct index offsets = {a, 0, entries}, times = {b, 0, entries};
    struct rng rng;
    rng_seed(&rng, unit_seed());
    uint32_t relative = 0, position = 0, found;
    CU_ASSERT_EQUAL(offset_index_lookup(&offsets, 5), 0);
    CU_ASSERT_FALSE(time_index_lookup(&times, 5, &found));
    for (int i = 0; i < entries; i++) {
        relative += 1 + (uint32_t)rng_below(&rng, 50);
        position += 61 + (uint32_t)rng_below(&rng, 9000);
        CU_ASSERT_EQUAL(offset_index_full(&offsets), false);
        offset_index_add(&offsets, relative, position);
        time_index_add(&times, 1000 + relative * 10, relative);
        time_index_add(&times, 1000 + relative * 10, relative + 1); /* not larger: left out */
    }
    CU_ASSERT_TRUE(offset_index_full(&offsets));
    CU_ASSERT_TRUE(time_index_full(&times));
    CU_ASSERT_EQUAL(times.entries, entries);
    CU_ASSERT_TRUE(offset_index_sane(&offsets, position + 1));
    CU_ASSERT_FALSE(offset_index_sane(&offsets, position));
    CU_ASSERT_TRUE(time_index_sane(&times));
    for (uint32_t target = 0; target < relative + 10; target++) {
        uint32_t want = 0, at = 0;
        bool any = false;
        for (uint32_t i = 0; i < entries && offset_index_relative(&offsets, i) <= target; i++)
            want = offset_index_position(&offsets, i), at = offset_index_relative(&offsets, i),
            any = true;
        CU_ASSERT_EQUAL(offset_index_lookup(&offsets, target), want);
        CU_ASSERT_EQUAL(time_index_lookup(&times, 1000 + target * 10, &found), any);
        if (any)
            CU_ASSERT_EQUAL(found, at);
    }
    uint32_t before = offsets.entries;
    offset_index_add(&offsets, relative + 1, position + 1); /* full: nothing happens */
    CU_ASSERT_EQUAL(offsets.entries, before);
    bytes_put_u32(a + 8 * 7, 3);
    CU_ASSERT_FALSE(offset_index_sane(&offsets, position + 1));
}

static void test_checkpoint_files(void)
{
    struct io_sim sim;
    struct checkpoint c = {0}, d;
    char name[topic_name_bytes_max + 2];
    io_sim_init(&sim, 1);
    CU_ASSERT_EQUAL(sim.fs.ops->mkdir(&sim.fs, "/d"), 0);
    CU_ASSERT_EQUAL(checkpoint_read(&sim.fs, "/d", CHECKPOINT_LOG_START, &d), 0); /* none: empty */
    CU_ASSERT_EQUAL(d.count, 0);
    memset(name, 'n', sizeof(name));
    CU_ASSERT_EQUAL(checkpoint_add(&c, (struct str){name, topic_name_bytes_max}, 7, INT64_MAX), 0);
    CU_ASSERT_EQUAL(checkpoint_add(&c, (struct str){name, topic_name_bytes_max + 1}, 7, 1),
                    ERR_TOO_LARGE);
    for (int i = 0; i < 300; i++)
        CU_ASSERT_EQUAL(checkpoint_add(&c, i % 2 ? STR("a.b") : STR("a_b"), 299 - i, i * 3), 0);
    CU_ASSERT_EQUAL(checkpoint_write(&sim.fs, "/d", CHECKPOINT_LOG_START, &c), 0);
    CU_ASSERT_EQUAL(checkpoint_read(&sim.fs, "/d", CHECKPOINT_LOG_START, &d), 0);
    CU_ASSERT_EQUAL(d.count, 301);
    CU_ASSERT_EQUAL(checkpoint_find(&d, (struct str){name, topic_name_bytes_max}, 7), INT64_MAX);
    for (int i = 0; i < 300; i++) {
        CU_ASSERT_EQUAL(checkpoint_find(&d, i % 2 ? STR("a.b") : STR("a_b"), 299 - i), i * 3);
        CU_ASSERT_EQUAL(checkpoint_find(&d, i % 2 ? STR("a_b") : STR("a.b"), 299 - i), -1);
    }
    checkpoint_free(&d);
    checkpoint_free(&c);
    io_sim_free(&sim);
}

/* A crash while a checkpoint is replaced leaves the old one or the new one. */
static void test_checkpoint_is_atomic(void)
{
    int old = 0, new = 0;
    for (uint64_t seed = 0; seed < 120; seed++) {
        struct io_sim sim;
        struct checkpoint c = {0}, d;
        io_sim_init(&sim, seed);
        CU_ASSERT_EQUAL(sim.fs.ops->mkdir(&sim.fs, "/d"), 0);
        CU_ASSERT_EQUAL(checkpoint_add(&c, STR("t"), 0, 1), 0);
        CU_ASSERT_EQUAL(checkpoint_write(&sim.fs, "/d", CHECKPOINT_RECOVERY_POINT, &c), 0);
        c.entries[0].offset = 2;
        io_sim_crash_at(&sim, 1 + seed % 6, SIM_POWER_CUT);
        int err = checkpoint_write(&sim.fs, "/d", CHECKPOINT_RECOVERY_POINT, &c);
        if (sim.dead)
            io_sim_revive(&sim);
        sim.die_at = 0;
        CU_ASSERT_EQUAL_FATAL(checkpoint_read(&sim.fs, "/d", CHECKPOINT_RECOVERY_POINT, &d), 0);
        int64_t found = checkpoint_find(&d, STR("t"), 0);
        CU_ASSERT(found == 1 || found == 2);
        if (err == 0)
            CU_ASSERT_EQUAL(found, 2);
        old += found == 1;
        new += found == 2;
        checkpoint_free(&c);
        checkpoint_free(&d);
        io_sim_free(&sim);
    }
    CU_ASSERT(old > 0 && new > 0);
}

static void test_checkpoint_text(void)
{
    static const char *const bad[] = {
        "1\n0\n",     "0\n1\n",        "0\n1\nt 0\n", "0\n1\nt x 1\n",          "0\n1\nt -1 1\n",
        "0\n1\n t\n", "0\n0\nt 0 1\n", "x",           "0\n99999999999\nt 0 1\n"};
    struct io_sim sim;
    struct checkpoint d;
    io_sim_init(&sim, 1);
    CU_ASSERT_EQUAL(sim.fs.ops->mkdir(&sim.fs, "/d"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(file_replace(&sim.fs, "/d", CHECKPOINT_CLEANER, bad[i], strlen(bad[i])), 0);
        CU_ASSERT_EQUAL(checkpoint_read(&sim.fs, "/d", CHECKPOINT_CLEANER, &d), ERR_CORRUPT);
    }
    /* as Kafka writes it */
    const char *good = "0\n2\nquickstart-events 0 15\n__consumer_offsets 49 0\n";
    CU_ASSERT_EQUAL(file_replace(&sim.fs, "/d", CHECKPOINT_CLEANER, good, strlen(good)), 0);
    CU_ASSERT_EQUAL(checkpoint_read(&sim.fs, "/d", CHECKPOINT_CLEANER, &d), 0);
    CU_ASSERT_EQUAL(checkpoint_find(&d, STR("quickstart-events"), 0), 15);
    CU_ASSERT_EQUAL(checkpoint_find(&d, STR("__consumer_offsets"), 49), 0);
    checkpoint_free(&d);
    io_sim_free(&sim);
}

UNIT_MAIN("plog/small", UNIT_CASE(test_epochs), UNIT_CASE(test_epochs_text),
          UNIT_CASE(test_indexes), UNIT_CASE(test_checkpoint_files),
          UNIT_CASE(test_checkpoint_is_atomic), UNIT_CASE(test_checkpoint_text))

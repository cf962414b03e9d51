/* The journal of a shard: its bytes, its ring, and what a start finds in it. */
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/rng.h"
#include "storage/io/sim.h"
#include "storage/journal/journal.h"
#include "storage/journal/scan.h"
#include "tests/unit/unit.h"

#define log_count   3
#define ring_blocks 32
#define image_bytes (ring_blocks * journal_block_bytes)

static struct io_sim sim;
static struct rng rng;
static struct journal *journal;
static const struct uuid dir = {{1, 2, 3}};

/* A log whose byte at position n is a function of log and n. */
static struct item {
    struct journal_log log; /* first */
    uint32_t number;
    uint32_t moves, failures;
} items[log_count];

static uint8_t byte_at(uint32_t number, uint32_t position)
{
    return (uint8_t)(position * 7 + number * 31 + (position >> 8) + 1);
}

static void on_copy(struct journal_log *log, const struct journal_frame *f, uint8_t *dst)
{
    for (uint32_t i = 0; i < f->bytes; i++)
        dst[i] = byte_at(((struct item *)log)->number, f->position + i);
}

static void on_moved(struct journal_log *log)
{
    ((struct item *)log)->moves++;
}

static void on_failed(struct journal_log *log, int err)
{
    CU_ASSERT_EQUAL(err, sim.dead ? ERR_CANCELLED : ERR_IO);
    ((struct item *)log)->failures++;
}

static struct journal_options options(uint64_t life)
{
    return (struct journal_options){.fs = &sim.fs,
                                    .io = &sim.io,
                                    .log_dir = "/data",
                                    .dir = dir,
                                    .shard = 3,
                                    .bytes = image_bytes,
                                    .life = life};
}

static void logs_reset(void)
{
    for (uint32_t i = 0; i < log_count; i++)
        items[i] = (struct item){
            .log = {.journal = journal, .copy = on_copy, .moved = on_moved, .failed = on_failed},
            .number = i};
}

static void up(void)
{
    rng_seed(&rng, unit_seed());
    io_sim_init(&sim, unit_seed());
    CU_ASSERT_EQUAL_FATAL(sim.fs.ops->mkdir(&sim.fs, "/data"), 0);
    struct journal_options o = options(77);
    CU_ASSERT_EQUAL_FATAL(journal_make(&journal, &o), 0);
    logs_reset();
}

static void down(void)
{
    while (io_sim_step(&sim))
        ;
    journal_free(journal);
    io_sim_free(&sim);
}

static bool add(uint32_t i, uint32_t bytes)
{
    struct journal_log *log = &items[i].log;
    struct journal_frame f = {.topic_id = {{(uint8_t)(i + 1)}},
                              .base = 1000,
                              .partition = (int32_t)i,
                              .leader_epoch = 4,
                              .position = (uint32_t)log->submitted,
                              .bytes = bytes};
    return journal_add(journal, log, &f, log->submitted + bytes);
}

/* A commit with a piece of each log. */
static enum journal_begin commit(uint32_t bytes)
{
    enum journal_begin how = journal_begin(journal);
    if (how != JOURNAL_BEGUN)
        return how;
    for (uint32_t i = 0; i < log_count; i++)
        CU_ASSERT_TRUE(add(i, bytes));
    journal_commit(journal);
    return how;
}

static void finish(void)
{
    while (io_sim_step(&sim))
        ;
}

static void load(uint8_t *image)
{
    struct io_file *file;
    CU_ASSERT_EQUAL_FATAL(sim.fs.ops->open(&sim.fs, "/data/sluice-journal-3", IO_OPEN_READ, &file),
                          0);
    CU_ASSERT_EQUAL(sim.fs.ops->pread(&sim.fs, file, image, image_bytes, 0), image_bytes);
    sim.fs.ops->close(&sim.fs, file);
}

/* ---- what a scan finds ---- */

static struct found {
    struct journal_scan scan; /* first */
    uint32_t end[log_count];  /* of the last frame */
    uint32_t holes, wrong;
    uint32_t pieces; /* of left_log: a bit for each */
} found;

/* The log that leaves in some tests, with pieces of 100 bytes that may come in any order and twice. */
#define left_log   2
#define left_bytes 100
static bool has_left;

static int on_frame(struct journal_scan *s, const struct journal_frame *f, const uint8_t *data,
                    uint64_t at)
{
    struct found *x = (struct found *)s;
    uint32_t i = (uint32_t)f->partition;
    if (i >= log_count || f->base != 1000 || f->leader_epoch != 4 || f->topic_id.b[0] != i + 1) {
        x->wrong++;
        return 0;
    }
    if (has_left && i == left_log)
        x->pieces |= 1u << f->position / left_bytes;
    else
        x->holes += x->end[i] != 0 && x->end[i] != f->position;
    x->end[i] = f->position + f->bytes;
    for (uint32_t k = 0; k < f->bytes; k++)
        x->wrong += data[k] != byte_at(i, f->position + k);
    return 0;
}

static void on_damage(struct journal_scan *s, const struct journal_frame *f, uint64_t at)
{
}

static void scan(const uint8_t *image)
{
    struct journal_head h;
    found = (struct found){.scan = {.frame = on_frame, .damage = on_damage}};
    CU_ASSERT_EQUAL_FATAL(journal_head_get(image, &h), 0);
    CU_ASSERT_EQUAL(journal_scan(&found.scan, image, image_bytes, &h), 0);
    CU_ASSERT_EQUAL(found.wrong, 0);
}

/* ---- tests ---- */

static void test_names(void)
{
    char name[journal_name_bytes_max];
    uint32_t shard;
    journal_name(63, name);
    CU_ASSERT_STRING_EQUAL(name, "sluice-journal-63");
    CU_ASSERT_TRUE(journal_name_parse(name, &shard));
    CU_ASSERT_EQUAL(shard, 63);
    static const char *const others[] = {"sluice-journal-",
                                         "sluice-journal-x",
                                         "sluice-journal-01",
                                         "sluice-journal-1.tmp",
                                         "orders-0",
                                         "",
                                         "sluice-journal-99999999999999999999999"};
    for (uint32_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CU_ASSERT_FALSE(journal_name_parse(others[i], &shard));
    for (uint32_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CU_ASSERT_EQUAL(journal_is_unfinished(others[i]), i == 3);
    journal_name_unfinished(1, name);
    CU_ASSERT_STRING_EQUAL(name, others[3]);
}

static void test_head(void)
{
    uint8_t p[journal_head_bytes] = {0};
    struct journal_head h = {.dir = dir, .shard = 5, .blocks = 100, .life = 9}, back;
    CU_ASSERT_EQUAL(journal_head_get(p, &back), ERR_CORRUPT);
    journal_head_put(p, &h);
    CU_ASSERT_EQUAL(journal_head_get(p, &back), 0);
    CU_ASSERT_TRUE(uuid_eq(&back.dir, &dir) && back.shard == 5 && back.blocks == 100 &&
                   back.life == 9);
    for (uint32_t bit = 0; bit < journal_head_bytes * 8; bit++) {
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_EQUAL(journal_head_get(p, &back), ERR_CORRUPT);
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_commit_and_scan(void)
{
    static uint8_t image[image_bytes];
    up();
    CU_ASSERT_EQUAL(commit(100), JOURNAL_BEGUN);
    CU_ASSERT_EQUAL(items[0].log.durable, 0);
    CU_ASSERT_EQUAL(items[0].log.submitted, 100);
    finish();
    CU_ASSERT_EQUAL(items[0].log.durable, 100);
    CU_ASSERT_EQUAL(items[2].moves, 1);
    commit(3000);
    finish();
    load(image);
    scan(image);
    CU_ASSERT_EQUAL(found.scan.frames, 2 * log_count);
    CU_ASSERT_EQUAL(found.end[1], 3100);
    CU_ASSERT_EQUAL(found.scan.damaged, 0);
    down();
}

/* Commits that end in another order count in theirs. */
static void test_order(void)
{
    up();
    for (uint32_t i = 0; i < journal_writes_max; i++)
        CU_ASSERT_EQUAL(commit(50), JOURNAL_BEGUN);
    CU_ASSERT_EQUAL(commit(50), JOURNAL_BUSY);
    uint64_t last = 0;
    struct journal_stats stats;
    while (io_sim_step(&sim)) {
        CU_ASSERT_TRUE(items[0].log.durable >= last && items[0].log.durable % 50 == 0);
        last = items[0].log.durable;
    }
    CU_ASSERT_EQUAL(last, 50 * journal_writes_max);
    journal_stats(journal, &stats);
    CU_ASSERT_EQUAL(stats.written, journal_writes_max);
    down();
}

/* The ring goes round many times; what is in it alone is found each time, and nothing older. */
static void test_laps(void)
{
    static uint8_t image[image_bytes];
    uint64_t written[log_count] = {0};
    up();
    for (uint32_t round = 0; round < 400; round++) {
        enum journal_begin how = commit(1 + (uint32_t)rng_below(&rng, 2500));
        finish();
        CU_ASSERT_TRUE(how != JOURNAL_FAILED);
        if (how == JOURNAL_FULL || rng_below(&rng, 3) == 0) {
            for (uint32_t i = 0; i < log_count; i++) {
                written[i] = items[i].log.durable;
                journal_written(&items[i].log, written[i]);
            }
        }
        load(image);
        scan(image);
        CU_ASSERT_EQUAL(found.scan.damaged, 0);
        CU_ASSERT_EQUAL(found.holes, 0);
        for (uint32_t i = 0; i < log_count; i++)
            CU_ASSERT_TRUE(written[i] == items[i].log.durable ||
                           found.end[i] == items[i].log.durable);
    }
    struct journal_stats stats;
    journal_stats(journal, &stats);
    CU_ASSERT_TRUE(stats.written > 100);
    down();
}

/* Full, until the segments have what is in it; half full it asks for that. */
static void test_full(void)
{
    up();
    uint32_t n = 0;
    enum journal_begin how;
    while ((how = commit(1000)) == JOURNAL_BEGUN) {
        finish();
        CU_ASSERT_TRUE_FATAL(++n < ring_blocks);
    }
    CU_ASSERT_EQUAL(how, JOURNAL_FULL);
    CU_ASSERT_TRUE(journal_pressed(journal) > journal_oldest(&items[0].log));
    for (uint32_t i = 0; i < log_count; i++)
        journal_written(&items[i].log, items[i].log.durable);
    CU_ASSERT_EQUAL(journal_oldest(&items[0].log), UINT64_MAX);
    CU_ASSERT_EQUAL(commit(1000), JOURNAL_FULL); /* the medium does not say yet that it is free */
    finish();
    CU_ASSERT_EQUAL(commit(1000), JOURNAL_BEGUN);
    down();
}

/* A piece that is larger than any commit, and one more than fits. */
static void test_limits(void)
{
    up();
    CU_ASSERT_EQUAL_FATAL(journal_begin(journal), JOURNAL_BEGUN);
    uint32_t most = journal_piece_max(journal);
    CU_ASSERT_FALSE(add(0, most + 1));
    CU_ASSERT_TRUE(add(0, most));
    CU_ASSERT_FALSE(add(1, 1));
    journal_commit(journal);
    finish();
    CU_ASSERT_EQUAL(items[0].log.durable, most);
    CU_ASSERT_EQUAL(journal_begin(journal), JOURNAL_BEGUN);
    journal_commit(journal); /* of nothing */
    CU_ASSERT_EQUAL(sim.in_flight, 0);
    down();
}

static void test_failed_write(void)
{
    up();
    io_sim_fail(&sim, SIM_WRITE, 1, ERR_IO);
    commit(10);
    commit(10);
    finish();
    CU_ASSERT_EQUAL(items[1].failures, 2);
    CU_ASSERT_EQUAL(items[1].log.durable, 0);
    CU_ASSERT_EQUAL(commit(10), JOURNAL_FAILED);
    down();
}

/* What a failed partition leaves keeps its space; one whose bytes are written does not. */
static void test_leave(void)
{
    struct journal_stats stats;
    up();
    commit(10);
    finish();
    journal_written(&items[0].log, 10);
    journal_written(&items[1].log, 10);
    journal_leave(&items[2].log);
    CU_ASSERT_PTR_NULL(items[2].log.journal);
    commit(1); /* would free the first one */
    finish();
    journal_stats(journal, &stats);
    CU_ASSERT_EQUAL(stats.commits, 2);
    down();
}

/* ---- what a log left ---- */

#define left_pieces 3

/* Commits with pieces of all logs; then one of them leaves, and its pieces are in the journal alone. */
static void leave_pieces(void)
{
    has_left = true;
    for (uint32_t i = 0; i < left_pieces; i++) {
        CU_ASSERT_EQUAL_FATAL(commit(left_bytes), JOURNAL_BEGUN);
        finish();
    }
    journal_leave(&items[left_log].log);
}

/* A commit of the others, which are written now and then; false: the ring is full. */
static bool others_go_on(bool wait)
{
    if (journal_begin(journal) != JOURNAL_BEGUN) {
        finish();
        for (uint32_t i = 0; i < left_log; i++)
            journal_written(&items[i].log, items[i].log.durable);
        return false;
    }
    for (uint32_t i = 0; i < left_log; i++)
        CU_ASSERT_TRUE(add(i, 1 + (uint32_t)rng_below(&rng, 1500)));
    journal_commit(journal);
    if (wait)
        finish();
    if (wait && rng_below(&rng, 3) == 0)
        for (uint32_t i = 0; i < left_log; i++)
            journal_written(&items[i].log, items[i].log.durable);
    return true;
}

/* The ring goes round what a log left, many times, and it is found each time. */
static void test_left_is_carried(void)
{
    static uint8_t image[image_bytes];
    struct journal_stats stats;
    uint32_t begun = 0;
    up();
    leave_pieces();
    for (uint32_t round = 0; round < 600; round++) {
        begun += others_go_on(true);
        load(image);
        scan(image);
        CU_ASSERT_EQUAL(found.scan.damaged, 0);
        CU_ASSERT_EQUAL(found.holes, 0);
        CU_ASSERT_EQUAL(found.pieces, (1u << left_pieces) - 1);
    }
    journal_stats(journal, &stats);
    CU_ASSERT_TRUE(begun > 400 && !stats.stuck);
    CU_ASSERT_EQUAL(stats.left, left_pieces);
    down();
    has_left = false;
}

/* Power goes, or the process dies, anywhere on the way. */
static void test_left_survives(void)
{
    static uint8_t image[image_bytes];
    for (uint32_t round = 0; round < 200; round++) {
        up();
        rng_seed(&sim.rng, unit_seed() + round);
        rng_seed(&rng, unit_seed() + 1000 + round);
        leave_pieces();
        for (uint64_t n = rng_below(&rng, 80); n > 0; n--)
            others_go_on(true);
        for (uint64_t n = rng_below(&rng, 4); n > 0; n--)
            others_go_on(false);
        for (uint64_t n = rng_below(&rng, 4); n > 0; n--)
            io_sim_step(&sim);
        io_sim_crash(&sim, round % 2 ? SIM_POWER_CUT : SIM_PROCESS_DEATH);
        finish();
        journal_free(journal);
        io_sim_revive(&sim);
        load(image);
        scan(image);
        CU_ASSERT_EQUAL(found.scan.damaged, 0);
        CU_ASSERT_EQUAL(found.holes, 0);
        CU_ASSERT_EQUAL(found.pieces, (1u << left_pieces) - 1);
        journal = NULL;
        down();
    }
    has_left = false;
}

/* It cannot be read to be carried: it stays where it is, and the ring is at its end, and says so. */
static void test_left_is_not_read(void)
{
    static uint8_t image[image_bytes];
    struct journal_stats stats;
    up();
    leave_pieces();
    io_sim_fail(&sim, SIM_READ, 1, ERR_IO);
    for (uint32_t round = 0; round < 200; round++)
        others_go_on(true);
    journal_stats(journal, &stats);
    CU_ASSERT_TRUE(stats.stuck && !stats.failed);
    CU_ASSERT_FALSE(others_go_on(true));
    load(image);
    scan(image);
    CU_ASSERT_EQUAL(found.pieces, (1u << left_pieces) - 1);
    down();
    has_left = false;
}

/* More than a quarter of the ring: the same. */
static void test_left_is_too_much(void)
{
    struct journal_stats stats;
    up();
    for (uint32_t i = 0; i < ring_blocks / 4; i++) {
        CU_ASSERT_EQUAL_FATAL(journal_begin(journal), JOURNAL_BEGUN);
        CU_ASSERT_TRUE(add(left_log, journal_block_bytes + 1));
        journal_commit(journal);
        finish();
    }
    journal_leave(&items[left_log].log);
    for (uint32_t round = 0; round < 200; round++)
        others_go_on(true);
    journal_stats(journal, &stats);
    CU_ASSERT_TRUE(stats.stuck);
    down();
}

/*
 * Power goes while commits are written. Any of them may be whole; they count up to the first that is
 * not. What had ended is there.
 */
static void test_power(void)
{
    static uint8_t image[image_bytes];
    for (uint32_t round = 0; round < 60; round++) {
        up();
        rng_seed(&sim.rng, unit_seed() + round);
        commit(700);
        commit(900);
        finish();
        uint64_t ended = items[0].log.durable;
        for (uint32_t i = 0; i < 3; i++)
            commit(1500);
        if (round % 2)
            io_sim_step(&sim);
        ended = items[0].log.durable > ended ? items[0].log.durable : ended;
        io_sim_crash(&sim, SIM_POWER_CUT);
        finish();
        journal_free(journal);
        io_sim_revive(&sim);
        load(image);
        scan(image);
        CU_ASSERT_EQUAL(found.scan.damaged, 0);
        CU_ASSERT_EQUAL(found.holes, 0);
        CU_ASSERT_TRUE(found.end[0] >= ended);
        journal = NULL;
        down();
    }
}

/* Each byte of what counts is damaged in turn: found, and nothing wrong is handed out. */
static void test_damage(void)
{
    static uint8_t image[image_bytes];
    up();
    for (uint32_t i = 0; i < 4; i++) {
        commit(200);
        finish();
    }
    load(image);
    scan(image);
    uint64_t all = found.scan.frames;
    CU_ASSERT_EQUAL(all, 4 * log_count);
    uint32_t used = journal_data_at(log_count) + log_count * 200;
    for (uint32_t block = 1; block <= 4; block++) {
        for (uint32_t k = 0; k < used; k++) {
            uint8_t *p = &image[block * journal_block_bytes + k];
            *p ^= (uint8_t)(1 << rng_below(&rng, 8));
            uint8_t damaged = *p;
            scan(image);
            CU_ASSERT_TRUE(found.scan.frames < all);
            CU_ASSERT_TRUE(block == 4 || found.scan.damaged == 1);
            *p = damaged;
            load(image);
        }
    }
    down();
}

/* One that is made in another's place begins empty. */
static void test_lives(void)
{
    static uint8_t image[image_bytes];
    up();
    for (uint32_t i = 0; i < 5; i++) {
        commit(300);
        finish();
    }
    journal_free(journal);
    struct journal_options o = options(78);
    CU_ASSERT_EQUAL_FATAL(journal_make(&journal, &o), 0);
    logs_reset();
    load(image);
    scan(image);
    CU_ASSERT_EQUAL(found.scan.commits, 0);
    commit(40);
    finish();
    load(image);
    scan(image);
    CU_ASSERT_EQUAL(found.scan.commits, 1);
    CU_ASSERT_EQUAL(found.end[0], 40);
    struct journal *second;
    o = options(79);
    o.bytes = (journal_blocks_min - 1) * journal_block_bytes;
    CU_ASSERT_EQUAL(journal_make(&second, &o), ERR_INVALID);
    down();
}

static void test_remove(void)
{
    struct fs_stat st;
    struct io_file *file;
    up();
    CU_ASSERT_EQUAL_FATAL(sim.fs.ops->open(&sim.fs, "/data/sluice-journal-63.tmp",
                                           IO_OPEN_WRITE | IO_OPEN_CREATE, &file),
                          0);
    sim.fs.ops->close(&sim.fs, file);
    CU_ASSERT_EQUAL(journal_remove_all(&sim.fs, "/data"), 0);
    CU_ASSERT_EQUAL(sim.fs.ops->stat(&sim.fs, "/data/sluice-journal-3", &st), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(sim.fs.ops->stat(&sim.fs, "/data/sluice-journal-63.tmp", &st), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(journal_remove_all(&sim.fs, "/data"), 0);
    down();
}

static void make_fails(enum sim_op op, int wanted)
{
    struct journal *second = NULL;
    struct fs_stat st;
    up();
    journal_free(journal);
    CU_ASSERT_EQUAL(journal_remove_all(&sim.fs, "/data"), 0);
    sim.no_direct = true;
    io_sim_fail(&sim, op, 1, wanted);
    io_sim_fail(&sim, op, 2, wanted); /* the header's, where the zeros' was the first */
    struct journal_options o = options(80);
    int err = journal_make(&second, &o);
    sim.fault_count = 0;
    CU_ASSERT_EQUAL(err, wanted);
    if (err == 0)
        journal_free(second);
    if (op != SIM_SYNC_DIR)
        CU_ASSERT_EQUAL(sim.fs.ops->stat(&sim.fs, "/data/sluice-journal-3", &st), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(sim.fs.ops->stat(&sim.fs, "/data/sluice-journal-3.tmp", &st), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL_FATAL(journal_make(&journal, &o), 0);
    down();
}

/*
 * No room, or an error, at every operation of the making: no journal, nothing of one under its name
 * that a start would refuse, and the next try is right.
 */
static void test_make_fails(void)
{
    static const enum sim_op ops[] = {SIM_OPEN,     SIM_PWRITE, SIM_SYNC,
                                      SIM_SYNC_DIR, SIM_RENAME, SIM_ALLOCATE};
    for (uint32_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        make_fails(ops[i], ERR_NO_SPACE);
        make_fails(ops[i], ERR_IO);
    }
}

UNIT_MAIN("journal", UNIT_CASE(test_names), UNIT_CASE(test_head), UNIT_CASE(test_commit_and_scan),
          UNIT_CASE(test_order), UNIT_CASE(test_laps), UNIT_CASE(test_full), UNIT_CASE(test_limits),
          UNIT_CASE(test_failed_write), UNIT_CASE(test_leave), UNIT_CASE(test_left_is_carried),
          UNIT_CASE(test_left_survives), UNIT_CASE(test_left_is_not_read),
          UNIT_CASE(test_left_is_too_much), UNIT_CASE(test_power), UNIT_CASE(test_damage),
          UNIT_CASE(test_lives), UNIT_CASE(test_remove), UNIT_CASE(test_make_fails))

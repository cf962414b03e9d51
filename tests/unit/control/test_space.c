/* The rules about free space, the reserve, and the looks at a disk that fills up and empties. */
#include "control/space.h"

#include "base/err.h"
#include "storage/plog/space.h"
#include "tests/unit/control/rig.h"

/* ---- rules ---- */

static void limits_are_chosen(void)
{
    struct space_limits l = space_limits(-1, -1, 100 * GIB);
    CU_ASSERT_EQUAL(l.mark, 1 * GIB);
    CU_ASSERT_EQUAL(l.reserve, 64 * MIB);
    l = space_limits(-1, -1, 40 * MIB); /* a small disk: a share of it */
    CU_ASSERT_EQUAL(l.mark, 2 * MIB);
    CU_ASSERT_EQUAL(l.reserve, MIB / 2);
    l = space_limits(10 * MIB, 0, 100 * GIB);
    CU_ASSERT_EQUAL(l.mark, 10 * MIB);
    CU_ASSERT_EQUAL(l.reserve, 0);
    l = space_limits(0, -1, 100 * GIB);
    CU_ASSERT_EQUAL(l.mark, 0);
    CU_ASSERT_EQUAL(l.reserve, 0);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_FULL, &l, 0), PLOG_SPACE_AMPLE);
}

static void missing_reserve_is_not_free(void)
{
    struct space_limits l = {.mark = 100, .reserve = 30};
    CU_ASSERT_EQUAL(space_usable(&l, 200, true), 200);
    CU_ASSERT_EQUAL(space_usable(&l, 200, false), 170);
    CU_ASSERT_EQUAL(space_usable(&l, 20, false), 0);
}

static void levels_have_a_step(void)
{
    struct space_limits l = {.mark = 1000};
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_AMPLE, &l, 4000), PLOG_SPACE_AMPLE);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_AMPLE, &l, 3999), PLOG_SPACE_TIGHT);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_TIGHT, &l, 1000), PLOG_SPACE_TIGHT);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_TIGHT, &l, 999), PLOG_SPACE_LOW);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_LOW, &l, 1249), PLOG_SPACE_LOW);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_LOW, &l, 1250), PLOG_SPACE_TIGHT);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_LOW, &l, 500), PLOG_SPACE_LOW);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_LOW, &l, 499), PLOG_SPACE_FULL);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_FULL, &l, 624), PLOG_SPACE_FULL);
    CU_ASSERT_EQUAL(space_level(PLOG_SPACE_FULL, &l, 625), PLOG_SPACE_LOW);
}

/* Whatever is written in between, the next look comes before the half mark is reached. */
static void looks_come_in_time(void)
{
    struct space_limits l = {.mark = 1 * GIB};
    for (uint64_t usable = 0; usable < 200 * GIB; usable += 127 * MIB) {
        int64_t ms = space_look_ms(&l, usable);
        CU_ASSERT(ms >= space_look_ms_min && ms <= space_look_ms_max);
        uint64_t filled = (uint64_t)ms * space_fill_bytes_per_ms;
        if (usable > l.mark + space_look_ms_min * space_fill_bytes_per_ms)
            CU_ASSERT(usable - filled > l.mark / 2);
    }
}

static void reserve_is_a_file(void)
{
    struct io_sim sim;
    io_sim_init(&sim, unit_seed());
    struct fs *fs = &sim.fs;
    CU_ASSERT_EQUAL(fs->ops->mkdir(fs, "/d"), 0);
    CU_ASSERT_TRUE(reserve_held(fs, "/d", 0));
    CU_ASSERT_FALSE(reserve_held(fs, "/d", 5000));
    CU_ASSERT_EQUAL(reserve_drop(fs, "/d"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(reserve_make(fs, "/d", 5000), 0);
    CU_ASSERT_TRUE(reserve_held(fs, "/d", 5000));
    CU_ASSERT_FALSE(reserve_held(fs, "/d", 6000)); /* another size is wanted now */
    CU_ASSERT_EQUAL(reserve_make(fs, "/d", 6000), 0);
    CU_ASSERT_EQUAL(sim.bytes, 6000);
    CU_ASSERT_EQUAL(reserve_drop(fs, "/d"), 0);
    CU_ASSERT_EQUAL(sim.bytes, 0);
    sim.bytes_limit = 3000;
    CU_ASSERT_EQUAL(reserve_make(fs, "/d", 5000), ERR_NO_SPACE);
    CU_ASSERT_FALSE(reserve_held(fs, "/d", 5000));
    CU_ASSERT_EQUAL(sim.bytes, 0);
    io_sim_free(&sim);
}

/* ---- looks ---- */

static enum plog_space told(struct rig *r, const char *name)
{
    const struct image_partition *p = &rig_topic(r, name)->partitions[0];
    return plog_env_space_level(&r->shards[p->shard].plogs, r->logdirs->dirs[p->log_dir].path);
}

/* So many bytes are free from now on, and somebody has looked. */
static void set_free(struct rig *r, uint64_t bytes)
{
    r->sim.bytes_limit = r->sim.bytes + bytes;
    rig_sleep(r, space_look_ms_max + 1);
}

static void disk_fills_and_empties(void)
{
    static struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 2), 0);
    CU_ASSERT_EQUAL(told(&r, "t"), PLOG_SPACE_AMPLE);
    CU_ASSERT_TRUE(rig_has(&r, "/data/a/sluice-reserve"));
    CU_ASSERT_TRUE(rig_has(&r, "/data/b/sluice-reserve"));
    /* the limit is the disk's size here, so that the mark is a twentieth of what is used and free */
    uint64_t used = r.sim.bytes;
    set_free(&r, used / 10);
    CU_ASSERT_EQUAL(told(&r, "t"), PLOG_SPACE_TIGHT);
    set_free(&r, used / 30);
    CU_ASSERT_EQUAL(told(&r, "t"), PLOG_SPACE_LOW);
    CU_ASSERT_EQUAL(atomic_load(&r.logdirs->dirs[0].space.level), PLOG_SPACE_LOW);
    CU_ASSERT_EQUAL(atomic_load(&r.logdirs->dirs[0].space.total), r.sim.bytes_limit);
    CU_ASSERT_TRUE(rig_has(&r, "/data/a/sluice-reserve"));
    CU_ASSERT_EQUAL(rig_create(&r, "u", 1), 0); /* what costs little goes on */
    set_free(&r, used / 200);
    CU_ASSERT_EQUAL(told(&r, "t"), PLOG_SPACE_FULL);
    CU_ASSERT_FALSE(rig_has(&r, "/data/a/sluice-reserve"));
    CU_ASSERT_TRUE(r.logdirs->dirs[0].online && r.logdirs->dirs[1].online);
    CU_ASSERT_EQUAL(rig_delete(&r, "u"), 0);
    rig_sleep(&r, space_look_ms_max + 1);
    CU_ASSERT_EQUAL(told(&r, "t"), PLOG_SPACE_FULL); /* the reserve's room is not free room */
    set_free(&r, used * 20);
    CU_ASSERT_EQUAL(told(&r, "t"), PLOG_SPACE_AMPLE);
    rig_sleep(&r, space_look_ms_max + 1);
    CU_ASSERT_TRUE(rig_has(&r, "/data/a/sluice-reserve"));
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

/* A start on a full disk: the reserve is what it writes into. */
static void start_on_a_full_disk(void)
{
    static struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 2), 0);
    rig_sleep(&r, space_look_ms_max + 1);
    r.sim.bytes_limit = r.sim.bytes;
    rig_crash(&r, SIM_PROCESS_DEATH);
    CU_ASSERT_TRUE(rig_has(&r, "/data/a/sluice-reserve"));
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_FALSE(rig_has(&r, "/data/a/sluice-reserve"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig_topic(&r, "t"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig_topic(&r, "t")->partitions[0].plog);
    CU_ASSERT_EQUAL(told(&r, "t"), PLOG_SPACE_FULL);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

/* New partitions go where there is room, however many there are. */
static void partitions_go_where_room_is(void)
{
    static struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    atomic_store(&r.logdirs->dirs[0].space.level, PLOG_SPACE_LOW);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(logdirs_choose(r.logdirs), 1);
        r.logdirs->dirs[1].partitions++;
    }
    atomic_store(&r.logdirs->dirs[1].space.level, PLOG_SPACE_FULL);
    CU_ASSERT_EQUAL(logdirs_choose(r.logdirs), 0); /* none has: the emptier one */
    r.logdirs->dirs[1].partitions -= 5;
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

UNIT_MAIN("control/space", UNIT_CASE(limits_are_chosen), UNIT_CASE(missing_reserve_is_not_free),
          UNIT_CASE(levels_have_a_step), UNIT_CASE(looks_come_in_time),
          UNIT_CASE(reserve_is_a_file), UNIT_CASE(disk_fills_and_empties),
          UNIT_CASE(start_on_a_full_disk), UNIT_CASE(partitions_go_where_room_is))

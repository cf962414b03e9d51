/*
 * Topics under crashes. The property: whatever op a crash comes in, the next start succeeds, every
 * topic whose creation was answered is there and served, none whose deletion was answered is, no
 * topic is there in part, and no directory is left over.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "tests/unit/control/rig.h"

#define names 6
#define steps 25

enum know { ABSENT, PRESENT, UNSURE };

struct world {
    struct rig rig;
    struct rng rng;
    enum know know[names];
    struct uuid id[names]; /* of PRESENT */
    int32_t partitions[names];
};

static void name_of(int i, char out[16])
{
    snprintf(out, 16, "topic-%d", i); /* a dash, as in directory names */
}

static void one_step(struct world *w)
{
    char name[16];
    int i = (int)rng_below(&w->rng, names);
    name_of(i, name);
    struct image_topic *t = rig_topic(&w->rig, name);
    enum know before = w->know[i];
    w->know[i] = UNSURE; /* until it is answered */
    if (!t) {
        int32_t n = 1 + (int32_t)rng_below(&w->rng, 4);
        if (rig_create(&w->rig, name, n) != 0)
            return;
        w->know[i] = PRESENT;
        w->partitions[i] = n;
        w->id[i] = rig_topic(&w->rig, name)->id;
    } else if (t->state == IMAGE_TOPIC_LIVE) {
        if (rig_delete(&w->rig, name) == 0)
            w->know[i] = ABSENT;
    } else {
        w->know[i] = before;
    }
}

static void check_topic(struct world *w, int i)
{
    char name[16];
    name_of(i, name);
    struct image_topic *t = rig_topic(&w->rig, name);
    if (w->know[i] == ABSENT)
        CU_ASSERT_PTR_NULL(t);
    if (w->know[i] == PRESENT) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(t);
        CU_ASSERT_TRUE(uuid_eq(&t->id, &w->id[i]));
        CU_ASSERT_EQUAL(t->partition_count, w->partitions[i]);
    }
    if (!t)
        return;
    CU_ASSERT_EQUAL(t->state, IMAGE_TOPIC_LIVE);
    for (uint32_t k = 0; k < rig_shards; k++) {
        struct view_topic *v = view_by_name(&w->rig.shards[k].view, str_from(name));
        CU_ASSERT_PTR_NOT_NULL_FATAL(v);
        for (int32_t p = 0; p < t->partition_count; p++)
            CU_ASSERT_PTR_NOT_NULL(v->partitions[p].plog);
    }
    w->know[i] = PRESENT;
    w->id[i] = t->id;
    w->partitions[i] = t->partition_count;
}

static void check_all(struct world *w)
{
    uint32_t partitions = 0;
    for (int i = 0; i < names; i++) {
        check_topic(w, i);
        if (w->know[i] == UNSURE)
            w->know[i] = ABSENT;
        if (w->know[i] == PRESENT)
            partitions += (uint32_t)w->partitions[i];
    }
    CU_ASSERT_EQUAL(rig_count(&w->rig, "/data/a", "topic-") +
                        rig_count(&w->rig, "/data/b", "topic-"),
                    partitions);
    CU_ASSERT_EQUAL(
        rig_count(&w->rig, "/data/a", "-delete") + rig_count(&w->rig, "/data/a", "-stray"), 0);
}

static void run_world(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    rig_make(&w->rig, seed);
    rng_seed(&w->rng, seed);
    for (int life = 0; life < 4; life++) {
        enum sim_crash how = rng_below(&w->rng, 2) ? SIM_POWER_CUT : SIM_PROCESS_DEATH;
        io_sim_crash_at(&w->rig.sim, 1 + rng_below(&w->rng, 600), how);
        if (rig_start(&w->rig) == 0)
            for (int i = 0; i < steps && !w->rig.sim.dead; i++)
                one_step(w);
        rig_crash(&w->rig, how);
        int err = rig_start(&w->rig);
        if (err)
            printf("[seed %llu: %s] ", (unsigned long long)seed, w->rig.why);
        CU_ASSERT_EQUAL_FATAL(err, 0);
        check_all(w);
        CU_ASSERT_TRUE(rig_stop(&w->rig));
    }
    rig_free(&w->rig);
    free(w);
}

static void no_crash_breaks_a_topic(void)
{
    /* what earlier runs found: a log dir's own name was not on the medium yet */
    static const uint64_t found[] = {1795288328};
    uint64_t seed = unit_seed();
    log_set_level(LOG_LEVEL_ERROR + 1); /* the dead disk is talked about a lot */
    for (uint64_t i = 0; i < 40; i++)
        run_world(seed + i);
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
        run_world(found[i]);
}

UNIT_MAIN("control/topics/crash", UNIT_CASE(no_crash_breaks_a_topic))

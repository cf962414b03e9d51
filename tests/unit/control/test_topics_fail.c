/*
 * One script of topic operations, checkpoints and a stop, with each disk operation in it made to fail
 * once. The property: the next start on a disk that works succeeds, what was answered is so, topics are
 * whole or absent, and nothing is there that nobody asked for.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tests/unit/control/rig.h"

#define names          3
#define script_ops_max 400 /* more calls of one operation than the script has */

enum know { ABSENT, PRESENT, UNSURE };

struct world {
    struct rig rig;
    enum know know[names];
};

static const char *const name_of[names] = {"a", "b", "c-1"};

static void create(struct world *w, int i, int32_t partitions)
{
    int16_t error = rig_create(&w->rig, name_of[i], partitions);
    w->know[i] = error == 0 ? PRESENT : UNSURE;
}

static void delete (struct world *w, int i)
{
    if (w->know[i] != PRESENT || rig_topic(&w->rig, name_of[i]) == NULL)
        return;
    w->know[i] = rig_delete(&w->rig, name_of[i]) == 0 ? ABSENT : UNSURE;
}

static void script(struct world *w)
{
    create(w, 0, 3);
    create(w, 1, 2);
    rig_sleep(&w->rig, 70000); /* checkpoints */
    delete (w, 0);
    create(w, 2, 2);
    rig_sleep(&w->rig, 70000); /* the deleted one's files go; checkpoints */
}

static void check(struct world *w)
{
    struct image_topic **all;
    uint32_t found = 0, count = 0;
    for (int i = 0; i < names; i++) {
        struct image_topic *t = rig_topic(&w->rig, name_of[i]);
        if (w->know[i] == ABSENT)
            CU_ASSERT_PTR_NULL(t);
        if (w->know[i] == PRESENT)
            CU_ASSERT_PTR_NOT_NULL_FATAL(t);
        if (t == NULL)
            continue;
        CU_ASSERT_EQUAL(t->state, IMAGE_TOPIC_LIVE);
        struct view_topic *v = view_by_name(&w->rig.shards[0].view, str_from(name_of[i]));
        CU_ASSERT_PTR_NOT_NULL_FATAL(v);
        for (int32_t p = 0; p < t->partition_count; p++)
            CU_ASSERT_PTR_NOT_NULL(v->partitions[p].plog);
        found++;
    }
    CU_ASSERT_EQUAL_FATAL(image_topics_sorted(&w->rig.control.image, &all, &count), 0);
    free(all);
    CU_ASSERT_EQUAL(count, found);
}

/* False: the script has no nth call of this operation. */
static bool fail_at(enum sim_op op, uint64_t nth, int err)
{
    static struct world w;
    memset(&w, 0, sizeof(w));
    rig_make(&w.rig, unit_seed() + nth);
    CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
    uint64_t at = w.rig.sim.ops[op] + nth;
    io_sim_fail(&w.rig.sim, op, nth, err);
    script(&w);
    if (nth % 2)
        rig_stop(&w.rig);
    bool reached = w.rig.sim.ops[op] >= at;
    w.rig.sim.fault_count = 0;
    rig_crash(&w.rig, SIM_POWER_CUT);
    err = rig_start(&w.rig);
    if (err)
        printf("[op %d nth %llu: %s]\n", op, (unsigned long long)nth, w.rig.why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    check(&w);
    CU_ASSERT_TRUE(rig_stop(&w.rig));
    rig_free(&w.rig);
    return reached;
}

static void each_operation_may_fail(void)
{
    static const enum sim_op ops[] = {SIM_OPEN,     SIM_PWRITE, SIM_TRUNCATE, SIM_SYNC,
                                      SIM_SYNC_DIR, SIM_RENAME, SIM_UNLINK,   SIM_MKDIR};
    static const int errors[] = {ERR_IO, ERR_NO_SPACE};
    log_set_level(LOG_LEVEL_ERROR + 1); /* what fails on purpose is said a thousand times */
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        for (size_t k = 0; k < sizeof(errors) / sizeof(errors[0]); k++) {
            uint64_t nth = 1;
            while (nth < script_ops_max && fail_at(ops[i], nth, errors[k]))
                nth++;
            CU_ASSERT(nth < script_ops_max);
        }
    log_set_level(LOG_LEVEL_INFO);
}

UNIT_MAIN("control/topics/fail", UNIT_CASE(each_operation_may_fail))

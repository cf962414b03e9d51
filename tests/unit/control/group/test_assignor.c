/* Assignors: small cases worked out by hand, and properties over random groups. */
#include "tests/unit/unit.h"

#include <string.h>

#include "base/rng.h"
#include "control/group/assignor_spec.h"

#define members_max 40
#define topics_max  20
#define parts_max   2000

struct world {
    struct assignor_spec spec;
    struct assignor_member members[members_max];
    struct assignor_topic topics[topics_max];
    uint32_t subs[members_max][topics_max];
    char ids[members_max][8], instances[members_max][8];
    int32_t prior[parts_max], owner[parts_max];
};

static void world_topics(struct world *w, uint32_t n, const uint32_t *partitions)
{
    w->spec.topics = w->topics;
    w->spec.topic_count = n;
    w->spec.partition_count = 0;
    for (uint32_t t = 0; t < n; t++) {
        w->topics[t] =
            (struct assignor_topic){{{(uint8_t)(t + 1)}}, partitions[t], w->spec.partition_count};
        w->spec.partition_count += partitions[t];
    }
    for (uint32_t p = 0; p < parts_max; p++)
        w->prior[p] = ASSIGNOR_NOBODY;
    w->spec.prior = w->prior;
}

/* mask: the topics that each member subscribes to. */
static void world_members(struct world *w, uint32_t n, const uint32_t *mask)
{
    w->spec.members = w->members;
    w->spec.member_count = n;
    w->spec.homogeneous = true;
    for (uint32_t m = 0; m < n; m++) {
        uint32_t k = 0;
        for (uint32_t t = 0; t < w->spec.topic_count; t++)
            if (mask[m] & 1u << t)
                w->subs[m][k++] = t;
        snprintf(w->ids[m], sizeof(w->ids[m]), "m%02u", m);
        w->members[m] = (struct assignor_member){str_from(w->ids[m]), STR_NULL, w->subs[m], k};
        w->spec.homogeneous &= k == w->spec.topic_count;
    }
}

typedef int assignor_fn(const struct assignor_spec *spec, int32_t *owner, struct arena *scratch);

static void run(struct world *w, assignor_fn *fn)
{
    struct arena scratch;
    arena_init(&scratch, 1 << 24);
    CU_ASSERT_EQUAL(fn(&w->spec, w->owner, &scratch), 0);
    arena_free(&scratch);
}

static bool subscribed(const struct world *w, uint32_t m, uint32_t t)
{
    for (uint32_t i = 0; i < w->members[m].topic_count; i++)
        if (w->members[m].topics[i] == t)
            return true;
    return false;
}

/* Each partition has an owner that subscribes, if anybody does. */
static void check_valid(const struct world *w)
{
    for (uint32_t t = 0; t < w->spec.topic_count; t++) {
        bool anybody = false;
        for (uint32_t m = 0; m < w->spec.member_count; m++)
            anybody |= subscribed(w, m, t);
        for (uint32_t i = 0; i < w->topics[t].partitions; i++) {
            int32_t o = w->owner[w->topics[t].first + i];
            CU_ASSERT(anybody ? o >= 0 && o < (int32_t)w->spec.member_count : o == ASSIGNOR_NOBODY);
            CU_ASSERT(!anybody || subscribed(w, (uint32_t)o, t));
        }
    }
}

static void loads(const struct world *w, uint32_t *load)
{
    memset(load, 0, members_max * sizeof(*load));
    for (uint32_t p = 0; p < w->spec.partition_count; p++)
        if (w->owner[p] >= 0)
            load[w->owner[p]]++;
}

/* No partition can move so that two loads come closer by more than one. */
static void check_balanced(const struct world *w)
{
    uint32_t load[members_max];
    loads(w, load);
    for (uint32_t t = 0; t < w->spec.topic_count; t++)
        for (uint32_t i = 0; i < w->topics[t].partitions; i++) {
            int32_t o = w->owner[w->topics[t].first + i];
            for (uint32_t m = 0; o >= 0 && m < w->spec.member_count; m++)
                CU_ASSERT(!subscribed(w, m, t) || load[o] <= load[m] + 1);
        }
}

static uint32_t moved(const struct world *w)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < w->spec.partition_count; p++)
        n += w->prior[p] != ASSIGNOR_NOBODY && w->prior[p] != w->owner[p];
    return n;
}

/* The fewest moves that even loads ask for: what members had over their share. */
static uint32_t fewest_moves(const struct world *w)
{
    uint32_t had[members_max] = {0}, n = w->spec.member_count, over = 0;
    uint32_t low = w->spec.partition_count / n, extra = w->spec.partition_count % n, rich = 0;
    for (uint32_t p = 0; p < w->spec.partition_count; p++)
        if (w->prior[p] >= 0)
            had[w->prior[p]]++;
    for (uint32_t m = 0; m < n; m++)
        if (had[m] > low) {
            over += had[m] - low;
            rich++;
        }
    return over - (rich < extra ? rich : extra);
}

static void random_world(struct world *w, struct rng *rng, bool mixed)
{
    uint32_t partitions[topics_max], mask[members_max];
    uint32_t topics = 1 + (uint32_t)rng_below(rng, mixed ? topics_max : 5);
    uint32_t members = 1 + (uint32_t)rng_below(rng, members_max);
    for (uint32_t t = 0; t < topics; t++)
        partitions[t] = (uint32_t)rng_below(rng, rng_below(rng, 4) ? 12 : 80);
    for (uint32_t m = 0; m < members; m++)
        mask[m] = mixed ? (uint32_t)rng_u64(rng) & (uint32_t)rng_u64(rng) : UINT32_MAX;
    world_topics(w, topics, partitions);
    world_members(w, members, mask);
    w->spec.homogeneous &= !mixed;
    for (uint32_t p = 0; p < w->spec.partition_count; p++)
        if (rng_below(rng, 3))
            w->prior[p] = (int32_t)rng_below(rng, members);
}

static void test_homogeneous(void)
{
    static struct world w, again;
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 3000; round++) {
        random_world(&w, &rng, false);
        run(&w, assignor_uniform);
        check_valid(&w);
        check_balanced(&w);
        CU_ASSERT_EQUAL(moved(&w), fewest_moves(&w));
        /* The same again moves nothing: it is settled. */
        memcpy(w.prior, w.owner, sizeof(w.prior));
        run(&w, assignor_uniform);
        CU_ASSERT_EQUAL(moved(&w), 0);
        again = w;
        again.spec.members = again.members;
        run(&again, assignor_uniform);
        CU_ASSERT_EQUAL(memcmp(w.owner, again.owner, w.spec.partition_count * sizeof(int32_t)), 0);
    }
}

static void test_mixed(void)
{
    static struct world w;
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 1000; round++) {
        random_world(&w, &rng, true);
        run(&w, assignor_uniform);
        check_valid(&w);
        check_balanced(&w);
        memcpy(w.prior, w.owner, sizeof(w.prior));
        run(&w, assignor_uniform);
        CU_ASSERT_EQUAL(moved(&w), 0);
    }
}

/* A member comes to a settled group: only what it gets moves. One goes: only what it had. */
static void test_sticky(void)
{
    static struct world w;
    static const uint32_t partitions[] = {30, 30}, all[] = {3, 3, 3, 3, 3, 3, 3};
    uint32_t load[members_max];
    world_topics(&w, 2, partitions);
    world_members(&w, 5, all);
    run(&w, assignor_uniform);
    memcpy(w.prior, w.owner, sizeof(w.prior));
    world_members(&w, 6, all);
    run(&w, assignor_uniform);
    loads(&w, load);
    CU_ASSERT_EQUAL(load[5], 10);
    CU_ASSERT_EQUAL(moved(&w), 10);
    memcpy(w.prior, w.owner, sizeof(w.prior));
    for (uint32_t p = 0; p < w.spec.partition_count; p++)
        if (w.prior[p] == 5)
            w.prior[p] = ASSIGNOR_NOBODY;
    world_members(&w, 5, all);
    run(&w, assignor_uniform);
    CU_ASSERT_EQUAL(moved(&w), 0);
}

static void check_owners(const struct world *w, const int32_t *want)
{
    for (uint32_t p = 0; p < w->spec.partition_count; p++)
        CU_ASSERT_EQUAL(w->owner[p], want[p]);
}

static void test_range(void)
{
    static struct world w;
    static const uint32_t two[] = {3, 3}, all[] = {3, 3}, seven[] = {7}, one[] = {1, 1, 1};
    world_topics(&w, 2, two);
    world_members(&w, 2, all);
    run(&w, assignor_range);
    check_owners(&w, (int32_t[]){0, 0, 1, 0, 0, 1});
    world_topics(&w, 1, seven);
    world_members(&w, 3, one);
    run(&w, assignor_range);
    check_owners(&w, (int32_t[]){0, 0, 0, 1, 1, 2, 2});
    /* Static members first, by instance id, whatever their member ids. */
    w.members[2].instance_id = STR("a");
    w.members[1].instance_id = STR("b");
    run(&w, assignor_range);
    check_owners(&w, (int32_t[]){2, 2, 2, 1, 1, 0, 0});
}

/* More members than partitions; topics without subscribers; no topics. */
static void test_edges(void)
{
    static struct world w;
    static const uint32_t few[] = {1, 0, 2}, some[] = {1, 1, 1, 1}, none[] = {0};
    assignor_fn *const fns[] = {assignor_uniform, assignor_range};
    for (int i = 0; i < 2; i++) {
        world_topics(&w, 3, few);
        world_members(&w, 4, some);
        w.spec.homogeneous = false;
        run(&w, fns[i]);
        check_valid(&w);
        world_topics(&w, 0, none);
        world_members(&w, 3, some);
        run(&w, fns[i]);
        world_topics(&w, 1, few);
        world_members(&w, 0, some);
        run(&w, fns[i]);
        CU_ASSERT_EQUAL(w.owner[0], ASSIGNOR_NOBODY);
    }
}

/* Topics with equal partitions and the same subscribers are divided alike. */
static void test_range_properties(void)
{
    static struct world w;
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 1000; round++) {
        random_world(&w, &rng, round % 2);
        if (w.spec.topic_count > 1 && round % 2 == 0)
            w.topics[1].partitions = w.topics[0].partitions;
        for (uint32_t t = 1; t < w.spec.topic_count; t++)
            w.topics[t].first = w.topics[t - 1].first + w.topics[t - 1].partitions;
        const struct assignor_topic *last = &w.topics[w.spec.topic_count - 1];
        w.spec.partition_count = last->first + last->partitions;
        for (uint32_t m = 0; m < w.spec.member_count; m++)
            if (rng_below(&rng, 3) == 0) {
                snprintf(w.instances[m], sizeof(w.instances[m]), "i%u", 99 - m);
                w.members[m].instance_id = str_from(w.instances[m]);
            }
        run(&w, assignor_range);
        check_valid(&w);
        for (uint32_t p = 0; w.spec.topic_count > 1 && round % 2 == 0 && p < w.topics[0].partitions;
             p++)
            CU_ASSERT_EQUAL(w.owner[p], w.owner[w.topics[1].first + p]);
    }
}

UNIT_MAIN("assignor", UNIT_CASE(test_homogeneous), UNIT_CASE(test_mixed), UNIT_CASE(test_sticky),
          UNIT_CASE(test_range), UNIT_CASE(test_edges), UNIT_CASE(test_range_properties))

/*
 * Expressions that cost much, over 10,000 topics: cut into slices, between which others are served.
 * Counted in cost and turns, not in time.
 */
#include <string.h>

#include "base/check.h"
#include "control/group/consumer_step.h"
#include "control/group/group.h"
#include "control/group/regex_topic.h"
#include "tests/unit/control/group/consumer_rig.h"
#include "tests/unit/unit.h"

#define many_topics 10000
#define name_bytes  40

/* Topics a...a00000 to a...a09999, one partition each. */
static char names[many_topics][name_bytes + 1];

static void fill(uint32_t i, struct group_topic *out)
{
    *out = (struct group_topic){{names[i], name_bytes}, {{1, 0, (uint8_t)(i >> 8), (uint8_t)i}}, 1};
}

static bool by_name(void *ctx, struct str name, struct group_topic *out)
{
    uint32_t i = 0;
    if (name.len != name_bytes || memcmp(name.p, names[0], name_bytes - 5) != 0)
        return false;
    for (uint32_t k = name_bytes - 5; k < name_bytes; k++)
        i = i * 10 + (uint32_t)(name.p[k] - '0');
    fill(i, out);
    return i < many_topics;
}

static bool by_id(void *ctx, const struct uuid *id, struct group_topic *out)
{
    uint32_t i = (uint32_t)id->b[2] << 8 | id->b[3];
    fill(i, out);
    return uuid_eq(id, &out->id);
}

static void each(void *ctx, void (*fn)(void *, const struct group_topic *), void *fn_ctx)
{
    for (uint32_t i = 0; i < many_topics; i++) {
        struct group_topic t;
        fill(i, &t);
        fn(fn_ctx, &t);
    }
}

static uint64_t version(void *ctx)
{
    return 1;
}

static void up(struct rig *r)
{
    for (int i = 0; i < many_topics; i++) {
        memset(names[i], 'a', name_bytes);
        snprintf(names[i] + name_bytes - 5, 6, "%05d", i);
    }
    crig_init(r, 1);
    r->options.topics = (struct group_topics){r, by_name, by_id, each, version};
    rig_restart(r);
}

/* Many places of the pattern at once for every character, no match before the end. */
static const char hostile[] = ".*a.{20}a.{9}x|.*a.{21}a.{8}y|.*7";

static void slow_member(struct rig *r, const char *group, const char *pattern)
{
    struct beat b = {.group = group,
                     .member = "slow",
                     .rebalance_ms = 10000,
                     .regex = pattern,
                     .holds_given = true};
    CU_ASSERT_EQUAL(crig_beat(r, &b)->error_code, 0);
}

static int32_t quick_epoch;

static uint32_t matching(const char *pattern)
{
    struct topic_regex *re;
    const char *why;
    uint32_t n = 0;
    CU_ASSERT_EQUAL_FATAL(topic_regex_new(&re, str_from(pattern), &why), 0);
    for (int i = 0; i < many_topics; i++)
        n += topic_regex_matches(re, (struct str){names[i], name_bytes}, NULL);
    topic_regex_free(re);
    return n;
}

static uint64_t one_match(const char *pattern)
{
    struct topic_regex *re;
    const char *why;
    CU_ASSERT_EQUAL_FATAL(topic_regex_new(&re, str_from(pattern), &why), 0);
    uint64_t cost = topic_regex_cost(re, (struct str){names[0], name_bytes});
    topic_regex_free(re);
    return cost;
}

static bool resolved(struct rig *r, const char *group)
{
    return !crig_group(r, group)->resolve;
}

static uint32_t topics_of(struct rig *r, const char *group, const char *pattern)
{
    const struct consumer_regex *x = consumer_regex_find(crig_group(r, group), str_from(pattern));
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    return x->resolved ? x->topics->n : 0;
}

/* Slices until both groups are done; in each turn the quick group's heartbeat is answered. */
static uint32_t turns(struct rig *r, const char *a, const char *b, uint64_t most)
{
    uint32_t n = 0, slices = 0;
    for (; !(resolved(r, a) && resolved(r, b)) && n < 100000; n++) {
        int64_t before = r->c->regex_turn->mono_ns;
        rig_pass(r, 1);
        slices += r->c->regex_turn->mono_ns != before;
        CU_ASSERT_FATAL(r->c->regex_turn->cost <= consumer_regex_slice + most + regex_compile_cost);
        struct beat quick = {.group = "quick", .member = "q", .epoch = quick_epoch};
        CU_ASSERT_EQUAL_FATAL(crig_beat(r, &quick)->error_code, 0);
    }
    CU_ASSERT_TRUE(n + 5 > 2 * slices); /* the thread is free in between */
    return slices;
}

static void others_are_served(void)
{
    struct rig r;
    up(&r);
    quick_epoch = crig_join(&r, "quick", "q", 1)->member_epoch;
    slow_member(&r, "slow", hostile);
    slow_member(&r, "slow-2", hostile);
    uint64_t most = one_match(hostile);
    uint32_t n = turns(&r, "slow", "slow-2", most);
    /* All the work was done, a slice a turn. */
    uint64_t slices = 2 * most * many_topics / consumer_regex_slice;
    CU_ASSERT_TRUE(slices > 100);
    CU_ASSERT_TRUE(n >= slices * 9 / 10 && n <= slices + 10);
    CU_ASSERT_EQUAL(topics_of(&r, "slow", hostile), matching(hostile));
    CU_ASSERT_EQUAL(topics_of(&r, "slow-2", hostile), 1000);
    printf("%u slices for %u topics twice, at most %" PRIu64 " a match\n", n, many_topics, most);
    rig_free(&r);
}

/* Another expression, a member that goes, a crash: in the middle of it. */
static void interrupted(void)
{
    struct rig r;
    up(&r);
    quick_epoch = crig_join(&r, "quick", "q", 1)->member_epoch;
    slow_member(&r, "slow", hostile);
    rig_pass(&r, 3);
    CU_ASSERT_FALSE(resolved(&r, "slow"));
    rig_restart(&r);
    CU_ASSERT_PTR_NULL(crig_group(&r, "slow")->resolving);
    slow_member(&r, "slow", hostile);
    rig_pass(&r, 3);
    CU_ASSERT_PTR_NOT_NULL(crig_group(&r, "slow")->resolving);
    /* A second member with an expression of its own: it waits for its turn and is resolved. */
    struct beat b = {.group = "slow",
                     .member = "late",
                     .rebalance_ms = 10000,
                     .regex = "a*0000[0-4]",
                     .holds_given = true};
    CU_ASSERT_EQUAL(crig_beat(&r, &b)->error_code, 0);
    /* The first goes before its expression is done: nobody is told of it. */
    struct beat gone = {.group = "slow", .member = "slow", .epoch = -1};
    CU_ASSERT_EQUAL(crig_beat(&r, &gone)->error_code, 0);
    turns(&r, "slow", "slow", one_match(hostile));
    CU_ASSERT_PTR_NULL(consumer_regex_find(crig_group(&r, "slow"), str_from(hostile)));
    for (int i = 0; i < 12 && topics_of(&r, "slow", "a*0000[0-4]") == 0; i++) {
        rig_pass(&r, 1000);
        b.epoch = crig_describe(&r, "slow")->members[0].member_epoch;
        CU_ASSERT_EQUAL(crig_beat(&r, &b)->error_code, 0);
        rig_pass(&r, 10);
    }
    CU_ASSERT_EQUAL(topics_of(&r, "slow", "a*0000[0-4]"), 5);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* The group goes while its expression is under work. */
static void group_goes(void)
{
    struct rig r;
    up(&r);
    slow_member(&r, "slow", hostile);
    rig_pass(&r, 3);
    CU_ASSERT_PTR_NOT_NULL(crig_group(&r, "slow")->resolving);
    struct beat gone = {.group = "slow", .member = "slow", .epoch = -1};
    CU_ASSERT_EQUAL(crig_beat(&r, &gone)->error_code, 0);
    CU_ASSERT_EQUAL(rig_delete(&r, "slow"), 0);
    CU_ASSERT_PTR_NULL(crig_group(&r, "slow"));
    rig_pass(&r, 100);
    rig_free(&r);
}

UNIT_MAIN("regex slices", UNIT_CASE(others_are_served), UNIT_CASE(interrupted),
          UNIT_CASE(group_goes))

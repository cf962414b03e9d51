/* view: topics in and out by message, and held while requests use them. */
#include "dataplane/kafka/view.h"

#include <string.h>

#include "base/err.h"
#include "tests/unit/core/with_eal.h"

static struct agent control, shard;
static struct view view;
static int done;

static void on_done(struct call *call)
{
    (void)call;
    done++;
}

static void up(void)
{
    done = 0;
    CU_ASSERT_EQUAL_FATAL(agent_init(&control, "control", 0, 64, NULL, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(agent_init(&shard, "shard", 1, 64, NULL, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(view_init(&view, 3, 99), 0);
}

static void down(void)
{
    view_fini(&view);
    agent_fini(&shard);
    agent_fini(&control);
}

static void deliver(void)
{
    agent_flush(&control);
    agent_receive(&shard, 100);
    agent_flush(&shard);
    agent_receive(&control, 100);
}

static void update(struct view_update *u, struct view_topic *add, struct view_topic *remove)
{
    view_update_init(u, &view, add, remove, on_done);
    agent_call(&control, &shard, &u->call);
    deliver();
}

static void in_and_out(void)
{
    struct view_topic a = {.name = STR("a"), .id = {{1}}}, b = {.name = STR("b"), .id = {{2}}};
    struct view_update u;
    up();
    CU_ASSERT_EQUAL(view_init(&view, shard_count_max, 1), ERR_INVALID);
    update(&u, &a, NULL);
    CU_ASSERT(done == 1 && u.result == 0);
    update(&u, &b, NULL);
    CU_ASSERT_PTR_EQUAL(view_by_name(&view, STR("a")), &a);
    CU_ASSERT_PTR_EQUAL(view_by_id(&view, &b.id), &b);
    CU_ASSERT_PTR_NULL(view_by_name(&view, STR("ab")));
    CU_ASSERT_PTR_NULL(view_by_name(&view, STR("")));
    CU_ASSERT_PTR_NULL(view_by_id(&view, &UUID_ZERO));
    update(&u, NULL, &a);
    CU_ASSERT_EQUAL(done, 3);
    CU_ASSERT_PTR_NULL(view_by_name(&view, STR("a")));
    CU_ASSERT_PTR_NULL(view_by_id(&view, &a.id));
    CU_ASSERT_EQUAL(view.removals, 0);
    down();
}

/* A topic that gained partitions takes the old one's place under the same name and id. */
static void replaced(void)
{
    struct view_topic old = {.name = STR("a"), .id = {{1}}};
    char name[] = "a";
    struct view_topic next = {.name = {name, 1}, .id = {{1}}};
    struct view_update u;
    up();
    update(&u, &old, NULL);
    update(&u, &next, &old);
    CU_ASSERT_EQUAL(done, 2);
    memset(&old, 0xee, sizeof(old)); /* nothing of it is looked at any more */
    CU_ASSERT_PTR_EQUAL(view_by_name(&view, STR("a")), &next);
    CU_ASSERT_PTR_EQUAL(view_by_id(&view, &next.id), &next);
    down();
}

static void held(void)
{
    struct view_topic old = {.name = STR("a"), .id = {{1}}}, next = old;
    struct view_update u, v;
    up();
    update(&u, &old, NULL);
    view_hold(&view, &old);
    view_hold(&view, &old);
    update(&u, &next, &old);
    CU_ASSERT_EQUAL(done, 1);
    CU_ASSERT_EQUAL(view.removals, 1);
    CU_ASSERT_PTR_EQUAL(old.removal[3], &u);
    CU_ASSERT_PTR_EQUAL(view_by_name(&view, STR("a")), &next); /* for new requests, at once */
    update(&v, NULL, &next);
    CU_ASSERT_EQUAL(done, 2);
    view_drop(&view, &old);
    deliver();
    CU_ASSERT_EQUAL(done, 2);
    view_drop(&view, &old);
    deliver();
    CU_ASSERT_EQUAL(done, 3);
    CU_ASSERT_PTR_NULL(old.removal[3]);
    down();
}

static void many(void)
{
    enum { n = 5000 };
    static struct view_topic topics[n];
    static char names[n][16];
    static struct view_update u;
    up();
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "topic-%d", i);
        topics[i] = (struct view_topic){.name = str_from(names[i])};
        memcpy(topics[i].id.b, &i, sizeof(i));
        update(&u, &topics[i], i >= 100 ? &topics[i - 100] : NULL);
        CU_ASSERT_EQUAL(u.result, 0);
    }
    for (int i = 0; i < n; i++)
        CU_ASSERT_PTR_EQUAL(view_by_name(&view, topics[i].name), i >= n - 100 ? &topics[i] : NULL);
    down();
}

int main(void)
{
    static const struct unit_case cases[] = {UNIT_CASE(in_and_out), UNIT_CASE(replaced),
                                             UNIT_CASE(held), UNIT_CASE(many)};
    with_eal(32);
    return unit_run("dataplane/kafka/view", cases, 4);
}

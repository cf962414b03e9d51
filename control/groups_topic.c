/* groups_topic: __consumer_offsets itself, and what coordinators know of the other topics. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "control/groups_impl.h"
#include "control/topics.h"

#define topics_retry_ns (100 * CLOCK_NS_PER_MS) /* while partitions are being loaded */

/* ---- creation ---- */

struct offsets_create {
    struct topic_op op; /* first */
    struct groups *groups;
    struct topics_config configs[3];
    char segment_bytes[16];
};

static void created(struct topic_op *op)
{
    struct offsets_create *x = (struct offsets_create *)op;
    x->groups->creating = false;
    if (op->error && op->error != KERR_TOPIC_ALREADY_EXISTS)
        log_warn("groups", "%s cannot be created: %s", GROUPS_TOPIC,
                 op->message ? op->message : kerr_text(op->error));
    free(x);
}

/* One broker: as many replicas as it has, unless the configuration asks for more. */
static bool replicas_fit(const struct groups *g)
{
    const struct config *config = g->control->config;
    if (!config_is_set(config, CONFIG_OFFSETS_TOPIC_REPLICATION_FACTOR) ||
        config_int(config, CONFIG_OFFSETS_TOPIC_REPLICATION_FACTOR) == 1)
        return true;
    log_warn("groups",
             "%s cannot be created: offsets.topic.replication.factor is %d and there is one broker",
             GROUPS_TOPIC, config_int(config, CONFIG_OFFSETS_TOPIC_REPLICATION_FACTOR));
    return false;
}

static void create(struct groups *g)
{
    const struct config *config = g->control->config;
    if (!replicas_fit(g))
        return;
    struct offsets_create *x = calloc(1, sizeof(*x));
    if (!x)
        return;
    x->groups = g;
    snprintf(x->segment_bytes, sizeof(x->segment_bytes), "%d",
             config_int(config, CONFIG_OFFSETS_TOPIC_SEGMENT_BYTES));
    x->configs[0] = (struct topics_config){STR("cleanup.policy"), STR("compact")};
    x->configs[1] = (struct topics_config){STR("compression.type"), STR("producer")};
    x->configs[2] = (struct topics_config){STR("segment.bytes"), str_from(x->segment_bytes)};
    x->op = (struct topic_op){.kind = TOPIC_CREATE,
                              .name = STR(GROUPS_TOPIC),
                              .partition_count =
                                  config_int(config, CONFIG_OFFSETS_TOPIC_NUM_PARTITIONS),
                              .internal = true,
                              .configs = x->configs,
                              .config_count = 3,
                              .done = created};
    g->creating = true;
    topics_submit(g->control, &x->op);
}

int16_t groups_topic_ensure(struct groups *g)
{
    if (!g || g->stopping || !g->started)
        return KERR_COORDINATOR_NOT_AVAILABLE;
    if (g->partitions)
        return 0;
    if (!g->creating)
        create(g);
    return g->partitions ? 0 : KERR_COORDINATOR_NOT_AVAILABLE;
}

/* ---- look-ups ---- */

static bool fill(const struct image_topic *t, struct group_topic *out)
{
    if (!t || t->state != IMAGE_TOPIC_LIVE)
        return false;
    *out = (struct group_topic){str_from(t->name), t->id, t->partition_count};
    return true;
}

static bool by_name(void *ctx, struct str name, struct group_topic *out)
{
    const struct groups *g = ctx;
    return fill(image_by_name(&g->control->image, name), out);
}

static bool by_id(void *ctx, const struct uuid *id, struct group_topic *out)
{
    const struct groups *g = ctx;
    return fill(image_by_id(&g->control->image, id), out);
}

static void each(void *ctx, void (*fn)(void *fn_ctx, const struct group_topic *topic), void *fn_ctx)
{
    const struct groups *g = ctx;
    struct image_topic **topics;
    uint32_t count;
    if (image_topics_sorted(&g->control->image, &topics, &count) < 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct group_topic t;
        if (fill(topics[i], &t))
            fn(fn_ctx, &t);
    }
    free(topics);
}

static uint64_t version(void *ctx)
{
    const struct groups *g = ctx;
    return g->topics_version;
}

void groups_topics_init(struct groups *g, struct group_topics *out)
{
    *out = (struct group_topics){
        .ctx = g, .by_name = by_name, .by_id = by_id, .each = each, .version = version};
}

/* ---- changes, told to all coordinators together ---- */

void groups_topics_touch(struct groups *g)
{
    g->topics_changed = true;
    if (!wheel_armed(&g->topics_timer))
        wheel_arm(&g->control->wheel, &g->topics_timer, g->control->now_ns);
}

void groups_deleted_free(struct groups *g)
{
    while (g->deleted) {
        struct groups_deleted_topic *d = g->deleted;
        g->deleted = d->next;
        free(d);
    }
}

static struct group_topic *deleted_topics(const struct groups *g, size_t *n)
{
    *n = 0;
    for (const struct groups_deleted_topic *d = g->deleted; d; d = d->next)
        ++*n;
    struct group_topic *topics = calloc(*n + 1, sizeof(*topics));
    size_t i = 0;
    for (const struct groups_deleted_topic *d = g->deleted; topics && d; d = d->next)
        topics[i++] = d->topic;
    return topics;
}

void groups_topics_fire(struct wheel_timer *timer, int64_t now_ns)
{
    struct groups *g = (struct groups *)((char *)timer - offsetof(struct groups, topics_timer));
    if (g->loading || g->waiting) {
        wheel_arm(&g->control->wheel, timer, now_ns + topics_retry_ns);
        return;
    }
    size_t n;
    struct group_topic *deleted = deleted_topics(g, &n);
    if (!deleted) {
        control_fail(g->control, "out of memory");
        return;
    }
    g->topics_changed = false;
    for (int32_t i = 0; i < g->count; i++) {
        struct group_partition *p = &g->partitions[i];
        if (p->state != GROUP_PARTITION_ACTIVE)
            continue;
        if (n)
            coordinator_topics_deleted(p->coordinator, deleted, n, groups_now(g));
        coordinator_topics_changed(p->coordinator, groups_now(g));
        groups_pump(p);
    }
    free(deleted);
    groups_deleted_free(g);
}

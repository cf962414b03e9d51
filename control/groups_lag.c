/*
 * groups_lag: how far groups are behind the logs, worked out for the metrics: one coordinator at a time,
 * all within groups_lag_round_ns.
 */
#include <stdlib.h>

#include "base/err.h"
#include "control/groups_impl.h"
#include "control/metrics/lag.h"
#include "storage/plog/plog.h"

/* The offsets of one coordinator as they come: a group's topics one after the other. */
struct lag_pass {
    const struct image *image;
    struct lag_sample *samples;
    uint32_t count, room;
    struct str group, topic; /* of the last sample */
    const struct image_topic *of;
    bool wanted; /* there is a sample for them */
};

static struct lag_sample *sample_new(struct lag_pass *x)
{
    if (x->count == x->room) {
        uint32_t room = x->room ? x->room * 2 : 16;
        struct lag_sample *grown = realloc(x->samples, sizeof(*grown) * room);
        if (!grown)
            return NULL;
        x->samples = grown;
        x->room = room;
    }
    return &x->samples[x->count];
}

static void take_offset(void *ctx, struct str group, struct str topic, int32_t partition,
                        int64_t offset)
{
    struct lag_pass *x = ctx;
    if (!(str_eq(group, x->group) && str_eq(topic, x->topic))) {
        struct lag_sample *s = x->count < lag_samples_max ? sample_new(x) : NULL;
        x->group = group;
        x->topic = topic;
        x->of = image_by_name(x->image, topic);
        x->wanted = s && x->of && lag_sample_init(s, group, topic);
        x->count += x->wanted;
    }
    if (!x->wanted || partition >= x->of->partition_count || !x->of->partitions[partition].plog)
        return;
    /* Another thread moves it: a figure of a moment ago will do. The log lives, it is ours to close. */
    struct plog_marks marks;
    plog_marks(x->of->partitions[partition].plog, &marks);
    if (marks.high_watermark > offset)
        x->samples[x->count - 1].records += marks.high_watermark - offset;
}

static void lag_fire(struct wheel_timer *timer, int64_t now_ns)
{
    struct groups *g = (struct groups *)((char *)timer - offsetof(struct groups, lag_timer));
    struct lag_pass x = {.image = &g->control->image};
    if (g->lag_next >= g->count)
        g->lag_next = 0;
    if (g->count > 0 && g->partitions[g->lag_next].state == GROUP_PARTITION_ACTIVE)
        coordinator_each_offset(g->partitions[g->lag_next].coordinator, take_offset, &x);
    metrics_lag_set(g->lag, (uint32_t)g->lag_next, x.samples, x.count);
    g->lag_next++;
    wheel_arm(&g->control->wheel, timer,
              now_ns + groups_lag_round_ns / (g->count > 0 ? g->count : 1));
}

void groups_lag_start(struct groups *g, struct metrics_lag *lag)
{
    g->lag = lag;
    g->lag_timer.fire = lag_fire;
    wheel_arm(&g->control->wheel, &g->lag_timer, g->control->now_ns);
}

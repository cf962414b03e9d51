/* topics_view: topics as the shards see them: made, published, taken back. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/topics_impl.h"

static void view_fill(struct topic_work *w, struct view_partition *out)
{
    const struct topics *t = w->topics;
    for (int32_t i = 0; i < w->topic->partition_count; i++) {
        const struct image_partition *p = &w->topic->partitions[i];
        out[i] = (struct view_partition){
            .plog = p->plog,
            .owner = t->o.shards[p->shard].agent,
            .shard = p->shard,
            .leader_id = p->plog ? t->o.node_id : -1,
            .leader_epoch = p->leader_epoch,
        };
    }
}

/* One block: the topic, its partitions, its name. */
struct view_topic *topic_view_make(struct topic_work *w)
{
    const struct image_topic *topic = w->topic;
    size_t name_len = strlen(topic->name);
    size_t parts = sizeof(struct view_partition) * (size_t)topic->partition_count;
    struct view_topic *v = calloc(1, sizeof(*v) + parts + name_len + 1);
    if (!v)
        return NULL;
    v->partitions = (struct view_partition *)(v + 1);
    char *name = (char *)v->partitions + parts;
    memcpy(name, topic->name, name_len);
    v->name = (struct str){name, (uint32_t)name_len};
    v->id = topic->id;
    v->internal = topic->internal;
    v->partition_count = topic->partition_count;
    v->control = w;
    view_fill(w, v->partitions);
    return v;
}

static void part_send(struct publication *p, uint32_t shard, struct view_topic *remove);

/* Shards that found no memory for the new view are asked again until they have it. */
static void retry_fire(struct wheel_timer *timer, int64_t now_ns)
{
    struct publication *p =
        (struct publication *)((char *)timer - offsetof(struct publication, retry));
    uint32_t shards = p->work->topics->o.shard_count;
    p->retries = 0;
    for (uint32_t i = 0; i < shards; i++) {
        if (p->parts[i].again)
            part_send(p, i, NULL); /* the old one is out already */
    }
}

static void publication_end(struct publication *p)
{
    struct topic_work *w = p->work;
    topic_step_fn *released = p->released;
    free(p->remove);
    free(p);
    if (released)
        released(w);
}

static void part_released(struct call *call)
{
    struct publication_part *part = (struct publication_part *)call;
    struct publication *p = part->all;
    struct control *c = p->work->topics->control;
    part->again = part->update.result != 0;
    if (part->again) {
        if (p->retries++ == 0)
            wheel_arm(&c->wheel, &p->retry, c->now_ns + topics_retry_ns);
        return;
    }
    if (--p->released_left == 0)
        publication_end(p);
}

static void ping_run(struct call *call)
{
    call_finish(call);
}

/* Behind the update in the same mailbox: when it answers the shard's maps are as they should be. */
static void ping_done(struct call *call)
{
    struct publication_part *part =
        (struct publication_part *)((char *)call - offsetof(struct publication_part, ping));
    struct publication *p = part->all;
    if (--p->visible_left == 0 && p->visible)
        p->visible(p->work);
    if (--p->released_left == 0)
        publication_end(p);
}

static void part_send(struct publication *p, uint32_t shard, struct view_topic *remove)
{
    struct topics *t = p->work->topics;
    struct publication_part *part = &p->parts[shard];
    part->again = false;
    view_update_init(&part->update, t->o.shards[shard].view, p->add, remove, part_released);
    agent_call(topics_agent(t), t->o.shards[shard].agent, &part->update.call);
}

int topic_publish(struct topic_work *w, struct view_topic *view, topic_step_fn *visible,
                  topic_step_fn *released)
{
    struct topics *t = w->topics;
    uint32_t shards = t->o.shard_count;
    struct publication *p = calloc(1, sizeof(*p) + shards * sizeof(p->parts[0]));
    if (!p)
        return ERR_NO_MEMORY;
    p->work = w;
    p->add = view;
    p->remove = w->topic->view;
    w->topic->view = view;
    p->visible = visible;
    p->released = released;
    p->visible_left = shards;
    p->released_left = 2 * shards; /* an update and a ping each */
    p->retry.fire = retry_fire;
    for (uint32_t i = 0; i < shards; i++) {
        struct publication_part *part = &p->parts[i];
        part->all = p;
        part->ping.run = ping_run;
        part->ping.done = ping_done;
        part_send(p, i, p->remove);
        agent_call(topics_agent(t), t->o.shards[i].agent, &part->ping);
    }
    return 0;
}

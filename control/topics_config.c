/* topics_config: settings that change while the broker runs, and producer ids. */
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "control/config/topic_config.h"
#include "control/groups.h"
#include "control/topics_impl.h"

/* ---- what a topic's settings come to ---- */

static struct config_pairs pairs_of(const struct image_configs *c, struct config_pair *room)
{
    for (uint32_t i = 0; i < c->count; i++)
        room[i] = (struct config_pair){str_from(c->items[i].name), str_from(c->items[i].value)};
    return (struct config_pairs){room, c->count};
}

void topic_plog_config(struct topic_work *w, struct plog_config *out)
{
    struct control *c = w->topics->control;
    struct config_pair room[meta_configs_max];
    struct topic_config t;
    /* It fails for want of memory alone, and then a topic must not lose its settings. */
    CHECK(topic_config_build(c->config, pairs_of(&w->topic->configs, room), &t) == 0);
    int64_t jitter_max = t.segment_jitter_ms < t.segment_ms ? t.segment_jitter_ms : t.segment_ms;
    int64_t jitter = jitter_max > 0 ? (int64_t)rng_below(&c->rng, (uint64_t)jitter_max) : 0;
    *out = (struct plog_config){
        .segment_bytes = t.segment_bytes,
        .segment_ms = t.segment_ms - jitter,
        .segment_index_bytes = t.segment_index_bytes,
        .index_interval_bytes = t.index_interval_bytes,
        .retention_ms = t.retention_ms,
        .retention_bytes = t.retention_bytes,
        .file_delete_delay_ms = t.file_delete_delay_ms,
        .max_message_bytes = t.max_message_bytes,
        .timestamp_before_max_ms = t.timestamp_before_max_ms,
        .timestamp_after_max_ms = t.timestamp_after_max_ms,
        .flush_messages = t.flush_messages,
        .flush_ms = t.flush_ms,
        .producer_expiration_ms = config_int(c->config, CONFIG_PRODUCER_ID_EXPIRATION_MS),
        .timestamp_type = t.is_append_time ? PLOG_LOG_APPEND_TIME : PLOG_CREATE_TIME,
        .cleanup_delete = t.is_deleted,
        .cleanup_compact = t.is_compacted,
    };
}

/* ---- settings of a topic to its plogs ---- */

struct configure {
    struct call call; /* first */
    struct topic_work *work;
    struct plog_config config;
    uint32_t count;
    struct plog *plogs[];
};

static void configure_run(struct call *call)
{
    struct configure *f = (struct configure *)call;
    for (uint32_t i = 0; i < f->count; i++)
        plog_configure(f->plogs[i], &f->config);
    call_finish(call);
}

static void configure_done(struct call *call)
{
    struct configure *f = (struct configure *)call;
    struct topic_work *w = f->work;
    free(f);
    if (--w->pending == 0)
        w->pending_done(w);
}

/* The message for one shard; NULL with *err 0: none of the partitions lives there. */
static struct configure *configure_make(struct topic_work *w, uint32_t shard, int *err)
{
    const struct image_topic *topic = w->topic;
    uint32_t n = 0;
    for (int32_t i = 0; i < topic->partition_count; i++)
        n += topic->partitions[i].plog && topic->partitions[i].shard == shard;
    if (n == 0)
        return NULL;
    struct configure *f = calloc(1, sizeof(*f) + n * sizeof(struct plog *));
    if (!f) {
        *err = ERR_NO_MEMORY;
        return NULL;
    }
    for (int32_t i = 0; i < topic->partition_count; i++)
        if (topic->partitions[i].plog && topic->partitions[i].shard == shard)
            f->plogs[f->count++] = topic->partitions[i].plog;
    f->work = w;
    topic_plog_config(w, &f->config);
    f->call.run = configure_run;
    f->call.done = configure_done;
    return f;
}

void topic_configure_plogs(struct topic_work *w, topic_step_fn *then)
{
    struct topics *t = w->topics;
    int err = 0;
    w->pending = 1;
    w->pending_done = then;
    for (uint32_t i = 0; i < t->o.shard_count && !err; i++) {
        struct configure *f = configure_make(w, i, &err);
        if (!f)
            continue;
        w->pending++;
        agent_call(topics_agent(t), t->o.shards[i].agent, &f->call);
    }
    if (err)
        topic_work_refuse(w, err, err_text(err));
    if (--w->pending == 0)
        then(w);
}

static void configured(struct topic_work *w)
{
    groups_topic_event(w->topics->control->groups, w->topic, GROUPS_TOPIC_CONFIGURED);
    topic_work_end(w, w->refused ? topics_kerr(w->err) : KERR_NONE, NULL);
}

static int configs_append(struct topics *t, enum meta_record_type type, const struct uuid *id,
                          struct str name, const struct topics_config *configs, uint32_t count)
{
    struct meta_config copy[meta_configs_max];
    if (count > meta_configs_max)
        return ERR_TOO_LARGE;
    for (uint32_t i = 0; i < count; i++)
        copy[i] = (struct meta_config){configs[i].name, configs[i].value};
    struct meta_record r = {
        .type = type, .id = *id, .name = name, .configs = copy, .config_count = count};
    return topics_append(t, &r, 1);
}

void topic_configure_begin(struct topic_work *w)
{
    struct topic_op *op = w->op;
    int err = 0;
    int16_t error = op->prepare ? op->prepare(op, w->topic) : KERR_NONE;
    if (error) {
        topic_work_end(w, error, op->message);
        return;
    }
    if (op->kind == TOPIC_CONFIGURE)
        err = configs_append(w->topics, META_TOPIC_CONFIGS, &w->topic->id, STR_NULL, op->configs,
                             op->config_count);
    if (err)
        topic_work_end(w, topics_kerr(err), err_text(err));
    else
        topic_configure_plogs(w, configured);
}

/* ---- the broker's settings ---- */

int16_t broker_configure(struct control *c, bool cluster, const struct topics_config *configs,
                         uint32_t count)
{
    struct topics *t = c->topics;
    if (t->state != TOPICS_RUNNING)
        return KERR_BROKER_NOT_AVAILABLE;
    int err = configs_append(t, cluster ? META_CLUSTER_CONFIGS : META_BROKER_CONFIGS, &UUID_ZERO,
                             STR_NULL, configs, count);
    if (!err)
        err = control_apply_configs(c);
    if (err)
        return topics_kerr(err);
    struct topic_work *next;
    for (struct topic_work *w = t->works; w; w = next) {
        next = w->next;
        if (w->topic && w->topic->state != IMAGE_TOPIC_DELETING)
            topics_enqueue_own(t, w, TOPIC_RECONFIGURE);
    }
    return KERR_NONE;
}

/* ---- settings of groups ---- */

int16_t group_configure(struct control *c, struct str group_id, const struct topics_config *configs,
                        uint32_t count)
{
    struct topics *t = c->topics;
    if (t->state != TOPICS_RUNNING)
        return KERR_BROKER_NOT_AVAILABLE;
    const struct image_group *known = image_group(&c->image, group_id);
    if (!known && count == 0)
        return KERR_NONE;
    if (!known && c->image.groups.count >= group_configs_max)
        return KERR_POLICY_VIOLATION;
    int err = configs_append(t, META_GROUP_CONFIGS, &UUID_ZERO, group_id, configs, count);
    return err ? topics_kerr(err) : KERR_NONE;
}

/* ---- producer ids ---- */

int topics_next_producer_id(struct control *c, int64_t *out)
{
    struct topics *t = c->topics;
    if (t->producer_next == t->producer_end) {
        int64_t first = c->image.next_producer_id;
        struct meta_record r = {.type = META_PRODUCER_IDS, .value = first + producer_id_block};
        int err = topics_append(t, &r, 1);
        if (err)
            return err;
        t->producer_next = first;
        t->producer_end = first + producer_id_block;
    }
    *out = t->producer_next++;
    return 0;
}

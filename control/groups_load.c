/* groups_load: from the records of a partition to its coordinator. */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "control/group/consumer_ops.h"
#include "control/groups_impl.h"

/* ---- records ---- */

static void corrupt(void *ctx, int64_t offset, const char *what)
{
    struct group_partition *p = ctx;
    p->groups->stats.corrupt++;
    if (p->corrupt++ < groups_corrupt_told_max)
        log_warn("groups", "%s-%d: %s at offset %lld is corrupt and passed over", GROUPS_TOPIC,
                 p->index, what, (long long)offset);
}

static int replay(void *ctx, const struct record_view *r)
{
    struct group_partition *p = ctx;
    p->records++;
    if (!r->item.key) {
        corrupt(p, r->offset, "a record without a key");
        return 0;
    }
    int err = coordinator_replay(p->coordinator, r->item.key, r->item.key_len, r->item.value,
                                 r->item.value_len, r->transactional ? r->producer_id : -1);
    if (err == ERR_NO_MEMORY)
        return err;
    if (err && err != ERR_UNSUPPORTED)
        corrupt(p, r->offset, err == ERR_FULL ? "a record over a limit" : "a record");
    return 0;
}

static int marker(void *ctx, int64_t producer_id, bool commit)
{
    struct group_partition *p = ctx;
    coordinator_replay_marker(p->coordinator, producer_id, commit);
    return 0;
}

/* ---- loads ---- */

static int make(struct group_partition *p)
{
    struct groups *g = p->groups;
    struct coordinator_options o = {
        .rng = &g->control->rng, .consumer = &consumer_protocol_ops, .regex_turn = &g->regex_turn};
    groups_settings_of(g, &o.settings);
    groups_topics_init(g, &o.topics);
    groups_overrides_init(g, &o.overrides);
    return coordinator_new(&p->coordinator, &o, groups_now(g));
}

static void offline(struct group_partition *p, const char *why)
{
    struct control *c = p->groups->control;
    coordinator_free(p->coordinator);
    p->coordinator = NULL;
    if (p->state == GROUP_PARTITION_CLOSED)
        return;
    log_error("groups", "%s-%d cannot be loaded: %s; its groups are not served", GROUPS_TOPIC,
              p->index, why);
    p->state = GROUP_PARTITION_OFFLINE;
    wheel_arm(&c->wheel, &p->timer, c->now_ns + groups_retry_ns);
}

static void loads_over(struct groups *g)
{
    if (g->loading || g->waiting || !g->load_began_ns)
        return;
    g->stats.load_ns = g->control->now_ns - g->load_began_ns;
    g->load_began_ns = 0;
    if (g->stats.replayed_records)
        log_info("groups", "%llu records of %s replayed in %lld ms",
                 (unsigned long long)g->stats.replayed_records, GROUPS_TOPIC,
                 (long long)(g->stats.load_ns / CLOCK_NS_PER_MS));
}

static void loaded(void *ctx, const struct internal_load_result *result)
{
    struct group_partition *p = ctx;
    struct groups *g = p->groups;
    if (p->state == GROUP_PARTITION_CLOSED) {
        offline(p, "");
        return;
    }
    g->loading--;
    g->stats.replayed_bytes += result->bytes;
    g->stats.replayed_records += p->records;
    p->replay_bytes = result->bytes;
    p->live_bytes = 0;
    if (result->err && result->err != ERR_CORRUPT) {
        offline(p, err_text(result->err));
    } else {
        p->cut = result->err != 0;
        if (p->cut)
            log_error("groups", "%s-%d: the log cannot be read to its end, offset %lld",
                      GROUPS_TOPIC, p->index, (long long)result->end);
        p->state = GROUP_PARTITION_ACTIVE;
        coordinator_loaded(p->coordinator, groups_now(g));
        groups_pump(p);
    }
    groups_load_next(g);
    loads_over(g);
}

static void load(struct group_partition *p)
{
    struct groups *g = p->groups;
    const struct record_visitor visitor = {
        .ctx = p, .record = replay, .marker = marker, .corrupt = corrupt};
    g->waiting--;
    p->records = 0;
    p->corrupt = 0;
    int err = make(p);
    if (!err)
        err = internal_log_load(
            &p->log, (uint32_t)config_int(g->control->config, CONFIG_OFFSETS_LOAD_BUFFER_SIZE),
            &visitor, loaded);
    if (err) {
        offline(p, err_text(err));
        return;
    }
    p->state = GROUP_PARTITION_LOADING;
    g->loading++;
}

void groups_load_next(struct groups *g)
{
    for (int32_t i = 0; i < g->count && g->waiting && g->loading < groups_loads_max; i++)
        if (g->partitions[i].state == GROUP_PARTITION_WAITING &&
            !internal_log_busy(&g->partitions[i].log))
            load(&g->partitions[i]);
}

/*
 * What is queued goes; what is with the shard comes back first, since a load must see it. So a
 * failed partition is offline for a moment, and then it is its turn.
 */
void group_partition_reload(struct group_partition *p, bool at_once)
{
    struct groups *g = p->groups;
    coordinator_free(p->coordinator);
    p->coordinator = NULL;
    p->rewriting = false;
    internal_log_discard(&p->log);
    if (!at_once || internal_log_busy(&p->log)) {
        p->state = GROUP_PARTITION_OFFLINE;
        wheel_arm(&g->control->wheel, &p->timer, g->control->now_ns + groups_retry_ns);
        return;
    }
    p->state = GROUP_PARTITION_WAITING;
    g->waiting++;
    groups_load_next(g);
}

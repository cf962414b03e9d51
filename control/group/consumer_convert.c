#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "control/group/classic.h"
#include "control/group/consumer_embedded.h"
#include "control/group/consumer_live.h"
#include "dataplane/proto/gen/join_group.h"

/* --- classic to consumer --- */

static bool may_upgrade(struct consumer_act *a, const struct classic_group *k, struct str id,
                        struct consumer_fault *f)
{
    enum group_migration policy = a->settings.consumer_migration;
    const char *why = NULL;
    if (policy != GROUP_MIGRATION_UPGRADE && policy != GROUP_MIGRATION_BIDIRECTIONAL)
        why = "online upgrade is disabled";
    else if (!classic_uses_consumer_protocol(k))
        why = "the group does not use the consumer embedded protocol";
    else if (k->n_members > (uint32_t)a->settings.consumer_max_size)
        why = "the group size exceeds the consumer group maximum size";
    if (why != NULL)
        consumer_refuse(&a->s, f, KERR_GROUP_ID_NOT_FOUND,
                        "Cannot upgrade classic group %.*s to consumer group because %s.",
                        STR_ARG(id), why);
    return why == NULL;
}

/* Protocols are the same two strings in both kinds of group. */
_Static_assert(sizeof(struct classic_protocol) == sizeof(struct consumer_proto) &&
                   offsetof(struct classic_protocol, metadata) ==
                       offsetof(struct consumer_proto, data),
               "protocols are shared");

/* A group in its first rebalance has generation 0, which as a member epoch would mean a join. */
static int32_t epoch_of(const struct classic_group *k)
{
    return k->generation > 0 ? k->generation : 1;
}

/* One member with what it was assigned. NULL: done; else why the group cannot be upgraded. */
static const char *take_member(struct consumer_act *a, const struct classic_group *k,
                               const struct classic_member *m, struct str protocol,
                               struct consumer_group *out)
{
    static const char bad[] = "the embedded consumer protocol is malformed";
    struct consumer_embedded has, wants;
    struct str subscription = classic_member_metadata(m, protocol);
    if (str_is_null(subscription) ||
        consumer_assignment_read(m->assignment, a->s.topics, &a->scratch, &has) < 0 ||
        consumer_subscription_read(subscription, a->s.topics, &a->scratch, &wants) < 0)
        return bad;
    if (has.user_data)
        return "an unsupported custom assignor is in use. Please refer to the documentation or "
               "switch to a default assignor before re-attempting the upgrade";
    struct consumer_meta meta = {.instance_id = m->instance_id,
                                 .rack_id = wants.rack_id.len > 0 ? wants.rack_id : STR_NULL,
                                 .client_id = m->client_id,
                                 .client_host = m->client_host,
                                 .regex = STR(""),
                                 .rebalance_timeout_ms = m->rebalance_ms,
                                 .names = wants.topics,
                                 .n_names = wants.n_topics,
                                 .classic = true,
                                 .session_timeout_ms = m->session_ms,
                                 .protocols = (struct consumer_proto *)m->protocols,
                                 .n_protocols = m->n_protocols};
    struct consumer_current cur = {.epoch = epoch_of(k),
                                   .previous_epoch = epoch_of(k),
                                   .state = CONSUMER_STABLE,
                                   .assigned = has.parts};
    if (!consumer_fits(&a->s, m->id, consumer_meta_bytes(&meta)) ||
        !consumer_fits(&a->s, m->id, consumer_parts_bytes(&has.parts)))
        return "a member's metadata or assignment is larger than a record may be";
    int rc = consumer_apply_target(out, m->id, &has.parts);
    for (uint32_t i = 0; i < cur.assigned.n; i++)
        cur.assigned.v[i].epoch = epoch_of(k);
    rc = rc < 0 ? rc : consumer_apply_member(out, m->id, &meta);
    rc = rc < 0 ? rc : consumer_apply_current(out, m->id, &cur);
    if (rc < 0)
        a->s.err = rc;
    else
        consumer_timer_set(&a->s, consumer_member_find(out, m->id), CONSUMER_TIMER_SESSION,
                           m->session_ms);
    return rc < 0 ? bad : NULL;
}

bool consumer_from_classic(struct consumer_act *a, const struct classic_group *k, struct str id,
                           struct consumer_group **out, struct consumer_fault *f)
{
    struct consumer_group *made;
    const char *why = NULL;
    if (!may_upgrade(a, k, id, f))
        return false;
    a->s.err = consumer_group_new(&made, id, rng_u64(a->c->rng));
    if (a->s.err < 0)
        return false;
    a->s.g = made;
    struct str protocol = k->protocol_name;
    if (str_is_null(protocol))
        protocol = classic_select_protocol(k);
    for (const struct classic_member *m = k->members; m != NULL && why == NULL; m = m->next)
        why = take_member(a, k, m, protocol, made);
    if (why != NULL) {
        consumer_refuse(&a->s, f, KERR_GROUP_ID_NOT_FOUND,
                        "Cannot upgrade classic group %.*s to consumer group because %s.",
                        STR_ARG(id), why);
        consumer_group_free(made);
        a->s.g = NULL;
        return false;
    }
    /*
     * Which metadata the leader assigned from is not known, nor whether its rebalance is over: hash 0,
     * so that the first look at the topics makes a new epoch and with it a target.
     */
    consumer_apply_target_epoch(made, epoch_of(k), 0);
    consumer_apply_epoch(made, epoch_of(k), 0);
    *out = made;
    return true;
}

static int emit_one(void *ctx, const struct group_record *r)
{
    struct consumer_step *s = ctx;
    s->emit(s->emit_ctx, r);
    return 0;
}

bool consumer_upgrade(struct consumer_act *a, struct group *classic,
                      struct consumer_group *consumer, struct group **out)
{
    struct coordinator *c = a->c;
    for (struct classic_member *m = classic->classic->members; m != NULL; m = m->next) {
        struct group_call *call = group_unpark(c, &m->join_call);
        if (call != NULL)
            classic_join_reply_error(c, call, KERR_REBALANCE_IN_PROGRESS, m->id);
    }
    classic_propagate(classic, KERR_REBALANCE_IN_PROGRESS);
    classic_emit_tombstone(classic);
    classic_group_free(classic);
    struct str id = arena_str(&a->scratch, consumer->id);
    group_set_type(classic, GROUP_NONE);
    if (str_is_null(id) || !consumer_attach(c, id, consumer, out)) {
        a->s.err = ERR_NO_MEMORY;
        a->s.g = NULL;
        *out = NULL;
        return false;
    }
    int rc = consumer_dump(consumer, emit_one, &a->s);
    if (rc < 0)
        a->s.err = rc;
    return true;
}

/* --- consumer to classic --- */

static bool listed(const struct str *ids, uint32_t n, struct str id)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(ids[i], id))
            return true;
    return false;
}

/* What a member holds or still has to give back, in order. */
static struct consumer_parts all_held(const struct consumer_member *m, struct arena *scratch)
{
    const struct consumer_parts *a = &m->cur.assigned, *b = &m->cur.pending;
    struct consumer_parts p = {arena_calloc(scratch, (size_t)a->n + b->n + 1, sizeof(*p.v)), 0};
    for (uint32_t i = 0, k = 0; p.v != NULL && (i < a->n || k < b->n);)
        p.v[p.n++] = k == b->n || (i < a->n && consumer_part_cmp(&a->v[i], &b->v[k]) < 0)
                         ? a->v[i++]
                         : b->v[k++];
    return p;
}

/* Of a member in the record of a classic group, at most: the protocol is yet to be chosen. */
static size_t classic_bytes(struct consumer_act *a, const struct consumer_member *m)
{
    const struct consumer_meta *meta = m->meta;
    struct codec_out o = {0};
    struct consumer_parts held = all_held(m, &a->scratch);
    size_t most = 0;
    if (held.v != NULL)
        consumer_assignment_write(&o, consumer_embedded_version_max, &held, a->s.topics);
    for (uint32_t i = 0; i < meta->n_protocols; i++)
        if (most < (size_t)meta->protocols[i].name.len + meta->protocols[i].data.len)
            most = (size_t)meta->protocols[i].name.len + meta->protocols[i].data.len;
    most += (size_t)o.len + m->id.len + meta->instance_id.len + meta->client_id.len +
            meta->client_host.len + consumer_record_spare_bytes;
    codec_out_free(&o);
    return most;
}

bool consumer_fits_classic(struct consumer_act *a, const struct str *gone, uint32_t n)
{
    size_t bytes = a->s.g->id.len + (size_t)consumer_record_spare_bytes, at = 0;
    for (struct consumer_member *m; (m = map_next(&a->s.g->members, &at)) != NULL;)
        if (!listed(gone, n, m->id))
            bytes += classic_bytes(a, m);
    return bytes <= a->settings.append_bytes_max;
}

bool consumer_may_downgrade(struct consumer_act *a, const struct str *gone, uint32_t n)
{
    const struct consumer_group *g = a->s.g;
    enum group_migration policy = a->settings.consumer_migration;
    uint32_t left = 0, classic = 0;
    size_t at = 0;
    if (g->n_classic == 0 ||
        (policy != GROUP_MIGRATION_DOWNGRADE && policy != GROUP_MIGRATION_BIDIRECTIONAL))
        return false;
    for (struct consumer_member *m; (m = map_next(&g->members, &at)) != NULL;)
        if (!listed(gone, n, m->id)) {
            left++;
            classic += m->meta->classic;
        }
    return left > 0 && left == classic && left <= (uint32_t)a->settings.max_size &&
           consumer_fits_classic(a, gone, n);
}

static int add_member(struct group *g, const struct consumer_member *m, struct arena *scratch)
{
    const struct consumer_meta *meta = m->meta;
    struct join_group_request_protocol *protocols =
        arena_calloc(scratch, meta->n_protocols + 1, sizeof(*protocols));
    if (protocols == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < meta->n_protocols; i++)
        protocols[i] = (struct join_group_request_protocol){
            meta->protocols[i].name,
            {(const uint8_t *)meta->protocols[i].data.p, meta->protocols[i].data.len}};
    struct classic_member_spec spec = {.id = m->id,
                                       .instance_id = meta->instance_id,
                                       .client_id = meta->client_id,
                                       .client_host = meta->client_host,
                                       .protocol_type = STR("consumer"),
                                       .rebalance_ms = meta->rebalance_timeout_ms,
                                       .session_ms = meta->session_timeout_ms,
                                       .protocols = protocols,
                                       .n_protocols = (int32_t)meta->n_protocols};
    struct classic_member *added = classic_member_add(g, &spec);
    if (added != NULL)
        added->is_new = false;
    return added != NULL ? 0 : ERR_NO_MEMORY;
}

/*
 * What members hold becomes their assignment of a generation that is over. Kafka takes the target,
 * which they may not have reached: an upgrade that follows at once would then trust it.
 */
static int assign(struct group *g, const struct consumer_group *from,
                  const struct group_topics *topics, struct arena *scratch)
{
    struct classic_group *k = g->classic;
    int rc = classic_set_str(&k->protocol_name, classic_select_protocol(k));
    for (struct classic_member *m = k->members; m != NULL && rc == 0; m = m->next) {
        struct codec_out o = {0};
        struct consumer_parts held = all_held(consumer_member_find(from, m->id), scratch);
        int version = consumer_embedded_version(classic_member_metadata(m, k->protocol_name));
        consumer_assignment_write(&o, version < 0 ? 0 : version, &held, topics);
        rc = o.failed || held.v == NULL
                 ? ERR_NO_MEMORY
                 : classic_member_set_assignment(m, (struct str){(const char *)o.p, o.len});
        codec_out_free(&o);
    }
    return rc;
}

/*
 * The record of the group, which is to rebalance, names no leader: if this coordinator ends before that is
 * over, the one that loads the group knows that its members do not hold everything.
 */
static int emit_downgraded(struct coordinator *c, struct group *g)
{
    struct str leader = g->classic->leader;
    int rc = 0;
    g->classic->leader = STR_NULL;
    if (!classic_emit(g)) { /* larger than a batch: the records before it go alone */
        group_step_end(c);
        rc = classic_emit(g) ? 0 : ERR_TOO_LARGE;
    }
    g->classic->leader = leader;
    return rc;
}

void consumer_downgrade(struct consumer_act *a, struct group *g, const struct str *gone, uint32_t n)
{
    struct coordinator *c = a->c;
    struct consumer_group *from = a->s.g;
    struct str id = arena_str(&a->scratch, g->id);
    struct consumer_member **members = consumer_sorted(&a->s);
    consumer_tombstones(&a->s, a->s.emit, a->s.emit_ctx);
    group_timer_cancel(c, &from->timer);
    group_timer_cancel(c, &from->resolve_timer);
    g->consumer = NULL;
    a->s.g = NULL;
    group_set_type(g, GROUP_NONE);
    g = group_find_or_make(c, id);
    int rc = members == NULL || g == NULL ? ERR_NO_MEMORY : classic_group_new(g);
    for (uint32_t i = 0; rc == 0 && i < consumer_members(from); i++)
        if (!listed(gone, n, members[i]->id))
            rc = add_member(g, members[i], &a->scratch);
    rc = rc == 0 ? assign(g, from, a->s.topics, &a->scratch) : rc;
    if (rc == 0) {
        g->classic->generation = from->epoch;
        g->classic->state = CLASSIC_STABLE; /* no rebalance led to it */
        g->classic->state_ms = c->now.wall_ms;
        classic_compute_subscribed(g);
        rc = emit_downgraded(c, g);
    }
    consumer_group_free(from);
    if (rc < 0) {
        a->s.err = rc;
        return;
    }
    for (struct classic_member *m = g->classic->members; m != NULL; m = m->next)
        classic_rearm_session(m);
    classic_prepare_rebalance(g);
}

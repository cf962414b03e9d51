#include "base/check.h"
#include "control/group/classic.h"
#include "dataplane/proto/gen/join_group.h"

#define group_key_type 2

/* Kafka 4.3 writes version 3 and reads 0 to 4; 4 is the first flexible one. */
#define group_value_version     3
#define group_value_version_max 4

static void put_key(struct codec_out *o, struct str id)
{
    codec_put_i16(o, group_key_type);
    codec_put_str(o, id);
}

static void put_value(struct codec_out *o, const struct classic_group *k)
{
    codec_put_i16(o, group_value_version);
    codec_put_str(o, k->protocol_type.p ? k->protocol_type : STR(""));
    codec_put_i32(o, k->generation);
    codec_put_str(o, k->protocol_name);
    codec_put_str(o, k->leader);
    codec_put_i64(o, k->state_ms);
    codec_put_i32(o, (int32_t)k->n_members);
    for (const struct classic_member *m = k->members; m; m = m->next) {
        struct str metadata = classic_member_metadata(m, k->protocol_name);
        codec_put_str(o, m->id);
        codec_put_str(o, m->instance_id);
        codec_put_str(o, m->client_id);
        codec_put_str(o, m->client_host);
        codec_put_i32(o, m->rebalance_ms);
        codec_put_i32(o, m->session_ms);
        codec_put_bytes(o, metadata.p, metadata.len);
        codec_put_bytes(o, m->assignment.p, m->assignment.len);
    }
}

bool classic_emit(struct group *g)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    struct codec_out key = {0}, value = {0};
    put_key(&key, g->id);
    put_value(&value, k);
    bool fits = !key.failed && !value.failed && group_step_fits(c, (size_t)key.len + value.len);
    if (fits) {
        group_emit(c, key.p, key.len, value.p, value.len);
        if (classic_set_str(&k->record, (struct str){(char *)value.p, value.len}) < 0)
            group_fail(c, KERR_COORDINATOR_NOT_AVAILABLE);
    }
    codec_out_free(&key);
    codec_out_free(&value);
    return fits;
}

void classic_emit_tombstone(struct group *g)
{
    struct codec_out key = {0};
    put_key(&key, g->id);
    if (key.failed)
        group_fail(g->c, KERR_COORDINATOR_NOT_AVAILABLE);
    else
        group_emit(g->c, key.p, key.len, NULL, 0);
    codec_out_free(&key);
}

int classic_dump(const struct group *g, coordinator_record_fn *fn, void *ctx)
{
    const struct classic_group *k = g->classic;
    if (str_is_null(k->record))
        return 0;
    struct codec_out key = {0};
    put_key(&key, g->id);
    int rc = key.failed ? ERR_NO_MEMORY
                        : fn(ctx, &(struct group_record){
                                      key.p, key.len, (const uint8_t *)k->record.p, k->record.len});
    codec_out_free(&key);
    return rc;
}

/* --- reading --- */

static void member_read(struct codec_in *in, int16_t version, struct classic_member_spec *spec,
                        struct join_group_request_protocol *protocol, struct str *assignment)
{
    bool compact = version >= 4;
    spec->id = codec_get_str(in, compact);
    spec->instance_id = version >= 3 ? codec_get_str(in, compact) : STR_NULL;
    spec->client_id = codec_get_str(in, compact);
    spec->client_host = codec_get_str(in, compact);
    spec->rebalance_ms = version >= 1 ? codec_get_i32(in) : -1;
    spec->session_ms = codec_get_i32(in);
    if (spec->rebalance_ms == -1)
        spec->rebalance_ms = spec->session_ms;
    struct str metadata = codec_get_bytes(in, compact);
    protocol->metadata = (struct proto_bytes){(const uint8_t *)metadata.p, metadata.len};
    *assignment = codec_get_bytes(in, compact);
    if (compact)
        codec_skip_tags(in);
    if (str_is_null(spec->id) || str_is_null(spec->client_id) || str_is_null(spec->client_host))
        in->bad = true;
}

struct group_header {
    struct str type, protocol, leader;
    int32_t generation, n_members;
    int64_t state_ms;
    int16_t version;
};

static void header_read(struct codec_in *in, struct group_header *h)
{
    bool compact = h->version >= 4;
    h->type = codec_get_str(in, compact);
    h->generation = codec_get_i32(in);
    h->protocol = codec_get_str(in, compact);
    h->leader = codec_get_str(in, compact);
    h->state_ms = h->version >= 2 ? codec_get_i64(in) : -1;
    h->n_members = codec_get_count(in, compact, 10);
    if (str_is_null(h->type) || h->n_members < 0)
        in->bad = true;
}

/* Everything once before anything is changed: a corrupt record changes nothing. */
static bool legible(struct codec_in in, const struct group_header *h)
{
    for (int32_t i = 0; i < h->n_members && !in.bad; i++) {
        struct classic_member_spec spec;
        struct join_group_request_protocol protocol;
        struct str assignment;
        member_read(&in, h->version, &spec, &protocol, &assignment);
    }
    if (h->version >= 4)
        codec_skip_tags(&in);
    return !in.bad && (h->n_members == 0 || h->type.len > 0);
}

static int members_load(struct group *g, struct codec_in *in, const struct group_header *h)
{
    for (int32_t i = 0; i < h->n_members; i++) {
        struct join_group_request_protocol protocol = {.name = h->protocol};
        struct classic_member_spec spec = {
            .protocol_type = h->type, .protocols = &protocol, .n_protocols = 1};
        struct str assignment;
        member_read(in, h->version, &spec, &protocol, &assignment);
        if (classic_member_find(g->classic, spec.id) ||
            (!str_is_null(spec.instance_id) && classic_member_static(g->classic, spec.instance_id)))
            continue; /* twice in one record: the first counts */
        struct classic_member *m = classic_member_add(g, &spec);
        if (m == NULL || classic_member_set_assignment(m, assignment) < 0)
            return ERR_NO_MEMORY;
    }
    return 0;
}

static int group_load(struct group *g, struct codec_in *in, const struct group_header *h,
                      struct str record)
{
    int rc = classic_group_new(g);
    if (rc < 0)
        return rc;
    struct classic_group *k = g->classic;
    k->generation = h->generation;
    k->state_ms = h->state_ms;
    k->leaderless = str_is_null(h->leader);
    if (classic_set_str(&k->protocol_type, h->type.len ? h->type : STR_NULL) < 0 ||
        classic_set_str(&k->protocol_name, h->protocol) < 0 ||
        classic_set_str(&k->leader, h->leader) < 0 || classic_set_str(&k->record, record) < 0 ||
        members_load(g, in, h) < 0)
        return ERR_NO_MEMORY;
    k->state = k->n_members ? CLASSIC_STABLE : CLASSIC_EMPTY;
    classic_compute_subscribed(g);
    return 0;
}

/* What was there before gives way. */
static void clear_kind(struct group *g)
{
    if (g->type == GROUP_CLASSIC)
        classic_group_free(g);
    else if (g->type == GROUP_CONSUMER)
        g->c->consumer->free(g);
}

int classic_replay(struct coordinator *c, struct str group_id, const uint8_t *value, size_t len)
{
    if (value == NULL) {
        struct group *g = group_find(c, group_id);
        if (g && g->type == GROUP_CLASSIC) {
            classic_group_free(g);
            group_set_type(g, GROUP_NONE);
        }
        return 0;
    }
    struct codec_in in = {value, value + len, false};
    struct group_header h = {.version = codec_get_i16(&in)};
    if (in.bad || h.version < 0)
        return ERR_MALFORMED;
    if (h.version > group_value_version_max)
        return ERR_UNSUPPORTED;
    header_read(&in, &h);
    if (in.bad || !legible(in, &h))
        return ERR_MALFORMED;
    struct group *g = group_find_or_make(c, group_id);
    if (g == NULL)
        return ERR_NO_MEMORY;
    if (g->type != GROUP_NONE) {
        clear_kind(g);
        g->n_pending_offsets++; /* holds it while it is of no kind */
        group_set_type(g, GROUP_NONE);
        g->n_pending_offsets--;
    }
    return group_load(g, &in, &h, (struct str){(const char *)value, (uint32_t)len});
}

void classic_loaded(struct group *g)
{
    struct classic_group *k = g->classic;
    for (struct classic_member *m = k->members; m; m = m->next)
        classic_rearm_session(m);
    if (k->n_members > (uint32_t)g->c->settings.max_size)
        classic_prepare_rebalance(g); /* group.max.size is smaller now */
    else if (k->n_members > 0 && k->leaderless)
        classic_prepare_rebalance(g); /* a downgrade that was not finished (emit_downgraded) */
}

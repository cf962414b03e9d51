#include "control/group/consumer_record.h"

#include "base/err.h"

/* Writing: field by field in the order of Kafka's schemas. */

static void put_tags(struct codec_out *o, uint32_t n)
{
    codec_put_uvarint(o, n);
}

/* The only tagged field of a value: 64 bits, left out when 0. */
static void put_tagged_i64(struct codec_out *o, int64_t v)
{
    put_tags(o, v != 0);
    if (v == 0)
        return;
    codec_put_uvarint(o, 0);
    codec_put_uvarint(o, 8);
    codec_put_i64(o, v);
}

static void put_epochs(struct codec_out *o, const struct consumer_part *v, uint32_t n)
{
    uint32_t count_len = (uint32_t)bytes_uvarint32_len(n + 1);
    put_tags(o, 1);
    codec_put_uvarint(o, 0);
    codec_put_uvarint(o, count_len + 4 * n);
    codec_put_uvarint(o, n + 1);
    for (uint32_t i = 0; i < n; i++)
        codec_put_i32(o, v[i].epoch);
}

/* Partitions, topic by topic. */
static void put_parts(struct codec_out *o, const struct consumer_parts *p, bool epochs)
{
    uint32_t topics = 0;
    for (uint32_t i = 0; i < p->n; i++)
        topics += i == 0 || !uuid_eq(&p->v[i].topic, &p->v[i - 1].topic);
    codec_put_uvarint(o, topics + 1);
    for (uint32_t i = 0, n; i < p->n; i += n) {
        for (n = 1; i + n < p->n && uuid_eq(&p->v[i].topic, &p->v[i + n].topic);)
            n++;
        codec_put_raw(o, p->v[i].topic.b, 16);
        codec_put_uvarint(o, n + 1);
        for (uint32_t k = 0; k < n; k++)
            codec_put_i32(o, p->v[i + k].partition);
        if (epochs)
            put_epochs(o, p->v + i, n);
        else
            put_tags(o, 0);
    }
}

static void put_names(struct codec_out *o, const struct str *v, uint32_t n)
{
    codec_put_uvarint(o, n + 1);
    for (uint32_t i = 0; i < n; i++)
        codec_put_cstr(o, v[i]);
}

/* classic_member_metadata: tagged, always written; null unless the member is a classic one. */
static void put_classic(struct codec_out *o, const struct consumer_meta *m)
{
    struct codec_out in = {0};
    codec_put_uvarint(&in, m->classic);
    if (m->classic) {
        codec_put_i32(&in, m->session_timeout_ms);
        codec_put_uvarint(&in, m->n_protocols + 1);
        for (uint32_t i = 0; i < m->n_protocols; i++) {
            codec_put_cstr(&in, m->protocols[i].name);
            codec_put_cstr(&in, m->protocols[i].data);
            put_tags(&in, 0);
        }
        put_tags(&in, 0);
    }
    put_tags(o, 1);
    codec_put_uvarint(o, 0);
    codec_put_uvarint(o, in.len);
    codec_put_raw(o, in.p, in.len);
    o->failed |= in.failed;
    codec_out_free(&in);
}

static void put_member(struct codec_out *o, const struct consumer_meta *m)
{
    codec_put_cstr(o, m->instance_id);
    codec_put_cstr(o, m->rack_id);
    codec_put_cstr(o, m->client_id);
    codec_put_cstr(o, m->client_host);
    put_names(o, m->names, m->n_names);
    codec_put_cstr(o, m->regex);
    codec_put_i32(o, m->rebalance_timeout_ms);
    codec_put_cstr(o, m->assignor);
    put_classic(o, m);
}

static void put_current(struct codec_out *o, const struct consumer_current *c)
{
    codec_put_i32(o, c->epoch);
    codec_put_i32(o, c->previous_epoch);
    codec_put_i8(o, (int8_t)c->state);
    put_parts(o, &c->assigned, true);
    put_parts(o, &c->pending, true);
    put_tags(o, 0);
}

static void put_value(struct codec_out *o, const struct consumer_record *r)
{
    codec_put_i16(o, 0);
    switch (r->type) {
    case CONSUMER_RECORD_EPOCH:
        codec_put_i32(o, r->epoch);
        put_tagged_i64(o, (int64_t)r->hash);
        break;
    case CONSUMER_RECORD_PARTITIONS:
        codec_put_uvarint(o, 1); /* no topics */
        put_tags(o, 0);
        break;
    case CONSUMER_RECORD_MEMBER:
        put_member(o, &r->meta);
        break;
    case CONSUMER_RECORD_TARGET_EPOCH:
        codec_put_i32(o, r->epoch);
        put_tagged_i64(o, r->timestamp_ms);
        break;
    case CONSUMER_RECORD_TARGET:
        put_parts(o, &r->parts, false);
        put_tags(o, 0);
        break;
    case CONSUMER_RECORD_CURRENT:
        put_current(o, &r->cur);
        break;
    case CONSUMER_RECORD_REGEX:
        put_names(o, r->topics, r->n_topics);
        codec_put_i64(o, r->version);
        codec_put_i64(o, r->timestamp_ms);
        put_tags(o, 0);
        break;
    }
}

/* Keys whose second field names a member or an expression. */
static bool has_member(int16_t type)
{
    return type == CONSUMER_RECORD_MEMBER || type == CONSUMER_RECORD_TARGET ||
           type == CONSUMER_RECORD_CURRENT || type == CONSUMER_RECORD_REGEX;
}

void consumer_record_write(const struct consumer_record *r, struct codec_out *key,
                           struct codec_out *value)
{
    codec_put_i16(key, (int16_t)r->type);
    codec_put_str(key, r->group);
    if (has_member((int16_t)r->type))
        codec_put_str(key, r->member);
    if (!r->tombstone)
        put_value(value, r);
}

/* --- sizes --- */

/* A length as a varint, tags and small numbers beside it, generously. */
#define field_bytes 16

size_t consumer_names_bytes(const struct str *v, uint32_t n)
{
    size_t bytes = field_bytes;
    for (uint32_t i = 0; i < n; i++)
        bytes += field_bytes + v[i].len;
    return bytes;
}

size_t consumer_meta_bytes(const struct consumer_meta *m)
{
    size_t bytes = 16 * field_bytes + consumer_names_bytes(m->names, m->n_names);
    bytes += (size_t)m->instance_id.len + m->rack_id.len + m->client_id.len + m->client_host.len;
    bytes += (size_t)m->regex.len + m->assignor.len;
    for (uint32_t i = 0; i < m->n_protocols; i++)
        bytes += 2 * field_bytes + m->protocols[i].name.len + m->protocols[i].data.len;
    return bytes;
}

/* Number and epoch of each; a topic may be among those assigned and those to be given back. */
size_t consumer_parts_bytes(const struct consumer_parts *p)
{
    size_t bytes = 4 * field_bytes + 8 * (size_t)p->n;
    for (uint32_t i = 0, n; i < p->n; i += n) {
        for (n = 1; i + n < p->n && uuid_eq(&p->v[i].topic, &p->v[i + n].topic);)
            n++;
        size_t head = sizeof(struct uuid) + 2 + 3 * (size_t)bytes_uvarint32_len(4 * n + 8);
        bytes += n > 1 ? 2 * head : head;
    }
    return bytes;
}

int consumer_record_apply(struct consumer_group *g, const struct consumer_record *r)
{
    switch (r->type) {
    case CONSUMER_RECORD_EPOCH:
        if (!r->tombstone)
            consumer_apply_epoch(g, r->epoch, r->hash);
        return 0;
    case CONSUMER_RECORD_PARTITIONS:
        g->partition_metadata = !r->tombstone;
        return 0;
    case CONSUMER_RECORD_MEMBER:
        if (!r->tombstone)
            return consumer_apply_member(g, r->member, &r->meta);
        consumer_apply_member_gone(g, r->member);
        return 0;
    case CONSUMER_RECORD_TARGET_EPOCH:
        consumer_apply_target_epoch(g, r->tombstone ? -1 : r->epoch,
                                    r->tombstone ? 0 : r->timestamp_ms);
        return 0;
    case CONSUMER_RECORD_TARGET:
        if (!r->tombstone)
            return consumer_apply_target(g, r->member, &r->parts);
        consumer_apply_target_gone(g, r->member);
        return 0;
    case CONSUMER_RECORD_CURRENT:
        return consumer_apply_current(g, r->member, r->tombstone ? NULL : &r->cur);
    case CONSUMER_RECORD_REGEX:
        if (!r->tombstone)
            return consumer_apply_regex(g, r->member, r->topics, r->n_topics, r->version,
                                        r->timestamp_ms);
        consumer_apply_regex_gone(g, r->member);
        return 0;
    }
    return ERR_UNSUPPORTED;
}

#include "base/check.h"
#include "control/group/classic.h"
#include "control/group/offsets.h"

#define offset_key_type          1
#define offset_value_version_max 4

static void put_key(struct codec_out *o, struct str group_id, struct str topic, int32_t partition)
{
    codec_put_i16(o, offset_key_type);
    codec_put_str(o, group_id);
    codec_put_str(o, topic);
    codec_put_i32(o, partition);
}

/* Version 1 carries an expiry of its own, 4 (flexible) the topic's id as tagged field 0. */
static void put_value(struct codec_out *o, const struct group_offset *f)
{
    struct str metadata = f->metadata.len ? f->metadata : STR("");
    codec_put_i16(o, f->expire_ms >= 0 ? 1 : 4);
    codec_put_i64(o, f->offset);
    if (f->expire_ms >= 0) {
        codec_put_str(o, metadata);
        codec_put_i64(o, f->commit_ms);
        codec_put_i64(o, f->expire_ms);
        return;
    }
    codec_put_i32(o, f->leader_epoch);
    codec_put_cstr(o, metadata);
    codec_put_i64(o, f->commit_ms);
    codec_put_uvarint(o, uuid_is_zero(&f->topic_id) ? 0 : 1);
    if (!uuid_is_zero(&f->topic_id)) {
        codec_put_uvarint(o, 0);
        codec_put_uvarint(o, 16);
        codec_put_raw(o, f->topic_id.b, 16);
    }
}

void offsets_encode(struct codec_out *key, struct codec_out *value, struct str group_id,
                    struct str topic, const struct group_offset *offset)
{
    put_key(key, group_id, topic, offset->partition);
    put_value(value, offset);
}

size_t offsets_record_bytes(struct str group_id, struct str topic, struct str metadata)
{
    return (size_t)group_id.len + topic.len + metadata.len + 80;
}

void offsets_emit(struct group *g, struct str topic, const struct group_offset *offset)
{
    struct codec_out key = {0}, value = {0};
    offsets_encode(&key, &value, g->id, topic, offset);
    if (key.failed || value.failed)
        group_fail(g->c, KERR_COORDINATOR_NOT_AVAILABLE);
    else
        group_emit(g->c, key.p, key.len, value.p, value.len);
    codec_out_free(&key);
    codec_out_free(&value);
}

void offsets_emit_tombstone(struct group *g, struct str topic, int32_t partition)
{
    struct codec_out key = {0};
    put_key(&key, g->id, topic, partition);
    if (key.failed)
        group_fail(g->c, KERR_COORDINATOR_NOT_AVAILABLE);
    else
        group_emit(g->c, key.p, key.len, NULL, 0);
    codec_out_free(&key);
}

static int dump_one(const struct group *g, struct str topic, const struct group_offset *f,
                    coordinator_record_fn *fn, void *ctx)
{
    struct codec_out key = {0}, value = {0};
    offsets_encode(&key, &value, g->id, topic, f);
    int rc = key.failed || value.failed
                 ? ERR_NO_MEMORY
                 : fn(ctx, &(struct group_record){key.p, key.len, value.p, value.len});
    codec_out_free(&key);
    codec_out_free(&value);
    return rc;
}

int offsets_dump(const struct group *g, coordinator_record_fn *fn, void *ctx)
{
    struct group_topic_offsets **topics = offsets_topics_sorted(g);
    if (topics == NULL)
        return g->n_offsets ? ERR_NO_MEMORY : 0;
    int rc = 0;
    for (size_t i = 0; i < g->topics.count && rc == 0; i++)
        for (uint32_t k = 0; k < topics[i]->count && rc == 0; k++)
            rc = dump_one(g, topics[i]->name, &topics[i]->items[k], fn, ctx);
    free(topics);
    return rc;
}

/* --- reading --- */

static void tags_read(struct codec_in *in, struct group_offset *out)
{
    for (uint32_t n = codec_get_uvarint(in); n > 0 && !in->bad; n--) {
        uint32_t tag = codec_get_uvarint(in), size = codec_get_uvarint(in);
        if (tag == 0 && size == 16)
            out->topic_id = codec_get_uuid(in);
        else if (tag == 0)
            in->bad = true;
        else
            codec_view(in, size);
    }
}

static int value_parse(const uint8_t *value, size_t len, struct group_offset *out)
{
    struct codec_in in = {value, value + len, false};
    int16_t version = codec_get_i16(&in);
    if (in.bad || version < 0)
        return ERR_MALFORMED;
    if (version > offset_value_version_max)
        return ERR_UNSUPPORTED;
    out->leader_epoch = out->expire_ms = -1;
    out->offset = codec_get_i64(&in);
    if (version >= 3)
        out->leader_epoch = codec_get_i32(&in);
    out->metadata = codec_get_str(&in, version >= 4);
    out->commit_ms = codec_get_i64(&in);
    if (version == 1)
        out->expire_ms = codec_get_i64(&in);
    if (version >= 4)
        tags_read(&in, out);
    return in.bad || str_is_null(out->metadata) ? ERR_MALFORMED : 0;
}

/* An offset makes a group of its own if there is none. */
static struct group *group_for(struct coordinator *c, struct str group_id)
{
    struct group *g = group_find_or_make(c, group_id);
    if (g && g->type == GROUP_NONE && classic_group_new(g) < 0) {
        group_maybe_destroy(g);
        return NULL;
    }
    return g;
}

int offsets_replay(struct coordinator *c, const uint8_t *key, size_t key_len, const uint8_t *value,
                   size_t value_len, int64_t producer_id)
{
    struct codec_in in = {key, key + key_len, false};
    struct str group_id = codec_get_str(&in, false);
    struct str topic = codec_get_str(&in, false);
    struct group_offset offset = {.partition = codec_get_i32(&in), .order = c->record_order};
    if (in.bad || str_is_null(group_id) || str_is_null(topic))
        return ERR_MALFORMED;
    if (value == NULL) {
        struct group *g = map_get(&c->by_id, group_id.p, group_id.len);
        if (g) {
            offsets_remove(g, topic, offset.partition);
            txn_forget(g, topic, offset.partition);
            group_maybe_destroy(g);
        }
        return 0;
    }
    int rc = value_parse(value, value_len, &offset);
    if (rc < 0)
        return rc;
    struct group *g = group_for(c, group_id);
    if (g == NULL)
        return ERR_NO_MEMORY;
    return producer_id >= 0 ? txn_put(g, producer_id, topic, &offset)
                            : offsets_put(g, topic, &offset);
}

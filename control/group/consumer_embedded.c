#include "control/group/consumer_embedded.h"

#include <stdlib.h>

#include "base/err.h"
#include "control/group/coordinator.h"

static int part_cmp(const void *a, const void *b)
{
    return consumer_part_cmp(a, b);
}

/* Both messages have this list: topic names with partitions. */
static int read_parts(struct codec_in *in, const struct group_topics *topics, struct arena *a,
                      struct consumer_parts *out)
{
    struct consumer_parts p = {0};
    p.v = arena_calloc(a, (size_t)(in->end - in->p) / 4 + 1, sizeof(*p.v));
    if (p.v == NULL)
        return ERR_NO_MEMORY;
    int32_t n = codec_get_count(in, false, 6);
    for (int32_t t = 0; t < n && !in->bad; t++) {
        struct str name = codec_get_str(in, false);
        int32_t count = codec_get_count(in, false, 4);
        struct group_topic topic;
        bool known = !in->bad && !str_is_null(name) && topics->by_name(topics->ctx, name, &topic);
        for (int32_t i = 0; i < count && !in->bad; i++) {
            int32_t partition = codec_get_i32(in);
            if (known && partition >= 0 && partition < topic.partition_count)
                p.v[p.n++] = (struct consumer_part){topic.id, partition, 0};
        }
    }
    if (in->bad)
        return ERR_MALFORMED;
    qsort(p.v, p.n, sizeof(*p.v), part_cmp);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p.n; i++)
        if (kept == 0 || consumer_part_cmp(&p.v[kept - 1], &p.v[i]) != 0)
            p.v[kept++] = p.v[i];
    p.n = kept;
    *out = p;
    return 0;
}

int consumer_embedded_version(struct str subscription)
{
    if (subscription.len < 2 || bytes_get_i16(subscription.p) < 0)
        return ERR_MALFORMED;
    int16_t version = bytes_get_i16(subscription.p);
    return version > consumer_embedded_version_max ? consumer_embedded_version_max : version;
}

int consumer_subscription_read(struct str bytes, const struct group_topics *topics, struct arena *a,
                               struct consumer_embedded *out)
{
    struct codec_in in = {(const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.len, false};
    struct consumer_embedded e = {0};
    int version = consumer_embedded_version(bytes);
    if (version < 0)
        return version;
    codec_get_i16(&in);
    int32_t n = codec_get_count(&in, false, 2);
    e.topics = arena_calloc(a, (size_t)(n > 0 ? n : 0) + 1, sizeof(*e.topics));
    if (e.topics == NULL)
        return ERR_NO_MEMORY;
    for (int32_t i = 0; i < n; i++) {
        e.topics[i] = codec_get_str(&in, false);
        in.bad |= str_is_null(e.topics[i]);
    }
    e.user_data = codec_get_bytes(&in, false).len > 0;
    if (in.bad || n < 0 || n > consumer_names_max)
        return ERR_MALFORMED;
    e.n_topics = consumer_names_sort(e.topics, (uint32_t)n);
    if (version >= 1) {
        int rc = read_parts(&in, topics, a, &e.parts);
        if (rc < 0)
            return rc;
    }
    if (version >= 2)
        codec_get_i32(&in); /* the generation in which it owned them */
    if (version >= 3)
        e.rack_id = codec_get_str(&in, false);
    if (in.bad)
        return ERR_MALFORMED;
    *out = e;
    return 0;
}

int consumer_assignment_read(struct str bytes, const struct group_topics *topics, struct arena *a,
                             struct consumer_embedded *out)
{
    const uint8_t *p = (const uint8_t *)(bytes.len > 0 ? bytes.p : "");
    struct codec_in in = {p, p + bytes.len, false};
    struct consumer_embedded e = {0};
    if (bytes.len > 0) {
        if (codec_get_i16(&in) < 0)
            return ERR_MALFORMED;
        int rc = read_parts(&in, topics, a, &e.parts);
        if (rc < 0)
            return rc;
        e.user_data = codec_get_bytes(&in, false).len > 0;
    }
    if (in.bad)
        return ERR_MALFORMED;
    *out = e;
    return 0;
}

void consumer_assignment_write(struct codec_out *o, int version, const struct consumer_parts *parts,
                               const struct group_topics *topics)
{
    codec_put_i16(o, (int16_t)version);
    uint32_t count_at = o->len, count = 0;
    codec_put_i32(o, 0);
    for (uint32_t i = 0, n; i < parts->n; i += n) {
        struct group_topic topic;
        for (n = 1; i + n < parts->n && uuid_eq(&parts->v[i].topic, &parts->v[i + n].topic);)
            n++;
        if (!topics->by_id(topics->ctx, &parts->v[i].topic, &topic))
            continue;
        count++;
        codec_put_str(o, topic.name);
        codec_put_i32(o, (int32_t)n);
        for (uint32_t k = 0; k < n; k++)
            codec_put_i32(o, parts->v[i + k].partition);
    }
    codec_put_i32(o, -1); /* no user data */
    if (!o->failed)
        bytes_put_u32(o->p + count_at, count);
}

#include "control/group/consumer_record.h"

#include <stdlib.h>

#include "base/err.h"

/* Reading: whatever the bytes say, the answer is a record whose every array is in order. */

struct source {
    struct codec_in in;
    struct arena *arena;
    bool full; /* the arena is */
};

static void *take(struct source *s, size_t count, size_t size)
{
    void *p = s->in.bad || s->full ? NULL : arena_calloc(s->arena, count + 1, size);
    if (p == NULL && !s->in.bad)
        s->full = true;
    return p;
}

/* The content of tagged field 0 of 64 bits, 0 if it is not there. */
static int64_t get_tagged_i64(struct source *s)
{
    int64_t v = 0;
    for (uint32_t n = codec_get_uvarint(&s->in); n > 0 && !s->in.bad; n--) {
        uint32_t tag = codec_get_uvarint(&s->in);
        struct str field = codec_view(&s->in, codec_get_uvarint(&s->in));
        if (tag == 0 && !s->in.bad && field.len == 8)
            v = bytes_get_i64(field.p);
        else if (tag == 0)
            s->in.bad = true;
    }
    return v;
}

static const struct str *get_names(struct source *s, uint32_t *count)
{
    int32_t n = codec_get_count(&s->in, true, 1);
    if (n < 0)
        s->in.bad = true;
    struct str *v = take(s, n < 0 ? 0 : (size_t)n, sizeof(*v));
    for (int32_t i = 0; v != NULL && i < n; i++) {
        v[i] = codec_get_str(&s->in, true);
        if (str_is_null(v[i]))
            s->in.bad = true;
    }
    *count = s->in.bad || v == NULL ? 0 : consumer_names_sort(v, (uint32_t)n);
    return v;
}

static int part_cmp(const void *a, const void *b)
{
    return consumer_part_cmp(a, b);
}

static void sort_parts(struct consumer_parts *p)
{
    uint32_t kept = 0;
    if (p->n > 1)
        qsort(p->v, p->n, sizeof(*p->v), part_cmp);
    for (uint32_t i = 0; i < p->n; i++)
        if (kept == 0 || consumer_part_cmp(&p->v[kept - 1], &p->v[i]) != 0)
            p->v[kept++] = p->v[i];
    p->n = kept;
}

/* Tagged field 0 of a topic: one epoch per partition; left out or of another length: the default. */
static void get_epochs(struct source *s, struct consumer_part *v, uint32_t n, int32_t otherwise)
{
    for (uint32_t i = 0; i < n; i++)
        v[i].epoch = otherwise;
    for (uint32_t tags = codec_get_uvarint(&s->in); tags > 0 && !s->in.bad; tags--) {
        uint32_t tag = codec_get_uvarint(&s->in);
        struct str field = codec_view(&s->in, codec_get_uvarint(&s->in));
        if (s->in.bad || tag != 0)
            continue;
        const uint8_t *p = (const uint8_t *)field.p;
        struct codec_in in = {p, p + field.len, false};
        int32_t count = codec_get_count(&in, true, 4);
        for (uint32_t i = 0; count == (int32_t)n && i < n; i++)
            v[i].epoch = codec_get_i32(&in);
        s->in.bad |= in.bad;
    }
}

static struct consumer_parts get_parts(struct source *s, bool epochs, int32_t otherwise)
{
    struct consumer_parts p = {0};
    /* Four bytes each at least: what is left bounds how many there can be. */
    p.v = take(s, (size_t)(s->in.end - s->in.p) / 4, sizeof(*p.v));
    int32_t topics = codec_get_count(&s->in, true, 18);
    if (topics < 0)
        s->in.bad = true;
    for (int32_t t = 0; p.v != NULL && t < topics && !s->in.bad; t++) {
        struct uuid topic = codec_get_uuid(&s->in);
        int32_t n = codec_get_count(&s->in, true, 4);
        if (n < 0)
            s->in.bad = true;
        for (int32_t i = 0; i < n && !s->in.bad; i++)
            p.v[p.n + (uint32_t)i] = (struct consumer_part){topic, codec_get_i32(&s->in), 0};
        if (s->in.bad)
            break;
        if (epochs)
            get_epochs(s, p.v + p.n, (uint32_t)n, otherwise);
        else
            codec_skip_tags(&s->in);
        p.n += (uint32_t)n;
    }
    if (s->in.bad || p.v == NULL)
        p.n = 0;
    sort_parts(&p);
    return p;
}

static void get_protocols(struct source *s, struct consumer_meta *m)
{
    m->session_timeout_ms = codec_get_i32(&s->in);
    int32_t n = codec_get_count(&s->in, true, 3);
    if (n < 0)
        s->in.bad = true;
    m->protocols = take(s, n < 0 ? 0 : (size_t)n, sizeof(*m->protocols));
    for (int32_t i = 0; m->protocols != NULL && i < n; i++) {
        struct consumer_proto *p = &m->protocols[i];
        p->name = codec_get_str(&s->in, true);
        p->data = codec_get_bytes(&s->in, true);
        codec_skip_tags(&s->in);
        if (str_is_null(p->name) || str_is_null(p->data))
            s->in.bad = true;
    }
    codec_skip_tags(&s->in);
    m->n_protocols = s->in.bad || n < 0 ? 0 : (uint32_t)n;
    m->classic = true;
}

static struct consumer_meta get_member(struct source *s)
{
    struct consumer_meta m = {.instance_id = codec_get_str(&s->in, true)};
    m.rack_id = codec_get_str(&s->in, true);
    m.client_id = codec_get_str(&s->in, true);
    m.client_host = codec_get_str(&s->in, true);
    m.names = get_names(s, &m.n_names);
    m.regex = codec_get_str(&s->in, true);
    m.rebalance_timeout_ms = codec_get_i32(&s->in);
    m.assignor = codec_get_str(&s->in, true);
    if (str_is_null(m.client_id) || str_is_null(m.client_host))
        s->in.bad = true;
    for (uint32_t tags = codec_get_uvarint(&s->in); tags > 0 && !s->in.bad; tags--) {
        uint32_t tag = codec_get_uvarint(&s->in);
        struct str field = codec_view(&s->in, codec_get_uvarint(&s->in));
        if (s->in.bad || tag != 0 || field.len == 0 || field.p[0] == 0)
            continue; /* null: a member of the newer protocol */
        struct codec_in rest = s->in;
        const uint8_t *p = (const uint8_t *)field.p;
        s->in = (struct codec_in){p + 1, p + field.len, false};
        get_protocols(s, &m);
        rest.bad = s->in.bad;
        s->in = rest;
    }
    return m;
}

static struct consumer_current get_current(struct source *s)
{
    struct consumer_current c = {.epoch = codec_get_i32(&s->in)};
    c.previous_epoch = codec_get_i32(&s->in);
    int8_t state = codec_get_i8(&s->in);
    c.state = state >= CONSUMER_STABLE && state <= CONSUMER_UNRELEASED
                  ? (enum consumer_member_state)state
                  : CONSUMER_UNKNOWN;
    int32_t otherwise = c.epoch > 0 ? c.epoch : 0;
    c.assigned = get_parts(s, true, otherwise);
    c.pending = get_parts(s, true, otherwise);
    codec_skip_tags(&s->in);
    return c;
}

static void get_value(struct source *s, struct consumer_record *r)
{
    switch (r->type) {
    case CONSUMER_RECORD_EPOCH:
        r->epoch = codec_get_i32(&s->in);
        r->hash = (uint64_t)get_tagged_i64(s);
        break;
    case CONSUMER_RECORD_PARTITIONS:
        break; /* its content is of no use any more */
    case CONSUMER_RECORD_MEMBER:
        r->meta = get_member(s);
        break;
    case CONSUMER_RECORD_TARGET_EPOCH:
        r->epoch = codec_get_i32(&s->in);
        r->timestamp_ms = get_tagged_i64(s);
        break;
    case CONSUMER_RECORD_TARGET:
        r->parts = get_parts(s, false, 0);
        codec_skip_tags(&s->in);
        break;
    case CONSUMER_RECORD_CURRENT:
        r->cur = get_current(s);
        break;
    case CONSUMER_RECORD_REGEX:
        r->topics = get_names(s, &r->n_topics);
        r->version = codec_get_i64(&s->in);
        r->timestamp_ms = codec_get_i64(&s->in);
        codec_skip_tags(&s->in);
        break;
    }
}

static bool known(int16_t type)
{
    return (type >= CONSUMER_RECORD_EPOCH && type <= CONSUMER_RECORD_CURRENT) ||
           type == CONSUMER_RECORD_REGEX;
}

int consumer_record_read(struct consumer_record *out, int16_t type, const uint8_t *key,
                         size_t key_len, const uint8_t *value, size_t value_len, struct arena *a)
{
    struct source s = {{key, key + key_len, false}, a, false};
    struct consumer_record r = {.type = (enum consumer_record_type)type,
                                .tombstone = value == NULL};
    if (!known(type))
        return ERR_UNSUPPORTED;
    r.group = codec_get_str(&s.in, false);
    bool has_member = type == CONSUMER_RECORD_MEMBER || type == CONSUMER_RECORD_TARGET ||
                      type == CONSUMER_RECORD_CURRENT || type == CONSUMER_RECORD_REGEX;
    if (has_member)
        r.member = codec_get_str(&s.in, false);
    if (s.in.bad || str_is_null(r.group) || (has_member && str_is_null(r.member)))
        return ERR_MALFORMED;
    if (value != NULL) {
        s.in = (struct codec_in){value, value + value_len, false};
        int16_t version = codec_get_i16(&s.in);
        if (!s.in.bad && version != 0)
            return ERR_UNSUPPORTED;
        get_value(&s, &r);
        if (s.in.bad)
            return ERR_MALFORMED;
        if (s.full)
            return ERR_NO_MEMORY;
    }
    *out = r;
    return 0;
}

#include "control/meta/record.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

#define record_head_bytes 6
#define record_version    0

/* What a type's payload is made of, in this order. */
enum field {
    FIELD_ID = 1,
    FIELD_NAME = 2,
    FIELD_INTERNAL = 4,
    FIELD_PARTITION = 8,
    FIELD_DIRECTORY = 16,
    FIELD_EPOCHS = 32,
    FIELD_VALUE = 64,
    FIELD_CONFIGS = 128,
    FIELD_OS = 256,
};

static const struct {
    uint32_t fields;
    const char *name;
} shapes[] = {
    [META_CLUSTER] = {FIELD_ID, "cluster"},
    [META_BOOT] = {FIELD_VALUE | FIELD_OS, "boot"},
    [META_TOPIC] = {FIELD_ID | FIELD_NAME | FIELD_INTERNAL, "topic"},
    [META_PARTITION] = {FIELD_ID | FIELD_PARTITION | FIELD_DIRECTORY | FIELD_EPOCHS, "partition"},
    [META_PARTITION_DIRECTORY] = {FIELD_ID | FIELD_PARTITION | FIELD_DIRECTORY,
                                  "partition-directory"},
    [META_TOPIC_CONFIGS] = {FIELD_ID | FIELD_CONFIGS, "topic-configs"},
    [META_TOPIC_REMOVING] = {FIELD_ID, "topic-removing"},
    [META_TOPIC_REMOVED] = {FIELD_ID, "topic-removed"},
    [META_BROKER_CONFIGS] = {FIELD_CONFIGS, "broker-configs"},
    [META_CLUSTER_CONFIGS] = {FIELD_CONFIGS, "cluster-configs"},
    [META_PRODUCER_IDS] = {FIELD_VALUE, "producer-ids"},
    [META_GROUP_CONFIGS] = {FIELD_NAME | FIELD_CONFIGS, "group-configs"},
};
#define shape_count (sizeof(shapes) / sizeof(shapes[0]))

static uint32_t record_fields(unsigned type)
{
    return type < shape_count ? shapes[type].fields : 0;
}

const char *meta_record_type_name(enum meta_record_type type)
{
    return record_fields(type) != 0 ? shapes[type].name : "unknown";
}

static uint64_t configs_size(const struct meta_record *r)
{
    uint64_t n = 4;
    for (uint32_t i = 0; i < r->config_count; i++)
        n += 8 + (uint64_t)r->configs[i].name.len + r->configs[i].value.len;
    return n;
}

int64_t meta_record_size(const struct meta_record *r)
{
    uint32_t f = record_fields(r->type);
    if (f == 0)
        return ERR_INVALID;
    if ((f & FIELD_CONFIGS) && r->config_count > meta_configs_max)
        return ERR_TOO_LARGE;
    uint64_t n = record_head_bytes;
    n += f & FIELD_ID ? 16 : 0;
    n += f & FIELD_NAME ? 4 + (uint64_t)r->name.len : 0;
    n += f & FIELD_INTERNAL ? 1 : 0;
    n += f & FIELD_PARTITION ? 4 : 0;
    n += f & FIELD_DIRECTORY ? 16 : 0;
    n += f & FIELD_EPOCHS ? 8 : 0;
    n += f & FIELD_VALUE ? 8 : 0;
    n += f & FIELD_CONFIGS ? configs_size(r) : 0;
    n += f & FIELD_OS ? 1 : 0;
    return n > meta_record_bytes_max ? ERR_TOO_LARGE : (int64_t)n;
}

static uint8_t *put_str(uint8_t *p, struct str s)
{
    bytes_put_u32(p, s.len);
    if (s.len != 0)
        memcpy(p + 4, s.p, s.len);
    return p + 4 + s.len;
}

static uint8_t *put_configs(uint8_t *p, const struct meta_record *r)
{
    bytes_put_u32(p, r->config_count);
    p += 4;
    for (uint32_t i = 0; i < r->config_count; i++)
        p = put_str(put_str(p, r->configs[i].name), r->configs[i].value);
    return p;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
    bytes_put_u32(p, v);
    return p + 4;
}

static uint8_t *put_uuid(uint8_t *p, const struct uuid *id)
{
    memcpy(p, id->b, 16);
    return p + 16;
}

size_t meta_record_encode(const struct meta_record *r, uint8_t *out)
{
    uint32_t f = record_fields(r->type);
    uint8_t *p = out + record_head_bytes;
    if (f & FIELD_ID)
        p = put_uuid(p, &r->id);
    if (f & FIELD_NAME)
        p = put_str(p, r->name);
    if (f & FIELD_INTERNAL)
        *p++ = r->internal;
    if (f & FIELD_PARTITION)
        p = put_u32(p, (uint32_t)r->partition);
    if (f & FIELD_DIRECTORY)
        p = put_uuid(p, &r->directory);
    if (f & FIELD_EPOCHS)
        p = put_u32(put_u32(p, (uint32_t)r->leader_epoch), (uint32_t)r->partition_epoch);
    if (f & FIELD_VALUE) {
        bytes_put_u64(p, (uint64_t)r->value);
        p += 8;
    }
    if (f & FIELD_CONFIGS)
        p = put_configs(p, r);
    if (f & FIELD_OS)
        *p++ = r->os_durability;
    out[0] = (uint8_t)r->type;
    out[1] = record_version;
    bytes_put_u32(out + 2, (uint32_t)(p - out - record_head_bytes));
    return (size_t)(p - out);
}

/* A bounded reader over the payload; the first fault sticks. */
struct cut {
    const uint8_t *p, *end;
    bool bad;
};

static const uint8_t *cut_take(struct cut *c, size_t n)
{
    static const uint8_t zeros[16];
    if (c->bad || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return zeros;
    }
    const uint8_t *p = c->p;
    c->p += n;
    return p;
}

static struct uuid cut_uuid(struct cut *c)
{
    struct uuid id;
    memcpy(id.b, cut_take(c, 16), 16);
    return id;
}

static uint32_t cut_u32(struct cut *c)
{
    return bytes_get_u32(cut_take(c, 4));
}

static struct str cut_str(struct cut *c)
{
    uint32_t n = cut_u32(c);
    if (c->bad || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return STR("");
    }
    return (struct str){(const char *)cut_take(c, n), n};
}

static void cut_configs(struct cut *c, struct meta_record *r, struct meta_config *configs)
{
    uint32_t n = cut_u32(c);
    if (n > meta_configs_max)
        c->bad = true;
    for (uint32_t i = 0; i < n && !c->bad; i++) {
        configs[i].name = cut_str(c);
        configs[i].value = cut_str(c);
    }
    r->configs = configs;
    r->config_count = n;
}

static void cut_fields(struct cut *c, uint32_t f, struct meta_record *r,
                       struct meta_config *configs)
{
    if (f & FIELD_ID)
        r->id = cut_uuid(c);
    if (f & FIELD_NAME)
        r->name = cut_str(c);
    if (f & FIELD_INTERNAL)
        r->internal = *cut_take(c, 1) != 0;
    if (f & FIELD_PARTITION)
        r->partition = (int32_t)cut_u32(c);
    if (f & FIELD_DIRECTORY)
        r->directory = cut_uuid(c);
    if (f & FIELD_EPOCHS) {
        r->leader_epoch = (int32_t)cut_u32(c);
        r->partition_epoch = (int32_t)cut_u32(c);
    }
    if (f & FIELD_VALUE)
        r->value = (int64_t)bytes_get_u64(cut_take(c, 8));
    if (f & FIELD_CONFIGS)
        cut_configs(c, r, configs);
    if (f & FIELD_OS)
        r->os_durability = *cut_take(c, 1) != 0;
}

int64_t meta_record_decode(const uint8_t *p, size_t n, struct meta_record *out,
                           struct meta_config *configs)
{
    if (n < record_head_bytes)
        return ERR_NEED_MORE;
    uint32_t fields = record_fields(p[0]);
    if (fields == 0 || p[1] != record_version)
        return ERR_UNSUPPORTED;
    uint32_t length = bytes_get_u32(p + 2);
    if (length > meta_record_bytes_max - record_head_bytes)
        return ERR_TOO_LARGE;
    if (length > n - record_head_bytes)
        return ERR_NEED_MORE;
    struct meta_record r = {.type = (enum meta_record_type)p[0]};
    struct cut cut = {p + record_head_bytes, p + record_head_bytes + length, false};
    cut_fields(&cut, fields, &r, configs);
    if (cut.bad || cut.p != cut.end)
        return ERR_MALFORMED;
    *out = r;
    return (int64_t)record_head_bytes + length;
}

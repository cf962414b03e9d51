#include "control/config/topic_config.h"

#include "base/check.h"
#include "base/err.h"
#include "control/config/config_impl.h"
#include "control/config/rules.h"

#define CONFIG_NONE CONFIG_KEY_NONE

static const struct config_def defs[TOPIC_KEY_COUNT] = {
#define TOPIC_KEY(symbol, name, type, default_text, rule, broker, use, doc)                        \
    [TOPIC_##symbol] = CONFIG_DEF(name, type, default_text, rule, MEDIUM, CLUSTER_WIDE, use, doc),
#include "control/config/topic_keys.def"
#undef TOPIC_KEY
};

static const enum config_key broker_keys[TOPIC_KEY_COUNT] = {
#define TOPIC_KEY(symbol, name, type, default_text, rule, broker, use, doc)                        \
    [TOPIC_##symbol] = CONFIG_##broker,
#include "control/config/topic_keys.def"
#undef TOPIC_KEY
};

const struct config_def *topic_key_def(enum topic_key key)
{
    CHECK(key < TOPIC_KEY_COUNT);
    return &defs[key];
}

enum topic_key topic_key_find(struct str name)
{
    for (unsigned i = 0; i < TOPIC_KEY_COUNT; i++)
        if (name.len == defs[i].name_len && name.p && memcmp(name.p, defs[i].name, name.len) == 0)
            return (enum topic_key)i;
    return TOPIC_KEY_COUNT;
}

enum config_key topic_key_broker_key(enum topic_key key)
{
    CHECK(key < TOPIC_KEY_COUNT);
    return broker_keys[key];
}

/* What the broker's configuration gives for a topic without a setting of its own. */
static int inherited(const struct config *c, enum topic_key key, struct arena *arena,
                     struct config_value *out)
{
    switch (key) {
    case TOPIC_SEGMENT_MS:
        *out = (struct config_value){.integer = config_roll_ms(c)};
        return 0;
    case TOPIC_SEGMENT_JITTER_MS:
        *out = (struct config_value){.integer = config_roll_jitter_ms(c)};
        return 0;
    case TOPIC_RETENTION_MS:
        *out = (struct config_value){.integer = config_retention_ms(c)};
        return 0;
    case TOPIC_FLUSH_MS:
        *out = (struct config_value){.integer = config_flush_ms(c)};
        return 0;
    default:
        break;
    }
    if (broker_keys[key] == CONFIG_KEY_NONE)
        return config_value_default(&defs[key], arena, out);
    *out = c->slots[broker_keys[key]].value;
    return 0;
}

int topic_config_value(const struct config *c, enum topic_key key, struct str own,
                       struct arena *arena, struct config_value *out, struct str *why)
{
    CHECK(key < TOPIC_KEY_COUNT);
    if (own.p == NULL)
        return inherited(c, key, arena, out);
    return config_value_parse(&defs[key], own, arena, out, why);
}

/* Of several unknown names Kafka tells the one that stands first in a Java map. */
static int check_names(struct config_pairs own, struct arena *arena, struct str *why)
{
    const char *unknown[TOPIC_KEY_COUNT];
    uint16_t order[TOPIC_KEY_COUNT];
    uint32_t n = 0;
    for (uint32_t i = 0; i < own.count && n < TOPIC_KEY_COUNT; i++) {
        if (topic_key_find(own.items[i].name) != TOPIC_KEY_COUNT)
            continue;
        unknown[n] = arena_str(arena, own.items[i].name).p;
        if (unknown[n++] == NULL)
            return ERR_NO_MEMORY;
    }
    if (n == 0)
        return 0;
    config_java_order(unknown, n, config_java_buckets(own.count), order);
    *why = arena_printf(arena, "Unknown topic config name: %s", unknown[order[0]]);
    return ERR_INVALID;
}

static int check_relations(const struct config_value *values, struct arena *arena, struct str *why)
{
    int64_t min = values[TOPIC_MIN_COMPACTION_LAG_MS].integer;
    int64_t max = values[TOPIC_MAX_COMPACTION_LAG_MS].integer;
    if (min > max) {
        *why = arena_printf(arena,
                            "conflict topic config setting min.compaction.lag.ms (%lld) > "
                            "max.compaction.lag.ms (%lld)",
                            (long long)min, (long long)max);
        return ERR_INVALID;
    }
    if (values[TOPIC_REMOTE_STORAGE_ENABLE].boolean) {
        *why = STR("Tiered Storage functionality is disabled in the broker. Topic cannot be "
                   "configured with remote log storage.");
        return ERR_INVALID;
    }
    return 0;
}

int topic_config_validate(const struct config *c, struct config_pairs own, struct arena *arena,
                          struct str *why)
{
    struct config_value values[TOPIC_KEY_COUNT];
    int err = check_names(own, arena, why);
    for (unsigned i = 0; i < TOPIC_KEY_COUNT && err == 0; i++)
        err =
            topic_config_value(c, (enum topic_key)i, config_pairs_get(own, str_from(defs[i].name)),
                               arena, &values[i], why);
    return err ? err : check_relations(values, arena, why);
}

static bool list_has(const struct config_value *value, const char *item)
{
    for (uint32_t i = 0; i < value->list.count; i++)
        if (str_eqz(value->list.items[i], item))
            return true;
    return false;
}

static enum topic_compression compression_of(struct str name)
{
    static const char *const names[] = {"producer", "uncompressed", "gzip",
                                        "snappy",   "lz4",          "zstd"};
    for (int i = 0; i < 6; i++)
        if (str_eqz(name, names[i]))
            return (enum topic_compression)i;
    return TOPIC_COMPRESSION_PRODUCER;
}

static void fill(const struct config_value *v, struct topic_config *out)
{
    const struct config_value *internal = &v[TOPIC_INTERNAL_SEGMENT_BYTES];
    int64_t segment = internal->null ? v[TOPIC_SEGMENT_BYTES].integer : internal->integer;
    *out = (struct topic_config){
        .segment_bytes = segment < 1 ? 1 : segment,
        .segment_ms = v[TOPIC_SEGMENT_MS].integer,
        .segment_jitter_ms = v[TOPIC_SEGMENT_JITTER_MS].integer,
        .segment_index_bytes = (int32_t)v[TOPIC_SEGMENT_INDEX_BYTES].integer,
        .index_interval_bytes = (int32_t)v[TOPIC_INDEX_INTERVAL_BYTES].integer,
        .flush_messages = v[TOPIC_FLUSH_MESSAGES].integer,
        .flush_ms = v[TOPIC_FLUSH_MS].integer,
        .retention_bytes = v[TOPIC_RETENTION_BYTES].integer,
        .retention_ms = v[TOPIC_RETENTION_MS].integer,
        .max_message_bytes = (int32_t)v[TOPIC_MAX_MESSAGE_BYTES].integer,
        .delete_retention_ms = v[TOPIC_DELETE_RETENTION_MS].integer,
        .file_delete_delay_ms = v[TOPIC_FILE_DELETE_DELAY_MS].integer,
        .min_compaction_lag_ms = v[TOPIC_MIN_COMPACTION_LAG_MS].integer,
        .max_compaction_lag_ms = v[TOPIC_MAX_COMPACTION_LAG_MS].integer,
        .min_cleanable_dirty_ratio = v[TOPIC_MIN_CLEANABLE_DIRTY_RATIO].real,
        .timestamp_before_max_ms = v[TOPIC_MESSAGE_TIMESTAMP_BEFORE_MAX_MS].integer,
        .timestamp_after_max_ms = v[TOPIC_MESSAGE_TIMESTAMP_AFTER_MAX_MS].integer,
        .min_insync_replicas = (int32_t)v[TOPIC_MIN_INSYNC_REPLICAS].integer,
        .gzip_level = (int32_t)v[TOPIC_COMPRESSION_GZIP_LEVEL].integer,
        .lz4_level = (int32_t)v[TOPIC_COMPRESSION_LZ4_LEVEL].integer,
        .zstd_level = (int32_t)v[TOPIC_COMPRESSION_ZSTD_LEVEL].integer,
        .compression = compression_of(v[TOPIC_COMPRESSION_TYPE].string),
        .is_compacted = list_has(&v[TOPIC_CLEANUP_POLICY], "compact"),
        .is_deleted = list_has(&v[TOPIC_CLEANUP_POLICY], "delete"),
        .is_append_time = str_eqz(v[TOPIC_MESSAGE_TIMESTAMP_TYPE].string, "LogAppendTime"),
        .is_unclean_election_allowed = v[TOPIC_UNCLEAN_LEADER_ELECTION_ENABLE].boolean,
        .is_preallocated = v[TOPIC_PREALLOCATE].boolean,
    };
}

int topic_config_build(const struct config *c, struct config_pairs own, struct topic_config *out)
{
    struct config_value values[TOPIC_KEY_COUNT];
    struct arena arena;
    int err = 0;
    arena_init(&arena, config_bytes_max);
    for (unsigned i = 0; i < TOPIC_KEY_COUNT && err == 0; i++) {
        enum topic_key key = (enum topic_key)i;
        struct str text = config_pairs_get(own, str_from(defs[i].name));
        err = topic_config_value(c, key, text, &arena, &values[i], NULL);
        if (err == ERR_INVALID)
            err = topic_config_value(c, key, STR_NULL, &arena, &values[i], NULL);
    }
    if (err == 0)
        fill(values, out);
    arena_free(&arena);
    return err;
}

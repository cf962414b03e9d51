#include "control/config/alter.h"

#include <stdio.h>

#include "base/err.h"
#include "control/config/config_impl.h"
#include "control/config/group_config.h"
#include "control/config/number.h"
#include "control/config/topic_config.h"

/* One change under way. `pairs` are the settings as they become; there is room for one more each op. */
struct change {
    const struct config *config;
    struct arena *arena;
    struct config_alter_result *out;
    struct config_pair *pairs;
    uint32_t count;
};

/* Fills the result with an error. Always 1: the change ends here. */
static int end(struct change *x, int16_t error, struct str message)
{
    *x->out = (struct config_alter_result){.error = error, .message = message};
    return 1;
}

#define END(x, error, ...) end(x, error, arena_printf((x)->arena, __VA_ARGS__))

/* ---- the settings under change ---- */

static struct config_pair *find(struct change *x, struct str name)
{
    for (uint32_t i = 0; i < x->count; i++)
        if (str_eq(x->pairs[i].name, name))
            return &x->pairs[i];
    return NULL;
}

static void put(struct change *x, struct str name, struct str value)
{
    struct config_pair *old = find(x, name);
    if (old)
        old->value = value;
    else
        x->pairs[x->count++] = (struct config_pair){name, value};
}

static void drop(struct change *x, struct str name)
{
    struct config_pair *old = find(x, name);
    if (old) {
        memmove(old, old + 1, (size_t)(x->pairs + x->count - old - 1) * sizeof(*old));
        x->count--;
    }
}

static int begin(struct change *x, const struct config *c, struct config_pairs current,
                 enum config_alter_kind kind, uint32_t op_count, struct arena *arena,
                 struct config_alter_result *out)
{
    uint32_t old = kind == CONFIG_ALTER_INCREMENTAL ? current.count : 0;
    *x = (struct change){.config = c, .arena = arena, .out = out, .count = old};
    x->pairs = arena_calloc(arena, (size_t)old + op_count, sizeof(*x->pairs));
    if (x->pairs == NULL)
        return ERR_NO_MEMORY;
    if (old)
        memcpy(x->pairs, current.items, old * sizeof(*x->pairs));
    return 0;
}

/* ---- operations on lists: raw texts, as Kafka keeps them ---- */

static bool raw_has(const struct str *items, uint32_t count, struct str item)
{
    for (uint32_t i = 0; i < count; i++)
        if (str_eq(items[i], item))
            return true;
    return false;
}

/* Splits at commas without trimming; empty items are left out of `list` when skip_empty. */
static uint32_t raw_split(struct str text, bool skip_empty, struct str *items)
{
    uint32_t n = 0;
    for (uint32_t start = 0; start <= text.len;) {
        uint32_t end_at = start;
        while (end_at < text.len && text.p[end_at] != ',')
            end_at++;
        if (end_at > start || !skip_empty)
            items[n++] = (struct str){text.p + start, end_at - start};
        start = end_at + 1;
    }
    return n;
}

static struct str raw_join(struct arena *arena, const struct str *items, uint32_t count)
{
    size_t size = 1;
    for (uint32_t i = 0; i < count; i++)
        size += items[i].len + 1;
    char *text = arena_alloc(arena, size), *p = text;
    if (text == NULL)
        return STR_NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            *p++ = ',';
        p = mempcpy(p, items[i].p, items[i].len);
    }
    return (struct str){text, (uint32_t)(p - text)};
}

static uint32_t comma_count(struct str s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s.len; i++)
        n += s.p[i] == ',';
    return n;
}

/* APPEND and SUBTRACT of op's items to the key's text, or to its default if it has none. */
static int change_list(struct change *x, const struct config_def *def, const struct config_op *op)
{
    struct config_pair *old = find(x, op->name);
    struct str before = old ? old->value : str_from(def->default_text ? def->default_text : "");
    size_t room = (size_t)comma_count(before) + comma_count(op->value) + 2;
    struct str *items = arena_calloc(x->arena, room, sizeof(*items));
    struct str *more = arena_calloc(x->arena, room, sizeof(*more));
    if (items == NULL || more == NULL)
        return ERR_NO_MEMORY;
    uint32_t n = raw_split(before, true, items), m = raw_split(op->value, false, more);
    for (uint32_t i = 0; i < m; i++) {
        if (op->type == CONFIG_OP_APPEND) {
            if (!raw_has(items, n, more[i]))
                items[n++] = more[i];
            continue;
        }
        for (uint32_t j = 0; j < n; j++) {
            if (str_eq(items[j], more[i])) {
                memmove(&items[j], &items[j + 1], (n - j - 1) * sizeof(*items));
                n--;
                break;
            }
        }
    }
    struct str joined = raw_join(x->arena, items, n);
    if (joined.p == NULL)
        return ERR_NO_MEMORY;
    put(x, op->name, joined);
    return 0;
}

/* ---- what every change checks first ---- */

static int check_ops(struct change *x, const struct config_op *ops, uint32_t op_count)
{
    struct str nulls = STR("");
    bool any_null = false;
    if (op_count > config_dynamic_pairs_max)
        return END(x, KERR_INVALID_REQUEST, "Too many config keys");
    for (uint32_t i = 0; i < op_count; i++) {
        for (uint32_t j = 0; j < i; j++)
            if (str_eq(ops[i].name, ops[j].name))
                return end(x, KERR_INVALID_REQUEST, STR("Error due to duplicate config keys"));
        if (ops[i].value.p == NULL && ops[i].type != CONFIG_OP_DELETE) {
            nulls = arena_printf(x->arena, "%.*s%s%.*s", STR_ARG(nulls), any_null ? ", " : "",
                                 STR_ARG(ops[i].name));
            any_null = true;
        }
    }
    if (any_null)
        return END(x, KERR_INVALID_REQUEST, "Null value not supported for : %.*s", STR_ARG(nulls));
    return 0;
}

static void finish(struct change *x)
{
    *x->out = (struct config_alter_result){.pairs = {x->pairs, x->count}};
}

/* ---- topics ---- */

static int topic_op(struct change *x, const struct config_op *op)
{
    enum topic_key key = topic_key_find(op->name);
    bool is_list = key != TOPIC_KEY_COUNT && topic_key_def(key)->type == CONFIG_TYPE_LIST;
    switch (op->type) {
    case CONFIG_OP_SET:
        put(x, op->name, op->value);
        return 0;
    case CONFIG_OP_DELETE:
        drop(x, op->name);
        return 0;
    case CONFIG_OP_APPEND:
    case CONFIG_OP_SUBTRACT:
        if (!is_list)
            return END(x, KERR_INVALID_CONFIG, "Can't %s to key %.*s because its type is not LIST.",
                       op->type == CONFIG_OP_APPEND ? "APPEND" : "SUBTRACT", STR_ARG(op->name));
        return change_list(x, topic_key_def(key), op);
    default:
        return end(x, KERR_UNKNOWN_SERVER_ERROR, STR_NULL);
    }
}

/* CreateTopics: the last of two equal keys counts, null values have words of their own. */
static int create_ops(struct change *x, const struct config_op *ops, uint32_t op_count)
{
    struct str nulls = STR("");
    bool any_null = false;
    if (op_count > config_dynamic_pairs_max)
        return END(x, KERR_INVALID_CONFIG, "Too many config keys");
    for (uint32_t i = 0; i < op_count; i++) {
        if (ops[i].value.p) {
            put(x, ops[i].name, ops[i].value);
            continue;
        }
        nulls = arena_printf(x->arena, "%.*s%s%.*s", STR_ARG(nulls), any_null ? "," : "",
                             STR_ARG(ops[i].name));
        any_null = true;
    }
    if (any_null)
        return END(x, KERR_INVALID_CONFIG, "Null value not supported for topic configs: %.*s",
                   STR_ARG(nulls));
    return 0;
}

int config_alter_topic(const struct config *c, enum config_alter_kind kind,
                       struct config_pairs current, const struct config_op *ops, uint32_t op_count,
                       struct arena *arena, struct config_alter_result *out)
{
    struct change x;
    struct str why = STR_NULL;
    int err = begin(&x, c, current, kind, op_count, arena, out);
    if (err == 0 && kind == CONFIG_ALTER_CREATE) {
        err = create_ops(&x, ops, op_count);
    } else if (err == 0) {
        err = check_ops(&x, ops, op_count);
        for (uint32_t i = 0; i < op_count && err == 0; i++)
            err = topic_op(&x, &ops[i]);
    }
    if (err == 0)
        err = topic_config_validate(c, (struct config_pairs){x.pairs, x.count}, arena, &why);
    if (err == ERR_INVALID)
        err = end(&x, KERR_INVALID_CONFIG, why);
    if (err == 0)
        finish(&x);
    return err < 0 ? err : 0;
}

/* ---- groups ---- */

/* No key of a group is a list. */
static int group_op(struct change *x, const struct config_op *op)
{
    switch (op->type) {
    case CONFIG_OP_SET:
        put(x, op->name, config_trim(op->value)); /* all are numbers */
        return 0;
    case CONFIG_OP_DELETE:
        drop(x, op->name);
        return 0;
    case CONFIG_OP_APPEND:
    case CONFIG_OP_SUBTRACT:
        return END(x, KERR_INVALID_CONFIG, "Can't %s to key %.*s because its type is not LIST.",
                   op->type == CONFIG_OP_APPEND ? "APPEND" : "SUBTRACT", STR_ARG(op->name));
    default:
        return end(x, KERR_UNKNOWN_SERVER_ERROR, STR_NULL);
    }
}

int config_alter_group(const struct config *c, enum config_alter_kind kind,
                       struct config_pairs current, const struct config_op *ops, uint32_t op_count,
                       struct arena *arena, struct config_alter_result *out)
{
    struct change x;
    struct str why = STR_NULL;
    int err = begin(&x, c, current, kind, op_count, arena, out);
    if (err == 0)
        err = check_ops(&x, ops, op_count);
    for (uint32_t i = 0; i < op_count && err == 0; i++)
        err = group_op(&x, &ops[i]);
    if (err == 0)
        err = group_config_validate(c, (struct config_pairs){x.pairs, x.count}, arena, &why);
    if (err == ERR_INVALID)
        err = end(&x, KERR_INVALID_CONFIG, why);
    if (err == 0)
        finish(&x);
    return err < 0 ? err : 0;
}

/* ---- the broker ---- */

static int broker_op(struct change *x, const struct config_op *op)
{
    enum config_key key = config_key_find(op->name);
    switch (op->type) {
    case CONFIG_OP_SET:
        put(x, op->name, op->value);
        return 0;
    case CONFIG_OP_DELETE:
        drop(x, op->name);
        return 0;
    case CONFIG_OP_APPEND:
    case CONFIG_OP_SUBTRACT:
        if (key == CONFIG_KEY_NONE || config_key_def(key)->use == CONFIG_USE_DYNAMIC)
            return END(x, KERR_INVALID_CONFIG, "Unknown config name: %.*s", STR_ARG(op->name));
        if (config_key_def(key)->type != CONFIG_TYPE_LIST)
            return END(x, KERR_INVALID_CONFIG,
                       "Config value %s is not allowed for config key: %.*s",
                       op->type == CONFIG_OP_APPEND ? "append" : "subtract", STR_ARG(op->name));
        return change_list(x, config_key_def(key), op);
    default:
        return END(x, KERR_INVALID_REQUEST, "Unknown operations type %d", op->type);
    }
}

typedef bool name_test(struct str name);

static bool is_read_only(struct str name)
{
    enum config_key key = config_key_find(name);
    return key != CONFIG_KEY_NONE && config_key_def(key)->mode == CONFIG_MODE_READ_ONLY;
}

static bool is_plain_security(struct str name)
{
    static const char *const names[] = {"ssl.keystore.type",
                                        "ssl.keystore.location",
                                        "ssl.keystore.password",
                                        "ssl.key.password",
                                        "ssl.truststore.type",
                                        "ssl.truststore.location",
                                        "ssl.keystore.key",
                                        "ssl.keystore.certificate.chain",
                                        "ssl.truststore.certificates",
                                        "ssl.truststore.password"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_eqz(name, names[i]))
            return true;
    return false;
}

static bool is_per_broker(struct str name)
{
    struct str listener, rest;
    if (config_key_split_listener(name, &listener, &rest))
        return !str_eqz(rest, "max.connections") &&
               !str_eqz(rest, "max.connection.creation.rate") &&
               !str_eqz(rest, "num.network.threads");
    enum config_key key = config_key_find(name);
    return key != CONFIG_KEY_NONE && config_key_def(key)->mode == CONFIG_MODE_PER_BROKER;
}

/* Ends the change if a name passes the test: "words: [a, b]", in the order of a Java set. */
static int refuse_names(struct change *x, name_test *test, const char *words)
{
    const char *names[config_dynamic_pairs_max];
    uint16_t order[config_dynamic_pairs_max];
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->count && n < CONFIG_KEY_COUNT; i++) {
        if (!test(x->pairs[i].name))
            continue;
        names[n] = arena_str(x->arena, x->pairs[i].name).p;
        if (names[n++] == NULL)
            return ERR_NO_MEMORY;
    }
    if (n == 0)
        return 0;
    config_java_order(names, n, config_java_buckets(n), order);
    struct str all = STR("");
    for (uint32_t i = 0; i < n; i++)
        all = arena_printf(x->arena, "%.*s%s%s", STR_ARG(all), i ? ", " : "", names[order[i]]);
    return END(x, KERR_INVALID_REQUEST, "%s: [%.*s]", words, STR_ARG(all));
}

/* Values by type and rule, in the order of the table; a listener's own setting by its last part. */
static int check_values(struct change *x)
{
    for (unsigned k = 0; k < CONFIG_KEY_COUNT; k++) {
        const struct config_def *def = config_key_def((enum config_key)k);
        if (def->mode == CONFIG_MODE_READ_ONLY)
            continue;
        for (uint32_t i = 0; i < x->count; i++) {
            struct str name = x->pairs[i].name, listener, rest, why;
            struct config_value value;
            if (config_key_split_listener(name, &listener, &rest))
                name = rest;
            if (!str_eqz(name, def->name))
                continue;
            int err = config_value_parse(def, x->pairs[i].value, x->arena, &value, &why);
            if (err == ERR_INVALID)
                return end(x, KERR_INVALID_REQUEST, why);
            if (err)
                return err;
        }
    }
    return 0;
}

/* A number of threads may at most double or halve in one step. */
static int check_threads(struct change *x, const struct config *then)
{
    static const enum config_key keys[] = {CONFIG_NUM_IO_THREADS, CONFIG_NUM_REPLICA_FETCHERS,
                                           CONFIG_NUM_RECOVERY_THREADS_PER_DATA_DIR,
                                           CONFIG_BACKGROUND_THREADS, CONFIG_NUM_NETWORK_THREADS};
    static const char *const frame =
        "Invalid value org.apache.kafka.common.config.ConfigException: "
        "%s%s%s%s for configuration Invalid dynamic configuration";
    char value[32], old[64];
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        int32_t now = config_int(x->config, keys[i]), next = config_int(then, keys[i]);
        if (next >= now / 2 && next <= (int64_t)now * 2)
            continue;
        snprintf(value, sizeof(value), "=%d, ", next);
        snprintf(old, sizeof(old), "value should %s the current value %d",
                 next > now ? "not be greater than double" : "be at least half", now);
        char words[128];
        snprintf(words, sizeof(words), "Dynamic thread count update validation failed for %s",
                 config_key_def(keys[i])->name);
        return END(x, KERR_INVALID_REQUEST, frame, words, value, old, "");
    }
    int32_t now = config_int(x->config, CONFIG_LOG_CLEANER_THREADS);
    int32_t next = config_int(then, CONFIG_LOG_CLEANER_THREADS);
    if (next == now || (next >= 1 && next >= now / 2 && next <= (int64_t)now * 2))
        return 0;
    snprintf(value, sizeof(value), "%d", now);
    if (next < 1)
        return END(x, KERR_INVALID_REQUEST, frame, "Log cleaner threads should be at least 1", "",
                   "", "");
    return END(x, KERR_INVALID_REQUEST, frame, "Log cleaner threads cannot be ",
               next > now ? "increased to more than double" : "reduced to less than half",
               " the current value ", value);
}

/* Listeners cannot be opened or closed while the broker runs (Kafka can). */
static int check_listeners(struct change *x, const struct config *then)
{
    static const enum config_key keys[] = {CONFIG_LISTENERS, CONFIG_LISTENER_SECURITY_PROTOCOL_MAP};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct config_def *def = config_key_def(keys[i]);
        struct str now = config_value_text(def, &x->config->slots[keys[i]].value, x->arena);
        struct str next = config_value_text(def, &then->slots[keys[i]].value, x->arena);
        if (!str_eq(now, next))
            return END(x, KERR_INVALID_REQUEST, "%s cannot change while this broker runs",
                       def->name);
    }
    return 0;
}

/* Kafka loads the classes that report metrics; there is none here but the one it has by default. */
static int check_reporters(struct change *x, const struct config *then)
{
    struct config_list list = config_list(then, CONFIG_METRIC_REPORTERS);
    for (uint32_t i = 0; i < list.count; i++)
        if (!str_eqz(list.items[i], "org.apache.kafka.common.metrics.JmxReporter"))
            return end(x, KERR_INVALID_REQUEST,
                       STR("Invalid value org.apache.kafka.common.config.ConfigException: "
                           "Validation of dynamic config update of Set(metric.reporters) failed "
                           "with class class kafka.server.DynamicMetricsReporters for "
                           "configuration Invalid dynamic configuration"));
    return 0;
}

/* What the whole configuration would be, against the conditions between keys. */
static int check_whole(struct change *x, bool per_broker)
{
    struct config_pairs changed = {x->pairs, x->count};
    struct config *then;
    int err = config_with_dynamic(&then, x->config, per_broker ? x->config->cluster : changed,
                                  per_broker ? changed : x->config->broker, NULL);
    if (err == ERR_TOO_LARGE)
        return END(x, KERR_INVALID_REQUEST, "Too many config keys");
    if (err)
        return err;
    struct config_fault fault;
    unsigned at = 0;
    if (config_check_next(then, &at, x->arena, &fault))
        err = END(x, KERR_INVALID_REQUEST, "%s%.*s",
                  fault.is_requirement ? "requirement failed: " : "", STR_ARG(fault.why));
    if (err == 0)
        err = check_threads(x, then);
    if (err == 0 && find(x, STR("metric.reporters")))
        err = check_reporters(x, then);
    if (err == 0)
        err = check_listeners(x, then);
    config_free(then);
    return err;
}

/* While eligible leader replicas are on, min.insync.replicas stays a cluster-wide setting. */
static int check_elr(struct change *x, bool per_broker, const struct config_op *ops,
                     uint32_t op_count)
{
    struct str key = STR("min.insync.replicas");
    bool touched = false;
    for (uint32_t i = 0; i < op_count; i++)
        touched = touched || str_eq(ops[i].name, key);
    if (per_broker && touched)
        return end(x, KERR_INVALID_CONFIG,
                   STR("Broker-level min.insync.replicas cannot be altered while ELR is enabled."));
    if (!per_broker && find(x, key) == NULL && config_pairs_get(x->config->cluster, key).p)
        return end(
            x, KERR_INVALID_CONFIG,
            STR("Cluster-level min.insync.replicas cannot be removed while ELR is enabled."));
    return 0;
}

static int check_name(struct change *x, struct str name)
{
    int64_t id;
    if (name.len == 0)
        return 0;
    if (!number_parse_long(name, &id) || id < INT32_MIN || id > INT32_MAX)
        return END(x, KERR_INVALID_REQUEST, "Node id must be an integer, but it is: %.*s",
                   STR_ARG(name));
    if (id != config_node_id(x->config))
        return END(x, KERR_INVALID_REQUEST, "Unexpected broker id, expected %d, but received %.*s",
                   config_node_id(x->config), STR_ARG(name));
    return 0;
}

static int check_broker(struct change *x, bool per_broker)
{
    int err = refuse_names(x, is_read_only, "Cannot update these configs dynamically");
    if (err == 0)
        err = refuse_names(x, is_plain_security,
                           "These security configs can be dynamically updated only per-listener "
                           "using the listener prefix");
    if (err == 0)
        err = check_values(x);
    if (err == 0 && !per_broker)
        err = refuse_names(x, is_per_broker,
                           "Cannot update these configs at default cluster level, broker id must "
                           "be specified");
    return err ? err : check_whole(x, per_broker);
}

int config_alter_broker(const struct config *c, enum config_alter_kind kind, struct str name,
                        bool elr, const struct config_op *ops, uint32_t op_count,
                        struct arena *arena, struct config_alter_result *out)
{
    struct change x;
    bool per_broker = name.len != 0;
    int err = begin(&x, c, per_broker ? c->broker : c->cluster, kind, op_count, arena, out);
    if (err == 0)
        err = check_ops(&x, ops, op_count);
    if (err == 0)
        err = check_name(&x, name);
    for (uint32_t i = 0; i < op_count && err == 0; i++)
        err = broker_op(&x, &ops[i]);
    if (err == 0)
        err = check_broker(&x, per_broker);
    if (err == 0 && elr)
        err = check_elr(&x, per_broker, ops, op_count);
    if (err == 0)
        finish(&x);
    return err < 0 ? err : 0;
}

#include "control/config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "control/config/config_impl.h"
#include "control/config/number.h"

#define ms_per_minute 60000LL
#define ms_per_hour   3600000LL

/* ---- messages ---- */

void config_errors_init(struct config_errors *errs)
{
    *errs = (struct config_errors){0};
    arena_init(&errs->arena, config_bytes_max);
}

void config_errors_free(struct config_errors *errs)
{
    if (errs)
        arena_free(&errs->arena);
}

void config_message(struct config_errors *errs, struct config_messages *kind, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = kind->count < config_messages_max ? vasprintf(&text, fmt, args) : -1;
    va_end(args);
    struct str copy = STR_NULL;
    if (n >= 0) {
        copy = arena_str(&errs->arena, (struct str){text, (uint32_t)n});
        free(text);
    }
    if (copy.p)
        kind->items[kind->count++] = copy;
    else
        kind->left_out++;
}

struct str config_static_where(const struct config_static *s, struct arena *arena)
{
    if (s->file.p == NULL)
        return STR("--override");
    return arena_printf(arena, "%.*s:%u", STR_ARG(s->file), s->line);
}

struct str config_where(const struct config *c, enum config_key key, struct arena *arena)
{
    const struct config_static *s = &c->fixed[key];
    return s->raw.p ? config_static_where(s, arena) : STR("default");
}

void config_complain(struct config_errors *errs, const struct config *c, enum config_key key,
                     const char *allowed)
{
    const struct config_def *def = config_key_def(key);
    struct str found = c->fixed[key].raw;
    if (found.p == NULL)
        found = str_from(def->default_text ? def->default_text : "");
    if (def->type == CONFIG_TYPE_PASSWORD)
        found = STR("[hidden]");
    config_message(errs, &errs->errors, "%.*s: %s: found '%.*s', allowed: %s",
                   STR_ARG(config_where(c, key, &errs->arena)), def->name, CONFIG_SHOWN(found),
                   allowed);
}

/* ---- pairs ---- */

struct str config_pairs_get(struct config_pairs pairs, struct str name)
{
    for (uint32_t i = 0; i < pairs.count; i++)
        if (str_eq(pairs.items[i].name, name))
            return pairs.items[i].value;
    return STR_NULL;
}

int config_pairs_copy(struct arena *arena, struct config_pairs src, struct config_pairs *out)
{
    if (src.count > config_dynamic_pairs_max)
        return ERR_TOO_LARGE;
    struct config_pair *items = arena_calloc(arena, src.count, sizeof(*items));
    if (items == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < src.count; i++) {
        items[i].name = arena_str(arena, src.items[i].name);
        items[i].value = arena_str(arena, src.items[i].value);
        if (items[i].name.p == NULL || (items[i].value.p == NULL && src.items[i].value.p))
            return ERR_NO_MEMORY;
    }
    *out = (struct config_pairs){items, src.count};
    return 0;
}

/* ---- typed answers ---- */

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    struct arena arena = c->arena; /* the object itself lies in it */
    arena_free(&arena);
}

static const struct config_value *value_of(const struct config *c, enum config_key key,
                                           unsigned types)
{
    CHECK(types & 1u << config_key_def(key)->type);
    return &c->slots[key].value;
}

#define TYPE_BIT(type) (1u << CONFIG_TYPE_##type)

bool config_bool(const struct config *c, enum config_key key)
{
    const struct config_value *v = value_of(c, key, TYPE_BIT(BOOLEAN));
    CHECK(!v->null);
    return v->boolean;
}

int32_t config_int(const struct config *c, enum config_key key)
{
    const struct config_value *v = value_of(c, key, TYPE_BIT(INT) | TYPE_BIT(SHORT));
    CHECK(!v->null);
    return (int32_t)v->integer;
}

int64_t config_long(const struct config *c, enum config_key key)
{
    const struct config_value *v = value_of(c, key, TYPE_BIT(LONG));
    CHECK(!v->null);
    return v->integer;
}

double config_double(const struct config *c, enum config_key key)
{
    const struct config_value *v = value_of(c, key, TYPE_BIT(DOUBLE));
    CHECK(!v->null);
    return v->real;
}

struct str config_string(const struct config *c, enum config_key key)
{
    const struct config_value *v =
        value_of(c, key, TYPE_BIT(STRING) | TYPE_BIT(CLASS) | TYPE_BIT(PASSWORD));
    return v->null ? STR_NULL : v->string;
}

struct config_list config_list(const struct config *c, enum config_key key)
{
    const struct config_value *v = value_of(c, key, TYPE_BIT(LIST));
    return v->null ? (struct config_list){0} : v->list;
}

bool config_has(const struct config *c, enum config_key key)
{
    CHECK(key < CONFIG_KEY_COUNT);
    return !c->slots[key].value.null;
}

bool config_is_set(const struct config *c, enum config_key key)
{
    CHECK(key < CONFIG_KEY_COUNT);
    return c->slots[key].source != CONFIG_SOURCE_DEFAULT;
}

struct config_origin config_origin(const struct config *c, enum config_key key)
{
    CHECK(key < CONFIG_KEY_COUNT);
    struct config_origin origin = {.source = c->slots[key].source};
    if (origin.source == CONFIG_SOURCE_STATIC) {
        origin.file = c->fixed[key].file;
        origin.line = c->fixed[key].line;
    }
    return origin;
}

/* ---- settings that several keys make together ---- */

int32_t config_node_id(const struct config *c)
{
    return config_int(c, CONFIG_NODE_ID);
}

int64_t config_retention_ms(const struct config *c)
{
    int64_t ms;
    if (config_has(c, CONFIG_LOG_RETENTION_MS))
        ms = config_long(c, CONFIG_LOG_RETENTION_MS);
    else if (config_has(c, CONFIG_LOG_RETENTION_MINUTES))
        ms = config_int(c, CONFIG_LOG_RETENTION_MINUTES) * ms_per_minute;
    else
        ms = config_int(c, CONFIG_LOG_RETENTION_HOURS) * ms_per_hour;
    return ms < 0 ? -1 : ms;
}

int64_t config_roll_ms(const struct config *c)
{
    if (config_has(c, CONFIG_LOG_ROLL_MS))
        return config_long(c, CONFIG_LOG_ROLL_MS);
    return config_int(c, CONFIG_LOG_ROLL_HOURS) * ms_per_hour;
}

int64_t config_roll_jitter_ms(const struct config *c)
{
    if (config_has(c, CONFIG_LOG_ROLL_JITTER_MS))
        return config_long(c, CONFIG_LOG_ROLL_JITTER_MS);
    return config_int(c, CONFIG_LOG_ROLL_JITTER_HOURS) * ms_per_hour;
}

int64_t config_flush_ms(const struct config *c)
{
    if (config_has(c, CONFIG_LOG_FLUSH_INTERVAL_MS))
        return config_long(c, CONFIG_LOG_FLUSH_INTERVAL_MS);
    return config_long(c, CONFIG_LOG_FLUSH_SCHEDULER_INTERVAL_MS);
}

struct config_list config_log_dirs(const struct config *c)
{
    return c->log_dirs;
}

const struct config_listener *config_listeners(const struct config *c, uint32_t *count)
{
    *count = c->listener_count;
    return c->listeners;
}

int config_cpus(const struct config *c, uint16_t *cpus, int room)
{
    return number_parse_cpus(config_string(c, CONFIG_SLUICE_CPUS), cpus, room);
}

bool config_transport_built(enum config_transport transport)
{
    return transport == CONFIG_TRANSPORT_URING || transport == CONFIG_TRANSPORT_DPDK;
}

/* ---- dump ---- */

static struct str source_text(const struct config *c, enum config_key key, struct arena *arena)
{
    switch (c->slots[key].source) {
    case CONFIG_SOURCE_STATIC:
        return config_where(c, key, arena);
    case CONFIG_SOURCE_DYNAMIC_BROKER:
        return STR("dynamic, this broker");
    case CONFIG_SOURCE_DYNAMIC_DEFAULT:
        return STR("dynamic, whole cluster");
    default:
        return STR("default");
    }
}

static void dump_key(const struct config *c, enum config_key key, struct arena *arena, FILE *to)
{
    const struct config_def *def = config_key_def(key);
    struct str value = def->type == CONFIG_TYPE_PASSWORD
                           ? STR("[hidden]")
                           : config_value_text(def, &c->slots[key].value, arena);
    fprintf(to, "%s=%.*s  # %.*s%s\n", def->name, STR_ARG(value),
            STR_ARG(source_text(c, key, arena)),
            def->use == CONFIG_USE_HONOURED ? "" : ", no effect here");
}

/* What is no key may be a plug-in's secret; a listener's own setting is shown if its kind is known. */
static void dump_extra(const struct config_static *s, struct arena *arena, FILE *to)
{
    struct str listener, rest, value = STR("[hidden]");
    if (config_key_split_listener(s->name, &listener, &rest)) {
        enum config_key key = config_key_find(rest);
        if (key != CONFIG_KEY_NONE && config_key_def(key)->type != CONFIG_TYPE_PASSWORD)
            value = s->raw;
    }
    fprintf(to, "%.*s=%.*s  # %.*s\n", STR_ARG(s->name), STR_ARG(value),
            STR_ARG(config_static_where(s, arena)));
}

int config_dump(const struct config *c, struct arena *arena, struct str *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return ERR_NO_MEMORY;
    for (unsigned key = 0; key < CONFIG_KEY_COUNT; key++) {
        bool set = config_is_set(c, (enum config_key)key);
        enum config_use use = config_key_def((enum config_key)key)->use;
        if (set || (use == CONFIG_USE_HONOURED && config_has(c, (enum config_key)key)))
            dump_key(c, (enum config_key)key, arena, to);
    }
    for (uint32_t i = 0; i < c->extra_count; i++)
        dump_extra(&c->extra[i], arena, to);
    struct str all = STR_NULL;
    if (fclose(to) == 0)
        all = arena_str(arena, (struct str){text, (uint32_t)size});
    free(text);
    if (all.p == NULL)
        return ERR_NO_MEMORY;
    *out = all;
    return 0;
}

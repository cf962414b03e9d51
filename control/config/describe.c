#include "control/config/describe.h"

#include <stdlib.h>

#include "base/err.h"
#include "control/config/config_impl.h"
#include "control/config/group_config.h"
#include "control/config/number.h"
#include "control/config/topic_config.h"

/* Buckets of the Java maps that Kafka lists its keys from: they fix the order of the entries. */
#define broker_map_buckets 512
#define topic_map_buckets  64

/* Most synonyms of one entry: two names of a listener's setting or three of a group, four layers,
 * and a topic's own. */
#define entry_synonyms_max 13

/* Entries being collected. */
struct list {
    struct config_entries entries;
    uint32_t room;
    struct arena *arena;
};

static int list_init(struct list *l, struct arena *arena, uint32_t room)
{
    *l = (struct list){.room = room, .arena = arena};
    l->entries.items = arena_calloc(arena, room, sizeof(*l->entries.items));
    return l->entries.items ? 0 : ERR_NO_MEMORY;
}

static void add(struct list *l, const struct config_entry *e)
{
    if (l->entries.count < l->room)
        l->entries.items[l->entries.count++] = *e;
}

/* ---- layers ---- */

static struct str extra_get(const struct config *c, struct str name)
{
    for (uint32_t i = 0; i < c->extra_count; i++)
        if (str_eq(c->extra[i].name, name))
            return c->extra[i].raw;
    return STR_NULL;
}

/* The text that a layer holds for a name, null if it holds none. */
static int layer_get(const struct config *c, enum config_source layer, struct str name,
                     struct arena *arena, struct str *out)
{
    enum config_key key = config_key_find(name);
    *out = STR_NULL;
    switch (layer) {
    case CONFIG_SOURCE_DYNAMIC_BROKER:
        *out = config_pairs_get(c->broker, name);
        return 0;
    case CONFIG_SOURCE_DYNAMIC_DEFAULT:
        *out = config_pairs_get(c->cluster, name);
        return 0;
    case CONFIG_SOURCE_STATIC:
        *out = key == CONFIG_KEY_NONE ? extra_get(c, name) : c->fixed[key].raw;
        return 0;
    default:
        break;
    }
    if (key == CONFIG_KEY_NONE || config_key_def(key)->use == CONFIG_USE_DYNAMIC)
        return 0;
    struct config_value value;
    int err = config_value_default(config_key_def(key), arena, &value);
    if (err)
        return err;
    *out = config_value_text(config_key_def(key), &value, arena);
    return out->p == NULL && !value.null ? ERR_NO_MEMORY : 0;
}

/* The plain key behind a listener's own setting, which may name a SASL mechanism between them. */
static struct str base_name(struct str rest)
{
    static const char *const of_mechanisms[] = {
        "sasl.jaas.config", "sasl.login.callback.handler.class", "sasl.login.class",
        "sasl.server.callback.handler.class", "connections.max.reauth.ms"};
    for (size_t i = 0; i < sizeof(of_mechanisms) / sizeof(of_mechanisms[0]); i++) {
        size_t n = strlen(of_mechanisms[i]);
        if (rest.len >= n && memcmp(rest.p + rest.len - n, of_mechanisms[i], n) == 0)
            return str_from(of_mechanisms[i]);
    }
    return rest;
}

/* The names whose settings count for name, first the one that comes first. */
static int names_for(struct str name, struct str out[config_synonyms_max])
{
    struct str listener, rest;
    if (config_key_split_listener(name, &listener, &rest)) {
        out[0] = name;
        out[1] = base_name(rest);
        return 2;
    }
    enum config_key keys[config_synonyms_max], key = config_key_find(name);
    if (key == CONFIG_KEY_NONE) {
        out[0] = name;
        return 1;
    }
    int n = config_key_synonyms(key, keys);
    for (int i = 0; i < n; i++)
        out[i] = str_from(config_key_def(keys[i])->name);
    return n;
}

/*
 * Every setting that counts for the broker key `name`, layer by layer. Kafka drops those that come
 * before the first one of that very name.
 */
static int broker_synonyms(const struct config *c, struct str name, bool sensitive,
                           struct arena *arena, struct config_synonym *out, uint32_t *count)
{
    static const enum config_source layers[] = {CONFIG_SOURCE_DYNAMIC_BROKER,
                                                CONFIG_SOURCE_DYNAMIC_DEFAULT, CONFIG_SOURCE_STATIC,
                                                CONFIG_SOURCE_DEFAULT};
    struct str names[config_synonyms_max];
    int n = names_for(name, names);
    bool met = false;
    for (size_t l = 0; l < sizeof(layers) / sizeof(layers[0]); l++) {
        for (int i = 0; i < n; i++) {
            struct str value;
            int err = layer_get(c, layers[l], names[i], arena, &value);
            if (err)
                return err;
            met = met || (value.p && str_eq(names[i], name));
            if (value.p && met)
                out[(*count)++] =
                    (struct config_synonym){names[i], sensitive ? STR_NULL : value, layers[l]};
        }
    }
    return 0;
}

/* Gives the entry its synonyms and, from the first of them, its source. */
static int set_synonyms(struct config_entry *e, const struct config_synonym *synonyms,
                        uint32_t count, struct arena *arena)
{
    e->source = count ? synonyms[0].source : CONFIG_SOURCE_DEFAULT;
    e->synonyms = arena_dup(arena, synonyms, count * sizeof(*synonyms));
    e->synonym_count = count;
    return e->synonyms ? 0 : ERR_NO_MEMORY;
}

/* ---- the broker ---- */

static int broker_entry(const struct config *c, enum config_key key, struct list *l)
{
    const struct config_def *def = config_key_def(key);
    struct config_synonym synonyms[entry_synonyms_max];
    struct config_entry e = {
        .name = str_from(def->name),
        .documentation = str_from(def->doc),
        .type = def->type,
        .is_sensitive = def->type == CONFIG_TYPE_PASSWORD,
        .is_read_only = def->mode == CONFIG_MODE_READ_ONLY,
    };
    uint32_t n = 0;
    int err = broker_synonyms(c, e.name, e.is_sensitive, l->arena, synonyms, &n);
    if (err == 0)
        err = set_synonyms(&e, synonyms, n, l->arena);
    if (err)
        return err;
    const struct config_value *value = &c->slots[key].value;
    if (!e.is_sensitive) {
        e.value = config_value_text(def, value, l->arena);
        if (e.value.p == NULL && !value->null)
            return ERR_NO_MEMORY;
    }
    add(l, &e);
    return 0;
}

/* A listener's own setting has the type of the plain key, and its text is shown as it was written. */
static int listener_entry(const struct config *c, struct config_entry *e, struct str rest,
                          struct arena *arena)
{
    static const enum config_source layers[] = {
        CONFIG_SOURCE_DYNAMIC_BROKER, CONFIG_SOURCE_DYNAMIC_DEFAULT, CONFIG_SOURCE_STATIC};
    enum config_key key = config_key_find(base_name(rest));
    if (key == CONFIG_KEY_NONE)
        return 0;
    e->type = config_key_def(key)->type;
    e->is_sensitive = e->type == CONFIG_TYPE_PASSWORD;
    int err = 0;
    for (size_t l = 0; l < 3 && err == 0 && !e->is_sensitive && e->value.p == NULL; l++)
        err = layer_get(c, layers[l], e->name, arena, &e->value);
    return err;
}

/* A name that is no key: Kafka does not know its type and hides its value. */
static int free_entry(const struct config *c, struct str name, struct list *l)
{
    struct config_synonym synonyms[entry_synonyms_max];
    struct config_entry e = {.name = name, .is_sensitive = true, .is_read_only = true};
    struct str listener, rest;
    uint32_t n = 0;
    int err = 0;
    for (uint32_t i = 0; i < l->entries.count; i++)
        if (str_eq(l->entries.items[i].name, name))
            return 0;
    enum config_key key = config_key_find(name);
    if (key != CONFIG_KEY_NONE) {
        enum config_use use = config_key_def(key)->use;
        bool hidden = use == CONFIG_USE_DYNAMIC || use == CONFIG_USE_INTERNAL;
        return hidden && config_is_set(c, key) ? broker_entry(c, key, l) : 0;
    }
    if (config_key_split_listener(name, &listener, &rest))
        err = listener_entry(c, &e, rest, l->arena);
    if (err == 0)
        err = broker_synonyms(c, name, e.is_sensitive, l->arena, synonyms, &n);
    if (err == 0)
        err = set_synonyms(&e, synonyms, n, l->arena);
    if (err == 0)
        add(l, &e);
    return err;
}

/* What was set and is not among the keys that are always listed. */
static int free_entries(const struct config *c, struct list *l)
{
    int err = 0;
    for (uint32_t i = 0; i < c->extra_count && err == 0; i++)
        err = free_entry(c, c->extra[i].name, l);
    for (unsigned k = 0; k < CONFIG_KEY_COUNT && err == 0; k++)
        if (c->fixed[k].raw.p)
            err = free_entry(c, str_from(config_key_def((enum config_key)k)->name), l);
    for (uint32_t i = 0; i < c->cluster.count && err == 0; i++)
        err = free_entry(c, c->cluster.items[i].name, l);
    for (uint32_t i = 0; i < c->broker.count && err == 0; i++)
        err = free_entry(c, c->broker.items[i].name, l);
    return err;
}

static bool is_always_listed(enum config_key key)
{
    enum config_use use = config_key_def(key)->use;
    return use != CONFIG_USE_DYNAMIC && use != CONFIG_USE_INTERNAL;
}

int config_describe_broker(const struct config *c, struct arena *arena, struct config_entries *out)
{
    struct list l;
    const char *names[CONFIG_KEY_COUNT];
    enum config_key keys[CONFIG_KEY_COUNT];
    uint16_t order[CONFIG_KEY_COUNT];
    uint32_t n = 0;
    int err = list_init(&l, arena,
                        CONFIG_KEY_COUNT + c->extra_count + c->cluster.count + c->broker.count);
    if (err == 0)
        err = free_entries(c, &l);
    for (unsigned k = 0; k < CONFIG_SLUICE_TRANSPORT; k++) {
        if (!is_always_listed((enum config_key)k))
            continue;
        keys[n] = (enum config_key)k;
        names[n++] = config_key_def((enum config_key)k)->name;
    }
    config_java_order(names, n, broker_map_buckets, order);
    for (uint32_t i = 0; i < n && err == 0; i++)
        err = broker_entry(c, keys[order[i]], &l);
    for (unsigned k = CONFIG_SLUICE_TRANSPORT; k < CONFIG_KEY_COUNT && err == 0; k++)
        if (is_always_listed((enum config_key)k)) /* ours, behind Kafka's */
            err = broker_entry(c, (enum config_key)k, &l);
    if (err == 0)
        *out = l.entries;
    return err;
}

int config_describe_cluster(const struct config *c, struct arena *arena, struct config_entries *out)
{
    struct list l;
    int err = list_init(&l, arena, c->cluster.count);
    for (uint32_t i = 0; i < c->cluster.count && err == 0; i++) {
        const struct config_pair *p = &c->cluster.items[i];
        enum config_key key = config_key_find(p->name);
        const struct config_def *def = key == CONFIG_KEY_NONE ? NULL : config_key_def(key);
        struct config_entry e = {.name = p->name, .is_sensitive = true, .is_read_only = true};
        if (def) {
            e.documentation = str_from(def->doc);
            e.type = def->type;
            e.is_sensitive = def->type == CONFIG_TYPE_PASSWORD;
            e.is_read_only = def->mode == CONFIG_MODE_READ_ONLY;
        }
        e.value = e.is_sensitive ? STR_NULL : p->value;
        struct config_synonym own = {p->name, e.value, CONFIG_SOURCE_DYNAMIC_DEFAULT};
        err = set_synonyms(&e, &own, 1, arena);
        add(&l, &e);
    }
    if (err == 0)
        *out = l.entries;
    return err;
}

/* ---- groups ---- */

static int group_entry(const struct config *c, enum group_key key, struct str own, struct list *l)
{
    const struct config_def *def = group_key_def(key);
    struct config_synonym synonyms[entry_synonyms_max];
    struct config_entry e = {
        .name = str_from(def->name), .documentation = str_from(def->doc), .type = def->type};
    uint32_t n = 0;
    e.value = arena_printf(l->arena, "%d", group_config_value(c, key, own));
    if (e.value.p == NULL)
        return ERR_NO_MEMORY;
    if (own.p)
        synonyms[n++] = (struct config_synonym){e.name, e.value, CONFIG_SOURCE_GROUP};
    int err = broker_synonyms(c, str_from(config_key_def(group_key_broker_key(key))->name), false,
                              l->arena, synonyms, &n);
    if (err == 0)
        err = set_synonyms(&e, synonyms, n, l->arena);
    if (err == 0)
        add(l, &e);
    return err;
}

int config_describe_group(const struct config *c, struct config_pairs own, struct arena *arena,
                          struct config_entries *out)
{
    struct list l;
    int err = list_init(&l, arena, GROUP_KEY_COUNT);
    for (unsigned k = 0; k < GROUP_KEY_COUNT && err == 0; k++) {
        struct str text = config_pairs_get(own, str_from(group_key_def((enum group_key)k)->name));
        err = group_entry(c, (enum group_key)k, text, &l);
    }
    if (err == 0)
        *out = l.entries;
    return err;
}

/* ---- topics ---- */

static int topic_entry(const struct config *c, enum topic_key key, struct str own, struct list *l)
{
    const struct config_def *def = topic_key_def(key);
    struct config_synonym synonyms[entry_synonyms_max];
    struct config_entry e = {
        .name = str_from(def->name), .documentation = str_from(def->doc), .type = def->type};
    struct config_value value;
    uint32_t n = 0;
    int err = topic_config_value(c, key, own, l->arena, &value, NULL);
    if (err == ERR_INVALID) { /* stored, yet wrong: it counts as not set */
        own = STR_NULL;
        err = topic_config_value(c, key, own, l->arena, &value, NULL);
    }
    if (err)
        return err;
    e.value = config_value_text(def, &value, l->arena);
    if (e.value.p == NULL && !value.null)
        return ERR_NO_MEMORY;
    if (own.p)
        synonyms[n++] = (struct config_synonym){e.name, e.value, CONFIG_SOURCE_TOPIC};
    enum config_key broker = topic_key_broker_key(key);
    if (broker != CONFIG_KEY_NONE)
        err = broker_synonyms(c, str_from(config_key_def(broker)->name), false, l->arena, synonyms,
                              &n);
    if (err == 0)
        err = set_synonyms(&e, synonyms, n, l->arena);
    if (err == 0)
        add(l, &e);
    return err;
}

static struct str own_text(struct config_pairs own, unsigned key)
{
    return config_pairs_get(own, str_from(topic_key_def((enum topic_key)key)->name));
}

static bool is_internal(unsigned key)
{
    return topic_key_def((enum topic_key)key)->use == CONFIG_USE_INTERNAL;
}

int config_describe_topic(const struct config *c, struct config_pairs own, struct arena *arena,
                          struct config_entries *out)
{
    struct list l;
    const char *names[TOPIC_KEY_COUNT];
    unsigned keys[TOPIC_KEY_COUNT];
    uint16_t order[TOPIC_KEY_COUNT];
    uint32_t n = 0;
    int err = list_init(&l, arena, TOPIC_KEY_COUNT);
    for (unsigned k = 0; k < TOPIC_KEY_COUNT && err == 0; k++) {
        if (!is_internal(k)) {
            keys[n] = k;
            names[n++] = topic_key_def((enum topic_key)k)->name;
        } else if (own_text(own, k).p) {
            err = topic_entry(c, (enum topic_key)k, own_text(own, k), &l);
        }
    }
    config_java_order(names, n, topic_map_buckets, order);
    for (uint32_t i = 0; i < n && err == 0; i++)
        err = topic_entry(c, (enum topic_key)keys[order[i]], own_text(own, keys[order[i]]), &l);
    if (err == 0)
        *out = l.entries;
    return err;
}

/* ---- CreateTopics' reply ---- */

/* A broker setting's text in the topic key's unit: hours and minutes become milliseconds. */
static struct str in_topic_unit(enum config_key from, struct str text, struct arena *arena)
{
    int64_t unit, n;
    switch (from) {
    case CONFIG_LOG_RETENTION_HOURS:
    case CONFIG_LOG_ROLL_HOURS:
    case CONFIG_LOG_ROLL_JITTER_HOURS:
        unit = 3600000;
        break;
    case CONFIG_LOG_RETENTION_MINUTES:
        unit = 60000;
        break;
    default:
        return text;
    }
    if (!number_parse_long(config_trim(text), &n) || n > INT32_MAX || n < INT32_MIN)
        return text;
    return arena_printf(arena, "%lld", (long long)n * unit);
}

static int created_value(const struct config *c, enum topic_key key, struct str own,
                         struct arena *arena, struct config_entry *e)
{
    static const enum config_source layers[] = {
        CONFIG_SOURCE_DYNAMIC_BROKER, CONFIG_SOURCE_DYNAMIC_DEFAULT, CONFIG_SOURCE_STATIC};
    enum config_key broker = topic_key_broker_key(key), names[config_synonyms_max];
    int n = broker == CONFIG_KEY_NONE ? 0 : config_key_synonyms(broker, names);
    if (own.p) {
        e->value = own;
        e->source = CONFIG_SOURCE_TOPIC;
        return 0;
    }
    for (size_t l = 0; l < sizeof(layers) / sizeof(layers[0]); l++) {
        for (int i = 0; i < n; i++) {
            struct str text;
            layer_get(c, layers[l], str_from(config_key_def(names[i])->name), arena, &text);
            if (text.p) {
                e->value = in_topic_unit(names[i], text, arena);
                e->source = layers[l];
                return e->value.p ? 0 : ERR_NO_MEMORY;
            }
        }
    }
    e->value = str_from(topic_key_def(key)->default_text);
    e->source = CONFIG_SOURCE_DEFAULT;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct config_entry *)a)->name, ((const struct config_entry *)b)->name);
}

int config_describe_created(const struct config *c, struct config_pairs own, struct arena *arena,
                            struct config_entries *out)
{
    struct list l;
    int err = list_init(&l, arena, TOPIC_KEY_COUNT);
    for (unsigned k = 0; k < TOPIC_KEY_COUNT && err == 0; k++) {
        struct str text = own_text(own, k);
        if (is_internal(k) && text.p == NULL)
            continue;
        struct config_entry e = {.name = str_from(topic_key_def((enum topic_key)k)->name),
                                 .type = topic_key_def((enum topic_key)k)->type};
        err = created_value(c, (enum topic_key)k, text, arena, &e);
        add(&l, &e);
    }
    if (err)
        return err;
    qsort(l.entries.items, l.entries.count, sizeof(*l.entries.items), by_name);
    *out = l.entries;
    return 0;
}

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "control/config/config_impl.h"
#include "control/config/properties.h"

/* From files and overrides to a checked configuration. */

/* ---- assignments ---- */

/* Names that belong to plug-ins or to one listener: kept, not known one by one. */
static bool is_free_name(struct str name)
{
    static const char *const prefixes[] = {"listener.name.", "log4j", "rsm.config.", "rlmm.config.",
                                           "config.providers."};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t n = strlen(prefixes[i]);
        if (name.len >= n && memcmp(name.p, prefixes[i], n) == 0)
            return true;
    }
    return false;
}

static void warn_unknown(struct config_errors *errs, const struct config_static *s)
{
    struct str at = config_static_where(s, &errs->arena);
    const char *removed = config_key_removed(s->name);
    const char *close = config_key_suggest(s->name);
    if (removed)
        config_message(errs, &errs->warnings, "%.*s: %.*s is ignored: %s", STR_ARG(at),
                       CONFIG_SHOWN(s->name), removed);
    else if (close)
        config_message(errs, &errs->warnings, "%.*s: unknown key %.*s, did you mean %s?",
                       STR_ARG(at), CONFIG_SHOWN(s->name), close);
    else
        config_message(errs, &errs->warnings, "%.*s: unknown key %.*s", STR_ARG(at),
                       CONFIG_SHOWN(s->name));
}

static void assign_extra(struct config *c, const struct config_static *s)
{
    for (uint32_t i = 0; i < c->extra_count; i++) {
        if (str_eq(c->extra[i].name, s->name)) {
            c->extra[i] = *s;
            return;
        }
    }
    CHECK(c->extra_count < c->extra_room);
    c->extra[c->extra_count++] = *s;
}

/* Takes one assignment; a later one for the same name replaces it. */
static int assign(struct config *c, const struct config_static *s)
{
    struct config_static copy = {.name = arena_str(&c->arena, s->name),
                                 .raw = arena_str(&c->arena, s->raw),
                                 .file = s->file,
                                 .line = s->line};
    if (copy.name.p == NULL || copy.raw.p == NULL)
        return ERR_NO_MEMORY;
    enum config_key key = config_key_find(s->name);
    if (key == CONFIG_KEY_NONE || config_key_def(key)->use == CONFIG_USE_DYNAMIC)
        assign_extra(c, &copy);
    else
        c->fixed[key] = copy;
    return 0;
}

static int assign_properties(struct config *c, const struct properties *all, struct str file,
                             struct config_errors *errs)
{
    int err = 0;
    for (uint32_t i = 0; i < all->count && err == 0; i++) {
        const struct property *p = &all->items[i];
        struct config_static s = {p->key, p->value, file, p->line};
        err = assign(c, &s);
        if (p->earlier)
            config_message(errs, &errs->warnings, "%.*s:%u: %.*s was set in line %u already",
                           STR_ARG(file), p->line, CONFIG_SHOWN(p->key), p->earlier);
    }
    return err;
}

static int assign_text(struct config *c, struct str text, const char *path,
                       struct config_errors *errs)
{
    struct properties all;
    struct properties_error error;
    struct arena scratch;
    struct str file = arena_str(&c->arena, str_from(path ? path : "text"));
    if (file.p == NULL)
        return ERR_NO_MEMORY;
    arena_init(&scratch, config_bytes_max);
    int err = properties_parse(text, &scratch, &all, &error);
    if (err == 0) {
        err = assign_properties(c, &all, file, errs);
    } else if (err != ERR_NO_MEMORY) {
        config_message(errs, &errs->errors, "%.*s:%u: %s", STR_ARG(file), error.line, error.what);
        err = 0;
    }
    arena_free(&scratch);
    return err;
}

static int assign_overrides(struct config *c, const struct config_sources *src,
                            struct config_errors *errs)
{
    if (src->override_count > config_overrides_max) {
        config_message(errs, &errs->errors, "--override: more than %d", config_overrides_max);
        return 0;
    }
    for (uint32_t i = 0; i < src->override_count; i++) {
        const char *text = src->overrides[i], *equals = strchr(text, '=');
        if (equals == NULL || equals == text || equals - text > properties_key_bytes_max ||
            strlen(equals) > properties_value_bytes_max) {
            config_message(errs, &errs->errors, "--override: found '%.200s', allowed: key=value",
                           text);
            continue;
        }
        struct config_static s = {.name = {text, (uint32_t)(equals - text)},
                                  .raw = str_from(equals + 1)};
        int err = assign(c, &s);
        if (err)
            return err;
    }
    return 0;
}

/* broker.id and node.id are two names of one thing. */
static void join_ids(struct config *c, struct config_errors *errs)
{
    struct config_static *broker = &c->fixed[CONFIG_BROKER_ID], *node = &c->fixed[CONFIG_NODE_ID];
    if (broker->raw.p && node->raw.p == NULL)
        *node = *broker;
    else if (node->raw.p && broker->raw.p == NULL)
        *broker = *node;
    else if (node->raw.p && !str_eq(config_trim(node->raw), config_trim(broker->raw)))
        config_message(errs, &errs->errors,
                       "%.*s: node.id: found '%.*s', allowed: the value of broker.id, '%.*s'",
                       STR_ARG(config_static_where(node, &errs->arena)), STR_ARG(node->raw),
                       STR_ARG(broker->raw));
}

/* ---- values ---- */

/* One candidate for a slot: parses raw, which may be null. 1: taken; 0: not; negative: an err. */
static int try_value(struct config *c, enum config_key key, struct str raw,
                     enum config_source source, struct config_errors *errs, uint32_t *ignored)
{
    const struct config_def *def = config_key_def(key);
    if (raw.p == NULL)
        return 0;
    struct config_slot slot = {.source = source};
    int err = config_value_parse(def, raw, &c->arena, &slot.value, NULL);
    if (err == 0) {
        c->slots[key] = slot;
        return 1;
    }
    if (err != ERR_INVALID)
        return err;
    if (errs) {
        struct str allowed = config_rule_text(def, &errs->arena);
        config_complain(errs, c, key, allowed.p ? allowed.p : "another value");
    } else if (ignored) {
        ++*ignored;
    }
    return 0;
}

static int resolve_key(struct config *c, enum config_key key, struct config_errors *errs,
                       uint32_t *ignored)
{
    const struct config_def *def = config_key_def(key);
    struct str name = str_from(def->name);
    int got = 0;
    if (def->mode != CONFIG_MODE_READ_ONLY)
        got = try_value(c, key, config_pairs_get(c->broker, name), CONFIG_SOURCE_DYNAMIC_BROKER,
                        NULL, ignored);
    if (got == 0 && def->mode == CONFIG_MODE_CLUSTER_WIDE)
        got = try_value(c, key, config_pairs_get(c->cluster, name), CONFIG_SOURCE_DYNAMIC_DEFAULT,
                        NULL, ignored);
    if (got == 0)
        got = try_value(c, key, c->fixed[key].raw, CONFIG_SOURCE_STATIC, errs, ignored);
    if (got != 0)
        return got < 0 ? got : 0;
    c->slots[key].source = CONFIG_SOURCE_DEFAULT;
    return config_value_default(def, &c->arena, &c->slots[key].value);
}

static void resolve_log_dirs(struct config *c)
{
    enum config_key key = config_is_set(c, CONFIG_LOG_DIRS) || !config_is_set(c, CONFIG_LOG_DIR)
                              ? CONFIG_LOG_DIRS
                              : CONFIG_LOG_DIR;
    c->log_dirs = config_list(c, key);
}

int config_resolve(struct config *c, struct config_errors *errs, uint32_t *ignored)
{
    for (unsigned key = 0; key < CONFIG_KEY_COUNT; key++) {
        int err = resolve_key(c, (enum config_key)key, errs, ignored);
        if (err)
            return err;
    }
    if (!config_is_set(c, CONFIG_BROKER_ID))
        c->slots[CONFIG_BROKER_ID].value = c->slots[CONFIG_NODE_ID].value;
    resolve_log_dirs(c);
    return 0;
}

/* ---- checks of a start ---- */

static void check_uses(struct config *c, struct config_errors *errs)
{
    for (unsigned k = 0; k < CONFIG_KEY_COUNT; k++) {
        enum config_key key = (enum config_key)k;
        const struct config_def *def = config_key_def(key);
        if (!config_is_set(c, key))
            continue;
        struct str at = config_where(c, key, &errs->arena);
        if (def->use == CONFIG_USE_ACCEPTED || def->use == CONFIG_USE_INTERNAL)
            config_message(errs, &errs->notes, "%.*s: %s is accepted and has no effect here",
                           STR_ARG(at), def->name);
        if (def->use != CONFIG_USE_REFUSED)
            continue;
        struct config_value plain;
        struct str found = config_value_text(def, &c->slots[k].value, &errs->arena);
        struct str only = STR_NULL;
        if (config_value_default(def, &errs->arena, &plain) == 0)
            only = config_value_text(def, &plain, &errs->arena);
        if (!str_eq(found, only))
            config_message(errs, &errs->errors,
                           "%.*s: %s: found '%.*s', allowed: %s%.*s%s (not built yet)", STR_ARG(at),
                           def->name, STR_ARG(found), only.len ? "'" : "no value", STR_ARG(only),
                           only.len ? "'" : "");
    }
}

static void check_extras(const struct config *c, struct config_errors *errs)
{
    for (uint32_t i = 0; i < c->extra_count; i++) {
        const struct config_static *s = &c->extra[i];
        enum config_key key = config_key_find(s->name);
        if (key != CONFIG_KEY_NONE)
            config_message(errs, &errs->warnings, "%.*s: %.*s is ignored: it is a dynamic setting",
                           STR_ARG(config_static_where(s, &errs->arena)), STR_ARG(s->name));
        else if (!is_free_name(s->name))
            warn_unknown(errs, s);
    }
}

static void check_relations(const struct config *c, struct config_errors *errs)
{
    struct config_fault fault;
    for (unsigned at = 0; config_check_next(c, &at, &errs->arena, &fault);) {
        const struct config_def *def = config_key_def(fault.key);
        struct str found = config_value_text(def, &c->slots[fault.key].value, &errs->arena);
        config_message(errs, &errs->errors, "%.*s: %s: found '%.*s': %.*s",
                       STR_ARG(config_where(c, fault.key, &errs->arena)), def->name,
                       CONFIG_SHOWN(found), STR_ARG(fault.why));
    }
    if (c->log_dirs.count > config_log_dirs_max)
        config_message(errs, &errs->errors, "%.*s: log.dirs: more than %d directories",
                       STR_ARG(config_where(c, CONFIG_LOG_DIRS, &errs->arena)),
                       config_log_dirs_max);
}

/* One node is built: it is broker and controller, and the only voter. */
static void check_roles(const struct config *c, struct config_errors *errs)
{
    if (config_list(c, CONFIG_PROCESS_ROLES).count != 2)
        config_complain(errs, c, CONFIG_PROCESS_ROLES,
                        "broker,controller (a process with one role is not built yet)");
    struct config_list voters = config_list(c, CONFIG_CONTROLLER_QUORUM_VOTERS);
    if (voters.count > 1)
        config_complain(errs, c, CONFIG_CONTROLLER_QUORUM_VOTERS,
                        "this node alone (clusters are not built yet)");
    else if (voters.count == 1 && atoi(voters.items[0].p) != config_node_id(c))
        config_complain(errs, c, CONFIG_CONTROLLER_QUORUM_VOTERS, "a voter with the id in node.id");
}

/* An empty object with room for extra_room assignments that are no keys. */
static struct config *make(const char *hostname, uint32_t extra_room)
{
    struct arena arena;
    arena_init(&arena, config_bytes_max);
    struct config *c = arena_calloc(&arena, 1, sizeof(*c));
    if (c) {
        c->arena = arena;
        c->extra_room = extra_room;
        c->extra = arena_calloc(&c->arena, extra_room, sizeof(*c->extra));
        c->hostname = arena_str(&c->arena, str_from(hostname ? hostname : "localhost"));
        if (c->extra && c->hostname.p)
            return c;
        arena = c->arena;
    }
    arena_free(&arena);
    return NULL;
}

static int load(struct config *c, const struct config_sources *src, struct str text,
                struct config_errors *errs)
{
    int err = text.p ? assign_text(c, text, src->path, errs) : 0;
    if (err == 0)
        err = assign_overrides(c, src, errs);
    if (err)
        return err;
    join_ids(c, errs);
    err = config_resolve(c, errs, NULL);
    if (err == 0)
        err = config_resolve_listeners(c, errs);
    if (err)
        return err;
    check_extras(c, errs);
    check_uses(c, errs);
    check_relations(c, errs);
    check_roles(c, errs);
    return errs->errors.count || errs->errors.left_out ? ERR_INVALID : 0;
}

int config_load_text(struct config **out, const struct config_sources *src, struct str text,
                     struct config_errors *errs)
{
    struct config *c = make(src->hostname, properties_entries_bound(text) + src->override_count);
    if (c == NULL)
        return ERR_NO_MEMORY;
    int err = load(c, src, text, errs);
    if (err) {
        config_free(c);
        return err;
    }
    *out = c;
    return 0;
}

/* The file's text in malloc'd memory; *size may be one over the maximum, which the parser refuses. */
static char *read_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    size_t room = properties_text_bytes_max + 1, used = 0;
    char *text = malloc(room);
    ssize_t n = text ? 1 : -1;
    while (n > 0 && used < room) {
        n = read(fd, text + used, room - used);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            used += (size_t)n;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    if (n < 0) {
        free(text);
        return NULL;
    }
    *size = used;
    return text;
}

int config_load(struct config **out, const struct config_sources *src, struct config_errors *errs)
{
    if (src->path == NULL)
        return config_load_text(out, src, STR_NULL, errs);
    size_t size = 0;
    char *text = read_file(src->path, &size);
    if (text == NULL) {
        config_message(errs, &errs->errors, "cannot read %s: %s", src->path, strerror(errno));
        return ERR_INVALID;
    }
    int err = config_load_text(out, src, (struct str){text, (uint32_t)size}, errs);
    free(text);
    return err;
}

/* ---- dynamic settings on top ---- */

static int copy_static(struct config *to, const struct config *from)
{
    for (unsigned k = 0; k < CONFIG_KEY_COUNT + from->extra_count; k++) {
        const struct config_static *s =
            k < CONFIG_KEY_COUNT ? &from->fixed[k] : &from->extra[k - CONFIG_KEY_COUNT];
        if (s->raw.p == NULL)
            continue;
        struct config_static copy = {.name = arena_str(&to->arena, s->name),
                                     .raw = arena_str(&to->arena, s->raw),
                                     .file = arena_str(&to->arena, s->file),
                                     .line = s->line};
        if (copy.name.p == NULL || copy.raw.p == NULL || (s->file.p && copy.file.p == NULL))
            return ERR_NO_MEMORY;
        if (k < CONFIG_KEY_COUNT)
            to->fixed[k] = copy;
        else
            to->extra[to->extra_count++] = copy;
    }
    return 0;
}

int config_with_dynamic(struct config **out, const struct config *c, struct config_pairs cluster,
                        struct config_pairs broker, uint32_t *ignored)
{
    struct config *n = make(c->hostname.p, c->extra_count);
    uint32_t bad = 0;
    if (n == NULL)
        return ERR_NO_MEMORY;
    int err = copy_static(n, c);
    if (err == 0)
        err = config_pairs_copy(&n->arena, cluster, &n->cluster);
    if (err == 0)
        err = config_pairs_copy(&n->arena, broker, &n->broker);
    if (err == 0)
        err = config_resolve(n, NULL, &bad);
    if (err == 0)
        err = config_copy_listeners(n, c);
    if (err) {
        config_free(n);
        return err;
    }
    if (ignored)
        *ignored = bad;
    *out = n;
    return 0;
}

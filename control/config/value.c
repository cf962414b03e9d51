#include "control/config/value.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "base/err.h"
#include "control/config/number.h"

/* Everything one parse needs; `why` is where a refusal's message goes. */
struct parse {
    const struct config_def *def;
    struct arena *arena;
    struct str *why;
};

static const char *type_name(enum config_type type)
{
    static const char *const names[] = {"UNKNOWN", "BOOLEAN", "STRING", "INT",   "SHORT",
                                        "LONG",    "DOUBLE",  "LIST",   "CLASS", "PASSWORD"};
    return names[type];
}

struct str config_trim(struct str s)
{
    while (s.len && (unsigned char)s.p[0] <= ' ')
        s.p++, s.len--;
    while (s.len && (unsigned char)s.p[s.len - 1] <= ' ')
        s.len--;
    return s;
}

static int refuse(const struct parse *p, struct str found, const char *what)
{
    if (p->why)
        *p->why = arena_printf(p->arena, "Invalid value %.*s for configuration %s: %s",
                               STR_ARG(found), p->def->name, what);
    return ERR_INVALID;
}

static int refuse_plain(const struct parse *p, const char *what)
{
    if (p->why)
        *p->why = arena_printf(p->arena, "Configuration '%s' %s", p->def->name, what);
    return ERR_INVALID;
}

int config_list_split(struct str raw, struct arena *arena, struct config_list *out)
{
    struct str text = config_trim(raw);
    if (text.len == 0) {
        *out = (struct config_list){0};
        return 0;
    }
    uint32_t count = 1;
    for (uint32_t i = 0; i < text.len; i++)
        count += text.p[i] == ',';
    if (count > config_list_items_max)
        return ERR_TOO_LARGE;
    struct str *items = arena_calloc(arena, count, sizeof(*items));
    text = arena_str(arena, text);
    if (items == NULL || text.p == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0, start = 0; i < count; i++) {
        uint32_t end = start;
        while (end < text.len && text.p[end] != ',')
            end++;
        items[i] = config_trim((struct str){text.p + start, end - start});
        start = end + 1;
    }
    *out = (struct config_list){items, count};
    return 0;
}

/* The choices of a rule are one text, separated by ", ". */
static bool is_choice(const char *choices, struct str s, bool nocase)
{
    for (const char *c = choices; *c;) {
        size_t n = strcspn(c, ",");
        if (n == s.len && (nocase ? strncasecmp(c, s.p, n) : memcmp(c, s.p, n)) == 0)
            return true;
        c += n + strspn(c + n, ", ");
    }
    return false;
}

static int check_choice(const struct parse *p, struct str s)
{
    bool nocase = p->def->rule.kind == CONFIG_RULE_CHOICE_NOCASE;
    if (is_choice(p->def->rule.choices, s, nocase))
        return 0;
    char text[256];
    snprintf(text, sizeof(text), "String must be one of%s: %s", nocase ? " (case insensitive)" : "",
             p->def->rule.choices);
    return refuse(p, s, text);
}

/* [partition]:[broker] or nothing, the pattern of one element of a throttled list. */
static bool is_partition_and_broker(struct str s)
{
    if (s.len == 0)
        return true;
    uint32_t i = 0, left = 0, right = 0;
    while (i < s.len && s.p[i] >= '0' && s.p[i] <= '9')
        i++, left++;
    if (i == s.len || s.p[i++] != ':')
        return false;
    while (i < s.len && s.p[i] >= '0' && s.p[i] <= '9')
        i++, right++;
    return left && right && i == s.len;
}

/* host:port with the port in 1..65535; for voters preceded by id@. */
static bool is_server(struct str s, bool with_id)
{
    uint32_t at = 0, colon = s.len;
    if (with_id) {
        while (at < s.len && s.p[at] >= '0' && s.p[at] <= '9')
            at++;
        if (at == 0 || at > 9 || at == s.len || s.p[at] != '@')
            return false;
        at++;
    }
    while (colon > at && s.p[colon - 1] != ':')
        colon--;
    int64_t port;
    struct str text = {s.p + colon, s.len - colon};
    return colon > at + 1 && number_parse_long(text, &port) && port >= 1 && port <= 65535;
}

/* before + items joined + after; null at the arena's limit. */
static struct str join(const struct config_list *list, const char *before, const char *between,
                       const char *after, struct arena *arena)
{
    size_t size = strlen(before) + strlen(after) + 1;
    for (uint32_t i = 0; i < list->count; i++)
        size += list->items[i].len + strlen(between);
    char *text = arena_alloc(arena, size), *p = text;
    if (text == NULL)
        return STR_NULL;
    p = stpcpy(p, before);
    for (uint32_t i = 0; i < list->count; i++) {
        p = stpcpy(p, i ? between : "");
        p = mempcpy(p, list->items[i].p, list->items[i].len);
    }
    p = stpcpy(p, after);
    return (struct str){text, (uint32_t)(p - text)};
}

static int check_throttled(const struct parse *p, const struct config_list *list)
{
    bool good = list->count == 1 && str_eqz(list->items[0], "*");
    if (!good) {
        good = true;
        for (uint32_t i = 0; i < list->count; i++)
            good = good && is_partition_and_broker(list->items[i]);
    }
    if (good)
        return 0;
    char text[256];
    snprintf(text, sizeof(text),
             "%s must be the literal '*' or a list of replicas in the following format: "
             "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
             p->def->name);
    return refuse(p, join(list, "[", ", ", "]", p->arena), text);
}

/* An item that stands there already is dropped, as Kafka does for lists that have a list rule. */
static void drop_duplicates(struct config_list *list)
{
    struct str *items = (struct str *)list->items;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        bool seen = false;
        for (uint32_t j = 0; j < kept && !seen; j++)
            seen = str_eq(items[j], items[i]);
        if (!seen)
            items[kept++] = items[i];
    }
    list->count = kept;
}

static int check_list_rule(const struct parse *p, struct config_list *list)
{
    const struct config_rule *rule = &p->def->rule;
    if (list->count == 0 && !rule->empty_ok) {
        char text[256];
        snprintf(text, sizeof(text), "must not be empty. Valid values include: %s%s%s",
                 rule->choices ? "[" : "", rule->choices ? rule->choices : "any non-empty value",
                 rule->choices ? "]" : "");
        return refuse_plain(p, text);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].len == 0)
            return refuse_plain(p, "values must not be empty.");
        if (rule->choices) {
            int err = check_choice(p, list->items[i]);
            if (err)
                return err;
        }
    }
    drop_duplicates(list);
    return 0;
}

static int parse_list(const struct parse *p, struct str raw, struct config_value *out)
{
    struct config_list list;
    int err = config_list_split(raw, p->arena, &list);
    if (err == ERR_TOO_LARGE)
        return refuse_plain(p, "has too many values.");
    if (err)
        return err;
    enum config_rule_kind kind = p->def->rule.kind;
    if (kind == CONFIG_RULE_LIST)
        err = check_list_rule(p, &list);
    else if (kind == CONFIG_RULE_THROTTLED)
        err = check_throttled(p, &list);
    for (uint32_t i = 0; i < list.count && err == 0; i++) {
        if (kind == CONFIG_RULE_VOTERS && !is_server(list.items[i], true))
            err = refuse(p, list.items[i], "Each voter must be of the form id@host:port");
        if (kind == CONFIG_RULE_SERVERS && !is_server(list.items[i], false))
            err = refuse(p, list.items[i], "Each server must be of the form host:port");
    }
    if (err == 0)
        out->list = list;
    return err;
}

/* Kafka compares as doubles and prints the bound as it was written, whole or not. */
static int check_range(const struct parse *p, struct str shown, double v)
{
    const struct config_rule *rule = &p->def->rule;
    bool low = rule->has_min && v < rule->min, high = rule->has_max && v > rule->max;
    if (!low && !high)
        return 0;
    char bound[32], text[96];
    double limit = low ? rule->min : rule->max;
    if (limit == floor(limit))
        snprintf(bound, sizeof(bound), "%lld", (long long)limit);
    else
        number_format_double(limit, bound);
    snprintf(text, sizeof(text), "Value must be %s %s", low ? "at least" : "no more than", bound);
    return refuse(p, shown, text);
}

static int parse_integer(const struct parse *p, struct str raw, struct config_value *out)
{
    enum config_type type = p->def->type;
    int64_t min = type == CONFIG_TYPE_INT     ? INT32_MIN
                  : type == CONFIG_TYPE_SHORT ? INT16_MIN
                                              : INT64_MIN;
    int64_t max = type == CONFIG_TYPE_INT     ? INT32_MAX
                  : type == CONFIG_TYPE_SHORT ? INT16_MAX
                                              : INT64_MAX;
    int64_t v;
    bool size = p->def->rule.kind == CONFIG_RULE_SIZE;
    bool number =
        size ? number_parse_size(config_trim(raw), &v) : number_parse_long(config_trim(raw), &v);
    if (!number || v < min || v > max) {
        char text[48];
        snprintf(text, sizeof(text), "Not a number of type %s", type_name(type));
        return refuse(p, raw, text);
    }
    char shown[24];
    snprintf(shown, sizeof(shown), "%lld", (long long)v);
    if (p->def->rule.kind == CONFIG_RULE_GZIP_LEVEL && v != -1 && (v < 1 || v > 9))
        return refuse(p, str_from(shown), "Value must be between 1 and 9 or equal to -1");
    int err = check_range(p, str_from(shown), (double)v);
    if (err == 0)
        out->integer = v;
    return err;
}

static int parse_double(const struct parse *p, struct str raw, struct config_value *out)
{
    double d;
    if (!number_parse_double(config_trim(raw), &d))
        return refuse(p, raw, "Not a number of type DOUBLE");
    char shown[32];
    number_format_double(d, shown);
    int err = check_range(p, str_from(shown), d);
    if (err == 0)
        out->real = d;
    return err;
}

static int parse_boolean(const struct parse *p, struct str raw, struct config_value *out)
{
    struct str s = config_trim(raw);
    if (s.len == 4 && strncasecmp(s.p, "true", 4) == 0)
        out->boolean = true;
    else if (s.len == 5 && strncasecmp(s.p, "false", 5) == 0)
        out->boolean = false;
    else
        return refuse(p, raw, "Expected value to be either true or false");
    return 0;
}

static int parse_string(const struct parse *p, struct str raw, struct config_value *out)
{
    struct str s = config_trim(raw);
    enum config_rule_kind kind = p->def->rule.kind;
    if (kind == CONFIG_RULE_CHOICE || kind == CONFIG_RULE_CHOICE_NOCASE) {
        int err = check_choice(p, s);
        if (err)
            return err;
    }
    if (kind == CONFIG_RULE_NOT_EMPTY && s.len == 0)
        return refuse(p, s, "String must be non-empty");
    if (kind == CONFIG_RULE_CPUS && number_parse_cpus(s, NULL, 0) < 0)
        return refuse(p, s, "Must be CPU numbers and ranges, like 0-3,8");
    s = arena_str(p->arena, s.len ? s : STR(""));
    if (s.p == NULL)
        return ERR_NO_MEMORY;
    out->string = s;
    return 0;
}

int config_value_parse(const struct config_def *def, struct str raw, struct arena *arena,
                       struct config_value *out, struct str *why)
{
    struct parse p = {def, arena, why};
    struct config_value value = {.null = false};
    int err;
    switch (def->type) {
    case CONFIG_TYPE_BOOLEAN:
        err = parse_boolean(&p, raw, &value);
        break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_SHORT:
    case CONFIG_TYPE_LONG:
        err = parse_integer(&p, raw, &value);
        break;
    case CONFIG_TYPE_DOUBLE:
        err = parse_double(&p, raw, &value);
        break;
    case CONFIG_TYPE_LIST:
        err = parse_list(&p, raw, &value);
        break;
    default:
        err = parse_string(&p, raw, &value);
        break;
    }
    if (err == 0)
        *out = value;
    return err;
}

int config_value_default(const struct config_def *def, struct arena *arena,
                         struct config_value *out)
{
    if (def->default_text == NULL) {
        *out = (struct config_value){.null = true};
        return 0;
    }
    struct config_rule none = {.kind = def->rule.kind == CONFIG_RULE_SIZE ? CONFIG_RULE_SIZE
                                                                          : CONFIG_RULE_ANY};
    struct config_def unruled = *def;
    unruled.rule = none; /* Kafka has defaults that its own rules refuse ("" where not empty) */
    return config_value_parse(&unruled, str_from(def->default_text), arena, out, NULL);
}

struct str config_value_text(const struct config_def *def, const struct config_value *value,
                             struct arena *arena)
{
    if (value->null)
        return STR_NULL;
    char number[32];
    switch (def->type) {
    case CONFIG_TYPE_BOOLEAN:
        return value->boolean ? STR("true") : STR("false");
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_SHORT:
    case CONFIG_TYPE_LONG:
        return arena_printf(arena, "%lld", (long long)value->integer);
    case CONFIG_TYPE_DOUBLE:
        number_format_double(value->real, number);
        return arena_str(arena, str_from(number));
    case CONFIG_TYPE_LIST:
        return join(&value->list, "", ",", "", arena);
    default:
        return value->string;
    }
}

#include "control/config/value.h"

#include <math.h>
#include <stdio.h>

/* What a configuration value may be, for people. */

static void bound_text(double bound, char buf[32])
{
    if (bound == floor(bound))
        snprintf(buf, 32, "%lld", (long long)bound);
    else
        snprintf(buf, 32, "%g", bound);
}

static struct str number_text(const struct config_rule *rule, const char *kind, struct arena *arena)
{
    char min[32], max[32];
    bound_text(rule->min, min);
    bound_text(rule->max, max);
    if (rule->has_min && rule->has_max)
        return arena_printf(arena, "%s from %s to %s", kind, min, max);
    if (rule->has_min)
        return arena_printf(arena, "%s, at least %s", kind, min);
    return arena_printf(arena, "%s", kind);
}

static struct str list_text(const struct config_rule *rule, struct arena *arena)
{
    const char *empty = rule->kind == CONFIG_RULE_LIST && !rule->empty_ok ? "at least one of " : "";
    if (rule->choices)
        return arena_printf(arena, "a list separated by commas, %s%s", empty, rule->choices);
    return arena_printf(arena, "a list separated by commas%s", *empty ? ", not empty" : "");
}

struct str config_rule_text(const struct config_def *def, struct arena *arena)
{
    const struct config_rule *rule = &def->rule;
    switch (rule->kind) {
    case CONFIG_RULE_CHOICE:
        return arena_printf(arena, "one of %s", rule->choices);
    case CONFIG_RULE_CHOICE_NOCASE:
        return arena_printf(arena, "one of %s, in either case", rule->choices);
    case CONFIG_RULE_NOT_EMPTY:
        return STR("a text that is not empty");
    case CONFIG_RULE_GZIP_LEVEL:
        return STR("a whole number from 1 to 9, or -1");
    case CONFIG_RULE_THROTTLED:
        return STR("* or partition:broker pairs separated by commas");
    case CONFIG_RULE_VOTERS:
        return STR("id@host:port separated by commas");
    case CONFIG_RULE_SERVERS:
        return STR("host:port separated by commas");
    case CONFIG_RULE_SIZE:
        return number_text(rule, "bytes, with k, m or g behind for powers of 1024", arena);
    case CONFIG_RULE_CPUS:
        return STR("CPU numbers and ranges separated by commas, like 0-3,8");
    default:
        break;
    }
    switch (def->type) {
    case CONFIG_TYPE_BOOLEAN:
        return STR("true or false");
    case CONFIG_TYPE_SHORT:
        return number_text(rule, "a whole number of 16 bits", arena);
    case CONFIG_TYPE_INT:
        return number_text(rule, "a whole number of 32 bits", arena);
    case CONFIG_TYPE_LONG:
        return number_text(rule, "a whole number", arena);
    case CONFIG_TYPE_DOUBLE:
        return number_text(rule, "a number", arena);
    case CONFIG_TYPE_LIST:
        return list_text(rule, arena);
    default:
        return STR("a text");
    }
}

/*
 * rules: the words of the .def tables as initialisers. Included only by the files that expand them.
 */
#ifndef CONTROL_CONFIG_RULES_H
#define CONTROL_CONFIG_RULES_H

#include "control/config/value.h"

#define RULE_ANY                                                                                   \
    {                                                                                              \
        .kind = CONFIG_RULE_ANY                                                                    \
    }
#define RULE_MIN(n)                                                                                \
    {                                                                                              \
        .kind = CONFIG_RULE_RANGE, .has_min = true, .min = (n)                                     \
    }
#define RULE_RANGE(a, b)                                                                           \
    {                                                                                              \
        .kind = CONFIG_RULE_RANGE, .has_min = true, .has_max = true, .min = (a), .max = (b)        \
    }
#define RULE_CHOICE(list)                                                                          \
    {                                                                                              \
        .kind = CONFIG_RULE_CHOICE, .choices = (list)                                              \
    }
#define RULE_CHOICE_NOCASE(list)                                                                   \
    {                                                                                              \
        .kind = CONFIG_RULE_CHOICE_NOCASE, .choices = (list)                                       \
    }
#define RULE_LIST_OF(list, empty, null)                                                            \
    {                                                                                              \
        .kind = CONFIG_RULE_LIST, .choices = (list), .empty_ok = RULE_##empty,                     \
        .null_ok = RULE_##null                                                                     \
    }
#define RULE_NOT_EMPTY_STRING                                                                      \
    {                                                                                              \
        .kind = CONFIG_RULE_NOT_EMPTY                                                              \
    }
#define RULE_GZIP_LEVEL                                                                            \
    {                                                                                              \
        .kind = CONFIG_RULE_GZIP_LEVEL                                                             \
    }
#define RULE_THROTTLED                                                                             \
    {                                                                                              \
        .kind = CONFIG_RULE_THROTTLED                                                              \
    }
#define RULE_VOTERS                                                                                \
    {                                                                                              \
        .kind = CONFIG_RULE_VOTERS                                                                 \
    }
#define RULE_SERVERS                                                                               \
    {                                                                                              \
        .kind = CONFIG_RULE_SERVERS                                                                \
    }
#define RULE_CPUS                                                                                  \
    {                                                                                              \
        .kind = CONFIG_RULE_CPUS                                                                   \
    }
#define RULE_SIZE(n)                                                                               \
    {                                                                                              \
        .kind = CONFIG_RULE_SIZE, .has_min = true, .min = (n)                                      \
    }

#define RULE_EMPTY_OK  true
#define RULE_NOT_EMPTY false
#define RULE_NULL_OK   true
#define RULE_NOT_NULL  false

#define CONFIG_DEF(name_, type_, default_, rule_, importance_, mode_, use_, doc_)                  \
    {                                                                                              \
        .name = (name_), .name_len = sizeof(name_) - 1, .default_text = (default_), .doc = (doc_), \
        .rule = RULE_##rule_, .type = CONFIG_TYPE_##type_,                                         \
        .importance = CONFIG_IMPORTANCE_##importance_, .mode = CONFIG_MODE_##mode_,                \
        .use = CONFIG_USE_##use_,                                                                  \
    }

#endif

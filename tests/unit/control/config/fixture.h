/*
 * fixture: what the tests of control/config share: a configuration from a text, its messages, and
 * lines of recorded files.
 */
#ifndef TESTS_CONTROL_CONFIG_FIXTURE_H
#define TESTS_CONTROL_CONFIG_FIXTURE_H

#include <stdarg.h>

#include "control/config/config.h"
#include "tests/unit/unit.h"

#define FIXTURE_FIELDS_MAX 64

struct fixture {
    struct config *config; /* NULL if the text was refused */
    struct config_errors errs;
    struct arena arena; /* for whatever a test needs */
    int result;
};

/* Loads text (NULL: nothing) with up to four overrides; NULLs are left out. */
static inline void fixture_load(struct fixture *f, const char *text, const char *const *overrides,
                                uint32_t override_count)
{
    struct config_sources src = {.path = "f",
                                 .overrides = overrides,
                                 .override_count = override_count,
                                 .hostname = "host.x"};
    *f = (struct fixture){0};
    config_errors_init(&f->errs);
    arena_init(&f->arena, 64 << 20);
    f->result = config_load_text(&f->config, &src, str_from(text), &f->errs);
    if (f->result)
        f->config = NULL;
}

static inline void fixture_file(struct fixture *f, const char *const *overrides,
                                uint32_t override_count)
{
    struct config_sources src = {.path = TEST_DIR "/shipped.properties",
                                 .overrides = overrides,
                                 .override_count = override_count};
    *f = (struct fixture){0};
    config_errors_init(&f->errs);
    arena_init(&f->arena, 64 << 20);
    f->result = config_load(&f->config, &src, &f->errs);
    CU_ASSERT_EQUAL_FATAL(f->result, 0);
}

static inline void fixture_shipped(struct fixture *f)
{
    fixture_file(f, NULL, 0);
}

/* As the stock broker ran whose answers are recorded: its file had one recovery thread. */
static inline void fixture_recorded(struct fixture *f)
{
    static const char *const overrides[] = {"num.recovery.threads.per.data.dir=1"};
    fixture_file(f, overrides, 1);
}

static inline void fixture_free(struct fixture *f)
{
    config_free(f->config);
    config_errors_free(&f->errs);
    arena_free(&f->arena);
}

static inline bool messages_have(const struct config_messages *m, const char *text)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (str_eqz(m->items[i], text))
            return true;
    for (uint32_t i = 0; i < m->count; i++)
        printf("    message: %.*s\n", STR_ARG(m->items[i]));
    return false;
}

/* The next line of a recorded file split at tabs; the number of fields, -1 at the end. */
static inline int fixture_line(FILE *f, char *line, size_t size, char *fields[FIXTURE_FIELDS_MAX])
{
    do {
        if (fgets(line, (int)size, f) == NULL)
            return -1;
    } while (line[0] == '#');
    line[strcspn(line, "\n")] = '\0';
    int n = 0;
    for (char *p = line; p && n < FIXTURE_FIELDS_MAX; n++) {
        fields[n] = p;
        p = strchr(p, '\t');
        if (p)
            *p++ = '\0';
    }
    return n;
}

/* Appends printf text to the string in text, which has room for size bytes. */
static inline void __attribute__((format(printf, 3, 4)))
add(char *text, size_t size, const char *fmt, ...)
{
    size_t n = strlen(text);
    va_list args;
    va_start(args, fmt);
    int more = vsnprintf(text + n, size - n, fmt, args);
    va_end(args);
    CU_ASSERT_FATAL(more >= 0 && (size_t)more < size - n);
}

#define ASSERT_STR(s, text) CU_ASSERT_TRUE(str_eqz((s), (text)))

#endif

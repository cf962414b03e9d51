/*
 * libFuzzer over server.properties: the parser, and the whole way from a text to a configuration.
 *
 * The text stands in a heap block of exactly its size, so ASan sees a step outside. What the parser
 * accepts has no key twice; a refused configuration says why; an accepted one can be shown.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "control/config/config.h"
#include "control/config/describe.h"
#include "control/config/properties.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_parser(struct str text)
{
    struct arena arena;
    struct properties all = {0};
    struct properties_error error = {0};
    arena_init(&arena, 16 << 20);
    int err = properties_parse(text, &arena, &all, &error);
    CHECK(err == 0 || err == ERR_MALFORMED || err == ERR_TOO_LARGE);
    CHECK((err == 0) == (error.what == NULL));
    for (uint32_t i = 0; i < all.count; i++) {
        CHECK(all.items[i].value.p && strlen(all.items[i].value.p) == all.items[i].value.len);
        CHECK(all.items[i].line > all.items[i].earlier);
        for (uint32_t j = 0; j < i && j < 64; j++)
            CHECK(!str_eq(all.items[i].key, all.items[j].key));
    }
    arena_free(&arena);
}

static void fuzz_config(struct str text)
{
    struct config_sources src = {.path = "fuzz"};
    struct config_errors errs;
    struct config *c;
    config_errors_init(&errs);
    int err = config_load_text(&c, &src, text, &errs);
    CHECK(err == 0 || (err == ERR_INVALID && errs.errors.count > 0));
    if (err == 0) {
        struct arena arena;
        struct str dump;
        struct config_entries entries;
        arena_init(&arena, 32 << 20);
        CHECK(config_dump(c, &arena, &dump) == 0);
        CHECK(config_describe_broker(c, &arena, &entries) == 0);
        arena_free(&arena);
        config_free(c);
    }
    config_errors_free(&errs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    struct str s = {text, (uint32_t)size};
    fuzz_parser(s);
    fuzz_config(s);
    free(text);
    return 0;
}

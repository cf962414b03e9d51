#include "dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/uuid.h"
#include "dataplane/proto/types.h"

/* --- JSON ------------------------------------------------------------------------------------ */

static void put_hex(FILE *out, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%02x", p[i]);
}

/* One code point of valid UTF-8; returns the bytes taken. */
static size_t code_point(const uint8_t *p, uint32_t *out)
{
    if (p[0] < 0x80) {
        *out = p[0];
        return 1;
    }
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    *out = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        *out = *out << 6 | (p[i] & 0x3f);
    return n;
}

static void put_str(FILE *out, struct str s)
{
    if (s.p == NULL) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (size_t i = 0; i < s.len;) {
        uint32_t c;
        i += code_point((const uint8_t *)s.p + i, &c);
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", (char)c);
        else if (c >= 0x20 && c < 0x7f)
            fputc((int)c, out);
        else if (c < 0x10000)
            fprintf(out, "\\u%04x", c);
        else
            fprintf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                    0xdc00 + ((c - 0x10000) & 0x3ff));
    }
    fputc('"', out);
}

static void put_struct(FILE *out, const struct struct_info *info, const void *value, int version);

static void put_records(FILE *out, const struct proto_records *rec)
{
    if (rec->is_null) {
        fputs("null", out);
        return;
    }
    struct chain_view view = rec->view;
    const uint8_t *p;
    uint32_t n;
    fputc('"', out);
    while (chain_view_next(&view, &p, &n))
        put_hex(out, p, n);
    fputc('"', out);
}

static void put_bytes(FILE *out, const uint8_t *p, size_t n)
{
    if (p == NULL) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    put_hex(out, p, n);
    fputc('"', out);
}

/* The shortest text that reads back as the same number, as Python writes it. */
static void put_double(FILE *out, double v)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    fputs(text, out);
}

static void put_value(FILE *out, const struct field_info *f, const void *at, int version)
{
    const struct proto_bytes *bytes = at;
    switch (f->kind) {
    case FIELD_BOOL:
        fputs(*(const bool *)at ? "true" : "false", out);
        break;
    case FIELD_INT8:
        fprintf(out, "%d", *(const int8_t *)at);
        break;
    case FIELD_INT16:
        fprintf(out, "%d", *(const int16_t *)at);
        break;
    case FIELD_UINT16:
        fprintf(out, "%u", *(const uint16_t *)at);
        break;
    case FIELD_INT32:
        fprintf(out, "%" PRId32, *(const int32_t *)at);
        break;
    case FIELD_INT64:
        fprintf(out, "%" PRId64, *(const int64_t *)at);
        break;
    case FIELD_FLOAT64:
        put_double(out, *(const double *)at);
        break;
    case FIELD_STRING:
        put_str(out, *(const struct str *)at);
        break;
    case FIELD_BYTES:
        put_bytes(out, bytes->p, bytes->len);
        break;
    case FIELD_RECORDS:
        put_records(out, at);
        break;
    case FIELD_UUID:
        put_bytes(out, ((const struct uuid *)at)->b, 16);
        break;
    case FIELD_STRUCT:
        put_struct(out, f->element, at, version);
        break;
    }
}

static size_t element_size(const struct field_info *f)
{
    static const size_t size[] = {
        [FIELD_BOOL] = sizeof(bool),
        [FIELD_INT8] = 1,
        [FIELD_INT16] = 2,
        [FIELD_UINT16] = 2,
        [FIELD_INT32] = 4,
        [FIELD_INT64] = 8,
        [FIELD_FLOAT64] = 8,
        [FIELD_STRING] = sizeof(struct str),
        [FIELD_BYTES] = sizeof(struct proto_bytes),
        [FIELD_RECORDS] = sizeof(struct proto_records),
        [FIELD_UUID] = sizeof(struct uuid),
    };
    return f->kind == FIELD_STRUCT ? f->element->size : size[f->kind];
}

static void put_array(FILE *out, const struct field_info *f, const void *owner, int version)
{
    const uint8_t *items = *(uint8_t *const *)((const uint8_t *)owner + f->offset);
    int32_t n = *(const int32_t *)((const uint8_t *)owner + f->count_offset);
    if (n < 0) {
        fputs("null", out);
        return;
    }
    fputc('[', out);
    for (int32_t i = 0; i < n; i++) {
        if (i > 0)
            fputc(',', out);
        put_value(out, f, items + (size_t)i * element_size(f), version);
    }
    fputc(']', out);
}

static void put_struct(FILE *out, const struct struct_info *info, const void *value, int version)
{
    const char *comma = "";
    if (value == NULL) {
        fputs("null", out);
        return;
    }
    fputc('{', out);
    for (uint32_t i = 0; i < info->field_count; i++) {
        const struct field_info *f = &info->fields[i];
        const void *at = (const uint8_t *)value + f->offset;
        if (version < f->min || version > f->max)
            continue;
        fprintf(out, "%s\"%s\":", comma, f->json);
        comma = ",";
        if (f->array)
            put_array(out, f, value, version);
        else
            put_value(out, f, f->pointer ? *(const void *const *)at : at, version);
    }
    fputc('}', out);
}

char *dump_json(const struct struct_info *info, const void *value, int version)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    CHECK(out != NULL);
    put_struct(out, info, value, version);
    fclose(out);
    return text;
}

/* --- random messages ------------------------------------------------------------------------- */

static void *must(void *p)
{
    CHECK(p != NULL);
    return p;
}

/* Mostly small, sometimes around the ends; never 0. */
static int64_t random_int(struct rng *rng, unsigned bits)
{
    static const int64_t edges[] = {1, -1, 2, INT8_MAX, INT16_MAX, INT32_MAX, INT64_MAX, INT64_MIN};
    int64_t v = rng_below(rng, 3) ? edges[rng_below(rng, sizeof(edges) / sizeof(edges[0]))]
                                  : (int64_t)rng_u64(rng);
    uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    return (v & (int64_t)mask) == 0 ? 1 : v;
}

static uint32_t random_len(struct rng *rng)
{
    return (uint32_t)(rng_below(rng, 20) ? 1 + rng_below(rng, 24) : 120 + rng_below(rng, 300));
}

static struct str random_str(struct rng *rng, struct arena *arena)
{
    uint32_t n = random_len(rng);
    char *p = must(arena_alloc(arena, n));
    for (uint32_t i = 0; i < n; i++)
        p[i] = (char)('a' + rng_below(rng, 26));
    return (struct str){p, n};
}

static struct proto_records random_records(struct rng *rng, const struct chain *records)
{
    uint64_t at = rng_below(rng, records->bytes);
    uint64_t n = rng_below(rng, records->bytes - at) + 1;
    return (struct proto_records){{chain_pos_at(records, at), (uint32_t)n}, false};
}

static void fill_value(const struct field_info *f, void *at, int version, struct rng *rng,
                       struct arena *arena, const struct chain *records, int depth)
{
    uint32_t n = random_len(rng);
    int64_t v = random_int(rng, f->kind == FIELD_INT64 ? 64 : f->kind == FIELD_INT32 ? 32 : 8);
    switch (f->kind) {
    case FIELD_BOOL:
        *(bool *)at = rng_below(rng, 2);
        break;
    case FIELD_INT8:
        *(int8_t *)at = (int8_t)v;
        break;
    case FIELD_INT16:
    case FIELD_UINT16:
        *(int16_t *)at = (int16_t)v;
        break;
    case FIELD_INT32:
        *(int32_t *)at = (int32_t)v;
        break;
    case FIELD_INT64:
        *(int64_t *)at = v;
        break;
    case FIELD_FLOAT64:
        *(double *)at = (double)v / 3;
        break;
    case FIELD_STRING:
        *(struct str *)at = random_str(rng, arena);
        break;
    case FIELD_BYTES:
        *(struct proto_bytes *)at = (struct proto_bytes){must(arena_calloc(arena, n, 1)), n};
        break;
    case FIELD_RECORDS:
        *(struct proto_records *)at = random_records(rng, records);
        break;
    case FIELD_UUID:
        rng_fill(rng, at, 16);
        break;
    case FIELD_STRUCT:
        dump_fill(f->element, at, version, rng, arena, records, depth - 1);
        break;
    }
}

static void fill_null(const struct field_info *f, void *owner)
{
    void *at = (uint8_t *)owner + f->offset;
    if (f->array)
        *(int32_t *)((uint8_t *)owner + f->count_offset) = -1;
    if (f->array || f->pointer)
        *(void **)at = NULL;
    else if (f->kind == FIELD_STRING)
        *(struct str *)at = STR_NULL;
    else if (f->kind == FIELD_BYTES)
        *(struct proto_bytes *)at = PROTO_BYTES_NULL;
    else if (f->kind == FIELD_RECORDS)
        *(struct proto_records *)at = PROTO_RECORDS_NULL;
}

static void fill_array(const struct field_info *f, void *owner, int32_t n, int version,
                       struct rng *rng, struct arena *arena, const struct chain *records, int depth)
{
    uint8_t *items = must(arena_calloc(arena, n ? (size_t)n : 1, element_size(f)));
    for (int32_t i = 0; i < n; i++)
        fill_value(f, items + (size_t)i * element_size(f), version, rng, arena, records, depth);
    *(void **)((uint8_t *)owner + f->offset) = items;
    *(int32_t *)((uint8_t *)owner + f->count_offset) = n;
}

void dump_fill(const struct struct_info *info, void *out, int version, struct rng *rng,
               struct arena *arena, const struct chain *records, int depth)
{
    info->init(out);
    for (uint32_t i = 0; i < info->field_count; i++) {
        const struct field_info *f = &info->fields[i];
        void *at = (uint8_t *)out + f->offset;
        if (version < f->min || version > f->max)
            continue;
        if (f->null_min >= 0 && version >= f->null_min && version <= f->null_max &&
            rng_below(rng, 4) == 0) {
            fill_null(f, out);
            continue;
        }
        if (f->tag >= 0 && rng_below(rng, 3) == 0)
            continue; /* left at its default */
        if (f->array) {
            int32_t n = depth > 0 ? (int32_t)rng_below(rng, 4) : 0;
            fill_array(f, out, n, version, rng, arena, records, depth);
            continue;
        }
        if (f->pointer) {
            void *p = must(arena_alloc(arena, f->element->size));
            *(void **)at = p;
            at = p;
        }
        fill_value(f, at, version, rng, arena, records, depth);
    }
}

void dump_set(const struct field_info *f, void *owner, struct rng *rng, struct arena *arena,
              const struct chain *records)
{
    void *at = (uint8_t *)owner + f->offset;
    if (f->array) {
        fill_array(f, owner, 1, f->min, rng, arena, records, 1);
    } else if (f->pointer) {
        *(void **)at = must(arena_alloc(arena, f->element->size));
        f->element->init(*(void **)at);
    } else if (f->kind == FIELD_STRUCT) {
        dump_set(&f->element->fields[0], at, rng, arena, records);
    } else if (f->kind == FIELD_BOOL) {
        *(bool *)at = !*(bool *)at;
    } else {
        uint8_t was[64] = {0};
        memcpy(was, at, element_size(f));
        do
            fill_value(f, at, f->min, rng, arena, records, 1);
        while (memcmp(was, at, element_size(f)) == 0);
    }
}

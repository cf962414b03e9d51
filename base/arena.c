#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define arena_block_bytes 16384

struct arena_block {
    struct arena_block *next;
    size_t size; /* room after this header */
};

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

void arena_init_fixed(struct arena *a, void *buf, size_t size)
{
    uint8_t *start = buf;
    size_t skew = -(uintptr_t)start & 7;
    if (skew > size)
        skew = size;
    *a = (struct arena){
        .next = start + skew, .end = start + size, .limit = size, .fixed = start + skew};
}

static bool arena_grow(struct arena *a, size_t size)
{
    if (a->fixed)
        return false;
    size_t room = size > arena_block_bytes ? size : arena_block_bytes;
    struct arena_block *b = malloc(sizeof(*b) + room);
    if (!b)
        return false;
    b->next = a->blocks;
    b->size = room;
    a->blocks = b;
    a->next = (uint8_t *)(b + 1);
    a->end = a->next + room;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - 8)
        return NULL;
    size = (size + 7) & ~(size_t)7;
    if (size > a->limit - a->used)
        return NULL;
    if ((a->next == NULL || size > (size_t)(a->end - a->next)) && !arena_grow(a, size))
        return NULL;
    void *p = a->next;
    a->next += size;
    a->used += size;
    return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *p = arena_alloc(a, total);
    if (p)
        memset(p, 0, total);
    return p;
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
    void *q = arena_alloc(a, n);
    if (q && n)
        memcpy(q, p, n);
    return q;
}

struct str arena_str(struct arena *a, struct str s)
{
    if (str_is_null(s))
        return STR_NULL;
    char *p = arena_alloc(a, (size_t)s.len + 1);
    if (!p)
        return STR_NULL;
    if (s.len)
        memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return (struct str){p, s.len};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p ? (struct str){p, (uint32_t)n} : STR_NULL;
}

void arena_reset(struct arena *a)
{
    a->used = 0;
    if (a->fixed) {
        a->next = a->fixed;
        return;
    }
    struct arena_block *keep = NULL;
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        if (!keep && b->size == arena_block_bytes)
            keep = b;
        else
            free(b);
    }
    a->next = a->end = NULL;
    if (keep) {
        keep->next = NULL;
        a->blocks = keep;
        a->next = (uint8_t *)(keep + 1);
        a->end = a->next + keep->size;
    }
}

void arena_free(struct arena *a)
{
    if (!a || a->fixed)
        return;
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->next = a->end = NULL;
    a->used = 0;
}

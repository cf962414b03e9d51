/*
 * What a start finds of a broker that died, made of random bytes: a journal's header and commits, or a
 * region of log memory with its marks. Input: byte 0 which of the two, then instructions that put
 * commits or marks with any fields in any place and change bytes afterwards; checksums are made right on
 * most of them, so that what lies behind is reached.
 *
 * Checked besides the sanitizers: all that is handed out lies within the bytes that are there, and a
 * second look finds the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/cache/region.h"
#include "storage/journal/scan.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define blocks_max 24
#define own_life   5

struct input {
    const uint8_t *p, *end;
};

static uint32_t take(struct input *in, uint32_t bytes)
{
    uint32_t v = 0;
    for (uint32_t i = 0; i < bytes && in->p < in->end; i++)
        v = v << 8 | *in->p++;
    return v;
}

/* ---- a journal ---- */

struct seen {
    struct journal_scan scan; /* first */
    const uint8_t *image;
    size_t n;
    uint64_t sum; /* of everything that was handed out, in order */
};

static int on_frame(struct journal_scan *s, const struct journal_frame *f, const uint8_t *data,
                    uint64_t at)
{
    struct seen *x = (struct seen *)s;
    CHECK(at >= journal_block_bytes && at <= x->n && f->bytes <= x->n - at);
    CHECK(data == x->image + at);
    x->sum = x->sum * 31 + at + XXH3_64bits(data, f->bytes);
    return 0;
}

static void on_damage(struct journal_scan *s, const struct journal_frame *f, uint64_t at)
{
    struct seen *x = (struct seen *)s;
    CHECK(at >= journal_block_bytes);
    x->sum = x->sum * 31 + at + (f ? f->bytes : 7);
}

static void look(struct seen *x, const struct journal_head *h)
{
    x->scan = (struct journal_scan){.frame = on_frame, .damage = on_damage};
    x->sum = 0;
    CHECK(journal_scan(&x->scan, x->image, x->n, h) == 0);
    CHECK(x->scan.frames <= (uint64_t)blocks_max * journal_commit_frames);
    CHECK(x->scan.commits <= blocks_max);
}

/* A commit whose fields may say anything, with the right checksum over them. */
static void put_commit(struct input *in, uint8_t *image, size_t n)
{
    size_t at = (size_t)(1 + take(in, 1) % blocks_max) * journal_block_bytes;
    uint32_t frames = take(in, 1) % 6, used = journal_data_at(frames);
    if (at + used > n)
        return;
    uint8_t *p = image + at;
    for (uint32_t i = 0; i < frames; i++) {
        struct journal_frame f = {.partition = (int32_t)take(in, 1),
                                  .base = take(in, 1),
                                  .position = take(in, 2),
                                  .bytes = take(in, 2)};
        uint32_t how = take(in, 1);
        bool fits = f.bytes <= n - at - used;
        uint8_t none = 0;
        uint32_t real = f.bytes;
        f.bytes = fits ? real : 0;
        journal_frame_put(p, i, &f, fits ? p + used : &none);
        if (!fits || how % 8 == 7) { /* one that lies about its size */
            uint32_t lie = how % 16 == 15 ? UINT32_MAX - 10 : real;
            memcpy(p + journal_data_at(i) + 36, &lie, sizeof(lie));
        }
        used += fits ? real : 0;
    }
    uint32_t how = take(in, 1);
    struct journal_commit c = {.life = how % 8 ? own_life : how,
                               .sequence = take(in, 1),
                               .tail = take(in, 1),
                               .done = take(in, 1),
                               .bytes = how % 16 == 9 ? used + take(in, 2) : used,
                               .frames = frames};
    journal_commit_put(p, &c);
}

static void journal(struct input *in)
{
    uint32_t blocks = journal_blocks_min + take(in, 1) % (blocks_max - journal_blocks_min + 1);
    struct journal_head h = {.blocks = blocks, .life = own_life};
    size_t n = (size_t)blocks * journal_block_bytes, cut = take(in, 2);
    n -= cut % 4 ? 0 : cut; /* one that was cut */
    uint8_t *image = calloc(1, n);
    CHECK(image != NULL);
    while (in->p < in->end) {
        uint32_t how = take(in, 1);
        if (how % 3) {
            put_commit(in, image, n);
        } else {
            size_t at = take(in, 3) % n;
            image[at] ^= (uint8_t)take(in, 1);
        }
    }
    struct journal_head read;
    if (n >= journal_head_bytes && journal_head_get(image, &read) == 0)
        CHECK(read.blocks >= journal_blocks_min && read.blocks <= journal_blocks_max);
    struct seen x = {.image = image, .n = n};
    look(&x, &h);
    uint64_t sum = x.sum, frames = x.scan.frames;
    look(&x, &h);
    CHECK(x.sum == sum && x.scan.frames == frames);
    free(image);
}

/* ---- a region ---- */

#define chunk_count  3
#define region_bytes (2 * MIB + chunk_count * tail_chunk_bytes)

static _Alignas(4096) uint8_t memory[region_bytes];
static uint64_t memory_bytes;
static bool removed;

static int map_named(struct fs *fs, const char *name, uint64_t bytes, struct fs_named *out)
{
    *out = (struct fs_named){.p = memory, .bytes = memory_bytes, .existed = bytes == 0};
    return 0;
}

static void unmap_named(struct fs *fs, struct fs_named *named)
{
    named->p = NULL;
}

static int remove_named(struct fs *fs, const char *name)
{
    removed = true;
    return 0;
}

static void region(struct input *in)
{
    static const struct fs_ops ops = {
        .map_named = map_named, .unmap_named = unmap_named, .remove_named = remove_named};
    static const struct uuid dir = {{1, 2, 3}};
    struct fs fs = {&ops};
    struct region r;
    char why[512];
    memset(memory, 0, region_header_bytes + 64 * region_mark_bytes);
    memory_bytes = region_bytes;
    removed = false;
    CHECK(region_make(&r, &fs, &dir, 0, 1, chunk_count) == 0);
    while (in->p < in->end) {
        uint32_t how = take(in, 1);
        if (how % 3 == 0) {
            memory[take(in, 2) % (region_header_bytes + chunk_count * region_mark_bytes)] ^=
                (uint8_t)take(in, 1);
        } else if (how % 3 == 1) {
            struct region_mark *m = &r.marks[take(in, 1) % chunk_count];
            struct region_place place = {.partition = (int32_t)take(in, 1),
                                         .position = take(in, 4),
                                         .start = take(in, 3),
                                         .sequence = take(in, 1)};
            region_mark_store(m, region_mark_place(m, &place), take(in, 3));
        } else { /* the header's checksum, over whatever it says */
            uint64_t check = XXH3_64bits(memory + 8, 48);
            memcpy(memory + 56, &check, sizeof(check));
            memory_bytes -= memory_bytes > 70000 ? how * 256 : 0;
        }
    }
    region_close(&r);
    int err = region_open(&r, &fs, &dir, 0, why, sizeof(why));
    CHECK(err == 0 || err == ERR_INVALID || (err == ERR_NOT_FOUND && removed));
    if (err)
        return;
    uint32_t set = 0;
    for (uint32_t i = 0; i < r.chunks; i++) {
        struct region_place place;
        if (!region_mark_read(&r.marks[i], &place))
            continue;
        CHECK(place.start < place.used && place.used <= tail_chunk_bytes);
        const uint8_t *at = r.data + (uint64_t)i * tail_chunk_bytes;
        CHECK(at + place.used <= memory + memory_bytes);
        set++;
    }
    CHECK(region_count(&r) == set);
    region_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    if (take(&in, 1) & 1)
        region(&in);
    else
        journal(&in);
    return 0;
}

#include "storage/cache/region_owner.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define region_magic      0x31474552434c5553ULL /* "SULCREG1" read as a little-endian word */
#define region_align      (2 * MIB)             /* of the data: whole huge pages */
#define region_small_page 4096

struct region_header {
    _Atomic uint64_t magic; /* stored last */
    uint32_t version, header_bytes;
    uint8_t dir[16];
    uint32_t shard, shards;
    uint32_t chunks, chunk_bytes;
    uint64_t data_at;                     /* offset of the first chunk */
    uint64_t check;                       /* XXH3 of what is between magic and this */
    char path[region_path_bytes_max + 1]; /* of the log dir, for people; not under the checksum */
};

_Static_assert(sizeof(struct region_mark) == region_mark_bytes, "a mark is a cache line");
_Static_assert(sizeof(struct region_header) <= region_header_bytes, "the header fits its page");

void region_name(const struct uuid *dir, uint32_t shard, char out[fs_named_name_bytes_max + 1])
{
    for (uint32_t i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", dir->b[i]);
    snprintf(out + 32, fs_named_name_bytes_max + 1 - 32, "-%u", shard);
}

static uint64_t header_check(const struct region_header *h)
{
    size_t from = offsetof(struct region_header, version);
    return XXH3_64bits((const uint8_t *)h + from, offsetof(struct region_header, check) - from);
}

static uint64_t data_offset(uint32_t chunks)
{
    uint64_t n = region_header_bytes + (uint64_t)chunks * region_mark_bytes;
    return (n + region_align - 1) / region_align * region_align;
}

static void region_point(struct region *r)
{
    const struct region_header *h = (const struct region_header *)r->named.p;
    r->marks = (struct region_mark *)(r->named.p + region_header_bytes);
    r->data = r->named.p + h->data_at;
    r->chunks = h->chunks;
    r->shards = h->shards;
}

int region_make(struct region *out, struct fs *fs, const struct uuid *dir, uint32_t shard,
                uint32_t shards, uint32_t chunks)
{
    struct region r = {.fs = fs};
    region_name(dir, shard, r.name);
    uint64_t data_at = data_offset(chunks);
    int err =
        fs->ops->map_named(fs, r.name, data_at + (uint64_t)chunks * tail_chunk_bytes, &r.named);
    if (err)
        return err;
    if (r.named.existed) {
        fs->ops->unmap_named(fs, &r.named);
        return ERR_EXISTS;
    }
    struct region_header *h = (struct region_header *)r.named.p;
    h->version = region_version;
    h->header_bytes = region_header_bytes;
    memcpy(h->dir, dir->b, 16);
    h->shard = shard;
    h->shards = shards;
    h->chunks = chunks;
    h->chunk_bytes = tail_chunk_bytes;
    h->data_at = data_at;
    h->check = header_check(h);
    atomic_store_explicit(&h->magic, region_magic, memory_order_release);
    region_point(&r);
    *out = r;
    return 0;
}

/* What does not fit, or NULL. */
static const char *header_wrong(const struct region *r, const struct uuid *dir, uint32_t shard)
{
    const struct region_header *h = (const struct region_header *)r->named.p;
    if (atomic_load_explicit(&h->magic, memory_order_acquire) != region_magic)
        return "is not a region of log memory";
    if (h->version != region_version)
        return "is of another format version";
    if (h->check != header_check(h))
        return "has a damaged header";
    if (memcmp(h->dir, dir->b, 16) != 0 || h->shard != shard)
        return "belongs to another log dir";
    if (h->header_bytes != region_header_bytes || h->chunk_bytes != tail_chunk_bytes ||
        h->data_at != data_offset(h->chunks) ||
        h->data_at + (uint64_t)h->chunks * tail_chunk_bytes > r->named.bytes)
        return "has another size than its header says";
    return NULL;
}

/* Whoever made it died before the header was there: nothing was ever stored in it. */
static bool never_finished(const struct region *r)
{
    const struct region_header *h = (const struct region_header *)r->named.p;
    return atomic_load_explicit(&h->magic, memory_order_acquire) == 0;
}

int region_open(struct region *out, struct fs *fs, const struct uuid *dir, uint32_t shard,
                char *why, size_t why_size)
{
    struct region r = {.fs = fs};
    region_name(dir, shard, r.name);
    int err = fs->ops->map_named(fs, r.name, 0, &r.named);
    if (err) {
        if (err != ERR_NOT_FOUND)
            snprintf(why, why_size, "the named memory sluice-%s cannot be mapped: %s", r.name,
                     err_text(err));
        return err;
    }
    const char *wrong =
        r.named.bytes < region_header_bytes ? "is too small" : header_wrong(&r, dir, shard);
    if (wrong == NULL) {
        region_point(&r);
        *out = r;
        return 0;
    }
    if (r.named.bytes >= region_header_bytes && never_finished(&r)) {
        err = region_remove(&r);
        return err ? err : ERR_NOT_FOUND;
    }
    snprintf(why, why_size,
             "the named memory sluice-%s (in /dev/shm or on hugetlbfs) %s: it may hold "
             "acknowledged records; remove it to give them up",
             r.name, wrong);
    region_close(&r);
    return ERR_INVALID;
}

void region_close(struct region *r)
{
    if (r == NULL || r->fs == NULL)
        return;
    r->fs->ops->unmap_named(r->fs, &r->named);
    r->marks = NULL;
    r->data = NULL;
    r->chunks = 0;
}

int region_remove(struct region *r)
{
    region_close(r);
    return r->fs->ops->remove_named(r->fs, r->name);
}

void region_sign(struct region *r, const char *path)
{
    struct region_header *h = (struct region_header *)r->named.p;
    size_t n = strlen(path);
    if (n <= region_path_bytes_max)
        memcpy(h->path, path, n + 1);
}

const char *region_path(const struct region *r)
{
    const struct region_header *h = (const struct region_header *)r->named.p;
    return memchr(h->path, '\0', sizeof(h->path)) ? h->path : "";
}

uint32_t region_count(const struct region *r)
{
    struct region_place place;
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->chunks; i++)
        n += region_mark_read(&r->marks[i], &place);
    return n;
}

/* ---- marks ---- */

static uint64_t place_hash(const struct region_mark *m)
{
    return XXH3_64bits(m, offsetof(struct region_mark, word));
}

static uint64_t mark_word(uint64_t hash, uint32_t used)
{
    uint64_t mixed = (hash ^ used) * 0x9E3779B97F4A7C15ULL;
    return used | (mixed & 0xFFFFFFFF00000000ULL);
}

uint64_t region_mark_place(struct region_mark *m, const struct region_place *place)
{
    memcpy(m->topic_id, place->topic_id.b, 16);
    m->base = place->base;
    m->sequence = place->sequence;
    m->partition = place->partition;
    m->leader_epoch = place->leader_epoch;
    m->position = place->position;
    m->start = place->start;
    m->zero = 0;
    return place_hash(m);
}

/*
 * A plain store with release order is enough: x86 makes the stores of a thread visible in the order
 * of the program, and memory that several processes map is one memory.
 */
void region_mark_store(struct region_mark *m, uint64_t hash, uint32_t used)
{
    atomic_store_explicit(&m->word, mark_word(hash, used), memory_order_release);
}

void region_mark_clear(struct region_mark *m)
{
    atomic_store_explicit(&m->word, 0, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}

bool region_mark_read(const struct region_mark *m, struct region_place *out)
{
    uint64_t word = atomic_load_explicit(&m->word, memory_order_acquire);
    uint32_t used = (uint32_t)word;
    if (used == 0 || used > tail_chunk_bytes || m->start >= used ||
        word != mark_word(place_hash(m), used))
        return false;
    *out = (struct region_place){
        .partition = m->partition,
        .leader_epoch = m->leader_epoch,
        .base = m->base,
        .position = m->position,
        .start = m->start,
        .used = used,
        .sequence = m->sequence,
    };
    memcpy(out->topic_id.b, m->topic_id, 16);
    return true;
}

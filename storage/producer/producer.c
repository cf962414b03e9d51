#include "storage/producer/producer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/kerr.h"

#define room_first            16
#define evict_share           16  /* one in so many goes when there is no room */
#define evict_samples         256 /* entries that are looked at to tell who goes */
#define snapshot_version      1
#define snapshot_crc_at       2
#define snapshot_entries_at   6 /* the checksum covers what follows */
#define snapshot_header_bytes 10
#define snapshot_entry_bytes  46

void producers_init(struct producers *p, uint64_t seed)
{
    *p = (struct producers){.seed = seed};
}

void producers_free(struct producers *p)
{
    free(p->entries);
    free(p->buckets);
    producers_init(p, p->seed);
}

void producers_clear(struct producers *p)
{
    p->count = 0;
    if (p->buckets)
        memset(p->buckets, 0, (p->bucket_mask + 1u) * sizeof(*p->buckets));
}

static uint32_t *bucket_of(const struct producers *p, int64_t id)
{
    return &p->buckets[XXH3_64bits_withSeed(&id, sizeof(id), p->seed) & p->bucket_mask];
}

struct producer *producers_find(const struct producers *p, int64_t id)
{
    if (p->count == 0)
        return NULL;
    for (uint32_t i = *bucket_of(p, id); i != 0; i = p->entries[i - 1].next)
        if (p->entries[i - 1].id == id)
            return &p->entries[i - 1];
    return NULL;
}

static void link_entry(struct producers *p, uint32_t index)
{
    uint32_t *bucket = bucket_of(p, p->entries[index].id);
    p->entries[index].next = *bucket;
    *bucket = index + 1;
}

static int grow(struct producers *p)
{
    uint32_t room = p->room ? p->room * 2 : room_first;
    uint32_t *buckets = calloc(room, sizeof(*buckets));
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    struct producer *entries = realloc(p->entries, room * sizeof(*entries));
    if (entries == NULL) {
        free(buckets);
        return ERR_NO_MEMORY;
    }
    free(p->buckets);
    p->entries = entries;
    p->buckets = buckets;
    p->room = room;
    p->bucket_mask = room - 1;
    for (uint32_t i = 0; i < p->count; i++)
        link_entry(p, i);
    return 0;
}

/* The first `kept` entries are those that stay; returns how many went. */
static uint32_t forget_rest(struct producers *p, uint32_t kept)
{
    uint32_t before = p->count;
    if (kept == before)
        return 0;
    producers_clear(p);
    while (p->count < kept)
        link_entry(p, p->count++);
    return before - kept;
}

static int time_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* About an evict_share'th of those without a transaction wrote nothing after it. */
static int64_t silent_since(const struct producers *p)
{
    int64_t times[evict_samples];
    uint32_t n = 0, step = p->count / evict_samples + 1;
    for (uint32_t i = 0; i < p->count; i += step)
        if (p->entries[i].txn_first_offset < 0)
            times[n++] = p->entries[i].last_timestamp_ms;
    if (n == 0)
        return INT64_MAX;
    qsort(times, n, sizeof(times[0]), time_order);
    return times[n / evict_share];
}

/* Returns how many went: at most an evict_share'th, none only if all have a transaction open. */
static uint32_t evict(struct producers *p)
{
    int64_t last = silent_since(p);
    uint32_t kept = 0, gone = 0, most = p->count / evict_share;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct producer *e = &p->entries[i];
        if (gone < most && e->txn_first_offset < 0 && e->last_timestamp_ms <= last)
            gone++;
        else
            p->entries[kept++] = *e;
    }
    return forget_rest(p, kept);
}

int producers_reserve(struct producers *p, int64_t id)
{
    if (p->count < p->room || producers_find(p, id))
        return 0;
    if (p->room == producer_ids_max)
        return evict(p) > 0 ? 0 : ERR_FULL;
    return grow(p);
}

static struct producer *find_or_add(struct producers *p, int64_t id)
{
    struct producer *e = producers_find(p, id);
    if (e)
        return e;
    CHECK(p->count < p->room);
    e = &p->entries[p->count];
    *e = (struct producer){.id = id,
                           .last_timestamp_ms = -1,
                           .txn_first_offset = -1,
                           .coordinator_epoch = -1,
                           .epoch = -1};
    link_entry(p, p->count++);
    return e;
}

const struct producer_batch *producer_last(const struct producer *e)
{
    if (e->count == 0)
        return NULL;
    return &e->batches[(e->first + e->count - 1u) % producer_batches_kept];
}

/* First sequence of a batch: its last one less its delta, wrapping below 0 to 2^31 - 1. */
static int32_t first_sequence(const struct producer_batch *b)
{
    if (b->last_sequence >= b->offset_delta)
        return b->last_sequence - b->offset_delta;
    return INT32_MAX - (b->offset_delta - b->last_sequence) + 1;
}

const struct producer_batch *producers_duplicate(const struct producers *p,
                                                 const struct producer_append *a)
{
    const struct producer *e = producers_find(p, a->producer_id);
    if (e == NULL || e->epoch != a->epoch)
        return NULL;
    for (uint32_t i = 0; i < e->count; i++) {
        const struct producer_batch *b = &e->batches[(e->first + i) % producer_batches_kept];
        if (b->last_sequence == a->last_sequence && first_sequence(b) == a->base_sequence)
            return b;
    }
    return NULL;
}

static int16_t check_sequence(const struct producer *e, const struct producer_append *a)
{
    if (e->epoch == -1)
        return 0; /* nothing known: any sequence may begin */
    if (a->epoch != e->epoch)
        return a->base_sequence == 0 ? 0 : KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    const struct producer_batch *last = producer_last(e);
    int32_t seen = last ? last->last_sequence : -1;
    bool next = (int64_t)a->base_sequence == (int64_t)seen + 1 ||
                (a->base_sequence == 0 && seen == INT32_MAX);
    return next ? 0 : KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

int16_t producers_check(const struct producers *p, const struct producer_append *a)
{
    const struct producer *e = producers_find(p, a->producer_id);
    bool open = e && e->txn_first_offset >= 0;
    if (a->transactional && !(open && e->epoch == a->epoch)) {
        if (e && a->epoch < e->epoch)
            return KERR_INVALID_PRODUCER_EPOCH;
        if (a->from_client)
            return KERR_INVALID_TXN_STATE; /* no transaction was begun on this partition */
    }
    if (e == NULL)
        return 0;
    if (a->epoch < e->epoch)
        return KERR_INVALID_PRODUCER_EPOCH;
    if (a->from_client) {
        int16_t err = check_sequence(e, a);
        if (err)
            return err;
    }
    return open && !a->transactional ? KERR_INVALID_TXN_STATE : 0;
}

static void set_epoch(struct producer *e, int16_t epoch)
{
    if (e->epoch == epoch)
        return;
    e->epoch = epoch;
    e->count = e->first = 0;
}

void producers_update(struct producers *p, const struct producer_append *a)
{
    struct producer *e = find_or_add(p, a->producer_id);
    set_epoch(e, a->epoch);
    if (e->count == producer_batches_kept) {
        e->first = (uint8_t)((e->first + 1) % producer_batches_kept);
        e->count--;
    }
    e->batches[(e->first + e->count) % producer_batches_kept] = (struct producer_batch){
        .last_offset = a->last_offset,
        .timestamp_ms = a->max_timestamp_ms,
        .last_sequence = a->last_sequence,
        .offset_delta = (int32_t)(a->last_offset - a->base_offset),
    };
    e->count++;
    e->last_timestamp_ms = a->max_timestamp_ms;
    if (a->transactional && e->txn_first_offset < 0)
        e->txn_first_offset = a->base_offset;
}

void producers_end_transaction(struct producers *p, int64_t id, int16_t epoch,
                               int32_t coordinator_epoch, int64_t timestamp_ms)
{
    struct producer *e = find_or_add(p, id);
    set_epoch(e, epoch);
    e->coordinator_epoch = coordinator_epoch;
    e->txn_first_offset = -1;
    e->last_timestamp_ms = timestamp_ms;
}

static bool expired(const struct producer *e, int64_t now_ms, int64_t expiration_ms)
{
    return e->txn_first_offset < 0 && now_ms - e->last_timestamp_ms >= expiration_ms;
}

uint32_t producers_expire(struct producers *p, int64_t now_ms, int64_t expiration_ms)
{
    uint32_t kept = 0, before = p->count;
    for (uint32_t i = 0; i < before; i++)
        if (!expired(&p->entries[i], now_ms, expiration_ms))
            p->entries[kept++] = p->entries[i];
    return forget_rest(p, kept);
}

int64_t producers_first_unstable(const struct producers *p)
{
    int64_t first = -1;
    for (uint32_t i = 0; i < p->count; i++) {
        int64_t at = p->entries[i].txn_first_offset;
        if (at >= 0 && (first < 0 || at < first))
            first = at;
    }
    return first;
}

size_t producers_snapshot_bytes(const struct producers *p)
{
    return snapshot_header_bytes + (size_t)p->count * snapshot_entry_bytes;
}

static void put_entry(uint8_t *o, const struct producer *e)
{
    const struct producer_batch *last = producer_last(e);
    bytes_put_u64(o, (uint64_t)e->id);
    bytes_put_u16(o + 8, (uint16_t)e->epoch);
    bytes_put_u32(o + 10, last ? (uint32_t)last->last_sequence : UINT32_MAX);
    bytes_put_u64(o + 14, last ? (uint64_t)last->last_offset : UINT64_MAX);
    bytes_put_u32(o + 22, last ? (uint32_t)last->offset_delta : 0);
    bytes_put_u64(o + 26, (uint64_t)e->last_timestamp_ms);
    bytes_put_u32(o + 34, (uint32_t)e->coordinator_epoch);
    bytes_put_u64(o + 38, (uint64_t)e->txn_first_offset);
}

void producers_snapshot(const struct producers *p, uint8_t *out)
{
    bytes_put_u16(out, snapshot_version);
    bytes_put_u32(out + snapshot_entries_at, p->count);
    for (uint32_t i = 0; i < p->count; i++)
        put_entry(out + snapshot_header_bytes + (size_t)i * snapshot_entry_bytes, &p->entries[i]);
    size_t n = producers_snapshot_bytes(p) - snapshot_entries_at;
    bytes_put_u32(out + snapshot_crc_at, crc32c(0, out + snapshot_entries_at, n));
}

static int load_entry(struct producers *p, const uint8_t *o, int64_t now_ms, int64_t expiration_ms)
{
    struct producer e = {
        .id = bytes_get_i64(o),
        .epoch = bytes_get_i16(o + 8),
        .last_timestamp_ms = bytes_get_i64(o + 26),
        .coordinator_epoch = bytes_get_i32(o + 34),
        .txn_first_offset = bytes_get_i64(o + 38),
    };
    int64_t last_offset = bytes_get_i64(o + 14);
    if (last_offset >= 0) {
        e.count = 1;
        e.batches[0] = (struct producer_batch){
            .last_sequence = bytes_get_i32(o + 10),
            .last_offset = last_offset,
            .offset_delta = bytes_get_i32(o + 22),
            .timestamp_ms = e.last_timestamp_ms,
        };
    }
    if (e.txn_first_offset < 0)
        e.txn_first_offset = -1;
    if (expired(&e, now_ms, expiration_ms))
        return 0;
    int err = producers_reserve(p, e.id);
    if (err)
        return err;
    struct producer *to = find_or_add(p, e.id);
    e.next = to->next;
    *to = e;
    return 0;
}

int producers_load(struct producers *p, const uint8_t *bytes, size_t n, int64_t now_ms,
                   int64_t expiration_ms)
{
    producers_clear(p);
    if (n < snapshot_header_bytes || bytes_get_u16(bytes) != snapshot_version)
        return ERR_CORRUPT;
    uint32_t crc = bytes_get_u32(bytes + snapshot_crc_at);
    uint32_t count = bytes_get_u32(bytes + snapshot_entries_at);
    if (crc != crc32c(0, bytes + snapshot_entries_at, n - snapshot_entries_at) ||
        (n - snapshot_header_bytes) / snapshot_entry_bytes < count)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *o = bytes + snapshot_header_bytes + (size_t)i * snapshot_entry_bytes;
        int err = load_entry(p, o, now_ms, expiration_ms);
        if (err) {
            producers_clear(p);
            return err;
        }
    }
    return 0;
}

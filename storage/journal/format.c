#include "storage/journal/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define head_magic   0x314c4e524a4c5553ULL /* "SULJRNL1" read as a little-endian word */
#define commit_magic 0x31544d434a4c5553ULL /* "SULJCMT1" */

/* As they are on disk; x86-64 is little-endian. */
struct disk_head {
    uint64_t magic;
    uint32_t version, block_bytes;
    uint8_t dir[16];
    uint32_t shard, blocks;
    uint64_t life, zero;
    uint64_t check; /* XXH3 of what is before it */
};

struct disk_commit {
    uint64_t magic, life, sequence, tail, done;
    uint32_t bytes, frames;
    uint64_t zero;
    uint64_t check; /* XXH3 of what is before it, then of the table with that as its seed */
};

struct disk_frame {
    uint8_t topic_id[16];
    int64_t base;
    int32_t partition, leader_epoch;
    uint32_t position, bytes;
    uint64_t data_check;
};

_Static_assert(sizeof(struct disk_head) == journal_head_bytes, "the format");
_Static_assert(sizeof(struct disk_commit) == journal_commit_head, "the format");
_Static_assert(sizeof(struct disk_frame) == journal_frame_head, "the format");

void journal_name(uint32_t shard, char out[journal_name_bytes_max])
{
    snprintf(out, journal_name_bytes_max, journal_name_prefix "%u", shard);
}

bool journal_name_parse(const char *name, uint32_t *shard)
{
    const size_t n = strlen(journal_name_prefix);
    char back[journal_name_bytes_max];
    if (strncmp(name, journal_name_prefix, n) != 0 || strlen(name) >= journal_name_bytes_max)
        return false;
    *shard = (uint32_t)strtoul(name + n, NULL, 10);
    journal_name(*shard, back);
    return strcmp(name, back) == 0;
}

void journal_name_unfinished(uint32_t shard, char out[journal_name_bytes_max])
{
    snprintf(out, journal_name_bytes_max, journal_name_prefix "%u.tmp", shard);
}

bool journal_is_unfinished(const char *name)
{
    char back[journal_name_bytes_max];
    size_t n = strlen(journal_name_prefix);
    if (strncmp(name, journal_name_prefix, n) != 0 || strlen(name) >= journal_name_bytes_max)
        return false;
    journal_name_unfinished((uint32_t)strtoul(name + n, NULL, 10), back);
    return strcmp(name, back) == 0;
}

void journal_head_put(uint8_t p[journal_head_bytes], const struct journal_head *h)
{
    struct disk_head d = {
        .magic = head_magic,
        .version = journal_version,
        .block_bytes = journal_block_bytes,
        .shard = h->shard,
        .blocks = h->blocks,
        .life = h->life,
    };
    memcpy(d.dir, h->dir.b, sizeof(d.dir));
    d.check = XXH3_64bits(&d, offsetof(struct disk_head, check));
    memcpy(p, &d, sizeof(d));
}

int journal_head_get(const uint8_t p[journal_head_bytes], struct journal_head *out)
{
    struct disk_head d;
    memcpy(&d, p, sizeof(d));
    if (d.magic != head_magic || d.check != XXH3_64bits(&d, offsetof(struct disk_head, check)))
        return ERR_CORRUPT;
    if (d.version != journal_version || d.block_bytes != journal_block_bytes)
        return ERR_UNSUPPORTED;
    if (d.blocks < journal_blocks_min || d.blocks > journal_blocks_max)
        return ERR_CORRUPT;
    *out = (struct journal_head){.shard = d.shard, .blocks = d.blocks, .life = d.life};
    memcpy(out->dir.b, d.dir, sizeof(d.dir));
    return 0;
}

static uint64_t commit_check(const struct disk_commit *d, const uint8_t *p)
{
    uint64_t head = XXH3_64bits(d, offsetof(struct disk_commit, check));
    return XXH3_64bits_withSeed(p + journal_commit_head, (size_t)d->frames * journal_frame_head,
                                head);
}

void journal_commit_put(uint8_t *p, const struct journal_commit *c)
{
    struct disk_commit d = {
        .magic = commit_magic,
        .life = c->life,
        .sequence = c->sequence,
        .tail = c->tail,
        .done = c->done,
        .bytes = c->bytes,
        .frames = c->frames,
    };
    d.check = commit_check(&d, p);
    memcpy(p, &d, sizeof(d));
}

bool journal_commit_get(const uint8_t *p, size_t n, struct journal_commit *out)
{
    struct disk_commit d;
    if (n < sizeof(d))
        return false;
    memcpy(&d, p, sizeof(d));
    if (d.magic != commit_magic || d.bytes > n || d.frames > journal_commit_frames ||
        d.bytes < journal_data_at(d.frames) || d.check != commit_check(&d, p))
        return false;
    *out = (struct journal_commit){.life = d.life,
                                   .sequence = d.sequence,
                                   .tail = d.tail,
                                   .done = d.done,
                                   .bytes = d.bytes,
                                   .frames = d.frames};
    return true;
}

uint64_t journal_data_check(const uint8_t *data, uint32_t n)
{
    return XXH3_64bits(data, n);
}

void journal_frame_put(uint8_t *p, uint32_t i, const struct journal_frame *f, const uint8_t *data)
{
    struct disk_frame d = {
        .base = f->base,
        .partition = f->partition,
        .leader_epoch = f->leader_epoch,
        .position = f->position,
        .bytes = f->bytes,
        .data_check = journal_data_check(data, f->bytes),
    };
    memcpy(d.topic_id, f->topic_id.b, sizeof(d.topic_id));
    memcpy(p + journal_data_at(i), &d, sizeof(d));
}

void journal_frame_get(const uint8_t *p, uint32_t i, struct journal_frame *out,
                       uint64_t *data_check)
{
    struct disk_frame d;
    memcpy(&d, p + journal_data_at(i), sizeof(d));
    *out = (struct journal_frame){.base = d.base,
                                  .partition = d.partition,
                                  .leader_epoch = d.leader_epoch,
                                  .position = d.position,
                                  .bytes = d.bytes};
    memcpy(out->topic_id.b, d.topic_id, sizeof(d.topic_id));
    *data_check = d.data_check;
}

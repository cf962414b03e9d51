#include "storage/journal/scan.h"

#include <stdlib.h>

#include "base/err.h"
#include "storage/plant.h"

struct candidate {
    struct journal_commit c;
    uint64_t at; /* byte of the image */
};

static int by_sequence(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int d = (x->c.sequence > y->c.sequence) - (x->c.sequence < y->c.sequence);
    return d ? d : (x->at > y->at) - (x->at < y->at);
}

/* Every block at which a commit of this life begins, as far as its header and table say. */
static uint32_t collect(const uint8_t *image, size_t n, const struct journal_head *h,
                        struct candidate *out)
{
    uint32_t count = 0;
    for (uint32_t block = 1; block < h->blocks; block++) {
        size_t at = (size_t)block * journal_block_bytes;
        struct candidate *k = &out[count];
        if (at >= n || !journal_commit_get(image + at, n - at, &k->c))
            continue;
        if (k->c.life != h->life && !PLANT(STALE_LAP))
            continue;
        k->at = at;
        count++;
    }
    return count;
}

static bool frame_whole(const uint8_t *commit, const struct journal_commit *c, uint32_t i,
                        uint32_t *at, struct journal_frame *f)
{
    uint64_t check;
    journal_frame_get(commit, i, f, &check);
    if (f->bytes > c->bytes - *at)
        return false;
    return journal_data_check(commit + *at, f->bytes) == check;
}

static bool commit_whole(const uint8_t *image, const struct candidate *k)
{
    uint32_t at = journal_data_at(k->c.frames);
    for (uint32_t i = 0; i < k->c.frames; i++) {
        struct journal_frame f;
        if (!frame_whole(image + k->at, &k->c, i, &at, &f))
            return false;
        at += f.bytes;
    }
    return at == k->c.bytes;
}

/* Frame by frame: what is damaged in a commit that had ended is left out. */
static int hand_out(struct journal_scan *s, const uint8_t *image, const struct candidate *k)
{
    const uint8_t *commit = image + k->at;
    uint32_t at = journal_data_at(k->c.frames);
    s->commits++;
    for (uint32_t i = 0; i < k->c.frames; i++) {
        struct journal_frame f;
        if (frame_whole(commit, &k->c, i, &at, &f)) {
            s->frames++;
            int err = s->frame(s, &f, commit + at, k->at + at);
            if (err)
                return err;
        } else {
            s->damaged++;
            s->damage(s, &f, k->at + at);
        }
        at += f.bytes;
        if (at > k->c.bytes)
            break;
    }
    return 0;
}

static int walk(struct journal_scan *s, const uint8_t *image, const struct candidate *all,
                uint32_t count)
{
    uint64_t done = 0, next = 0;
    for (uint32_t i = 0; i < count; i++)
        if (all[i].c.done > done)
            done = all[i].c.done;
    next = count ? all[count - 1].c.tail : 0;
    if (PLANT(STALE_LAP))
        next = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct candidate *k = &all[i];
        if (k->c.sequence < next)
            continue;
        bool ended = k->c.sequence <= done;
        if (k->c.sequence > next && !PLANT(STALE_LAP)) {
            if (next > done)
                return 0; /* never ended, nor did what follows */
            s->damaged++;
            s->damage(s, NULL, k->at);
        }
        if (!ended && !commit_whole(image, k))
            return 0;
        int err = hand_out(s, image, k);
        if (err)
            return err;
        next = k->c.sequence + !PLANT(STALE_LAP);
    }
    return 0;
}

int journal_scan(struct journal_scan *s, const uint8_t *image, size_t n,
                 const struct journal_head *h)
{
    s->commits = s->frames = s->damaged = 0;
    struct candidate *all = calloc(h->blocks, sizeof(*all));
    if (all == NULL)
        return ERR_NO_MEMORY;
    uint32_t count = collect(image, n, h, all);
    qsort(all, count, sizeof(*all), by_sequence);
    int err = walk(s, image, all, count);
    free(all);
    return err;
}

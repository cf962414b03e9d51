#include "storage/cache/holder.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

int holders_init(struct holders *h, uint32_t most)
{
    uint32_t buckets = 1;
    while (buckets < most)
        buckets *= 2;
    *h = (struct holders){.mask = buckets - 1};
    h->all = calloc(most ? most : 1, sizeof(*h->all));
    h->buckets = calloc(buckets, sizeof(*h->buckets));
    if (h->all == NULL || h->buckets == NULL) {
        holders_fini(h);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = most; i-- > 0;) {
        h->all[i].next = h->free;
        h->free = &h->all[i];
    }
    return 0;
}

void holders_fini(struct holders *h)
{
    free(h->all);
    free(h->buckets);
    *h = (struct holders){0};
}

static struct holder **bucket_of(const struct holders *h, uint64_t id)
{
    return &h->buckets[(id * 0x9e3779b97f4a7c15ULL >> 32) & h->mask];
}

static struct holder *find(const struct holders *h, uint64_t id)
{
    struct holder *x = *bucket_of(h, id);
    while (x && x->id != id)
        x = x->next;
    return x;
}

struct holder *holders_add(struct holders *h, uint64_t id, uint32_t n)
{
    struct holder *x = find(h, id);
    CHECK(n > 0);
    if (x == NULL) {
        x = h->free;
        if (x == NULL)
            return NULL;
        h->free = x->next;
        struct holder **bucket = bucket_of(h, id);
        *x = (struct holder){.id = id, .next = *bucket};
        *bucket = x;
    }
    x->chunks += n;
    return x;
}

void holders_drop(struct holders *h, struct holder *holder, uint32_t n)
{
    CHECK(n <= holder->chunks);
    holder->chunks -= n;
    if (holder->chunks > 0)
        return;
    struct holder **at = bucket_of(h, holder->id);
    while (*at != holder)
        at = &(*at)->next;
    *at = holder->next;
    holder->next = h->free;
    h->free = holder;
}

uint32_t holders_chunks(const struct holders *h, uint64_t id)
{
    const struct holder *x = find(h, id);
    return x ? x->chunks : 0;
}

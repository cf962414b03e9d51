#include "dataplane/kafka/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

int pool_init(struct pool *p, uint32_t stride, uint32_t count)
{
    stride = (stride + 63u) & ~63u;
    /* Cleared pages come from the kernel when they are first touched. */
    uint8_t *base = calloc(count + 1, stride);
    if (base == NULL)
        return ERR_NO_MEMORY;
    *p = (struct pool){.base = base, .stride = stride, .count = count, .free = count};
    return 0;
}

void pool_fini(struct pool *p)
{
    free(p->base);
    p->base = NULL;
}

static uint8_t *pool_first(const struct pool *p)
{
    return (uint8_t *)(((uintptr_t)p->base + 63) & ~(uintptr_t)63);
}

void *pool_take(struct pool *p)
{
    if (p->free == 0)
        return NULL;
    p->free--;
    void *object = p->list;
    if (object != NULL)
        memcpy(&p->list, object, sizeof(void *));
    else
        object = pool_first(p) + (size_t)p->fresh++ * p->stride;
    return object;
}

void pool_give(struct pool *p, void *object)
{
    DCHECK(p->free < p->count);
    memcpy(object, &p->list, sizeof(void *));
    p->list = object;
    p->free++;
}

#include "control/group/group.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/rng.h"
#include "control/group/classic.h"
#include "control/group/offsets.h"

struct str group_str_dup(struct str s, bool *ok)
{
    if (s.p == NULL)
        return STR_NULL;
    char *p = malloc((size_t)s.len + 1);
    if (p == NULL) {
        *ok = false;
        return STR_NULL;
    }
    memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return (struct str){p, s.len};
}

void group_str_free(struct str *s)
{
    free((char *)(uintptr_t)s->p);
    *s = STR_NULL;
}

struct str group_member_id(struct coordinator *c, struct str prefix)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t id[16];
    rng_fill(c->rng, id, sizeof(id));
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* version 4 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    char *p = malloc((size_t)prefix.len + 1 + 36 + 1);
    if (p == NULL)
        return STR_NULL;
    if (prefix.len)
        memcpy(p, prefix.p, prefix.len);
    char *at = p + prefix.len;
    for (int i = 0; i < 16; i++) {
        if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[id[i] >> 4];
        *at++ = hex[id[i] & 15];
    }
    *at = '\0';
    return (struct str){p, prefix.len + 37};
}

struct group *group_find(struct coordinator *c, struct str id)
{
    struct group *g = map_get(&c->by_id, id.p, id.len);
    return g && g->type != GROUP_NONE ? g : NULL;
}

bool group_room(const struct coordinator *c)
{
    return c->n_groups < c->settings.groups_max;
}

static void group_destroy(struct group *g)
{
    struct coordinator *c = g->c;
    CHECK(g->type == GROUP_NONE);
    for (struct group_pending_append *a = c->in_flight; a; a = a->in_flight_next)
        if (a->sync_group == g)
            a->sync_group = NULL;
    if (c->open && c->open->sync_group == g)
        c->open->sync_group = NULL;
    *g->prev = g->next;
    if (g->next)
        g->next->prev = g->prev;
    else
        c->groups_end = g->prev;
    map_remove(&c->by_id, g->id.p, g->id.len);
    map_free(&g->topics);
    group_str_free(&g->id);
    free(g);
}

struct group *group_find_or_make(struct coordinator *c, struct str id)
{
    struct group *g = map_get(&c->by_id, id.p, id.len);
    if (g)
        return g;
    bool ok = true;
    g = calloc(1, sizeof(*g));
    if (g == NULL)
        return NULL;
    g->c = c;
    g->id = group_str_dup(id, &ok);
    if (!ok || map_init(&g->topics, 8, true, rng_u64(c->rng)) < 0)
        goto no_memory;
    if (map_put(&c->by_id, g->id.p, g->id.len, g, NULL) < 0) {
        map_free(&g->topics);
        goto no_memory;
    }
    g->prev = c->groups_end;
    *c->groups_end = g;
    c->groups_end = &g->next;
    return g;
no_memory:
    group_str_free(&g->id);
    free(g);
    return NULL;
}

void group_set_type(struct group *g, enum group_type type)
{
    struct coordinator *c = g->c;
    if (g->type != GROUP_NONE)
        c->n_groups--;
    g->type = type;
    g->classic = NULL;
    if (type != GROUP_NONE)
        c->n_groups++;
    else if (g->n_offsets == 0 && g->n_pending_offsets == 0)
        group_destroy(g);
}

void group_maybe_destroy(struct group *g)
{
    if (g->type == GROUP_NONE && g->n_offsets == 0 && g->n_pending_offsets == 0)
        group_destroy(g);
}

void group_delete(struct group *g)
{
    struct coordinator *c = g->c;
    offsets_delete_all(g);
    if (!group_step_fits(c, g->id.len))
        group_step_end(c);
    if (g->type == GROUP_CLASSIC) {
        classic_emit_tombstone(g);
        classic_group_free(g);
    } else {
        c->consumer->emit_tombstones(g);
        c->consumer->free(g);
    }
    group_set_type(g, GROUP_NONE);
}

void group_free_all(struct coordinator *c)
{
    for (struct group *g = c->groups, *next; g; g = next) {
        next = g->next;
        if (g->type == GROUP_CLASSIC)
            classic_group_free(g);
        else if (g->type == GROUP_CONSUMER)
            c->consumer->free(g);
        g->n_pending_offsets = 0;
        offsets_free(g);
        group_set_type(g, GROUP_NONE);
    }
}

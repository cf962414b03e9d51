#include "control/group/consumer_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static int name_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

uint32_t consumer_names_sort(struct str *v, uint32_t n)
{
    uint32_t kept = 0;
    if (n > 1)
        qsort(v, n, sizeof(*v), name_cmp);
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || !str_eq(v[kept - 1], v[i]))
            v[kept++] = v[i];
    return kept;
}

bool consumer_names_has(const struct consumer_names *set, struct str name)
{
    return set->n > 0 && bsearch(&name, set->v, set->n, sizeof(set->v[0]), name_cmp) != NULL;
}

static bool same(const struct consumer_names *set, const struct str *v, uint32_t n)
{
    if (set->n != n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!str_eq(set->v[i], v[i]))
            return false;
    return true;
}

struct consumer_names *consumer_names_get(struct consumer_group *g, const struct str *v, uint32_t n)
{
    size_t bytes = 0;
    for (struct consumer_names *s = g->names; s != NULL; s = s->next)
        if (same(s, v, n)) {
            s->refs++;
            return s;
        }
    for (uint32_t i = 0; i < n; i++)
        bytes += v[i].len;
    struct consumer_names *s = malloc(sizeof(*s) + n * sizeof(s->v[0]) + bytes);
    if (s == NULL)
        return NULL;
    char *at = (char *)&s->v[n];
    for (uint32_t i = 0; i < n; i++) {
        memcpy(at, v[i].p, v[i].len);
        s->v[i] = (struct str){at, v[i].len};
        at += v[i].len;
    }
    s->refs = 1;
    s->n = n;
    s->next = g->names;
    g->names = s;
    g->n_names += n;
    return s;
}

void consumer_names_put(struct consumer_group *g, struct consumer_names *set)
{
    if (set == NULL || --set->refs > 0)
        return;
    struct consumer_names **at = &g->names;
    while (*at != set)
        at = &(*at)->next;
    *at = set->next;
    g->n_names -= set->n;
    free(set);
}

/* Moves a string into the block at *at. */
static struct str keep(char **at, struct str s)
{
    if (str_is_null(s))
        return s;
    memcpy(*at, s.p, s.len);
    struct str kept = {*at, s.len};
    *at += s.len;
    return kept;
}

struct consumer_meta *consumer_meta_copy(const struct consumer_meta *m, struct consumer_names *set)
{
    size_t bytes = 1 + m->instance_id.len + m->rack_id.len + m->client_id.len + m->client_host.len +
                   m->regex.len + m->assignor.len;
    for (uint32_t i = 0; i < m->n_protocols; i++)
        bytes += m->protocols[i].name.len + m->protocols[i].data.len;
    struct consumer_meta *c = malloc(sizeof(*c) + m->n_protocols * sizeof(*c->protocols) + bytes);
    if (c == NULL)
        return NULL;
    *c = *m;
    c->protocols = (struct consumer_proto *)(c + 1);
    char *at = (char *)(c->protocols + m->n_protocols);
    c->instance_id = keep(&at, m->instance_id);
    c->rack_id = keep(&at, m->rack_id);
    c->client_id = keep(&at, m->client_id);
    c->client_host = keep(&at, m->client_host);
    c->regex = keep(&at, m->regex);
    c->assignor = keep(&at, m->assignor);
    for (uint32_t i = 0; i < m->n_protocols; i++) {
        c->protocols[i].name = keep(&at, m->protocols[i].name);
        c->protocols[i].data = keep(&at, m->protocols[i].data);
    }
    c->names = set->v;
    c->n_names = set->n;
    return c;
}

bool consumer_meta_equal(const struct consumer_meta *a, const struct consumer_meta *b)
{
    if (!str_eq(a->instance_id, b->instance_id) || !str_eq(a->rack_id, b->rack_id) ||
        !str_eq(a->client_id, b->client_id) || !str_eq(a->client_host, b->client_host) ||
        !str_eq(a->regex, b->regex) || !str_eq(a->assignor, b->assignor) ||
        a->rebalance_timeout_ms != b->rebalance_timeout_ms || a->classic != b->classic ||
        a->session_timeout_ms != b->session_timeout_ms || a->n_protocols != b->n_protocols)
        return false;
    for (uint32_t i = 0; i < a->n_protocols; i++)
        if (!str_eq(a->protocols[i].name, b->protocols[i].name) ||
            !str_eq(a->protocols[i].data, b->protocols[i].data))
            return false;
    return consumer_names_equal(a, b);
}

bool consumer_names_equal(const struct consumer_meta *a, const struct consumer_meta *b)
{
    if (a->n_names != b->n_names)
        return false;
    for (uint32_t i = 0; i < a->n_names && a->names != b->names; i++)
        if (!str_eq(a->names[i], b->names[i]))
            return false;
    return true;
}

int consumer_part_cmp(const struct consumer_part *a, const struct consumer_part *b)
{
    int c = memcmp(a->topic.b, b->topic.b, sizeof(a->topic.b));
    return c ? c : (a->partition > b->partition) - (a->partition < b->partition);
}

const struct consumer_part *consumer_parts_find(const struct consumer_parts *p,
                                                const struct uuid *topic, int32_t partition)
{
    struct consumer_part key = {*topic, partition, 0};
    uint32_t lo = 0, hi = p->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = consumer_part_cmp(&p->v[mid], &key);
        if (c == 0)
            return &p->v[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

bool consumer_parts_equal(const struct consumer_parts *a, const struct consumer_parts *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (consumer_part_cmp(&a->v[i], &b->v[i]) != 0 || a->v[i].epoch != b->v[i].epoch)
            return false;
    return true;
}

int consumer_parts_copy(struct consumer_parts *out, const struct consumer_parts *in)
{
    struct consumer_part *v = malloc(in->n * sizeof(*v) + 1);
    if (v == NULL)
        return ERR_NO_MEMORY;
    if (in->n > 0)
        memcpy(v, in->v, in->n * sizeof(*v));
    *out = (struct consumer_parts){v, in->n};
    return 0;
}

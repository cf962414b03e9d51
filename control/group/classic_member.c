#include "base/check.h"
#include "control/group/classic.h"
#include "dataplane/proto/gen/join_group.h"

struct classic_member *classic_member_find(const struct classic_group *k, struct str id)
{
    return map_get(&k->by_id, id.p, id.len);
}

struct classic_member *classic_member_static(const struct classic_group *k, struct str instance_id)
{
    return map_get(&k->by_instance, instance_id.p, instance_id.len);
}

struct classic_pending *classic_pending_find(const struct classic_group *k, struct str id)
{
    return map_get(&k->pending, id.p, id.len);
}

int16_t classic_check_member(const struct classic_group *k, struct str member_id,
                             struct str instance_id)
{
    if (!str_is_null(instance_id)) {
        const struct classic_member *m = classic_member_static(k, instance_id);
        if (m == NULL)
            return KERR_UNKNOWN_MEMBER_ID;
        if (!str_eq(m->id, member_id))
            return KERR_FENCED_INSTANCE_ID;
    }
    return classic_member_find(k, member_id) ? 0 : KERR_UNKNOWN_MEMBER_ID;
}

/* --- which protocols the members have in common --- */

/* A name that stands twice in a member's list counts once. */
static bool is_repeat(const struct classic_protocol *protocols, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (str_eq(protocols[k].name, protocols[i].name))
            return true;
    return false;
}

static void uncount(struct classic_group *k, const struct classic_protocol *protocols, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct classic_count *count =
            map_get(&k->protocols, protocols[i].name.p, protocols[i].name.len);
        if (is_repeat(protocols, i) || count == NULL || --count->members > 0)
            continue;
        map_remove(&k->protocols, count->name.p, count->name.len);
        group_str_free(&count->name);
        free(count);
    }
}

static int count_one(struct classic_group *k, struct str name)
{
    struct classic_count *count = map_get(&k->protocols, name.p, name.len);
    if (count) {
        count->members++;
        return 0;
    }
    bool ok = true;
    count = malloc(sizeof(*count));
    if (count == NULL)
        return ERR_NO_MEMORY;
    *count = (struct classic_count){group_str_dup(name, &ok), 1};
    if (!ok || map_put(&k->protocols, count->name.p, count->name.len, count, NULL) < 0) {
        group_str_free(&count->name);
        free(count);
        return ERR_NO_MEMORY;
    }
    return 0;
}

static int count_all(struct classic_group *k, const struct classic_protocol *protocols, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!is_repeat(protocols, i) && count_one(k, protocols[i].name) < 0) {
            uncount(k, protocols, i);
            return ERR_NO_MEMORY;
        }
    return 0;
}

bool classic_supports(const struct classic_group *k, struct str type,
                      const struct join_group_request_protocol *protocols, int32_t n)
{
    if (k->state == CLASSIC_EMPTY)
        return type.len > 0 && n > 0;
    if (!str_eq(k->protocol_type, type))
        return false;
    for (int32_t i = 0; i < n; i++) {
        const struct classic_count *count =
            map_get(&k->protocols, protocols[i].name.p, protocols[i].name.len);
        if ((count ? count->members : 0) == k->n_members)
            return true;
    }
    return false;
}

/* All in one block: the array, then names and metadata. NULL: no memory. */
static struct classic_protocol *protocols_copy(const struct join_group_request_protocol *in,
                                               int32_t n)
{
    size_t bytes = (size_t)n * sizeof(struct classic_protocol) + 1;
    for (int32_t i = 0; i < n; i++)
        bytes += (size_t)in[i].name.len + in[i].metadata.len;
    struct classic_protocol *out = malloc(bytes);
    if (out == NULL)
        return NULL;
    char *at = (char *)(out + n);
    for (int32_t i = 0; i < n; i++) {
        out[i].name = (struct str){at, in[i].name.len};
        if (in[i].name.len)
            memcpy(at, in[i].name.p, in[i].name.len);
        at += in[i].name.len;
        out[i].metadata = (struct str){at, in[i].metadata.len};
        if (in[i].metadata.len)
            memcpy(at, in[i].metadata.p, in[i].metadata.len);
        at += in[i].metadata.len;
    }
    return out;
}

int classic_member_set_protocols(struct group *g, struct classic_member *m,
                                 const struct join_group_request_protocol *protocols, int32_t n)
{
    struct classic_protocol *copy = protocols_copy(protocols, n);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    /* Counting the new ones first keeps the old counts if memory runs out. */
    if (count_all(g->classic, copy, (uint32_t)n) < 0) {
        free(copy);
        return ERR_NO_MEMORY;
    }
    uncount(g->classic, m->protocols, m->n_protocols);
    free(m->protocols);
    m->protocols = copy;
    m->n_protocols = (uint32_t)n;
    return 0;
}

struct str classic_member_metadata(const struct classic_member *m, struct str protocol)
{
    for (uint32_t i = 0; i < m->n_protocols; i++)
        if (str_eq(m->protocols[i].name, protocol))
            return m->protocols[i].metadata;
    return STR_NULL;
}

bool classic_member_matches(const struct classic_member *m,
                            const struct join_group_request_protocol *protocols, int32_t n)
{
    if ((int32_t)m->n_protocols != n)
        return false;
    for (int32_t i = 0; i < n; i++) {
        const struct classic_protocol *p = &m->protocols[i];
        if (!str_eq(p->name, protocols[i].name) || p->metadata.len != protocols[i].metadata.len ||
            (p->metadata.len != 0 &&
             memcmp(p->metadata.p, protocols[i].metadata.p, p->metadata.len) != 0))
            return false;
    }
    return true;
}

int classic_member_set_assignment(struct classic_member *m, struct str assignment)
{
    return classic_set_str(&m->assignment, assignment.len ? assignment : STR_NULL);
}

/* --- members come and go --- */

static void member_free(struct classic_member *m)
{
    struct str *strings[] = {&m->id, &m->instance_id, &m->client_id, &m->client_host,
                             &m->assignment};
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        group_str_free(strings[i]);
    free(m->protocols);
    free(m);
}

static struct classic_member *member_make(struct group *g, const struct classic_member_spec *spec)
{
    struct classic_member *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return NULL;
    bool ok = true;
    m->group = g;
    m->id = group_str_dup(spec->id, &ok);
    m->instance_id = group_str_dup(spec->instance_id, &ok);
    m->client_id = group_str_dup(spec->client_id.p ? spec->client_id : STR(""), &ok);
    m->client_host = group_str_dup(spec->client_host.p ? spec->client_host : STR(""), &ok);
    m->rebalance_ms = spec->rebalance_ms;
    m->session_ms = spec->session_ms;
    m->session.fire = classic_session_fired;
    m->protocols = protocols_copy(spec->protocols, spec->n_protocols);
    m->n_protocols = (uint32_t)spec->n_protocols;
    if (!ok || m->protocols == NULL) {
        member_free(m);
        return NULL;
    }
    return m;
}

struct classic_member *classic_member_add(struct group *g, const struct classic_member_spec *spec)
{
    struct classic_group *k = g->classic;
    struct classic_member *m = member_make(g, spec);
    if (m == NULL)
        return NULL;
    if ((k->n_members == 0 && classic_set_str(&k->protocol_type, spec->protocol_type) < 0) ||
        (str_is_null(k->leader) && classic_set_str(&k->leader, m->id) < 0) ||
        count_all(k, m->protocols, m->n_protocols) < 0)
        goto free_member;
    if (map_put(&k->by_id, m->id.p, m->id.len, m, NULL) < 0)
        goto uncount;
    if (!str_is_null(m->instance_id) &&
        map_put(&k->by_instance, m->instance_id.p, m->instance_id.len, m, NULL) < 0) {
        map_remove(&k->by_id, m->id.p, m->id.len);
        goto uncount;
    }
    m->prev = k->members_end;
    *k->members_end = m;
    k->members_end = &m->next;
    k->n_members++;
    g->c->stats.members++;
    return m;
uncount:
    uncount(k, m->protocols, m->n_protocols);
free_member:
    member_free(m);
    return NULL;
}

static void calls_fail(struct group *g, struct classic_member *m, int16_t kerr)
{
    struct coordinator *c = g->c;
    struct group_call *call = group_unpark(c, &m->join_call);
    if (call)
        classic_join_reply_error(c, call, kerr, kerr == KERR_FENCED_INSTANCE_ID ? m->id : STR(""));
    call = group_unpark(c, &m->sync_call);
    if (call)
        group_reply_error(c, call, kerr);
    if (m->awaiting_join)
        g->classic->n_awaiting_join--;
    m->awaiting_join = false;
    m->awaiting_sync = false;
}

void classic_member_remove(struct group *g, struct classic_member *m, int16_t kerr)
{
    struct classic_group *k = g->classic;
    calls_fail(g, m, kerr);
    group_timer_cancel(g->c, &m->session);
    uncount(k, m->protocols, m->n_protocols);
    map_remove(&k->by_id, m->id.p, m->id.len);
    if (!str_is_null(m->instance_id))
        map_remove(&k->by_instance, m->instance_id.p, m->instance_id.len);
    *m->prev = m->next;
    if (m->next)
        m->next->prev = m->prev;
    else
        k->members_end = m->prev;
    k->n_members--;
    g->c->stats.members--;
    if (m->pending_sync)
        k->n_pending_sync--;
    if (classic_is_leader(k, m)) {
        struct str next = k->members ? k->members->id : STR_NULL;
        if (classic_set_str(&k->leader, next) < 0)
            group_fail(g->c, KERR_COORDINATOR_NOT_AVAILABLE);
    }
    member_free(m);
}

int classic_member_rename(struct group *g, struct classic_member *m, struct str new_id)
{
    struct classic_group *k = g->classic;
    bool leader = classic_is_leader(k, m);
    if (map_put(&k->by_id, new_id.p, new_id.len, m, NULL) < 0)
        return ERR_NO_MEMORY;
    if (leader && classic_set_str(&k->leader, new_id) < 0) {
        map_remove(&k->by_id, new_id.p, new_id.len);
        return ERR_NO_MEMORY;
    }
    calls_fail(g, m, KERR_FENCED_INSTANCE_ID);
    map_remove(&k->by_id, m->id.p, m->id.len);
    group_str_free(&m->id);
    m->id = new_id;
    m->is_new = false;
    return 0;
}

int classic_pending_add(struct group *g, struct str id, int32_t session_ms)
{
    struct classic_pending *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return ERR_NO_MEMORY;
    p->group = g;
    p->id = id;
    p->session.fire = classic_pending_fired;
    if (map_put(&g->classic->pending, id.p, id.len, p, NULL) < 0) {
        free(p);
        return ERR_NO_MEMORY;
    }
    group_timer_arm(g->c, &p->session, session_ms);
    return 0;
}

void classic_pending_free(struct group *g, struct classic_pending *p)
{
    group_timer_cancel(g->c, &p->session);
    group_str_free(&p->id);
    free(p);
}

void classic_pending_remove(struct group *g, struct classic_pending *p)
{
    map_remove(&g->classic->pending, p->id.p, p->id.len);
    classic_pending_free(g, p);
}

#include <ctype.h>

#include "base/arena.h"
#include "control/group/classic.h"
#include "dataplane/proto/gen/list_groups.h"

static struct str trim(struct str s)
{
    while (s.len && (uint8_t)s.p[0] <= ' ')
        s = (struct str){s.p + 1, s.len - 1};
    while (s.len && (uint8_t)s.p[s.len - 1] <= ' ')
        s.len--;
    return s;
}

static bool equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (uint32_t i = 0; i < a.len; i++)
        if (tolower((uint8_t)a.p[i]) != tolower((uint8_t)b.p[i]))
            return false;
    return true;
}

static bool in_filter(const struct str *filter, int32_t n, struct str value, bool trimmed)
{
    for (int32_t i = 0; i < n; i++)
        if (equal_nocase(trimmed ? trim(filter[i]) : filter[i], value))
            return true;
    return n <= 0;
}

/* False: the arena is full. */
static bool add_group(const struct group *g, struct group_call *call,
                      const struct list_groups_request *req, struct list_groups_response *r)
{
    bool classic = g->type == GROUP_CLASSIC;
    struct str state =
        str_from(classic ? classic_state_name(g->classic->state) : g->c->consumer->state(g));
    struct str type = classic ? STR("classic") : STR("consumer");
    if (!in_filter(req->states_filter, req->n_states_filter, state, true) ||
        !in_filter(req->types_filter, req->n_types_filter, type, false))
        return true;
    struct str protocol = classic ? g->classic->protocol_type : STR("consumer");
    struct list_groups_response_group *out = &r->groups[r->n_groups++];
    list_groups_response_group_init(out);
    out->group_id = arena_str(call->arena, g->id);
    out->protocol_type = arena_str(call->arena, protocol.p ? protocol : STR(""));
    out->group_state = state;
    out->group_type = type;
    return out->group_id.p && out->protocol_type.p;
}

void coordinator_list(struct coordinator *c, struct group_call *call,
                      const struct list_groups_request *req, struct group_now now)
{
    if (!group_step_begin(c, call, now))
        return;
    struct list_groups_response *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r) {
        list_groups_response_init(r);
        r->groups = arena_calloc(call->arena, c->n_groups, sizeof(*r->groups));
        bool ok = r->groups != NULL;
        for (const struct group *g = c->groups; g && ok; g = g->next)
            if (g->type != GROUP_NONE)
                ok = add_group(g, call, req, r);
        if (!ok)
            r = NULL;
    }
    call->response = r;
    group_reply(c, call);
    group_step_end(c);
}

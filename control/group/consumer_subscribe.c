#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "dataplane/proto/gen/consumer_group_heartbeat.h"
#include "control/group/consumer_heartbeat.h"
#include "control/group/consumer_names.h"

/* Members come, change their minds and give up their seats. */

struct consumer_meta *consumer_keep_meta(struct consumer_step *s, const struct consumer_meta *from)
{
    struct consumer_meta *m = arena_dup(s->scratch, from, sizeof(*from));
    struct str *names = arena_calloc(s->scratch, from->n_names + 1, sizeof(*names));
    struct consumer_proto *protos =
        arena_calloc(s->scratch, from->n_protocols + 1, sizeof(*protos));
    if (m == NULL || names == NULL || protos == NULL) {
        s->err = ERR_NO_MEMORY;
        return NULL;
    }
    struct str *const texts[] = {&m->instance_id, &m->rack_id, &m->client_id,
                                 &m->client_host, &m->regex,   &m->assignor};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = arena_str(s->scratch, *texts[i]);
    for (uint32_t i = 0; i < from->n_names; i++)
        names[i] = arena_str(s->scratch, from->names[i]);
    for (uint32_t i = 0; i < from->n_protocols; i++)
        protos[i] = (struct consumer_proto){arena_str(s->scratch, from->protocols[i].name),
                                            arena_str(s->scratch, from->protocols[i].data)};
    m->names = names;
    m->protocols = protos;
    return m;
}

static struct consumer_parts keep_parts(struct consumer_step *s, const struct consumer_parts *from)
{
    struct consumer_parts p = {arena_calloc(s->scratch, from->n + 1, sizeof(*p.v)), from->n};
    if (p.v == NULL)
        s->err = ERR_NO_MEMORY;
    else if (from->n > 0)
        memcpy(p.v, from->v, from->n * sizeof(*p.v));
    return p;
}

void consumer_replace(struct consumer_step *s, struct str old, struct str member_id)
{
    static const struct consumer_parts none;
    struct consumer_member *m = consumer_member_find(s->g, old);
    struct consumer_target *t = consumer_target_find(s->g, old);
    if (m == NULL)
        return;
    struct consumer_meta *meta = consumer_keep_meta(s, m->meta);
    struct consumer_parts target = keep_parts(s, t ? &t->parts : &none);
    struct consumer_current cur = {.state = m->cur.state,
                                   .assigned = keep_parts(s, &m->cur.assigned),
                                   .pending = keep_parts(s, &m->cur.pending)};
    if (s->err < 0)
        return;
    consumer_say_gone(s, CONSUMER_RECORD_CURRENT, old);
    consumer_say_gone(s, CONSUMER_RECORD_TARGET, old);
    consumer_say_gone(s, CONSUMER_RECORD_MEMBER, old);
    consumer_say_meta(s, member_id, meta);
    consumer_say_target(s, member_id, &target);
    consumer_say_current(s, member_id, &cur);
}

/* What a change of expression means for the group, as Kafka puts it. */
enum regex_change { REGEX_SAME, REGEX_UPDATED, REGEX_RESOLVED };

static bool has_text(struct str regex)
{
    return !str_is_null(regex) && regex.len > 0;
}

/* Called after the member's record: old is its former expression, fresh: nobody used the new one. */
static enum regex_change regex_changed(struct consumer_step *s, struct str old, struct str new,
                                       bool fresh)
{
    if (str_eq(old, new))
        return REGEX_SAME;
    const struct consumer_regex *was = consumer_regex_find(s->g, old);
    if (has_text(old) && (was == NULL || was->members == 0))
        consumer_say_gone(s, CONSUMER_RECORD_REGEX, old);
    const struct consumer_regex *is = consumer_regex_find(s->g, new);
    if (!has_text(new))
        return has_text(old) ? REGEX_RESOLVED : REGEX_UPDATED;
    return !fresh && is != NULL && is->resolved ? REGEX_RESOLVED : REGEX_UPDATED;
}

bool consumer_subscribe(struct consumer_step *s, struct str member_id,
                        const struct consumer_meta *meta)
{
    static const struct consumer_meta nothing = {.regex = {"", 0}};
    struct consumer_member *m = consumer_member_find(s->g, member_id);
    struct consumer_meta *before = consumer_keep_meta(s, m ? m->meta : &nothing);
    const struct consumer_regex *used = consumer_regex_find(s->g, meta->regex);
    bool fresh = has_text(meta->regex) && (used == NULL || used->members == 0);
    bool names_changed = false;
    if (s->err < 0)
        return false;
    if (m == NULL || !consumer_meta_equal(m->meta, meta)) {
        names_changed = !consumer_names_equal(before, meta);
        consumer_say_meta(s, member_id, meta);
    }
    m = consumer_member_find(s->g, member_id);
    if (m == NULL)
        return false;
    /* meta may point into what the record replaced: from here on the member's own is used. */
    struct str regex = m->meta->regex;
    enum regex_change change = regex_changed(s, before->regex, regex, fresh);
    consumer_resolve_if_due(s, fresh && !str_eq(before->regex, regex));
    bool bump = names_changed || change == REGEX_RESOLVED;
    if (bump || consumer_metadata_due(s))
        consumer_refresh(s, bump);
    return names_changed || change != REGEX_SAME;
}

bool consumer_leave_check(struct consumer_step *s,
                          const struct consumer_group_heartbeat_request *req, bool *stays,
                          struct consumer_fault *f)
{
    struct consumer_member *m;
    *stays = false;
    if (str_is_null(req->instance_id)) {
        if (consumer_member_find(s->g, req->member_id) != NULL)
            return true;
        consumer_refuse(s, f, KERR_UNKNOWN_MEMBER_ID, "Member %.*s is not a member of group %.*s.",
                        STR_ARG(req->member_id), STR_ARG(s->g->id));
        return false;
    }
    m = consumer_static_find(s->g, req->instance_id);
    if (m == NULL) {
        consumer_refuse(s, f, KERR_UNKNOWN_MEMBER_ID, "Instance id %.*s is unknown.",
                        STR_ARG(req->instance_id));
        return false;
    }
    if (!str_eq(m->id, req->member_id)) {
        consumer_refuse(s, f, KERR_FENCED_INSTANCE_ID,
                        "Static member %.*s with instance id %.*s was fenced by member %.*s.",
                        STR_ARG(req->member_id), STR_ARG(req->instance_id), STR_ARG(m->id));
        return false;
    }
    if (req->member_epoch != CONSUMER_LEAVE_STATIC)
        return true;
    struct consumer_current cur = {.epoch = CONSUMER_LEAVE_STATIC,
                                   .previous_epoch = m->cur.previous_epoch,
                                   .state = m->cur.state,
                                   .assigned = keep_parts(s, &m->cur.assigned)};
    for (uint32_t i = 0; s->err == 0 && i < cur.assigned.n; i++)
        cur.assigned.v[i].epoch = 0;
    *stays = true;
    if (s->err == 0)
        consumer_say_current(s, m->id, &cur);
    return true;
}

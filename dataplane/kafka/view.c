#include "dataplane/kafka/view.h"

#include "base/check.h"
#include "base/err.h"
#include "dataplane/kafka/list.h"

#define view_topics_first 64 /* room at start; the maps grow with the topics */

int view_init(struct view *v, uint32_t shard, uint64_t seed)
{
    if (shard >= shard_count_max)
        return ERR_INVALID;
    *v = (struct view){.shard = shard};
    int rc = map_init(&v->by_name, view_topics_first, true, seed);
    if (rc < 0)
        return rc;
    rc = map_init(&v->by_id, view_topics_first, true, seed);
    if (rc < 0)
        map_free(&v->by_name);
    return rc;
}

void view_fini(struct view *v)
{
    if (v == NULL)
        return;
    map_free(&v->by_name);
    map_free(&v->by_id);
}

struct view_topic *view_by_name(const struct view *v, struct str name)
{
    return map_get(&v->by_name, name.p, name.len);
}

struct view_topic *view_by_id(const struct view *v, const struct uuid *id)
{
    return map_get(&v->by_id, id->b, sizeof(id->b));
}

void view_hold(struct view *v, struct view_topic *t)
{
    t->users[v->shard]++;
}

void view_drop(struct view *v, struct view_topic *t)
{
    CHECK(t->users[v->shard] > 0);
    if (--t->users[v->shard] > 0)
        return;
    struct view_update *update = t->removal[v->shard];
    if (update == NULL)
        return;
    t->removal[v->shard] = NULL;
    call_finish(&update->call);
}

/*
 * Keys live in the topic that is stored, so a successor never replaces: the old one leaves first.
 */
static void take_out(struct view *v, struct view_topic *t)
{
    if (view_by_name(v, t->name) == t)
        map_remove(&v->by_name, t->name.p, t->name.len);
    if (view_by_id(v, &t->id) == t)
        map_remove(&v->by_id, t->id.b, sizeof(t->id.b));
}

static int put_in(struct view *v, struct view_topic *t)
{
    int rc = map_put(&v->by_name, t->name.p, t->name.len, t, NULL);
    if (rc < 0)
        return rc;
    rc = map_put(&v->by_id, t->id.b, sizeof(t->id.b), t, NULL);
    if (rc < 0)
        map_remove(&v->by_name, t->name.p, t->name.len);
    return rc;
}

static void update_run(struct call *call)
{
    struct view_update *u = container_of(call, struct view_update, call);
    struct view *v = u->view;
    u->result = 0;
    if (u->remove != NULL)
        take_out(v, u->remove);
    if (u->add != NULL && put_in(v, u->add) < 0)
        u->result = ERR_NO_MEMORY;
    if (u->remove != NULL && u->remove->users[v->shard] > 0) {
        CHECK(u->remove->removal[v->shard] == NULL);
        u->remove->removal[v->shard] = u;
        v->removals++;
        return;
    }
    call_finish(&u->call);
}

void view_update_init(struct view_update *u, struct view *v, struct view_topic *add,
                      struct view_topic *remove, void (*done)(struct call *call))
{
    *u = (struct view_update){
        .call = {.run = update_run, .done = done},
        .view = v,
        .add = add,
        .remove = remove,
    };
}

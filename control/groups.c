#include "control/groups_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "control/topics.h"

/* ---- which partition ---- */

/* The next code point of UTF-8; what is not well-formed reads as U+FFFD, as Java decodes it. */
static uint32_t utf8_next(const uint8_t **p, const uint8_t *end)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = *(*p)++;
    if (first < 0x80)
        return first;
    uint32_t more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4)
        return 0xfffd;
    uint32_t c = first & (0x3fu >> more);
    const uint8_t *at = *p;
    for (uint32_t i = 0; i < more; i++, at++) {
        if (at == end || (*at & 0xc0) != 0x80)
            return 0xfffd;
        c = c << 6 | (*at & 0x3f);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0xfffd;
    *p = at;
    return c;
}

int32_t groups_java_hash(struct str text)
{
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.len;
    uint32_t h = 0;
    while (p < end) {
        uint32_t c = utf8_next(&p, end);
        if (c >= 0x10000) {
            h = 31 * h + (0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        h = 31 * h + c;
    }
    return (int32_t)h;
}

/* Utils.abs: the least integer has no opposite and counts as 0. */
int32_t groups_partition_of(struct str group_id, int32_t partition_count)
{
    int32_t h = groups_java_hash(group_id);
    if (h == INT32_MIN)
        return 0;
    return (h < 0 ? -h : h) % partition_count;
}

/* ---- life ---- */

int groups_new(struct groups **out, struct control *c)
{
    struct groups *g = calloc(1, sizeof(*g));
    if (!g)
        return ERR_NO_MEMORY;
    g->control = c;
    g->topics_timer.fire = groups_topics_fire;
    *out = g;
    return 0;
}

static bool partitions_busy(const struct group_partition *p, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (internal_log_busy(&p[i].log))
            return true;
    return false;
}

static void partitions_free(struct groups *g, struct group_partition *p, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        wheel_cancel(&g->control->wheel, &p[i].timer);
        internal_log_discard(&p[i].log);
        coordinator_free(p[i].coordinator);
    }
    free(p);
}

/* Arrays of topics that went, whose last answers are there. A retired array's size is its first index. */
static void retired_sweep(struct groups *g, bool all)
{
    struct group_partition **at = &g->retired;
    while (*at) {
        struct group_partition *p = *at;
        if (!all && partitions_busy(p, p->index)) {
            at = &p->retired_next;
            continue;
        }
        *at = p->retired_next;
        partitions_free(g, p, p->index);
    }
}

void groups_free(struct groups *g)
{
    if (!g)
        return;
    wheel_cancel(&g->control->wheel, &g->topics_timer);
    wheel_cancel(&g->control->wheel, &g->lag_timer);
    retired_sweep(g, true);
    if (g->partitions)
        partitions_free(g, g->partitions, g->count);
    groups_deleted_free(g);
    free(g);
}

/* ---- the topic comes and goes ---- */

static void adopt(struct groups *g, const struct image_topic *topic)
{
    retired_sweep(g, false);
    struct group_partition *p = calloc((size_t)topic->partition_count, sizeof(*p));
    if (!p) {
        control_fail(g->control, "out of memory");
        return;
    }
    for (int32_t i = 0; i < topic->partition_count; i++)
        group_partition_init(&p[i], g, i, &topic->id);
    g->topic_id = topic->id;
    g->partitions = p;
    g->count = g->waiting = topic->partition_count;
    g->load_began_ns = g->control->now_ns;
    groups_load_next(g);
}

static void retire(struct groups *g)
{
    struct group_partition *p = g->partitions;
    int32_t n = g->count;
    g->partitions = NULL;
    g->count = g->waiting = g->loading = 0;
    for (int32_t i = 0; i < n; i++)
        group_partition_close(&p[i], KERR_NOT_COORDINATOR);
    p->index = n;
    p->retired_next = g->retired;
    g->retired = p;
}

void groups_start(struct groups *g)
{
    g->started = true;
    const struct image_topic *topic = image_by_name(&g->control->image, STR(GROUPS_TOPIC));
    if (topic && topic->state == IMAGE_TOPIC_LIVE)
        adopt(g, topic);
}

void groups_topic_event(struct groups *g, const struct image_topic *topic,
                        enum groups_topic_event event)
{
    if (!g || !g->started || g->stopping)
        return;
    if (event == GROUPS_TOPIC_CONFIGURED) {
        if (uuid_eq(&topic->id, &g->topic_id))
            groups_settings_changed(g);
        return;
    }
    if (str_eqz(STR(GROUPS_TOPIC), topic->name)) {
        if (event == GROUPS_TOPIC_CREATED && !g->partitions)
            adopt(g, topic);
        else if (event == GROUPS_TOPIC_DELETED && uuid_eq(&topic->id, &g->topic_id) &&
                 g->partitions)
            retire(g);
    } else if (event == GROUPS_TOPIC_DELETED) {
        size_t n = strlen(topic->name);
        struct groups_deleted_topic *d = malloc(sizeof(*d) + n + 1);
        if (d) {
            memcpy(d->text, topic->name, n + 1);
            d->topic =
                (struct group_topic){{d->text, (uint32_t)n}, topic->id, topic->partition_count};
            d->next = g->deleted;
            g->deleted = d;
        } else {
            control_fail(g->control, "out of memory");
        }
    }
    g->topics_version++;
    groups_topics_touch(g);
}

void groups_stop(struct groups *g)
{
    if (!g || g->stopping)
        return;
    g->stopping = true;
    wheel_cancel(&g->control->wheel, &g->topics_timer);
    wheel_cancel(&g->control->wheel, &g->lag_timer);
    for (int32_t i = 0; i < g->count; i++)
        group_partition_close(&g->partitions[i], KERR_COORDINATOR_NOT_AVAILABLE);
}

bool groups_stopped(const struct groups *g)
{
    return !g || (g->calls == 0 && !partitions_busy(g->partitions, g->count));
}

/* ---- questions ---- */

int32_t groups_count(const struct groups *g)
{
    return g->count;
}

int16_t groups_at(struct groups *g, int32_t index, struct group_partition **out)
{
    struct group_partition *p = &g->partitions[index];
    if (g->stopping)
        return KERR_COORDINATOR_NOT_AVAILABLE;
    if (g->calls >= groups_calls_max)
        return KERR_COORDINATOR_LOAD_IN_PROGRESS; /* clients wait a little and come back */
    switch (p->state) {
    case GROUP_PARTITION_ACTIVE:
        *out = p;
        return 0;
    case GROUP_PARTITION_WAITING:
    case GROUP_PARTITION_LOADING:
        return KERR_COORDINATOR_LOAD_IN_PROGRESS;
    default:
        return KERR_NOT_COORDINATOR;
    }
}

int16_t groups_find(struct groups *g, struct str group_id, struct group_partition **out)
{
    if (!g || g->stopping)
        return KERR_COORDINATOR_NOT_AVAILABLE;
    if (!g->partitions)
        return KERR_NOT_COORDINATOR;
    return groups_at(g, groups_partition_of(group_id, g->count), out);
}

struct coordinator *group_partition_coordinator(struct group_partition *p)
{
    return p->coordinator;
}

struct group_now groups_now(const struct groups *g)
{
    return (struct group_now){g->control->now_ns, g->control->wall_ms};
}

void groups_settings_changed(struct groups *g)
{
    if (!g)
        return;
    struct group_settings settings;
    groups_settings_of(g, &settings);
    for (int32_t i = 0; i < g->count; i++) {
        struct group_partition *p = &g->partitions[i];
        if (p->coordinator && coordinator_set_settings(p->coordinator, &settings) < 0)
            log_warn("groups", "settings of groups that do not fit together are not used");
    }
}

void groups_stats(const struct groups *g, struct groups_stats *out)
{
    *out = g->stats;
    out->partitions = g->count;
    out->loading = g->loading + g->waiting;
    for (int32_t i = 0; i < g->count; i++)
        out->active += g->partitions[i].state == GROUP_PARTITION_ACTIVE;
}

/* ---- calls ---- */

/* "127.0.0.1:54321" and "[::1]:54321" as Java prints an InetAddress: "/127.0.0.1". */
static struct str client_host(struct control_request *rq)
{
    const char *peer = rq->forward->peer;
    const char *colon = strrchr(peer, ':');
    size_t n = colon ? (size_t)(colon - peer) : strlen(peer);
    if (n >= 2 && peer[0] == '[' && peer[n - 1] == ']') {
        peer++;
        n -= 2;
    }
    return arena_printf(&rq->arena, "/%.*s", (int)n, peer);
}

void groups_call_init(struct group_work *w, struct control_request *rq,
                      void (*done)(struct group_work *w))
{
    const struct forward *f = rq->forward;
    *w = (struct group_work){
        .call = {.api_key = f->api_key,
                 .version = f->api_version,
                 .client_id = f->client_id_len >= 0
                                  ? (struct str){f->client_id, (uint32_t)f->client_id_len}
                                  : STR_NULL,
                 .client_host = client_host(rq),
                 .arena = &rq->arena},
        .done = done};
    w->call.user = rq;
    rq->control->groups->calls++;
}

void groups_cancel(struct group_partition *p, struct group_work *w)
{
    coordinator_cancel(p->coordinator, &w->call);
    p->groups->calls--;
}

/*
 * broker_limits: what the settings say of connections and of bytes of requests, for the shards.
 * Connections: at the start, and again after each change of the dynamic settings.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "control/broker_impl.h"

_Static_assert((int)admission_listeners_max == (int)config_listeners_max, "one number for each");
_Static_assert((int)admission_overrides_max >= (int)config_list_items_max, "room for a whole list");

/* One part for each shard. A part takes the largest request: Kafka lets one go over the limit. */
void broker_requests_bound(const struct config *c, struct mem_plan *plan)
{
    int64_t queued = config_long(c, CONFIG_QUEUED_MAX_REQUEST_BYTES);
    uint64_t largest = (uint64_t)config_int(c, CONFIG_SOCKET_REQUEST_MAX_BYTES);
    if (queued <= 0)
        return;
    largest = largest < plan->request_max ? largest : plan->request_max;
    uint64_t part = (uint64_t)queued / plan->shards;
    part = part > largest ? part : largest;
    if (part < plan->request_bytes)
        plan->request_bytes = part;
    if (plan->request_max > plan->request_bytes)
        plan->request_max = plan->request_bytes;
}

/* The listener between brokers is exempt from max.connections unless clients have no other. */
static void protect(struct broker *b, struct admission_options *o)
{
    uint32_t serving = 0;
    for (uint32_t i = 0; i < b->listeners.count; i++) {
        const struct listener *l = &b->listeners.items[i];
        serving += l->serves;
        if (l->serves && l->config->is_inter_broker)
            o->protected_listener = i;
        o->protects_listener |= l->serves && l->config->is_inter_broker;
    }
    o->protects_listener &= serving > 1;
}

static void options_make(struct broker *b, const struct config *c, struct admission_options *o,
                         struct admission_override *overrides)
{
    struct config_address_limit limits[admission_overrides_max];
    *o = (struct admission_options){
        .conn_max = (uint32_t)config_int(c, CONFIG_MAX_CONNECTIONS),
        .conn_per_ip_max = (uint32_t)config_int(c, CONFIG_MAX_CONNECTIONS_PER_IP),
        .listener_count = b->listeners.count,
        .overrides = overrides,
        .override_count = config_address_limits(c, limits, admission_overrides_max),
    };
    for (uint32_t i = 0; i < o->override_count; i++) {
        memcpy(overrides[i].address, limits[i].address, sizeof(overrides[i].address));
        overrides[i].conn_max = (uint32_t)limits[i].limit;
    }
    for (uint32_t i = 0; i < b->listeners.count; i++)
        o->listener_max[i] = (uint32_t)config_listener_connections(c, b->listeners.items[i].config);
    protect(b, o);
}

int broker_limits_make(struct broker *b)
{
    struct admission_override overrides[admission_overrides_max];
    struct admission_options o;
    options_make(b, b->config, &o, overrides);
    return admission_new(&b->admission, &o);
}

/* ---- parked shards are woken: their next step closes what is over a limit that fell ---- */

static void nudge(struct broker_shard *s);

static void nudge_run(struct call *call)
{
    call_finish(call);
}

static void nudge_done(struct call *call)
{
    struct broker_shard *s =
        (struct broker_shard *)((char *)call - offsetof(struct broker_shard, nudge));
    s->nudged = false;
    s->broker->calls_pending--;
    if (s->nudge_again)
        nudge(s);
}

/* One that is under way may have been at the shard before the change: then another one follows. */
static void nudge(struct broker_shard *s)
{
    s->nudge_again = s->nudged;
    if (s->nudged)
        return;
    s->nudged = true;
    s->nudge = (struct call){.run = nudge_run, .done = nudge_done};
    s->broker->calls_pending++;
    agent_call(&s->broker->control.agent, &s->shard.agent, &s->nudge);
}

void broker_settings_changed(struct broker *b)
{
    struct admission_override overrides[admission_overrides_max];
    struct admission_options o;
    if (!b->admission)
        return;
    options_make(b, b->control.config, &o, overrides);
    int err = admission_set(b->admission, &o);
    if (err)
        log_warn("broker", "the limits of connections stay as they were: %s", err_text(err));
    else if (b->running && admission_excess(b->admission) > 0)
        for (uint32_t i = 0; i < b->shard_count; i++)
            nudge(&b->shards[i]);
}

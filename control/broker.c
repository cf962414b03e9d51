#include "control/broker.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "control/broker_impl.h"

int broker_new(struct broker **out, struct config *config, const struct broker_seams *seams,
               char *why, size_t why_size)
{
    struct broker *b = calloc(1, sizeof(*b));
    if (!b) {
        snprintf(why, why_size, "%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    b->config = config;
    b->seams = *seams;
    *out = b;
    return 0;
}

int broker_run(struct broker *b)
{
    CHECK(b->running);
    control_loop_run(&b->loop, NULL, NULL, -1);
    bool failed = b->control.failed;
    broker_stop(b);
    return failed || !b->clean ? ERR_IO : 0;
}

void broker_request_stop(struct broker *b)
{
    atomic_store(&b->stop_asked, true);
    if (atomic_load(&b->has_loop))
        control_loop_stop(&b->loop);
}

static void shards_free(struct broker *b)
{
    for (uint32_t i = 0; b->shards && i < b->shard_count; i++)
        shard_stop(&b->shards[i].shard);
    for (uint32_t i = 0; i < b->worker_count; i++)
        worker_stop(&b->workers[i].worker);
    for (uint32_t i = 0; b->shards && i < b->shard_count; i++)
        broker_shard_free(&b->shards[i]);
    for (uint32_t i = 0; i < b->worker_count; i++)
        if (b->workers[i].made)
            worker_fini(&b->workers[i].worker);
    free(b->shards);
}

void broker_free(struct broker *b)
{
    if (!b)
        return;
    broker_stop(b);
    metrics_http_free(b->metrics_http);
    shards_free(b);
    dpdk_ports_close(&b->ports);
    capture_set_free(b->captures);
    broker_tail_free(b);
    groups_free(b->control.groups);
    if (b->metrics_http)
        metrics_lag_fini(&b->lag);
    topics_free(b->control.topics);
    meta_store_close(b->control.store);
    logdirs_close(b->logdirs);
    listeners_release(&b->listeners);
    admission_free(b->admission);
    if (b->has_loop)
        control_loop_fini(&b->loop);
    if (b->has_control)
        control_fini(&b->control);
    free(b);
}

/* ---- answers ---- */

enum plog_durability broker_durability(const struct broker *b)
{
    return str_eqz(config_string(b->config, CONFIG_SLUICE_DURABILITY), "os") ? PLOG_OS : PLOG_FSYNC;
}

uint32_t broker_shard_count(const struct broker *b)
{
    return b->shard_count;
}

struct shard *broker_shard(struct broker *b, uint32_t index)
{
    return &b->shards[index].shard;
}

uint32_t broker_log_dir_count(const struct broker *b)
{
    return b->logdirs->data_count;
}

const char *broker_log_dir(const struct broker *b, uint32_t index)
{
    return b->logdirs->dirs[index].path;
}

bool broker_log_dir_online(const struct broker *b, uint32_t index)
{
    return b->logdirs->dirs[index].online;
}

const struct uuid *broker_log_dir_id(const struct broker *b, uint32_t index)
{
    return &b->logdirs->dirs[index].id;
}

int broker_log_dir_space(const struct broker *b, uint32_t index, uint64_t *total,
                         uint64_t *available)
{
    const struct space *seen = &b->logdirs->dirs[index].space;
    *total = atomic_load_explicit(&seen->total, memory_order_relaxed);
    *available = atomic_load_explicit(&seen->available, memory_order_relaxed);
    return *total > 0 ? 0 : ERR_NOT_FOUND;
}

int32_t broker_node_id(const struct broker *b)
{
    return config_node_id(b->config);
}

uint16_t broker_listener_port(const struct broker *b, uint32_t listener)
{
    return listener < b->listeners.count ? b->listeners.items[listener].port : 0;
}

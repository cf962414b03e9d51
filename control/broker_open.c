/* broker_open: the log dirs and the metadata: locked, checked against each other, begun. */
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "control/broker_impl.h"
#include "control/meta/load.h"

int broker_open_dirs(struct broker *b, char *why, size_t why_size)
{
    struct logdirs_options o = {
        .fs = b->seams.fs,
        .clock = b->seams.clock,
        .rng = &b->control.rng,
        .node_id = broker_node_id(b),
        .paths = config_log_dirs(b->config),
    };
    if (config_has(b->config, CONFIG_METADATA_LOG_DIR))
        o.metadata_path = config_string(b->config, CONFIG_METADATA_LOG_DIR);
    return logdirs_open(&b->logdirs, &o, why, why_size);
}

/* The metadata log and the directories must speak of one cluster. */
static int cluster_check(struct broker *b, struct uuid *cluster, char *why, size_t why_size)
{
    int err = logdirs_cluster_id(b->logdirs, cluster, why, why_size);
    const struct uuid *ours = &b->control.image.cluster_uuid;
    if (err || uuid_is_zero(ours))
        return err;
    if (!uuid_is_zero(cluster) && !uuid_eq(cluster, ours)) {
        char found[UUID_TEXT_LEN + 1], expected[UUID_TEXT_LEN + 1];
        uuid_format(cluster, found);
        uuid_format(ours, expected);
        snprintf(why, why_size,
                 "the log dirs say cluster.id=%s in meta.properties, the metadata in %s is of %s: "
                 "they belong to another cluster",
                 found, b->logdirs->dirs[b->logdirs->metadata].path, expected);
        return ERR_INVALID;
    }
    *cluster = *ours;
    return 0;
}

static bool has_metadata(const struct broker *b, uint32_t dir)
{
    static const char *const names[] = {meta_log_name, meta_snapshot_name};
    char path[io_path_bytes_max + 32];
    struct fs_stat st;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", b->logdirs->dirs[dir].path, names[i]);
        if (b->seams.fs->ops->stat(b->seams.fs, path, &st) == 0)
            return true;
    }
    return false;
}

/*
 * Where no metadata is, a new log of it would make every topic in the other dirs a stranger's. So none
 * is begun while another dir has some, or belongs to a cluster that this one does not know of.
 */
static int metadata_is_there(const struct broker *b, char *why, size_t why_size)
{
    const struct logdirs *l = b->logdirs;
    const struct log_dir *here = &l->dirs[l->metadata];
    if (has_metadata(b, l->metadata))
        return 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct log_dir *d = &l->dirs[i];
        if (i == l->metadata || !d->online)
            continue;
        if (has_metadata(b, i)) {
            snprintf(why, why_size,
                     "%s has no metadata, and %s has: set metadata.log.dir to it, or move its "
                     "sluice.meta.* files",
                     here->path, d->path);
            return ERR_INVALID;
        }
        if (uuid_is_zero(&here->cluster_id) && !uuid_is_zero(&d->cluster_id)) {
            snprintf(why, why_size,
                     "%s, where the metadata belongs, is empty, and %s is of a cluster (cluster.id "
                     "in its meta.properties): is it mounted, or is metadata.log.dir another one?",
                     here->path, d->path);
            return ERR_INVALID;
        }
    }
    return 0;
}

int broker_open_meta(struct broker *b, char *why, size_t why_size)
{
    struct meta_store_options o = {
        .fs = b->seams.fs,
        .dir = b->logdirs->dirs[b->logdirs->metadata].path,
        .snapshot_after_bytes = meta_snapshot_after_bytes_default,
    };
    struct uuid cluster;
    int err = metadata_is_there(b, why, why_size);
    if (err)
        return err;
    err = meta_store_open(&b->control.store, &o, &b->control.image, why, why_size);
    b->recover_os = b->control.image.os_durability;
    return err ? err : cluster_check(b, &cluster, why, why_size);
}

/*
 * Whether a crash of this run may leave what sluice.durability=os leaves: sticky until a clean
 * stop.
 */
static bool os_promises(const struct broker *b)
{
    bool clean = true;
    for (uint32_t i = 0; i < b->logdirs->data_count; i++)
        clean = clean && b->logdirs->dirs[i].clean; /* one that is away may come back */
    return broker_durability(b) == PLOG_OS || (b->recover_os && !clean);
}

/* From here on data is written. One record says that a new start has begun: new leader epochs. */
int broker_begin_dirs(struct broker *b, char *why, size_t why_size)
{
    struct control *c = &b->control;
    struct meta_record records[3];
    struct meta_config min_isr = {STR("min.insync.replicas"), STR_NULL};
    char text[12];
    uint32_t n = 0;
    struct uuid cluster;
    int err = cluster_check(b, &cluster, why, why_size);
    if (err)
        return err;
    if (uuid_is_zero(&cluster))
        cluster = uuid_random(&c->rng);
    logdirs_make_room(b->logdirs, config_long(b->config, CONFIG_SLUICE_DISK_FREE_BYTES),
                      config_long(b->config, CONFIG_SLUICE_DISK_RESERVE_BYTES));
    err = logdirs_begin(b->logdirs, &cluster, why, why_size);
    if (err)
        return err;
    if (uuid_is_zero(&c->image.cluster_uuid)) {
        /*
         * Kafka 4.3 makes min.insync.replicas a cluster-wide setting of every new cluster
         * (KIP-966).
         */
        snprintf(text, sizeof(text), "%d", config_int(b->config, CONFIG_MIN_INSYNC_REPLICAS));
        min_isr.value = str_from(text);
        records[n++] = (struct meta_record){.type = META_CLUSTER, .id = cluster};
        records[n++] = (struct meta_record){
            .type = META_CLUSTER_CONFIGS, .configs = &min_isr, .config_count = 1};
    }
    records[n++] = (struct meta_record){
        .type = META_BOOT, .value = (int64_t)c->image.boots + 1, .os_durability = os_promises(b)};
    err = meta_store_append(c->store, records, n);
    if (!err)
        err = control_apply_configs(c);
    if (err)
        snprintf(why, why_size, "the metadata log cannot be written: %s", err_text(err));
    return err;
}

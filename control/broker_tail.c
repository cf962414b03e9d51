/*
 * broker_tail: log memory with a name: what a broker that died left in it is put into the files, and
 * with sluice.durability=os the shards get such memory.
 *
 * Region 0 is made first and removed last. One that somebody removed by hand takes its own records
 * along and no others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "control/broker_impl.h"
#include "storage/cache/region_owner.h"
#include "storage/plog/tail.h"

static const struct uuid *tail_id(const struct broker *b)
{
    return &b->logdirs->dirs[b->logdirs->metadata].id;
}

/*
 * `sluice log memory` holds each region for the moment in which it looks at it, and so does who reads
 * /proc of a broker that is being torn down: one in use is tried again for busy_wait_ms.
 */
#define busy_wait_ms 5000
#define busy_try_ms  20

static bool try_again(int err, int *waited_ms)
{
    if (err != ERR_BUSY || *waited_ms >= busy_wait_ms)
        return false;
    usleep(busy_try_ms * 1000);
    *waited_ms += busy_try_ms;
    return true;
}

/* ---- what was left ---- */

int broker_tail_open(struct broker *b, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < shard_count_max; i++) {
        struct region r;
        int err, waited_ms = 0;
        do {
            err = region_open(&r, b->seams.fs, tail_id(b), i, why, why_size);
        } while (try_again(err, &waited_ms));
        if (err == ERR_NOT_FOUND)
            continue;
        if (err)
            return err;
        b->left[b->left_count++] = r;
    }
    return 0;
}

static bool directory_gone(const struct broker *b, const char *log_dir, const char *topic,
                           int32_t partition)
{
    char path[io_path_bytes_max + topic_name_bytes_max + 16];
    struct fs_stat st;
    snprintf(path, sizeof(path), "%s/%s-%d", log_dir, topic, partition);
    return b->seams.fs->ops->stat(b->seams.fs, path, &st) == ERR_NOT_FOUND;
}

static enum restore_missing missing(void *ctx, const struct uuid *topic_id, int32_t partition)
{
    struct broker *b = ctx;
    const struct logdirs *dirs = b->logdirs;
    const struct image_topic *topic = image_by_id(&b->control.image, topic_id);
    if (!topic || topic->state == IMAGE_TOPIC_DELETING || partition >= topic->partition_count)
        return RESTORE_DROP;
    uint32_t dir = logdirs_by_id(dirs, &topic->partitions[partition].directory);
    if (dir == image_no_log_dir || !dirs->dirs[dir].online)
        return RESTORE_KEEP;
    const struct log_dir *d = &dirs->dirs[dir];
    if (!d->clean && !directory_gone(b, d->path, topic->name, partition)) {
        char id[UUID_TEXT_LEN + 1];
        uuid_format(topic_id, id);
        log_error("broker",
                  "%s/%s-%d/partition.metadata does not name the topic id %s, and named memory "
                  "holds records for it: make the file right, or remove the directory to give the "
                  "partition up",
                  d->path, topic->name, partition, id);
        return RESTORE_KEEP;
    }
    log_error("broker", "%s-%d: named memory holds records of it that have no place any more: %s",
              topic->name, partition,
              d->clean ? "its log dir was stopped cleanly since" : "its directory was removed");
    return RESTORE_DROP;
}

static int replay(struct broker *b, char *why, size_t why_size)
{
    const char **dirs = calloc(b->logdirs->data_count, sizeof(*dirs));
    uint32_t n = 0;
    struct restore_report report;
    if (!dirs) {
        snprintf(why, why_size, "%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < b->logdirs->data_count; i++)
        if (b->logdirs->dirs[i].online && !b->logdirs->dirs[i].clean)
            dirs[n++] = b->logdirs->dirs[i].path;
    struct tail_options o = {
        .fs = b->seams.fs,
        .regions = b->left,
        .region_count = b->left_count,
        .dirs = dirs,
        .dir_count = n,
        .missing = missing,
        .ctx = b,
    };
    int err = tail_replay(&o, &report, why, why_size);
    free(dirs);
    if (!err)
        log_info("broker",
                 "named memory of the broker before: %llu bytes of %u partitions written to their "
                 "files, %u pieces of partitions that are gone, %u refused",
                 (unsigned long long)report.bytes, report.partitions, report.dropped,
                 report.refused);
    return err;
}

/* Everything of it is in files, or was given up with a line. */
static int left_remove(struct broker *b, char *why, size_t why_size)
{
    while (b->left_count > 0) {
        struct region *r = &b->left[--b->left_count];
        int err = region_remove(r);
        if (err && err != ERR_NOT_FOUND) {
            snprintf(why, why_size, "the named memory sluice-%s cannot be removed: %s", r->name,
                     err_text(err));
            return err;
        }
    }
    return 0;
}

/* ---- what the shards get ---- */

static void regions_drop(struct broker *b)
{
    while (b->region_count > 0)
        region_remove(&b->regions[--b->region_count]);
}

/* Other programs look for the log dir from where they are. */
static void sign(struct region *r, const char *log_dir)
{
    char *path = realpath(log_dir, NULL);
    region_sign(r, path ? path : log_dir);
    free(path);
}

static int regions_make(struct broker *b)
{
    for (uint32_t i = 0; i < b->shard_count; i++) {
        int err, waited_ms = 0;
        do {
            err = region_make(&b->regions[i], b->seams.fs, tail_id(b), i, b->shard_count,
                              cache_size(b->shards[i].cache));
        } while (try_again(err, &waited_ms));
        if (err)
            return err;
        sign(&b->regions[i], b->logdirs->dirs[b->logdirs->metadata].path);
        b->region_count++;
    }
    return 0;
}

static void regions_use(struct broker *b)
{
    const struct fs_named *named = &b->regions[0].named;
    for (uint32_t i = 0; i < b->shard_count; i++)
        cache_use_region(b->shards[i].cache, &b->regions[i]);
    log_info("broker",
             "log memory is named sluice-%s, %s: the store into it is the acknowledgement",
             b->regions[0].name, named->kind == FS_NAMED_HUGE ? "on hugetlbfs" : "in /dev/shm");
    if (named->caveat)
        log_warn("broker", "what is acknowledged may not outlive a restart: %s", named->caveat);
}

int broker_tail_begin(struct broker *b, char *why, size_t why_size)
{
    int err = b->left_count ? replay(b, why, why_size) : 0;
    if (!err)
        err = left_remove(b, why, why_size);
    if (err || broker_durability(b) != PLOG_OS)
        return err;
    err = regions_make(b);
    if (err) {
        regions_drop(b);
        log_warn(
            "broker",
            "no named log memory (%s): an acknowledgement waits until the operating system has "
            "the bytes",
            err_text(err));
        return 0;
    }
    regions_use(b);
    return 0;
}

/* The shards are gone. What is not in a file stays for the next start. */
void broker_tail_free(struct broker *b)
{
    bool empty = true;
    for (uint32_t i = 0; i < b->region_count; i++)
        empty = empty && region_count(&b->regions[i]) == 0;
    if (b->region_count && !empty)
        log_warn("broker",
                 "the named memory sluice-%s holds records that are in no file: the next "
                 "start writes them",
                 b->regions[0].name);
    if (empty)
        regions_drop(b);
    while (b->region_count > 0)
        region_close(&b->regions[--b->region_count]);
    while (b->left_count > 0)
        region_close(&b->left[--b->left_count]);
}

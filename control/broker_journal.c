/*
 * broker_journal: the journals of the log dirs: what a broker that died left in them is put into the
 * segments, and the shards are told how large theirs are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "control/broker_impl.h"
#include "storage/journal/journal.h"
#include "storage/plog/journal_replay.h"

#define journal_share        8 /* of a shard's log memory */
#define journal_bytes_least  (1 * MIB)
#define journal_bytes_chosen (32 * MIB)

/* ---- what was left ---- */

/* The replay of one log dir's journals. */
struct replay {
    struct broker *b;
    uint32_t dir;
    const struct image_topic *kept; /* of a partition whose records have no place */
    int32_t partition;
    const char *elsewhere; /* the log dir that would serve it, without these records */
};

/*
 * An online log dir besides the journal's own in which the start would open the partition: one with
 * its directory, else the one that the metadata names (there an empty one would be made).
 */
static const char *elsewhere(const struct replay *r, const struct image_topic *topic,
                             int32_t partition)
{
    const struct logdirs *l = r->b->logdirs;
    uint32_t named = logdirs_by_id(l, &topic->partitions[partition].directory);
    for (uint32_t i = 0; i < l->data_count; i++) {
        char path[io_path_bytes_max];
        struct fs_stat st;
        if (i == r->dir || !l->dirs[i].online)
            continue;
        int n = snprintf(path, sizeof(path), "%s/%s-%d", l->dirs[i].path, topic->name, partition);
        if (i == named || n >= (int)sizeof(path) ||
            r->b->seams.fs->ops->stat(r->b->seams.fs, path, &st) != ERR_NOT_FOUND)
            return l->dirs[i].path;
    }
    return NULL;
}

static enum restore_missing missing(void *ctx, const struct uuid *topic_id, int32_t partition)
{
    struct replay *r = ctx;
    const struct image_topic *topic = image_by_id(&r->b->control.image, topic_id);
    if (!topic || topic->state == IMAGE_TOPIC_DELETING || partition < 0 ||
        partition >= topic->partition_count)
        return RESTORE_DROP;
    if (!r->elsewhere) {
        r->kept = topic;
        r->partition = partition;
        r->elsewhere = elsewhere(r, topic, partition);
    }
    return RESTORE_KEEP;
}

static void say_kept(const struct replay *r, char *why, size_t why_size)
{
    const struct log_dir *d = &r->b->logdirs->dirs[r->dir];
    char id[UUID_TEXT_LEN + 1];
    uuid_format(&r->kept->id, id);
    snprintf(
        why, why_size,
        "%s: a journal has acknowledged records of %s-%d, and no log dir that was not stopped "
        "cleanly has a directory of it whose partition.metadata names the topic id %s%s%s: put "
        "it back (or remove %s/" journal_name_prefix "* to give the records of all its "
        "journals up)",
        d->path, r->kept->name, r->partition, id,
        r->elsewhere ? "; it would be opened without them in " : "",
        r->elsewhere ? r->elsewhere : "", d->path);
}

static void say_replayed(const struct log_dir *d, const struct journal_replay_report *r)
{
    log_info("broker",
             "%s: %u journals of the broker before: %llu commits, %llu bytes of %u partitions "
             "written to their segments, %u pieces of what is gone, %u refused, %llu damaged",
             d->path, r->journals, (unsigned long long)r->commits,
             (unsigned long long)r->restored.bytes, r->restored.partitions, r->restored.dropped,
             r->restored.refused, (unsigned long long)r->damaged);
}

static int dir_replay(struct replay *r, char *why, size_t why_size)
{
    const struct logdirs *l = r->b->logdirs;
    const struct log_dir *d = &l->dirs[r->dir];
    struct fs *fs = r->b->seams.fs;
    if (d->clean) { /* whoever stopped here cleanly wrote after it */
        int err = journal_remove_all(fs, d->path);
        if (err)
            snprintf(why, why_size, "%s: removing old journals: %s", d->path, err_text(err));
        return err;
    }
    const char **dirs = calloc(l->data_count, sizeof(*dirs));
    if (!dirs) {
        snprintf(why, why_size, "%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    struct journal_replay_report report;
    struct journal_replay_options o = {
        .fs = fs, .log_dir = d->path, .id = d->id, .dirs = dirs, .missing = missing, .ctx = r};
    for (uint32_t i = 0; i < l->data_count; i++)
        if (l->dirs[i].online && !l->dirs[i].clean)
            dirs[o.dir_count++] = l->dirs[i].path;
    int err = journal_replay(&o, &report, why, why_size);
    free(dirs);
    if (err && r->kept)
        say_kept(r, why, why_size);
    else if (!err && report.journals)
        say_replayed(d, &report);
    return err;
}

/*
 * A dir whose journal cannot be put back is offline with its partitions, as long as the metadata is
 * elsewhere, and unless one of them would be served without its records from another dir.
 */
int broker_journals_begin(struct broker *b, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < b->logdirs->data_count; i++) {
        struct log_dir *d = &b->logdirs->dirs[i];
        struct replay r = {.b = b, .dir = i};
        int err = d->online ? dir_replay(&r, why, why_size) : 0;
        if (!err)
            continue;
        if (i == b->logdirs->metadata || r.elsewhere)
            return err;
        d->online = false;
        log_error("broker", "%s; log dir %s is offline", why, d->path);
    }
    return 0;
}

/* ---- what the shards get ---- */

static bool dir_id(struct plog_env *env, const char *log_dir, struct uuid *out)
{
    const struct broker_shard *s = env->ctx;
    const struct logdirs *dirs = s->broker->logdirs;
    for (uint32_t i = 0; i < dirs->data_count; i++) {
        if (strcmp(dirs->dirs[i].path, log_dir) != 0)
            continue;
        *out = dirs->dirs[i].id;
        return true;
    }
    return false;
}

/* -1 in the settings: by the memory, since undrained bytes stay there too. */
static uint64_t journal_bytes(const struct broker_shard *s)
{
    int64_t wanted = config_long(s->broker->config, CONFIG_SLUICE_JOURNAL_BYTES);
    uint64_t bytes = s->shard.mem.log_bytes / journal_share;
    if (wanted == 0)
        return 0;
    if (wanted > 0)
        bytes = (uint64_t)wanted;
    else if (bytes > journal_bytes_chosen)
        bytes = journal_bytes_chosen;
    bytes = bytes / journal_block_bytes * journal_block_bytes;
    bytes = bytes < journal_bytes_least ? journal_bytes_least : bytes;
    uint64_t most = (uint64_t)journal_blocks_max * journal_block_bytes;
    return bytes < most ? bytes : most;
}

void broker_journal_plan(struct broker_shard *s)
{
    s->plogs.journal_bytes = journal_bytes(s);
    s->plogs.rng = &s->shard.rng;
    s->plogs.dir_id = dir_id;
}

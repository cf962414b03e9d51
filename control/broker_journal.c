/*
 * broker_journal: the journals of the log dirs: what a broker that died left in them is put into the
 * segments, and the shards are told how large theirs are.
 */
#include <stdio.h>
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

static int dir_replay(struct broker *b, const struct log_dir *d, char *why, size_t why_size)
{
    struct journal_replay_report r;
    struct fs *fs = b->seams.fs;
    if (d->clean) { /* whoever stopped here cleanly wrote after it */
        int err = journal_remove_all(fs, d->path);
        if (err)
            snprintf(why, why_size, "%s: removing old journals: %s", d->path, err_text(err));
        return err;
    }
    int err = journal_replay(fs, d->path, &d->id, &r, why, why_size);
    if (!err && r.journals)
        log_info("broker",
                 "%s: %u journals of the broker before: %llu commits, %llu bytes of %u partitions "
                 "written to their segments, %u pieces of what is gone, %u refused, %llu damaged",
                 d->path, r.journals, (unsigned long long)r.commits,
                 (unsigned long long)r.restored.bytes, r.restored.partitions, r.restored.dropped,
                 r.restored.refused, (unsigned long long)r.damaged);
    return err;
}

/* A dir whose journal cannot be put back is offline, as long as the metadata is elsewhere. */
int broker_journals_begin(struct broker *b, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < b->logdirs->data_count; i++) {
        struct log_dir *d = &b->logdirs->dirs[i];
        int err = d->online ? dir_replay(b, d, why, why_size) : 0;
        if (!err)
            continue;
        if (i == b->logdirs->metadata)
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

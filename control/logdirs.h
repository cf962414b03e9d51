/*
 * logdirs: the data directories: locked, identified, clean or not, online or not.
 *
 * Purpose: everything about a log dir that is not a partition: `.lock`, `meta.properties` (Kafka's,
 * version 1), `.kafka_cleanshutdown`, the offset checkpoints, the count of its partitions.
 * Owner: the control thread; logdirs_checkpoint_write may run on a worker. Memory: malloc.
 * Invariants: at least one dir; a dir that went offline stays so until the next start; the clean
 * mark is
 * gone from the medium before anything else of a dir is written, and is written last.
 * Failure: a dir that cannot be used is offline with a line in the log, as in Kafka; logdirs_open
 * refuses
 * (with one line in why) when the dir of the metadata is one of them, when another process has a
 * lock,
 * and when an identity does not fit. While the broker runs meta.properties has another name, so that
 * after a crash stock Kafka refuses the dir: it would not see what only a journal or named memory has.
 */
#ifndef CONTROL_LOGDIRS_H
#define CONTROL_LOGDIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/uuid.h"
#include "control/config/config.h"
#include "control/space.h"
#include "storage/io/io.h"
#include "storage/plog/checkpoint.h"

/* In the order in which they are written: plog_recovery_point asks for it. */
enum log_dir_checkpoint {
    LOG_DIR_LOG_START,      /* log-start-offset-checkpoint */
    LOG_DIR_RECOVERY_POINT, /* recovery-point-offset-checkpoint */
    LOG_DIR_HIGH_WATERMARK, /* replication-offset-checkpoint */
    LOG_DIR_CHECKPOINT_COUNT,
};

struct log_dir {
    char path[io_path_bytes_max];
    struct uuid id;         /* directory.id */
    struct uuid cluster_id; /* as found; zero: it had none */
    bool online;
    bool identified; /* meta.properties is there and complete */
    bool clean;      /* the mark was there at the start */
    bool begun;      /* the mark is gone: data may be written */
    struct io_file *lock;
    struct space space;
    bool checkpointed; /* its checkpoint files are of this run */
    bool stale; /* they could not be written: what they say of a topic may be of an older one */
    uint32_t partitions;                               /* that live here */
    struct checkpoint found[LOG_DIR_CHECKPOINT_COUNT]; /* as of the start */
};

struct logdirs {
    struct fs *fs;
    struct clock *clock;
    int32_t node_id;
    struct log_dir *dirs; /* log.dirs, then the metadata's dir if it is none of them */
    uint32_t count;
    uint32_t data_count; /* those of log.dirs */
    uint32_t metadata;   /* index of the dir whose root holds our metadata */
};

struct logdirs_options {
    struct fs *fs;
    struct clock *clock;
    struct rng *rng; /* for directory ids */
    int32_t node_id;
    struct config_list paths;
    struct str metadata_path; /* null or empty: the first; added to the list if it is not in it */
};

/*
 * Makes missing dirs, locks, reads meta.properties. Writes nothing but directories and `.lock`.
 * ERR_BUSY: another process has a lock; ERR_INVALID: another node's directory; others: the
 * metadata's dir, or all, cannot be used.
 */
int logdirs_open(struct logdirs **out, const struct logdirs_options *options, char *why,
                 size_t why_size);

/* The cluster id that the dirs name, zero if none does; ERR_INVALID if two differ. */
int logdirs_cluster_id(const struct logdirs *l, struct uuid *out, char *why, size_t why_size);

/*
 * Before logdirs_begin: where there is less room than the settings sluice.disk.* want (-1: chosen),
 * the reserve is given up for what the start has to write.
 */
void logdirs_make_room(struct logdirs *l, int64_t free_bytes, int64_t reserve_bytes);

/*
 * From here on data may be written: reads clean marks and checkpoints, takes the marks away (on the
 * medium), writes meta.properties where it is missing, and hides it. A dir that fails goes offline.
 */
int logdirs_begin(struct logdirs *l, const struct uuid *cluster_id, char *why, size_t why_size);

/* The offset that a checkpoint of the start gives, or -1. */
int64_t logdirs_offset(const struct logdirs *l, uint32_t dir, enum log_dir_checkpoint which,
                       struct str topic, int32_t partition);

/*
 * The dir with the fewest partitions among those online, if it can be one whose checkpoints are of this
 * run and that has room for records; image_no_log_dir if there is none.
 */
uint32_t logdirs_choose(const struct logdirs *l);

/* By id, image_no_log_dir if unknown. */
uint32_t logdirs_by_id(const struct logdirs *l, const struct uuid *id);

uint32_t logdirs_online_count(const struct logdirs *l);

/*
 * Kafka's way with a directory that is nobody's: renamed to <name>.<hex>-stray. `name` is the
 * directory's own. Any thread; blocking.
 */
int logdir_put_aside(struct fs *fs, const char *log_dir, const char *name);

/* Removes a directory of plain files; ERR_NOT_FOUND. Any thread; blocking. */
int logdir_remove(struct fs *fs, const char *log_dir, const char *name);
int logdir_remove_partition(struct fs *fs, const char *log_dir, struct str topic,
                            int32_t partition);

/* The topic id of a partition's directory (partition.metadata). ERR_NOT_FOUND, ERR_INVALID. */
int logdir_topic_id(struct fs *fs, const char *log_dir, const char *name, struct uuid *out);

/*
 * Removes the journals, which hold nothing any more, gives meta.properties its name back, and writes
 * the clean mark: the last write to a dir. boots: what Kafka calls the broker's epoch.
 */
int logdirs_mark_clean(struct logdirs *l, uint32_t dir, uint64_t boots);

const char *log_dir_checkpoint_name(enum log_dir_checkpoint which);

/* Gives the locks back; NULL is accepted. */
void logdirs_close(struct logdirs *l);

#endif

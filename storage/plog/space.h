/*
 * space: what the logs of a shard may do while the disk below their log dir fills up.
 *
 * Purpose: whoever watches the disks says how much room a log dir has left; the logs in it then stop
 * what costs room, long before a write fails and takes the log dir offline. Reads, retention,
 * deletions and what was accepted before go on at every level.
 * Owner: the shard. Memory: one small block for each log dir, until plog_env_fini. Never fails.
 */
#ifndef STORAGE_PLOG_SPACE_H
#define STORAGE_PLOG_SPACE_H

struct plog_env;

enum plog_space {
    PLOG_SPACE_AMPLE,
    PLOG_SPACE_TIGHT, /* no room is made ahead of the writes any more */
    PLOG_SPACE_LOW,   /* batches of clients get KAFKA_STORAGE_ERROR */
    PLOG_SPACE_FULL,  /* all batches do: what is left is for what was accepted before */
};

/* On the shard. */
void plog_env_space(struct plog_env *env, const char *log_dir, enum plog_space level);

/* What the shard was told; ample if nobody spoke of the log dir. */
enum plog_space plog_env_space_level(const struct plog_env *env, const char *log_dir);

#endif

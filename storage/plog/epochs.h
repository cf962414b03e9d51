/*
 * epochs: at which offset each leader epoch of a partition began (Kafka's LeaderEpochFileCache).
 *
 * Purpose: answers OffsetForLeaderEpoch; is the `leader-epoch-checkpoint` file's content. Pure.
 * Owner: the plog's owner. Memory: malloc, one entry a leadership. Invariant: epochs and starts
 * both grow.
 */
#ifndef STORAGE_PLOG_EPOCHS_H
#define STORAGE_PLOG_EPOCHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct epoch_entry {
    int32_t epoch;
    int64_t start;
};

struct epochs {
    struct epoch_entry *entries;
    uint32_t count, room;
};

void epochs_free(struct epochs *e);

/* -1 when empty. */
int32_t epochs_latest(const struct epochs *e);

/*
 * Enters an epoch; entries that contradict it are removed. *changed (may be NULL). ERR_NO_MEMORY.
 */
int epochs_assign(struct epochs *e, int32_t epoch, int64_t start, bool *changed);

/* The largest epoch <= the one asked and its end; (-1, -1): undefined. log_end ends the latest. */
void epochs_end(const struct epochs *e, int32_t epoch, int64_t log_end, int32_t *found,
                int64_t *end);

/* Epoch of an offset, -1 unknown. */
int32_t epochs_at(const struct epochs *e, int64_t offset);

/* The log now begins (ends) there; true if something changed. */
bool epochs_truncate_start(struct epochs *e, int64_t start);
bool epochs_truncate_end(struct epochs *e, int64_t end);

/* The file's text, malloc'd; NULL: no memory. */
char *epochs_format(const struct epochs *e, size_t *n);

/* ERR_CORRUPT, ERR_NO_MEMORY; e is empty then. */
int epochs_parse(struct epochs *e, const char *text, size_t n);

#endif

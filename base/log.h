/*
 * log: the broker's text log on standard error.
 *
 * Purpose: one line per event for operators. "plog" is a partition's log, this is not it.
 * Owner: process-wide sink (the file descriptor and level are the one table of global state here,
 * set by main before threads start). Lines are written with one write(2): threads do not mix.
 * Rate limits: a struct log_limit beside the call site's owner bounds lines per second for what a
 * client can provoke; suppressed lines are counted and told with the next one.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Longest line in bytes; longer ones are cut. */
#define LOG_LINE_BYTES_MAX 1024

void log_set_level(enum log_level level);
void log_set_fd(int fd);

/* Writes "2026-01-31T12:00:00.123Z LEVEL area: text\n". */
void log_write(enum log_level level, const char *area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(area, ...) log_write(LOG_LEVEL_DEBUG, area, __VA_ARGS__)
#define log_info(area, ...)  log_write(LOG_LEVEL_INFO, area, __VA_ARGS__)
#define log_warn(area, ...)  log_write(LOG_LEVEL_WARN, area, __VA_ARGS__)
#define log_error(area, ...) log_write(LOG_LEVEL_ERROR, area, __VA_ARGS__)

/* A token bucket of lines, owned by one thread. Zeroed is valid (10 lines a second, burst 20). */
struct log_limit {
    int64_t last_ns;
    int32_t used;
    uint64_t suppressed;
};

/* True if a line may be written now; *suppressed (may be NULL) gets how many were not since. */
bool log_limit_pass(struct log_limit *limit, int64_t now_ns, uint64_t *suppressed);

#endif

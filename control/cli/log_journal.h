/*
 * log_journal: `sluice log dump|verify` of a journal's file (sluice-journal-<shard>).
 *
 * Purpose: what an operator asks of a journal that a broker which died left, above all of one that a
 * start refuses. Reads only.
 * Owner: the calling thread. Memory: malloc, the file's size. Failure: an err with a line in why that
 * names file and byte; what was found before has been printed.
 */
#ifndef CONTROL_CLI_LOG_JOURNAL_H
#define CONTROL_CLI_LOG_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "storage/io/io.h"

/* By its name: also of a copy, "sluice-journal-0.old". */
bool log_is_journal(const char *path);

/*
 * The header, then each commit and each frame in it, in the order of the file, damaged or not, and
 * whether a start would take it. ERR_CORRUPT: something that counts is damaged.
 */
int log_journal_dump(struct fs *fs, const char *path, FILE *out, char *why, size_t why_size);

/* One line with what a start would take; ERR_CORRUPT: the first damage. */
int log_journal_check(struct fs *fs, const char *path, FILE *out, char *why, size_t why_size);

#endif

/*
 * log_tool: `sluice log dump|verify|stat <segment file or partition directory>`; of a journal's file
 * dump and verify (log_journal.h).
 *
 * Purpose: what an operator asks of a log on disk. Reads only, also beside a running broker (whose
 * last segment may then have zeros behind its last batch).
 * Owner: the calling thread. Failure: an err with a line in why that names file and position; what
 * was found before has been printed.
 */
#ifndef CONTROL_CLI_LOG_TOOL_H
#define CONTROL_CLI_LOG_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "storage/io/io.h"

/* One line a batch, in the words of kafka-dump-log; records: one more a record (not of a journal). */
int log_dump(struct fs *fs, const char *path, bool records, FILE *out, char *why, size_t why_size);

int log_check(struct fs *fs, const char *path, bool compacted, FILE *out, char *why,
              size_t why_size);

int log_stat(struct fs *fs, const char *path, FILE *out, char *why, size_t why_size);

#endif

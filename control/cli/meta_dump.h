/*
 * meta_dump: the metadata log of a log dir as text, one record a line.
 *
 * Purpose: `sluice meta dump`. Reads only, also beside a running broker. Owner: the calling thread.
 * Failure: an err with a line in why; lines before the fault have been written.
 */
#ifndef CONTROL_CLI_META_DUMP_H
#define CONTROL_CLI_META_DUMP_H

#include <stddef.h>
#include <stdio.h>

#include "storage/io/io.h"

int meta_dump(struct fs *fs, const char *dir, FILE *out, char *why, size_t why_size);

#endif

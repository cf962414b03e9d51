/*
 * log_memory: `sluice log memory`: the named log memory on this machine, and whose it is.
 *
 * Purpose: with sluice.durability=os a broker that died leaves its log memory behind, and its next
 * start takes it. Where that start never comes (the log dir is gone, or was made anew) the memory stays
 * for ever: this finds and removes it. Owner: the tool; blocking.
 * Invariants: memory that a process has mapped is never touched, and none that a start would take.
 * Failure: an err with one line in why.
 */
#ifndef CONTROL_CLI_LOG_MEMORY_H
#define CONTROL_CLI_LOG_MEMORY_H

#include <stddef.h>
#include <stdio.h>

#include "storage/io/named.h"

/* One line for each: name, bytes, what it holds, whose it is. */
int log_memory_list(struct fs *fs, FILE *out);

/*
 * Removes one that is nobody's. ERR_NOT_FOUND; ERR_BUSY: a process has it; ERR_INVALID: it is no
 * log memory; ERR_EXISTS: its log dir is
 * there, and the next start takes it.
 */
int log_memory_remove(struct fs *fs, const char *name, FILE *out, char *why, size_t why_size);

#endif

/*
 * named: the named memory that there is on this machine (struct fs: map_named), for tools.
 *
 * Purpose: to find what brokers left behind. A mapping holds a lock (flock) as long as it lives, so
 * that what a process has mapped can be told from what is left. Owner: anybody; blocking.
 * Failure: what cannot be looked at is left out.
 */
#ifndef STORAGE_IO_NAMED_H
#define STORAGE_IO_NAMED_H

#include "storage/io/io.h"

struct fs_named_info {
    char name[fs_named_name_bytes_max + 1];
    uint64_t bytes;
    enum fs_named_kind kind;
    bool in_use; /* a process has it mapped */
};

/* Those of this user, in no order; fn returns nonzero to stop. */
typedef int named_list_fn(void *ctx, const struct fs_named_info *info);
void named_list(named_list_fn *fn, void *ctx);

#endif

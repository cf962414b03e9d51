/*
 * meta_properties: Kafka's `meta.properties` of a log dir, version 1.
 *
 * Purpose: who a directory belongs to: cluster.id, node.id, directory.id. Read and written through
 * the file seam; values only. Failure: meta_properties_read answers ERR_NOT_FOUND without a text,
 * else an
 * err with a line in why (ERR_INVALID: a wrong or missing value). Writing is by temporary
 * file, flush, rename, flush of the directory.
 */
#ifndef CONTROL_META_PROPERTIES_H
#define CONTROL_META_PROPERTIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "storage/io/io.h"

struct meta_properties {
    struct uuid cluster_id;
    struct uuid directory_id; /* zero: an older file without one */
    int32_t node_id;
    int32_t version; /* as found: 0 or 1; always written as 1 */
};

int meta_properties_read(struct fs *fs, const char *dir, struct meta_properties *out, char *why,
                         size_t why_size);

/*
 * While records are in a journal or in named memory alone the file is called sluice-meta.properties:
 * stock Kafka refuses a directory without it, and would not see them. meta_properties_read finds
 * both. On the medium when they return 0; doing it again is fine.
 */
int meta_properties_hide(struct fs *fs, const char *dir);
int meta_properties_show(struct fs *fs, const char *dir);

int meta_properties_write(struct fs *fs, const char *dir, const struct meta_properties *p,
                          int64_t wall_ms);

#endif

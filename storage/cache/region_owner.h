/*
 * region_owner: whose a region of named log memory is, for people.
 *
 * Purpose: the header of a region carries the directory.id of its log dir, which says nothing to who
 * finds it when that is gone; so it carries the path, too. Nothing is decided by it but what a tool
 * may remove. Owner: as in region.h. Memory: the region's. Never fails.
 */
#ifndef STORAGE_CACHE_REGION_OWNER_H
#define STORAGE_CACHE_REGION_OWNER_H

#include "storage/cache/region.h"

#define region_path_bytes_max 3072

/* A path longer than region_path_bytes_max is left out. */
void region_sign(struct region *r, const char *path);

/* Empty: it does not say. Valid while the region is open. */
const char *region_path(const struct region *r);

#endif

/*
 * resource: what a configuration request names: a topic, a broker, the cluster.
 *
 * Purpose: type codes of ConfigResource and small conversions that describe and alter share. Pure.
 */
#ifndef CONTROL_API_RESOURCE_H
#define CONTROL_API_RESOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "control/config/config.h"
#include "control/meta/image.h"

enum resource_type {
    RESOURCE_TOPIC = 2,
    RESOURCE_BROKER = 4,
    RESOURCE_BROKER_LOGGER = 8,
    RESOURCE_CLIENT_METRICS = 16,
    RESOURCE_GROUP = 32,
};

static inline bool resource_type_known(int8_t type)
{
    return type == RESOURCE_TOPIC || type == RESOURCE_BROKER || type == RESOURCE_BROKER_LOGGER ||
           type == RESOURCE_CLIENT_METRICS || type == RESOURCE_GROUP;
}

/* Java's Integer.parseInt. */
bool resource_broker_id(struct str name, int32_t *out);

/* The image's settings as pairs that point into the image. False: the arena is full. */
bool resource_pairs(struct arena *arena, const struct image_configs *from,
                    struct config_pairs *out);

#endif

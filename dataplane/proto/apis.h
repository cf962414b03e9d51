/*
 * apis: the one table of the Kafka protocol's API keys.
 *
 * Purpose: names, the versions that Kafka 3.9 and 4.3 know, which are flexible, which are served
 * here and which are told to clients; header versions follow. The rows stand in apis.def.
 * Constants only: no owner, nothing fails but a look-up.
 */
#ifndef DATAPLANE_PROTO_APIS_H
#define DATAPLANE_PROTO_APIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Key numbers as they are on the wire: API_Produce, API_Fetch, ... */
enum api_key {
#define API(key, name, ...) API_##name = key,
#include "dataplane/proto/apis.def"
#undef API
};

#define api_key_count 95 /* keys 0..94, without gaps */

/* A closed range of versions; none if min < 0. */
struct api_range {
    int16_t min, max;
};

struct api_info {
    int16_t key;
    const char *name;               /* as Kafka calls it: "ListOffsets" */
    struct api_range kafka_3_9;     /* known to Kafka 3.9, unstable ones too */
    struct api_range kafka_4_3;     /* known to Kafka 4.3, unstable ones too */
    int16_t request_flexible_from;  /* first flexible version; -1: none is */
    int16_t response_flexible_from; /* the same for responses */
    struct api_range served;        /* versions that are answered */
    struct api_range advertised;    /* versions told in an ApiVersions response */
};

/* NULL if there is no such key. */
const struct api_info *api_find(int16_t key);

/* "Fetch", or "unknown" if there is no such key. */
const char *api_name(int16_t key);

/* Whether a request of this key and version is answered here. */
bool api_is_served(int16_t key, int16_t version);

/* Whether this version uses compact lengths and tagged fields. False for an unknown key. */
bool api_request_is_flexible(int16_t key, int16_t version);
bool api_response_is_flexible(int16_t key, int16_t version);

/*
 * The version of the header before a request (0-2) or a response (0-1). The response to ApiVersions
 * always has header 0, so that a client can read it before it knows what the broker speaks.
 * ERR_NOT_FOUND: no such key.
 */
int api_request_header_version(int16_t key, int16_t version);
int api_response_header_version(int16_t key, int16_t version);

#endif

/*
 * header: what stands before every request and response.
 *
 * Purpose: the request header (versions 0-2) and the response header (0-1), chosen by API key and
 * version (apis.h). They follow the four bytes of the frame's length. Values only: the client id
 * points into the chain or the arena that it was read with.
 */
#ifndef DATAPLANE_PROTO_HEADER_H
#define DATAPLANE_PROTO_HEADER_H

#include <stdint.h>

#include "base/str.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"

struct proto_request_header {
    int16_t api_key;
    int16_t api_version;
    int32_t correlation_id;
    struct str client_id; /* may be null */
};

/*
 * Reads the header and leaves r at the first byte of the body. ERR_NOT_FOUND: no such API key; then
 * api_key, api_version and correlation_id are set all the same (for the log line), client_id is
 * null. A version that is not served is no error here: ask api_is_served. ERR_MALFORMED,
 * ERR_NO_MEMORY: *out untouched.
 */
int proto_request_header_decode(struct proto_request_header *out, struct reader *r,
                                struct arena *arena);

/* Writes the header of a request. ERR_NOT_FOUND: no such API key. */
int proto_request_header_encode(const struct proto_request_header *in, struct writer *w);

/* Reads the header of the response to a request of this key and version. */
int proto_response_header_decode(int32_t *correlation_id, struct reader *r, int16_t api_key,
                                 int16_t api_version);

/*
 * Writes the header of the response to a request of this key and version. For ApiVersions it is
 * version 0 whatever was asked. ERR_NOT_FOUND: no such API key.
 */
int proto_response_header_encode(int32_t correlation_id, struct writer *w, int16_t api_key,
                                 int16_t api_version);

#endif

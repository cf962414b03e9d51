#include "dataplane/proto/header.h"

#include "dataplane/proto/apis.h"

/* Request header: 0 has no client id, 1 has one, 2 adds tagged fields (the id stays a plain string:
 * an old broker must be able to read the header of an ApiVersions request of any version). */
int proto_request_header_decode(struct proto_request_header *out, struct reader *r,
                                struct arena *arena)
{
    struct proto_request_header h = {0};
    h.api_key = reader_i16(r);
    h.api_version = reader_i16(r);
    h.correlation_id = reader_i32(r);
    int version = api_request_header_version(h.api_key, h.api_version);
    if (version >= 1)
        h.client_id = reader_str(r, true, arena);
    if (version >= 2)
        reader_skip_tags(r);
    if (r->err)
        return r->err;
    *out = h;
    return version < 0 ? version : 0;
}

int proto_request_header_encode(const struct proto_request_header *in, struct writer *w)
{
    int version = api_request_header_version(in->api_key, in->api_version);
    if (version < 0)
        return version;
    writer_i16(w, in->api_key);
    writer_i16(w, in->api_version);
    writer_i32(w, in->correlation_id);
    if (version >= 1)
        writer_str(w, in->client_id, true);
    if (version >= 2)
        writer_no_tags(w);
    return w->err;
}

int proto_response_header_decode(int32_t *correlation_id, struct reader *r, int16_t api_key,
                                 int16_t api_version)
{
    int version = api_response_header_version(api_key, api_version);
    if (version < 0)
        return version;
    int32_t id = reader_i32(r);
    if (version >= 1)
        reader_skip_tags(r);
    if (r->err)
        return r->err;
    *correlation_id = id;
    return 0;
}

int proto_response_header_encode(int32_t correlation_id, struct writer *w, int16_t api_key,
                                 int16_t api_version)
{
    int version = api_response_header_version(api_key, api_version);
    if (version < 0)
        return version;
    writer_i32(w, correlation_id);
    if (version >= 1)
        writer_no_tags(w);
    return w->err;
}

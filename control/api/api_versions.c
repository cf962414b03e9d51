/*
 * api_versions: what this broker speaks (KIP-35, KIP-511, KIP-584).
 *
 * An unknown version gets a body of version 0 with error 35 and the versions of ApiVersions itself,
 * so that any client can step down.
 */
#include "control/api/api.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/gen/api_versions.h"

API_ENCODER(api_versions_response)

/* The body stays readable by a client that asked in a version we do not know. */
static int encode_v0(const void *response, struct writer *w, int version)
{
    return api_versions_response_encode(response, w, 0);
}

static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* KIP-511: [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? */
static bool software_text_ok(struct str s)
{
    if (s.len == 0 || !alnum(s.p[0]) || !alnum(s.p[s.len - 1]))
        return false;
    for (uint32_t i = 0; i < s.len; i++)
        if (!alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
            return false;
    return true;
}

static void refuse(struct control_request *rq, int16_t error, control_encode_fn *encode)
{
    struct api_versions_response res;
    struct api_versions_response_api_key own = {.api_key = API_ApiVersions};
    api_versions_response_init(&res);
    res.error_code = error;
    if (error == KERR_UNSUPPORTED_VERSION) {
        const struct api_info *info = api_find(API_ApiVersions);
        own.min_version = info->advertised.min;
        own.max_version = info->advertised.max;
        res.api_keys = &own;
        res.n_api_keys = 1;
    }
    control_reply(rq, &res, encode);
}

/*
 * What is built: metadata.version and group.version; transactions and shares follow with their APIs.
 * Version 3 cannot say that a feature may be at level 0 (KAFKA-17011): such a feature is left out of it.
 */
static void fill_features(struct api_versions_response *res, int version)
{
    static struct api_versions_response_supported_feature supported[] = {
        {{"metadata.version", 16}, 7, API_METADATA_VERSION_LEVEL},
        {{"group.version", 13}, 0, 1},
    };
    static struct api_versions_response_finalized_feature finalized[] = {
        {{"metadata.version", 16}, API_METADATA_VERSION_LEVEL, API_METADATA_VERSION_LEVEL},
        {{"group.version", 13}, 1, 1},
    };
    res->supported_features = supported;
    res->n_supported_features = version >= 4 ? 2 : 1;
    res->finalized_features = finalized;
    res->n_finalized_features = 2;
}

void api_versions(struct control_request *rq)
{
    const struct api_info *self = api_find(API_ApiVersions);
    if (rq->version < self->served.min || rq->version > self->served.max) {
        refuse(rq, KERR_UNSUPPORTED_VERSION, encode_v0);
        return;
    }
    struct api_versions_request req;
    API_DECODE(rq, api_versions_request, &req);
    if (rq->version >= 3 && (!software_text_ok(req.client_software_name) ||
                             !software_text_ok(req.client_software_version))) {
        refuse(rq, KERR_INVALID_REQUEST, api_versions_response_encode_any);
        return;
    }
    struct api_versions_response res;
    api_versions_response_init(&res);
    API_ALLOC(rq, res.api_keys, api_key_count);
    for (int16_t key = 0; key < api_key_count; key++) {
        const struct api_info *info = api_find(key);
        if (info->advertised.min < 0)
            continue;
        res.api_keys[res.n_api_keys++] =
            (struct api_versions_response_api_key){.api_key = key,
                                                   .min_version = info->advertised.min,
                                                   .max_version = info->advertised.max};
    }
    fill_features(&res, rq->version);
    res.finalized_features_epoch = rq->control->image.next_offset;
    control_reply(rq, &res, api_versions_response_encode_any);
}

#include "dataplane/proto/apis.h"

#include "base/err.h"

static const struct api_info api_table[] = {
#define API(key_, name_, a39, b39, a43, b43, request_flex, response_flex, served_min, served_max,  \
            advertised_min, advertised_max)                                                        \
    [key_] = {                                                                                     \
        .key = key_,                                                                               \
        .name = #name_,                                                                            \
        .kafka_3_9 = {a39, b39},                                                                   \
        .kafka_4_3 = {a43, b43},                                                                   \
        .request_flexible_from = request_flex,                                                     \
        .response_flexible_from = response_flex,                                                   \
        .served = {served_min, served_max},                                                        \
        .advertised = {advertised_min, advertised_max},                                            \
    },
#include "dataplane/proto/apis.def"
#undef API
};

_Static_assert(sizeof(api_table) / sizeof(api_table[0]) == api_key_count, "keys 0..94");

const struct api_info *api_find(int16_t key)
{
    if (key < 0 || key >= api_key_count)
        return NULL;
    return &api_table[key];
}

const char *api_name(int16_t key)
{
    const struct api_info *api = api_find(key);
    return api ? api->name : "unknown";
}

static bool range_has(struct api_range range, int16_t version)
{
    return range.min >= 0 && version >= range.min && version <= range.max;
}

bool api_is_served(int16_t key, int16_t version)
{
    const struct api_info *api = api_find(key);
    return api && range_has(api->served, version);
}

bool api_request_is_flexible(int16_t key, int16_t version)
{
    const struct api_info *api = api_find(key);
    return api && api->request_flexible_from >= 0 && version >= api->request_flexible_from;
}

bool api_response_is_flexible(int16_t key, int16_t version)
{
    const struct api_info *api = api_find(key);
    return api && api->response_flexible_from >= 0 && version >= api->response_flexible_from;
}

int api_request_header_version(int16_t key, int16_t version)
{
    if (api_find(key) == NULL)
        return ERR_NOT_FOUND;
    /* The oldest message of all has no client id in its header. */
    if (key == API_ControlledShutdown && version == 0)
        return 0;
    return api_request_is_flexible(key, version) ? 2 : 1;
}

int api_response_header_version(int16_t key, int16_t version)
{
    if (api_find(key) == NULL)
        return ERR_NOT_FOUND;
    /* KIP-511 */
    if (key == API_ApiVersions)
        return 0;
    return api_response_is_flexible(key, version) ? 1 : 0;
}

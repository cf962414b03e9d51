#include <string.h>

#include "base/err.h"
#include "dataplane/proto/apis.h"
#include "fields.h"
#include "tests/unit/unit.h"

static void keys_in_order(void)
{
    for (int16_t key = 0; key < api_key_count; key++) {
        const struct api_info *api = api_find(key);
        CU_ASSERT_PTR_NOT_NULL_FATAL(api);
        CU_ASSERT_EQUAL(api->key, key);
        CU_ASSERT_TRUE(strlen(api->name) > 3);
    }
    CU_ASSERT_PTR_NULL(api_find(-1));
    CU_ASSERT_PTR_NULL(api_find(api_key_count));
    CU_ASSERT_STRING_EQUAL(api_name(API_Fetch), "Fetch");
    CU_ASSERT_STRING_EQUAL(api_name(95), "unknown");
}

static void served_is_within_known(void)
{
    for (int16_t key = 0; key < api_key_count; key++) {
        const struct api_info *api = api_find(key);
        if (api->served.min < 0) {
            CU_ASSERT_TRUE(api->advertised.min < 0);
            continue;
        }
        int16_t low = api->kafka_3_9.min, high = api->kafka_4_3.max;
        CU_ASSERT_TRUE(api->served.min >= low && api->served.max <= high);
        CU_ASSERT_TRUE(api->advertised.min <= api->served.min);
        CU_ASSERT_EQUAL(api->advertised.max, api->served.max);
        CU_ASSERT_TRUE(key == API_Produce || api->advertised.min == api->served.min);
    }
}

static void versions_served(void)
{
    CU_ASSERT_FALSE(api_is_served(API_Produce, 2));
    CU_ASSERT_TRUE(api_is_served(API_Produce, 3));
    CU_ASSERT_TRUE(api_is_served(API_Produce, 13));
    CU_ASSERT_FALSE(api_is_served(API_Produce, 14));
    CU_ASSERT_EQUAL(api_find(API_Produce)->advertised.min, 0);
    CU_ASSERT_FALSE(api_is_served(API_Fetch, 3));
    CU_ASSERT_FALSE(api_is_served(API_InitProducerId, 6));
    CU_ASSERT_FALSE(api_is_served(API_Metadata, -1));
    CU_ASSERT_FALSE(api_is_served(API_Vote, 0));
    CU_ASSERT_FALSE(api_is_served(-1, 0));
    CU_ASSERT_FALSE(api_is_served(99, 0));
}

static void header_versions(void)
{
    CU_ASSERT_EQUAL(api_request_header_version(API_ApiVersions, 2), 1);
    CU_ASSERT_EQUAL(api_request_header_version(API_ApiVersions, 3), 2);
    CU_ASSERT_EQUAL(api_request_header_version(API_ApiVersions, 99), 2);
    CU_ASSERT_EQUAL(api_response_header_version(API_ApiVersions, 4), 0);
    CU_ASSERT_EQUAL(api_request_header_version(API_Fetch, 11), 1);
    CU_ASSERT_EQUAL(api_response_header_version(API_Fetch, 11), 0);
    CU_ASSERT_EQUAL(api_request_header_version(API_Fetch, 12), 2);
    CU_ASSERT_EQUAL(api_response_header_version(API_Fetch, 12), 1);
    CU_ASSERT_EQUAL(api_request_header_version(API_SaslHandshake, 1), 1);
    CU_ASSERT_EQUAL(api_response_header_version(API_SaslHandshake, 1), 0);
    CU_ASSERT_EQUAL(api_request_header_version(API_ControlledShutdown, 0), 0);
    CU_ASSERT_EQUAL(api_request_header_version(API_ControlledShutdown, 1), 1);
    CU_ASSERT_EQUAL(api_request_header_version(95, 0), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(api_response_header_version(-1, 0), ERR_NOT_FOUND);
    CU_ASSERT_FALSE(api_request_is_flexible(95, 3));
    CU_ASSERT_FALSE(api_response_is_flexible(-1, 3));
}

/* Each served version has both of its messages in the codec. */
static void schemas_cover_served(void)
{
    for (int16_t key = 0; key < api_key_count; key++) {
        const struct api_info *api = api_find(key);
        int found = 0;
        for (size_t i = 0; i < message_count; i++) {
            const struct message_info *m = &message_table[i];
            if (m->key != key)
                continue;
            found++;
            CU_ASSERT_STRING_EQUAL(m->api, api->name);
            CU_ASSERT_EQUAL(m->flexible_from, api->request_flexible_from);
            CU_ASSERT_EQUAL(m->flexible_from, api->response_flexible_from);
            if (api->served.min >= 0)
                CU_ASSERT_TRUE(m->min <= api->served.min && m->max >= api->served.max);
        }
        CU_ASSERT_TRUE(found == 2 || (found == 0 && api->served.min < 0));
    }
}

UNIT_MAIN("proto/apis", UNIT_CASE(keys_in_order), UNIT_CASE(served_is_within_known),
          UNIT_CASE(versions_served), UNIT_CASE(header_versions), UNIT_CASE(schemas_cover_served))

#include <stdlib.h>
#include <string.h>

#include "dataplane/proto/apis.h"
#include "dataplane/proto/header.h"
#include "tests/unit/unit.h"
#include "wire.h"

static struct rte_mempool *pool;

static void setup(void)
{
    wire_start();
    pool = wire_pool(63, 256);
}

/* Decodes at every cut; each shorter prefix is malformed. */
static void expect_request(const void *bytes, size_t n, int rc, struct proto_request_header want)
{
    for (size_t cut = 0; cut <= n; cut++) {
        uint8_t room[64];
        struct arena arena;
        arena_init_fixed(&arena, room, sizeof(room));
        struct chain c = wire_chain_cut(bytes, n, cut);
        struct reader r;
        reader_init_chain(&r, &c);
        struct proto_request_header got = {0};
        CU_ASSERT_EQUAL(proto_request_header_decode(&got, &r, &arena), rc);
        CU_ASSERT_EQUAL(got.api_key, want.api_key);
        CU_ASSERT_EQUAL(got.api_version, want.api_version);
        CU_ASSERT_EQUAL(got.correlation_id, want.correlation_id);
        CU_ASSERT_TRUE(str_eq(got.client_id, want.client_id));
        CU_ASSERT_EQUAL(reader_left(&r), 0);
        wire_free(&c);
        if (cut == n)
            break;
        struct chain shorter = wire_chain(bytes, cut, NULL, n);
        reader_init_chain(&r, &shorter);
        got.api_key = -7;
        CU_ASSERT_EQUAL(proto_request_header_decode(&got, &r, &arena), ERR_MALFORMED);
        CU_ASSERT_EQUAL(got.api_key, -7);
        wire_free(&shorter);
    }
}

static void requests_decode(void)
{
    expect_request("\0\3\0\10\0\0\0\5\0\2me", 12, 0,
                   (struct proto_request_header){API_Metadata, 8, 5, STR("me")});
    expect_request("\0\3\0\11\0\0\0\5\0\2me\0", 13, 0,
                   (struct proto_request_header){API_Metadata, 9, 5, STR("me")});
    expect_request("\0\3\0\11\0\0\0\5\377\377\1\0\2xy", 15, 0,
                   (struct proto_request_header){API_Metadata, 9, 5, STR_NULL});
    expect_request("\0\7\0\0\0\0\0\5", 8, 0,
                   (struct proto_request_header){API_ControlledShutdown, 0, 5, STR_NULL});
    /* A version far above: the header's shape is known all the same. */
    expect_request("\0\22\0\143\0\0\0\5\0\2me\0", 13, 0,
                   (struct proto_request_header){API_ApiVersions, 99, 5, STR("me")});
    expect_request("\0\143\0\0\0\0\0\5", 8, ERR_NOT_FOUND,
                   (struct proto_request_header){99, 0, 5, STR_NULL});
    expect_request("\377\377\0\0\0\0\0\5", 8, ERR_NOT_FOUND,
                   (struct proto_request_header){-1, 0, 5, STR_NULL});
}

static void expect_written(struct writer *w, const void *bytes, size_t n)
{
    struct chain out;
    chain_init(&out);
    CU_ASSERT_EQUAL(writer_finish(w, &out), 0);
    uint8_t *flat = wire_flat(&out);
    CU_ASSERT_TRUE(out.bytes == n && memcmp(flat, bytes, n) == 0);
    free(flat);
    chain_free(&out);
}

static void requests_encode(void)
{
    struct writer w;
    writer_init(&w, pool);
    struct proto_request_header h = {API_Metadata, 9, 5, STR("me")};
    CU_ASSERT_EQUAL(proto_request_header_encode(&h, &w), 0);
    expect_written(&w, "\0\3\0\11\0\0\0\5\0\2me\0", 13);
    h.api_version = 8;
    h.client_id = STR_NULL;
    CU_ASSERT_EQUAL(proto_request_header_encode(&h, &w), 0);
    expect_written(&w, "\0\3\0\10\0\0\0\5\377\377", 10);
    h.api_key = 99;
    CU_ASSERT_EQUAL(proto_request_header_encode(&h, &w), ERR_NOT_FOUND);
    writer_abort(&w);
}

static void responses(void)
{
    struct writer w;
    writer_init(&w, pool);
    CU_ASSERT_EQUAL(proto_response_header_encode(7, &w, API_Metadata, 8), 0);
    expect_written(&w, "\0\0\0\7", 4);
    CU_ASSERT_EQUAL(proto_response_header_encode(7, &w, API_Metadata, 9), 0);
    expect_written(&w, "\0\0\0\7\0", 5);
    CU_ASSERT_EQUAL(proto_response_header_encode(7, &w, API_ApiVersions, 4), 0);
    expect_written(&w, "\0\0\0\7", 4);
    CU_ASSERT_EQUAL(proto_response_header_encode(7, &w, 99, 0), ERR_NOT_FOUND);
    writer_abort(&w);

    struct reader r;
    int32_t id = 0;
    reader_init_memory(&r, "\0\0\0\7\1\5\1x", 8);
    CU_ASSERT_EQUAL(proto_response_header_decode(&id, &r, API_Fetch, 12), 0);
    CU_ASSERT_EQUAL(id, 7);
    CU_ASSERT_EQUAL(reader_left(&r), 0);
    reader_init_memory(&r, "\0\0\0\10\1\5\1", 7);
    CU_ASSERT_EQUAL(proto_response_header_decode(&id, &r, API_Fetch, 12), ERR_MALFORMED);
    CU_ASSERT_EQUAL(id, 7);
    reader_init_memory(&r, "\0\0\0\10", 4);
    CU_ASSERT_EQUAL(proto_response_header_decode(&id, &r, API_Fetch, 11), 0);
    CU_ASSERT_EQUAL(id, 8);
}

/* The lines of a golden header file: version, bytes and JSON, one call each. */
static int each_golden(const char *path,
                       void (*check)(int version, uint8_t *bytes, size_t n, const char *json))
{
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    char *line = NULL;
    size_t room = 0;
    int lines = 0;
    for (; getline(&line, &room, file) > 0; lines++) {
        strtok(line, " ");
        int version = atoi(strtok(NULL, " ") + 1);
        strtok(NULL, " ");
        char *hex = strtok(NULL, " ");
        size_t n;
        uint8_t *bytes = wire_unhex(hex, &n);
        check(version, bytes, n, strtok(NULL, "\n"));
        free(bytes);
    }
    free(line);
    fclose(file);
    return lines;
}

/* The golden headers have random keys: put one there that goes with the header's version. */
static void check_golden_request(int version, uint8_t *bytes, size_t n, const char *json)
{
    memcpy(bytes, version == 2 ? "\0\3\0\11" : "\0\3\0\10", 4);
    uint8_t room[256];
    struct arena arena;
    arena_init_fixed(&arena, room, sizeof(room));
    struct proto_request_header h;
    struct reader r;
    reader_init_memory(&r, bytes, n);
    CU_ASSERT_EQUAL(proto_request_header_decode(&h, &r, &arena), 0);
    CU_ASSERT_EQUAL(reader_left(&r), 0);
    char want[300];
    int len = str_is_null(h.client_id)
                  ? snprintf(want, sizeof(want), "\"correlationId\":%d,\"clientId\":null}",
                             h.correlation_id)
                  : snprintf(want, sizeof(want), "\"correlationId\":%d,\"clientId\":\"%.*s\"}",
                             h.correlation_id, STR_ARG(h.client_id));
    CU_ASSERT_STRING_EQUAL(json + strlen(json) - len, want);
    struct writer w;
    writer_init(&w, pool);
    CU_ASSERT_EQUAL(proto_request_header_encode(&h, &w), 0);
    expect_written(&w, bytes, n);
}

static void check_golden_response(int version, uint8_t *bytes, size_t n, const char *json)
{
    int32_t id = 0;
    struct reader r;
    reader_init_memory(&r, bytes, n);
    int16_t api_version = version == 1 ? 9 : 8;
    CU_ASSERT_EQUAL(proto_response_header_decode(&id, &r, API_Metadata, api_version), 0);
    CU_ASSERT_EQUAL(reader_left(&r), 0);
    char want[64];
    snprintf(want, sizeof(want), "{\"correlationId\":%d}", id);
    CU_ASSERT_STRING_EQUAL(json, want);
    struct writer w;
    writer_init(&w, pool);
    CU_ASSERT_EQUAL(proto_response_header_encode(id, &w, API_Metadata, api_version), 0);
    expect_written(&w, bytes, n);
}

static void golden_requests(void)
{
    CU_ASSERT_TRUE(each_golden(GOLDEN_DIR "/RequestHeader.txt", check_golden_request) >= 4);
}

static void golden_responses(void)
{
    CU_ASSERT_TRUE(each_golden(GOLDEN_DIR "/ResponseHeader.txt", check_golden_response) >= 2);
}

UNIT_MAIN("proto/header", UNIT_CASE(setup), UNIT_CASE(requests_decode), UNIT_CASE(requests_encode),
          UNIT_CASE(responses), UNIT_CASE(golden_requests), UNIT_CASE(golden_responses),
          UNIT_CASE(wire_stop))

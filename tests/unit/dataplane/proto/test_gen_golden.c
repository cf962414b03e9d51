/*
 * The generated codec against tests/golden: bytes and values that Kafka's own definitions and the
 * Java client agree on. Every line is decoded whole and cut into random pieces, its fields are
 * compared as JSON, and it is encoded back to the same bytes.
 */
#include <dirent.h>
#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"
#include "dump.h"
#include "tests/unit/unit.h"
#include "wire.h"

static struct rte_mempool *pool;
static struct rng rng;
static uint8_t seen[api_key_count][2][32]; /* lines per key, kind and version */

static const struct message_info *find(const char *api, bool is_request)
{
    for (size_t i = 0; i < message_count; i++)
        if (strcmp(message_table[i].api, api) == 0 && message_table[i].is_request == is_request)
            return &message_table[i];
    return NULL;
}

/* Removes "_tags":{...} members: what unknown tagged fields held. Their values are hex strings. */
static void strip_tags(char *json)
{
    char *at;
    while ((at = strstr(json, "\"_tags\":{")) != NULL) {
        char *end = strchr(at, '}') + 1;
        if (at[-1] == ',')
            at--;
        else if (*end == ',')
            end++;
        memmove(at, end, strlen(end) + 1);
    }
}

/* Decodes a chain, compares the JSON, encodes; the bytes written, or none if that failed. */
static struct chain round_trip(const struct message_info *m, int version, const struct chain *c,
                               const char *json, struct arena *arena)
{
    struct chain out;
    chain_init(&out);
    void *value = arena_alloc(arena, m->root->size);
    struct reader r;
    reader_init_chain(&r, c);
    CU_ASSERT_EQUAL(m->decode(value, &r, version, arena), 0);
    CU_ASSERT_EQUAL(reader_left(&r), 0);
    if (r.err != 0)
        return out;
    char *got = dump_json(m->root, value, version);
    if (strcmp(got, json) != 0)
        printf("%s v%d\n  want %.2000s\n  got  %.2000s\n", m->name, version, json, got);
    CU_ASSERT_EQUAL(strcmp(got, json), 0);
    free(got);
    struct writer w;
    writer_init(&w, pool);
    CU_ASSERT_EQUAL(m->encode(value, &w, version), 0);
    CU_ASSERT_EQUAL(writer_finish(&w, &out), 0);
    return out;
}

static void check_bytes(const struct message_info *m, int version, const uint8_t *bytes, size_t n,
                        const char *json, bool same_bytes)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (size_t piece_max = 1; piece_max <= 4096; piece_max *= 8) {
        struct chain c = wire_chain(bytes, n, piece_max == 4096 ? NULL : &rng,
                                    piece_max == 4096 ? n + 1 : piece_max);
        struct chain out = round_trip(m, version, &c, json, &arena);
        if (same_bytes) {
            uint8_t *flat = wire_flat(&out);
            CU_ASSERT_EQUAL(out.bytes, n);
            CU_ASSERT_TRUE(out.bytes == n && memcmp(flat, bytes, n) == 0);
            free(flat);
        }
        chain_free(&out);
        wire_free(&c);
        arena_reset(&arena);
    }
    arena_free(&arena);
}

/* "request v3 filled <hex> <json>"; false if the schema does not have the version. */
static bool check_line(const char *api, char *line)
{
    char *kind = strtok(line, " "), *version_text = strtok(NULL, " "), *variant = strtok(NULL, " ");
    char *hex = strtok(NULL, " "), *json = strtok(NULL, "\n");
    const struct message_info *m = find(api, strcmp(kind, "request") == 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    int version = atoi(version_text + 1);
    if (version < m->min || version > m->max)
        return false;
    bool unknown_tags = strcmp(variant, "unknown-tags") == 0;
    if (unknown_tags)
        strip_tags(json);
    size_t n;
    uint8_t *bytes = wire_unhex(hex, &n);
    check_bytes(m, version, bytes, n, json, !unknown_tags);
    free(bytes);
    seen[m->key][m->is_request][version]++;
    return true;
}

/* All files of one folder; the lines checked. */
static int check_folder(const char *folder, int *skipped)
{
    int lines = 0;
    char path[4096];
    DIR *dir = opendir(folder);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char api[64] = "";
        if (sscanf(entry->d_name, "%60[A-Za-z].txt", api) != 1 || !strstr(entry->d_name, ".txt") ||
            strstr(api, "Header"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "r");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        char *line = NULL;
        size_t room = 0;
        while (getline(&line, &room, file) > 0) {
            if (check_line(api, line))
                lines++;
            else
                ++*skipped;
        }
        free(line);
        fclose(file);
    }
    closedir(dir);
    return lines;
}

static void setup(void)
{
    wire_start();
    pool = wire_pool(2047, 512);
    rng_seed(&rng, unit_seed());
}

static void current_versions(void)
{
    int skipped = 0;
    CU_ASSERT_TRUE(check_folder(GOLDEN_DIR, &skipped) > 300);
    CU_ASSERT_EQUAL(skipped, 0);
}

/* ListOffsets 0 answers with many offsets and went out of use in 2016: it has no schema. */
static void removed_versions(void)
{
    int skipped = 0;
    CU_ASSERT_TRUE(check_folder(GOLDEN_DIR "/removed", &skipped) > 10);
    CU_ASSERT_EQUAL(skipped, 4);
}

static void unknown_tags(void)
{
    int skipped = 0;
    CU_ASSERT_TRUE(check_folder(GOLDEN_DIR "/unknown_tags", &skipped) > 50);
    CU_ASSERT_EQUAL(skipped, 0);
}

static void every_served_version_was_there(void)
{
    for (int16_t key = 0; key < api_key_count; key++) {
        const struct api_info *api = api_find(key);
        for (int16_t v = api->served.min; v >= 0 && v <= api->served.max; v++) {
            CU_ASSERT_TRUE(seen[key][0][v] >= 1);
            CU_ASSERT_TRUE(seen[key][1][v] >= 1);
        }
    }
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), pool->size); /* nothing leaked */
}

UNIT_MAIN("proto/gen golden", UNIT_CASE(setup), UNIT_CASE(current_versions),
          UNIT_CASE(removed_versions), UNIT_CASE(unknown_tags),
          UNIT_CASE(every_served_version_was_there), UNIT_CASE(wire_stop))

/*
 * libFuzzer over every decoder of dataplane/proto.
 *
 * Input: one byte picks the message, one the version, one how the rest is cut into mbufs; the rest
 * is the message. With SLUICE_FUZZ_MESSAGE=fetch_request the message is fixed and the first byte is
 * left out: a target per decoder. SLUICE_FUZZ_MESSAGE=request_header is the header before a request.
 * Each mbuf is a heap block of exactly its size, so ASan sees a step outside. What a decoder accepts
 * must encode, and what was encoded must decode to the same bytes again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "dataplane/proto/header.h"
#include "fields.h"
#include "wire.h"

#define ARENA_BYTES (256 * 1024)

static struct rte_mempool *pool;
static const struct message_info *only;
static bool only_header;
static _Alignas(16) uint8_t value[1024];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("SLUICE_FUZZ_MESSAGE");
    only_header = name && strcmp(name, "request_header") == 0;
    for (size_t i = 0; i < message_count; i++) {
        CHECK(message_table[i].root->size <= sizeof(value));
        if (name && strcmp(name, message_table[i].name) == 0)
            only = &message_table[i];
    }
    CHECK(name == NULL || only != NULL || only_header);
    wire_start();
    atexit(wire_stop);
    pool = wire_pool(16383, 256);
    return 0;
}

/* Decodes and encodes once; the bytes written, none if refused. */
static struct chain pass(const struct message_info *m, int version, const struct chain *in,
                         bool must_accept)
{
    struct arena arena;
    struct chain out;
    chain_init(&out);
    arena_init(&arena, ARENA_BYTES);
    struct reader r;
    reader_init_chain(&r, in);
    int rc = m->decode(value, &r, version, &arena);
    CHECK(rc == 0 || rc == ERR_MALFORMED || rc == ERR_NO_MEMORY);
    CHECK(!must_accept || rc == 0);
    if (rc == 0) {
        struct writer w;
        writer_init(&w, pool);
        CHECK(m->encode(value, &w, version) == 0);
        CHECK(writer_finish(&w, &out) == 0);
    }
    arena_free(&arena);
    return out;
}

static void fuzz_message(const struct message_info *m, int version, const struct chain *in)
{
    struct chain once = pass(m, version, in, false);
    if (once.bytes > 0) {
        struct chain twice = pass(m, version, &once, true);
        uint8_t *a = wire_flat(&once), *b = wire_flat(&twice);
        CHECK(once.bytes == twice.bytes && memcmp(a, b, once.bytes) == 0);
        free(a);
        free(b);
        chain_free(&twice);
    }
    chain_free(&once);
}

static void fuzz_header(const struct chain *in)
{
    struct proto_request_header h;
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    struct reader r;
    reader_init_chain(&r, in);
    int rc = proto_request_header_decode(&h, &r, &arena);
    CHECK(rc == 0 || rc == ERR_MALFORMED || rc == ERR_NOT_FOUND);
    if (rc == 0) {
        struct writer w;
        writer_init(&w, pool);
        CHECK(proto_request_header_encode(&h, &w) == 0);
        writer_abort(&w);
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct message_info *m = only;
    if (size < 3 || size > 65536)
        return 0;
    if (m == NULL && !only_header) {
        m = &message_table[*data++ % message_count];
        size--;
    }
    int version = m ? m->min + *data % (m->max - m->min + 1) : 0;
    size_t piece = data[1] ? data[1] : size;
    struct chain in = wire_chain(data + 2, size - 2, NULL, piece < 60000 ? piece : 60000);
    if (m)
        fuzz_message(m, version, &in);
    else
        fuzz_header(&in);
    wire_free(&in);
    return 0;
}

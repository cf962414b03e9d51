#include "bench/admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/kerr.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/gen/create_topics.h"
#include "dataplane/proto/gen/metadata.h"
#include "dataplane/proto/header.h"

#define admin_reply_bytes_max  (4u << 20)
#define admin_tries_max        100
#define admin_create_version   5
#define admin_metadata_version 9

struct admin {
    int fd;
    struct rte_mempool *pool;
    uint8_t *buf; /* admin_reply_bytes_max */
};

static int send_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        if (r <= 0)
            return ERR_CLOSED;
        p += r;
        n -= (size_t)r;
    }
    return 0;
}

static int recv_all(int fd, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t r = recv(fd, p, n, 0);
        if (r <= 0)
            return ERR_CLOSED;
        p += r;
        n -= (size_t)r;
    }
    return 0;
}

static void begin(struct admin *a, struct writer *w, struct writer_frame *f, int16_t key,
                  int16_t version)
{
    struct proto_request_header h = {key, version, 1, STR("sluice-bench")};
    writer_init(w, a->pool);
    *f = writer_frame_begin(w);
    proto_request_header_encode(&h, w);
}

/* Sends the frame and reads the reply into a->buf; r is left behind the response header. */
static int exchange(struct admin *a, struct writer *w, struct writer_frame f, int16_t key,
                    int16_t version, struct reader *r)
{
    struct chain c;
    chain_init(&c);
    writer_frame_end(w, f);
    int err = writer_finish(w, &c);
    if (err)
        return err;
    if (c.bytes <= admin_reply_bytes_max) {
        chain_copy_out(&c, 0, a->buf, c.bytes);
        err = send_all(a->fd, a->buf, c.bytes);
    } else {
        err = ERR_TOO_LARGE;
    }
    chain_free(&c);
    if (!err)
        err = recv_all(a->fd, a->buf, 4);
    if (err)
        return err;
    uint32_t len = bytes_get_u32(a->buf);
    if (len > admin_reply_bytes_max)
        return ERR_TOO_LARGE;
    err = recv_all(a->fd, a->buf, len);
    if (err)
        return err;
    int32_t correlation;
    reader_init_memory(r, a->buf, len);
    return proto_response_header_decode(&correlation, r, key, version);
}

static int create(struct admin *a, const char *topic, uint32_t partitions, struct arena *arena,
                  int16_t *kerr)
{
    struct create_topics_request_topic t;
    struct create_topics_request req;
    create_topics_request_init(&req);
    create_topics_request_topic_init(&t);
    t.name = str_from(topic);
    t.num_partitions = (int32_t)partitions;
    t.replication_factor = 1;
    req.topics = &t;
    req.n_topics = 1;
    req.timeout_ms = 10000;
    struct writer w;
    struct writer_frame f;
    struct reader r;
    struct create_topics_response res;
    begin(a, &w, &f, API_CreateTopics, admin_create_version);
    create_topics_request_encode(&req, &w, admin_create_version);
    int err = exchange(a, &w, f, API_CreateTopics, admin_create_version, &r);
    if (!err)
        err = create_topics_response_decode(&res, &r, admin_create_version, arena);
    if (err < 0)
        return err;
    if (res.n_topics != 1)
        return ERR_MALFORMED;
    *kerr = res.topics[0].error_code;
    return 0;
}

/* 1: every partition is led; 0: not yet. */
static int led(struct admin *a, const char *topic, uint32_t partitions, struct arena *arena)
{
    struct metadata_request_topic t;
    struct metadata_request req;
    metadata_request_init(&req);
    metadata_request_topic_init(&t);
    t.name = str_from(topic);
    req.topics = &t;
    req.n_topics = 1;
    req.allow_auto_topic_creation = false;
    struct writer w;
    struct writer_frame f;
    struct reader r;
    struct metadata_response res;
    begin(a, &w, &f, API_Metadata, admin_metadata_version);
    metadata_request_encode(&req, &w, admin_metadata_version);
    int err = exchange(a, &w, f, API_Metadata, admin_metadata_version, &r);
    if (!err)
        err = metadata_response_decode(&res, &r, admin_metadata_version, arena);
    if (err < 0)
        return err;
    if (res.n_topics != 1 || res.topics[0].error_code ||
        res.topics[0].n_partitions < (int32_t)partitions)
        return 0;
    for (int32_t i = 0; i < res.topics[0].n_partitions; i++)
        if (res.topics[0].partitions[i].leader_id < 0)
            return 0;
    return 1;
}

static int prepare(struct admin *a, const char *topic, uint32_t partitions, char *why,
                   size_t why_size)
{
    struct arena arena;
    int16_t kerr = 0;
    arena_init(&arena, 16u << 20);
    int err = create(a, topic, partitions, &arena, &kerr);
    if (!err && kerr && kerr != KERR_TOPIC_ALREADY_EXISTS) {
        snprintf(why, why_size, "the broker refused to create topic %s: %s", topic,
                 kerr_name(kerr));
        err = ERR_INVALID;
    } else if (err) {
        snprintf(why, why_size, "CreateTopics failed: %s", err_text(err));
    }
    for (int i = 0; !err; i++) {
        arena_reset(&arena);
        int r = led(a, topic, partitions, &arena);
        if (r > 0)
            break;
        if (r < 0 || i == admin_tries_max) {
            snprintf(why, why_size, "topic %s has not %u led partitions", topic, partitions);
            err = r < 0 ? r : ERR_TIMEOUT;
        }
        usleep(100000);
    }
    arena_free(&arena);
    return err;
}

int admin_prepare_topic(const char *host, uint16_t port, struct rte_mempool *pool,
                        const char *topic, uint32_t partitions, char *why, size_t why_size)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct admin a = {.pool = pool, .buf = malloc(admin_reply_bytes_max)};
    int err = 0;
    a.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (!a.buf || a.fd < 0 || inet_pton(AF_INET, host, &sa.sin_addr) != 1) {
        snprintf(why, why_size, "'%s' is not an IPv4 address", host);
        err = ERR_INVALID;
    } else if (connect(a.fd, (struct sockaddr *)&sa, sizeof(sa))) {
        snprintf(why, why_size, "no broker answers at %s:%u", host, port);
        err = ERR_CLOSED;
    } else {
        err = prepare(&a, topic, partitions, why, why_size);
    }
    if (a.fd >= 0)
        close(a.fd);
    free(a.buf);
    return err;
}

#include "bench/admin.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/kerr.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/gen/create_topics.h"
#include "dataplane/proto/gen/init_producer_id.h"
#include "dataplane/proto/gen/list_offsets.h"
#include "dataplane/proto/gen/metadata.h"
#include "dataplane/proto/header.h"

#define admin_reply_bytes_max      (4u << 20)
#define admin_tries_max            100
#define admin_create_version       5
#define admin_metadata_version     9
#define admin_list_offsets_version 5
#define admin_producer_id_version  1

struct admin {
    int fd;
    struct rte_mempool *pool;
    uint8_t *buf; /* admin_reply_bytes_max */
};

static int send_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        if (r < 0 && errno == EINTR) /* io_uring's own work on this thread, too */
            continue;
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
        if (r < 0 && errno == EINTR)
            continue;
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

static int list_offset(struct admin *a, const char *topic, uint32_t partition, int64_t timestamp,
                       int64_t *out, char *why, size_t why_size)
{
    struct list_offsets_request_topic t;
    struct list_offsets_request_partition p;
    struct list_offsets_request req;
    list_offsets_request_init(&req);
    list_offsets_request_topic_init(&t);
    list_offsets_request_partition_init(&p);
    p.partition_index = (int32_t)partition;
    p.timestamp = timestamp;
    t.name = str_from(topic);
    t.partitions = &p;
    t.n_partitions = 1;
    req.replica_id = -1;
    req.topics = &t;
    req.n_topics = 1;
    struct writer w;
    struct writer_frame f;
    struct reader r;
    struct arena arena;
    struct list_offsets_response res;
    begin(a, &w, &f, API_ListOffsets, admin_list_offsets_version);
    list_offsets_request_encode(&req, &w, admin_list_offsets_version);
    arena_init(&arena, 1u << 20);
    int err = exchange(a, &w, f, API_ListOffsets, admin_list_offsets_version, &r);
    if (!err)
        err = list_offsets_response_decode(&res, &r, admin_list_offsets_version, &arena);
    if (!err && (res.n_topics != 1 || res.topics[0].n_partitions != 1))
        err = ERR_MALFORMED;
    if (err) {
        snprintf(why, why_size, "ListOffsets failed: %s", err_text(err));
    } else if (res.topics[0].partitions[0].error_code) {
        snprintf(why, why_size, "ListOffsets of %s-%u: %s", topic, partition,
                 kerr_name(res.topics[0].partitions[0].error_code));
        err = ERR_NOT_FOUND;
    } else {
        *out = res.topics[0].partitions[0].offset;
    }
    arena_free(&arena);
    return err;
}

static int connect_to(struct admin *a, const char *host, uint16_t port, char *why, size_t why_size)
{
    char service[8];
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, &found)) {
        snprintf(why, why_size, "'%s' is not a numeric address", host);
        return ERR_INVALID;
    }
    a->fd = socket(found->ai_family, SOCK_STREAM, 0);
    int err = a->fd >= 0 && connect(a->fd, found->ai_addr, found->ai_addrlen) == 0 ? 0 : ERR_CLOSED;
    freeaddrinfo(found);
    struct timeval patience = {.tv_sec = admin_answer_wait_s};
    setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (err)
        snprintf(why, why_size, "no broker answers at %s port %u", host, port);
    return err;
}

static int admin_open(struct admin *a, const char *host, uint16_t port, struct rte_mempool *pool,
                      char *why, size_t why_size)
{
    *a = (struct admin){.fd = -1, .pool = pool, .buf = malloc(admin_reply_bytes_max)};
    return a->buf ? connect_to(a, host, port, why, why_size) : ERR_NO_MEMORY;
}

static void admin_close(struct admin *a)
{
    if (a->fd >= 0)
        close(a->fd);
    free(a->buf);
}

int admin_prepare_topic(const char *host, uint16_t port, struct rte_mempool *pool,
                        const char *topic, uint32_t partitions, char *why, size_t why_size)
{
    struct admin a;
    int err = admin_open(&a, host, port, pool, why, why_size);
    if (!err)
        err = prepare(&a, topic, partitions, why, why_size);
    admin_close(&a);
    return err;
}

int admin_list_offset(const char *host, uint16_t port, struct rte_mempool *pool, const char *topic,
                      uint32_t partition, int64_t timestamp, int64_t *out, char *why,
                      size_t why_size)
{
    struct admin a;
    int err = admin_open(&a, host, port, pool, why, why_size);
    if (!err)
        err = list_offset(&a, topic, partition, timestamp, out, why, why_size);
    admin_close(&a);
    return err;
}

static int producer_id(struct admin *a, int64_t *id, int16_t *epoch, char *why, size_t why_size)
{
    struct init_producer_id_request req;
    struct init_producer_id_response res;
    struct writer w;
    struct writer_frame f;
    struct reader r;
    struct arena arena;
    init_producer_id_request_init(&req);
    req.transactional_id = STR_NULL;
    req.transaction_timeout_ms = 60000;
    begin(a, &w, &f, API_InitProducerId, admin_producer_id_version);
    init_producer_id_request_encode(&req, &w, admin_producer_id_version);
    arena_init(&arena, 1u << 16);
    int err = exchange(a, &w, f, API_InitProducerId, admin_producer_id_version, &r);
    if (!err)
        err = init_producer_id_response_decode(&res, &r, admin_producer_id_version, &arena);
    arena_free(&arena);
    if (err) {
        snprintf(why, why_size, "InitProducerId failed: %s", err_text(err));
    } else if (res.error_code) {
        snprintf(why, why_size, "InitProducerId: %s", kerr_name(res.error_code));
        err = ERR_INVALID;
    } else {
        *id = res.producer_id;
        *epoch = res.producer_epoch;
    }
    return err;
}

int admin_producer_id(const char *host, uint16_t port, struct rte_mempool *pool, int64_t *id,
                      int16_t *epoch, char *why, size_t why_size)
{
    struct admin a;
    int err = admin_open(&a, host, port, pool, why, why_size);
    if (!err)
        err = producer_id(&a, id, epoch, why, why_size);
    admin_close(&a);
    return err;
}

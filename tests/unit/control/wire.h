/*
 * wire: the few requests that tests of the whole broker send over a real socket, written by hand.
 */
#ifndef TESTS_UNIT_CONTROL_WIRE_H
#define TESTS_UNIT_CONTROL_WIRE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/bytes.h"

#define wire_bytes_max 65536

struct wire {
    int fd;
    uint8_t out[4096];
    size_t n;
    uint8_t in[wire_bytes_max];
    size_t in_size;
    uint8_t key; /* of sluice.test.filter=xor; 0: none */
};

static inline bool wire_connect(struct wire *w, uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 120};
    w->key = 0;
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(w->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return w->fd >= 0 && connect(w->fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static inline void wire_close(struct wire *w)
{
    close(w->fd);
}

static inline void wire_i16(struct wire *w, int v)
{
    bytes_put_u16(w->out + w->n, (uint16_t)v);
    w->n += 2;
}

static inline void wire_i32(struct wire *w, int32_t v)
{
    bytes_put_u32(w->out + w->n, (uint32_t)v);
    w->n += 4;
}

static inline void wire_str(struct wire *w, const char *s)
{
    wire_i16(w, (int)strlen(s));
    memcpy(w->out + w->n, s, strlen(s));
    w->n += strlen(s);
}

/* Length word, key, version, correlation id 1, null client id. */
static inline void wire_begin(struct wire *w, int key, int version)
{
    w->n = 4;
    wire_i16(w, key);
    wire_i16(w, version);
    wire_i32(w, 1);
    wire_i16(w, -1);
}

static inline void wire_mask(const struct wire *w, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] ^= w->key;
}

static inline bool wire_read(struct wire *w, size_t n)
{
    while (w->in_size < n) {
        ssize_t got = recv(w->fd, w->in + w->in_size, n - w->in_size, 0);
        if (got <= 0)
            return false;
        wire_mask(w, w->in + w->in_size, (size_t)got);
        w->in_size += (size_t)got;
    }
    return true;
}

/* Sends and reads one answer; its body begins at in[8]. False: closed. */
static inline bool wire_call(struct wire *w)
{
    bytes_put_u32(w->out, (uint32_t)w->n - 4);
    wire_mask(w, w->out, w->n);
    if (send(w->fd, w->out, w->n, MSG_NOSIGNAL) != (ssize_t)w->n)
        return false;
    w->in_size = 0;
    if (!wire_read(w, 4))
        return false;
    uint32_t n = bytes_get_u32(w->in);
    return n >= 4 && n <= wire_bytes_max - 4 && wire_read(w, n + 4) &&
           bytes_get_u32(w->in + 4) == 1;
}

/* ApiVersions v0: the error code, -1 if there was no answer. */
static inline int wire_api_versions(struct wire *w)
{
    wire_begin(w, 18, 0);
    return wire_call(w) ? bytes_get_i16(w->in + 8) : -1;
}

/* CreateTopics v2 of one topic: its error code, -1 if there was no answer. */
static inline int wire_create_topic(struct wire *w, const char *name, int32_t partitions)
{
    wire_begin(w, 19, 2);
    wire_i32(w, 1);
    wire_str(w, name);
    wire_i32(w, partitions);
    wire_i16(w, 1);
    wire_i32(w, 0);
    wire_i32(w, 0);
    wire_i32(w, 30000);
    w->out[w->n++] = 0;
    if (!wire_call(w))
        return -1;
    size_t name_len = bytes_get_u16(w->in + 16);
    return bytes_get_i16(w->in + 18 + name_len);
}

/* Metadata v1 of one topic: the number of its partitions, or minus its error code. */
static inline int wire_partitions(struct wire *w, const char *name)
{
    wire_begin(w, 3, 1);
    wire_i32(w, 1);
    wire_str(w, name);
    if (!wire_call(w))
        return -1000;
    const uint8_t *p = w->in + 8;
    for (int32_t brokers = bytes_get_i32(p), i = (p += 4, 0); i < brokers; i++) {
        p += 4;
        p += 2 + bytes_get_u16(p) + 4;
        int16_t rack = bytes_get_i16(p);
        p += 2 + (rack > 0 ? rack : 0);
    }
    p += 4 + 4; /* controller, topics */
    int16_t error = bytes_get_i16(p);
    p += 2;
    p += 2 + bytes_get_u16(p) + 1;
    return error ? -error : bytes_get_i32(p);
}

#endif

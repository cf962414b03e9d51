/*
 * null: the null broker, the limit that the client and the kernel allow.
 *
 * Purpose: a yardstick in every report: one thread, epoll, plain sockets; reads Produce requests (any version without flexible
 * fields, one partition each), copies each batch once with CRC32C into a memory ring and answers. No log,
 * no disk, no order, no promise. Owner: the bench's main thread. Memory: one buffer per connection
 * and the ring, malloc'd. As an echo server it sends every byte back. Failure: a negative err with one line in
 * `why`; a malformed request closes its connection.
 */
#ifndef BENCH_NULL_H
#define BENCH_NULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct null_options {
    const char *host; /* numeric address to listen on, IPv4 or IPv6 */
    uint16_t port;    /* 0: the kernel's choice */
    double seconds;   /* 0: until SIGINT or SIGTERM */
    bool echo;        /* sends back what it receives, whatever that is */
    const char *
        write; /* a folder: each batch is also written to a file there, without any promise; "": no */
};

/* Prints "null ready <address>:<port>", the address in brackets if it is IPv6, and serves. */
int null_run(const struct null_options *options, char *why, size_t why_size);

#endif

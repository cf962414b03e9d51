/*
 * listeners: addresses of the configured listeners, resolved and reserved.
 *
 * Purpose: names become socket addresses, ports that the kernel chooses are known, and an address
 * that
 * somebody listens on is refused before anything is recovered (every shard's own socket
 * shares its port by SO_REUSEPORT, which would let two brokers of one user share it too).
 * Owner: the composition root. Memory: embedded; reservations hold a socket each until released.
 * Failure: ERR_BUSY, ERR_PERMISSION, ERR_INVALID (name not found), ERR_SYSTEM with a line in why.
 */
#ifndef CONTROL_LISTENERS_H
#define CONTROL_LISTENERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "control/config/config.h"

struct listener {
    const struct config_listener *config;
    struct sockaddr_storage address; /* with the real port */
    uint16_t port;
    int reserved; /* socket bound to it, not listening; -1: none */
    bool serves;  /* takes clients: not a CONTROLLER listener */
};

struct listeners {
    struct listener items[config_listeners_max];
    uint32_t count;
};

int listeners_reserve(struct listeners *l, const struct config *config, char *why, size_t why_size);

/* When every shard listens; does nothing the second time. */
void listeners_release(struct listeners *l);

/* "PLAINTEXT://127.0.0.1:9092 ..." of those that serve. */
void listeners_text(const struct listeners *l, char *out, size_t size);

#endif

/* What is the same for every transport. */
#include "dataplane/transport/transport_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

void tconn_peer_text(const struct tconn *c, char out[TCONN_PEER_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (c->peer.ss_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&c->peer;
        inet_ntop(AF_INET, &a->sin_addr, host, sizeof host);
        snprintf(out, TCONN_PEER_TEXT_MAX, "%s:%u", host, ntohs(a->sin_port));
    } else if (c->peer.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&c->peer;
        inet_ntop(AF_INET6, &a->sin6_addr, host, sizeof host);
        snprintf(out, TCONN_PEER_TEXT_MAX, "[%s]:%u", host, ntohs(a->sin6_port));
    } else {
        snprintf(out, TCONN_PEER_TEXT_MAX, "unknown");
    }
}

bool transport_collapse(struct chain *to, const struct rte_mbuf *m)
{
    struct rte_mbuf *last = to->tail;
    uint16_t n = m->data_len;
    if (n >= rx_buffer_bytes / 2 || last == NULL || !RTE_MBUF_DIRECT(last) ||
        rte_mbuf_refcnt_read(last) != 1 || rte_pktmbuf_tailroom(last) < n)
        return false;
    memcpy(rte_pktmbuf_mtod_offset(last, void *, last->data_len), rte_pktmbuf_mtod(m, const void *),
           n);
    last->data_len = (uint16_t)(last->data_len + n);
    to->bytes += n;
    return true;
}

int64_t transport_deliver(struct tconn *c, struct chain *held, struct rte_mempool *ref_pool)
{
    uint64_t n = held->bytes < c->want ? held->bytes : c->want;
    if (n == 0)
        return 0;
    struct rte_mbuf *only = held->head == held->tail ? held->head : NULL;
    if (n == held->bytes && only != NULL && transport_collapse(&c->rx, only)) {
        chain_free(held);
    } else if (n == held->bytes) {
        chain_join(&c->rx, held);
    } else {
        int err = chain_split(held, n, ref_pool, &c->rx);
        if (err < 0)
            return err;
    }
    c->want -= n;
    return (int64_t)n;
}

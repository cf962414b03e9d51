/*
 * limits: the maxima that several folders must agree on, with their relations asserted.
 *
 * A maximum that one module alone knows stands in that module's header. Units are in the names.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define KIB 1024ULL
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)

#define shard_count_max            64     /* shards of one broker */
#define topic_name_bytes_max       249    /* Kafka's limit */
#define topic_partitions_max       100000 /* partitions of one topic */
#define broker_partitions_max      200000 /* partitions of one broker */
#define conn_count_max             100000 /* connections of one shard (max.connections may lower it) */
#define conn_inflight_requests_max 64     /* requests of one connection being worked on */
#define request_partitions_max     100000     /* partitions named in one produce or fetch request */
#define request_arena_bytes_max    (64 * MIB) /* decoded form of one control request */
#define rx_buffer_bytes            16384      /* one receive mbuf's data room */
#define tail_chunk_bytes           65536      /* one chunk of log memory: tail, cache, disk reads */
#define batch_header_bytes         61         /* record batch v2 up to and with the record count */
#define batch_bytes_max            (2 * GIB - MIB) /* an answer that holds it has a length of 31 bits */

_Static_assert(tail_chunk_bytes % 4096 == 0, "chunks are whole disk blocks");
_Static_assert(rx_buffer_bytes <= 65535 - 256, "an mbuf's data length is 16 bits");

#endif

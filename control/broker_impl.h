/*
 * broker_impl: what the files broker*.c share. Nobody else includes it.
 */
#ifndef CONTROL_BROKER_IMPL_H
#define CONTROL_BROKER_IMPL_H

#include "control/broker.h"
#include "control/control.h"
#include "control/control_loop.h"
#include "control/groups.h"
#include "control/listeners.h"
#include "control/logdirs.h"
#include "control/metrics/http.h"
#include "control/metrics/lag.h"
#include "control/meta/store.h"
#include "control/process.h"
#include "control/topics.h"
#include "core/eal.h"
#include "core/ring.h"
#include "core/shard.h"
#include "core/worker.h"
#include "dataplane/kafka/kafka.h"
#include "dataplane/transport/dpdk.h"
#include "dataplane/transport/filter_mark.h"
#include "dataplane/transport/uring.h"
#include "storage/cache/cache.h"
#include "storage/plog/plog.h"

#define ring_entries           4096
#define broker_conns_max       65536  /* connection blocks of one shard */
#define broker_request_slots   4096   /* requests in work on one shard */
#define broker_partition_ops   131072 /* their partition parts: one request may name 100,000 */
#define broker_reply_bytes_max (4 * MIB)
#define broker_partial_ns      (30 * CLOCK_NS_PER_S)
#define broker_drain_ns_max    (10 * CLOCK_NS_PER_S)  /* requests in work when a stop comes */
#define broker_close_ns_max    (120 * CLOCK_NS_PER_S) /* closing of all partitions */
#define broker_drain_poll_ns   (2 * CLOCK_NS_PER_MS)
#define broker_progress_ns     CLOCK_NS_PER_S
#define broker_files_kept      256 /* descriptors for what is neither client nor partition */
#define broker_partition_files 4   /* descriptors that an open partition may hold */
#define broker_test_filter_key 0x5a
#define broker_linger_ns       (50 * CLOCK_NS_PER_MS) /* last replies leave the transport */

struct dir_failure {
    struct msg msg; /* first */
    struct broker *broker;
    uint32_t dir;
    int err;
    bool posted;
};

struct broker_shard {
    struct shard shard; /* first */
    struct broker *broker;
    struct ring ring;
    struct io_uring_backend io;
    struct view view;
    struct cache *cache;
    struct plog_env plogs;
    struct kafka *kafka;
    struct uring_transport *transport;
    struct dpdk_transport *dpdk; /* NULL: no listener wants it */
    struct dpdk_parking parking;
    struct filter *filter;        /* between the two, NULL: none */
    struct dir_failure *failures; /* by log dir */
    bool has_ring, has_shard, has_view;
    /* a call from control at a time */
    struct call call;
    struct call nudge; /* beside it, see broker_limits.c */
    bool nudged, nudge_again;
    bool drained;
    uint32_t listen_failed; /* listener that could not be opened */
    int err, errnum;
};

struct broker_worker {
    struct worker worker; /* first */
    char name[24];
    bool made;
};

struct broker {
    struct config *config;
    struct broker_seams seams;
    struct process_limits limits;
    struct listeners listeners;
    struct kafka_endpoint endpoints[config_listeners_max];
    struct logdirs *logdirs;
    struct mem_plan plan;
    struct dpdk_ports ports; /* of listeners that bypass the kernel */
    uint32_t packets;        /* packet buffers of each of their queues */
    struct agent *agents[shard_count_max];
    struct eal_state eal;
    struct broker_shard *shards;
    uint32_t shard_count;
    struct broker_worker workers[topics_workers_max];
    uint32_t worker_count;
    struct control control;
    struct control_loop loop;
    bool has_control;
    struct region left[shard_count_max];    /* named memory that a broker left that died */
    struct region regions[shard_count_max]; /* the shards' */
    uint32_t left_count, region_count;
    bool recover_os;                   /* see topics_options */
    _Atomic bool has_loop, stop_asked; /* a signal may come before the loop is there */
    struct admission *admission;
    struct metrics metrics;
    struct metrics_lag lag;            /* iff metrics_http */
    struct metrics_http *metrics_http; /* NULL: not asked for */
    struct capture_set *captures;      /* NULL: none may be made */
    struct wheel_timer progress;
    uint32_t calls_pending; /* answers of shards */
    bool running;           /* threads are up */
    bool stopped;           /* the stop has run */
    bool clean;             /* and everything was closed */
};

enum plog_durability broker_durability(const struct broker *b);

/* broker_shard.c: everything of one shard but its thread. */
int broker_shard_make(struct broker *b, uint32_t index, char *why, size_t why_size);
void broker_shard_free(struct broker_shard *s);
/* Calls run on every shard's thread and waits for all answers. ERR_TIMEOUT, ERR_CANCELLED. */
int broker_shards_call(struct broker *b, void (*run)(struct call *), int64_t timeout_ns);
void broker_shard_listen_run(struct call *call);
void broker_shard_drain_run(struct call *call);
static inline struct broker_shard *broker_shard_of(struct call *call)
{
    return (struct broker_shard *)((char *)call - offsetof(struct broker_shard, call));
}

/* broker_limits.c: makes the admission; lowers what requests may reserve. */
int broker_limits_make(struct broker *b);
void broker_requests_bound(const struct config *config, struct mem_plan *plan);

/* broker_open.c: log dirs and metadata. */
int broker_open_dirs(struct broker *b, char *why, size_t why_size);
int broker_open_meta(struct broker *b, char *why, size_t why_size);
int broker_begin_dirs(struct broker *b, char *why, size_t why_size);

/* broker_tail.c: named log memory. Before anything is written: finds what is there. */
int broker_tail_open(struct broker *b, char *why, size_t why_size);
/* After broker_begin_dirs, before a thread runs. */
int broker_tail_begin(struct broker *b, char *why, size_t why_size);
void broker_tail_free(struct broker *b);

/* broker_journal.c: before a thread runs, and before a log is opened. */
int broker_journals_begin(struct broker *b, char *why, size_t why_size);
void broker_journal_plan(struct broker_shard *s);

/* broker_dpdk.c: network ports, if a listener wants them. Takes their share off *memory. */
int broker_dpdk_plan(struct broker *b, uint64_t *memory, char *why, size_t why_size);
/* Requests may not reserve more than packet buffers can hold. After the memory plan. */
void broker_dpdk_bound(struct broker *b);
uint32_t broker_dpdk_eal_mb(const struct broker *b);
int broker_dpdk_open(struct broker *b, char *why, size_t why_size);
int broker_dpdk_shard(struct broker_shard *s, uint32_t conn_max);
/* Memory for captures, for every shard's lanes. */
int broker_dpdk_captures(struct broker *b, char *why, size_t why_size);

/* broker_stop.c: the clean stop; idempotent. */
void broker_stop(struct broker *b);

#endif

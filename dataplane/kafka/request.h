/*
 * request: a request in work, and its parts, one per partition named. Internal to dataplane/kafka.
 *
 * Purpose: what Produce, Fetch, ListOffsets and forwarded requests have in common. Owner: the
 * shard of the conn; a part is with another shard from part_call until its done.
 * Memory: slots and parts of the shard's pools; the frame's bytes stay in the conn's rx, or in
 * `body` if they are needed after the start.
 * Invariants: 1. pending counts the parts that are with a plog or another agent, plus one while
 * the request is being started; at 0 it is done, once. 2. Whoever holds a part's topic pointer
 * holds the topic (view_hold); part_free lets go.
 * Failure: what cannot start for want of memory leaves its frame in rx, and its conn waits.
 */
#ifndef DATAPLANE_KAFKA_REQUEST_H
#define DATAPLANE_KAFKA_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/stages.h"
#include "core/wheel.h"
#include "dataplane/kafka/forward.h"
#include "dataplane/kafka/list.h"
#include "dataplane/kafka/view.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/header.h"
#include "dataplane/proto/reader.h"
#include "storage/plog/plog.h"

#define message_bytes_max 96

struct conn;
struct kafka;
struct session;
struct session_part;

struct produce_state {
    int16_t acks;
    bool failed; /* acks=0 and something went wrong: the conn is closed */
    char message[message_bytes_max];
};

enum fetch_phase { FETCH_READ, FETCH_WAIT, FETCH_WAKE, FETCH_REREAD, FETCH_DONE };
enum fetch_context { FETCH_SESSIONLESS, FETCH_FULL, FETCH_INCREMENTAL, FETCH_REFUSED };

struct fetch_state {
    int32_t max_wait_ms, min_bytes, max_bytes, replica_id;
    int32_t session_id, session_epoch;
    uint64_t forgotten_off; /* of the forgotten topics in the frame; 0: none */
    struct session *session;
    uint8_t phase, context;
    int8_t isolation;
    bool issuing, settled;
    bool below_zero;     /* the client's limit of the response was, for the first read */
    bool hurry;          /* something that ends any waiting: an error or a divergence */
    int16_t error;       /* of the whole response */
    struct part *cursor; /* next part to read */
    uint32_t reading;    /* reads under way */
    uint32_t remote;     /* waits and cancels that are with other shards */
    uint64_t bytes;      /* read in this round */
    uint64_t promised;   /* limits of the reads under way */
    uint64_t available;  /* bytes known to be there while waiting */
    struct wheel_timer timer;
    struct link wait_link, ready_link;
};

struct list_state {
    int32_t replica_id;
    int8_t isolation;
};

struct request {
    struct conn *conn; /* NULL: its conn is gone */
    struct kafka *k;
    struct request *next;
    struct part *parts, *parts_tail;
    uint32_t part_count;
    uint32_t pending;
    int16_t api_key, api_version;
    int32_t correlation_id;
    uint32_t frame_bytes;
    bool done;
    bool silent; /* no reply */
    bool close;  /* close the conn instead of, or after, answering */
    uint32_t errors;
    uint64_t reserved; /* bytes of mem.requests held for body */
    struct chain body; /* the frame without its length word, if it was kept */
    struct stamps stamps;
    union {
        struct produce_state produce;
        struct fetch_state fetch;
        struct list_state list;
        struct forward forward;
    };
};

/* Control answers it: `forward` is in use. */
static inline bool request_is_forwarded(const struct request *r)
{
    return r->api_key != API_Fetch && r->api_key != API_Produce && r->api_key != API_ListOffsets;
}

/* ---- part: one partition of a request ---- */

struct produce_part {
    struct plog_append append;
    struct part *park_next;
    uint32_t rec_off, rec_len; /* the batch in the frame */
    uint32_t records;
    int16_t check; /* KERR_* of the batch's outer form */
    bool parked;
};

enum fetch_part_state {
    FETCH_PART_IDLE,
    FETCH_PART_ARMED, /* its waiter is with a plog of this shard */
    FETCH_PART_AWAY,  /* its wait is with another shard */
};

struct fetch_part {
    int64_t offset, log_start;
    int32_t max_bytes, leader_epoch, last_epoch;
    uint32_t limit; /* bytes of this round's read */
    int32_t diverging_epoch;
    int64_t diverging_end;
    uint8_t state;      /* enum fetch_part_state; the home shard's */
    bool erroneous;     /* never read: unknown topic or partition */
    bool include;       /* in the response */
    bool lost;          /* the log cannot serve the offset any more: stop waiting */
    bool armed;         /* on the owner, for another shard */
    bool below_zero;    /* this round's limit is: an error if there is anything to read */
    uint64_t available; /* bytes there are, as the owner saw last */
    uint64_t reported;  /* what of it the home shard counts */
    struct plog_read read;
    struct plog_waiter waiter;
    struct link fired_link;
    struct call cancel;
    struct session_part *cached;
    struct chain pre; /* encoded bytes that stand before the data */
};

struct list_part {
    int64_t timestamp;
    int32_t leader_epoch;
    struct plog_time_lookup lookup;
    int64_t offset, found_ms;
    int32_t epoch;
};

struct part {
    struct part *next;
    struct part *run_tail; /* in the first part of a topic: its last one */
    struct request *r;
    struct view_topic *topic; /* held; NULL: unknown */
    struct view_partition *partition;
    struct kafka *owner; /* of the partition's shard; r->k: here */
    int32_t index;
    int16_t error;
    struct uuid topic_id;
    struct str name;             /* of the topic; p NULL: name_off in r->body */
    uint32_t name_off, name_len; /* in the frame */
    struct call call;
    union {
        struct produce_part produce;
        struct fetch_part fetch;
        struct list_part list;
    };
};

enum request_result { REQUEST_TAKEN, REQUEST_LATER };
enum request_result request_start(struct conn *c);
struct request *request_new(struct conn *c, const struct proto_request_header *h);
void request_drop(struct request *r); /* before it was pushed */
int request_take_body(struct conn *c, struct request *r);
int request_keep_body(struct conn *c, struct request *r);
void request_done(struct request *r);
void request_free(struct request *r);
void request_unpend(struct request *r);
struct part *part_new(struct request *r);
void part_append(struct request *r, struct part *p);
void part_free(struct kafka *k, struct part *p);
void parts_free(struct request *r);

/* A topic as a request names it. */
struct topic_ref {
    struct view_topic *topic; /* NULL: unknown */
    struct uuid id;
    struct str name; /* in the frame, or the topic's own */
    bool straddles;  /* name is in the scratch: two mbufs hold it */
    uint32_t name_off, name_len;
};
void topic_ref_read(struct topic_ref *ref, struct kafka *k, struct reader *rd, bool by_id,
                    bool flexible, uint32_t frame_bytes);
void part_refer(struct part *p, const struct topic_ref *ref, int32_t index);
void part_resolve(struct part *p, struct view_topic *topic);
int16_t part_partition_error(const struct part *p, int32_t leader_epoch);
void part_call(struct part *p, void (*run)(struct call *), void (*done)(struct call *));
struct str part_name(const struct part *p, void *buf);
bool part_same_topic(const struct part *a, const struct part *b);
bool parts_need_names(const struct request *r);
void parts_dedupe(struct request *r, void (*merge)(struct part *kept, struct part *again));
void parts_group(struct request *r);

#endif

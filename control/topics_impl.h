/*
 * topics_impl: what the files topics*.c share. Nobody else includes it.
 *
 * Every topic has a topic_work as long as it exists. An operation runs as a chain of steps on it:
 * each step starts work elsewhere (workers, shards) and names the function that runs when all
 * of it has answered. One operation at a time; the others wait in its queue.
 */
#ifndef CONTROL_TOPICS_IMPL_H
#define CONTROL_TOPICS_IMPL_H

#include "control/control.h"
#include "control/logdirs.h"
#include "control/meta/record.h"
#include "control/meta/store.h"
#include "control/topics.h"
#include "core/wheel.h"
#include "dataplane/kafka/view.h"
#include "storage/plog/plog.h"

#define topics_slots_per_worker 4   /* partitions in work at once, each: opened or closed */
#define topics_why_bytes        512 /* text of a failure of plog_open */
#define producer_id_block       1000
#define topics_retry_ns         (100 * CLOCK_NS_PER_MS) /* a view that found no memory */

struct topic_work;
typedef void topic_step_fn(struct topic_work *w);

enum part_mode { PART_OPEN, PART_CLOSE, PART_REMOVE };

/* A plog that is to be closed or removed; the image does not have it any more. */
struct part_closing {
    struct plog *plog;
    int32_t partition;
    uint32_t shard, log_dir;
};

/* One publication of a view: out with the old one, in with the new one. */
struct publication {
    struct topic_work *work;
    struct view_topic *add, *remove;
    uint32_t visible_left, released_left;
    topic_step_fn *visible;  /* every shard has the new one; may be NULL */
    topic_step_fn *released; /* and none uses the old one */
    struct wheel_timer retry;
    uint32_t retries; /* shards that had no memory */
    struct publication_part {
        struct view_update update; /* first: the call leads back here */
        struct call ping;
        struct publication *all;
        bool again;
    } parts[];
};

struct topic_work {
    struct topics *topics;
    struct image_topic *topic;
    struct topic_work *next, **prev; /* of topics->works */
    struct topic_op *queue, **queue_tail;
    struct topic_op *op; /* running; NULL also while an operation of our own runs */
    bool busy;
    bool checkpointed; /* its partitions may stand in checkpoint files */
    bool refused;      /* a step of the running operation failed */
    int err;           /* and how */
    char why[topics_why_bytes];
    uint32_t calls; /* partition_calls under way */
    topic_step_fn *calls_gone;
    /* the range of partitions in work (topics_parts.c) */
    enum part_mode mode;
    int32_t part_next, part_end;
    uint32_t part_running;
    topic_step_fn *parts_done;
    struct topic_work *range_next;
    struct part_closing *closing; /* PART_CLOSE, PART_REMOVE: entries part_next..part_end */
    /* answers awaited by a step with calls of its own */
    uint32_t pending;
    topic_step_fn *pending_done;
    struct topic_op *reborn; /* creations that wait until this one's files are gone */
    struct topic_work *checkpoint_next;
};

/* Room to open or close one partition. */
struct part_slot {
    struct call call; /* first */
    struct topics *topics;
    struct topic_work *work;
    struct agent *worker;
    struct part_slot *next; /* of the free list */
    int32_t partition;
    struct plog *plog;
    struct plog_open open;
    struct plog_detach detach;
    struct part_closing closing;
    bool remove;
    bool is_new;  /* of a topic that is created or grows */
    bool strayed; /* what was in its place was put aside */
    int err;
    char why[topics_why_bytes];
};

enum topics_state { TOPICS_NEW, TOPICS_STARTING, TOPICS_RUNNING, TOPICS_STOPPING, TOPICS_STOPPED };

struct checkpoint_pass;
struct checkpoint_entries;
struct topics_space;

struct topics {
    struct control *control;
    struct topics_options o;
    enum topics_state state;
    struct topic_work *works;
    uint32_t work_count, busy_count;
    struct part_slot *slots, *slots_free;
    uint32_t slot_count;
    bool dispatching;
    struct topic_work *ranges, **ranges_tail; /* works whose partitions wait for a slot */
    uint32_t partitions_open, partitions_all; /* of the start */
    uint32_t partition_count;                 /* of all topics */
    int64_t producer_next, producer_end;
    struct checkpoint_pass *pass;       /* running */
    struct checkpoint_entries *noted;   /* of plogs that the stop has closed */
    bool pass_again;                    /* another one is wanted after it */
    struct topic_work *checkpoint_wait; /* deletions whose last step waits for a pass to begin */
    struct wheel_timer checkpoint_timer;
    bool *dirty_close; /* by log dir: a plog was not closed cleanly */
    uint32_t starting; /* works whose start is not over */
    bool start_passed; /* the pass at the end of the start has begun */
    bool stop_wanted;  /* a stop came during the start */
    bool closing_all;  /* the stop closes every plog */
    struct topics_space *space;
    bool space_looked; /* the shards know how much room there is */
};

/* ---- topics.c ---- */
struct topic_work *topic_work_new(struct topics *t, struct image_topic *topic);
void topic_work_free(struct topic_work *w);
/* Ends the running operation: answers it, starts the next one in the queue. */
void topic_work_end(struct topic_work *w, int16_t error, const char *message);
void topic_op_finish(struct topic_op *op, int16_t error, const char *message);
int16_t topics_kerr(int err);
/* What takes a whole log dir offline; a full disk fails only what it was asked. */
bool topics_dir_error(int err);
/* Appends to the metadata log; a final failure fails control. */
int topics_append(struct topics *t, const struct meta_record *records, uint32_t n);
/* The running operation's step failed; the first reason stays. */
void topic_work_refuse(struct topic_work *w, int err, const char *why);
struct agent *topics_agent(struct topics *t);

/* ---- topics_parts.c ---- */
/*
 * Opens and attaches partitions [from, to) of the topic; failures go to image (plog NULL) and
 * refuse w.
 */
void topic_parts_open(struct topic_work *w, int32_t from, int32_t to, topic_step_fn *then);
/* Detaches and closes (or removes) w->closing[0, n); frees the array at the end. */
void topic_parts_close(struct topic_work *w, struct part_closing *closing, int32_t n, bool remove,
                       topic_step_fn *then);
uint32_t topic_part_shard(const struct topics *t, const struct uuid *id, int32_t partition);

/* ---- topics_view.c ---- */
/* The topic's view as the image has it now. NULL: no memory. */
struct view_topic *topic_view_make(struct topic_work *w);
/* Puts `view` (NULL: nothing) in the place of the topic's view. The steps run later. */
int topic_publish(struct topic_work *w, struct view_topic *view, topic_step_fn *visible,
                  topic_step_fn *released);

/* ---- topics_create.c, topics_delete.c, topics_config.c, topics_offline.c ---- */
void topic_create_begin(struct topics *t, struct topic_op *op);
void topic_grow_begin(struct topic_work *w);
void topic_delete_begin(struct topic_work *w);
/* Goes on with a deletion that the record says was begun; the work is busy. */
void topic_delete_files(struct topic_work *w);
void topic_configure_begin(struct topic_work *w);
void topic_offline_begin(struct topic_work *w);
/* Takes the plogs of partitions [from, to) (of log dir `dir`, or of all for image_no_log_dir) out
 * of
 * the image into a new array; *n entries. NULL: no memory. */
struct part_closing *topic_parts_take(struct topic_work *w, int32_t from, uint32_t dir, int32_t *n);
/* What a plog of the topic gets: the topic's overrides over the broker's settings. */
void topic_plog_config(struct topic_work *w, struct plog_config *out);
/* Sends the topic's settings to its plogs; then(w) after all answered. */
void topic_configure_plogs(struct topic_work *w, topic_step_fn *then);

/* ---- topics_checkpoint.c ---- */
/* then: topic_work's last step of deletion, after no checkpoint file names it. */
void topics_checkpoint_without(struct topic_work *w);
void topic_delete_forget(struct topic_work *w);
/* Clean stop: notes the offsets of a detached plog; then writes what was noted; then(t). */
int topics_checkpoint_note(struct topics *t, const struct topic_work *w, const struct plog *plog,
                           int32_t partition, uint32_t log_dir);
void topics_checkpoint_final(struct topics *t, void (*then)(struct topics *t));
void topics_checkpoint_free(struct topics *t);
void topics_checkpoint_arm(struct topics *t);

/* ---- topics_space.c ---- */
/* ERR_NO_MEMORY. */
int topics_space_new(struct topics *t);
void topics_space_free(struct topics *t);
/* The first look; others follow until the stop. */
void topics_space_start(struct topics *t);
/* None follows; the one under way may still be busy. */
void topics_space_stop(struct topics *t);
bool topics_space_busy(const struct topics *t);

/* ---- topics_start.c, topics_stop.c ---- */
/* After every work or pass that ended: goes on with a start or stop that waited for it. */
void topics_start_check(struct topics *t);
void topics_stop_check(struct topics *t);
/* Queues an operation of our own. */
void topics_enqueue_own(struct topics *t, struct topic_work *w, enum topic_op_kind kind);

#endif

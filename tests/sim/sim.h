/*
 * sim: one broker's storage under a seed: shards with their plogs on a simulated disk, producers
 * and readers that use them, crashes and disk errors, and a model that knows what must be there.
 *
 * A run is a program: a list of steps drawn from the seed, each with random numbers of its own.
 * Leaving steps out does not change the random choices of the others, so that a failing program
 * can be shrunk. Nothing else decides anything: no clock, no thread, no address.
 * Owner: one thread; one world at a time. Memory: malloc, all given back by world_down.
 * Failure: what must not be is reported through sim_fail, which ends the process.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "core/wheel.h"
#include "core/worker.h"
#include "storage/cache/cache.h"
#include "storage/cache/region.h"
#include "storage/io/sim.h"
#include "storage/plant.h"
#include "storage/plog/plog.h"
#include "storage/plog/restore.h"
#include "storage/plog/space.h"

#define sim_dir           "/data"
#define sim_shards_max    3
#define sim_topics_max    2
#define sim_parts_max     2 /* of a topic */
#define sim_flows_max     3 /* producers of a partition */
#define sim_open_max      5 /* batches of a producer that are not answered (max.in.flight) */
#define sim_log_max       2048
#define sim_reads_max     16
#define sim_cursors_max   2 /* sequential readers of a partition */
#define sim_appends_max   64
#define sim_chunks_max    32
#define sim_settle_max    20000 /* rounds until nothing moves */
#define sim_start_tries   40    /* starts that may die before one must succeed */
#define sim_start_ops_max 50000 /* disk operations of one start */

/* Swarm: what a run has is drawn per seed, so that runs differ in kind and not in detail only. */
struct sim_options {
    uint64_t seed;
    uint32_t steps;
    enum plog_durability durability;
    bool faults, power, space; /* disk errors, power cuts, a full disk */
    bool write_faults;         /* the errors are of asynchronous writes */
    bool buffered;             /* the file system has no O_DIRECT */
    bool named;                /* log memory that survives the process; the store is the ack */
    uint32_t journal_blocks;   /* of a shard's journal; 0: none */
    uint32_t topics, parts, chunks, read_chunks;
    int64_t segment_bytes, index_interval_bytes, retention_ms, retention_bytes;
    int64_t flush_messages, segment_ms;
    uint32_t large_one_in; /* so many batches is larger than a chunk */
    bool catch_up;         /* mostly sequential readers of old data */
    bool alters;           /* topics' configurations change while they are used */
    bool verbose;
};

/* ---- batches and producers ---- */

struct sim_batch {
    uint8_t *bytes; /* as the log must hold them once it has an offset */
    uint32_t size, records;
    uint64_t serial; /* unique in the run, in the key of its first record */
    int64_t base;    /* -1: not in the log */
    bool acked;
    bool found; /* by the walk over what a lossy crash left */
    int32_t refs;
};

/* An idempotent producer at one partition; without an id: one that does not retry. */
struct sim_flow {
    int64_t id;
    int32_t sequence;                     /* of the next new batch */
    struct sim_batch *open[sim_open_max]; /* not answered, in order */
    struct sim_batch *newest;             /* in the log, NULL: none */
    uint32_t open_count, sent; /* the first `sent` of them were sent since the last start */
};

struct sim_part {
    struct plog *plog; /* NULL: not open */
    uint32_t shard;
    struct sim_batch *log[sim_log_max]; /* accepted, in order */
    uint32_t count;
    int64_t end;      /* offset of the next batch */
    int64_t acked;    /* offsets below were acked */
    int64_t seen;     /* offsets below were shown to readers */
    int64_t flushed;  /* offsets below were on the medium when the last crash came (os) */
    int64_t deleted;  /* log start that DeleteRecords made and a checkpoint has */
    int64_t start_at; /* the largest log start seen */
    int64_t asked;    /* the largest that DeleteRecords asked for */
    struct sim_flow flows[sim_flows_max];
    int64_t cursors[sim_cursors_max]; /* where each goes on; -1: it reads now */
    struct plog_waiter waiter;
    int64_t waits_for; /* the high watermark when it was armed */
};

enum sim_topic_state { TOPIC_ABSENT, TOPIC_LIVE, TOPIC_REMOVING };

struct sim_topic {
    enum sim_topic_state state;
    struct plog_config config;
    bool altered;        /* the configuration, since it was created */
    uint32_t batch_most; /* bytes of its largest batch */
    struct uuid id;
    uint32_t incarnation;
    int32_t leader_epoch;
    struct sim_part parts[sim_parts_max];
};

/* ---- requests under way ---- */

struct sim_append {
    struct plog_append append; /* first */
    struct world *world;
    struct sim_part *part;
    struct sim_flow *flow;
    struct sim_batch *batch; /* NULL: free */
    bool sent, done;
    bool repeat; /* the log has the batch already */
};

struct sim_read {
    struct plog_read read; /* first */
    struct world *world;
    struct sim_part *part; /* NULL: free */
    bool done;
    bool due;         /* it must get something, unless it waited for memory in vain */
    int64_t begin_ns; /* when it came */
    int64_t *cursor;  /* of the sequential reader, NULL: none */
    uint8_t *copy;    /* of the answer, compared when it is given back */
    uint64_t bytes;
};

struct sim_shard {
    struct agent agent;
    struct wheel wheel;
    struct cache *cache;
    struct plog_env env;
    struct mem mem;
};

struct world {
    struct sim_options o;
    struct rng rng;
    struct io_sim disk;
    struct clock_manual clock;
    int64_t now_ns, wall_ms;
    struct worker worker;
    struct sim_shard shards[sim_shards_max];
    uint32_t shard_count;
    struct region regions[sim_shards_max];
    uint32_t region_count;
    bool tracing;
    bool up, clean;        /* clean: the last stop was, as far as the model knows */
    bool broken;           /* a plog failed: nothing more works until the next start */
    enum plog_space level; /* what the shards were told of the disk's room */
    bool gaps;             /* a lossy crash was: offsets may be missing */
    bool lossy; /* a power cut came over unflushed acks (os): the promise is void this once */
    uint64_t taken_back; /* by the disk, as known */
    struct sim_topic topics[sim_topics_max];
    struct sim_append appends[sim_appends_max];
    struct sim_read reads[sim_reads_max];
    uint64_t serials;
    int64_t producer_ids;
    uint32_t step;                                                 /* index of the step under way */
    uint64_t acks, fetched, starts, deaths, cuts, repeats, errors; /* what the run did */
    uint64_t frames;                                               /* of journals, replayed */
    uint64_t disk_reads, ahead, hits, gaps_read; /* of reads: requests, bytes read ahead, answers
                                                    from those, answers without memory */
};

/* ---- plants.c: bugs on purpose ---- */
struct sim_plant {
    enum plant plant;
    const char *name;
    enum plog_durability durability;
    bool faults, power, named, buffered, retention; /* what a run needs for it to matter */
    bool journal, write_faults;
    bool catch_up; /* many sequential readers, little log memory */
    uint32_t
        from; /* seeds left out at first: a rare one that was found there takes no minute again */
};
extern const struct sim_plant sim_plants[];
extern const uint32_t sim_plant_count;
const char *plant_text(enum plant plant); /* what is wrong then */
void plant_set(enum plant plant, struct world *w);

/* ---- world.c: the broker's life ---- */
void world_up(struct world *w, const struct sim_options *o);
void world_down(struct world *w);
/* Reads checkpoints and marks, opens every partition, compares with the model; until one stands. */
void world_start(struct world *w);
/* What a start does with records that are kept elsewhere and have no place; ctx: the world. */
enum restore_missing world_missing(void *ctx, const struct uuid *topic_id, int32_t partition);
/* A clean stop, if the disk lets it be one; then every file is looked at. */
void world_stop(struct world *w);
/* The process dies, or the power (unless the disk did so by itself). */
void world_crash(struct world *w, enum sim_crash how);
/* Lets one part of the machine, drawn at random, do something; true if it did. */
bool world_move(struct world *w);
void world_settle(struct world *w);
/* Lets the logs of every shard begin what they can; nothing of the disk ends. */
void world_push(struct world *w);
/* Timers, messages and one job of the worker; nothing of the disk ends. */
void world_tick(struct world *w);
void world_sleep(struct world *w, int64_t ms);
/* False: the files are not all as they should be. */
bool world_checkpoint(struct world *w);
/* Every partition of the topic goes by t->config from now on. */
void topic_configure(struct world *w, struct sim_topic *t);
void topic_create(struct world *w, struct sim_topic *t);
void topic_delete(struct world *w, struct sim_topic *t);

/* ---- tails.c: named log memory ---- */
int tails_begin(struct world *w);
void tails_end(struct world *w, bool clean);

/* ---- journals.c ---- */
/* Where a shard's log dir has a journal, and which. */
bool journals_dir_id(struct plog_env *env, const char *log_dir, struct uuid *out);
int journals_begin(struct world *w);

/* ---- files.c ---- */
void files_check(struct world *w, const char *topic, uint32_t partition, const struct sim_part *p);

/* ---- traffic.c: producers and readers ---- */
/* The next new batch of the flow, or the oldest one that must be sent again. */
void traffic_produce(struct world *w, struct sim_part *p, struct sim_flow *f);
/* Sends a batch of the flow that was sent before once more. */
void traffic_repeat(struct world *w, struct sim_part *p, struct sim_flow *f);
void traffic_fetch(struct world *w, struct sim_part *p, bool oldest);
/* A sequential reader goes on, some answers long. */
void traffic_follow(struct world *w, struct sim_part *p);
/* Compares a held answer (or all) with its copy once more and gives it back. */
void traffic_release(struct world *w, bool all);
void traffic_wait(struct world *w, struct sim_part *p);
void traffic_delete_records(struct world *w, struct sim_part *p);
/* Everything has its answer by now; what is sent after the next start is sent again. */
void traffic_forget(struct world *w);
void traffic_forget_part(struct world *w, struct sim_part *p);

/* ---- model.c: what must be there ---- */
struct sim_batch *batch_new(struct world *w, struct sim_topic *t, const struct sim_flow *f,
                            int64_t timestamp_ms);
void batch_release(struct sim_batch *b);
void model_accept(struct world *w, struct sim_part *p, struct sim_batch *b, int32_t epoch);
/* The marks of an open partition are plausible now. */
void model_marks(struct world *w, struct sim_part *p);
/* Just opened: nothing is gone at its front that nobody asked to delete. */
void model_front(struct world *w, const struct sim_part *p);
/* After a start: what the log holds now, read whole, against what was promised. */
void model_recovered(struct world *w, struct sim_part *p);
/* Reads the whole log and compares. */
void model_read_all(struct world *w, struct sim_part *p);
/* n bytes from the batch that holds offset on; none of a batch at or behind end. */
void model_bytes(struct world *w, struct sim_part *p, int64_t offset, const uint8_t *bytes,
                 uint64_t n, int64_t end);
void model_clear(struct sim_part *p);

/* ---- program.c: steps ---- */
struct sim_step {
    uint32_t kind;
    uint64_t seed;
};
void options_draw(struct sim_options *o, uint64_t seed, enum plog_durability durability,
                  uint32_t steps);
void options_print(const struct sim_options *o);
void program_draw(const struct sim_options *o, struct sim_step *out);
const char *step_name(const struct sim_step *s);
/* Runs n steps (those with skip[i] left out), then heals everything and checks the whole. */
void program_run(struct world *w, const struct sim_step *steps, const bool *skip, uint32_t n);

/* Reports what must not be and ends the process: each run is a child of its own. */
_Noreturn void sim_fail(struct world *w, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define MUST(w, cond, ...)                                                                         \
    do {                                                                                           \
        if (!(cond))                                                                               \
            sim_fail(w, __FILE__, __LINE__, __VA_ARGS__);                                          \
    } while (0)
void sim_trace(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

/*
 * rig: one shard's storage on a simulated (or real) disk, and record batches to feed it.
 *
 * The rig owns clock, wheel, cache, worker and environment; rig_settle runs them until nothing
 * moves. Every random choice comes from the seed that rig_up was given.
 */
#ifndef TESTS_UNIT_STORAGE_PLOG_RIG_H
#define TESTS_UNIT_STORAGE_PLOG_RIG_H

#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "core/worker.h"
#include "storage/cache/cache.h"
#include "storage/io/fail.h"
#include "storage/io/sim.h"
#include "storage/plog/batch.h"
#include "storage/plog/journal_replay.h"
#include "storage/plog/plog.h"
#include "storage/plog/tail.h"
#include "tests/unit/core/with_eal.h"

#define rig_dir         "/data"
#define rig_wall_ms     1700000000000LL
#define rig_read_chunks 64 /* of read memory */

struct rig {
    struct io_sim sim;
    struct mem mem;
    struct agent agent;
    struct worker worker;
    struct wheel wheel;
    struct clock_manual clock;
    struct cache *cache;
    struct plog_env env;
    struct rng rng;
    int64_t now_ns, wall_ms;
    bool rewrite; /* of the logs that are opened next */
    uint32_t disk_errors;
    int last_disk_error;
    struct rte_mempool *pool; /* of the mbufs that carry batches */
    struct plog_config config;
    const char *log_dir;
    struct fs *fs;
    bool failing; /* the failing disk is in front of the simulated one */
    struct io_fail fail;
    bool real;                  /* on the machine's file system, through io_uring */
    bool named;                 /* the log memory has a name */
    struct region region;       /* while it has */
    struct restore_report tail; /* of the last start */
    struct ring ring;
    struct io_uring_backend uring;
};

/* log_chunks of 64 KiB; durable as told. */
void rig_up(struct rig *r, uint64_t seed, uint32_t log_chunks, enum plog_durability durability);
/* The same with so many chunks of read memory. */
void rig_up_reads(struct rig *r, uint64_t seed, uint32_t log_chunks, uint32_t read_chunks,
                  enum plog_durability durability);
void rig_down(struct rig *r);

/* From now on in this directory of the machine's file system; false where io_uring is forbidden. */
bool rig_use_real(struct rig *r, const char *dir);

/*
 * From now on, over crashes, everything goes through r->fail; before anything is open. One in three
 * requests is late. With SLUICE_RIG_FAIL in the environment each rig comes up so.
 */
void rig_use_fail(struct rig *r);

/*
 * From now on the log memory has a name; before anything is open. Each shard that comes after a
 * crash puts what was left into the files first, and may die while it does.
 */
void rig_use_named(struct rig *r);

/*
 * The process dies (now, unless the disk did so by itself): takes p (may be NULL) and the shard
 * down without an effect on the disk, and makes a new shard on what is left.
 */
void rig_crash(struct rig *r, struct plog *p, enum sim_crash crash);

/* ---- several partitions with a journal ---- */

#define rig_parts 3

/* The directory.id that journals are made with. */
struct uuid rig_dir_id(void);
/* From now on, over crashes, there is a journal of so many bytes. */
void rig_use_journals(struct rig *r, uint64_t bytes);
/* Opens and attaches partition 0 of a topic of its own, one for each i. On error *p is NULL. */
int rig_open_part(struct rig *r, uint32_t i, struct plog **p);
/* rig_crash for rig_parts of them. */
void rig_crash_parts(struct rig *r, struct plog *const *parts, enum sim_crash crash);
/* What a start would replay; dirs is r's own. */
struct journal_replay_options rig_replay_options(struct rig *r);
int rig_replay_journals(struct rig *r, struct journal_replay_report *report);

/* One round of everything; true if something happened. */
bool rig_step(struct rig *r);
void rig_settle(struct rig *r);
/* Everything that was asked of the disk ends, and nothing else happens. */
void rig_disk(struct rig *r);
void rig_sleep(struct rig *r, int64_t ms);

struct plog_config rig_config(void);

/* Opens and attaches "topic"-0; NULL on error with *err set (err may be NULL). */
struct plog *rig_open(struct rig *r, bool clean, int *err);
int rig_try_open(struct rig *r, const char *topic, bool clean, int64_t recovery_point,
                 int64_t log_start, struct plog **out);
void rig_detach(struct rig *r, struct plog *p);
/* Detaches and closes. */
int rig_close(struct rig *r, struct plog *p);

/* ---- batches ---- */

struct rig_record {
    int64_t timestamp_delta;
    const char *key, *value; /* NULL: null */
    uint32_t value_bytes;    /* value repeated to that length; 0: as it is */
    int32_t headers;
};

struct rig_batch {
    uint8_t *bytes;
    uint32_t size;
};

struct rig_batch_spec {
    enum batch_codec codec;
    int16_t attributes; /* besides the codec */
    int64_t base_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    bool snappy_raw; /* instead of xerial frames */
};

struct rig_batch_spec rig_spec(void);

/* A right batch of these records; free with rig_batch_free. */
struct rig_batch rig_batch_make(const struct rig_batch_spec *spec, const struct rig_record *records,
                                uint32_t n);
/* n records with values of about value_bytes random bytes. */
struct rig_batch rig_batch_random(struct rig *r, const struct rig_batch_spec *spec, uint32_t n,
                                  uint32_t value_bytes);
void rig_batch_free(struct rig_batch *b);
/* Makes length and checksum right again after a field was changed. */
void rig_batch_seal(struct rig_batch *b);

/* The bytes as a chain cut at random places; free with chain_free. */
void rig_chain(struct rig *r, const void *bytes, uint32_t n, struct chain *out);

/* An append under way; its chain is gone after rig_append returned. */
struct rig_op {
    struct plog_append append;
    bool done;
};
int rig_append_start(struct rig *r, struct plog *p, const struct rig_batch *b, struct rig_op *op);
/* Appends, settles, and returns the answer's error. */
int16_t rig_append(struct rig *r, struct plog *p, const struct rig_batch *b, struct rig_op *op);

struct rig_read {
    struct plog_read read;
    bool done;
    uint8_t *bytes;
    uint32_t size;
};
/* Reads, settles, copies the answer; free bytes with rig_read_free. */
int16_t rig_read(struct rig *r, struct plog *p, int64_t offset, uint32_t max, bool min_one,
                 struct rig_read *out);
void rig_read_free(struct rig_read *read);

/* All chunks are free or held by plogs as cached bytes, none is lent. */
bool rig_nothing_lent(const struct rig *r);

#endif

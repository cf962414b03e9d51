/*
 * fail: a disk that fails when told to, in front of any other.
 *
 * Purpose: both tables of the disk seam, handed on to another backend (real or simulated). A rule
 * lets the nth call of an op fail: with an error before anything happens, after a part of the bytes,
 * or late; what is late comes back in an order drawn from a seed, and any request may be told to be.
 * A flush that fails was not done: what it covered is suspect.
 * Owner: one thread drives the io; the fs may be used by a worker that runs in the same thread
 * (tests). Memory: fixed; io_fail_requests_max requests at once. Failure: as told; more requests at
 * once than that are a CHECK.
 */
#ifndef STORAGE_IO_FAIL_H
#define STORAGE_IO_FAIL_H

#include "base/rng.h"
#include "storage/io/io.h"

#define io_fail_requests_max 256
#define io_fail_rules_max    32

enum fail_op {
    FAIL_OPEN,
    FAIL_STAT, /* also size */
    FAIL_PREAD,
    FAIL_PWRITE,
    FAIL_TRUNCATE, /* also settle */
    FAIL_ALLOCATE,
    FAIL_SYNC, /* also drop_cache */
    FAIL_SYNC_DIR,
    FAIL_RENAME,
    FAIL_UNLINK, /* also rmdir, remove_named */
    FAIL_MKDIR,
    FAIL_LIST,
    FAIL_SPACE,
    FAIL_LOCK,
    FAIL_MAP_NAMED,
    FAIL_READ, /* the asynchronous ones */
    FAIL_WRITE,
    FAIL_FLUSH,
    FAIL_OP_COUNT
};

enum fail_how {
    FAIL_ERROR, /* nothing happens */
    /*
     * A front part of a write or read happens, then the error. Of a read with err 0: success, fewer
     * bytes than the file has, as if somebody had cut it meanwhile.
     */
    FAIL_PART,
    FAIL_LATE, /* asynchronous ones: it is done, but not told before io_fail_run; err 0 is success */
};

struct fail_rule {
    enum fail_op op;
    enum fail_how how;
    uint64_t at; /* fails when calls[op] reaches this */
    int err;
};

struct fail_request {
    struct io_req inner;
    struct io_fail *fail;
    struct io_req *outer; /* NULL: free */
    int64_t result;
    int err;          /* instead of the result */
    bool late, ended; /* ended: waits for io_fail_run */
    struct iovec iov; /* of a part */
};

struct io_fail {
    struct fs fs;
    struct io io;
    struct fs *under_fs;
    struct io *under_io;
    struct rng rng;
    uint64_t calls[FAIL_OP_COUNT];
    struct fail_rule rules[io_fail_rules_max];
    uint32_t rule_count, lag_one_in;
    struct fail_request requests[io_fail_requests_max];
    uint32_t in_flight;
};

void io_fail_init(struct io_fail *f, struct fs *fs, struct io *io, uint64_t seed);

/*
 * The nth call of op from now on (1: the next) fails so; err is negative, or 0 with FAIL_LATE and with
 * FAIL_PART of a read. FAIL_PART is for writes and reads, FAIL_LATE for asynchronous ones.
 */
void io_fail_add(struct io_fail *f, enum fail_op op, uint64_t nth, enum fail_how how, int err);

/* From now on one in so many asynchronous requests is late, at random; 0: none. */
void io_fail_lag(struct io_fail *f, uint32_t one_in);

/* Tells what has ended and was not told yet, in a random order; returns how many. */
uint32_t io_fail_run(struct io_fail *f);

#endif

/*
 * sim: a disk in memory, deterministic, that fails and forgets on demand.
 *
 * Purpose: both tables of the disk seam over files in memory, so that the log is tested without a
 * disk. Asynchronous requests wait until io_sim_step completes one, in an order drawn from a seed.
 * Each file keeps two images: what the operating system holds and what the medium holds. A crash is
 * either the death of the process (the operating system's image stays; requests under way happen
 * wholly, partly or not at all, and direct writes among them at any time later, until the file is
 * settled) or a power cut. Of what was not flushed then any subset of sectors
 * stays and any size between the old one and the new; of what happened to the names in a directory
 * since that directory was synced a front part; and named memory is gone. After a failed flush some
 * of the sectors that it covered are on the medium, some wait for the next flush, and some look
 * written to readers but are never flushed again (of a file opened direct: are back at what they
 * were). What is stored into named memory after the crash, while the dead process is taken down, is
 * not kept.
 * Owner: one thread. Memory: malloc; io_sim_free gives it all back.
 * Failure: as injected, and ERR_NO_SPACE over the limit of bytes.
 */
#ifndef STORAGE_IO_SIM_H
#define STORAGE_IO_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "storage/io/io.h"

#define sim_sector_bytes 512 /* what the device writes whole or not at all; O_DIRECT's unit */
#define sim_faults_max   16

enum sim_op {
    SIM_OPEN,
    SIM_PREAD,
    SIM_PWRITE,
    SIM_TRUNCATE,
    SIM_SYNC,
    SIM_SYNC_DIR,
    SIM_RENAME,
    SIM_UNLINK,
    SIM_MKDIR,
    SIM_LIST,
    SIM_ALLOCATE,
    SIM_MAP_NAMED, /* blocking ones */
    SIM_READ,
    SIM_WRITE,
    SIM_FLUSH, /* asynchronous ones */
    SIM_OP_COUNT
};

struct sim_fault {
    enum sim_op op;
    uint64_t at; /* fails when ops[op] reaches this count */
    int err;
};

enum sim_crash { SIM_PROCESS_DEATH, SIM_POWER_CUT };

struct sim_inode;
struct sim_late;
struct sim_named;

struct io_sim {
    struct fs fs;
    struct io io;
    struct rng rng;
    struct sim_inode *inodes, *root;
    struct io_req *queue, *queue_tail;
    struct io_req *current; /* being completed */
    struct io_file *handles;
    struct sim_late *late;   /* writes of a process that died, which come later */
    struct sim_named *named; /* survives the process, not a power cut */
    uint32_t open_files;
    uint32_t in_flight;
    uint64_t bytes, bytes_limit; /* of all files; limit 0: none */
    int64_t wall_ms;             /* modification times */
    uint64_t ops[SIM_OP_COUNT];  /* how often each was called */
    struct sim_fault faults[sim_faults_max];
    uint32_t fault_count;
    bool dead;           /* crashed: nothing works any more, nothing changes */
    uint64_t calls;      /* of all ops */
    bool no_direct;      /* files cannot be opened past the operating system's cache */
    uint64_t taken_back; /* sectors that a failed flush took back to what they were */
    uint64_t die_at;     /* crash when calls reaches this; 0: never */
    enum sim_crash die_how;
};

void io_sim_init(struct io_sim *s, uint64_t seed);
void io_sim_free(struct io_sim *s);

/*
 * The nth call of op from now on (1: the next) fails with err, a write after a random part of its
 * bytes.
 */
void io_sim_fail(struct io_sim *s, enum sim_op op, uint64_t nth, int err);

/* Completes one waiting request, chosen by the seed; false if there is none. */
bool io_sim_step(struct io_sim *s);

/*
 * Decides what the crash leaves and lets every op fail with ERR_CANCELLED from then on; requests
 * that wait are answered with it. What used the disk can so be taken down in order, without an
 * effect.
 */
void io_sim_crash(struct io_sim *s, enum sim_crash crash);

/* Counts like an op: for places in the code under test where it is to die, too. */
void io_sim_point(struct io_sim *s);

/* Crashes at the nth op from now on, in the middle of whatever that is part of. */
void io_sim_crash_at(struct io_sim *s, uint64_t nth, enum sim_crash crash);

/* The disk is back, with what the crash left; no file is open and no request waits. */
void io_sim_revive(struct io_sim *s);

#endif

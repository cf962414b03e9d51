/* shard: what the plogs of a shard share: reads and writes under way, and their limits. For this
 * folder and its tests. */
#ifndef STORAGE_PLOG_SHARD_H
#define STORAGE_PLOG_SHARD_H

#include "base/log.h"
#include "core/wheel.h"
#include "storage/cache/cache.h"
#include "storage/io/io.h"
#include "storage/plog/plog.h"
#include "storage/plog/space.h"
#include "storage/plog/stream.h"
#include "storage/plog/validate.h"

#define plog_write_chunks_max  16          /* of one write: 1 MiB */
#define plog_writes_max        4           /* of one plog under way */
#define plog_shard_writes_max  128         /* of a shard under way; more wait */
#define plog_lazy_write_bytes  (256 * KIB) /* store is the ack: a write is worth while */
#define plog_lazy_write_ms     100         /* and so long do other bytes wait for one */
#define plog_rolls_pending_max 8   /* segments whose file is still being made; then ERR_FULL */
#define plog_segments_open_max 256 /* sealed segments of a shard with files and indexes open */
#define plog_shard_reads_max   8   /* requests to the disk for reads, of a shard, under way */
/*
 * While the shard writes it has fewer. Chosen by arithmetic, not measured: at the 4 GB/s of the disks
 * this was written on 256 KiB take 65 us, so 4 of them put a quarter of a millisecond before a
 * durable write of 30-40 us, where 8 put half of one; fewer than 4 would leave the device idle between
 * a completion and the next request. 5 ms is more than a busy producer's pause between two commits
 * (under 1 ms), and little to a reader after the last one.
 */
#define plog_busy_reads_max       4
#define plog_busy_ms              5
#define plog_streams_max          128       /* readers of old data that a shard knows */
#define plog_read_chunks_min      16        /* of read memory */
#define plog_read_batch_bytes_max (4 * MIB) /* a larger batch is read into log memory; also one */
#define plog_read_batch_share     4         /* that is larger than this part of the read memory */
#define plog_read_share           8 /* of the read memory: what a read takes at first, at most */
#define plog_held_share           2 /* a reader may hold this part of what no reader holds */
#define plog_ahead_bytes_min                                                                       \
    (256 * KIB) /* read ahead of a sequential reader: from this, doubling */
#define plog_ahead_bytes_max   (4 * MIB) /* up to this */
#define plog_read_wait_ms      500 /* a read waits so long for memory, then its answer is empty */
#define plog_journal_bytes_min (8 * KIB)   /* of one log and flush: more go to the segment */
#define plog_journal_bytes     (32 * KIB)  /* on a device that was not measured */
#define plog_journal_bytes_max (128 * KIB) /* whatever was measured */
#define plog_journal_drain_ms  2000        /* the journal has bytes so long until a write is due */

/* A read that needs the disk or must wait; taken from the shard's pool. */
struct read_op {
    struct plog *plog;
    struct plog_read *read;
    struct segment *segment; /* pinned */
    struct stream *stream;   /* NULL: before the segment is open, or while it is changed */
    uint32_t position;       /* next byte to look at (searching) or to hand out (found) */
    uint32_t reach;          /* goes on when the stream has the bytes up to here */
    uint32_t limit;          /* position that may not be passed */
    bool indexed;            /* position is an index entry's, and was not looked at */
    bool followed;           /* position is where the stream's last answer ended; likewise */
    bool found;              /* position is in the answer's range */
    bool large;              /* its batch is read into log memory, piece by piece */
    bool fetching;           /* waits for the stream */
    bool waiting;            /* for memory, mbufs, or its turn with a large batch */
    uint32_t batch_end;      /* end of the answer's first batch */
    uint32_t end;            /* where the answer ends at the latest */
    uint32_t restarts;       /* of the stream, without a step forward */
    struct holder *holder;   /* its reader has so many chunks counted for this read */
    uint32_t holder_chunks;
    struct cache_waiter waiter; /* for chunks of wait_cache, or mbufs */
    struct cache *wait_cache;
    struct wheel_timer timer; /* the wait ends with an empty answer */
    struct read_op *next;
};

/*
 * A write: bytes [from, to) of a segment. Its first block may begin before `from`, its last one is
 * filled up with zeros in memory of its own, so that the device never reads what is being appended.
 */
struct write_op {
    struct io_req req;
    struct plog *plog;
    struct segment *segment;
    uint32_t from, to;
    bool done;
    struct iovec iov[plog_write_chunks_max + 1];
    uint8_t *block; /* write_block_bytes */
    struct write_op *next;
};

/* What the disk of a log dir has left, as the shard was told. */
struct dir_space {
    char *log_dir;
    enum plog_space level;
    struct dir_space *next;
};

/* What the plogs of a shard share. */
struct plog_shard {
    struct unzip *unzip;
    struct validate_result result;
    struct read_op *ops, *ops_free;
    struct streams streams;
    struct read_op *large; /* who reads a large batch */
    struct log_limit large_told, want_told;
    struct read_op *large_waiting, **large_tail;
    int64_t wrote_ns; /* when the last write ended, or commit began */
    uint32_t writes_under_way;
    struct plog_read *waiting, *waiting_tail; /* for a read_op */
    bool serving;                             /* they are being served */
    struct segment *open, **open_tail;        /* sealed and open, longest unused first */
    uint32_t open_count;
    struct write_op *writes, *writes_free;
    uint8_t *write_blocks;
    struct plog *starved;           /* dirty, but there was no write_op; linked by dirty_next */
    struct plog *lazy, **lazy_tail; /* oldest first */
    struct wheel_timer lazy_timer;
    struct group *groups;     /* one for each log dir */
    struct dir_space *spaces; /* also */
    bool pressed;             /* an append found no log memory: write everything */
};

#endif

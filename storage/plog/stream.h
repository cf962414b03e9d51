/*
 * stream: bytes of a segment on their way from the disk to one reader, and ahead of it.
 *
 * Purpose: whoever reads old data has a stream: where it goes on, and buffers with what was read for
 * it. A reader that goes on where its last answer ended is sequential, and is read ahead of, twice as
 * far each time. Requests of all streams share a bounded number of places at the disk, one request
 * (a block) each in turn; what a read waits for comes before what is read ahead.
 * Owner: the shard. For this folder and its tests.
 * Memory: chunks of the shard's read memory (mem.read_base), never of the tail cache; a batch that is
 * too large for it is read into log memory, one at a time on a shard. Answers lend the chunks.
 * Invariants: a chunk is not released while the device may still write to it: a block under way that
 * nobody wants any more keeps its chunks until it ends. Only bytes that were written to the file when
 * the block was asked for count (`stop`): what is behind them may be anything.
 * Failure: an error of a block stays in its stream (err) until a read needs the bytes; of what was
 * read ahead it is forgotten.
 */
#ifndef STORAGE_PLOG_STREAM_H
#define STORAGE_PLOG_STREAM_H

#include "storage/cache/cache.h"
#include "storage/io/io.h"
#include "storage/plog/plog.h"

#define stream_block_chunks_max 4  /* of one request: 256 KiB */
#define stream_chunks_max       96 /* of one stream: a batch of plog_read_batch_bytes_max, or */
                                   /* one read with plog_ahead_bytes_max before it */

struct stream;

/* One request: bytes [from, valid) of a segment. */
struct stream_block {
    struct io_req req;
    struct iovec iov[stream_block_chunks_max];
    struct chunk *chunks[stream_block_chunks_max];
    uint32_t chunk_count;
    struct stream *stream; /* NULL: nobody wants it any more */
    struct plog *plog;
    struct segment *segment; /* pinned */
    struct cache *cache;
    uint32_t from, valid; /* positions */
    int err;
    bool done;
    struct stream_block *next; /* of the stream, in order; of the free ones */
};

struct stream {
    struct plog *plog; /* NULL: of nobody */
    struct segment *segment;
    struct cache *cache;    /* whose chunks */
    struct read_op *op;     /* the read that it serves now; NULL: none */
    int64_t next_offset;    /* what its reader asks for next, if it goes on; -1: not known */
    uint32_t next_position; /* and where that is */
    uint32_t ahead;         /* so many bytes are read ahead; 0: a first read, or a random one */
    uint32_t base;          /* position of chunks[0]'s first byte; whole blocks of the disk */
    uint32_t have;          /* bytes [base, have) are here */
    uint32_t issued;        /* [have, issued) is under way */
    uint32_t stop;          /* [issued, stop) waits for its turn */
    uint32_t wanted;        /* behind it everything is read ahead */
    int err;                /* of the block behind `have` */
    struct chunk *chunks[stream_chunks_max];
    uint32_t chunk_count;
    struct stream_block *blocks, **blocks_tail; /* from `have` on, in order */
    bool queued;                                /* for a place at the disk */
    struct stream *queue_next;
    struct stream *next, **prev; /* of the shard's streams, longest unused first */
};

struct stream_queue {
    struct stream *head, **tail;
};

/* What the streams of a shard share. */
struct streams {
    struct stream *all;
    struct stream *lru, **lru_tail;
    struct cache *memory; /* mem.read_base */
    struct stream_queue demand, ahead;
    struct stream_block *blocks, *blocks_free;
    uint32_t under_way, most; /* requests at the disk; as now allowed */
};

int streams_init(struct streams *all, struct plog_env *env);
void streams_fini(struct streams *all);

/*
 * The stream whose reader goes on at this offset of the plog, read ahead of twice as far as before;
 * or another one with nothing in it. It serves op from now on.
 */
struct stream *stream_take(struct plog *p, int64_t offset, struct read_op *op);
/* op has its answer: the stream waits for its reader. Nothing of a plog that is not served stays. */
void stream_give(struct stream *st);

/* Begins anew in the segment at `position`, with chunks of `cache`, unless that is within it. */
void stream_seek(struct stream *st, struct segment *s, uint32_t position, struct cache *cache);
/* The same, also if it is within it. */
void stream_restart(struct stream *st, struct segment *s, uint32_t position, struct cache *cache);
/*
 * Asks for the bytes up to `to`, or as far as the file has them and the tail cache has not: st->stop
 * says how far. ERR_FULL: there are not so many chunks now; *chunks is how many are wanted.
 */
int stream_want(struct stream *st, uint32_t to, uint32_t *chunks);
/* The reader has all before `position`. */
void stream_consume(struct stream *st, uint32_t position);
/*
 * Asks for what is to be read ahead, as far as memory allows; also in the segment that goes on where
 * this one ends (NULL: there is none), for a stream that waits there for the same reader.
 */
void stream_read_ahead(struct stream *st, struct segment *next);

/* Nothing is kept of the segment (it is deleted), or of the plog, but for reads under way. */
void streams_forget(struct plog *p, const struct segment *s);

/* Begins what may begin, in turn. */
void streams_issue(struct plog_env *env);

#endif

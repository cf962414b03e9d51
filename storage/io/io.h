/*
 * io: the disk seam. Everything storage does to a disk goes through these two tables.
 *
 * Purpose: `struct fs` is the blocking side (create, open, rename, truncate, list, sync a
 * directory...), called on worker threads or at start, never on a shard; `struct io` is a shard's
 * asynchronous side (read, write, flush on open files), one io_uring per shard in the real backend.
 * Any backend (real, failing, simulated) fits the same tables, and files opened by its fs work with
 * its io.
 * Owner: fs is shared by all threads (its ops are thread-safe); an io belongs to one shard.
 * Memory: a struct io_req is embedded in its owner and, with its iovec and buffers, stays valid
 * until done.
 * Failure: blocking ops return negative enum err; asynchronous ones hand it to done. A short write
 * never shows as success: result is the full byte count or an error. A short read happens only at
 * the end of a file. After a failed flush nothing that it covered may be assumed written.
 */
#ifndef STORAGE_IO_IO_H
#define STORAGE_IO_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/ring.h"

struct io_file; /* backend's; the real one holds a file descriptor */

#define io_path_bytes_max 4096

enum io_open_flags {
    IO_OPEN_READ = 1,
    IO_OPEN_WRITE = 2,
    IO_OPEN_CREATE = 4,
    IO_OPEN_EXCLUSIVE = 8, /* with CREATE: ERR_EXISTS if it is there */
    IO_OPEN_TRUNCATE = 16,
    IO_OPEN_DIRECT =
        32, /* O_DIRECT: offsets, lengths and addresses are multiples of the device's block */
};

struct fs_stat {
    int64_t size;     /* bytes */
    int64_t mtime_ms; /* wall time */
    bool is_dir;
};

/* name is valid during the call; return nonzero to stop. */
typedef int fs_list_fn(void *ctx, const char *name, bool is_dir);

struct fs {
    const struct fs_ops *ops;
};

struct fs_ops {
    int (*open)(struct fs *fs, const char *path, uint32_t flags, struct io_file **out);
    void (*close)(struct fs *fs, struct io_file *file);
    int (*stat)(struct fs *fs, const char *path, struct fs_stat *out);
    int (*size)(struct fs *fs, struct io_file *file, int64_t *out);
    int64_t (*pread)(struct fs *fs, struct io_file *file, void *buf, size_t n,
                     int64_t off); /* bytes, short at the end */
    int (*pwrite)(struct fs *fs, struct io_file *file, const void *buf, size_t n,
                  int64_t off); /* all or error */
    int (*truncate)(struct fs *fs, struct io_file *file, int64_t size);
    int (*allocate)(struct fs *fs, struct io_file *file,
                    int64_t size);                    /* blocks and size; ERR_NO_SPACE */
    int (*sync)(struct fs *fs, struct io_file *file); /* data and metadata of the file */
    int (*sync_dir)(struct fs *fs, const char *path);
    int (*rename)(struct fs *fs, const char *from, const char *to);
    int (*unlink)(struct fs *fs, const char *path);
    int (*mkdir)(struct fs *fs, const char *path); /* ERR_EXISTS */
    int (*rmdir)(struct fs *fs, const char *path);
    int (*list)(struct fs *fs, const char *path, fs_list_fn *fn, void *ctx); /* without . and .. */
    int (*space)(struct fs *fs, const char *path, uint64_t *total, uint64_t *available); /* bytes */
    int (*lock)(struct fs *fs, const char *path,
                struct io_file **out); /* fcntl write lock; ERR_BUSY */
};

/* The real file system. One object, no state. */
struct fs *fs_real(void);

enum io_op { IO_READ, IO_WRITE, IO_FLUSH };

struct io;

struct io_req {
    enum io_op op;
    bool durable; /* IO_WRITE: RWF_DSYNC, on the medium when done */
    struct io_file *file;
    const struct iovec *iov;
    uint32_t iov_count;
    int64_t offset;
    uint64_t bytes; /* sum of the iovec */
    void (*done)(struct io_req *req, int64_t result);
    /* the backend's */
    struct ring_req ring;
    struct io *io;
    uint64_t finished;
    struct io_req *next;
};

struct io {
    const struct io_ops *ops;
};

struct io_ops {
    void (*submit)(
        struct io *io,
        struct io_req *req); /* never fails; errors arrive in done, never from inside submit */
};

static inline void io_submit(struct io *io, struct io_req *req)
{
    io->ops->submit(io, req);
}

/* The real backend on a shard's ring. */
struct io_uring_backend {
    struct io io;
    struct ring *ring;
    uint64_t reads, writes, flushes, read_bytes, write_bytes, errors;
    uint32_t in_flight;
};
void io_uring_backend_init(struct io_uring_backend *b, struct ring *ring);

#endif

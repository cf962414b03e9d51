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

/*
 * Memory with a name: what is stored in it survives the death of the process, not a power cut.
 * One mapping at a time; whoever holds the log dir's lock owns the names that carry its id.
 */
enum fs_named_kind { FS_NAMED_HUGE, FS_NAMED_SHM, FS_NAMED_SIM };

struct fs_named {
    uint8_t *p;              /* zeros, or what the last process left; 4 KiB aligned */
    uint64_t bytes;          /* at least what was asked for when made, else its size of then */
    bool existed;            /* it was there */
    enum fs_named_kind kind; /* a file on hugetlbfs, on /dev/shm, or simulated */
    const char *caveat;      /* static; why it may not outlive a restart, NULL: it should */
};

#define fs_named_name_bytes_max 64 /* letters, digits, - and _ */

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
    /*
     * Waits for direct writes to the file that a process which died has under way: none of them
     * comes after it. By making the file a byte longer and cutting that off (a shrink alone waits,
     * ext4_setattr); killed between them it leaves a zero behind the end.
     */
    int (*settle)(struct fs *fs, struct io_file *file);
    int (*allocate)(struct fs *fs, struct io_file *file,
                    int64_t size);                    /* blocks and size; ERR_NO_SPACE */
    int (*sync)(struct fs *fs, struct io_file *file); /* data and metadata of the file */
    /*
     * Syncs, then forgets what the operating system holds of the file: what is read after it is
     * what the medium has. For recovery: after a failed flush an earlier process may have left
     * bytes that look written and are not.
     */
    int (*drop_cache)(struct fs *fs, struct io_file *file);
    int (*sync_dir)(struct fs *fs, const char *path);
    int (*rename)(struct fs *fs, const char *from, const char *to);
    int (*unlink)(struct fs *fs, const char *path);
    int (*mkdir)(struct fs *fs, const char *path); /* ERR_EXISTS */
    int (*rmdir)(struct fs *fs, const char *path);
    int (*list)(struct fs *fs, const char *path, fs_list_fn *fn, void *ctx); /* without . and .. */
    int (*space)(struct fs *fs, const char *path, uint64_t *total, uint64_t *available); /* bytes */
    int (*lock)(struct fs *fs, const char *path,
                struct io_file **out); /* fcntl write lock, of the handle; ERR_BUSY */
    /*
     * Maps the memory of that name, with the size that it has; makes it of `bytes` if it is not
     * there (bytes 0: ERR_NOT_FOUND). All of its pages are there afterwards. ERR_NO_SPACE,
     * ERR_PERMISSION (it belongs to another user), ERR_INVALID (the name).
     */
    int (*map_named)(struct fs *fs, const char *name, uint64_t bytes, struct fs_named *out);
    void (*unmap_named)(struct fs *fs,
                        struct fs_named *named);          /* the bytes stay; p NULL: nothing */
    int (*remove_named)(struct fs *fs, const char *name); /* ERR_NOT_FOUND; the bytes go */
};

/* The real file system. One object, no state. */
struct fs *fs_real(void);

/* Its memory with names (named.c). */
int named_map(struct fs *fs, const char *name, uint64_t bytes, struct fs_named *out);
void named_unmap(struct fs *fs, struct fs_named *named);
int named_remove(struct fs *fs, const char *name);
/* At most fs_named_name_bytes_max letters, digits, - and _; not empty. */
bool named_name_ok(const char *name);

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

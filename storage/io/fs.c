/* The real file system behind the blocking half of the disk seam. */
#include "storage/io/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "storage/io/file.h"

static int file_wrap(int fd, bool direct, struct io_file **out)
{
    struct io_file *file = malloc(sizeof(*file));
    if (file == NULL) {
        close(fd);
        return ERR_NO_MEMORY;
    }
    file->fd = fd;
    file->direct = direct;
    *out = file;
    return 0;
}

static int real_open(struct fs *fs, const char *path, uint32_t flags, struct io_file **out)
{
    int oflags = O_CLOEXEC;
    bool rd = flags & IO_OPEN_READ, wr = flags & IO_OPEN_WRITE;
    oflags |= wr ? (rd ? O_RDWR : O_WRONLY) : O_RDONLY;
    if (flags & IO_OPEN_CREATE)
        oflags |= O_CREAT;
    if (flags & IO_OPEN_EXCLUSIVE)
        oflags |= O_EXCL;
    if (flags & IO_OPEN_TRUNCATE)
        oflags |= O_TRUNC;
    if (flags & IO_OPEN_DIRECT)
        oflags |= O_DIRECT;
    int fd;
    do {
        fd = open(path, oflags, 0644);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return err_from_errno(errno);
    return file_wrap(fd, flags & IO_OPEN_DIRECT, out);
}

static void real_close(struct fs *fs, struct io_file *file)
{
    if (file == NULL)
        return;
    close(file->fd);
    free(file);
}

static int real_stat(struct fs *fs, const char *path, struct fs_stat *out)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return err_from_errno(errno);
    out->size = st.st_size;
    out->mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    out->is_dir = S_ISDIR(st.st_mode);
    return 0;
}

static int real_size(struct fs *fs, struct io_file *file, int64_t *out)
{
    struct stat st;
    if (fstat(file->fd, &st) < 0)
        return err_from_errno(errno);
    *out = st.st_size;
    return 0;
}

static int64_t real_pread(struct fs *fs, struct io_file *file, void *buf, size_t n, int64_t off)
{
    size_t have = 0;
    while (have < n) {
        ssize_t r = pread(file->fd, (uint8_t *)buf + have, n - have, off + (int64_t)have);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_from_errno(errno);
        if (r == 0)
            break;
        have += (size_t)r;
    }
    return (int64_t)have;
}

static int real_pwrite(struct fs *fs, struct io_file *file, const void *buf, size_t n, int64_t off)
{
    size_t put = 0;
    while (put < n) {
        ssize_t r = pwrite(file->fd, (const uint8_t *)buf + put, n - put, off + (int64_t)put);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_from_errno(errno);
        if (r == 0)
            return ERR_IO;
        put += (size_t)r;
    }
    return 0;
}

static int real_truncate(struct fs *fs, struct io_file *file, int64_t size)
{
    int r;
    do {
        r = ftruncate(file->fd, size);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? err_from_errno(errno) : 0;
}

static int real_settle(struct fs *fs, struct io_file *file)
{
    int64_t size;
    int err = real_size(fs, file, &size);
    if (err == 0)
        err = real_truncate(fs, file, size + 1);
    return err ? err : real_truncate(fs, file, size);
}

static int real_allocate(struct fs *fs, struct io_file *file, int64_t size)
{
    int r;
    do {
        r = fallocate(file->fd, 0, 0, size);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? err_from_errno(errno) : 0;
}

static int real_sync(struct fs *fs, struct io_file *file)
{
    return fsync(file->fd) < 0 ? err_from_errno(errno) : 0;
}

static int real_drop_cache(struct fs *fs, struct io_file *file)
{
    if (fsync(file->fd) < 0)
        return err_from_errno(errno);
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED); /* tmpfs and the like have no other place */
    return 0;
}

static int real_sync_dir(struct fs *fs, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    int err = fsync(fd) < 0 ? err_from_errno(errno) : 0;
    close(fd);
    return err;
}

static int real_rename(struct fs *fs, const char *from, const char *to)
{
    return rename(from, to) < 0 ? err_from_errno(errno) : 0;
}

static int real_unlink(struct fs *fs, const char *path)
{
    return unlink(path) < 0 ? err_from_errno(errno) : 0;
}

static int real_mkdir(struct fs *fs, const char *path)
{
    return mkdir(path, 0755) < 0 ? err_from_errno(errno) : 0;
}

static int real_rmdir(struct fs *fs, const char *path)
{
    return rmdir(path) < 0 ? err_from_errno(errno) : 0;
}

static bool entry_is_dir(DIR *dir, const struct dirent *e)
{
    if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK)
        return e->d_type == DT_DIR;
    struct stat st;
    return fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static int real_list(struct fs *fs, const char *path, fs_list_fn *fn, void *ctx)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return err_from_errno(errno);
    int err = 0;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(dir);
        if (e == NULL) {
            err = errno ? err_from_errno(errno) : 0;
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (fn(ctx, e->d_name, entry_is_dir(dir, e)))
            break;
    }
    closedir(dir);
    return err;
}

static int real_space(struct fs *fs, const char *path, uint64_t *total, uint64_t *available)
{
    struct statvfs st;
    if (statvfs(path, &st) < 0)
        return err_from_errno(errno);
    *total = (uint64_t)st.f_blocks * st.f_frsize;
    *available = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

static int real_lock(struct fs *fs, const char *path, struct io_file **out)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_from_errno(errno);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        int err = errno == EACCES || errno == EAGAIN ? ERR_BUSY : err_from_errno(errno);
        close(fd);
        return err;
    }
    return file_wrap(fd, false, out);
}

static const struct fs_ops real_ops = {
    .open = real_open,
    .close = real_close,
    .stat = real_stat,
    .size = real_size,
    .pread = real_pread,
    .pwrite = real_pwrite,
    .truncate = real_truncate,
    .settle = real_settle,
    .allocate = real_allocate,
    .sync = real_sync,
    .drop_cache = real_drop_cache,
    .sync_dir = real_sync_dir,
    .rename = real_rename,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .rmdir = real_rmdir,
    .list = real_list,
    .space = real_space,
    .lock = real_lock,
    .map_named = named_map,
    .unmap_named = named_unmap,
    .remove_named = named_remove,
};

struct fs *fs_real(void)
{
    static struct fs fs = {&real_ops};
    return &fs;
}

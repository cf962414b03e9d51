/* The two tables of the disk seam over the simulated disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/io/sim_internal.h"

static bool parent_exists(struct io_sim *s, const char *path)
{
    const char *name;
    return sim_parent(s, path, &name) != NULL && *name != '\0';
}

static struct io_file *handle_new(struct io_sim *s, struct sim_inode *inode)
{
    struct io_file *file = calloc(1, sizeof(*file));
    CHECK(file != NULL);
    file->inode = inode;
    file->next = s->handles;
    s->handles = file;
    s->open_files++;
    return file;
}

static int fs_open(struct fs *fs, const char *path, uint32_t flags, struct io_file **out)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_OPEN);
    if (err)
        return err;
    if ((flags & IO_OPEN_DIRECT) && s->no_direct)
        return ERR_INVALID;
    struct sim_inode *inode = sim_find(s, path);
    if (inode && (flags & IO_OPEN_CREATE) && (flags & IO_OPEN_EXCLUSIVE))
        return ERR_EXISTS;
    if (inode == NULL && (!(flags & IO_OPEN_CREATE) || !parent_exists(s, path)))
        return ERR_NOT_FOUND;
    if (inode == NULL)
        inode = sim_create(s, path, false);
    if (inode->is_dir)
        return ERR_INVALID;
    if (flags & IO_OPEN_TRUNCATE)
        sim_resize(s, inode, 0);
    *out = handle_new(s, inode);
    (*out)->direct = flags & IO_OPEN_DIRECT;
    inode->direct |= (*out)->direct && (flags & IO_OPEN_WRITE);
    return 0;
}

static void fs_close(struct fs *fs, struct io_file *file)
{
    struct io_sim *s = sim_of(fs);
    for (struct io_file **at = &s->handles; *at; at = &(*at)->next) {
        if (*at == file) {
            *at = file->next;
            s->open_files--;
            free(file);
            return;
        }
    }
    CHECK(file == NULL);
}

static void stat_inode(const struct sim_inode *inode, struct fs_stat *out)
{
    *out = (struct fs_stat){inode->now.size, inode->mtime_ms, inode->is_dir};
}

static int fs_stat_path(struct fs *fs, const char *path, struct fs_stat *out)
{
    struct sim_inode *inode = sim_find(sim_of(fs), path);
    if (inode == NULL)
        return ERR_NOT_FOUND;
    stat_inode(inode, out);
    return 0;
}

static int fs_size(struct fs *fs, struct io_file *file, int64_t *out)
{
    *out = file->inode->now.size;
    return 0;
}

/* What O_DIRECT asks for. */
static bool aligned(const void *p, size_t n, int64_t off)
{
    return ((uintptr_t)p | n | (size_t)off) % sim_sector_bytes == 0;
}

static size_t image_read(const struct sim_inode *inode, void *buf, size_t n, int64_t off)
{
    if (off >= inode->now.size)
        return 0;
    size_t have = (size_t)(inode->now.size - off);
    if (have > n)
        have = n;
    memcpy(buf, inode->now.data + off, have);
    return have;
}

static int64_t fs_pread(struct fs *fs, struct io_file *file, void *buf, size_t n, int64_t off)
{
    int err = sim_fault(sim_of(fs), SIM_PREAD);
    if (err == 0 && file->direct && !aligned(buf, n, off))
        err = ERR_INVALID;
    return err ? err : (int64_t)image_read(file->inode, buf, n, off);
}

static int fs_pwrite(struct fs *fs, struct io_file *file, const void *buf, size_t n, int64_t off)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_PWRITE);
    if (err == 0 && file->direct && !aligned(buf, n, off))
        return ERR_INVALID;
    if (err) {
        if (!s->dead)
            sim_write(s, file->inode, buf, (size_t)rng_below(&s->rng, n + 1), off);
        return err;
    }
    return sim_write(s, file->inode, buf, n, off);
}

static int fs_truncate(struct fs *fs, struct io_file *file, int64_t size)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_TRUNCATE);
    if (err == 0 && size < file->inode->now.size)
        sim_late_settle(s, file->inode); /* a shrink waits */
    if (err == 0)
        sim_resize(s, file->inode, size);
    return err;
}

/* Ended between its halves it leaves a byte. */
static int fs_settle(struct fs *fs, struct io_file *file)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_TRUNCATE);
    if (err == 0)
        sim_late_settle(s, file->inode);
    else if (!s->dead && rng_below(&s->rng, 2))
        sim_resize(s, file->inode, file->inode->now.size + 1);
    return err;
}

static int fs_allocate(struct fs *fs, struct io_file *file, int64_t size)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_ALLOCATE);
    if (err)
        return err;
    if (size <= file->inode->now.size)
        return 0;
    if (s->bytes_limit && s->bytes + (uint64_t)(size - file->inode->now.size) > s->bytes_limit)
        return ERR_NO_SPACE;
    sim_resize(s, file->inode, size);
    return 0;
}

static int fs_sync(struct fs *fs, struct io_file *file)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_SYNC);
    if (err == 0)
        sim_flush(file->inode);
    else if (!s->dead)
        sim_suspect(s, file->inode, 0, file->inode->now.size);
    return err;
}

static int fs_drop_cache(struct fs *fs, struct io_file *file)
{
    struct io_sim *s = sim_of(fs);
    int err = fs_sync(fs, file);
    if (err == 0)
        sim_drop_cache(s, file->inode);
    return err;
}

static int fs_sync_dir(struct fs *fs, const char *path)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_SYNC_DIR);
    if (err)
        return err;
    struct sim_inode *dir = sim_find(s, path);
    if (dir == NULL || !dir->is_dir)
        return ERR_NOT_FOUND;
    sim_sync_names(dir);
    return 0;
}

static int fs_rename(struct fs *fs, const char *from, const char *to)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_RENAME);
    if (err)
        return err;
    const char *name;
    if (sim_find(s, from) == NULL)
        return ERR_NOT_FOUND;
    if (sim_parent(s, from, &name) != sim_parent(s, to, &name))
        return ERR_UNSUPPORTED;
    if (strcmp(from, to) != 0)
        sim_move(s, from, to);
    return 0;
}

static int fs_unlink(struct fs *fs, const char *path)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_UNLINK);
    if (err)
        return err;
    struct sim_inode *inode = sim_find(s, path);
    if (inode == NULL)
        return ERR_NOT_FOUND;
    if (inode->is_dir)
        return ERR_INVALID;
    sim_remove(s, path);
    return 0;
}

static int fs_mkdir(struct fs *fs, const char *path)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_MKDIR);
    if (err)
        return err;
    if (sim_find(s, path))
        return ERR_EXISTS;
    if (!parent_exists(s, path))
        return ERR_NOT_FOUND;
    sim_create(s, path, true);
    return 0;
}

static int fs_rmdir(struct fs *fs, const char *path)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_UNLINK);
    if (err)
        return err;
    struct sim_inode *dir = sim_find(s, path);
    if (dir == NULL)
        return ERR_NOT_FOUND;
    if (!dir->is_dir)
        return ERR_INVALID;
    if (dir->names)
        return ERR_EXISTS;
    sim_remove(s, path);
    return 0;
}

static int fs_list(struct fs *fs, const char *path, fs_list_fn *fn, void *ctx)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_LIST);
    if (err)
        return err;
    struct sim_inode *dir = sim_find(s, path);
    if (dir == NULL || !dir->is_dir)
        return ERR_NOT_FOUND;
    struct sim_name *next;
    for (struct sim_name *n = dir->names; n; n = next) {
        next = n->next; /* fn may unlink what it is given */
        if (fn(ctx, n->name, n->inode->is_dir))
            break;
    }
    return 0;
}

static int fs_space(struct fs *fs, const char *path, uint64_t *total, uint64_t *available)
{
    struct io_sim *s = sim_of(fs);
    *total = s->bytes_limit ? s->bytes_limit : 1ULL << 40;
    *available = *total > s->bytes ? *total - s->bytes : 0;
    return 0;
}

static int fs_lock(struct fs *fs, const char *path, struct io_file **out)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_OPEN);
    if (err)
        return err;
    struct sim_inode *inode = sim_find(s, path);
    if (inode == NULL && !parent_exists(s, path))
        return ERR_NOT_FOUND;
    if (inode == NULL)
        inode = sim_create(s, path, false);
    for (struct io_file *h = s->handles; h; h = h->next)
        if (h->inode == inode && h->locked)
            return ERR_BUSY;
    *out = handle_new(s, inode);
    (*out)->locked = true;
    return 0;
}

const struct fs_ops sim_fs_ops = {
    .open = fs_open,
    .close = fs_close,
    .stat = fs_stat_path,
    .size = fs_size,
    .pread = fs_pread,
    .pwrite = fs_pwrite,
    .truncate = fs_truncate,
    .settle = fs_settle,
    .allocate = fs_allocate,
    .sync = fs_sync,
    .drop_cache = fs_drop_cache,
    .sync_dir = fs_sync_dir,
    .rename = fs_rename,
    .unlink = fs_unlink,
    .mkdir = fs_mkdir,
    .rmdir = fs_rmdir,
    .list = fs_list,
    .space = fs_space,
    .lock = fs_lock,
    .map_named = sim_map_named,
    .unmap_named = sim_unmap_named,
    .remove_named = sim_remove_named,
};

static void sim_submit(struct io *io, struct io_req *req)
{
    struct io_sim *s = (struct io_sim *)((char *)io - offsetof(struct io_sim, io));
    req->io = io;
    req->next = NULL;
    if (s->queue_tail)
        s->queue_tail->next = req;
    else
        s->queue = req;
    s->queue_tail = req;
    s->in_flight++;
}

const struct io_ops sim_io_ops = {.submit = sim_submit};

static struct io_req *take_any(struct io_sim *s)
{
    uint64_t nth = rng_below(&s->rng, s->in_flight);
    struct io_req **at = &s->queue, *before = NULL;
    while (nth-- > 0) {
        before = *at;
        at = &(*at)->next;
    }
    struct io_req *req = *at;
    *at = req->next;
    if (req == s->queue_tail)
        s->queue_tail = before;
    s->in_flight--;
    return req;
}

static int64_t do_read(struct io_req *req)
{
    int64_t have = 0;
    for (uint32_t i = 0; i < req->iov_count; i++) {
        size_t n = image_read(req->file->inode, req->iov[i].iov_base, req->iov[i].iov_len,
                              req->offset + have);
        have += (int64_t)n;
        if (n < req->iov[i].iov_len)
            break;
    }
    return have;
}

/* Writes the first `limit` bytes. */
static int do_write(struct io_sim *s, struct io_req *req, uint64_t limit)
{
    int64_t off = req->offset;
    for (uint32_t i = 0; i < req->iov_count && limit > 0; i++) {
        size_t n = req->iov[i].iov_len < limit ? req->iov[i].iov_len : (size_t)limit;
        int err = sim_write(s, req->file->inode, req->iov[i].iov_base, n, off);
        if (err)
            return err;
        off += (int64_t)n;
        limit -= n;
    }
    return 0;
}

static bool request_aligned(const struct io_req *req)
{
    for (uint32_t i = 0; req->file->direct && i < req->iov_count; i++)
        if (!aligned(req->iov[i].iov_base, req->iov[i].iov_len, req->offset))
            return false;
    return true;
}

static int64_t do_request(struct io_sim *s, struct io_req *req)
{
    static const enum sim_op ops[] = {
        [IO_READ] = SIM_READ, [IO_WRITE] = SIM_WRITE, [IO_FLUSH] = SIM_FLUSH};
    int err = sim_fault(s, ops[req->op]);
    if (err == 0 && !request_aligned(req))
        return ERR_INVALID;
    if (req->op == IO_READ)
        return err ? err : do_read(req);
    if (req->op == IO_FLUSH) {
        if (err == 0)
            sim_flush(req->file->inode);
        else if (!s->dead)
            sim_suspect(s, req->file->inode, 0, req->file->inode->now.size);
        return err;
    }
    if (err) {
        if (s->dead)
            return err;
        do_write(s, req, rng_below(&s->rng, req->bytes + 1));
        if (req->durable)
            sim_suspect(s, req->file->inode, req->offset, (int64_t)req->bytes);
        return err;
    }
    err = do_write(s, req, req->bytes);
    if (err)
        return err;
    if (req->durable)
        sim_flush_range(req->file->inode, req->offset, (int64_t)req->bytes);
    return (int64_t)req->bytes;
}

bool io_sim_step(struct io_sim *s)
{
    if (s->queue == NULL)
        return false;
    struct io_req *req = take_any(s);
    s->current = req;
    int64_t result = do_request(s, req);
    s->current = NULL;
    req->done(req, result);
    return true;
}

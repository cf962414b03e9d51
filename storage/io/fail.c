/* A disk that fails when told to. */
#include "storage/io/fail.h"

#include <stddef.h>

#include "base/check.h"
#include "base/err.h"

static struct io_fail *fail_of(struct fs *fs)
{
    return (struct io_fail *)((char *)fs - offsetof(struct io_fail, fs));
}

/* Counts a call; the rule that it meets is used up. */
static bool fail_due(struct io_fail *f, enum fail_op op, struct fail_rule *out)
{
    f->calls[op]++;
    for (uint32_t i = 0; i < f->rule_count; i++) {
        if (f->rules[i].op != op || f->rules[i].at != f->calls[op])
            continue;
        *out = f->rules[i];
        f->rules[i] = f->rules[--f->rule_count];
        return true;
    }
    return false;
}

/* ---- blocking ---- */

/* Hands the call on, or returns the error that is due. */
#define PASS(kind, call)                                                                           \
    struct io_fail *f = fail_of(fs);                                                               \
    struct fail_rule rule;                                                                         \
    const struct fs_ops *under = f->under_fs->ops;                                                 \
    fs = f->under_fs;                                                                              \
    if (fail_due(f, kind, &rule))                                                                  \
        return rule.err;                                                                           \
    return under->call

static int fail_open(struct fs *fs, const char *path, uint32_t flags, struct io_file **out)
{
    PASS(FAIL_OPEN, open(fs, path, flags, out));
}

static void fail_close(struct fs *fs, struct io_file *file)
{
    struct fs *under = fail_of(fs)->under_fs;
    under->ops->close(under, file);
}

static int fail_stat(struct fs *fs, const char *path, struct fs_stat *out)
{
    PASS(FAIL_STAT, stat(fs, path, out));
}

static int fail_size(struct fs *fs, struct io_file *file, int64_t *out)
{
    PASS(FAIL_STAT, size(fs, file, out));
}

static int64_t fail_pread(struct fs *fs, struct io_file *file, void *buf, size_t n, int64_t off)
{
    struct io_fail *f = fail_of(fs);
    struct fail_rule rule;
    struct fs *under = f->under_fs;
    if (!fail_due(f, FAIL_PREAD, &rule))
        return under->ops->pread(under, file, buf, n, off);
    int64_t got = 0, size;
    if (rule.how == FAIL_PART && under->ops->size(under, file, &size) == 0 && size > off) {
        uint64_t there = (uint64_t)(size - off); /* less than that: n may be much more */
        got = under->ops->pread(under, file, buf, rng_below(&f->rng, there < n ? there : n), off);
    }
    return rule.err ? rule.err : got;
}

static int fail_pwrite(struct fs *fs, struct io_file *file, const void *buf, size_t n, int64_t off)
{
    struct io_fail *f = fail_of(fs);
    struct fail_rule rule;
    if (!fail_due(f, FAIL_PWRITE, &rule))
        return f->under_fs->ops->pwrite(f->under_fs, file, buf, n, off);
    size_t part = rule.how == FAIL_PART ? (size_t)rng_below(&f->rng, n + 1) : 0;
    if (part > 0)
        f->under_fs->ops->pwrite(f->under_fs, file, buf, part, off);
    return rule.err;
}

static int fail_truncate(struct fs *fs, struct io_file *file, int64_t size)
{
    PASS(FAIL_TRUNCATE, truncate(fs, file, size));
}

static int fail_settle(struct fs *fs, struct io_file *file)
{
    PASS(FAIL_TRUNCATE, settle(fs, file));
}

static int fail_allocate(struct fs *fs, struct io_file *file, int64_t size)
{
    PASS(FAIL_ALLOCATE, allocate(fs, file, size));
}

static int fail_sync(struct fs *fs, struct io_file *file)
{
    PASS(FAIL_SYNC, sync(fs, file));
}

static int fail_drop_cache(struct fs *fs, struct io_file *file)
{
    PASS(FAIL_SYNC, drop_cache(fs, file));
}

static int fail_sync_dir(struct fs *fs, const char *path)
{
    PASS(FAIL_SYNC_DIR, sync_dir(fs, path));
}

static int fail_rename(struct fs *fs, const char *from, const char *to)
{
    PASS(FAIL_RENAME, rename(fs, from, to));
}

static int fail_unlink(struct fs *fs, const char *path)
{
    PASS(FAIL_UNLINK, unlink(fs, path));
}

static int fail_mkdir(struct fs *fs, const char *path)
{
    PASS(FAIL_MKDIR, mkdir(fs, path));
}

static int fail_rmdir(struct fs *fs, const char *path)
{
    PASS(FAIL_UNLINK, rmdir(fs, path));
}

static int fail_list(struct fs *fs, const char *path, fs_list_fn *fn, void *ctx)
{
    PASS(FAIL_LIST, list(fs, path, fn, ctx));
}

static int fail_space(struct fs *fs, const char *path, uint64_t *total, uint64_t *available)
{
    PASS(FAIL_SPACE, space(fs, path, total, available));
}

static int fail_lock(struct fs *fs, const char *path, struct io_file **out)
{
    PASS(FAIL_LOCK, lock(fs, path, out));
}

static int fail_map_named(struct fs *fs, const char *name, uint64_t bytes, struct fs_named *out)
{
    PASS(FAIL_MAP_NAMED, map_named(fs, name, bytes, out));
}

static void fail_unmap_named(struct fs *fs, struct fs_named *named)
{
    struct fs *under = fail_of(fs)->under_fs;
    under->ops->unmap_named(under, named);
}

static int fail_remove_named(struct fs *fs, const char *name)
{
    PASS(FAIL_UNLINK, remove_named(fs, name));
}

static const struct fs_ops fail_fs_ops = {
    .open = fail_open,
    .close = fail_close,
    .stat = fail_stat,
    .size = fail_size,
    .pread = fail_pread,
    .pwrite = fail_pwrite,
    .truncate = fail_truncate,
    .settle = fail_settle,
    .allocate = fail_allocate,
    .sync = fail_sync,
    .drop_cache = fail_drop_cache,
    .sync_dir = fail_sync_dir,
    .rename = fail_rename,
    .unlink = fail_unlink,
    .mkdir = fail_mkdir,
    .rmdir = fail_rmdir,
    .list = fail_list,
    .space = fail_space,
    .lock = fail_lock,
    .map_named = fail_map_named,
    .unmap_named = fail_unmap_named,
    .remove_named = fail_remove_named,
};

/* ---- asynchronous ---- */

static void request_tell(struct fail_request *r)
{
    struct io_req *outer = r->outer;
    int64_t result = r->err ? r->err : r->result;
    r->outer = NULL;
    r->fail->in_flight--;
    outer->done(outer, result);
}

static void request_done(struct io_req *inner, int64_t result)
{
    struct fail_request *r = (struct fail_request *)inner;
    r->result = result;
    if (r->late)
        r->ended = true;
    else
        request_tell(r);
}

/* A front part of the request's first piece; of a read that ends well less than the whole. */
static void request_part(struct fail_request *r, struct rng *rng)
{
    uint64_t n = rng_below(rng, r->outer->iov[0].iov_len + (r->err < 0));
    n -= n % 512; /* what a device takes whole; O_DIRECT asks for it */
    r->iov = (struct iovec){r->outer->iov[0].iov_base, n};
    r->inner.iov = &r->iov;
    r->inner.iov_count = 1;
    r->inner.bytes = n;
}

static void fail_submit(struct io *io, struct io_req *req)
{
    static const enum fail_op ops[] = {
        [IO_READ] = FAIL_READ, [IO_WRITE] = FAIL_WRITE, [IO_FLUSH] = FAIL_FLUSH};
    struct io_fail *f = (struct io_fail *)((char *)io - offsetof(struct io_fail, io));
    struct fail_request *r = f->requests;
    while (r->outer) {
        r++;
        CHECK(r < f->requests + io_fail_requests_max);
    }
    *r = (struct fail_request){.inner = *req, .fail = f, .outer = req};
    r->inner.done = request_done;
    f->in_flight++;
    struct fail_rule rule;
    if (fail_due(f, ops[req->op], &rule)) {
        r->err = rule.err;
        r->late = true;
        if (rule.how == FAIL_PART)
            request_part(r, &f->rng);
        r->ended = rule.how == FAIL_ERROR || (rule.how == FAIL_PART && r->iov.iov_len == 0);
    } else {
        r->late = f->lag_one_in > 0 && rng_below(&f->rng, f->lag_one_in) == 0;
    }
    if (!r->ended)
        io_submit(f->under_io, &r->inner);
}

static const struct io_ops fail_io_ops = {.submit = fail_submit};

uint32_t io_fail_run(struct io_fail *f)
{
    struct fail_request *ended[io_fail_requests_max];
    uint32_t n = 0;
    for (uint32_t i = 0; i < io_fail_requests_max; i++)
        if (f->requests[i].outer && f->requests[i].ended)
            ended[n++] = &f->requests[i];
    for (uint32_t left = n; left > 0; left--) {
        uint64_t k = rng_below(&f->rng, left);
        struct fail_request *r = ended[k];
        ended[k] = ended[left - 1];
        request_tell(r);
    }
    return n;
}

void io_fail_init(struct io_fail *f, struct fs *fs, struct io *io, uint64_t seed)
{
    *f = (struct io_fail){
        .fs = {&fail_fs_ops}, .io = {&fail_io_ops}, .under_fs = fs, .under_io = io};
    rng_seed(&f->rng, seed);
}

void io_fail_add(struct io_fail *f, enum fail_op op, uint64_t nth, enum fail_how how, int err)
{
    bool reads = op == FAIL_READ || op == FAIL_PREAD;
    bool writes = op == FAIL_WRITE || op == FAIL_PWRITE;
    CHECK(f->rule_count < io_fail_rules_max && nth > 0);
    CHECK(how != FAIL_PART || reads || writes);
    CHECK(err < 0 || (err == 0 && (how == FAIL_LATE || (how == FAIL_PART && reads))));
    f->rules[f->rule_count++] = (struct fail_rule){op, how, f->calls[op] + nth, err};
}

void io_fail_lag(struct io_fail *f, uint32_t one_in)
{
    f->lag_one_in = one_in;
}

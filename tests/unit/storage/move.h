/*
 * move: a directory of plain files to another place of a simulated disk, which renames only within a
 * directory; as an operator does between two disks.
 */
#ifndef TESTS_UNIT_STORAGE_MOVE_H
#define TESTS_UNIT_STORAGE_MOVE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/io/io.h"

struct move {
    char name[256];
};

static inline int move_name(void *ctx, const char *name, bool is_dir)
{
    struct move *m = ctx;
    CHECK(!is_dir);
    snprintf(m->name, sizeof(m->name), "%s", name);
    return 1;
}

static inline void move_file(struct fs *fs, const char *from, const char *to)
{
    struct io_file *in, *out;
    int64_t size;
    CHECK(fs->ops->open(fs, from, IO_OPEN_READ, &in) == 0);
    CHECK(fs->ops->open(fs, to, IO_OPEN_WRITE | IO_OPEN_CREATE, &out) == 0);
    CHECK(fs->ops->size(fs, in, &size) == 0);
    char *bytes = malloc((size_t)size + 1);
    CHECK(bytes != NULL && fs->ops->pread(fs, in, bytes, (size_t)size, 0) == size);
    CHECK(size == 0 || fs->ops->pwrite(fs, out, bytes, (size_t)size, 0) == 0);
    CHECK(fs->ops->sync(fs, out) == 0);
    free(bytes);
    fs->ops->close(fs, in);
    fs->ops->close(fs, out);
    CHECK(fs->ops->unlink(fs, from) == 0);
}

static inline void move_dir(struct fs *fs, const char *from, const char *to)
{
    struct move m;
    CHECK(fs->ops->mkdir(fs, to) == 0);
    for (;;) {
        char a[io_path_bytes_max], b[io_path_bytes_max];
        m.name[0] = '\0';
        CHECK(fs->ops->list(fs, from, move_name, &m) >= 0);
        if (m.name[0] == '\0')
            break;
        CHECK(snprintf(a, sizeof(a), "%s/%s", from, m.name) < (int)sizeof(a));
        CHECK(snprintf(b, sizeof(b), "%s/%s", to, m.name) < (int)sizeof(b));
        move_file(fs, a, b);
    }
    CHECK(fs->ops->rmdir(fs, from) == 0);
    CHECK(fs->ops->sync_dir(fs, to) == 0);
}

#endif

/* tune: the disks under log.dirs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "control/cli/tune.h"

#define path_bytes_max   4096
#define block_bytes      4096
#define free_bytes_least (1ull << 30)
#define xfs_magic        0x58465342
#define zfs_magic        0x2fc12fc1
#define cifs_magic       0xff534d42

enum fs_kind { FS_LOCAL, FS_COPY_ON_WRITE, FS_MEMORY, FS_LAYERED, FS_NETWORK };

struct fs_name {
    uint64_t magic;
    const char *name;
    enum fs_kind kind;
};

static const struct fs_name fs_names[] = {
    {EXT4_SUPER_MAGIC, "ext4", FS_LOCAL},   {xfs_magic, "xfs", FS_LOCAL},
    {F2FS_SUPER_MAGIC, "f2fs", FS_LOCAL},   {BTRFS_SUPER_MAGIC, "btrfs", FS_COPY_ON_WRITE},
    {zfs_magic, "zfs", FS_COPY_ON_WRITE},   {TMPFS_MAGIC, "tmpfs", FS_MEMORY},
    {RAMFS_MAGIC, "ramfs", FS_MEMORY},      {OVERLAYFS_SUPER_MAGIC, "overlayfs", FS_LAYERED},
    {FUSE_SUPER_MAGIC, "fuse", FS_NETWORK}, {NFS_SUPER_MAGIC, "nfs", FS_NETWORK},
    {cifs_magic, "cifs", FS_NETWORK},       {V9FS_MAGIC, "9p", FS_NETWORK},
};

/* ---- looking ---- */

/* A whole block, aligned; true if it could be written. */
static bool block_write(int fd)
{
    void *block = aligned_alloc(block_bytes, block_bytes);
    if (block == NULL)
        return false;
    memset(block, 0, block_bytes);
    bool ok = pwrite(fd, block, block_bytes, 0) == block_bytes;
    free(block);
    return ok;
}

/* Makes a file in the directory, with these flags too, writes a block and takes it away. */
static bool file_try(const char *dir, int flags)
{
    char path[path_bytes_max];
    int n = snprintf(path, sizeof(path), "%s/.sluice-tune-%d", dir, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(path))
        return false;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
    if (fd < 0) {
        if (errno == EINVAL && flags)
            unlink(path); /* made before O_DIRECT was refused */
        return false;
    }
    bool ok = block_write(fd);
    close(fd);
    unlink(path);
    return ok;
}

/* The path, or what of it exists: there the broker would make the rest. */
static bool existing(char *path)
{
    while (access(path, F_OK) != 0) {
        char *slash = strrchr(path, '/');
        if (errno != ENOENT)
            return false;
        if (slash == NULL)
            strcpy(path, ".");
        else if (slash == path)
            path[1] = '\0';
        else
            *slash = '\0';
    }
    return true;
}

void tune_disk_look(struct tune_disk *out, const char *dir)
{
    char path[path_bytes_max];
    struct statfs st;
    *out = (struct tune_disk){.dir = dir};
    if (dir[0] == '\0' || strlen(dir) >= sizeof(path))
        return;
    strcpy(path, dir);
    if (!existing(path) || statfs(path, &st) != 0)
        return;
    out->reachable = true;
    out->fs_magic = (uint64_t)st.f_type & 0xffffffff;
    out->free_bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
    out->writable = file_try(path, 0);
    out->direct = out->writable && file_try(path, O_DIRECT);
}

/* ---- judging ---- */

static const struct fs_name *fs_name_of(uint64_t magic)
{
    static const struct fs_name other = {0, "a file system not known here", FS_LOCAL};
    for (size_t i = 0; i < sizeof(fs_names) / sizeof(fs_names[0]); i++)
        if (fs_names[i].magic == magic)
            return &fs_names[i];
    return &other;
}

/* NULL: nothing against it. */
static const char *fs_remedy(enum fs_kind kind)
{
    switch (kind) {
    case FS_COPY_ON_WRITE:
        return "it copies on write, which scatters logs: put log.dirs on ext4 or xfs";
    case FS_LAYERED:
        return "it is a container's layer: mount a volume for log.dirs";
    case FS_NETWORK:
        return "a flush crosses a network or another program: put log.dirs on a local ext4 or xfs";
    case FS_MEMORY:
        return "it is memory: the log goes with the machine; put log.dirs on a disk";
    case FS_LOCAL:
        break;
    }
    return NULL;
}

void tune_disk_judge(struct tune_report *r, const struct tune_disk *d, bool fsync)
{
    const struct fs_name *fs = fs_name_of(d->fs_magic);
    const char *remedy = fs_remedy(fs->kind);
    if (!d->reachable) {
        tune_add(r, TUNE_WRONG, "log.dirs", "make it, or allow this user to reach it",
                 "%s cannot be reached", d->dir);
        return;
    }
    if (!d->writable) {
        tune_add(r, TUNE_WRONG, "log.dirs", "make room, or give it to the broker's user (chown)",
                 "%s, %s: no file can be made and written", d->dir, fs->name);
        return;
    }
    if (remedy)
        tune_add(r, fs->kind == FS_MEMORY && fsync ? TUNE_WRONG : TUNE_BETTER, "log.dirs", remedy,
                 "%s is on %s%s", d->dir, fs->name,
                 fs->kind == FS_MEMORY && fsync ? ", and sluice.durability=fsync promises a disk"
                                                : "");
    else
        tune_add(r, TUNE_OK, "log.dirs", "", "%s is on %s", d->dir, fs->name);
    tune_add(r, d->direct ? TUNE_OK : TUNE_BETTER, "O_DIRECT",
             "writes go through the page cache, one copy more: use ext4 or xfs", "%s: %s", d->dir,
             d->direct ? "works" : "refused");
    if (d->free_bytes < free_bytes_least)
        tune_add(r, TUNE_BETTER, "disk space", "make room, or set retention by size",
                 "%s: %llu MiB are free", d->dir, (unsigned long long)(d->free_bytes >> 20));
}

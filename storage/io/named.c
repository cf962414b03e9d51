/*
 * Memory with a name: a file on hugetlbfs where there is one with free pages, else on /dev/shm,
 * mapped shared. Its pages belong to the kernel, so they stay when the process dies; they go with
 * the machine, and /dev/shm also with the container or, for an ordinary user, at logout.
 */
#include "storage/io/named.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/err.h"

#define named_prefix          "sluice-"
#define shm_dir               "/dev/shm"
#define initial_pid_namespace 0xEFFFFFFCU /* PROC_PID_INIT_INO, part of the kernel's ABI */
#define ordinary_user_first   1000        /* login.defs, SYS_UID_MAX + 1 */
#define named_page_bytes      4096

struct place {
    char dir[io_path_bytes_max];
    uint64_t page; /* bytes */
    enum fs_named_kind kind;
};

bool named_name_ok(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            return false;
    return n > 0 && n <= fs_named_name_bytes_max;
}

/* 1: memory can be there, 0: it cannot; or an error: that nobody can tell now. */
static int place_huge(const struct mntent *m, struct place *out)
{
    struct statfs st;
    if (strcmp(m->mnt_type, "hugetlbfs") != 0 || strlen(m->mnt_dir) >= sizeof(out->dir))
        return 0;
    if (access(m->mnt_dir, R_OK | W_OK | X_OK) < 0 || statfs(m->mnt_dir, &st) < 0) {
        int err = err_from_errno(errno);
        return err == ERR_PERMISSION || err == ERR_NOT_FOUND ? 0 : err;
    }
    out->page = (uint64_t)st.f_bsize;
    out->kind = FS_NAMED_HUGE;
    strcpy(out->dir, m->mnt_dir);
    return 1;
}

/*
 * Writable hugetlbfs mounts come first, /dev/shm last; *count: how many places there are. After an error
 * there may be more: what is not in these may be there all the same.
 */
static int places_find(struct place *out, uint32_t max, uint32_t *count)
{
    uint32_t n = 0;
    int err = 0;
    const struct mntent *m;
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    if (mounts == NULL && errno != ENOENT)
        err = err_from_errno(errno);
    while (mounts && n + 1 < max && (m = getmntent(mounts))) {
        int found = place_huge(m, &out[n]);
        if (found < 0)
            err = found;
        else
            n += (uint32_t)found;
    }
    if (mounts && ferror(mounts))
        err = ERR_IO;
    if (mounts)
        endmntent(mounts);
    out[n] = (struct place){.page = named_page_bytes, .kind = FS_NAMED_SHM};
    strcpy(out[n++].dir, shm_dir);
    *count = n;
    return err;
}

static int place_path(const struct place *place, const char *name, char out[io_path_bytes_max])
{
    int n = snprintf(out, io_path_bytes_max, "%s/" named_prefix "%s", place->dir, name);
    return n < 0 || n >= io_path_bytes_max ? ERR_TOO_LARGE : 0;
}

static const char *named_caveat(enum fs_named_kind kind)
{
    struct stat st;
    if (stat("/proc/self/ns/pid", &st) < 0 || st.st_ino != initial_pid_namespace)
        return "it may go with the container";
    if (kind == FS_NAMED_SHM && geteuid() >= ordinary_user_first)
        return "systemd may remove it when this user logs out (RemoveIPC)";
    return NULL;
}

/* A regular file of this user, or the error. */
static int file_ours(int fd, uint64_t *size)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return ERR_PERMISSION;
    *size = (uint64_t)st.st_size;
    return 0;
}

/*
 * Held until the memory is unmapped: the lock belongs to the open file, and the mapping keeps that,
 * however early its descriptor is closed.
 */
static int file_lock(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
}

static int file_grow(int fd, uint64_t bytes)
{
    int r;
    do {
        r = fallocate(fd, 0, 0, (off_t)bytes);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? err_from_errno(errno) : 0;
}

static int map_file(const struct place *place, const char *path, uint64_t bytes,
                    struct fs_named *out)
{
    uint64_t size = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (bytes ? O_CREAT : 0), 0600);
    if (fd < 0)
        return err_from_errno(errno);
    int err = file_ours(fd, &size);
    if (err == 0)
        err = file_lock(fd);
    bool existed = err == 0 && size > 0; /* size 0: whoever made it died before it had its pages */
    if (err == 0 && !existed && bytes == 0)
        err = ERR_NOT_FOUND;
    if (err == 0 && !existed) {
        size = (bytes + place->page - 1) / place->page * place->page;
        err = file_grow(fd, size);
        if (err)
            unlink(path);
    }
    void *p = MAP_FAILED;
    if (err == 0) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (p == MAP_FAILED)
            err = err_from_errno(errno);
    }
    close(fd);
    if (err)
        return err;
    *out = (struct fs_named){p, size, existed, place->kind, named_caveat(place->kind)};
    return 0;
}

int named_map(struct fs *fs, const char *name, uint64_t bytes, struct fs_named *out)
{
    struct place places[4];
    char path[io_path_bytes_max];
    if (!named_name_ok(name))
        return ERR_INVALID;
    uint32_t n;
    int err = places_find(places, sizeof(places) / sizeof(places[0]), &n);
    if (err)
        return err;
    err = ERR_NOT_FOUND;
    for (int make = 0; make <= (bytes > 0); make++) { /* first what is there, wherever it is */
        for (uint32_t i = 0; i < n; i++) {
            err = place_path(&places[i], name, path);
            if (err == 0)
                err = map_file(&places[i], path, make ? bytes : 0, out);
            bool next = make ? places[i].kind == FS_NAMED_HUGE : err == ERR_NOT_FOUND;
            if (err == 0 || !next)
                return err;
        }
    }
    return err;
}

void named_unmap(struct fs *fs, struct fs_named *named)
{
    if (named->p)
        munmap(named->p, named->bytes);
    *named = (struct fs_named){0};
}

/* ---- what there is ---- */

static bool file_info(const struct place *place, const char *file, struct fs_named_info *out)
{
    char path[io_path_bytes_max];
    const char *name = file + strlen(named_prefix);
    *out = (struct fs_named_info){.kind = place->kind};
    if (strncmp(file, named_prefix, strlen(named_prefix)) != 0 || !named_name_ok(name) ||
        place_path(place, name, path) != 0)
        return false;
    strcpy(out->name, name);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool ours = file_ours(fd, &out->bytes) == 0;
    out->in_use = file_lock(fd) == ERR_BUSY;
    close(fd);
    return ours;
}

void named_list(named_list_fn *fn, void *ctx)
{
    struct place places[4];
    uint32_t n;
    places_find(places, sizeof(places) / sizeof(places[0]), &n);
    for (uint32_t i = 0; i < n; i++) {
        struct fs_named_info info;
        const struct dirent *e;
        DIR *dir = opendir(places[i].dir);
        while (dir && (e = readdir(dir)) != NULL)
            if (file_info(&places[i], e->d_name, &info) && fn(ctx, &info))
                break;
        if (dir)
            closedir(dir);
    }
}

int named_remove(struct fs *fs, const char *name)
{
    struct place places[4];
    char path[io_path_bytes_max];
    if (!named_name_ok(name))
        return ERR_INVALID;
    uint32_t n;
    int result = places_find(places, sizeof(places) / sizeof(places[0]), &n);
    if (result == 0)
        result = ERR_NOT_FOUND;
    for (uint32_t i = 0; i < n; i++) {
        int err = place_path(&places[i], name, path);
        if (err == 0 && unlink(path) < 0)
            err = err_from_errno(errno);
        if (err != ERR_NOT_FOUND)
            result = err;
    }
    return result;
}

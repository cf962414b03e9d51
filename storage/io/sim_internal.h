/*
 * sim's own structures, shared by sim.c (files, crashes), sim_names.c (directories), sim_fs.c (the
 * two tables) and sim_named.c. Private.
 */
#ifndef STORAGE_IO_SIM_INTERNAL_H
#define STORAGE_IO_SIM_INTERNAL_H

#include <stddef.h>

#include "storage/io/sim.h"

struct sim_image {
    uint8_t *data;
    int64_t size, room;
};

struct sim_name {
    char *name;
    struct sim_inode *inode;
    struct sim_name *next;
};

/* In one directory. rename: from -> to; create: to; unlink: from. */
struct sim_change {
    char *from, *to;
    struct sim_inode *inode;
    struct sim_change *next;
};

struct sim_inode {
    struct sim_image now, stable; /* the operating system's and the medium's */
    uint8_t *lost; /* by sector: looks written, but no flush will bring it to the medium */
    size_t lost_sectors;
    bool is_dir, reachable, direct; /* direct: written past the operating system's cache */
    bool removed;                   /* it has no name any more */
    struct sim_name *names, *stable_names;
    struct sim_change *changes, *changes_tail; /* since the directory was synced */
    int64_t mtime_ms;
    struct sim_inode *next;
};

struct io_file {
    struct sim_inode *inode;
    bool locked, direct;
    struct io_file *next;
};

static inline struct io_sim *sim_of(struct fs *fs)
{
    return (struct io_sim *)((char *)fs - offsetof(struct io_sim, fs));
}

/* Counts a call and says with which error it fails (0: it does not). */
int sim_fault(struct io_sim *s, enum sim_op op);

/* --- sim.c --- */
int sim_write(struct io_sim *s, struct sim_inode *inode, const void *p, size_t n, int64_t off);
void sim_resize(struct io_sim *s, struct sim_inode *inode, int64_t size);
void sim_flush(struct sim_inode *inode);
void sim_flush_range(struct sim_inode *inode, int64_t off, int64_t n);
/* A flush of that range failed. */
void sim_suspect(struct io_sim *s, struct sim_inode *inode, int64_t off, int64_t n);
/* What is read from now on is what the medium has. */
void sim_drop_cache(struct io_sim *s, struct sim_inode *inode);

/* --- sim_late.c: writes of a process that died --- */
void sim_late_add(struct io_sim *s, const struct io_req *req);
/* Those of the file come now. */
void sim_late_settle(struct io_sim *s, const struct sim_inode *inode);
/* One of them may come. */
void sim_late_may_land(struct io_sim *s);
void sim_late_free(struct io_sim *s); /* they never come */

/* --- sim_names.c --- */
struct sim_inode *sim_inode_new(struct io_sim *s, bool is_dir);
void sim_inode_free(struct sim_inode *inode);
/* NULL: there is none. */
struct sim_inode *sim_find(struct io_sim *s, const char *path);
/* The directory that path is in, or NULL; *name is the last part of path. */
struct sim_inode *sim_parent(struct io_sim *s, const char *path, const char **name);
struct sim_inode *sim_create(struct io_sim *s, const char *path, bool is_dir);
void sim_move(struct io_sim *s, const char *from, const char *to);
void sim_remove(struct io_sim *s, const char *path);
void sim_sync_names(struct sim_inode *dir);
/* Of each directory a front part of the changes stays; what cannot be reached any more goes. */
void sim_names_crash(struct io_sim *s);

/* --- sim_named.c: memory with a name --- */
struct sim_pages {
    uint8_t *data; /* NULL: none */
    int fd;
};

struct sim_named {
    char name[fs_named_name_bytes_max + 1];
    struct sim_pages now, kept; /* as mapped; as the crash left it */
    uint64_t bytes;
    bool mapped;
    struct sim_named *next;
};
int sim_map_named(struct fs *fs, const char *name, uint64_t bytes, struct fs_named *out);
void sim_unmap_named(struct fs *fs, struct fs_named *named);
int sim_remove_named(struct fs *fs, const char *name);
void sim_named_crash(struct io_sim *s, enum sim_crash crash);
void sim_named_revive(struct io_sim *s);
void sim_named_free(struct io_sim *s);

extern const struct fs_ops sim_fs_ops;
extern const struct io_ops sim_io_ops;

#endif

/* sim's own structures, shared by sim.c (files, crashes) and sim_fs.c (the two tables). Private. */
#ifndef STORAGE_IO_SIM_INTERNAL_H
#define STORAGE_IO_SIM_INTERNAL_H

#include "storage/io/sim.h"

struct sim_image {
    uint8_t *data;
    int64_t size, room;
};

struct sim_inode {
    struct sim_image now, stable; /* the operating system's and the medium's */
    bool is_dir;
    int64_t mtime_ms;
    struct sim_inode *next;
};

struct sim_entry {
    char *path;
    struct sim_inode *inode;
    struct sim_entry *next;
};

/* rename: from -> to; create: to; unlink: from. */
struct sim_change {
    char *from, *to;
    struct sim_inode *inode;
    struct sim_change *next;
};

struct io_file {
    struct sim_inode *inode;
    bool locked;
    struct io_file *next;
};

/* Counts a call and says with which error it fails (0: it does not). */
int sim_fault(struct io_sim *s, enum sim_op op);

int sim_write(struct io_sim *s, struct sim_inode *inode, const void *p, size_t n, int64_t off);
void sim_resize(struct io_sim *s, struct sim_inode *inode, int64_t size);
void sim_flush(struct sim_inode *inode);
void sim_flush_range(struct sim_inode *inode, int64_t off, int64_t n);

struct sim_entry *sim_find(struct sim_entry *list, const char *path);
struct sim_inode *sim_create(struct io_sim *s, const char *path, bool is_dir);
void sim_move(struct io_sim *s, const char *from, const char *to);
void sim_remove(struct io_sim *s, const char *path);
void sim_commit_names(struct io_sim *s, uint64_t changes);

extern const struct fs_ops sim_fs_ops;
extern const struct io_ops sim_io_ops;

#endif

/* Directories of the simulated disk: names as the system and as the medium has them. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "storage/io/sim_internal.h"

struct sim_inode *sim_inode_new(struct io_sim *s, bool is_dir)
{
    struct sim_inode *inode = calloc(1, sizeof(*inode));
    CHECK(inode != NULL);
    inode->is_dir = is_dir;
    inode->mtime_ms = s->wall_ms;
    inode->next = s->inodes;
    s->inodes = inode;
    return inode;
}

static char *copy(const char *text)
{
    char *c = text ? strdup(text) : NULL;
    CHECK(c != NULL || text == NULL);
    return c;
}

static struct sim_name **name_find(struct sim_name **list, const char *name)
{
    while (*list && strcmp((*list)->name, name) != 0)
        list = &(*list)->next;
    return list;
}

static void name_add(struct sim_name **list, const char *name, struct sim_inode *inode)
{
    struct sim_name *n = calloc(1, sizeof(*n));
    CHECK(n != NULL);
    *n = (struct sim_name){copy(name), inode, *list};
    *list = n;
}

static void name_remove(struct sim_name **list, const char *name)
{
    struct sim_name **at = name_find(list, name), *n = *at;
    if (n == NULL)
        return;
    *at = n->next;
    free(n->name);
    free(n);
}

static void name_change(struct sim_name **list, const char *from, const char *to)
{
    name_remove(list, to);
    struct sim_name *n = *name_find(list, from);
    if (n == NULL)
        return;
    free(n->name);
    n->name = copy(to);
}

static void names_free(struct sim_name **list)
{
    while (*list)
        name_remove(list, (*list)->name);
}

static void change_drop(struct sim_inode *dir)
{
    struct sim_change *c = dir->changes;
    dir->changes = c->next;
    if (dir->changes == NULL)
        dir->changes_tail = NULL;
    free(c->from);
    free(c->to);
    free(c);
}

void sim_inode_free(struct sim_inode *inode)
{
    names_free(&inode->names);
    names_free(&inode->stable_names);
    while (inode->changes)
        change_drop(inode);
    free(inode->now.data);
    free(inode->stable.data);
    free(inode->lost);
    free(inode);
}

struct sim_inode *sim_parent(struct io_sim *s, const char *path, const char **name)
{
    struct sim_inode *dir = s->root;
    while (*path == '/')
        path++;
    for (;;) {
        const char *end = strchr(path, '/');
        char part[256];
        if (end == NULL)
            break;
        size_t n = (size_t)(end - path);
        if (n >= sizeof(part))
            return NULL;
        memcpy(part, path, n);
        part[n] = '\0';
        struct sim_name *in = *name_find(&dir->names, part);
        if (in == NULL || !in->inode->is_dir)
            return NULL;
        dir = in->inode;
        path = end + 1;
    }
    *name = path;
    return dir;
}

struct sim_inode *sim_find(struct io_sim *s, const char *path)
{
    const char *name;
    struct sim_inode *dir = sim_parent(s, path, &name);
    if (dir == NULL || *name == '\0')
        return dir;
    struct sim_name *n = *name_find(&dir->names, name);
    return n ? n->inode : NULL;
}

static void change_apply(struct sim_name **list, const struct sim_change *c)
{
    if (c->from && c->to)
        name_change(list, c->from, c->to);
    else if (c->to)
        name_add(list, c->to, c->inode);
    else
        name_remove(list, c->from);
}

static void commit(struct sim_inode *dir, uint64_t n)
{
    for (; dir->changes && n > 0; n--) {
        change_apply(&dir->stable_names, dir->changes);
        change_drop(dir);
    }
}

void sim_sync_names(struct sim_inode *dir)
{
    commit(dir, UINT64_MAX);
}

/*
 * Happens now, and on the medium with the directory's next sync; in the root at once, since there
 * tests make their directories.
 */
static void change(struct io_sim *s, struct sim_inode *dir, const char *from, const char *to,
                   struct sim_inode *inode)
{
    struct sim_change *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    *c = (struct sim_change){copy(from), copy(to), inode, NULL};
    if (dir->changes_tail)
        dir->changes_tail->next = c;
    else
        dir->changes = c;
    dir->changes_tail = c;
    change_apply(&dir->names, c);
    if (dir == s->root)
        sim_sync_names(dir);
}

struct sim_inode *sim_create(struct io_sim *s, const char *path, bool is_dir)
{
    const char *name;
    struct sim_inode *dir = sim_parent(s, path, &name), *inode = sim_inode_new(s, is_dir);
    change(s, dir, NULL, name, inode);
    return inode;
}

/* Within one directory; nothing moves a file to another. */
void sim_move(struct io_sim *s, const char *from, const char *to)
{
    const char *old, *new;
    struct sim_inode *dir = sim_parent(s, from, &old), *gone = sim_find(s, to);
    CHECK(sim_parent(s, to, &new) == dir);
    if (gone) {
        s->bytes -= (uint64_t)gone->now.size;
        gone->removed = true;
    }
    change(s, dir, old, new, NULL);
}

void sim_remove(struct io_sim *s, const char *path)
{
    const char *name;
    struct sim_inode *dir = sim_parent(s, path, &name);
    struct sim_inode *gone = sim_find(s, path);
    s->bytes -= (uint64_t)gone->now.size;
    gone->removed = true;
    change(s, dir, name, NULL, NULL);
}

static void reach(struct sim_inode *inode)
{
    inode->reachable = true;
    inode->removed = false;
    for (struct sim_name *n = inode->names; n; n = n->next)
        reach(n->inode);
}

static void names_back(struct sim_inode *dir, struct sim_name *stable)
{
    if (stable == NULL)
        return;
    names_back(dir, stable->next); /* the order stays */
    name_add(&dir->names, stable->name, stable->inode);
}

void sim_names_crash(struct io_sim *s)
{
    for (struct sim_inode *dir = s->inodes; dir; dir = dir->next) {
        uint64_t pending = 0;
        for (struct sim_change *c = dir->changes; c; c = c->next)
            pending++;
        commit(dir, rng_below(&s->rng, pending + 1));
        while (dir->changes)
            change_drop(dir);
        names_free(&dir->names);
        names_back(dir, dir->stable_names);
        dir->reachable = false;
    }
    reach(s->root);
}

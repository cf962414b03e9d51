/*
 * Memory with a name on the simulated disk: what the process stored before the crash is kept. Regions
 * are large and little of them is used: each is a file in memory, which knows its pages that were
 * stored to.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/io/sim_internal.h"

#define named_page_bytes 4096

/* Zeros. */
static struct sim_pages pages_new(uint64_t bytes)
{
    struct sim_pages p = {.fd = memfd_create("sim", MFD_CLOEXEC)};
    CHECK(p.fd >= 0 && ftruncate(p.fd, (off_t)bytes) == 0);
    p.data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p.fd, 0);
    CHECK(p.data != MAP_FAILED);
    return p;
}

static void pages_free(struct sim_pages *p, uint64_t bytes)
{
    if (p->data == NULL)
        return;
    munmap(p->data, bytes);
    close(p->fd);
    p->data = NULL;
}

static struct sim_pages pages_copy(const struct sim_pages *from, uint64_t bytes)
{
    struct sim_pages to = pages_new(bytes);
    off_t at = 0;
    while (at < (off_t)bytes && (at = lseek(from->fd, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(from->fd, at, SEEK_HOLE);
        CHECK(end > at);
        memcpy(to.data + at, from->data + at, (size_t)(end - at));
        at = end;
    }
    return to;
}

static struct sim_named **named_find(struct io_sim *s, const char *name)
{
    struct sim_named **at = &s->named;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void named_drop(struct sim_named **at)
{
    struct sim_named *n = *at;
    *at = n->next;
    pages_free(&n->now, n->bytes);
    pages_free(&n->kept, n->bytes);
    free(n);
}

int sim_map_named(struct fs *fs, const char *name, uint64_t bytes, struct fs_named *out)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_MAP_NAMED);
    if (err)
        return err;
    if (!named_name_ok(name))
        return ERR_INVALID;
    struct sim_named *n = *named_find(s, name);
    bool existed = n != NULL;
    if (n == NULL && bytes == 0)
        return ERR_NOT_FOUND;
    if (n == NULL) {
        n = calloc(1, sizeof(*n));
        CHECK(n != NULL);
        strcpy(n->name, name);
        n->bytes = (bytes + named_page_bytes - 1) / named_page_bytes * named_page_bytes;
        n->now = pages_new(n->bytes);
        n->next = s->named;
        s->named = n;
    }
    CHECK(!n->mapped);
    n->mapped = true;
    *out = (struct fs_named){n->now.data, n->bytes, existed, FS_NAMED_SIM, NULL};
    return 0;
}

void sim_unmap_named(struct fs *fs, struct fs_named *named)
{
    for (struct sim_named *n = sim_of(fs)->named; n && named->p; n = n->next)
        if (n->now.data == named->p)
            n->mapped = false;
    *named = (struct fs_named){0};
}

int sim_remove_named(struct fs *fs, const char *name)
{
    struct io_sim *s = sim_of(fs);
    int err = sim_fault(s, SIM_UNLINK);
    if (err)
        return err;
    struct sim_named **at = named_find(s, name);
    if (*at == NULL)
        return ERR_NOT_FOUND;
    CHECK(!(*at)->mapped);
    named_drop(at);
    return 0;
}

void sim_named_crash(struct io_sim *s, enum sim_crash crash)
{
    if (crash == SIM_POWER_CUT)
        return;
    for (struct sim_named *n = s->named; n; n = n->next)
        n->kept = pages_copy(&n->now, n->bytes);
}

void sim_named_revive(struct io_sim *s)
{
    for (struct sim_named **at = &s->named; *at;) {
        struct sim_named *n = *at;
        CHECK(!n->mapped);
        if (n->kept.data == NULL) {
            named_drop(at);
            continue;
        }
        pages_free(&n->now, n->bytes);
        n->now = n->kept;
        n->kept.data = NULL;
        at = &n->next;
    }
}

void sim_named_free(struct io_sim *s)
{
    while (s->named)
        named_drop(&s->named);
}

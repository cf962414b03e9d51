/* Memory with a name on the simulated disk: what the process stored before the crash is kept. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/io/sim_internal.h"

#define named_page_bytes 4096

static uint8_t *pages(uint64_t bytes)
{
    uint8_t *p = aligned_alloc(named_page_bytes, bytes);
    CHECK(p != NULL);
    return p;
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
    free(n->data);
    free(n->kept);
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
        n->data = pages(n->bytes);
        memset(n->data, 0, n->bytes);
        n->next = s->named;
        s->named = n;
    }
    CHECK(!n->mapped);
    n->mapped = true;
    *out = (struct fs_named){n->data, n->bytes, existed, FS_NAMED_SIM, NULL};
    return 0;
}

void sim_unmap_named(struct fs *fs, struct fs_named *named)
{
    for (struct sim_named *n = sim_of(fs)->named; n && named->p; n = n->next)
        if (n->data == named->p)
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
    for (struct sim_named *n = s->named; n; n = n->next) {
        n->kept = pages(n->bytes);
        memcpy(n->kept, n->data, n->bytes);
    }
}

void sim_named_revive(struct io_sim *s)
{
    for (struct sim_named **at = &s->named; *at;) {
        struct sim_named *n = *at;
        CHECK(!n->mapped);
        if (n->kept == NULL) {
            named_drop(at);
            continue;
        }
        free(n->data);
        n->data = n->kept;
        n->kept = NULL;
        at = &n->next;
    }
}

void sim_named_free(struct io_sim *s)
{
    while (s->named)
        named_drop(&s->named);
}

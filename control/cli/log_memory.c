#include "control/cli/log_memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/meta_properties.h"
#include "storage/cache/region_owner.h"

#define name_prefix "sluice-"

enum whose {
    IN_USE,
    WAITS,    /* its log dir is there */
    ORPHAN,   /* its log dir is not */
    DAMAGED,  /* says nothing that can be read */
    STRANGER, /* only the name is like ours */
};

struct memory {
    struct fs_named_info info;
    enum whose whose;
    char path[region_path_bytes_max + 1]; /* of its log dir; empty: it does not say */
    uint32_t marks, chunks;
    char text[512]; /* of DAMAGED and STRANGER */
};

/* 32 hexadecimal digits, a hyphen, a number. */
static bool name_parse(const char *name, struct uuid *dir, uint32_t *shard)
{
    char *end;
    if (strlen(name) < 34 || name[32] != '-')
        return false;
    for (uint32_t i = 0; i < 16; i++) {
        char digits[3] = {name[2 * i], name[2 * i + 1]};
        dir->b[i] = (uint8_t)strtoul(digits, &end, 16);
        if (end != digits + 2)
            return false;
    }
    *shard = (uint32_t)strtoul(name + 33, &end, 10);
    return *end == '\0';
}

/* The log dir that made it is there and is the same one. */
static bool dir_waits(struct fs *fs, const char *path, const struct uuid *id)
{
    struct meta_properties p;
    char why[512];
    return path[0] && meta_properties_read(fs, path, &p, why, sizeof(why)) == 0 &&
           uuid_eq(&p.directory_id, id);
}

static void look(struct fs *fs, const struct fs_named_info *info, struct memory *m)
{
    struct uuid id;
    uint32_t shard;
    struct region r;
    *m = (struct memory){.info = *info, .whose = IN_USE};
    if (info->in_use)
        return;
    m->whose = STRANGER;
    if (!name_parse(info->name, &id, &shard)) {
        snprintf(m->text, sizeof(m->text), "it is no log memory of a broker");
        return;
    }
    m->whose = DAMAGED;
    int err = region_open(&r, fs, &id, shard, m->text, sizeof(m->text));
    if (err) {
        if (m->text[0] == '\0')
            snprintf(m->text, sizeof(m->text), "%s", err_text(err));
        return;
    }
    m->marks = region_count(&r);
    m->chunks = r.chunks;
    snprintf(m->path, sizeof(m->path), "%s", region_path(&r));
    m->whose = dir_waits(fs, m->path, &id) ? WAITS : ORPHAN;
    region_close(&r);
}

struct listing {
    struct fs *fs;
    FILE *out;
    const char *wanted; /* NULL: all */
    struct memory found;
    bool any;
};

static void print(const struct memory *m, FILE *out)
{
    fprintf(out, name_prefix "%s %" PRIu64 " bytes", m->info.name, m->info.bytes);
    if (m->whose == IN_USE) {
        fprintf(out, ": in use by a process\n");
        return;
    }
    if (m->whose == STRANGER || m->whose == DAMAGED) {
        fprintf(out, ": %s\n", m->text);
        return;
    }
    fprintf(out, ", %u of %u chunks hold records, of %s: %s\n", m->marks, m->chunks,
            m->path[0] ? m->path : "a log dir that it does not name",
            m->whose == WAITS ? "the next start of its broker takes it"
            : m->path[0] == 0 ? "nobody's, unless a log dir has this directory.id"
                              : "nobody's: the log dir is gone or was made anew");
}

static int list_one(void *ctx, const struct fs_named_info *info)
{
    struct listing *l = ctx;
    if (l->wanted && strcmp(info->name, l->wanted) != 0)
        return 0;
    look(l->fs, info, &l->found);
    l->any = true;
    if (l->out)
        print(&l->found, l->out);
    return l->wanted != NULL;
}

int log_memory_list(struct fs *fs, FILE *out)
{
    struct listing *l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_NO_MEMORY;
    l->fs = fs;
    l->out = out;
    named_list(list_one, l);
    free(l);
    return 0;
}

static int removable(const struct memory *m, char *why, size_t why_size)
{
    switch (m->whose) {
    case IN_USE:
        snprintf(why, why_size, name_prefix "%s is in use by a process", m->info.name);
        return ERR_BUSY;
    case WAITS:
        snprintf(why, why_size,
                 name_prefix
                 "%s belongs to the log dir %s, whose next start takes it: start and stop "
                 "that broker",
                 m->info.name, m->path);
        return ERR_EXISTS;
    case STRANGER:
        snprintf(why, why_size, name_prefix "%s: %s", m->info.name, m->text);
        return ERR_INVALID;
    case ORPHAN:
    case DAMAGED:
        break;
    }
    return 0;
}

int log_memory_remove(struct fs *fs, const char *name, FILE *out, char *why, size_t why_size)
{
    struct listing *l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_NO_MEMORY;
    size_t prefix = strlen(name_prefix);
    l->fs = fs;
    l->wanted = strncmp(name, name_prefix, prefix) == 0 ? name + prefix : name;
    named_list(list_one, l);
    int err = l->any ? removable(&l->found, why, why_size) : ERR_NOT_FOUND;
    if (err == ERR_NOT_FOUND)
        snprintf(why, why_size, "there is no log memory " name_prefix "%s", l->wanted);
    if (!err) {
        err = fs->ops->remove_named(fs, l->wanted);
        if (err)
            snprintf(why, why_size, name_prefix "%s: %s", l->wanted, err_text(err));
        else
            fprintf(out, "removed " name_prefix "%s, %" PRIu64 " bytes\n", l->wanted,
                    l->found.info.bytes);
    }
    free(l);
    return err;
}

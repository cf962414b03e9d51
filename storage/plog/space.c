#include "storage/plog/space.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "storage/plog/plog_internal.h"

/* Like shard_new: at start, or when the first partition of a log dir comes to the shard. */
static struct dir_space *space_of(struct plog_env *env, const char *log_dir)
{
    struct dir_space *d = env->shard->spaces;
    while (d && strcmp(d->log_dir, log_dir) != 0)
        d = d->next;
    if (d)
        return d;
    d = calloc(1, sizeof(*d));
    CHECK(d != NULL);
    d->log_dir = strdup(log_dir);
    CHECK(d->log_dir != NULL);
    d->next = env->shard->spaces;
    env->shard->spaces = d;
    return d;
}

void space_attach(struct plog *p)
{
    p->space = space_of(p->env, p->log_dir);
}

void space_fini(struct plog_shard *shard)
{
    while (shard->spaces) {
        struct dir_space *d = shard->spaces;
        shard->spaces = d->next;
        free(d->log_dir);
        free(d);
    }
}

bool space_refuses(const struct plog *p, bool from_client)
{
    return p->space->level >= (from_client ? PLOG_SPACE_LOW : PLOG_SPACE_FULL);
}

enum plog_space plog_env_space_level(const struct plog_env *env, const char *log_dir)
{
    const struct dir_space *d = env->shard ? env->shard->spaces : NULL;
    while (d && strcmp(d->log_dir, log_dir) != 0)
        d = d->next;
    return d ? d->level : PLOG_SPACE_AMPLE;
}

void plog_env_space(struct plog_env *env, const char *log_dir, enum plog_space level)
{
    plog_env_shard(env);
    space_of(env, log_dir)->level = level;
}

#include "control/group/consumer_step.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "dataplane/proto/types.h"

void consumer_say(struct consumer_step *s, struct consumer_record *r)
{
    struct codec_out key = {0}, value = {0};
    if (s->err < 0)
        return;
    r->group = s->g->id;
    consumer_record_write(r, &key, &value);
    if (key.failed || value.failed) {
        s->err = ERR_NO_MEMORY;
    } else {
        struct group_record out = {key.p, key.len, r->tombstone ? NULL : value.p, value.len};
        if (s->emit != NULL)
            s->emit(s->emit_ctx, &out);
        s->err = consumer_record_apply(s->g, r);
    }
    codec_out_free(&key);
    codec_out_free(&value);
}

bool consumer_fits(const struct consumer_step *s, struct str member, size_t value_bytes)
{
    size_t most = s->settings->append_bytes_max, id = PROTO_STRING_BYTES_MAX;
    if (id > most / 8)
        id = most / 8;
    if (id < member.len)
        id = member.len;
    return s->g->id.len + id + value_bytes + consumer_record_spare_bytes <= most;
}

void consumer_say_gone(struct consumer_step *s, enum consumer_record_type type, struct str member)
{
    struct consumer_record r = {.type = type, .member = member, .tombstone = true};
    consumer_say(s, &r);
}

void consumer_say_current(struct consumer_step *s, struct str member,
                          const struct consumer_current *cur)
{
    struct consumer_record r = {.type = CONSUMER_RECORD_CURRENT, .member = member, .cur = *cur};
    consumer_say(s, &r);
}

void consumer_say_meta(struct consumer_step *s, struct str member, const struct consumer_meta *meta)
{
    struct consumer_record r = {.type = CONSUMER_RECORD_MEMBER, .member = member, .meta = *meta};
    consumer_say(s, &r);
}

void consumer_say_target(struct consumer_step *s, struct str member,
                         const struct consumer_parts *parts)
{
    struct consumer_record r = {.type = CONSUMER_RECORD_TARGET, .member = member, .parts = *parts};
    consumer_say(s, &r);
}

void consumer_say_epoch(struct consumer_step *s, int32_t epoch, uint64_t hash)
{
    struct consumer_record r = {.type = CONSUMER_RECORD_EPOCH, .epoch = epoch, .hash = hash};
    consumer_say(s, &r);
}

void consumer_refuse(struct consumer_step *s, struct consumer_fault *f, int16_t code,
                     const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    f->code = code;
    f->message = n >= 0 ? arena_str(s->scratch, (struct str){text, (uint32_t)n}) : STR_NULL;
    free(n >= 0 ? text : NULL);
}

static int member_cmp(const void *a, const void *b)
{
    return str_cmp((*(struct consumer_member *const *)a)->id,
                   (*(struct consumer_member *const *)b)->id);
}

struct consumer_member **consumer_sorted(struct consumer_step *s)
{
    uint32_t n = consumer_members(s->g), i = 0;
    struct consumer_member **v = arena_calloc(s->scratch, n + 1, sizeof(struct consumer_member *));
    if (v == NULL) {
        s->err = ERR_NO_MEMORY;
        return NULL;
    }
    size_t at = 0;
    for (struct consumer_member *m; (m = map_next(&s->g->members, &at)) != NULL;)
        v[i++] = m;
    qsort(v, n, sizeof(struct consumer_member *), member_cmp);
    return v;
}

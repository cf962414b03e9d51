#include <stdlib.h>

#include "base/err.h"
#include "control/group/consumer_step.h"

void consumer_fence(struct consumer_step *s, const struct str *ids, uint32_t n)
{
    struct str *regexes = arena_calloc(s->scratch, n + 1, sizeof(*regexes));
    uint32_t n_regexes = 0;
    if (regexes == NULL) {
        s->err = ERR_NO_MEMORY;
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct consumer_member *m = consumer_member_find(s->g, ids[i]);
        if (m == NULL)
            continue;
        if (consumer_has_regex(m->meta))
            regexes[n_regexes++] = arena_str(s->scratch, m->meta->regex);
        consumer_say_gone(s, CONSUMER_RECORD_CURRENT, ids[i]);
        consumer_say_gone(s, CONSUMER_RECORD_TARGET, ids[i]);
        consumer_say_gone(s, CONSUMER_RECORD_MEMBER, ids[i]);
    }
    n_regexes = consumer_names_sort(regexes, n_regexes);
    for (uint32_t i = 0; i < n_regexes; i++) {
        struct consumer_regex *r = consumer_regex_find(s->g, regexes[i]);
        if (r == NULL || r->members == 0)
            consumer_say_gone(s, CONSUMER_RECORD_REGEX, regexes[i]);
    }
    consumer_say_epoch(s, s->g->epoch + 1, consumer_metadata_hash(s));
}

#include "bench/micro/micro.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "core/eal.h"

#define micro_memory_mb 160

const struct micro_group *micro_groups(size_t i)
{
    static const struct micro_group *const groups[] = {&micro_checksum, &micro_codec, &micro_log,
                                                       &micro_request,  &micro_base,  &micro_core};
    return i < sizeof(groups) / sizeof(*groups) ? groups[i] : NULL;
}

bool micro_up(void)
{
    struct eal_options options = {.memory_mb = micro_memory_mb, .extra_args = "--no-huge"};
    struct eal_state state;
    char why[256] = "";
    int err = eal_up(&options, &state, why, sizeof(why));
    if (err)
        fprintf(stderr, "sluice-micro: %s\n", why[0] ? why : err_text(err));
    else
        atexit(eal_down);
    return err == 0;
}

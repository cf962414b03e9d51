#include "control/cli/tune.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/config/config.h"
#include "core/ring.h"
#include "dataplane/nic/quirks.h"
#include "dataplane/transport/dpdk_ports.h"

#define dir_bytes_max 4096

void tune_add(struct tune_report *r, enum tune_verdict verdict, const char *what,
              const char *remedy, const char *format, ...)
{
    if (r->count == tune_lines_max)
        return;
    struct tune_line *line = &r->items[r->count++];
    va_list args;
    line->verdict = verdict;
    snprintf(line->what, sizeof(line->what), "%s", what);
    snprintf(line->remedy, sizeof(line->remedy), "%s", verdict == TUNE_OK ? "" : remedy);
    va_start(args, format);
    vsnprintf(line->found, sizeof(line->found), format, args);
    va_end(args);
}

uint32_t tune_print(const struct tune_report *r, FILE *out)
{
    static const char *const words[] = {"ok", "could be better", "wrong"};
    uint32_t counts[3] = {0};
    for (uint32_t i = 0; i < r->count; i++) {
        const struct tune_line *line = &r->items[i];
        fprintf(out, "%-15s  %-16s  %s%s%s\n", words[line->verdict], line->what, line->found,
                line->remedy[0] ? "; " : "", line->remedy);
        counts[line->verdict]++;
    }
    fprintf(out, "%u ok, %u could be better, %u wrong\n", counts[TUNE_OK], counts[TUNE_BETTER],
            counts[TUNE_WRONG]);
    return counts[TUNE_WRONG];
}

/* ---- what the settings ask for ---- */

static void take_card(struct tune_wants *w, const char *device)
{
    int len = (int)strcspn(device, ",");
    bool domain = strchr(device, ':') != strrchr(device, ':');
    snprintf(w->cards[w->card_count++], sizeof(w->cards[0]), "%s%.*s",
             domain ? "" : "0000:", len > 12 ? 12 : len, device);
}

static int take_ports(struct tune_wants *w, const struct config *c, char *why, size_t why_size)
{
    char text[dpdk_text_bytes_max];
    if (!config_has(c, CONFIG_SLUICE_DPDK_PORTS))
        return 0;
    struct str setting = config_string(c, CONFIG_SLUICE_DPDK_PORTS);
    if (setting.len >= sizeof(text)) {
        snprintf(why, why_size, "sluice.dpdk.ports is too long");
        return ERR_INVALID;
    }
    snprintf(text, sizeof(text), "%.*s", STR_ARG(setting));
    struct dpdk_ports *ports = calloc(1, sizeof(*ports));
    if (ports == NULL)
        return ERR_NO_MEMORY;
    int err = dpdk_ports_parse(ports, text, why, why_size);
    for (uint32_t i = 0; !err && i < ports->count && w->card_count < tune_cards_max; i++)
        if (quirks_is_pci(ports->items[i].device))
            take_card(w, ports->items[i].device);
    free(ports);
    return err ? ERR_INVALID : 0;
}

static int take_wants(struct tune_wants *w, const struct config *c, char *why, size_t why_size)
{
    w->memory_bytes = (uint64_t)config_long(c, CONFIG_SLUICE_MEMORY);
    w->fsync = str_eq(config_string(c, CONFIG_SLUICE_DURABILITY), STR("fsync"));
    int n = config_cpus(c, w->cpus, shard_count_max);
    w->cpu_count = n > 0 ? (uint32_t)n : 0;
    return take_ports(w, c, why, why_size);
}

static int settings_load(struct config **out, const char *properties, char *why, size_t why_size)
{
    struct config_errors errs;
    struct config_sources sources = {.path = properties};
    config_errors_init(&errs);
    int err = config_load(out, &sources, &errs);
    if (err && errs.errors.count > 0)
        snprintf(why, why_size, "%.*s", STR_ARG(errs.errors.items[0]));
    else if (err)
        snprintf(why, why_size, "the configuration cannot be read: %s", err_text(err));
    config_errors_free(&errs);
    return err;
}

static void disks_look(struct tune_report *r, const struct config *c, bool fsync)
{
    struct config_list dirs = config_log_dirs(c);
    for (uint32_t i = 0; i < dirs.count; i++) {
        char dir[dir_bytes_max];
        struct tune_disk disk;
        snprintf(dir, sizeof(dir), "%.*s", STR_ARG(dirs.items[i]));
        tune_disk_look(&disk, dir);
        tune_disk_judge(r, &disk, fsync);
    }
}

static int check_into(struct tune_report *r, const struct config *c, char *why, size_t why_size)
{
    struct tune_wants wants = {.memory_bytes = 0};
    char refusal[256] = "";
    struct ring ring;
    int err = take_wants(&wants, c, why, why_size);
    if (err)
        return err;
    if (ring_init(&ring, ring_sq_entries_default, refusal, sizeof(refusal)) == 0)
        ring_fini(&ring);
    else
        wants.ring_refusal = refusal;
    tune_machine(r, "", &wants);
    disks_look(r, c, wants.fsync);
    return 0;
}

int tune_check(const char *properties, FILE *out, char *why, size_t why_size)
{
    struct config *config = NULL;
    struct tune_report *report = calloc(1, sizeof(*report));
    int err = report ? settings_load(&config, properties, why, why_size) : ERR_NO_MEMORY;
    if (!err)
        err = check_into(report, config, why, why_size);
    if (!err)
        err = tune_print(report, out) > 0;
    config_free(config);
    free(report);
    return err;
}

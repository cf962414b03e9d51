/* sluiced: the broker's program. Configuration in, a running broker, and an exit code. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "control/broker.h"
#include "control/config/config.h"
#include "core/eal.h"

#ifndef SLUICE_VERSION
#error "the build gives the version"
#endif

#define why_bytes 1024

static const char usage[] =
    "Usage: sluiced [server.properties] [--override key=value]...\n"
    "\n"
    "  --override key=value  a setting that comes before the file; may be repeated\n"
    "  --check               checks the configuration, prints the settings in force and ends\n"
    "  --version             prints the version and ends\n"
    "  --help                prints this text and ends\n"
    "\n"
    "Exit: 0 after SIGTERM or SIGINT; 1 if the configuration or the start was refused.\n";

struct options {
    struct config_sources sources;
    const char *overrides[config_overrides_max];
    bool check;
};

/* A signal handler has no argument of its own: the one pointer of this program that is global. */
static struct broker *_Atomic running;

static void on_signal(int number)
{
    struct broker *b = running;
    if (b)
        broker_request_stop(b);
}

/* Returns -1 to go on, or the exit code. */
static int options_read(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        } else if (strcmp(arg, "--version") == 0) {
            puts("sluiced " SLUICE_VERSION);
            return 0;
        } else if (strcmp(arg, "--check") == 0) {
            o->check = true;
        } else if (strcmp(arg, "--override") == 0 && i + 1 < argc &&
                   o->sources.override_count < config_overrides_max) {
            o->overrides[o->sources.override_count++] = argv[++i];
        } else if (arg[0] != '-' && o->sources.path == NULL) {
            o->sources.path = arg;
        } else {
            fprintf(stderr, "sluiced: cannot use the argument %s\n%s", arg, usage);
            return 1;
        }
    }
    return -1;
}

static void messages_print(const char *kind, const struct config_messages *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        fprintf(stderr, "sluiced: %s: %.*s\n", kind, STR_ARG(m->items[i]));
    if (m->left_out)
        fprintf(stderr, "sluiced: %s: %u more\n", kind, m->left_out);
}

static int config_read(struct options *o, struct config **out)
{
    struct config_errors errs;
    char host[256] = "";
    if (gethostname(host, sizeof(host) - 1) == 0 && host[0] != '\0')
        o->sources.hostname = host;
    o->sources.overrides = o->overrides;
    config_errors_init(&errs);
    int err = config_load(out, &o->sources, &errs);
    messages_print("warning", &errs.warnings);
    if (o->check)
        messages_print("note", &errs.notes);
    messages_print("error", &errs.errors);
    if (err && errs.errors.count == 0)
        fprintf(stderr, "sluiced: error: the configuration cannot be read: %s\n", err_text(err));
    config_errors_free(&errs);
    return err;
}

static int check_print(const struct config *c)
{
    struct arena arena;
    struct str text;
    arena_init(&arena, config_bytes_max);
    int err = config_dump(c, &arena, &text);
    if (err == 0)
        fwrite(text.p, 1, text.len, stdout);
    arena_free(&arena);
    return err ? 1 : 0;
}

static void signals_catch(void)
{
    struct sigaction stop = {.sa_handler = on_signal};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
}

static int refused(const char *why)
{
    log_error("broker", "the start is refused: %s", why);
    return 1;
}

static int serve(struct config *config)
{
    struct broker_seams seams = {.clock = clock_system(), .fs = fs_real(), .seed = rng_entropy()};
    struct broker *b;
    char why[why_bytes] = "", ready[why_bytes];
    if (broker_new(&b, config, &seams, why, sizeof(why)) != 0)
        return refused(why);
    running = b;
    signals_catch();
    int err = broker_start(b, ready, sizeof(ready), why, sizeof(why));
    int code = err == ERR_CANCELLED ? 0 : err ? refused(why) : 0;
    if (!err) {
        printf("sluiced ready %s\n", ready);
        fflush(stdout);
        code = broker_run(b) ? 1 : 0;
    }
    running = NULL;
    broker_free(b);
    eal_down();
    return code;
}

int main(int argc, char **argv)
{
    static struct options options;
    struct config *config;
    int code = options_read(argc, argv, &options);
    if (code >= 0)
        return code;
    if (config_read(&options, &config) != 0)
        return 1;
    code = options.check ? check_print(config) : serve(config);
    config_free(config);
    return code;
}

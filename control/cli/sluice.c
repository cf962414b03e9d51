/* sluice: the tool beside the broker. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/cli/capture.h"
#include "control/cli/log_memory.h"
#include "control/cli/log_tool.h"
#include "control/cli/meta_dump.h"
#include "control/cli/nic_test.h"
#include "control/cli/ports.h"
#include "control/cli/stages.h"
#include "control/cli/tune.h"
#include "core/eal.h"

static const char usage[] =
    "Usage: sluice version\n"
    "       sluice meta dump <log dir>   the metadata records of a log dir, one a line\n"
    "       sluice log dump [--records] <path>     the batches of a segment file or of a "
    "partition's\n"
    "                                    directory, or the commits and frames of a journal, one a "
    "line\n"
    "       sluice log verify [--compacted] <path> looks at every byte; names the first fault\n"
    "       sluice log stat <path>       segments, bytes, offsets, compression\n"
    "       sluice log memory [remove <name>]      named log memory on this machine and whose it "
    "is;\n"
    "                                    removes what is nobody's\n"
    "       sluice stages [--shards] <address>     where the time of requests goes; address: the "
    "broker's\n"
    "                                    sluice.metrics.listener; of each shard by itself\n"
    "       sluice capture [--seconds N] [--port N] [--address A] [--snap BYTES] <address> <file>\n"
    "                                    packets of the broker's network ports, as pcap; address: "
    "as for stages\n"
    "       sluice ports [--queues N] <device>...  opens network ports, says what they can do, "
    "closes\n"
    "                                    them; device: as in sluice.dpdk.ports\n"
    "       sluice nic test [--queues N] [--ping ADDRESS] <device> [<device>]  sends frames "
    "through a "
    "port\n"
    "                                    that hears itself, two that a cable joins, or to a "
    "neighbour\n"
    "       sluice tune --check [server.properties]  what this machine lacks for a broker with "
    "these\n"
    "                                    settings, and how to put it right\n"
    "\n"
    "Exit: 0, or 1 with the reason on standard error (tune: 1 if something is wrong, "
    "ports:\n"
    "if a device was refused, nic test: if something failed).\n";

static int run_meta_dump(const char *dir)
{
    char why[1024] = "";
    if (meta_dump(fs_real(), dir, stdout, why, sizeof(why)) == 0)
        return 0;
    fflush(stdout);
    fprintf(stderr, "sluice: %s\n", why);
    return 1;
}

static int run_stages(const char *address, bool by_shard)
{
    char why[256] = "";
    if (stages_print(address, by_shard, stdout, why, sizeof(why)) == 0)
        return 0;
    fprintf(stderr, "sluice: %s\n", why);
    return 1;
}

static int run_tune(const char *properties)
{
    char why[1024] = "";
    int err = tune_check(properties, stdout, why, sizeof(why));
    if (err < 0)
        fprintf(stderr, "sluice: %s\n", why[0] ? why : err_text(err));
    return err != 0;
}

/* ports [--queues N] <device>... */
static int run_ports(int argc, char **argv)
{
    char why[1024] = "";
    uint32_t queues = ports_queues_default;
    bool asked = argc > 2 && strcmp(argv[0], "--queues") == 0;
    if (asked)
        queues = (uint32_t)strtoul(argv[1], NULL, 10);
    int skip = asked ? 2 : 0;
    int refused = ports_print((const char *const *)argv + skip, (uint32_t)(argc - skip), queues,
                              stdout, why, sizeof(why));
    fflush(stdout);
    eal_down();
    if (refused < 0)
        fprintf(stderr, "sluice: %s\n", why[0] ? why : err_text(refused));
    return refused != 0;
}

/* capture [--seconds N] [--port N] [--address A] [--snap BYTES] <address> <file> */
static int run_capture(int argc, char **argv)
{
    char why[512] = "usage: sluice capture [--seconds N] [--port N] [--address A] [--snap BYTES] "
                    "<address> <file>";
    struct capture_order o = {.seconds = capture_seconds_default};
    uint64_t bytes = 0;
    int i = 0, err = ERR_INVALID;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        uint32_t n = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seconds") == 0)
            o.seconds = n;
        else if (strcmp(argv[i], "--port") == 0)
            o.port = n;
        else if (strcmp(argv[i], "--snap") == 0)
            o.snap = n;
        else if (strcmp(argv[i], "--address") == 0)
            o.address = argv[i + 1];
        else
            break;
    }
    if (argc - i == 2) {
        o.broker = argv[i];
        o.file = argv[i + 1];
        err = capture_run(&o, &bytes, why, sizeof(why));
    }
    if (err)
        fprintf(stderr, "sluice: %s\n", why);
    else
        printf("%llu bytes in %s\n", (unsigned long long)bytes, o.file);
    return err != 0;
}

/* nic test [--queues N] [--ping ADDRESS] <device> [<device>] */
static int run_nic_test(int argc, char **argv)
{
    char why[1024] = "";
    struct nic_test t = {.queues = ports_queues_default};
    int i = 0;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--queues") == 0)
            t.queues = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--ping") == 0)
            t.neighbor = argv[i + 1];
        else
            break;
    }
    for (; i < argc && t.count < nic_test_devices_max; i++)
        t.devices[t.count++] = argv[i];
    int failed = i < argc ? ERR_INVALID : nic_test(&t, stdout, why, sizeof(why));
    fflush(stdout);
    eal_down();
    if (failed < 0)
        fprintf(stderr, "sluice: %s\n", why[0] ? why : "nic test: one device or two");
    return failed != 0;
}

/* log memory [remove <name>] */
static int run_log_memory(int argc, char **argv)
{
    char why[8192] = "";
    int err;
    if (argc == 0) {
        err = log_memory_list(fs_real(), stdout);
    } else if (argc == 2 && strcmp(argv[0], "remove") == 0) {
        err = log_memory_remove(fs_real(), argv[1], stdout, why, sizeof(why));
    } else {
        fputs(usage, stderr);
        return 1;
    }
    fflush(stdout);
    if (err)
        fprintf(stderr, "sluice: %s\n", why[0] ? why : err_text(err));
    return err != 0;
}

/* log <command> [--option] <path> */
static int run_log(int argc, char **argv)
{
    char why[8192] = "";
    const char *command = argv[0], *path = argv[argc - 1];
    const char *option = argc == 3 ? argv[1] : "";
    bool dump = strcmp(command, "dump") == 0, verify = strcmp(command, "verify") == 0;
    int err;
    if (dump && (argc == 2 || strcmp(option, "--records") == 0)) {
        err = log_dump(fs_real(), path, argc == 3, stdout, why, sizeof(why));
    } else if (verify && (argc == 2 || strcmp(option, "--compacted") == 0)) {
        err = log_check(fs_real(), path, argc == 3, stdout, why, sizeof(why));
    } else if (argc == 2 && strcmp(command, "stat") == 0) {
        err = log_stat(fs_real(), path, stdout, why, sizeof(why));
    } else {
        fputs(usage, stderr);
        return 1;
    }
    fflush(stdout);
    if (err)
        fprintf(stderr, "sluice: %s\n", why);
    return err != 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0)) {
        puts("sluice " SLUICE_VERSION);
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "meta") == 0 && strcmp(argv[2], "dump") == 0)
        return run_meta_dump(argv[3]);
    if (argc >= 3 && strcmp(argv[1], "log") == 0 && strcmp(argv[2], "memory") == 0)
        return run_log_memory(argc - 3, argv + 3);
    if ((argc == 4 || argc == 5) && strcmp(argv[1], "log") == 0)
        return run_log(argc - 2, argv + 2);
    if (argc >= 3 && strcmp(argv[1], "ports") == 0)
        return run_ports(argc - 2, argv + 2);
    if (argc >= 3 && strcmp(argv[1], "capture") == 0)
        return run_capture(argc - 2, argv + 2);
    if (argc >= 4 && strcmp(argv[1], "nic") == 0 && strcmp(argv[2], "test") == 0)
        return run_nic_test(argc - 3, argv + 3);
    if (argc == 3 && strcmp(argv[1], "stages") == 0)
        return run_stages(argv[2], false);
    if (argc == 4 && strcmp(argv[1], "stages") == 0 && strcmp(argv[2], "--shards") == 0)
        return run_stages(argv[3], true);
    if ((argc == 3 || argc == 4) && strcmp(argv[1], "tune") == 0 && strcmp(argv[2], "--check") == 0)
        return run_tune(argc == 4 ? argv[3] : NULL);
    fputs(usage, stderr);
    return 1;
}

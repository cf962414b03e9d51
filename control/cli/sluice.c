/* sluice: the tool beside the broker. */
#include <stdio.h>
#include <string.h>

#include "control/cli/meta_dump.h"

static const char usage[] =
    "Usage: sluice version\n"
    "       sluice meta dump <log dir>   the metadata records of a log dir, one a line\n"
    "\n"
    "Exit: 0, or 1 with the reason on standard error.\n";

static int run_meta_dump(const char *dir)
{
    char why[1024] = "";
    if (meta_dump(fs_real(), dir, stdout, why, sizeof(why)) == 0)
        return 0;
    fflush(stdout);
    fprintf(stderr, "sluice: %s\n", why);
    return 1;
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
    fputs(usage, stderr);
    return 1;
}

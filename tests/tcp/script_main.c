/* script: runs the packet scripts named as arguments (script.h). */
#include <stdio.h>
#include <stdlib.h>

#include "tests/tcp/script.h"
#include "tests/unit/core/with_eal.h"

static char *whole_file(const char *path)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return NULL;
    char *text = calloc(1, 65536);
    if (text != NULL && fread(text, 1, 65535, f) == 0) {
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

int main(int argc, char **argv)
{
    static struct world_pools pools;
    int failed = 0;
    with_eal(64);
    world_pools_make(&pools, 2047);
    for (int i = 1; i < argc; i++) {
        char *text = whole_file(argv[i]);
        if (text == NULL || !script_run(argv[i], text, &pools)) {
            printf("FAILED %s\n", argv[i]);
            failed++;
        }
        free(text);
    }
    printf("script: %d run, %d failed\n", argc - 1, failed);
    return failed > 0 || argc < 2;
}

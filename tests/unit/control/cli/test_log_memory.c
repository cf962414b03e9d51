/* log memory: whose a region is, what may be removed, and that a mapping is never touched. */
#include "control/cli/log_memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rng.h"
#include "control/meta_properties.h"
#include "storage/cache/region_owner.h"
#include "tests/unit/unit.h"

#define chunk_count 2

static char dir[64], why[4096];
static struct uuid id;
static char name[fs_named_name_bytes_max + 1];
static struct region region;

/* A log dir with an identity, and the region of its broker. False: no named memory here. */
static bool up(void)
{
    struct fs *fs = fs_real();
    strcpy(dir, "/tmp/sluice_memory_XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    struct rng rng;
    rng_seed(&rng, unit_seed() ^ (uint64_t)getpid());
    id = uuid_random(&rng);
    struct meta_properties p = {.cluster_id = id, .directory_id = id, .node_id = 1};
    CU_ASSERT_EQUAL_FATAL(meta_properties_write(fs, dir, &p, 1700000000000), 0);
    region_name(&id, 0, name);
    if (region_make(&region, fs, &id, 0, 1, chunk_count) != 0)
        return false;
    region_sign(&region, dir);
    return true;
}

static void identity_remove(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/meta.properties", dir);
    CU_ASSERT_EQUAL(unlink(path), 0);
}

/* The line about our region, or "". */
static const char *line(void)
{
    static char text[1 << 20], *found;
    FILE *out = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_EQUAL(log_memory_list(fs_real(), out), 0);
    rewind(out);
    text[fread(text, 1, sizeof(text) - 1, out)] = '\0';
    fclose(out);
    found = strstr(text, name);
    if (found == NULL)
        return "";
    found[strcspn(found, "\n")] = '\0';
    return found;
}

static int removed(void)
{
    FILE *out = tmpfile();
    why[0] = '\0';
    int err = log_memory_remove(fs_real(), name, out, why, sizeof(why));
    fclose(out);
    return err;
}

static void a_mapping_is_never_touched(void)
{
    struct region other;
    if (!up())
        return;
    identity_remove();
    CU_ASSERT_PTR_NOT_NULL(strstr(line(), "in use by a process"));
    CU_ASSERT_EQUAL(removed(), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "in use"));
    CU_ASSERT_EQUAL(region_open(&other, fs_real(), &id, 0, why, sizeof(why)), ERR_BUSY);
    region_close(&region);
    CU_ASSERT_PTR_NOT_NULL(strstr(line(), "0 of 2 chunks hold records"));
    CU_ASSERT_EQUAL(removed(), 0);
    CU_ASSERT_STRING_EQUAL(line(), "");
    CU_ASSERT_EQUAL(removed(), ERR_NOT_FOUND);
    rmdir(dir);
}

static void its_log_dir_waits_for_it(void)
{
    if (!up())
        return;
    region_close(&region);
    CU_ASSERT_PTR_NOT_NULL(strstr(line(), "the next start of its broker takes it"));
    CU_ASSERT_PTR_NOT_NULL(strstr(line(), dir));
    CU_ASSERT_EQUAL(removed(), ERR_EXISTS);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, dir));
    /* while the broker runs, and after a crash, the file has another name */
    CU_ASSERT_EQUAL(meta_properties_hide(fs_real(), dir), 0);
    CU_ASSERT_EQUAL(removed(), ERR_EXISTS);
    CU_ASSERT_EQUAL(meta_properties_show(fs_real(), dir), 0);
    /* made anew: another directory.id at the same place */
    struct meta_properties p = {.cluster_id = id, .directory_id = id, .node_id = 1};
    p.directory_id.b[5]++;
    CU_ASSERT_EQUAL(meta_properties_write(fs_real(), dir, &p, 1700000000000), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(line(), "gone or was made anew"));
    CU_ASSERT_EQUAL(removed(), 0);
    identity_remove();
    rmdir(dir);
}

static void strangers_stay(void)
{
    struct fs *fs = fs_real();
    struct fs_named m;
    snprintf(name, sizeof(name), "stranger-%d", (int)getpid());
    if (fs->ops->map_named(fs, name, 4096, &m) != 0)
        return;
    fs->ops->unmap_named(fs, &m);
    CU_ASSERT_PTR_NOT_NULL(strstr(line(), "no log memory of a broker"));
    CU_ASSERT_EQUAL(removed(), ERR_INVALID);
    CU_ASSERT_EQUAL(fs->ops->remove_named(fs, name), 0);
}

UNIT_MAIN("control/cli/log_memory", UNIT_CASE(a_mapping_is_never_touched),
          UNIT_CASE(its_log_dir_waits_for_it), UNIT_CASE(strangers_stay))

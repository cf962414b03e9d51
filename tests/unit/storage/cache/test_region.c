/* Named log memory: what is found again, and what is refused. */
#include <string.h>

#include "base/err.h"
#include "storage/cache/region.h"
#include "storage/io/sim.h"
#include "tests/unit/unit.h"

#define chunk_count 5

static struct io_sim sim;
static const struct uuid dir = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static char why[256];

static struct region_place place(uint32_t start)
{
    return (struct region_place){.topic_id = {{7, 7, 7}},
                                 .partition = 3,
                                 .leader_epoch = 2,
                                 .base = 1000,
                                 .position = 5 * tail_chunk_bytes,
                                 .start = start,
                                 .sequence = 11};
}

static struct region made(void)
{
    struct region r;
    io_sim_init(&sim, unit_seed());
    CU_ASSERT_EQUAL_FATAL(region_make(&r, &sim.fs, &dir, 0, 2, chunk_count), 0);
    return r;
}

static int opened(struct region *r, const struct uuid *id)
{
    why[0] = '\0';
    return region_open(r, &sim.fs, id, 0, why, sizeof(why));
}

static void test_found_again(void)
{
    struct region r = made();
    struct region_place p = place(100), got;
    uint64_t hash = region_mark_place(&r.marks[1], &p);
    CU_ASSERT_EQUAL(region_count(&r), 0); /* a place alone says nothing */
    region_mark_store(&r.marks[1], hash, 200);
    region_mark_store(&r.marks[1], hash, tail_chunk_bytes);
    memset(r.data + tail_chunk_bytes, 0xab, tail_chunk_bytes);
    io_sim_crash(&sim, SIM_PROCESS_DEATH);
    region_close(&r);
    io_sim_revive(&sim);
    CU_ASSERT_EQUAL_FATAL(opened(&r, &dir), 0);
    CU_ASSERT_EQUAL(r.chunks, chunk_count);
    CU_ASSERT_EQUAL(r.shards, 2);
    CU_ASSERT_EQUAL(region_count(&r), 1);
    CU_ASSERT_TRUE_FATAL(region_mark_read(&r.marks[1], &got));
    CU_ASSERT_EQUAL(memcmp(got.topic_id.b, p.topic_id.b, 16), 0);
    CU_ASSERT_EQUAL(got.partition, 3);
    CU_ASSERT_EQUAL(got.leader_epoch, 2);
    CU_ASSERT_EQUAL(got.base, 1000);
    CU_ASSERT_EQUAL(got.position, 5 * tail_chunk_bytes);
    CU_ASSERT_EQUAL(got.start, 100);
    CU_ASSERT_EQUAL(got.used, tail_chunk_bytes);
    CU_ASSERT_EQUAL(got.sequence, 11);
    CU_ASSERT_EQUAL(r.data[2 * tail_chunk_bytes - 1], 0xab);
    region_mark_clear(&r.marks[1]);
    CU_ASSERT_EQUAL(region_count(&r), 0);
    CU_ASSERT_EQUAL(region_remove(&r), 0);
    CU_ASSERT_EQUAL(opened(&r, &dir), ERR_NOT_FOUND);
    io_sim_free(&sim);
}

static void test_gone_with_the_power(void)
{
    struct region r = made();
    io_sim_crash(&sim, SIM_POWER_CUT);
    region_close(&r);
    io_sim_revive(&sim);
    CU_ASSERT_EQUAL(opened(&r, &dir), ERR_NOT_FOUND);
    io_sim_free(&sim);
}

/* Each byte of a mark counts: a changed one is not believed. */
static void test_torn_marks(void)
{
    struct region r = made();
    struct region_place p = place(100), got;
    region_mark_store(&r.marks[0], region_mark_place(&r.marks[0], &p), 200);
    uint8_t *bytes = (uint8_t *)&r.marks[0];
    for (uint32_t i = 0; i < region_mark_bytes; i++) {
        bytes[i] ^= 1;
        CU_ASSERT_FALSE(region_mark_read(&r.marks[0], &got));
        bytes[i] ^= 1;
    }
    CU_ASSERT_TRUE(region_mark_read(&r.marks[0], &got));
    uint64_t hash = region_mark_place(&r.marks[2], &p);
    region_mark_store(&r.marks[2], hash, 100); /* no byte */
    CU_ASSERT_FALSE(region_mark_read(&r.marks[2], &got));
    region_mark_store(&r.marks[2], hash, tail_chunk_bytes + 1);
    CU_ASSERT_FALSE(region_mark_read(&r.marks[2], &got));
    region_close(&r);
    io_sim_free(&sim);
}

/* Flips a byte of the header and expects a refusal that says `what`. */
static void refused(uint32_t at, uint8_t flip, const char *what)
{
    struct region r = made(), other;
    r.named.p[at] ^= flip;
    region_close(&r);
    CU_ASSERT_EQUAL(opened(&other, &dir), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, what));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, r.name));
    CU_ASSERT_EQUAL(sim.fs.ops->remove_named(&sim.fs, r.name), 0); /* it was left alone */
    io_sim_free(&sim);
}

static void test_refused(void)
{
    refused(0, 1, "is not a region");
    refused(8, 2, "another format version");
    refused(16, 1, "damaged header"); /* the directory's id */
    refused(40, 1, "damaged header"); /* the number of chunks */
}

static void test_other_owner_and_size(void)
{
    struct region r = made(), other;
    char name[fs_named_name_bytes_max + 1];
    struct fs_named named;
    /* the same bytes under another directory's name */
    static const struct uuid second = {{99}};
    region_name(&second, 0, name);
    CU_ASSERT_EQUAL(sim.fs.ops->map_named(&sim.fs, name, r.named.bytes, &named), 0);
    memcpy(named.p, r.named.p, region_header_bytes);
    sim.fs.ops->unmap_named(&sim.fs, &named);
    CU_ASSERT_EQUAL(opened(&other, &second), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "another log dir"));
    CU_ASSERT_EQUAL(sim.fs.ops->remove_named(&sim.fs, name), 0);
    /* and a part of them */
    region_name(&dir, 0, name);
    uint8_t header[region_header_bytes];
    memcpy(header, r.named.p, sizeof(header));
    CU_ASSERT_EQUAL(region_make(&other, &sim.fs, &second, 0, 1, 1), 0);
    region_close(&other);
    CU_ASSERT_EQUAL(region_remove(&r), 0);
    CU_ASSERT_EQUAL(sim.fs.ops->map_named(&sim.fs, name, 8192, &named), 0);
    memcpy(named.p, header, sizeof(header));
    sim.fs.ops->unmap_named(&sim.fs, &named);
    CU_ASSERT_EQUAL(opened(&other, &dir), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "another size"));
    io_sim_free(&sim);
}

/* Whoever made it died at once: zeros are nobody's records. */
static void test_never_finished(void)
{
    char name[fs_named_name_bytes_max + 1];
    struct fs_named named;
    struct region r;
    io_sim_init(&sim, unit_seed());
    region_name(&dir, 0, name);
    CU_ASSERT_EQUAL(sim.fs.ops->map_named(&sim.fs, name, 1 << 20, &named), 0);
    sim.fs.ops->unmap_named(&sim.fs, &named);
    CU_ASSERT_EQUAL(opened(&r, &dir), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL_FATAL(region_make(&r, &sim.fs, &dir, 0, 1, chunk_count), 0);
    struct region second;
    region_close(&r);
    CU_ASSERT_EQUAL(region_make(&second, &sim.fs, &dir, 0, 1, chunk_count), ERR_EXISTS);
    io_sim_free(&sim);
}

UNIT_MAIN("cache/region", UNIT_CASE(test_found_again), UNIT_CASE(test_gone_with_the_power),
          UNIT_CASE(test_torn_marks), UNIT_CASE(test_refused), UNIT_CASE(test_other_owner_and_size),
          UNIT_CASE(test_never_finished))

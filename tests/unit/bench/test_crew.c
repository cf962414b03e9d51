/* crew: threads begin together, one that fails ends the others, and the operator ends all. */
#include <stdatomic.h>
#include <string.h>

#include "base/err.h"
#include "bench/crew.h"
#include "tests/unit/unit.h"

#define threads 4

static _Atomic uint32_t before, wrong;
static _Atomic bool stop;

static int job_meets(void *ctx, struct crew_member *m)
{
    for (int i = 0; i < 50; i++) {
        atomic_fetch_add(&before, 1);
        if (crew_meet(m))
            return ERR_CANCELLED;
        if (atomic_load(&before) < (uint32_t)(i + 1) * threads)
            atomic_fetch_add(&wrong, 1);
        if (crew_meet(m))
            return ERR_CANCELLED;
    }
    m->result->records = m->index + 1;
    return 0;
}

static void test_meet(void)
{
    struct crew crew;
    char why[crew_why_max] = "";
    atomic_store(&before, 0);
    CU_ASSERT_EQUAL_FATAL(crew_init(&crew, threads, "test", &stop), 0);
    CU_ASSERT_EQUAL(crew_run(&crew, job_meets, NULL, NULL, why), 0);
    CU_ASSERT_EQUAL(atomic_load(&wrong), 0);
    CU_ASSERT_EQUAL(atomic_load(&before), 50 * threads);
    for (uint32_t i = 0; i < threads; i++)
        CU_ASSERT_EQUAL(crew.member[i].result->records, i + 1);
    crew_fini(&crew);
}

static int job_one_fails(void *ctx, struct crew_member *m)
{
    if (m->index == 2) {
        strcpy(m->why, "the third has no luck");
        return ERR_TIMEOUT;
    }
    return crew_meet(m); /* would wait for ever */
}

static void test_one_fails(void)
{
    struct crew crew;
    char why[crew_why_max] = "";
    CU_ASSERT_EQUAL_FATAL(crew_init(&crew, threads, "test", NULL), 0);
    CU_ASSERT_EQUAL(crew_run(&crew, job_one_fails, NULL, NULL, why), ERR_TIMEOUT);
    CU_ASSERT_STRING_EQUAL(why, "the third has no luck");
    crew_fini(&crew);
}

static int job_interrupted(void *ctx, struct crew_member *m)
{
    if (m->index == 0)
        atomic_store(&stop, true);
    while (!crew_stopping(m))
        ;
    return ERR_CANCELLED;
}

static void test_interrupted(void)
{
    struct crew crew;
    char why[crew_why_max] = "";
    CU_ASSERT_EQUAL_FATAL(crew_init(&crew, threads, "test", &stop), 0);
    CU_ASSERT_EQUAL(crew_run(&crew, job_interrupted, NULL, NULL, why), ERR_CANCELLED);
    atomic_store(&stop, false);
    crew_fini(&crew);
}

static void test_alone(void)
{
    CU_ASSERT_EQUAL(crew_meet(NULL), 0);
    CU_ASSERT_FALSE(crew_stopping(NULL));
}

UNIT_MAIN("bench/crew", UNIT_CASE(test_meet), UNIT_CASE(test_one_fails),
          UNIT_CASE(test_interrupted), UNIT_CASE(test_alone))

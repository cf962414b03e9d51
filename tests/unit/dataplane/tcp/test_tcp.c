/* tcp: two stacks talk to each other over a simulated network. */
#include "dataplane/tcp/tcp.h"

#include "dataplane/tcp/info.h"
#include "tests/tcp/world.h"
#include "tests/unit/core/with_eal.h"

static struct world_pools pools;
static struct world w;

static void fresh(void)
{
    if (pools.rx == NULL) {
        with_eal(128);
        world_pools_make(&pools, 8191);
    }
    world_init(&w, &pools, unit_seed());
}

static void run_all(void)
{
    world_start(&w);
    CU_ASSERT_TRUE(world_run(&w, w.now + 3600000000000));
    world_check_done(&w);
    world_end(&w);
}

static void empty_streams(void)
{
    fresh();
    run_all();
}

static void one_way(void)
{
    fresh();
    w.host[0].app[0].to_send = 300000;
    run_all();
}

static void both_ways(void)
{
    fresh();
    w.host[0].app[0].to_send = 300000;
    w.host[1].app[0].to_send = 200000;
    run_all();
}

static void lossy(void)
{
    fresh();
    w.host[0].app[0].to_send = 500000;
    w.host[1].app[0].to_send = 200000;
    w.net.path[0].loss = w.net.path[1].loss = 30000;
    run_all();
}

static void simultaneous_open(void)
{
    fresh();
    w.simultaneous = true;
    w.host[0].app[0].to_send = 20000;
    w.host[1].app[0].to_send = 30000;
    run_all();
}

UNIT_MAIN("dataplane/tcp/tcp", UNIT_CASE(empty_streams), UNIT_CASE(one_way), UNIT_CASE(both_ways),
          UNIT_CASE(lossy), UNIT_CASE(simultaneous_open))

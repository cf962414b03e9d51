/* The whole broker in this process, on a directory of its own, over real sockets. */
#include "control/broker.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "control/config/config.h"
#include "core/eal.h"
#include "tests/unit/control/wire.h"
#include "tests/unit/unit.h"

struct host {
    char dir[64], dirs_arg[128];
    struct config *config;
    struct broker *broker;
    pthread_t thread;
    char ready[512], why[512];
};

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static void dir_make(struct host *h)
{
    memset(h, 0, sizeof(*h));
    strcpy(h->dir, "/tmp/sluice-test-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(h->dir));
    snprintf(h->dirs_arg, sizeof(h->dirs_arg), "log.dirs=%s/a,%s/b", h->dir, h->dir);
}

static void dir_remove(struct host *h)
{
    nftw(h->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int host_start(struct host *h)
{
    const char *overrides[] = {h->dirs_arg, "listeners=PLAINTEXT://127.0.0.1:0",
                               "sluice.memory=160m", "sluice.shards=2"};
    struct config_sources src = {.overrides = overrides, .override_count = 4};
    struct config_errors errs;
    config_errors_init(&errs);
    int err = config_load(&h->config, &src, &errs);
    for (uint32_t i = 0; i < errs.errors.count; i++)
        printf("[%.*s] ", STR_ARG(errs.errors.items[i]));
    config_errors_free(&errs);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    struct broker_seams seams = {.clock = clock_system(), .fs = fs_real(), .seed = unit_seed()};
    CU_ASSERT_EQUAL_FATAL(broker_new(&h->broker, h->config, &seams, h->why, sizeof(h->why)), 0);
    err = broker_start(h->broker, h->ready, sizeof(h->ready), h->why, sizeof(h->why));
    if (err)
        printf("[%s] ", h->why);
    return err;
}

/* Clients of this test run beside the broker's own thread. */
struct client {
    struct host *host;
    void (*run)(struct host *h, uint16_t port);
};

static void *client_main(void *arg)
{
    struct client *c = arg;
    c->run(c->host, broker_listener_port(c->host->broker, 0));
    broker_request_stop(c->host->broker);
    return NULL;
}

/* One life: start, the client's work, stop. */
static void live(struct host *h, void (*run)(struct host *h, uint16_t port))
{
    struct client c = {h, run};
    CU_ASSERT_EQUAL_FATAL(host_start(h), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(h->ready, "PLAINTEXT://127.0.0.1:"));
    CU_ASSERT_NOT_EQUAL(broker_listener_port(h->broker, 0), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&h->thread, NULL, client_main, &c), 0);
    CU_ASSERT_EQUAL(broker_run(h->broker), 0);
    pthread_join(h->thread, NULL);
    broker_free(h->broker);
    config_free(h->config);
}

static void create_some(struct host *h, uint16_t port)
{
    struct wire w;
    CU_ASSERT_TRUE_FATAL(wire_connect(&w, port));
    CU_ASSERT_EQUAL(wire_api_versions(&w), 0);
    CU_ASSERT_EQUAL(wire_create_topic(&w, "orders", 7), 0);
    CU_ASSERT_EQUAL(wire_create_topic(&w, "orders", 7), 36);
    CU_ASSERT_EQUAL(wire_partitions(&w, "orders"), 7);
    CU_ASSERT_EQUAL(broker_shard_count(h->broker), 2);
    CU_ASSERT_EQUAL(broker_log_dir_count(h->broker), 2);
    CU_ASSERT_TRUE(broker_log_dir_online(h->broker, 1));
    wire_close(&w);
}

static void find_some(struct host *h, uint16_t port)
{
    for (int i = 0; i < 20; i++) { /* over both shards */
        struct wire w;
        CU_ASSERT_TRUE_FATAL(wire_connect(&w, port));
        CU_ASSERT_EQUAL(wire_partitions(&w, "orders"), 7);
        wire_close(&w);
    }
}

static bool exists(struct host *h, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", h->dir, name);
    return access(path, F_OK) == 0;
}

static void topics_outlive_a_stop(void)
{
    struct host h;
    atexit(eal_down); /* up once per process, by the first broker */
    dir_make(&h);
    live(&h, create_some);
    CU_ASSERT_TRUE(exists(&h, "a/.kafka_cleanshutdown") && exists(&h, "b/.kafka_cleanshutdown"));
    CU_ASSERT_TRUE(exists(&h, "a/sluice.meta.snapshot"));
    CU_ASSERT_TRUE(exists(&h, "a/orders-0") != exists(&h, "b/orders-0"));
    live(&h, find_some);
    live(&h, find_some);
    dir_remove(&h);
}

/* What is refused before the log dirs are begun leaves the marks of the clean stop alone. */
static void a_refused_start_changes_nothing(void)
{
    struct host h;
    dir_make(&h);
    live(&h, create_some);
    char path[128];
    snprintf(path, sizeof(path), "%s/b/meta.properties", h.dir);
    FILE *f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs("version=1\nnode.id=77\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\n", f);
    fclose(f);
    CU_ASSERT_EQUAL(host_start(&h), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(h.why, "node.id=77"));
    broker_free(h.broker);
    config_free(h.config);
    CU_ASSERT_TRUE(exists(&h, "a/.kafka_cleanshutdown") && exists(&h, "b/.kafka_cleanshutdown"));
    dir_remove(&h);
}

static void a_stop_during_the_start_is_obeyed(void)
{
    struct host h;
    dir_make(&h);
    const char *overrides[] = {h.dirs_arg, "listeners=PLAINTEXT://127.0.0.1:0",
                               "sluice.memory=160m", "sluice.shards=2"};
    struct config_sources src = {.overrides = overrides, .override_count = 4};
    struct config_errors errs;
    config_errors_init(&errs);
    CU_ASSERT_EQUAL_FATAL(config_load(&h.config, &src, &errs), 0);
    config_errors_free(&errs);
    struct broker_seams seams = {.clock = clock_system(), .fs = fs_real(), .seed = unit_seed()};
    CU_ASSERT_EQUAL_FATAL(broker_new(&h.broker, h.config, &seams, h.why, sizeof(h.why)), 0);
    broker_request_stop(h.broker);
    CU_ASSERT_EQUAL(broker_start(h.broker, h.ready, sizeof(h.ready), h.why, sizeof(h.why)),
                    ERR_CANCELLED);
    broker_free(h.broker);
    config_free(h.config);
    broker_free(NULL);
    dir_remove(&h);
}

UNIT_MAIN("control/broker", UNIT_CASE(topics_outlive_a_stop),
          UNIT_CASE(a_refused_start_changes_nothing), UNIT_CASE(a_stop_during_the_start_is_obeyed))

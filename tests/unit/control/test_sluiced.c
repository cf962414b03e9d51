/*
 * The program itself, as an operator meets it: arguments, refusals, signals, exit codes, what is
 * printed. SLUICED names the built binary.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/control/wire.h"
#include "tests/unit/unit.h"

#define args_max     24
#define patience_ms  60000
#define output_bytes 65536

struct run {
    pid_t pid;
    int out; /* its standard output */
    char err_path[128];
    char stdout_text[output_bytes];
    size_t stdout_size;
    char stderr_text[output_bytes];
};

static char dir[64];
static bool forbid_uring; /* of the next run */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static void dir_make(void)
{
    strcpy(dir, "/tmp/sluice-test-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

static void dir_remove(void)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void put_text(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(text, f);
    fclose(f);
}

/* What a container's profile does: io_uring_setup answers EPERM. */
static void seccomp_forbid_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(126);
}

/* Arguments end with NULL. */
static void run_begin(struct run *r, ...)
{
    char *argv[args_max] = {getenv("SLUICED")};
    va_list ap;
    va_start(ap, r);
    for (int n = 1; n < args_max - 1 && (argv[n] = va_arg(ap, char *)) != NULL;)
        n++;
    va_end(ap);
    int out[2];
    memset(r, 0, sizeof(*r));
    snprintf(r->err_path, sizeof(r->err_path), "%s/stderr", dir);
    CU_ASSERT_EQUAL_FATAL(pipe(out), 0);
    r->pid = fork();
    if (r->pid == 0) {
        int err = open(r->err_path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(out[1], STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        close(out[0]);
        close(out[1]);
        if (forbid_uring)
            seccomp_forbid_uring();
        execv(argv[0], argv);
        _exit(127);
    }
    close(out[1]);
    r->out = out[0];
}

/* Reads standard output until `line` ends it or nothing more comes. */
static void run_read(struct run *r, bool one_line)
{
    while (r->stdout_size < sizeof(r->stdout_text) - 1) {
        struct pollfd p = {.fd = r->out, .events = POLLIN};
        if (one_line && strchr(r->stdout_text, '\n'))
            return;
        if (poll(&p, 1, patience_ms) <= 0)
            return;
        ssize_t n = read(r->out, r->stdout_text + r->stdout_size,
                         sizeof(r->stdout_text) - 1 - r->stdout_size);
        if (n <= 0)
            return;
        r->stdout_size += (size_t)n;
    }
}

/* The exit code, or minus the signal. */
static int run_end(struct run *r)
{
    int status = 0;
    run_read(r, false);
    waitpid(r->pid, &status, 0);
    close(r->out);
    FILE *f = fopen(r->err_path, "r");
    if (f) {
        size_t n = fread(r->stderr_text, 1, sizeof(r->stderr_text) - 1, f);
        r->stderr_text[n] = '\0';
        fclose(f);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Waits for the ready line; the port in it, 0 if there was none. */
static uint16_t run_ready(struct run *r)
{
    run_read(r, true);
    unsigned port = 0;
    if (sscanf(r->stdout_text, "sluiced ready PLAINTEXT://127.0.0.1:%u\n", &port) != 1)
        return 0;
    return (uint16_t)port;
}

#define DATA                                                                                       \
    "--override", data_arg(), "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override",     \
        "sluice.memory=64m", "--override", "sluice.shards=1"

static char *data_arg(void)
{
    static char text[96];
    snprintf(text, sizeof(text), "log.dirs=%s/data", dir);
    return text;
}

static int stop(struct run *r, int signal_number)
{
    kill(r->pid, signal_number);
    int code = run_end(r);
    char *line = strchr(r->stdout_text, '\n'); /* exactly one line was printed */
    CU_ASSERT_TRUE(line != NULL && line[1] == '\0');
    return code;
}

static void arguments_are_answered(void)
{
    struct run r;
    dir_make();
    run_begin(&r, "--help", NULL);
    CU_ASSERT_EQUAL(run_end(&r), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stdout_text, "Usage: sluiced [server.properties]"));
    run_begin(&r, "--version", NULL);
    CU_ASSERT_EQUAL(run_end(&r), 0);
    CU_ASSERT_EQUAL(strncmp(r.stdout_text, "sluiced ", 8), 0);
    run_begin(&r, "--nonsense", NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "--nonsense"));
    run_begin(&r, "--override", NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    run_begin(&r, "a.properties", "b.properties", NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    run_begin(&r, "--check", DATA, NULL);
    CU_ASSERT_EQUAL(run_end(&r), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stdout_text, "sluice.shards=1"));
    dir_remove();
}

static void wrong_settings_are_refused(void)
{
    struct run r;
    char path[128];
    dir_make();
    snprintf(path, sizeof(path), "%s/server.properties", dir);
    put_text("server.properties", "node.id=1\nnum.partitions=many\n");
    run_begin(&r, path, NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "num.partitions"));
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, ":2"));
    CU_ASSERT_EQUAL(r.stdout_size, 0);
    run_begin(&r, "/nowhere/server.properties", NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "/nowhere/server.properties"));
    run_begin(&r, DATA, "--override", "sluice.shards=4", NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "sluice.memory"));
    put_text("file", "no directory");
    char arg[128];
    snprintf(arg, sizeof(arg), "log.dirs=%s/file", dir);
    run_begin(&r, DATA, "--override", arg, NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "not a directory"));
    dir_remove();
}

static void signals_stop_it_cleanly(void)
{
    struct run r;
    struct wire w;
    char mark[128];
    dir_make();
    snprintf(mark, sizeof(mark), "%s/data/.kafka_cleanshutdown", dir);
    for (int i = 0; i < 2; i++) {
        run_begin(&r, DATA, NULL);
        uint16_t port = run_ready(&r);
        CU_ASSERT_NOT_EQUAL_FATAL(port, 0);
        CU_ASSERT_NOT_EQUAL(access(mark, F_OK), 0);
        CU_ASSERT_TRUE_FATAL(wire_connect(&w, port));
        CU_ASSERT_EQUAL(wire_api_versions(&w), 0);
        if (i == 0)
            CU_ASSERT_EQUAL(wire_create_topic(&w, "t", 3), 0);
        CU_ASSERT_EQUAL(wire_partitions(&w, "t"), 3);
        CU_ASSERT_EQUAL(stop(&r, i ? SIGINT : SIGTERM), 0); /* the connection is still open */
        wire_close(&w);
        CU_ASSERT_EQUAL(access(mark, F_OK), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "durability fsync"));
        CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "hugepages"));
    }
    dir_remove();
}

/* The filter's seat: what a client without it sends is not understood. */
static void a_filter_can_sit_on_the_listeners(void)
{
    struct run r;
    struct wire w;
    dir_make();
    run_begin(&r, DATA, "--override", "sluice.test.filter=xor", NULL);
    uint16_t port = run_ready(&r);
    CU_ASSERT_NOT_EQUAL_FATAL(port, 0);
    CU_ASSERT_TRUE_FATAL(wire_connect(&w, port));
    CU_ASSERT_EQUAL(wire_api_versions(&w), -1);
    wire_close(&w);
    CU_ASSERT_TRUE_FATAL(wire_connect(&w, port));
    w.key = 0x5a;
    CU_ASSERT_EQUAL(wire_api_versions(&w), 0);
    CU_ASSERT_EQUAL(wire_create_topic(&w, "t", 3), 0);
    CU_ASSERT_EQUAL(wire_partitions(&w, "t"), 3);
    wire_close(&w);
    CU_ASSERT_EQUAL(stop(&r, SIGTERM), 0);
    dir_remove();
}

static void a_killed_broker_comes_back(void)
{
    struct run r;
    struct wire w;
    dir_make();
    for (int i = 0; i < 4; i++) {
        char name[16];
        run_begin(&r, DATA, NULL);
        uint16_t port = run_ready(&r);
        CU_ASSERT_NOT_EQUAL_FATAL(port, 0);
        CU_ASSERT_TRUE_FATAL(wire_connect(&w, port));
        for (int k = 0; k < i; k++) {
            snprintf(name, sizeof(name), "t%d", k);
            CU_ASSERT_EQUAL(wire_partitions(&w, name), k + 1);
        }
        snprintf(name, sizeof(name), "t%d", i);
        CU_ASSERT_EQUAL(wire_create_topic(&w, name, i + 1), 0);
        CU_ASSERT_EQUAL(stop(&r, SIGKILL), -SIGKILL);
        wire_close(&w);
    }
    dir_remove();
}

static void a_second_broker_is_refused(void)
{
    struct run first, second;
    char arg[128], other[128];
    dir_make();
    run_begin(&first, DATA, NULL);
    uint16_t port = run_ready(&first);
    CU_ASSERT_NOT_EQUAL_FATAL(port, 0);
    run_begin(&second, DATA, NULL);
    CU_ASSERT_EQUAL(run_end(&second), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(second.stderr_text, "already locked, by another process"));
    snprintf(arg, sizeof(arg), "listeners=PLAINTEXT://127.0.0.1:%u", port);
    snprintf(other, sizeof(other), "log.dirs=%s/other", dir);
    run_begin(&second, DATA, "--override", arg, "--override", other, NULL);
    CU_ASSERT_EQUAL(run_end(&second), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(second.stderr_text, "in use"));
    struct wire w;
    CU_ASSERT_TRUE_FATAL(wire_connect(&w, port)); /* the first one noticed nothing */
    CU_ASSERT_EQUAL(wire_api_versions(&w), 0);
    wire_close(&w);
    CU_ASSERT_EQUAL(stop(&first, SIGTERM), 0);
    dir_remove();
}

static void once(void)
{
    struct run r;
    run_begin(&r, DATA, NULL);
    CU_ASSERT_NOT_EQUAL_FATAL(run_ready(&r), 0);
    CU_ASSERT_EQUAL(stop(&r, SIGTERM), 0);
}

static void other_peoples_directories_are_refused(void)
{
    struct run r;
    dir_make();
    once();
    put_text("data/meta.properties", "version=1\nnode.id=1\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\n");
    run_begin(&r, DATA, NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "belong to another cluster"));
    put_text("data/meta.properties", "version=1\nnode.id=5\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\n");
    run_begin(&r, DATA, NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "node.id=5"));
    dir_remove();
}

static void forbidden_io_uring_is_explained(void)
{
    struct run r;
    char mark[128];
    dir_make();
    once();
    forbid_uring = true;
    run_begin(&r, DATA, NULL);
    forbid_uring = false;
    CU_ASSERT_EQUAL(run_end(&r), 1);
    char *why = strstr(r.stderr_text, "the start is refused: ");
    CU_ASSERT_PTR_NOT_NULL_FATAL(why);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "io_uring_setup")); /* what to allow */
    CU_ASSERT_STRING_EQUAL(strchr(why, '\n'), "\n");
    snprintf(mark, sizeof(mark), "%s/data/.kafka_cleanshutdown", dir);
    CU_ASSERT_EQUAL(access(mark, F_OK), 0); /* nothing was begun */
    dir_remove();
}

static void damaged_metadata_is_refused(void)
{
    struct run r;
    dir_make();
    once();
    put_text("data/sluice.meta.snapshot", "not what was written");
    run_begin(&r, DATA, NULL);
    CU_ASSERT_EQUAL(run_end(&r), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.stderr_text, "sluice.meta.snapshot is corrupt at byte 0"));
    dir_remove();
}

UNIT_MAIN("sluiced", UNIT_CASE(arguments_are_answered), UNIT_CASE(wrong_settings_are_refused),
          UNIT_CASE(signals_stop_it_cleanly), UNIT_CASE(a_filter_can_sit_on_the_listeners),
          UNIT_CASE(a_killed_broker_comes_back), UNIT_CASE(a_second_broker_is_refused),
          UNIT_CASE(other_peoples_directories_are_refused),
          UNIT_CASE(forbidden_io_uring_is_explained), UNIT_CASE(damaged_metadata_is_refused))

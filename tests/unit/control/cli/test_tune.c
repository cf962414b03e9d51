/* tune: made-up machines, good and bad, and what is said of them; disks; a whole run. */
#include "control/cli/tune.h"

#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/unit/unit.h"

static char root[64];
static struct tune_report report;

static void make_dirs(char *path)
{
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof(full), "%s%s", root, path);
    make_dirs(full);
    FILE *f = fopen(full, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fprintf(f, "%s\n", text);
    fclose(f);
}

static void put_link(const char *path, const char *to)
{
    char full[512];
    snprintf(full, sizeof(full), "%s%s", root, path);
    make_dirs(full);
    unlink(full);
    CU_ASSERT_EQUAL_FATAL(symlink(to, full), 0);
}

static void begin(void)
{
    snprintf(root, sizeof(root), "/tmp/sluice-tune-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
    memset(&report, 0, sizeof(report));
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", root);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* A machine made for it: two nodes, CPUs 2-3 and the card on node 0. */
static void good_machine(void)
{
    put("/proc/sys/kernel/osrelease", "6.12.1-amd64");
    put("/proc/sys/kernel/io_uring_disabled", "0");
    put("/proc/meminfo", "MemTotal: 100 kB\nHugePages_Total:     400\nHugePages_Free:      300\n"
                         "Hugepagesize:       2048 kB");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    put("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always [never] deny force");
    put("/proc/self/mounts", "tmpfs /dev/shm tmpfs rw 0 0\nnone /dev/hugepages hugetlbfs rw 0 0");
    put("/proc/self/limits", "Limit  Soft Limit  Hard Limit  Units\n"
                             "Max locked memory         8388608    unlimited    bytes");
    put("/proc/self/status", "Name: x\nCapEff:\t0000000000000000");
    put("/proc/cmdline", "quiet isolcpus=nohz,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3");
    put("/proc/17/comm", "irqbalancer-not");
    put("/sys/devices/system/cpu/online", "0-7");
    put("/sys/devices/system/cpu/isolated", "");
    put("/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance");
    put("/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance");
    put("/sys/devices/system/cpu/cpu4/cpufreq/scaling_governor", "powersave");
    put("/sys/devices/system/node/online", "0-1");
    put("/sys/devices/system/node/node0/cpulist", "0-3");
    put("/sys/devices/system/node/node1/cpulist", "4-7");
    put("/sys/kernel/iommu_groups/0/type", "DMA");
    put("/sys/bus/pci/devices/0000:03:00.0/vendor", "0x8086");
    put("/sys/bus/pci/devices/0000:03:00.0/numa_node", "0");
    put_link("/sys/bus/pci/devices/0000:03:00.0/driver", "../../../bus/pci/drivers/vfio-pci");
}

static struct tune_wants good_wants(void)
{
    return (struct tune_wants){.memory_bytes = 256u << 20,
                               .cpus = {2, 3},
                               .cpu_count = 2,
                               .cards = {"0000:03:00.0"},
                               .card_count = 1};
}

static const struct tune_line *line_of(const char *what, enum tune_verdict worst)
{
    const struct tune_line *found = NULL;
    for (uint32_t i = 0; i < report.count; i++)
        if (strcmp(report.items[i].what, what) == 0 &&
            (found == NULL || report.items[i].verdict > found->verdict))
            found = &report.items[i];
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    if (found->verdict != worst)
        fprintf(stderr, "%s: %s\n", what, found->found);
    CU_ASSERT_EQUAL(found->verdict, worst);
    return found;
}

/* Looks again after a change. */
static const struct tune_line *again(const struct tune_wants *w, const char *what,
                                     enum tune_verdict verdict)
{
    report.count = 0;
    tune_machine(&report, root, w);
    return line_of(what, verdict);
}

static void good(void)
{
    begin();
    good_machine();
    struct tune_wants w = good_wants();
    tune_machine(&report, root, &w);
    for (uint32_t i = 0; i < report.count; i++) {
        if (report.items[i].verdict != TUNE_OK)
            fprintf(stderr, "%s: %s\n", report.items[i].what, report.items[i].found);
        CU_ASSERT_EQUAL(report.items[i].verdict, TUNE_OK);
        CU_ASSERT_EQUAL(report.items[i].remedy[0], '\0');
    }
    CU_ASSERT_TRUE(report.count >= 12);
    CU_ASSERT_STRING_EQUAL(line_of("isolated cores", TUNE_OK)->found, "2-3");
    end();
}

static void kernel_and_ring(void)
{
    begin();
    good_machine();
    struct tune_wants w = good_wants();
    put("/proc/sys/kernel/osrelease", "5.15.0");
    again(&w, "kernel", TUNE_WRONG);
    put("/proc/sys/kernel/osrelease", "6.1.0-18");
    again(&w, "kernel", TUNE_BETTER);
    put("/proc/sys/kernel/io_uring_disabled", "1");
    again(&w, "io_uring", TUNE_BETTER);
    put("/proc/sys/kernel/io_uring_disabled", "2");
    CU_ASSERT_PTR_NOT_NULL(strstr(again(&w, "io_uring", TUNE_WRONG)->remedy, "sysctl"));
    put("/proc/sys/kernel/io_uring_disabled", "0");
    w.ring_refusal = "forbidden here";
    CU_ASSERT_STRING_EQUAL(again(&w, "io_uring", TUNE_WRONG)->found, "forbidden here");
    end();
}

static void memory(void)
{
    begin();
    good_machine();
    struct tune_wants w = good_wants();
    /* 256 MiB and DPDK's 64 are 160 pages of 2 MiB: the limit, and one below */
    put("/proc/meminfo", "HugePages_Total: 170\nHugePages_Free: 160\nHugepagesize: 2048 kB");
    again(&w, "hugepages", TUNE_OK);
    put("/proc/meminfo", "HugePages_Total: 170\nHugePages_Free: 159\nHugepagesize: 2048 kB");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(again(&w, "hugepages", TUNE_WRONG)->remedy, "vm.nr_hugepages=171"));
    w.card_count = 0;
    again(&w, "hugepages", TUNE_BETTER); /* without cards small pages will do */
    again(&w, "vfio-pci", TUNE_OK);
    put("/proc/meminfo", "MemTotal: 100 kB");
    again(&w, "hugepages", TUNE_BETTER);
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
    again(&w, "huge on advice", TUNE_BETTER);
    put("/proc/self/mounts", "tmpfs /dev/shm tmpfs rw,size=1k 0 0");
    again(&w, "shared memory", TUNE_BETTER);
    put("/proc/self/mounts", "tmpfs /dev/shm tmpfs rw,huge=within_size 0 0");
    again(&w, "shared memory", TUNE_OK);
    put("/proc/self/mounts", "tmpfs /dev/shm tmpfs rw,huge=never 0 0");
    again(&w, "shared memory", TUNE_BETTER);
    w.fsync = true;
    again(&w, "shared memory", TUNE_OK);
    end();
}

static void memlock(void)
{
    begin();
    good_machine();
    struct tune_wants w = good_wants();
    put("/proc/self/limits", "Max locked memory   8388608   8388608   bytes");
    again(&w, "memlock", TUNE_WRONG);
    put("/proc/self/limits", "Max locked memory   8388608   268435456   bytes");
    again(&w, "memlock", TUNE_OK);
    put("/proc/self/limits", "Max locked memory   8388608   268435455   bytes");
    again(&w, "memlock", TUNE_WRONG);
    put("/proc/self/status", "CapEff:\t0000000000004000");
    again(&w, "memlock", TUNE_OK);
    put("/proc/self/limits", "");
    again(&w, "memlock", TUNE_BETTER);
    end();
}

static void cpus(void)
{
    begin();
    good_machine();
    struct tune_wants w = good_wants();
    put("/proc/cmdline", "quiet isolcpus=2-3");
    again(&w, "quiet cores", TUNE_BETTER);
    put("/proc/cmdline", "quiet notisolcpus=2-3");
    again(&w, "isolated cores", TUNE_BETTER);
    put("/sys/devices/system/cpu/isolated", "2");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(again(&w, "isolated cores", TUNE_BETTER)->found, "also run on 3"));
    put("/sys/devices/system/cpu/isolated", "1-3");
    again(&w, "isolated cores", TUNE_OK);
    put("/proc/99/comm", "irqbalance");
    again(&w, "irqbalance", TUNE_BETTER);
    put("/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "schedutil");
    CU_ASSERT_PTR_NOT_NULL(strstr(again(&w, "governor", TUNE_BETTER)->found, "CPU 3"));
    w.cpus[1] = 9;
    again(&w, "sluice.cpus", TUNE_WRONG);
    w.cpus[1] = 4;
    again(&w, "NUMA", TUNE_BETTER);
    CU_ASSERT_PTR_NOT_NULL(strstr(line_of("card", TUNE_BETTER)->found, "CPU 4 is not"));
    w.cpu_count = 0;
    again(&w, "isolated cores", TUNE_BETTER);
    again(&w, "NUMA", TUNE_BETTER);
    put("/sys/devices/system/node/online", "0");
    again(&w, "NUMA", TUNE_OK);
    end();
}

static void cards(void)
{
    char path[128];
    begin();
    good_machine();
    struct tune_wants w = good_wants();
    put_link("/sys/bus/pci/devices/0000:03:00.0/driver", "../../../bus/pci/drivers/ixgbe");
    const struct tune_line *line = again(&w, "card", TUNE_WRONG);
    CU_ASSERT_PTR_NOT_NULL(strstr(line->found, "has ixgbe"));
    CU_ASSERT_PTR_NOT_NULL(strstr(line->remedy, "-b vfio-pci 0000:03:00.0"));
    strcpy(w.cards[0], "0000:04:00.0");
    again(&w, "card", TUNE_WRONG);
    snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/0/type", root);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    again(&w, "IOMMU", TUNE_WRONG);
    put("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y");
    again(&w, "IOMMU", TUNE_BETTER);
    end();
}

/* Nothing can be read: no crash, and no praise for what was not seen. */
static void empty_machine(void)
{
    begin();
    struct tune_wants w = good_wants();
    again(&w, "kernel", TUNE_BETTER);
    again(&w, "hugepages", TUNE_WRONG);
    again(&w, "memlock", TUNE_BETTER);
    again(&w, "card", TUNE_WRONG);
    end();
}

static void judge(uint64_t magic, bool fsync, enum tune_verdict verdict)
{
    struct tune_disk d = {.dir = "/x",
                          .reachable = true,
                          .writable = true,
                          .direct = true,
                          .fs_magic = magic,
                          .free_bytes = 1ull << 30};
    report.count = 0;
    tune_disk_judge(&report, &d, fsync);
    line_of("log.dirs", verdict);
    CU_ASSERT_EQUAL(report.count, 2);
}

static void disks(void)
{
    judge(EXT4_SUPER_MAGIC, true, TUNE_OK);
    judge(12345, true, TUNE_OK);
    judge(BTRFS_SUPER_MAGIC, true, TUNE_BETTER);
    judge(NFS_SUPER_MAGIC, true, TUNE_BETTER);
    judge(OVERLAYFS_SUPER_MAGIC, false, TUNE_BETTER);
    judge(TMPFS_MAGIC, false, TUNE_BETTER);
    judge(TMPFS_MAGIC, true, TUNE_WRONG);
    struct tune_disk d = {.dir = "/x", .reachable = true, .free_bytes = (1ull << 30) - 1};
    report.count = 0;
    tune_disk_judge(&report, &d, true);
    line_of("log.dirs", TUNE_WRONG);
    d.writable = true;
    tune_disk_judge(&report, &d, true);
    line_of("O_DIRECT", TUNE_BETTER);
    line_of("disk space", TUNE_BETTER);
    d.reachable = false;
    report.count = 0;
    tune_disk_judge(&report, &d, true);
    line_of("log.dirs", TUNE_WRONG);
}

static void disk_looked_at(void)
{
    char dir[256];
    struct tune_disk d;
    begin();
    snprintf(dir, sizeof(dir), "%s/not/yet/made", root);
    tune_disk_look(&d, dir);
    CU_ASSERT_TRUE(d.reachable && d.writable);
    CU_ASSERT_NOT_EQUAL(d.fs_magic, 0);
    CU_ASSERT_EQUAL(rmdir(root), 0); /* nothing was left in it */
    tune_disk_look(&d, "/proc/sluice");
    CU_ASSERT_FALSE(d.writable);
    begin();
    put("/file", "");
    snprintf(dir, sizeof(dir), "%s/file/below", root);
    tune_disk_look(&d, dir);
    CU_ASSERT_FALSE(d.reachable);
    tune_disk_look(&d, "");
    CU_ASSERT_FALSE(d.reachable);
    end();
}

static void whole_run(void)
{
    char path[128], text[512], why[256] = "", *page = NULL;
    size_t size = 0;
    begin();
    snprintf(text, sizeof(text), "log.dirs=/proc/sluice\nsluice.memory=64m\n");
    put("/server.properties", text);
    snprintf(path, sizeof(path), "%s/server.properties", root);
    FILE *out = open_memstream(&page, &size);
    CU_ASSERT_EQUAL(tune_check(path, out, why, sizeof(why)), 1);
    fclose(out);
    CU_ASSERT_PTR_NOT_NULL_FATAL(page);
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "/proc/sluice"));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, " wrong\n"));
    free(page);
    put("/server.properties", "sluice.memory=lots");
    CU_ASSERT_EQUAL(tune_check(path, stdout, why, sizeof(why)), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "sluice.memory"));
    put("/server.properties", "sluice.transport=dpdk\nsluice.dpdk.ports=net_nothing");
    CU_ASSERT_EQUAL(tune_check(path, stdout, why, sizeof(why)), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "net_nothing"));
    end();
}

static void report_full(void)
{
    report.count = 0;
    for (int i = 0; i < tune_lines_max + 3; i++)
        tune_add(&report, TUNE_WRONG, "x", "y", "%d", i);
    CU_ASSERT_EQUAL(report.count, tune_lines_max);
    FILE *out = fopen("/dev/null", "w");
    CU_ASSERT_EQUAL(tune_print(&report, out), tune_lines_max);
    fclose(out);
}

UNIT_MAIN("control/cli/tune", UNIT_CASE(good), UNIT_CASE(kernel_and_ring), UNIT_CASE(memory),
          UNIT_CASE(memlock), UNIT_CASE(cpus), UNIT_CASE(cards), UNIT_CASE(empty_machine),
          UNIT_CASE(disks), UNIT_CASE(disk_looked_at), UNIT_CASE(whole_run), UNIT_CASE(report_full))

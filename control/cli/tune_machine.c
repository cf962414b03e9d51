/* tune: what /proc and /sys say of the kernel, the memory, the CPUs and the cards. */
#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/cli/tune.h"

#define path_bytes_max 512
#define file_bytes_max 16384
#define cap_ipc_lock   14
#define eal_mb_about   64 /* DPDK's own heap, beside sluice.memory */

struct machine {
    const char *root;
    const struct tune_wants *wants;
    struct tune_report *report;
    cpu_set_t online, isolated;
};

/* ---- reading ---- */

static bool path_make(const struct machine *m, char *out, const char *format, va_list args)
{
    int n = snprintf(out, path_bytes_max, "%s", m->root);
    if (n < 0 || n >= path_bytes_max)
        return false;
    int k = vsnprintf(out + n, (size_t)(path_bytes_max - n), format, args);
    return k >= 0 && k < path_bytes_max - n;
}

/* The file's text without the last line end; empty if it cannot be read. */
static bool text_read(const struct machine *m, char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static bool text_read(const struct machine *m, char *out, size_t size, const char *format, ...)
{
    char path[path_bytes_max];
    va_list args;
    va_start(args, format);
    bool made = path_make(m, path, format, args);
    va_end(args);
    out[0] = '\0';
    FILE *f = made ? fopen(path, "re") : NULL;
    if (f == NULL)
        return false;
    size_t n = fread(out, 1, size - 1, f);
    fclose(f);
    while (n > 0 && isspace((unsigned char)out[n - 1]))
        n--;
    out[n] = '\0';
    return true;
}

static DIR *dir_open(const struct machine *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static DIR *dir_open(const struct machine *m, const char *format, ...)
{
    char path[path_bytes_max];
    va_list args;
    va_start(args, format);
    bool made = path_make(m, path, format, args);
    va_end(args);
    return made ? opendir(path) : NULL;
}

/* The number behind `key` at the start of a line; -1 without it. */
static int64_t number_after(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0)
            return strtoll(line + n, NULL, 10);
    }
    return -1;
}

/* "0-3,8": adds to the set; words that are no numbers ("domain") are passed over. */
static void cpus_read(const char *text, cpu_set_t *out)
{
    while (*text != '\0' && !isspace((unsigned char)*text)) {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (end != text && *end == '-')
            last = strtol(end + 1, &end, 10);
        for (long i = first; end != text && i >= 0 && i <= last && i < CPU_SETSIZE; i++)
            CPU_SET((size_t)i, out);
        text += strcspn(text, ", \t\n");
        text += *text == ',';
    }
}

/* The value of "name=" on the kernel command line, up to the next blank; NULL without it. */
static const char *argument(const char *line, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = line; (at = strstr(at, name)) != NULL; at += n)
        if ((at == line || at[-1] == ' ') && at[n] == '=')
            return at + n + 1;
    return NULL;
}

/* The chosen word of "always [madvise] never"; empty if there is none. */
static void chosen_read(const char *text, char *out, size_t size)
{
    const char *from = strchr(text, '[');
    size_t n = from ? strcspn(from + 1, "]") : 0;
    snprintf(out, size, "%.*s", (int)n, from ? from + 1 : "");
}

static bool process_runs(const struct machine *m, const char *name)
{
    char comm[64];
    DIR *dir = dir_open(m, "/proc");
    bool found = false;
    for (struct dirent *e; dir && !found && (e = readdir(dir)) != NULL;)
        found = isdigit((unsigned char)e->d_name[0]) &&
                text_read(m, comm, sizeof(comm), "/proc/%.32s/comm", e->d_name) &&
                strcmp(comm, name) == 0;
    if (dir)
        closedir(dir);
    return found;
}

static uint32_t entries(const struct machine *m, const char *dir_path)
{
    uint32_t n = 0;
    DIR *dir = dir_open(m, "%s", dir_path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

/* ---- kernel ---- */

static void look_at_kernel(struct machine *m)
{
    char text[128];
    int major = 0, minor = 0;
    text_read(m, text, sizeof(text), "/proc/sys/kernel/osrelease");
    if (sscanf(text, "%d.%d", &major, &minor) != 2)
        tune_add(m->report, TUNE_BETTER, "kernel", "mount /proc", "its version cannot be read");
    else if (major < 6)
        tune_add(m->report, TUNE_WRONG, "kernel", "run Linux 6.0 or newer", "Linux %d.%d", major,
                 minor);
    else
        tune_add(m->report, major == 6 && minor < 10 ? TUNE_BETTER : TUNE_OK, "kernel",
                 "Linux 6.10 receives several buffers at once", "Linux %d.%d", major, minor);
}

static void look_at_io_uring(struct machine *m)
{
    char text[32];
    text_read(m, text, sizeof(text), "/proc/sys/kernel/io_uring_disabled");
    int disabled = atoi(text);
    if (m->wants->ring_refusal) /* says what to do itself */
        tune_add(m->report, TUNE_WRONG, "io_uring", "", "%s", m->wants->ring_refusal);
    else if (disabled > 1)
        tune_add(m->report, TUNE_WRONG, "io_uring", "sysctl -w kernel.io_uring_disabled=0",
                 "switched off for everybody");
    else if (disabled == 1)
        tune_add(m->report, TUNE_BETTER, "io_uring",
                 "put the broker's user into the group kernel.io_uring_group",
                 "allowed here, but not for every user");
    else
        tune_add(m->report, TUNE_OK, "io_uring", "", "allowed");
}

/* ---- memory ---- */

static void look_at_hugepages(struct machine *m)
{
    char text[file_bytes_max], remedy[tune_text_bytes_max];
    text_read(m, text, sizeof(text), "/proc/meminfo");
    int64_t total = number_after(text, "HugePages_Total:");
    int64_t idle = number_after(text, "HugePages_Free:");
    int64_t kib = number_after(text, "Hugepagesize:");
    enum tune_verdict missing = m->wants->card_count > 0 ? TUNE_WRONG : TUNE_BETTER;
    if (total < 0 || idle < 0 || kib <= 0) {
        tune_add(m->report, missing, "hugepages", "use a kernel with CONFIG_HUGETLBFS",
                 "this kernel has none");
        return;
    }
    uint64_t mb = (m->wants->memory_bytes >> 20) + eal_mb_about;
    uint64_t wanted = (mb * 1024 + (uint64_t)kib - 1) / (uint64_t)kib;
    bool enough = (uint64_t)idle >= wanted;
    snprintf(remedy, sizeof(remedy),
             "sluice.memory takes about %llu (a broker that runs has its own already): "
             "sysctl -w vm.nr_hugepages=%llu",
             (unsigned long long)wanted, (unsigned long long)(wanted + (uint64_t)(total - idle)));
    tune_add(m->report, enough ? TUNE_OK : missing, "hugepages", remedy,
             "%lld of %lld pages of %lld KiB are free", (long long)idle, (long long)total,
             (long long)kib);
}

/* Log memory without hugepages: private memory, or with a name on /dev/shm. */
static void look_at_thp(struct machine *m)
{
    char text[128], word[32];
    text_read(m, text, sizeof(text), "/sys/kernel/mm/transparent_hugepage/enabled");
    chosen_read(text, word, sizeof(word));
    bool off = word[0] == '\0' || strcmp(word, "never") == 0;
    tune_add(m->report, off ? TUNE_BETTER : TUNE_OK, "huge on advice",
             "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
             "transparent hugepages: %s", word[0] ? word : "not in this kernel");
}

static bool mounted(const char *mounts, const char *fs, const char *dir, const char *option)
{
    for (const char *line = mounts; line && *line; line = strchr(line, '\n')) {
        char at[256], type[64], options[512];
        line += *line == '\n';
        if (sscanf(line, "%*s %255s %63s %511s", at, type, options) == 3 && strcmp(type, fs) == 0 &&
            (dir == NULL || strcmp(at, dir) == 0) &&
            (option == NULL || strstr(options, option) != NULL))
            return true;
    }
    return false;
}

static void look_at_shared(struct machine *m)
{
    char mounts[file_bytes_max], text[128], word[32];
    text_read(m, mounts, sizeof(mounts), "/proc/self/mounts");
    text_read(m, text, sizeof(text), "/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    chosen_read(text, word, sizeof(word));
    bool huge =
        (mounted(mounts, "tmpfs", "/dev/shm", "huge=") &&
         !mounted(mounts, "tmpfs", "/dev/shm", "huge=never") && strcmp(word, "deny") != 0) ||
        strcmp(word, "force") == 0;
    if (m->wants->fsync)
        tune_add(m->report, TUNE_OK, "shared memory", "",
                 "not used: only sluice.durability=os gives log memory a name");
    else if (mounted(mounts, "hugetlbfs", NULL, NULL))
        tune_add(m->report, TUNE_OK, "shared memory", "", "hugetlbfs is mounted");
    else
        tune_add(m->report, huge ? TUNE_OK : TUNE_BETTER, "shared memory",
                 "mount -t hugetlbfs none /dev/hugepages (with pages free), or "
                 "mount -o remount,huge=within_size /dev/shm",
                 "no hugetlbfs; /dev/shm has %s pages", huge ? "huge" : "small");
}

static void look_at_memlock(struct machine *m)
{
    char limits[file_bytes_max], status[file_bytes_max];
    const char *key = "Max locked memory";
    text_read(m, limits, sizeof(limits), "/proc/self/limits");
    text_read(m, status, sizeof(status), "/proc/self/status");
    const char *caps = strstr(status, "CapEff:"), *line = strstr(limits, key);
    char hard[32] = "";
    if (line == NULL || sscanf(line + strlen(key), "%*s %31s", hard) != 1) {
        tune_add(m->report, TUNE_BETTER, "memlock", "mount /proc", "the limit cannot be read");
    } else if (caps && (strtoull(caps + 7, NULL, 16) >> cap_ipc_lock & 1)) {
        tune_add(m->report, TUNE_OK, "memlock", "", "no limit for this user (CAP_IPC_LOCK)");
    } else if (strcmp(hard, "unlimited") == 0) {
        tune_add(m->report, TUNE_OK, "memlock", "", "unlimited");
    } else {
        uint64_t bytes = strtoull(hard, NULL, 10);
        enum tune_verdict low = m->wants->card_count > 0 ? TUNE_WRONG : TUNE_BETTER;
        tune_add(m->report, bytes >= m->wants->memory_bytes ? TUNE_OK : low, "memlock",
                 "cards and AF_XDP lock their buffers: LimitMEMLOCK=infinity in the unit, or "
                 "memlock in /etc/security/limits.conf",
                 "at most %llu MiB", (unsigned long long)(bytes >> 20));
    }
}

/* ---- CPUs ---- */

static void cpus_text(const cpu_set_t *set, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "none");
    for (int i = 0; i < CPU_SETSIZE && used < size; i++) {
        int last = i;
        if (!CPU_ISSET((size_t)i, set))
            continue;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET((size_t)last + 1, set))
            last++;
        used += (size_t)snprintf(out + used, size - used, "%s%d", used ? "," : "", i);
        if (last > i && used < size)
            used += (size_t)snprintf(out + used, size - used, "-%d", last);
        i = last;
    }
}

/* Those of sluice.cpus that are not in the set; returns how many. */
static int shards_outside(const struct machine *m, const cpu_set_t *set, char *out, size_t size)
{
    cpu_set_t outside;
    CPU_ZERO(&outside);
    for (uint32_t i = 0; i < m->wants->cpu_count; i++)
        if (!CPU_ISSET(m->wants->cpus[i], set))
            CPU_SET(m->wants->cpus[i], &outside);
    cpus_text(&outside, out, size);
    return CPU_COUNT(&outside);
}

static void look_at_isolation(struct machine *m, const char *line)
{
    char list[128], outside[128];
    const char *remedy =
        "on the kernel command line: isolcpus=, nohz_full= and rcu_nocbs= with the "
        "CPUs of the shards, and the same in sluice.cpus";
    cpus_text(&m->isolated, list, sizeof(list));
    if (m->wants->cpu_count > 0 && shards_outside(m, &m->online, outside, sizeof(outside)) > 0)
        tune_add(m->report, TUNE_WRONG, "sluice.cpus", "name CPUs that this machine has",
                 "CPU %s is not online", outside);
    if (CPU_COUNT(&m->isolated) == 0)
        tune_add(m->report, TUNE_BETTER, "isolated cores", remedy, "none");
    else if (m->wants->cpu_count == 0)
        tune_add(m->report, TUNE_BETTER, "isolated cores",
                 "without sluice.cpus the shards keep away from them: name them there",
                 "%s, not in sluice.cpus", list);
    else if (shards_outside(m, &m->isolated, outside, sizeof(outside)) > 0)
        tune_add(m->report, TUNE_BETTER, "isolated cores", remedy, "%s; shards also run on %s",
                 list, outside);
    else
        tune_add(m->report, TUNE_OK, "isolated cores", "", "%s", list);
    if (CPU_COUNT(&m->isolated) == 0)
        return;
    bool quiet = argument(line, "nohz_full") && argument(line, "rcu_nocbs");
    tune_add(m->report, quiet ? TUNE_OK : TUNE_BETTER, "quiet cores",
             "add nohz_full= and rcu_nocbs= with the same CPUs to the kernel command line",
             "timer ticks and RCU callbacks are %s", quiet ? "kept away" : "not kept away");
}

static void look_at_irqbalance(struct machine *m)
{
    bool runs = process_runs(m, "irqbalance");
    tune_add(m->report, runs ? TUNE_BETTER : TUNE_OK, "irqbalance",
             "it moves interrupts onto the shards' CPUs: stop it, or name those CPUs in "
             "IRQBALANCE_BANNED_CPULIST",
             "%s", runs ? "runs" : "does not run");
}

static void look_at_governor(struct machine *m)
{
    char text[64], slow[64] = "";
    cpu_set_t cpus = m->online;
    int seen = 0, first = -1;
    if (m->wants->cpu_count > 0)
        CPU_ZERO(&cpus);
    for (uint32_t i = 0; i < m->wants->cpu_count; i++)
        CPU_SET(m->wants->cpus[i], &cpus);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET((size_t)i, &cpus) ||
            !text_read(m, text, sizeof(text),
                       "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", i))
            continue;
        seen++;
        if (first < 0 && strcmp(text, "performance") != 0) {
            first = i;
            snprintf(slow, sizeof(slow), "%s", text);
        }
    }
    if (first >= 0)
        tune_add(m->report, TUNE_BETTER, "governor", "cpupower frequency-set -g performance",
                 "CPU %d runs with %s", first, slow);
    else
        tune_add(m->report, TUNE_OK, "governor", "", "%s",
                 seen ? "performance" : "none: the frequency is not this kernel's business");
}

static void look_at_cpus(struct machine *m)
{
    char line[file_bytes_max], text[1024];
    text_read(m, line, sizeof(line), "/proc/cmdline");
    text_read(m, text, sizeof(text), "/sys/devices/system/cpu/online");
    cpus_read(text, &m->online);
    text_read(m, text, sizeof(text), "/sys/devices/system/cpu/isolated");
    cpus_read(text, &m->isolated);
    if (argument(line, "isolcpus"))
        cpus_read(argument(line, "isolcpus"), &m->isolated);
    look_at_isolation(m, line);
    look_at_irqbalance(m);
    look_at_governor(m);
}

/* ---- nodes and cards ---- */

/* The NUMA node of a CPU, 0 if there are none. */
static int node_of(const struct machine *m, uint16_t cpu)
{
    char text[1024];
    for (int node = 0; node < CPU_SETSIZE; node++) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        if (!text_read(m, text, sizeof(text), "/sys/devices/system/node/node%d/cpulist", node))
            continue;
        cpus_read(text, &cpus);
        if (CPU_ISSET(cpu, &cpus))
            return node;
    }
    return 0;
}

static void look_at_nodes(struct machine *m)
{
    char text[1024];
    cpu_set_t nodes, used;
    CPU_ZERO(&nodes);
    CPU_ZERO(&used);
    text_read(m, text, sizeof(text), "/sys/devices/system/node/online");
    cpus_read(text, &nodes);
    for (uint32_t i = 0; i < m->wants->cpu_count; i++)
        CPU_SET((size_t)node_of(m, m->wants->cpus[i]), &used);
    int count = CPU_COUNT(&nodes);
    if (count <= 1)
        tune_add(m->report, TUNE_OK, "NUMA", "", "one node");
    else if (m->wants->cpu_count > 0 && CPU_COUNT(&used) == 1)
        tune_add(m->report, TUNE_OK, "NUMA", "", "%d nodes; the shards are on one", count);
    else
        tune_add(m->report, TUNE_BETTER, "NUMA",
                 "name the CPUs of one node in sluice.cpus, that of the card "
                 "(/sys/bus/pci/devices/*/numa_node)",
                 "%d nodes; the shards may be on several", count);
}

static void look_at_iommu(struct machine *m)
{
    char text[32];
    uint32_t groups = entries(m, "/sys/kernel/iommu_groups");
    text_read(m, text, sizeof(text), "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
    const char *remedy =
        "for physical cards only: VT-d or AMD-Vi on in the firmware, intel_iommu=on "
        "iommu=pt on the kernel command line";
    if (groups > 0)
        tune_add(m->report, TUNE_OK, "IOMMU", "", "%u groups", groups);
    else if (text[0] == 'Y')
        tune_add(m->report, TUNE_BETTER, "IOMMU", remedy,
                 "none; vfio works without, and cards reach all memory");
    else
        tune_add(m->report, m->wants->card_count > 0 ? TUNE_WRONG : TUNE_BETTER, "IOMMU", remedy,
                 "none");
}

/* The driver that has the card; false: none has. */
static bool card_driver(const struct machine *m, const char *card, char *out, size_t size)
{
    char path[path_bytes_max], to[path_bytes_max];
    snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/driver", m->root, card);
    ssize_t n = readlink(path, to, sizeof(to) - 1);
    if (n <= 0)
        return false;
    to[n] = '\0';
    const char *name = strrchr(to, '/');
    snprintf(out, size, "%.63s", name ? name + 1 : to);
    return true;
}

static void look_at_card(struct machine *m, const char *card)
{
    char driver[64] = "no driver", text[32], remedy[tune_text_bytes_max];
    if (!text_read(m, text, sizeof(text), "/sys/bus/pci/devices/%s/vendor", card)) {
        tune_add(m->report, TUNE_WRONG, "card", "see dpdk-devbind.py --status",
                 "%s is not in this machine", card);
        return;
    }
    card_driver(m, card, driver, sizeof(driver));
    snprintf(remedy, sizeof(remedy), "modprobe vfio-pci; dpdk-devbind.py -b vfio-pci %s", card);
    bool ours = strcmp(driver, "vfio-pci") == 0;
    tune_add(m->report, ours ? TUNE_OK : TUNE_WRONG, "card", remedy, "%s has %s", card, driver);
    text_read(m, text, sizeof(text), "/sys/bus/pci/devices/%s/numa_node", card);
    int node = text[0] ? atoi(text) : -1;
    for (uint32_t i = 0; node >= 0 && i < m->wants->cpu_count; i++)
        if (node_of(m, m->wants->cpus[i]) != node) {
            tune_add(m->report, TUNE_BETTER, "card", "name CPUs of its node in sluice.cpus",
                     "%s is on node %d, CPU %u is not", card, node, m->wants->cpus[i]);
            break;
        }
}

static void look_at_cards(struct machine *m)
{
    look_at_iommu(m);
    for (uint32_t i = 0; i < m->wants->card_count; i++)
        look_at_card(m, m->wants->cards[i]);
    if (m->wants->card_count == 0)
        tune_add(m->report, TUNE_OK, "vfio-pci", "", "no card is in sluice.dpdk.ports");
}

void tune_machine(struct tune_report *r, const char *root, const struct tune_wants *w)
{
    struct machine m = {.root = root, .wants = w, .report = r};
    CPU_ZERO(&m.online);
    CPU_ZERO(&m.isolated);
    look_at_kernel(&m);
    look_at_io_uring(&m);
    look_at_hugepages(&m);
    look_at_thp(&m);
    look_at_shared(&m);
    look_at_memlock(&m);
    look_at_cpus(&m);
    look_at_nodes(&m);
    look_at_cards(&m);
}

#include "control/cli/nic_test.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/cli/ports_impl.h"
#include "dataplane/nic/exercise.h"

static void line_print(const struct exercise_line *l, FILE *out)
{
    static const char *const states[] = {
        [EXERCISE_OK] = "ok", [EXERCISE_FAILED] = "FAILED", [EXERCISE_SKIPPED] = "skipped"};
    fprintf(out, "  %-10s %-8s %s\n", l->name, states[l->state], l->text);
}

/* Our IPv4 address for the echo requests; NULL: the device has none. */
static const uint8_t *own_address(const struct looked_at *l)
{
    for (uint32_t i = 0; i < l->port.address_count; i++)
        if (ip_addr_is_v4(&l->port.addresses[i].addr))
            return l->port.addresses[i].addr.b + 12;
    return NULL;
}

static int exercise(const struct nic_test *t, struct looked_at *all, FILE *out)
{
    struct exercise *x = calloc(1, sizeof(*x));
    struct in_addr neighbor;
    struct exercise_options o = {
        .clock = clock_system(),
        .port = all[0].port.port,
        .other = t->count > 1 ? all[1].port.port : NULL,
    };
    if (t->neighbor != NULL) {
        inet_pton(AF_INET, t->neighbor, &neighbor); /* looked at before */
        o.address = own_address(&all[0]);
        o.neighbor = (const uint8_t *)&neighbor;
    }
    int err = x == NULL ? ERR_NO_MEMORY : exercise_run(&o, x);
    for (uint32_t i = 0; !err && i < x->count; i++)
        line_print(&x->lines[i], out);
    int failed = err ? err : (int)x->failed;
    free(x);
    return failed;
}

static int open_and_exercise(const struct nic_test *t, struct looked_at *all, FILE *out)
{
    int failed = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        fprintf(out, "%s\n", all[i].device);
        bool open = ports_open(&all[i], t->queues);
        fprintf(out, "  %-10s %-8s %s\n", "open", open ? "ok" : "FAILED",
                open ? port_report(all[i].port.port)->driver : all[i].refusal);
        failed += !open;
    }
    if (failed == 0)
        failed = exercise(t, all, out);
    for (uint32_t i = t->count; i-- > 0;)
        port_close(all[i].port.port);
    return failed;
}

static int wrong(const char *text, char *why, size_t why_size)
{
    snprintf(why, why_size, "%s", text);
    return ERR_INVALID;
}

int nic_test(const struct nic_test *t, FILE *out, char *why, size_t why_size)
{
    struct in_addr neighbor;
    if (t->count == 0 || t->count > nic_test_devices_max)
        return wrong("one device, or two that a cable joins", why, why_size);
    if (t->queues == 0 || t->queues > exercise_queues_max)
        return wrong("1 to 16 queues", why, why_size);
    if (t->neighbor != NULL && inet_pton(AF_INET, t->neighbor, &neighbor) != 1)
        return wrong("--ping wants an IPv4 address", why, why_size);
    struct looked_at *all = calloc(t->count, sizeof(*all));
    if (all == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < t->count; i++)
        ports_parse(&all[i], t->devices[i]);
    int err = t->neighbor != NULL && all[0].refusal[0] == '\0' && own_address(&all[0]) == NULL
                  ? wrong("--ping wants an IPv4 address= of the first device", why, why_size)
                  : ports_eal(all, t->count, t->queues, why, why_size);
    if (!err)
        err = open_and_exercise(t, all, out);
    free(all);
    return err;
}

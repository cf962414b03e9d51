#include "dataplane/nic/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

int netns_enter(struct netns *n, const char *name)
{
    n->home = -1;
    if (name == NULL)
        return 0;
    char path[256];
    const char *dir = strchr(name, '/') != NULL ? "" : "/run/netns/";
    if (snprintf(path, sizeof(path), "%s%s", dir, name) >= (int)sizeof(path))
        return ERR_NOT_FOUND;
    int to = open(path, O_RDONLY | O_CLOEXEC);
    if (to < 0)
        return errno == EACCES ? ERR_PERMISSION : ERR_NOT_FOUND;
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int err = home < 0 ? ERR_SYSTEM : 0;
    if (!err && setns(to, CLONE_NEWNET) != 0)
        err = errno == EPERM ? ERR_PERMISSION : ERR_SYSTEM;
    close(to);
    if (err) {
        if (home >= 0)
            close(home);
        return err;
    }
    n->home = home;
    return 0;
}

void netns_leave(struct netns *n)
{
    if (n->home < 0)
        return;
    CHECK(setns(n->home, CLONE_NEWNET) == 0);
    close(n->home);
    n->home = -1;
}

/*
 * netns: the calling thread in another network namespace for a moment.
 *
 * Purpose: a driver makes its interface and its sockets in the namespace in which the port is to
 * live; the thread goes back afterwards. Owner: the caller's stack. Needs CAP_SYS_ADMIN.
 */
#ifndef DATAPLANE_NIC_NETNS_H
#define DATAPLANE_NIC_NETNS_H

struct netns {
    int home; /* descriptor of the namespace to go back to; -1: never left */
};

/* name: under /run/netns, or a path with a slash; NULL: stay. ERR_NOT_FOUND, ERR_PERMISSION. */
int netns_enter(struct netns *n, const char *name);

/* CHECKs that the way back is open. */
void netns_leave(struct netns *n);

#endif

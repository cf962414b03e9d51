/*
 * list: a doubly linked list whose links are embedded in its members.
 *
 * Purpose: the queues of the request path (conns that wait, parts that fired). Owner: one shard.
 * Memory: none of its own. A link that is in no list points to itself; removing it is then
 * harmless. Never fails.
 */
#ifndef DATAPLANE_KAFKA_LIST_H
#define DATAPLANE_KAFKA_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include <rte_common.h> /* container_of */

/* A member's link, or (the same shape) the head of a list. */
struct link {
    struct link *next, *prev;
};

static inline void link_init(struct link *l)
{
    l->next = l->prev = l;
}

/* True for the head of an empty list, and for a link that is in no list. */
static inline bool link_alone(const struct link *l)
{
    return l->next == l;
}

static inline void link_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    link_init(l);
}

/* At the end; l is in no list. */
static inline void link_push(struct link *head, struct link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* All members of `from` to the empty list `to`. */
static inline void link_take_all(struct link *to, struct link *from)
{
    link_init(to);
    if (link_alone(from))
        return;
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    link_init(from);
}

#endif

/*
 * sim_impl: what the two files of the simulator share: sim.c (time, log, crashes, what must hold) and
 * sim_bot.c (how clients behave).
 */
#ifndef TESTS_UNIT_CONTROL_GROUP_SIM_IMPL_H
#define TESTS_UNIT_CONTROL_GROUP_SIM_IMPL_H

#include "tests/unit/control/group/rig.h"
#include "tests/unit/control/group/sim.h"

#define sim_partitions 32
#define sim_groups_max 4
#define sim_bots_max   400
#define sim_id_bytes   96
#define sim_leaves_max 512 /* a power of two, over sim_bots_max */

#define MS 1000000LL

struct sim_group {
    char name[8];
    int32_t max_generation;                                /* of a sync that was answered */
    char owners[sim_partitions][sim_id_bytes];             /* in that generation; "": nobody yet */
    int64_t acked[sim_partitions], issued[sim_partitions]; /* committed values, growing */
    uint32_t deletions;                                    /* tried so far */
};

enum bot_state { BOT_OUT, BOT_JOINED, BOT_STABLE };

struct sim_bot {
    struct sim_call *call; /* under way; read for each event, with the next two */
    int64_t next_ns;
    bool alive;
    struct sim_group *group;
    char instance[16]; /* "": dynamic */
    char member[sim_id_bytes];
    enum bot_state state;
    bool leader, skip_assignment, refused;
    int32_t generation, session_ms, rebalance_ms;
    uint32_t mask;
    char (*ids)[sim_id_bytes]; /* of the members, for the leader */
    int32_t n_ids;
};

enum sim_kind { SIM_JOIN, SIM_SYNC, SIM_HEARTBEAT, SIM_COMMIT, SIM_LEAVE, SIM_FETCH, SIM_OTHER };

struct sim_call {
    struct group_call call; /* first */
    struct arena arena;
    struct sim_call *next, **prev; /* all that are under way */
    enum sim_kind kind;
    struct sim_bot *bot; /* NULL: nobody acts on the answer */
    struct sim_group *group;
    int64_t deadline_ns;
    /* of a commit or a fetch */
    int32_t partition, generation, max_generation;
    int64_t value, acked;
    uint32_t deletions;
};

struct sim {
    struct rig rig;
    struct rng rng; /* the clients'; the coordinator has its own */
    struct sim_totals *totals;
    struct sim_group groups[sim_groups_max];
    uint32_t n_groups, n_bots;
    struct sim_bot bots[sim_bots_max];
    struct sim_call *calls, *spare; /* spare: ended, for reuse */
    /* A tournament of the bots' next times (sim_touch): [1] is the winner, the leaves follow. */
    uint16_t first_bot[2 * sim_leaves_max];
    uint32_t leaves;
    int64_t append_due[256]; /* of rig.pending */
    uint32_t n_due;
    int64_t next_value, longest_wait_ns;
    bool calm, crashes, failures;
    const char *problem;
};

static inline uint32_t below(struct sim *s, uint32_t n)
{
    return (uint32_t)rng_below(&s->rng, n);
}

static inline bool chance(struct sim *s, uint32_t one_in)
{
    return below(s, one_in) == 0;
}

static inline void problem(struct sim *s, const char *what)
{
    if (s->problem == NULL)
        s->problem = what;
}

/* --- sim.c --- */
struct sim_call *sim_call_new(struct sim *s, enum sim_kind kind, int16_t api, int16_t version,
                              struct sim_bot *bot, struct sim_group *group, int64_t wait_ms);
void sim_call_free(struct sim *s, struct sim_call *call);
/* To be called when one of the first three fields of a bot changed. */
void sim_touch(struct sim *s, const struct sim_bot *b);
void sim_pump(struct sim *s);
/* A sync was answered with these partitions. */
void sim_owned(struct sim *s, struct sim_group *g, int32_t generation, const char *owner,
               uint32_t mask);

/* --- sim_bot.c --- */
void bot_act(struct sim *s, struct sim_bot *b);
void bot_reply(struct sim *s, struct sim_call *call);
/* The coordinator crashed while the bot waited. */
void bot_lost(struct sim *s, struct sim_bot *b);
/* Something that an administrator, or a client that should be dead, may do. */
void sim_disturb(struct sim *s);
void sim_fetch(struct sim *s, struct sim_group *g);

#endif

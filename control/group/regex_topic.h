/*
 * regex_topic: regular expressions over topic names (KIP-848's SubscribedTopicRegex).
 *
 * Purpose: the syntax of RE2/J, which Kafka uses, matched by PCRE2. A pattern is translated first
 * (regex_syntax.h): what RE2/J refuses (look-around, back references, possessive and nested
 * repetition, ...) is refused with its words, so that PCRE2 sees only what both read alike. The
 * match is PCRE2's breadth-first one, which like RE2/J has no exponential case.
 * Owner: the thread that compiled it. Memory: malloc, and PCRE2's own.
 * Differences from RE2/J: a pattern that compiles to more than PCRE2's 64 KiB, is longer than
 * regex_bytes_max or nests groups deeper than regex_nesting_max is refused ("expression too
 * large"); a match that needs more than regex_states_max places at once counts as no match.
 * Failure: ERR_INVALID with the reason, ERR_NO_MEMORY.
 */
#ifndef CONTROL_GROUP_REGEX_TOPIC_H
#define CONTROL_GROUP_REGEX_TOPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define regex_bytes_max   16384 /* a pattern, UTF-8 */
#define regex_nesting_max 200   /* groups in groups */
#define regex_states_max  1000  /* places of a pattern that a match is at, at once */
#define regex_calls_max   10000 /* PCRE2's match limit: its internal calls of one match */
#define regex_depth_max   250   /* PCRE2's depth limit */
#define regex_heap_kib    1024  /* PCRE2's heap limit of one match */

struct topic_regex;

/* *why (static text) is set on ERR_INVALID: RE2/J's description, e.g. "missing closing )". */
int topic_regex_new(struct topic_regex **out, struct str pattern, const char **why);

/* NULL is accepted. */
void topic_regex_free(struct topic_regex *re);

/*
 * What a match of this name costs at most, about: the square of the places that repetitions can keep it
 * at, times the name's bytes. A million of it take a quarter of a millisecond.
 */
uint64_t topic_regex_cost(const struct topic_regex *re, struct str name);
#define regex_match_cost   1500  /* of the shortest match */
#define regex_compile_cost 50000 /* of making a pattern, about */

/* True if the whole of name matches. *limited (may be NULL) is set if a limit cut the search. */
bool topic_regex_matches(struct topic_regex *re, struct str name, bool *limited);

#endif

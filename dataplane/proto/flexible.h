/*
 * flexible: the compact form or the plain one, chosen at run time.
 *
 * Purpose: what the generated code of a message calls when some of its versions are flexible and
 * some are not. Ownership and failure as in reader.h and writer.h.
 */
#ifndef DATAPLANE_PROTO_FLEXIBLE_H
#define DATAPLANE_PROTO_FLEXIBLE_H

#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"

static inline struct str reader_any_str(struct reader *r, bool flexible, bool nullable,
                                        struct arena *arena)
{
    return flexible ? reader_compact_str(r, nullable, arena) : reader_str(r, nullable, arena);
}

static inline struct proto_bytes reader_any_bytes(struct reader *r, bool flexible, bool nullable,
                                                  struct arena *arena)
{
    return flexible ? reader_compact_bytes(r, nullable, arena) : reader_bytes(r, nullable, arena);
}

static inline struct proto_records reader_any_records(struct reader *r, bool flexible,
                                                      bool nullable)
{
    return flexible ? reader_compact_records(r, nullable) : reader_records(r, nullable);
}

static inline int32_t reader_any_array_len(struct reader *r, bool flexible, bool nullable,
                                           uint32_t element_bytes_min)
{
    return flexible ? reader_compact_array_len(r, nullable, element_bytes_min)
                    : reader_array_len(r, nullable, element_bytes_min);
}

static inline void writer_any_str(struct writer *w, bool flexible, struct str s, bool nullable)
{
    flexible ? writer_compact_str(w, s, nullable) : writer_str(w, s, nullable);
}

static inline void writer_any_bytes_field(struct writer *w, bool flexible, struct proto_bytes b,
                                          bool nullable)
{
    flexible ? writer_compact_bytes_field(w, b, nullable) : writer_bytes_field(w, b, nullable);
}

static inline void writer_any_records(struct writer *w, bool flexible, struct proto_records rec,
                                      bool nullable)
{
    flexible ? writer_compact_records(w, rec, nullable) : writer_records(w, rec, nullable);
}

static inline void writer_any_array_len(struct writer *w, bool flexible, int32_t n, bool nullable)
{
    flexible ? writer_compact_array_len(w, n, nullable) : writer_array_len(w, n, nullable);
}

#endif

/* The operations of a step, written down as they are queued: so whatever is said of them follows
 * train/step.c by construction.
 *
 * A trace takes the place of a backend's table of operations, notes each one with its argument, and
 * lets the backend do it. Meanwhile nobody else may use the context. */
#ifndef DKI_TRACE_H
#define DKI_TRACE_H

#include "backend/backend.h"
#include "base/memory.h"

typedef struct dki_trace {
    dki_backend_ops ops; /* first: by it operations find the trace */
    const dki_backend_ops *real;
    dki_backend *backend;
    const dk_allocator *allocator;
    dki_operation *list; /* of the step that was traced last, in the order of queueing */
    size_t count, capacity;
    bool timed;               /* marks 2·i and 2·i + 1 before and after operation i */
    dki_recording *recording; /* of the traced step, with the marks in it */
} dki_trace;

/** The trace stands in the backend's place until dki_trace_end. */
void dki_trace_begin(dki_trace *trace, dki_backend *backend, const dk_allocator *allocator,
                     bool timed);
/** What was written down stays. */
void dki_trace_end(dki_trace *trace);
/** Not while it is in the backend's place. */
void dki_trace_close(dki_trace *trace);

/** A set of kinds. */
static inline unsigned dki_kind_bit(dki_operation_kind kind) {
    return 1u << kind;
}

/** Queues the traced operations of some kinds again, on their lanes and in their order. */
dk_status dki_trace_play(const dki_trace *trace, unsigned kinds);

#endif

/* The context: one backend, the host's services, and a count of the objects made from it. */
#ifndef DKI_CONTEXT_H
#define DKI_CONTEXT_H

#include "backend/backend.h"
#include "base/log.h"
#include "base/memory.h"

struct dk_context {
    int references; /* atomic */
    dk_allocator allocator;
    dki_logger log;
    dki_services services;
    dki_backend *backend;
    dki_backend_info info;
    dk_precision precision;
};

/** One more holder; returns its argument. dk_context_destroy lets go. */
dk_context *dki_context_hold(dk_context *context);

/* Reference counts: objects are held by what depends on them. */
static inline void dki_count_up(int *references) {
    __atomic_add_fetch(references, 1, __ATOMIC_RELAXED);
}
/** True when the last holder let go. */
static inline bool dki_count_down(int *references) {
    return __atomic_sub_fetch(references, 1, __ATOMIC_ACQ_REL) == 0;
}

#endif

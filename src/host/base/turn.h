/* Objects that one call at a time may use. */
#ifndef DKI_TURN_H
#define DKI_TURN_H

#include "base/error.h"

#include <stdbool.h>

/** All zero is free. */
typedef struct dki_turn {
    bool taken; /* atomic */
} dki_turn;

/** DK_E_STATE where another thread's call, or one that this one was called back by, is under way. */
static inline dk_status dki_turn_take(dki_turn *turn, const char *what) {
    DKI_REQUIRE(!__atomic_exchange_n(&turn->taken, true, __ATOMIC_ACQUIRE), DK_E_STATE,
                "%s is in use by a call that hasn't returned: one at a time", what);
    return DK_OK;
}

/** Returns `status`. */
static inline dk_status dki_turn_give(dki_turn *turn, dk_status status) {
    __atomic_store_n(&turn->taken, false, __ATOMIC_RELEASE);
    return status;
}

#endif

/* Host memory through the context's allocator hooks, with every size checked for overflow. */
#ifndef DKI_MEMORY_H
#define DKI_MEMORY_H

#include "base/error.h"

enum { DKI_ALIGNMENT = 64 };

/** The C library's allocator: what an all-zero dk_allocator stands for. */
extern const dk_allocator dki_libc_allocator;

/** Allocates count × size zeroed bytes, 64-byte aligned, and stores the address in *memory (NULL on
 *  failure). A count or size of 0 gives a pointer that must be released like any other.
 *  `what` names the thing in the error text. DK_E_MEMORY. */
dk_status dki_alloc(const dk_allocator *allocator, size_t count, size_t size, const char *what,
                    void **memory);

/** Typed form: dki_new(allocator, &pointer, count, "what"). */
#define dki_new(allocator, pointer, count, what)                                                   \
    dki_alloc((allocator), (count), sizeof **(pointer), (what), (void **)(pointer))

/** Releases what dki_alloc gave; NULL does nothing. */
void dki_release(const dk_allocator *allocator, void *memory);

/** A copy of a text; NULL stays NULL. DK_E_MEMORY. */
dk_status dki_copy_text(const dk_allocator *allocator, const char *text, char **copy);

/** Grows an array of `size`-byte items to hold at least `needed`, by doubling; *items and *capacity
 *  are updated, old contents kept. DK_E_MEMORY leaves both as they were. */
dk_status dki_grow(const dk_allocator *allocator, void **items, size_t *capacity, size_t needed,
                   size_t size, const char *what);

/** *product = a·b, or false on overflow. */
static inline bool dki_mul(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

/** *sum = a + b, or false on overflow. */
static inline bool dki_add(size_t a, size_t b, size_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}

/** The next multiple of `to` (a power of two); false on overflow. */
static inline bool dki_round_up(size_t bytes, size_t to, size_t *rounded) {
    if (!dki_add(bytes, to - 1, rounded)) return false;
    *rounded &= ~(to - 1);
    return true;
}

#endif

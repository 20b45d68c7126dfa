/* Names of enumerations, and the nearest one to a misspelt name. */
#ifndef DKI_NAMES_H
#define DKI_NAMES_H

#include "base/error.h"

/** The index of `text` in names[0 … count−1], or DK_E_ARGUMENT:
 *  "unknown activation "rleu": did you mean "relu"? One of: identity, relu, …". */
dk_status dki_name_index(const char *kind, const char *text, size_t length,
                         const char *const *names, size_t count, size_t *index);

/** The nearest of names[0 … count−1] to `text` by edit distance (at least a third of its letters
 *  must agree), or NULL. */
const char *dki_nearest(const char *text, size_t length, const char *const *names, size_t count);

#endif

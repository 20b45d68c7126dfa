#include "format/hash.h"

#include <stdio.h>
#include <xxhash.h>

static void to_text(XXH128_hash_t hash, char text[DKI_HASH_TEXT]) {
    snprintf(text, DKI_HASH_TEXT, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

void dki_hash_text(const void *data, size_t bytes, char text[DKI_HASH_TEXT]) {
    to_text(XXH3_128bits(data, bytes), text);
}

dki_hasher *dki_hasher_open(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state) XXH3_128bits_reset(state);
    return (dki_hasher *)state;
}

void dki_hasher_add(dki_hasher *hasher, const void *data, size_t bytes) {
    XXH3_128bits_update((XXH3_state_t *)hasher, data, bytes);
}

void dki_hasher_close(dki_hasher *hasher, char text[DKI_HASH_TEXT]) {
    to_text(XXH3_128bits_digest((XXH3_state_t *)hasher), text);
    XXH3_freeState((XXH3_state_t *)hasher);
}

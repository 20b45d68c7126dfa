/* gzip in memory (RFC 1952), through zlib; dki_file_inflate is here too. */
#ifndef DKI_INFLATE_H
#define DKI_INFLATE_H

#include "format/file.h"

static inline bool dki_is_gzip(const unsigned char *data, size_t bytes) {
    return bytes >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

/** Inflates the beginning of a gzip: at most `room` bytes to `head`; *got is how many there were
 *  before the input ended or was found damaged. DK_E_MEMORY. */
dk_status dki_inflate_head(const char *name, const unsigned char *data, size_t bytes,
                           unsigned char *head, size_t room, size_t *got);

#endif

/* XXH3, by which a file knows its own bytes again: https://github.com/Cyan4973/xxHash. It finds damage;
 * against a forger, who can compute it too, it is no protection. */
#ifndef DKI_HASH_H
#define DKI_HASH_H

#include <stddef.h>

enum { DKI_HASH_TEXT = 33 };

/** The 128-bit hash as 32 hexadecimal digits, and a zero byte. */
void dki_hash_text(const void *data, size_t bytes, char text[DKI_HASH_TEXT]);

/** The same of bytes that come in pieces. open gives NULL where there is no memory. */
typedef struct dki_hasher dki_hasher;
dki_hasher *dki_hasher_open(void);
void dki_hasher_add(dki_hasher *hasher, const void *data, size_t bytes);
void dki_hasher_close(dki_hasher *hasher, char text[DKI_HASH_TEXT]);

#endif

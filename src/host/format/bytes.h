/* Little- and big-endian numbers at any address, on any host. */
#ifndef DKI_BYTES_H
#define DKI_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t dki_load_le16(const void *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t dki_load_le32(const void *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)dki_load_le16(b) | (uint32_t)dki_load_le16(b + 2) << 16;
}

static inline uint64_t dki_load_le64(const void *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint64_t)dki_load_le32(b) | (uint64_t)dki_load_le32(b + 4) << 32;
}

static inline uint16_t dki_load_be16(const void *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t dki_load_be32(const void *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)dki_load_be16(b) << 16 | dki_load_be16(b + 2);
}

static inline uint64_t dki_load_be64(const void *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint64_t)dki_load_be32(b) << 32 | dki_load_be32(b + 4);
}

static inline void dki_store_le16(void *bytes, uint16_t value) {
    unsigned char *b = (unsigned char *)bytes;
    b[0] = (unsigned char)value;
    b[1] = (unsigned char)(value >> 8);
}

static inline void dki_store_le64(void *bytes, uint64_t value) {
    unsigned char *b = (unsigned char *)bytes;
    for (int i = 0; i < 8; ++i) b[i] = (unsigned char)(value >> 8 * i);
}

#endif

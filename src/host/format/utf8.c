#include "format/utf8.h"

#include <stdint.h>

bool dki_is_utf8(const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        uint32_t point = *at++;
        if (point < 0x80) continue;
        int follow = point >= 0xf0 ? 3 : point >= 0xe0 ? 2 : 1;
        if (point < 0xc2 || point > 0xf4) return false;
        point &= 0x3fu >> follow;
        for (int i = 0; i < follow; ++i, ++at) {
            if ((*at & 0xc0) != 0x80) return false;
            point = point << 6 | (*at & 0x3f);
        }
        if (follow == 2 && (point < 0x800 || (point >= 0xd800 && point < 0xe000))) return false;
        if (follow == 3 && (point < 0x10000 || point > 0x10ffff)) return false;
    }
    return true;
}

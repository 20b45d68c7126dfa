/* Texts that go into model files must be UTF-8. */
#ifndef DKI_UTF8_H
#define DKI_UTF8_H

#include <stdbool.h>

/** Whether text is UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
bool dki_is_utf8(const char *text);

#endif

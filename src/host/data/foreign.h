/* Files of other kinds, which people hand over as tables: named, with the way out. */
#ifndef DKI_FOREIGN_H
#define DKI_FOREIGN_H

#include "base/error.h"

enum { DKI_FOREIGN_HEAD = 512 /* bytes of a file that tell what it is */ };

/** DK_E_DATA where the first bytes of a file, at most DKI_FOREIGN_HEAD, are those of a format that isn't
 *  read here. */
dk_status dki_refuse_foreign(const char *path, const unsigned char *head, size_t bytes);

#endif

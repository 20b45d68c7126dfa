/* Folders, told apart whatever their names. */
#ifndef DKI_FOLDER_H
#define DKI_FOLDER_H

#include "base/error.h"

/** All zero is no folder. */
typedef struct dki_folder_id {
    bool known;
    uint64_t device, node;
} dki_folder_id;

/** Which folder a path is. DK_E_IO. */
dk_status dki_folder_identify(const char *path, dki_folder_id *id);

static inline bool dki_folder_is(const dki_folder_id *a, const dki_folder_id *b) {
    return a->known && b->known && a->device == b->device && a->node == b->node;
}

#endif

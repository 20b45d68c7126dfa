/* A folder of checkpoints: checkpoint-000000001234.safetensors after 1234 steps. It belongs to one run at
 * a time. */
#ifndef DKI_CHECKPOINT_FOLDER_H
#define DKI_CHECKPOINT_FOLDER_H

#include "base/log.h"

typedef struct dki_checkpoint_folder {
    const dk_allocator *allocator;
    dki_logger *log;
    char *path;
    int lock; /* descriptor of the folder, locked; −1 = closed */
} dki_checkpoint_folder;

/** Steps of the checkpoints in a folder, ascending. */
typedef struct dki_checkpoint_list {
    uint64_t *steps; /* [count], from the allocator */
    size_t count;
} dki_checkpoint_list;

/** Makes the folder where it is missing, locks it, and removes what a killed run left half-written.
 *  DK_E_IO, DK_E_MEMORY; DK_E_STATE: another process or trainer saves there. */
dk_status dki_checkpoint_folder_open(dki_checkpoint_folder *folder, const dk_allocator *allocator,
                                     dki_logger *log, const char *path);
void dki_checkpoint_folder_close(dki_checkpoint_folder *folder);

/** The path of a step's checkpoint; the caller releases it. DK_E_MEMORY. */
dk_status dki_checkpoint_path(const dk_allocator *allocator, const char *folder, uint64_t step,
                              char **path);

/** Lists a folder; the caller releases list->steps. DK_E_IO, DK_E_MEMORY. */
dk_status dki_checkpoint_folder_list(const dk_allocator *allocator, const char *folder,
                                     dki_checkpoint_list *list);

/** The step that a checkpoint's file name says; false where it isn't one. */
bool dki_checkpoint_step(const char *path, uint64_t *step);

/** Renames checkpoints of steps after `step` to *.old: a run that began anew before them would
 *  otherwise be taken for theirs. DK_E_IO, DK_E_MEMORY. */
dk_status dki_checkpoint_folder_set_aside(const dki_checkpoint_folder *folder, uint64_t step);

/** Removes all but the last `keep`. What can't be removed is a line in the log. */
void dki_checkpoint_folder_prune(const dki_checkpoint_folder *folder, size_t keep);

#endif

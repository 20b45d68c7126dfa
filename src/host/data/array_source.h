/* What the array formats, IDX and NPY, share on their way into a storage. */
#ifndef DKI_ARRAY_SOURCE_H
#define DKI_ARRAY_SOURCE_H

#include "data/source.h"
#include "format/array.h"
#include "format/file.h"

/** An array [rows, …] becomes the features; what follows the rows is flattened, and the last two of
 *  three dimensions are an image's. The storage takes *file over, which is then empty.
 *  DK_E_DATA for a Fortran-order array of more than two dimensions; `name` is the file's. */
dk_status dki_adopt_features(const dki_request *request, const char *name, dki_file *file,
                             const dki_array *array, dki_storage *storage);

/** An array [rows] or [rows, 1] of labels or targets, or [rows, n] of targets, for a storage that
 *  has `rows` rows in its own file. DK_E_DATA where the rows differ. */
dk_status dki_apply_label_array(const dki_request *request, const char *name,
                                const dki_array *array, int64_t rows, dki_storage *storage);

/** One strided column of labels, storage->rows long, at element `first`. */
dk_status dki_apply_label_column(const dki_request *request, const char *name, const void *elements,
                                 dk_dtype type, int64_t first, int64_t stride, bool integer_typed,
                                 dki_storage *storage);

/** "directory/name" + suffix. DK_E_MEMORY. */
dk_status dki_join_path(const dk_allocator *allocator, const char *directory, const char *name,
                        const char *suffix, char **path);

#endif

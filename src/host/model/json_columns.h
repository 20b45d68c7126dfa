/* The table of a training set in a model's JSON: {"columns": 4, "features": [0, 1, 2], "label": 3,
 * "names": ["a", "b", "c"], "label_name": "y", "id_name": null}, or null where it was none. */
#ifndef DKI_JSON_COLUMNS_H
#define DKI_JSON_COLUMNS_H

#include "format/json.h"
#include "model/columns.h"

/** NULL without memory. */
json_t *dki_columns_to_json(const dki_columns *columns);

/** `object` NULL, of a model from before there was one, is as null. Empty on failure: DK_E_MODEL. */
dk_status dki_columns_from_json(const dk_allocator *allocator, const json_t *object,
                                int64_t features, dki_columns *columns);

#endif

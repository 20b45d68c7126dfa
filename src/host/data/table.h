/* A CSV table as a storage. */
#ifndef DKI_TABLE_H
#define DKI_TABLE_H

#include "data/source.h"
#include "format/csv.h"

/** Takes the features out of a table and its labels into account; the caller still releases it. */
dk_status dki_table_apply(const dki_request *request, dki_csv *table, dki_storage *storage);

#endif

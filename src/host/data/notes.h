/* What was made of a source, in words: the line that `deltak train` says, and what is doubtful. */
#ifndef DKI_NOTES_H
#define DKI_NOTES_H

#include "data/source.h"
#include "format/csv.h"

/** Appends a note, formatted as by printf. DK_E_MEMORY. */
dk_status dki_note(dki_storage *storage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The first note: rows, columns, header, task and classes of a storage that is complete; `table` where
 *  it was one, else NULL. Must come before any other. */
dk_status dki_note_summary(dki_storage *storage, const dki_csv *table);

/** Doubts about a table's columns: one that counts the rows, or those that the model doesn't know. */
dk_status dki_note_columns(dki_storage *storage, const dki_csv *table, bool like);

/** Doubts about the labels and the task, where the task wasn't said. */
dk_status dki_note_labels(const dki_request *request, dki_storage *storage, const double *numbers);

#endif

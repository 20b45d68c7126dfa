/* Output files that appear whole or not at all, and inputs that no output overwrites. */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include <stdbool.h>
#include <stdio.h>

/** Whether a file can be made or replaced at path: says why not in an error line. Touches nothing. */
bool cli_can_write(const char *path);

/** Whether an output is another file than an input, by whatever names and links: says in an error line
 *  if it isn't. `input` may be a folder, whose files are the inputs then; either may be NULL. */
bool cli_keeps(const char *input, const char *output);

/** A file whose content is gathered, and written at the end by dk_file_write. A path that is there and
 *  isn't a regular file (a pipe, a device) is written directly. */
typedef struct cli_file {
    const char *path;
    FILE *stream;
    char *content; /* of a file that isn't written directly */
    size_t bytes;
    bool direct;
} cli_file;

/** False, with an error line, if it can't be opened. */
bool cli_file_open(cli_file *file, const char *path);

/** Puts the file in its place. False, with an error line, if something couldn't be written; then,
 *  and when the process ends before, nothing is left. */
bool cli_file_commit(cli_file *file);

/** Drops what was written. Does nothing after cli_file_commit, or on a zeroed structure. */
void cli_file_abandon(cli_file *file);

#endif

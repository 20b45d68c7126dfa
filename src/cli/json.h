/* JSON results on standard output. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "deltak/deltak.h"

#include <jansson.h>
#include <stdio.h>

/** Members that keep their order. A number that isn't finite becomes null, as JSON has none; bytes
 *  that aren't UTF-8 become question marks. Without memory the process ends with CLI_DEVICE. */
json_t *cli_json_object(void);
json_t *cli_json_array(void);
void cli_json_real(json_t *object, const char *key, double value);
void cli_json_integer(json_t *object, const char *key, int64_t value);
void cli_json_text(json_t *object, const char *key, const char *value); /**< NULL: null */
void cli_json_flag(json_t *object, const char *key, bool value);
void cli_json_put(json_t *object, const char *key, json_t *value); /**< takes value */
void cli_json_append_real(json_t *array, double value);
void cli_json_append_text(json_t *array, const char *value);

/** loss, accuracy or rmse, mae and r2, samples. */
void cli_json_metrics(json_t *object, const dk_metrics *metrics);

/** Device, kernel, threads, precision and version: what numbers are comparable within. */
void cli_json_machine(json_t *object, const dk_context *context);

/** Prints the object, indented, to standard output, and lets it go. cli_finish tells of failure. */
void cli_json_print(json_t *object);

/** Writes the object as one line, and lets it go. False if it couldn't be written. */
bool cli_json_line(FILE *file, json_t *object);

#endif

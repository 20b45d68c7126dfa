#include "cli.h"
#include "options.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

enum {
    KEY_DATA = CLI_KEY,
    KEY_LABEL_COLUMN,
    KEY_HEADER,
    KEY_IGNORE_COLUMNS,
    KEY_ID_COLUMN,
    KEY_DATA_SEED,
    KEY_ROWS,
    KEY_FEATURES,
    KEY_TARGETS
};

static const struct argp_option options[] = {
    {"data", KEY_DATA, "SOURCE", 0,
     "A CSV table or NPY matrix (one column is the label), an IDX images file, a directory with "
     "MNIST's four names or with x.npy and y.npy, builtin:digits, synth:spirals or synth:teacher; "
     "CSV and IDX also as .gz; - is a table from standard input",
     0},
    {"label-column", KEY_LABEL_COLUMN, "WHICH", 0,
     "Tables: last, first, a column number from 0, or a name in the header (default last; with a "
     "model, its label's)",
     0},
    {"header", KEY_HEADER, "WHETHER", 0,
     "Tables: yes or no, whether the first line names the columns (default: by all rows, where "
     "that "
     "is sure)",
     0},
    {"ignore-columns", KEY_IGNORE_COLUMNS, "NAMES", 0,
     "Tables: columns to leave out, names or numbers from 0, by commas", 0},
    {"id-column", KEY_ID_COLUMN, "WHICH", 0,
     "Tables: the column that names the rows, by name or number: no feature; predict hands it on",
     0},
    {"rows", KEY_ROWS, "N", 0,
     "Rows of a synthetic set; of other sources, at most so many, of a training the part that is "
     "trained on; 0 = its own number (default {})",
     0},
    {"features", KEY_FEATURES, "N", 0, "Features of synth:teacher; 0 = its own (default {})", 0},
    {"targets", KEY_TARGETS, "N", 0,
     "Outputs of synth:teacher, classes of synth:spirals; 0 = its own (default {})", 0},
    {"data-seed", KEY_DATA_SEED, "N", 0, "Seed of a synthetic set (default {})", 0},
    {0},
};

static dk_header parse_header(const char *text) {
    if (strcmp(text, "yes") == 0) return DK_HEADER_YES;
    if (strcmp(text, "no") == 0) return DK_HEADER_NO;
    cli_usage("--header: \"%s\" is neither yes nor no", text);
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    cli_data *data = state->input;
    switch (key) {
    case KEY_DATA:
        data->source = argument;
        return 0;
    case KEY_LABEL_COLUMN:
        data->label_column = argument;
        return 0;
    case KEY_HEADER:
        data->header = parse_header(argument);
        return 0;
    case KEY_IGNORE_COLUMNS:
        data->ignore_columns = argument;
        return 0;
    case KEY_ID_COLUMN:
        data->id_column = argument;
        return 0;
    case KEY_DATA_SEED:
        data->seed = (uint64_t)cli_integer("--data-seed", argument, 0, INT64_MAX);
        return 0;
    case KEY_ROWS:
        data->rows = cli_integer("--rows", argument, 0, INT64_MAX);
        return 0;
    case KEY_FEATURES:
        data->features = cli_integer("--features", argument, 0, INT64_MAX);
        return 0;
    case KEY_TARGETS:
        data->targets = cli_integer("--targets", argument, 0, INT64_MAX);
        return 0;
    case ARGP_KEY_END:
        if (!data->source || !*data->source)
            cli_usage("--data is missing: a file, a directory, builtin:digits or synth:NAME");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *describe(int key, const char *text, void *input) {
    const cli_data *data = input;
    char value[32];
    if (!data) return (char *)text;
    switch (key) {
    case KEY_DATA_SEED:
        snprintf(value, sizeof value, "%llu", (unsigned long long)data->seed);
        break;
    case KEY_ROWS:
        snprintf(value, sizeof value, "%lld", (long long)data->rows);
        break;
    case KEY_FEATURES:
        snprintf(value, sizeof value, "%lld", (long long)data->features);
        break;
    case KEY_TARGETS:
        snprintf(value, sizeof value, "%lld", (long long)data->targets);
        break;
    default:
        return (char *)text;
    }
    return cli_substitute(text, value);
}

const struct argp cli_data_argp = {options, parse, NULL, NULL, NULL, describe, NULL};

dk_data_options cli_data_options(const cli_data *data, dk_part part) {
    dk_data_options chosen = DK_DATA_OPTIONS_INIT;
    chosen.part = part;
    chosen.label_column = data->label_column;
    chosen.seed = data->seed;
    chosen.rows = data->rows;
    chosen.features = data->features;
    chosen.targets = data->targets;
    chosen.header = data->header;
    chosen.ignore_columns = data->ignore_columns;
    chosen.id_column = data->id_column;
    return chosen;
}

/* Standard input is a table that can be read once. */
static const char *path_of(const char *source) {
    return strcmp(source, "-") == 0 ? "/dev/stdin" : source;
}

dk_status cli_open_data(dk_dataset **dataset, dk_context *context, const char *source,
                        dk_data_options data) {
    return dk_dataset_open(dataset, context, path_of(source), &data);
}

dk_status cli_open_test_part(dk_dataset **dataset, dk_context *context, const char *source,
                             dk_data_options data) {
    data.part = DK_PART_TEST;
    dk_status status = cli_open_data(dataset, context, source, data);
    return status == DK_E_STATE ? DK_OK : status; /* there is none */
}

dk_status cli_open_for_test(dk_dataset **dataset, dk_context *context, const char *source,
                            dk_data_options data) {
    dk_status status = cli_open_test_part(dataset, context, source, data);
    if (status || *dataset) return status;
    data.part = DK_PART_TRAIN;
    return cli_open_data(dataset, context, source, data);
}

void cli_warn_of_data(const dk_dataset *dataset) {
    if (!dataset) return;
    const char *note = NULL;
    for (size_t i = 1; (note = dk_dataset_note(dataset, i)); ++i) cli_error("note: %s", note);
}

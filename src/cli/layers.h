/* --layers and what it makes: a network without data, for `check` and `bench`. */
#ifndef CLI_LAYERS_H
#define CLI_LAYERS_H

#include "json.h"
#include "options.h"

/** Widths from the inputs to the outputs. */
typedef struct cli_layers {
    int64_t widths[CLI_MOST_HIDDEN + 2];
    size_t count;
} cli_layers;

/** Reads "784,512,10": at least inputs and outputs. */
void cli_layers_parse(cli_layers *layers, const char *text);

/** Inputs, the network's hidden widths, outputs. */
void cli_layers_from_hidden(cli_layers *layers, int64_t inputs, const cli_network *network,
                            int64_t outputs);

/** A description with these widths, its other properties the network's; loss auto is softmax
 *  cross-entropy. `memory` has room for CLI_MOST_HIDDEN + 1. */
dk_net_desc cli_layers_describe(const cli_layers *layers, cli_network *network, uint64_t seed,
                                dk_layer *memory);

json_t *cli_layers_json(const cli_layers *layers);

/** "784-512-10" into text. Returns text. */
const char *cli_layers_text(const cli_layers *layers, char *text, size_t bytes);

#endif

#include "layers.h"

#include "cli.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

void cli_layers_parse(cli_layers *layers, const char *text) {
    layers->count =
        cli_widths("--layers", text, layers->widths, sizeof layers->widths / sizeof(int64_t));
    if (layers->count < 2)
        cli_usage("--layers: at least two widths, inputs and outputs, as in \"784,512,10\"");
}

void cli_layers_from_hidden(cli_layers *layers, int64_t inputs, const cli_network *network,
                            int64_t outputs) {
    layers->widths[0] = inputs;
    memcpy(layers->widths + 1, network->hidden, network->hidden_count * sizeof(int64_t));
    layers->widths[network->hidden_count + 1] = outputs;
    layers->count = network->hidden_count + 2;
}

dk_net_desc cli_layers_describe(const cli_layers *layers, cli_network *network, uint64_t seed,
                                dk_layer *memory) {
    network->hidden_count = layers->count - 2;
    memcpy(network->hidden, layers->widths + 1, network->hidden_count * sizeof(int64_t));
    return cli_network_describe(network, layers->widths[0], layers->widths[layers->count - 1],
                                DK_TASK_CLASSIFICATION, seed, memory);
}

json_t *cli_layers_json(const cli_layers *layers) {
    json_t *list = cli_json_array();
    for (size_t i = 0; i < layers->count; ++i)
        json_array_append_new(list, json_integer(layers->widths[i]));
    return list;
}

const char *cli_layers_text(const cli_layers *layers, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < layers->count && used < bytes; ++i)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i ? "-" : "",
                                 (long long)layers->widths[i]);
    return text;
}

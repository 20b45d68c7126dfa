#include "cli.h"
#include "options.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    KEY_HIDDEN = CLI_KEY,
    KEY_ACTIVATION,
    KEY_LOSS,
    KEY_HUBER_DELTA,
    KEY_LABEL_SMOOTHING,
    KEY_DROPOUT,
    KEY_INIT,
    KEY_INIT_VALUE
};

static const struct argp_option hidden_options[] = {
    {"hidden", KEY_HIDDEN, "WIDTHS", 0,
     "Widths of the hidden layers, with commas; \"\" = none (default {})", 0},
    {0},
};

static const struct argp_option options[] = {
    {"activation", KEY_ACTIVATION, "NAME", 0,
     "Of the hidden layers; leaky_relu and elu take an alpha, as in leaky_relu(0.2): {}", 0},
    {"loss", KEY_LOSS, "NAME", 0,
     "auto follows from the task: softmax_cross_entropy for classes, mse for numbers; or one of: "
     "{} (default auto)",
     0},
    {"huber-delta", KEY_HUBER_DELTA, "D", 0,
     "Where the huber loss turns from a square into a line (default {})", 0},
    {"label-smoothing", KEY_LABEL_SMOOTHING, "E", 0,
     "Of softmax_cross_entropy, in [0, 1) (default {})", 0},
    {"dropout", KEY_DROPOUT, "P", 0,
     "Part of each hidden layer's outputs dropped in training, in [0, 1) (default {})", 0},
    {"init", KEY_INIT, "NAME", 0,
     "Initial weights; auto follows from the activation and the depth: {}", 0},
    {"init-value", KEY_INIT_VALUE, "V", 0, "Every weight, with --init constant (default {})", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state) {
    cli_network *network = state->input;
    switch (key) {
    case KEY_ACTIVATION:
        if (dk_activation_parse(argument, &network->activation, &network->alpha))
            cli_usage("--activation: %s", dk_error_text());
        return 0;
    case KEY_LOSS:
        network->loss_given = strcmp(argument, "auto") != 0;
        if (network->loss_given && dk_loss_parse(argument, &network->loss))
            cli_usage("--loss: %s", dk_error_text());
        return 0;
    case KEY_HUBER_DELTA:
        network->huber_delta =
            (float)cli_real("--huber-delta", argument, 0, INFINITY, CLI_OPEN_LOW);
        return 0;
    case KEY_LABEL_SMOOTHING:
        network->label_smoothing =
            (float)cli_real("--label-smoothing", argument, 0, 1, CLI_OPEN_HIGH);
        return 0;
    case KEY_DROPOUT:
        network->dropout = (float)cli_real("--dropout", argument, 0, 1, CLI_OPEN_HIGH);
        return 0;
    case KEY_INIT:
        if (dk_init_parse(argument, &network->init)) cli_usage("--init: %s", dk_error_text());
        return 0;
    case KEY_INIT_VALUE:
        network->init_value = (float)cli_real("--init-value", argument, -INFINITY, INFINITY, 0);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *describe(int key, const char *text, void *input) {
    const cli_network *network = input;
    char names[512], value[640];
    if (!network) return (char *)text;
    switch (key) {
    case KEY_ACTIVATION:
        snprintf(value, sizeof value, "%s (default %s)",
                 cli_names(cli_activation_at, names, sizeof names),
                 dk_activation_name(network->activation));
        break;
    case KEY_LOSS:
        return cli_substitute(text, cli_names(cli_loss_at, names, sizeof names));
    case KEY_HUBER_DELTA:
        snprintf(value, sizeof value, "%g", network->huber_delta);
        break;
    case KEY_LABEL_SMOOTHING:
        snprintf(value, sizeof value, "%g", network->label_smoothing);
        break;
    case KEY_DROPOUT:
        snprintf(value, sizeof value, "%g", network->dropout);
        break;
    case KEY_INIT:
        snprintf(value, sizeof value, "%s (default %s)",
                 cli_names(cli_init_at, names, sizeof names), dk_init_name(network->init));
        break;
    case KEY_INIT_VALUE:
        snprintf(value, sizeof value, "%g", network->init_value);
        break;
    default:
        return (char *)text;
    }
    return cli_substitute(text, value);
}

static error_t parse_hidden(int key, char *argument, struct argp_state *state) {
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->input;
        return 0;
    case KEY_HIDDEN:
        cli_network_hidden(state->input, argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *describe_hidden(int key, const char *text, void *input) {
    const cli_network *network = input;
    if (!network || key != KEY_HIDDEN) return (char *)text;
    return cli_substitute(text, network->hidden_text);
}

const struct argp cli_layer_argp = {options, parse, NULL, NULL, NULL, describe, NULL};
static const struct argp_child children[] = {{&cli_layer_argp, 0, NULL, 0}, {0}};
const struct argp cli_network_argp = {hidden_options, parse_hidden,    NULL, NULL,
                                      children,       describe_hidden, NULL};

void cli_network_hidden(cli_network *network, const char *text) {
    network->hidden_count = cli_widths("--hidden", text, network->hidden, CLI_MOST_HIDDEN);
}

void cli_network_init(cli_network *network, const char *hidden) {
    const dk_net_desc desc = DK_NET_DESC_INIT;
    const dk_layer layer = DK_LAYER_INIT;
    memset(network, 0, sizeof *network);
    network->hidden_text = hidden;
    network->activation = layer.activation;
    network->init = layer.init;
    network->huber_delta = desc.huber_delta;
    network->label_smoothing = desc.label_smoothing;
    cli_network_hidden(network, hidden);
}

dk_net_desc cli_network_describe(const cli_network *network, int64_t inputs, int64_t outputs,
                                 dk_task task, uint64_t seed, dk_layer *layers) {
    for (size_t k = 0; k <= network->hidden_count; ++k) {
        bool last = k == network->hidden_count;
        layers[k] = (dk_layer)DK_LAYER_INIT;
        layers[k].width = last ? outputs : network->hidden[k];
        layers[k].activation = last ? DK_IDENTITY : network->activation;
        layers[k].alpha = last ? 0 : network->alpha;
        layers[k].dropout = last ? 0 : network->dropout;
        layers[k].init = network->init;
        layers[k].init_value = network->init_value;
    }
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = inputs;
    desc.layers = layers;
    desc.layer_count = network->hidden_count + 1;
    desc.seed = seed;
    desc.huber_delta = network->huber_delta;
    desc.label_smoothing = network->label_smoothing;
    if (network->loss_given)
        desc.loss = network->loss;
    else
        desc.loss = task == DK_TASK_CLASSIFICATION ? DK_LOSS_SOFTMAX_CROSS_ENTROPY : DK_LOSS_MSE;
    return desc;
}

#include "cli.h"
#include "layers.h"

#include <stdlib.h>

enum { KEY_LAYERS = CLI_KEY, KEY_JSON };

/* Odd on purpose: no width is a multiple of a vector or a tile. */
enum { INPUTS = 37, OUTPUTS = 10, BATCH = 61 };

typedef struct check_choices {
    cli_layers layers;
    cli_network network;
    dk_train_options train;
    cli_device device;
    bool json;
} check_choices;

static const struct argp_option options[] = {
    {"layers", KEY_LAYERS, "WIDTHS", 0,
     "All widths from inputs to outputs, instead of --hidden (default 37 inputs, 10 outputs)", 1},
    {"json", KEY_JSON, NULL, 0, "Results as one JSON object", 1},
    {0},
};

static const char DOC[] =
    "Runs a training step of random data on the device and on a slow double-precision reference, "
    "and compares them layer by layer: z, a, delta, dW, db, the loss, and the parameters after an "
    "update. Error and bound are relative to the quantity's largest element. Every element has a "
    "bound of its own, which follows from the lengths of the sums and the precision; worst is the "
    "largest part of its bound that an element's error takes, and must not be above 1."
    "\v"
    "Examples:\n"
    "  deltak check\n"
    "  deltak check --layers 784,512,512,10 --activation gelu --optimizer lion\n"
    "  deltak check --device cuda --precision bf16 --json\n"
    "\n"
    "Exit status: 0 if every row passes, 1 if one fails.";

static error_t parse(int key, char *argument, struct argp_state *state) {
    check_choices *choices = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &choices->network;
        state->child_inputs[1] = &choices->train;
        state->child_inputs[2] = &choices->device;
        return 0;
    case KEY_LAYERS:
        cli_layers_parse(&choices->layers, argument);
        return 0;
    case KEY_JSON:
        choices->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (choices->layers.count == 0)
            cli_layers_from_hidden(&choices->layers, INPUTS, &choices->network, OUTPUTS);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&cli_network_argp, 0, "Network:", 2},
                                             {&cli_optimizer_argp, 0, "Optimizer:", 3},
                                             {&cli_device_argp, 0, "Device:", 4},
                                             {0}};
static const struct argp argp = {options, parse, NULL, DOC, children, NULL, NULL};

static void print_json(const check_choices *choices, const dk_context *context,
                       const dk_check_row *rows, size_t count, bool passed) {
    json_t *object = cli_json_object(), *list = cli_json_array();
    cli_json_flag(object, "passed", passed);
    cli_json_put(object, "layers", cli_layers_json(&choices->layers));
    cli_json_text(object, "activation", dk_activation_name(choices->network.activation));
    cli_json_text(object, "optimizer", dk_optimizer_name(choices->train.optimizer));
    cli_json_integer(object, "batch", choices->train.batch);
    for (size_t i = 0; i < count; ++i) {
        json_t *row = cli_json_object();
        cli_json_text(row, "quantity", rows[i].quantity);
        cli_json_integer(row, "layer", (int64_t)rows[i].layer);
        cli_json_real(row, "error", rows[i].error);
        cli_json_real(row, "local", rows[i].local);
        cli_json_real(row, "bound", rows[i].bound);
        cli_json_real(row, "worst", rows[i].worst);
        cli_json_flag(row, "passed", rows[i].passed);
        json_array_append_new(list, row);
    }
    cli_json_put(object, "rows", list);
    cli_json_machine(object, context);
    cli_json_print(object);
}

static void print_table(const check_choices *choices, const dk_check_row *rows, size_t count,
                        bool passed) {
    char widths[256];
    printf("network %s, %s, %s, batch %lld\n\n",
           cli_layers_text(&choices->layers, widths, sizeof widths),
           dk_activation_name(choices->network.activation),
           dk_optimizer_name(choices->train.optimizer), (long long)choices->train.batch);
    printf("%-9s %5s %12s %12s %12s %8s\n", "quantity", "layer", "end to end", "operation", "bound",
           "worst");
    for (size_t i = 0; i < count; ++i) {
        char layer[24] = "-";
        if (rows[i].layer) snprintf(layer, sizeof layer, "%zu", rows[i].layer);
        printf("%-9s %5s %12.3e %12.3e %12.3e %8.4f  %s\n", rows[i].quantity, layer, rows[i].error,
               rows[i].local, rows[i].bound, rows[i].worst, rows[i].passed ? "ok" : "FAILED");
    }
    printf("\n%s\n", passed ? "every quantity agrees with the reference"
                            : "a quantity differs from the reference by more than its bound");
}

int cli_check(int argc, char **argv) {
    static check_choices choices;
    static dk_layer layers[CLI_MOST_HIDDEN + 1];
    cli_network_init(&choices.network, "64,33");
    choices.train = (dk_train_options)DK_TRAIN_OPTIONS_INIT;
    choices.train.batch = BATCH;
    choices.device = (cli_device)CLI_DEVICE_INIT;
    cli_parse(&argp, argc, argv, &choices);
    dk_net_desc desc =
        cli_layers_describe(&choices.layers, &choices.network, choices.train.seed, layers);
    dk_context *context = NULL;
    dk_check_row *rows = NULL;
    size_t count = 0, capacity = 6 * desc.layer_count + 1;
    bool passed = true;
    int code = CLI_OK;
    dk_status status = cli_device_open(&choices.device, &context);
    if (!status) {
        rows = cli_allocate(capacity, sizeof *rows);
        status = dk_check(context, &desc, &choices.train, rows, capacity, &count);
    }
    if (status) {
        code = cli_fail(CLI_AT_OPTIONS, status);
        goto out;
    }
    if (count > capacity) count = capacity;
    for (size_t i = 0; i < count; ++i) passed &= rows[i].passed;
    if (choices.json)
        print_json(&choices, context, rows, count, passed);
    else
        print_table(&choices, rows, count, passed);
    code = passed ? CLI_OK : CLI_FAILED;
out:
    free(rows);
    dk_context_destroy(context);
    return code;
}

#include "bench_report.h"
#include "cli.h"
#include "layers.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_WORKLOAD = CLI_KEY, KEY_LAYERS, KEY_SECONDS, KEY_REPEATS, KEY_EXPLAIN, KEY_JSON };

/* The standard workloads: what each of them is meant to strain. */
typedef struct workload {
    const char *name;
    const char *layers;
    int64_t batch;
} workload;

static const workload WORKLOADS[] = {
    {"wide", "4096,4096,4096,4096,4096,4096,4096,4096,4096", 8192},   /* the products */
    {"medium", "1024,1024,1024,1024,1024,1024,1024,1024,1024", 1024}, /* many small products */
    {"narrow", "128,128,128,128,128,128,128,128,128", 65536},         /* memory */
    {"mnist", "784,512,512,10", 128},                                 /* the cost of each call */
};

static const char *workload_at(int index) {
    size_t count = sizeof WORKLOADS / sizeof *WORKLOADS;
    return index >= 0 && (size_t)index < count ? WORKLOADS[index].name : NULL;
}

typedef struct bench_choices {
    cli_layers layers;
    cli_network network;
    dk_train_options train;
    cli_device device;
    dk_bench_options bench;
    const workload *workload; /* or NULL, with layers given */
    bool explain, json;
} bench_choices;

static const struct argp_option options[] = {
    {"workload", KEY_WORKLOAD, "NAME", 0, "One of: {} (default mnist)", 1},
    {"layers", KEY_LAYERS, "WIDTHS", 0,
     "All widths from inputs to outputs, as in 784,512,10, instead of a workload", 1},
    {"seconds", KEY_SECONDS, "S", 0, "Measure for at least so long (default {})", 1},
    {"repeats", KEY_REPEATS, "N", 0, "Rounds that count (default {})", 1},
    {"explain", KEY_EXPLAIN, NULL, 0, "Also what each operation of a step costs and takes", 1},
    {"json", KEY_JSON, NULL, 0, "Results as one JSON object", 1},
    {0},
};

static const char DOC[] =
    "Times training steps, back to back, and in turn with them the bare matrix products of the "
    "same "
    "shapes by the fastest BLAS at hand: the floor. The ratio of the two is what everything else "
    "costs."
    "\v"
    "The network has the --activation in its hidden layers (relu unless said) and softmax "
    "cross-entropy. A workload brings its own --batch unless said. The data are random, and the "
    "learning rate is so small that the parameters stay where they are.\n"
    "\n"
    "--explain lists the operations of a step: the flops and bytes that they cost by formula, what "
    "they should take on a device with the speed of a large product and of an update over as much "
    "memory (both measured in the same run), and what they take. An operation that takes much "
    "longer "
    "than predicted is where time can be won.\n"
    "\n"
    "Examples:\n"
    "  deltak bench --workload mnist --device cpu\n"
    "  deltak bench --workload medium --precision bf16 --explain\n"
    "  deltak bench --layers 1024,1024,1024,1024,10 --batch 512 --optimizer adamw --json";

static void use_workload(bench_choices *choices, const workload *chosen) {
    choices->workload = chosen;
    cli_layers_parse(&choices->layers, chosen->layers);
}

static void settle(bench_choices *choices) {
    if (choices->workload && choices->layers.count)
        cli_usage("--workload and --layers exclude each other");
    if (!choices->workload && !choices->layers.count)
        choices->workload = &WORKLOADS[cli_name_index("--workload", "mnist", workload_at)];
    if (choices->workload) use_workload(choices, choices->workload);
    if (choices->train.batch == CLI_BATCH_OF_WORKLOAD)
        choices->train.batch = choices->workload ? choices->workload->batch
                                                 : ((dk_train_options)DK_TRAIN_OPTIONS_INIT).batch;
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    bench_choices *choices = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &choices->network;
        state->child_inputs[1] = &choices->train;
        state->child_inputs[2] = &choices->device;
        return 0;
    case KEY_WORKLOAD:
        choices->workload = &WORKLOADS[cli_name_index("--workload", argument, workload_at)];
        return 0;
    case KEY_LAYERS:
        cli_layers_parse(&choices->layers, argument);
        return 0;
    case KEY_SECONDS:
        choices->bench.seconds = cli_real("--seconds", argument, 0, 86400, CLI_CLOSED);
        return 0;
    case KEY_REPEATS:
        choices->bench.repeats = (int)cli_integer("--repeats", argument, 1, 10000);
        return 0;
    case KEY_EXPLAIN:
        choices->explain = true;
        return 0;
    case KEY_JSON:
        choices->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        settle(choices);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *describe(int key, const char *text, void *input) {
    const bench_choices *choices = input;
    char value[128];
    if (key == KEY_WORKLOAD)
        return cli_substitute(text, cli_names(workload_at, value, sizeof value));
    if (!choices || (key != KEY_SECONDS && key != KEY_REPEATS)) return (char *)text;
    snprintf(value, sizeof value, "%g",
             key == KEY_SECONDS ? choices->bench.seconds : choices->bench.repeats);
    return cli_substitute(text, value);
}

static const struct argp_child children[] = {{&cli_layer_argp, 0, "Network:", 2},
                                             {&cli_optimizer_argp, 0, "Optimizer:", 3},
                                             {&cli_device_argp, 0, "Device:", 4},
                                             {0}};
static const struct argp argp = {options, parse, NULL, DOC, children, describe, NULL};

/* dk_bench_explain's rows: about four for each layer. */
static dk_status explain(const bench_choices *choices, dk_context *context, const dk_net_desc *desc,
                         bench_report *report) {
    const size_t capacity = 8 * (desc->layer_count + 1);
    report->rates = cli_allocate(1, sizeof *report->rates);
    report->rows = cli_allocate(capacity, sizeof *report->rows);
    const dk_status status =
        dk_bench_explain(context, desc, &choices->train, &choices->bench, &report->result,
                         report->rates, report->rows, capacity, &report->count);
    if (report->count > capacity) report->count = capacity;
    return status;
}

static void print(const bench_choices *choices, const dk_context *context,
                  const bench_report *report) {
    if (choices->json)
        cli_bench_json(report, context);
    else
        cli_bench_table(report, context);
}

int cli_bench(int argc, char **argv) {
    static bench_choices choices;
    static dk_layer layers[CLI_MOST_HIDDEN + 1];
    cli_network_init(&choices.network, "");
    choices.train = (dk_train_options)DK_TRAIN_OPTIONS_INIT;
    choices.train.batch = CLI_BATCH_OF_WORKLOAD;
    choices.train.optimizer = DK_SGD;
    choices.train.schedule = DK_SCHEDULE_CONSTANT;
    choices.train.warmup = 0;
    choices.device = (cli_device)CLI_DEVICE_INIT;
    choices.bench = (dk_bench_options)DK_BENCH_OPTIONS_INIT;
    cli_parse(&argp, argc, argv, &choices);
    dk_net_desc desc =
        cli_layers_describe(&choices.layers, &choices.network, choices.train.seed, layers);
    bench_report report = {.workload = choices.workload ? choices.workload->name : NULL,
                           .layers = &choices.layers,
                           .network = &choices.network,
                           .train = &choices.train};
    dk_context *context = NULL;
    int code = CLI_OK;
    dk_status status = cli_device_open(&choices.device, &context);
    if (!status && choices.explain)
        status = explain(&choices, context, &desc, &report);
    else if (!status)
        status = dk_benchmark(context, &desc, &choices.train, &choices.bench, &report.result);
    if (status)
        code = cli_fail(CLI_AT_OPTIONS, status);
    else
        print(&choices, context, &report);
    free(report.rates);
    free(report.rows);
    dk_context_destroy(context);
    return code;
}

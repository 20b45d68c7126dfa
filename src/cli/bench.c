#include "cli.h"
#include "layers.h"
#include "text.h"

#include <math.h>
#include <string.h>

enum { KEY_WORKLOAD = CLI_KEY, KEY_LAYERS, KEY_SECONDS, KEY_REPEATS, KEY_JSON };

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
    bool json;
} bench_choices;

static const struct argp_option options[] = {
    {"workload", KEY_WORKLOAD, "NAME", 0, "One of: {} (default mnist)", 1},
    {"layers", KEY_LAYERS, "WIDTHS", 0,
     "All widths from inputs to outputs, as in 784,512,10, instead of a workload", 1},
    {"seconds", KEY_SECONDS, "S", 0, "Measure for at least so long (default {})", 1},
    {"repeats", KEY_REPEATS, "N", 0, "Pairs of step and bare products that count (default {})", 1},
    {"json", KEY_JSON, NULL, 0, "Results as one JSON object", 1},
    {0},
};

static const char DOC[] =
    "Times a training step, and in turn with it the bare matrix products of the same shapes by the "
    "fastest BLAS at hand: the floor. The ratio of the two is what everything else costs."
    "\v"
    "The network has the --activation in its hidden layers (relu unless said) and softmax "
    "cross-entropy. A workload brings its own --batch unless said.\n"
    "\n"
    "Examples:\n"
    "  deltak bench --workload mnist --device cpu\n"
    "  deltak bench --layers 1024,1024,1024,1024,10 --batch 512 --optimizer adamw --json";

static void use_workload(bench_choices *choices, const workload *chosen) {
    choices->workload = chosen;
    cli_layers_parse(&choices->layers, chosen->layers);
}

/* A batch of 0 marks that none was given: the option itself takes 1 and more. */
static void settle(bench_choices *choices) {
    if (choices->workload && choices->layers.count)
        cli_usage("--workload and --layers exclude each other");
    if (!choices->workload && !choices->layers.count)
        choices->workload = &WORKLOADS[cli_name_index("--workload", "mnist", workload_at)];
    if (choices->workload) use_workload(choices, choices->workload);
    if (choices->train.batch == 0)
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

static void print_json(const bench_choices *choices, const dk_context *context,
                       const dk_bench_result *r) {
    json_t *object = cli_json_object();
    cli_json_text(object, "workload", choices->workload ? choices->workload->name : NULL);
    cli_json_put(object, "layers", cli_layers_json(&choices->layers));
    cli_json_integer(object, "batch", choices->train.batch);
    cli_json_text(object, "optimizer", dk_optimizer_name(choices->train.optimizer));
    cli_json_text(object, "activation", dk_activation_name(choices->network.activation));
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"step_ms", r->step_ms},
        {"step_ms_low", r->step_ms_low},
        {"step_ms_high", r->step_ms_high},
        {"floor_ms", r->floor_ms},
        {"floor_ms_low", r->floor_ms_low},
        {"floor_ms_high", r->floor_ms_high},
        {"ratio", r->ratio},
        {"ratio_low", r->ratio_low},
        {"ratio_high", r->ratio_high},
        {"samples_per_s", r->samples_per_s},
        {"gflops", r->gflops},
        {"flops", r->flops},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        cli_json_real(object, numbers[i].key, numbers[i].value);
    cli_json_integer(object, "repeats", r->repeats);
    cli_json_text(object, "floor_library", r->floor_library);
    cli_json_machine(object, context);
    cli_json_print(object);
}

static void print_table(const bench_choices *choices, const dk_context *context,
                        const dk_bench_result *r) {
    char widths[256];
    dk_context_info info = {0};
    dk_context_describe(context, &info);
    printf("%s, batch %lld, %s, %s on %s\n\n",
           cli_layers_text(&choices->layers, widths, sizeof widths),
           (long long)choices->train.batch, dk_optimizer_name(choices->train.optimizer),
           dk_precision_name(info.precision), info.device ? info.device : "?");
    printf("%-22s %10s %10s %10s\n", "", "quartile", "median", "quartile");
    printf("%-22s %10.4g %10.4g %10.4g\n", "step, ms", r->step_ms_low, r->step_ms, r->step_ms_high);
    printf("%-22s %10.4g %10.4g %10.4g\n", "bare products, ms", r->floor_ms_low, r->floor_ms,
           r->floor_ms_high);
    printf("%-22s %10.3f %10.3f %10.3f\n", "ratio", r->ratio_low, r->ratio, r->ratio_high);
    printf("%-22s %10s %10.4g\n", "samples/s", "", r->samples_per_s);
    printf("%-22s %10s %10.4g\n", "Gflop/s", "", r->gflops);
    printf("\nbare products by %s, %d pairs\n", r->floor_library ? r->floor_library : "?",
           r->repeats);
}

int cli_bench(int argc, char **argv) {
    static bench_choices choices;
    static dk_layer layers[CLI_MOST_HIDDEN + 1];
    cli_network_init(&choices.network, "");
    choices.train = (dk_train_options)DK_TRAIN_OPTIONS_INIT;
    choices.train.batch = 0;
    choices.train.optimizer = DK_SGD;
    choices.train.schedule = DK_SCHEDULE_CONSTANT;
    choices.train.warmup = 0;
    choices.device = (cli_device)CLI_DEVICE_INIT;
    choices.bench = (dk_bench_options)DK_BENCH_OPTIONS_INIT;
    cli_parse(&argp, argc, argv, &choices);
    dk_net_desc desc =
        cli_layers_describe(&choices.layers, &choices.network, choices.train.seed, layers);
    dk_context *context = NULL;
    dk_bench_result result = {0};
    int code = CLI_OK;
    dk_status status = cli_device_open(&choices.device, &context);
    if (!status) status = dk_benchmark(context, &desc, &choices.train, &choices.bench, &result);
    if (status)
        code = cli_fail(CLI_AT_OPTIONS, status);
    else if (choices.json)
        print_json(&choices, context, &result);
    else
        print_table(&choices, context, &result);
    dk_context_destroy(context);
    return code;
}

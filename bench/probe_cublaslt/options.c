/* The command line. */
#include "probe.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_NO_GPU = 77 };

enum {
    KEY_WORKLOAD = 256,
    KEY_SHAPE,
    KEY_PRECISION,
    KEY_ONLY,
    KEY_CANDIDATES,
    KEY_BUDGET,
    KEY_JSON,
    KEY_DEVICE
};

/* The layers of deltak's standard workloads, each once. */
static const probe_shape workload_shapes[] = {
    {"wide", 8192, 4096, 4096, true},  {"medium", 1024, 1024, 1024, true},
    {"narrow", 65536, 128, 128, true}, {"mnist", 128, 784, 512, false},
    {"mnist", 128, 512, 512, true},    {"mnist", 128, 512, 10, true},
};
enum { WORKLOAD_SHAPES = sizeof workload_shapes / sizeof *workload_shapes };

static const struct argp_option argp_options[] = {
    {"workload", KEY_WORKLOAD, "NAME", 0,
     "Layers of wide, medium, narrow or mnist; may be given several times (default: all)", 1},
    {"shape", KEY_SHAPE, "BATCHxINPUTSxWIDTH", 0, "A layer of your own, as 512x1024x1000", 1},
    {"precision", KEY_PRECISION, "NAME", 0,
     "bf16, tf32, fp16 or fp32; may be given several times (default: all)", 1},
    {"only", KEY_ONLY, "QUESTION", 0,
     "epilogue, scalars, lanes or carve-out; may be given several times (default: all)", 1},
    {"candidates", KEY_CANDIDATES, "N", 0,
     "Algorithms to time for each product, 1 to 32 (default 8); the fastest counts", 2},
    {"budget", KEY_BUDGET, "SECONDS", 0, "Begin no further layer after so long", 2},
    {"device", KEY_DEVICE, "N", 0, "Which GPU (default 0)", 2},
    {"json", KEY_JSON, "FILE", 0, "Write the answers as JSON, too; - is standard output, alone", 2},
    {0},
};

static const char doc[] =
    "Asks cuBLASLt on this GPU which fusions are real, through the calls that deltak itself makes."
    "\v"
    "The questions:\n"
    "  epilogue   each epilogue beside the plain product of its shape: is there one, how many "
    "kernels (and copies) does one call leave in a recorded graph, what does it cost. One node "
    "more "
    "than the plain product has means a second pass over the result. /own compares it with the "
    "plain product and deltak's own kernel: below 1 the epilogue is better.\n"
    "  scalars    alpha and beta of the weight gradient on the host or in device memory, beta 0 or "
    "1, D in fp32.\n"
    "  lanes      a layer's two gradients side by side; 'plain' is one after the other.\n"
    "  carve-out  AdamW's update of the layer beside its data gradient, whose algorithm is chosen "
    "to leave 0, 4, 8, 16 or 32 multiprocessors free; 'plain' is one after the other on all.\n"
    "\n"
    "Times are ms of one call by replay of graphs on random data in several copies, so that the L2 "
    "cache doesn't serve what it wouldn't in a step; medians.\n"
    "Exit codes: 0 measured, 1 failed, 77 no GPU here, 64 wrong options.\n"
    "\n"
    "Example:\n"
    "  probe_cublaslt --workload wide --precision bf16 --only epilogue --json probe.json";

typedef struct choices {
    probe_options options;
    const char *json;
    bool any_question, any_precision;
} choices;

static void add_shape(probe_options *options, const probe_shape *shape, struct argp_state *state) {
    if (options->shape_count == PROBE_MOST_SHAPES)
        argp_error(state, "at most %d layers", (int)PROBE_MOST_SHAPES);
    options->shapes[options->shape_count++] = *shape;
}

static void add_workload(probe_options *options, const char *name, struct argp_state *state) {
    bool found = false;
    for (size_t i = 0; i < WORKLOAD_SHAPES; ++i) {
        if (strcmp(workload_shapes[i].workload, name) != 0) continue;
        add_shape(options, &workload_shapes[i], state);
        found = true;
    }
    if (!found) argp_error(state, "no workload '%s': wide, medium, narrow or mnist", name);
}

static void add_own_shape(probe_options *options, const char *text, struct argp_state *state) {
    enum { MOST = 1 << 24 };
    long long rows = 0, inputs = 0, width = 0;
    char rest = 0;
    const bool read = sscanf(text, "%lldx%lldx%lld%c", &rows, &inputs, &width, &rest) == 3;
    if (!read || rows < 1 || inputs < 1 || width < 1 || rows > MOST || inputs > MOST ||
        width > MOST)
        argp_error(state, "--shape '%s': BATCHxINPUTSxWIDTH, each 1 to %d", text, (int)MOST);
    add_shape(options, &(probe_shape){"own", rows, inputs, width, true}, state);
}

static double number_within(const char *name, const char *text, double least, double most,
                            struct argp_state *state) {
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        argp_error(state, "%s '%s': %g to %g", name, text, least, most);
    return value;
}

static void add_precision(choices *chosen, const char *name, struct argp_state *state) {
    for (int i = 0; i < PROBE_PRECISIONS; ++i) {
        if (strcmp(probe_precisions[i].name, name) != 0) continue;
        chosen->options.precisions[i] = chosen->any_precision = true;
        return;
    }
    argp_error(state, "no precision '%s': bf16, tf32, fp16 or fp32", name);
}

static void add_question(choices *chosen, const char *name, struct argp_state *state) {
    for (int i = 0; i < PROBE_QUESTIONS; ++i) {
        if (strcmp(probe_question_name((probe_question)i), name) != 0) continue;
        chosen->options.questions[i] = chosen->any_question = true;
        return;
    }
    argp_error(state, "no question '%s': epilogue, scalars, lanes or carve-out", name);
}

/* What wasn't chosen is all there is. */
static void settle(choices *chosen) {
    probe_options *options = &chosen->options;
    for (int i = 0; i < PROBE_QUESTIONS && !chosen->any_question; ++i) options->questions[i] = true;
    for (int i = 0; i < PROBE_PRECISIONS && !chosen->any_precision; ++i)
        options->precisions[i] = true;
    if (options->shape_count) return;
    memcpy(options->shapes, workload_shapes, sizeof workload_shapes);
    options->shape_count = WORKLOAD_SHAPES;
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    choices *chosen = state->input;
    switch (key) {
    case KEY_WORKLOAD:
        add_workload(&chosen->options, argument, state);
        return 0;
    case KEY_SHAPE:
        add_own_shape(&chosen->options, argument, state);
        return 0;
    case KEY_PRECISION:
        add_precision(chosen, argument, state);
        return 0;
    case KEY_ONLY:
        add_question(chosen, argument, state);
        return 0;
    case KEY_CANDIDATES:
        chosen->options.candidates = (int)number_within("--candidates", argument, 1, 32, state);
        return 0;
    case KEY_BUDGET:
        chosen->options.budget = number_within("--budget", argument, 0, 86400, state);
        return 0;
    case KEY_DEVICE:
        chosen->options.ordinal = (int)number_within("--device", argument, 0, 1023, state);
        return 0;
    case KEY_JSON:
        chosen->json = argument;
        return 0;
    case ARGP_KEY_SUCCESS:
        settle(chosen);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {.options = argp_options, .parser = parse, .doc = doc};

int probe_main(int argc, char **argv) {
    choices chosen = {.options = {.candidates = 8}};
    probe_result result;
    argp_parse(&argp, argc, argv, 0, NULL, &chosen);
    if (!chosen.json || strcmp(chosen.json, "-") != 0) chosen.options.tell = probe_print_row;
    const dk_status status = probe_run(&chosen.options, &result);
    const bool no_gpu = status == DK_E_DEVICE && !result.facts.name[0];
    int code = no_gpu ? EXIT_NO_GPU : status ? EXIT_FAILURE : EXIT_SUCCESS;
    if (status) fprintf(stderr, "probe_cublaslt: %s\n", dk_error_text());
    if (!no_gpu && chosen.json && !probe_write_json(&result, chosen.json)) {
        fprintf(stderr, "probe_cublaslt: %s can't be written\n", chosen.json);
        code = EXIT_FAILURE;
    }
    if (!status && !result.complete)
        fprintf(stderr, "probe_cublaslt: not all layers were measured\n");
    probe_release(&result);
    return code;
}

#include "predict.h"

#include "cli.h"
#include "file.h"
#include "options.h"

#include <string.h>
#include <unistd.h>

enum { KEY_MODEL = CLI_KEY, KEY_OUT, KEY_PROBA };

typedef struct predict_choices {
    cli_data data;
    cli_device device;
    const char *model, *out;
    bool proba;
} predict_choices;

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "FILE", 0, "The model, as `deltak train --out' saves it", 1},
    {"out", KEY_OUT, "FILE", 0, "Where predictions go; - = standard output (default -)", 1},
    {"proba", KEY_PROBA, NULL, 0,
     "A classifier's probabilities as CSV, a column for each class, with a header", 1},
    {0},
};

static const char DOC[] =
    "Predicts from features alone: a class name a line, or the numbers of a regression, with "
    "commas."
    "\v"
    "The data have the columns that the model was trained on: with headers there and here they are "
    "found by their names, and others, the label among them, are left out. --data - reads a table "
    "from standard input and answers each row as it comes. Where a column names the rows (that of "
    "the training, or --id-column), each answer begins with the row's name.\n"
    "\n"
    "Examples:\n"
    "  deltak predict --model mnist.safetensors --data mnist/ --out labels.txt\n"
    "  echo 0.3,-1.2 | deltak predict --model m.safetensors --data - --proba";

static error_t parse(int key, char *argument, struct argp_state *state) {
    predict_choices *choices = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &choices->data;
        state->child_inputs[1] = &choices->device;
        return 0;
    case KEY_MODEL:
        choices->model = argument;
        return 0;
    case KEY_OUT:
        choices->out = argument;
        return 0;
    case KEY_PROBA:
        choices->proba = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (!choices->model) cli_usage("--model is missing: a file that `deltak train --out' made");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {&cli_data_argp, 0, "Data:", 2}, {&cli_device_argp, 0, "Device:", 3}, {0}};
static const struct argp argp = {options, parse, NULL, DOC, children, NULL, NULL};

static int open_data(const predict_choices *choices, const predictor *p, dk_dataset **data) {
    dk_data_options wanted = p->options;
    wanted.part = DK_PART_TEST;
    dk_status status = cli_open_for_test(data, p->context, choices->data.source, wanted);
    if (status) return cli_fail(CLI_AT_DATA, status);
    cli_warn_of_data(*data);
    return CLI_OK;
}

static int predict(const predict_choices *choices, predictor *p) {
    bool stream = strcmp(choices->data.source, "-") == 0;
    bool to_file = choices->out && strcmp(choices->out, "-") != 0;
    dk_dataset *data = NULL;
    cli_file file = {0};
    if (to_file && (!cli_keeps(choices->data.source, choices->out) ||
                    !cli_keeps(choices->model, choices->out)))
        return CLI_USAGE;
    int code = stream ? CLI_OK : open_data(choices, p, &data);
    if (!code && to_file && !cli_file_open(&file, choices->out)) code = CLI_FAILED;
    if (!code) {
        p->out = to_file ? file.stream : stdout;
        code =
            stream ? predict_stream(p, STDIN_FILENO, "standard input") : predict_dataset(p, data);
    }
    if (!code && to_file && !cli_file_commit(&file)) code = CLI_FAILED;
    cli_file_abandon(&file);
    dk_dataset_destroy(data);
    return code;
}

int cli_predict(int argc, char **argv) {
    predict_choices choices = {.data = CLI_DATA_INIT, .device = CLI_DEVICE_INIT};
    cli_parse(&argp, argc, argv, &choices);
    dk_context *context = NULL;
    dk_net *net = NULL;
    predictor p = {0};
    int code = CLI_OK;
    dk_status status = cli_device_open(&choices.device, &context);
    if (status) {
        code = cli_fail(CLI_AT_OPTIONS, status);
        goto out;
    }
    dk_net_desc desc = DK_NET_DESC_INIT;
    dk_preprocessing scaling;
    status = dk_net_load(&net, context, choices.model);
    if (!status) status = dk_net_describe(net, &desc);
    if (!status) status = dk_net_preprocessing(net, &scaling);
    if (status) {
        code = cli_fail(CLI_AT_MODEL, status);
        goto out;
    }
    p.net = net;
    p.target_scale = scaling.target_scale;
    p.inputs = desc.inputs;
    p.outputs = desc.layers[desc.layer_count - 1].width;
    p.classes = desc.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY || dk_net_class_name(net, 0);
    p.probabilities = p.classes && choices.proba;
    if (choices.proba && !p.classes) {
        cli_error("--proba needs a classifier, and %s predicts numbers", choices.model);
        code = CLI_USAGE;
        goto out;
    }
    p.context = context;
    p.options = cli_data_options(&choices.data, DK_PART_TRAIN);
    p.options.task = DK_TASK_NONE;
    p.options.like_net = net;
    code = predict(&choices, &p);
out:
    dk_net_destroy(net);
    dk_context_destroy(context);
    return code;
}

#include "cli.h"
#include "json.h"
#include "options.h"
#include "text.h"

#include <stdio.h>

enum { KEY_MODEL = CLI_KEY, KEY_BATCH, KEY_JSON };

typedef struct eval_choices {
    cli_data data;
    cli_device device;
    const char *model;
    int64_t batch;
    bool json;
} eval_choices;

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "FILE", 0, "The model, as `deltak train --out' saves it", 1},
    {"batch", KEY_BATCH, "N", 0, "Rows at a time; 0 = chosen (default 0)", 1},
    {"json", KEY_JSON, NULL, 0, "Results as one JSON object", 1},
    {0},
};

static const char DOC[] =
    "Tells how good a model is on labelled data: on their test part where they have one, else on "
    "all of them."
    "\v"
    "Examples:\n"
    "  deltak eval --model mnist.safetensors --data mnist/\n"
    "  deltak eval --model m.safetensors --data new.csv --label-column price --json";

static error_t parse(int key, char *argument, struct argp_state *state) {
    eval_choices *choices = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &choices->data;
        state->child_inputs[1] = &choices->device;
        return 0;
    case KEY_MODEL:
        choices->model = argument;
        return 0;
    case KEY_BATCH:
        choices->batch = cli_integer("--batch", argument, 0, INT32_MAX);
        return 0;
    case KEY_JSON:
        choices->json = true;
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

static void print_result(const eval_choices *choices, const dk_context *context,
                         const dk_metrics *metrics) {
    if (choices->json) {
        json_t *object = cli_json_object();
        cli_json_metrics(object, metrics);
        cli_json_text(object, "task", dk_task_name(metrics->task));
        cli_json_text(object, "model", choices->model);
        cli_json_text(object, "data", choices->data.source);
        cli_json_machine(object, context);
        cli_json_print(object);
        return;
    }
    if (metrics->task == DK_TASK_CLASSIFICATION)
        printf("accuracy  %.2f %%\n", 100 * metrics->accuracy);
    else
        printf("rmse      %.6g\nmae       %.6g\nr2        %.4f\n", metrics->rmse, metrics->mae,
               metrics->r2);
    printf("loss      %.6g\nsamples   %lld\n", metrics->loss, (long long)metrics->samples);
}

int cli_eval(int argc, char **argv) {
    eval_choices choices = {.data = CLI_DATA_INIT, .device = CLI_DEVICE_INIT};
    cli_parse(&argp, argc, argv, &choices);
    dk_context *context = NULL;
    dk_net *net = NULL;
    dk_dataset *data = NULL;
    dk_metrics metrics;
    int code = CLI_OK;
    dk_status status = cli_device_open(&choices.device, &context);
    if (status) {
        code = cli_fail(CLI_AT_OPTIONS, status);
        goto out;
    }
    status = dk_net_load(&net, context, choices.model);
    if (status) {
        code = cli_fail(CLI_AT_MODEL, status);
        goto out;
    }
    dk_data_options wanted = cli_data_options(&choices.data, DK_PART_TEST);
    wanted.like_net = net;
    status = cli_open_for_test(&data, context, choices.data.source, wanted);
    cli_warn_of_data(data);
    if (!status) status = dk_evaluate(net, data, choices.batch, &metrics);
    if (status)
        code = cli_fail(CLI_AT_DATA, status);
    else
        print_result(&choices, context, &metrics);
out:
    dk_dataset_destroy(data);
    dk_net_destroy(net);
    dk_context_destroy(context);
    return code;
}

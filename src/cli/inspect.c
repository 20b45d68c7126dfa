#include "cli.h"
#include "json.h"
#include "options.h"

#include <math.h>
#include <stdlib.h>

enum { KEY_JSON = CLI_KEY };

typedef struct inspect_choices {
    const char *model;
    bool json;
} inspect_choices;

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "Results as one JSON object", 1},
    {0},
};

static const char DOC[] =
    "Shows what is in a model file: layers, loss, preprocessing, classes, and the spread of every "
    "weight matrix and bias."
    "\v"
    "Example:\n"
    "  deltak inspect mnist.safetensors";

static error_t parse(int key, char *argument, struct argp_state *state) {
    inspect_choices *choices = state->input;
    switch (key) {
    case KEY_JSON:
        choices->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (choices->model) cli_usage("unexpected argument \"%s\": one model at a time", argument);
        choices->model = argument;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (!choices->model) cli_usage("the model file is missing: deltak inspect MODEL");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {options, parse, "MODEL", DOC, NULL, NULL, NULL};

typedef struct spread {
    double mean, std, min, max, norm;
} spread;

/* Two passes: the variance as a difference of large sums would lose digits. */
static spread spread_of(const float *values, size_t count) {
    spread s = {0, 0, INFINITY, -INFINITY, 0};
    double sum = 0, squares = 0, deviations = 0;
    for (size_t i = 0; i < count; ++i) {
        sum += values[i];
        squares += (double)values[i] * values[i];
        s.min = fmin(s.min, values[i]);
        s.max = fmax(s.max, values[i]);
    }
    s.mean = sum / (double)count;
    for (size_t i = 0; i < count; ++i) deviations += (values[i] - s.mean) * (values[i] - s.mean);
    s.std = sqrt(deviations / (double)count);
    s.norm = sqrt(squares);
    return s;
}

static dk_status read_spread(const dk_net *net, dk_tensor tensor, size_t layer, size_t count,
                             spread *s) {
    float *values = cli_allocate(count, sizeof(float));
    dk_status status = dk_net_get(net, tensor, layer, values, count);
    if (!status) *s = spread_of(values, count);
    free(values);
    return status;
}

static const char *preprocessing_kind(const dk_net *net, const dk_net_desc *desc) {
    dk_preprocessing p;
    if (dk_net_preprocessing(net, &p)) return "none";
    if (!p.feature_shift && !p.feature_scale) return "none";
    bool shifted = false, scaled_alike = true;
    for (int64_t j = 0; j < desc->inputs; ++j) {
        shifted |= p.feature_shift && p.feature_shift[j] != 0;
        scaled_alike &= !p.feature_scale || p.feature_scale[j] == p.feature_scale[0];
    }
    return shifted || !scaled_alike ? "standardised by column" : "one scale";
}

static void put_spread(json_t *layer, const char *key, const spread *s) {
    json_t *object = cli_json_object();
    cli_json_real(object, "mean", s->mean);
    cli_json_real(object, "std", s->std);
    cli_json_real(object, "min", s->min);
    cli_json_real(object, "max", s->max);
    cli_json_real(object, "norm", s->norm);
    cli_json_put(layer, key, object);
}

static void put_layer(json_t *list, const dk_layer *layer, size_t k, int64_t inputs,
                      const spread *weight, const spread *bias) {
    json_t *object = cli_json_object();
    cli_json_integer(object, "layer", (int64_t)k);
    cli_json_integer(object, "inputs", inputs);
    cli_json_integer(object, "width", layer->width);
    cli_json_text(object, "activation", dk_activation_name(layer->activation));
    cli_json_real(object, "alpha", layer->alpha);
    cli_json_real(object, "dropout", layer->dropout);
    cli_json_flag(object, "frozen", layer->frozen);
    cli_json_integer(object, "parameters", layer->width * (inputs + 1));
    put_spread(object, "weight", weight);
    put_spread(object, "bias", bias);
    json_array_append_new(list, object);
}

static void print_spread(const char *name, const spread *s) {
    printf("  %6s  mean %11.4g  std %10.4g  min %11.4g  max %11.4g  norm %10.4g\n", name, s->mean,
           s->std, s->min, s->max, s->norm);
}

static void print_layer(const dk_layer *layer, size_t k, int64_t inputs, const spread *weight,
                        const spread *bias) {
    char activation[48];
    snprintf(activation, sizeof activation, layer->alpha != 0 ? "%s(%g)" : "%s",
             dk_activation_name(layer->activation), layer->alpha);
    printf("layer %zu: %lld -> %lld  %s", k, (long long)inputs, (long long)layer->width,
           activation);
    if (layer->dropout > 0) printf("  dropout %g", layer->dropout);
    printf("  %lld parameters%s\n", (long long)layer->width * (inputs + 1),
           layer->frozen ? "  frozen" : "");
    print_spread("weight", weight);
    print_spread("bias", bias);
}

static void print_classes(const dk_net *net, int64_t outputs) {
    enum { SHOWN = 20 };
    if (!dk_net_class_name(net, 0)) return;
    printf("classes        %lld:", (long long)outputs);
    for (int64_t c = 0; c < outputs && c < SHOWN; ++c) printf(" %s", dk_net_class_name(net, c));
    printf("%s\n", outputs > SHOWN ? " ..." : "");
}

static void print_head(const dk_net *net, const dk_net_desc *desc, int64_t outputs) {
    printf("loss           %s\npreprocessing  %s\nparameters     %lld\n", dk_loss_name(desc->loss),
           preprocessing_kind(net, desc), (long long)dk_net_parameter_count(net));
    print_classes(net, outputs);
}

static void put_head(json_t *object, const dk_net *net, const dk_net_desc *desc, int64_t outputs) {
    cli_json_text(object, "loss", dk_loss_name(desc->loss));
    cli_json_text(object, "preprocessing", preprocessing_kind(net, desc));
    cli_json_integer(object, "parameters", dk_net_parameter_count(net));
    cli_json_integer(object, "inputs", desc->inputs);
    cli_json_integer(object, "outputs", outputs);
    json_t *classes = cli_json_array();
    for (int64_t c = 0; c < outputs && dk_net_class_name(net, c); ++c)
        cli_json_append_text(classes, dk_net_class_name(net, c));
    cli_json_put(object, "classes", classes);
}

static dk_status show(const dk_net *net, bool json) {
    dk_net_desc desc = DK_NET_DESC_INIT;
    dk_status status = dk_net_describe(net, &desc);
    if (status) return status;
    int64_t outputs = desc.layers[desc.layer_count - 1].width, inputs = desc.inputs;
    json_t *object = json ? cli_json_object() : NULL, *list = json ? cli_json_array() : NULL;
    if (json)
        put_head(object, net, &desc, outputs);
    else
        print_head(net, &desc, outputs);
    for (size_t k = 1; k <= desc.layer_count && !status; ++k) {
        const dk_layer *layer = &desc.layers[k - 1];
        spread weight, bias;
        status = read_spread(net, DK_WEIGHT, k, (size_t)layer->width * (size_t)inputs, &weight);
        if (!status) status = read_spread(net, DK_BIAS, k, (size_t)layer->width, &bias);
        if (!status && json) put_layer(list, layer, k, inputs, &weight, &bias);
        if (!status && !json) print_layer(layer, k, inputs, &weight, &bias);
        inputs = layer->width;
    }
    if (json) cli_json_put(object, "layers", list);
    if (json && !status)
        cli_json_print(object);
    else
        json_decref(object);
    return status;
}

int cli_inspect(int argc, char **argv) {
    inspect_choices choices = {0};
    cli_parse(&argp, argc, argv, &choices);
    const cli_device device = {.device = "cpu", .precision = DK_FP32};
    dk_context *context = NULL;
    dk_net *net = NULL;
    int code = CLI_OK;
    dk_status status = cli_device_open(&device, &context);
    if (status) {
        code = cli_fail(CLI_AT_OPTIONS, status);
    } else {
        status = dk_net_load(&net, context, choices.model);
        if (!status) status = show(net, choices.json);
        if (status) code = cli_fail(CLI_AT_MODEL, status);
    }
    dk_net_destroy(net);
    dk_context_destroy(context);
    return code;
}

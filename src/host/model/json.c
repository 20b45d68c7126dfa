#include "format/json.h"
#include "model/file.h"
#include "model/json_columns.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { FORMAT = 1 };

/* ---- writing ------------------------------------------------------------------------------- */

/* An array of numbers, given as doubles or as floats; 17 digits read back as the same number. */
static json_t *number_array(const double *doubles, const float *floats, int64_t count) {
    json_t *array = json_array();
    for (int64_t i = 0; array && i < count; ++i)
        /* cppcheck-suppress nullPointer ; one of the two is given */
        if (json_array_append_new(array, json_real(doubles ? doubles[i] : (double)floats[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *scaling_object(const dki_scaling *scaling) {
    if (!scaling->shift) return json_null();
    return json_pack("{s:o, s:o}", "shift", number_array(scaling->shift, NULL, scaling->count),
                     "scale", number_array(NULL, scaling->scale, scaling->count));
}

static json_t *layer_object(const dk_layer *layer) {
    return json_pack("{s:I, s:s, s:f, s:f, s:s, s:f, s:b}", "width", (json_int_t)layer->width,
                     "activation", dk_activation_name(layer->activation), "alpha",
                     (double)layer->alpha, "dropout", (double)layer->dropout, "init",
                     dk_init_name(layer->init), "init_value", (double)layer->init_value, "frozen",
                     (int)layer->frozen);
}

static json_t *layer_array(const dk_net_desc *desc) {
    json_t *array = json_array();
    for (size_t k = 0; array && k < desc->layer_count; ++k)
        if (json_array_append_new(array, layer_object(&desc->layers[k]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *loss_object(const dk_net *net) {
    const dk_net_desc *desc = &net->desc;
    json_t *weights = desc->class_weights
                          ? number_array(NULL, desc->class_weights, dki_net_outputs(net))
                          : json_null();
    return json_pack("{s:s, s:f, s:f, s:o}", "kind", dk_loss_name(desc->loss), "huber_delta",
                     (double)desc->huber_delta, "label_smoothing", (double)desc->label_smoothing,
                     "class_weights", weights);
}

static json_t *class_array(const dk_net *net) {
    if (!net->class_names) return json_null();
    json_t *array = json_array();
    for (int64_t c = 0; array && c < dki_net_outputs(net); ++c)
        if (json_array_append_new(array, json_string(net->class_names[c]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

dk_status dki_net_to_json(const dk_net *net, char **text) {
    json_t *root = json_pack(
        "{s:i, s:I, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "format", FORMAT, "inputs",
        (json_int_t)net->desc.inputs, "seed", dki_json_from_unsigned(net->desc.seed), "loss",
        loss_object(net), "layers", layer_array(&net->desc), "task", dk_task_name(net->task),
        "classes", class_array(net), "features", scaling_object(&net->features), "targets",
        scaling_object(&net->targets), "table", dki_columns_to_json(&net->columns));
    return dki_json_dump(&net->context->allocator, root, "the model's description", text);
}

/* ---- comparing ----------------------------------------------------------------------------- */

/* The object without what doesn't matter to a network that has its weights: how they were drawn, and
 * which table it was trained on. */
static dk_status what_matters(const char *text, json_t **root) {
    DKI_TRY(dki_json_parse(text, strlen(text), "the model's description", root));
    json_object_del(*root, "table");
    const json_t *layers = json_object_get(*root, "layers");
    for (size_t k = 0; k < json_array_size(layers); ++k) {
        json_object_del(json_array_get(layers, k), "init");
        json_object_del(json_array_get(layers, k), "init_value");
    }
    return DK_OK;
}

dk_status dki_net_is_described(const dk_net *net, const char *text, bool *is) {
    char *own = NULL;
    json_t *one = NULL, *other = NULL;
    DKI_TRY(dki_net_to_json(net, &own));
    dk_status status = what_matters(own, &one);
    if (!status && text) status = what_matters(text, &other);
    *is = !status && json_equal(one, other);
    json_decref(one);
    json_decref(other);
    dki_release(&net->context->allocator, own);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct dki_model_json {
    const dk_allocator *allocator;
    json_t *root;
    dk_layer *layers;
    float *class_weights;
    int64_t inputs, outputs;
};

/* `count` numbers within fp32's range, allocated; a null gives NULL. */
static dk_status get_doubles(const dk_allocator *allocator, const json_t *object, const char *key,
                             int64_t count, double **values) {
    *values = NULL;
    const json_t *array = json_object_get(object, key);
    if (json_is_null(array)) return DK_OK;
    DKI_REQUIRE(json_is_array(array) && json_array_size(array) == (size_t)count, DK_E_MODEL,
                "\"%s\" isn't an array of %lld numbers", key, (long long)count);
    DKI_TRY(dki_new(allocator, values, (size_t)count, "numbers of the model's description"));
    for (int64_t i = 0; i < count; ++i) {
        const json_t *number = json_array_get(array, (size_t)i);
        (*values)[i] = json_number_value(number);
        if (json_is_number(number) && isfinite((float)(*values)[i])) continue;
        dki_release(allocator, *values);
        *values = NULL;
        return dki_fail(DK_E_MODEL, "\"%s\"[%lld] isn't a finite number", key, (long long)i);
    }
    return DK_OK;
}

/* The same, rounded to floats. */
static dk_status get_floats(const dk_allocator *allocator, const json_t *object, const char *key,
                            int64_t count, float **values) {
    double *doubles = NULL;
    *values = NULL;
    DKI_TRY(get_doubles(allocator, object, key, count, &doubles));
    dk_status status = DK_OK;
    if (doubles)
        status = dki_new(allocator, values, (size_t)count, "numbers of the model's description");
    for (int64_t i = 0; *values && i < count; ++i) (*values)[i] = (float)doubles[i];
    dki_release(allocator, doubles);
    return status;
}

/* A name that one of the dk_*_parse functions knows; its complaint is the model's. */
#define GET_NAME(object, key, kind, value)                                                         \
    do {                                                                                           \
        const char *name_ = NULL;                                                                  \
        DKI_TRY(dki_json_text((object), (key), &name_));                                           \
        if (dk_##kind##_parse(name_, (value))) return dki_fail_in(DK_E_MODEL, "\"%s\"", (key));    \
    } while (0)

static dk_status parse_layer(const json_t *object, dk_layer *layer) {
    double alpha = 0.0, dropout = 0.0, init_value = 0.0;
    const char *activation = NULL;
    float unused = 0.0f;
    *layer = (dk_layer)DK_LAYER_INIT;
    DKI_TRY(dki_json_integer(object, "width", &layer->width));
    DKI_TRY(dki_json_text(object, "activation", &activation));
    if (dk_activation_parse(activation, &layer->activation, &unused))
        return dki_fail_in(DK_E_MODEL, "\"activation\"");
    DKI_TRY(dki_json_number(object, "alpha", &alpha));
    DKI_TRY(dki_json_number(object, "dropout", &dropout));
    DKI_TRY(dki_json_number(object, "init_value", &init_value));
    GET_NAME(object, "init", init, &layer->init);
    DKI_TRY(dki_json_boolean(object, "frozen", &layer->frozen));
    layer->alpha = (float)alpha;
    layer->dropout = (float)dropout;
    layer->init_value = (float)init_value;
    return DK_OK;
}

static dk_status parse_layers(dki_model_json *json, dk_net_desc *desc) {
    const json_t *array = json_object_get(json->root, "layers");
    size_t count = json_array_size(array);
    DKI_REQUIRE(count >= 1 && count <= 1024, DK_E_MODEL, "\"layers\" has %zu entries, not 1 … 1024",
                count);
    DKI_TRY(dki_new(json->allocator, &json->layers, count, "the layers"));
    for (size_t k = 0; k < count; ++k) {
        dk_status status = parse_layer(json_array_get(array, k), &json->layers[k]);
        if (status) return dki_fail_in(status, "layer %zu", k + 1);
    }
    desc->layers = json->layers;
    desc->layer_count = count;
    json->outputs = json->layers[count - 1].width;
    return DK_OK;
}

static dk_status parse_loss(dki_model_json *json, dk_net_desc *desc) {
    const json_t *object = json_object_get(json->root, "loss");
    double delta = 0.0, smoothing = 0.0;
    GET_NAME(object, "kind", loss, &desc->loss);
    DKI_TRY(dki_json_number(object, "huber_delta", &delta));
    DKI_TRY(dki_json_number(object, "label_smoothing", &smoothing));
    desc->huber_delta = (float)delta;
    desc->label_smoothing = (float)smoothing;
    DKI_REQUIRE(json->outputs >= 1 && json->outputs <= INT32_MAX, DK_E_MODEL,
                "the last layer has a width of %lld", (long long)json->outputs);
    DKI_TRY(
        get_floats(json->allocator, object, "class_weights", json->outputs, &json->class_weights));
    desc->class_weights = json->class_weights;
    return DK_OK;
}

static dk_status parse_root(dki_model_json *json, dk_net_desc *desc) {
    int64_t format = 0;
    *desc = (dk_net_desc)DK_NET_DESC_INIT;
    DKI_TRY(dki_json_integer(json->root, "format", &format));
    DKI_REQUIRE(format == FORMAT, DK_E_MODEL, "format %lld: this version of deltak reads format %d",
                (long long)format, FORMAT);
    DKI_TRY(dki_json_integer(json->root, "inputs", &desc->inputs));
    json->inputs = desc->inputs;
    DKI_TRY(dki_json_unsigned(json->root, "seed", &desc->seed));
    DKI_TRY(parse_layers(json, desc));
    DKI_TRY(parse_loss(json, desc));
    return dk_net_validate(desc) ? dki_fail_in(DK_E_MODEL, "description") : DK_OK;
}

dk_status dki_model_json_parse(dki_model_json **json, const dk_allocator *allocator,
                               const char *text, dk_net_desc *desc) {
    *json = NULL;
    dki_model_json *made = NULL;
    DKI_TRY(dki_new(allocator, &made, 1, "the model's description"));
    made->allocator = allocator;
    dk_status status = dki_json_parse(text, strlen(text), "the model's description", &made->root);
    if (!status) status = parse_root(made, desc);
    if (status)
        dki_model_json_release(made);
    else
        *json = made;
    return status;
}

static dk_status apply_scaling(const dki_model_json *json, dk_net *net, const char *key,
                               dki_scaling *scaling, int64_t count) {
    const json_t *object = json_object_get(json->root, key);
    if (json_is_null(object)) return DK_OK;
    double *shift = NULL;
    float *scale = NULL;
    dk_status status = get_doubles(json->allocator, object, "shift", count, &shift);
    if (!status) status = get_floats(json->allocator, object, "scale", count, &scale);
    if (!status && (!shift || !scale)) status = dki_fail(DK_E_MODEL, "shift and scale are missing");
    for (int64_t j = 0; !status && j < count; ++j)
        if (scale[j] < FLT_MIN) /* its reciprocal would overflow */
            status =
                dki_fail(DK_E_MODEL, "scale[%lld] isn't above %g", (long long)j, (double)FLT_MIN);
    if (!status) status = dki_net_set_scaling(net, scaling, shift, scale, count);
    dki_release(json->allocator, scale);
    dki_release(json->allocator, shift);
    return status ? dki_fail_in(status, "\"%s\"", key) : DK_OK;
}

static dk_status apply_classes(const dki_model_json *json, dk_net *net) {
    const json_t *array = json_object_get(json->root, "classes");
    if (json_is_null(array)) return DK_OK;
    size_t count = (size_t)json->outputs;
    DKI_REQUIRE(json_array_size(array) == count, DK_E_MODEL, "\"classes\" has %zu names, not %zu",
                json_array_size(array), count);
    const char **names = NULL;
    DKI_TRY(dki_new(json->allocator, &names, count, "class names"));
    dk_status status = DK_OK;
    for (size_t c = 0; c < count && !status; ++c) {
        names[c] = json_string_value(json_array_get(array, c));
        if (!names[c]) status = dki_fail(DK_E_MODEL, "\"classes\"[%zu] isn't a text", c);
    }
    if (!status) status = dki_net_set_class_names(net, names);
    dki_release(json->allocator, (void *)names);
    return status;
}

dk_status dki_model_json_apply(const dki_model_json *json, dk_net *net) {
    static const dk_task tasks[] = {DK_TASK_AUTO, DK_TASK_CLASSIFICATION, DK_TASK_REGRESSION};
    const char *task = NULL;
    bool known = false;
    DKI_TRY(dki_json_text(json->root, "task", &task));
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; ++i)
        if (strcmp(task, dk_task_name(tasks[i])) == 0) {
            net->task = tasks[i];
            known = true;
        }
    DKI_REQUIRE(known, DK_E_MODEL, "unknown task \"%s\"", task);
    DKI_TRY(apply_classes(json, net));
    DKI_TRY(dki_columns_from_json(json->allocator, json_object_get(json->root, "table"),
                                  json->inputs, &net->columns));
    DKI_TRY(apply_scaling(json, net, "features", &net->features, json->inputs));
    DKI_REQUIRE(!dki_loss_is_classification(net->desc.loss) ||
                    json_is_null(json_object_get(json->root, "targets")),
                DK_E_MODEL, "\"targets\" scales what the loss %s wants as it is",
                dk_loss_name(net->desc.loss));
    return apply_scaling(json, net, "targets", &net->targets, json->outputs);
}

void dki_model_json_release(dki_model_json *json) {
    if (!json) return;
    json_decref(json->root);
    dki_release(json->allocator, json->class_weights);
    dki_release(json->allocator, json->layers);
    dki_release(json->allocator, json);
}

/* The task file, and the objects of deltak that it asks for. */
#include "contestant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void give_up(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("contestant: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) give_up("no memory for %zu items of %zu bytes", count, size);
    return memory;
}

static json_t *member(const bench_task *task, const char *key, json_type type) {
    json_t *value = json_object_get(task->json, key);
    bool number = type == JSON_REAL && json_is_number(value);
    if (!value || (json_typeof(value) != type && !number))
        give_up("the task has no %s, or of a wrong type", key);
    return value;
}

static const char *text(const bench_task *task, const char *key) {
    return json_string_value(member(task, key, JSON_STRING));
}

static int64_t count_of(const bench_task *task, const char *key) {
    json_int_t value = json_integer_value(member(task, key, JSON_INTEGER));
    if (value < 1) give_up("the task's %s is %lld", key, (long long)value);
    return value;
}

bench_task task_read(const char *path) {
    bench_task made = {0};
    json_error_t error;
    made.json = json_load_file(path, 0, &error);
    if (!made.json) give_up("%s: %s", path, error.text);
    json_t *widths = member(&made, "layers", JSON_ARRAY);
    made.count = json_array_size(widths);
    if (made.count < 2 || made.count > MOST_WIDTHS) give_up("the task has %zu widths", made.count);
    for (size_t i = 0; i < made.count; ++i)
        made.widths[i] = json_integer_value(json_array_get(widths, i));
    made.batch = count_of(&made, "batch");
    made.batches = count_of(&made, "batches");
    made.threads = (int)count_of(&made, "threads");
    made.lr = json_number_value(member(&made, "lr", JSON_REAL));
    made.weight_decay = json_number_value(member(&made, "weight_decay", JSON_REAL));
    if (dk_optimizer_parse(text(&made, "optimizer"), &made.optimizer) ||
        dk_precision_parse(text(&made, "precision"), &made.precision))
        give_up("%s", dk_error_text());
    made.device = text(&made, "device");
    made.x = text(&made, "x");
    made.y = text(&made, "y");
    made.initial = text(&made, "initial");
    return made;
}

dk_context *task_open(const bench_task *task) {
    dk_context *context = NULL;
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = task->device;
    options.threads = task->threads;
    options.precision = task->precision;
    if (dk_context_create(&context, &options)) give_up("%s", dk_error_text());
    return context;
}

dk_net *task_net(const bench_task *task, dk_context *context) {
    dk_net *net = NULL;
    dk_layer layers[MOST_WIDTHS];
    dk_net_desc desc = DK_NET_DESC_INIT;
    for (size_t k = 1; k < task->count; ++k) {
        layers[k - 1] = (dk_layer)DK_LAYER_INIT;
        layers[k - 1].width = task->widths[k];
        layers[k - 1].activation = k + 1 < task->count ? DK_RELU : DK_IDENTITY;
    }
    desc.inputs = task->widths[0];
    desc.layers = layers;
    desc.layer_count = task->count - 1;
    desc.loss = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    if (dk_net_create(&net, context, &desc)) give_up("%s", dk_error_text());
    return net;
}

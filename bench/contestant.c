/* deltak as a contestant of bench/compare.py, written as an application: the public header only.
 *
 *     contestant prepare TASK    writes the data and the initial weights that all contestants read
 *     contestant run TASK        answers the line protocol of bench/peers/README.md
 */
#include "contestant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct contestant {
    bench_task task;
    dk_context *context;
    dk_net *net;
    dk_trainer *trainer;
    dk_dataset *data; /* resident on the device while dk_trainer_fit runs */
    bench_samples samples;
    float **initial; /* [2 L] W and b of every layer */
} contestant;

static void must(dk_status status) {
    if (status) give_up("%s", dk_error_text());
}

/* The number of elements of tensor i of 2 L: W and b of layer 1, of layer 2, … */
static size_t elements(const bench_task *task, size_t i) {
    size_t k = i / 2 + 1, width = (size_t)task->widths[k];
    return i % 2 == 0 ? width * (size_t)task->widths[k - 1] : width;
}

static float **parameters(const contestant *c) {
    size_t count = 2 * (c->task.count - 1);
    float **values = allocate(count, sizeof *values);
    for (size_t i = 0; i < count; ++i) {
        values[i] = allocate(elements(&c->task, i), sizeof *values[i]);
        must(dk_net_get(c->net, i % 2 ? DK_BIAS : DK_WEIGHT, i / 2 + 1, values[i],
                        elements(&c->task, i)));
    }
    return values;
}

static void release_parameters(const contestant *c, float **values) {
    for (size_t i = 0; i < 2 * (c->task.count - 1); ++i) free(values[i]);
    free(values);
}

/* The initial weights, and an optimizer that has seen no step. */
static void restart(contestant *c) {
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = c->task.batch;
    options.optimizer = c->task.optimizer;
    options.lr = c->task.lr;
    options.weight_decay = c->task.weight_decay;
    options.schedule = DK_SCHEDULE_CONSTANT;
    options.warmup = 0.0;
    dk_trainer_destroy(c->trainer);
    for (size_t i = 0; i < 2 * (c->task.count - 1); ++i)
        must(dk_net_set(c->net, i % 2 ? DK_BIAS : DK_WEIGHT, i / 2 + 1, c->initial[i],
                        elements(&c->task, i)));
    must(dk_trainer_create(&c->trainer, c->net, &options));
}

static void open_data(contestant *c) {
    dk_arrays arrays = DK_ARRAYS_INIT;
    c->samples = samples_read(&c->task);
    arrays.rows = c->task.batch * c->task.batches;
    arrays.features = c->task.widths[0];
    arrays.x = c->samples.x;
    arrays.labels = c->samples.labels;
    arrays.classes = c->task.widths[c->task.count - 1];
    must(dk_dataset_from_arrays(&c->data, c->context, &arrays));
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Times steps from inside dk_trainer_fit, whose start (on a GPU: the data's upload and the recording
 * of the step) doesn't count. On the CPU every call of the callback follows a finished step; on a
 * GPU only the end of an epoch has waited for the device. */
typedef struct stopwatch {
    bool each_step;
    int64_t warm, wanted; /* calls that don't count; steps that do */
    int64_t calls, from, to;
    double began, ended;
} stopwatch;

static int on_progress(void *user, const dk_progress *progress) {
    stopwatch *watch = user;
    if (progress->epoch_end == watch->each_step) return 0;
    double time = now();
    if (++watch->calls < watch->warm) return 0;
    if (watch->calls == watch->warm) {
        watch->from = progress->step;
        watch->began = time;
        return 0;
    }
    if (progress->step - watch->from < watch->wanted) return 0;
    watch->to = progress->step;
    watch->ended = time;
    return 1;
}

static json_t *time_steps(contestant *c, int64_t steps) {
    dk_context_info info;
    must(dk_context_describe(c->context, &info));
    bool cpu = strcmp(info.device, "cpu") == 0;
    stopwatch watch = {.each_step = cpu, .warm = cpu ? 2 : 1, .wanted = steps};
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = (steps + watch.warm) / c->task.batches + 2;
    fit.progress = on_progress;
    fit.progress_user = &watch;
    fit.in_order = true;
    dk_status status = dk_trainer_fit(c->trainer, c->data, NULL, &fit, NULL);
    if (status != DK_E_STOPPED) must(status);
    int64_t taken = watch.to - watch.from;
    if (taken <= 0) give_up("fit ended before %lld steps were timed", (long long)steps);
    return json_pack("{s:f, s:I}", "ms", 1e3 * (watch.ended - watch.began) / (double)taken, "steps",
                     (json_int_t)taken);
}

static double step(contestant *c, int64_t index) {
    double loss = NAN;
    int64_t first = index * c->task.batch;
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = c->task.batch;
    batch.x = c->samples.x + first * c->task.widths[0];
    batch.labels = c->samples.labels + first;
    must(dk_trainer_step(c->trainer, &batch, &loss));
    return loss;
}

/* Whether an epoch of dk_trainer_fit, which is what time_steps() times, leaves the same bits as the
 * same batches by dk_trainer_step, whose losses are compared. */
static bool fit_is_steps(contestant *c) {
    restart(c);
    for (int64_t i = 0; i < c->task.batches; ++i) step(c, i);
    float **stepped = parameters(c);
    restart(c);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 1;
    fit.in_order = true;
    must(dk_trainer_fit(c->trainer, c->data, NULL, &fit, NULL));
    float **fitted = parameters(c);
    bool same = true;
    for (size_t i = 0; i < 2 * (c->task.count - 1); ++i)
        same =
            same && memcmp(stepped[i], fitted[i], elements(&c->task, i) * sizeof *fitted[i]) == 0;
    release_parameters(c, stepped);
    release_parameters(c, fitted);
    return same;
}

static json_t *losses(contestant *c, int64_t steps, int64_t batches) {
    json_t *list = json_array();
    restart(c);
    for (int64_t i = 0; i < steps; ++i)
        json_array_append_new(list, json_real(step(c, i % batches)));
    return json_pack("{s:o, s:b}", "losses", list, "fit_is_steps", (int)fit_is_steps(c));
}

static void answer(json_t *object) {
    if (!object || json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17)))
        give_up("can't answer");
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}

static void open_contestant(contestant *c) {
    dk_context_info info;
    c->context = task_open(&c->task);
    must(dk_net_load(&c->net, c->context, c->task.initial));
    c->initial = parameters(c);
    open_data(c);
    restart(c);
    json_decref(time_steps(c, 2)); /* plans, recordings, pages */
    must(dk_context_describe(c->context, &info));
    answer(json_pack("{s:b, s:{s:s, s:s?}, s:s, s:s?, s:i}", "ready", 1, "versions", "deltak",
                     dk_version(), "blas", info.library, "setting", "dk_trainer_fit", "device_name",
                     info.device_name, "threads", info.threads));
}

/* Answers one line after the other until the input ends. */
static void serve(contestant *c) {
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        const char *what = NULL;
        json_int_t steps = 0, batches = c->task.batches;
        json_error_t error;
        json_t *request = json_loads(line, 0, &error);
        if (!request || json_unpack_ex(request, &error, 0, "{s:s, s:I, s?I}", "do", &what, "steps",
                                       &steps, "batches", &batches))
            give_up("a line that isn't a request: %s", error.text);
        if (steps < 1 || batches < 1 || batches > c->task.batches)
            give_up("%lld steps of %lld batches", (long long)steps, (long long)batches);
        if (strcmp(what, "time") == 0)
            answer(time_steps(c, steps));
        else if (strcmp(what, "losses") == 0)
            answer(losses(c, steps, batches));
        else
            give_up("unknown request \"%s\"", what);
        json_decref(request);
    }
}

static void close_contestant(contestant *c) {
    dk_trainer_destroy(c->trainer);
    release_parameters(c, c->initial);
    dk_dataset_destroy(c->data);
    dk_net_destroy(c->net);
    dk_context_destroy(c->context);
    free(c->samples.x);
    free(c->samples.labels);
}

static void prepare(const bench_task *task) {
    dk_context *context = task_open(task);
    dk_net *net = task_net(task, context);
    must(dk_net_save(net, task->initial));
    dk_net_destroy(net);
    dk_context_destroy(context);
    samples_write(task);
}

int main(int argc, char **argv) {
    bool preparing = argc == 3 && strcmp(argv[1], "prepare") == 0;
    if (argc != 3 || (!preparing && strcmp(argv[1], "run") != 0))
        give_up("usage: contestant prepare|run TASK");
    contestant c = {.task = task_read(argv[2])};
    if (preparing) {
        prepare(&c.task);
    } else {
        open_contestant(&c);
        serve(&c);
        close_contestant(&c);
    }
    json_decref(c.task.json);
    return 0;
}

/* One training that saves a checkpoint before every other block of steps, and how long each block took:
 * what checkpoints cost is the difference. checkpoint_cost.py runs it.
 *
 *     checkpoint_blocks FOLDER DEVICE BATCH STEPS PAIRS FEATURES HIDDEN... TARGETS
 *
 * STEPS are those of a block; the first pair of blocks doesn't count. Prints one JSON object: seconds of
 * the blocks with a save and of those without, in turns, how many were saved, and how many of them weren't yet
 * when their block was over. */
#include <deltak/deltak.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MOST_HIDDEN = 64, BATCHES = 50, FIXED = 7 };

typedef struct blocks {
    int64_t steps, pairs; /* of a block; that are wanted, the first one included */
    int64_t late;
    const char *folder;
    double began;
    json_t *with, *without; /* seconds */
} blocks;

static _Noreturn void give_up(const char *text) {
    fprintf(stderr, "checkpoint_blocks: %s\n", text);
    exit(1);
}

static void must(dk_status status) {
    if (status) give_up(dk_error_text());
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool is_saved(const char *folder, int64_t step) {
    char path[4096];
    snprintf(path, sizeof path, "%s/checkpoint-%012lld.safetensors", folder, (long long)step);
    return access(path, F_OK) == 0;
}

/* A checkpoint of a step is taken after the callback for it: at the start of the block that follows. A
 * device that takes several steps at once reports the last of them. */
static int on_progress(void *user, const dk_progress *progress) {
    blocks *all = user;
    if (progress->epoch_end || progress->step % all->steps != 0) return 0;
    const int64_t block = progress->step / all->steps - 1; /* that ends here */
    const double time = now();
    if (block >= 4) /* after the first pair of blocks, and two that no save came before */
        json_array_append_new(block % 2 ? all->without : all->with, json_real(time - all->began));
    if (block >= 4 && block % 2 == 0 && !is_saved(all->folder, block * all->steps)) ++all->late;
    if (block >= 2) fprintf(stderr, "block %lld: %.3f s\n", (long long)block, time - all->began);
    all->began = time;
    return block > 2 * all->pairs;
}

static int64_t number(const char *text) {
    char *end = NULL;
    const long long value = strtoll(text, &end, 10);
    if (*end || value < 1 || value > INT32_MAX)
        give_up("counts and widths are whole numbers from 1");
    return value;
}

static dk_dataset *data_of(dk_context *context, int64_t rows, int64_t features, int64_t targets) {
    dk_dataset *made = NULL;
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.rows = rows;
    options.features = features;
    options.targets = targets;
    must(dk_dataset_open(&made, context, "synth:teacher", &options));
    return made;
}

/* How many checkpoints were saved. */
static int64_t train(dk_net *net, const dk_dataset *data, int64_t batch, const char *folder,
                     blocks *all) {
    dk_trainer *trainer = NULL;
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = batch;
    must(dk_trainer_create(&trainer, net, &options));
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = (2 * all->pairs + 2) * all->steps / BATCHES + 1;
    fit.progress = on_progress;
    fit.progress_user = all;
    fit.checkpoint = folder;
    fit.checkpoint_steps = 2 * all->steps;
    fit.checkpoint_seconds = 0.0;
    dk_fit_result result;
    const dk_status status = dk_trainer_fit(trainer, data, NULL, &fit, &result);
    if (status != DK_E_STOPPED) must(status);
    dk_trainer_destroy(trainer);
    return result.checkpoints;
}

int main(int argc, char **argv) {
    if (argc < FIXED + 1 || argc > FIXED + 1 + MOST_HIDDEN)
        give_up(
            "usage: checkpoint_blocks FOLDER DEVICE BATCH STEPS PAIRS FEATURES HIDDEN... TARGETS");
    const int64_t batch = number(argv[3]), features = number(argv[6]),
                  targets = number(argv[argc - 1]);
    blocks all = {.steps = number(argv[4]),
                  .pairs = number(argv[5]) + 1,
                  .folder = argv[1],
                  .with = json_array(),
                  .without = json_array()};
    int64_t hidden[MOST_HIDDEN];
    const size_t layers = (size_t)(argc - FIXED - 1);
    for (size_t i = 0; i < layers; ++i) hidden[i] = number(argv[FIXED + i]);

    dk_context *context = NULL;
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = argv[2];
    must(dk_context_create(&context, &options));
    dk_dataset *data = data_of(context, batch * BATCHES, features, targets);
    dk_net *net = NULL;
    must(dk_net_create_for(&net, data, hidden, layers, DK_RELU, 1));
    const int64_t saved = train(net, data, batch, argv[1], &all);
    dk_net_destroy(net);
    dk_dataset_destroy(data);
    dk_context_destroy(context);

    json_t *result = json_pack("{s:o, s:o, s:I, s:I}", "with", all.with, "without", all.without,
                               "saved", (json_int_t)saved, "late", (json_int_t)all.late);
    const bool printed = result && json_dumpf(result, stdout, JSON_COMPACT) == 0;
    json_decref(result);
    return printed && fflush(stdout) == 0 ? 0 : 1;
}

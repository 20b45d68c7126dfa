/* dk_dataset_open: which source a text means, and what is asked of it. */
#include "base/arithmetic.h"
#include "base/names.h"
#include "data/foreign.h"
#include "data/notes.h"
#include "data/source.h"
#include "format/file.h"
#include "format/idx.h"
#include "format/npy.h"
#include "model/net.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef dk_status (*source_fn)(const dki_request *, dki_storage *);

static const char *const builtin_names[] = {"builtin:digits"};
static const source_fn builtin_sources[] = {dki_source_digits};
static const char *const synth_names[] = {"synth:spirals", "synth:teacher"};
static const source_fn synth_sources[] = {dki_source_spirals, dki_source_teacher};
static const char *const all_names[] = {"builtin:digits", "synth:spirals", "synth:teacher"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static dk_status no_test_part(const dki_request *request) {
    DKI_REQUIRE(request->options.part == DK_PART_TRAIN, DK_E_STATE,
                "%s has no test part: split one off the rows, or open another source",
                request->source);
    return DK_OK;
}

static dk_status choose_named(const dki_request *request, const char *kind,
                              const char *const *names, const source_fn *sources, size_t count,
                              source_fn *source) {
    size_t index = 0;
    DKI_TRY(dki_name_index(kind, request->source, strlen(request->source), names, count, &index));
    *source = sources[index];
    return no_test_part(request);
}

static dk_status fail_missing(const char *path) {
    const char *nearest =
        strchr(path, ':') ? dki_nearest(path, strlen(path), all_names, COUNT(all_names)) : NULL;
    if (nearest) return dki_fail(DK_E_IO, "%s: %m: did you mean \"%s\"?", path, nearest);
    return dki_fail(DK_E_IO, "%s: %m", path);
}

static dk_status choose_directory(const dki_request *request, source_fn *source) {
    bool idx = false, npy = false;
    DKI_TRY(dki_is_idx_directory(request->source, &idx));
    DKI_TRY(dki_is_npy_directory(request->source, &npy));
    if (idx)
        *source = dki_source_idx_directory;
    else if (npy)
        *source = dki_source_npy_directory;
    else
        return dki_fail(DK_E_DATA,
                        "%s is a directory without train-images-idx3-ubyte (or .gz) and without "
                        "x.npy: name a file in it",
                        request->source);
    return DK_OK;
}

static dk_status choose_file(const dki_request *request, bool regular, source_fn *source) {
    unsigned char head[DKI_FOREIGN_HEAD];
    size_t got = 0;
    DKI_TRY(no_test_part(request));
    /* A pipe can be read only once, so its first bytes are not looked at: it is a table. */
    if (regular) DKI_TRY(dki_file_peek(request->source, head, sizeof head, &got));
    if (dki_npy_is(head, got))
        *source = dki_source_npy;
    else if (dki_idx_is(head, got))
        *source = dki_source_idx;
    else
        *source = dki_source_table;
    return *source == dki_source_table ? dki_refuse_foreign(request->source, head, got) : DK_OK;
}

static dk_status choose(const dki_request *request, source_fn *source) {
    if (strncmp(request->source, "builtin:", 8) == 0)
        return choose_named(request, "built-in data set", builtin_names, builtin_sources,
                            COUNT(builtin_names), source);
    if (strncmp(request->source, "synth:", 6) == 0)
        return choose_named(request, "synthetic data set", synth_names, synth_sources,
                            COUNT(synth_names), source);
    struct stat file;
    if (stat(request->source, &file) != 0) return fail_missing(request->source);
    if (S_ISDIR(file.st_mode)) return choose_directory(request, source);
    return choose_file(request, S_ISREG(file.st_mode), source);
}

/* ----- what is asked ----- */

static dki_schema schema_of_set(const dk_dataset *set) {
    const dki_storage *storage = set->storage;
    return (dki_schema){storage->task, storage->features_count, storage->target_count,
                        (const char *const *)storage->class_names, &storage->columns};
}

/* Of a network that was made by hand the loss tells: mse, mae and huber take numbers, softmax takes
 * classes; of the sigmoid's either is possible. */
static dki_schema schema_of_net(const dk_net *net) {
    dk_task task = net->task;
    if (task == DK_TASK_AUTO && net->class_names) task = DK_TASK_CLASSIFICATION;
    if (task == DK_TASK_AUTO && net->desc.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY)
        task = DK_TASK_CLASSIFICATION;
    if (task == DK_TASK_AUTO && net->desc.loss != DK_LOSS_SIGMOID_CROSS_ENTROPY)
        task = DK_TASK_REGRESSION;
    return (dki_schema){task, net->desc.inputs, dki_net_outputs(net),
                        (const char *const *)net->class_names, &net->columns};
}

static dk_status resolve_task(dki_request *request) {
    dk_task asked = request->options.task, like = request->schema.task;
    if (!request->has_schema || asked == DK_TASK_NONE) return DK_OK;
    if (asked == DK_TASK_AUTO)
        request->options.task = like;
    else
        DKI_REQUIRE(like == asked || like == DK_TASK_NONE || like == DK_TASK_AUTO, DK_E_ARGUMENT,
                    "%s: %s was asked for, but the data to be like are for %s", request->source,
                    dk_task_name(asked), dk_task_name(like));
    return DK_OK;
}

static dk_status make_request(dki_request *request, dk_context *context, const char *source,
                              const dk_data_options *given) {
    *request = (dki_request){
        .allocator = &context->allocator, .source = source, .options = DK_DATA_OPTIONS_INIT};
    dk_data_options *options = &request->options;
    if (given)
        DKI_TRY(dki_take_options(options, sizeof *options, given, given->size, "dk_data_options"));
    DKI_REQUIRE(options->part == DK_PART_TRAIN || options->part == DK_PART_TEST, DK_E_ARGUMENT,
                "dk_data_options.part %d is not a dk_part", (int)options->part);
    DKI_REQUIRE((unsigned)options->task <= DK_TASK_NONE, DK_E_ARGUMENT,
                "dk_data_options.task %d is not a dk_task", (int)options->task);
    DKI_REQUIRE((unsigned)options->header <= DK_HEADER_NO, DK_E_ARGUMENT,
                "dk_data_options.header %d is not a dk_header", (int)options->header);
    DKI_REQUIRE(
        options->rows >= 0 && options->features >= 0 && options->targets >= 0, DK_E_ARGUMENT,
        "dk_data_options: rows %lld, features %lld, targets %lld: none may be negative",
        (long long)options->rows, (long long)options->features, (long long)options->targets);
    DKI_REQUIRE(!(options->like && options->like_net), DK_E_ARGUMENT,
                "dk_data_options has like and like_net: give one of them");
    request->has_schema = options->like || options->like_net;
    if (options->like) request->schema = schema_of_set(options->like);
    if (options->like_net) request->schema = schema_of_net(options->like_net);
    return resolve_task(request);
}

dk_status dki_limit_rows(const dki_request *request, int64_t *rows) {
    DKI_REQUIRE(*rows > 0, DK_E_DATA, "%s holds no rows", request->source);
    if (request->options.rows > 0 && request->options.rows < *rows) *rows = request->options.rows;
    return DK_OK;
}

dk_status dki_check_features(const dki_request *request, int64_t features) {
    DKI_REQUIRE(features >= 1, DK_E_DATA, "%s holds no features beside the label", request->source);
    if (!request->has_schema || request->schema.features == features) return DK_OK;
    const char *advice = "";
    if (request->options.task == DK_TASK_NONE && features == request->schema.features + 1)
        advice = ": leave the label column out, or open the data with their labels";
    return dki_fail(DK_E_SHAPE, "%s has %lld features, expected are %lld%s", request->source,
                    (long long)features, (long long)request->schema.features, advice);
}

/* Fills a storage from the source that was chosen, and makes the set of all its rows. */
static dk_status open_source(dk_dataset **dataset, dk_context *context, const dki_request *request,
                             source_fn fill) {
    dki_storage *storage = NULL;
    DKI_TRY(dki_storage_create(&storage, context, request->source));
    dk_status status = fill(request, storage);
    if (status == DK_OK && !storage->mapped) status = dki_storage_check_finite(storage);
    if (status == DK_OK && !storage->note_count) status = dki_note_summary(storage, NULL);
    if (status == DK_OK) return dki_dataset_create(dataset, storage);
    dki_storage_destroy(storage);
    return status;
}

dk_status dk_dataset_open(dk_dataset **dataset, dk_context *context, const char *source,
                          const dk_data_options *options) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(dataset, DK_E_ARGUMENT, "dk_dataset_open: dataset is NULL");
    *dataset = NULL;
    DKI_REQUIRE(context && source, DK_E_ARGUMENT, "dk_dataset_open: %s is NULL",
                context ? "source" : "context");
    DKI_REQUIRE(*source, DK_E_ARGUMENT, "dk_dataset_open: the source is an empty text");
    dki_request request;
    DKI_TRY(make_request(&request, context, source, options));
    source_fn fill = NULL;
    DKI_TRY(choose(&request, &fill));
    return open_source(dataset, context, &request, fill);
}

dk_status dk_dataset_open_text(dk_dataset **dataset, dk_context *context, const char *name,
                               const char *text, size_t bytes, int64_t first_line,
                               const dk_data_options *options) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(dataset, DK_E_ARGUMENT, "dk_dataset_open_text: dataset is NULL");
    *dataset = NULL;
    DKI_REQUIRE(context && name && text && first_line >= 1, DK_E_ARGUMENT,
                "dk_dataset_open_text: a NULL argument, or first_line below 1");
    dki_request request;
    DKI_TRY(make_request(&request, context, name, options));
    DKI_TRY(no_test_part(&request));
    request.text = text;
    request.bytes = bytes;
    request.first_line = first_line;
    return open_source(dataset, context, &request, dki_source_table);
}

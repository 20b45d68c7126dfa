/* Going on with a run from its checkpoint. Nothing is changed before all of it was read and checked. */
#include "base/arithmetic.h"
#include "model/file.h"
#include "train/checkpoint.h"
#include "train/checkpoint_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What dk_trainer_resume is asked for, and the checkpoint. */
typedef struct {
    dk_net *net;
    const dk_train_options *options; /* resolved; NULL = as recorded */
    bool anyway;
    dki_folder_id folder; /* where the checkpoint lies under its own name */
    dki_safetensors file;
    dki_run_state run;
} resumption;

/* ---- reading ------------------------------------------------------------------------------- */

/* A file that was put in another's place is whole, and yet not what its name says. */
static dk_status check_name(const resumption *it, const char *path) {
    uint64_t step = 0;
    DKI_REQUIRE(!dki_checkpoint_step(path, &step) || step == it->run.progress.ticks, DK_E_MODEL,
                "its name says step %llu, and it holds step %llu: it was renamed, or replaced",
                (unsigned long long)step, (unsigned long long)it->run.progress.ticks);
    return DK_OK;
}

static dk_status read_file(resumption *it, const char *path) {
    const dk_allocator *allocator = &it->net->context->allocator;
    DKI_TRY(dki_safetensors_open(allocator, path, &it->file));
    const char *text = dki_safetensors_metadata(&it->file, DKI_TRAINING_KEY);
    DKI_REQUIRE(text && dki_safetensors_metadata(&it->file, DKI_MODEL_KEY), DK_E_MODEL,
                "%s: no \"" DKI_TRAINING_KEY "\" in its __metadata__: it isn't a checkpoint", path);
    dk_status status = dki_safetensors_verify(allocator, &it->file, true);
    if (!status) status = dki_run_state_from_json(&it->run, allocator, text);
    if (!status) status = check_name(it, path);
    return status ? dki_fail_in(status, "%s", path) : DK_OK;
}

static void release(resumption *it) {
    dki_run_state_release(&it->run);
    dki_safetensors_release(&it->net->context->allocator, &it->file);
}

/* ---- which file ---------------------------------------------------------------------------- */

/* What isn't there is a file: reading it says so, and which older one is. */
static dk_status is_folder(const char *path, bool *folder) {
    struct stat info;
    const bool found = stat(path, &info) == 0;
    *folder = found && S_ISDIR(info.st_mode);
    return found || errno == ENOENT || errno == ENOTDIR ? DK_OK
                                                        : dki_file_fail(path, "read", errno);
}

/* The newest checkpoint of a folder, or the file itself. */
static dk_status find_file(const dk_allocator *allocator, const char *path, char **file) {
    dki_checkpoint_list list;
    bool folder = false;
    DKI_TRY(is_folder(path, &folder));
    if (!folder) return dki_copy_text(allocator, path, file);
    DKI_TRY(dki_checkpoint_folder_list(allocator, path, &list));
    dk_status status =
        list.count
            ? dki_checkpoint_path(allocator, path, list.steps[list.count - 1], file)
            : dki_fail(DK_E_IO, "%s: there is no checkpoint in this folder: begin without resuming",
                       path);
    dki_release(allocator, list.steps);
    return status;
}

/* The folder of a file; the caller releases it. */
static dk_status folder_of(const dk_allocator *allocator, const char *file, char **folder) {
    const char *slash = strrchr(file, '/');
    if (!slash) return dki_copy_text(allocator, ".", folder);
    DKI_TRY(dki_copy_text(allocator, file, folder));
    (*folder)[slash == file ? 1 : slash - file] = '\0';
    return DK_OK;
}

static bool is_whole(dk_net *net, const char *path) {
    resumption it = {.net = net};
    const bool whole = read_file(&it, path) == DK_OK;
    release(&it);
    return whole;
}

/* The newest checkpoint before that step which is whole; NULL where there is none. */
static char *find_older(dk_net *net, const char *folder, uint64_t step) {
    const dk_allocator *allocator = &net->context->allocator;
    dki_checkpoint_list list;
    char *path = NULL;
    if (dki_checkpoint_folder_list(allocator, folder, &list)) return NULL;
    for (size_t i = list.count; i-- > 0 && !path;) {
        if (list.steps[i] >= step || dki_checkpoint_path(allocator, folder, list.steps[i], &path))
            continue;
        if (is_whole(net, path)) break;
        dki_release(allocator, path);
        path = NULL;
    }
    dki_release(allocator, list.steps);
    return path;
}

/* Adds to the error text which checkpoint to go on from instead. */
static dk_status offer_older(dk_net *net, dk_status status, const char *file) {
    const dk_allocator *allocator = &net->context->allocator;
    char text[1024], *folder = NULL;
    uint64_t step = 0;
    snprintf(text, sizeof text, "%s", dk_error_text());
    if (!dki_checkpoint_step(file, &step) || folder_of(allocator, file, &folder))
        return dki_fail(status, "%s", text);
    char *older = find_older(net, folder, step);
    if (older)
        status =
            dki_fail(status, "%s. The checkpoint before it is whole: resume from %s", text, older);
    else
        status = dki_fail(status, "%s. No older checkpoint that is whole lies beside it", text);
    dki_release(allocator, older);
    dki_release(allocator, folder);
    return status;
}

/* ---- may it go on here? -------------------------------------------------------------------- */

/* Other parameters of the same shape may do, too, if that is wanted. */
static dk_status check_network(const resumption *it) {
    bool same = false;
    DKI_TRY(dki_tensors_check(&it->file, &it->net->desc, "")
                ? dki_fail_in(DK_E_SHAPE, "the network isn't the checkpoint's")
                : DK_OK);
    DKI_TRY(
        dki_net_is_described(it->net, dki_safetensors_metadata(&it->file, DKI_MODEL_KEY), &same));
    DKI_REQUIRE(
        same || it->anyway, DK_E_STATE,
        "the network isn't the checkpoint's: its layers, loss, seed, preprocessing or class "
        "names differ. Make it of the same options and data, or load it from the checkpoint");
    return DK_OK;
}

static dk_status check_circumstances(const resumption *it) {
    const dk_train_options *saved = &it->run.options;
    dki_environment here;
    dki_environment_of(it->net->context, &here);
    DKI_TRY(check_network(it));
    DKI_REQUIRE(!it->options || it->options->optimizer == saved->optimizer, DK_E_STATE,
                "it was made with the optimizer %s, not %s: its state doesn't fit",
                dk_optimizer_name(saved->optimizer), dk_optimizer_name(it->options->optimizer));
    if (it->anyway) return DK_OK;
    DKI_TRY(dki_environment_compare(&it->run.environment, &here));
    return it->options ? dki_options_compare(saved, it->options) : DK_OK;
}

/* Before anything is planned. */
static dk_status take_plans(const resumption *it) {
    dki_backend *backend = it->net->context->backend;
    const dki_run_state *run = &it->run;
    if (!backend->ops->take_plans || !run->plans) return DK_OK;
    dk_status status = backend->ops->take_plans(backend, run->plans, run->plan_bytes);
    if (!it->anyway || (status != DK_E_STATE && status != DK_E_MODEL)) return status;
    dki_log_line(&it->net->context->log, DK_LOG_WARNING,
                 "algorithms are chosen anew, so the bits will differ: %s", dk_error_text());
    return DK_OK;
}

/* ---- into the trainer ---------------------------------------------------------------------- */

static dk_status load_state(const resumption *it, dk_trainer *trainer) {
    dki_backend *backend = it->net->context->backend;
    const dki_run_progress *p = &it->run.progress;
    dki_step_state state = it->run.state;
    state.seed = trainer->options.seed;
    /* Recorded on another kind of device, where there is none. */
    if (!backend->loss_scaling)
        state.loss_scale = state.delta_scale = 0.0f;
    else if (state.loss_scale == 0.0f)
        state.loss_scale = DKI_LOSS_SCALE_START;
    trainer->total_steps = p->total_steps;
    trainer->first_step = p->first_step;
    trainer->epochs = p->epochs;
    trainer->ticks = trainer->collected = p->ticks;
    trainer->loss_sum = p->loss_sum;
    trainer->loss_weight = p->loss_weight;
    trainer->folder = it->folder;
    trainer->loss_scale = state.loss_scale;
    trainer->resume_anyway = it->anyway;
    trainer->resumed = it->run.fitting;
    trainer->fit = it->run.fit;
    return backend->ops->upload(backend, DKI_LANE_MAIN, trainer->session->tensors.state, &state,
                                sizeof state);
}

static dk_status load(const resumption *it, dk_trainer *trainer) {
    dki_region regions[DKI_CHECKPOINT_REGIONS];
    const bool has_best = it->run.fitting && it->run.fit.has_best;
    if (has_best)
        DKI_TRY(dki_new(&it->net->context->allocator, &trainer->best,
                        (size_t)it->net->layout.elements, "the best parameters"));
    const size_t count = dki_checkpoint_regions(trainer, trainer->best, regions);
    DKI_REQUIRE(it->file.count == count * 2 * it->net->desc.layer_count, DK_E_MODEL,
                "%zu tensors, and this optimizer has %zu", it->file.count,
                count * 2 * it->net->desc.layer_count);
    DKI_TRY(dki_tensors_load(it->net, &it->file, regions, count));
    return load_state(it, trainer);
}

static dk_status make_trainer(const resumption *it, dk_trainer **trainer) {
    dk_trainer *made = NULL;
    DKI_TRY(check_circumstances(it));
    DKI_TRY(take_plans(it));
    DKI_TRY(dki_trainer_open(&made, it->net, it->options ? it->options : &it->run.options));
    dk_status status = load(it, made);
    if (status)
        dk_trainer_destroy(made);
    else
        *trainer = made;
    return status;
}

/* Its own name makes it one of its folder's; a copy elsewhere belongs to none. */
static dk_status find_folder(resumption *it, const char *file) {
    const dk_allocator *allocator = &it->net->context->allocator;
    uint64_t step = 0;
    char *folder = NULL;
    if (!dki_checkpoint_step(file, &step)) return DK_OK;
    DKI_TRY(folder_of(allocator, file, &folder));
    dk_status status = dki_folder_identify(folder, &it->folder);
    dki_release(allocator, folder);
    return status;
}

static dk_status resume(resumption *it, const char *path, dk_trainer **trainer) {
    const dk_allocator *allocator = &it->net->context->allocator;
    char *file = NULL;
    DKI_TRY(find_file(allocator, path, &file));
    dk_status status = read_file(it, file);
    if (!status) status = find_folder(it, file);
    if (!status && (status = make_trainer(it, trainer))) status = dki_fail_in(status, "%s", file);
    if (status == DK_E_MODEL || status == DK_E_IO || status == DK_E_NONFINITE)
        status = offer_older(it->net, status, file);
    dki_release(allocator, file);
    return status;
}

dk_status dk_trainer_resume(dk_trainer **trainer, dk_net *net, const dk_train_options *options,
                            const char *path, bool anyway) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(trainer && net && path, DK_E_ARGUMENT, "dk_trainer_resume: a NULL argument");
    *trainer = NULL;
    dk_train_options resolved;
    if (options) DKI_TRY(dki_train_options_resolve(options, &net->desc, &resolved));
    DKI_REQUIRE(!__atomic_load_n(&net->in_training, __ATOMIC_ACQUIRE), DK_E_STATE,
                "this network has a trainer already");
    resumption it = {.net = net, .options = options ? &resolved : NULL, .anyway = anyway};
    dk_status status = resume(&it, path, trainer);
    release(&it);
    return status;
}

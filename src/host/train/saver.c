#include "train/saver.h"

#include "base/clock.h"
#include "base/thread.h"

#include <stdio.h>

/* ---- opening ------------------------------------------------------------------------------- */

static dk_status check_options(const dk_fit_options *o) {
    DKI_REQUIRE(o->checkpoint_steps >= 0 && o->checkpoint_epochs >= 0 &&
                    o->checkpoint_seconds >= 0.0 && o->checkpoint_seconds <= 1e9,
                DK_E_ARGUMENT, "checkpoints every %lld steps, %g seconds, %lld epochs",
                (long long)o->checkpoint_steps, o->checkpoint_seconds,
                (long long)o->checkpoint_epochs);
    DKI_REQUIRE(o->checkpoint_keep >= 1 && o->checkpoint_keep <= 1000000, DK_E_ARGUMENT,
                "checkpoint_keep = %lld: at least 1", (long long)o->checkpoint_keep);
    return DK_OK;
}

/* A run must not mix its checkpoints with another's: the newest would be the wrong one's, and the oldest
 * would be removed. Its own folder is the one that it was resumed from, or has saved in. */
static dk_status check_folder(dki_saver *saver) {
    dki_folder_id id;
    dki_checkpoint_list list;
    DKI_TRY(dki_folder_identify(saver->folder.path, &id));
    if (dki_folder_is(&saver->trainer->folder, &id))
        return dki_checkpoint_folder_set_aside(&saver->folder, saver->trainer->ticks);
    DKI_TRY(dki_checkpoint_folder_list(saver->folder.allocator, saver->folder.path, &list));
    dki_release(saver->folder.allocator, list.steps);
    DKI_REQUIRE(list.count == 0, DK_E_STATE,
                "%s has checkpoints of another run: resume from there, or choose another folder",
                saver->folder.path);
    saver->trainer->folder = id;
    return DK_OK;
}

/* Better now than after an hour. */
static dk_status try_writing(const dki_saver *saver) {
    dki_writer writer;
    char *path = NULL;
    DKI_TRY(dki_checkpoint_path(saver->folder.allocator, saver->folder.path, 0, &path));
    dk_status status = dki_writer_open(saver->folder.allocator, path, &writer);
    dki_writer_abandon(&writer);
    dki_release(saver->folder.allocator, path);
    return status;
}

dk_status dki_saver_open(dki_saver *saver, dk_trainer *trainer, const dk_fit_options *options) {
    *saver = (dki_saver){0};
    if (!options->checkpoint) return DK_OK;
    DKI_TRY(check_options(options));
    dk_context *context = trainer->net->context;
    DKI_TRY(dki_checkpoint_folder_open(&saver->folder, &context->allocator, &context->log,
                                       options->checkpoint));
    saver->trainer = trainer;
    saver->options = options;
    saver->began_at = trainer->ticks;
    saver->began = dki_seconds();
    dk_status status = check_folder(saver);
    if (!status) status = try_writing(saver);
    if (status) dki_saver_close(saver);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Keeps the status and, since it belongs to a thread, the text of a failure. */
static void keep_status(dki_saver *saver, dk_status status) {
    saver->status = status;
    if (status) snprintf(saver->text, sizeof saver->text, "%s", dk_error_text());
}

static void write_checkpoint(dki_saver *saver) {
    keep_status(saver, dki_checkpoint_write(&saver->checkpoint, saver->path));
    if (!saver->status)
        dki_checkpoint_folder_prune(&saver->folder, (size_t)saver->options->checkpoint_keep);
}

/* Training comes first: its threads wait for each other, so that each moment taken from one of them is
 * taken from all. */
static void *write_beside(void *argument) {
    dki_saver *saver = argument;
    dki_thread_yield_to_others();
    write_checkpoint(saver);
    __atomic_store_n(&saver->written, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Counts the outcome of a save. */
static void note(dki_saver *saver) {
    dki_logger *log = &saver->trainer->net->context->log;
    if (saver->status) {
        ++saver->failed;
        saver->up_to_date = false;
        dki_log_line(log, DK_LOG_ERROR, "no checkpoint of step %llu: %s",
                     (unsigned long long)saver->began_at, saver->text);
    } else {
        ++saver->saved;
        dki_log_line(log, DK_LOG_INFO, "saved %s", saver->path);
    }
    dki_release(saver->folder.allocator, saver->path);
    saver->path = NULL;
}

/* Waits for the thread and notes what became of its checkpoint. */
static void join(dki_saver *saver) {
    if (!saver->running) return;
    pthread_join(saver->thread, NULL);
    saver->running = false;
    note(saver);
}

static bool is_the_trainings_own(dk_status status) {
    return status == DK_E_NONFINITE || status == DK_E_STATE || status == DK_E_DEVICE_LOST;
}

/* Takes a checkpoint and has it written: beside the training, or at once. */
static dk_status save(dki_saver *saver, const dki_fit_state *fit, float *best, bool beside) {
    const dk_trainer *trainer = saver->trainer;
    saver->began_at = trainer->ticks;
    saver->began = dki_seconds();
    saver->up_to_date = true;
    saver->due = false;
    dk_status status = dki_checkpoint_take(&saver->checkpoint, saver->trainer, fit, best);
    if (is_the_trainings_own(status)) return status;
    if (!status)
        status = dki_checkpoint_path(saver->folder.allocator, saver->folder.path, trainer->ticks,
                                     &saver->path);
    keep_status(saver, status);
    saver->written = false;
    saver->running = !status && beside && dki_thread_start(&saver->thread, write_beside, saver);
    if (saver->running) return DK_OK;
    if (!status) write_checkpoint(saver); /* where there is no thread, training waits */
    note(saver);
    return DK_OK;
}

/* ---- when ---------------------------------------------------------------------------------- */

/* Steps count from the first one of the run, so that it makes no difference where it was resumed. */
static bool is_due(const dki_saver *saver, const dki_fit_state *fit, bool epoch_end) {
    const dk_fit_options *o = saver->options;
    const uint64_t steps = (uint64_t)o->checkpoint_steps;
    if (steps && saver->trainer->ticks / steps > saver->began_at / steps) return true;
    if (epoch_end && o->checkpoint_epochs && (fit->epoch - 1) % o->checkpoint_epochs == 0)
        return true;
    return o->checkpoint_seconds > 0.0 && dki_seconds() - saver->began >= o->checkpoint_seconds;
}

dk_status dki_saver_step(dki_saver *saver, const dki_fit_state *fit, float *best, bool epoch_end) {
    if (!saver->trainer) return DK_OK;
    saver->due = saver->due || is_due(saver, fit, epoch_end);
    if (!saver->due) return DK_OK;
    if (saver->running && !__atomic_load_n(&saver->written, __ATOMIC_ACQUIRE)) return DK_OK;
    join(saver);
    return save(saver, fit, best, true);
}

dk_status dki_saver_finish(dki_saver *saver, const dki_fit_state *fit, float *best) {
    if (!saver->trainer) return DK_OK;
    join(saver);
    if (saver->up_to_date) return DK_OK;
    const int64_t failed = saver->failed;
    DKI_TRY(save(saver, fit, best, false));
    if (saver->failed == failed) return DK_OK;
    return dki_fail(saver->status, "no checkpoint of step %llu: %s",
                    (unsigned long long)saver->began_at, saver->text);
}

void dki_saver_close(dki_saver *saver) {
    if (saver->trainer) join(saver);
    dki_checkpoint_release(&saver->checkpoint);
    dki_checkpoint_folder_close(&saver->folder);
    saver->trainer = NULL;
}

#include "train/run_state.h"

#include "format/fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT = 1 };

static const char *optimizer_name(int value) {
    return dk_optimizer_name((dk_optimizer)value);
}

static const char *schedule_name(int value) {
    return dk_schedule_name((dk_schedule)value);
}

#define NAMED_OPTION(name, name_of)                                                                \
    {                                                                                              \
#name, DKI_FIELD_ENUM, offsetof(dk_train_options, name),                                   \
            sizeof(((dk_train_options *)0)->name), name_of                                         \
    }
#define OPTION(name, kind) DKI_FIELD(dk_train_options, name, kind)
static const dki_field option_fields[] = {OPTION(batch, INTEGER),
                                          OPTION(accumulate, INTEGER),
                                          OPTION(seed, UNSIGNED),
                                          NAMED_OPTION(optimizer, optimizer_name),
                                          OPTION(lr, DOUBLE),
                                          OPTION(beta1, DOUBLE),
                                          OPTION(beta2, DOUBLE),
                                          OPTION(epsilon, DOUBLE),
                                          OPTION(weight_decay, DOUBLE),
                                          OPTION(decay, ENUM),
                                          OPTION(decay_biases, BOOLEAN),
                                          OPTION(clip_norm, DOUBLE),
                                          OPTION(clip_value, DOUBLE),
                                          NAMED_OPTION(schedule, schedule_name),
                                          OPTION(total_steps, INTEGER),
                                          OPTION(warmup, DOUBLE),
                                          OPTION(final_factor, DOUBLE),
                                          OPTION(gamma, DOUBLE),
                                          OPTION(power, DOUBLE),
                                          OPTION(period, INTEGER),
                                          OPTION(keep, ENUM),
                                          OPTION(fuse_update, BOOLEAN)};

#define ENVIRONMENT(name, kind) DKI_FIELD(dki_environment, name, kind)
static const dki_field environment_fields[] = {
    ENVIRONMENT(deltak, TEXT), ENVIRONMENT(device, TEXT), ENVIRONMENT(library, TEXT),
    ENVIRONMENT(kernel, TEXT), ENVIRONMENT(precision, TEXT)};

#define PROGRESS(name, kind) DKI_FIELD(dki_run_progress, name, kind)
static const dki_field progress_fields[] = {
    PROGRESS(total_steps, INTEGER), PROGRESS(first_step, INTEGER), PROGRESS(epochs, UNSIGNED),
    PROGRESS(ticks, UNSIGNED),      PROGRESS(loss_sum, DOUBLE),    PROGRESS(loss_weight, DOUBLE)};

/* The others are made anew by the next step's begin. */
#define STATE(name, kind) DKI_FIELD(dki_step_state, name, kind)
static const dki_field state_fields[] = {
    STATE(tick, UNSIGNED),    STATE(applied, UNSIGNED),   STATE(seed, UNSIGNED),
    STATE(loss, DOUBLE),      STATE(beta1_power, DOUBLE), STATE(beta2_power, DOUBLE),
    STATE(loss_scale, FLOAT), STATE(delta_scale, FLOAT),  STATE(good_ticks, WORD)};

#define FIT(name, kind) DKI_FIELD(dki_fit_state, name, kind)
static const dki_field asked_fields[] = {FIT(epochs, INTEGER),       FIT(early_stop, INTEGER),
                                         FIT(restore_best, BOOLEAN), FIT(in_order, BOOLEAN),
                                         FIT(train, TEXT),           FIT(valid, TEXT)};
static const dki_field fit_fields[] = {
    FIT(epochs, INTEGER),   FIT(early_stop, INTEGER), FIT(restore_best, BOOLEAN),
    FIT(in_order, BOOLEAN), FIT(train, TEXT),         FIT(valid, TEXT),
    FIT(epoch, INTEGER),    FIT(begun, BOOLEAN),      FIT(rows, INTEGER),
    FIT(steps, INTEGER),    FIT(train_loss, DOUBLE),  FIT(valid_loss, DOUBLE),
    FIT(best_loss, DOUBLE), FIT(best_epoch, INTEGER), FIT(stopped_early, BOOLEAN),
    FIT(has_best, BOOLEAN), FIT(seconds, DOUBLE)};

#define TO_JSON(table, values) dki_fields_to_json(table, DKI_FIELD_COUNT(table), values)
#define FROM_JSON(table, root, key, values)                                                        \
    dki_fields_from_json(table, DKI_FIELD_COUNT(table), json_object_get(root, key), values)

void dki_environment_of(const dk_context *context, dki_environment *environment) {
    const dki_backend_info *info = &context->info;
    snprintf(environment->deltak, sizeof environment->deltak, "%s", dk_version());
    /* Which of several equal GPUs it was makes no difference. */
    snprintf(environment->device, sizeof environment->device, "%.*s",
             (int)strcspn(info->device, ":"), info->device);
    snprintf(environment->library, sizeof environment->library, "%s", info->library);
    snprintf(environment->kernel, sizeof environment->kernel, "%s", info->kernel);
    snprintf(environment->precision, sizeof environment->precision, "%s",
             dk_precision_name(context->precision));
}

/* ---- plans as a text ----------------------------------------------------------------------- */

static const char digits[] = "0123456789abcdef";

static json_t *plans_to_json(const dki_run_state *run) {
    char *text = NULL;
    if (!run->plans) return json_null();
    if (dki_new(run->allocator, &text, 2 * run->plan_bytes + 1, "the plans' text")) return NULL;
    for (size_t i = 0; i < run->plan_bytes; ++i) {
        const unsigned char byte = ((const unsigned char *)run->plans)[i];
        text[2 * i] = digits[byte / 16];
        text[2 * i + 1] = digits[byte % 16];
    }
    json_t *value = json_string(text);
    dki_release(run->allocator, text);
    return value;
}

static dk_status plans_from_json(const json_t *root, dki_run_state *run) {
    const char *text = NULL;
    if (json_is_null(json_object_get(root, "plans"))) return DK_OK;
    DKI_TRY(dki_json_text(root, "plans", &text));
    const size_t length = strlen(text);
    DKI_REQUIRE(length % 2 == 0 && strspn(text, digits) == length, DK_E_MODEL,
                "\"plans\" aren't pairs of hexadecimal digits");
    DKI_TRY(dki_alloc(run->allocator, length / 2, 1, "the plans", &run->plans));
    run->plan_bytes = length / 2;
    for (size_t i = 0; i < run->plan_bytes; ++i)
        ((unsigned char *)run->plans)[i] =
            (unsigned char)(16 * (strchr(digits, text[2 * i]) - digits) +
                            (strchr(digits, text[2 * i + 1]) - digits));
    return DK_OK;
}

/* ---- the whole ----------------------------------------------------------------------------- */

dk_status dki_run_state_to_json(const dki_run_state *run, const dk_allocator *allocator,
                                char **text) {
    json_t *root = json_pack(
        "{s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "format", FORMAT, "environment",
        TO_JSON(environment_fields, &run->environment), "options",
        TO_JSON(option_fields, &run->options), "progress", TO_JSON(progress_fields, &run->progress),
        "state", TO_JSON(state_fields, &run->state), "fit",
        run->fitting ? TO_JSON(fit_fields, &run->fit) : json_null(), "plans", plans_to_json(run));
    return dki_json_dump(allocator, root, "the state of the training", text);
}

/* A count that can be gone on with for as long as anybody lives: a step past INT64_MAX is undefined. */
static bool is_count(int64_t value) {
    return value >= 0 && value <= INT64_MAX / 2;
}

/* Numbers that no run has, and that would lead the code that goes on astray. */
static dk_status check(const dki_run_state *run) {
    const dki_run_progress *p = &run->progress;
    const dki_fit_state *fit = &run->fit;
    DKI_REQUIRE(is_count(p->total_steps) && is_count(p->first_step) &&
                    is_count((int64_t)p->ticks) && is_count((int64_t)p->epochs) &&
                    run->state.tick == p->ticks && run->state.applied <= p->ticks &&
                    run->state.seed == run->options.seed,
                DK_E_MODEL, "its counts of steps or its seeds contradict each other");
    DKI_REQUIRE(run->state.beta1_power >= 0.0 && run->state.beta1_power <= 1.0 &&
                    run->state.beta2_power >= 0.0 && run->state.beta2_power <= 1.0 &&
                    run->state.loss_scale >= 0.0f && isfinite(run->state.loss_scale) &&
                    run->state.delta_scale >= 0.0f && isfinite(run->state.delta_scale),
                DK_E_MODEL, "its state has numbers out of range");
    if (!run->fitting) return DK_OK;
    DKI_REQUIRE(fit->epochs >= 1 && fit->epochs <= INT32_MAX && fit->epoch >= 1 &&
                    fit->epoch <= INT32_MAX && is_count(fit->rows) && is_count(fit->steps) &&
                    fit->early_stop >= 0 && fit->best_epoch >= 0 && fit->best_epoch <= fit->epoch &&
                    fit->seconds >= 0.0,
                DK_E_MODEL, "its place in the epochs is out of range");
    return DK_OK;
}

static dk_status parse(const json_t *root, dki_run_state *run) {
    int64_t format = 0;
    run->options = (dk_train_options)DK_TRAIN_OPTIONS_INIT;
    DKI_TRY(dki_json_integer(root, "format", &format));
    DKI_REQUIRE(format == FORMAT, DK_E_MODEL, "format %lld: this version of deltak reads format %d",
                (long long)format, FORMAT);
    DKI_TRY(FROM_JSON(environment_fields, root, "environment", &run->environment));
    DKI_TRY(FROM_JSON(option_fields, root, "options", &run->options));
    DKI_TRY(FROM_JSON(progress_fields, root, "progress", &run->progress));
    DKI_TRY(FROM_JSON(state_fields, root, "state", &run->state));
    run->fitting = !json_is_null(json_object_get(root, "fit"));
    if (run->fitting) DKI_TRY(FROM_JSON(fit_fields, root, "fit", &run->fit));
    DKI_TRY(plans_from_json(root, run));
    if (dki_train_options_resolve(&run->options, NULL, &run->options))
        return dki_fail_in(DK_E_MODEL, "its options");
    return check(run);
}

dk_status dki_run_state_from_json(dki_run_state *run, const dk_allocator *allocator,
                                  const char *text) {
    json_t *root = NULL;
    memset(run, 0, sizeof *run);
    run->allocator = allocator;
    dk_status status = dki_json_parse(text, strlen(text), "the state of the training", &root);
    if (!status) status = parse(root, run);
    json_decref(root);
    if (status) dki_run_state_release(run);
    return status;
}

void dki_run_state_release(dki_run_state *run) {
    if (run->allocator) dki_release(run->allocator, run->plans);
    run->plans = NULL;
}

/* ---- may it go on? ------------------------------------------------------------------------- */

/* Hashes tell a person nothing. */
static dk_status fail_data(const dki_field *field) {
    return dki_fail(
        DK_E_STATE,
        "the %s data aren't those it was made with: go on with the same data, or resume "
        "anyway",
        strcmp(field->name, "train") == 0 ? "training" : "validation");
}

static dk_status compare(const dki_field *fields, size_t count, const void *saved, const void *now,
                         const char *remedy) {
    const dki_field *field = dki_fields_differ(fields, count, saved, now);
    char before[256], after[256];
    if (!field) return DK_OK;
    dki_field_print(field, saved, before, sizeof before);
    dki_field_print(field, now, after, sizeof after);
    return dki_fail(DK_E_STATE, "it was made with %s = %s, and here it is %s: %s", field->name,
                    before, after, remedy);
}

dk_status dki_environment_compare(const dki_environment *saved, const dki_environment *now) {
    return compare(environment_fields, DKI_FIELD_COUNT(environment_fields), saved, now,
                   "the bits would differ. Use the same, or resume anyway");
}

dk_status dki_options_compare(const dk_train_options *saved, const dk_train_options *now) {
    return compare(option_fields, DKI_FIELD_COUNT(option_fields), saved, now,
                   "give the same, or none, or resume anyway");
}

dk_status dki_fit_state_compare(const dki_fit_state *saved, const dki_fit_state *now) {
    const dki_field *field =
        dki_fields_differ(asked_fields, DKI_FIELD_COUNT(asked_fields), saved, now);
    if (field && field->kind == DKI_FIELD_TEXT) return fail_data(field);
    return compare(asked_fields, DKI_FIELD_COUNT(asked_fields), saved, now,
                   "go on with the same data and options, or resume anyway");
}

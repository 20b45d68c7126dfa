/* Training options: defaults and checks. */
#include "train/trainer.h"

#include <math.h>

static double or_default(double value, double fallback) {
    return value < 0.0 ? fallback : value;
}

/* Adam moves every weight by about η in a step. A unit whose w inputs are hidden units sums w such
 * moves, of either sign, so that the sum grows with √w: a factor of 1/√w keeps it from growing. The
 * first hidden layer doesn't sum hidden units, and the output layer is left out because a wide single
 * hidden layer was measured to learn best at a narrow one's rate (docs/results.md). */
static double default_rate(dk_optimizer optimizer, const dk_net_desc *desc) {
    if (optimizer != DK_ADAM && optimizer != DK_ADAMW) return 1e-3;
    int64_t widest = 32;
    for (size_t k = 0; desc && k + 2 < desc->layer_count; ++k)
        if (desc->layers[k].width > widest) widest = desc->layers[k].width;
    return 3e-3 * sqrt(128.0 / (double)widest);
}

static double default_beta2(dk_optimizer optimizer) {
    return optimizer == DK_RMSPROP || optimizer == DK_LION ? 0.99 : 0.999;
}

static dk_decay default_decay(dk_optimizer optimizer) {
    return optimizer == DK_ADAMW || optimizer == DK_LION ? DK_DECAY_DECOUPLED : DK_DECAY_COUPLED;
}

static dk_status in_range(const char *name, double value, double low, double high, bool open_end) {
    bool fits = value >= low && (open_end ? value < high : value <= high);
    DKI_REQUIRE(fits, DK_E_ARGUMENT, "%s = %g is outside [%g, %g%c", name, value, low, high,
                open_end ? ')' : ']');
    return DK_OK;
}

static dk_status check_optimizer(const dk_train_options *o) {
    DKI_REQUIRE(dk_optimizer_name(o->optimizer), DK_E_ARGUMENT, "unknown optimizer %d",
                (int)o->optimizer);
    DKI_REQUIRE(o->decay >= DK_DECAY_AUTO && o->decay <= DK_DECAY_DECOUPLED, DK_E_ARGUMENT,
                "unknown kind of decay %d", (int)o->decay);
    DKI_REQUIRE((float)o->lr > 0.0f && isfinite((float)o->lr), DK_E_ARGUMENT,
                "lr = %g must be above 0 and a number that fp32 holds, or negative: the default",
                o->lr);
    DKI_TRY(in_range("beta1", o->beta1, 0.0, 1.0, true));
    DKI_TRY(in_range("beta2", o->beta2, 0.0, 1.0, true));
    DKI_TRY(in_range("epsilon", o->epsilon, 0.0, 1.0, false));
    DKI_TRY(in_range("weight_decay", o->weight_decay, 0.0, 1e6, false));
    DKI_TRY(in_range("clip_norm", o->clip_norm, 0.0, 1e30, false));
    return in_range("clip_value", o->clip_value, 0.0, 1e30, false);
}

static dk_status check_schedule(const dk_train_options *o) {
    DKI_REQUIRE(dk_schedule_name(o->schedule), DK_E_ARGUMENT, "unknown schedule %d",
                (int)o->schedule);
    DKI_TRY(in_range("total_steps", (double)o->total_steps, 0.0, 1e15, false));
    DKI_TRY(in_range("warmup", o->warmup, 0.0, 1e15, false));
    DKI_TRY(in_range("final_factor", o->final_factor, 0.0, 1.0, false));
    DKI_TRY(in_range("gamma", o->gamma, 0.0, 1.0, false));
    DKI_TRY(in_range("power", o->power, 0.0, 1e3, false));
    return in_range("period", (double)o->period, 0.0, 1e15, false);
}

/* What contradicts it; where a device can't do it, it does without. */
static dk_status check_fuse_update(const dk_train_options *o) {
    DKI_REQUIRE(!o->fuse_update || o->keep != DK_KEEP_ALL, DK_E_ARGUMENT,
                "fuse_update doesn't keep the gradients that DK_KEEP_ALL is for: drop one of them");
    DKI_REQUIRE(!o->fuse_update || !(o->clip_norm > 0.0), DK_E_ARGUMENT,
                "fuse_update with clip_norm = %g, which needs the norm of all gradients before the "
                "first update: drop one of them (clip_value needs no norm)",
                o->clip_norm);
    return DK_OK;
}

dk_status dki_train_options_resolve(const dk_train_options *options, const dk_net_desc *desc,
                                    dk_train_options *resolved) {
    static const dk_train_options defaults = DK_TRAIN_OPTIONS_INIT;
    if (!options) options = &defaults;
    DKI_REQUIRE(options->size == sizeof *options, DK_E_ARGUMENT,
                "dk_train_options.size is %zu, not %zu: start from DK_TRAIN_OPTIONS_INIT",
                options->size, sizeof *options);
    dk_train_options o = *options;
    o.lr = or_default(o.lr, default_rate(o.optimizer, desc));
    o.beta1 = or_default(o.beta1, 0.9);
    o.beta2 = or_default(o.beta2, default_beta2(o.optimizer));
    o.epsilon = or_default(o.epsilon, o.optimizer == DK_ADAGRAD ? 1e-10 : 1e-8);
    o.weight_decay = or_default(o.weight_decay, o.optimizer == DK_ADAMW ? 0.01 : 0.0);
    if (o.decay == DK_DECAY_AUTO) o.decay = default_decay(o.optimizer);
    DKI_TRY(in_range("batch", (double)o.batch, 1.0, 1 << 24, false));
    DKI_TRY(in_range("accumulate", (double)o.accumulate, 1.0, 1 << 20, false));
    DKI_REQUIRE(o.batch * o.accumulate <= UINT32_MAX, DK_E_ARGUMENT,
                "an effective batch of %lld × %lld rows is too large", (long long)o.batch,
                (long long)o.accumulate);
    DKI_TRY(check_optimizer(&o));
    DKI_TRY(check_schedule(&o));
    DKI_REQUIRE(o.keep == DK_KEEP_NEEDED || o.keep == DK_KEEP_ALL, DK_E_ARGUMENT,
                "unknown value of keep: %d", (int)o.keep);
    DKI_TRY(check_fuse_update(&o));
    *resolved = o;
    return DK_OK;
}

int64_t dk_batch_for(int64_t rows) {
    int64_t batch = 16;
    while (batch < 128 && batch * 32 <= rows) batch *= 2;
    return batch;
}

dki_rule dki_train_rule(const dk_train_options *resolved) {
    return (dki_rule){.kind = resolved->optimizer,
                      .beta1 = resolved->beta1,
                      .beta2 = resolved->beta2,
                      .epsilon = (float)resolved->epsilon,
                      .weight_decay = (float)resolved->weight_decay,
                      .decoupled = resolved->decay == DK_DECAY_DECOUPLED,
                      .clip_value = (float)resolved->clip_value};
}

// The training step as users run it: optimizers over several steps, decay, clipping, schedules,
// frozen layers, weights, dropout, what is kept and what isn't.
#include "networks.h"

extern "C" {
#include "model/transfer.h"
#include "train/schedule.h"
}

using namespace networks;
using operations::activations;
using operations::expect_within;
using operations::gamma_n;
using operations::same_bits;
using operations::UNIT;

namespace {

const std::vector<dk_tensor> parameter_tensors = {DK_WEIGHT, DK_BIAS};

dk_tensor gradient_of(dk_tensor tensor) {
    return tensor == DK_WEIGHT ? DK_WEIGHT_GRAD : DK_BIAS_GRAD;
}

// An optimizer's slot of a layer's W or b, straight from the trainer's memory; 0 where there is
// none.
Doubles slot_of(const Trainer &trainer, const Net &net, int slot, dk_tensor tensor, size_t k) {
    const dk_trainer *t = trainer.get();
    const dki_place &place = t->net->layout.places[k - 1];
    const float *region = t->session->tensors.slots[slot];
    Floats values(net.count(tensor, k), 0.0f);
    const dki_matrix matrix =
        tensor == DK_WEIGHT
            ? dki_matrix{const_cast<float *>(region) + place.w, place.width, place.inputs,
                         place.w_ld}
            : dki_matrix{const_cast<float *>(region) + place.b, 1, place.width, place.width};
    if (region) {
        EXPECT_EQ(DK_OK, dki_matrix_download(t->net->context->backend, &matrix, values.data()));
    }
    return Doubles(values.begin(), values.end());
}

struct Training {
    dk_optimizer optimizer = DK_SGD;
    double lr = 0.02, decay = 0.0, clip_norm = 0.0, clip_value = 0.0;
    dk_decay kind = DK_DECAY_AUTO;
    bool decay_biases = false;
    dk_schedule schedule = DK_SCHEDULE_CONSTANT;
    int64_t total = 0;
    double warmup = 0.0;
};

// The rule as deltak.h states it, defaults written out again.
dki_ref_rule rule_of(const Training &c, dk_tensor tensor, int64_t step) {
    const dki_ref_schedule schedule = {
        c.schedule, c.total, static_cast<int64_t>(c.warmup), 0.0, 0.1, 1.0, 0};
    dki_ref_rule rule{};
    rule.optimizer = c.optimizer;
    rule.lr = c.lr * dki_ref_schedule_factor(&schedule, step - 1);
    rule.beta1 = 0.9;
    rule.beta2 = c.optimizer == DK_RMSPROP || c.optimizer == DK_LION ? 0.99 : 0.999;
    rule.epsilon = c.optimizer == DK_ADAGRAD ? 1e-10 : 1e-8;
    rule.weight_decay = tensor == DK_WEIGHT || c.decay_biases ? c.decay : 0.0;
    rule.decoupled =
        c.kind == DK_DECAY_DECOUPLED ||
        (c.kind == DK_DECAY_AUTO && (c.optimizer == DK_ADAMW || c.optimizer == DK_LION));
    rule.t = step;
    return rule;
}

// One tensor's update: the reference starts from the device's θ, gradient and slots, so that its
// bound holds for every step of a run.
void expect_update(const dki_ref_rule &rule, double factor, double clip_value, const Floats &before,
                   const Floats &gradient, Doubles slot1, Doubles slot2, const Floats &after,
                   const std::string &what) {
    const int64_t count = static_cast<int64_t>(before.size());
    Doubles theta(before.begin(), before.end()), g, error, bound(before.size());
    for (float v : gradient) {
        g.push_back(static_cast<double>(v) * factor);
        // The factor and its product with g are rounded; so is the norm's float limit.
        error.push_back(factor < 1.0 ? gamma_n(4) * std::fabs(g.back()) : 0.0);
    }
    if (clip_value > 0.0) dki_ref_clip_value(g.data(), count, clip_value);
    const bool v_first = rule.optimizer == DK_RMSPROP || rule.optimizer == DK_ADAGRAD;
    if (v_first) std::swap(slot1, slot2);
    dki_ref_update_bounds(&rule, count, theta.data(), g.data(), error.data(), slot1.data(),
                          slot2.data(), UNIT, bound.data());
    dki_ref_update(&rule, count, theta.data(), g.data(), slot1.data(), slot2.data());
    expect_within(after, theta, bound, what);
}

// Trains for `steps`, each judged by itself. Batches differ in size: some need micro-batches.
void check_training(const Training &c, int steps) {
    Context context;
    Random random(13);
    Net net(5, {layer(7, DK_TANH), layer(6, DK_RELU), layer(3, DK_IDENTITY)});
    net.build(context);
    dk_train_options options = plain_options(16, c.optimizer, c.lr);
    options.weight_decay = c.decay;
    options.decay = c.kind;
    options.decay_biases = c.decay_biases;
    options.clip_norm = c.clip_norm;
    options.clip_value = c.clip_value;
    options.schedule = c.schedule;
    options.total_steps = c.total;
    options.warmup = c.warmup;
    Trainer trainer(net, options);
    bool clipped = false;
    for (int step = 1; step <= steps; ++step) {
        const Batch batch = random_batch(net, step % 3 == 2 ? 23 : 11, random);
        struct Before {
            Floats theta;
            Doubles slots[2];
        };
        std::vector<Before> before;
        for (size_t k = 1; k <= net.depth(); ++k)
            for (dk_tensor tensor : parameter_tensors)
                before.push_back(
                    {net.read(tensor, k),
                     {slot_of(trainer, net, 0, tensor, k), slot_of(trainer, net, 1, tensor, k)}});
        trainer.step(batch);
        std::vector<Floats> gradients;
        double norm = 0.0;
        for (size_t k = 1; k <= net.depth(); ++k)
            for (dk_tensor tensor : parameter_tensors) {
                gradients.push_back(read(trainer.session(), net, gradient_of(tensor), k));
                for (float v : gradients.back())
                    norm += static_cast<double>(v) * static_cast<double>(v);
            }
        norm = std::sqrt(norm);
        const double factor = c.clip_norm > 0.0 ? std::fmin(1.0, c.clip_norm / (norm + 1e-6)) : 1.0;
        clipped = clipped || factor < 1.0;
        size_t at = 0;
        for (size_t k = 1; k <= net.depth(); ++k)
            for (dk_tensor tensor : parameter_tensors) {
                const Before &b = before[at];
                expect_update(rule_of(c, tensor, step), factor, c.clip_value, b.theta,
                              gradients[at], b.slots[0], b.slots[1], net.read(tensor, k),
                              std::string(dk_optimizer_name(c.optimizer)) + " step " +
                                  std::to_string(step) + ": " + dk_tensor_name(tensor) +
                                  " of layer " + std::to_string(k));
                ++at;
            }
        if (testing::Test::HasFailure()) return;
    }
    EXPECT_EQ(clipped, c.clip_norm > 0.0) << "this test should have met the limit";
    EXPECT_EQ(steps, dk_trainer_steps(trainer.get()));
}

} // namespace

// Breaks with a wrong sign, step, correction or slot of any optimizer, in any step of a run.
TEST(TrainingStep, EveryOptimizerFollowsTheReference) {
    for (int kind = DK_SGD; kind <= DK_LION; ++kind) {
        Training c;
        c.optimizer = static_cast<dk_optimizer>(kind);
        check_training(c, 6);
    }
}

// Breaks where decay reaches biases unasked, or is coupled where it should be decoupled.
TEST(TrainingStep, DecayIsCoupledOrDecoupledAndSparesBiases) {
    for (int kind = DK_SGD; kind <= DK_LION; ++kind)
        for (dk_decay decay : {DK_DECAY_AUTO, DK_DECAY_COUPLED, DK_DECAY_DECOUPLED})
            for (bool biases : {false, true}) {
                Training c;
                c.optimizer = static_cast<dk_optimizer>(kind);
                c.decay = 0.25;
                c.kind = decay;
                c.decay_biases = biases;
                check_training(c, 3);
            }
}

TEST(TrainingStep, ClippingByNormAndByValue) {
    for (dk_optimizer optimizer : {DK_SGD, DK_NESTEROV, DK_ADAMW, DK_ADAGRAD}) {
        Training c;
        c.optimizer = optimizer;
        c.clip_norm = 0.05;
        check_training(c, 4);
        c.clip_value = 0.01; // after the norm
        check_training(c, 4);
        c.clip_norm = 0.0;
        check_training(c, 4);
    }
}

TEST(TrainingStep, TheScheduleGivesEachStepItsRate) {
    for (dk_schedule schedule :
         {DK_SCHEDULE_CONSTANT, DK_SCHEDULE_STEP, DK_SCHEDULE_EXPONENTIAL, DK_SCHEDULE_POLYNOMIAL,
          DK_SCHEDULE_COSINE, DK_SCHEDULE_ONE_CYCLE}) {
        Training c;
        c.schedule = schedule;
        c.total = 9;
        c.warmup = 3.0;
        c.lr = 0.1;
        check_training(c, 9);
    }
}

// Every step of several S and w, to 10⁻¹⁵, and a few steps past the end, where the rate stays.
TEST(TrainingStep, SchedulesAreTheReferences) {
    for (int kind = DK_SCHEDULE_CONSTANT; kind <= DK_SCHEDULE_ONE_CYCLE; ++kind)
        for (int64_t S : {0, 1, 2, 3, 10, 97, 1000})
            for (int64_t w : {0, 1, 2, 7, 50})
                for (int64_t period : {0, 4})
                    for (double f : {0.0, 0.2}) {
                        dk_train_options o = DK_TRAIN_OPTIONS_INIT;
                        o.schedule = static_cast<dk_schedule>(kind);
                        o.warmup = static_cast<double>(w);
                        o.final_factor = f;
                        o.gamma = 0.3;
                        o.power = 2.5;
                        o.period = period;
                        const dki_ref_schedule reference = {o.schedule, S,   w,     f,
                                                            o.gamma,    2.5, period};
                        const int64_t past = S > w + 1 || S == 0 ? 5 : 0;
                        for (int64_t s = 0; s < S + past; ++s)
                            ASSERT_NEAR(dki_schedule_factor(&o, s, S),
                                        dki_ref_schedule_factor(&reference, s), 1e-15)
                                << dk_schedule_name(o.schedule) << " step " << s << " of " << S
                                << ", warm-up " << w << ", period " << period << ", f " << f;
                    }
}

// A part of S as the warm-up: ⌊part·S⌋ steps.
TEST(TrainingStep, AWarmUpMayBeAPartOfTheSteps) {
    dk_train_options o = DK_TRAIN_OPTIONS_INIT;
    o.warmup = 0.1;
    const dki_ref_schedule reference = {DK_SCHEDULE_COSINE, 128, 12, 0.0, 0.1, 1.0, 0};
    for (int64_t s = 0; s < 128; ++s)
        ASSERT_NEAR(dki_schedule_factor(&o, s, 128), dki_ref_schedule_factor(&reference, s), 1e-15);
    Context context;
    Random random(1);
    Net net(2, {layer(1, DK_IDENTITY)});
    net.build(context);
    dk_train_options open = plain_options(2);
    open.schedule = DK_SCHEDULE_COSINE;
    open.warmup = 0.1; // of an unknown number of steps
    Trainer trainer(net, open);
    EXPECT_EQ(DK_E_ARGUMENT, trainer.try_step(random_batch(net, 2, random)));
}

// Frozen layers keep their bits; the others get the very update that they'd get without.
TEST(TrainingStep, FrozenLayersKeepTheirBitsAndTheRestIsUnchanged) {
    Context context;
    for (dk_keep keep : {DK_KEEP_NEEDED, DK_KEEP_ALL})
        for (dk_optimizer optimizer : {DK_SGD, DK_ADAMW})
            for (unsigned pattern = 0; pattern < 16; ++pattern) {
                const auto layers = [&](unsigned frozen) {
                    std::vector<dk_layer> made;
                    for (size_t k = 0; k < 4; ++k)
                        made.push_back(layer(4 + static_cast<int64_t>(k),
                                             k == 3 ? DK_IDENTITY : DK_GELU, 0.0f,
                                             (frozen >> k & 1u) != 0));
                    return made;
                };
                Random random(9);
                Net frozen(3, layers(pattern)), free(3, layers(0));
                frozen.build(context);
                free.build(context);
                dk_train_options options = plain_options(6, optimizer, 0.05);
                options.keep = keep;
                options.weight_decay = 0.1;
                Trainer trainer(frozen, options), other(free, options);
                const Batch batch = random_batch(free, 11, random);
                std::vector<Floats> before;
                for (size_t k = 1; k <= 4; ++k)
                    for (dk_tensor tensor : parameter_tensors)
                        before.push_back(frozen.read(tensor, k));
                EXPECT_EQ(trainer.step(batch), other.step(batch));
                for (size_t k = 1; k <= 4; ++k)
                    for (dk_tensor tensor : parameter_tensors) {
                        const bool is_frozen = (pattern >> (k - 1) & 1u) != 0;
                        const Floats now = frozen.read(tensor, k),
                                     start = before[2 * (k - 1) + (tensor == DK_BIAS)];
                        EXPECT_EQ(same_bits(now, start), is_frozen) << "layer " << k;
                        EXPECT_TRUE(is_frozen || same_bits(now, free.read(tensor, k)));
                        Floats g(now.size());
                        EXPECT_EQ(dk_session_read(trainer.session(), gradient_of(tensor), k,
                                                  g.data(), g.size()),
                                  is_frozen ? DK_E_NOT_KEPT : DK_OK);
                    }
            }
}

// w_i l_i/Σw: gradients and loss by the reference; weight 0 is as good as absent; one weight for
// all rows changes nothing but rounding.
TEST(TrainingStep, SampleWeightsWeighTheMean) {
    Context context;
    Random random(10);
    for (dk_loss loss : {DK_LOSS_MSE, DK_LOSS_HUBER, DK_LOSS_SOFTMAX_CROSS_ENTROPY,
                         DK_LOSS_SIGMOID_CROSS_ENTROPY}) {
        Net net(4, {layer(6, DK_ELU), layer(3, DK_IDENTITY)}, loss);
        const Floats classes = {0.5f, 2.0f, 1.25f};
        if (loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY) net.settings.class_weights = classes.data();
        net.build(context);
        Batch batch = random_batch(net, 19, random);
        batch.weights = random.uniform(19, 0.0, 3.0);
        batch.weights[3] = batch.weights[18] = 0.0f;
        Session session(net, 19);
        const double value = session.gradients(batch);
        const Reference reference(reference_of(net, batch));
        reference.expect_session(session.get(), net, dk_loss_name(loss));
        reference.expect_loss(value, dk_loss_name(loss));
        for (float d : read(session.get(), net, DK_DELTA, 1, 19)) EXPECT_TRUE(std::isfinite(d));
        const Floats delta = read(session.get(), net, DK_DELTA, 2, 19);
        for (size_t j = 0; j < 3; ++j) EXPECT_EQ(0.0f, delta[3 * 3 + j]);

        Batch without;
        without.rows = 17;
        for (int64_t i = 0; i < 19; ++i) {
            if (i == 3 || i == 18) continue;
            Batch one = row_of(batch, i);
            without.x.insert(without.x.end(), one.x.begin(), one.x.end());
            without.targets.insert(without.targets.end(), one.targets.begin(), one.targets.end());
            without.labels.insert(without.labels.end(), one.labels.begin(), one.labels.end());
            without.weights.push_back(batch.weights[static_cast<size_t>(i)]);
        }
        const double same = session.gradients(without);
        const Reference fewer(reference_of(net, without));
        fewer.expect_session(session.get(), net, "without the rows of weight 0");
        EXPECT_LE(std::fabs(same - value), fewer.loss_bound() + reference.loss_bound());
        EXPECT_NEAR(fewer.loss(), reference.loss(), 1e-14 * std::fabs(reference.loss()) + 1e-15);
    }
}

TEST(TrainingStep, TheInputsGradientIsTheReferences) {
    Context context;
    Random random(11);
    for (dk_activation g : activations()) {
        Net net(9, {layer(7, g, 0.25f), layer(2, DK_TANH)});
        net.build(context);
        const Batch batch = random_batch(net, 13, random);
        Session session(net, 13);
        ASSERT_EQ(DK_OK, dk_session_dropout(session.get(), true, 5, 2));
        session.gradients(batch);
        const Reference reference(reference_of(net, batch, 5, 2));
        reference.expect_session(session.get(), net, dk_activation_name(g));
        Floats gradient(13 * 9);
        ASSERT_EQ(DK_OK,
                  dk_session_input_gradient(session.get(), gradient.data(), gradient.size()));
        expect_within(gradient, reference.value(DK_DELTA, 0), reference.bound(DK_DELTA, 0),
                      "∂l/∂x");
        EXPECT_EQ(DK_E_SHAPE, dk_session_input_gradient(session.get(), gradient.data(), 1));
        // It leaves everything else as it was.
        reference.expect_session(session.get(), net, dk_activation_name(g));
    }
}

// With the gradient of a known loss, backward gives what gradients gives, to the last bit: B and n
// are powers of two, so 2(a − y)/(B n) is the same product either way.
TEST(TrainingStep, BackwardFromACallersLossIsTheSamePass) {
    Context context;
    Random random(12);
    Net net(5, {layer(6, DK_SILU), layer(4, DK_IDENTITY)});
    net.build(context);
    const int64_t rows = 16;
    const Batch batch = random_batch(net, rows, random);
    Session session(net, rows), other(net, rows);
    session.gradients(batch);
    Floats y(16 * 4), dl_da;
    EXPECT_EQ(DK_E_STATE, dk_session_backward(other.get(), y.data(), rows));
    ASSERT_EQ(DK_OK, dk_session_forward(other.get(), batch.x.data(), rows, y.data()));
    EXPECT_EQ(DK_E_SHAPE, dk_session_backward(other.get(), y.data(), rows - 1));
    for (size_t i = 0; i < y.size(); ++i) dl_da.push_back(2.0f * (y[i] - batch.targets[i]) / 64.0f);
    ASSERT_EQ(DK_OK, dk_session_backward(other.get(), dl_da.data(), rows));
    for (size_t k = 1; k <= 2; ++k)
        for (dk_tensor tensor : {DK_Z, DK_A, DK_DELTA, DK_WEIGHT_GRAD, DK_BIAS_GRAD})
            EXPECT_TRUE(same_bits(read(session.get(), net, tensor, k, rows),
                                  read(other.get(), net, tensor, k, rows)))
                << dk_tensor_name(tensor) << " of layer " << k;

    // Any gradient, through a last g that isn't the identity.
    Net curved(5, {layer(6, DK_GELU), layer(3, DK_SOFTPLUS)});
    curved.build(context);
    const Floats any = random.normal(rows * 3);
    Session third(curved, rows);
    ASSERT_EQ(DK_OK, dk_session_forward(third.get(), batch.x.data(), rows, nullptr));
    ASSERT_EQ(DK_OK, dk_session_backward(third.get(), any.data(), rows));
    const Doubles given(any.begin(), any.end());
    Batch features = batch;
    features.targets.assign(16 * 3, 0.0f);
    const Reference reference(reference_of(curved, features), &given);
    reference.expect_session(third.get(), curved, "given");
}

// What the fused step doesn't keep says so; what it keeps is right.
TEST(TrainingStep, WhatIsNotKeptSaysSo) {
    Context context;
    Random random(14);
    Net net(4, {layer(5, DK_RELU), layer(6, DK_TANH), layer(3, DK_IDENTITY)});
    net.build(context);
    const Batch batch = random_batch(net, 7, random);
    dk_train_options options = plain_options(7);
    options.keep = DK_KEEP_NEEDED;
    Trainer trainer(net, options);
    Floats values(64);
    EXPECT_EQ(DK_E_STATE, dk_session_read(trainer.session(), DK_A, 1, values.data(), 35));
    const Reference reference(reference_of(net, batch));
    trainer.step(batch);
    for (size_t k = 1; k <= 3; ++k) {
        EXPECT_EQ(DK_E_NOT_KEPT, dk_session_read(trainer.session(), DK_DELTA, k, values.data(),
                                                 net.count(DK_DELTA, k, 7)));
        for (dk_tensor tensor : {DK_A, DK_WEIGHT_GRAD, DK_BIAS_GRAD})
            expect_within(read(trainer.session(), net, tensor, k, 7), reference.value(tensor, k),
                          reference.bound(tensor, k), dk_tensor_name(tensor));
    }
    EXPECT_EQ(DK_E_NOT_KEPT, dk_session_read(trainer.session(), DK_Z, 1, values.data(), 35));
    expect_within(read(trainer.session(), net, DK_Z, 2, 7), reference.value(DK_Z, 2),
                  reference.bound(DK_Z, 2), "z");
    expect_within(read(trainer.session(), net, DK_Z, 3, 7), reference.value(DK_Z, 3),
                  reference.bound(DK_Z, 3), "z of the identity");
    EXPECT_EQ(DK_E_SHAPE, dk_session_read(trainer.session(), DK_A, 1, values.data(), 34));
    EXPECT_EQ(DK_E_ARGUMENT, dk_session_read(trainer.session(), DK_A, 4, values.data(), 1));
    EXPECT_EQ(DK_E_ARGUMENT, dk_session_read(trainer.session(), DK_Z, 0, values.data(), 28));
}

// Keeping everything is for the reader: the parameters are the same, bit for bit.
// (On a GPU what is kept is part of the plan.)
TEST(TrainingStep, KeepingEverythingChangesNoParameterOnTheCpu) {
    Context context;
    for (dk_activation g : activations())
        for (float dropout : {0.0f, 0.4f}) {
            Floats results[2];
            for (dk_keep keep : {DK_KEEP_NEEDED, DK_KEEP_ALL}) {
                Random random(15);
                Net net(6, {layer(9, g, dropout), layer(5, g, dropout), layer(8, g), layer(3, g)});
                net.build(context);
                dk_train_options options = plain_options(8, DK_ADAM, 0.01);
                options.keep = keep;
                Trainer trainer(net, options);
                for (int step = 0; step < 4; ++step)
                    trainer.step(random_batch(net, 5 + 4 * step, random));
                results[keep] = net.parameters();
            }
            EXPECT_TRUE(same_bits(results[DK_KEEP_NEEDED], results[DK_KEEP_ALL]))
                << dk_activation_name(g) << (dropout > 0.0f ? " with dropout" : "");
        }
}

// The masks of step t are those of the random words at (seed, layer, t, row of the effective batch,
// column); each step has its own.
TEST(TrainingStep, DropoutFollowsTheRandomWords) {
    Context context;
    Random random(16);
    Net net(6, {layer(33, DK_RELU, 0.5f), layer(17, DK_TANH, 0.25f), layer(3, DK_IDENTITY)});
    net.build(context);
    dk_train_options options = plain_options(64);
    options.seed = 4242;
    Trainer trainer(net, options);
    for (uint64_t step = 1; step <= 4; ++step) {
        const Batch batch = random_batch(net, 30, random);
        const Reference reference(reference_of(net, batch, 4242, step));
        const double loss = trainer.step(batch);
        reference.expect_session(trainer.session(), net, "step " + std::to_string(step));
        reference.expect_loss(loss, "dropout");
    }
}

// What a device promises beside right numbers: the CPU's random choices, the same bits again, every
// precision.
#include "every.h"
#include "support_extent.h"
#include "support_fit.h"

extern "C" {
#include "train/trainer.h"
}

#include <cmath>

using namespace support;

namespace {

/// A context of a precision, or null where the device lacks it.
Context open_as(dk_precision precision, const char *name = device::name()) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = name;
    options.precision = precision;
    options.no_plan_cache = true;
    dk_context *context = nullptr;
    const dk_status status = dk_context_create(&context, &options);
    EXPECT_TRUE(status == DK_OK || status == DK_E_UNSUPPORTED) << dk_error_text();
    return Context(context);
}

constexpr dk_precision precisions[] = {DK_FP32, DK_TF32, DK_BF16, DK_FP16};

/// Another table of operations, as long as this lives. What was made under it must be gone before.
class Patch {
  public:
    Patch(dk_context *context, const std::function<void(dki_backend_ops &)> &change)
        : backend_(context->backend), old_(backend_->ops), table_(*old_) {
        change(table_);
        backend_->ops = &table_;
    }
    ~Patch() { backend_->ops = old_; }
    Patch(const Patch &) = delete;
    Patch &operator=(const Patch &) = delete;

  private:
    dki_backend *backend_;
    const dki_backend_ops *old_;
    dki_backend_ops table_;
};

Net make_net(dk_context *context, const dk_dataset *data, float dropout = 0.0f) {
    dk_dataset_info info;
    EXPECT_EQ(dk_dataset_describe(data, &info), DK_OK);
    dk_layer first = layer(19, DK_RELU), second = layer(7, DK_TANH);
    first.dropout = dropout;
    return net(context,
               Description(info.features, {first, second, layer(info.targets, DK_IDENTITY)},
                           DK_LOSS_SOFTMAX_CROSS_ENTROPY));
}

/// The parameters after some epochs over a set whose last batch is short.
std::vector<uint32_t> train(dk_context *context, const dk_dataset *data, float dropout = 0.25f) {
    Net net = make_net(context, data, dropout);
    dk_fit_options fit = epochs(2);
    Trainer trainer = support::trainer(net.get(), batches(16));
    EXPECT_EQ(dk_trainer_fit(trainer.get(), data, nullptr, &fit, nullptr), DK_OK)
        << dk_error_text();
    return parameter_bits(net.get());
}

dk_status run_directly(dki_backend *, dki_recording **, dki_body body, void *argument) {
    return body ? body(argument) : DK_OK;
}

dk_status (*real_backward_params)(dki_backend *, dki_lane, const dki_linear_backward_params *);
std::function<void()> around_a_weight_gradient;
dk_status backward_params_and_more(dki_backend *backend, dki_lane lane,
                                   const dki_linear_backward_params *op) {
    const std::function<void()> more = std::move(around_a_weight_gradient);
    around_a_weight_gradient = nullptr;
    if (more) more();
    const dk_status status = real_backward_params(backend, lane, op);
    if (more) more();
    return status;
}

dk_status (*real_describe)(dki_backend *, dki_backend_info *);
dk_status describe_full_memory(dki_backend *backend, dki_backend_info *info) {
    const dk_status status = real_describe(backend, info);
    info->memory_free = 0;
    return status;
}

} // namespace

// ---- the CPU's random choices ------------------------------------------------------------------

// Breaks with other words, another rule, rows of W that begin at the wrong place.
TEST(Device, InitialWeightsAreTheCpusBitForBit) {
    Context here = open_context(), cpu = open_as(DK_FP32, "cpu");
    for (int rule = DK_INIT_AUTO; rule <= DK_INIT_CONSTANT; ++rule) {
        std::vector<dk_layer> layers = {layer(33, DK_RELU), layer(5, DK_SELU), layer(1, DK_TANH)};
        for (dk_layer &l : layers) l.init = static_cast<dk_init>(rule);
        layers[1].init_value = 0.5f;
        EXPECT_EQ(parameter_bits(net(here.get(), Description(31, layers)).get()),
                  parameter_bits(net(cpu.get(), Description(31, layers)).get()))
            << dk_init_name(static_cast<dk_init>(rule));
    }
}

// Breaks with another permutation, a batch that starts elsewhere, masks of another step or row: the
// last batch of the second epoch, and which of its units are dropped, are the CPU's. (Layer 1 is
// frozen, so that its a doesn't depend on rounding in earlier steps; g = softplus is never 0.)
TEST(Device, RowsAndMasksAreTheCpus) {
    std::vector<float> inputs[2], units[2];
    for (int side = 0; side < 2; ++side) {
        Context context = side ? open_as(DK_FP32, "cpu") : open_context();
        Dataset data = synth(context.get(), "synth:spirals", 75);
        dk_layer first = layer(19, DK_SOFTPLUS);
        first.dropout = 0.5f;
        first.frozen = true;
        Net made = net(context.get(), Description(2, {first, layer(3, DK_IDENTITY)},
                                                  DK_LOSS_SOFTMAX_CROSS_ENTROPY));
        dk_train_options options = batches(16);
        options.keep = DK_KEEP_ALL;
        Trainer trainer = support::trainer(made.get(), options);
        dk_fit_options fit = epochs(2);
        ASSERT_EQ(dk_trainer_fit(trainer.get(), data.get(), nullptr, &fit, nullptr), DK_OK)
            << dk_error_text();
        EXPECT_EQ(dk_trainer_steps(trainer.get()), 10);
        dk_session *session = dk_trainer_session(trainer.get());
        inputs[side].resize(11 * 2);
        units[side].resize(11 * 19);
        ASSERT_EQ(dk_session_read(session, DK_A, 0, inputs[side].data(), 22), DK_OK)
            << dk_error_text();
        ASSERT_EQ(dk_session_read(session, DK_A, 1, units[side].data(), 209), DK_OK);
        for (float &unit : units[side]) unit = unit == 0.0f ? 0.0f : 1.0f;
    }
    EXPECT_EQ(inputs[0], inputs[1]);
    EXPECT_EQ(units[0], units[1]);
    EXPECT_NE(std::count(units[0].begin(), units[0].end(), 0.0f), 0);
}

// ---- the same bits -----------------------------------------------------------------------------

// Breaks with a race, a sum in the order of arrival, memory that wasn't initialised; with a graph that
// has an old address, a wrong count of rows or a dependency less in it; with a slot of the feed that
// is overwritten too early, or read where the other one is.
TEST(Device, TheSameTrainingGivesTheSameBitsByEveryRoute) {
    for (dk_precision precision : precisions) {
        Context context = open_as(precision);
        if (!context) continue;
        SCOPED_TRACE(dk_precision_name(precision));
        Dataset data = synth(context.get(), "synth:spirals", 301);
        const std::vector<uint32_t> bits = train(context.get(), data.get());
        EXPECT_EQ(bits, train(context.get(), data.get())) << "once more";
        {
            Patch patch(context.get(), [](dki_backend_ops &ops) { ops.run = run_directly; });
            EXPECT_EQ(bits, train(context.get(), data.get())) << "not recorded";
        }
        real_describe = context->backend->ops->describe;
        Patch patch(context.get(),
                    [](dki_backend_ops &ops) { ops.describe = describe_full_memory; });
        EXPECT_EQ(bits, train(context.get(), data.get())) << "in pieces";
    }
}

// More than one piece, in which batches are taken one by one and several at a time.
TEST(Device, ManyPiecesGiveTheBitsOfTheWholeSet) {
    Context context = open_context();
    const int64_t rows = 9000; // a chunk of the loader has at least 4,096
    Dataset data = synth(context.get(), "synth:spirals", rows);
    auto train_wide = [&] {
        Net made = make_net(context.get(), data.get());
        Trainer trainer = support::trainer(made.get(), batches(700));
        dk_fit_options fit = epochs(1);
        EXPECT_EQ(dk_trainer_fit(trainer.get(), data.get(), nullptr, &fit, nullptr), DK_OK);
        return parameter_bits(made.get());
    };
    const std::vector<uint32_t> bits = train_wide();
    real_describe = context->backend->ops->describe;
    Patch patch(context.get(), [](dki_backend_ops &ops) { ops.describe = describe_full_memory; });
    EXPECT_EQ(bits, train_wide());
}

// Breaks where steps that were announced, but not launched because a later one of the same launch
// couldn't be, are counted on the host alone: the next step would take another one's rate.
TEST(Device, HostAndDeviceCountTheSameStepsAfterAFailure) {
    Context context = open_context();
    Arrays arrays;
    arrays.features = 3;
    arrays.classes = 2;
    arrays.x = normal(3 * 40, 8);
    for (int i = 0; i < 40; ++i) arrays.labels.push_back(i % 2);
    arrays.weights.assign(40, 1.0f);
    arrays.weights[11] = 0.0f;
    Dataset data = arrays.open(context.get());
    Net made = make_net(context.get(), data.get());
    Trainer trainer = support::trainer(made.get(), batches(1)); // row 11 is a batch without weight
    dk_fit_options fit = epochs(1);
    ASSERT_EQ(dk_trainer_fit(trainer.get(), data.get(), nullptr, &fit, nullptr), DK_E_DATA);
    dki_backend *backend = context->backend;
    dki_step_state state{};
    ASSERT_EQ(DK_OK, backend->ops->download(backend, &state, trainer->session->tensors.state,
                                            sizeof state));
    EXPECT_EQ(static_cast<int64_t>(state.tick), dk_trainer_steps(trainer.get()));
    EXPECT_LT(state.tick, 40u);
}

// ---- precisions --------------------------------------------------------------------------------

// Breaks with any operation outside of its bound in any precision; the CPU refuses what it lacks, and a GPU
// before compute capability 8.0 TF32 and bf16.
TEST(Device, EveryPrecisionPassesItsCheck) {
    const int64_t some = device::is_cpu() ? support::one_in_if_short(5) : support::one_in(3);
    for (dk_precision precision : precisions) {
        Context context = open_as(precision);
        if (device::is_cpu())
            EXPECT_EQ(!context, !device::cpu_has(precision));
        else
            EXPECT_TRUE(context || precision == DK_TF32 || precision == DK_BF16);
        if (!context) continue;
        for (int64_t g = 0; g < DKI_ACTIVATION_COUNT; g += some) {
            const auto kind = static_cast<dk_activation>(g);
            Description d(7, {layer(9, kind), layer(5, kind), layer(3, DK_IDENTITY)});
            dk_train_options options = batches(6);
            std::vector<dk_check_row> rows(32);
            size_t count = 0;
            ASSERT_EQ(dk_check(context.get(), d.get(), &options, rows.data(), rows.size(), &count),
                      DK_OK)
                << dk_error_text();
            ASSERT_EQ(count, 19u);
            for (size_t i = 0; i < count; ++i)
                EXPECT_TRUE(rows[i].passed)
                    << dk_precision_name(precision) << ", " << dk_activation_name(kind) << ": "
                    << rows[i].quantity << " of layer " << rows[i].layer << ", " << rows[i].worst;
        }
    }
}

// The losses of 20 steps.
std::vector<double> curve(dk_context *context, uint32_t perturbation) {
    Net made = net(context,
                   Description(8, {layer(16, DK_TANH), layer(12, DK_GELU), layer(3, DK_IDENTITY)}));
    std::mt19937 random(perturbation);
    for (size_t k = 1; k <= 3 && perturbation; ++k) {
        std::vector<float> w = tensor(made.get(), DK_WEIGHT, k);
        for (float &x : w) x = random() % 2 ? std::nextafter(x, 9.0f) : std::nextafter(x, -9.0f);
        EXPECT_EQ(dk_net_set(made.get(), DK_WEIGHT, k, w.data(), w.size()), DK_OK);
    }
    dk_train_options options = batches(32, 3e-3);
    options.warmup = 0;
    Trainer trainer = support::trainer(made.get(), options);
    const std::vector<float> x = normal(32 * 8, 3), y = normal(32 * 3, 4);
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 32;
    batch.x = x.data();
    batch.targets = y.data();
    std::vector<double> losses(20);
    for (double &loss : losses)
        EXPECT_EQ(dk_trainer_step(trainer.get(), &batch, &loss), DK_OK) << dk_error_text();
    return losses;
}

// The device's training curve lies by the CPU's. How far rounding alone carries a curve is seen from
// the CPU's own, begun with weights one rounding away; sums of up to 32 terms in another order make
// up to 32 roundings each, and the change of the weights is one: hence 64 times that, and as many
// units of the loss.
TEST(Device, TheTrainingCurveIsTheCpus) {
    Context cpu = open_as(DK_FP32, "cpu"), here = open_context();
    const std::vector<double> reference = curve(cpu.get(), 0), own = curve(here.get(), 0);
    std::vector<double> spread(reference.size(), 0.0);
    for (uint32_t perturbation = 1; perturbation <= 4; ++perturbation) {
        const std::vector<double> other = curve(cpu.get(), perturbation);
        for (size_t i = 0; i < other.size(); ++i)
            spread[i] = std::max(spread[i], std::fabs(other[i] - reference[i]));
    }
    for (size_t i = 0; i < reference.size(); ++i)
        EXPECT_LE(std::fabs(own[i] - reference[i]),
                  64 * (spread[i] + 0x1p-24 * std::fabs(reference[i])))
            << "step " << i + 1;
    EXPECT_LT(own.back(), own.front());
}

// ---- several threads ---------------------------------------------------------------------------

// What one thread queues layer by layer, and recorded steps of another's before and behind one of its
// products: the same bits as of each alone. Breaks where a recording's inner branch isn't kept apart from what the
// lanes have queued outside of it: both take the lane's workspace for their weight gradients.
TEST(Device, RecordedStepsBetweenAnothersProductsDisturbNeither) {
    Context context = open_context();
    const auto describe = [] {
        return Description(24, {layer(40, DK_RELU), layer(32, DK_TANH), layer(3, DK_IDENTITY)},
                           DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    };
    const std::vector<float> x = normal(16 * 24, 7);
    std::vector<int32_t> labels;
    for (int i = 0; i < 16; ++i) labels.push_back(i % 3);
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 16;
    batch.x = x.data();
    batch.labels = labels.data();
    const auto run = [&](bool at_once) {
        Net layered = net(context.get(), describe()), recorded = net(context.get(), describe());
        dk_train_options options = batches(16);
        options.warmup = 0;
        Trainer trainer = support::trainer(recorded.get(), options);
        dk_session *raw = nullptr;
        EXPECT_EQ(dk_session_create(&raw, layered.get(), 16, DK_SESSION_GRADIENTS), DK_OK);
        Session session(raw);
        const auto step = [&] {
            EXPECT_EQ(dk_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
        };
        step(); // recorded, and played
        for (int i = 0; i < 3; ++i) {
            if (at_once) around_a_weight_gradient = step;
            EXPECT_EQ(dk_session_gradients(session.get(), &batch, nullptr), DK_OK)
                << dk_error_text();
            for (int steps = 0; !at_once && steps < 2; ++steps) step();
        }
        std::vector<std::vector<float>> gradients = {
            std::vector<float>(40 * 24), std::vector<float>(32 * 40), std::vector<float>(3 * 32)};
        for (size_t k = 0; k < 3; ++k)
            EXPECT_EQ(dk_session_read(session.get(), DK_WEIGHT_GRAD, k + 1, gradients[k].data(),
                                      gradients[k].size()),
                      DK_OK)
                << dk_error_text();
        return std::make_pair(parameter_bits(recorded.get()), gradients);
    };
    const auto alone = run(false);
    Patch patch(context.get(), [](dki_backend_ops &ops) {
        real_backward_params = ops.linear_backward_params;
        ops.linear_backward_params = backward_params_and_more;
    });
    EXPECT_EQ(run(true), alone);
}

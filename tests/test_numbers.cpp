// Numbers don't go wrong in silence: NaN, Inf and overflows on their way into every tensor of a step are
// latched on that step, reported with step and layer, and spoil nothing that comes after. For every
// optimizer, precision and way to make up a batch, on any device.
#include "support_device.h"
#include "support_extent.h"
#include "support_promise.h"

namespace {

using namespace devices;
using operations::same_bits;

const float NaN = std::numeric_limits<float>::quiet_NaN(),
            Inf = std::numeric_limits<float>::infinity();
const char *const PROMISE = "Numbers don't go wrong in silence";

const std::vector<dk_optimizer> optimizers = {DK_SGD,     DK_MOMENTUM, DK_NESTEROV, DK_RMSPROP,
                                              DK_ADAGRAD, DK_ADAM,     DK_ADAMW,    DK_LION};
const std::vector<dk_precision> precisions = {DK_FP32, DK_TF32, DK_BF16, DK_FP16};

/// How a batch of 6 rows is made up: in one piece, or in micro-batches of 4 and 2; clipped or not.
struct Way {
    const char *name;
    int64_t batch;
    double clip_norm;
};
const std::vector<Way> ways = {
    {"one batch", 6, 0.0}, {"two micro-batches", 4, 0.0}, {"clipped", 6, 1.0}};
const int64_t ROWS = 6;

/// Writes one parameter past dk_net_set, which refuses what isn't finite.
void poke(const Context &context, const Net &net, dk_tensor tensor, size_t k, float value) {
    dki_backend *backend = context.get()->backend;
    const dki_place &place = net.get()->layout.places[k - 1];
    const int64_t at = tensor == DK_WEIGHT ? place.w : place.b;
    ASSERT_EQ(DK_OK, backend->ops->upload(backend, DKI_LANE_MAIN, net.get()->parameters + at,
                                          &value, sizeof value));
    ASSERT_EQ(DK_OK, dki_net_cast(net.get(), at, 1));
}

/// What is done to a step, and the layer that shows it first.
struct Damage {
    std::string name;
    size_t layer;
    bool early; // in a row of the first micro-batch alone
    std::function<void(const Context &, const Net &, Batch &)> apply;
};

std::vector<Damage> damages(size_t depth) {
    std::vector<Damage> all;
    const std::string last = std::to_string(ROWS - 1);
    for (float bad : {NaN, Inf, -Inf}) {
        const std::string name = std::to_string(bad) + " in ";
        all.push_back({name + "x of the first row", 0, true,
                       [=](const Context &, const Net &, Batch &b) { b.x.front() = bad; }});
        all.push_back({name + "x of the last row", 0, false,
                       [=](const Context &, const Net &, Batch &b) { b.x.back() = bad; }});
        all.push_back({name + "a target", depth, true,
                       [=](const Context &, const Net &, Batch &b) { b.targets[1] = bad; }});
    }
    for (size_t k = 1; k <= depth; ++k) // ReLU drops −Inf as it drops any negative number
        for (float bad : {NaN, Inf})
            for (dk_tensor tensor : {DK_WEIGHT, DK_BIAS})
                all.push_back({std::to_string(bad) + " in " + dk_tensor_name(tensor) +
                                   " of layer " + std::to_string(k),
                               k, false, [=](const Context &c, const Net &n, Batch &) {
                                   poke(c, n, tensor, k, bad);
                               }});
    return all;
}

/// A network whose every layer lets through what comes from below and from above.
std::vector<dk_layer> open_layers() {
    return {layer(5, DK_SOFTPLUS), layer(4, DK_LEAKY_RELU), layer(3, DK_IDENTITY)};
}

std::string name_of(const testing::TestParamInfo<dk_precision> &precision) {
    return dk_precision_name(precision.param);
}

class BadNumbers : public testing::TestWithParam<dk_precision> {};

/// The damaged step of one trainer beside one that never sees it. Reported on its step with its layer;
/// and what follows is as if it had never been.
void expect_latched(const Context &context, const Damage &damage, const dk_train_options &options,
                    const std::string &what) {
    Net net(4, open_layers()), twin(4, open_layers());
    net.build(context);
    twin.build(context);
    Random random(11);
    const Batch batch = random_batch(net, ROWS, random);
    Trainer trainer(net, options), undamaged(twin, options);
    trainer.step(batch);
    undamaged.step(batch);
    const Floats before = net.parameters();
    Batch broken = batch;
    damage.apply(context, net, broken);
    const Floats damaged = net.parameters();
    ASSERT_EQ(DK_E_NONFINITE, trainer.try_step(broken)) << what;
    EXPECT_TRUE(has("step 2:")) << what << ": " << dk_error_text();
    // Of an earlier micro-batch only gradients are left, layer L's first; but x is looked through
    // where it is gathered, which the CPU needn't in fp32.
    const bool gone = damage.early && options.batch < ROWS && device::is_cpu() &&
                      context.get()->precision == DK_FP32;
    const size_t shows = gone ? net.depth() : damage.layer;
    EXPECT_TRUE(has((" of layer " + std::to_string(shows) + ")").c_str()))
        << what << ": " << dk_error_text();
    ASSERT_TRUE(same_bits(damaged, net.parameters())) << what << ": an update was applied";
    for (size_t k = 1; k <= net.depth(); ++k)
        for (dk_tensor tensor : {DK_WEIGHT, DK_BIAS})
            net.set(tensor, k, twin.read(tensor, k)); // what was poked
    ASSERT_TRUE(same_bits(before, net.parameters())) << what;
    for (int step = 0; step < 2; ++step) {
        trainer.step(batch);
        undamaged.step(batch);
    }
    ASSERT_TRUE(same_bits(twin.parameters(), net.parameters())) << what << ": later steps differ";
    ASSERT_FALSE(same_bits(before, net.parameters())) << what << ": later steps do nothing";
}

} // namespace

// Breaks where a NaN is swallowed on its way, latched late, reported without its layer, or spoils the
// parameters, the slots, the counts or the bias corrections.
TEST_P(BadNumbers, OfABatchOrAParameterAreReportedAndSpoilNothing) {
    if (!has_precision(GetParam())) return;
    Context context(2, GetParam());
    int64_t tried = 0;
    const int64_t some = support::one_in(times(context, 29, 1));
    for (const Way &way : ways)
        for (dk_optimizer optimizer : optimizers)
            for (const Damage &damage : damages(open_layers().size())) {
                if (++tried % some != 0) continue;
                dk_train_options options = plain_options(way.batch, optimizer, 0.01);
                options.clip_norm = way.clip_norm;
                options.keep = DK_KEEP_NEEDED;
                expect_latched(context, damage, options,
                               damage.name + ", " + dk_optimizer_name(optimizer) + ", " + way.name);
                if (HasFatalFailure()) return;
            }
    support::promise(PROMISE, "NaN and Inf put into x, y, W and b of a step", tried / some);
}

INSTANTIATE_TEST_SUITE_P(All, BadNumbers, testing::ValuesIn(precisions), name_of);

namespace {

/// A case of numbers that are finite until they are added up, multiplied or applied.
struct Overflow {
    const char *name;
    const char *where; // the text
    std::vector<dk_layer> layers;
    std::function<void(Net &, Batch &, dk_train_options &)> make;
    bool of_the_update;
};

void fill(Net &net, dk_tensor tensor, size_t k, float value) {
    net.set(tensor, k, Floats(net.count(tensor, k), value));
}

/// Everything 0, so that each case sets what it needs; one input, four rows.
void clear(Net &net, Batch &batch) {
    for (size_t k = 1; k <= net.depth(); ++k) {
        fill(net, DK_WEIGHT, k, 0.0f);
        fill(net, DK_BIAS, k, 0.0f);
    }
    batch.rows = 4;
    batch.x.assign(4, 1.0f);
    batch.targets.assign(static_cast<size_t>(4 * net.outputs()), 0.0f);
}

const std::vector<Overflow> overflows = {
    // z = 2e38 + 2e38
    {"forward",
     "a of layer 2",
     {layer(2, DK_IDENTITY), layer(1, DK_IDENTITY)},
     [](Net &net, Batch &, dk_train_options &) {
         fill(net, DK_BIAS, 1, 1.0f);
         fill(net, DK_WEIGHT, 2, 2e38f);
     },
     false},
    // (1e20)²
    {"loss",
     "the loss of layer 1",
     {layer(1, DK_IDENTITY)},
     [](Net &, Batch &b, dk_train_options &) { b.targets.assign(4, 1e20f); },
     false},
    // δ⁽¹⁾ = 2·2·2e38, on the way down alone: a⁽¹⁾ = 0
    {"delta",
     "dW of layer 1",
     {layer(1, DK_IDENTITY), layer(2, DK_IDENTITY)},
     [](Net &net, Batch &b, dk_train_options &) {
         fill(net, DK_WEIGHT, 2, 2e38f);
         b.targets.assign(8, -16.0f);
     },
     false},
    // dW⁽²⁾ = δ a = −1e15·1e25
    {"weight gradient",
     "dW of layer 2",
     {layer(1, DK_IDENTITY), layer(1, DK_IDENTITY)},
     [](Net &net, Batch &b, dk_train_options &) {
         fill(net, DK_BIAS, 1, 1e25f);
         b.targets.assign(4, 1e15f);
     },
     false},
    // db⁽¹⁾ = 4·2e38, where dW⁽¹⁾ = 4·2e38·1e-30
    {"bias gradient",
     "db of layer 1",
     {layer(1, DK_IDENTITY), layer(4, DK_IDENTITY)},
     [](Net &net, Batch &b, dk_train_options &) {
         fill(net, DK_WEIGHT, 2, 2e38f);
         b.x.assign(4, 1e-30f);
         b.targets.assign(16, -2.0f);
     },
     false},
    // W ← 0 − 3e38·2
    {"a weight",
     "update of W of layer 1",
     {layer(1, DK_IDENTITY)},
     [](Net &, Batch &b, dk_train_options &o) {
         b.targets.assign(4, -1.0f);
         o.lr = 3e38;
     },
     true},
    // v = 0.001·(1e20·1e5)², though W ← W − 1e-3·0
    {"a slot",
     "update of W of layer 1",
     {layer(1, DK_IDENTITY)},
     [](Net &, Batch &b, dk_train_options &o) {
         b.targets.assign(4, -1e15f);
         b.x.assign(4, 1e8f);
         o.optimizer = DK_ADAM;
         o.lr = 1e-3;
     },
     true},
};

} // namespace

// Breaks where only some of a step's sums are looked through (db may overflow where dW doesn't), where an
// update is written before it is looked at, or where Adam's v = ∞ holds a parameter still for good.
TEST(NumbersGoneBad, ThatOverflowOnTheirWayAreReportedAndLeaveFiniteParameters) {
    int64_t tried = 0;
    for (dk_precision precision : {DK_FP32, DK_TF32, DK_BF16}) { // fp16 can't hold what these need
        if (!has_precision(precision)) continue;
        Context context(2, precision);
        for (const Overflow &overflow : overflows)
            for (int64_t micro : {4, 3}) {
                const std::string what = std::string(overflow.name) + ", " +
                                         dk_precision_name(precision) + ", " +
                                         std::to_string(micro) + " rows at a time";
                Net net(1, overflow.layers);
                net.build(context);
                Batch broken, good;
                dk_train_options options = plain_options(micro, DK_SGD, 1e-3);
                options.keep = DK_KEEP_NEEDED;
                clear(net, good);
                clear(net, broken);
                overflow.make(net, broken, options);
                Trainer trainer(net, options);
                const Floats before = net.parameters();
                ASSERT_EQ(DK_E_NONFINITE, trainer.try_step(broken)) << what;
                for (const char *part : {"step 1:", overflow.where})
                    EXPECT_TRUE(has(part)) << what << ": " << dk_error_text();
                EXPECT_TRUE(is_finite(net.parameters())) << what;
                const bool kept = has("are those before that step");
                EXPECT_TRUE(kept != overflow.of_the_update || !device::is_cpu()) << dk_error_text();
                EXPECT_TRUE(!kept || same_bits(before, net.parameters())) << what;
                clear(net, good);
                EXPECT_EQ(0.0, trainer.step(good)) << what;
                EXPECT_TRUE(is_finite(net.parameters())) << what;
                ++tried;
            }
    }
    support::promise(PROMISE, "overflows in z, the loss, δ, dW, db, W and slots", tried);
}

// The steps after a bad one that nobody has asked about yet change nothing, and the report names the bad
// one and its layer, though the tensors are those of the last.
TEST(NumbersGoneBad, AreReportedLateWhereNobodyAsksAndNoLaterUpdateIsApplied) {
    Context context;
    for (const Damage &damage : damages(0)) {
        Net net(4, open_layers());
        net.build(context);
        Random random(12);
        const Batch good = random_batch(net, ROWS, random);
        Batch broken = good;
        damage.apply(context, net, broken);
        Trainer trainer(net, plain_options(ROWS, DK_ADAM, 0.01));
        trainer.step(good);
        const Floats before = net.parameters();
        dk_status status = DK_OK;
        for (const Batch *batch : std::initializer_list<const Batch *>{&broken, &good, &good}) {
            const dk_batch view = batch->view();
            if (!status) status = dk_trainer_step(trainer.get(), &view, nullptr);
        }
        double loss = 0.0;
        const dk_batch view = good.view();
        if (!status) status = dk_trainer_step(trainer.get(), &view, &loss);
        ASSERT_EQ(DK_E_NONFINITE, status) << damage.name;
        EXPECT_TRUE(has("step 2:")) << dk_error_text();
        EXPECT_TRUE(has("of layer ")) << damage.name << ": " << dk_error_text();
        EXPECT_TRUE(same_bits(before, net.parameters())) << damage.name;
        EXPECT_EQ(1u, state_of(context, trainer).applied) << damage.name;
        trainer.step(good);
        EXPECT_EQ(2u, state_of(context, trainer).applied) << damage.name;
    }
}

// 2¹²⁷·2⁶⁰ in fp64: a row that a float can't hold, which a saturating g would hide. Breaks where nobody
// looks at what was gathered, or an evaluation's state can't be latched.
TEST(NumbersGoneBad, OfAFeatureThatFp32CannotHoldAreReportedWhereverItIsRead) {
    Context context;
    Net net(2, {layer(3, DK_TANH), layer(1, DK_IDENTITY)});
    net.build(context);
    std::vector<double> x(2 * ROWS, 0.5);
    const Floats targets(ROWS, 0.25f);
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = ROWS;
    arrays.features = 2;
    arrays.x = x.data();
    arrays.x_type = DK_F64;
    arrays.targets = targets.data();
    arrays.target_count = 1;
    const support::Dataset near = support::from_arrays(context.get(), arrays);
    x[7] = std::ldexp(1.0, 187); // for both: they have the same memory
    const support::Dataset far = support::from_arrays(context.get(), arrays);
    Floats y(ROWS);
    dk_metrics metrics;
    EXPECT_EQ(DK_E_NONFINITE, dk_evaluate(net.get(), far.get(), 0, &metrics));
    EXPECT_TRUE(has("feature")) << dk_error_text();
    EXPECT_EQ(DK_E_NONFINITE, dk_predict_dataset(net.get(), far.get(), y.data()));
    EXPECT_TRUE(has("feature")) << dk_error_text();
    Trainer trainer(net, plain_options(ROWS));
    const Floats before = net.parameters();
    EXPECT_EQ(DK_E_NONFINITE, dk_trainer_fit(trainer.get(), far.get(), nullptr, nullptr, nullptr));
    EXPECT_TRUE(has("a of layer 0")) << dk_error_text();
    EXPECT_TRUE(same_bits(before, net.parameters()));
    x[7] = 0.5;
    EXPECT_EQ(DK_OK, dk_evaluate(net.get(), near.get(), 0, &metrics)) << dk_error_text();
    EXPECT_EQ(DK_OK, dk_predict_dataset(net.get(), near.get(), y.data())) << dk_error_text();

    // Validation data: the fit fails, and what it fails in is never the best epoch.
    x[7] = std::ldexp(1.0, 187);
    std::vector<double> good(2 * ROWS, 0.5);
    arrays.x = good.data();
    const support::Dataset train = support::from_arrays(context.get(), arrays);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.early_stop = 2;
    fit.restore_best = true;
    EXPECT_EQ(DK_E_NONFINITE, dk_trainer_fit(trainer.get(), train.get(), far.get(), &fit, nullptr));
    EXPECT_TRUE(has("epoch 1:")) << dk_error_text();
    EXPECT_TRUE(is_finite(net.parameters()));
    x[7] = 0.5;
    dk_fit_result result;
    EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), train.get(), near.get(), &fit, &result))
        << dk_error_text();
    EXPECT_GE(result.best_epoch, 1);
    EXPECT_TRUE(std::isfinite(result.valid_loss));
}

// δ = ∞ at any scale: 16 halvings, each of which skips its step, and the 17th step is the network's own.
// Breaks where steps are skipped without end, or without a word.
TEST(NumbersGoneBad, OfFp16AreSkippedSixteenTimesAtMostAndTheLogSaysSo) {
    if (!has_precision(DK_FP16)) return;
    std::vector<std::string> lines;
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = device::name();
    options.precision = DK_FP16;
    options.no_plan_cache = true;
    options.log_level = DK_LOG_INFO;
    options.log_user = &lines;
    options.log = [](void *user, dk_log_level level, const char *line) {
        static_cast<std::vector<std::string> *>(user)->push_back(
            (level == DK_LOG_WARNING ? "warning: " : "") + std::string(line));
    };
    dk_context *made = nullptr;
    ASSERT_EQ(DK_OK, dk_context_create(&made, &options)) << dk_error_text();
    const support::Context context(made);
    // δ⁽¹⁾ = 60000·60000, beyond 65504; a and z are 0
    const support::Net net = support::net(
        context.get(), support::Description(1, {layer(1, DK_IDENTITY), layer(1, DK_IDENTITY)}));
    const float zero = 0.0f, large = 6e4f, one = 1.0f;
    for (size_t k : {1, 2}) {
        ASSERT_EQ(DK_OK, dk_net_set(net.get(), DK_WEIGHT, k, k == 2 ? &large : &zero, 1));
        ASSERT_EQ(DK_OK, dk_net_set(net.get(), DK_BIAS, k, &zero, 1));
    }
    const std::vector<uint32_t> before = support::parameter_bits(net.get());
    const support::Trainer trainer = support::trainer(net.get(), plain_options(1, DK_SGD, 1e-3));
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 1;
    batch.x = &one;
    batch.targets = &large;
    double loss = 0.0;
    for (int step = 1; step <= 16; ++step)
        ASSERT_EQ(DK_OK, dk_trainer_step(trainer.get(), &batch, &loss)) << step << dk_error_text();
    EXPECT_EQ(DK_E_NONFINITE, dk_trainer_step(trainer.get(), &batch, &loss));
    EXPECT_TRUE(has("step 17:") && has("of layer ")) << dk_error_text();
    EXPECT_EQ(before, support::parameter_bits(net.get()));
    int64_t skipped = 0, warnings = 0;
    for (const std::string &line : lines) {
        skipped += line.find("loss scale") != std::string::npos;
        warnings += line.find("warning: ") == 0;
    }
    EXPECT_EQ(16, skipped);
    EXPECT_EQ(1, warnings) << "where the scale is 1";
    const float small = 0.5f;
    batch.targets = &small;
    ASSERT_EQ(DK_OK, dk_net_set(net.get(), DK_WEIGHT, 2, &one, 1));
    EXPECT_EQ(DK_OK, dk_trainer_step(trainer.get(), &batch, &loss)) << dk_error_text();
    EXPECT_NE(before, support::parameter_bits(net.get()));
}

// A set in the caller's memory that goes bad behind the library's back, in the third batch of twelve.
TEST(NumbersGoneBad, OfASetInMemoryAreReportedByFitWithEpochStepAndLayer) {
    Context context;
    for (float bad : {NaN, Inf}) {
        Net net(4, open_layers());
        net.build(context);
        Random random(13);
        const Batch all = random_batch(net, 12 * ROWS, random);
        support::Arrays arrays;
        arrays.features = 4;
        arrays.target_count = 3;
        arrays.x = all.x;
        arrays.targets = all.targets;
        const support::Dataset set = arrays.open(context.get());
        arrays.x[2 * ROWS * 4 + 5] = bad;
        dk_train_options options = plain_options(ROWS, DK_ADAM, 0.01);
        options.keep = DK_KEEP_NEEDED;
        Trainer trainer(net, options);
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.in_order = true;
        ASSERT_EQ(DK_E_NONFINITE, dk_trainer_fit(trainer.get(), set.get(), nullptr, &fit, nullptr));
        for (const char *part : {"epoch 1:", "step 3:", "a of layer 0"})
            EXPECT_TRUE(has(part)) << dk_error_text();
        EXPECT_EQ(2u, state_of(context, trainer).applied);
        EXPECT_TRUE(is_finite(net.parameters()));
        arrays.x[2 * ROWS * 4 + 5] = 0.0f;
        fit.epochs = 1;
        EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), set.get(), nullptr, &fit, nullptr))
            << dk_error_text();
        EXPECT_TRUE(is_finite(net.parameters()));
    }
}

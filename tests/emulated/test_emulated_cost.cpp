// What the CUDA backend says that operations cost, against what runs: as many launches, and products of
// as many flops and bytes, whatever the precision, the way, the optimizer and the options; and against
// numbers worked out by hand. And times: marks are where the emulation's clock says.
#include "support_emulated.h"

#include "networks.h"

extern "C" {
#include "backend/cost.h"
#include "backend/cuda/cuda.h"
#include "benchmark/benchmark.h"
}

namespace emulated {
namespace {

using networks::Batch;
using networks::layer;
using networks::Net;
using networks::Trainer;

struct Case {
    std::string name;
    dk_precision precision = DK_FP32;
    dk_activation activation = DK_RELU;
    dk_optimizer optimizer = DK_SGD;
    dk_loss loss = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    double clip_norm = 0;
    float dropout = 0;
    int64_t batch = 16; ///< of a micro-batch; a step has 16 rows
    bool frozen = false, deterministic = true, keep_all = false, fuse_update = false;
    int fused = 0; ///< products of a step that have an update in them
};

std::vector<Case> cases() {
    std::vector<Case> all;
    const auto add = [&](const std::string &name, const std::function<void(Case &)> &change) {
        Case made;
        made.name = name;
        change(made);
        all.push_back(made);
    };
    for (dk_precision precision : {DK_FP32, DK_TF32, DK_BF16, DK_FP16})
        for (dk_optimizer optimizer : {DK_SGD, DK_MOMENTUM, DK_ADAMW})
            add(std::string(dk_precision_name(precision)) + "_" + dk_optimizer_name(optimizer),
                [&](Case &c) { c.precision = precision, c.optimizer = optimizer; });
    for (dk_activation activation : numbers::activations())
        add(std::string("activation_") + dk_activation_name(activation),
            [&](Case &c) { c.activation = activation; });
    for (dk_loss loss : {DK_LOSS_MSE, DK_LOSS_SIGMOID_CROSS_ENTROPY})
        add(std::string("loss_") + dk_loss_name(loss), [&](Case &c) { c.loss = loss; });
    for (dk_precision precision : {DK_FP32, DK_TF32, DK_BF16, DK_FP16})
        for (bool timed : {false, true})
            add(std::string(timed ? "timed_" : "") + "fused_" + dk_precision_name(precision),
                [&](Case &c) {
                    c.precision = precision, c.fuse_update = true, c.deterministic = !timed;
                    c.fused = precision == DK_FP16 ? 0 : precision == DK_BF16 ? 3 : 2;
                });
    for (dk_precision precision : {DK_FP32, DK_BF16}) {
        const std::string end = std::string("_") + dk_precision_name(precision);
        add("clip" + end, [&](Case &c) { c.precision = precision, c.clip_norm = 1; });
        add("dropout" + end, [&](Case &c) { c.precision = precision, c.dropout = 0.5f; });
        add("accumulate" + end, [&](Case &c) { c.precision = precision, c.batch = 6; });
        add("frozen" + end, [&](Case &c) { c.precision = precision, c.frozen = true; });
        add("timed" + end, [&](Case &c) { c.precision = precision, c.deterministic = false; });
        add("keep_all" + end, [&](Case &c) { c.precision = precision, c.keep_all = true; });
        add("fused_accumulate" + end,
            [&](Case &c) { c.precision = precision, c.fuse_update = true, c.batch = 6; });
        add("fused_frozen" + end, [&](Case &c) {
            c.precision = precision, c.fuse_update = c.frozen = true;
            c.fused = precision == DK_BF16 ? 2 : 1;
        });
        add("timed_accumulate" + end,
            [&](Case &c) { c.precision = precision, c.deterministic = false, c.batch = 6; });
    }
    return all;
}

class CostOf : public testing::TestWithParam<Case> {
  protected:
    void SetUp() override { reset(); }
    void TearDown() override {
        expect_clean();
        reset();
    }
};

struct Closer {
    void operator()(dk_context *context) const { dk_context_destroy(context); }
};

std::unique_ptr<dk_context, Closer> cuda(dk_precision precision, bool deterministic) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cuda:0";
    options.precision = precision;
    options.deterministic = deterministic;
    options.no_plan_cache = true;
    dk_context *context = nullptr;
    EXPECT_EQ(dk_context_create(&context, &options), DK_OK) << dk_error_text();
    return std::unique_ptr<dk_context, Closer>(context);
}

struct NetCloser {
    void operator()(dk_net *net) const { dk_net_destroy(net); }
    void operator()(dk_trainer *trainer) const { dk_trainer_destroy(trainer); }
};

/// The sum of what the operations of a trace cost; of its products alone, flops and bytes.
struct Sum {
    int launches = 0, of_data_gradients = 0, fused = 0;
    double flops = 0, product_bytes = 0;
};

Sum sum_of(dki_backend *backend, const dki_trace &trace) {
    Sum sum;
    const size_t s = dki_element_bytes(backend->element);
    for (size_t i = 0; i < trace.count; ++i) {
        const dki_operation &o = trace.list[i];
        dki_cost cost;
        EXPECT_EQ(backend->ops->cost(backend, &o, &cost), DK_OK) << dk_error_text();
        sum.launches += cost.launches;
        sum.flops += cost.flops;
        if (o.kind == DKI_OPERATION_BACKWARD_DATA) sum.of_data_gradients += cost.launches;
        const auto product = [&](dki_product_kind kind, const dki_matrix &a, const dki_matrix &b,
                                 const dki_matrix &out, size_t s_out, bool accumulate) {
            const dki_bare_product bare = {kind, a, b, out};
            const dki_cost least = dki_product_cost(&bare, s, s_out, accumulate);
            sum.product_bytes += least.read + least.written;
            EXPECT_GE(cost.read, least.read);
            EXPECT_GE(cost.written, least.written);
        };
        if (o.kind == DKI_OPERATION_FORWARD)
            product(DKI_PRODUCT_FORWARD, o.as.forward.a_in, o.as.forward.w, o.as.forward.a_out, s,
                    false);
        if (o.kind == DKI_OPERATION_BACKWARD_DATA)
            product(DKI_PRODUCT_DATA, o.as.backward_data.delta, o.as.backward_data.w,
                    o.as.backward_data.delta_out, s, false);
        if (o.kind != DKI_OPERATION_BACKWARD_PARAMS) continue;
        const dki_linear_backward_params &p = o.as.backward_params;
        dki_way way = DKI_WAY_PLAIN;
        EXPECT_EQ(dki_cuda_backward_params_way(dki_cuda_of(backend), &p, &way), DK_OK);
        product(DKI_PRODUCT_PARAMS, p.delta, p.a_in, p.dw, 4, p.accumulate || way == DKI_WAY_FUSED);
        sum.fused += way == DKI_WAY_FUSED;
    }
    return sum;
}

/// A step of 16 rows that is traced while it is queued: what ran is what was said.
TEST_P(CostOf, AStepIsWhatRuns) {
    const Case &c = GetParam();
    // kernels of ours take so long that whatever can be in an epilogue is
    if (!c.deterministic) {
        set_times([](const dki_product &, int) { return 0.5; }, 5);
        set_dependent_launches(5);
    }
    const auto context = cuda(c.precision, c.deterministic);
    std::vector<dk_layer> layers = {layer(24, c.activation, c.dropout),
                                    layer(9, c.activation, c.dropout, c.frozen),
                                    layer(3, DK_IDENTITY)};
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = 7;
    desc.layers = layers.data();
    desc.layer_count = layers.size();
    desc.loss = c.loss;
    dk_net *net = nullptr;
    ASSERT_EQ(dk_net_create(&net, context.get(), &desc), DK_OK) << dk_error_text();
    const std::unique_ptr<dk_net, NetCloser> net_owner(net);
    dk_train_options options = networks::plain_options(c.batch, c.optimizer, 1e-3);
    options.accumulate = (16 + c.batch - 1) / c.batch;
    options.clip_norm = c.clip_norm;
    options.keep = c.keep_all ? DK_KEEP_ALL : DK_KEEP_NEEDED;
    options.fuse_update = c.fuse_update;
    dk_trainer *trainer = nullptr;
    ASSERT_EQ(dk_trainer_create(&trainer, net, &options), DK_OK) << dk_error_text();
    const std::unique_ptr<dk_trainer, NetCloser> trainer_owner(trainer);

    operations::Random random(4);
    const numbers::Floats x = random.normal(16 * 7), targets = random.uniform(16 * 3, 0, 1);
    std::vector<int32_t> labels;
    for (int i = 0; i < 16; ++i) labels.push_back(i % 3);
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 16;
    batch.x = x.data();
    if (c.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY)
        batch.labels = labels.data();
    else
        batch.targets = targets.data();
    for (bool timed : {false, true}) {
        dki_trace trace{};
        double loss = 0;
        ASSERT_EQ(context->backend->ops->sync(context->backend), DK_OK);
        reset_counts();
        dki_trace_begin(&trace, context->backend, &dki_libc_allocator, timed);
        const dk_status status = dk_trainer_step(trainer, &batch, &loss);
        dki_trace_end(&trace);
        ASSERT_EQ(status, DK_OK) << dk_error_text();
        const Counts ran = counts();
        const Sum said = sum_of(context->backend, trace);
        EXPECT_EQ(said.launches, ran.kernels + ran.products);
        EXPECT_EQ(said.flops, ran.product_flops);
        EXPECT_EQ(said.product_bytes, ran.product_bytes);
        EXPECT_GT(ran.products, 0);
        EXPECT_EQ(said.fused, c.fused);
        // two data gradients: the product, ours for g' with db's partial sums, and their sum
        const int data = said.of_data_gradients;
        EXPECT_TRUE(c.name != "timed_fp32" || data == 6) << data;
        EXPECT_TRUE(c.name != "timed_bf16" || data == 6) << data;
        dki_trace_close(&trace);
    }
}

/// GoogleTest would print its bytes.
void PrintTo(const Case &c, std::ostream *out) {
    *out << c.name;
}

std::string name_of(const testing::TestParamInfo<Case> &info) {
    return info.param.name;
}
INSTANTIATE_TEST_SUITE_P(All, CostOf, testing::ValuesIn(cases()), name_of);

/// Costs of single operations in bf16, by hand: B = 64 rows, n = 32, m = 16; s = 2.
class CostTest : public Test {
  protected:
    static constexpr int64_t B = 64, n = 32, m = 16;

    dki_cost cost(const dki_operation &operation) {
        dki_cost made{};
        EXPECT_EQ(context_->backend->ops->cost(context_->backend, &operation, &made), DK_OK);
        return made;
    }
    void SetUp() override {
        Test::SetUp();
        context_ = cuda(DK_BF16, true);
        matrix_ = [this](int64_t rows, int64_t cols) {
            return dki_matrix{&place_, rows, cols, cols};
        };
    }
    void TearDown() override {
        context_.reset();
        Test::TearDown();
    }

    std::unique_ptr<dk_context, Closer> context_;
    std::function<dki_matrix(int64_t, int64_t)> matrix_;
    alignas(256) float place_ = 0; ///< cost looks at no memory
};

void expect_cost(const dki_cost &cost, double flops, double read, double written, int launches) {
    EXPECT_EQ(cost.flops, flops);
    EXPECT_EQ(cost.read, read);
    EXPECT_EQ(cost.written, written);
    EXPECT_EQ(cost.launches, launches);
}

TEST_F(CostTest, OfForward) {
    dki_operation o{};
    o.kind = DKI_OPERATION_FORWARD;
    dki_linear_forward &f = o.as.forward;
    f.a_in = matrix_(B, m), f.w = matrix_(n, m), f.a_out = matrix_(B, n), f.z = matrix_(B, n);
    f.b = &place_, f.b_working = &place_;
    f.g.kind = DK_TANH;
    // product: A 64·16, W 32·16, Z 64·32, each of 2 bytes; then Z is read again with b (fp32), z and a
    // written
    const double flops = 2.0 * 64 * 32 * 16, product = 2 * (1024 + 512), z = 2 * 2048;
    expect_cost(cost(o), flops, product + z + 4 * 32, 3 * z, 2);
    f.z.data = nullptr, f.g.kind = DK_RELU; // in the epilogue, with a bias of 2 bytes
    expect_cost(cost(o), flops, product + 2 * 32, z, 1);
    f.g.dropout_threshold = 1; // no epilogue has that
    expect_cost(cost(o), flops, product + z + 4 * 32, 2 * z, 2);
}

TEST_F(CostTest, OfTheDataGradient) {
    dki_operation o{};
    o.kind = DKI_OPERATION_BACKWARD_DATA;
    dki_linear_backward_data &d = o.as.backward_data;
    d.delta = matrix_(B, n), d.w = matrix_(n, m), d.delta_out = matrix_(B, m);
    d.a = matrix_(B, m), d.g.kind = DK_RELU, d.db = &place_;
    // product, then Δ and A read, Δ written, one tile of sums [1, 16] of floats, added to db
    const double flops = 2.0 * 64 * 32 * 16, product = 2 * (2048 + 512), out = 2 * 1024;
    expect_cost(cost(o), flops, product + 2 * out + 64, 2 * out + 64 + 64, 3);
    d.accumulate = true;
    expect_cost(cost(o), flops, product + 2 * out + 128, 2 * out + 64 + 64, 3);
    d.g.kind = DK_IDENTITY; // only the sums of what the product left
    expect_cost(cost(o), flops, product + out + 128, out + 64 + 64, 3);
    d.db = nullptr;
    expect_cost(cost(o), flops, product, out, 1);
}

TEST_F(CostTest, OfTheWeightGradient) {
    dki_operation o{};
    o.kind = DKI_OPERATION_BACKWARD_PARAMS;
    dki_linear_backward_params &p = o.as.backward_params;
    p.delta = matrix_(B, n), p.a_in = matrix_(B, m), p.dw = matrix_(n, m);
    const double flops = 2.0 * 64 * 32 * 16, product = 2 * (2048 + 1024), dw = 4 * 512;
    expect_cost(cost(o), flops, product, dw, 1);
    p.accumulate = true;
    expect_cost(cost(o), flops, product + dw, dw, 1);
}

// With an update of W and 8 elements of padding: in the product W is read and written for dW; then all is
// read for the working copy. Where it can't be in there, θ and g are read, θ and its copy written.
TEST_F(CostTest, OfTheWeightGradientWithAnUpdate) {
    dki_operation o{};
    o.kind = DKI_OPERATION_BACKWARD_PARAMS;
    dki_linear_backward_params &p = o.as.backward_params;
    dki_step_state state{};
    p.delta = matrix_(B, n), p.a_in = matrix_(B, m), p.dw = matrix_(n, m);
    p.update.parameters = p.update.gradients = &place_;
    p.update.range = {0, 520};
    p.update.rule.kind = DK_SGD;
    p.update.state = &state;
    const double flops = 2.0 * 64 * 32 * 16, product = 2 * (2048 + 1024), w = 4 * 512;
    expect_cost(cost(o), flops, product + w, w, 1);
    p.lowest = true;
    expect_cost(cost(o), flops, product + 8 * 520, w + 4 * 520, 2);
    p.update.working = &place_;
    expect_cost(cost(o), flops, product + w + 4 * 520, w + 2 * 520, 2);
    p.accumulate = true;
    expect_cost(cost(o), flops, product + w + 8 * 520, w + 6 * 520, 2);
}

TEST_F(CostTest, OfTheEnds) {
    dki_operation o{};
    o.kind = DKI_OPERATION_GATHER;
    dki_gather &g = o.as.gather;
    std::vector<int32_t> labels(1);
    const int64_t order = 0;
    g.x = matrix_(B, m), g.type = DK_U8, g.order = &order, g.labels_in = labels.data();
    // bytes in, 2 out; 8 of the order, 4 of the label in and out
    expect_cost(cost(o), 0, 1024 + 64 * 12, 2048 + 64 * 4, 1);
    g.at_cursor = true;
    expect_cost(cost(o), 0, 1024 + 64 * 12, 2048 + 64 * 4, 2);

    dki_operation last{};
    last.kind = DKI_OPERATION_LOSS;
    dki_loss &l = last.as.loss;
    l.rule.kind = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    l.a = matrix_(B, n), l.z = matrix_(B, n), l.delta = matrix_(B, n);
    l.labels = labels.data(), l.db = &place_;
    // z, labels; δ, 64 doubles, which are read; δ again, its sums [1, 32], db
    const double z = 2 * 2048;
    expect_cost(cost(last), 0, z + 256 + 512 + z + 128, z + 512 + 128 + 128, 4);
    l.rule.kind = DK_LOSS_MSE, l.labels = nullptr, l.targets = &place_, l.g.kind = DK_TANH;
    l.db = nullptr; // a and z, targets of 4 bytes
    expect_cost(cost(last), 0, 2 * z + 4 * 2048 + 512, z + 512, 2);
}

TEST_F(CostTest, OfTheStateAndTheUpdate) {
    dki_operation o{};
    o.kind = DKI_OPERATION_UPDATE;
    dki_update_range &u = o.as.update;
    u.parameters = u.gradients = &place_;
    u.working = &place_;
    u.range = {0, 1000};
    expect_cost(cost(o), 0, 8000, 6000, 1); // θ and g; θ and its copy
    u.slot1 = &place_;
    expect_cost(cost(o), 0, 12000, 10000, 1);
    u.slot2 = &place_;
    expect_cost(cost(o), 0, 16000, 14000, 1);
    u.range.count = 0;
    expect_cost(cost(o), 0, 0, 0, 0);

    dki_operation d{};
    d.kind = DKI_OPERATION_DECIDE;
    const dki_range ranges[] = {{0, 2 * DKI_NORM_PIECE}, {0, 0}, {0, 1}};
    d.as.decide.ranges = ranges;
    d.as.decide.range_count = 3;
    expect_cost(cost(d), 0, 4.0 * (2 * DKI_NORM_PIECE + 1) + 24, 24, 3); // 3 pieces

    dki_operation nothing{};
    nothing.kind = DKI_OPERATION_ORDER;
    expect_cost(cost(nothing), 0, 0, 0, 0);
}

// --- time --------------------------------------------------------------------------------------

/// Updates between marks: on two lanes, of 0.01 ms each.
struct Marked {
    dki_backend *backend;
    dki_update_range updates[2]; ///< one for each lane
};

dk_status queue_marked(void *argument) {
    const auto *marked = static_cast<const Marked *>(argument);
    const dki_backend_ops *ops = marked->backend->ops;
    const auto update = [&](dki_lane lane, int count) {
        for (int i = 0; i < count; ++i)
            EXPECT_EQ(ops->update(marked->backend, lane, &marked->updates[lane == DKI_LANE_PARAMS]),
                      DK_OK);
    };
    EXPECT_EQ(ops->mark(marked->backend, DKI_LANE_MAIN, 0), DK_OK);
    update(DKI_LANE_MAIN, 3);
    EXPECT_EQ(ops->mark(marked->backend, DKI_LANE_MAIN, 1), DK_OK);
    EXPECT_EQ(ops->order(marked->backend, DKI_LANE_MAIN, DKI_LANE_PARAMS), DK_OK);
    EXPECT_EQ(ops->mark(marked->backend, DKI_LANE_PARAMS, 2), DK_OK);
    update(DKI_LANE_PARAMS, 5);
    EXPECT_EQ(ops->mark(marked->backend, DKI_LANE_PARAMS, 3), DK_OK);
    update(DKI_LANE_MAIN, 2);
    EXPECT_EQ(ops->mark(marked->backend, DKI_LANE_MAIN, 4), DK_OK);
    EXPECT_EQ(ops->order(marked->backend, DKI_LANE_PARAMS, DKI_LANE_MAIN), DK_OK);
    EXPECT_EQ(ops->mark(marked->backend, DKI_LANE_MAIN, 5), DK_OK);
    return DK_OK;
}

/// From mark 0, in 0.01 ms: 0, 3, 3, 8, 5, 8, whoever comes first; queued or replayed.
TEST_F(Test, MarksAreWhereTheWorkIs) {
    const auto context = cuda(DK_FP32, true);
    dki_backend *backend = context->backend;
    void *memory = nullptr;
    ASSERT_EQ(backend->ops->alloc(backend, DKI_MEMORY_DEVICE, 4096, &memory), DK_OK);
    auto *floats = static_cast<float *>(memory);
    Marked marked{backend, {}};
    for (dki_update_range &update : marked.updates) {
        update.parameters = floats, update.gradients = floats + 256;
        update.range = {0, 4};
        update.state = reinterpret_cast<dki_step_state *>(floats + 512);
    }
    marked.updates[1].range.first = 4;
    dki_recording *recording = nullptr;
    for (uint64_t seed = 0; seed < schedules; ++seed)
        for (bool recorded : {false, true}) {
            set_schedule(seed);
            ASSERT_EQ(recorded ? backend->ops->run(backend, &recording, queue_marked, &marked)
                               : queue_marked(&marked),
                      DK_OK)
                << dk_error_text();
            ASSERT_EQ(backend->ops->sync(backend), DK_OK);
            const double wanted[] = {0, 3, 3, 8, 5, 8};
            for (int i = 0; i < 6; ++i) {
                double ms = -1;
                ASSERT_EQ(backend->ops->elapsed(backend, 0, i, &ms), DK_OK) << dk_error_text();
                EXPECT_NEAR(ms, 0.01 * wanted[i], 0x1p-24) // fp32 below 1 ms

                    << "mark " << i << ", schedule " << seed << ", recorded " << recorded;
            }
        }
    EXPECT_EQ(backend->ops->run(backend, &recording, nullptr, nullptr), DK_OK);
    backend->ops->release(backend, memory);
}

/// What the benchmark calls forward, backward and update are all of a step's products, each once; and
/// the floor the same again.
void expect_parts(bool fuse_update) {
    const auto context = cuda(DK_BF16, true);
    std::vector<dk_layer> layers = {layer(8, DK_RELU), layer(4, DK_IDENTITY)};
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = 16;
    desc.layers = layers.data();
    desc.layer_count = layers.size();
    desc.loss = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    dk_train_options options = networks::plain_options(8);
    options.keep = DK_KEEP_NEEDED;
    options.fuse_update = fuse_update;
    dki_bench bench;
    ASSERT_EQ(dki_bench_open(&bench, context.get(), &desc, &options), DK_OK) << dk_error_text();
    ASSERT_EQ(dki_bench_warm_up(&bench), DK_OK) << dk_error_text();
    const dki_burst burst = {1, 2};
    const auto flops = [&](dki_played *played) {
        double ms = 0;
        reset_counts();
        EXPECT_EQ(dki_play(context->backend, played, &burst, &ms), DK_OK) << dk_error_text();
        EXPECT_GT(ms, 0);
        return counts().product_flops / static_cast<double>(3 * bench.steps_a_launch);
    };
    const double all = dki_bench_flops(&bench);
    // of 16·8 and 8·4 weights: one product of the first layer forward, of the second likewise
    const double first = 2.0 * 8 * 16 * 8, second = 2.0 * 8 * 8 * 4;
    EXPECT_EQ(all, 2 * first + 3 * second);
    EXPECT_EQ(flops(&bench.parts[0].played), first + second);
    EXPECT_EQ(flops(&bench.parts[1].played), first + 2 * second);
    EXPECT_EQ(flops(&bench.parts[2].played), 0);
    for (int method = 0; method < bench.method_count; ++method)
        EXPECT_EQ(flops(&bench.floors[method].played), all) << method;
    dki_bench_close(&bench, context->backend);
}

TEST_F(Test, ThePartsTogetherHaveTheProductsOfAStep) {
    expect_parts(false);
}

/// What is queued again has the update that was traced.
TEST_F(Test, ThePartsOfAFusedStepHaveItsProducts) {
    expect_parts(true);
}

TEST_F(Test, AllDeviceMemoryIsCounted) {
    const auto context = cuda(DK_BF16, true);
    dki_backend_info info;
    ASSERT_EQ(context->backend->ops->describe(context->backend, &info), DK_OK);
    EXPECT_EQ(info.allocated, memory_in_use());
    EXPECT_GT(info.allocated, 0u) << "the products' workspaces";
    std::vector<dk_layer> layers = {layer(8, DK_RELU), layer(4, DK_IDENTITY)};
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = 16;
    desc.layers = layers.data();
    desc.layer_count = layers.size();
    dk_net *net = nullptr;
    ASSERT_EQ(dk_net_create(&net, context.get(), &desc), DK_OK) << dk_error_text();
    const std::unique_ptr<dk_net, NetCloser> net_owner(net);
    ASSERT_EQ(context->backend->ops->describe(context->backend, &info), DK_OK);
    EXPECT_EQ(info.allocated, memory_in_use());
}

} // namespace
} // namespace emulated

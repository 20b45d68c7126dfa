// The benchmark: that what it times is a training step, its bare products and its parts, on random
// data. Times themselves aren't judged: a loaded machine may be as slow as it likes.
#include "support_device.h"

extern "C" {
#include "benchmark/benchmark.h"
}

#include <cmath>
#include <map>
#include <set>

namespace {

using namespace devices;

const int64_t ROWS = 6;

/// 5 → 4 (relu) → 3, softmax cross-entropy.
std::vector<dk_layer> two_layers() {
    return {layer(4, DK_RELU), layer(3, DK_IDENTITY)};
}

std::string shape(const dki_matrix &matrix) {
    return std::to_string(matrix.rows) + "x" + std::to_string(matrix.cols);
}

/// An operation, its shapes and its lane.
std::string spelled(const dki_operation &operation) {
    const std::string at = "@" + std::to_string(operation.lane);
    switch (operation.kind) {
    case DKI_OPERATION_GATHER:
        return "gather " + shape(operation.as.gather.x) + at;
    case DKI_OPERATION_BEGIN:
        return "begin" + at;
    case DKI_OPERATION_FORWARD:
        return "forward " + shape(operation.as.forward.w) + at;
    case DKI_OPERATION_LOSS:
        return "loss " + shape(operation.as.loss.a) + at;
    case DKI_OPERATION_BACKWARD_DATA:
        return "data gradient " + shape(operation.as.backward_data.delta_out) + at;
    case DKI_OPERATION_BACKWARD_PARAMS:
        return "weight gradient " + shape(operation.as.backward_params.dw) + at;
    case DKI_OPERATION_DECIDE:
        return "decide " + std::to_string(operation.as.decide.range_count) + at;
    case DKI_OPERATION_UPDATE:
        return "update" + at;
    case DKI_OPERATION_ORDER:
        return std::to_string(operation.lane) + "->" + std::to_string(operation.as.after);
    }
    return "?";
}

/// A benchmark that is open, of the network above unless said.
class Bench {
  public:
    Bench(const Context &context, const dk_train_options &options, dk_loss loss,
          std::vector<dk_layer> layers = two_layers())
        : context_(context), net_(5, std::move(layers), loss) {
        net_.build(context);
        EXPECT_EQ(DK_OK, dki_bench_open(&bench_, context.get(), &net_.settings, &options))
            << dk_error_text();
    }
    ~Bench() { dki_bench_close(&bench_, backend()); }
    Bench(const Bench &) = delete;
    Bench &operator=(const Bench &) = delete;

    dki_bench *get() { return &bench_; }
    dki_bench *operator->() { return &bench_; }
    dki_backend *backend() const { return context_.get()->backend; }

    std::vector<std::string> traced() {
        EXPECT_EQ(DK_OK, dki_bench_trace(&bench_)) << dk_error_text();
        EXPECT_EQ(DK_OK, dki_trainer_collect(bench_.trainer, true, nullptr)) << dk_error_text();
        std::vector<std::string> list;
        for (size_t i = 0; i < bench_.trace.count; ++i)
            list.push_back(spelled(bench_.trace.list[i]));
        return list;
    }

  private:
    const Context &context_;
    Net net_;
    dki_bench bench_{};
};

dk_train_options sgd() {
    dk_train_options options = plain_options(ROWS);
    options.keep = DK_KEEP_NEEDED;
    return options;
}

using List = std::vector<std::string>;

/// By hand, from the comment over dki_step_backward. Where updates are early, that of W⁽²⁾ follows the
/// data gradient that reads it, W⁽¹⁾ comes last, and what is left is the biases'. Where they are apart, it is
/// an update for each W; else one for all that lie side by side.
List expected(bool early, bool apart, bool decides) {
    List list = {
        "begin@0", "gather 6x5@0", "forward 4x5@0",         "forward 3x4@0",       "loss 6x3@0",
        "0->1",    "1->0",         "weight gradient 3x4@1", "data gradient 6x4@0", "0->1",
        "1->0"};
    if (early) list.push_back("update@1");
    list.push_back("weight gradient 4x5@1");
    if (early) list.push_back("update@1");
    list.push_back("1->0");
    if (decides) list.push_back(apart ? "decide 3@0" : "decide 2@0");
    if (!early) list.insert(list.end(), apart ? 2 : 1, "update@0");
    list.push_back("update@0");
    return list;
}

TEST(Benchmark, TracesTheStepInTheOrderOfQueueing) {
    const Context context = Context::repeatable(); // two lanes
    const bool early = context.get()->backend->early_updates;
    const bool apart = context.get()->backend->updates_apart;
    Bench bench(context, sgd(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    const dki_backend_ops *ops = context.get()->backend->ops;
    EXPECT_EQ(bench.traced(), expected(early, apart, false));
    EXPECT_EQ(context.get()->backend->ops, ops) << "the trace left the backend as it was";
    EXPECT_EQ(bench.traced(), expected(early, apart, false)) << "a recorded step keeps its list";
    dk_train_options clipped = sgd();
    clipped.clip_norm = 1;
    EXPECT_EQ(Bench(context, clipped, DK_LOSS_SOFTMAX_CROSS_ENTROPY).traced(),
              expected(false, apart, true));
}

TEST(Benchmark, TracesFrozenLayersAsTheyAreTrained) {
    const Context context = Context::repeatable(); // two lanes
    const bool early = context.get()->backend->early_updates;
    Bench bench(context, sgd(), DK_LOSS_SOFTMAX_CROSS_ENTROPY,
                {layer(4, DK_RELU, 0, true), layer(3, DK_IDENTITY)});
    List list = {"begin@0",    "gather 6x5@0", "forward 4x5@0", "forward 3x4@0",
                 "loss 6x3@0", "0->1",         "1->0",          "weight gradient 3x4@1"};
    if (early) list.push_back("update@1");
    list.push_back("1->0");
    if (!early) list.push_back("update@0");
    list.push_back("update@0");
    EXPECT_EQ(bench.traced(), list);
}

/// A step that was traced is a step: the same bits as without.
TEST(Benchmark, ATraceChangesNothing) {
    const Context context;
    std::vector<Floats> results;
    for (bool traced : {false, true}) {
        Net net(5, two_layers(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
        net.build(context);
        const Trainer trainer(net, plain_options(ROWS));
        Random random(2);
        const Batch batch = random_batch(net, ROWS, random);
        dki_trace trace{};
        for (int i = 0; i < 3; ++i) {
            const dk_batch view = batch.view();
            if (traced) dki_trace_begin(&trace, context.get()->backend, &dki_libc_allocator, true);
            EXPECT_EQ(DK_OK, dk_trainer_step(trainer.get(), &view, nullptr)) << dk_error_text();
            if (traced) dki_trace_end(&trace);
        }
        EXPECT_EQ(trace.count > 0, traced);
        dki_trace_close(&trace);
        results.push_back(net.parameters());
    }
    EXPECT_TRUE(operations::same_bits(results[0], results[1]));
}

double product_flops(int64_t in, int64_t out) {
    return 2.0 * static_cast<double>(ROWS * in * out);
}

TEST(Benchmark, TheFloorHasTheFlopsOfTheStepsProducts) {
    const Context context;
    Bench bench(context, sgd(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    // forward and weights of both layers, data of the second
    EXPECT_EQ(dki_bench_flops(bench.get()), 2 * product_flops(5, 4) + 3 * product_flops(4, 3));
    bench.traced();
    double flops = 0;
    for (size_t i = 0; i < bench->trace.count; ++i) {
        dki_cost cost;
        ASSERT_EQ(DK_OK, bench.backend()->ops->cost(bench.backend(), &bench->trace.list[i], &cost));
        flops += cost.flops;
    }
    EXPECT_EQ(flops, dki_bench_flops(bench.get()));
}

/// What is in the session's tensors and in the parameters, by name, in fp32.
std::map<std::string, Floats> tensors(Bench &bench) {
    dki_backend *backend = bench.backend();
    const dki_tensors &t = bench->trainer->session->tensors;
    EXPECT_EQ(DK_OK, backend->ops->sync(backend));
    const auto read = [&](const void *from, int64_t count) {
        Floats to(static_cast<size_t>(count));
        EXPECT_EQ(DK_OK, backend->ops->download(backend, to.data(), from, to.size() * 4));
        return to;
    };
    const dki_layout &layout = bench->net->layout;
    return {{"a1", read(t.a[1].data, ROWS * t.a[1].ld)},
            {"delta1", read(t.delta[1].data, ROWS * t.delta[1].ld)},
            {"delta2", read(t.delta[2].data, ROWS * t.delta[2].ld)},
            {"gradients", read(t.gradients, layout.weights_end)},
            {"parameters", read(bench->net->parameters, layout.weights_end)}};
}

/// Fills what a step writes with what no operation leaves; finite, or an update would do nothing.
void spoil(Bench &bench) {
    dki_backend *backend = bench.backend();
    const dki_tensors &t = bench->trainer->session->tensors;
    const auto write = [&](void *to, int64_t count) {
        const Floats from(static_cast<size_t>(count), 1e30f);
        EXPECT_EQ(DK_OK,
                  backend->ops->upload(backend, DKI_LANE_MAIN, to, from.data(), from.size() * 4));
    };
    write(t.a[1].data, ROWS * t.a[1].ld);
    write(t.delta[1].data, ROWS * t.delta[1].ld);
    write(t.delta[2].data, ROWS * t.delta[2].ld);
    write(t.gradients, bench->net->layout.weights_end);
}

/// The floor multiplies: everything that it is to write is written.
TEST(Benchmark, TheFloorDoesItsProductsByEveryMethod) {
    const Context context;
    Bench bench(context, sgd(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    ASSERT_EQ(DK_OK, dki_bench_warm_up(bench.get())) << dk_error_text();
    EXPECT_GE(bench->method_count, 2);
    const dki_burst once = {0, 1};
    for (int method = 0; method < bench->method_count; ++method) {
        spoil(bench);
        double ms = -1;
        ASSERT_EQ(DK_OK, dki_play(bench.backend(), &bench->floors[method].played, &once, &ms));
        EXPECT_GT(ms, 0);
        const auto now = tensors(bench);
        for (const char *name : {"a1", "delta1"}) EXPECT_NE(now.at(name)[0], 1e30f) << name;
        for (int k = 0; k < 2; ++k) {
            const auto w = static_cast<size_t>(bench->net->layout.places[k].w);
            EXPECT_NE(now.at("gradients")[w], 1e30f) << "layer " << k + 1 << ", method " << method;
        }
    }
}

/// Each part writes what is its own, and nothing of the others'.
TEST(Benchmark, ThePartsAreForwardBackwardAndUpdate) {
    const Context context;
    Bench bench(context, sgd(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    ASSERT_EQ(DK_OK, dki_bench_warm_up(bench.get())) << dk_error_text();
    const std::vector<std::set<std::string>> written = {
        {"a1"}, {"delta1", "delta2", "gradients"}, {"parameters"}};
    const dki_burst once = {0, 1};
    for (int part = 0; part < DKI_PART_COUNT; ++part) {
        spoil(bench);
        const auto before = tensors(bench);
        double ms = -1;
        ASSERT_EQ(DK_OK, dki_play(bench.backend(), &bench->parts[part].played, &once, &ms));
        for (const auto &[name, values] : tensors(bench))
            EXPECT_EQ(!operations::same_bits(values, before.at(name)),
                      written[static_cast<size_t>(part)].count(name) == 1)
                << name << " by part " << part;
    }
}

/// n independent standard normal numbers: their mean is within 6/√n of 0, the mean of their squares
/// within 6·√(2/n) of 1, but for one in 10⁸ seeds; and the seed is fixed. Zeros, or one row again and
/// again, are far outside.
TEST(Benchmark, TheDataAreRandom) {
    const Context context;
    Bench bench(context, sgd(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    const int64_t rows = bench->batches * ROWS, n = rows * 5;
    double sum = 0, squares = 0;
    std::set<float> values;
    for (int64_t i = 0; i < n; ++i) {
        const double x = static_cast<double>(bench->x[i]);
        sum += x;
        squares += x * x;
        values.insert(bench->x[i]);
    }
    const auto count = static_cast<double>(n);
    EXPECT_LT(std::fabs(sum / count), 6 / std::sqrt(count));
    EXPECT_LT(std::fabs(squares / count - 1), 6 * std::sqrt(2 / count));
    EXPECT_GT(values.size(), static_cast<size_t>(n) * 99 / 100);
    EXPECT_EQ(std::set<int32_t>(bench->labels, bench->labels + rows), std::set<int32_t>({0, 1, 2}));
}

TEST(Benchmark, StepsTakeOneBatchAfterTheOther) {
    const Context context;
    Bench bench(context, sgd(), DK_LOSS_MSE);
    EXPECT_GE(bench->batches, 4);
    std::set<Floats> seen;
    for (int i = 0; i < 4; ++i) {
        bench.traced();
        seen.insert(tensors(bench)["a1"]);
    }
    EXPECT_EQ(seen.size(), 4u);
    for (int64_t i = 0; i < bench->batches * ROWS * 3; ++i) {
        ASSERT_GE(bench->targets[i], 0.0f);
        ASSERT_LE(bench->targets[i], 1.0f);
    }
}

TEST(Benchmark, ParametersStandStillWhateverTheOptimizer) {
    const Context context;
    for (dk_optimizer optimizer : {DK_SGD, DK_MOMENTUM, DK_ADAMW}) {
        dk_train_options options = sgd();
        options.optimizer = optimizer;
        options.lr = 10;
        Bench bench(context, options, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
        const auto parameters = [&] {
            Floats values(static_cast<size_t>(bench->net->layout.elements));
            EXPECT_EQ(DK_OK, dki_net_read_all(bench->net, values.data()));
            return values;
        };
        const Floats before = parameters();
        ASSERT_EQ(DK_OK, dki_bench_warm_up(bench.get())) << dk_error_text();
        const Floats after = parameters();
        for (size_t i = 0; i < before.size(); ++i)
            ASSERT_NEAR(after[i], before[i], 1e-7) << dk_optimizer_name(optimizer);
    }
}

dk_bench_options quick() {
    dk_bench_options options = DK_BENCH_OPTIONS_INIT;
    options.repeats = 2;
    options.seconds = 0;
    return options;
}

TEST(Benchmark, ExplainsEachOperation) {
    const Context context;
    Net net(5, two_layers(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    net.build(context);
    const dk_train_options train = sgd();
    const dk_bench_options options = quick();
    dk_bench_result result{};
    dk_bench_rates rates{};
    const bool early = context.get()->backend->early_updates;
    const bool apart = context.get()->backend->updates_apart;
    std::vector<std::pair<std::string, size_t>> wanted = {
        {"begin", 0}, {"gather", 0},          {"forward", 1},      {"forward", 2},
        {"loss", 2},  {"weight gradient", 2}, {"data gradient", 2}};
    if (early) wanted.emplace_back("update", 2);
    wanted.emplace_back("weight gradient", 1);
    if (apart) wanted.emplace_back("update", 2);
    wanted.emplace_back("update", early || apart ? 1 : 0);
    const size_t room = wanted.size(); // one less than there are: the biases' update
    dk_bench_operation rows[20] = {};
    size_t count = 0;
    ASSERT_EQ(DK_OK, dk_bench_explain(context.get(), &net.settings, &train, &options, &result,
                                      &rates, rows, room, &count))
        << dk_error_text();
    EXPECT_EQ(count, room + 1);
    EXPECT_EQ(rows[room].operation, nullptr) << "written beyond the room";
    std::vector<std::pair<std::string, size_t>> names;
    double flops = 0;
    for (size_t i = 0; i < room; ++i) {
        names.emplace_back(rows[i].operation, rows[i].layer);
        flops += rows[i].flops;
        EXPECT_GE(rows[i].measured_ms, 0) << rows[i].operation;
        EXPECT_GT(rows[i].predicted_ms, 0) << rows[i].operation;
        EXPECT_GT(rows[i].bytes, 0) << rows[i].operation;
    }
    EXPECT_EQ(names, wanted);
    EXPECT_EQ(flops, result.flops);
    EXPECT_GT(rates.matrix_gflops, 0);
    EXPECT_GT(rates.launch_us, 0);
    ASSERT_GE(rates.sizes, 1);
    for (int i = 0; i < rates.sizes; ++i) {
        EXPECT_EQ(rates.working_set[i], 65536 * std::pow(4.0, i));
        EXPECT_GT(rates.bandwidth_gb_s[i], 0);
    }
}

TEST(Benchmark, ResultsAgreeWithEachOther) {
    const Context context;
    Net net(5, two_layers(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    net.build(context);
    const dk_train_options train = sgd();
    const dk_bench_options options = quick();
    dk_bench_result r{};
    ASSERT_EQ(DK_OK, dk_benchmark(context.get(), &net.settings, &train, &options, &r))
        << dk_error_text();
    EXPECT_EQ(r.repeats, 2);
    EXPECT_LE(r.step_ms_low, r.step_ms);
    EXPECT_LE(r.step_ms, r.step_ms_high);
    EXPECT_LE(r.floor_ms_low, r.floor_ms);
    EXPECT_LE(r.floor_ms, r.floor_ms_high);
    EXPECT_LE(r.ratio_low, r.ratio);
    EXPECT_LE(r.ratio, r.ratio_high);
    for (double ms : {r.floor_ms, r.forward_ms, r.backward_ms, r.update_ms, r.host_us})
        EXPECT_GT(ms, 0);
    EXPECT_DOUBLE_EQ(r.samples_per_s, ROWS / (1e-3 * r.step_ms));
    EXPECT_DOUBLE_EQ(r.gflops, r.flops / (1e6 * r.step_ms));
    EXPECT_DOUBLE_EQ(r.floor_fraction, r.floor_ms / r.step_ms);
    EXPECT_GT(r.host_peak_bytes, uint64_t{1} << 20);
}

/// Parameters, session and data are all that the context has; what is given back counts no more.
TEST(Benchmark, CountsTheDevicesMemory) {
    const Context context;
    dki_backend *backend = context.get()->backend;
    const auto info = [&] {
        dki_backend_info now;
        EXPECT_EQ(DK_OK, backend->ops->describe(backend, &now));
        return now;
    };
    const dki_backend_info before = info();
    void *first = nullptr, *second = nullptr;
    ASSERT_EQ(DK_OK, backend->ops->alloc(backend, DKI_MEMORY_DEVICE, 1000, &first));
    ASSERT_EQ(DK_OK, backend->ops->alloc(backend, DKI_MEMORY_DEVICE, 500, &second));
    EXPECT_EQ(info().allocated, before.allocated + 1500);
    backend->ops->release(backend, first);
    EXPECT_EQ(info().allocated, before.allocated + 500);
    EXPECT_EQ(info().allocated_most, before.allocated + 1500);
    backend->ops->release(backend, second);
    EXPECT_EQ(info().allocated, before.allocated);
}

TEST(Benchmark, MarksAreInOrder) {
    const Context context;
    dki_backend *backend = context.get()->backend;
    for (int i = 0; i < 4; ++i) ASSERT_EQ(DK_OK, backend->ops->mark(backend, DKI_LANE_MAIN, i));
    ASSERT_EQ(DK_OK, backend->ops->sync(backend));
    double all = 0, sum = 0;
    for (int i = 0; i < 3; ++i) {
        double ms = -1;
        ASSERT_EQ(DK_OK, backend->ops->elapsed(backend, i, i + 1, &ms));
        EXPECT_GE(ms, 0);
        sum += ms;
    }
    ASSERT_EQ(DK_OK, backend->ops->elapsed(backend, 0, 3, &all));
    EXPECT_NEAR(sum, all, 1e-3) << "events count in half microseconds";
}

TEST(Benchmark, RefusesWhatItCannotMeasure) {
    const Context context;
    Net net(5, two_layers(), DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    net.build(context);
    dk_bench_result result{};
    dk_bench_options options = quick();
    options.repeats = 0;
    EXPECT_EQ(DK_E_ARGUMENT,
              dk_benchmark(context.get(), &net.settings, nullptr, &options, &result));
    options = quick();
    options.size = 0;
    EXPECT_EQ(DK_E_ARGUMENT,
              dk_benchmark(context.get(), &net.settings, nullptr, &options, &result));
    size_t count = 0;
    EXPECT_EQ(DK_E_ARGUMENT, dk_bench_explain(context.get(), &net.settings, nullptr, nullptr,
                                              &result, nullptr, nullptr, 0, &count));
}

} // namespace

// Predictions in buffers that are kept: the bits of a data set's, whatever the network went through since, by
// any number of threads, without an allocation.
#include "support.h"
#include "support_net.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

namespace {

using support::Description;
using support::layer;
using support::Predictor;

Predictor predictor(const dk_net *net, int64_t batch = 0) {
    dk_predictor *made = nullptr;
    EXPECT_EQ(DK_OK, dk_predictor_create(&made, net, batch)) << dk_error_text();
    return Predictor(made);
}

std::vector<float> run(const Predictor &predictor, const std::vector<float> &x, size_t inputs,
                       size_t outputs) {
    std::vector<float> y(x.size() / inputs * outputs);
    EXPECT_EQ(DK_OK, dk_predictor_run(predictor.get(), x.data(),
                                      static_cast<int64_t>(x.size() / inputs), y.data()))
        << dk_error_text();
    return y;
}

/// The same by way of data sets of `batch` rows at most.
std::vector<float> by_sets(dk_context *context, const dk_net *net, const std::vector<float> &x,
                           size_t inputs, size_t batch) {
    std::vector<float> y;
    for (size_t first = 0; first < x.size(); first += batch * inputs) {
        support::Arrays rows;
        rows.features = static_cast<int64_t>(inputs);
        rows.x.assign(x.begin() + static_cast<std::ptrdiff_t>(first),
                      x.begin() +
                          static_cast<std::ptrdiff_t>(std::min(x.size(), first + batch * inputs)));
        const std::vector<float> some = support::predictions(net, rows.open(context).get());
        y.insert(y.end(), some.begin(), some.end());
    }
    return y;
}

/// A network with preprocessing learned from rows far from 0: of classes, or of numbers.
struct Subject {
    support::Context context;
    support::Arrays rows;
    support::Net net;

    explicit Subject(bool classes, const dk_allocator *allocator = nullptr, int threads = 2)
        : context(support::open_context(threads, allocator)) {
        rows.features = 5;
        rows.x = support::normal(5 * 40, 1);
        for (float &x : rows.x) x = 7.0f + 0.3f * x;
        if (classes) {
            rows.classes = 3;
            for (int32_t i = 0; i < 40; ++i) rows.labels.push_back(i % 3);
        } else {
            rows.target_count = 3;
            rows.targets = support::normal(3 * 40, 2);
            for (float &y : rows.targets) y = 100.0f * y - 50.0f;
        }
        net = support::net_for(rows.open(context.get()).get(), {33, 17});
    }
    std::vector<float> weight() const { return support::tensor(net.get(), DK_WEIGHT, 1); }
};

} // namespace

// Breaks where preprocessing, softmax or units are left out, or a piece of the rows lies elsewhere.
TEST(Predictor, HasTheBitsOfADataSetInPiecesOfItsBatch) {
    for (const bool classes : {true, false}) {
        const Subject subject(classes);
        std::vector<float> x = support::normal(5 * 50, 3);
        for (float &value : x) value = 7.0f + 0.3f * value;
        for (const int64_t batch : {0, 1, 7, 50}) {
            const Predictor kept = predictor(subject.net.get(), batch);
            const auto expected = by_sets(subject.context.get(), subject.net.get(), x, 5,
                                          batch ? static_cast<size_t>(batch) : 1024);
            for (int call = 0; call < 2; ++call) EXPECT_EQ(expected, run(kept, x, 5, 3)) << batch;
        }
        std::vector<float> y(3 * 50);
        ASSERT_EQ(DK_OK, dk_predict(subject.net.get(), x.data(), 50, y.data()));
        EXPECT_EQ(by_sets(subject.context.get(), subject.net.get(), x, 5, 1024), y);
    }
}

// Sigmoids of logits 0, ±1e3 are exact, whatever σ's implementation.
TEST(Predictor, GivesTheSigmoidsOfItsLoss) {
    const support::Context context = support::open_context();
    const support::Net net = support::net(
        context.get(), Description(1, {layer(1, DK_IDENTITY)}, DK_LOSS_SIGMOID_CROSS_ENTROPY));
    const float one = 1.0f;
    ASSERT_EQ(DK_OK, dk_net_set(net.get(), DK_WEIGHT, 1, &one, 1));
    EXPECT_EQ((std::vector<float>{0.0f, 0.5f, 1.0f}),
              run(predictor(net.get()), {-1000.0f, 0.0f, 1000.0f}, 1, 1));
}

// Breaks where a predictor keeps what a network was: its parameters or its preprocessing.
TEST(Predictor, SeesWhatItsNetworkBecomes) {
    Subject subject(true);
    const std::vector<float> x(subject.rows.x.begin(), subject.rows.x.begin() + 5 * 4);
    const Predictor kept = predictor(subject.net.get(), 2);
    const auto now = [&] { return by_sets(subject.context.get(), subject.net.get(), x, 5, 2); };
    const std::vector<float> before = now();
    EXPECT_EQ(before, run(kept, x, 5, 3));
    std::vector<float> w = subject.weight();
    for (float &value : w) value = -value;
    ASSERT_EQ(DK_OK, dk_net_set(subject.net.get(), DK_WEIGHT, 1, w.data(), w.size()));
    const std::vector<float> turned = now();
    EXPECT_NE(before, turned);
    EXPECT_EQ(turned, run(kept, x, 5, 3));
    for (float &value : subject.rows.x) value = 2.0f * value - 100.0f;
    ASSERT_EQ(DK_OK, dk_net_learn_preprocessing(subject.net.get(),
                                                subject.rows.open(subject.context.get()).get()));
    EXPECT_NE(turned, now());
    EXPECT_EQ(now(), run(kept, x, 5, 3));
}

// Breaks where a call that failed leaves something behind, or y is written before x was looked at.
TEST(Predictor, RefusesWithANameAndGoesOn) {
    const Subject subject(true);
    std::vector<float> x(subject.rows.x), y(3 * 40, -1.0f);
    const Predictor kept = predictor(subject.net.get(), 16);
    const std::vector<float> good = run(kept, x, 5, 3);
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
        x[5 * 37 + 2] = bad;
        EXPECT_EQ(DK_E_NONFINITE, dk_predictor_run(kept.get(), x.data(), 40, y.data()));
        support::expect_error_names("feature 2 of row 37");
        EXPECT_EQ(std::vector<float>(3 * 40, -1.0f), y);
    }
    x[5 * 37 + 2] = std::numeric_limits<float>::max(); // finite, until it is preprocessed
    EXPECT_EQ(DK_E_NONFINITE, dk_predictor_run(kept.get(), x.data(), 40, y.data()));
    EXPECT_EQ(good, run(kept, subject.rows.x, 5, 3));

    EXPECT_EQ(DK_E_ARGUMENT, dk_predictor_run(nullptr, x.data(), 1, y.data()));
    EXPECT_EQ(DK_E_ARGUMENT, dk_predictor_run(kept.get(), nullptr, 1, y.data()));
    EXPECT_EQ(DK_E_ARGUMENT, dk_predictor_run(kept.get(), x.data(), 1, nullptr));
    EXPECT_EQ(DK_E_ARGUMENT, dk_predictor_run(kept.get(), x.data(), 0, y.data()));
    EXPECT_EQ(DK_E_SHAPE, dk_predictor_run(kept.get(), x.data(), INT64_MAX, y.data()));
    auto *made = reinterpret_cast<dk_predictor *>(16);
    EXPECT_EQ(DK_E_ARGUMENT, dk_predictor_create(&made, subject.net.get(), -1));
    EXPECT_EQ(nullptr, made);
    EXPECT_EQ(DK_E_ARGUMENT, dk_predictor_create(&made, nullptr, 1));
    EXPECT_EQ(DK_E_ARGUMENT, dk_predictor_create(nullptr, subject.net.get(), 1));
    dk_predictor_destroy(nullptr);
}

// Breaks where a call allocates, or where buffers of calls side by side are lost or made anew.
TEST(Predictor, AllocatesForCallsSideBySideOnceAndThenNothing) {
    support::Allocator allocator;
    {
        auto subject = std::make_unique<Subject>(true, &allocator.hooks);
        const std::vector<float> x(subject->rows.x.begin(), subject->rows.x.begin() + 5);
        const Predictor kept = predictor(subject->net.get(), 1);
        const std::vector<float> expected = run(kept, x, 5, 3);
        long calls = allocator.calls;
        for (int i = 0; i < 100; ++i) EXPECT_EQ(expected, run(kept, x, 5, 3));
        EXPECT_EQ(calls, allocator.calls);

        const long blocks = allocator.live_blocks;
        std::atomic<int> ready{0};
        std::vector<std::thread> threads;
        const int count = device::is_cpu() ? 6 : 2;
        for (int i = 0; i < count; ++i)
            threads.emplace_back([&] {
                ++ready;
                while (ready < count) std::this_thread::yield();
                for (int call = 0; call < (device::is_cpu() ? 300 : 5); ++call)
                    EXPECT_EQ(expected, run(kept, x, 5, 3));
            });
        for (std::thread &thread : threads) thread.join();
        const long made = allocator.live_blocks - blocks;
        EXPECT_LE(made, (count - 1) * blocks) << "more than a set of buffers for each thread";
        calls = allocator.calls;
        EXPECT_EQ(expected, run(kept, x, 5, 3));
        EXPECT_EQ(calls, allocator.calls);
        subject.reset(); // a predictor holds its network
        EXPECT_EQ(expected, run(kept, x, 5, 3));
    }
    EXPECT_EQ(0, allocator.live_blocks);
}

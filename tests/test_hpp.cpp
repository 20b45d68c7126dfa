// deltak.hpp: each class does what its C functions do, a status becomes an exception, and an
// exception of the caller's gets through the C library.
#include "deltak/deltak.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

deltak::context cpu(int threads = 1) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cpu";
    options.threads = threads;
    return deltak::context(options);
}

dk_fit_options epochs(std::int64_t count) {
    dk_fit_options options = DK_FIT_OPTIONS_INIT;
    options.epochs = count;
    return options;
}

/** How many rows have their greatest probability at their label. */
double right(const deltak::dataset &data, const std::vector<float> &p) {
    std::vector<std::int32_t> labels(static_cast<std::size_t>(data.rows()));
    deltak::check(dk_dataset_read(data.get(), 0, data.rows(), nullptr, labels.data(), nullptr));
    double count = 0;
    for (std::size_t row = 0; row < labels.size(); ++row) {
        const auto first = p.begin() + static_cast<std::ptrdiff_t>(10 * row);
        count += std::max_element(first, first + 10) - first == labels[row];
    }
    return count;
}

TEST(Hpp, AStatusBecomesAnErrorWithItsText) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "abacus";
    try {
        deltak::context context(options);
        FAIL() << "opened an abacus";
    } catch (const deltak::error &error) {
        EXPECT_EQ(error.status(), DK_E_ARGUMENT);
        EXPECT_NE(std::string(error.what()).find("abacus"), std::string::npos) << error.what();
    }
    EXPECT_THROW(deltak::dataset(cpu(), "builtin:nothing"), deltak::error);
}

TEST(Hpp, TrainsSavesLoadsAndPredictsInAnyOrderOfDestruction) {
    const std::string path = ::testing::TempDir() + "deltak_hpp.safetensors";
    std::vector<float> expected;
    std::vector<float> found;
    {
        deltak::dataset data(cpu(), "builtin:digits");
        auto [train, test] = data.split(0.2, 1);
        EXPECT_EQ(train.rows() + test.rows(), data.rows());
        deltak::net net(train, {32}, DK_RELU, 1);
        EXPECT_EQ(net.parameter_count(), 64 * 32 + 32 + 32 * 10 + 10);
        deltak::trainer(net).fit(train, &test, epochs(2));
        net.save(path);
        expected = net.predict(test);
        ASSERT_EQ(expected.size(), static_cast<std::size_t>(test.rows() * 10));
        const dk_metrics metrics = net.evaluate(test);
        EXPECT_EQ(metrics.samples, test.rows());
        EXPECT_EQ(metrics.accuracy * static_cast<double>(test.rows()), right(test, expected));

        const deltak::net loaded(cpu(), path);
        EXPECT_EQ(loaded.width(0), 64);
        EXPECT_EQ(loaded.width(1), 32);
        EXPECT_EQ(loaded.weight(1), net.weight(1));
        EXPECT_EQ(loaded.bias(2), net.bias(2));
        EXPECT_EQ(loaded.class_name(3), "3");
        found = loaded.predict(test);
        const std::vector<float> x = test.features(0, test.rows());
        EXPECT_EQ(loaded.predict(x), net.predict(x));
        std::vector<float> again(expected.size());
        deltak::predictor(loaded).run(x.data(), test.rows(), again.data());
        EXPECT_EQ(again, net.predict(x));
    }
    EXPECT_EQ(found, expected);
    std::remove(path.c_str());
}

TEST(Hpp, ParametersAreSetAndReadByLayer) {
    const deltak::context context = cpu();
    std::vector<dk_layer> layers(1, DK_LAYER_INIT);
    layers[0].width = 2;
    layers[0].activation = DK_IDENTITY;
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = 3;
    desc.layers = layers.data();
    desc.layer_count = 1;
    deltak::net net(context, desc);
    const std::vector<float> weight = {1, 2, 3, 4, 5, 6};
    net.set_weight(1, weight);
    net.set_bias(1, {10, 20});
    EXPECT_EQ(net.weight(1), weight);
    EXPECT_THROW(net.weight(0), deltak::error);
    EXPECT_THROW(net.weight(2), deltak::error);
    EXPECT_THROW(net.set_bias(1, {1}), deltak::error);

    // z = W x + b on small integers is exact; ∂l/∂x = δ W with δ = (1, 1).
    deltak::session session(net, 1);
    const std::vector<float> x = {1, 1, 1};
    std::vector<float> y(2);
    session.forward(x.data(), 1, y.data());
    EXPECT_EQ(y, (std::vector<float>{16, 35}));
    const std::vector<float> dl_da = {1, 1};
    session.backward(dl_da.data(), 1);
    EXPECT_EQ(session.input_gradient(3), (std::vector<float>{5, 7, 9}));
    EXPECT_EQ(session.read(DK_BIAS_GRAD, 1, 2), dl_da);
    EXPECT_THROW(net.predict({1, 2}), deltak::error) << "two features of three";
}

TEST(Hpp, ACallbackStopsAndItsExceptionComesThrough) {
    const deltak::context context = cpu();
    deltak::dataset data(context, "builtin:digits");
    deltak::net net(data, {8});
    deltak::trainer trainer(net);
    const deltak::fit_result result = trainer.fit(
        data, nullptr, epochs(3), [](const dk_progress &progress) { return progress.step < 2; });
    EXPECT_TRUE(result.stopped);
    EXPECT_EQ(result.steps, 2);
    EXPECT_THROW(trainer.fit(data, nullptr, epochs(3),
                             [](const dk_progress &) -> bool { throw std::out_of_range("mine"); }),
                 std::out_of_range);
    EXPECT_FALSE(trainer.fit(data, nullptr, epochs(1)).stopped);
}

} // namespace

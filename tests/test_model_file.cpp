// Model files: what is saved comes back bit for bit, and a failed save leaves the old file whole.
#include "support_model.h"

extern "C" {
#include "model/net.h"
}

#include <cmath>
#include <unistd.h>

#include <set>

namespace {

using support::Description;
using support::expect_same_net;
using support::layer;
using support::ModelFile;

// ---- round trips -------------------------------------------------------------------------------

TEST_F(ModelFile, ComesBackBitForBitForEveryActivationAndLoss) {
    for (int loss = 0; dk_loss_name(static_cast<dk_loss>(loss)); ++loss) {
        SCOPED_TRACE(dk_loss_name(static_cast<dk_loss>(loss)));
        Description given(5, {}, static_cast<dk_loss>(loss));
        given.desc.seed = UINT64_MAX - static_cast<uint64_t>(loss);
        given.desc.huber_delta = 0.1f;
        for (int g = 0; dk_activation_name(static_cast<dk_activation>(g)); ++g) {
            dk_layer made = layer(g + 1, static_cast<dk_activation>(g));
            made.dropout = static_cast<float>(g) / 100;
            made.frozen = g % 3 == 0;
            made.init = static_cast<dk_init>(g % 8);
            made.init_value = 1e-7f;
            if (g == DK_LEAKY_RELU || g == DK_ELU) made.alpha = 0.3f;
            given.layers.push_back(made);
        }
        given.layers.push_back(layer(3, DK_IDENTITY));
        if (loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY) {
            given.class_weights = {0.1f, std::numeric_limits<float>::denorm_min(), 1e38f};
            given.desc.label_smoothing = 1.0f / 3;
        }
        support::Net net = support::net(context.get(), given);
        std::vector<float> b = {-0.0f, std::numeric_limits<float>::denorm_min(), 1.0f / 3};
        ASSERT_EQ(dk_net_set(net.get(), DK_BIAS, given.layers.size(), b.data(), 3), DK_OK);
        save(net.get());
        support::Net loaded;
        ASSERT_EQ(load_path(path("model"), &loaded), DK_OK) << dk_error_text();
        expect_same_net(net.get(), loaded.get());
    }
}

TEST_F(ModelFile, KeepsPreprocessingAndClassNamesOfAnyText) {
    std::string names[] = {"plain",       "with \"quotes\"", "comma, semicolon; tab\t",
                           "back\\slash", "grüße 日本語 😀",  "{\"json\": [1]}",
                           "\x01 control"};
    std::string csv;
    for (int row = 0; row < 21; ++row) {
        std::string quoted;
        for (char c : names[row % 7]) quoted += c == '"' ? "\"\"" : std::string(1, c);
        csv +=
            std::to_string(row) + "," + std::to_string(row * row / 7.0) + ",\"" + quoted + "\"\n";
    }
    support::Dataset data = support::open(context.get(), write("names.csv", csv).c_str());
    support::Net net = support::net_for(data.get(), {4});
    std::set<std::string> found;
    for (int64_t c = 0; c < 7; ++c) found.insert(dk_net_class_name(net.get(), c));
    EXPECT_EQ(found, std::set<std::string>(std::begin(names), std::end(names)));
    std::string bytes = save(net.get());
    support::Net loaded;
    ASSERT_EQ(load_path(path("model"), &loaded), DK_OK) << dk_error_text();
    expect_same_net(net.get(), loaded.get());
    EXPECT_EQ(support::predictions(net.get(), data.get()),
              support::predictions(loaded.get(), data.get()));

    support::Dataset numbers = support::synth(context.get(), "synth:teacher", 40, 1, 3, 2);
    support::Net regression = support::net_for(numbers.get(), {4});
    save(regression.get());
    ASSERT_EQ(load_path(path("model"), &loaded), DK_OK) << dk_error_text();
    expect_same_net(regression.get(), loaded.get());
    EXPECT_EQ(support::predictions(regression.get(), numbers.get()),
              support::predictions(loaded.get(), numbers.get()));
}

TEST_F(ModelFile, TheSameNetworkGivesTheSameBytes) {
    support::Dataset data = support::synth(context.get(), "synth:spirals", 30);
    support::Net net = support::net_for(data.get(), {3});
    std::string bytes = save(net.get(), "one");
    EXPECT_EQ(save(net.get(), "one"), bytes);
    EXPECT_EQ(save(net.get(), "another name"), bytes);
    EXPECT_EQ(save(support::net_for(data.get(), {3}).get()), bytes);
    support::Net loaded;
    ASSERT_EQ(load(bytes, &loaded), DK_OK) << dk_error_text();
    EXPECT_EQ(save(loaded.get()), bytes);
    ASSERT_EQ(dk_net_freeze(loaded.get(), 1, true), DK_OK);
    EXPECT_NE(save(loaded.get()), bytes);
}

TEST_F(ModelFile, ALoadedNetworkGoesOnTrainingLikeTheSavedOne) {
    support::Dataset data = support::synth(context.get(), "synth:spirals", 100);
    support::Net net = support::net_for(data.get(), {8});
    support::Net loaded;
    ASSERT_EQ(load(save(net.get()), &loaded), DK_OK) << dk_error_text();
    for (dk_net *each : {net.get(), loaded.get()})
        ASSERT_EQ(
            dk_trainer_fit(support::trainer(each).get(), data.get(), nullptr, nullptr, nullptr),
            DK_OK)
            << dk_error_text();
    EXPECT_EQ(support::parameter_bits(net.get()), support::parameter_bits(loaded.get()));
}

// ---- files -------------------------------------------------------------------------------------

TEST_F(ModelFile, AFailedSaveLeavesTheOldFileWhole) {
    support::Net net = support::net(context.get(), Description(1, {layer(1, DK_RELU)}));
    std::string old = save(net.get());
    // An lr of 1e38 overflows a parameter in one step; the network is what the update left.
    Description linear(1, {layer(1, DK_IDENTITY)});
    support::Net broken = support::net(context.get(), linear);
    broken->parameters[0] = INFINITY; // past every door that would refuse it
    EXPECT_TRUE(std::isinf(support::tensor(broken.get(), DK_WEIGHT, 1)[0]));
    EXPECT_EQ(dk_net_save(broken.get(), path("model").c_str()), DK_E_NONFINITE);
    support::expect_error_names("layers.1");
    EXPECT_EQ(support::slurp(path("model")), old);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
}

TEST_F(ModelFile, ReportsWhatTheSystemRefuses) {
    support::Net net = support::net(context.get(), Description(1, {layer(1, DK_RELU)}));
    EXPECT_EQ(dk_net_save(net.get(), path("missing/model").c_str()), DK_E_IO);
    support::expect_error_names("missing/model");
    EXPECT_EQ(dk_net_save(net.get(), directory.c_str()), DK_E_IO);
    EXPECT_EQ(dk_net_save(net.get(), ""), DK_E_IO);
    EXPECT_EQ(load_path(path("missing")), DK_E_IO);
    support::expect_error_names("missing");
    EXPECT_EQ(load_path(directory.string()), DK_E_IO);
    EXPECT_EQ(load_path(""), DK_E_IO);
    if (access("/dev/full", W_OK) == 0) {
        EXPECT_EQ(dk_net_save(net.get(), "/dev/full"), DK_E_IO);
    }
    EXPECT_EQ(dk_net_save(nullptr, "x"), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_save(net.get(), nullptr), DK_E_ARGUMENT);
    dk_net *made = nullptr;
    EXPECT_EQ(dk_net_load(nullptr, context.get(), "x"), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_load(&made, nullptr, "x"), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_load(&made, context.get(), nullptr), DK_E_ARGUMENT);
    EXPECT_TRUE(std::filesystem::is_empty(directory));
}

} // namespace

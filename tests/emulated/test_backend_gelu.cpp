// GELU and its g′ in the products' epilogues: taken where timing says so and nowhere else, and then
// within the bounds that hold for a kernel of ours.
#include "support_emulated.h"

#include "support_net.h"

#include <map>

namespace emulated {
namespace {

/// How often a product with each epilogue was queued.
using Queued = std::map<int, long>;

struct Setting {
    dk_precision precision = DK_BF16;
    bool deterministic = false;
    dk_activation activation = DK_GELU_TANH;
    float dropout = 0;
    double epilogue_ms = 0.1; ///< of products with GELU's; the plain one takes 0.5
};

/// Compares a network with the reference on the emulated CUDA, and counts its products.
Queued checked(const Setting &setting) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cuda:0";
    options.precision = setting.precision;
    options.deterministic = setting.deterministic;
    options.no_plan_cache = true;
    Queued queued;
    set_times([&](const dki_product &p, int algorithm) {
        ++queued[p.epilogue];
        const bool gelu = p.epilogue >= DKI_EPILOGUE_GELU_BIAS && p.epilogue <= DKI_EPILOGUE_DGELU;
        return algorithm == 1 ? 1 : algorithm == 3 ? 2 : gelu ? setting.epilogue_ms : 0.5;
    });
    dk_context *opened = nullptr;
    EXPECT_EQ(dk_context_create(&opened, &options), DK_OK) << dk_error_text();
    const support::Context context(opened);
    support::Description net(7,
                             {support::layer(13, setting.activation),
                              support::layer(9, setting.activation),
                              support::layer(3, DK_IDENTITY)},
                             DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    for (dk_layer &layer : net.layers) layer.dropout = setting.dropout;
    net.layers.back().dropout = 0;
    dk_train_options train = DK_TRAIN_OPTIONS_INIT;
    train.batch = 40;
    dk_check_row rows[19];
    size_t count = 0;
    EXPECT_EQ(dk_check(context.get(), net.get(), &train, rows, 19, &count), DK_OK)
        << dk_error_text();
    EXPECT_EQ(count, 19u) << "6 for each of 3 layers, and the loss";
    for (size_t i = 0; i < count; ++i)
        EXPECT_TRUE(rows[i].passed)
            << rows[i].quantity << " " << rows[i].layer << ": " << rows[i].worst;
    set_times([](const dki_product &, int) { return 1.0; });
    return queued;
}

// Two layers with GELU, and two data gradients through them: a step has each epilogue twice, and
// timing many times more. Where a kernel of ours is faster, there is the timing alone.
TEST_F(Test, GeluIsInTheEpilogueWhereThatIsFaster) {
    Queued fused = checked({});
    Setting slow;
    slow.epilogue_ms = 0.6;
    Queued timed = checked(slow);
    for (int epilogue : {DKI_EPILOGUE_GELU_AUX_BIAS, DKI_EPILOGUE_DGELU}) {
        EXPECT_GT(timed[epilogue], 0) << "timed";
        EXPECT_GE(fused[epilogue], timed[epilogue] + 2) << "and used";
    }
    EXPECT_EQ(fused[DKI_EPILOGUE_GELU_BIAS], 0);
}

// The exact form is another function; dropout follows in a kernel of ours; what is deterministic
// isn't timed; and only bf16 is as coarse as a GPU's tanh.
TEST_F(Test, GeluIsInNoOtherEpilogue) {
    Setting exact, dropout, deterministic;
    exact.activation = DK_GELU;
    dropout.dropout = 0.25f;
    deterministic.deterministic = true;
    std::vector<Setting> others = {exact, dropout, deterministic};
    for (dk_precision precision : {DK_FP32, DK_TF32, DK_FP16}) {
        Setting other;
        other.precision = precision;
        others.push_back(other);
    }
    for (size_t i = 0; i < others.size(); ++i) {
        SCOPED_TRACE(i);
        Queued queued = checked(others[i]);
        EXPECT_GT(queued[DKI_EPILOGUE_NONE], 0);
        for (int epilogue = DKI_EPILOGUE_GELU_BIAS; epilogue < DKI_EPILOGUE_COUNT; ++epilogue)
            EXPECT_EQ(queued[epilogue], 0) << epilogue;
    }
}

// Without the library's, it goes without.
TEST_F(Test, GeluNeedsNoEpilogue) {
    set_algorithms([](const dki_product &p) {
        return p.epilogue >= DKI_EPILOGUE_GELU_BIAS && p.epilogue <= DKI_EPILOGUE_DGELU ? 0 : 3;
    });
    Queued queued = checked({});
    EXPECT_EQ(queued[DKI_EPILOGUE_GELU_AUX_BIAS] + queued[DKI_EPILOGUE_DGELU], 0);
}

} // namespace
} // namespace emulated

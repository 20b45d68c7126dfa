// Which network descriptions are valid: every rule, with a text that names the layer.
#include "support.h"
#include "support_net.h"

#include <cmath>
#include <limits>

namespace {

using support::Description;
using support::layer;

constexpr float NAN_F = std::numeric_limits<float>::quiet_NaN();
constexpr float INF_F = std::numeric_limits<float>::infinity();

Description classifier() {
    return {3,
            {layer(4, DK_RELU), layer(5, DK_TANH), layer(2, DK_IDENTITY)},
            DK_LOSS_SOFTMAX_CROSS_ENTROPY};
}

// ---- validation --------------------------------------------------------------------------------

struct Rule {
    const char *name;
    std::function<void(Description &)> spoil;
    dk_status status;
    const char *text; // what the error must name
};

const Rule rules[] = {
    {"size too small", [](Description &d) { d.desc.size = 8; }, DK_E_ARGUMENT, "DK_NET_DESC_INIT"},
    {"size too large", [](Description &d) { d.desc.size += 8; }, DK_E_ARGUMENT, "dk_net_desc.size"},
    {"no inputs", [](Description &d) { d.desc.inputs = 0; }, DK_E_ARGUMENT, "inputs 0"},
    {"negative inputs", [](Description &d) { d.desc.inputs = -5; }, DK_E_ARGUMENT, "inputs -5"},
    {"too many inputs", [](Description &d) { d.desc.inputs = (1 << 24) + 1; }, DK_E_ARGUMENT,
     "inputs 16777217"},
    {"enormous inputs", [](Description &d) { d.desc.inputs = INT64_MAX; }, DK_E_ARGUMENT,
     "inputs 9223372036854775807"},
    {"no layers", [](Description &d) { d.layers.clear(); }, DK_E_ARGUMENT, "0 layers"},
    {"too many layers", [](Description &d) { d.layers.assign(1025, layer(1, DK_IDENTITY)); },
     DK_E_ARGUMENT, "1025 layers"},
    {"width 0", [](Description &d) { d.layers[1].width = 0; }, DK_E_ARGUMENT, "layer 2: width 0"},
    {"negative width", [](Description &d) { d.layers[0].width = -1; }, DK_E_ARGUMENT,
     "layer 1: width -1"},
    {"width past the limit", [](Description &d) { d.layers[0].width = (1 << 24) + 1; },
     DK_E_ARGUMENT, "layer 1: width 16777217"},
    {"enormous width", [](Description &d) { d.layers[2].width = INT64_MIN; }, DK_E_ARGUMENT,
     "layer 3: width -9223372036854775808"},
    {"one product too large",
     [](Description &d) { d.layers[0].width = d.layers[1].width = 1 << 24; }, DK_E_SHAPE,
     "layer 2: a weight of 16777216 × 16777216"},
    {"a sum of products too large",
     [](Description &d) { d.layers.assign(40, layer(1 << 20, DK_IDENTITY)); }, DK_E_SHAPE,
     "layer 33: "}, // 32·2⁴⁰ is all there may be, and the biases come on top
    {"unknown activation",
     [](Description &d) { d.layers[1].activation = static_cast<dk_activation>(99); }, DK_E_ARGUMENT,
     "layer 2: unknown activation 99"},
    {"negative activation",
     [](Description &d) { d.layers[0].activation = static_cast<dk_activation>(-1); }, DK_E_ARGUMENT,
     "layer 1: unknown activation -1"},
    {"NaN alpha", [](Description &d) { d.layers[0].alpha = NAN_F; }, DK_E_ARGUMENT,
     "layer 1: alpha nan"},
    {"infinite alpha", [](Description &d) { d.layers[0].alpha = INF_F; }, DK_E_ARGUMENT,
     "layer 1: alpha inf"},
    {"negative alpha", [](Description &d) { d.layers[1].alpha = -0.5f; }, DK_E_ARGUMENT,
     "layer 2: alpha -0.5"},
    {"dropout 1", [](Description &d) { d.layers[0].dropout = 1.0f; }, DK_E_ARGUMENT,
     "layer 1: dropout 1"},
    {"negative dropout", [](Description &d) { d.layers[1].dropout = -0.1f; }, DK_E_ARGUMENT,
     "layer 2: dropout -0.1"},
    {"NaN dropout", [](Description &d) { d.layers[1].dropout = NAN_F; }, DK_E_ARGUMENT,
     "layer 2: dropout nan"},
    {"dropout in the last layer", [](Description &d) { d.layers[2].dropout = 0.5f; }, DK_E_ARGUMENT,
     "layer 3 is the last one"},
    {"unknown init", [](Description &d) { d.layers[1].init = static_cast<dk_init>(8); },
     DK_E_ARGUMENT, "layer 2: unknown init 8"},
    {"NaN init_value", [](Description &d) { d.layers[0].init_value = NAN_F; }, DK_E_ARGUMENT,
     "layer 1: init_value"},
    {"infinite init_value", [](Description &d) { d.layers[2].init_value = -INF_F; }, DK_E_ARGUMENT,
     "layer 3: init_value"},
    {"reserved", [](Description &d) { d.layers[1].reserved[3] = 1; }, DK_E_ARGUMENT,
     "layer 2: reserved"},
    {"unknown loss", [](Description &d) { d.desc.loss = static_cast<dk_loss>(5); }, DK_E_ARGUMENT,
     "unknown loss 5"},
    {"softmax on an activation", [](Description &d) { d.layers[2].activation = DK_SIGMOID; },
     DK_E_ARGUMENT, "must be identity, not sigmoid"},
    {"sigmoid cross-entropy on an activation",
     [](Description &d) {
         d.desc.loss = DK_LOSS_SIGMOID_CROSS_ENTROPY;
         d.layers[2].activation = DK_RELU;
     },
     DK_E_ARGUMENT, "must be identity, not relu"},
    {"huber_delta 0", [](Description &d) { d.desc.huber_delta = 0; }, DK_E_ARGUMENT,
     "huber_delta 0"},
    {"NaN huber_delta", [](Description &d) { d.desc.huber_delta = NAN_F; }, DK_E_ARGUMENT,
     "huber_delta nan"},
    {"infinite huber_delta", [](Description &d) { d.desc.huber_delta = INF_F; }, DK_E_ARGUMENT,
     "huber_delta inf"},
    {"smoothing 1", [](Description &d) { d.desc.label_smoothing = 1; }, DK_E_ARGUMENT,
     "label_smoothing 1"},
    {"negative smoothing", [](Description &d) { d.desc.label_smoothing = -0.1f; }, DK_E_ARGUMENT,
     "label_smoothing -0.1"},
    {"NaN smoothing", [](Description &d) { d.desc.label_smoothing = NAN_F; }, DK_E_ARGUMENT,
     "label_smoothing nan"},
    {"smoothing with mse",
     [](Description &d) {
         d.desc.loss = DK_LOSS_MSE;
         d.desc.label_smoothing = 0.1f;
     },
     DK_E_ARGUMENT, "not to mse"},
    {"smoothing with sigmoid cross-entropy",
     [](Description &d) {
         d.desc.loss = DK_LOSS_SIGMOID_CROSS_ENTROPY;
         d.desc.label_smoothing = 0.1f;
     },
     DK_E_ARGUMENT, "not to sigmoid_cross_entropy"},
    {"class weights with mae",
     [](Description &d) {
         d.desc.loss = DK_LOSS_MAE;
         d.class_weights = {1, 1};
     },
     DK_E_ARGUMENT, "not to mae"},
    {"class weight 0",
     [](Description &d) {
         d.class_weights = {1, 0};
     },
     DK_E_ARGUMENT, "class_weights[1] = 0"},
    {"negative class weight",
     [](Description &d) {
         d.class_weights = {-2, 1};
     },
     DK_E_ARGUMENT, "class_weights[0] = -2"},
    {"NaN class weight",
     [](Description &d) {
         d.class_weights = {NAN_F, 1};
     },
     DK_E_ARGUMENT, "class_weights[0] = nan"},
    {"infinite class weight",
     [](Description &d) {
         d.class_weights = {1, INF_F};
     },
     DK_E_ARGUMENT, "class_weights[1] = inf"},
};

TEST(NetValidate, RefusesWhatBreaksARuleAndNamesIt) {
    support::Context context = support::open_context();
    for (const Rule &rule : rules) {
        SCOPED_TRACE(rule.name);
        Description description = classifier();
        ASSERT_EQ(dk_net_validate(description.get()), DK_OK) << dk_error_text();
        rule.spoil(description);
        EXPECT_EQ(dk_net_validate(description.get()), rule.status);
        support::expect_error_names(rule.text);
        dk_net *net = reinterpret_cast<dk_net *>(16);
        EXPECT_EQ(dk_net_create(&net, context.get(), description.get()), rule.status);
        EXPECT_EQ(net, nullptr);
        support::expect_error_names(rule.text);
    }
}

TEST(NetValidate, RefusesNull) {
    EXPECT_EQ(dk_net_validate(nullptr), DK_E_ARGUMENT);
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = 1;
    desc.layer_count = 1; // and layers NULL
    EXPECT_EQ(dk_net_validate(&desc), DK_E_ARGUMENT);
    support::Context context = support::open_context();
    Description fine = classifier();
    EXPECT_EQ(dk_net_create(nullptr, context.get(), fine.get()), DK_E_ARGUMENT);
    dk_net *net = nullptr;
    EXPECT_EQ(dk_net_create(&net, nullptr, fine.get()), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_create(&net, context.get(), nullptr), DK_E_ARGUMENT);
}

TEST(NetValidate, TakesTheExtremesThatAreAllowed) {
    Description widest(1 << 24, {layer(1 << 20, DK_IDENTITY)});
    EXPECT_EQ(dk_net_validate(widest.get()), DK_OK) << dk_error_text();
    Description deepest(1, std::vector<dk_layer>(1024, layer(1, DK_RELU)));
    deepest.layers[0].dropout = std::nextafter(1.0f, 0.0f);
    EXPECT_EQ(dk_net_validate(deepest.get()), DK_OK) << dk_error_text();
    Description smooth = classifier();
    smooth.desc.label_smoothing = std::nextafter(1.0f, 0.0f);
    smooth.class_weights = {std::numeric_limits<float>::denorm_min(),
                            std::numeric_limits<float>::max()};
    EXPECT_EQ(dk_net_validate(smooth.get()), DK_OK) << dk_error_text();
}

} // namespace

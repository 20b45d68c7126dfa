// Contexts, networks and sets as the tests of the model and the training want them: owned, small,
// and described in a line or two.
#ifndef DELTAK_TESTS_SUPPORT_NET_H
#define DELTAK_TESTS_SUPPORT_NET_H

#include "deltak/deltak.h"
#include "device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace support {

template <auto destroy> struct Destroy {
    template <class T> void operator()(T *object) const { destroy(object); }
};
using Context = std::unique_ptr<dk_context, Destroy<&dk_context_destroy>>;
using Dataset = std::unique_ptr<dk_dataset, Destroy<&dk_dataset_destroy>>;
using Net = std::unique_ptr<dk_net, Destroy<&dk_net_destroy>>;
using Trainer = std::unique_ptr<dk_trainer, Destroy<&dk_trainer_destroy>>;
using Session = std::unique_ptr<dk_session, Destroy<&dk_session_destroy>>;
using Predictor = std::unique_ptr<dk_predictor, Destroy<&dk_predictor_destroy>>;

/// A context on the device that is tested; `allocator` must outlive everything made from it.
inline Context open_context(int threads = 1, const dk_allocator *allocator = nullptr,
                            bool deterministic = false) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = device::name();
    options.no_plan_cache = true; // nothing of a test's in the user's folders
    options.threads = threads;
    options.deterministic = deterministic;
    if (allocator) options.allocator = *allocator;
    dk_context *context = nullptr;
    EXPECT_EQ(dk_context_create(&context, &options), DK_OK) << dk_error_text();
    return Context(context);
}

/// One that computes the bits of every other that is opened so: a GPU's algorithms are chosen by timing
/// otherwise, which may choose others each time.
inline Context open_repeatable(int threads = 1) {
    return open_context(threads, nullptr, true);
}

inline dk_layer layer(int64_t width, dk_activation activation) {
    dk_layer made = DK_LAYER_INIT;
    made.width = width;
    made.activation = activation;
    return made;
}

/// A description that owns its layers. Copying one needs `get` called anew.
struct Description {
    dk_net_desc desc = DK_NET_DESC_INIT;
    std::vector<dk_layer> layers;
    std::vector<float> class_weights;

    Description(int64_t inputs, std::vector<dk_layer> given, dk_loss loss = DK_LOSS_MSE)
        : layers(std::move(given)) {
        desc.inputs = inputs;
        desc.loss = loss;
    }
    const dk_net_desc *get() {
        desc.layers = layers.data();
        desc.layer_count = layers.size();
        desc.class_weights = class_weights.empty() ? nullptr : class_weights.data();
        return &desc;
    }
};

inline Net net(dk_context *context, Description description) {
    dk_net *made = nullptr;
    EXPECT_EQ(dk_net_create(&made, context, description.get()), DK_OK) << dk_error_text();
    return Net(made);
}

inline Net net_for(const dk_dataset *data, const std::vector<int64_t> &hidden,
                   dk_activation activation = DK_TANH, uint64_t seed = 1) {
    dk_net *made = nullptr;
    EXPECT_EQ(dk_net_create_for(&made, data, hidden.data(), hidden.size(), activation, seed), DK_OK)
        << dk_error_text();
    return Net(made);
}

inline Dataset open(dk_context *context, const char *source,
                    dk_data_options options = DK_DATA_OPTIONS_INIT) {
    dk_dataset *made = nullptr;
    EXPECT_EQ(dk_dataset_open(&made, context, source, &options), DK_OK) << dk_error_text();
    return Dataset(made);
}

inline Dataset synth(dk_context *context, const char *source, int64_t rows, uint64_t seed = 1,
                     int64_t features = 0, int64_t targets = 0) {
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.rows = rows;
    options.seed = seed;
    options.features = features;
    options.targets = targets;
    return open(context, source, options);
}

inline Dataset from_arrays(dk_context *context, const dk_arrays &arrays) {
    dk_dataset *made = nullptr;
    EXPECT_EQ(dk_dataset_from_arrays(&made, context, &arrays), DK_OK) << dk_error_text();
    return Dataset(made);
}

/// Features, and labels or targets, of the test's own; they must outlive the set.
struct Arrays {
    int64_t features = 0, classes = 0, target_count = 0;
    std::vector<float> x, targets, weights;
    std::vector<int32_t> labels;

    Dataset open(dk_context *context) const {
        dk_arrays arrays = DK_ARRAYS_INIT;
        arrays.features = features;
        arrays.rows = static_cast<int64_t>(x.size()) / features;
        arrays.x = x.data();
        if (!labels.empty()) arrays.labels = labels.data();
        arrays.classes = classes;
        if (!targets.empty()) arrays.targets = targets.data();
        arrays.target_count = target_count;
        if (!weights.empty()) arrays.weights = weights.data();
        return from_arrays(context, arrays);
    }
};

inline std::vector<float> normal(size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> distribution;
    std::vector<float> values(count);
    for (float &value : values) value = distribution(random);
    return values;
}

inline std::pair<Dataset, Dataset> split(const dk_dataset *data, double fraction,
                                         uint64_t seed = 1) {
    dk_dataset *rest = nullptr, *part = nullptr;
    EXPECT_EQ(dk_dataset_split(data, fraction, seed, &rest, &part), DK_OK) << dk_error_text();
    return {Dataset(rest), Dataset(part)};
}

inline Trainer trainer(dk_net *net, dk_train_options options = DK_TRAIN_OPTIONS_INIT) {
    dk_trainer *made = nullptr;
    EXPECT_EQ(dk_trainer_create(&made, net, &options), DK_OK) << dk_error_text();
    return Trainer(made);
}

inline std::vector<float> tensor(const dk_net *net, dk_tensor which, size_t k) {
    dk_net_desc desc;
    EXPECT_EQ(dk_net_describe(net, &desc), DK_OK);
    int64_t inputs = k > 1 ? desc.layers[k - 2].width : desc.inputs;
    std::vector<float> values(
        static_cast<size_t>(desc.layers[k - 1].width * (which == DK_WEIGHT ? inputs : 1)));
    EXPECT_EQ(dk_net_get(net, which, k, values.data(), values.size()), DK_OK) << dk_error_text();
    return values;
}

/// Every W and b, as bits, so that −0 and 0 differ.
inline std::vector<uint32_t> parameter_bits(const dk_net *net) {
    dk_net_desc desc;
    EXPECT_EQ(dk_net_describe(net, &desc), DK_OK);
    std::vector<uint32_t> bits;
    for (size_t k = 1; k <= desc.layer_count; ++k)
        for (dk_tensor which : {DK_WEIGHT, DK_BIAS}) {
            std::vector<float> values = tensor(net, which, k);
            size_t before = bits.size();
            bits.resize(before + values.size());
            std::memcpy(bits.data() + before, values.data(), values.size() * sizeof(float));
        }
    return bits;
}

inline int64_t rows_of(const dk_dataset *data) {
    dk_dataset_info info;
    EXPECT_EQ(dk_dataset_describe(data, &info), DK_OK);
    return info.rows;
}

/// dk_predict_dataset, [rows, n_L].
inline std::vector<float> predictions(const dk_net *net, const dk_dataset *data) {
    dk_net_desc desc;
    EXPECT_EQ(dk_net_describe(net, &desc), DK_OK);
    std::vector<float> y(
        static_cast<size_t>(rows_of(data) * desc.layers[desc.layer_count - 1].width));
    EXPECT_EQ(dk_predict_dataset(net, data, y.data()), DK_OK) << dk_error_text();
    return y;
}

} // namespace support

#endif

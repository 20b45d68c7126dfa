// A network and a batch for the reference, owned by C++ containers.
#ifndef SUPPORT_REFERENCE_H
#define SUPPORT_REFERENCE_H

extern "C" {
#include "reference/reference.h"
}

#include <gtest/gtest.h>

#include <random>
#include <vector>

using Numbers = std::vector<double>;

struct RefLayer {
    int64_t width;
    dk_activation activation;
    double alpha;
    Numbers W, b, dropout;
};

// Everything that a pass needs; `view` and `batch` point into it, so they are made anew at each
// use.
struct RefNet {
    int64_t inputs = 0, rows = 0;
    std::vector<RefLayer> layers;
    Numbers x, targets, weights, class_weights;
    std::vector<int32_t> labels; // used instead of targets when not empty
    dki_ref_loss loss = {DK_LOSS_MSE, 1, 0, nullptr};

    int64_t inputsOf(size_t k) const { return k == 1 ? inputs : layers[k - 2].width; }
    int64_t outputs() const { return layers.back().width; }

    dki_ref_net view() {
        table.clear();
        for (size_t k = 1; k <= layers.size(); k++) {
            const RefLayer &layer = layers[k - 1];
            table.push_back({inputsOf(k), layer.width, layer.activation, layer.alpha,
                             layer.W.data(), layer.b.data(), orNull(layer.dropout)});
        }
        loss.class_weights = orNull(class_weights);
        return {table.data(), table.size(), loss};
    }

    dki_ref_batch batch() const {
        return {rows, x.data(), labels.empty() ? nullptr : labels.data(),
                labels.empty() ? targets.data() : nullptr, orNull(weights)};
    }

    static const double *orNull(const Numbers &v) { return v.empty() ? nullptr : v.data(); }

  private:
    std::vector<dki_ref_layer> table;
};

// Tensors of a network, released at the end of their scope.
struct RefTensors {
    dki_ref_tensors t = {};
    explicit RefTensors(RefNet &net) {
        const dki_ref_net view = net.view();
        EXPECT_EQ(DK_OK, dki_ref_create(&t, &dki_libc_allocator, &view, net.rows));
    }
    RefTensors(const RefTensors &) = delete;
    RefTensors &operator=(const RefTensors &) = delete;
    ~RefTensors() { dki_ref_destroy(&t); }
};

inline Numbers refRandom(std::mt19937_64 &random, int64_t count, double scale) {
    std::normal_distribution<double> normal(0, scale);
    Numbers values(static_cast<size_t>(count));
    for (double &v : values) v = normal(random);
    return values;
}

// Random parameters, inputs and targets for the given widths (the first is n_0), one activation a
// layer; α is 0.3 for leaky_relu and 0.7 for elu.
inline RefNet refNet(const std::vector<int64_t> &widths,
                     const std::vector<dk_activation> &activations, int64_t rows, uint64_t seed) {
    std::mt19937_64 random(seed);
    RefNet net;
    net.inputs = widths[0];
    net.rows = rows;
    for (size_t k = 1; k < widths.size(); k++) {
        dk_activation g = activations[k - 1];
        net.layers.push_back({widths[k],
                              g,
                              g == DK_LEAKY_RELU ? 0.3
                              : g == DK_ELU      ? 0.7
                                                 : 0,
                              refRandom(random, widths[k] * widths[k - 1], 0.8),
                              refRandom(random, widths[k], 0.3),
                              {}});
    }
    net.x = refRandom(random, rows * widths[0], 1);
    net.targets = refRandom(random, rows * widths.back(), 1);
    return net;
}

#endif

// A loss to test: one operation with all that it reads and writes, between guards.
#ifndef DELTAK_TESTS_SIMT_LOSSES_H
#define DELTAK_TESTS_SIMT_LOSSES_H

#include "simt/kernels.h"

namespace kernels {

/// One loss with all that it reads and writes.
struct Loss {
    dki_element type;
    Size size;
    Matrix a, z, delta;
    Array<float> targets, weights;
    Array<int32_t> labels;
    Array<double> row_loss;
    dki_step_state state = state_at(6);
    dki_loss op{};

    /// a and z from 0 to ±3 or so, with targets of the same kind; everything is handed over, but
    /// for labels and class weights.
    Loss(dki_element type_, Size size_, Place place, dk_loss kind, const Floats &a_values,
         const Floats &z_values, const Floats &y_values, const Floats &w_values)
        : type(type_), size(size_), a(type, size.rows, size.cols, place, a_values),
          z(type, size.rows, size.cols, place, z_values), delta(type, size.rows, size.cols, place),
          targets(y_values, static_cast<size_t>(place.offset)), weights(w_values),
          labels(std::vector<int32_t>(static_cast<size_t>(size.rows))),
          row_loss(Array<double>::of(static_cast<size_t>(size.rows))) {
        op.rule.kind = kind;
        op.rule.huber_delta = 1.0f;
        op.a = a.view();
        op.z = z.view();
        op.delta = delta.view();
        op.g = nonlinearity(DK_IDENTITY);
        op.targets = targets.data();
        op.weights = weights.data();
        op.state = &state;
        state.inverse_normaliser = 0.25f;
    }

    void use_labels(const std::vector<int32_t> &values) {
        labels = Array<int32_t>(values);
        op.labels = labels.data();
        op.targets = nullptr;
    }
    int run() { return dki_cuda_loss(nullptr, type, &op, row_loss.data()); }
};

inline Loss integers(dki_element type, Size size, Place place, dk_loss kind, uint64_t seed = 1) {
    Random random(seed);
    const int64_t count = size.rows * size.cols;
    const Floats a = random.integers(count), y = random.integers(count);
    Floats w = random.integers(size.rows);
    for (float &v : w) v = std::fabs(v);
    return Loss(type, size, place, kind, a, a, y, w);
}

inline Loss normal(dki_element type, Size size, Place place, dk_loss kind, double scale = 1.0,
                   uint64_t seed = 1) {
    Random random(seed);
    const int64_t count = size.rows * size.cols;
    const Floats a = random.normal(type, count, scale), z = random.normal(type, count, scale);
    Floats y = random.normal(DKI_ELEMENT_F32, count), w = random.normal(DKI_ELEMENT_F32, size.rows);
    for (float &v : w) v = std::fabs(v);
    return Loss(type, size, place, kind, a, z, y, w);
}

inline std::vector<int32_t> some_labels(Size size, uint64_t seed = 3) {
    Random random(seed);
    std::vector<int32_t> labels;
    for (int64_t i = 0; i < size.rows; ++i)
        labels.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(size.cols)));
    return labels;
}

inline float target(Loss &loss, int64_t row, int64_t col) {
    if (loss.op.labels) return loss.op.labels[row] == col ? 1.0f : 0.0f;
    return loss.op.targets[row * loss.size.cols + col];
}

inline float weight_of(const Loss &loss, int64_t row) {
    return loss.op.weights ? loss.op.weights[row] : 1.0f;
}

} // namespace kernels

#endif

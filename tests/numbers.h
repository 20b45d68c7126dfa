// How the tests of operations and of kernels judge numbers, and what both start from.
#ifndef DELTAK_TESTS_NUMBERS_H
#define DELTAK_TESTS_NUMBERS_H

#include "every.h"

extern "C" {
#include "backend/backend.h"
#include "kernels/activation.h"
#include "kernels/philox.h"
#include "reference/bounds.h"
}

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace numbers {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

/// Unit roundoff of fp32, and γ_n = n u/(1 − n u).
inline constexpr double UNIT = 0x1p-24;
inline double gamma_n(double n) {
    return dki_ref_gamma(n, UNIT);
}

/// Every element of x is within its bound of r; a bound of 0 means equality.
inline void expect_within(const Floats &x, const Doubles &r, const Doubles &bound,
                          const std::string &what) {
    ASSERT_EQ(x.size(), r.size()) << what;
    size_t wrong = 0, first = 0;
    for (size_t i = 0; i < x.size(); ++i)
        if (!(std::fabs(static_cast<double>(x[i]) - r[i]) <= bound[i]) && wrong++ == 0) first = i;
    EXPECT_EQ(0u, wrong) << what << ": element " << first << " of " << x.size() << " is "
                         << x[first] << ", not " << r[first] << " ± " << bound[first];
}

inline bool same_bits(const Floats &a, const Floats &b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

using support::activations;

/// α as the tests use it.
inline float alpha_of(dk_activation kind) {
    return kind == DK_LEAKY_RELU ? 0.25f : kind == DK_ELU ? 0.75f : 0.0f;
}

/// g without dropout.
inline dki_nonlinearity plain(dk_activation kind) {
    dki_nonlinearity g{};
    g.kind = kind;
    g.alpha = alpha_of(kind);
    g.dropout_scale = 1.0f;
    return g;
}

/// The dropout factor of element (row, col), from the definition of the random words.
inline float factor(const dki_nonlinearity &g, const dki_step_state &state, int64_t row,
                    int64_t col) {
    if (!g.dropout_threshold) return 1.0f;
    const uint32_t word =
        dki_random_word(state.seed, DKI_FOR_DROPOUT, g.layer, state.tick,
                        g.first_row + static_cast<uint32_t>(row), static_cast<uint64_t>(col));
    return word < g.dropout_threshold ? 0.0f : g.dropout_scale;
}

/// A state as after `begin` of step `tick`.
inline dki_step_state begun(uint64_t tick, uint64_t seed) {
    dki_step_state state{};
    state.tick = tick;
    state.seed = seed;
    state.beta1_power = state.beta2_power = 1.0;
    state.inverse_normaliser = 1.0f;
    state.rate = {0.1f, 1.0f, 1.0f, 1.0f, 0};
    return state;
}

} // namespace numbers

#endif

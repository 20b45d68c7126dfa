// activation.cu on the thread emulator: z = product + b, a = g(z) ⊙ dropout, against the shared
// scalar formulas bit for bit, rounded to the storage type by the tests' own rounding, and against
// the double reference.
#include "simt/kernels.h"

using namespace kernels;

namespace {

struct Forward {
    dki_element type;
    Size size;
    Place place, other;
    dki_nonlinearity g;
    bool keep_z, bias;
    Floats product, b;
    dki_step_state state = state_at((uint64_t{1} << 33) + 5);

    Forward(Random &random, dki_element type_, const Size &size_, const Place &place_,
            const dki_nonlinearity &g_, bool keep_z_, bool bias_)
        : type(type_), size(size_), place(place_), other(places[random() % places.size()]), g(g_),
          keep_z(keep_z_), bias(bias_), product(random.normal(type_, size_.rows * size_.cols, 2.0)),
          b(random.normal(DKI_ELEMENT_F32, size_.cols)) {}

    std::string name() const {
        return describe("activation", type, size, place, dk_activation_name(g.kind)) + " a (+" +
               std::to_string(other.padding) + ", @" + std::to_string(other.offset) + ")" +
               (keep_z ? " z" : "") + (bias ? " b" : "") + (g.dropout_threshold ? " dropout" : "");
    }
};

struct Result {
    Floats z, a;
};

/// z and a lie in places of their own: either may be the only one that is aligned.
Result run(const Forward &f, uint64_t order) {
    simt::set_order(order);
    Matrix z(f.type, f.size.rows, f.size.cols, f.place, f.product);
    Matrix a(f.type, f.size.rows, f.size.cols, f.other);
    Matrix in_place(f.type, f.size.rows, f.size.cols, f.place, f.product);
    /* a bias may begin anywhere, whatever the matrices do */
    Array<float> b(f.b, static_cast<size_t>((f.place.offset + f.size.rows) % 4));
    Array<dki_step_state> state({f.state});
    dki_linear_forward op{};
    if (f.keep_z) op.z = z.view();
    op.a_out = f.keep_z ? a.view() : in_place.view();
    op.b = f.bias ? b.data() : nullptr;
    op.g = f.g;
    op.state = state.data();
    EXPECT_EQ(0, dki_cuda_activation(nullptr, f.type, &op)) << f.name();
    EXPECT_TRUE(same_bits(b.read(), f.b));
    return f.keep_z ? Result{z.read(), a.read()} : Result{{}, in_place.read()};
}

float stored(const Forward &f, float x) {
    return static_cast<float>(rounded(f.type, static_cast<double>(x)));
}

/// z before it is rounded.
float z_of(const Forward &f, int64_t i, int64_t j) {
    const float product = f.product[static_cast<size_t>(i * f.size.cols + j)];
    return f.bias ? product + f.b[static_cast<size_t>(j)] : product;
}

void expect_formula(const Forward &f, const Result &result) {
    Floats z, a;
    for (int64_t i = 0; i < f.size.rows; ++i)
        for (int64_t j = 0; j < f.size.cols; ++j) {
            const float value = z_of(f, i, j);
            z.push_back(stored(f, value));
            const float g = dki_activation(f.g.kind, f.g.alpha, value);
            a.push_back(stored(f, f.g.dropout_threshold ? g * mask(f.g, f.state, i, j) : g));
        }
    if (f.keep_z) expect_same(result.z, z, f.name() + " z");
    expect_same(result.a, a, f.name() + " a");
}

} // namespace

// Breaks with a tail or a row left out or done twice, an element of the padding written, a row read
// with another matrix's leading dimension, a bias of another column, a from the rounded z, a mask
// of another element, 128-bit accesses where rows don't begin on 16 bytes.
TEST(ActivationKernel, IsTheFormulaAtAnySizeAndPlace) {
    Random random(1);
    const std::vector<dk_activation> kinds = activations();
    for (const Size &size : sizes)
        for (const Place &place : places)
            for (dki_element type : elements)
                for (int variant = 0; variant < 8; ++variant) {
                    dki_nonlinearity g = nonlinearity(kinds[random() % kinds.size()]);
                    if (variant & 4) g = with_dropout(g, 0.3f);
                    const Forward f(random, type, size, place, g, variant & 1, variant & 2);
                    expect_formula(f, run(f, orders[random() % orders.size()]));
                    if (HasFailure()) return;
                }
}

// Breaks with a pack at a row's end that takes its padding for elements, writes there, or reads a bias
// beyond the last.
TEST(ActivationKernel, TakesRowsThatEndInTheMiddleOfAPack) {
    Random random(6);
    const std::vector<dk_activation> kinds = activations();
    for (const Size &size : padded_sizes)
        for (dki_element type : elements)
            for (int variant = 0; variant < 8; ++variant) {
                dki_nonlinearity g = nonlinearity(kinds[random() % kinds.size()]);
                if (variant & 4) g = with_dropout(g, 0.3f);
                const Forward f(random, type, size, padded_rows(type, size.cols), g, variant & 1,
                                variant & 2);
                expect_formula(f, run(f, orders[random() % orders.size()]));
                if (HasFailure()) return;
            }
}

// Breaks with an activation that takes another's formula, α not passed on or its default not taken,
// more than one rounding to the storage type.
TEST(ActivationKernel, OfEveryKindIsWithinItsBoundOfTheReference) {
    Random random(2);
    for (dk_activation kind : activations())
        for (dki_element type : elements)
            for (int variant = 0; variant < 2; ++variant) {
                dki_nonlinearity g = nonlinearity(kind);
                if (variant) g.alpha = 0.0f; /* the default */
                const Forward f(random, type, {33, 31}, places[0], g, true, true);
                const Result result = run(f, 2);
                const double alpha = static_cast<double>(dki_activation_alpha(kind, g.alpha));
                const double u = unit_of(type), tiny = tiny_of(type) + DKI_REF_UNDERFLOW;
                Doubles z, a, z_bound, a_bound;
                for (size_t i = 0; i < f.product.size(); ++i) {
                    const double sum = static_cast<double>(f.product[i]) +
                                       static_cast<double>(f.b[i % f.b.size()]);
                    const double e = gamma_n(1) * std::fabs(sum);
                    const double value = dki_ref_g(kind, alpha, sum);
                    const double steepest = std::fabs(dki_ref_g_prime(kind, alpha, sum)) +
                                            dki_ref_g_curvature(kind, alpha) * e +
                                            dki_ref_g_prime_jump(kind, alpha, sum, e);
                    /* the GELUs' own error is a part of |z|: docs/numerics.md */
                    const bool gelu = kind == DK_GELU || kind == DK_GELU_TANH;
                    const double own = gamma_n(8) * std::fabs(gelu ? sum : value);
                    const double off = steepest * e + own;
                    z.push_back(sum);
                    z_bound.push_back(e + u * (std::fabs(sum) + e) + tiny);
                    a.push_back(value);
                    a_bound.push_back(off + u * (std::fabs(value) + off) + tiny);
                }
                expect_within(result.z, z, z_bound, f.name() + " z");
                expect_within(result.a, a, a_bound, f.name() + " a");
            }
}

// Breaks with fast-math, with a −0 turned into 0 where there is no bias, with NaN or ∞ swallowed.
TEST(ActivationKernel, KeepsZerosInfinitiesAndNaN) {
    Random random(3);
    const Floats special = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 60000.0f, -60000.0f, 1e-7f};
    for (dk_activation kind : activations())
        for (dki_element type : elements)
            for (int variant = 0; variant < 8; ++variant) {
                /* rows of elements, and of whole packs */
                Forward f(random, type, {3, variant & 4 ? 40 : 41}, places[0], nonlinearity(kind),
                          variant & 1, variant & 2);
                for (size_t i = 0; i < f.product.size(); ++i)
                    f.product[i] = stored(f, special[random() % special.size()]);
                std::fill(f.b.begin(), f.b.end(), -0.0f);
                expect_formula(f, run(f, 1));
            }
}

// Breaks with a mask that isn't the one of dki_random_word, with the scale on dropped elements, and
// with dropout where there is no state.
TEST(ActivationKernel, DropsTheElementsOfItsRandomWords) {
    Random random(4);
    for (dki_element type : elements)
        for (float p : {0.0f, 0.25f, 0.5f}) {
            Forward f(random, type, {37, 53}, places[0], nonlinearity(DK_IDENTITY), true, false);
            f.g = with_dropout(f.g, p);
            std::fill(f.product.begin(), f.product.end(), 1.0f);
            const Result result = run(f, 3);
            size_t dropped = 0;
            for (size_t i = 0; i < result.a.size(); ++i) {
                const uint32_t word =
                    dki_random_word(f.state.seed, DKI_FOR_DROPOUT, f.g.layer, f.state.tick,
                                    f.g.first_row + static_cast<uint32_t>(i / 53), i % 53);
                const bool drop = static_cast<double>(word) < static_cast<double>(p) * 0x1p32;
                dropped += drop;
                EXPECT_EQ(result.a[i], drop ? 0.0f : stored(f, 1.0f / (1.0f - p))) << f.name();
            }
            EXPECT_EQ(dropped > 0, p > 0.0f);
        }
}

TEST(ActivationKernel, WithoutAStateDropsNothing) {
    Matrix a(DKI_ELEMENT_F32, 5, 7, {}, Floats(35, 1.0f));
    dki_linear_forward op{};
    op.a_out = a.view();
    op.g = with_dropout(nonlinearity(DK_IDENTITY), 0.5f);
    EXPECT_EQ(0, dki_cuda_activation(nullptr, DKI_ELEMENT_F32, &op));
    EXPECT_EQ(a.read(), Floats(35, 1.0f));
}

// Breaks where the rows that the grid doesn't have threads for are left out: 8192 rows are handled
// at a time, four times that before a thread loads again.
TEST(ActivationKernel, TakesMoreRowsThanTheGridHasThreads) {
    Random random(5);
    const Forward f(random, DKI_ELEMENT_F32, {4 * 8192 + 8191, 65}, places[0],
                    nonlinearity(DK_RELU), true, true);
    expect_formula(f, run(f, 0));
    // The same for 128-bit accesses, of which 16,384 rows are in hand at a time.
    const Forward packed(random, DKI_ELEMENT_F32, {4 * 16384 + 77, 64}, places[0],
                         nonlinearity(DK_RELU), false, true);
    expect_formula(packed, run(packed, 0));
}

TEST(ActivationKernel, OfNothingDoesNothing) {
    dki_linear_forward op{};
    op.g = nonlinearity(DK_RELU);
    EXPECT_EQ(0, dki_cuda_activation(nullptr, DKI_ELEMENT_BF16, &op));
}

// A kind that doesn't exist is an error, not another kernel.
TEST(ActivationKernel, RefusesAnUnknownKind) {
    Matrix a(DKI_ELEMENT_F32, 1, 1, {}, {1.0f});
    dki_linear_forward op{};
    op.a_out = a.view();
    op.g = nonlinearity(static_cast<dk_activation>(DKI_ACTIVATION_COUNT));
    EXPECT_NE(0, dki_cuda_activation(nullptr, DKI_ELEMENT_F32, &op));
    EXPECT_EQ(a.read(), Floats{1.0f});
}

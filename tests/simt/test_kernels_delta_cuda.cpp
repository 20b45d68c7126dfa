// delta.cu on the thread emulator: δ = product ⊙ dropout ⊙ g′ and its column sums. δ is compared with
// the shared scalar formulas bit for bit and with the double reference; the sums with sums in double,
// exactly where the inputs are small integers, and with each other in any order of threads.
#include "simt/kernels.h"

using namespace kernels;

namespace {

struct Backward {
    dki_element type;
    Size size;
    Place place;
    dki_nonlinearity g;
    Floats product, saved;
    bool from_a = false, sums = true;
    dki_step_state state = state_at((uint64_t{1} << 33) + 6);

    std::string name() const {
        return describe("delta", type, size, place, dk_activation_name(g.kind)) +
               (from_a ? " a" : " z") + (g.dropout_threshold ? " dropout" : "");
    }
};

struct Result {
    Floats delta, partial;
};

Result run(const Backward &f, uint64_t order) {
    simt::set_order(order);
    /* z or a lies where it likes, aligned or not, whatever Δ does */
    const Place other = {f.place.padding ? f.place.padding + 8 : 0,
                         (f.place.offset + f.size.rows) % 4};
    Matrix delta(f.type, f.size.rows, f.size.cols, f.place, f.product);
    Matrix saved(f.type, f.size.rows, f.size.cols, other, f.saved);
    Matrix partial(DKI_ELEMENT_F32, dki_sum_tiles(f.size.rows), f.size.cols, {0, f.place.offset});
    Array<dki_step_state> state({f.state});
    dki_linear_backward_data op{};
    op.delta_out = delta.view();
    (f.from_a ? op.a : op.z) = saved.view();
    op.g = f.g;
    op.state = state.data();
    EXPECT_EQ(0, dki_cuda_delta(nullptr, f.type, &op, f.sums ? partial.floats() : nullptr));
    EXPECT_TRUE(same_bits(saved.read(), f.saved)) << f.name();
    return {delta.read(), partial.read()};
}

/// δ before it is rounded, in the kernel's own arithmetic.
Floats formula(const Backward &f) {
    Floats delta;
    for (int64_t i = 0; i < f.size.rows; ++i)
        for (int64_t j = 0; j < f.size.cols; ++j) {
            const size_t at = delta.size();
            float x = f.product[at];
            if (f.g.dropout_threshold) x *= mask(f.g, f.state, i, j);
            if (f.g.kind != DK_IDENTITY) x *= dki_activation_grad(f.g.kind, f.g.alpha, f.saved[at]);
            delta.push_back(x);
        }
    return delta;
}

Floats stored(dki_element type, const Floats &values) {
    Floats result;
    for (float x : values)
        result.push_back(static_cast<float>(rounded(type, static_cast<double>(x))));
    return result;
}

/// The sums of each tile's columns, and what they may be off by: exactly nothing, or γ.
void expect_sums(const Backward &f, const Floats &partial, const Floats &delta, bool exact) {
    const int64_t tile_rows = dki_sum_tile_rows(f.size.rows), cols = f.size.cols;
    Doubles sums(partial.size()), bounds(partial.size());
    for (int64_t i = 0; i < f.size.rows; ++i)
        for (int64_t j = 0; j < cols; ++j) {
            const double x = static_cast<double>(delta[static_cast<size_t>(i * cols + j)]);
            const size_t to = static_cast<size_t>(i / tile_rows * cols + j);
            sums[to] += x;
            if (!exact) bounds[to] += gamma_n(static_cast<double>(tile_rows)) * std::fabs(x);
        }
    expect_within(partial, sums, bounds, f.name() + " sums");
}

Backward backward(Random &random, dki_element type, const Size &size, dk_activation kind) {
    const int64_t count = size.rows * size.cols;
    Backward f = {type,
                  size,
                  {},
                  nonlinearity(kind),
                  random.normal(type, count),
                  random.normal(type, count, 2.0)};
    return f;
}

} // namespace

// Breaks with a tail, a row or a tile left out or done twice, padding written, leading dimensions
// confused, a missing barrier, a sum over threads that depends on their order or on the alignment,
// sums of rounded values.
TEST(DeltaKernel, IsTheFormulaAtAnySizeAndPlaceWithSumsThatDependOnTheShapeAlone) {
    Random random(1);
    const std::vector<dk_activation> kinds = activations();
    for (const Size &size : sizes)
        for (dki_element type : elements) {
            Backward f = backward(random, type, size, kinds[random() % kinds.size()]);
            if (random() % 2) f.g = with_dropout(f.g, 0.3f);
            const Floats delta = formula(f);
            Floats first;
            for (size_t i = 0; i < orders.size(); ++i) {
                f.place = places[i % places.size()];
                const Result result = run(f, orders[i]);
                /* the identity without dropout has nothing to write */
                expect_same(result.delta, stored(type, delta), f.name());
                expect_sums(f, result.partial, delta, false);
                if (i == 0) first = result.partial;
                EXPECT_TRUE(same_bits(first, result.partial)) << f.name();
                if (HasFailure()) return;
            }
        }
}

// Breaks with a pack at a row's end that takes its padding for elements, or writes there; with sums that
// what is in the padding gets into, or that depend on how the row is loaded.
TEST(DeltaKernel, TakesRowsThatEndInTheMiddleOfAPack) {
    Random random(8);
    const std::vector<dk_activation> kinds = activations();
    for (const Size &size : padded_sizes)
        for (dki_element type : elements) {
            Backward f = backward(random, type, size, kinds[random() % kinds.size()]);
            if (random() % 2) f.g = with_dropout(f.g, 0.3f);
            const Result elements_alone = run(f, 0);
            f.place = padded_rows(type, size.cols);
            const Result result = run(f, orders[random() % orders.size()]);
            const Floats delta = formula(f);
            expect_same(result.delta, stored(type, delta), f.name());
            expect_sums(f, result.partial, delta, false);
            EXPECT_TRUE(same_bits(elements_alone.partial, result.partial)) << f.name();
            if (HasFailure()) return;
        }
}

// Breaks with a row or a thread's part left out of the sums, or counted twice: integers and the
// dropout scale 2 are exact.
TEST(DeltaKernel, SumsIntegersExactly) {
    Random random(2);
    for (const Size &size : sizes)
        for (dki_element type : elements)
            for (dk_activation kind : {DK_RELU, DK_HARDTANH, DK_LEAKY_RELU, DK_IDENTITY}) {
                Backward f = backward(random, type, size, kind);
                f.product = random.integers(size.rows * size.cols);
                f.saved = random.integers(size.rows * size.cols);
                f.place = places[random() % places.size()];
                f.from_a = kind == DK_RELU && random() % 2;
                if (random() % 2) f.g = with_dropout(f.g, 0.5f);
                const Floats delta = formula(f);
                const Result result = run(f, orders[random() % orders.size()]);
                expect_same(result.delta, delta, f.name());
                expect_sums(f, result.partial, delta, true);
                if (HasFailure()) return;
            }
}

// Breaks with an activation that takes another's g′, with α or its default lost, with more than one
// rounding to the storage type.
TEST(DeltaKernel, OfEveryKindIsWithinItsBoundOfTheReference) {
    Random random(3);
    for (dk_activation kind : activations())
        for (dki_element type : elements)
            for (int variant = 0; variant < 2; ++variant) {
                Backward f = backward(random, type, {33, 31}, kind);
                if (variant) f.g.alpha = 0.0f; /* the default */
                const Result result = run(f, 2);
                const double alpha = static_cast<double>(dki_activation_alpha(kind, f.g.alpha));
                const double own =
                    gamma_n(DKI_REF_G_PRIME_ULPS) * dki_ref_g_prime_scale(kind, alpha);
                const double u = unit_of(type), tiny = tiny_of(type) + DKI_REF_UNDERFLOW;
                Doubles delta, bound;
                for (size_t i = 0; i < f.product.size(); ++i) {
                    const double x = static_cast<double>(f.product[i]);
                    const double slope =
                        dki_ref_g_prime(kind, alpha, static_cast<double>(f.saved[i]));
                    const double off =
                        std::fabs(x) * own + gamma_n(1) * std::fabs(x) * (std::fabs(slope) + own);
                    delta.push_back(x * slope);
                    bound.push_back(off + u * (std::fabs(x * slope) + off) + tiny);
                }
                expect_within(result.delta, delta, bound, f.name());
            }
}

// Breaks where sums are written although nobody asked, or δ isn't.
TEST(DeltaKernel, WithoutSumsWritesDeltaOnly) {
    Random random(4);
    for (dki_element type : elements)
        for (dk_activation kind : {DK_GELU, DK_IDENTITY}) {
            Backward f = backward(random, type, {67, 37}, kind);
            f.place = places[0];
            f.sums = false;
            const Result result = run(f, 4);
            expect_same(result.delta, stored(type, formula(f)), f.name());
            for (float x : result.partial) EXPECT_TRUE(std::isnan(x));
        }
}

TEST(DeltaKernel, KeepsNaNAndInfinities) {
    Random random(5);
    const Floats special = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 60000.0f, -60000.0f};
    for (dk_activation kind : activations())
        for (dki_element type : elements) {
            Backward f = backward(random, type, {5, 41}, kind);
            for (float &x : f.product) x = special[random() % special.size()];
            for (float &x : f.saved) x = special[random() % special.size()];
            f.product = stored(type, f.product);
            f.saved = stored(type, f.saved);
            f.g = with_dropout(f.g, 0.5f);
            expect_same(run(f, 1).delta, stored(type, formula(f)), f.name());
        }
}

// Breaks with tiles of 64 rows where there are more than 1024 of those.
TEST(DeltaKernel, TakesLargerTilesOfManyRows) {
    Random random(6);
    Backward f = backward(random, DKI_ELEMENT_BF16, {70001, 3}, DK_RELU);
    f.product = random.integers(70001 * 3);
    ASSERT_GT(dki_sum_tile_rows(f.size.rows), 64);
    const Floats delta = formula(f);
    const Result result = run(f, 2);
    expect_same(result.delta, delta, f.name());
    expect_sums(f, result.partial, delta, true);
}

// Breaks where a thread of a wide block leaves out rows: with enough blocks to fill a GPU each thread
// has eight, which it loads two at a time.
TEST(DeltaKernel, HasWideBlocksWhereThereAreManyTiles) {
    Random random(7);
    Backward f = backward(random, DKI_ELEMENT_BF16, {264 * 64 + 1, 250}, DK_RELU);
    f.product = random.integers(f.size.rows * f.size.cols);
    f.place = {6, 0};
    const Floats delta = formula(f);
    const Result result = run(f, 3);
    expect_same(result.delta, delta, f.name());
    expect_sums(f, result.partial, delta, true);
}

TEST(DeltaKernel, OfNothingDoesNothing) {
    dki_linear_backward_data op{};
    op.g = nonlinearity(DK_RELU);
    EXPECT_EQ(0, dki_cuda_delta(nullptr, DKI_ELEMENT_BF16, &op, nullptr));
}

// g′ of most activations isn't a function of a as it is stored: asking for it is an error.
TEST(DeltaKernel, RefusesWhatItCanNotTell) {
    Matrix delta(DKI_ELEMENT_F32, 1, 1, {}, {1.0f}), a(DKI_ELEMENT_F32, 1, 1, {}, {1.0f});
    dki_linear_backward_data op{};
    op.delta_out = delta.view();
    op.a = a.view();
    for (dk_activation kind : activations()) {
        op.g = nonlinearity(kind);
        const bool possible = kind == DK_RELU || kind == DK_IDENTITY;
        EXPECT_EQ(possible, dki_cuda_delta(nullptr, DKI_ELEMENT_F32, &op, nullptr) == 0);
    }
    op.z = a.view();
    op.g.kind = static_cast<dk_activation>(DKI_ACTIVATION_COUNT);
    EXPECT_NE(0, dki_cuda_delta(nullptr, DKI_ELEMENT_F32, &op, nullptr));
    EXPECT_EQ(delta.read(), Floats{1.0f});
}

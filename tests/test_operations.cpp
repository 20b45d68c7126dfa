// The operations of a layer, one by one, against plain loops in double: first with small integers,
// where fp32 is exact and every element must be equal, then with random numbers, within the bound
// of a sum of that many products. What may not be written is guarded, and NaN, so that reading it
// would show as well.
#include "operations.h"
#include "support_extent.h"

using namespace operations;

class Operations : public testing::TestWithParam<Backend> {
  protected:
    Device device{GetParam()};
    Random random{7, device.backend->element};

    std::string name(const char *what, const Size &size, dk_activation g, int64_t padding) {
        return std::string(what) + " " + std::to_string(size.rows) + "×" +
               std::to_string(size.inputs) + "→" + std::to_string(size.width) + " " +
               dk_activation_name(g) + (padding ? " padded" : "");
    }
};

INSTANTIATE_TEST_SUITE_P(Backends, Operations, testing::ValuesIn(backends), backend_name);

// --- forward ------------------------------------------------------------------------------------

namespace {

struct Forward {
    Size size;
    dki_nonlinearity g;
    int64_t padding;
    bool keep_z;
    Floats a, w, b;
};

struct ForwardResult {
    Floats z, a;
};

ForwardResult run_forward(Device &device, const Forward &f, const dki_step_state &state) {
    const Size &s = f.size;
    Matrix a_in(device, s.rows, s.inputs, f.padding, f.a);
    Matrix w(device, s.width, s.inputs, 2 * f.padding, f.w);
    Array<float> b(device, f.b);
    Matrix z(device, s.rows, s.width, f.padding), a_out(device, s.rows, s.width, 3 * f.padding);
    Array<dki_step_state> states(device, {state});
    std::vector<char> scratch = workspace_for(device, s.rows, s.inputs, s.width);
    Array<char> workspace(device, scratch);
    dki_linear_forward op{};
    op.a_in = a_in.view();
    op.w = w.view();
    op.b = b.data();
    op.z = f.keep_z ? z.view() : none();
    op.a_out = a_out.view();
    op.g = f.g;
    op.state = states.data();
    op.workspace = workspace.data();
    EXPECT_EQ(DK_OK, device.ops->linear_forward(device.backend, DKI_LANE_MAIN, &op));
    // Inputs stay as they are.
    EXPECT_TRUE(same_bits(a_in.read(), f.a));
    EXPECT_TRUE(same_bits(w.read(), f.w));
    EXPECT_TRUE(same_bits(b.read(), f.b));
    return {f.keep_z ? z.read() : Floats(), a_out.read()};
}

// z and a in double, and how far fp32 may be off; `exact` = not at all, but for rounding to the
// storage type.
void check_forward(const Device &device, const Forward &f, const ForwardResult &result,
                   const dki_step_state &state, bool exact, const std::string &what) {
    const Size &s = f.size;
    const dk_activation kind = f.g.kind;
    const double alpha = static_cast<double>(f.g.alpha);
    Doubles z, z_bound, a, a_bound;
    for (int64_t i = 0; i < s.rows; ++i)
        for (int64_t j = 0; j < s.width; ++j) {
            Dot dot =
                product_element(DKI_PRODUCT_FORWARD, f.a, f.w, s.rows, s.width, s.inputs, i, j);
            dot.add(1.0, static_cast<double>(f.b[static_cast<size_t>(j)]));
            const double e = exact ? 0.0 : gamma_n(static_cast<double>(s.inputs + 1)) * dot.size;
            const double value = dki_ref_g(kind, alpha, dot.sum);
            const double steepest = std::fabs(dki_ref_g_prime(kind, alpha, dot.sum)) +
                                    dki_ref_g_curvature(kind, alpha) * e +
                                    dki_ref_g_prime_jump(kind, alpha, dot.sum, e);
            // The GELUs' own error is a part of |z|: docs/numerics.md.
            const bool gelu = kind == DK_GELU || kind == DK_GELU_TANH;
            const double own = gamma_n(8) * (gelu ? std::fabs(dot.sum) : std::fabs(value));
            const double d = mask(f.g, state, i, j);
            const double a_error =
                d * (steepest * e + own) + 3 * UNIT * std::fabs(value * d) + TINY;
            z.push_back(exact ? device.stored(dot.sum) : dot.sum);
            z_bound.push_back(exact ? 0.0 : device.stored_bound(dot.sum, e));
            a.push_back(exact ? device.stored(value * d) : value * d);
            a_bound.push_back(exact ? 0.0 : device.stored_bound(value * d, a_error));
        }
    if (f.keep_z) expect_within(result.z, z, z_bound, what + " z");
    expect_within(result.a, a, a_bound, what + " a");
}

// Exact on small integers: g is the identity on them, or a selection, or a product with 1/4.
const std::vector<dk_activation> exact_activations = {DK_IDENTITY, DK_RELU, DK_LEAKY_RELU,
                                                      DK_HARDTANH};

} // namespace

// Breaks with a swapped operand, a missing or doubled bias, a tile that is left out or done twice,
// a leading dimension taken for a width, anything written outside of the output.
TEST_P(Operations, ForwardIsExactOnIntegers) {
    const int64_t some = support::one_in_if_short(3);
    int64_t cases = 0;
    const dki_step_state state = state_at(3);
    for (const Size &size : sizes)
        for (dk_activation kind : exact_activations)
            for (int variant = 0; variant < 4; ++variant) {
                if (cases++ % some != 0) continue;
                Forward f = {size,
                             nonlinearity(kind),
                             paddings[static_cast<size_t>(variant % 3 == 1)],
                             variant % 2 == 1,
                             random.integers(size.rows * size.inputs),
                             random.integers(size.width * size.inputs),
                             random.integers(size.width)};
                if (variant / 2) f.g = with_dropout(f.g, 5, 64);
                check_forward(device, f, run_forward(device, f, state), state, true,
                              name("forward", size, kind, f.padding));
                if (HasFailure()) return;
                if (kind != DK_RELU && size.rows * size.width > 2000) break; /* time */
            }
}

TEST_P(Operations, ForwardOfEveryActivationIsWithinTheBoundOfItsSum) {
    const dki_step_state state = state_at(9);
    for (const Size &size :
         {Size{33, 31, 127}, Size{1, 257, 3}, Size{127, 2, 5}, Size{3, 1021, 17}})
        for (dk_activation kind : activations())
            for (int variant = 0; variant < 4; ++variant) {
                const double spread = 2.0 / std::sqrt(static_cast<double>(size.inputs));
                Forward f = {size,
                             nonlinearity(kind),
                             variant,
                             variant % 2 == 1,
                             random.normal(size.rows * size.inputs),
                             random.normal(size.width * size.inputs, spread),
                             random.normal(size.width)};
                if (variant / 2) f.g = with_dropout(f.g, 1, 7);
                check_forward(device, f, run_forward(device, f, state), state, false,
                              name("forward", size, kind, variant));
            }
}

// --- backward: the data gradient
// ------------------------------------------------------------------

namespace {

struct BackwardData {
    Size size; // Δ_k [rows, width], W [width, inputs], Δ_{k−1} [rows, inputs]
    dki_nonlinearity g;
    int64_t padding;
    bool from_a, with_db, accumulate;
    Floats delta, w, z, db;
};

struct BackwardDataResult {
    Floats delta, db;
};

Floats activate(const BackwardData &f, const dki_step_state &state) {
    Floats a;
    for (int64_t i = 0; i < f.size.rows; ++i)
        for (int64_t j = 0; j < f.size.inputs; ++j)
            a.push_back(dki_activation(f.g.kind, f.g.alpha,
                                       f.z[static_cast<size_t>(i * f.size.inputs + j)]) *
                        static_cast<float>(mask(f.g, state, i, j)));
    return a;
}

BackwardDataResult run_backward_data(Device &device, const BackwardData &f,
                                     const dki_step_state &state) {
    const Size &s = f.size;
    Matrix delta(device, s.rows, s.width, f.padding, f.delta);
    Matrix w(device, s.width, s.inputs, 2 * f.padding, f.w);
    Matrix z(device, s.rows, s.inputs, 3 * f.padding, f.z);
    Matrix a(device, s.rows, s.inputs, f.padding, activate(f, state));
    Matrix out(device, s.rows, s.inputs, 4 * f.padding);
    Array<float> db(device, f.db);
    Array<dki_step_state> states(device, {state});
    Array<char> workspace(device, workspace_for(device, s.rows, s.inputs, s.width));
    dki_linear_backward_data op{};
    op.delta = delta.view();
    op.w = w.view();
    op.z = f.from_a ? none() : z.view();
    op.a = a.view();
    op.g = f.g;
    op.delta_out = out.view();
    op.db = f.with_db ? db.data() : nullptr;
    op.accumulate = f.accumulate;
    op.state = states.data();
    op.workspace = workspace.data();
    EXPECT_EQ(DK_OK, device.ops->linear_backward_data(device.backend, DKI_LANE_MAIN, &op));
    EXPECT_TRUE(same_bits(delta.read(), f.delta));
    EXPECT_TRUE(same_bits(w.read(), f.w));
    EXPECT_TRUE(same_bits(z.read(), f.z));
    workspace.read();
    return {out.read(), db.read()};
}

void check_backward_data(const Device &device, const BackwardData &f,
                         const BackwardDataResult &result, const dki_step_state &state, bool exact,
                         const std::string &what) {
    const Size &s = f.size;
    const double alpha = static_cast<double>(f.g.alpha);
    Doubles delta, delta_bound, db(f.db.begin(), f.db.end()), db_bound(f.db.size());
    const double rounds = gamma_n(static_cast<double>(s.rows + 1));
    for (size_t j = 0; j < db.size(); ++j) {
        if (f.with_db && !f.accumulate) db[j] = 0.0;
        if (f.with_db && f.accumulate && !exact) db_bound[j] = rounds * std::fabs(db[j]);
    }
    for (int64_t i = 0; i < s.rows; ++i)
        for (int64_t j = 0; j < s.inputs; ++j) {
            const Dot dot =
                product_element(DKI_PRODUCT_DATA, f.delta, f.w, s.rows, s.inputs, s.width, i, j);
            const double z = static_cast<double>(f.z[static_cast<size_t>(i * s.inputs + j)]);
            const double slope = dki_ref_g_prime(f.g.kind, alpha, z), d = mask(f.g, state, i, j);
            const double value = dot.sum * slope * d;
            const double e = gamma_n(static_cast<double>(s.width)) * dot.size;
            const double e_slope = slope_error(f.g.kind);
            const double largest = (std::fabs(dot.sum) + e) * (std::fabs(slope) + e_slope) * d;
            const double bound =
                exact ? 0.0
                      : d * (e * (std::fabs(slope) + e_slope) + std::fabs(dot.sum) * e_slope) +
                            gamma_n(4) * largest + TINY;
            delta.push_back(exact ? device.stored(value) : value);
            delta_bound.push_back(exact ? 0.0 : device.stored_bound(value, bound));
            if (!f.with_db) continue;
            db[static_cast<size_t>(j)] += value;
            if (!exact)
                db_bound[static_cast<size_t>(j)] += bound + rounds * (std::fabs(value) + bound);
        }
    expect_within(result.delta, delta, delta_bound, what + " δ");
    expect_within(result.db, db, db_bound, what + " db"); // untouched where there is none
}

} // namespace

// Breaks with a transposed W, g′ of another element, the mask of another row, a row left out of
// the column sums or counted twice, db overwritten where it should grow (or the reverse).
TEST_P(Operations, BackwardDataIsExactOnIntegers) {
    const int64_t some = support::one_in_if_short(3);
    int64_t cases = 0;
    const dki_step_state state = state_at(3);
    for (const Size &size : sizes)
        for (dk_activation kind : exact_activations)
            for (int variant = 0; variant < 4; ++variant) {
                if (cases++ % some != 0) continue;
                BackwardData f = {size,
                                  nonlinearity(kind),
                                  paddings[static_cast<size_t>(variant % 2)],
                                  false,
                                  variant != 3,
                                  variant == 1 || variant == 2,
                                  random.integers(size.rows * size.width),
                                  random.integers(size.width * size.inputs),
                                  random.integers(size.rows * size.inputs),
                                  random.integers(size.inputs)};
                f.from_a = variant % 2 == 1 && (kind == DK_RELU || kind == DK_IDENTITY);
                if (variant / 2) f.g = with_dropout(f.g, 2, 1000);
                check_backward_data(device, f, run_backward_data(device, f, state), state, true,
                                    name("backward data", size, kind, variant % 2));
                if (HasFailure()) return;
                if (kind != DK_RELU && size.rows * size.inputs > 2000) break; /* time */
            }
}

TEST_P(Operations, BackwardDataOfEveryActivationIsWithinTheBoundOfItsSum) {
    const dki_step_state state = state_at(4);
    for (const Size &size :
         {Size{33, 127, 31}, Size{1, 3, 257}, Size{127, 5, 2}, Size{523, 17, 3}, Size{3, 17, 1021}})
        for (dk_activation kind : activations())
            for (int variant = 0; variant < 4; ++variant) {
                const double spread = 1.0 / std::sqrt(static_cast<double>(size.width));
                BackwardData f = {size,
                                  nonlinearity(kind),
                                  variant,
                                  false,
                                  true,
                                  variant % 2 == 1,
                                  random.normal(size.rows * size.width),
                                  random.normal(size.width * size.inputs, spread),
                                  random.normal(size.rows * size.inputs, 2.0),
                                  random.normal(size.inputs)};
                if (variant / 2) f.g = with_dropout(f.g, 1, 7);
                check_backward_data(device, f, run_backward_data(device, f, state), state, false,
                                    name("backward data", size, kind, variant));
            }
}

// Where the plan says that z needn't be kept, g′ from a gives the very numbers of g′ from z. (Of a
// unit that was dropped the one may be 0 and the other −0.)
TEST_P(Operations, WhereZIsNotKeptItMakesNoDifference) {
    const dki_step_state state = state_at(4);
    const Size size = {67, 129, 33};
    for (dk_activation kind : activations())
        for (bool dropout : {false, true}) {
            const dki_layer_shape layer = {size.inputs, size.inputs, kind, dropout};
            const dki_plan_request request = {&layer, 1,     size.rows, true,
                                              false,  false, nullptr,   nullptr};
            bool keep_z = false;
            dki_plan plan{};
            plan.keep_z = &keep_z;
            ASSERT_EQ(DK_OK, device.ops->prepare(device.backend, &request, &plan));
            if (keep_z) continue;
            BackwardData f = {size,
                              nonlinearity(kind),
                              1,
                              false,
                              true,
                              false,
                              random.normal(size.rows * size.width),
                              random.normal(size.width * size.inputs),
                              random.normal(size.rows * size.inputs),
                              random.normal(size.inputs)};
            if (dropout) f.g = with_dropout(f.g, 1, 7);
            const BackwardDataResult from_z = run_backward_data(device, f, state);
            f.from_a = true;
            const BackwardDataResult from_a = run_backward_data(device, f, state);
            EXPECT_EQ(from_z.delta, from_a.delta) << dk_activation_name(kind);
            EXPECT_TRUE(same_bits(from_z.db, from_a.db)) << dk_activation_name(kind);
        }
}

// --- backward: the parameters' gradient
// -------------------------------------------------------------

namespace {

Floats run_backward_params(Device &device, const Size &s, int64_t padding, const Floats &delta,
                           const Floats &a, const Floats &before, bool accumulate,
                           dki_step_state *state) {
    Matrix deltas(device, s.rows, s.width, padding, delta);
    Matrix inputs(device, s.rows, s.inputs, 2 * padding, a);
    Matrix dw(device, s.width, s.inputs, 3 * padding, before, DKI_ELEMENT_F32);
    Array<dki_step_state> states(device, {state ? *state : dki_step_state{}});
    Array<char> workspace(device, workspace_for(device, s.rows, s.inputs, s.width));
    dki_linear_backward_params op{};
    op.delta = deltas.view();
    op.a_in = inputs.view();
    op.dw = dw.view();
    op.accumulate = accumulate;
    op.state = state ? states.data() : nullptr;
    op.workspace = workspace.data();
    EXPECT_EQ(DK_OK, device.ops->linear_backward_params(device.backend, DKI_LANE_PARAMS, &op));
    EXPECT_TRUE(same_bits(deltas.read(), delta));
    EXPECT_TRUE(same_bits(inputs.read(), a));
    if (state) *state = states.read()[0];
    return dw.read();
}

} // namespace

// Breaks with a swapped transpose, a row left out, dW overwritten where it should grow.
TEST_P(Operations, BackwardParamsIsExactOnIntegersAndBoundedOnRandomNumbers) {
    for (const Size &size : sizes)
        for (int variant = 0; variant < 4; ++variant) {
            const bool accumulate = variant % 2 == 1, exact = variant < 2;
            const int64_t deltas = size.rows * size.width, inputs = size.rows * size.inputs,
                          weights = size.width * size.inputs;
            const Floats delta = exact ? random.integers(deltas) : random.normal(deltas);
            const Floats a = exact ? random.integers(inputs) : random.normal(inputs);
            const Floats before = exact ? random.integers(weights) : random.normal(weights);
            const Floats dw =
                run_backward_params(device, size, variant, delta, a, before, accumulate, nullptr);
            Doubles expected, bound;
            for (int64_t j = 0; j < size.width; ++j)
                for (int64_t i = 0; i < size.inputs; ++i) {
                    Dot dot = product_element(DKI_PRODUCT_PARAMS, delta, a, size.width, size.inputs,
                                              size.rows, j, i);
                    if (accumulate)
                        dot.add(1.0, static_cast<double>(
                                         before[static_cast<size_t>(j * size.inputs + i)]));
                    expected.push_back(dot.sum);
                    bound.push_back(exact ? 0.0
                                          : gamma_n(static_cast<double>(size.rows + 1)) * dot.size);
                }
            expect_within(dw, expected, bound, name("backward params", size, DK_IDENTITY, variant));
            if (HasFailure()) return;
        }
}

// A NaN or Inf anywhere in dW latches the step it came from, once; a finite dW never does.
// (Elsewhere the update looks through its gradients.)
TEST_P(Operations, BackwardParamsLatchesTheFirstStepThatIsNotFiniteOnTheCpu) {
    const Size size = {5, 37, 300};
    const Floats delta = random.normal(size.rows * size.width),
                 a = random.normal(size.rows * size.inputs),
                 before = random.normal(size.width * size.inputs);
    dki_step_state state = state_at(6);
    run_backward_params(device, size, 3, delta, a, before, true, &state);
    EXPECT_EQ(0u, state.bad_tick);
    for (size_t at : {size_t{0}, delta.size() / 2 + 1, delta.size() - 1})
        for (float bad : {NAN, INFINITY, -INFINITY, 3e38f * 2.0f}) {
            Floats broken = delta;
            broken[at] = bad;
            state = state_at(6);
            run_backward_params(device, size, 3, broken, a, before, false, &state);
            EXPECT_EQ(6u, state.bad_tick) << "element " << at;
            state.tick = 8;
            run_backward_params(device, size, 3, broken, a, before, false, &state);
            EXPECT_EQ(6u, state.bad_tick) << "the first one stays";
        }
    // One element only, the last: 2¹²⁷·2 overflows.
    Floats one(delta.size(), 0.0f), two(a.size(), 0.0f);
    one.back() = 0x1p127f;
    two.back() = 2.0f;
    state = state_at(6);
    run_backward_params(device, size, 0, one, two, before, false, &state);
    EXPECT_EQ(6u, state.bad_tick);
}

// --- bare products
// ------------------------------------------------------------------------------------

TEST_P(Operations, BareProductsOfEveryMethodAreExactOnIntegers) {
    for (dki_product_kind kind : {DKI_PRODUCT_FORWARD, DKI_PRODUCT_DATA, DKI_PRODUCT_PARAMS})
        for (const Size &size : sizes) {
            const int64_t rows = size.rows, cols = size.width, depth = size.inputs;
            const Floats a = random.integers(rows * depth), b = random.integers(depth * cols);
            const bool params = kind == DKI_PRODUCT_PARAMS, forward = kind == DKI_PRODUCT_FORWARD;
            Doubles expected;
            for (int64_t i = 0; i < rows; ++i)
                for (int64_t j = 0; j < cols; ++j) {
                    const double sum = product_element(kind, a, b, rows, cols, depth, i, j).sum;
                    expected.push_back(params ? sum : device.stored(sum));
                }
            for (int method = 0;; ++method) {
                Matrix left(device, params ? depth : rows, params ? rows : depth, 3, a);
                Matrix right(device, forward ? cols : depth, forward ? depth : cols, 1, b);
                Matrix out(device, rows, cols, 2, {},
                           params ? DKI_ELEMENT_F32 : device.backend->element);
                const dki_bare_product op = {kind, left.view(), right.view(), out.view()};
                const dk_status status =
                    device.ops->bare_product(device.backend, DKI_LANE_MAIN, method, &op);
                if (status == DK_E_UNSUPPORTED) {
                    EXPECT_GE(method, 1);
                    break;
                }
                ASSERT_EQ(DK_OK, status);
                expect_exact(out.read(), expected, name("product", size, DK_IDENTITY, kind));
            }
        }
}

// --- memory --------------------------------------------------------------------------------------

TEST_P(Operations, MemoryIsAlignedZeroedAndCopiedExactly) {
    for (size_t bytes : {size_t{1}, size_t{255}, size_t{256}, size_t{100003}, size_t{10000003}}) {
        void *memory = nullptr;
        const dki_memory where = bytes % 2 ? DKI_MEMORY_DEVICE : DKI_MEMORY_SHARED;
        ASSERT_EQ(DK_OK, device.ops->alloc(device.backend, where, bytes, &memory));
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(memory) % 256);
        std::vector<char> sent(bytes), got(bytes, 1);
        EXPECT_EQ(DK_OK, device.ops->download(device.backend, got.data(), memory, bytes));
        EXPECT_EQ(std::vector<char>(bytes, 0), got);
        for (char &c : sent) c = static_cast<char>(random());
        std::vector<char> source = sent;
        EXPECT_EQ(DK_OK,
                  device.ops->upload(device.backend, DKI_LANE_COPY, memory, source.data(), bytes));
        source.assign(bytes, 0); // it is the caller's again
        EXPECT_EQ(DK_OK, device.ops->download(device.backend, got.data(), memory, bytes));
        EXPECT_EQ(sent, got);
        device.ops->release(device.backend, memory);
    }
    device.ops->release(device.backend, nullptr);
    void *memory = &memory;
    EXPECT_EQ(DK_E_MEMORY,
              device.ops->alloc(device.backend, DKI_MEMORY_DEVICE, SIZE_MAX - 64, &memory));
}

// A body runs as often as run is called, with the status it returns. (A host counter doesn't replay on
// a device.)
TEST_P(Operations, RunCallsTheBodyEveryTimeOnTheCpu) {
    dki_recording *recording = nullptr;
    int calls = 0;
    const dki_body body = [](void *argument) {
        ++*static_cast<int *>(argument);
        return DK_OK;
    };
    for (int i = 1; i <= 3; ++i) {
        EXPECT_EQ(DK_OK, device.ops->run(device.backend, &recording, body, &calls));
        EXPECT_EQ(i, calls);
    }
    EXPECT_EQ(DK_OK, device.ops->run(device.backend, &recording, nullptr, nullptr));
    EXPECT_EQ(3, calls);
}

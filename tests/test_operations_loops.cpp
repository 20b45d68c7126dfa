// Two promises of the CPU backend: its loops give the same bits for every instruction set, and its
// operations for every number of threads.
#include "operations.h"

extern "C" {
#include "backend/cpu/loops.h"
}

using namespace operations;

namespace {

// The tables that this processor can run; the baseline is first.
std::vector<const dki_loops *> tables() {
    std::vector<const dki_loops *> all = {&dki_loops_baseline};
#if defined(DKI_X86_VARIANTS)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        all.push_back(&dki_loops_avx2);
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"))
            all.push_back(&dki_loops_avx512);
    }
#endif
    return all;
}

// Runs `work` with every table; what it returns must be the same bytes.
template <class Work> void expect_same_bytes(const std::string &what, Work work) {
    std::vector<Floats> first;
    for (const dki_loops *table : tables()) {
        const std::vector<Floats> results = work(*table);
        if (first.empty()) first = results;
        ASSERT_EQ(first.size(), results.size());
        for (size_t i = 0; i < results.size(); ++i)
            EXPECT_TRUE(same_bits(first[i], results[i]))
                << what << ": result " << i << " of " << table->name << " differs";
    }
}

// Values of every magnitude, both zeros, the kinks, and what overflows.
Floats values(Random &random, int64_t count) {
    Floats x = random.normal(count, 3.0);
    const float special[] = {0.0f,   -0.0f,   1.0f,  -1.0f,   1e4f,     -1e4f,
                             1e-40f, -1e-30f, 88.8f, -103.9f, INFINITY, -INFINITY};
    for (size_t i = 0; i < x.size(); i += 7) x[i] = special[random() % 12];
    return x;
}

struct Shape {
    int64_t rows, cols;
};
const std::vector<Shape> shapes = {{1, 1},   {3, 2},   {2, 31},  {5, 33},  {1, 127},
                                   {7, 129}, {2, 257}, {257, 3}, {1, 1021}};

} // namespace

TEST(Loops, TablesHaveTheirNames) {
    for (const dki_loops *table : tables()) EXPECT_NE(table->name, nullptr);
    EXPECT_EQ(dki_loops_choose(), tables().back());
    if (tables().size() < 3)
        std::printf("this processor runs %zu of the 3 variants\n", tables().size());
}

TEST(Loops, ForwardAndBackwardGiveTheSameBits) {
    Random random(3);
    for (const Shape &s : shapes)
        for (dk_activation kind : activations())
            for (int variant = 0; variant < 4; ++variant) {
                const bool dropout = variant % 2 == 1, in_place = variant / 2 == 1;
                const int64_t ld = s.cols + variant;
                const Floats z = values(random, s.rows * ld), saved = values(random, s.rows * ld),
                             b = random.normal(s.cols);
                dki_nonlinearity g = nonlinearity(kind);
                if (dropout) g = with_dropout(g, 3, 0);
                const dki_mask_origin origin = {5, 77, 1000, 4 * variant};
                expect_same_bytes(dk_activation_name(kind), [&](const dki_loops &loops) {
                    Floats z_out = z, a(z.size(), 9.0f), delta = z;
                    Floats sums(static_cast<size_t>(s.cols), 5.0f);
                    float *a_at = in_place ? z_out.data() : a.data();
                    const dki_forward_tile forward = {s.rows,   s.cols, z_out.data(), ld, a_at, ld,
                                                      b.data(), g,      origin};
                    loops.forward(&forward);
                    dki_backward_tile backward{};
                    backward.rows = s.rows;
                    backward.cols = s.cols;
                    backward.delta = delta.data();
                    backward.saved = saved.data();
                    backward.delta_ld = backward.saved_ld = ld;
                    backward.g = g;
                    backward.origin = origin;
                    backward.sums = in_place ? nullptr : sums.data();
                    loops.backward(&backward);
                    return std::vector<Floats>{z_out, a, delta, sums};
                });
            }
}

TEST(Loops, LossesGiveTheSameBits) {
    Random random(4);
    for (const Shape &s : shapes)
        for (int kind : {0, 1, 2, 3, 4, static_cast<int>(DKI_LOSS_GIVEN)})
            for (dk_activation g : activations()) {
                const bool cross =
                    kind == DK_LOSS_SOFTMAX_CROSS_ENTROPY || kind == DK_LOSS_SIGMOID_CROSS_ENTROPY;
                if (cross && g != DK_IDENTITY) continue;
                for (int variant = 0; variant < (cross ? 8 : 2); ++variant) {
                    const Floats z = random.normal(s.rows * s.cols, 4.0),
                                 targets = random.uniform(s.rows * s.cols, 0.0, 1.0),
                                 weights = random.uniform(s.rows, 0.5, 2.0),
                                 classes = random.uniform(s.cols, 0.5, 2.0);
                    std::vector<int32_t> labels;
                    for (int64_t i = 0; i < s.rows; ++i)
                        labels.push_back(static_cast<int32_t>(i % s.cols));
                    Floats a;
                    for (float v : z) a.push_back(dki_activation(g, alpha_of(g), v));
                    expect_same_bytes("loss " + std::to_string(kind), [&](const dki_loops &loops) {
                        Floats delta(z.size(), 9.0f), sums(static_cast<size_t>(s.cols), 9.0f);
                        Doubles row_loss(static_cast<size_t>(s.rows));
                        dki_loss_tile tile{};
                        tile.rows = s.rows;
                        tile.cols = s.cols;
                        tile.rule.kind = kind;
                        tile.rule.huber_delta = 0.5f;
                        tile.rule.smoothing = variant / 4 ? 0.1f : 0.0f;
                        tile.rule.class_weights = variant / 4 ? classes.data() : nullptr;
                        tile.g = nonlinearity(g);
                        tile.z = z.data();
                        tile.a = a.data();
                        tile.z_ld = tile.a_ld = tile.delta_ld = s.cols;
                        tile.labels = variant / 2 % 2 ? labels.data() : nullptr;
                        tile.targets = variant / 2 % 2 ? nullptr : targets.data();
                        tile.weights = variant % 2 ? weights.data() : nullptr;
                        tile.inverse_normaliser = 0.3f;
                        tile.delta = delta.data();
                        tile.row_loss = row_loss.data();
                        tile.sums = sums.data();
                        loops.loss(&tile);
                        Floats loss_bits(2 * row_loss.size());
                        memcpy(loss_bits.data(), row_loss.data(), row_loss.size() * 8);
                        return std::vector<Floats>{delta, sums, loss_bits};
                    });
                }
            }
}

TEST(Loops, UpdatesGiveTheSameBits) {
    Random random(5);
    for (int kind = DK_SGD; kind <= DK_LION; ++kind)
        for (int64_t count : {1, 3, 15, 17, 31, 33, 127, 257, 1021})
            for (int variant = 0; variant < 4; ++variant) {
                const int decoupled = variant % 2, rests = variant / 2;
                dki_rule rule{};
                rule.kind = static_cast<dk_optimizer>(kind);
                rule.beta1 = 0.9;
                rule.beta2 = 0.999;
                rule.epsilon = 1e-8f;
                rule.decoupled = decoupled;
                rule.clip_value = 2.0f;
                const dki_rate rate = {0.01f, 0.19f, 0.3f, 0.7f, rests};
                Floats w = random.normal(count), g = random.normal(count, 2.0),
                       m = random.normal(count), v = random.uniform(count, 0.0, 2.0);
                for (int64_t i = 0; i < count; i += 3) { // without a gradient, near rest
                    g[i] = w[i] = 0.0f;
                    m[i] = std::ldexp(m[i], -118 - static_cast<int>(i % 31));
                    v[i] = std::ldexp(v[i], -118 - static_cast<int>(i % 31));
                }
                const bool v_first = kind == DK_RMSPROP || kind == DK_ADAGRAD;
                expect_same_bytes(dk_optimizer_name(rule.kind), [&](const dki_loops &loops) {
                    const int slots = dki_optimizer_slots(rule.kind);
                    Floats w_out = w, slot1 = v_first ? v : m, slot2 = v;
                    loops.update(&rule, rate, 0.1f, count, w_out.data(), g.data(),
                                 slots > 0 ? slot1.data() : nullptr,
                                 slots > 1 ? slot2.data() : nullptr);
                    return std::vector<Floats>{w_out, slot1, slot2};
                });
            }
}

TEST(Loops, SumsAndSearchesGiveTheSameBits) {
    Random random(6);
    for (int64_t count : {1, 2, 15, 16, 17, 31, 33, 127, 257, 5003}) {
        const Floats x = random.normal(count, 5.0);
        double sum = 0.0;
        for (float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
        expect_same_bytes("square sum", [&](const dki_loops &loops) {
            const double result = loops.square_sum(x.data(), count);
            EXPECT_NEAR(result, sum, 2 * dki_ref_gamma(static_cast<double>(count), 0x1p-53) * sum);
            Floats bits(2);
            memcpy(bits.data(), &result, 8);
            return std::vector<Floats>{bits};
        });
        for (const dki_loops *table : tables()) {
            EXPECT_TRUE(table->finite(x.data(), count, 1, count));
            for (size_t at = 0; at<x.size(); at += x.size()> 300 ? 97 : 1)
                for (float bad : {NAN, INFINITY, -INFINITY}) {
                    Floats broken = x;
                    broken[at] = bad;
                    EXPECT_FALSE(table->finite(broken.data(), count, 1, count)) << at;
                }
        }
    }
    // What lies in the padding isn't looked at.
    const Floats padded = {1, 2, NAN, 3, 4, NAN};
    for (const dki_loops *table : tables()) {
        EXPECT_TRUE(table->finite(padded.data(), 3, 2, 2));
        EXPECT_FALSE(table->finite(padded.data(), 3, 2, 3));
    }
}

namespace {

// The nearest of the two bf16 numbers around x (the one beyond the largest is 2¹²⁸ = ∞), by their
// distances in double; of two equally near ones the one with an even last bit.
uint16_t nearest_bf16(float x) {
    const auto magnitude = [](uint32_t bits) {
        return bits == 0x7f80u
                   ? 0x1p128
                   : static_cast<double>(dki_bf16_to_float(static_cast<uint16_t>(bits)));
    };
    const uint32_t sign = dki_bits(x) >> 16 & 0x8000u, below = dki_bits(x) >> 16 & 0x7fffu;
    const double size = std::fabs(static_cast<double>(x));
    if (std::isinf(x)) return static_cast<uint16_t>(sign | 0x7f80u);
    const double down = size - magnitude(below), up = magnitude(below + 1) - size;
    return static_cast<uint16_t>(sign |
                                 (down < up || (down == up && below % 2 == 0) ? below : below + 1));
}

} // namespace

// Every bf16 number, and the fp32 numbers at and beside the borders between any two of them. Breaks
// with truncation, halves rounded up, denormal numbers flushed, a NaN that becomes ∞.
TEST(Loops, Bf16IsWidenedExactlyAndRoundedToNearestEven) {
    std::vector<uint16_t> all;
    Floats wide;
    for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
        all.push_back(static_cast<uint16_t>(bits));
        for (uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
            wide.push_back(dki_from_bits(bits << 16 | low));
    }
    for (const dki_loops *table : tables()) {
        Floats widened(all.size());
        table->widen(all.data(), static_cast<int64_t>(all.size()), widened.data());
        for (size_t i = 0; i < all.size(); ++i)
            ASSERT_EQ(static_cast<uint32_t>(i) << 16, dki_bits(widened[i])) << table->name;
        std::vector<uint16_t> narrow(wide.size());
        table->narrow(wide.data(), static_cast<int64_t>(wide.size()), narrow.data());
        for (size_t i = 0; i < wide.size(); ++i) {
            if (std::isnan(wide[i]))
                ASSERT_TRUE(std::isnan(dki_bf16_to_float(narrow[i]))) << table->name << " " << i;
            else
                ASSERT_EQ(nearest_bf16(wide[i]), narrow[i]) << table->name << " " << wide[i];
        }
    }
}

// The rows of a tile in two calls are the same sums as in one.
TEST(Loops, SumsCanGrow) {
    Random random(31);
    const int64_t rows = 9, cols = 37;
    const Floats delta = random.normal(rows * cols), saved = random.normal(rows * cols);
    for (const dki_loops *table : tables()) {
        Floats whole = delta, parts = delta, sums(cols, 5.0f), added(cols, 6.0f);
        dki_backward_tile tile{};
        tile.rows = rows;
        tile.cols = tile.delta_ld = tile.saved_ld = cols;
        tile.delta = whole.data();
        tile.saved = saved.data();
        tile.g = nonlinearity(DK_TANH);
        tile.sums = sums.data();
        table->backward(&tile);
        tile.delta = parts.data();
        tile.sums = added.data();
        tile.rows = 4;
        table->backward(&tile);
        tile.delta += 4 * cols;
        tile.saved += 4 * cols;
        tile.rows = 5;
        tile.add_sums = true;
        table->backward(&tile);
        EXPECT_TRUE(same_bits(whole, parts));
        EXPECT_TRUE(same_bits(sums, added)) << table->name;
    }
}

namespace {

template <class T>
Floats gathered_by(const dki_loops &loops, dk_dtype type, const std::vector<T> &features,
                   int64_t rows, int64_t cols, bool transposed, const std::vector<double> *shift,
                   const Floats *scale) {
    Floats x(static_cast<size_t>(rows * cols));
    dki_gather source{};
    source.features = features.data();
    source.type = type;
    source.row_stride = transposed ? 1 : cols;
    source.col_stride = transposed ? rows : 1;
    source.shift = shift ? shift->data() : nullptr;
    source.scale = scale ? scale->data() : nullptr;
    const dki_gather_tile tile = {rows, cols, &source, 0, x.data(), cols};
    loops.gather(&tile);
    return x;
}

} // namespace

TEST(Loops, GatherGivesTheSameBits) {
    Random random(8);
    for (const Shape &s : shapes)
        for (int variant = 0; variant < 4; ++variant) {
            const size_t count = static_cast<size_t>(s.rows * s.cols);
            const Floats shifts = random.normal(s.cols), scale = random.normal(s.cols);
            const std::vector<double> shift(shifts.begin(), shifts.end());
            const std::vector<double> *by = variant % 2 ? &shift : nullptr;
            const Floats *times = by ? &scale : nullptr;
            const Floats f32 = random.normal(s.rows * s.cols);
            Doubles f64;
            std::vector<uint8_t> u8;
            std::vector<int32_t> i32;
            std::vector<int64_t> i64;
            for (size_t i = 0; i < count; ++i) {
                f64.push_back(static_cast<double>(f32[i]) * 1.000000123);
                u8.push_back(static_cast<uint8_t>(random()));
                i32.push_back(static_cast<int32_t>(random()));
                i64.push_back(static_cast<int64_t>(random()));
            }
            expect_same_bytes("gather", [&](const dki_loops &loops) {
                const bool t = variant / 2 == 1;
                return std::vector<Floats>{
                    gathered_by(loops, DK_F32, f32, s.rows, s.cols, t, by, times),
                    gathered_by(loops, DK_F64, f64, s.rows, s.cols, t, by, times),
                    gathered_by(loops, DK_U8, u8, s.rows, s.cols, t, by, times),
                    gathered_by(loops, DK_I32, i32, s.rows, s.cols, t, by, times),
                    gathered_by(loops, DK_I64, i64, s.rows, s.cols, t, by, times)};
            });
        }
}

// --- threads ------------------------------------------------------------------------------------

namespace {

// Every operation once, on `threads` threads; everything that they wrote.
std::vector<Floats> every_operation(const Backend &kind, int threads, const Size &s) {
    Device device(kind, threads);
    Random random(21);
    const dki_backend_ops *ops = device.ops;
    dki_step_state start = state_at(5);
    start.inverse_normaliser = 0.01f;
    Array<dki_step_state> states(device, {start});
    Array<char> workspace(device, workspace_for(device, s.rows, s.inputs, s.width));
    Matrix x(device, s.rows, s.inputs, 1), z(device, s.rows, s.width, 2),
        a(device, s.rows, s.width, 3), delta(device, s.rows, s.width, 4),
        below(device, s.rows, s.inputs, 1), product(device, s.rows, s.width, 1);
    Matrix w(device, s.width, s.inputs, 0, random.normal(s.width * s.inputs, 0.3)),
        dw(device, s.width, s.inputs, 0, {}, DKI_ELEMENT_F32);
    Array<float> b(device, random.normal(s.width)), db(device, random.normal(s.width)),
        db_below(device, random.normal(s.inputs)),
        features(device, random.normal(s.rows * s.inputs)),
        targets(device, random.normal(s.rows * s.width)), weights(device, random.normal(s.rows)),
        theta(device, random.normal(70001)), gradients(device, random.normal(70001)),
        m(device, random.normal(70001)), v(device, random.uniform(70001, 0.0, 1.0));
    Array<int32_t> labels(device, std::vector<int32_t>(static_cast<size_t>(s.rows)));
    const Floats answers = random.normal(s.rows * s.width);
    Array<double> targets_in(device, Doubles(answers.begin(), answers.end()));

    dki_gather gather{};
    gather.features = features.data();
    gather.type = DK_F32;
    gather.row_stride = s.inputs;
    gather.col_stride = 1;
    gather.x = x.view();
    gather.targets_in = targets_in.data();
    gather.target_cols = s.width;
    gather.targets = targets.data();
    gather.labels = labels.data();
    gather.weights = weights.data();
    gather.state = states.data();
    EXPECT_EQ(DK_OK, ops->gather(device.backend, DKI_LANE_MAIN, &gather));

    const dki_nonlinearity g = with_dropout(nonlinearity(DK_TANH), 1, 0);
    dki_linear_forward forward{};
    forward.a_in = x.view();
    forward.w = w.view();
    forward.b = b.data();
    forward.z = z.view();
    forward.a_out = a.view();
    forward.g = g;
    forward.state = states.data();
    forward.workspace = workspace.data();
    EXPECT_EQ(DK_OK, ops->linear_forward(device.backend, DKI_LANE_MAIN, &forward));

    dki_loss loss{};
    loss.rule.kind = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    loss.z = loss.a = z.view();
    loss.g = nonlinearity(DK_IDENTITY);
    loss.targets = targets.data();
    loss.delta = delta.view();
    loss.db = db.data();
    loss.accumulate = true;
    loss.state = states.data();
    loss.workspace = workspace.data();
    EXPECT_EQ(DK_OK, ops->loss(device.backend, DKI_LANE_MAIN, &loss));

    dki_linear_backward_data data{};
    data.delta = delta.view();
    data.w = w.view();
    data.z = x.view();
    data.a = x.view();
    data.g = with_dropout(nonlinearity(DK_GELU), 2, 3);
    data.delta_out = below.view();
    data.db = db_below.data();
    data.state = states.data();
    data.workspace = workspace.data();
    EXPECT_EQ(DK_OK, ops->linear_backward_data(device.backend, DKI_LANE_MAIN, &data));

    dki_linear_backward_params params{};
    params.delta = delta.view();
    params.a_in = x.view();
    params.dw = dw.view();
    params.state = states.data();
    params.workspace = workspace.data();
    EXPECT_EQ(DK_OK, ops->linear_backward_params(device.backend, DKI_LANE_PARAMS, &params));
    const dki_bare_product bare = {DKI_PRODUCT_FORWARD, x.view(), w.view(), product.view()};
    EXPECT_EQ(DK_OK, ops->bare_product(device.backend, DKI_LANE_MAIN, 0, &bare));

    dki_rule rule{};
    rule.kind = DK_ADAMW;
    rule.beta1 = 0.9;
    rule.beta2 = 0.999;
    rule.epsilon = 1e-8f;
    Array<dki_mailbox> mailbox(device, {dki_mailbox{}}, DKI_MEMORY_SHARED);
    const dki_begin begin = {rule, true, mailbox.data(), states.data()};
    EXPECT_EQ(DK_OK, ops->begin(device.backend, DKI_LANE_MAIN, &begin));
    const dki_range range = {1, 70000};
    Array<char> partial(device, workspace_for(device, 1, 700, 101));
    const dki_decide decide = {rule,  gradients.data(), &range,        1, 1.0f,
                               false, states.data(),    partial.data()};
    EXPECT_EQ(DK_OK, ops->decide(device.backend, DKI_LANE_MAIN, &decide));
    const dki_update_range update = {
        theta.data(), gradients.data(), m.data(), v.data(), nullptr, range, rule,
        0.1f,         states.data()};
    EXPECT_EQ(DK_OK, ops->update(device.backend, DKI_LANE_MAIN, &update));

    const dki_step_state after = states.read()[0];
    Floats state_bits(sizeof after / sizeof(float));
    memcpy(state_bits.data(), &after, sizeof after);
    return {x.read(),     z.read(),  a.read(),        delta.read(),   db.read(),
            below.read(), dw.read(), db_below.read(), product.read(), theta.read(),
            m.read(),     v.read(),  targets.read(),  state_bits};
}

} // namespace

// Breaks with a cut that depends on the number of threads, a sum in the order of arrival, a race.
TEST(Threads, EveryOperationGivesTheSameBitsOnAnyNumberOfThreads) {
    for (const Backend &kind : backends)
        for (const Size &s : {Size{1, 3, 5}, Size{31, 33, 32}, Size{129, 257, 127},
                              Size{1031, 67, 13}, Size{300, 1100, 33}, Size{4500, 2, 3}}) {
            const std::vector<Floats> one = every_operation(kind, 1, s);
            for (int threads : {2, 3, 7}) {
                const std::vector<Floats> many = every_operation(kind, threads, s);
                for (size_t i = 0; i < one.size(); ++i)
                    EXPECT_TRUE(same_bits(one[i], many[i]))
                        << kind.name << ": result " << i << " on " << threads << " threads, "
                        << s.rows << "×" << s.inputs << "→" << s.width;
            }
        }
}

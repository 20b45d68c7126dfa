// What the tests of the backend's operations share: a backend to run on, matrices in its memory
// between guard bands, and inputs that are either exact or random.
#ifndef DELTAK_TESTS_OPERATIONS_H
#define DELTAK_TESTS_OPERATIONS_H

extern "C" {
#include "backend/cpu/cpu.h"
#include "backend/plugin.h"
#include "base/half.h"
#include "base/memory.h"
#include "reference/reference.h"
}

#include "device.h"
#include "numbers.h"

#include <memory>
#include <random>

namespace operations {

using numbers::activations;
using numbers::alpha_of;
using numbers::Doubles;
using numbers::expect_within;
using numbers::Floats;
using numbers::gamma_n;
using numbers::same_bits;
using numbers::UNIT;

/// A backend that the operations are tested on. Another backend is another entry of `backends`.
struct Backend {
    const char *name;
    dk_status (*open)(dki_backend **, const dki_services *, int threads);
};

inline dk_status open_cpu(dki_backend **backend, const dki_services *services, int threads) {
    return dki_cpu_open(backend, services, threads, DK_FP32);
}

inline dk_status open_cpu_bf16(dki_backend **backend, const dki_services *services, int threads) {
    return dki_cpu_open(backend, services, threads, DK_BF16);
}

inline dk_status open_cuda(dki_backend **backend, const dki_services *services, int) {
    const char *number = std::strchr(device::name(), ':');
    dki_cuda_options options{};
    options.ordinal = number ? std::atoi(number + 1) : 0;
    options.deterministic = true; // one plan for all of a program's tests
    return dki_cuda_load(backend, services, &options);
}

inline std::vector<Backend> backends_of_device() {
    if (!device::is_cpu()) return {{"cuda", open_cuda}};
    if (!device::cpu_has(DK_BF16)) return {{"cpu", open_cpu}};
    return {{"cpu", open_cpu}, {"cpu_bf16", open_cpu_bf16}};
}

inline const std::vector<Backend> backends = backends_of_device();

inline std::string backend_name(const testing::TestParamInfo<Backend> &info) {
    return info.param.name;
}

/// An open backend.
class Device {
  public:
    explicit Device(const Backend &kind, int threads = 2) {
        log_.level = DK_LOG_ERROR;
        pthread_mutex_init(&log_.lock, nullptr);
        const dki_services services = {&dki_libc_allocator, &log_};
        EXPECT_EQ(DK_OK, kind.open(&backend, &services, threads)) << dk_error_text();
        ops = backend->ops;
    }
    ~Device() {
        ops->close(backend);
        pthread_mutex_destroy(&log_.lock);
    }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    /// A number as A, Z or Δ keep it.
    float stored(float value) const {
        if (backend->element == DKI_ELEMENT_F32) return value;
        return dki_bf16_to_float(dki_bf16_from_float(value));
    }
    double stored(double exact) const {
        return static_cast<double>(stored(static_cast<float>(exact)));
    }
    Floats stored(Floats values) const {
        for (float &value : values) value = stored(value);
        return values;
    }

    /// A bound of what is within `bound` of `value`, after it was rounded on its way to A, Z or Δ.
    double stored_bound(double value, double bound) const {
        if (backend->element == DKI_ELEMENT_F32) return bound;
        return bound + 0x1p-8 * (std::fabs(value) + bound) + DKI_REF_UNDERFLOW;
    }

    dki_backend *backend = nullptr;
    const dki_backend_ops *ops = nullptr;

  private:
    dki_logger log_{};
};

/// What stands where nobody may write: a NaN, so that whoever reads it shows, too. As bf16 it is two.
enum : uint32_t { GUARD = 0x7fc0deadu, GUARD_BF16 = 0x7fc57fc5u };

/// An array in device memory with guards before and behind.
template <class T> class Array {
  public:
    enum { BAND = 256 / sizeof(T) };

    Array(Device &device, const std::vector<T> &values, dki_memory where = DKI_MEMORY_DEVICE)
        : device_(device), where_(where), count_(values.size()) {
        std::vector<T> all(BAND);
        fill(all.data(), BAND);
        const std::vector<T> guards = all;
        all.insert(all.end(), values.begin(), values.end());
        all.insert(all.end(), guards.begin(), guards.end());
        allocate(all);
    }
    ~Array() { device_.ops->release(device_.backend, memory_); }
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;

    T *data() const { return static_cast<T *>(memory_) + BAND; }

    /// The contents; the guards must be whole.
    std::vector<T> read() const {
        std::vector<T> all(count_ + 2 * BAND), guards(BAND);
        EXPECT_EQ(DK_OK, device_.ops->sync(device_.backend));
        EXPECT_EQ(DK_OK, device_.ops->download(device_.backend, all.data(), memory_,
                                               all.size() * sizeof(T)));
        fill(guards.data(), guards.size());
        EXPECT_EQ(0, memcmp(all.data(), guards.data(), sizeof(T) * BAND)) << "written before";
        EXPECT_EQ(0, memcmp(&all[count_ + BAND], guards.data(), sizeof(T) * BAND))
            << "written behind";
        std::vector<T> values(count_);
        std::copy_n(all.begin() + BAND, count_, values.begin());
        return values;
    }

    static void fill(T *at, size_t count) {
        for (size_t byte = 0; byte + 4 <= count * sizeof(T); byte += 4) {
            const uint32_t guard = sizeof(T) == 2 ? GUARD_BF16 : GUARD;
            memcpy(reinterpret_cast<char *>(at) + byte, &guard, 4);
        }
    }

  private:
    /// The values are there for every lane.
    void allocate(const std::vector<T> &all) {
        const size_t bytes = all.size() * sizeof(T);
        EXPECT_EQ(DK_OK, device_.ops->alloc(device_.backend, where_, bytes, &memory_))
            << dk_error_text();
        EXPECT_EQ(DK_OK,
                  device_.ops->upload(device_.backend, DKI_LANE_MAIN, memory_, all.data(), bytes));
        EXPECT_EQ(DK_OK, device_.ops->sync(device_.backend));
    }

    Device &device_;
    dki_memory where_;
    size_t count_;
    void *memory_ = nullptr;
};

/// A row-major matrix in device memory, in the storage type of the backend unless told otherwise. Its
/// padding (columns cols … ld−1) is guarded like what lies before and behind it.
class Matrix {
  public:
    Matrix(Device &device, int64_t rows, int64_t cols, int64_t padding, const Floats &values,
           dki_element element)
        : rows_(rows), cols_(cols), ld_(cols + padding) {
        if (element == DKI_ELEMENT_F32)
            floats_ = std::make_unique<Array<float>>(
                device, padded<float>(values, [](float value) { return value; }));
        else
            halves_ = std::make_unique<Array<uint16_t>>(
                device, padded<uint16_t>(values, dki_bf16_from_float));
    }
    Matrix(Device &device, int64_t rows, int64_t cols, int64_t padding, const Floats &values)
        : Matrix(device, rows, cols, padding, values, device.backend->element) {}
    /// For output: guards everywhere, so that what isn't written shows.
    Matrix(Device &device, int64_t rows, int64_t cols, int64_t padding)
        : Matrix(device, rows, cols, padding, {}) {}

    dki_matrix view() const {
        void *data = floats_ ? static_cast<void *>(floats_->data()) : halves_->data();
        return {data, rows_, cols_, ld_};
    }

    Floats read() const { return floats_ ? read_from(*floats_) : read_from(*halves_); }

    /// Whether no element has been written.
    bool untouched() const {
        const Floats values = read();
        const float guard = floats_ ? dki_from_bits(GUARD) : wide(uint16_t(GUARD_BF16));
        return same_bits(values, Floats(values.size(), guard));
    }

  private:
    static float wide(float value) { return value; }
    static float wide(uint16_t value) { return dki_bf16_to_float(value); }

    template <class T, class Round>
    std::vector<T> padded(const Floats &values, const Round &round) const {
        std::vector<T> all(static_cast<size_t>(rows_ * ld_ + rows_ * ld_ % 2));
        Array<T>::fill(all.data(), all.size());
        for (int64_t i = 0; i < rows_ && !values.empty(); ++i)
            for (int64_t j = 0; j < cols_; ++j)
                all[static_cast<size_t>(i * ld_ + j)] =
                    round(values[static_cast<size_t>(i * cols_ + j)]);
        return all;
    }

    template <class T> Floats read_from(const Array<T> &array) const {
        const std::vector<T> all = array.read();
        std::vector<T> guard(4);
        Array<T>::fill(guard.data(), guard.size());
        Floats values;
        size_t touched = 0;
        for (int64_t i = 0; i < rows_; ++i) {
            const T *row = all.data() + i * ld_;
            for (int64_t j = 0; j < cols_; ++j) values.push_back(wide(row[j]));
            for (int64_t j = cols_; j < ld_; ++j)
                touched += memcmp(row + j, guard.data(), sizeof(T)) != 0;
        }
        EXPECT_EQ(0u, touched) << "elements of the padding were written";
        return values;
    }

    int64_t rows_, cols_, ld_;
    std::unique_ptr<Array<float>> floats_; // or
    std::unique_ptr<Array<uint16_t>> halves_;
};

/// The absent matrix.
inline dki_matrix none() {
    return {nullptr, 0, 0, 0};
}

/// Sizes of a layer's product: batch, inputs, outputs.
struct Size {
    int64_t rows, inputs, width;
};

/// Awkward ones: 1, powers of two and their neighbours, primes, one dimension far larger than the
/// others, more than one tile of rows and of columns, square ones.
inline const std::vector<Size> sizes = {{1, 1, 1},      {2, 3, 1},    {3, 2, 2},     {31, 33, 32},
                                        {32, 31, 33},   {33, 32, 31}, {127, 129, 7}, {129, 13, 127},
                                        {257, 127, 11}, {1, 5000, 3}, {2, 3, 5000},  {3000, 2, 3},
                                        {3000, 1, 2},   {2, 2, 3000}, {1, 1, 5000},  {300, 7, 1100},
                                        {521, 1031, 5}, {33, 33, 33}, {32, 7, 32}};

/// Where leading dimensions are padded, and where not.
inline const std::vector<int64_t> paddings = {0, 5};

class Random {
  public:
    /// Numbers that `element` has.
    explicit Random(uint64_t seed, dki_element element = DKI_ELEMENT_F32)
        : engine_(seed), element_(element) {}

    /// Integers from −3 to 3: their products and the sums of thousands of them are exact in fp32.
    Floats integers(int64_t count) {
        Floats values(static_cast<size_t>(count));
        for (float &v : values) v = static_cast<float>(static_cast<int>(engine_() % 7) - 3);
        return values;
    }

    Floats normal(int64_t count, double scale = 1.0) {
        std::normal_distribution<double> distribution(0.0, scale);
        Floats values(static_cast<size_t>(count));
        for (float &v : values) v = rounded(distribution(engine_));
        return values;
    }

    Floats uniform(int64_t count, double low, double high) {
        std::uniform_real_distribution<double> distribution(low, high);
        Floats values(static_cast<size_t>(count));
        for (float &v : values) v = rounded(distribution(engine_));
        return values;
    }

    uint64_t operator()() { return engine_(); }

  private:
    float rounded(double value) const {
        const float narrow = static_cast<float>(value);
        return element_ == DKI_ELEMENT_F32 ? narrow
                                           : dki_bf16_to_float(dki_bf16_from_float(narrow));
    }

    std::mt19937_64 engine_;
    dki_element element_;
};

/// What may be lost where a result underflows.
inline constexpr double TINY = DKI_REF_UNDERFLOW;

inline void expect_exact(const Floats &x, const Doubles &r, const std::string &what) {
    expect_within(x, r, Doubles(r.size(), 0.0), what);
}

/// A sum of products, and γ-bound: Σ x y and Σ |x||y|.
struct Dot {
    double sum = 0.0, size = 0.0;
    void add(double x, double y) {
        sum += x * y;
        size += std::fabs(x * y);
    }
};

/// op(A) op(B) element (i, j) of the three products, in plain loops.
inline Dot product_element(dki_product_kind kind, const Floats &a, const Floats &b, int64_t rows,
                           int64_t cols, int64_t depth, int64_t i, int64_t j) {
    Dot dot;
    for (int64_t k = 0; k < depth; ++k) {
        const float x = kind == DKI_PRODUCT_PARAMS ? a[static_cast<size_t>(k * rows + i)]
                                                   : a[static_cast<size_t>(i * depth + k)];
        const float y = kind == DKI_PRODUCT_FORWARD ? b[static_cast<size_t>(j * depth + k)]
                                                    : b[static_cast<size_t>(k * cols + j)];
        dot.add(static_cast<double>(x), static_cast<double>(y));
    }
    return dot;
}

inline dki_nonlinearity nonlinearity(dk_activation kind) {
    return numbers::plain(kind);
}

/// Dropout of half of the elements: the scale is 2, which is exact.
inline dki_nonlinearity with_dropout(dki_nonlinearity g, uint32_t layer, uint32_t first_row) {
    g.dropout_threshold = dki_dropout_threshold(0.5f);
    g.dropout_scale = dki_dropout_keep_scale(0.5f);
    g.layer = layer;
    g.first_row = first_row;
    return g;
}

/// The factor of element (row, col).
inline double mask(const dki_nonlinearity &g, const dki_step_state &state, int64_t row,
                   int64_t col) {
    return static_cast<double>(numbers::factor(g, state, row, col));
}

inline dki_step_state state_at(uint64_t tick, uint64_t seed = 11) {
    return numbers::begun(tick, seed);
}

/// Scratch for any operation of up to `rows` rows and `widest` columns, as prepare() sizes it.
inline std::vector<char> workspace_for(Device &device, int64_t rows, int64_t inputs,
                                       int64_t width) {
    const dki_layer_shape layer = {inputs, width, DK_TANH, false};
    const dki_plan_request request = {&layer, 1, rows, true, true, false, nullptr, nullptr};
    bool keep_z = false;
    dki_plan plan{};
    plan.keep_z = &keep_z;
    EXPECT_EQ(DK_OK, device.ops->prepare(device.backend, &request, &plan));
    return std::vector<char>(plan.workspace_bytes);
}

/// sup|g′| or a little more, and the error of a g′ of exactly known z.
inline double slope_error(dk_activation kind) {
    return kind == DK_IDENTITY ? 0.0 : gamma_n(24) * (kind == DK_SELU ? 1.76 : 1.2);
}

} // namespace operations

#endif

// What the kernels' tests share: arrays and matrices of every storage type between guard bands, at
// any alignment, awkward sizes, several thread orders, and rounding to a storage type written again,
// from the formats' definitions.
#ifndef DELTAK_TESTS_SIMT_KERNELS_H
#define DELTAK_TESTS_SIMT_KERNELS_H

#include "simt/fiber.h"
#include "simt/simt.h"

#include "numbers.h"

extern "C" {
#include "kernels/kernels.h"
}

#include <algorithm>
#include <functional>
#include <random>

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace kernels {

using numbers::activations;
using numbers::alpha_of;
using numbers::Doubles;
using numbers::expect_within;
using numbers::Floats;
using numbers::gamma_n;
using numbers::same_bits;

// --- storage types ------------------------------------------------------------------------------

inline const std::vector<dki_element> elements = {DKI_ELEMENT_F32, DKI_ELEMENT_BF16,
                                                  DKI_ELEMENT_F16};

inline std::string element_name(dki_element type) {
    return type == DKI_ELEMENT_F32 ? "fp32" : type == DKI_ELEMENT_BF16 ? "bf16" : "fp16";
}

/// IEEE 754-2008, table 3.5; bf16 is the upper half of binary32.
struct Format {
    int digits; ///< of the significand, the hidden one included
    int least;  ///< exponent of the least normal number; the largest has 1 − least
};

inline Format format_of(dki_element type) {
    if (type == DKI_ELEMENT_F32) return {24, -126};
    if (type == DKI_ELEMENT_BF16) return {8, -126};
    return {11, -14};
}

/// Unit roundoff: half of the distance from 1 to the next number.
inline double unit_of(dki_element type) {
    return std::ldexp(1.0, -format_of(type).digits);
}

/// What rounding loses at most below the normal numbers: half of the least number.
inline double tiny_of(dki_element type) {
    return std::ldexp(1.0, format_of(type).least - format_of(type).digits);
}

/// x rounded to the nearest number of the type, ties to even, ∞ from half beyond the largest on.
inline double rounded(dki_element type, double x) {
    if (x == 0.0 || !std::isfinite(x)) return x;
    const Format format = format_of(type);
    const int exponent = std::max(std::ilogb(x), format.least);
    const double spacing = std::ldexp(1.0, exponent - format.digits + 1);
    const double y = std::nearbyint(x / spacing) * spacing; /* both steps are exact */
    return std::fabs(y) < std::ldexp(1.0, 2 - format.least) ? y : std::copysign(INFINITY, x);
}

/// The bits of a number that the type has.
inline uint32_t encoded(dki_element type, float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if (type == DKI_ELEMENT_F32) return bits;
    const uint32_t sign = bits >> 16 & 0x8000u;
    if (std::isnan(x)) return sign | (type == DKI_ELEMENT_F16 ? 0x7e00u : 0x7fc0u);
    if (type == DKI_ELEMENT_BF16) return bits >> 16;
    if (std::isinf(x)) return sign | 0x7c00u;
    const double size = std::fabs(static_cast<double>(x));
    if (size < 0x1p-14) return sign | static_cast<uint32_t>(size * 0x1p24);
    const int exponent = std::ilogb(size);
    return sign | ((static_cast<uint32_t>(exponent + 14) << 10) +
                   static_cast<uint32_t>(std::ldexp(size, 10 - exponent)));
}

/// The number of these bits.
inline float decoded(dki_element type, uint32_t bits) {
    if (type == DKI_ELEMENT_F16) {
        const float sign = bits & 0x8000u ? -1.0f : 1.0f;
        const int exponent = static_cast<int>(bits >> 10 & 31);
        const float significand = static_cast<float>(bits & 1023);
        if (exponent == 31) return bits & 1023 ? NAN : sign * INFINITY;
        return sign * (exponent ? std::ldexp(significand + 1024.0f, exponent - 25)
                                : std::ldexp(significand, -24));
    }
    if (type == DKI_ELEMENT_BF16) bits <<= 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

// --- memory -------------------------------------------------------------------------------------

/// Where nobody may write: NaN in every type, so that who reads it shows, too.
enum : uint8_t { GUARD_LOW = 0xd5, GUARD_HIGH = 0x7f };

/// Has AddressSanitizer report whoever reads there, too, from now on or no longer.
inline void set_guard([[maybe_unused]] bool on, [[maybe_unused]] const void *begin,
                      [[maybe_unused]] const void *end) {
#if defined(SIMT_ASAN)
    const auto change = on ? __asan_poison_memory_region : __asan_unpoison_memory_region;
    change(begin, static_cast<size_t>(static_cast<const uint8_t *>(end) -
                                      static_cast<const uint8_t *>(begin)));
#endif
}

/// Where a matrix lies: so many elements after a multiple of 256 bytes, and its leading dimension.
struct Place {
    int64_t padding = 0;
    int64_t offset = 0;
};

/// Packed; padded so that rows stay on 16 bytes; rows that begin anywhere; all of it misaligned.
inline const std::vector<Place> places = {{0, 0}, {8, 0}, {5, 0}, {8, 1}, {0, 3}};

/// As sessions have rows of `cols` elements: padded to 16 bytes.
inline Place padded_rows(dki_element type, int64_t cols) {
    const int64_t pack = static_cast<int64_t>(16 / dki_element_bytes(type));
    return {(pack - cols % pack) % pack, 0};
}

/// A row-major matrix in a storage type between guard bands. Its padding is guarded as well.
class Matrix {
  public:
    /// Of guards: what isn't written shows.
    Matrix(dki_element type, int64_t rows, int64_t cols, Place place = {})
        : type_(type), rows_(rows), cols_(cols), ld_(cols + place.padding),
          bytes_(dki_element_bytes(type)),
          memory_(static_cast<size_t>(BAND * 2 + ALIGNMENT) + used() +
                  static_cast<size_t>(place.offset) * bytes_) {
        for (size_t i = 0; i < memory_.size(); ++i) memory_[i] = i % 2 ? GUARD_HIGH : GUARD_LOW;
        uint8_t *start = memory_.data() + BAND;
        start += (ALIGNMENT - reinterpret_cast<uintptr_t>(start) % ALIGNMENT) % ALIGNMENT;
        first_ = start + static_cast<size_t>(place.offset) * bytes_;
        guard(true);
    }
    Matrix(dki_element type, int64_t rows, int64_t cols, Place place, const Floats &values)
        : Matrix(type, rows, cols, place) {
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < cols; ++j) {
                const uint32_t bits = encoded(type, values[static_cast<size_t>(i * cols + j)]);
                std::memcpy(at(i, j), &bits, bytes_);
            }
    }
    ~Matrix() { guard(false); }
    Matrix(const Matrix &) = delete;
    Matrix &operator=(const Matrix &) = delete;

    dki_matrix view() const { return {first_, rows_, cols_, ld_}; }
    void *data() const { return first_; }
    float *floats() const { return reinterpret_cast<float *>(first_); }

    /// The elements; all that surrounds them must be whole.
    Floats read() const {
        guard(false);
        std::vector<uint8_t> rest = memory_;
        guard(true);
        Floats values;
        for (int64_t i = 0; i < rows_; ++i)
            for (int64_t j = 0; j < cols_; ++j) {
                uint32_t bits = 0;
                std::memcpy(&bits, at(i, j), bytes_);
                values.push_back(decoded(type_, bits));
                const size_t place = static_cast<size_t>(at(i, j) - memory_.data());
                for (size_t k = place; k < place + bytes_; ++k)
                    rest[k] = k % 2 ? GUARD_HIGH : GUARD_LOW;
            }
        size_t touched = 0;
        for (size_t i = 0; i < rest.size(); ++i)
            touched += rest[i] != (i % 2 ? GUARD_HIGH : GUARD_LOW);
        EXPECT_EQ(0u, touched) << "bytes around the matrix were written";
        return values;
    }

  private:
    enum : int64_t { BAND = 256, ALIGNMENT = 256 };

    void guard(bool on) const {
        const uint8_t *const end = first_ + used();
        set_guard(on, memory_.data(), first_);
        set_guard(on, end, memory_.data() + memory_.size());
    }

    size_t used() const { return static_cast<size_t>(rows_ * ld_) * bytes_; }
    uint8_t *at(int64_t i, int64_t j) const {
        return first_ + static_cast<size_t>(i * ld_ + j) * bytes_;
    }

    dki_element type_;
    int64_t rows_, cols_, ld_;
    size_t bytes_;
    std::vector<uint8_t> memory_;
    uint8_t *first_;
};

/// An array of anything between guard bands.
template <class T> class Array {
  public:
    explicit Array(std::vector<T> values, size_t offset = 0)
        : count_(values.size()), offset_(BAND + offset), memory_(offset_ + count_ + BAND) {
        fill(memory_);
        std::copy(values.begin(), values.end(), memory_.begin() + static_cast<long>(offset_));
        guard(true);
    }
    ~Array() { guard(false); }
    Array(const Array &) = delete;
    Array &operator=(Array &&other) noexcept {
        std::swap(count_, other.count_);
        std::swap(offset_, other.offset_);
        memory_.swap(other.memory_);
        return *this;
    }
    /// Of guards.
    static Array of(size_t count, size_t offset = 0) {
        std::vector<T> guards(count);
        fill(guards);
        return Array(guards, offset);
    }

    T *data() { return memory_.data() + offset_; }

    std::vector<T> read() const {
        std::vector<T> guards(memory_.size());
        fill(guards);
        guard(false);
        const size_t behind = offset_ + count_;
        EXPECT_EQ(0, std::memcmp(memory_.data(), guards.data(), offset_ * sizeof(T)))
            << "written before the array";
        EXPECT_EQ(0, std::memcmp(&memory_[behind], guards.data(), BAND * sizeof(T)))
            << "written behind the array";
        guard(true);
        return std::vector<T>(memory_.begin() + static_cast<long>(offset_),
                              memory_.begin() + static_cast<long>(behind));
    }

  private:
    enum : size_t { BAND = (256 + sizeof(T) - 1) / sizeof(T) };

    void guard(bool on) const {
        const T *const first = memory_.data() + offset_;
        set_guard(on, memory_.data(), first);
        set_guard(on, first + count_, memory_.data() + memory_.size());
    }

    static void fill(std::vector<T> &values) {
        uint8_t *bytes = reinterpret_cast<uint8_t *>(values.data());
        for (size_t i = 0; i < values.size() * sizeof(T); ++i)
            bytes[i] = i % 2 ? GUARD_HIGH : GUARD_LOW;
    }

    size_t count_, offset_;
    std::vector<T> memory_;
};

// --- inputs -------------------------------------------------------------------------------------

struct Size {
    int64_t rows, cols;
};

/// 1, powers of two and their neighbours, primes, whole and broken packs, one dimension far larger.
inline const std::vector<Size> sizes = {
    {1, 1},   {2, 3},   {3, 8},   {1, 31},    {31, 2},    {32, 32},  {33, 31},  {31, 33},
    {64, 16}, {65, 10}, {7, 127}, {127, 129}, {129, 127}, {1021, 5}, {3, 1021}, {2, 2053}};

/// Rows that end anywhere in a pack, in padded rows (padded_rows).
inline const std::vector<Size> padded_sizes = {{68, 1},  {4, 2},   {68, 3},   {4, 4},    {68, 5},
                                               {4, 6},   {68, 7},  {4, 8},    {68, 9},   {4, 10},
                                               {68, 11}, {4, 12},  {68, 13},  {4, 14},   {68, 15},
                                               {4, 16},  {68, 17}, {4, 1001}, {4, 4095}, {8, 4097}};

class Random {
  public:
    explicit Random(uint64_t seed) : engine_(seed) {}

    /// From −3 to 3.
    Floats integers(int64_t count) {
        Floats values(static_cast<size_t>(count));
        for (float &v : values) v = static_cast<float>(static_cast<int>(engine_() % 7) - 3);
        return values;
    }

    /// Normal variates that the type has.
    Floats normal(dki_element type, int64_t count, double scale = 1.0) {
        std::normal_distribution<double> distribution(0.0, scale);
        Floats values(static_cast<size_t>(count));
        for (float &v : values) v = static_cast<float>(rounded(type, distribution(engine_)));
        return values;
    }

    uint64_t operator()() { return engine_(); }

  private:
    std::mt19937_64 engine_;
};

/// Of a layer, and of rows in the middle of a batch.
inline dki_nonlinearity nonlinearity(dk_activation kind) {
    dki_nonlinearity g = numbers::plain(kind);
    g.layer = 2;
    g.first_row = 77;
    return g;
}

/// Dropout of probability p.
inline dki_nonlinearity with_dropout(dki_nonlinearity g, float p) {
    g.dropout_threshold = dki_dropout_threshold(p);
    g.dropout_scale = dki_dropout_keep_scale(p);
    return g;
}

/// The factor of element (row, col).
inline float mask(const dki_nonlinearity &g, const dki_step_state &state, int64_t row,
                  int64_t col) {
    return numbers::factor(g, state, row, col);
}

inline dki_step_state state_at(uint64_t tick, uint64_t seed = 0x123456789abcdefu) {
    return numbers::begun(tick, seed);
}

// --- running and comparing ----------------------------------------------------------------------

/// Forward, backward, and three shuffles.
inline const std::vector<uint64_t> orders = {0, 1, 2, 3, 4};

/// Bit for bit, but for the sign and the payload of NaN.
inline void expect_same(const Floats &x, const Floats &r, const std::string &what) {
    ASSERT_EQ(x.size(), r.size()) << what;
    size_t wrong = 0, first = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        const bool nan = std::isnan(x[i]) && std::isnan(r[i]);
        if (!nan && std::memcmp(&x[i], &r[i], sizeof(float)) != 0 && wrong++ == 0) first = i;
    }
    EXPECT_EQ(0u, wrong) << what << ": element " << first << " of " << x.size() << " is "
                         << x[first] << ", not " << r[first];
}

/// "kernel fp16 127×129 (+5, @3)".
inline std::string describe(const std::string &kernel, dki_element type, const Size &size,
                            const Place &place, const char *activation = "") {
    return kernel + " " + element_name(type) + " " + std::to_string(size.rows) + "×" +
           std::to_string(size.cols) + " (+" + std::to_string(place.padding) + ", @" +
           std::to_string(place.offset) + ") " + activation;
}

} // namespace kernels

#endif

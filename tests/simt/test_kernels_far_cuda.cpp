// Matrices whose elements lie further apart than 32-bit numbers count: a leading dimension of 2³⁰,
// in memory of which only the pages of a few columns ever exist.
#include "simt/kernels.h"

#include <sys/mman.h>

using namespace kernels;

namespace {

enum : int64_t { ROWS = 4, COLS = 9, LD = int64_t{1} << 30 };

/// [ROWS, COLS] with leading dimension LD.
class FarMatrix {
  public:
    explicit FarMatrix(dki_element type)
        : bytes_(dki_element_bytes(type)), size_(bytes_ * static_cast<size_t>(ROWS * LD)),
          memory_(mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
          type_(type) {}
    ~FarMatrix() {
        if (exists()) munmap(memory_, size_);
    }
    FarMatrix(const FarMatrix &) = delete;
    FarMatrix &operator=(const FarMatrix &) = delete;

    bool exists() const { return memory_ != MAP_FAILED; }
    dki_matrix view() const { return {memory_, ROWS, COLS, LD}; }

    void write(const Floats &values) {
        for (int64_t i = 0; i < ROWS * COLS; ++i) {
            const uint32_t bits = encoded(type_, values[static_cast<size_t>(i)]);
            std::memcpy(at(i), &bits, bytes_);
        }
    }
    Floats read() const {
        Floats values;
        for (int64_t i = 0; i < ROWS * COLS; ++i) {
            uint32_t bits = 0;
            std::memcpy(&bits, at(i), bytes_);
            values.push_back(decoded(type_, bits));
        }
        return values;
    }

  private:
    char *at(int64_t i) const {
        return static_cast<char *>(memory_) +
               static_cast<size_t>(i / COLS * LD + i % COLS) * bytes_;
    }

    size_t bytes_, size_;
    void *memory_;
    dki_element type_;
};

} // namespace

// Breaks with an index of 32 bits: the fourth row begins at 3·2³⁰.
TEST(FarKernels, CountElementsWith64Bits) {
    simt::set_order(2);
    Random random(1);
    for (dki_element type : {DKI_ELEMENT_F16, DKI_ELEMENT_F32}) {
        FarMatrix x(type), y(type);
        if (!x.exists() || !y.exists()) GTEST_SKIP() << "no address space for 2³² elements";
        const Floats product = random.integers(ROWS * COLS), z = random.integers(ROWS * COLS);
        Floats a, delta, sums(COLS);
        for (size_t i = 0; i < product.size(); ++i) {
            a.push_back(product[i] > 0.0f ? product[i] : 0.0f);
            delta.push_back(z[i] > 0.0f ? product[i] : product[i] * 0.0f);
            sums[i % COLS] += delta.back();
        }

        x.write(product);
        dki_linear_forward forward{};
        forward.z = x.view();
        forward.a_out = y.view();
        forward.g = nonlinearity(DK_RELU);
        EXPECT_EQ(0, dki_cuda_activation(nullptr, type, &forward));
        expect_same(y.read(), a, "activation");

        y.write(z);
        Array<float> partial = Array<float>::of(COLS);
        dki_linear_backward_data backward{};
        backward.delta_out = x.view();
        backward.z = y.view();
        backward.g = nonlinearity(DK_RELU);
        EXPECT_EQ(0, dki_cuda_delta(nullptr, type, &backward, partial.data()));
        expect_same(x.read(), delta, "delta");
        EXPECT_EQ(partial.read(), sums);

        Array<float> again = Array<float>::of(COLS);
        EXPECT_EQ(0, dki_cuda_column_sums(nullptr, type, x.view(), again.data()));
        EXPECT_EQ(again.read(), sums);
    }
}

TEST(FarKernels, InitialiseCountsElementsWith64Bits) {
    FarMatrix w(DKI_ELEMENT_F32);
    if (!w.exists()) GTEST_SKIP() << "no address space for 2³² elements";
    dki_initialise op{};
    op.w = w.view();
    op.rule = {DKI_CONSTANT, 0.5f};
    EXPECT_EQ(0, dki_cuda_initialise(nullptr, &op));
    EXPECT_EQ(w.read(), Floats(ROWS * COLS, 0.5f));
}

// How many loads kernels need for rows that end in the middle of a pack: as many as for whole packs. A
// thread that took such an end one element after the other would wait for memory that often, and the
// kernel for that thread. And where the padding of such rows is what nobody may see.
#include "support_emulated.h"

extern "C" {
#include "kernels/kernels.h"
}

#include <cmath>

namespace emulated {
namespace {

class LoadsTest : public GpuTest {
  protected:
    static constexpr int64_t rows = 5;

    void SetUp() override {
        GpuTest::SetUp();
#if !defined(EMULATED_WATCH)
        GTEST_SKIP() << "kernels' accesses are counted in builds without sanitizers";
#endif
    }

    /// [rows, cols] as a session has it: rows begin on 16 bytes, and memory ends with the last padding.
    dki_matrix matrix(dki_element type, int64_t cols) {
        const int64_t lanes = static_cast<int64_t>(16 / dki_element_bytes(type));
        const int64_t ld = (cols + lanes - 1) / lanes * lanes;
        taken_.push_back(device(static_cast<size_t>(rows * ld) * dki_element_bytes(type)));
        return {taken_.back(), rows, cols, ld};
    }
    float *floats(size_t count) {
        taken_.push_back(device(count * sizeof(float)));
        return static_cast<float *>(taken_.back());
    }

    /// Loads of what is queued.
    long loads(const std::function<int()> &queue) {
        reset_counts();
        dki_gpu_range_begin(gpu, "test");
        EXPECT_EQ(queue(), 0);
        dki_gpu_range_end(gpu);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        EXPECT_EQ(counts().kernels, 1);
        free_all(taken_);
        taken_.clear();
        return counts().loads;
    }

    long of_activation(dki_element type, int64_t cols) {
        dki_linear_forward op{};
        op.a_out = matrix(type, cols);
        op.g.kind = DK_RELU;
        return loads([&] { return dki_cuda_activation(one, type, &op); });
    }
    long of_delta(dki_element type, int64_t cols) {
        dki_linear_backward_data op{};
        op.delta_out = matrix(type, cols);
        op.z = matrix(type, cols);
        op.g.kind = DK_TANH;
        float *const partial = floats(static_cast<size_t>(cols));
        return loads([&] { return dki_cuda_delta(one, type, &op, partial); });
    }
    long of_column_sums(dki_element type, int64_t cols) {
        const dki_matrix x = matrix(type, cols);
        float *const partial = floats(static_cast<size_t>(cols));
        return loads([&] { return dki_cuda_column_sums(one, type, x, partial); });
    }
    long of_unpack(dki_element type, int64_t cols) {
        const dki_matrix from = matrix(type, cols);
        float *const to = floats(static_cast<size_t>(rows * cols));
        return loads([&] { return dki_cuda_unpack(one, type, from, to); });
    }

  private:
    std::vector<void *> taken_;
};

// Breaks with a row's end that is loaded element by element: 7 of bf16 would be 7 loads, not one.
TEST_F(LoadsTest, ARowsEndTakesAsManyAsAWholePack) {
    for (dki_element type : {DKI_ELEMENT_F32, DKI_ELEMENT_BF16, DKI_ELEMENT_F16}) {
        const int64_t lanes = static_cast<int64_t>(16 / dki_element_bytes(type));
        for (int64_t cols : {int64_t{1}, lanes - 1, lanes + 1, 2 * lanes - 1, 4095L}) {
            const int64_t packs = (cols + lanes - 1) / lanes;
            EXPECT_EQ(of_activation(type, cols), rows * packs) << cols << " columns";
            EXPECT_EQ(of_delta(type, cols), 2 * rows * packs) << cols << " columns";
            EXPECT_EQ(of_column_sums(type, cols), rows * packs) << cols << " columns";
            EXPECT_EQ(of_unpack(type, cols), rows * packs) << cols << " columns";
        }
    }
}

} // namespace
} // namespace emulated

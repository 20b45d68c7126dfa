// unpack.cu on the thread emulator: every element of a padded matrix in its place, as a float.
#include "simt/kernels.h"

using namespace kernels;

// Breaks with a row that begins at ld instead of cols (or the other way round), a tail of columns left
// out, a 128-bit access of what doesn't lie on 16 bytes, anything written beyond the end.
TEST(UnpackKernel, GivesEveryElementInDenseRows) {
    Random random(1);
    for (int64_t rows : {1, 3, 33, 129})
        for (int64_t cols : {1, 4, 7, 8, 31, 64, 1021})
            for (dki_element type : elements)
                for (const Place &place : places)
                    for (size_t offset : {size_t{0}, size_t{1}}) {
                        simt::set_order(random() % 5);
                        const Floats values = random.normal(type, rows * cols);
                        Matrix from(type, rows, cols, place, values);
                        Array<float> to(Floats(values.size(), -7.0f), offset);
                        ASSERT_EQ(0, dki_cuda_unpack(nullptr, type, from.view(), to.data()));
                        expect_same(to.read(), values,
                                    element_name(type) + " " + std::to_string(rows) + " × " +
                                        std::to_string(cols));
                    }
}

// Breaks with a pack at a row's end whose padding gets to where the next row begins.
TEST(UnpackKernel, TakesRowsThatEndInTheMiddleOfAPack) {
    Random random(3);
    for (const Size &size : padded_sizes)
        for (dki_element type : elements) {
            const Floats values = random.normal(type, size.rows * size.cols);
            const Place place = padded_rows(type, size.cols);
            simt::set_order(random() % 5);
            Matrix from(type, size.rows, size.cols, place, values);
            Array<float> to(Floats(values.size(), -7.0f));
            ASSERT_EQ(0, dki_cuda_unpack(nullptr, type, from.view(), to.data()));
            expect_same(to.read(), values, describe("unpack", type, size, place));
        }
}

// Breaks with a loop that ends after the grid's first pass.
TEST(UnpackKernel, TakesMoreRowsThanTheGridHasThreads) {
    Random random(2);
    const int64_t rows = 300000;
    const Floats values = random.normal(DKI_ELEMENT_BF16, rows);
    Matrix from(DKI_ELEMENT_BF16, rows, 1, {0, 0}, values);
    Array<float> to(Floats(values.size(), -7.0f), 0);
    ASSERT_EQ(0, dki_cuda_unpack(nullptr, DKI_ELEMENT_BF16, from.view(), to.data()));
    expect_same(to.read(), values, "bf16");
}

TEST(UnpackKernel, OfNothingDoesNothing) {
    EXPECT_EQ(0, dki_cuda_unpack(nullptr, DKI_ELEMENT_F32, {nullptr, 0, 5, 8}, nullptr));
    EXPECT_EQ(0, dki_cuda_unpack(nullptr, DKI_ELEMENT_F16, {nullptr, 5, 0, 8}, nullptr));
}

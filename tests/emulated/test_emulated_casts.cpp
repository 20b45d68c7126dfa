// The working copy of parameters that begin anywhere: by packs of 16 bytes where both addresses allow it,
// and else by elements. Run with the kernels as the host's compiler and as nvcc (nvcc/) compiles them.
#include "support_emulated.h"

extern "C" {
#include "kernels/kernels.h"
}

#include <cstring>

namespace emulated {
namespace {

using CastTest = GpuTest;

/// bf16 is the upper half of a float, without loss for small integers.
uint16_t bf16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return static_cast<uint16_t>(bits >> 16);
}

// Breaks where a misaligned address is taken as packed, on either side, or the rest behind the packs isn't
// written, or more is.
TEST_F(CastTest, BeginAnywhereAndWriteNothingBeside) {
    constexpr size_t count = 43, room = 64;
    constexpr uint16_t untouched = 0xffff; // how new memory begins
    std::vector<float> values(room);
    for (size_t i = 0; i < room; ++i) values[i] = static_cast<float>(i) - 20;
    auto *from = static_cast<float *>(device(room * sizeof(float)));
    poke(from, values.data(), room * sizeof(float));
    dki_gpu_range_begin(gpu, "test");
    for (size_t first = 0; first <= 8; ++first)
        for (size_t offset = 0; offset <= 8; ++offset) {
            auto *to = static_cast<uint16_t *>(device(room * sizeof(uint16_t)));
            ASSERT_EQ(dki_cuda_cast(one, DKI_ELEMENT_BF16, from + first, to + offset, count), 0);
            ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK) << dk_error_text();
            std::vector<uint16_t> written(room), expected(room, untouched);
            peek(written.data(), to, room * sizeof(uint16_t));
            for (size_t i = 0; i < count; ++i) expected[offset + i] = bf16_of(values[first + i]);
            EXPECT_EQ(written, expected) << "from element " << first << " to element " << offset;
            dki_gpu_free(gpu, to);
        }
    dki_gpu_range_end(gpu);
    dki_gpu_free(gpu, from);
}

} // namespace
} // namespace emulated

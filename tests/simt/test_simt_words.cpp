// CUDA's words in the thread emulator, against what the CUDA programming guide says of them: shuffles
// and votes, atomics, bits, half and bfloat16, and the launch itself.
#include "kernels/launch.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace {

constexpr unsigned full = 0xffffffffu;

// --- warps and blocks ----------------------------------------------------------------------------

template <typename F> __global__ void each_lane_kernel(F function, int *results) {
    results[threadIdx.x] = function();
}

/// What each lane of a warp gets of a function.
template <typename F> std::vector<int> of_warp(F function) {
    std::vector<int> results(32);
    EXPECT_EQ(DK_LAUNCH(each_lane_kernel, 1, 32, nullptr, function, results.data()), 0);
    return results;
}

int lane() {
    return static_cast<int>(threadIdx.x);
}

TEST(Shuffle, StaysInItsSegment) {
    for (const int width : {2, 8, 32}) {
        const auto from = of_warp([=] { return __shfl_sync(full, lane(), width + 1, width); });
        const auto down = of_warp([=] { return __shfl_down_sync(full, lane(), 1, width); });
        const auto up = of_warp([=] { return __shfl_up_sync(full, lane(), 1, width); });
        for (int i = 0; i < 32; ++i) {
            const std::size_t at = static_cast<std::size_t>(i);
            EXPECT_EQ(from[at], i / width * width + 1);
            EXPECT_EQ(down[at], i % width == width - 1 ? i : i + 1);
            EXPECT_EQ(up[at], i % width == 0 ? i : i - 1);
        }
    }
    // "If the warp is split, xor may read earlier segments, but gets its own value for later ones."
    const auto flipped = of_warp([] { return __shfl_xor_sync(full, lane(), 8, 8); });
    for (int i = 0; i < 32; ++i) {
        EXPECT_EQ(flipped[static_cast<std::size_t>(i)], i / 8 % 2 == 1 ? i - 8 : i);
    }
}

TEST(Shuffle, CarriesAllBits) {
    const auto wide = of_warp([] {
        const double value = __shfl_xor_sync(full, 1.0 + lane() * 0x1p-50, 31);
        const unsigned long long bits = __shfl_sync(full, ~0ull - threadIdx.x, 7);
        return value == 1.0 + (31 - lane()) * 0x1p-50 && bits == ~0ull - 7;
    });
    EXPECT_EQ(wide, std::vector<int>(32, 1));
}

TEST(Shuffle, OfAHalfWarpLeavesTheOtherAlone) {
    const auto sums = of_warp([] {
        const unsigned mask = threadIdx.x < 16 ? 0xffffu : 0xffff0000u;
        int sum = lane();
        for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(mask, sum, step);
        return sum;
    });
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(sums[i], i < 16 ? 120 : 120 + 256);
}

TEST(Shuffle, FromALaneOutsideTheMaskGivesNothingUsable) {
    const auto found =
        of_warp([] { return threadIdx.x < 16 ? __shfl_down_sync(0xffffu, lane(), 8) : 0; });
    for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(found[i], i < 8 ? static_cast<int>(i) + 8 : -1);
}

TEST(Vote, CountsTheLanesOfTheMask) {
    const auto votes = of_warp([] {
        const bool odd = threadIdx.x % 2 == 1;
        return __ballot_sync(full, odd) == 0xaaaaaaaau && __any_sync(full, threadIdx.x == 3) &&
               !__any_sync(full, 0) && __all_sync(full, 5) && !__all_sync(full, threadIdx.x != 3);
    });
    EXPECT_EQ(votes, std::vector<int>(32, 1));
}

__global__ void block_vote_kernel(int *right) {
    const bool odd = threadIdx.x % 2 == 1;
    const int count = __syncthreads_count(odd), any = __syncthreads_or(threadIdx.x == 77);
    const int none = __syncthreads_or(0), all = __syncthreads_and(2),
              not_all = __syncthreads_and(odd);
    right[threadIdx.x] = count == 50 && any && !none && all && !not_all;
}

TEST(Vote, OfABlockReachesEachThread) {
    std::vector<int> right(100);
    ASSERT_EQ(DK_LAUNCH(block_vote_kernel, 1, 100, nullptr, right.data()), 0);
    EXPECT_EQ(right, std::vector<int>(100, 1));
}

// --- single threads ------------------------------------------------------------------------------

TEST(Atomics, GiveTheOldValue) {
    int i = 5;
    EXPECT_EQ(atomicAdd(&i, -7), 5);
    EXPECT_EQ(atomicMin(&i, -9), -2);
    EXPECT_EQ(atomicMax(&i, 4), -9);
    EXPECT_EQ(i, 4);
    unsigned long long wide = 1ull << 40;
    EXPECT_EQ(atomicOr(&wide, 6), 1ull << 40);
    EXPECT_EQ(atomicAnd(&wide, 7), (1ull << 40) + 6);
    EXPECT_EQ(atomicMax(&wide, 1ull << 63), 6u);
    EXPECT_EQ(atomicMin(&wide, 9), 1ull << 63);
    EXPECT_EQ(wide, 9u);
    unsigned word = 3;
    EXPECT_EQ(atomicCAS(&word, 4, 8), 3u);
    EXPECT_EQ(word, 3u);
    EXPECT_EQ(atomicCAS(&word, 3, 8), 3u);
    EXPECT_EQ(atomicExch(&word, 1), 8u);
    EXPECT_EQ(word, 1u);
}

TEST(Bits, AreCountedAsCudaDoes) {
    EXPECT_EQ(__clz(0), 32);
    EXPECT_EQ(__clz(1), 31);
    EXPECT_EQ(__clz(-1), 0);
    EXPECT_EQ(__ffs(0), 0);
    EXPECT_EQ(__ffs(8), 4);
    EXPECT_EQ(__popc(0xf0f0u), 8);
    EXPECT_EQ(__umulhi(0xffffffffu, 0xffffffffu), 0xfffffffeu);
    EXPECT_EQ(__float_as_uint(-1.0f), 0xbf800000u);
    EXPECT_EQ(__int_as_float(0x40000000), 2.0f);
}

TEST(Half, GoesToFloatAndBack) {
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
        const __half value = __ushort_as_half(static_cast<unsigned short>(bits));
        const float wide = __half2float(value);
        const unsigned exponent = bits >> 10 & 31, fraction = bits & 1023;
        if (exponent == 31 && fraction != 0) {
            EXPECT_TRUE(std::isnan(wide));
            continue;
        }
        const float magnitude = exponent == 31  ? std::numeric_limits<float>::infinity()
                                : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                                : std::ldexp(static_cast<float>(fraction + 1024),
                                                             static_cast<int>(exponent) - 25);
        ASSERT_EQ(wide, bits >> 15 ? -magnitude : magnitude) << bits;
        ASSERT_EQ(__half_as_ushort(__float2half_rn(wide)), bits);
    }
    EXPECT_EQ(__half_as_ushort(__float2half_rn(1.0f + 0x1p-11f)), 0x3c00); // ties to even
    EXPECT_EQ(__half_as_ushort(__float2half_rn(1.0f + 0x3p-11f)), 0x3c02);
    EXPECT_EQ(__half_as_ushort(__float2half_rn(65520.0f)), 0x7c00); // overflows
}

TEST(Bfloat16, GoesToFloatAndBack) {
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
        const float wide =
            __bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(bits)));
        ASSERT_EQ(__float_as_uint(wide), bits << 16);
        if (std::isnan(wide)) continue;
        ASSERT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(wide)), bits);
    }
    EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(1.0f + 0x1p-8f)), 0x3f80); // ties to even
    EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(1.0f + 0x3p-8f)), 0x3f82);
}

// --- launches ------------------------------------------------------------------------------------

__global__ void add_kernel(int *x, int a, int b) {
    *x += a + b;
}

TEST(Launch, HasTheLimitsOfADevice) {
    int x = 0;
    const dim3 bad_blocks[] = {{0, 1, 1}, {1025, 1, 1}, {32, 33, 1}, {1, 1, 65}, {1, 1, 0}};
    for (const dim3 &size : bad_blocks) {
        EXPECT_EQ(DK_LAUNCH(add_kernel, 1, size, nullptr, &x, 1, 2), cudaErrorInvalidConfiguration);
    }
    const dim3 bad_grids[] = {{0, 1, 1}, {1, 65536, 1}, {1, 1, 65536}, {0x80000000u, 1, 1}};
    for (const dim3 &size : bad_grids) {
        EXPECT_EQ(DK_LAUNCH(add_kernel, size, 1, nullptr, &x, 1, 2), cudaErrorInvalidConfiguration);
    }
    // A count of blocks that dim3 would cut down to 1.
    EXPECT_EQ(DK_LAUNCH(add_kernel, (std::int64_t{1} << 32) + 1, 1, nullptr, &x, 1, 2),
              cudaErrorInvalidConfiguration);
    EXPECT_EQ(DK_LAUNCH_SHARED(add_kernel, 1, 1, 48 * 1024 + 1, nullptr, &x, 1, 2),
              cudaErrorInvalidValue);
    EXPECT_EQ(x, 0);
    EXPECT_EQ(DK_LAUNCH_SHARED(add_kernel, 1, dim3(16, 32, 2), 48 * 1024, nullptr, &x, 1, 2), 0);
    EXPECT_EQ(DK_LAUNCH(add_kernel, dim3(1, 1, 65535), 1, nullptr, &x, 1, 2), 0);
    EXPECT_EQ(x, 3 * (1024 + 65535));
}

__global__ void fail_kernel() {
    if (threadIdx.x == 0) __syncthreads();
}

/// Unhooks even where a test ends early.
struct Hook {
    explicit Hook(simt::LaunchHook hook) { simt::set_launch_hook(std::move(hook)); }
    ~Hook() { simt::set_launch_hook(nullptr); }
};

TEST(Launch, GoesToTheHookWithItsArguments) {
    std::vector<std::function<simt::Outcome()>> queue;
    int stream = 0, x = 0, a = 1;
    const Hook hook([&](void *on, const char *, std::function<simt::Outcome()> run) {
        EXPECT_EQ(on, &stream);
        queue.push_back(std::move(run));
        return 42;
    });
    EXPECT_EQ(DK_LAUNCH(add_kernel, 1, 1, &stream, &x, a, 10), 42);
    a = 1000; // the argument was a copy
    EXPECT_EQ(DK_LAUNCH(fail_kernel, 1, 2, &stream), 42);
    EXPECT_EQ(DK_LAUNCH(add_kernel, 1, 0, &stream, &x, a, 10), cudaErrorInvalidConfiguration);
    ASSERT_EQ(queue.size(), 2u);
    EXPECT_EQ(x, 0);
    queue[0]();
    EXPECT_EQ(x, 11);
    EXPECT_TRUE(simt::take_reports().empty());
    queue[1]();
    EXPECT_EQ(simt::take_reports().size(), 1u);
    queue[0](); // as a graph does
    EXPECT_EQ(x, 22);
}

} // namespace

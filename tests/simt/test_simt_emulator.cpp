// The thread emulator itself: it runs right kernels right in every order, shows a missing barrier, and
// reports what a GPU would hang on. Each kernel here breaks one rule, or none.
#include "kernels/launch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr unsigned full = 0xffffffffu;
constexpr unsigned block = 128;

/// Lines of calls, as the kernels came past them.
std::array<int, 2> line_of;

/// Whether the launch failed with one report that has all of these texts and lines (of line_of).
void expect_report(int code, std::vector<std::string> texts,
                   const std::vector<std::size_t> &lines) {
    for (const std::size_t i : lines) {
        texts.push_back("test_simt_emulator.cpp:" + std::to_string(line_of[i]));
    }
    EXPECT_EQ(code, cudaErrorLaunchFailure);
    const std::vector<std::string> reports = simt::take_reports();
    ASSERT_EQ(reports.size(), 1u);
    for (const std::string &text : texts) {
        EXPECT_NE(reports[0].find(text), std::string::npos) << text << " not in: " << reports[0];
    }
}

/// A test in several orders, and the order as it was afterwards.
class Emulator : public ::testing::TestWithParam<int> {
  protected:
    void SetUp() override { simt::set_order(static_cast<std::uint64_t>(GetParam())); }
    void TearDown() override { simt::set_order(0); }
};
INSTANTIATE_TEST_SUITE_P(Orders, Emulator, ::testing::Range(0, 5));

// --- what is right stays right -------------------------------------------------------------------

template <typename T> __global__ void sum_kernel(const T *x, T *sums) {
    DK_SHARED(T, of_warp, block / 32);
    T sum = x[blockIdx.x * block + threadIdx.x];
    for (unsigned step = 16; step > 0; step /= 2) sum += __shfl_down_sync(full, sum, step);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    sum = threadIdx.x < block / 32 ? of_warp[threadIdx.x] : T(0);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(full, sum, step);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

template <typename T> void expect_sums() {
    constexpr unsigned blocks = 7;
    std::vector<T> x(blocks * block), sums(blocks);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i * i % 1000);
    ASSERT_EQ(DK_LAUNCH(sum_kernel<T>, blocks, block, nullptr, x.data(), sums.data()), 0);
    for (unsigned b = 0; b < blocks; ++b) {
        // Sums below 2^24 of integers: exact in every type and order.
        EXPECT_EQ(sums[b], std::accumulate(&x[b * block], &x[b * block] + block, T(0)));
    }
}

TEST_P(Emulator, SumsABlockWithShufflesAndABarrier) {
    expect_sums<int>();
    expect_sums<unsigned long long>();
    expect_sums<float>();
    expect_sums<double>();
}

/// Prefix sums in log2(n) steps; each step reads what others wrote in the one before. Dynamic memory.
__global__ void scan_kernel(int *x) {
    DK_DYNAMIC_SHARED(int, values);
    const unsigned i = threadIdx.x;
    values[i] = x[i];
    for (unsigned step = 1; step < blockDim.x; step *= 2) {
        __syncthreads();
        const int other = i >= step ? values[i - step] : 0;
        __syncthreads();
        values[i] += other;
    }
    x[i] = values[i];
}

TEST_P(Emulator, ScansABlockInDynamicSharedMemory) {
    for (const unsigned threads : {1u, 2u, 31u, 33u, 1024u}) {
        std::vector<int> x(threads, 1);
        ASSERT_EQ(
            DK_LAUNCH_SHARED(scan_kernel, 1, threads, threads * sizeof(int), nullptr, x.data()), 0);
        for (unsigned i = 0; i < threads; ++i) ASSERT_EQ(x[i], static_cast<int>(i) + 1);
    }
}

__global__ void place_kernel(int *count, int nx, int ny) {
    const unsigned x = blockIdx.x * blockDim.x + threadIdx.x,
                   y = blockIdx.y * blockDim.y + threadIdx.y;
    const unsigned z = blockIdx.z * blockDim.z + threadIdx.z;
    __syncthreads();
    ++count[(z * static_cast<unsigned>(ny) + y) * static_cast<unsigned>(nx) + x];
}

TEST_P(Emulator, RunsEachThreadOfAGridOnce) {
    const dim3 grid(3, 4, 5), threads(5, 3, 2);
    const int nx = 15, ny = 12, nz = 10;
    std::vector<int> count(static_cast<std::size_t>(nx * ny * nz));
    ASSERT_EQ(DK_LAUNCH(place_kernel, grid, threads, nullptr, count.data(), nx, ny), 0);
    EXPECT_EQ(count, std::vector<int>(count.size(), 1));
}

__global__ void stale_kernel(unsigned *found) {
    DK_SHARED(unsigned, value, 1);
    found[blockIdx.x] = value[0];
    value[0] = 7;
}

TEST(SharedMemory, HasAllBitsSetInEachBlock) {
    std::vector<unsigned> found(3);
    for (int launch = 0; launch < 2; ++launch) {
        ASSERT_EQ(DK_LAUNCH(stale_kernel, 3, 1, nullptr, found.data()), 0);
        EXPECT_EQ(found, std::vector<unsigned>(3, full));
    }
}

TEST_P(Emulator, RunsLaunchesOfSeveralHostThreads) {
    std::vector<std::thread> threads;
    std::vector<std::vector<int>> x(4, std::vector<int>(64, 1));
    for (auto &values : x) {
        threads.emplace_back([&values] {
            for (int i = 0; i < 20; ++i) {
                DK_LAUNCH_SHARED(scan_kernel, 1, 2, 2 * sizeof(int), nullptr, values.data());
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
    for (const auto &values : x) EXPECT_EQ(values[1], 21); // x₁ += x₀, 20 times
}

// --- the order -----------------------------------------------------------------------------------

__global__ void arrive_kernel(unsigned *next, unsigned *order) {
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    order[atomicAdd(next, 1)] = thread;
    __syncthreads();
    order[atomicAdd(next, 1)] = thread;
}

TEST_P(Emulator, FollowsTheOrderInEachRound) {
    std::vector<unsigned> order(4 * 64);
    unsigned next = 0;
    ASSERT_EQ(DK_LAUNCH(arrive_kernel, 2, 64, nullptr, &next, order.data()), 0);
    std::vector<std::vector<unsigned>> rounds; // block by block, two rounds each
    for (auto round = order.begin(); round != order.end(); round += 64) {
        rounds.emplace_back(round, round + 64);
    }
    if (GetParam() <= 1) {
        const unsigned first = GetParam() == 0 ? 0 : 1; // block
        for (unsigned r = 0; r < 4; ++r) {
            const unsigned b = r / 2 == 0 ? first : 1 - first;
            for (unsigned i = 0; i < 64; ++i) {
                ASSERT_EQ(rounds[r][i], b * 64 + (GetParam() == 0 ? i : 63 - i)) << r;
            }
        }
    } else {
        EXPECT_NE(rounds[0], rounds[1]);
        EXPECT_NE(rounds[2], rounds[3]);
        for (auto &round : rounds) {
            EXPECT_FALSE(std::is_sorted(round.begin(), round.end()));
            std::sort(round.begin(), round.end());
            for (unsigned i = 0; i < 64; ++i) ASSERT_EQ(round[i], round[0] + i);
        }
    }
}

/// y[i] = x[i−1] through shared memory, then through it again. Which barriers are there, in bits.
template <unsigned barriers> __global__ void shift_kernel(const int *x, int *y) {
    DK_SHARED(int, values, block);
    const unsigned i = threadIdx.x, before = (i + block - 1) % block;
    values[i] = x[i];
    if (barriers & 1) __syncthreads();
    const int value = values[before];
    if (barriers & 2) __syncthreads();
    values[i] = value;
    if (barriers & 4) __syncthreads();
    y[i] = values[before];
}

/// In how many of five orders the result is wrong.
template <unsigned barriers> int wrong_orders() {
    int wrong = 0;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        simt::set_order(seed);
        std::vector<int> x(block), y(block), expected(block);
        std::iota(x.begin(), x.end(), 0);
        for (unsigned i = 0; i < block; ++i) expected[i] = x[(i + block - 2) % block];
        EXPECT_EQ(DK_LAUNCH(shift_kernel<barriers>, 1, block, nullptr, x.data(), y.data()), 0);
        wrong += y != expected;
    }
    simt::set_order(0);
    return wrong;
}

TEST(MissingBarrier, ShowsInOneOfFiveOrders) {
    EXPECT_EQ(wrong_orders<7>(), 0);
    EXPECT_GT(wrong_orders<6>(), 0);
    EXPECT_GT(wrong_orders<5>(), 0);
    EXPECT_GT(wrong_orders<3>(), 0);
}

// --- what hangs, or should -----------------------------------------------------------------------

__global__ void divergent_kernel() {
    if (threadIdx.x % 2 == 0) {
        line_of[0] = __LINE__, __syncthreads();
    } else {
        line_of[1] = __LINE__, __syncthreads();
    }
}

TEST_P(Emulator, ReportsADivergentBarrier) {
    expect_report(DK_LAUNCH(divergent_kernel, 1, block, nullptr),
                  {"divergent_kernel", "block (0,0,0)"}, {0, 1});
    expect_sums<int>(); // the report is the end of one launch only
}

__global__ void early_end_kernel(unsigned ends) {
    if (threadIdx.x == ends) return;
    line_of[0] = __LINE__, __syncthreads();
}

TEST_P(Emulator, ReportsAThreadThatEndsBeforeTheBarrier) {
    for (const unsigned ends : {0u, 5u, block - 1}) {
        expect_report(DK_LAUNCH(early_end_kernel, 3, block, nullptr, ends), {"end"}, {0});
    }
}

__global__ void absent_lane_kernel(unsigned absent) {
    if (threadIdx.x == absent) return;
    line_of[0] = __LINE__, __shfl_xor_sync(full, 1.0f, 1);
}

TEST_P(Emulator, ReportsALaneThatEndsBeforeAShuffle) {
    expect_report(DK_LAUNCH(absent_lane_kernel, 1, block, nullptr, 40u),
                  {"__shfl_xor_sync", "lane"}, {0});
}

TEST_P(Emulator, ReportsALaneThatTheBlockDoesNotHave) {
    expect_report(DK_LAUNCH(absent_lane_kernel, 1, 48, nullptr, block), {"lane 16"}, {0});
}

__global__ void lost_lane_kernel() {
    if (threadIdx.x == 3) {
        line_of[0] = __LINE__, __syncthreads();
    } else {
        line_of[1] = __LINE__, __syncwarp();
        __syncthreads();
    }
}

TEST_P(Emulator, ReportsALaneThatWaitsElsewhere) {
    expect_report(DK_LAUNCH(lost_lane_kernel, 1, 32, nullptr), {"lane 3"}, {0, 1});
}

__global__ void other_mask_kernel() {
    line_of[0] = __LINE__, __ballot_sync(threadIdx.x == 9 ? 0x3ffu : full, 1);
}

TEST_P(Emulator, ReportsLanesThatDisagreeOnTheMask) {
    expect_report(DK_LAUNCH(other_mask_kernel, 1, 32, nullptr), {"thread (9,0,0)"}, {0});
}

__global__ void outsider_kernel() {
    line_of[0] = __LINE__, __any_sync(0xfffffffeu, 1);
}

TEST_P(Emulator, ReportsALaneOutsideItsOwnMask) {
    expect_report(DK_LAUNCH(outsider_kernel, 1, 32, nullptr),
                  {"thread (0,0,0)", "mask without its lane"}, {0});
}

__global__ void misaligned_kernel(std::size_t offset) {
    DK_SHARED(float, values, 8);
    line_of[0] = __LINE__, simt::check_aligned(values + offset, sizeof(float2));
}

TEST(Alignment, IsReportedWithTheLine) {
    EXPECT_EQ(DK_LAUNCH(misaligned_kernel, 1, 1, nullptr, std::size_t{2}), 0);
    expect_report(DK_LAUNCH(misaligned_kernel, 1, 1, nullptr, std::size_t{1}),
                  {"misaligned_kernel", "8 bytes"}, {0});
}

__global__ void alignment_kernel(std::uintptr_t *found) {
    DK_SHARED(float, floats, 4);
    DK_SHARED(float4, vectors, 1);
    found[0] = reinterpret_cast<std::uintptr_t>(floats) % 16;
    found[1] = reinterpret_cast<std::uintptr_t>(vectors) % 16;
}

TEST(Alignment, OfSharedMemoryIsThatOfItsType) {
    std::uintptr_t found[2];
    ASSERT_EQ(DK_LAUNCH(alignment_kernel, 1, 1, nullptr, found), 0);
    EXPECT_NE(found[0], 0u); // so that a float4 in an array of floats is reported
    EXPECT_EQ(found[1], 0u);
}

// Not run by itself: the next test runs it in a process of its own.
TEST(Report, DISABLED_ThatNobodyTakes) {
    DK_LAUNCH(divergent_kernel, 1, block, nullptr);
}

TEST(Report, ThatNobodyTakesFailsTheTest) {
    const std::string self = "/proc/" + std::to_string(getpid()) + "/exe";
    const std::string options =
        " --gtest_also_run_disabled_tests --gtest_filter=Report.DISABLED_ThatNobodyTakes";
    EXPECT_NE(std::system((self + options + " >/dev/null 2>&1").c_str()), 0);
    EXPECT_EQ(std::system((self + " --gtest_filter=Alignment.* >/dev/null 2>&1").c_str()), 0);
}

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_TEST_RED_ZONES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_TEST_RED_ZONES 1
#endif
#endif

#if defined(SIMT_TEST_RED_ZONES)
__global__ void overrun_kernel(int index) {
    DK_SHARED(float, values, 6);
    float *const p = values; // past an array, UndefinedBehaviorSanitizer would be first
    p[index] = 1.0f;
}

__global__ void dynamic_overrun_kernel(int index) {
    DK_DYNAMIC_SHARED(float, values);
    values[index] = 1.0f;
}

TEST(SharedMemory, EndsInRedZones) {
    EXPECT_EQ(DK_LAUNCH(overrun_kernel, 1, 1, nullptr, 5), 0);
    for (const int index : {-2, -1, 6}) {
        EXPECT_DEATH(DK_LAUNCH(overrun_kernel, 1, 1, nullptr, index), "AddressSanitizer");
    }
    for (const int index : {-1, 6}) {
        EXPECT_DEATH(DK_LAUNCH_SHARED(dynamic_overrun_kernel, 1, 1, 24, nullptr, index),
                     "AddressSanitizer");
    }
}
#endif

} // namespace

// What the emulation reports beside wrong results: work that touches the same memory without an order,
// kernels that don't wait, memory that isn't there. Each fault is planted, and has a twin that is right.
#include "support_emulated.h"

extern "C" {
#include "kernels/kernels.h"
#include "kernels/queue.h"
}

#include "kernels/launch.h"

namespace emulated {
namespace {

#if defined(EMULATED_WATCH)
constexpr bool watched = true; ///< kernels' accesses are seen
#else
constexpr bool watched = false;
#endif

class OrderTest : public GpuTest {
  protected:
    dki_event between = nullptr;
    void SetUp() override {
        GpuTest::SetUp();
        between = event();
    }
    void TearDown() override {
        dki_gpu_event_destroy(gpu, between);
        GpuTest::TearDown();
    }
    /// What is queued on `two` from now on waits for `one`.
    void order() {
        ASSERT_EQ(dki_gpu_event_record(gpu, between, one), DK_OK);
        ASSERT_EQ(dki_gpu_event_wait(gpu, between, two), DK_OK);
    }
    void sync() {
        ASSERT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
        ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    }
    /// fp32 → fp32 of `count` elements: a kernel of ours, to be seen by the watch.
    void cast(dki_stream stream, void *to, const void *from, int64_t count) {
        dki_gpu_range_begin(gpu, "test");
        EXPECT_EQ(
            dki_cuda_cast(stream, DKI_ELEMENT_BF16, static_cast<const float *>(from), to, count),
            0);
        dki_gpu_range_end(gpu);
    }
};

TEST_F(OrderTest, OverlappingCopiesNeedAnOrder) {
    auto *memory = static_cast<char *>(device(64));
    for (const auto &[offset, ordered, wrong] :
         {std::tuple(0, false, true), {16, false, true}, {32, false, false}, {0, true, false}}) {
        ASSERT_EQ(dki_gpu_zero(gpu, one, memory, 32), DK_OK);
        if (ordered) order();
        ASSERT_EQ(dki_gpu_zero(gpu, two, memory + offset, 32), DK_OK);
        sync();
        EXPECT_EQ(!take_reports().empty(), wrong) << offset;
    }
    dki_gpu_free(gpu, memory);
}

TEST_F(OrderTest, ReadersNeedNoneAmongThemselves) {
    void *memory = device(16);
    int *host = pinned(8);
    ASSERT_EQ(dki_gpu_zero(gpu, one, memory, 16), DK_OK);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    ASSERT_EQ(dki_gpu_copy(gpu, one, host, memory, 16), DK_OK);
    ASSERT_EQ(dki_gpu_copy(gpu, two, host + 4, memory, 16), DK_OK);
    sync();
    EXPECT_TRUE(take_reports().empty());
    ASSERT_EQ(dki_gpu_copy(gpu, one, host, memory, 16), DK_OK);
    ASSERT_EQ(dki_gpu_copy(gpu, two, host, memory, 16), DK_OK);
    sync();
    EXPECT_TRUE(reported("no order between a copy and a copy"));
    dki_gpu_free(gpu, memory);
    dki_gpu_free_host(gpu, host);
}

TEST_F(OrderTest, AWaitOfTheHostIsAnOrder) {
    void *memory = device(16);
    ASSERT_EQ(dki_gpu_zero(gpu, one, memory, 16), DK_OK);
    ASSERT_EQ(dki_gpu_event_record(gpu, between, one), DK_OK);
    ASSERT_EQ(dki_gpu_event_sync(gpu, between), DK_OK);
    ASSERT_EQ(dki_gpu_zero(gpu, two, memory, 16), DK_OK);
    sync();
    dki_gpu_free(gpu, memory);
}

TEST_F(OrderTest, OneThatEndsBeforeTheWaitIsNotOfIt) {
    void *memory = device(16);
    order(); // too early
    ASSERT_EQ(dki_gpu_zero(gpu, one, memory, 16), DK_OK);
    ASSERT_EQ(dki_gpu_zero(gpu, two, memory, 16), DK_OK);
    sync();
    EXPECT_TRUE(reported("no order"));
    dki_gpu_free(gpu, memory);
}

/// A graph of two lanes that write the same memory, with or without an edge from the first to the second.
TEST_F(OrderTest, NodesOfAGraphNeedAnEdge) {
    void *memory = device(16);
    dki_event joined = event();
    for (bool ordered : {false, true}) {
        dki_graph *graph = nullptr;
        ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
        if (!ordered) order();
        ASSERT_EQ(dki_gpu_zero(gpu, one, memory, 16), DK_OK);
        if (ordered) order();
        ASSERT_EQ(dki_gpu_zero(gpu, two, memory, 16), DK_OK);
        ASSERT_EQ(dki_gpu_event_record(gpu, joined, two), DK_OK);
        ASSERT_EQ(dki_gpu_event_wait(gpu, joined, one), DK_OK);
        ASSERT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_OK);
        for (int launch = 0; launch < 2; ++launch) {
            ASSERT_EQ(dki_gpu_graph_launch(gpu, graph, one), DK_OK);
            ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
            EXPECT_EQ(take_reports().empty(), ordered) << "launch " << launch;
        }
        dki_gpu_graph_destroy(gpu, graph);
    }
    dki_gpu_event_destroy(gpu, joined);
    dki_gpu_free(gpu, memory);
}

// --- kernels -----------------------------------------------------------------------------------

/// An upload is work of its stream, and a launch on another one is none that follows it by itself.
TEST_F(OrderTest, AGraphsFirstLaunchNeedsAnOrderBehindItsUpload) {
    void *memory = device(16);
    for (bool ordered : {false, true}) {
        dki_graph *graph = nullptr;
        ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
        ASSERT_EQ(dki_gpu_zero(gpu, one, memory, 16), DK_OK);
        ASSERT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_OK);
        if (ordered) order();
        ASSERT_EQ(dki_gpu_graph_launch(gpu, graph, two), DK_OK);
        sync();
        EXPECT_TRUE(ordered || reported("no order between a graph's launch and a graph's upload"));
        dki_gpu_graph_destroy(gpu, graph);
    }
    dki_gpu_free(gpu, memory);
}

TEST_F(OrderTest, KernelsAreWatched) {
    void *from = device(64 * 4), *to = device(64 * 2);
    for (bool ordered : {false, true}) {
        ASSERT_EQ(dki_gpu_zero(gpu, one, from, 64 * 4), DK_OK);
        cast(one, to, from, 64);
        if (ordered) order();
        cast(two, to, from, 64);
        sync();
        EXPECT_EQ(take_reports().empty(), ordered || !watched);
    }
    free_all({from, to});
}

TEST_F(OrderTest, KernelsOutsideOfAllocationsAreReported) {
    void *from = device(64 * 4), *to = device(63 * 2), *room = device(64 * 2);
    ASSERT_EQ(dki_gpu_zero(gpu, one, from, 64 * 4), DK_OK);
    cast(one, room, from, 64);
    sync();
    EXPECT_TRUE(take_reports().empty());
    if (watched) {
        cast(one, to, from, 64);
        sync();
        EXPECT_TRUE(reported("outside of any allocation"));
    }
#if defined(__SANITIZE_ADDRESS__)
    const auto cast_too_far = [&] {
        cast(one, to, from, 64);
        sync();
    };
    EXPECT_DEATH(cast_too_far(), "use-after-poison");
#endif
    free_all({from, to, room});
}

// Where whole packs can't be taken, elements are: the same values, without a report.
TEST_F(OrderTest, KernelsTakeNoPacksAtOddPlaces) {
    auto *from = static_cast<char *>(device(64 * 4)), *to = static_cast<char *>(device(64 * 2));
    ASSERT_EQ(dki_gpu_zero(gpu, one, from, 64 * 4), DK_OK);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    cast(one, to + 2, from, 62);
    cast(one, to, from + 4, 62);
    sync();
    EXPECT_TRUE(take_reports().empty());
    free_all({from, to});
}

TEST_F(OrderTest, AKernelIsLaunchedWhileTheGpuIsCurrent) {
    void *memory = device(64 * 4), *to = device(64 * 2);
    ASSERT_EQ(dki_gpu_zero(gpu, one, memory, 64 * 4), DK_OK);
    EXPECT_EQ(dki_cuda_cast(one, DKI_ELEMENT_BF16, static_cast<const float *>(memory), to, 64), 0);
    sync();
    EXPECT_TRUE(reported("launched while the GPU isn't the thread's current"));
    free_all({memory, to});
}

__global__ void hasty_kernel(int *value) {
    *value = 1;
}
__global__ void patient_kernel(int *value) {
    dki_wait_for_earlier();
    *value = 1;
}

TEST_F(OrderTest, DependentKernelsHaveToWait) {
    auto *value = static_cast<int *>(device(4));
    dki_gpu_range_begin(gpu, "test");
    for (bool dependent : {false, true}) {
        dki_gpu_stream_depend(gpu, one, dependent);
        EXPECT_EQ(DK_LAUNCH(patient_kernel, 1, 1, one, value), 0);
        sync();
        EXPECT_TRUE(take_reports().empty());
        EXPECT_EQ(DK_LAUNCH(hasty_kernel, 1, 1, one, value), 0);
        sync();
        EXPECT_EQ(take_reports().empty(), !dependent);
    }
    set_capability(8, 0);
    EXPECT_EQ(DK_LAUNCH(patient_kernel, 1, 1, one, value), cudaErrorNotSupported);
    EXPECT_TRUE(reported("needs compute capability 9.0"));
    dki_gpu_range_end(gpu);
    dki_gpu_free(gpu, value);
}

// --- the legacy stream -------------------------------------------------------------------------

/// A blocking stream and a non-blocking one of the application's.
class LegacyTest : public OrderTest {
  protected:
    cudaStream_t blocking = nullptr, free_stream = nullptr;
    void *memory = nullptr;
    void SetUp() override {
        OrderTest::SetUp();
        ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
        ASSERT_EQ(cudaStreamCreateWithFlags(&free_stream, cudaStreamNonBlocking), cudaSuccess);
        memory = device(16);
    }
    void TearDown() override {
        dki_gpu_free(gpu, memory);
        EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess);
        EXPECT_EQ(cudaStreamDestroy(free_stream), cudaSuccess);
        OrderTest::TearDown();
    }
};

TEST_F(LegacyTest, BlockingStreamsAreInOrderWithIt) {
    for (uint64_t seed = 0; seed < schedules; ++seed) {
        set_schedule(seed);
        for (cudaStream_t legacy : {cudaStream_t(nullptr), cudaStreamLegacy}) {
            ASSERT_EQ(cudaMemsetAsync(memory, 1, 16, legacy), cudaSuccess);
            ASSERT_EQ(cudaMemsetAsync(memory, 2, 16, blocking), cudaSuccess);
            ASSERT_EQ(cudaMemsetAsync(memory, 3, 16, legacy), cudaSuccess);
            ASSERT_EQ(cudaStreamSynchronize(legacy), cudaSuccess);
            char result[16];
            peek(result, memory, 16);
            EXPECT_EQ(result[0], 3);
            EXPECT_TRUE(take_reports().empty());
        }
    }
}

TEST_F(LegacyTest, TheBackendsStreamsLeaveItAlone) {
    Log log;
    ASSERT_EQ(cudaMemsetAsync(memory, 1, 16, nullptr), cudaSuccess);
    log.kernel(one, 1);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    EXPECT_EQ(log.order, Order({1}));
    EXPECT_EQ(counts().zeros, 0) << "nobody waited for the application's work";
    ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
    EXPECT_EQ(counts().zeros, 1);
}

TEST_F(LegacyTest, OthersAreNot) {
    ASSERT_EQ(cudaMemsetAsync(memory, 1, 16, nullptr), cudaSuccess);
    ASSERT_EQ(cudaMemsetAsync(memory, 2, 16, free_stream), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_TRUE(reported("no order"));
}

TEST_F(LegacyTest, ItCannotBeRecordedNorUsedWhileABlockingStreamIs) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal),
              cudaErrorStreamCaptureUnsupported);
    ASSERT_EQ(cudaStreamBeginCapture(free_stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(memory, 1, 16, nullptr), cudaSuccess) << "isn't in order with it";
    ASSERT_EQ(cudaStreamEndCapture(free_stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    ASSERT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed), cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(memory, 1, 16, nullptr), cudaErrorStreamCaptureImplicit);
    EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
}

TEST_F(LegacyTest, TheEndOfARecordingIsOnItsStream) {
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(free_stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(cudaStreamBeginCapture(free_stream, cudaStreamCaptureModeThreadLocal),
              cudaErrorIllegalState);
    EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorIllegalState);
    EXPECT_EQ(cudaStreamEndCapture(free_stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaErrorInvalidValue);
    EXPECT_TRUE(reported("cudaGraphDestroy: not a graph"));
}

} // namespace
} // namespace emulated

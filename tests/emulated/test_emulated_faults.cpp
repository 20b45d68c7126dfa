// The emulation itself: its memory, what it reports, and the failures that tests ask for.
#include "support_emulated.h"

extern "C" {
#include "backend/cuda/plan_time.h"
}

#include <cmath>

namespace emulated {
namespace {

TEST_F(GpuTest, ReadsOfFreedMemoryInAGraphAreReported) {
    void *memory = device(16);
    int *host = pinned(4);
    dki_graph *graph = nullptr;
    ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
    ASSERT_EQ(dki_gpu_copy(gpu, one, host, memory, 16), DK_OK);
    ASSERT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_OK);
    dki_gpu_free(gpu, memory);
    ASSERT_EQ(dki_gpu_graph_launch(gpu, graph, one), DK_OK);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    EXPECT_TRUE(reported("copy: from"));
    dki_gpu_graph_destroy(gpu, graph);
    dki_gpu_free_host(gpu, host);
}

TEST_F(GpuTest, DeviceMemoryIsGarbageAndPinnedMemoryZero) {
    void *memory = device(4);
    int *host = pinned(1);
    uint32_t bits = 0;
    peek(&bits, memory, 4);
    EXPECT_EQ(bits, 0xFFFFFFFFu);
    EXPECT_EQ(*host, 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0u);
    dki_gpu_free(gpu, memory);
    dki_gpu_free_host(gpu, host);
}

TEST_F(GpuTest, MemoryRunsOutAndComesBack) {
    set_memory(1000, 100);
    void *first = device(600), *second = nullptr;
    EXPECT_EQ(dki_gpu_alloc(gpu, 401, &second), DK_E_MEMORY);
    EXPECT_NE(std::string(dk_error_text()).find("401 bytes wanted, 400 of 1000 are free"),
              std::string::npos);
    EXPECT_EQ(second, nullptr);
    EXPECT_EQ(dki_gpu_alloc_host(gpu, 101, &second), DK_E_MEMORY);
    uint64_t total = 0, left = 0;
    ASSERT_EQ(dki_gpu_memory(gpu, &total, &left), DK_OK);
    EXPECT_EQ(total, 1000u);
    EXPECT_EQ(left, 400u);
    dki_gpu_free(gpu, first);
    EXPECT_EQ(memory_in_use(), 0u);
    dki_gpu_free(gpu, device(1000));
}

TEST_F(GpuTest, ResidentIsAllOfARangeInDeviceMemory) {
    auto *memory = static_cast<char *>(device(100));
    int *host = pinned(25);
    const auto resident = [&](const void *p, size_t bytes) {
        bool is = false;
        EXPECT_EQ(dki_gpu_is_resident(gpu, p, bytes, &is), DK_OK);
        return is;
    };
    auto *other = static_cast<char *>(device(100));
    EXPECT_FALSE(resident(memory, static_cast<size_t>(other - memory) + 1)) << "two of them";
    dki_gpu_free(gpu, other);
    EXPECT_TRUE(resident(memory, 100));
    EXPECT_TRUE(resident(memory + 99, 1));
    EXPECT_FALSE(resident(memory + 1, 100));
    EXPECT_FALSE(resident(memory + 100, 0));
    EXPECT_FALSE(resident(host, 4));
    EXPECT_FALSE(resident(nullptr, 4));
    dki_gpu_free(gpu, memory);
    EXPECT_FALSE(resident(memory, 1));
    dki_gpu_free_host(gpu, host);
}

TEST_F(GpuTest, CopiesOutsideOfAllocationsAreReported) {
    void *memory = device(16);
    int pageable[4] = {};
    int *host = pinned(5);
    set_schedule(4); // at once: reported when queued and when run
    EXPECT_EQ(dki_gpu_copy(gpu, one, memory, pageable, 16), DK_OK);
    EXPECT_EQ(take_reports().size(), 2u);
    EXPECT_EQ(dki_gpu_copy(gpu, one, memory, host, 17), DK_OK);
    EXPECT_EQ(take_reports().size(), 2u);
    EXPECT_EQ(dki_gpu_zero(gpu, one, memory, 17), DK_OK);
    EXPECT_EQ(take_reports().size(), 2u);
    dki_gpu_free(gpu, host); // not device memory
    EXPECT_TRUE(reported("cudaFree"));
    dki_gpu_free(gpu, memory);
    dki_gpu_free(gpu, memory);
    EXPECT_TRUE(reported("cudaFree"));
    dki_gpu_free_host(gpu, host);
}

TEST_F(Test, LeaksAreReported) {
    dki_logger silence{};
    const dki_services services = {&dki_libc_allocator, &silence};
    dki_gpu *gpu = nullptr;
    dki_stream stream = nullptr;
    dki_event event = nullptr;
    void *memory = nullptr;
    ASSERT_EQ(dki_gpu_open(&gpu, &services, 0), DK_OK);
    ASSERT_EQ(dki_gpu_stream_create(gpu, &stream), DK_OK);
    ASSERT_EQ(dki_gpu_event_create(gpu, false, &event), DK_OK);
    ASSERT_EQ(dki_gpu_alloc(gpu, 16, &memory), DK_OK);
    dki_gpu_range_begin(gpu, "step");
    dki_gpu_close(gpu);
    EXPECT_EQ(take_reports(),
              std::vector<std::string>({"leak: 16 bytes of device memory", "leak: a stream",
                                        "leak: an event", "a context was pushed and not popped"}));
    dki_release(&dki_libc_allocator, stream);
}

// What a machine without a driver, with an old one, or without a GPU says, as cudaGetDeviceCount does.
TEST_F(Test, OpeningFailsAsTold) {
    dki_logger silence{};
    const dki_services services = {&dki_libc_allocator, &silence};
    dki_gpu *gpu = nullptr;
    const auto refused = [&](const char *part) {
        EXPECT_EQ(dki_gpu_open(&gpu, &services, 0), DK_E_DEVICE);
        EXPECT_NE(std::string(dk_error_text()).find(part), std::string::npos) << dk_error_text();
        EXPECT_EQ(gpu, nullptr);
    };
    EXPECT_EQ(dki_gpu_open(&gpu, &services, 1), DK_E_DEVICE) << "there is only GPU 0";
    set_driver(cudaErrorInsufficientDriver, 0);
    refused("no NVIDIA driver");
    set_driver(cudaErrorInsufficientDriver, 12040);
    refused("the NVIDIA driver is for CUDA 12.4, too old for this build's CUDA 13.");
    set_driver(cudaErrorNoDevice, 13000);
    refused("shows no GPU to this process");
    set_driver(cudaSuccess);
    set_capability(7, 0);
    refused("has compute capability 7.0: deltak needs 7.5");
    set_capability(7, 5);
    ASSERT_EQ(dki_gpu_open(&gpu, &services, 0), DK_OK);
    EXPECT_EQ(dki_gpu_facts_of(gpu)->product_workspace, size_t{4} << 20);
    dki_gpu_close(gpu);
}

TEST_F(GpuTest, TheCallThatIsToldToFailFailsAndNoOther) {
    Log log;
    for (long n = 1; n <= 4; ++n) {
        fail_at(n, DK_E_MEMORY);
        dki_event event = nullptr;
        std::vector<bool> failed;
        failed.push_back(dki_gpu_event_create(gpu, false, &event) == DK_E_MEMORY);
        failed.push_back(dki_gpu_launched(gpu, launch(one, [&] { log.order.push_back(1); }),
                                          "kernel") == DK_E_MEMORY);
        failed.push_back(dki_gpu_stream_sync(gpu, one) == DK_E_MEMORY);
        std::vector<bool> wanted(3, false);
        if (n <= 3) wanted[static_cast<size_t>(n - 1)] = true;
        EXPECT_EQ(failed, wanted);
        EXPECT_EQ(calls(), 3);
        const char *names[] = {"cudaEventCreateWithFlags", "cudaLaunchKernelExC",
                               "cudaStreamSynchronize"};
        EXPECT_EQ(failed_call(), names[n < 3 ? n - 1 : 2]);
        dki_gpu_event_destroy(gpu, event);
    }
    fail_at(0, DK_OK);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    EXPECT_EQ(log.order.size(), 3u) << "all launches but the one that failed";
}

TEST_F(GpuTest, ALostDeviceStaysLostAndForgetsItsWork) {
    Log log;
    void *memory = device(16);
    log.kernel(one, 1);
    fail_from(2);
    EXPECT_EQ(launch(one, [] {}), 0);
    EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_launched(gpu, launch(one, [] {}), "kernel"), DK_E_DEVICE_LOST);
    dki_gpu *other = nullptr;
    EXPECT_EQ(dki_gpu_open(&other, &services, 0), DK_E_DEVICE_LOST);
    EXPECT_EQ(log.order, Order());
    dki_gpu_free(gpu, memory); // safe, and no leak
}

TEST_F(GpuTest, TheEndOfACaptureEndsItEvenWhereItFails) {
    dki_graph *graph = nullptr;
    ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
    fail_at(1, DK_E_DEVICE);
    EXPECT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_E_DEVICE);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
}

/// Breaks where a graph goes on for which nobody waits: on the memory of a trial that is given back, in
/// workspaces that the next product takes.
TEST_F(GpuTest, ATimerThatFailsHalfwayHasEndedItsGraph) {
    const auto trial = [](void *memory, int) {
        const auto *const pair = static_cast<std::pair<dki_gpu *, dki_stream> *>(memory);
        return dki_gpu_launched(pair->first, launch(pair->second, [] {}), "kernel");
    };
    std::pair<dki_gpu *, dki_stream> on{gpu, one};
    dki_timer timer{};
    ASSERT_EQ(dki_timer_open(&timer, gpu, one), DK_OK);
    long failures = 0, halfway = 0;
    for (dk_status status = DK_E_DEVICE; status;) {
        double milliseconds = 0;
        reset_counts();
        fail_at(++failures, DK_E_DEVICE);
        status = dki_timer_measure(&timer, trial, &on, 1, 3, 1e9, &milliseconds);
        fail_at(0, DK_OK);
        const long played = counts().graph_launches;
        halfway += status && played > 0;
        ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        EXPECT_EQ(counts().graph_launches, played) << "call " << failures << " fails";
        EXPECT_EQ(std::isinf(milliseconds), status != DK_OK);
    }
    // of each graph that is played: its launch, the event behind it, and its time
    EXPECT_GT(halfway, 3 * DKI_TIMED_REPLAYS);
    dki_timer_close(&timer);
}

#if defined(__SANITIZE_ADDRESS__)
constexpr char touched[] = "AddressSanitizer";
#else
constexpr char touched[] = "device memory was touched while it is closed";
#endif

TEST_F(GpuTest, TheHostCannotTouchDeviceMemory) {
    auto *memory = static_cast<volatile char *>(device(16));
    EXPECT_DEATH(memory[0] = 1, touched);
    bool written = false;
    ASSERT_EQ(launch(one,
                     [&] {
                         memory[0] = 1;
                         written = true;
                     }),
              0);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    EXPECT_TRUE(written);
    EXPECT_DEATH((void)memory[0], touched);
    dki_gpu_free(gpu, const_cast<char *>(memory));
}

} // namespace
} // namespace emulated

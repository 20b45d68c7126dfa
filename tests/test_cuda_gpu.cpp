// The thin layer over CUDA and cuBLASLt on a real GPU. Skipped where there is no driver.
#if !defined(DELTAK_TEST_CUDA)

#include <gtest/gtest.h>

TEST(CudaGpu, NeedsCuda) {
    GTEST_SKIP() << "built without CUDA";
}

#else

// Before CUDA's headers: in C++ those declare a type `half`, which scalar.h has as a variable.
extern "C" {
#include "backend/cuda/gpu.h"
#include "base/memory.h"
}

#include <cuda_runtime_api.h>

#include <gtest/gtest.h>

#include "primary_context.h"

#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

bool says(const std::string &part) {
    return std::string(dk_error_text()).find(part) != std::string::npos;
}

class CudaGpu : public testing::Test {
  protected:
    static void SetUpTestSuite() { held = std::make_unique<PrimaryContext>("cuda:0"); }
    static void TearDownTestSuite() { held.reset(); }

    void SetUp() override {
        driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
        if (!driver) GTEST_SKIP() << "no NVIDIA driver";
        ASSERT_EQ(dki_gpu_open(&gpu, &services, 0), DK_OK) << dk_error_text();
        ASSERT_EQ(dki_gpu_stream_create(gpu, &stream), DK_OK) << dk_error_text();
    }

    void TearDown() override {
        for (void *memory : device) dki_gpu_free(gpu, memory);
        for (void *memory : pinned) dki_gpu_free_host(gpu, memory);
        if (gpu) dki_gpu_stream_destroy(gpu, stream);
        dki_gpu_close(gpu);
        if (driver) dlclose(driver);
    }

    template <class T> T *on_device(size_t count) {
        void *memory = nullptr;
        EXPECT_EQ(dki_gpu_alloc(gpu, count * sizeof(T), &memory), DK_OK) << dk_error_text();
        device.push_back(memory);
        return static_cast<T *>(memory);
    }

    template <class T> T *on_host(size_t count) {
        void *memory = nullptr;
        EXPECT_EQ(dki_gpu_alloc_host(gpu, count * sizeof(T), &memory), DK_OK) << dk_error_text();
        pinned.push_back(memory);
        return static_cast<T *>(memory);
    }

    template <class T> T *upload(const std::vector<T> &values) {
        T *staged = on_host<T>(values.size()), *memory = on_device<T>(values.size());
        std::memcpy(staged, values.data(), values.size() * sizeof(T));
        EXPECT_EQ(dki_gpu_copy(gpu, stream, memory, staged, values.size() * sizeof(T)), DK_OK);
        return memory;
    }

    template <class T> std::vector<T> download(const T *memory, size_t count) {
        T *staged = on_host<T>(count);
        EXPECT_EQ(dki_gpu_copy(gpu, stream, staged, memory, count * sizeof(T)), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, stream), DK_OK) << dk_error_text();
        return std::vector<T>(staged, staged + count);
    }

    static inline std::unique_ptr<PrimaryContext> held;
    dki_logger log = {nullptr, nullptr, DK_LOG_INFO, PTHREAD_MUTEX_INITIALIZER};
    dki_services services{&dki_libc_allocator, &log};
    dki_gpu *gpu = nullptr;
    dki_stream stream = nullptr;
    void *driver = nullptr;
    std::vector<void *> device, pinned;
};

} // namespace

TEST_F(CudaGpu, SaysWhatItIs) {
    const dki_gpu_facts *facts = dki_gpu_facts_of(gpu);
    EXPECT_STRNE(facts->name, "");
    EXPECT_GE(facts->major, 7);
    EXPECT_GE(facts->processors, 1);
    EXPECT_NE(std::string(facts->library).find("cuBLASLt"), std::string::npos) << facts->library;
    uint64_t total = 0, available = 0;
    ASSERT_EQ(dki_gpu_memory(gpu, &total, &available), DK_OK);
    EXPECT_GT(available, 0u);
    EXPECT_LE(available, total);
}

TEST_F(CudaGpu, AnOrdinalPastTheLastIsRefused) {
    dki_gpu *other = nullptr;
    for (int ordinal : {4096, -1}) {
        EXPECT_EQ(dki_gpu_open(&other, &services, ordinal), DK_E_DEVICE);
        EXPECT_TRUE(says("no GPU " + std::to_string(ordinal))) << dk_error_text();
        EXPECT_EQ(other, nullptr);
    }
}

TEST_F(CudaGpu, PinnedMemoryIsZeroedAndCopiesArrive) {
    const size_t count = 100003;
    const auto *zeros = on_host<uint32_t>(count);
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(zeros[i], 0u);
    std::vector<uint32_t> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = uint32_t(i * 2654435761u);
    uint32_t *memory = upload(values);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0u);
    ASSERT_EQ(dki_gpu_zero(gpu, stream, memory + 10, 20 * sizeof *memory), DK_OK);
    std::fill(values.begin() + 10, values.begin() + 30, 0u);
    EXPECT_EQ(download(memory, count), values);
}

TEST_F(CudaGpu, TooMuchMemoryIsAnErrorThatPasses) {
    void *memory = nullptr;
    const size_t wanted = size_t(1) << 50;
    EXPECT_EQ(dki_gpu_alloc(gpu, wanted, &memory), DK_E_MEMORY);
    EXPECT_TRUE(says(std::to_string(wanted)) && says("free")) << dk_error_text();
    EXPECT_EQ(memory, nullptr);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess) << "the next launch would report it";
    EXPECT_NE(on_device<char>(1), nullptr);
}

TEST_F(CudaGpu, KnowsItsOwnMemory) {
    bool resident = false;
    char *memory = on_device<char>(1000);
    ASSERT_EQ(dki_gpu_is_resident(gpu, memory, 1000, &resident), DK_OK);
    EXPECT_TRUE(resident);
    std::vector<char> pageable(1000);
    for (const void *other :
         {static_cast<const void *>(pageable.data()),
          static_cast<const void *>(on_host<char>(1000)), static_cast<const void *>(nullptr)}) {
        ASSERT_EQ(dki_gpu_is_resident(gpu, other, 1000, &resident), DK_OK) << dk_error_text();
        EXPECT_FALSE(resident) << other;
    }
    ASSERT_EQ(dki_gpu_is_resident(gpu, memory, SIZE_MAX, &resident), DK_OK);
    EXPECT_FALSE(resident) << "the range goes around the end of the address space";
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
}

// Small allocations lie side by side: from the first byte of one to the last of another isn't memory that
// anybody has been given.
TEST_F(CudaGpu, NeighboursAreNotOneAllocation) {
    enum { BLOCKS = 64, BYTES = 512 };
    std::vector<char *> blocks;
    for (int i = 0; i < BLOCKS; ++i) blocks.push_back(on_device<char>(BYTES));
    for (const char *one : blocks)
        for (const char *other : blocks) {
            if (other < one) continue;
            bool resident = false;
            const auto bytes = size_t(other - one) + BYTES;
            ASSERT_EQ(dki_gpu_is_resident(gpu, one, bytes, &resident), DK_OK) << dk_error_text();
            EXPECT_EQ(resident, one == other) << bytes;
            ASSERT_EQ(dki_gpu_is_resident(gpu, one + 1, BYTES, &resident), DK_OK);
            EXPECT_FALSE(resident) << "one byte too far";
        }
}

// A thread of the application that hasn't touched CUDA has no current context, and has none
// afterwards: not even one on GPU 0, which asking the runtime for its device would make.
TEST_F(CudaGpu, TheApplicationsCurrentDeviceStaysAsItWas) {
    auto current = reinterpret_cast<int (*)(void **)>(dlsym(driver, "cuCtxGetCurrent"));
    ASSERT_NE(current, nullptr);
    std::thread([&] {
        void *before = this, *inside = nullptr, *after = this;
        EXPECT_EQ(current(&before), 0);
        EXPECT_EQ(before, nullptr);
        on_device<char>(100);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, stream), DK_OK);
        dki_gpu_range_begin(gpu, "test");
        EXPECT_EQ(current(&inside), 0);
        EXPECT_NE(inside, nullptr);
        dki_gpu_range_end(gpu);
        EXPECT_EQ(current(&after), 0);
        EXPECT_EQ(after, nullptr);
    }).join();
}

TEST_F(CudaGpu, EventsOrderStreamsAndTellTime) {
    dki_stream other = nullptr;
    dki_event first = nullptr, last = nullptr, never = nullptr;
    ASSERT_EQ(dki_gpu_stream_create(gpu, &other), DK_OK);
    ASSERT_EQ(dki_gpu_event_create(gpu, true, &first), DK_OK);
    ASSERT_EQ(dki_gpu_event_create(gpu, true, &last), DK_OK);
    ASSERT_EQ(dki_gpu_event_create(gpu, false, &never), DK_OK);
    EXPECT_EQ(dki_gpu_event_sync(gpu, never), DK_OK);
    char *memory = on_device<char>(64 << 20);
    ASSERT_EQ(dki_gpu_event_record(gpu, first, stream), DK_OK);
    ASSERT_EQ(dki_gpu_zero(gpu, stream, memory, 64 << 20), DK_OK);
    ASSERT_EQ(dki_gpu_event_record(gpu, last, stream), DK_OK);
    ASSERT_EQ(dki_gpu_event_wait(gpu, last, other), DK_OK);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, other), DK_OK);
    double milliseconds = -1;
    ASSERT_EQ(dki_gpu_event_elapsed(gpu, first, last, &milliseconds), DK_OK) << dk_error_text();
    EXPECT_GT(milliseconds, 0);
    for (dki_event event : {first, last, never}) dki_gpu_event_destroy(gpu, event);
    dki_gpu_stream_destroy(gpu, other);
}

TEST_F(CudaGpu, AGraphRunsWhatWasRecordedEachTimeItIsLaunched) {
    auto *values = on_host<uint32_t>(2);
    uint32_t *memory = upload(std::vector<uint32_t>{7, 8});
    ASSERT_EQ(dki_gpu_stream_sync(gpu, stream), DK_OK);
    dki_graph *graph = nullptr;
    ASSERT_EQ(dki_gpu_capture_begin(gpu, stream), DK_OK) << dk_error_text();
    EXPECT_EQ(dki_gpu_copy(gpu, stream, memory, values, sizeof *values), DK_OK);
    ASSERT_EQ(dki_gpu_capture_end(gpu, stream, &graph), DK_OK) << dk_error_text();
    EXPECT_EQ(download(memory, 2), (std::vector<uint32_t>{7, 8})) << "recording isn't running";
    for (uint32_t value : {1u, 2u}) {
        values[0] = value;
        ASSERT_EQ(dki_gpu_graph_launch(gpu, graph, stream), DK_OK) << dk_error_text();
        EXPECT_EQ(download(memory, 2), (std::vector<uint32_t>{value, 8}));
    }
    dki_gpu_graph_destroy(gpu, graph);
}

// Waiting for a stream that is being recorded isn't possible, and spoils the recording.
TEST_F(CudaGpu, ARecordingThatFailsLeavesTheStreamUsable) {
    dki_graph *graph = nullptr;
    uint32_t *memory = upload(std::vector<uint32_t>{5});
    ASSERT_EQ(dki_gpu_capture_begin(gpu, stream), DK_OK);
    EXPECT_EQ(dki_gpu_stream_sync(gpu, stream), DK_E_DEVICE);
    EXPECT_EQ(dki_gpu_capture_end(gpu, stream, &graph), DK_E_DEVICE);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(download(memory, 1), (std::vector<uint32_t>{5}));
}

// --- products -----------------------------------------------------------------------------------

namespace {

// bf16 of a small integer is exact: the upper half of its fp32.
uint16_t bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return uint16_t(bits >> 16);
}

} // namespace

// Z = max(0, X Wᵀ + b) with elements −1, 0, 1: sums of 64 of them are exact in every type and in
// any order, so every algorithm that the library offers has one right answer.
TEST_F(CudaGpu, EveryAlgorithmOfAReluLayerIsExact) {
    enum { BATCH = 96, IN = 64, OUT = 160 };
    if (dki_gpu_facts_of(gpu)->major < 8) GTEST_SKIP() << "no bf16 on this GPU";
    std::vector<float> x(BATCH * IN), w(OUT * IN), bias(OUT);
    uint32_t state = 1;
    auto next = [&state] {
        return float(int((state = state * 1664525u + 1013904223u) >> 16) % 3 - 1);
    };
    for (auto *values : {&x, &w, &bias})
        for (float &value : *values) value = next();
    std::vector<uint16_t> x16, w16, bias16, want(BATCH * OUT);
    for (float value : x) x16.push_back(bf16(value));
    for (float value : w) w16.push_back(bf16(value));
    for (float value : bias) bias16.push_back(bf16(value));
    for (size_t i = 0; i < BATCH; ++i)
        for (size_t j = 0; j < OUT; ++j) {
            float z = bias[j];
            for (size_t k = 0; k < IN; ++k) z += x[i * IN + k] * w[j * IN + k];
            want[i * OUT + j] = z > 0 ? bf16(z) : 0;
        }
    dki_product product = {};
    product.m = OUT;
    product.n = BATCH;
    product.k = product.lda = product.ldb = IN;
    product.ldd = OUT;
    product.trans_a = 1;
    product.type = product.type_d = DKI_ELEMENT_BF16;
    product.epilogue = DKI_EPILOGUE_RELU_BIAS;
    product.alignment = 256;
    product.workspace = int64_t(dki_gpu_facts_of(gpu)->product_workspace);
    dki_algorithm list[16];
    int count = 0;
    ASSERT_EQ(dki_gpu_algorithms(gpu, &product, list, 16, &count), DK_OK) << dk_error_text();
    ASSERT_GT(count, 0);
    const dki_operands operands = {
        upload(w16),    upload(x16), on_device<uint16_t>(want.size()),
        upload(bias16), nullptr,     on_device<char>(size_t(product.workspace)),
        nullptr};
    for (int i = 0; i < count; ++i) {
        SCOPED_TRACE(i);
        EXPECT_TRUE(dki_gpu_algorithm_valid(gpu, &product, &list[i]));
        EXPECT_LE(list[i].workspace, product.workspace);
        ASSERT_EQ(dki_gpu_zero(gpu, stream, operands.d, want.size() * 2), DK_OK);
        ASSERT_EQ(dki_gpu_multiply(gpu, stream, &product, &list[i], &operands), DK_OK)
            << dk_error_text();
        EXPECT_EQ(download(static_cast<uint16_t *>(operands.d), want.size()), want);
    }
}

#endif

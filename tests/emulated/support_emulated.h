// What the tests on the emulated CUDA share: a GPU that is empty at first, and whose reports fail the
// test at the end.
#ifndef DELTAK_TESTS_SUPPORT_EMULATED_H
#define DELTAK_TESTS_SUPPORT_EMULATED_H

#include "emulated.h"

extern "C" {
#include "base/memory.h"
}

#include <gtest/gtest.h>

namespace emulated {

/// What CUDA says where a call of the backend is to end with a status.
inline cudaError_t error_of(dk_status status) {
    return status == DK_OK              ? cudaSuccess
           : status == DK_E_MEMORY      ? cudaErrorMemoryAllocation
           : status == DK_E_DEVICE_LOST ? cudaErrorIllegalAddress
                                        : cudaErrorUnknown;
}
inline void fail_at(long n, dk_status status) {
    fail_at(n, error_of(status));
}
inline void fail_from(long n, dk_status status) {
    fail_from(n, error_of(status));
}

/// No report was made.
inline void expect_clean() {
    for (const std::string &report : take_reports()) ADD_FAILURE() << report;
}

/// Whether exactly one report was made, and says `text`.
inline testing::AssertionResult reported(const std::string &text) {
    const std::vector<std::string> reports = take_reports();
    if (reports.size() == 1 && reports[0].find(text) != std::string::npos)
        return testing::AssertionSuccess();
    auto result = testing::AssertionFailure() << reports.size() << " reports, wanted: " << text;
    for (const std::string &report : reports) result << "\n" << report;
    return result;
}

using Order = std::vector<int>;

/// Kernels that note their number.
struct Log {
    Order order;
    void kernel(dki_stream stream, int number) {
        ASSERT_EQ(launch(stream, [this, number] { order.push_back(number); }), 0);
    }
};

class Test : public testing::Test {
  protected:
    void SetUp() override { reset(); }
    void TearDown() override {
        expect_clean();
        EXPECT_EQ(open_gpus(), 0);
        reset();
    }
};

/// With an open GPU and two streams.
class GpuTest : public Test {
  protected:
    dki_logger silence{};
    const dki_services services = {&dki_libc_allocator, &silence};
    dki_gpu *gpu = nullptr;
    dki_stream one = nullptr, two = nullptr;

    void SetUp() override {
        Test::SetUp();
        ASSERT_EQ(dki_gpu_open(&gpu, &services, 0), DK_OK) << dk_error_text();
        ASSERT_EQ(dki_gpu_stream_create(gpu, &one), DK_OK);
        ASSERT_EQ(dki_gpu_stream_create(gpu, &two), DK_OK);
    }

    void TearDown() override {
        dki_gpu_stream_destroy(gpu, one);
        dki_gpu_stream_destroy(gpu, two);
        dki_gpu_close(gpu);
        Test::TearDown();
    }

    void *device(size_t bytes) {
        void *memory = nullptr;
        EXPECT_EQ(dki_gpu_alloc(gpu, bytes, &memory), DK_OK) << dk_error_text();
        return memory;
    }

    int *pinned(size_t count) {
        void *memory = nullptr;
        EXPECT_EQ(dki_gpu_alloc_host(gpu, count * sizeof(int), &memory), DK_OK) << dk_error_text();
        return static_cast<int *>(memory);
    }

    dki_event event(bool timing = false) {
        dki_event made = nullptr;
        EXPECT_EQ(dki_gpu_event_create(gpu, timing, &made), DK_OK) << dk_error_text();
        return made;
    }

    dki_algorithm algorithm(const dki_product &product, int id) {
        dki_algorithm list[algorithms];
        int count = 0;
        EXPECT_EQ(dki_gpu_algorithms(gpu, &product, list, algorithms, &count), DK_OK);
        EXPECT_GE(count, id);
        return list[id - 1];
    }

    void free_all(const std::vector<void *> &memory) {
        for (void *p : memory) dki_gpu_free(gpu, p);
    }
};

} // namespace emulated

#endif

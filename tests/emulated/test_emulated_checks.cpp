// The emulation's product library: that it sees a wrong description, wrong memory, a workspace that two
// streams share; and that its algorithms are told apart.
#include "support_emulated.h"

#include <cublasLt.h>
#include <cudaTypedefs.h>

extern "C" {
#include "backend/cuda/gpu_cuda.h"
}

#include <cstring>

namespace emulated {
namespace {

/// A right product of 8 × 8 × 8 floats, to be spoilt.
class SpoiltTest : public GpuTest {
  protected:
    dki_product product;
    dki_operands operands = {};
    dki_algorithm chosen = {};
    cublasLtHandle_t library = nullptr;
    void SetUp() override {
        GpuTest::SetUp();
        memset(&product, 0, sizeof product);
        product.m = product.n = product.k = product.lda = product.ldb = product.ldd = 8;
        product.alignment = 256, product.workspace = 512;
        operands.a = device(256), operands.b = device(256), operands.d = device(256);
        operands.workspace = device(512);
        chosen = algorithm(product, 3);
    }
    void TearDown() override {
        free_all({const_cast<void *>(operands.a), const_cast<void *>(operands.b), operands.d,
                  operands.workspace});
        GpuTest::TearDown();
    }
    dk_status multiply_with(const dki_product &p, const dki_operands &o) {
        return dki_gpu_multiply(gpu, one, &p, &chosen, &o);
    }
};

TEST_F(SpoiltTest, WrongDescriptionsAreReported) {
    const std::vector<std::pair<const char *, std::function<void(dki_product &)>>> wrong = {
        {"below 1", [](dki_product &p) { p.k = 0; }},
        {"lda", [](dki_product &p) { p.lda = 7; }},
        {"ldb", [](dki_product &p) { p.ldb = 7; }},
        {"ldd", [](dki_product &p) { p.ldd = 7; }},
        {"not an algorithm", [](dki_product &p) { p.lda = 9; }},
        {"ld_aux", [](dki_product &p) { p.epilogue = DKI_EPILOGUE_DGELU, p.ld_aux = 12; }},
        {"BGRADB", [](dki_product &p) { p.epilogue = DKI_EPILOGUE_BGRADB; }},
        {"no bias", [](dki_product &p) { p.epilogue = DKI_EPILOGUE_BIAS; }},
        {"D's type", [](dki_product &p) { p.type_d = DKI_ELEMENT_F16; }},
        {"below the algorithm's", [](dki_product &p) { p.workspace = 128; }},
    };
    for (const auto &entry : wrong) {
        dki_product spoilt = product;
        entry.second(spoilt);
        dki_operands with_aux = operands;
        if (spoilt.ld_aux) with_aux.aux = operands.d;
        if (spoilt.epilogue == DKI_EPILOGUE_BGRADB) with_aux.bias = operands.d;
        EXPECT_EQ(multiply_with(spoilt, with_aux), DK_E_DEVICE);
        EXPECT_TRUE(reported(entry.first));
    }
}

TEST_F(SpoiltTest, WrongMemoryIsReported) {
    const std::vector<std::pair<const char *, std::function<void(dki_operands &)>>> wrong = {
        {"A isn't aligned as claimed",
         [](dki_operands &o) { o.a = static_cast<const char *>(o.workspace) + 4; }},
        {"A doesn't lie", [](dki_operands &o) { o.a = nullptr; }},
        {"A doesn't lie", [](dki_operands &o) { o.a = static_cast<const char *>(o.a) + 4; }},
        {"B doesn't lie", [&](dki_operands &o) { o.b = &product; }},
        {"D overlaps A", [](dki_operands &o) { o.d = const_cast<void *>(o.a); }},
        {"workspace doesn't lie", [](dki_operands &o) { o.workspace = o.d; }},
    };
    for (const auto &entry : wrong) {
        dki_operands spoilt = operands;
        entry.second(spoilt);
        // A at an odd place of a larger allocation: the workspace's, which then is another.
        void *other = nullptr;
        if (std::string(entry.first).find("aligned") != std::string::npos)
            spoilt.workspace = other = device(512);
        EXPECT_EQ(multiply_with(product, spoilt), DK_E_DEVICE);
        EXPECT_TRUE(reported(entry.first));
        dki_gpu_free(gpu, other);
    }
}

// The library's own structures, spoilt behind the backend's back.
TEST_F(SpoiltTest, WhatTheBackendNeverSaysIsReported) {
    const float scalar = 1;
    const auto ask = [&](const std::function<void(dki_product_description &)> &spoil) {
        dki_product_description description;
        ASSERT_EQ(dki_product_describe(&product, &operands, &description), CUBLAS_STATUS_SUCCESS);
        spoil(description);
        cublasLtMatmulAlgo_t algorithm_of_ours;
        memcpy(&algorithm_of_ours, chosen.data, sizeof algorithm_of_ours);
        EXPECT_EQ(cublasLtMatmul(library, &description.operation, &scalar, operands.a,
                                 &description.a, operands.b, &description.b, &scalar, operands.d,
                                 &description.d, operands.d, &description.d, &algorithm_of_ours,
                                 operands.workspace, 512, nullptr),
                  CUBLAS_STATUS_INVALID_VALUE);
    };
    const auto set = [](dki_product_description &d, cublasLtMatmulDescAttributes_t name,
                        auto value) {
        ASSERT_EQ(cublasLtMatmulDescSetAttribute(&d.operation, name, &value, sizeof value),
                  CUBLAS_STATUS_SUCCESS);
    };
    ASSERT_EQ(cublasLtCreate(&library), CUBLAS_STATUS_SUCCESS);
    ask([&](auto &d) {
        set(d, CUBLASLT_MATMUL_DESC_EPILOGUE, cublasLtEpilogue_t(CUBLASLT_EPILOGUE_RELU_AUX_BIAS));
    });
    EXPECT_TRUE(reported("an unknown epilogue"));
    ask([&](auto &d) {
        set(d, CUBLASLT_MATMUL_DESC_POINTER_MODE,
            int32_t(CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST));
    });
    EXPECT_TRUE(reported("the pointer mode"));
    ask([&](auto &d) { set(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.d); });
    EXPECT_TRUE(reported("a bias that the epilogue doesn't have"));
    ask([&](auto &d) { set(d, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, int32_t(CUDA_R_32F)); });
    EXPECT_TRUE(reported("a type of aux"));
    ask([&](auto &d) {
        const int32_t order = CUBLASLT_ORDER_ROW;
        ASSERT_EQ(cublasLtMatrixLayoutSetAttribute(&d.a, CUBLASLT_MATRIX_LAYOUT_ORDER, &order,
                                                   sizeof order),
                  CUBLAS_STATUS_SUCCESS);
    });
    EXPECT_TRUE(reported("another order"));
    ASSERT_EQ(cublasLtDestroy(library), CUBLAS_STATUS_SUCCESS);
}

// Whatever the schedule makes of them, and whether or not the algorithm uses it. What puts the two in
// order: an event, a host that waits in between.
TEST_F(SpoiltTest, AWorkspaceSharedByTwoStreamsIsReported) {
    void *d = device(256), *workspace = device(512);
    dki_event between = event();
    const auto order = [&] {
        EXPECT_EQ(dki_gpu_event_record(gpu, between, one), DK_OK);
        EXPECT_EQ(dki_gpu_event_wait(gpu, between, two), DK_OK);
    };
    const auto wait = [&] { EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK); };
    const auto wait_for_event = [&] {
        EXPECT_EQ(dki_gpu_event_record(gpu, between, one), DK_OK);
        EXPECT_EQ(dki_gpu_event_sync(gpu, between), DK_OK);
    };
    const std::function<void()> nothing = [] {}, orders[] = {nothing, order, wait, wait_for_event};
    for (bool shared : {false, true})
        for (size_t i = 0; i < std::size(orders); ++i)
            for (uint64_t seed = 0; seed < schedules; ++seed) {
                SCOPED_TRACE(testing::Message() << shared << " " << i << ", schedule " << seed);
                set_schedule(seed);
                const dki_algorithm any = algorithm(product, static_cast<int>(1 + seed % 3));
                dki_operands other = operands;
                other.d = d;
                if (!shared) other.workspace = workspace;
                ASSERT_EQ(dki_gpu_multiply(gpu, one, &product, &any, &operands), DK_OK);
                orders[i]();
                ASSERT_EQ(dki_gpu_multiply(gpu, two, &product, &any, &other), DK_OK);
                ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
                ASSERT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
                const std::vector<std::string> reports = take_reports();
                ASSERT_EQ(!reports.empty(), shared && i == 0);
                ASSERT_TRUE(reports.empty() || reports[0].find("no order") != std::string::npos);
            }
    dki_gpu_event_destroy(gpu, between);
    free_all({d, workspace});
}

// Two branches of a recording; a recording's inner branch, and what another stream has queued.
TEST_F(SpoiltTest, AWorkspaceSharedByARecordingIsReported) {
    dki_event fork = event(), join = event();
    dki_operands other = operands;
    other.d = device(256);
    const auto multiply_on = [&](dki_stream stream, const dki_operands &with) {
        EXPECT_EQ(dki_gpu_multiply(gpu, stream, &product, &chosen, &with), DK_OK);
    };
    const auto record = [&](bool in_order) {
        dki_graph *graph = nullptr;
        EXPECT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
        if (in_order) multiply_on(one, operands);
        EXPECT_EQ(dki_gpu_event_record(gpu, fork, one), DK_OK);
        EXPECT_EQ(dki_gpu_event_wait(gpu, fork, two), DK_OK);
        if (!in_order) multiply_on(one, operands);
        multiply_on(two, other);
        EXPECT_EQ(dki_gpu_event_record(gpu, join, two), DK_OK);
        EXPECT_EQ(dki_gpu_event_wait(gpu, join, one), DK_OK);
        EXPECT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_OK) << dk_error_text();
        return graph;
    };
    const auto run = [&](dki_graph *graph) {
        EXPECT_EQ(dki_gpu_graph_launch(gpu, graph, one), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        return take_reports();
    };
    dki_graph *graph = record(false);
    EXPECT_FALSE(run(graph).empty());
    dki_gpu_graph_destroy(gpu, graph);
    graph = record(true);
    EXPECT_TRUE(run(graph).empty());
    const std::function<void()> parts[] = {
        [&] { EXPECT_EQ(dki_gpu_graph_launch(gpu, graph, one), DK_OK); },
        [&] { multiply_on(two, other); }};
    for (int first : {0, 1}) {
        parts[first]();
        parts[1 - first]();
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
        EXPECT_FALSE(take_reports().empty());
    }
    dki_gpu_graph_destroy(gpu, graph);
    dki_gpu_event_destroy(gpu, fork);
    dki_gpu_event_destroy(gpu, join);
    free_all({other.d});
}

TEST_F(SpoiltTest, AlgorithmsAreThoseTheLibraryKnows) {
    dki_algorithm list[algorithms + 1];
    int count = -1;
    const auto ask = [&](int capacity) {
        EXPECT_EQ(dki_gpu_algorithms(gpu, &product, list, capacity, &count), DK_OK);
        return count;
    };
    EXPECT_EQ(ask(4), 3);
    EXPECT_EQ(list[2].workspace, 512);
    EXPECT_EQ(ask(2), 2);
    EXPECT_TRUE(dki_gpu_algorithm_valid(gpu, &product, &chosen));
    set_algorithms([](const dki_product &) { return 0; });
    EXPECT_EQ(ask(4), 0);
    EXPECT_FALSE(dki_gpu_algorithm_valid(gpu, &product, &chosen));
    set_algorithms([](const dki_product &) { return 3; });
    dki_algorithm foreign = chosen;
    foreign.data[1] ^= 1;
    EXPECT_FALSE(dki_gpu_algorithm_valid(gpu, &product, &foreign));
    product.workspace = 0;
    EXPECT_EQ(ask(4), 2) << "the third needs a workspace";
    EXPECT_FALSE(dki_gpu_algorithm_valid(gpu, &product, &chosen));
}

TEST_F(SpoiltTest, TimesDependOnTheAlgorithm) {
    dki_event first = event(true), last = event(true);
    for (const auto &[id, expected] : {std::pair(1, 1.0), std::pair(2, 0.5), std::pair(3, 2.0)}) {
        const dki_algorithm timed = algorithm(product, id);
        double ms = 0;
        ASSERT_EQ(dki_gpu_event_record(gpu, first, one), DK_OK);
        ASSERT_EQ(dki_gpu_multiply(gpu, one, &product, &timed, &operands), DK_OK);
        ASSERT_EQ(dki_gpu_event_record(gpu, last, one), DK_OK);
        ASSERT_EQ(dki_gpu_event_sync(gpu, last), DK_OK);
        ASSERT_EQ(dki_gpu_event_elapsed(gpu, first, last, &ms), DK_OK);
        EXPECT_EQ(ms, expected);
    }
    dki_gpu_event_destroy(gpu, first);
    dki_gpu_event_destroy(gpu, last);
}

} // namespace
} // namespace emulated

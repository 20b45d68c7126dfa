// The thin layer over CUDA and cuBLASLt, as far as it goes without a GPU: products as cuBLASLt
// hears of them, and errors.
#if !defined(DELTAK_TEST_CUDA)

#include <gtest/gtest.h>

TEST(CudaLayer, NeedsCuda) {
    GTEST_SKIP() << "built without CUDA";
}

#else

// Before CUDA's headers: in C++ those declare a type `half`, which scalar.h has as a variable.
extern "C" {
#include "backend/cuda/gpu.h"
#include "base/memory.h"
}

#include <cublasLt.h>
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

extern "C" {
#include "backend/cuda/gpu_cuda.h"
}

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace {

// --- products -----------------------------------------------------------------------------------

template <class T> T attribute(dki_product_description &made, cublasLtMatmulDescAttributes_t name) {
    T value{};
    size_t written = 0;
    EXPECT_EQ(cublasLtMatmulDescGetAttribute(&made.operation, name, &value, sizeof value, &written),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(written, sizeof value);
    return value;
}

template <class T>
T attribute(cublasLtMatrixLayoutOpaque_t &layout, cublasLtMatrixLayoutAttribute_t name) {
    T value{};
    size_t written = 0;
    EXPECT_EQ(cublasLtMatrixLayoutGetAttribute(&layout, name, &value, sizeof value, &written),
              CUBLAS_STATUS_SUCCESS);
    return value;
}

struct Matrix {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t ld;
};

void expect_matrix(cublasLtMatrixLayoutOpaque_t &layout, const Matrix &want) {
    EXPECT_EQ(attribute<uint32_t>(layout, CUBLASLT_MATRIX_LAYOUT_TYPE), uint32_t(want.type));
    EXPECT_EQ(attribute<int32_t>(layout, CUBLASLT_MATRIX_LAYOUT_ORDER), CUBLASLT_ORDER_COL);
    EXPECT_EQ(attribute<uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_ROWS), want.rows);
    EXPECT_EQ(attribute<uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_COLS), want.cols);
    EXPECT_EQ(attribute<int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_LD), want.ld);
}

// Z = X Wᵀ of layer 300 → 500 with 70 samples: every number is another one.
dki_product forward_product() {
    dki_product product = {};
    product.m = 500;
    product.n = 70;
    product.k = 300;
    product.lda = 304;
    product.ldb = 312;
    product.ldd = 512;
    product.trans_a = 1;
    product.type = product.type_d = DKI_ELEMENT_BF16;
    product.alignment = 16;
    product.workspace = 1 << 20;
    return product;
}

struct Epilogue {
    dki_epilogue ours;
    cublasLtEpilogue_t theirs;
    bool bias, aux;
};

// cuBLASLt's names, by its documentation.
const Epilogue epilogues[] = {
    {DKI_EPILOGUE_NONE, CUBLASLT_EPILOGUE_DEFAULT, false, false},
    {DKI_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_BIAS, true, false},
    {DKI_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS, true, false},
    {DKI_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_GELU_BIAS, true, false},
    {DKI_EPILOGUE_GELU_AUX_BIAS, CUBLASLT_EPILOGUE_GELU_AUX_BIAS, true, true},
    {DKI_EPILOGUE_DGELU, CUBLASLT_EPILOGUE_DGELU, false, true},
    {DKI_EPILOGUE_DGELU_BGRAD, CUBLASLT_EPILOGUE_DGELU_BGRAD, true, true},
    {DKI_EPILOGUE_BGRADB, CUBLASLT_EPILOGUE_BGRADB, true, false},
};

} // namespace

TEST(CudaProducts, EveryEpilogueReachesTheLibrary) {
    static_assert(sizeof epilogues / sizeof *epilogues == DKI_EPILOGUE_COUNT, "all of them");
    for (const Epilogue &epilogue : epilogues) {
        SCOPED_TRACE(epilogue.ours);
        dki_product product = forward_product();
        product.epilogue = epilogue.ours;
        product.ld_aux = epilogue.aux ? 512 : 0;
        char bias, aux;
        dki_operands operands = {};
        operands.bias = &bias;
        operands.aux = &aux;
        dki_product_description made;
        ASSERT_EQ(dki_product_describe(&product, &operands, &made), CUBLAS_STATUS_SUCCESS);
        EXPECT_EQ(attribute<uint32_t>(made, CUBLASLT_MATMUL_DESC_EPILOGUE),
                  uint32_t(epilogue.theirs));
        EXPECT_EQ(attribute<void *>(made, CUBLASLT_MATMUL_DESC_BIAS_POINTER),
                  epilogue.bias ? &bias : nullptr);
        EXPECT_EQ(attribute<void *>(made, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER),
                  epilogue.aux ? &aux : nullptr);
        EXPECT_EQ(attribute<int64_t>(made, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD),
                  epilogue.aux ? 512 : 0);
    }
}

// A matrix is described as it lies in memory: transposed operands have rows and columns changed.
TEST(CudaProducts, MatricesAreDescribedAsTheyLie) {
    for (int transposed = 0; transposed < 4; ++transposed) {
        SCOPED_TRACE(transposed);
        dki_product product = forward_product();
        product.trans_a = transposed & 1;
        product.trans_b = transposed >> 1;
        product.lda = product.ldb = 1000;
        product.type_d = DKI_ELEMENT_F32;
        dki_product_description made;
        ASSERT_EQ(dki_product_describe(&product, nullptr, &made), CUBLAS_STATUS_SUCCESS);
        const cublasOperation_t op[] = {CUBLAS_OP_N, CUBLAS_OP_T};
        EXPECT_EQ(attribute<int32_t>(made, CUBLASLT_MATMUL_DESC_TRANSA), op[product.trans_a]);
        EXPECT_EQ(attribute<int32_t>(made, CUBLASLT_MATMUL_DESC_TRANSB), op[product.trans_b]);
        expect_matrix(made.a, product.trans_a ? Matrix{CUDA_R_16BF, 300, 500, 1000}
                                              : Matrix{CUDA_R_16BF, 500, 300, 1000});
        expect_matrix(made.b, product.trans_b ? Matrix{CUDA_R_16BF, 70, 300, 1000}
                                              : Matrix{CUDA_R_16BF, 300, 70, 1000});
        expect_matrix(made.d, {CUDA_R_32F, 500, 70, 512});
    }
}

TEST(CudaProducts, SumsAreFp32AndTf32OnlyWhereAskedFor) {
    const cudaDataType_t types[] = {CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F};
    for (dki_element element : {DKI_ELEMENT_F32, DKI_ELEMENT_BF16, DKI_ELEMENT_F16})
        for (int tf32 : {0, 1}) {
            dki_product product = forward_product();
            product.type = product.type_d = element;
            product.tf32 = tf32;
            dki_product_description made;
            ASSERT_EQ(dki_product_describe(&product, nullptr, &made), CUBLAS_STATUS_SUCCESS);
            EXPECT_EQ(attribute<uint32_t>(made.a, CUBLASLT_MATRIX_LAYOUT_TYPE),
                      uint32_t(types[element]));
            EXPECT_EQ(attribute<int32_t>(made, CUBLASLT_MATMUL_DESC_SCALE_TYPE), CUDA_R_32F);
            EXPECT_EQ(attribute<int32_t>(made, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE),
                      tf32 && element == DKI_ELEMENT_F32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                         : CUBLAS_COMPUTE_32F);
            EXPECT_EQ(attribute<int32_t>(made, CUBLASLT_MATMUL_DESC_POINTER_MODE),
                      CUBLASLT_POINTER_MODE_HOST);
        }
}

// By the library's default the parts of a sum that is split may be added in D's type, as bf16.
TEST(CudaProducts, PartsOfASumAreAddedAsFp32Only) {
    const dki_product product = forward_product();
    cublasLtMatmulPreferenceOpaque_t limits;
    ASSERT_EQ(dki_product_limits(&product, &limits), CUBLAS_STATUS_SUCCESS);
    uint32_t allowed = 0;
    size_t written = 0;
    ASSERT_EQ(cublasLtMatmulPreferenceGetAttribute(&limits,
                                                   CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                   &allowed, sizeof allowed, &written),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(allowed, uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
}

// A plan from a file was chosen by who knows which rules.
TEST(CudaProducts, AnAlgorithmThatAddsThemInTheTypeOfDIsNone) {
    const std::pair<uint32_t, bool> schemes[] = {{CUBLASLT_REDUCTION_SCHEME_NONE, true},
                                                 {CUBLASLT_REDUCTION_SCHEME_INPLACE, false},
                                                 {CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, true},
                                                 {CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE, false}};
    for (const auto &[scheme, good] : schemes) {
        cublasLtMatmulAlgo_t algorithm = {};
        ASSERT_EQ(cublasLtMatmulAlgoConfigSetAttribute(
                      &algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme, sizeof scheme),
                  CUBLAS_STATUS_SUCCESS);
        EXPECT_EQ(dki_algorithm_sums_in_fp32(&algorithm), good) << scheme;
    }
}

// α and β that the host reads would be baked into a graph, and all its steps would have one rate.
TEST(CudaProducts, AnUpdatesScalarsAreReadOnTheDevice) {
    for (int32_t accumulate : {DKI_OVERWRITE, DKI_ADD, DKI_SCALE}) {
        dki_product product = forward_product();
        product.accumulate = accumulate;
        dki_product_description made;
        ASSERT_EQ(dki_product_describe(&product, nullptr, &made), CUBLAS_STATUS_SUCCESS);
        EXPECT_EQ(attribute<int32_t>(made, CUBLASLT_MATMUL_DESC_POINTER_MODE),
                  accumulate == DKI_SCALE ? CUBLASLT_POINTER_MODE_DEVICE
                                          : CUBLASLT_POINTER_MODE_HOST);
    }
}

TEST(CudaProducts, AShareOfTheMultiprocessorsReachesTheLibrary) {
    for (int processors : {0, 116}) {
        dki_product product = forward_product();
        product.processors = processors;
        dki_product_description made;
        ASSERT_EQ(dki_product_describe(&product, nullptr, &made), CUBLAS_STATUS_SUCCESS);
        EXPECT_EQ(attribute<int32_t>(made, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET), processors);
    }
}

// The heuristic reads from the addresses how aligned they are: one that is better aligned than the
// real ones would bring algorithms that then fail.
TEST(CudaProducts, WithoutOperandsAddressesAreAsAlignedAsTheProductSays) {
    for (int alignment = 2; alignment <= 256; alignment *= 2) {
        dki_product product = forward_product();
        product.epilogue = DKI_EPILOGUE_GELU_AUX_BIAS;
        product.ld_aux = 512;
        product.alignment = alignment;
        dki_product_description made;
        ASSERT_EQ(dki_product_describe(&product, nullptr, &made), CUBLAS_STATUS_SUCCESS);
        for (auto name :
             {CUBLASLT_MATMUL_DESC_BIAS_POINTER, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER}) {
            const auto address = attribute<uintptr_t>(made, name);
            EXPECT_EQ(address & -address, uintptr_t(alignment));
        }
    }
}

// --- errors -------------------------------------------------------------------------------------

namespace {

// A GPU that was never opened: its errors can be made, nothing can be run on it.
struct Unopened : testing::Test {
    dki_gpu gpu = {};

    static bool says(const std::string &part) {
        return std::string(dk_error_text()).find(part) != std::string::npos;
    }
};

} // namespace

TEST_F(Unopened, SuccessIsNoError) {
    EXPECT_EQ(dki_gpu_status(&gpu, cudaSuccess, "call"), DK_OK);
    EXPECT_EQ(dki_gpu_library_status(&gpu, CUBLAS_STATUS_SUCCESS, "call", nullptr), DK_OK);
    EXPECT_EQ(dki_gpu_launched(&gpu, 0, "delta"), DK_OK);
}

// The runtime's header says of these that the process must be terminated, or of the context that it
// can't be used any more; of all others that follow it doesn't.
TEST_F(Unopened, ErrorsThatPoisonTheProcessLoseTheDevice) {
    const std::set<int> poisonous = {
        cudaErrorECCUncorrectable,    cudaErrorNvlinkUncorrectable, cudaErrorIllegalAddress,
        cudaErrorLaunchTimeout,       cudaErrorContextIsDestroyed,  cudaErrorAssert,
        cudaErrorHardwareStackError,  cudaErrorIllegalInstruction,  cudaErrorMisalignedAddress,
        cudaErrorInvalidAddressSpace, cudaErrorInvalidPc,           cudaErrorLaunchFailure,
        cudaErrorExternalDevice};
    const int harmless[] = {cudaErrorInvalidValue,           cudaErrorMemoryAllocation,
                            cudaErrorInvalidConfiguration,   cudaErrorNoKernelImageForDevice,
                            cudaErrorLaunchOutOfResources,   cudaErrorStreamCaptureInvalidated,
                            cudaErrorStreamCaptureUnjoined,  cudaErrorNotReady,
                            cudaErrorInvalidResourceHandle,  cudaErrorStreamCaptureUnsupported,
                            cudaErrorHostMemoryNotRegistered};
    for (int code : poisonous) {
        dki_gpu fresh = {};
        EXPECT_EQ(dki_gpu_status(&fresh, cudaError_t(code), "cudaSomething"), DK_E_DEVICE_LOST);
        EXPECT_TRUE(fresh.lost);
        EXPECT_TRUE(says("cudaSomething") && says(cudaGetErrorName(cudaError_t(code))) &&
                    says("new process") && says("checkpoint"))
            << dk_error_text();
    }
    for (int code : harmless) {
        EXPECT_EQ(dki_gpu_status(&gpu, cudaError_t(code), "cudaSomething"),
                  code == cudaErrorMemoryAllocation ? DK_E_MEMORY : DK_E_DEVICE);
        EXPECT_FALSE(gpu.lost);
        EXPECT_TRUE(says("cudaSomething") && says(cudaGetErrorName(cudaError_t(code))))
            << dk_error_text();
    }
}

// Were one of them to call CUDA all the same, it would call the driver's functions, which are NULL.
TEST_F(Unopened, ALostGpuIsNotTouchedAgain) {
    gpu.lost = true;
    gpu.facts.ordinal = 3;
    void *memory = &gpu;
    dki_stream stream = &gpu;
    dki_event event = &gpu;
    dki_graph *graph = nullptr;
    dki_algorithm algorithm = {};
    dki_operands operands = {};
    const dki_product product = forward_product();
    uint64_t total, available;
    double milliseconds;
    bool resident = true;
    int count = 1;
    EXPECT_EQ(dki_gpu_memory(&gpu, &total, &available), DK_E_DEVICE_LOST);
    EXPECT_TRUE(says("GPU 3") && says("new process") && says("checkpoint")) << dk_error_text();
    EXPECT_EQ(dki_gpu_alloc(&gpu, 1, &memory), DK_E_DEVICE_LOST);
    EXPECT_EQ(memory, nullptr);
    memory = &gpu;
    EXPECT_EQ(dki_gpu_alloc_host(&gpu, 1, &memory), DK_E_DEVICE_LOST);
    EXPECT_EQ(memory, nullptr);
    EXPECT_EQ(dki_gpu_is_resident(&gpu, &gpu, 1, &resident), DK_E_DEVICE_LOST);
    EXPECT_FALSE(resident);
    EXPECT_EQ(dki_gpu_stream_create(&gpu, &stream), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_stream_sync(&gpu, &gpu), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_copy(&gpu, nullptr, &gpu, &gpu, 1), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_zero(&gpu, nullptr, &gpu, 1), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_event_create(&gpu, true, &event), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_event_record(&gpu, &gpu, nullptr), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_event_wait(&gpu, &gpu, nullptr), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_event_sync(&gpu, &gpu), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_event_elapsed(&gpu, &gpu, &gpu, &milliseconds), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_capture_begin(&gpu, nullptr), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_capture_end(&gpu, nullptr, &graph), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_graph_launch(&gpu, graph, nullptr), DK_E_DEVICE_LOST);
    EXPECT_EQ(dki_gpu_algorithms(&gpu, &product, &algorithm, 1, &count), DK_E_DEVICE_LOST);
    EXPECT_EQ(count, 0);
    EXPECT_FALSE(dki_gpu_algorithm_valid(&gpu, &product, &algorithm));
    EXPECT_EQ(dki_gpu_multiply(&gpu, nullptr, &product, &algorithm, &operands), DK_E_DEVICE_LOST);
    dki_gpu_free(&gpu, &gpu);
    dki_gpu_free_host(&gpu, &gpu);
    dki_gpu_stream_destroy(&gpu, nullptr);
    dki_gpu_event_destroy(&gpu, &gpu);
    dki_gpu_graph_destroy(&gpu, nullptr);
}

TEST_F(Unopened, ALaunchNamesItsKernelAndWhatToDo) {
    gpu.facts.ordinal = 2;
    EXPECT_EQ(dki_gpu_launched(&gpu, cudaErrorNoKernelImageForDevice, "delta"), DK_E_DEVICE);
    EXPECT_TRUE(says("GPU 2") && says("kernel delta") && says("cudaErrorNoKernelImageForDevice") &&
                says("CMAKE_CUDA_ARCHITECTURES"))
        << dk_error_text();
}

TEST_F(Unopened, ErrorsOfTheLibraryNameTheProduct) {
    dki_product product = forward_product();
    product.type_d = DKI_ELEMENT_F32;
    const struct {
        cublasStatus_t theirs;
        dk_status ours;
    } codes[] = {{CUBLAS_STATUS_NOT_SUPPORTED, DK_E_UNSUPPORTED},
                 {CUBLAS_STATUS_ALLOC_FAILED, DK_E_MEMORY},
                 {CUBLAS_STATUS_INVALID_VALUE, DK_E_DEVICE},
                 {CUBLAS_STATUS_EXECUTION_FAILED, DK_E_DEVICE},
                 {CUBLAS_STATUS_NOT_INITIALIZED, DK_E_DEVICE}};
    for (auto code : codes) {
        EXPECT_EQ(dki_gpu_library_status(&gpu, code.theirs, "cublasLtMatmul", &product), code.ours);
        EXPECT_TRUE(says("cublasLtMatmul of 500×70×300") && says("bf16 to fp32") &&
                    says(cublasLtGetStatusName(code.theirs)))
            << dk_error_text();
    }
}

#endif

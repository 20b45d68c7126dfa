/* Products through cuBLASLt. A description is made anew for every call: in training, products run
 * from graphs, where this costs nothing. */
#include "backend/cuda/gpu_cuda.h"

#include <string.h>

_Static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof((dki_algorithm *)0)->data,
               "an algorithm is kept as its bytes");

static cudaDataType_t data_type(int32_t element) {
    switch ((dki_element)element) {
    case DKI_ELEMENT_BF16:
        return CUDA_R_16BF;
    case DKI_ELEMENT_F16:
        return CUDA_R_16F;
    default:
        return CUDA_R_32F;
    }
}

static cublasLtEpilogue_t epilogue_of(int32_t epilogue) {
    switch ((dki_epilogue)epilogue) {
    case DKI_EPILOGUE_BIAS:
        return CUBLASLT_EPILOGUE_BIAS;
    case DKI_EPILOGUE_RELU_BIAS:
        return CUBLASLT_EPILOGUE_RELU_BIAS;
    case DKI_EPILOGUE_GELU_BIAS:
        return CUBLASLT_EPILOGUE_GELU_BIAS;
    case DKI_EPILOGUE_GELU_AUX_BIAS:
        return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case DKI_EPILOGUE_DGELU:
        return CUBLASLT_EPILOGUE_DGELU;
    case DKI_EPILOGUE_DGELU_BGRAD:
        return CUBLASLT_EPILOGUE_DGELU_BGRAD;
    case DKI_EPILOGUE_BGRADB:
        return CUBLASLT_EPILOGUE_BGRADB;
    default:
        return CUBLASLT_EPILOGUE_DEFAULT;
    }
}

/* Sums are fp32 for every type of operand. TF32 only where it was asked for. The type of the
 * auxiliary matrix stays unset: it is D's. */
static cublasStatus_t describe_operation(const dki_product *product, const dki_operands *operands,
                                         cublasLtMatmulDesc_t operation) {
    bool tf32 = product->tf32 && product->type == DKI_ELEMENT_F32;
    const int32_t trans_a = product->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t trans_b = product->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t pointer_mode = product->accumulate == DKI_SCALE ? CUBLASLT_POINTER_MODE_DEVICE
                                                                  : CUBLASLT_POINTER_MODE_HOST;
    const int32_t processors = (int32_t)product->processors;
    const cublasLtEpilogue_t epilogue = epilogue_of(product->epilogue);
    /* For the heuristic an address says only how aligned it is. */
    void *aligned = (void *)(uintptr_t)product->alignment;
    void *bias = operands ? operands->bias : aligned;
    void *aux = operands ? operands->aux : aligned;
    const bool has_bias = dki_epilogue_has_bias(product->epilogue);
    const bool has_aux = dki_epilogue_has_aux(product->epilogue);
    const struct {
        bool wanted;
        cublasLtMatmulDescAttributes_t name;
        const void *value;
        size_t bytes;
    } attributes[] = {
        {true, CUBLASLT_MATMUL_DESC_TRANSA, &trans_a, sizeof trans_a},
        {true, CUBLASLT_MATMUL_DESC_TRANSB, &trans_b, sizeof trans_b},
        {true, CUBLASLT_MATMUL_DESC_POINTER_MODE, &pointer_mode, sizeof pointer_mode},
        {true, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue},
        {has_bias, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias},
        {has_aux, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &aux, sizeof aux},
        {has_aux, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &product->ld_aux, sizeof product->ld_aux},
        {processors > 0, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, &processors, sizeof processors},
    };
    cublasStatus_t status = cublasLtMatmulDescInit(
        operation, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F);
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (status == CUBLAS_STATUS_SUCCESS && attributes[i].wanted)
            status = cublasLtMatmulDescSetAttribute(operation, attributes[i].name,
                                                    attributes[i].value, attributes[i].bytes);
    return status;
}

/* [rows, cols] as it lies in memory, before it is transposed; column order is the default. */
static cublasStatus_t describe_matrix(cublasLtMatrixLayout_t layout, int32_t element, bool swap,
                                      int64_t rows, int64_t cols, int64_t ld) {
    return cublasLtMatrixLayoutInit(layout, data_type(element), (uint64_t)(swap ? cols : rows),
                                    (uint64_t)(swap ? rows : cols), ld);
}

cublasStatus_t dki_product_describe(const dki_product *product, const dki_operands *operands,
                                    dki_product_description *description) {
    const dki_product *p = product;
    cublasStatus_t status = describe_operation(p, operands, &description->operation);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = describe_matrix(&description->a, p->type, p->trans_a, p->m, p->k, p->lda);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = describe_matrix(&description->b, p->type, p->trans_b, p->k, p->n, p->ldb);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = describe_matrix(&description->d, p->type_d, false, p->m, p->n, p->ldd);
    return status;
}

/* How the parts of a sum that is split along k may be added: not at all, or as fp32 in the workspace. By
 * the library's other schemes they are added as D's type, which would round a bf16 D once more with
 * every part. */
static const uint32_t reductions =
    CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;

bool dki_algorithm_sums_in_fp32(const cublasLtMatmulAlgo_t *algorithm) {
    uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t written = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoConfigGetAttribute(
        algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme, sizeof scheme, &written);
    return status == CUBLAS_STATUS_SUCCESS && (scheme & ~reductions) == 0;
}

cublasStatus_t dki_product_limits(const dki_product *product,
                                  cublasLtMatmulPreference_t preference) {
    const size_t workspace = (size_t)product->workspace;
    const uint32_t alignment = (uint32_t)product->alignment;
    const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    cublasStatus_t status = cublasLtMatmulPreferenceInit(preference);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(
            preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(
            preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
    for (size_t i = 0; i < sizeof aligned / sizeof *aligned; i++)
        if (status == CUBLAS_STATUS_SUCCESS)
            status = cublasLtMatmulPreferenceSetAttribute(preference, aligned[i], &alignment,
                                                          sizeof alignment);
    return status;
}

/* An epilogue that the library refuses, in whatever words, is one that it doesn't have; the plain
 * product must be there. */
static bool means_none(cublasStatus_t status, const dki_product *product) {
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return true;
    return product->epilogue != DKI_EPILOGUE_NONE &&
           (status == CUBLAS_STATUS_INVALID_VALUE || status == CUBLAS_STATUS_ARCH_MISMATCH);
}

dk_status dki_gpu_algorithms(dki_gpu *gpu, const dki_product *product, dki_algorithm *list,
                             int capacity, int *count) {
    enum { MOST = 64 };
    cublasLtMatmulHeuristicResult_t results[MOST];
    int found = 0;
    *count = 0;
    dki_product_description description;
    cublasLtMatmulPreferenceOpaque_t limits;
    DKI_TRY(dki_gpu_enter(gpu));
    cublasStatus_t status = dki_product_describe(product, NULL, &description);
    if (status == CUBLAS_STATUS_SUCCESS) status = dki_product_limits(product, &limits);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoGetHeuristic(
            gpu->library, &description.operation, &description.a, &description.b, &description.d,
            &description.d, &limits, capacity < MOST ? capacity : MOST, results, &found);
    dk_status answer = DK_OK;
    if (status != CUBLAS_STATUS_SUCCESS && !means_none(status, product))
        answer = dki_gpu_library_status(gpu, status, "cublasLtMatmulAlgoGetHeuristic", product);
    for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < found; i++) {
        if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
        dki_algorithm *algorithm = &list[(*count)++];
        memcpy(algorithm->data, &results[i].algo, sizeof algorithm->data);
        algorithm->workspace = (int64_t)results[i].workspaceSize;
    }
    dki_gpu_leave(gpu);
    return answer;
}

bool dki_gpu_algorithm_valid(dki_gpu *gpu, const dki_product *product,
                             const dki_algorithm *algorithm) {
    dki_product_description description;
    cublasLtMatmulAlgo_t checked;
    cublasLtMatmulHeuristicResult_t result = {0}; /* its documentation promises sizes, no state */
    if (dki_gpu_enter(gpu) != DK_OK) return false;
    memcpy(&checked, algorithm->data, sizeof checked);
    cublasStatus_t status = dki_product_describe(product, NULL, &description);
    if (!dki_algorithm_sums_in_fp32(&checked)) status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoCheck(gpu->library, &description.operation, &description.a,
                                         &description.b, &description.d, &description.d, &checked,
                                         &result);
    dki_gpu_leave(gpu);
    return status == CUBLAS_STATUS_SUCCESS && result.state == CUBLAS_STATUS_SUCCESS &&
           (int64_t)result.workspaceSize <= product->workspace;
}

dk_status dki_gpu_multiply(dki_gpu *gpu, dki_stream stream, const dki_product *product,
                           const dki_algorithm *algorithm, const dki_operands *operands) {
    const bool scale = product->accumulate == DKI_SCALE;
    const float host_scalars[] = {1, product->accumulate == DKI_ADD ? 1 : 0};
    const float *scalars = scale ? operands->scalars : host_scalars;
    dki_product_description description;
    cublasLtMatmulAlgo_t chosen;
    DKI_TRY(dki_gpu_enter(gpu));
    memcpy(&chosen, algorithm->data, sizeof chosen);
    cublasStatus_t status = dki_product_describe(product, operands, &description);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmul(
            gpu->library, &description.operation, &scalars[0], operands->a, &description.a,
            operands->b, &description.b, &scalars[1], operands->d, &description.d, operands->d,
            &description.d, &chosen, operands->workspace,
            operands->workspace ? (size_t)product->workspace : 0, dki_gpu_handle(stream));
    dk_status answer = dki_gpu_library_status(gpu, status, "cublasLtMatmul", product);
    dki_gpu_leave(gpu);
    return answer;
}

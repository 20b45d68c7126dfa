// Reads descriptions back from the library that made them, and says what it would refuse, or what
// deltak has no reason to ask for.
#include "lt.h"

namespace emulated {

namespace {

/// Collects attributes of one description; `known` falls where one can't be read.
template <class Name, class Get, class Handle> struct Reader {
    Get get;
    Handle handle;
    bool known = true;
    template <class T> void operator()(Name name, T &value) {
        size_t written = 0;
        known = get(handle, name, &value, sizeof value, &written) == CUBLAS_STATUS_SUCCESS && known;
    }
};

struct Matrix {
    uint32_t type = 0;
    uint64_t rows = 0, cols = 0;
    int64_t ld = 0;
    int32_t order = 0, batch = 0;
};

bool read_matrix(cublasLtMatrixLayout_t layout, Matrix &matrix) {
    Reader<cublasLtMatrixLayoutAttribute_t, decltype(&cublasLtMatrixLayoutGetAttribute),
           cublasLtMatrixLayout_t>
        read{cublasLtMatrixLayoutGetAttribute, layout};
    read(CUBLASLT_MATRIX_LAYOUT_TYPE, matrix.type);
    read(CUBLASLT_MATRIX_LAYOUT_ROWS, matrix.rows);
    read(CUBLASLT_MATRIX_LAYOUT_COLS, matrix.cols);
    read(CUBLASLT_MATRIX_LAYOUT_LD, matrix.ld);
    read(CUBLASLT_MATRIX_LAYOUT_ORDER, matrix.order);
    read(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, matrix.batch);
    return read.known;
}

struct Operation {
    int32_t trans_a = 0, trans_b = 0, compute = 0, scale = 0, pointer_mode = 0, processors = 0;
    int32_t bias_type = -1, aux_type = -1;
    uint32_t epilogue = 0;
    void *bias = nullptr, *aux = nullptr;
    int64_t ld_aux = 0;
};

bool read_operation(cublasLtMatmulDesc_t handle, Operation &operation) {
    Reader<cublasLtMatmulDescAttributes_t, decltype(&cublasLtMatmulDescGetAttribute),
           cublasLtMatmulDesc_t>
        read{cublasLtMatmulDescGetAttribute, handle};
    read(CUBLASLT_MATMUL_DESC_TRANSA, operation.trans_a);
    read(CUBLASLT_MATMUL_DESC_TRANSB, operation.trans_b);
    read(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, operation.compute);
    read(CUBLASLT_MATMUL_DESC_SCALE_TYPE, operation.scale);
    read(CUBLASLT_MATMUL_DESC_POINTER_MODE, operation.pointer_mode);
    read(CUBLASLT_MATMUL_DESC_EPILOGUE, operation.epilogue);
    read(CUBLASLT_MATMUL_DESC_BIAS_POINTER, operation.bias);
    read(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, operation.bias_type);
    read(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operation.aux);
    read(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, operation.ld_aux);
    read(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, operation.aux_type);
    read(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, operation.processors);
    return read.known;
}

/// In the backend's terms; −1 if it has none for it.
int32_t element_of(uint32_t type) {
    return type == CUDA_R_32F    ? DKI_ELEMENT_F32
           : type == CUDA_R_16BF ? DKI_ELEMENT_BF16
           : type == CUDA_R_16F  ? DKI_ELEMENT_F16
                                 : -1;
}

int32_t epilogue_of(uint32_t epilogue) {
    switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
        return DKI_EPILOGUE_NONE;
    case CUBLASLT_EPILOGUE_BIAS:
        return DKI_EPILOGUE_BIAS;
    case CUBLASLT_EPILOGUE_RELU_BIAS:
        return DKI_EPILOGUE_RELU_BIAS;
    case CUBLASLT_EPILOGUE_GELU_BIAS:
        return DKI_EPILOGUE_GELU_BIAS;
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
        return DKI_EPILOGUE_GELU_AUX_BIAS;
    case CUBLASLT_EPILOGUE_DGELU:
        return DKI_EPILOGUE_DGELU;
    case CUBLASLT_EPILOGUE_DGELU_BGRAD:
        return DKI_EPILOGUE_DGELU_BGRAD;
    case CUBLASLT_EPILOGUE_BGRADB:
        return DKI_EPILOGUE_BGRADB;
    default:
        return -1;
    }
}

std::string wrong_types(const Operation &operation, const Matrix &a, const Matrix &b,
                        const Matrix &d) {
    const int32_t type = element_of(a.type), type_d = element_of(d.type);
    const bool tf32 = operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    if (type < 0 || type_d < 0) return "an unknown type";
    if (a.type != b.type) return "the types of A and B differ";
    if (type_d != type && type_d != DKI_ELEMENT_F32) return "D's type";
    if (operation.compute != CUBLAS_COMPUTE_32F && !tf32) return "the compute type";
    if (operation.scale != CUDA_R_32F) return "the scalars' type";
    if (tf32 && type != DKI_ELEMENT_F32) return "tf32 of operands that aren't fp32";
    if (operation.bias_type != -1 && operation.bias_type != static_cast<int32_t>(d.type))
        return "the bias's type";
    if (operation.aux_type != -1) return "a type of aux, which this version refuses";
    return "";
}

std::string wrong_epilogue(const Operation &operation, const Product &product) {
    const dki_product &p = product.shape;
    if (p.epilogue < 0) return "an unknown epilogue";
    if (p.epilogue == DKI_EPILOGUE_BGRADB && !p.trans_b) return "BGRADB of a B as it is";
    if (product.has_bias() && !operation.bias) return "no bias";
    if (!product.has_bias() && operation.bias) return "a bias that the epilogue doesn't have";
    if (!product.has_aux() && operation.aux) return "an aux that the epilogue doesn't have";
    if (!product.has_aux()) return operation.ld_aux != 0 ? "ld_aux" : "";
    if (!operation.aux) return "no aux";
    return p.ld_aux < p.m || p.ld_aux % 8 != 0 ? "ld_aux" : "";
}

std::string wrong_matrices(const Product &product, const Matrix &a, const Matrix &b,
                           const Matrix &c, const Matrix &d) {
    const dki_product &p = product.shape;
    for (const Matrix *matrix : {&a, &b, &c, &d})
        if (matrix->order != CUBLASLT_ORDER_COL || matrix->batch != 1)
            return "another order, or several matrices";
    if (p.m < 1 || p.n < 1 || p.k < 1) return "m, n or k below 1";
    if (static_cast<int64_t>(p.trans_b ? b.cols : b.rows) != p.k) return "A's k isn't B's";
    if (static_cast<int64_t>(d.rows) != p.m || static_cast<int64_t>(d.cols) != p.n)
        return "D's shape";
    if (c.rows != d.rows || c.cols != d.cols || c.ld != d.ld || c.type != d.type)
        return "C isn't as D";
    if (a.ld < static_cast<int64_t>(a.rows)) return "lda below the rows of A";
    if (b.ld < static_cast<int64_t>(b.rows)) return "ldb below the rows of B";
    if (d.ld < static_cast<int64_t>(d.rows)) return "ldd below the rows of D";
    return "";
}

void fill(const Operation &operation, const Matrix &a, const Matrix &b, const Matrix &d,
          Product &product) {
    dki_product &p = product.shape;
    p.trans_a = operation.trans_a == CUBLAS_OP_T;
    p.trans_b = operation.trans_b == CUBLAS_OP_T;
    p.m = static_cast<int64_t>(p.trans_a ? a.cols : a.rows);
    p.k = static_cast<int64_t>(p.trans_a ? a.rows : a.cols);
    p.n = static_cast<int64_t>(p.trans_b ? b.rows : b.cols);
    p.lda = a.ld;
    p.ldb = b.ld;
    p.ldd = d.ld;
    p.ld_aux = operation.ld_aux;
    p.type = element_of(a.type);
    p.type_d = element_of(d.type);
    p.tf32 = operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    p.epilogue = epilogue_of(operation.epilogue);
    p.accumulate =
        operation.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE ? DKI_SCALE : DKI_OVERWRITE;
    p.processors = operation.processors;
    product.at.bias = operation.bias;
    product.at.aux = operation.aux;
}

} // namespace

std::string read_product(const Description &description, Product &product) {
    Operation operation;
    Matrix a, b, c, d;
    if (!read_operation(description.operation, operation) || !read_matrix(description.a, a) ||
        !read_matrix(description.b, b) || !read_matrix(description.c, c) ||
        !read_matrix(description.d, d))
        return "a description that can't be read back";
    fill(operation, a, b, d, product);
    std::string wrong = wrong_types(operation, a, b, d);
    if (wrong.empty()) wrong = wrong_matrices(product, a, b, c, d);
    if (wrong.empty()) wrong = wrong_epilogue(operation, product);
    if (wrong.empty() && operation.pointer_mode != CUBLASLT_POINTER_MODE_HOST &&
        operation.pointer_mode != CUBLASLT_POINTER_MODE_DEVICE)
        wrong = "the pointer mode";
    if (wrong.empty() && operation.processors < 0) wrong = "a negative number of processors";
    return wrong;
}

} // namespace emulated

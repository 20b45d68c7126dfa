// cuBLASLt's calls that ask for algorithms and queue products.
#include "lt.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace emulated {

int64_t workspace_of(const dki_product &shape, int id) {
    constexpr int64_t most = 64 * 1024;
    return id < 3 ? 0 : std::min(shape.workspace, most);
}

namespace {

constexpr int64_t least_workspace = 256;

/// What an algorithm holds in its 64 bytes: which, how it adds the parts of a sum (where NVIDIA's library
/// reads that), of which description, under which limits.
struct Choice {
    uint64_t id, mark, reduction, description;
    int64_t workspace; ///< that it was allowed
    uint64_t alignment, unused[2];
};
static_assert(sizeof(Choice) == sizeof(cublasLtMatmulAlgo_t), "64 bytes");

/// Marks an algorithm as one of ours: anything else in a cache is refused.
constexpr uint64_t our_mark = 0x656d756c61746564ULL;

/// The library's handle.
int opened;
cublasLtHandle_t handle_of_all() {
    return reinterpret_cast<cublasLtHandle_t>(&opened);
}

cublasStatus_t status_of(cudaError_t error) {
    return error == cudaSuccess                 ? CUBLAS_STATUS_SUCCESS
           : error == cudaErrorMemoryAllocation ? CUBLAS_STATUS_ALLOC_FAILED
                                                : CUBLAS_STATUS_EXECUTION_FAILED;
}

/// FNV-1a over what an algorithm depends on ("The FNV Non-Cryptographic Hash Algorithm").
uint64_t hash_of(dki_product shape) {
    shape.alignment = 0;
    shape.workspace = 0;
    shape.accumulate = shape.accumulate == DKI_SCALE; // β isn't part of a description
    const auto *bytes = reinterpret_cast<const unsigned char *>(&shape);
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof shape; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/// What a preference allows, into the product; what is wrong with it, or "".
std::string read_limits(cublasLtMatmulPreference_t preference, Product &product) {
    const cublasLtMatmulPreferenceAttributes_t names[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint64_t room = 0;
    uint32_t reductions = 0, least = 256;
    size_t written = 0;
    bool read =
        cublasLtMatmulPreferenceGetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &room, sizeof room, &written) == CUBLAS_STATUS_SUCCESS;
    read = cublasLtMatmulPreferenceGetAttribute(
               preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
               sizeof reductions, &written) == CUBLAS_STATUS_SUCCESS &&
           read;
    for (auto name : names) {
        uint32_t alignment = 0;
        read = cublasLtMatmulPreferenceGetAttribute(preference, name, &alignment, sizeof alignment,
                                                    &written) == CUBLAS_STATUS_SUCCESS &&
               read;
        if (alignment < 2 || (alignment & (alignment - 1)) != 0)
            return "an alignment that isn't a power of two";
        least = std::min(least, alignment);
    }
    product.shape.alignment = static_cast<int32_t>(least);
    product.shape.workspace = static_cast<int64_t>(room);
    product.rounds_parts = (reductions & CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE) != 0;
    return read ? "" : "a preference that can't be read back";
}

int known_of(const dki_product &shape) {
    const bool old = device().settings.major < 8 && shape.type == DKI_ELEMENT_BF16;
    return old ? 0 : std::min(device().settings.known(shape), algorithms);
}

/// Algorithm 3 adds two parts.
uint64_t reduction_of(const Product &product, int id) {
    return id < 3                 ? CUBLASLT_REDUCTION_SCHEME_NONE
           : product.rounds_parts ? CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE
                                  : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
}

/// Takes over an algorithm's limits; whether it is one for the product.
bool take_choice(const cublasLtMatmulAlgo_t &algorithm, Product &product) {
    Choice choice;
    memcpy(&choice, &algorithm, sizeof choice);
    const auto known = static_cast<uint64_t>(std::max(known_of(product.shape), 0));
    if (choice.mark != our_mark || choice.id < 1 || choice.id > known) return false;
    if (choice.description != hash_of(product.shape)) return false;
    product.id = static_cast<int>(choice.id);
    product.shape.alignment = static_cast<int32_t>(choice.alignment);
    product.shape.workspace = choice.workspace;
    product.rounds_parts = choice.reduction == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    return product.id < 3 || choice.workspace >= least_workspace;
}

/// What algorithm 3 leaves in its workspace between its two halves, over and over.
using Trace = std::array<unsigned char, 256>;
Trace trace_of(const Product &product) {
    Trace trace;
    for (size_t i = 0; i < trace.size(); ++i)
        trace[i] = static_cast<unsigned char>((reinterpret_cast<uintptr_t>(product.at.d) >> 4) +
                                              i * 7 + 1);
    return trace;
}

void begin(const Product &product, Footprint &touched) {
    const auto room = static_cast<size_t>(workspace_of(product.shape, product.id));
    if (!device().arena.find(product.at.workspace, room)) return;
    touched.add(Touch::write, product.at.workspace, room);
    auto *bytes = static_cast<unsigned char *>(product.at.workspace);
    const Trace trace = trace_of(product);
    for (size_t at = 0; at < room; at += trace.size())
        memcpy(bytes + at, trace.data(), std::min(trace.size(), room - at));
}

bool untouched(const Product &product) {
    const auto room = static_cast<size_t>(workspace_of(product.shape, product.id));
    const auto *bytes = static_cast<const unsigned char *>(product.at.workspace);
    const Trace trace = trace_of(product);
    for (size_t at = 0; at < room; at += trace.size())
        if (memcmp(bytes + at, trace.data(), std::min(trace.size(), room - at)) != 0) return false;
    return true;
}

void count_traffic(Counts &counts, const dki_product &p) {
    const auto m = static_cast<double>(p.m), n = static_cast<double>(p.n),
               k = static_cast<double>(p.k);
    const auto in = static_cast<double>(bytes_of(p.type));
    const auto out = static_cast<double>(bytes_of(p.type_d));
    counts.product_flops += 2 * m * n * k;
    counts.product_bytes += in * (m * k + n * k) + out * m * n * (p.accumulate ? 2 : 1);
}

void finish(const Product &product, Footprint &touched) {
    Device &d = device();
    ++d.counts.products;
    ++d.counts.products_by[product.id];
    count_traffic(d.counts, product.shape);
    const std::string wrong = wrong_memory(product);
    if (!wrong.empty()) return d.report("a product when it ran: " + wrong);
    add_footprint(product, touched);
    if (!untouched(product))
        return d.report("a product's workspace was written by something else while it ran");
    multiply(product);
}

/// "a product (64×32×16, epilogue 3)".
std::string name_of(const dki_product &p) {
    return "a product (" + std::to_string(p.m) + "×" + std::to_string(p.n) + "×" +
           std::to_string(p.k) + ", epilogue " + std::to_string(p.epilogue) + ")";
}

/// An algorithm with a workspace runs in two halves, between which other streams may run.
cudaError_t submit(const Product &product, cudaStream_t stream) {
    Device &d = device();
    const std::string name = name_of(product.shape);
    if (workspace_of(product.shape, product.id) > 0) {
        const cudaError_t error =
            d.submit(stream, "cublasLtMatmul",
                     {name, [=](Footprint &touched) { begin(product, touched); }, 0,
                      cudaGraphNodeTypeKernel});
        if (error) return error;
    }
    return d.submit(stream, "cublasLtMatmul",
                    {name, [=](Footprint &touched) { finish(product, touched); },
                     d.settings.times(product.shape, product.id), cudaGraphNodeTypeKernel});
}

cublasStatus_t refuse(const char *call, const std::string &wrong) {
    device().report(std::string(call) + ": " + wrong);
    return CUBLAS_STATUS_INVALID_VALUE;
}

void set_scalars(Product &product, const void *alpha, const void *beta) {
    if (product.shape.accumulate == DKI_SCALE) {
        product.device_alpha = static_cast<const float *>(alpha);
        product.device_beta = static_cast<const float *>(beta);
        return;
    }
    product.alpha = *static_cast<const float *>(alpha);
    product.beta = *static_cast<const float *>(beta);
    if (product.beta != 0) product.shape.accumulate = DKI_ADD;
}

} // namespace

} // namespace emulated

using emulated::Call;
using emulated::Product;
using emulated::refuse;

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    const Call call("cublasLtCreate", Call::waiting); // it allocates
    if (call.error) return emulated::status_of(call.error);
    ++call.device.handles;
    *handle = emulated::handle_of_all();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    const emulated::Guard guard(emulated::device().lock);
    if (handle != emulated::handle_of_all() || emulated::device().handles == 0)
        return refuse("cublasLtDestroy", "not a handle");
    --emulated::device().handles;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int *found) {
    const char *const name = "cublasLtMatmulAlgoGetHeuristic";
    const Call call(name);
    *found = 0;
    if (call.error) return emulated::status_of(call.error);
    Product product;
    if (handle != emulated::handle_of_all()) return refuse(name, "not a handle");
    std::string wrong = emulated::read_product({operation, a, b, c, d}, product);
    if (wrong.empty()) wrong = emulated::read_limits(preference, product);
    if (wrong.empty() && wanted < 1) wrong = "no room for an answer";
    if (!wrong.empty()) return refuse(name, wrong);
    const int known = emulated::known_of(product.shape);
    if (known < 0) return CUBLAS_STATUS_INVALID_VALUE;
    for (int id = 1; id <= known && *found < wanted; ++id) {
        if (id == 3 && product.shape.workspace < emulated::least_workspace) break;
        cublasLtMatmulHeuristicResult_t &result = results[(*found)++];
        const emulated::Choice choice = {static_cast<uint64_t>(id),
                                         emulated::our_mark,
                                         emulated::reduction_of(product, id),
                                         emulated::hash_of(product.shape),
                                         product.shape.workspace,
                                         static_cast<uint64_t>(product.shape.alignment),
                                         {0, 0}};
        memset(&result, 0, sizeof result);
        memcpy(&result.algo, &choice, sizeof choice);
        result.workspaceSize = static_cast<size_t>(emulated::workspace_of(product.shape, id));
        result.state = CUBLAS_STATUS_SUCCESS;
    }
    return *found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *result) {
    const Call call("cublasLtMatmulAlgoCheck");
    if (call.error) return emulated::status_of(call.error);
    Product product;
    if (handle != emulated::handle_of_all() ||
        !emulated::read_product({operation, a, b, c, d}, product).empty())
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!emulated::take_choice(*algorithm, product)) return CUBLAS_STATUS_NOT_SUPPORTED;
    result->algo = *algorithm;
    result->workspaceSize = static_cast<size_t>(emulated::workspace_of(product.shape, product.id));
    result->state = CUBLAS_STATUS_SUCCESS;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                              const void *alpha, const void *a_data, cublasLtMatrixLayout_t a,
                              const void *b_data, cublasLtMatrixLayout_t b, const void *beta,
                              const void *c_data, cublasLtMatrixLayout_t c, void *d_data,
                              cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algorithm,
                              void *workspace, size_t room, cudaStream_t stream) {
    const char *const name = "cublasLtMatmul";
    const Call call(name);
    if (call.error) return emulated::status_of(call.error);
    Product product;
    if (handle != emulated::handle_of_all()) return refuse(name, "not a handle");
    std::string wrong = emulated::read_product({operation, a, b, c, d}, product);
    if (wrong.empty() && !emulated::take_choice(*algorithm, product))
        wrong = "not an algorithm for this product";
    if (wrong.empty() && c_data != d_data) wrong = "C isn't D";
    if (wrong.empty() && !(alpha && beta)) wrong = "no scalars";
    if (!wrong.empty()) return refuse(name, wrong);
    emulated::set_scalars(product, alpha, beta);
    product.at.a = a_data;
    product.at.b = b_data;
    product.at.d = d_data;
    product.at.workspace = workspace;
    product.room = room;
    if (static_cast<size_t>(emulated::workspace_of(product.shape, product.id)) > room)
        return refuse(name, "a workspace below the algorithm's");
    wrong = emulated::wrong_operands(product);
    if (!wrong.empty()) return refuse(name, wrong);
    return emulated::status_of(emulated::submit(product, stream));
}

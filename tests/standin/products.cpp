// The product library of the stand-in: its algorithms, and a check of every product that shares
// nothing with dki_product_validate.
#include "insides.h"

#include <array>
#include <cstring>

namespace standin {

/// Marks an algorithm as one of ours: anything else in a cache is refused.
constexpr uint64_t mark = 0x7374616e64696eULL;
constexpr int64_t least_workspace = 256, most_workspace = 64 * 1024;

static int64_t workspace_of(const dki_product &product, int id) {
    return id < 3 ? 0 : std::min(product.workspace, most_workspace);
}

static size_t bytes_of(int32_t type) {
    return type == DKI_ELEMENT_F32 ? 4 : 2;
}

/// Bytes from the first to the last element of a column-order matrix.
static size_t extent(int64_t rows, int64_t cols, int64_t ld, size_t element) {
    return static_cast<size_t>((cols - 1) * ld + rows) * element;
}

static bool has_bias(int32_t epilogue) {
    return epilogue != DKI_EPILOGUE_NONE && epilogue != DKI_EPILOGUE_DGELU;
}

/// The leading dimension of the auxiliary matrix.
static bool wrong_aux(const dki_product &p) {
    if (!has_aux(p.epilogue)) return p.ld_aux != 0;
    return p.ld_aux < p.m || p.ld_aux % 8 != 0;
}

/// What is wrong with the description, or "".
static std::string wrong_shape(const dki_product &p) {
    const auto flag = [](int32_t value) { return value == 0 || value == 1; };
    const auto type = [](int32_t value) {
        return value >= DKI_ELEMENT_F32 && value <= DKI_ELEMENT_F16;
    };
    if (p.m < 1 || p.n < 1 || p.k < 1) return "m, n or k below 1";
    if (!flag(p.trans_a) || !flag(p.trans_b) || !flag(p.tf32))
        return "a flag that is neither 0 nor 1";
    if (p.accumulate < DKI_OVERWRITE || p.accumulate > DKI_SCALE) return "accumulate";
    if (!type(p.type) || !type(p.type_d)) return "an unknown type";
    if (p.type_d != p.type && p.type_d != DKI_ELEMENT_F32) return "D's type";
    if (p.tf32 && p.type != DKI_ELEMENT_F32) return "tf32 of operands that aren't fp32";
    if (p.lda < (p.trans_a ? p.k : p.m)) return "lda below the rows of A";
    if (p.ldb < (p.trans_b ? p.n : p.k)) return "ldb below the rows of B";
    if (p.ldd < p.m) return "ldd below the rows of D";
    if (p.epilogue < 0 || p.epilogue >= DKI_EPILOGUE_COUNT) return "an unknown epilogue";
    if (wrong_aux(p)) return "ld_aux";
    if (p.epilogue == DKI_EPILOGUE_BGRADB && !p.trans_b) return "BGRADB of a B as it is";
    if (p.processors < 0) return "a negative number of processors";
    if (p.alignment < 2 || p.alignment > 256 || (p.alignment & (p.alignment - 1)) != 0)
        return "an alignment that isn't a power of two from 2 to 256";
    if (p.workspace < 0) return "a negative workspace";
    return "";
}

struct Span {
    const char *name;
    const void *data;
    size_t bytes;
    bool read_only = false; ///< may be the same as others that are only read
};

/// The memory that a product touches: A, B, then what it writes or reads beside them.
static std::vector<Span> spans(const dki_product &p, const dki_operands &o, int64_t workspace) {
    const size_t element = bytes_of(p.type), element_d = bytes_of(p.type_d);
    std::vector<Span> all = {
        {"A", o.a, extent(p.trans_a ? p.k : p.m, p.trans_a ? p.m : p.k, p.lda, element), true},
        {"B", o.b, extent(p.trans_b ? p.n : p.k, p.trans_b ? p.k : p.n, p.ldb, element), true},
        {"D", o.d, extent(p.m, p.n, p.ldd, element_d)}};
    const auto biases = static_cast<size_t>(p.epilogue == DKI_EPILOGUE_BGRADB ? p.n : p.m);
    if (has_bias(p.epilogue)) all.push_back({"bias", o.bias, biases * element_d});
    if (has_aux(p.epilogue)) all.push_back({"aux", o.aux, extent(p.m, p.n, p.ld_aux, element_d)});
    if (p.accumulate == DKI_SCALE) all.push_back({"scalars", o.scalars, 2 * sizeof(float), true});
    if (workspace > 0) all.push_back({"workspace", o.workspace, static_cast<size_t>(workspace)});
    return all;
}

/// What is wrong with the memory, or "".
static std::string wrong_memory(const std::vector<Span> &all) {
    for (const Span &span : all) {
        const Region *region = device().find(span.data, span.bytes);
        if (!region || !region->device)
            return std::string(span.name) + " doesn't lie in one allocation of device memory";
    }
    for (size_t i = 1; i < all.size(); ++i)
        for (size_t j = 0; j < i; ++j) {
            if (all[i].read_only && all[j].read_only) continue;
            const auto *p = static_cast<const char *>(all[i].data);
            const auto *q = static_cast<const char *>(all[j].data);
            if (p < q + all[j].bytes && q < p + all[i].bytes)
                return std::string(all[i].name) + " overlaps " + all[j].name;
        }
    return "";
}

static std::string wrong_alignment(const dki_product &p, const std::vector<Span> &all) {
    for (const Span &span : all) {
        const uintptr_t need = strcmp(span.name, "workspace") == 0 ? 256
                               : strcmp(span.name, "aux") == 0     ? 16
                               : strcmp(span.name, "scalars") == 0
                                   ? sizeof(float)
                                   : static_cast<uintptr_t>(p.alignment);
        if (reinterpret_cast<uintptr_t>(span.data) % need != 0)
            return std::string(span.name) + " isn't aligned as claimed";
    }
    return "";
}

static std::string wrong_product(const dki_product &p, const dki_operands &o, int64_t workspace) {
    std::string wrong = wrong_shape(p);
    if (!wrong.empty()) return wrong;
    if (workspace > p.workspace) return "a workspace below the algorithm's";
    if (!has_bias(p.epilogue) && o.bias) return "a bias that the epilogue doesn't have";
    if (!has_aux(p.epilogue) && o.aux) return "an aux that the epilogue doesn't have";
    if (p.accumulate != DKI_SCALE && o.scalars) return "scalars that it doesn't take";
    const std::vector<Span> all = spans(p, o, workspace);
    wrong = wrong_memory(all);
    return wrong.empty() ? wrong_alignment(p, all) : wrong;
}

/// The id of a valid algorithm, or 0.
static int id_of(const dki_product &product, const dki_algorithm *algorithm) {
    const int known = std::min(device().known(product), algorithms);
    const auto id = static_cast<int>(algorithm->data[0]);
    const bool ours = algorithm->data[1] == mark && id >= 1 && id <= known &&
                      algorithm->workspace == workspace_of(product, id);
    return ours && (id < 3 || product.workspace >= least_workspace) ? id : 0;
}

/// What an algorithm leaves in its workspace between its two halves, over and over.
using Trace = std::array<unsigned char, 256>;
static Trace trace_of(const dki_operands &operands) {
    Trace trace;
    for (size_t i = 0; i < trace.size(); ++i)
        trace[i] =
            static_cast<unsigned char>((reinterpret_cast<uintptr_t>(operands.d) >> 4) + i * 7 + 1);
    return trace;
}

static void begin(const dki_operands &operands, int64_t workspace) {
    if (!device().find(operands.workspace, static_cast<size_t>(workspace))) return;
    auto *bytes = static_cast<unsigned char *>(operands.workspace);
    const Trace trace = trace_of(operands);
    for (size_t at = 0, end = static_cast<size_t>(workspace); at < end; at += trace.size())
        memcpy(bytes + at, trace.data(), std::min(trace.size(), end - at));
}

static bool untouched(const dki_operands &operands, int64_t workspace) {
    const auto *bytes = static_cast<const unsigned char *>(operands.workspace);
    const Trace trace = trace_of(operands);
    for (size_t at = 0, end = static_cast<size_t>(workspace); at < end; at += trace.size())
        if (memcmp(bytes + at, trace.data(), std::min(trace.size(), end - at)) != 0) return false;
    return true;
}

static void count_traffic(Counts &counts, const dki_product &p) {
    const auto m = static_cast<double>(p.m), n = static_cast<double>(p.n),
               k = static_cast<double>(p.k);
    const auto in = static_cast<double>(dki_element_bytes(static_cast<dki_element>(p.type)));
    const auto out = static_cast<double>(dki_element_bytes(static_cast<dki_element>(p.type_d)));
    counts.product_flops += 2 * m * n * k;
    counts.product_bytes += in * (m * k + n * k) + out * m * n * (p.accumulate ? 2 : 1);
}

static void finish(const dki_product &product, const dki_operands &operands, int id) {
    Device &d = device();
    ++d.counts.products;
    ++d.counts.products_by[id];
    count_traffic(d.counts, product);
    const int64_t workspace = workspace_of(product, id);
    const std::string wrong = wrong_memory(spans(product, operands, workspace));
    if (!wrong.empty()) return d.report("a product when it ran: " + wrong);
    if (!untouched(operands, workspace))
        return d.report("a product's workspace was written by something else while it ran");
    multiply(product, operands, id);
}

} // namespace standin

using standin::device;
using standin::Guard;

dk_status dki_gpu_algorithms(dki_gpu *, const dki_product *product, dki_algorithm *list,
                             int capacity, int *count) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    *count = 0;
    DKI_TRY(d.enter("dki_gpu_algorithms"));
    const std::string wrong = standin::wrong_shape(*product);
    if (!wrong.empty()) d.report("dki_gpu_algorithms: " + wrong);
    DKI_REQUIRE(wrong.empty(), DK_E_DEVICE, "dki_gpu_algorithms: %s (stand-in)", wrong.c_str());
    const int known = std::min({d.known(*product), standin::algorithms, capacity});
    for (int id = 1; id <= known; ++id) {
        if (id == 3 && product->workspace < standin::least_workspace) break;
        dki_algorithm *algorithm = &list[(*count)++];
        memset(algorithm, 0, sizeof *algorithm);
        algorithm->data[0] = static_cast<uint64_t>(id);
        algorithm->data[1] = standin::mark;
        algorithm->workspace = standin::workspace_of(*product, id);
    }
    return DK_OK;
}

bool dki_gpu_algorithm_valid(dki_gpu *, const dki_product *product,
                             const dki_algorithm *algorithm) {
    const Guard guard(device().lock);
    return standin::wrong_shape(*product).empty() && standin::id_of(*product, algorithm) != 0;
}

/// An algorithm with a workspace runs in two halves, between which other streams may run: whoever
/// shares the workspace is found out.
dk_status dki_gpu_multiply(dki_gpu *, dki_stream stream, const dki_product *product,
                           const dki_algorithm *algorithm, const dki_operands *operands) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    const dki_product p = *product;
    const dki_operands o = *operands;
    const int id = standin::id_of(p, algorithm);
    const int64_t workspace = standin::workspace_of(p, id);
    std::string wrong = standin::wrong_product(p, o, workspace);
    if (id == 0) wrong = "not an algorithm for this product";
    if (!wrong.empty()) d.report("dki_gpu_multiply: " + wrong);
    DKI_REQUIRE(wrong.empty(), DK_E_DEVICE, "dki_gpu_multiply: %s (stand-in)", wrong.c_str());
    const void *given = p.workspace > 0 ? o.workspace : nullptr;
    const standin::Work last = {[=] { standin::finish(p, o, id); }, d.times(p, id), true, given};
    if (workspace == 0) return d.submit(stream, "dki_gpu_multiply", last);
    DKI_TRY(d.submit(stream, "dki_gpu_multiply",
                     {[=] { standin::begin(o, workspace); }, 0, true, given}));
    return d.submit(stream, "dki_gpu_multiply (second half)", last);
}

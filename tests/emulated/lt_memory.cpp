// The memory of a product: where each operand lies, how it is aligned, what it overlaps.
#include "lt.h"

#include <cstring>

namespace emulated {

namespace {

struct Operand {
    const char *name;
    const void *data;
    size_t column, stride, columns; ///< bytes, bytes, how many
    size_t alignment;
    bool reads = true, writes = false;
    size_t bytes() const { return (columns - 1) * stride + column; }
};

Operand matrix(const char *name, const void *data, int64_t rows, int64_t cols, int64_t ld,
               size_t element, int32_t alignment) {
    return {name,
            data,
            static_cast<size_t>(rows) * element,
            static_cast<size_t>(ld) * element,
            static_cast<size_t>(cols),
            static_cast<size_t>(alignment)};
}

Operand bytes(const char *name, const void *data, size_t bytes, size_t alignment) {
    return {name, data, bytes, bytes, 1, alignment};
}

Operand aux_of(const Product &product) {
    const dki_product &p = product.shape;
    Operand aux = matrix("aux", product.at.aux, p.m, p.n, p.ld_aux, bytes_of(p.type_d), 16);
    aux.writes = p.epilogue == DKI_EPILOGUE_GELU_AUX_BIAS;
    aux.reads = !aux.writes;
    return aux;
}

/// A, B, then what it writes or reads beside them.
std::vector<Operand> operands_of(const Product &product) {
    const dki_product &p = product.shape;
    const size_t element = bytes_of(p.type), element_d = bytes_of(p.type_d);
    std::vector<Operand> all = {matrix("A", product.at.a, p.trans_a ? p.k : p.m,
                                       p.trans_a ? p.m : p.k, p.lda, element, p.alignment),
                                matrix("B", product.at.b, p.trans_b ? p.n : p.k,
                                       p.trans_b ? p.k : p.n, p.ldb, element, p.alignment),
                                matrix("D", product.at.d, p.m, p.n, p.ldd, element_d, p.alignment)};
    all[2].writes = true;
    all[2].reads = p.accumulate != DKI_OVERWRITE;
    if (product.has_bias()) {
        const auto count = static_cast<size_t>(p.epilogue == DKI_EPILOGUE_BGRADB ? p.n : p.m);
        Operand bias =
            bytes("bias", product.at.bias, count * element_d, static_cast<size_t>(p.alignment));
        bias.writes = dki_epilogue_has_bias_gradient(p.epilogue);
        bias.reads = !bias.writes;
        all.push_back(bias);
    }
    if (product.has_aux()) all.push_back(aux_of(product));
    if (product.device_alpha) {
        all.push_back(bytes("scalars", product.device_alpha, sizeof(float), sizeof(float)));
        all.push_back(bytes("scalars", product.device_beta, sizeof(float), sizeof(float)));
    }
    if (product.room > 0) { // all that it may use, since another algorithm would
        all.push_back(bytes("workspace", product.at.workspace, product.room, 256));
        all.back().writes = true;
    }
    return all;
}

std::string wrong_place(const std::vector<Operand> &all) {
    for (const Operand &one : all) {
        const Allocation *block = device().arena.find(one.data, one.bytes());
        if (!block || !block->device)
            return std::string(one.name) + " doesn't lie in one allocation of device memory";
    }
    for (size_t i = 1; i < all.size(); ++i)
        for (size_t j = 0; j < i; ++j) {
            if (!all[i].writes && !all[j].writes) continue;
            const auto *p = static_cast<const char *>(all[i].data);
            const auto *q = static_cast<const char *>(all[j].data);
            if (p < q + all[j].bytes() && q < p + all[i].bytes())
                return std::string(all[i].name) + " overlaps " + all[j].name;
        }
    return "";
}

} // namespace

std::string wrong_memory(const Product &product) {
    return wrong_place(operands_of(product));
}

std::string wrong_operands(const Product &product) {
    const std::vector<Operand> all = operands_of(product);
    std::string wrong = wrong_place(all);
    for (const Operand &one : all)
        if (wrong.empty() && reinterpret_cast<uintptr_t>(one.data) % one.alignment != 0)
            wrong = std::string(one.name) + " isn't aligned as claimed";
    return wrong;
}

void add_footprint(const Product &product, Footprint &touched) {
    for (const Operand &one : operands_of(product)) {
        // Kernels may hold the updates of products that run beside them (dki_hold_products).
        if (one.data == product.device_alpha || one.data == product.device_beta)
            touched.add(Touch::atomic, one.data, one.column);
        else if (one.reads)
            touched.add(Touch::read, one.data, one.column, one.stride, one.columns);
        if (one.writes) touched.add(Touch::write, one.data, one.column, one.stride, one.columns);
    }
}

} // namespace emulated

// The arithmetic of the emulation's products: operands converted to fp32, sums in fp32 in an order
// that depends on the algorithm, then the epilogue, then D's type. How a real library rounds on the
// way is its own business.
#include "lt.h"
#include "ptx/numbers.h"

#include <cmath>

namespace emulated {

/// Drops the last 13 bits of the significand, to nearest, ties to even.
static float tf32_of(float x) {
    const uint32_t bits = ptx::bits_of(x);
    if (!std::isfinite(x)) return x;
    return ptx::float_of((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu);
}

static float load(const void *data, int32_t type, size_t i) {
    if (type == DKI_ELEMENT_F32) return static_cast<const float *>(data)[i];
    const uint16_t bits = static_cast<const uint16_t *>(data)[i];
    return type == DKI_ELEMENT_BF16 ? ptx::float_of_bf16(bits) : ptx::float_of_half(bits);
}

static void store(void *data, int32_t type, size_t i, float x) {
    if (type == DKI_ELEMENT_F32) {
        static_cast<float *>(data)[i] = x;
    } else {
        static_cast<uint16_t *>(data)[i] =
            type == DKI_ELEMENT_F16 ? ptx::half_of(x) : ptx::bf16_of(x);
    }
}

/// op(X) [rows × cols], column after column.
static std::vector<float> operand(const dki_product &p, const void *data, int64_t ld,
                                  bool transposed, int64_t rows, int64_t cols) {
    std::vector<float> out(static_cast<size_t>(rows * cols));
    for (int64_t j = 0; j < cols; ++j)
        for (int64_t i = 0; i < rows; ++i) {
            const float x =
                load(data, p.type, static_cast<size_t>(transposed ? i * ld + j : j * ld + i));
            out[static_cast<size_t>(j * rows + i)] = p.tf32 ? tf32_of(x) : x;
        }
    return out;
}

/// sum += Σ over terms first, first + stride, … of column `term` of A times b[term].
static void add_terms(std::vector<float> &sum, const std::vector<float> &a, const float *b,
                      int64_t k, int64_t first, int64_t stride) {
    const size_t m = sum.size();
    for (int64_t term = first; term >= 0 && term < k; term += stride) {
        const float *__restrict column = a.data() + static_cast<size_t>(term) * m;
        const float factor = b[term];
        float *__restrict out = sum.data();
        for (size_t i = 0; i < m; ++i) out[i] += column[i] * factor;
    }
}

/// As it would be read back from an element of the type.
static float rounded(float x, int32_t type) {
    uint32_t element = 0;
    store(&element, type, 0, x);
    return load(&element, type, 0);
}

/// One column of op(A) op(B).
static std::vector<float> column_of(const std::vector<float> &a, const float *b,
                                    const Product &product) {
    const dki_product &p = product.shape;
    std::vector<float> sum(static_cast<size_t>(p.m), 0.0f);
    if (product.id == 1) add_terms(sum, a, b, p.k, 0, 1);
    if (product.id == 2) add_terms(sum, a, b, p.k, p.k - 1, -1);
    if (product.id != 3) return sum;
    std::vector<float> odd(sum);
    add_terms(sum, a, b, p.k, 0, 2);
    add_terms(odd, a, b, p.k, 1, 2);
    for (size_t i = 0; i < sum.size(); ++i) {
        if (product.rounds_parts)
            sum[i] = rounded(rounded(sum[i], p.type_d) + rounded(odd[i], p.type_d), p.type_d);
        else
            sum[i] += odd[i];
    }
    return sum;
}

/// GELU's tanh form, and its derivative, in double: z (1 + tanh u)/2 with u = √(2/π)(z + 0.044715 z³).
static float gelu(float x, bool derivative) {
    const double z = x, c = std::sqrt(2 / M_PI), t = std::tanh(c * (z + 0.044715 * z * z * z));
    const double slope = (1 + t) / 2 + z * (1 - t * t) / 2 * c * (1 + 3 * 0.044715 * z * z);
    return static_cast<float>(derivative ? slope : z * (1 + t) / 2);
}

/// Those of GELU: the auxiliary matrix is z, in D's type.
static void apply_gelu(const dki_product &p, const dki_operands &o, int64_t j,
                       std::vector<float> &values) {
    const auto first = static_cast<size_t>(j * p.ld_aux);
    const bool backward =
        p.epilogue == DKI_EPILOGUE_DGELU || p.epilogue == DKI_EPILOGUE_DGELU_BGRAD;
    for (size_t i = 0; i < values.size(); ++i) {
        if (backward) {
            values[i] *= gelu(load(o.aux, p.type_d, first + i), true);
            continue;
        }
        values[i] += load(o.bias, p.type_d, i);
        if (dki_epilogue_has_aux(p.epilogue)) store(o.aux, p.type_d, first + i, values[i]);
        values[i] = gelu(values[i], false);
    }
}

/// Bias, and ReLU; a comparison with NaN is false, so that ReLU makes 0 of it, as the library's does.
static void apply_bias(const dki_product &p, const dki_operands &o, std::vector<float> &values) {
    for (size_t i = 0; i < values.size(); ++i) {
        values[i] += load(o.bias, p.type_d, i);
        if (p.epilogue == DKI_EPILOGUE_RELU_BIAS && !(values[i] > 0)) values[i] = 0;
    }
}

static void apply_epilogue(const dki_product &p, const dki_operands &o, int64_t j,
                           std::vector<float> &values) {
    if (dki_epilogue_has_aux(p.epilogue) || p.epilogue == DKI_EPILOGUE_GELU_BIAS)
        return apply_gelu(p, o, j, values);
    if (p.epilogue == DKI_EPILOGUE_BIAS || p.epilogue == DKI_EPILOGUE_RELU_BIAS)
        apply_bias(p, o, values);
}

/// Scalars of the device are read now, when the product runs, and multiply whatever is there: 0·NaN is NaN.
/// With β = 0 of the host, D needn't hold anything yet.
static void accumulate(const Product &product, size_t first, std::vector<float> &values) {
    const bool of_device = product.device_alpha != nullptr;
    const float alpha = of_device ? *product.device_alpha : product.alpha;
    const float beta = of_device ? *product.device_beta : product.beta;
    for (size_t i = 0; i < values.size(); ++i) {
        values[i] *= alpha;
        if (of_device || beta != 0)
            values[i] += beta * load(product.at.d, product.shape.type_d, first + i);
    }
}

/// BGRADB: the sums over k of op(B), one for each column of D.
static void sum_b(const dki_product &p, const dki_operands &o, const std::vector<float> &b) {
    for (int64_t j = 0; j < p.n; ++j) {
        float sum = 0;
        for (int64_t term = 0; term < p.k; ++term) sum += b[static_cast<size_t>(j * p.k + term)];
        store(o.bias, p.type_d, static_cast<size_t>(j), sum);
    }
}

/// The bias gradient sums D as it is stored.
void multiply(const Product &product) {
    const dki_product &p = product.shape;
    const dki_operands &o = product.at;
    const std::vector<float> a = operand(p, o.a, p.lda, p.trans_a != 0, p.m, p.k);
    const std::vector<float> b = operand(p, o.b, p.ldb, p.trans_b != 0, p.k, p.n);
    std::vector<float> sums(static_cast<size_t>(p.m), 0.0f);
    for (int64_t j = 0; j < p.n; ++j) {
        std::vector<float> values = column_of(a, b.data() + j * p.k, product);
        const auto first = static_cast<size_t>(j * p.ldd);
        accumulate(product, first, values);
        apply_epilogue(p, o, j, values);
        for (size_t i = 0; i < values.size(); ++i) {
            store(o.d, p.type_d, first + i, values[i]);
            sums[i] += load(o.d, p.type_d, first + i);
        }
    }
    if (p.epilogue == DKI_EPILOGUE_BGRADB) sum_b(p, o, b);
    if (p.epilogue != DKI_EPILOGUE_DGELU_BGRAD) return;
    for (size_t i = 0; i < sums.size(); ++i) store(o.bias, p.type_d, i, sums[i]);
}

} // namespace emulated

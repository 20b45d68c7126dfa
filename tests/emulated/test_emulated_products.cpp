// The emulation's products against plain loops: exact, because all values are small integers.
#include "support_emulated.h"

#include "simt/toolkit.h"

#include <cmath>
#include <cstring>
#include <random>

namespace emulated {
namespace {

using Bytes = std::vector<unsigned char>;
constexpr unsigned char guard_byte = 0xA5;

float element(const Bytes &bytes, int32_t type, size_t i) {
    float x;
    __half half;
    __nv_bfloat16 brain;
    switch (type) {
    case DKI_ELEMENT_F16:
        memcpy(&half, &bytes[2 * i], 2);
        return __half2float(half);
    case DKI_ELEMENT_BF16:
        memcpy(&brain, &bytes[2 * i], 2);
        return __bfloat162float(brain);
    default:
        memcpy(&x, &bytes[4 * i], 4);
        return x;
    }
}

void set_element(Bytes &bytes, int32_t type, size_t i, float x) {
    const __half half = __float2half_rn(x);
    const __nv_bfloat16 brain = __float2bfloat16_rn(x);
    switch (type) {
    case DKI_ELEMENT_F16:
        memcpy(&bytes[2 * i], &half, 2);
        break;
    case DKI_ELEMENT_BF16:
        memcpy(&bytes[2 * i], &brain, 2);
        break;
    default:
        memcpy(&bytes[4 * i], &x, 4);
    }
}

size_t bytes_of(int32_t type) {
    return type == DKI_ELEMENT_F32 ? 4 : 2;
}

/// A column-order matrix of small integers in device memory, its padding full of guard bytes.
struct Matrix {
    int32_t type;
    size_t rows, cols, ld;
    Bytes host;
    void *device = nullptr;

    Matrix(int32_t t, int64_t r, int64_t c, std::mt19937 &random)
        : type(t), rows(static_cast<size_t>(r)), cols(static_cast<size_t>(c)), ld(rows + 3),
          host(((cols - 1) * ld + rows) * bytes_of(t), guard_byte) {
        for (size_t j = 0; j < cols; ++j)
            for (size_t i = 0; i < rows; ++i)
                set(i, j, static_cast<float>(static_cast<int>(random() % 5) - 2));
    }
    float at(size_t i, size_t j) const { return element(host, type, j * ld + i); }
    void set(size_t i, size_t j, float x) { set_element(host, type, j * ld + i, x); }
};

struct Case {
    int32_t type, type_d, trans_a, trans_b, epilogue, accumulate;
    int algorithm;
};

class ProductTest : public GpuTest {
  protected:
    void put(Matrix &matrix) {
        matrix.device = device(matrix.host.size());
        poke(matrix.device, matrix.host.data(), matrix.host.size());
    }

    void check(const Case &c, std::mt19937 &random);
};

bool takes_bias(int32_t epilogue) {
    return epilogue == DKI_EPILOGUE_BIAS || epilogue == DKI_EPILOGUE_RELU_BIAS;
}

constexpr float alpha_beta[] = {2, -0.5f};

/// What the case should give: into d and bias.
void expect_product(const Case &c, const Matrix &a, const Matrix &b, Matrix &d, Matrix &bias,
                    size_t k) {
    for (size_t i = 0; i < d.rows; ++i)
        for (size_t j = 0; j < d.cols; ++j) {
            float value = 0;
            for (size_t p = 0; p < k; ++p)
                value +=
                    (c.trans_a ? a.at(p, i) : a.at(i, p)) * (c.trans_b ? b.at(j, p) : b.at(p, j));
            if (c.accumulate == DKI_SCALE) value = alpha_beta[0] * value;
            if (c.accumulate != DKI_OVERWRITE)
                value += (c.accumulate == DKI_SCALE ? alpha_beta[1] : 1) * d.at(i, j);
            if (takes_bias(c.epilogue)) value += bias.at(i, 0);
            d.set(i, j, c.epilogue == DKI_EPILOGUE_RELU_BIAS && value < 0 ? 0 : value);
        }
    for (size_t j = 0; j < d.cols && c.epilogue == DKI_EPILOGUE_BGRADB; ++j) {
        float sum = 0;
        for (size_t p = 0; p < k; ++p) sum += b.at(j, p); // B is transposed
        bias.set(j, 0, sum);
    }
}

void ProductTest::check(const Case &c, std::mt19937 &random) {
    const int64_t m = 11, n = 6, k = 7;
    Matrix a(c.type, c.trans_a ? k : m, c.trans_a ? m : k, random);
    Matrix b(c.type, c.trans_b ? n : k, c.trans_b ? k : n, random);
    Matrix d(c.type_d, m, n, random), bias(c.type_d, m, 1, random);
    for (Matrix *matrix : {&a, &b, &d, &bias}) put(*matrix);
    void *workspace = device(1024), *scalars = device(8);
    poke(scalars, alpha_beta, sizeof alpha_beta);
    dki_product product;
    memset(&product, 0, sizeof product);
    product.m = m, product.n = n, product.k = k;
    product.lda = static_cast<int64_t>(a.ld), product.ldb = static_cast<int64_t>(b.ld);
    product.ldd = static_cast<int64_t>(d.ld);
    product.trans_a = c.trans_a, product.trans_b = c.trans_b;
    product.type = c.type, product.type_d = c.type_d;
    product.epilogue = c.epilogue, product.accumulate = c.accumulate;
    product.alignment = 256, product.workspace = 1024;
    const bool with_bias = takes_bias(c.epilogue) || c.epilogue == DKI_EPILOGUE_BGRADB;
    const dki_operands operands = {a.device,
                                   b.device,
                                   d.device,
                                   with_bias ? bias.device : nullptr,
                                   nullptr,
                                   workspace,
                                   c.accumulate == DKI_SCALE ? static_cast<float *>(scalars)
                                                             : nullptr};
    const dki_algorithm chosen = algorithm(product, c.algorithm);
    EXPECT_TRUE(dki_gpu_algorithm_valid(gpu, &product, &chosen));
    ASSERT_EQ(dki_gpu_multiply(gpu, one, &product, &chosen, &operands), DK_OK) << dk_error_text();
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    expect_product(c, a, b, d, bias, static_cast<size_t>(k));
    Bytes got(d.host.size()), got_bias(bias.host.size());
    peek(got.data(), d.device, got.size());
    peek(got_bias.data(), bias.device, got_bias.size());
    EXPECT_EQ(got, d.host) << "with the padding, which nobody writes";
    EXPECT_EQ(got_bias, bias.host);
    free_all({a.device, b.device, d.device, bias.device, workspace, scalars});
}

// Those whose results are integers; GELU's have a test of their own.
TEST_F(ProductTest, EveryEpilogueTypeTranspositionAndAlgorithm) {
    const int32_t epilogues[] = {DKI_EPILOGUE_NONE, DKI_EPILOGUE_BIAS, DKI_EPILOGUE_RELU_BIAS,
                                 DKI_EPILOGUE_BGRADB};
    std::mt19937 random(1);
    const int32_t types[][2] = {{DKI_ELEMENT_F32, DKI_ELEMENT_F32},
                                {DKI_ELEMENT_BF16, DKI_ELEMENT_BF16},
                                {DKI_ELEMENT_F16, DKI_ELEMENT_F16},
                                {DKI_ELEMENT_BF16, DKI_ELEMENT_F32},
                                {DKI_ELEMENT_F16, DKI_ELEMENT_F32}};
    for (const auto &type : types)
        for (int32_t kind = 0; kind < 12; ++kind)
            for (int32_t epilogue : epilogues)
                for (int id = 1; id <= algorithms; ++id) {
                    if (epilogue == DKI_EPILOGUE_BGRADB && !(kind >> 1 & 1)) continue;
                    SCOPED_TRACE(testing::Message()
                                 << "types " << type[0] << " " << type[1] << " kind " << kind
                                 << " epilogue " << epilogue << " algorithm " << id);
                    check({type[0], type[1], kind & 1, kind >> 1 & 1, epilogue, kind >> 2, id},
                          random);
                    if (HasFailure()) return;
                }
    EXPECT_EQ(counts().products, 5 * (12 * 3 + 6) * 3); // BGRADB: where B is transposed
    EXPECT_EQ(counts().products_by[3], 5 * (12 * 3 + 6));
}

/// D [n × 1] = A [n × k] B [k × 1] without padding, of fp32 values, by one algorithm.
struct Column {
    int32_t type = DKI_ELEMENT_F32, type_d = DKI_ELEMENT_F32, tf32 = 0;
    int32_t epilogue = DKI_EPILOGUE_NONE;
    int algorithm = 1;
    std::vector<float> a, b;
    std::vector<float> bias;
    Bytes aux;
    float *scalars = nullptr; ///< device memory
};

class ColumnTest : public ProductTest {
  protected:
    void *put_values(const std::vector<float> &values, int32_t type) {
        Bytes bytes(std::max<size_t>(values.size(), 1) * bytes_of(type));
        for (size_t i = 0; i < values.size(); ++i) set_element(bytes, type, i, values[i]);
        void *memory = device(bytes.size());
        poke(memory, bytes.data(), bytes.size());
        return memory;
    }

    std::vector<float> run(Column &c) {
        const size_t k = c.b.size(), m = c.a.size() / k;
        dki_product product;
        memset(&product, 0, sizeof product);
        product.m = product.lda = product.ldd = static_cast<int64_t>(m);
        product.n = 1;
        product.k = product.ldb = static_cast<int64_t>(k);
        product.type = c.type, product.type_d = c.type_d, product.tf32 = c.tf32;
        product.epilogue = c.epilogue, product.alignment = 256, product.workspace = 512;
        product.ld_aux = static_cast<int64_t>(c.aux.size() / bytes_of(c.type_d));
        if (c.scalars) product.accumulate = DKI_SCALE;
        void *a = put_values(c.a, c.type), *b = put_values(c.b, c.type);
        void *bias = put_values(c.bias, c.type_d), *workspace = device(512);
        void *d = put_values(std::vector<float>(m, 3), c.type_d), *aux = device(c.aux.size());
        if (!c.aux.empty()) poke(aux, c.aux.data(), c.aux.size());
        const dki_operands operands = {
            a,         b,        d, c.bias.empty() ? nullptr : bias, c.aux.empty() ? nullptr : aux,
            workspace, c.scalars};
        const dki_algorithm chosen = algorithm(product, c.algorithm);
        EXPECT_EQ(dki_gpu_multiply(gpu, one, &product, &chosen, &operands), DK_OK)
            << dk_error_text();
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        Bytes bytes(m * bytes_of(c.type_d));
        peek(bytes.data(), d, bytes.size());
        if (!c.aux.empty()) peek(c.aux.data(), aux, c.aux.size());
        free_all({a, b, bias, d, aux, workspace});
        std::vector<float> out(m);
        for (size_t i = 0; i < m; ++i) out[i] = element(bytes, c.type_d, i);
        return out;
    }
};

TEST_F(ColumnTest, EveryValueOfTheShortTypesIsReadRight) {
    for (int32_t type : {DKI_ELEMENT_BF16, DKI_ELEMENT_F16}) {
        Bytes all(2 * 65536);
        Column c;
        for (size_t i = 0; i < 65536; ++i) {
            all[2 * i] = static_cast<unsigned char>(i);
            all[2 * i + 1] = static_cast<unsigned char>(i >> 8);
            c.a.push_back(element(all, type, i));
        }
        c.type = type;
        c.b = {1};
        const std::vector<float> got = run(c);
        for (size_t i = 0; i < got.size(); ++i)
            ASSERT_TRUE(got[i] == c.a[i] || (std::isnan(got[i]) && std::isnan(c.a[i]))) << i;
    }
}

TEST_F(ColumnTest, ResultsAreRoundedToNearestEven) {
    std::mt19937 random(2);
    for (int32_t type : {DKI_ELEMENT_BF16, DKI_ELEMENT_F16}) {
        Column c;
        c.type = c.type_d = type;
        Bytes one_value(2);
        const auto rounded = [&](float x) {
            set_element(one_value, type, 0, x);
            return element(one_value, type, 0);
        };
        // From denormal to overflowing results, and ties: (2ᵏ + 1)·1.5 at the edge of the precision.
        for (int i = 0; i < 20000; ++i)
            c.a.push_back(rounded(std::ldexp(static_cast<float>(random() % 4096),
                                             static_cast<int>(random() % 36) - 30)));
        c.b = {rounded(1.5f)};
        const std::vector<float> got = run(c);
        for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], rounded(c.a[i] * 1.5f)) << c.a[i];
    }
}

TEST_F(ColumnTest, Tf32KeepsTenBits) {
    Column c;
    c.a = {1 + 0x1p-11f, 1 + 0x1.8p-10f, 1 + 0x1p-10f, 1 + 0x1.1p-11f, -3};
    c.b = {1};
    EXPECT_EQ(run(c), c.a);
    c.tf32 = 1;
    EXPECT_EQ(run(c), std::vector<float>({1, 1 + 0x1p-9f, 1 + 0x1p-10f, 1 + 0x1p-10f, -3}));
}

TEST_F(ColumnTest, AlgorithmsAddInOrdersOfTheirOwn) {
    Column c;
    c.a = {0x1p24f, 1, 1, -0x1p24f}; // one row: in order 2²⁴ + 1 + 1 stays 2²⁴
    c.b = {1, 1, 1, 1};
    EXPECT_EQ(run(c), std::vector<float>({0}));
    c.algorithm = 2; // backwards: (−2²⁴ + 1) + 1 is exact
    EXPECT_EQ(run(c), std::vector<float>({2}));
    c.algorithm = 3; // (2²⁴ + 1) + (1 − 2²⁴) = 2²⁴ + (1 − 2²⁴)
    EXPECT_EQ(run(c), std::vector<float>({1}));
}

// 256 + 1 is a tie in bf16 and becomes 256: only where the parts are added in fp32 the sum is 258. Breaks
// with a preference that allows NVIDIA's library to add them in D's type, as it does by default.
TEST_F(ColumnTest, PartsOfASumAreNotRounded) {
    Column c;
    c.type = c.type_d = DKI_ELEMENT_BF16;
    c.a = {256, 1, 1}; // one row; algorithm 3 adds the first and the third, and the second
    c.b = {1, 1, 1};
    c.algorithm = 3;
    EXPECT_EQ(run(c), std::vector<float>({258}));
}

// Its tanh form is z σ(2u), u = √(2/π)(z + 0.044715 z³), with the derivative σ(2u) + z σ′(2u) 2u′.
// Both are made in double here and there, so a rounding to fp32 and one of the product are between.
TEST_F(ColumnTest, GeluIsTheTanhFormAndItsDerivativeReadsZ) {
    const auto u2 = [](double z) { return 2 * std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z); };
    const auto sigma = [](double x) { return 1 / (1 + std::exp(-x)); };
    for (int32_t type : {DKI_ELEMENT_F32, DKI_ELEMENT_BF16, DKI_ELEMENT_F16}) {
        Column c;
        c.type = c.type_d = type;
        c.a = {-3, -1, -0.5f, 0, 0.25f, 1, 2, 4}; // 8: the leading dimension of aux
        c.b = {1};
        c.bias = std::vector<float>(8, 0.5f);
        c.aux = Bytes(8 * bytes_of(type), 0);
        c.epilogue = DKI_EPILOGUE_GELU_AUX_BIAS;
        const double unit = type == DKI_ELEMENT_F32    ? 0x1p-23
                            : type == DKI_ELEMENT_BF16 ? 0x1p-8
                                                       : 0x1p-11;
        const std::vector<float> a = run(c);
        for (size_t i = 0; i < 8; ++i) {
            const double z = static_cast<double>(c.a[i]) + 0.5;
            EXPECT_EQ(element(c.aux, type, i), static_cast<float>(z)) << "aux is z, exact here";
            EXPECT_NEAR(a[i], z * sigma(u2(z)), unit * std::fabs(z));
        }
        c.epilogue = DKI_EPILOGUE_DGELU; // 2 · 3 · g′(z): A is δ, not z
        const std::vector<float> zs = c.a;
        c.a = std::vector<float>(8, 6);
        c.bias.clear();
        const std::vector<float> delta = run(c);
        for (size_t i = 0; i < 8; ++i) {
            const double z = static_cast<double>(zs[i]) + 0.5, s = sigma(u2(z));
            const double slope = 2 * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * z * z);
            EXPECT_NEAR(delta[i], 6 * (s + z * s * (1 - s) * slope), 2 * unit * 6 * 1.2);
        }
    }
}

TEST_F(ColumnTest, ScalarsOfTheDeviceAreReadWhenTheProductRuns) {
    Column c;
    c.a = {1, 2, 4};
    c.b = {1};
    c.scalars = static_cast<float *>(put_values({-2, 0.5f}, DKI_ELEMENT_F32));
    EXPECT_EQ(run(c), std::vector<float>({-0.5f, -2.5f, -6.5f})) << "−2 A + 3/2";
    const float none[] = {-2, 0};
    poke(c.scalars, none, sizeof none);
    EXPECT_EQ(run(c), std::vector<float>({-2, -4, -8}));
    free_all({c.scalars});
}

TEST_F(ColumnTest, ReluMakesZeroOfNaN) {
    Column c;
    c.a = {NAN, -1, 2};
    c.b = {1};
    c.bias = {0, 0, 0};
    c.epilogue = DKI_EPILOGUE_RELU_BIAS;
    EXPECT_EQ(run(c), std::vector<float>({0, 0, 2}));
}

} // namespace
} // namespace emulated

// The stand-in's products against plain loops: exact, because all values are small integers.
#include "support_standin.h"

#include "simt/toolkit.h"

#include <cmath>
#include <cstring>
#include <random>

namespace standin {
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

    dki_algorithm algorithm(const dki_product &product, int id) {
        dki_algorithm list[algorithms];
        int count = 0;
        EXPECT_EQ(dki_gpu_algorithms(gpu, &product, list, algorithms, &count), DK_OK);
        EXPECT_GE(count, id);
        return list[id - 1];
    }

    void check(const Case &c, std::mt19937 &random);
    void free_all(const std::vector<void *> &memory) {
        for (void *p : memory) dki_gpu_free(gpu, p);
    }
};

bool takes_bias(int32_t epilogue) {
    return epilogue >= DKI_EPILOGUE_BIAS && epilogue <= DKI_EPILOGUE_RELU_AUX_BIAS;
}

bool takes_aux(int32_t epilogue) {
    return epilogue >= DKI_EPILOGUE_RELU_AUX_BIAS;
}

/// What the case should give: into d, bias and mask.
void expect_product(const Case &c, const Matrix &a, const Matrix &b, Matrix &d, Matrix &bias,
                    Bytes &mask, size_t k) {
    for (size_t i = 0; i < d.rows; ++i) {
        float sum = 0;
        for (size_t j = 0; j < d.cols; ++j) {
            float value = c.accumulate ? d.at(i, j) : 0;
            for (size_t p = 0; p < k; ++p)
                value +=
                    (c.trans_a ? a.at(p, i) : a.at(i, p)) * (c.trans_b ? b.at(j, p) : b.at(p, j));
            if (takes_bias(c.epilogue)) value += bias.at(i, 0);
            unsigned char &bits = mask[j * 16 + i / 8]; // a column of 128 bits
            const auto bit = static_cast<unsigned char>(1u << i % 8);
            if (c.epilogue == DKI_EPILOGUE_RELU_AUX_BIAS)
                bits = static_cast<unsigned char>(value > 0 ? bits | bit : bits & ~bit);
            const bool dead = takes_bias(c.epilogue) ? value < 0 : !(bits & bit);
            const bool masked = c.epilogue > DKI_EPILOGUE_BIAS;
            d.set(i, j, masked && dead ? 0 : value);
            sum += d.at(i, j);
        }
        if (c.epilogue == DKI_EPILOGUE_DRELU_BGRAD) bias.set(i, 0, sum);
    }
}

void ProductTest::check(const Case &c, std::mt19937 &random) {
    const int64_t m = 11, n = 6, k = 7;
    Matrix a(c.type, c.trans_a ? k : m, c.trans_a ? m : k, random);
    Matrix b(c.type, c.trans_b ? n : k, c.trans_b ? k : n, random);
    Matrix d(c.type_d, m, n, random), bias(c.type_d, m, 1, random);
    Bytes mask(static_cast<size_t>(n) * 16, 0xFF);
    if (c.epilogue >= DKI_EPILOGUE_DRELU)
        for (unsigned char &byte : mask) byte = static_cast<unsigned char>(random());
    for (Matrix *matrix : {&a, &b, &d, &bias}) put(*matrix);
    void *aux = device(mask.size()), *workspace = device(1024);
    poke(aux, mask.data(), mask.size());
    dki_product product;
    memset(&product, 0, sizeof product);
    product.m = m, product.n = n, product.k = k;
    product.lda = static_cast<int64_t>(a.ld), product.ldb = static_cast<int64_t>(b.ld);
    product.ldd = static_cast<int64_t>(d.ld);
    product.ld_aux = takes_aux(c.epilogue) ? 128 : 0;
    product.trans_a = c.trans_a, product.trans_b = c.trans_b;
    product.type = c.type, product.type_d = c.type_d;
    product.epilogue = c.epilogue, product.accumulate = c.accumulate;
    product.alignment = 256, product.workspace = 1024;
    const bool with_bias = takes_bias(c.epilogue) || c.epilogue == DKI_EPILOGUE_DRELU_BGRAD;
    const dki_operands operands = {a.device,
                                   b.device,
                                   d.device,
                                   with_bias ? bias.device : nullptr,
                                   takes_aux(c.epilogue) ? aux : nullptr,
                                   workspace};
    const dki_algorithm chosen = algorithm(product, c.algorithm);
    EXPECT_TRUE(dki_gpu_algorithm_valid(gpu, &product, &chosen));
    ASSERT_EQ(dki_gpu_multiply(gpu, one, &product, &chosen, &operands), DK_OK) << dk_error_text();
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    expect_product(c, a, b, d, bias, mask, static_cast<size_t>(k));
    Bytes got(d.host.size()), got_bias(bias.host.size()), got_mask(mask.size());
    peek(got.data(), d.device, got.size());
    peek(got_bias.data(), bias.device, got_bias.size());
    peek(got_mask.data(), aux, got_mask.size());
    EXPECT_EQ(got, d.host) << "with the padding, which nobody writes";
    EXPECT_EQ(got_bias, bias.host);
    EXPECT_EQ(got_mask, mask) << "bits past the end of a column are 1";
    free_all({a.device, b.device, d.device, bias.device, aux, workspace});
}

TEST_F(ProductTest, EveryEpilogueTypeTranspositionAndAlgorithm) {
    std::mt19937 random(1);
    const int32_t types[][2] = {{DKI_ELEMENT_F32, DKI_ELEMENT_F32},
                                {DKI_ELEMENT_BF16, DKI_ELEMENT_BF16},
                                {DKI_ELEMENT_F16, DKI_ELEMENT_F16},
                                {DKI_ELEMENT_BF16, DKI_ELEMENT_F32},
                                {DKI_ELEMENT_F16, DKI_ELEMENT_F32}};
    for (const auto &type : types)
        for (int32_t kind = 0; kind < 8; ++kind)
            for (int32_t epilogue = 0; epilogue < DKI_EPILOGUE_COUNT; ++epilogue)
                for (int id = 1; id <= algorithms; ++id) {
                    SCOPED_TRACE(testing::Message()
                                 << "types " << type[0] << " " << type[1] << " kind " << kind
                                 << " epilogue " << epilogue << " algorithm " << id);
                    check({type[0], type[1], kind & 1, kind >> 1 & 1, epilogue, kind >> 2, id},
                          random);
                    if (HasFailure()) return;
                }
    EXPECT_EQ(counts().products, 5 * 8 * 6 * 3);
    EXPECT_EQ(counts().products_by[3], 5 * 8 * 6);
}

/// D [n × 1] = A [n × k] B [k × 1] without padding, of fp32 values, by one algorithm.
struct Column {
    int32_t type = DKI_ELEMENT_F32, type_d = DKI_ELEMENT_F32, tf32 = 0;
    int32_t epilogue = DKI_EPILOGUE_NONE;
    int algorithm = 1;
    std::vector<float> a, b;
    std::vector<float> bias;
    Bytes mask;
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
        product.ld_aux = c.mask.empty() ? 0 : static_cast<int64_t>(c.mask.size()) * 8;
        void *a = put_values(c.a, c.type), *b = put_values(c.b, c.type);
        void *bias = put_values(c.bias, c.type_d), *workspace = device(512);
        void *d = device(m * bytes_of(c.type_d)), *aux = device(c.mask.size());
        if (!c.mask.empty()) poke(aux, c.mask.data(), c.mask.size());
        const dki_operands operands = {
            a, b, d, c.bias.empty() ? nullptr : bias, c.mask.empty() ? nullptr : aux, workspace};
        const dki_algorithm chosen = algorithm(product, c.algorithm);
        EXPECT_EQ(dki_gpu_multiply(gpu, one, &product, &chosen, &operands), DK_OK)
            << dk_error_text();
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        Bytes bytes(m * bytes_of(c.type_d));
        peek(bytes.data(), d, bytes.size());
        if (!c.mask.empty()) peek(c.mask.data(), aux, c.mask.size());
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

TEST_F(ColumnTest, ReluMakesZeroOfNaNAndItsDerivativeKeepsWhereTheMaskIsSet) {
    Column c;
    c.a = {NAN, -1, 2};
    c.b = {1};
    c.bias = {0, 0, 0};
    c.epilogue = DKI_EPILOGUE_RELU_BIAS;
    EXPECT_EQ(run(c), std::vector<float>({0, 0, 2}));
    c.epilogue = DKI_EPILOGUE_RELU_AUX_BIAS;
    c.mask = Bytes(16, 0);
    EXPECT_EQ(run(c), std::vector<float>({0, 0, 2}));
    EXPECT_EQ(c.mask[0], 0xFC);
    c.epilogue = DKI_EPILOGUE_DRELU;
    c.bias.clear();
    c.mask[0] = 0x05;
    const std::vector<float> got = run(c);
    EXPECT_TRUE(std::isnan(got[0]));
    EXPECT_EQ(got[1], 0);
    EXPECT_EQ(got[2], 2);
}

// --- what is done wrong ------------------------------------------------------------------------

/// A right product of 8 × 8 × 8 floats, to be spoilt.
class SpoiltTest : public ProductTest {
  protected:
    dki_product product;
    dki_operands operands = {};
    dki_algorithm chosen = {};
    void SetUp() override {
        ProductTest::SetUp();
        memset(&product, 0, sizeof product);
        product.m = product.n = product.k = product.lda = product.ldb = product.ldd = 8;
        product.alignment = 256, product.workspace = 512;
        operands = {device(256), device(256), device(256), nullptr, nullptr, device(512)};
        chosen = algorithm(product, 3);
    }
    void TearDown() override {
        free_all({const_cast<void *>(operands.a), const_cast<void *>(operands.b), operands.d,
                  operands.workspace});
        ProductTest::TearDown();
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
        {"A doesn't lie", [](dki_product &p) { p.lda = 9; }},
        {"D doesn't lie", [](dki_product &p) { p.ldd = 9; }},
        {"ld_aux", [](dki_product &p) { p.epilogue = DKI_EPILOGUE_DRELU, p.ld_aux = 100; }},
        {"ld_aux", [](dki_product &p) { p.ld_aux = 128; }},
        {"bias doesn't", [](dki_product &p) { p.epilogue = DKI_EPILOGUE_BIAS; }},
        {"unknown epilogue", [](dki_product &p) { p.epilogue = DKI_EPILOGUE_COUNT; }},
        {"unknown type", [](dki_product &p) { p.type = 3; }},
        {"D's type", [](dki_product &p) { p.type_d = DKI_ELEMENT_F16; }},
        {"tf32", [](dki_product &p) { p.type = p.type_d = DKI_ELEMENT_F16, p.tf32 = 1; }},
        {"alignment", [](dki_product &p) { p.alignment = 24; }},
        {"not an algorithm", [](dki_product &p) { p.workspace = 128; }},
    };
    for (const auto &entry : wrong) {
        dki_product spoilt = product;
        entry.second(spoilt);
        EXPECT_EQ(multiply_with(spoilt, operands), DK_E_DEVICE);
        EXPECT_TRUE(reported(entry.first));
    }
}

TEST_F(SpoiltTest, WrongMemoryIsReported) {
    const std::vector<std::pair<const char *, std::function<void(dki_operands &)>>> wrong = {
        {"A isn't aligned as claimed",
         [](dki_operands &o) { o.a = static_cast<const char *>(o.workspace) + 4; }},
        {"A doesn't lie", [](dki_operands &o) { o.a = nullptr; }},
        {"B doesn't lie", [&](dki_operands &o) { o.b = &product; }},
        {"D overlaps A", [](dki_operands &o) { o.d = const_cast<void *>(o.a); }},
        {"workspace doesn't lie", [](dki_operands &o) { o.workspace = o.d; }},
        {"a bias that", [](dki_operands &o) { o.bias = o.d; }},
        {"an aux that", [](dki_operands &o) { o.aux = o.d; }},
    };
    for (const auto &entry : wrong) {
        dki_operands spoilt = operands;
        entry.second(spoilt);
        dki_product p = product;
        // A at an odd place of a larger allocation: the workspace's, which then is another.
        void *other = nullptr;
        if (std::string(entry.first).find("aligned") != std::string::npos)
            spoilt.workspace = other = device(512);
        EXPECT_EQ(multiply_with(p, spoilt), DK_E_DEVICE);
        EXPECT_TRUE(reported(entry.first));
        dki_gpu_free(gpu, other);
    }
}

TEST_F(SpoiltTest, AWorkspaceSharedByTwoStreamsIsReported) {
    void *d = device(256), *workspace = device(512);
    for (bool shared : {false, true}) {
        size_t reports = 0;
        for (uint64_t seed = 0; seed < 20; ++seed) {
            set_schedule(seed);
            dki_operands other = operands;
            other.d = d;
            if (!shared) other.workspace = workspace;
            ASSERT_EQ(dki_gpu_multiply(gpu, one, &product, &chosen, &operands), DK_OK);
            ASSERT_EQ(dki_gpu_multiply(gpu, two, &product, &chosen, &other), DK_OK);
            ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
            ASSERT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
            reports += take_reports().size();
        }
        EXPECT_EQ(reports > 0, shared);
    }
    free_all({d, workspace});
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
} // namespace standin

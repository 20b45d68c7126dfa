// The three products as cuBLASLt sees them: multiplied out in column order by plain loops, they must
// give what the seam defines in row order; and the validator must refuse what the library wouldn't.
// Needs product.c only, no GPU and no CUDA.
extern "C" {
#include "backend/cuda/product.h"
#include "base/error.h"
}

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr dki_product_kind kinds[] = {DKI_PRODUCT_FORWARD, DKI_PRODUCT_DATA, DKI_PRODUCT_PARAMS};
constexpr int64_t sizes[] = {1, 2, 3, 31, 33, 64};

int64_t padded(int64_t cols, int64_t multiple) {
    return (cols + multiple - 1) / multiple * multiple;
}

/// An address that nobody follows.
void *address(uintptr_t at) {
    return reinterpret_cast<void *>(at);
}

/// [rows, cols] in row order, of small integers, with padding that would show.
struct Matrix {
    dki_matrix view;
    std::vector<float> data;
    Matrix(int64_t rows, int64_t cols, int64_t multiple, std::mt19937 &random)
        : view{nullptr, rows, cols, padded(cols, multiple)},
          data(static_cast<size_t>(rows * view.ld), 1e6f) {
        std::uniform_int_distribution<int> integers(-4, 4);
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < cols; ++j) at(i, j) = static_cast<float>(integers(random));
        view.data = data.data();
    }
    float &at(int64_t i, int64_t j) { return data[static_cast<size_t>(i * view.ld + j)]; }
};

/// The operands of [rows, cols] reduced over depth.
struct Trio {
    Matrix a, b, out;
    Trio(dki_product_kind kind, int64_t rows, int64_t cols, int64_t depth, int64_t multiple,
         std::mt19937 &random)
        : a(kind == DKI_PRODUCT_PARAMS ? depth : rows, kind == DKI_PRODUCT_PARAMS ? rows : depth,
            multiple, random),
          b(kind == DKI_PRODUCT_FORWARD ? cols : depth, kind == DKI_PRODUCT_FORWARD ? depth : cols,
            multiple, random),
          out(rows, cols, multiple, random) {}
    dki_bare_product bare(dki_product_kind kind) const { return {kind, a.view, b.view, out.view}; }
};

/// What the seam says of element (i, j).
float by_rows(Trio &trio, dki_product_kind kind, int64_t depth, int64_t i, int64_t j) {
    float sum = 0;
    for (int64_t l = 0; l < depth; ++l) {
        const float left = kind == DKI_PRODUCT_PARAMS ? trio.a.at(l, i) : trio.a.at(i, l);
        const float right = kind == DKI_PRODUCT_FORWARD ? trio.b.at(j, l) : trio.b.at(l, j);
        sum += left * right;
    }
    return sum;
}

constexpr float alpha_beta[] = {-2, 3};

/// What the library says: D = α op(A) op(B) + β D, all in column order.
void multiply(const dki_product &p, const dki_operands &o) {
    const auto *a = static_cast<const float *>(o.a), *b = static_cast<const float *>(o.b);
    auto *d = static_cast<float *>(o.d);
    for (int64_t col = 0; col < p.n; ++col)
        for (int64_t row = 0; row < p.m; ++row) {
            float sum = 0;
            for (int64_t l = 0; l < p.k; ++l)
                sum += (p.trans_a ? a[l + row * p.lda] : a[row + l * p.lda]) *
                       (p.trans_b ? b[col + l * p.ldb] : b[l + col * p.ldb]);
            float &out = d[row + col * p.ldd];
            out = p.accumulate == DKI_SCALE ? o.scalars[0] * sum + o.scalars[1] * out
                  : p.accumulate == DKI_ADD ? sum + out
                                            : sum;
        }
}

const dki_product_rules fp32{DKI_ELEMENT_F32, false, 0};

// A transposition, a leading dimension or a shape that is wrong gives other integers, or reads the
// padding's 10⁶. |2 sum| + |3 d| < 2²⁴: exact in any order.
TEST(CudaProduct, MultipliedOutInColumnOrderIsTheProductInRowOrder) {
    std::mt19937 random(1);
    for (const dki_product_kind kind : kinds)
        for (const int64_t rows : sizes)
            for (const int64_t cols : sizes)
                for (const int64_t depth : sizes)
                    for (const int32_t accumulate : {DKI_OVERWRITE, DKI_ADD, DKI_SCALE}) {
                        Trio trio(kind, rows, cols, depth, 4, random);
                        const Matrix before = trio.out;
                        dki_product_extras extras{};
                        extras.accumulate = accumulate;
                        if (accumulate == DKI_SCALE) extras.scalars = alpha_beta;
                        dki_product product;
                        dki_operands operands;
                        const dki_bare_product bare = trio.bare(kind);
                        dki_product_make(&fp32, &bare, &extras, &product, &operands);
                        ASSERT_EQ(dki_product_validate(&product, &operands), DK_OK);
                        multiply(product, operands);
                        for (int64_t i = 0; i < rows; ++i)
                            for (int64_t j = 0; j < trio.out.view.ld; ++j) {
                                const float old =
                                    before.data[static_cast<size_t>(i * before.view.ld + j)];
                                const bool scale = accumulate == DKI_SCALE;
                                const float alpha = scale ? alpha_beta[0] : 1,
                                            beta = scale ? alpha_beta[1]
                                                         : static_cast<float>(accumulate);
                                const float expected =
                                    j >= cols
                                        ? old
                                        : alpha * by_rows(trio, kind, depth, i, j) + beta * old;
                                ASSERT_EQ(trio.out.at(i, j), expected)
                                    << "kind " << kind << ", " << rows << "×" << cols << "×"
                                    << depth << " at " << i << ", " << j;
                            }
                    }
}

const std::set<int> without_bias = {DKI_EPILOGUE_NONE, DKI_EPILOGUE_DGELU};
const std::set<int> with_aux = {DKI_EPILOGUE_GELU_AUX_BIAS, DKI_EPILOGUE_DGELU,
                                DKI_EPILOGUE_DGELU_BGRAD};

/// The product that an epilogue belongs to.
dki_product_kind kind_of(int epilogue) {
    if (epilogue == DKI_EPILOGUE_BGRADB) return DKI_PRODUCT_PARAMS;
    const std::set<int> backward = {DKI_EPILOGUE_DGELU, DKI_EPILOGUE_DGELU_BGRAD};
    return backward.count(epilogue) ? DKI_PRODUCT_DATA : DKI_PRODUCT_FORWARD;
}

/// A product of 128 rows, 784 → 512, whose tensors start on 256 bytes.
struct Example {
    dki_product_rules rules{DKI_ELEMENT_F32, false, 4096};
    dki_bare_product bare{};
    dki_product_extras extras{};
    dki_product product{};
    dki_operands operands{};

    explicit Example(dki_product_kind kind = DKI_PRODUCT_FORWARD,
                     dki_epilogue epilogue = DKI_EPILOGUE_NONE,
                     dki_element element = DKI_ELEMENT_F32) {
        rules.element = element;
        const dki_matrix x{address(0x10000), 128, 784, 784}, w{address(0x20000), 512, 784, 792},
            y{address(0x30000), 128, 512, 520};
        bare = kind == DKI_PRODUCT_FORWARD ? dki_bare_product{kind, x, w, y}
               : kind == DKI_PRODUCT_DATA  ? dki_bare_product{kind, y, w, x}
                                           : dki_bare_product{kind, y, x, w};
        extras.epilogue = epilogue;
        extras.workspace = address(0x40000);
        if (!without_bias.count(epilogue)) extras.bias = address(0x50000);
        if (with_aux.count(epilogue)) extras.aux = address(0x60000);
        extras.aux_ld = 800;
        make();
    }
    void make() { dki_product_make(&rules, &bare, &extras, &product, &operands); }
    dk_status validate() const { return dki_product_validate(&product, &operands); }
};

TEST(CudaProduct, TheTableOfOperands) {
    const dki_product forward = Example(DKI_PRODUCT_FORWARD).product;
    EXPECT_EQ(forward.m, 512);
    EXPECT_EQ(forward.n, 128);
    EXPECT_EQ(forward.k, 784);
    EXPECT_EQ(forward.lda, 792);
    EXPECT_EQ(forward.ldb, 784);
    EXPECT_EQ(forward.ldd, 520);
    EXPECT_EQ(forward.trans_a, 1);
    EXPECT_EQ(forward.trans_b, 0);
    const dki_product data = Example(DKI_PRODUCT_DATA).product;
    EXPECT_EQ(data.m, 784);
    EXPECT_EQ(data.n, 128);
    EXPECT_EQ(data.k, 512);
    EXPECT_EQ(data.lda, 792);
    EXPECT_EQ(data.ldb, 520);
    EXPECT_EQ(data.ldd, 784);
    EXPECT_EQ(data.trans_a, 0);
    EXPECT_EQ(data.trans_b, 0);
    const dki_product params = Example(DKI_PRODUCT_PARAMS).product;
    EXPECT_EQ(params.m, 784);
    EXPECT_EQ(params.n, 512);
    EXPECT_EQ(params.k, 128);
    EXPECT_EQ(params.lda, 784);
    EXPECT_EQ(params.ldb, 520);
    EXPECT_EQ(params.ldd, 792);
    EXPECT_EQ(params.trans_a, 0);
    EXPECT_EQ(params.trans_b, 1);
}

// D of a weight gradient is fp32 under every storage type: a master gradient of 16 bits would lose
// half of what the sum has.
TEST(CudaProduct, TypesFollowTheRules) {
    for (const dki_product_kind kind : kinds)
        for (const dki_element element : {DKI_ELEMENT_F32, DKI_ELEMENT_BF16, DKI_ELEMENT_F16}) {
            Example example(kind, DKI_EPILOGUE_NONE, element);
            EXPECT_EQ(example.product.type, element);
            EXPECT_EQ(example.product.type_d,
                      kind == DKI_PRODUCT_PARAMS ? DKI_ELEMENT_F32 : element);
            EXPECT_EQ(example.product.tf32, 0);
            EXPECT_EQ(example.product.workspace, 4096);
            EXPECT_EQ(example.validate(), DK_OK) << dk_error_text();
        }
    Example tf32;
    tf32.rules.tf32 = true;
    tf32.make();
    EXPECT_EQ(tf32.product.tf32, 1);
    EXPECT_EQ(tf32.validate(), DK_OK);
}

TEST(CudaProduct, EpiloguesTakeWhatTheyNeed) {
    for (int epilogue = 0; epilogue < DKI_EPILOGUE_COUNT; ++epilogue) {
        Example example(kind_of(epilogue), static_cast<dki_epilogue>(epilogue));
        EXPECT_EQ(example.validate(), DK_OK) << epilogue << ": " << dk_error_text();
        EXPECT_EQ(example.product.epilogue, epilogue);
        EXPECT_EQ(example.operands.bias, example.extras.bias);
        EXPECT_EQ(example.operands.aux, example.extras.aux);
        EXPECT_EQ(example.operands.workspace, example.extras.workspace);
        EXPECT_EQ(example.product.ld_aux, with_aux.count(epilogue) ? 800 : 0);
    }
}

// As a key of the table of plans its bytes are compared: what it was made over must not show.
TEST(CudaProduct, EqualProductsAreEqualBytes) {
    Example one, two;
    memset(&two.product, 0xa5, sizeof two.product);
    two.make();
    EXPECT_EQ(memcmp(&one.product, &two.product, sizeof one.product), 0);
    EXPECT_EQ(sizeof(dki_product), 9 * sizeof(int64_t) + 8 * sizeof(int32_t)) << "no padding";
}

// The least of all addresses counts, the bias's and the auxiliary matrix', too. Beyond 128 it makes no
// difference to an algorithm, and would make one to the key.
TEST(CudaProduct, AlignmentIsThatOfTheLeastAlignedAddress) {
    const std::vector<std::function<void(Example &, uintptr_t)>> move = {
        [](Example &e, uintptr_t by) { e.bare.a.data = address(0x10000 + by); },
        [](Example &e, uintptr_t by) { e.bare.b.data = address(0x20000 + by); },
        [](Example &e, uintptr_t by) { e.bare.out.data = address(0x30000 + by); },
        [](Example &e, uintptr_t by) { e.extras.bias = address(0x50000 + by); },
        [](Example &e, uintptr_t by) { e.extras.aux = address(0x60000 + by); }};
    for (const auto &moved : move)
        for (const uintptr_t by : {2u, 4u, 8u, 16u, 32u, 64u, 96u, 128u, 256u}) {
            Example example(DKI_PRODUCT_FORWARD, DKI_EPILOGUE_GELU_AUX_BIAS, DKI_ELEMENT_BF16);
            moved(example, by);
            example.make();
            const uintptr_t lowest = by & (~by + 1);
            EXPECT_EQ(example.product.alignment,
                      static_cast<int32_t>(std::min<uintptr_t>(lowest, 128)));
        }
    Example workspace;
    workspace.extras.workspace = address(0x40100);
    workspace.make();
    EXPECT_EQ(workspace.product.alignment, 128) << "the workspace isn't an operand";
}

struct Broken {
    const char *what;
    dk_status status;
    std::function<void(Example &)> damage;
    dki_product_kind kind = DKI_PRODUCT_FORWARD;
    dki_epilogue epilogue = DKI_EPILOGUE_NONE;
    dki_element element = DKI_ELEMENT_F32;
};

void PrintTo(const Broken &broken, std::ostream *out) {
    *out << broken.what;
}

class CudaProductBroken : public testing::TestWithParam<Broken> {};

TEST_P(CudaProductBroken, IsRefusedWithAText) {
    const Broken &broken = GetParam();
    Example example(broken.kind, broken.epilogue, broken.element);
    ASSERT_EQ(example.validate(), DK_OK) << "sound before: " << dk_error_text();
    broken.damage(example);
    dki_error_restore("");
    EXPECT_EQ(example.validate(), broken.status);
    EXPECT_STRNE(dk_error_text(), "");
}

const Broken shapes[] = {
    {"lda below the rows", DK_E_SHAPE, [](Example &e) { e.product.lda = 783; }},
    {"lda below the rows, A as it is", DK_E_SHAPE, [](Example &e) { e.product.lda = 783; },
     DKI_PRODUCT_DATA},
    {"ldb below the rows", DK_E_SHAPE, [](Example &e) { e.product.ldb = 783; }},
    {"ldb below the rows, B transposed", DK_E_SHAPE, [](Example &e) { e.product.ldb = 511; },
     DKI_PRODUCT_PARAMS},
    {"ldd below the rows", DK_E_SHAPE, [](Example &e) { e.product.ldd = 511; }},
    {"no rows", DK_E_SHAPE, [](Example &e) { e.product.m = 0; }},
    {"no columns", DK_E_SHAPE, [](Example &e) { e.product.n = 0; }},
    {"no depth", DK_E_SHAPE, [](Example &e) { e.product.k = -1; }},
    {"too many columns", DK_E_SHAPE, [](Example &e) { e.product.n = int64_t{1} << 31; }},
    {"a column past 2 GiB", DK_E_SHAPE, [](Example &e) { e.product.lda = int64_t{1} << 29; }},
};

const Broken kinds_of_number[] = {
    {"an unknown type", DK_E_UNSUPPORTED, [](Example &e) { e.product.type = 3; }},
    {"an unknown type of D", DK_E_UNSUPPORTED, [](Example &e) { e.product.type_d = -1; }},
    {"fp32 into bf16", DK_E_UNSUPPORTED, [](Example &e) { e.product.type_d = DKI_ELEMENT_BF16; }},
    {"fp16 into bf16", DK_E_UNSUPPORTED, [](Example &e) { e.product.type_d = DKI_ELEMENT_BF16; },
     DKI_PRODUCT_FORWARD, DKI_EPILOGUE_NONE, DKI_ELEMENT_F16},
    {"TF32 of bf16", DK_E_UNSUPPORTED, [](Example &e) { e.product.tf32 = 1; }, DKI_PRODUCT_FORWARD,
     DKI_EPILOGUE_NONE, DKI_ELEMENT_BF16},
    {"TF32 neither on nor off", DK_E_UNSUPPORTED, [](Example &e) { e.product.tf32 = 2; }},
    {"A neither way", DK_E_UNSUPPORTED, [](Example &e) { e.product.trans_a = 2; }},
    {"B neither way", DK_E_UNSUPPORTED, [](Example &e) { e.product.trans_b = -1; }},
    {"an unknown use of D", DK_E_UNSUPPORTED, [](Example &e) { e.product.accumulate = 3; }},
    {"a negative use of D", DK_E_UNSUPPORTED, [](Example &e) { e.product.accumulate = -1; }},
    {"fewer than no multiprocessors", DK_E_UNSUPPORTED,
     [](Example &e) { e.product.processors = -1; }},
};

const Broken epilogues[] = {
    {"an unknown epilogue", DK_E_UNSUPPORTED,
     [](Example &e) { e.product.epilogue = DKI_EPILOGUE_COUNT; }},
    {"a negative epilogue", DK_E_UNSUPPORTED, [](Example &e) { e.product.epilogue = -1; }},
    {"no bias", DK_E_SHAPE, [](Example &e) { e.operands.bias = nullptr; }, DKI_PRODUCT_FORWARD,
     DKI_EPILOGUE_BIAS},
    {"no bias under ReLU", DK_E_SHAPE, [](Example &e) { e.operands.bias = nullptr; },
     DKI_PRODUCT_FORWARD, DKI_EPILOGUE_RELU_BIAS},
    {"a bias without use", DK_E_SHAPE, [](Example &e) { e.operands.bias = address(0x50000); }},
    {"no bias gradient", DK_E_SHAPE, [](Example &e) { e.operands.bias = nullptr; },
     DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU_BGRAD},
    {"nowhere to leave GELU's z", DK_E_SHAPE, [](Example &e) { e.operands.aux = nullptr; },
     DKI_PRODUCT_FORWARD, DKI_EPILOGUE_GELU_AUX_BIAS},
    {"a z without use", DK_E_SHAPE, [](Example &e) { e.operands.aux = address(0x60000); }},
    {"columns of a z that isn't there", DK_E_SHAPE, [](Example &e) { e.product.ld_aux = 512; }},
    {"a bias of fp32 for D of bf16's sums", DK_E_UNSUPPORTED,
     [](Example &e) {
         e.product.epilogue = DKI_EPILOGUE_DGELU_BGRAD, e.operands.bias = address(0x50000);
     },
     DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU, DKI_ELEMENT_BF16},
    {"GELU's z on 4 elements", DK_E_SHAPE, [](Example &e) { e.product.ld_aux = 804; },
     DKI_PRODUCT_FORWARD, DKI_EPILOGUE_GELU_AUX_BIAS},
    {"GELU's z below the rows", DK_E_SHAPE, [](Example &e) { e.product.ld_aux = 776; },
     DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU},
    {"GELU without its z", DK_E_SHAPE, [](Example &e) { e.operands.aux = nullptr; },
     DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU},
    {"the bias gradient of a B as it is", DK_E_UNSUPPORTED,
     [](Example &e) { e.product.trans_b = 0, e.product.ldb = 784; }, DKI_PRODUCT_PARAMS,
     DKI_EPILOGUE_BGRADB},
    {"an epilogue added to D", DK_E_UNSUPPORTED, [](Example &e) { e.product.accumulate = 1; },
     DKI_PRODUCT_FORWARD, DKI_EPILOGUE_BIAS},
    {"an epilogue and D of its own type", DK_E_UNSUPPORTED,
     [](Example &e) { e.product.type_d = DKI_ELEMENT_F32; }, DKI_PRODUCT_FORWARD, DKI_EPILOGUE_BIAS,
     DKI_ELEMENT_BF16},
};

const Broken addresses[] = {
    {"no A", DK_E_SHAPE, [](Example &e) { e.operands.a = nullptr; }},
    {"no B", DK_E_SHAPE, [](Example &e) { e.operands.b = nullptr; }},
    {"no scalars", DK_E_SHAPE, [](Example &e) { e.product.accumulate = DKI_SCALE; }},
    {"scalars without use", DK_E_SHAPE,
     [](Example &e) { e.operands.scalars = static_cast<const float *>(address(0x70000)); }},
    {"scalars in the middle of a float", DK_E_SHAPE,
     [](Example &e) {
         e.product.accumulate = DKI_SCALE;
         e.operands.scalars = static_cast<const float *>(address(0x70002));
     }},
    {"no D", DK_E_SHAPE, [](Example &e) { e.operands.d = nullptr; }},
    {"A misaligned", DK_E_SHAPE, [](Example &e) { e.operands.a = address(0x20040); }},
    {"B misaligned", DK_E_SHAPE, [](Example &e) { e.operands.b = address(0x10004); }},
    {"D misaligned", DK_E_SHAPE, [](Example &e) { e.operands.d = address(0x30010); }},
    {"the bias misaligned", DK_E_SHAPE, [](Example &e) { e.operands.bias = address(0x50020); },
     DKI_PRODUCT_FORWARD, DKI_EPILOGUE_BIAS},
    {"the auxiliary matrix misaligned", DK_E_SHAPE,
     [](Example &e) { e.operands.aux = address(0x60040); }, DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU},
    {"the auxiliary matrix on 8 bytes, as declared", DK_E_SHAPE,
     [](Example &e) { e.extras.aux = address(0x60008), e.make(); }, DKI_PRODUCT_DATA,
     DKI_EPILOGUE_DGELU},
    {"half an fp32 element, as declared", DK_E_SHAPE,
     [](Example &e) { e.bare.a.data = address(0x10002), e.make(); }},
    {"half an element of an fp32 D", DK_E_SHAPE,
     [](Example &e) { e.bare.out.data = address(0x20002), e.make(); }, DKI_PRODUCT_PARAMS,
     DKI_EPILOGUE_NONE, DKI_ELEMENT_BF16},
    {"half an element of a bias, as declared", DK_E_SHAPE,
     [](Example &e) { e.extras.bias = address(0x50002), e.make(); }, DKI_PRODUCT_FORWARD,
     DKI_EPILOGUE_BIAS},
    {"an alignment of 0", DK_E_SHAPE, [](Example &e) { e.product.alignment = 0; }},
    {"an alignment of 1", DK_E_SHAPE, [](Example &e) { e.product.alignment = 1; }},
    {"an alignment of 48", DK_E_SHAPE, [](Example &e) { e.product.alignment = 48; }},
    {"an alignment of 512", DK_E_SHAPE, [](Example &e) { e.product.alignment = 512; }},
    {"no workspace", DK_E_SHAPE, [](Example &e) { e.operands.workspace = nullptr; }},
    {"a workspace on 128 bytes", DK_E_SHAPE,
     [](Example &e) { e.operands.workspace = address(0x40080); }},
    {"a negative workspace", DK_E_SHAPE, [](Example &e) { e.product.workspace = -1; }},
};

INSTANTIATE_TEST_SUITE_P(Shapes, CudaProductBroken, testing::ValuesIn(shapes));
INSTANTIATE_TEST_SUITE_P(Types, CudaProductBroken, testing::ValuesIn(kinds_of_number));
INSTANTIATE_TEST_SUITE_P(Epilogues, CudaProductBroken, testing::ValuesIn(epilogues));
INSTANTIATE_TEST_SUITE_P(Addresses, CudaProductBroken, testing::ValuesIn(addresses));

TEST(CudaProduct, NeedsNoWorkspaceWhereNoneIsPromised) {
    Example example;
    example.rules.workspace = 0;
    example.extras.workspace = nullptr;
    example.make();
    EXPECT_EQ(example.validate(), DK_OK) << dk_error_text();
}

} // namespace

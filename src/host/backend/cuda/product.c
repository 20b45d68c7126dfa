/* The three products of a layer as cuBLASLt sees them, and the checks that it doesn't make. */
#include "backend/cuda/product.h"
#include "base/error.h"

#include <string.h>

/* More than 128 bytes changes no algorithm, and tensors of 16 bits that share their offsets with
 * tensors of 32 bits lie on 128. */
enum { LEAST_ALIGNMENT = 2, MOST_ALIGNMENT = 128, WORKSPACE_ALIGNMENT = 256 };
enum { AUX_ALIGNMENT = 16 };

/* The largest power of two, within the limits, that divides all addresses; NULL divides by any. */
static int32_t common_alignment(const dki_operands *operands) {
    const uintptr_t all = (uintptr_t)operands->a | (uintptr_t)operands->b | (uintptr_t)operands->d |
                          (uintptr_t)operands->bias | (uintptr_t)operands->aux;
    int32_t alignment = MOST_ALIGNMENT;
    while (alignment > LEAST_ALIGNMENT && all % (uintptr_t)alignment) alignment /= 2;
    return alignment;
}

void dki_product_make(const dki_product_rules *rules, const dki_bare_product *bare,
                      const dki_product_extras *extras, dki_product *product,
                      dki_operands *operands) {
    /* D's columns are our rows, so our second factor comes first. */
    const dki_matrix *first = &bare->b, *second = &bare->a;
    const bool params = bare->kind == DKI_PRODUCT_PARAMS;
    *operands = (dki_operands){.a = first->data,
                               .b = second->data,
                               .d = bare->out.data,
                               .bias = extras->bias,
                               .aux = extras->aux,
                               .workspace = extras->workspace,
                               .scalars = extras->scalars};
    memset(product, 0, sizeof *product);
    product->m = bare->out.cols;
    product->n = bare->out.rows;
    product->k = params ? second->rows : second->cols;
    product->lda = first->ld;
    product->ldb = second->ld;
    product->ldd = bare->out.ld;
    if (dki_epilogue_has_aux(extras->epilogue)) product->ld_aux = extras->aux_ld;
    product->trans_a = bare->kind == DKI_PRODUCT_FORWARD;
    product->trans_b = params;
    product->type = (int32_t)rules->element;
    product->type_d = params ? DKI_ELEMENT_F32 : (int32_t)rules->element;
    product->tf32 = rules->tf32;
    product->epilogue = (int32_t)extras->epilogue;
    product->accumulate = extras->accumulate;
    product->alignment = common_alignment(operands);
    product->workspace = rules->workspace;
    product->processors = extras->processors;
}

static bool is_flag(int32_t value) {
    return value == 0 || value == 1;
}

static bool is_element(int32_t type) {
    return type == DKI_ELEMENT_F32 || type == DKI_ELEMENT_BF16 || type == DKI_ELEMENT_F16;
}

static dk_status validate_types(const dki_product *product) {
    DKI_REQUIRE(is_element(product->type) &&
                    (product->type_d == product->type || product->type_d == DKI_ELEMENT_F32),
                DK_E_UNSUPPORTED, "a product of elements of type %d into type %d",
                (int)product->type, (int)product->type_d);
    DKI_REQUIRE(is_flag(product->tf32) && (!product->tf32 || product->type == DKI_ELEMENT_F32),
                DK_E_UNSUPPORTED, "TF32 is for products of fp32, not of elements of type %d",
                (int)product->type);
    DKI_REQUIRE(is_flag(product->trans_a) && is_flag(product->trans_b), DK_E_UNSUPPORTED,
                "a product with flags %d, %d: each is 0 or 1", (int)product->trans_a,
                (int)product->trans_b);
    DKI_REQUIRE(product->accumulate >= DKI_OVERWRITE && product->accumulate <= DKI_SCALE,
                DK_E_UNSUPPORTED, "a product that does %d with its result, which doesn't exist",
                (int)product->accumulate);
    DKI_REQUIRE(product->processors >= 0 && product->processors <= INT32_MAX, DK_E_UNSUPPORTED,
                "a product for %lld multiprocessors", (long long)product->processors);
    return DK_OK;
}

/* A column of a matrix holds `rows` elements, its next one starts `ld` elements later. Kernels for
 * sm_90 overflow where a column takes more than 2³¹ bytes. */
static dk_status validate_ld(const char *name, int64_t ld, int64_t rows, int32_t type) {
    DKI_REQUIRE(ld >= rows, DK_E_SHAPE,
                "operand %s of a product: a leading dimension of %lld for columns of %lld", name,
                (long long)ld, (long long)rows);
    DKI_REQUIRE(ld <= INT32_MAX / (int64_t)dki_element_bytes((dki_element)type), DK_E_SHAPE,
                "operand %s of a product: a leading dimension of %lld is too large for the library",
                name, (long long)ld);
    return DK_OK;
}

static dk_status validate_shape(const dki_product *product) {
    const int64_t m = product->m, n = product->n, k = product->k;
    DKI_REQUIRE(m >= 1 && n >= 1 && k >= 1 && m <= INT32_MAX && n <= INT32_MAX && k <= INT32_MAX,
                DK_E_SHAPE, "a product of %lld × %lld × %lld: each is 1 … 2³¹ − 1", (long long)m,
                (long long)n, (long long)k);
    DKI_TRY(validate_ld("A", product->lda, product->trans_a ? k : m, product->type));
    DKI_TRY(validate_ld("B", product->ldb, product->trans_b ? n : k, product->type));
    return validate_ld("D", product->ldd, m, product->type_d);
}

static dk_status validate_aux(const dki_product *product, const dki_operands *operands) {
    const int32_t epilogue = product->epilogue;
    DKI_REQUIRE(dki_epilogue_has_aux(epilogue) == (operands->aux != NULL), DK_E_SHAPE,
                "epilogue %d of a product %s", (int)epilogue,
                operands->aux ? "takes no auxiliary matrix" : "needs an auxiliary matrix");
    DKI_REQUIRE(dki_epilogue_has_aux(epilogue)
                    ? product->ld_aux >= product->m && product->ld_aux % DKI_AUX_LD_MULTIPLE == 0
                    : product->ld_aux == 0,
                DK_E_SHAPE,
                "an auxiliary matrix's leading dimension of %lld for %lld rows: a multiple of %d "
                "that holds them, or 0 without one",
                (long long)product->ld_aux, (long long)product->m, (int)DKI_AUX_LD_MULTIPLE);
    return DK_OK;
}

static dk_status validate_epilogue(const dki_product *product, const dki_operands *operands) {
    const int32_t epilogue = product->epilogue;
    DKI_REQUIRE(epilogue >= 0 && epilogue < DKI_EPILOGUE_COUNT, DK_E_UNSUPPORTED,
                "a product with epilogue %d, which doesn't exist", (int)epilogue);
    DKI_REQUIRE(epilogue == DKI_EPILOGUE_NONE ||
                    (!product->accumulate &&
                     (product->type_d == product->type || epilogue == DKI_EPILOGUE_BGRADB)),
                DK_E_UNSUPPORTED,
                "epilogue %d with a product that is added to D, or whose D has a type of its own",
                (int)epilogue);
    DKI_REQUIRE(!dki_epilogue_has_bias_gradient(epilogue) || product->type_d == DKI_ELEMENT_F32,
                DK_E_UNSUPPORTED,
                "the bias gradient in an epilogue has D's type %d; ours are fp32: sum it aside",
                (int)product->type_d);
    DKI_REQUIRE(dki_epilogue_has_bias(epilogue) == (operands->bias != NULL), DK_E_SHAPE,
                "epilogue %d of a product %s", (int)epilogue,
                operands->bias ? "takes no bias" : "needs a bias");
    DKI_REQUIRE(epilogue != DKI_EPILOGUE_BGRADB || product->trans_b, DK_E_UNSUPPORTED,
                "the bias gradient of B needs a transposed B");
    return validate_aux(product, operands);
}

static bool divides(int32_t alignment, const void *address) {
    return (uintptr_t)address % (uintptr_t)alignment == 0;
}

static dk_status validate_addresses(const dki_product *product, const dki_operands *operands) {
    const int32_t alignment = product->alignment;
    DKI_REQUIRE(operands->a && operands->b && operands->d, DK_E_SHAPE,
                "a product without one of its matrices");
    DKI_REQUIRE(alignment >= LEAST_ALIGNMENT && alignment <= WORKSPACE_ALIGNMENT &&
                    (alignment & (alignment - 1)) == 0,
                DK_E_SHAPE, "a product's alignment of %d bytes: a power of two, 2 … 256",
                (int)alignment);
    DKI_REQUIRE(divides(alignment, operands->a) && divides(alignment, operands->b) &&
                    divides(alignment, operands->d) && divides(alignment, operands->bias) &&
                    divides(alignment, operands->aux),
                DK_E_SHAPE, "a product with an address that isn't a multiple of its %d bytes",
                (int)alignment);
    const int32_t type_bytes = (int32_t)dki_element_bytes((dki_element)product->type);
    const int32_t d_bytes = (int32_t)dki_element_bytes((dki_element)product->type_d);
    DKI_REQUIRE(divides(type_bytes, operands->a) && divides(type_bytes, operands->b) &&
                    divides(d_bytes, operands->d) && divides(d_bytes, operands->bias),
                DK_E_SHAPE, "a product with an address in the middle of an element");
    DKI_REQUIRE((product->accumulate == DKI_SCALE) == (operands->scalars != NULL) &&
                    divides(sizeof(float), operands->scalars),
                DK_E_SHAPE, "a product %s",
                operands->scalars ? "with scalars that it doesn't take, or that aren't aligned"
                                  : "without the scalars that it takes");
    DKI_REQUIRE(divides(AUX_ALIGNMENT, operands->aux), DK_E_SHAPE,
                "a product's auxiliary matrix must start on %d bytes", (int)AUX_ALIGNMENT);
    DKI_REQUIRE(product->workspace >= 0 && (product->workspace == 0 ||
                                            (operands->workspace != NULL &&
                                             divides(WORKSPACE_ALIGNMENT, operands->workspace))),
                DK_E_SHAPE, "a product's workspace of %lld bytes must start on %d bytes",
                (long long)product->workspace, (int)WORKSPACE_ALIGNMENT);
    return DK_OK;
}

dk_status dki_product_validate(const dki_product *product, const dki_operands *operands) {
    DKI_TRY(validate_types(product));
    DKI_TRY(validate_shape(product));
    DKI_TRY(validate_epilogue(product, operands));
    return validate_addresses(product, operands);
}

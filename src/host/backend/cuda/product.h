/* A product as cuBLASLt sees it: D [m × n, column order] = op(A) op(B) (+ D), with an epilogue.
 *
 * All our matrices are row-major, so each is declared as the transposed column-order one:
 *
 *                      A operand (op, ld)   B operand (op, ld)   m, n, k
 *     Z = X Wᵀ         W (T, in)            X (N, in)            out, B, in
 *     Δ W              W (N, in)            Δ (N, out)           in, B, out
 *     Δᵀ X             X (N, in)            Δ (T, out)           in, out, B
 */
#ifndef DKI_PRODUCT_H
#define DKI_PRODUCT_H

#include "kernels/kernels.h"

/** What follows the product. The bias and the bias gradient have D's type, one element for each row
 *  of D, i.e. for each column of ours (BGRADB: for each column of D). The auxiliary matrix of GELU is
 *  z itself, in D's type, its leading dimension a multiple of 8. GELU is the tanh form.
 *
 *  The library's epilogues that keep a bit mask for the derivative of ReLU aren't among them: a bit is
 *  set for z ≥ 0, so that g′(0) would be 1; ours is 0. */
typedef enum dki_epilogue {
    DKI_EPILOGUE_NONE = 0,
    DKI_EPILOGUE_BIAS = 1,          /* D + bias */
    DKI_EPILOGUE_RELU_BIAS = 2,     /* max(0, D + bias) */
    DKI_EPILOGUE_GELU_BIAS = 3,     /* g(D + bias) */
    DKI_EPILOGUE_GELU_AUX_BIAS = 4, /* the same; aux = D + bias */
    DKI_EPILOGUE_DGELU = 5,         /* D ⊙ g′(aux) */
    DKI_EPILOGUE_DGELU_BGRAD = 6,   /* the same; bias gradient = Σ over D's columns */
    DKI_EPILOGUE_BGRADB = 7,        /* D; bias gradient = Σ over k of op(B), one for each column */
    DKI_EPILOGUE_COUNT = 8
} dki_epilogue;

/** Whether an epilogue has a bias, or room for its gradient. */
static inline bool dki_epilogue_has_bias(int32_t epilogue) {
    return epilogue != DKI_EPILOGUE_NONE && epilogue != DKI_EPILOGUE_DGELU;
}
static inline bool dki_epilogue_has_bias_gradient(int32_t epilogue) {
    return epilogue == DKI_EPILOGUE_DGELU_BGRAD || epilogue == DKI_EPILOGUE_BGRADB;
}
/** Whether it has an auxiliary matrix, z of GELU. */
static inline bool dki_epilogue_has_aux(int32_t epilogue) {
    return epilogue >= DKI_EPILOGUE_GELU_AUX_BIAS && epilogue <= DKI_EPILOGUE_DGELU_BGRAD;
}

/** What becomes of what D held; an algorithm's key, as the epilogue is. */
typedef enum dki_accumulate {
    DKI_OVERWRITE = 0, /* D = A B */
    DKI_ADD = 1,       /* D += A B */
    DKI_SCALE = 2 /* D = α A B + β D; α and β lie in device memory and are read when it runs */
} dki_accumulate;

/** Everything an algorithm depends on; compared and hashed as bytes, so it has no padding and is
 *  zeroed before it is filled. */
typedef struct dki_product {
    int64_t m, n, k, lda, ldb, ldd, ld_aux; /* ld_aux 0 without aux */
    int32_t trans_a, trans_b;               /* 1 = transposed */
    int32_t type, type_d;                   /* dki_element of A and B, of D */
    int32_t tf32;                           /* fp32 operands may be rounded to TF32 */
    int32_t epilogue;                       /* dki_epilogue */
    int32_t accumulate;                     /* dki_accumulate */
    int32_t alignment;                      /* least alignment of all addresses, 2 … 256 bytes */
    int64_t workspace;                      /* bytes an algorithm may use */
    int64_t processors;                     /* multiprocessors it is to be fast on; 0 = all */
} dki_product;

typedef struct dki_operands {
    const void *a, *b;
    void *d;
    void *bias; /* [m], D's type: read, or written by _BGRAD; [n] with BGRADB; or NULL */
    void *aux;  /* or NULL */
    void *workspace;
    const float *scalars; /* DKI_SCALE: α, β; or NULL */
} dki_operands;

/** cublasLtMatmulAlgo_t and what it needs. */
typedef struct dki_algorithm {
    uint64_t data[8];
    int64_t workspace;
} dki_algorithm;

/** What all products of a backend have in common. */
typedef struct dki_product_rules {
    dki_element element;
    bool tf32;
    int64_t workspace; /* bytes, one for each lane */
} dki_product_rules;

/** Elements that the leading dimension of the auxiliary matrix is a multiple of. */
enum { DKI_AUX_LD_MULTIPLE = 8 };

/** What goes with a product beside its operands. */
typedef struct dki_product_extras {
    dki_epilogue epilogue;
    void *bias, *aux;
    int64_t aux_ld;
    int32_t accumulate; /* dki_accumulate */
    void *workspace;
    const float *scalars;
    int64_t processors;
} dki_product_extras;

/** The product of one of the seam's kinds (the shapes in `bare`), and its operands in the library's
 *  order. D of DKI_PRODUCT_PARAMS is fp32, of the others of the storage type. */
void dki_product_make(const dki_product_rules *rules, const dki_bare_product *bare,
                      const dki_product_extras *extras, dki_product *product,
                      dki_operands *operands);

/** The library validates almost nothing: a leading dimension below the rows, an unknown epilogue or
 *  a misaligned address would all pass. DK_E_SHAPE, DK_E_UNSUPPORTED, with a text. */
dk_status dki_product_validate(const dki_product *product, const dki_operands *operands);

#endif

/* The fused loops: everything but the matrix products, on one tile by one thread.
 *
 * The files loops_*.c are compiled once for each instruction set (x86-64, AVX2, AVX-512); the table
 * is chosen when the backend is opened. All variants give the same bits: every operation is an IEEE
 * one, contraction is off, and a sum over a row always runs in DKI_LANES interleaved partial sums,
 * whatever the vector width. */
#ifndef DKI_LOOPS_H
#define DKI_LOOPS_H

#include "backend/backend.h"

enum { DKI_LANES = 16 };

/** The random counter of a tile's elements: dropout masks. */
typedef struct dki_mask_origin {
    uint64_t seed, tick;
    uint32_t row; /* of the tile's first row, in the effective batch */
    int64_t col;  /* of the tile's first column; a multiple of 4 */
} dki_mask_origin;

/** z += 1 bᵀ, a = g(z) ⊙ dropout. In place (a == z) where z isn't kept. */
typedef struct dki_forward_tile {
    int64_t rows, cols;
    float *z; /* the product, then z */
    int64_t z_ld;
    float *a;
    int64_t a_ld;
    const float *b; /* [cols] */
    dki_nonlinearity g;
    dki_mask_origin origin;
} dki_forward_tile;

/** δ ← δ ⊙ g′ ⊙ dropout, sums = its column sums. */
typedef struct dki_backward_tile {
    int64_t rows, cols;
    float *delta; /* the product Δ W, then δ */
    int64_t delta_ld;
    const float *saved; /* z; or a, for identity and ReLU */
    int64_t saved_ld;
    dki_nonlinearity g;
    dki_mask_origin origin;
    float *sums;   /* [cols] or NULL */
    bool add_sums; /* sums +=, else they are overwritten */
} dki_backward_tile;

/** Loss and δ⁽ᴸ⁾ of some rows. */
typedef struct dki_loss_tile {
    int64_t rows, cols;
    dki_loss_rule rule;
    dki_nonlinearity g;
    const float *z; /* where g is the identity: the same as a */
    int64_t z_ld;
    const float *a;
    int64_t a_ld;
    const int32_t *labels; /* [rows] or NULL */
    const float *targets;  /* [rows, cols] or NULL */
    const float *weights;  /* [rows] or NULL */
    float inverse_normaliser;
    float *delta; /* or NULL */
    int64_t delta_ld;
    double *row_loss; /* [rows], weighted, not yet normalised */
    float *sums;      /* [cols] or NULL */
    bool add_sums;    /* sums +=, else they are overwritten */
} dki_loss_tile;

typedef struct dki_gather_tile {
    int64_t rows, cols;
    const dki_gather *source;
    int64_t first; /* position in the order of the tile's first row */
    float *x;
    int64_t x_ld;
} dki_gather_tile;

typedef struct dki_loops {
    const char *name;
    void (*forward)(const dki_forward_tile *);
    void (*backward)(const dki_backward_tile *);
    void (*loss)(const dki_loss_tile *);
    void (*gather)(const dki_gather_tile *);
    /** θ ← rule(θ, g, slots) for `count` elements. Where what comes of it isn't finite, the element
     *  stays as it is, and the result is false. */
    bool (*update)(const dki_rule *, dki_rate, float decay, int64_t count, float *w, const float *g,
                   float *slot1, float *slot2);
    /** Whether every element of a [rows, cols] tile is finite. */
    bool (*finite)(const float *x, int64_t ld, int64_t rows, int64_t cols);
    /** Σ x², in double. */
    double (*square_sum)(const float *x, int64_t count);
    /** bf16 → fp32, exactly; fp32 → bf16, to nearest, ties to even (base/half.h). */
    void (*widen)(const uint16_t *from, int64_t count, float *to);
    void (*narrow)(const float *from, int64_t count, uint16_t *to);
} dki_loops;

extern const dki_loops dki_loops_baseline;
#if defined(DKI_X86_VARIANTS)
extern const dki_loops dki_loops_avx2;
extern const dki_loops dki_loops_avx512;
#endif

/** The best table for this processor. */
const dki_loops *dki_loops_choose(void);

/* Inside loops_*.c: names carry the variant they're compiled for. */
#define DKI_JOIN_(a, b) a##_##b
#define DKI_JOIN(a, b)  DKI_JOIN_(a, b)
#define DKI_LOOP(name)  DKI_JOIN(name, DKI_VARIANT)

#endif

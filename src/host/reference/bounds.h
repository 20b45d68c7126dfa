/* The loss's part of the error analysis; docs/numerics.md has the derivation. */
#ifndef DKI_REFERENCE_BOUNDS_H
#define DKI_REFERENCE_BOUNDS_H

#include "reference/loss.h"

/** γ_n = n u/(1 − n u): what n roundings do to a product, or a sum of n terms in any order to the
 *  sum of their magnitudes (Higham 2002, lemma 3.1). */
double dki_ref_gamma(double n, double unit);

/** What an operation may lose absolutely where its result underflows: the least normal fp32, so
 *  that a device that flushes denormal numbers to 0 is within its bounds, too. */
#define DKI_REF_UNDERFLOW 0x1p-126

/** A moment below it may count as 0 on a device (or as this much, for Lion), behind a gradient of 0. */
#define DKI_REF_LEAST_MOMENT 0x1p-120

/** Of one row whose a⁽ᴸ⁾ [n_L] has errors of at most a_error [n_L]: bounds of the error of ∂l/∂a_c
 *  into gradient_error [n_L]; returns that of l, sums over the row not counted. */
double dki_ref_loss_error(const dki_ref_sample *sample, const double *a_error, double unit,
                          double *gradient_error);

/** sup |g′| or a little more: an evaluation of g′ errs by DKI_REF_G_PRIME_ULPS u of this. */
double dki_ref_g_prime_scale(dk_activation activation, double alpha);

enum { DKI_REF_G_PRIME_ULPS = 24 };

#endif

/* Initial weights as a function of a random word: the same bits on every device. */
#ifndef DKI_INIT_H
#define DKI_INIT_H

#include "kernels/philox.h"
#include "kernels/scalar.h"

typedef enum dki_distribution {
    DKI_CONSTANT = 0, /* scale itself */
    DKI_UNIFORM = 1,  /* in (−scale, scale) */
    DKI_NORMAL = 2    /* standard deviation scale */
} dki_distribution;

typedef struct dki_init_rule {
    dki_distribution distribution;
    float scale;
} dki_init_rule;

/** The weight that a word stands for. */
DKI_FN float dki_initial_weight(dki_init_rule rule, uint32_t word) {
    if (rule.distribution == DKI_CONSTANT) return rule.scale;
    return rule.scale * (rule.distribution == DKI_NORMAL ? dki_normal(word) : dki_uniform(word));
}

#endif

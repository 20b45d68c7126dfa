/* The plans: which algorithm each product takes and which way each layer goes. What is once in the
 * table never changes, so that a step captured earlier and one captured later agree. Not locked:
 * the backend is.
 *
 * An answer comes from the table, else from the disk, else from timing where prepare() chooses, else
 * it is the library's first guess. */
#ifndef DKI_PLANS_H
#define DKI_PLANS_H

#include "backend/cuda/plan_cache.h"

/** How bias, activation, g′ and an update are computed; part of the files on disk. */
typedef enum dki_way {
    DKI_WAY_PLAIN = 0, /* a bare product, then a kernel of ours */
    DKI_WAY_FUSED = 1 /* in the product's epilogue; backward: g′ of GELU from z; dW: the update */
} dki_way;

typedef struct dki_plans dki_plans;

typedef struct dki_plans_options {
    bool deterministic; /* nothing is timed; the disk, which holds timed answers, isn't read */
    bool disk;
} dki_plans_options;

dk_status dki_plans_create(dki_plans **plans, const dki_services *services, dki_gpu *gpu,
                           const dki_plans_options *options);
void dki_plans_destroy(dki_plans *plans);

/** The key of a question about a product. */
dki_plan_key dki_plan_key_of(const dki_product *product, dki_question question);
/** The key of the question on how many lanes a network's gradients are computed. */
dki_plan_key dki_plan_key_of_lanes(const dki_product_rules *rules, const dki_plan_request *request);

/** How many multiprocessors a data gradient may leave to an early update: 0, STEP, … MOST. */
enum { DKI_SPARE_STEP = 8, DKI_SPARE_MOST = 16 };
/** The key of the question how many it leaves; only with an early_rule. */
dki_plan_key dki_plan_key_of_spare(const dki_product_rules *rules, const dki_plan_request *request);

/** Whether the table has the answer; then with the disk asked before, which fills the table. */
bool dki_plans_know(const dki_plans *plans, const dki_plan_key *key, dki_plan_entry *entry);
dk_status dki_plans_get(dki_plans *plans, const dki_plan_key *key, dki_plan_entry *entry,
                        bool *found);
/** A new answer; a timed one goes to the disk, too. DK_E_MEMORY. */
dk_status dki_plans_put(dki_plans *plans, const dki_plan_key *key, const dki_plan_entry *entry,
                        bool timed);

/** An answer as it is kept outside of the table; no padding. */
typedef struct dki_plan_record {
    dki_plan_key key;
    dki_plan_entry entry;
} dki_plan_record;

/** All answers, in an order that the keys alone decide; the caller releases them. DK_E_MEMORY. */
dk_status dki_plans_list(const dki_plans *plans, dki_plan_record **records, size_t *count);
/** Puts another process' answers into the table, where there is none yet: all or none of them, unless
 *  memory runs out. DK_E_MODEL (one that makes no sense on this GPU), DK_E_STATE (there is another
 *  answer already), DK_E_MEMORY. */
dk_status dki_plans_take(dki_plans *plans, const dki_plan_record *records, size_t count);
/** Whose answers these are. */
const dki_plan_device *dki_plans_device(const dki_plans *plans);

/** The algorithm of a product; *found = false: the library has none. May be called in a capture. */
dk_status dki_plans_algorithm(dki_plans *plans, const dki_product *product,
                              dki_algorithm *algorithm, bool *found);
/** Whether this product, one with an epilogue (DKI_QUESTION_FUSED) or an update (DKI_QUESTION_UPDATE),
 *  is better than a bare one and a kernel of ours: as timed, else if the library has it. */
dk_status dki_plans_fused(dki_plans *plans, const dki_product *product, dki_question question,
                          bool *fused);
/** The same of an epilogue where only timing may say so. */
dk_status dki_plans_timed_fused(dki_plans *plans, const dki_product *product, bool *fused);

#endif

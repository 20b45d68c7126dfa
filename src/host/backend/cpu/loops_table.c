/* The table of one variant. */
#include "backend/cpu/loops.h"

void DKI_LOOP(dki_loops_forward)(const dki_forward_tile *);
void DKI_LOOP(dki_loops_backward)(const dki_backward_tile *);
void DKI_LOOP(dki_loops_loss)(const dki_loss_tile *);
void DKI_LOOP(dki_loops_gather)(const dki_gather_tile *);
bool DKI_LOOP(dki_loops_update)(const dki_rule *, dki_rate, float, int64_t, float *, const float *,
                                float *, float *);
bool DKI_LOOP(dki_loops_finite)(const float *, int64_t, int64_t, int64_t);
double DKI_LOOP(dki_loops_square_sum)(const float *, int64_t);
void DKI_LOOP(dki_loops_widen)(const uint16_t *, int64_t, float *);
void DKI_LOOP(dki_loops_narrow)(const float *, int64_t, uint16_t *);

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

const dki_loops DKI_LOOP(dki_loops) = {
    .name = TEXT(DKI_VARIANT),
    .forward = DKI_LOOP(dki_loops_forward),
    .backward = DKI_LOOP(dki_loops_backward),
    .loss = DKI_LOOP(dki_loops_loss),
    .gather = DKI_LOOP(dki_loops_gather),
    .update = DKI_LOOP(dki_loops_update),
    .finite = DKI_LOOP(dki_loops_finite),
    .square_sum = DKI_LOOP(dki_loops_square_sum),
    .widen = DKI_LOOP(dki_loops_widen),
    .narrow = DKI_LOOP(dki_loops_narrow),
};

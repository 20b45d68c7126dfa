#include "base/arithmetic.h"
#include "data/dataset.h"
#include "kernels/shuffle.h"

#include <math.h>

/* An epoch number that no training run reaches, so that the choice of the rows that are split off
 * has nothing to do with the order of any epoch under the same seed. Philox takes 44 bits. */
#define SPLIT_EPOCH (((uint64_t)1 << 44) - 1)

/* A set of `rows` rows over the parent's storage, its subset still to be filled. */
static dk_status make_part(dk_dataset **part, const dk_dataset *parent, int64_t rows) {
    const dk_allocator *allocator = &parent->storage->context->allocator;
    dk_dataset *made = NULL;
    DKI_TRY(dki_new(allocator, &made, 1, "a data set"));
    dk_status status = dki_new(allocator, &made->subset, (size_t)rows, "the rows of a part");
    if (status != DK_OK) {
        dki_release(allocator, made);
        return status;
    }
    made->references = 1;
    made->rows = rows;
    made->storage = parent->storage;
    dki_count_up(&made->storage->references);
    *part = made;
    return DK_OK;
}

dk_status dk_dataset_split(const dk_dataset *dataset, double fraction, uint64_t seed,
                           dk_dataset **rest, dk_dataset **part) {
    DKI_ARITHMETIC;
    if (rest) *rest = NULL;
    if (part) *part = NULL;
    DKI_REQUIRE(dataset && rest && part, DK_E_ARGUMENT, "dk_dataset_split: %s is NULL",
                !dataset ? "dataset" : (rest ? "part" : "rest"));
    DKI_REQUIRE(fraction > 0 && fraction < 1, DK_E_ARGUMENT,
                "dk_dataset_split: fraction %g is outside (0, 1)", fraction);
    const int64_t rows = dataset->rows, chosen = (int64_t)floor(fraction * (double)rows + 0.5);
    DKI_REQUIRE(chosen >= 1 && chosen < rows, DK_E_SHAPE,
                "%s: a fraction of %g of %lld rows leaves one part empty", dataset->storage->name,
                fraction, (long long)rows);

    const dk_allocator *allocator = &dataset->storage->context->allocator;
    dk_status status = DK_OK;
    bool *in_part = NULL;
    DKI_TRY_OUT(dki_new(allocator, &in_part, (size_t)rows, "the choice of a part"));
    DKI_TRY_OUT(make_part(rest, dataset, rows - chosen));
    DKI_TRY_OUT(make_part(part, dataset, chosen));
    for (int64_t i = 0; i < chosen; ++i)
        in_part[dki_shuffle(seed, SPLIT_EPOCH, (uint64_t)rows, (uint64_t)i)] = true;
    int64_t *next_rest = (*rest)->subset, *next_part = (*part)->subset;
    for (int64_t i = 0; i < rows; ++i) {
        int64_t row = dki_dataset_row(dataset, i);
        if (in_part[i])
            *next_part++ = row;
        else
            *next_rest++ = row;
    }
out:
    dki_release(allocator, in_part);
    if (status != DK_OK) {
        dk_dataset_destroy(*rest);
        dk_dataset_destroy(*part);
        *rest = *part = NULL;
    }
    return status;
}

/* Mean and standard deviation of every column.
 *
 * Two passes, and the correction of what the mean's own rounding leaves (Chan, Golub and LeVeque
 * 1983, "Algorithms for computing the sample variance", eq. 1.7), with x₀ the first row's value
 * and d = x − m:
 *
 *     m = x₀ + Σ(x − x₀)/n,    mean = m + Σd/n,    σ² = (Σd² − (Σd)²/n)/n
 *
 * Σx² is never formed: at an offset of 1e9 it would leave no digit of σ. Because of x₀ the sums of
 * a constant column are exactly 0, so that it is found without a tolerance. Each column is summed
 * in the order of its rows, however the features are stored, so that one table gives the same bits
 * from a C-order file, a Fortran-order file and from memory. */
#include "data/source.h"
#include "data/view.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 1024 };

/** Running sums of d = x − shift and, in the second pass, of d². */
typedef struct sums {
    int64_t columns;
    const double *shift;   /* [columns] x₀ or m */
    double *sum, *squares; /* [columns]; squares NULL in the first pass */
} sums;

static void add(sums *to, int64_t column, const double *values, int64_t count) {
    double shift = to->shift[column], sum = to->sum[column];
    if (!to->squares) {
        for (int64_t i = 0; i < count; ++i) sum += values[i] - shift;
    } else {
        double squares = to->squares[column];
        for (int64_t i = 0; i < count; ++i) {
            double d = values[i] - shift, square = d * d;
            sum += d;
            squares += square;
        }
        to->squares[column] = squares;
    }
    to->sum[column] = sum;
}

/* The same for one value of each of the columns first … first+count−1: the columns' sums are
 * independent, so this is the loop that vectorises. */
static void add_row(sums *to, int64_t first, const double *values, int64_t count) {
    const double *shift = to->shift + first;
    double *sum = to->sum + first, *squares = to->squares ? to->squares + first : NULL;
    if (!squares) {
        for (int64_t j = 0; j < count; ++j) sum[j] += values[j] - shift[j];
        return;
    }
    for (int64_t j = 0; j < count; ++j) {
        double d = values[j] - shift[j], square = d * d;
        sum[j] += d;
        squares[j] += square;
    }
}

/* Row by row, for rows that lie together. */
static void pass_by_rows(const dk_dataset *set, sums *to) {
    const dki_storage *storage = set->storage;
    double values[BLOCK];
    for (int64_t i = 0; i < set->rows; ++i) {
        int64_t start = dki_dataset_row(set, i) * storage->row_stride;
        for (int64_t j = 0; j < to->columns; j += BLOCK) {
            int64_t count = to->columns - j < BLOCK ? to->columns - j : BLOCK;
            dki_view_f64(storage->features, storage->type, start + j * storage->col_stride,
                         storage->col_stride, count, values);
            add_row(to, j, values, count);
        }
    }
}

/* Column by column, for columns that lie together (Fortran order). */
static void pass_by_columns(const dk_dataset *set, sums *to) {
    const dki_storage *storage = set->storage;
    double values[BLOCK];
    for (int64_t j = 0; j < to->columns; ++j) {
        int64_t start = j * storage->col_stride;
        for (int64_t i = 0; i < set->rows; i += BLOCK) {
            int64_t count = set->rows - i < BLOCK ? set->rows - i : BLOCK;
            if (!set->subset)
                dki_view_f64(storage->features, storage->type, start + i * storage->row_stride,
                             storage->row_stride, count, values);
            else
                for (int64_t k = 0; k < count; ++k)
                    dki_view_f64(storage->features, storage->type,
                                 start + set->subset[i + k] * storage->row_stride, 1, 1,
                                 values + k);
            add(to, j, values, count);
        }
    }
}

static void pass_over_features(const dk_dataset *set, sums *to) {
    if (set->storage->row_stride >= set->storage->col_stride)
        pass_by_rows(set, to);
    else
        pass_by_columns(set, to);
}

static void pass_over_targets(const dk_dataset *set, sums *to) {
    const dki_storage *storage = set->storage;
    double values[BLOCK];
    for (int64_t i = 0; i < set->rows; ++i) {
        int64_t start = dki_dataset_row(set, i) * to->columns;
        for (int64_t j = 0; j < to->columns; j += BLOCK) {
            int64_t count = to->columns - j < BLOCK ? to->columns - j : BLOCK;
            dki_view_f64(storage->targets, DK_F64, start + j, 1, count, values);
            add_row(to, j, values, count);
        }
    }
}

/* A sum that isn't finite has seen a value that isn't, or overflowed: find out which. */
static dk_status explain(const dk_dataset *set, const double *sum) {
    const dki_storage *storage = set->storage;
    int64_t column = 0;
    while (isfinite(sum[column])) ++column;
    for (int64_t i = 0; i < set->rows; ++i) {
        int64_t row = dki_dataset_row(set, i);
        int64_t place = row * storage->row_stride + column * storage->col_stride;
        if (dki_view_nonfinite(storage->features, storage->type, place, 1, 1) >= 0)
            return dki_fail_nonfinite(storage, row, column);
    }
    return dki_fail(DK_E_NONFINITE,
                    "%s: the values of feature %lld (from 0) are too large for their mean or "
                    "variance: scale the column down",
                    storage->name, (long long)column);
}

static bool all_finite(const double *values, int64_t count) {
    double sum = 0;
    for (int64_t j = 0; j < count; ++j) sum += values[j] * 0;
    return sum == 0;
}

/* The standard deviation; 1 of a column that is constant, but for the rounding of its numbers: 0.1 + 0.2
 * beside 0.3, say, would become a feature of size 1, and 0.3000001 one of 10⁹. Values that differ by a
 * few units in the last place have a σ below 4 ε |μ|, ε that of the type that they are stored in. */
static double spread(double variance, double mean, dk_dtype type) {
    const double epsilon = type == DK_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    if (!isfinite(variance)) return variance;
    const double sigma = variance > 0 ? sqrt(variance) : 0.0;
    return sigma > 4 * epsilon * fabs(mean) ? sigma : 1.0;
}

/* `first` is x₀, `squares` scratch; [columns] each. On return mean and sigma are final, or one of
 * them holds what isn't finite. */
static void two_passes(const dk_dataset *set, int64_t columns, dk_dtype type,
                       void (*pass)(const dk_dataset *, sums *), const double *first,
                       double *squares, double *mean, double *sigma) {
    double n = (double)set->rows;
    memset(mean, 0, (size_t)columns * sizeof *mean);
    memset(sigma, 0, (size_t)columns * sizeof *sigma);
    memset(squares, 0, (size_t)columns * sizeof *squares);
    pass(set, &(sums){columns, first, mean, NULL});
    for (int64_t j = 0; j < columns; ++j) mean[j] = first[j] + mean[j] / n;
    if (!all_finite(mean, columns)) return;
    pass(set, &(sums){columns, mean, sigma, squares}); /* sigma holds Σd for the moment */
    for (int64_t j = 0; j < columns; ++j) {
        double d = sigma[j], variance = (squares[j] - d * d / n) / n;
        mean[j] += d / n;
        sigma[j] = spread(variance, mean[j], type);
    }
}

dk_status dki_dataset_statistics(const dk_dataset *dataset, double *feature_mean,
                                 double *feature_sigma, double *target_mean, double *target_sigma) {
    const dki_storage *storage = dataset->storage;
    int64_t features = storage->features_count, targets = storage->target_count;
    DKI_REQUIRE(!target_mean || storage->targets, DK_E_STATE, "%s holds no targets to standardise",
                storage->name);
    int64_t most = features > targets ? features : targets;
    double *scratch = NULL;
    DKI_TRY(dki_new(&storage->context->allocator, &scratch, 2 * (size_t)most,
                    "the sums of the columns"));
    dk_status status = DK_OK;
    double *first = scratch, *squares = scratch + most;
    int64_t row = dki_dataset_row(dataset, 0);
    dki_view_f64(storage->features, storage->type, row * storage->row_stride, storage->col_stride,
                 features, first);
    two_passes(dataset, features, storage->type, pass_over_features, first, squares, feature_mean,
               feature_sigma);
    if (!all_finite(feature_mean, features)) {
        status = explain(dataset, feature_mean);
    } else if (!all_finite(feature_sigma, features)) {
        status = explain(dataset, feature_sigma);
    } else if (target_mean) {
        /* Targets were found finite when they were read, and numbers in the range of
         * a float can't overflow these sums. */
        dki_view_f64(storage->targets, DK_F64, row * targets, 1, targets, first);
        two_passes(dataset, targets, DK_F64, pass_over_targets, first, squares, target_mean,
                   target_sigma);
    }
    dki_release(&storage->context->allocator, scratch);
    return status;
}

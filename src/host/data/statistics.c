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

/* Columns of numbers: the features of a set, or its targets. */
typedef struct table {
    const dk_dataset *set;
    const void *elements;
    dk_dtype type;
    int64_t row_stride, col_stride, columns;
} table;

/* `count` values of a row from a column on. */
static void read_row(const table *from, int64_t row, int64_t column, int64_t count, double *to) {
    dki_view_f64(from->elements, from->type, row * from->row_stride + column * from->col_stride,
                 from->col_stride, count, to);
}

/* Row by row, for rows that lie together. */
static void pass_by_rows(const table *from, sums *to) {
    double values[BLOCK];
    for (int64_t i = 0; i < from->set->rows; ++i)
        for (int64_t j = 0; j < to->columns; j += BLOCK) {
            int64_t count = to->columns - j < BLOCK ? to->columns - j : BLOCK;
            read_row(from, dki_dataset_row(from->set, i), j, count, values);
            add_row(to, j, values, count);
        }
}

/* The values of a column in rows first … first+count−1 of the set. */
static void read_column(const table *from, int64_t column, int64_t first, int64_t count,
                        double *to) {
    const int64_t start = column * from->col_stride;
    if (!from->set->subset) {
        dki_view_f64(from->elements, from->type, start + first * from->row_stride, from->row_stride,
                     count, to);
        return;
    }
    for (int64_t k = 0; k < count; ++k)
        read_row(from, from->set->subset[first + k], column, 1, to + k);
}

/* Column by column, for columns that lie together (Fortran order). */
static void pass_by_columns(const table *from, sums *to) {
    double values[BLOCK];
    for (int64_t j = 0; j < to->columns; ++j)
        for (int64_t i = 0; i < from->set->rows; i += BLOCK) {
            int64_t count = from->set->rows - i < BLOCK ? from->set->rows - i : BLOCK;
            read_column(from, j, i, count, values);
            add(to, j, values, count);
        }
}

static void pass_over(const table *from, sums *to) {
    if (from->row_stride >= from->col_stride)
        pass_by_rows(from, to);
    else
        pass_by_columns(from, to);
}

/* The largest step, relative to a number, from one number to the next in the format that a column's
 * values were rounded to. Whole numbers up to 2^53 are exact: 0. What is a float throughout was most
 * likely computed in floats; the numbers tell, not their file's type, so that equal numbers give
 * equal results. */
static double step_of(const table *from, int64_t column) {
    double values[BLOCK];
    bool whole = true, floats = true;
    for (int64_t i = 0; i < from->set->rows && (whole || floats); i += BLOCK) {
        int64_t count = from->set->rows - i < BLOCK ? from->set->rows - i : BLOCK;
        read_column(from, column, i, count, values);
        for (int64_t k = 0; k < count; ++k) {
            whole = whole && values[k] == trunc(values[k]) && fabs(values[k]) <= 0x1p53;
            floats = floats && (double)(float)values[k] == values[k];
        }
    }
    return whole ? 0 : floats ? (double)FLT_EPSILON : DBL_EPSILON;
}

/* Whether a column is one number but for rounding. Divided by such a σ, any other value would be a million.
 * Nearly no column is; the numbers' own step is looked for in those that may be. */
static bool is_constant(const table *from, int64_t column, double mean, double sigma) {
    return dki_is_rounding(sigma, mean, (double)FLT_EPSILON) &&
           dki_is_rounding(sigma, mean, step_of(from, column));
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

/* `first` is x₀, `squares` scratch; [columns] each. On return mean and sigma are final, or one of
 * them holds what isn't finite. */
static void two_passes(const table *from, double *first, double *squares, double *mean,
                       double *sigma) {
    const int64_t columns = from->columns;
    const double n = (double)from->set->rows;
    read_row(from, dki_dataset_row(from->set, 0), 0, columns, first);
    memset(mean, 0, (size_t)columns * sizeof *mean);
    memset(sigma, 0, (size_t)columns * sizeof *sigma);
    memset(squares, 0, (size_t)columns * sizeof *squares);
    pass_over(from, &(sums){columns, first, mean, NULL});
    for (int64_t j = 0; j < columns; ++j) mean[j] = first[j] + mean[j] / n;
    if (!all_finite(mean, columns)) return;
    pass_over(from, &(sums){columns, mean, sigma, squares}); /* sigma holds Σd for the moment */
    for (int64_t j = 0; j < columns; ++j) {
        double d = sigma[j], variance = (squares[j] - d * d / n) / n;
        mean[j] += d / n;
        sigma[j] = variance > 0 ? sqrt(variance) : (isfinite(variance) ? 0.0 : variance);
        if (is_constant(from, j, mean[j], sigma[j])) sigma[j] = 1.0;
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
    const table x = {
        dataset, storage->features, storage->type, storage->row_stride, storage->col_stride,
        features};
    const table y = {dataset, storage->targets, DK_F64, targets, 1, targets};
    two_passes(&x, first, squares, feature_mean, feature_sigma);
    if (!all_finite(feature_mean, features)) {
        status = explain(dataset, feature_mean);
    } else if (!all_finite(feature_sigma, features)) {
        status = explain(dataset, feature_sigma);
    } else if (target_mean) {
        /* Targets were found within the range of floats when they were read: these sums can't
         * overflow. */
        two_passes(&y, first, squares, target_mean, target_sigma);
    }
    dki_release(&storage->context->allocator, scratch);
    return status;
}

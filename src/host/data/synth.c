/* Synthetic sets: every value is a function of (seed, row, column) alone, so that a set of more
 * rows starts with the rows of a smaller one, and is the same bits on every machine. No sum of
 * products is left for a compiler to contract or to reorder. */
#include "base/number.h"
#include "data/labels.h"
#include "kernels/philox.h"
#include "kernels/scalar.h"

#include <math.h>

enum { HIDDEN = 64 };

/** Which numbers of the generator are meant: its "tick" and "layer". */
enum purpose { POINTS = 0, NOISE = 1, TEACHER_HIDDEN = 2, TEACHER_OUTPUT = 3 };

static float normal(uint64_t seed, enum purpose purpose, int64_t row, int64_t column) {
    return dki_normal(dki_random_word(seed, DKI_FOR_SYNTH, purpose, (uint64_t)row >> 32,
                                      (uint32_t)row, (uint64_t)column));
}

static void release_features(const dk_allocator *allocator, void *owned) {
    dki_release(allocator, owned);
}

/* Zeroed float features [rows, features], owned by the storage. */
static dk_status make_features(dki_storage *storage, int64_t rows, int64_t features, float **x) {
    size_t count = 0;
    DKI_REQUIRE(dki_mul((size_t)rows, (size_t)features, &count), DK_E_SHAPE,
                "%s: %lld rows of %lld features overflow the address space", storage->name,
                (long long)rows, (long long)features);
    DKI_TRY(dki_new(&storage->context->allocator, x, count, "synthetic features"));
    storage->owned = *x;
    storage->release_owned = release_features;
    storage->features = *x;
    storage->type = DK_F32;
    storage->rows = rows;
    storage->features_count = features;
    storage->row_stride = features;
    storage->col_stride = 1;
    return DK_OK;
}

/** cos and sin of 2π·turns, turns ≥ 0, to about 1e-9: Taylor polynomials within an eighth of a turn
 *  of the nearest axis. The C library's differ in their last bits from machine to machine. */
static void circle(double turns, double *cosine, double *sine) {
    static const double two_pi = 6.283185307179586;
    int64_t quarter = (int64_t)(turns * 4 + 0.5);
    double t = fma((double)quarter, -0.25, turns) * two_pi, u = t * t;
    double c = fma(
        u, fma(u, fma(u, fma(u, fma(u, -1.0 / 3628800, 1.0 / 40320), -1.0 / 720), 1.0 / 24), -0.5),
        1.0);
    double s =
        t * fma(u, fma(u, fma(u, fma(u, 1.0 / 362880, -1.0 / 5040), 1.0 / 120), -1.0 / 6), 1.0);
    switch (quarter % 4) {
    case 0:
        *cosine = c, *sine = s;
        break;
    case 1:
        *cosine = -s, *sine = c;
        break;
    case 2:
        *cosine = -c, *sine = -s;
        break;
    default:
        *cosine = s, *sine = -c;
        break;
    }
}

static dk_status number_classes(dki_storage *storage, int64_t classes) {
    const dk_allocator *allocator = &storage->context->allocator;
    storage->target_count = classes;
    DKI_TRY(dki_new(allocator, &storage->class_names, (size_t)classes, "class names"));
    for (int64_t c = 0; c < classes; ++c) {
        char name[DKI_NUMBER_TEXT];
        dki_number_text((double)c, name);
        DKI_TRY(dki_copy_text(allocator, name, &storage->class_names[c]));
    }
    return DK_OK;
}

/* Row i belongs to class c = i mod C and lies, but for the noise, on
 *     r (cos 2πφ, sin 2πφ),   φ = r + c/C,   r uniform in (0, 1):
 * arms of one turn each. At one angle neighbouring arms are 1/C apart; the noise is a tenth. */
dk_status dki_source_spirals(const dki_request *request, dki_storage *storage) {
    const dk_data_options *options = &request->options;
    int64_t rows = options->rows ? options->rows : 3000;
    int64_t classes = options->targets ? options->targets : 3;
    DKI_REQUIRE(options->features == 0 || options->features == 2, DK_E_ARGUMENT,
                "synth:spirals has 2 features, not %lld", (long long)options->features);
    DKI_REQUIRE(classes <= 1000, DK_E_ARGUMENT, "synth:spirals: %lld classes: at most 1000",
                (long long)classes);
    DKI_REQUIRE(options->task != DK_TASK_REGRESSION, DK_E_ARGUMENT,
                "synth:spirals has classes, no targets for a regression");
    DKI_TRY(dki_check_features(request, 2));
    float *x = NULL;
    DKI_TRY(make_features(storage, rows, 2, &x));
    for (int64_t i = 0; i < rows; ++i) {
        int64_t c = i % classes;
        uint32_t word = dki_random_word(options->seed, DKI_FOR_SYNTH, POINTS, (uint64_t)i >> 32,
                                        (uint32_t)i, 0);
        double radius = ((double)word + 0.5) * 0x1p-32, cosine, sine;
        double sigma = 0.1 / (double)classes;
        circle(radius + (double)c / (double)classes, &cosine, &sine);
        x[2 * i] = (float)fma(radius, cosine, sigma * normal(options->seed, NOISE, i, 0));
        x[2 * i + 1] = (float)fma(radius, sine, sigma * normal(options->seed, NOISE, i, 1));
    }
    if (options->task == DK_TASK_NONE) return DK_OK;
    storage->task = DK_TASK_CLASSIFICATION;
    DKI_TRY(number_classes(storage, classes));
    DKI_TRY(dki_new(&storage->context->allocator, &storage->labels, (size_t)rows, "labels"));
    for (int64_t i = 0; i < rows; ++i) storage->labels[i] = (int32_t)(i % classes);
    return dki_check_targets(request, storage);
}

/** y = V tanh(W x + b); W [features, HIDDEN] and V [targets, HIDDEN] give sums of unit variance. */
typedef struct teacher {
    int64_t features, targets;
    float *w, *b, *v;
} teacher;

static void draw_teacher(teacher *net, uint64_t seed) {
    float scale = 1.0f / sqrtf((float)net->features), out = 1.0f / sqrtf((float)HIDDEN);
    for (int64_t j = 0; j < net->features; ++j)
        for (int64_t h = 0; h < HIDDEN; ++h)
            net->w[j * HIDDEN + h] = scale * normal(seed, TEACHER_HIDDEN, j + 1, h);
    for (int64_t h = 0; h < HIDDEN; ++h) net->b[h] = normal(seed, TEACHER_HIDDEN, 0, h);
    for (int64_t t = 0; t < net->targets; ++t)
        for (int64_t h = 0; h < HIDDEN; ++h)
            net->v[t * HIDDEN + h] = out * normal(seed, TEACHER_OUTPUT, t, h);
}

/* The product of two floats is exact in double, so it makes no difference whether a compiler
 * contracts it with the addition. */
static void teach(const teacher *net, const float *x, double *y) {
    double z[HIDDEN];
    float a[HIDDEN];
    for (int h = 0; h < HIDDEN; ++h) z[h] = net->b[h];
    for (int64_t j = 0; j < net->features; ++j) {
        const float *w = net->w + j * HIDDEN;
        for (int h = 0; h < HIDDEN; ++h) z[h] += (double)w[h] * (double)x[j];
    }
    for (int h = 0; h < HIDDEN; ++h) a[h] = dki_tanh((float)z[h]);
    for (int64_t t = 0; t < net->targets; ++t) {
        const float *v = net->v + t * HIDDEN;
        double sum = 0;
        for (int h = 0; h < HIDDEN; ++h) sum += (double)v[h] * (double)a[h];
        y[t] = (double)(float)sum; /* as a file of floats would have it */
    }
}

static dk_status teach_rows(const dki_request *request, dki_storage *storage, const float *x,
                            int64_t targets) {
    const dk_allocator *allocator = request->allocator;
    int64_t rows = storage->rows, features = storage->features_count;
    size_t count = 0;
    teacher net = {.features = features, .targets = targets};
    dk_status status = DK_OK;
    DKI_REQUIRE(dki_mul((size_t)rows, (size_t)targets, &count), DK_E_SHAPE,
                "%s: %lld rows of %lld targets overflow the address space", storage->name,
                (long long)rows, (long long)targets);
    DKI_TRY_OUT(dki_new(allocator, &storage->targets, count, "synthetic targets"));
    DKI_TRY_OUT(dki_new(allocator, &net.w, (size_t)features * HIDDEN, "the teacher's weights"));
    DKI_TRY_OUT(dki_new(allocator, &net.b, HIDDEN, "the teacher's biases"));
    DKI_TRY_OUT(dki_new(allocator, &net.v, (size_t)targets * HIDDEN, "the teacher's outputs"));
    draw_teacher(&net, request->options.seed);
    for (int64_t i = 0; i < rows; ++i)
        teach(&net, x + i * features, storage->targets + i * targets);
    storage->task = DK_TASK_REGRESSION;
    storage->target_count = targets;
out:
    dki_release(allocator, net.w);
    dki_release(allocator, net.b);
    dki_release(allocator, net.v);
    return status;
}

dk_status dki_source_teacher(const dki_request *request, dki_storage *storage) {
    const dk_data_options *options = &request->options;
    int64_t rows = options->rows ? options->rows : 10000;
    int64_t features = options->features ? options->features : 16;
    int64_t targets = options->targets ? options->targets : 1;
    DKI_REQUIRE(features <= INT32_MAX && targets <= INT32_MAX, DK_E_SHAPE,
                "synth:teacher: %lld features and %lld targets: each at most 2147483647",
                (long long)features, (long long)targets);
    DKI_REQUIRE(options->task != DK_TASK_CLASSIFICATION, DK_E_ARGUMENT,
                "synth:teacher has numbers as targets, no classes");
    DKI_TRY(dki_check_features(request, features));
    float *x = NULL;
    DKI_TRY(make_features(storage, rows, features, &x));
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < features; j += 4) {
            dki_words words = dki_random_block(options->seed, DKI_FOR_SYNTH, POINTS,
                                               (uint64_t)i >> 32, (uint32_t)i, (uint32_t)(j / 4));
            for (int64_t k = 0; k < 4 && j + k < features; ++k)
                x[i * features + j + k] = dki_normal(words.v[k]);
        }
    if (options->task == DK_TASK_NONE) return DK_OK;
    DKI_TRY(teach_rows(request, storage, x, targets));
    return dki_check_targets(request, storage);
}

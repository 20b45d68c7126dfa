/* Which library multiplies fastest on one core? For every product of the standard workloads, tiled as
 * the CPU backend tiles it, the speed of each library named on the command line in GFLOP/s.
 *
 *     sgemm LIBRARY.so…      for example libdnnl.so.2 libopenblas.so.0 libblis.so.4
 *
 * A library needs dnnl_sgemm or cblas_sgemm; it is opened at run time, so that none has to be there.
 * Times are the thread's own processor time, which other work on the machine hardly disturbs. Each
 * product is measured with rows as long as they are, and with rows 16 floats longer (`padded`): rows
 * a multiple of 1 KiB apart share places in the caches. One JSON object on standard output. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { COPIES = 4, REPEATS = 15, ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

typedef int (*dnnl_call)(char, char, int64_t, int64_t, int64_t, float, const float *, int64_t,
                         const float *, int64_t, float, float *, int64_t);
typedef void (*cblas_call)(int, int, int, int, int, int, float, const float *, int, const float *,
                           int, float, float *, int);

typedef struct {
    const char *name;
    dnnl_call dnnl;
    cblas_call cblas;
} library;

/* out [rows, cols] = A · B over `depth`: forward has B transposed, parameters have A transposed. */
typedef struct {
    const char *workload, *kind;
    int64_t rows, cols, depth;    /* of the whole product */
    int64_t tile_rows, tile_cols; /* of what one call computes */
} product;

static const product PRODUCTS[] = {
    {"k1024", "forward", 512, 1024, 1024, 512, 128},
    {"k1024", "data", 512, 1024, 1024, 128, 512},
    {"k1024", "parameters", 1024, 1024, 512, 256, 512},
    {"mnist", "forward", 128, 512, 784, 64, 128},
    {"mnist", "forward", 128, 512, 512, 64, 128},
    {"mnist", "data", 128, 512, 512, 64, 128},
    {"mnist", "parameters", 512, 784, 128, 256, 208},
    {"mnist", "parameters", 512, 512, 128, 128, 256},
    {"narrow", "forward", 8192, 128, 128, 512, 128},
    {"narrow", "data", 8192, 128, 128, 128, 128},
    {"narrow", "parameters", 128, 128, 8192, 16, 128},
};

typedef struct {
    const product *shape;
    int64_t a_ld, b_ld, out_ld;
    float *a[COPIES], *b[COPIES], *out[COPIES];
} operands;

static int transposes_a(const product *shape) {
    return shape->kind[0] == 'p';
}

static int transposes_b(const product *shape) {
    return shape->kind[0] == 'f';
}

static double processor_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static float *random_matrix(int64_t rows, int64_t ld) {
    const size_t count = (size_t)(rows * ld);
    float *values = aligned_alloc(256, (count * sizeof *values + 255) / 256 * 256);
    for (size_t i = 0; values && i < count; ++i) values[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return values;
}

static int make_operands(operands *o, const product *shape, int64_t padding) {
    const int64_t a_rows = transposes_a(shape) ? shape->depth : shape->rows;
    const int64_t b_rows = transposes_b(shape) ? shape->cols : shape->depth;
    o->shape = shape;
    o->a_ld = (transposes_a(shape) ? shape->rows : shape->depth) + padding;
    o->b_ld = (transposes_b(shape) ? shape->depth : shape->cols) + padding;
    o->out_ld = shape->cols + padding;
    int complete = 1;
    for (int i = 0; i < COPIES; ++i) {
        o->a[i] = random_matrix(a_rows, o->a_ld);
        o->b[i] = random_matrix(b_rows, o->b_ld);
        o->out[i] = random_matrix(shape->rows, o->out_ld);
        complete = complete && o->a[i] && o->b[i] && o->out[i];
    }
    return complete;
}

static void free_operands(operands *o) {
    for (int i = 0; i < COPIES; ++i) {
        free(o->a[i]);
        free(o->b[i]);
        free(o->out[i]);
    }
}

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void multiply_tile(const library *lib, const operands *o, int copy, int64_t row,
                          int64_t col) {
    const product *p = o->shape;
    const int ta = transposes_a(p), tb = transposes_b(p);
    const int64_t rows = min(p->tile_rows, p->rows - row), cols = min(p->tile_cols, p->cols - col);
    const float *a = o->a[copy] + (ta ? row : row * o->a_ld);
    const float *b = o->b[copy] + (tb ? col * o->b_ld : col);
    float *out = o->out[copy] + row * o->out_ld + col;
    if (lib->dnnl)
        lib->dnnl(ta ? 'T' : 'N', tb ? 'T' : 'N', rows, cols, p->depth, 1.0f, a, o->a_ld, b,
                  o->b_ld, 0.0f, out, o->out_ld);
    else
        lib->cblas(ROW_MAJOR, ta ? TRANSPOSED : PLAIN, tb ? TRANSPOSED : PLAIN, (int)rows,
                   (int)cols, (int)p->depth, 1.0f, a, (int)o->a_ld, b, (int)o->b_ld, 0.0f, out,
                   (int)o->out_ld);
}

static void multiply(const library *lib, const operands *o, int copy) {
    const product *p = o->shape;
    for (int64_t col = 0; col < p->cols; col += p->tile_cols)
        for (int64_t row = 0; row < p->rows; row += p->tile_rows)
            multiply_tile(lib, o, copy, row, col);
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* GFLOP/s: the median of REPEATS, each at least some milliseconds long. */
static double speed(const library *lib, const operands *o) {
    const product *p = o->shape;
    const double flops = 2.0 * (double)p->rows * (double)p->cols * (double)p->depth;
    const int calls = (int)(5e8 / flops) + 1;
    double seconds[REPEATS];
    for (int repeat = -1; repeat < REPEATS; ++repeat) { /* the first is for warming up */
        const double began = processor_seconds();
        for (int i = 0; i < calls; ++i) multiply(lib, o, i % COPIES);
        if (repeat >= 0) seconds[repeat] = (processor_seconds() - began) / calls;
    }
    qsort(seconds, REPEATS, sizeof *seconds, compare_doubles);
    return flops / seconds[REPEATS / 2] * 1e-9;
}

/* 0 where a library has neither function. Its own threads are kept out: OMP_NUM_THREADS=1 does that
 * for the OpenMP builds. */
static int open_library(library *lib, const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        fprintf(stderr, "sgemm: %s\n", dlerror());
        return 0;
    }
    void *dnnl = dlsym(handle, "dnnl_sgemm"), *cblas = dlsym(handle, "cblas_sgemm");
    *lib = (library){.name = path};
    *(void **)&lib->dnnl = dnnl;
    *(void **)&lib->cblas = cblas;
    if (dnnl || cblas) return 1;
    fprintf(stderr, "sgemm: %s has neither dnnl_sgemm nor cblas_sgemm\n", path);
    return 0;
}

static json_t *measure(const product *shape, const library *libraries, int count) {
    json_t *speeds[2] = {json_object(), json_object()};
    for (int padded = 0; padded < 2; ++padded) {
        operands o = {0};
        if (!make_operands(&o, shape, padded ? 16 : 0)) {
            fprintf(stderr, "sgemm: out of memory\n");
            exit(1);
        }
        for (int i = 0; i < count; ++i)
            json_object_set_new(speeds[padded], libraries[i].name,
                                json_real(speed(&libraries[i], &o)));
        free_operands(&o);
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "workload", shape->workload,
                     "kind", shape->kind, "rows", (json_int_t)shape->rows, "cols",
                     (json_int_t)shape->cols, "depth", (json_int_t)shape->depth, "tile_rows",
                     (json_int_t)shape->tile_rows, "tile_cols", (json_int_t)shape->tile_cols,
                     "gflops", speeds[0], "gflops_padded", speeds[1]);
}

int main(int argc, char **argv) {
    library *libraries = calloc((size_t)argc, sizeof *libraries);
    int count = 0;
    setenv("OMP_NUM_THREADS", "1", 1); /* before a library is there to read it */
    for (int i = 1; libraries && i < argc; ++i) count += open_library(&libraries[count], argv[i]);
    if (!count) {
        fprintf(stderr, "usage: sgemm LIBRARY.so…   libraries with dnnl_sgemm or cblas_sgemm\n");
        free(libraries);
        return 2;
    }
    json_t *products = json_array();
    for (size_t i = 0; i < sizeof PRODUCTS / sizeof *PRODUCTS; ++i)
        json_array_append_new(products, measure(&PRODUCTS[i], libraries, count));
    json_t *result = json_pack("{s:o}", "products", products);
    json_dumpf(result, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(result);
    free(libraries);
    return 0;
}

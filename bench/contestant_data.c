/* The data that all contestants train on: made here, since this program alone is always there. */
#include "contestant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 (Steele, Lea and Flood 2014): the i-th word of a stream. */
static uint64_t random_word(uint64_t i) {
    uint64_t z = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Close to normal, mean 0, variance 1: the sum of four uniform numbers in [0, 2¹⁶), each of
 * variance 2³²/12. */
static float random_feature(uint64_t i) {
    uint64_t word = random_word(i);
    int64_t sum = (int64_t)(word & 0xFFFF) + (int64_t)(word >> 16 & 0xFFFF) +
                  (int64_t)(word >> 32 & 0xFFFF) + (int64_t)(word >> 48);
    return (float)(sum - 131070) * (1.7320508f / 65536.0f);
}

/* NPY 1.0: magic, version, length of the header, the header padded to 64 bytes, the numbers. */
static void write_npy(const char *path, const char *type, const char *shape, const void *values,
                      size_t bytes) {
    char header[128];
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 118 bytes follow */
    int length = snprintf(header + 10, sizeof header - 10,
                          "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, shape);
    header[10 + length] = ' ';
    header[127] = '\n';
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(header, sizeof header, 1, file) == 1 &&
                   fwrite(values, 1, bytes, file) == bytes;
    if (!file || fclose(file) || !written) give_up("can't write %s", path);
}

/* A file with the header above. */
static void *read_npy(const char *path, const char *type, size_t bytes) {
    char header[129] = "";
    char descr[32];
    void *values = allocate(bytes, 1);
    FILE *file = fopen(path, "rb");
    snprintf(descr, sizeof descr, "'descr': '%s'", type);
    if (!file || fread(header, 128, 1, file) != 1 || !strstr(header + 10, descr) ||
        fread(values, 1, bytes, file) != bytes)
        give_up("%s isn't what `contestant prepare` wrote for this task", path);
    fclose(file);
    return values;
}

void samples_write(const bench_task *task) {
    char shape[64];
    size_t rows = (size_t)(task->batch * task->batches), features = (size_t)task->widths[0];
    uint64_t classes = (uint64_t)task->widths[task->count - 1];
    float *x = allocate(rows * features, sizeof *x);
    int64_t *y = allocate(rows, sizeof *y);
    for (size_t i = 0; i < rows * features; ++i) x[i] = random_feature(i);
    /* Words of another part of the stream. */
    for (size_t i = 0; i < rows; ++i) y[i] = (int64_t)(random_word(~(uint64_t)i) % classes);
    snprintf(shape, sizeof shape, "(%zu, %zu)", rows, features);
    write_npy(task->x, "<f4", shape, x, rows * features * sizeof *x);
    snprintf(shape, sizeof shape, "(%zu,)", rows);
    write_npy(task->y, "<i8", shape, y, rows * sizeof *y);
    free(x);
    free(y);
}

bench_samples samples_read(const bench_task *task) {
    size_t rows = (size_t)(task->batch * task->batches), features = (size_t)task->widths[0];
    bench_samples made = {read_npy(task->x, "<f4", rows * features * sizeof(float)),
                          allocate(rows, sizeof(int32_t))};
    int64_t *y = read_npy(task->y, "<i8", rows * sizeof *y);
    for (size_t i = 0; i < rows; ++i) made.labels[i] = (int32_t)y[i];
    free(y);
    return made;
}

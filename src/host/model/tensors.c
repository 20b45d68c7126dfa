#include "model/tensors.h"

#include "model/transfer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Tensor i of a region: the weight of layer i/2 + 1, or its bias. */
static dki_matrix matrix_of(const dki_place *place, size_t i, float *values) {
    if (i % 2 == 0)
        return (dki_matrix){values + place->w, place->width, place->inputs, place->w_ld};
    return (dki_matrix){values + place->b, 1, place->width, place->width};
}

static void name_tensor(char name[DKI_TENSOR_NAME], const char *prefix, size_t i) {
    snprintf(name, DKI_TENSOR_NAME, "%slayers.%zu.%s", prefix, i / 2 + 1,
             i % 2 == 0 ? "weight" : "bias");
}

/* ---- to a file ----------------------------------------------------------------------------- */

/* Where the writer may take them past the page cache. */
static float *first_page(float *values) {
    const size_t beyond = (uintptr_t)values % DKI_PAGE;
    return values + (beyond ? DKI_PAGE - beyond : 0) / sizeof *values;
}

static void describe(dki_tensor_copies *copies, const dk_net *net, const dki_region *regions,
                     size_t count) {
    const size_t each = 2 * net->desc.layer_count;
    float *values = first_page(copies->values);
    for (size_t t = 0; t < count * each; ++t) {
        const dki_place *place = &net->layout.places[t % each / 2];
        const dki_matrix matrix = matrix_of(place, t % each, net->parameters);
        const size_t elements = (size_t)(matrix.rows * matrix.cols);
        dki_safetensor *tensor = &copies->tensors[t];
        name_tensor(copies->names[t], regions[t / each].prefix, t % each);
        *tensor = (dki_safetensor){.name = copies->names[t],
                                   .dtype = "F32",
                                   .dims = t % 2 == 0 ? 2 : 1,
                                   .shape = {place->width, place->inputs},
                                   .data = values,
                                   .bytes = elements * sizeof(float)};
        values += elements;
    }
}

dk_status dki_tensor_copies_make(dki_tensor_copies *copies, const dk_net *net,
                                 const dki_region *regions, size_t count) {
    const dk_allocator *allocator = &net->context->allocator;
    const size_t tensors = count * 2 * net->desc.layer_count;
    *copies = (dki_tensor_copies){.allocator = allocator, .count = tensors};
    dk_status status = DK_OK;
    DKI_TRY_OUT(dki_new(allocator, &copies->tensors, tensors, "the tensors to be saved"));
    DKI_TRY_OUT(dki_new(allocator, &copies->names, tensors, "the tensors' names"));
    DKI_TRY_OUT(dki_new(allocator, &copies->values,
                        count * (size_t)net->layout.parameter_count + DKI_PAGE / sizeof(float),
                        "a copy of what is to be saved"));
    describe(copies, net, regions, count);
    return DK_OK;
out:
    dki_tensor_copies_release(copies);
    return status;
}

void dki_tensor_copies_release(dki_tensor_copies *copies) {
    if (!copies->allocator) return;
    dki_release(copies->allocator, copies->values);
    dki_release(copies->allocator, copies->names);
    dki_release(copies->allocator, copies->tensors);
    *copies = (dki_tensor_copies){0};
}

static dk_status take(dki_backend *backend, const dki_matrix *from, bool on_host, float *to) {
    if (!on_host) return dki_matrix_download(backend, from, to);
    for (int64_t row = 0; row < from->rows; ++row)
        memcpy(to + row * from->cols, (const float *)from->data + row * from->ld,
               (size_t)from->cols * sizeof *to);
    return DK_OK;
}

dk_status dki_tensor_copies_take(dki_tensor_copies *copies, const dk_net *net,
                                 const dki_region *regions, size_t count) {
    dki_backend *backend = net->context->backend;
    const size_t each = 2 * net->desc.layer_count;
    DKI_TRY(backend->ops->sync(backend));
    for (size_t t = 0; t < count * each; ++t) {
        const dki_region *region = &regions[t / each];
        const dki_matrix from =
            matrix_of(&net->layout.places[t % each / 2], t % each, region->values);
        DKI_TRY(take(backend, &from, region->on_host, (float *)(uintptr_t)copies->tensors[t].data));
    }
    return DK_OK;
}

/* Without a way out in the middle, so that the compiler takes many at a time: x − x is 0 but for NaN and
 * Inf. */
static bool all_finite(const float *values, size_t count) {
    int bad = 0;
    for (size_t i = 0; i < count; ++i) bad |= values[i] - values[i] != 0.0f;
    return !bad;
}

/* The first element that is NaN or Inf, or `count`. */
static size_t first_nonfinite(const float *values, size_t count) {
    enum { BLOCK = 1024 };
    size_t i = 0;
    while (count - i >= BLOCK && all_finite(values + i, BLOCK)) i += BLOCK;
    while (i < count && isfinite(values[i])) ++i;
    return i;
}

dk_status dki_tensor_copies_check(const dki_tensor_copies *copies, size_t count) {
    for (size_t t = 0; t < count; ++t) {
        const dki_safetensor *tensor = &copies->tensors[t];
        const float *values = tensor->data;
        const size_t elements = tensor->bytes / sizeof *values;
        const size_t bad = first_nonfinite(values, elements);
        DKI_REQUIRE(bad == elements, DK_E_NONFINITE, "%s holds %g: nothing is saved", tensor->name,
                    (double)values[bad]);
    }
    return DK_OK;
}

/* ---- from a file --------------------------------------------------------------------------- */

dk_status dki_tensors_check(const dki_safetensors *file, const dk_net_desc *desc,
                            const char *prefix) {
    for (size_t i = 0; i < 2 * desc->layer_count; ++i) {
        char name[DKI_TENSOR_NAME];
        const size_t k = i / 2;
        const int64_t shape[2] = {desc->layers[k].width,
                                  k ? desc->layers[k - 1].width : desc->inputs};
        name_tensor(name, prefix, i);
        DKI_TRY(dki_safetensors_expect_f32(file, name, shape, i % 2 == 0 ? 2 : 1));
    }
    return DK_OK;
}

static dk_status put(dki_backend *backend, const dki_matrix *to, bool on_host, const float *from) {
    if (!on_host) return dki_matrix_upload(backend, to, from);
    for (int64_t row = 0; row < to->rows; ++row)
        memcpy((float *)to->data + row * to->ld, from + row * to->cols,
               (size_t)to->cols * sizeof *from);
    return DK_OK;
}

/* Before anything is changed. */
static dk_status check_finite(const dki_safetensors *file, const dk_net *net,
                              const dki_region *region, float *scratch) {
    for (size_t i = 0; region->finite && i < 2 * net->desc.layer_count; ++i) {
        char name[DKI_TENSOR_NAME];
        name_tensor(name, region->prefix, i);
        const size_t elements = dki_safetensors_copy_f32(file, name, scratch);
        const size_t bad = first_nonfinite(scratch, elements);
        DKI_REQUIRE(bad == elements, DK_E_NONFINITE, "%s holds %g", name, (double)scratch[bad]);
    }
    return DK_OK;
}

static dk_status load_region(dk_net *net, const dki_safetensors *file, const dki_region *region,
                             float *scratch) {
    for (size_t i = 0; i < 2 * net->desc.layer_count; ++i) {
        char name[DKI_TENSOR_NAME];
        const dki_matrix to = matrix_of(&net->layout.places[i / 2], i, region->values);
        name_tensor(name, region->prefix, i);
        dki_safetensors_copy_f32(file, name, scratch);
        DKI_TRY(put(net->context->backend, &to, region->on_host, scratch));
    }
    return region->values == net->parameters ? dki_net_cast(net, 0, net->layout.elements) : DK_OK;
}

static size_t largest_tensor(const dk_net *net) {
    int64_t most = 0;
    for (size_t k = 0; k < net->desc.layer_count; ++k) {
        const dki_place *place = &net->layout.places[k];
        const int64_t weights = place->width * place->inputs;
        if (weights > most) most = weights;
    }
    return (size_t)most;
}

dk_status dki_tensors_load(dk_net *net, const dki_safetensors *file, const dki_region *regions,
                           size_t count) {
    const dk_allocator *allocator = &net->context->allocator;
    float *scratch = NULL;
    for (size_t r = 0; r < count; ++r)
        DKI_TRY(dki_tensors_check(file, &net->desc, regions[r].prefix));
    DKI_TRY(dki_new(allocator, &scratch, largest_tensor(net), "a tensor"));
    dk_status status = DK_OK;
    for (size_t r = 0; r < count && !status; ++r)
        status = check_finite(file, net, &regions[r], scratch);
    for (size_t r = 0; r < count && !status; ++r)
        status = load_region(net, file, &regions[r], scratch);
    dki_release(allocator, scratch);
    return status;
}

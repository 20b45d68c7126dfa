/* Forward and backward by plain loops over rows, i and j: equations (1)–(4) as they stand. */
#include "reference/loss.h"

static int64_t width(const dki_ref_net *net, size_t k) {
    return k == 0 ? net->layers[0].inputs : net->layers[k - 1].width;
}

/* ∂a_j/∂z_j of layer k ≥ 1, dropout included. */
static double slope(const dki_ref_net *net, const dki_ref_tensors *pass, size_t k, int64_t at) {
    const dki_ref_layer *layer = &net->layers[k - 1];
    double factor = layer->dropout_scale ? layer->dropout_scale[at] : 1;
    return dki_ref_g_prime(layer->activation, layer->alpha, pass->z[k][at]) * factor;
}

/* --- memory --------------------------------------------------------------------------------- */

/* *total += factor·(a·b), or false on overflow. */
static bool add_product(size_t *total, size_t factor, int64_t a, int64_t b) {
    size_t product;
    return dki_mul((size_t)a, (size_t)b, &product) && dki_mul(product, factor, &product) &&
           dki_add(*total, product, total);
}

/* Doubles of all tensors together; checks the widths on the way. */
static dk_status count_elements(const dki_ref_net *net, int64_t rows, size_t *count) {
    DKI_REQUIRE(net->layers && net->layer_count >= 1 && rows >= 1, DK_E_ARGUMENT,
                "reference: a network needs layers, and a batch rows");
    bool fits = true;
    *count = 0;
    for (size_t k = 0; k <= net->layer_count; k++) {
        int64_t n = width(net, k);
        DKI_REQUIRE(n >= 1, DK_E_SHAPE, "reference: width %lld in layer %zu", (long long)n, k);
        fits = fits && add_product(count, k == 0 ? 2 : 3, rows, n); /* (z,) a, delta */
        if (k == 0) continue;
        int64_t inputs = net->layers[k - 1].inputs;
        DKI_REQUIRE(inputs == width(net, k - 1), DK_E_SHAPE,
                    "reference: layer %zu takes %lld inputs, the layer before it gives %lld", k,
                    (long long)inputs, (long long)width(net, k - 1));
        fits = fits && add_product(count, 1, n, inputs) && add_product(count, 1, n, 1);
    }
    DKI_REQUIRE(fits, DK_E_SHAPE, "reference: the tensors' sizes overflow");
    return DK_OK;
}

static double *take(double **next, int64_t count) {
    double *taken = *next;
    *next += count;
    return taken;
}

dk_status dki_ref_create(dki_ref_tensors *tensors, const dk_allocator *allocator,
                         const dki_ref_net *net, int64_t rows) {
    const dki_ref_tensors empty = {0};
    *tensors = empty;
    size_t elements = 0, bytes, pointers, pointer_bytes;
    DKI_TRY(count_elements(net, rows, &elements));
    bool fits = dki_add(net->layer_count, 1, &pointers) && dki_mul(pointers, 5, &pointers) &&
                dki_mul(pointers, sizeof(double *), &pointer_bytes) &&
                dki_round_up(pointer_bytes, DKI_ALIGNMENT, &pointer_bytes) &&
                dki_mul(elements, sizeof(double), &bytes) && dki_add(bytes, pointer_bytes, &bytes);
    DKI_REQUIRE(fits, DK_E_SHAPE, "reference: the tensors' sizes overflow");

    char *memory;
    DKI_TRY(dki_new(allocator, &memory, bytes, "tensors of the reference"));
    tensors->layer_count = net->layer_count;
    tensors->rows = rows;
    tensors->allocator = allocator;
    tensors->memory = memory;
    double **table = (double **)(void *)memory;
    double ***tables[5] = {&tensors->z, &tensors->a, &tensors->delta, &tensors->dW, &tensors->db};
    for (size_t i = 0; i < 5; i++) *tables[i] = table + i * (net->layer_count + 1);

    double *next = (double *)(void *)(memory + pointer_bytes);
    for (size_t k = 0; k <= net->layer_count; k++) {
        int64_t n = width(net, k);
        tensors->a[k] = take(&next, rows * n);
        tensors->delta[k] = take(&next, rows * n);
        if (k == 0) continue;
        tensors->z[k] = take(&next, rows * n);
        tensors->dW[k] = take(&next, n * net->layers[k - 1].inputs);
        tensors->db[k] = take(&next, n);
    }
    return DK_OK;
}

void dki_ref_destroy(dki_ref_tensors *tensors) {
    const dki_ref_tensors empty = {0};
    dki_release(tensors->allocator, tensors->memory);
    *tensors = empty;
}

/* --- forward -------------------------------------------------------------------------------- */

void dki_ref_forward(const dki_ref_net *net, const dki_ref_batch *batch, dki_ref_tensors *pass) {
    int64_t n0 = width(net, 0);
    for (int64_t i = 0; i < pass->rows * n0; i++) pass->a[0][i] = batch->x[i];
    for (int64_t row = 0; row < pass->rows; row++) {
        for (size_t k = 1; k <= net->layer_count; k++) {
            const dki_ref_layer *layer = &net->layers[k - 1];
            const double *a_in = pass->a[k - 1] + row * layer->inputs;
            for (int64_t j = 0; j < layer->width; j++) {
                double z = layer->b[j];
                for (int64_t i = 0; i < layer->inputs; i++)
                    z += layer->W[j * layer->inputs + i] * a_in[i];
                int64_t at = row * layer->width + j;
                double factor = layer->dropout_scale ? layer->dropout_scale[at] : 1;
                pass->z[k][at] = z;
                pass->a[k][at] = dki_ref_g(layer->activation, layer->alpha, z) * factor;
            }
        }
    }
}

dk_status dki_ref_mean_loss(const dki_ref_net *net, const dki_ref_batch *batch,
                            dki_ref_tensors *pass) {
    DKI_TRY(dki_ref_batch_check(net, batch));
    int64_t n = width(net, net->layer_count);
    double total = dki_ref_total_weight(net, batch);
    pass->loss = 0;
    for (int64_t row = 0; row < batch->rows; row++) {
        double share = dki_ref_share(batch, total, row);
        if (share == 0) continue;
        dki_ref_sample sample =
            dki_ref_sample_of(net, batch, row, pass->a[net->layer_count] + row * n);
        pass->loss += share * dki_ref_sample_loss(&sample);
    }
    return DK_OK;
}

/* --- backward ------------------------------------------------------------------------------- */

/* (2), without g′: Σ_i W_ij^(k+1) δ_i^(k+1) of one row. */
static double carried_back(const dki_ref_net *net, const dki_ref_tensors *pass, size_t k,
                           int64_t row, int64_t j) {
    const dki_ref_layer *next = &net->layers[k];
    double sum = 0;
    for (int64_t i = 0; i < next->width; i++)
        sum += next->W[i * next->inputs + j] * pass->delta[k + 1][row * next->width + i];
    return sum;
}

/* (1)–(4) for one sample whose ∂l/∂a stands in its row of delta[L]; its gradients enter dW and db,
 * and its δ stay, with the factor `share`. */
static void backward_sample(const dki_ref_net *net, dki_ref_tensors *pass, int64_t row,
                            double share) {
    size_t last = net->layer_count;
    for (int64_t j = 0; j < width(net, last); j++) {
        int64_t at = row * width(net, last) + j;
        pass->delta[last][at] *= slope(net, pass, last, at); /* (1) */
    }
    for (size_t k = last; k-- > 0;)
        for (int64_t j = 0; j < width(net, k); j++) {
            int64_t at = row * width(net, k) + j;
            double sum = carried_back(net, pass, k, row, j);
            pass->delta[k][at] = k == 0 ? sum : sum * slope(net, pass, k, at); /* (2) */
        }
    for (size_t k = 0; k <= last; k++)
        for (int64_t j = 0; j < width(net, k); j++) {
            double *delta = &pass->delta[k][row * width(net, k) + j];
            *delta *= share;
            if (k == 0) continue;
            int64_t inputs = net->layers[k - 1].inputs;
            for (int64_t i = 0; i < inputs; i++)
                pass->dW[k][j * inputs + i] += pass->a[k - 1][row * inputs + i] * *delta; /* (3) */
            pass->db[k][j] += *delta;                                                     /* (4) */
        }
}

static void clear_gradients(const dki_ref_net *net, dki_ref_tensors *pass) {
    for (size_t k = 1; k <= net->layer_count; k++) {
        const dki_ref_layer *layer = &net->layers[k - 1];
        for (int64_t i = 0; i < layer->width * layer->inputs; i++) pass->dW[k][i] = 0;
        for (int64_t j = 0; j < layer->width; j++) pass->db[k][j] = 0;
    }
}

dk_status dki_ref_backward(const dki_ref_net *net, const dki_ref_batch *batch,
                           dki_ref_tensors *pass) {
    DKI_TRY(dki_ref_mean_loss(net, batch, pass));
    size_t last = net->layer_count;
    int64_t n = width(net, last);
    double total = dki_ref_total_weight(net, batch);
    clear_gradients(net, pass);
    for (int64_t row = 0; row < pass->rows; row++) {
        dki_ref_sample sample = dki_ref_sample_of(net, batch, row, pass->a[last] + row * n);
        for (int64_t j = 0; j < n; j++)
            pass->delta[last][row * n + j] = dki_ref_sample_gradient(&sample, j);
        backward_sample(net, pass, row, dki_ref_share(batch, total, row));
    }
    return DK_OK;
}

void dki_ref_backward_given(const dki_ref_net *net, const double *dl_da, dki_ref_tensors *pass) {
    size_t last = net->layer_count;
    clear_gradients(net, pass);
    for (int64_t i = 0; i < pass->rows * width(net, last); i++) pass->delta[last][i] = dl_da[i];
    for (int64_t row = 0; row < pass->rows; row++) backward_sample(net, pass, row, 1);
}

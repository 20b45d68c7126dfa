/* Choosing plans: every product of a network by each algorithm that the library proposes, then each
 * layer by each way it may go, on scratch memory. */
#include "backend/cuda/plan_choose.h"
#include "base/error.h"

#include <math.h>

enum { MOST_CANDIDATES = 16 };

typedef dki_chooser chooser;

static const double clearly_better = DKI_CLEARLY_BETTER;

/* What is timed. */
typedef struct {
    const dki_trial_layer *layer;
    dki_product_kind kind;
    dki_epilogue epilogue;
    const dki_algorithm *algorithm;
    dki_way way;
    bool update; /* the product that has the update in it */
    int64_t processors;
} trial;

static void describe(const trial *it, int copy, dki_product *product, dki_operands *operands) {
    if (it->update)
        dki_trial_update_product(it->layer, copy, product, operands);
    else
        dki_trial_product(it->layer, copy, it->kind, it->epilogue, product, operands);
    product->processors = it->processors;
}

static dk_status try_product(void *argument, int copy) {
    const trial *it = argument;
    dki_cuda *cuda = it->layer->cuda;
    dki_product product;
    dki_operands operands;
    describe(it, copy, &product, &operands);
    return dki_gpu_multiply(cuda->gpu, cuda->lanes[DKI_LANE_PARAMS], &product, it->algorithm,
                            &operands);
}

static dk_status try_forward(void *argument, int copy) {
    const trial *it = argument;
    const dki_linear_forward op = dki_trial_forward(it->layer, copy);
    return dki_cuda_forward_by(it->layer->cuda, DKI_LANE_PARAMS, &op, it->way);
}

static dk_status try_backward_data(void *argument, int copy) {
    const trial *it = argument;
    const dki_linear_backward_data op = dki_trial_backward_data(it->layer, copy);
    return dki_cuda_backward_data_by(it->layer->cuda, DKI_LANE_PARAMS, &op, it->way);
}

static dk_status try_backward_params(void *argument, int copy) {
    const trial *it = argument;
    const dki_linear_backward_params op = dki_trial_backward_params(it->layer, copy, true);
    return dki_cuda_backward_params_by(it->layer->cuda, DKI_LANE_PARAMS, &op, it->way);
}

/* Enough of them that the clock's resolution and a launch don't count, few where each takes long. */
static int repeats_of(const dki_trial_shape *shape) {
    const double flops =
        2.0 * (double)shape->rows * (double)shape->layer->inputs * (double)shape->layer->width;
    return flops < 2e9 ? 16 : flops < 1e11 ? 4 : 2;
}

dk_status dki_chooser_measure(dki_chooser *choose, const dki_trial_layer *layer, dki_trial run,
                              void *argument, double limit, double *milliseconds) {
    const dk_status status = dki_timer_measure(&choose->timer, run, argument, layer->copies,
                                               repeats_of(&layer->shape), limit, milliseconds);
    if (!status || status == DK_E_DEVICE_LOST) return status;
    dki_log_line(choose->cuda->services.log, DK_LOG_DEBUG, "a plan is passed over: %s",
                 dk_error_text());
    *milliseconds = INFINITY;
    return DK_OK;
}

static dk_status measure(chooser *choose, dki_trial run, trial *it, double limit,
                         double *milliseconds) {
    return dki_chooser_measure(choose, it->layer, run, it, limit, milliseconds);
}

dk_status dki_chooser_lay_out(const dki_chooser *choose, size_t k, dki_trial_layer *layer) {
    const dki_layer_shape *layers = choose->request->layers;
    const bool update = dki_cuda_may_fuse_update(choose->cuda, choose->request);
    const dki_trial_shape shape = {&layers[k], k ? &layers[k - 1] : NULL,
                                   choose->request->max_batch,
                                   update ? choose->request->fuse_rule : NULL};
    return dki_trial_lay_out(layer, choose->cuda, &shape);
}

/* The fastest of the library's algorithms for the product `wanted`, unless it is known. */
static dk_status choose_algorithm_of(chooser *choose, dki_trial_layer *layer, const trial *wanted) {
    dki_cuda *cuda = choose->cuda;
    dki_product product;
    dki_operands operands;
    dki_algorithm candidates[MOST_CANDIDATES];
    dki_plan_entry best = {{{0}, 0}, 0};
    bool known = false;
    int count = 0;
    trial it = *wanted;
    describe(&it, 0, &product, &operands);
    const dki_plan_key key = dki_plan_key_of(&product, DKI_QUESTION_ALGORITHM);
    DKI_TRY(dki_plans_get(cuda->plans, &key, &best, &known));
    if (known) return DK_OK;
    DKI_TRY(dki_trial_allocate(layer));
    describe(&it, 0, &product, &operands);
    DKI_TRY(dki_product_validate(&product, &operands));
    DKI_TRY(dki_gpu_algorithms(cuda->gpu, &product, candidates, MOST_CANDIDATES, &count));
    double fastest = INFINITY;
    int taken = 0;
    for (int i = 0; i < count; ++i) {
        double milliseconds = INFINITY;
        it.algorithm = &candidates[i];
        DKI_TRY(measure(choose, try_product, &it, fastest, &milliseconds));
        if (!(milliseconds < clearly_better * fastest)) continue;
        fastest = milliseconds;
        best.algorithm = candidates[i];
        taken = i;
    }
    if (!isfinite(fastest)) return DK_OK;
    dki_log_line(cuda->services.log, DK_LOG_DEBUG,
                 "product %lld × %lld × %lld, epilogue %d%s: algorithm %d of %d, %.4f ms",
                 (long long)product.m, (long long)product.n, (long long)product.k,
                 (int)product.epilogue, it.update ? ", with the update" : "", taken, count,
                 fastest);
    return dki_plans_put(cuda->plans, &key, &best, true);
}

static dk_status choose_algorithm(chooser *choose, dki_trial_layer *layer, dki_product_kind kind,
                                  dki_epilogue epilogue) {
    trial it = {.layer = layer, .kind = kind, .epilogue = epilogue};
    return choose_algorithm_of(choose, layer, &it);
}

dk_status dki_chooser_data_algorithm(dki_chooser *choose, dki_trial_layer *layer,
                                     dki_epilogue epilogue, int64_t processors) {
    trial it = {
        .layer = layer, .kind = DKI_PRODUCT_DATA, .epilogue = epilogue, .processors = processors};
    return choose_algorithm_of(choose, layer, &it);
}

/* Whether the library has a product: after choose_algorithm, what the table says. */
static dk_status has_product(const chooser *choose, const dki_trial_layer *layer,
                             dki_product_kind kind, dki_epilogue epilogue, bool *has) {
    dki_product product;
    dki_operands operands;
    dki_algorithm algorithm;
    dki_trial_product(layer, 0, kind, epilogue, &product, &operands);
    return dki_plans_algorithm(choose->cuda->plans, &product, &algorithm, has);
}

/* The epilogue, or a bare product and a kernel of ours? */
static dk_status choose_fused(chooser *choose, dki_trial_layer *layer, dki_product_kind kind,
                              dki_epilogue epilogue) {
    const dki_trial run = kind == DKI_PRODUCT_FORWARD ? try_forward : try_backward_data;
    dki_cuda *cuda = choose->cuda;
    dki_product product;
    dki_operands operands;
    dki_plan_entry entry = {{{0}, 0}, DKI_WAY_FUSED};
    bool known = false, has = false;
    double plain = INFINITY, fused = INFINITY;
    dki_trial_product(layer, 0, kind, epilogue, &product, &operands);
    const dki_plan_key key = dki_plan_key_of(&product, DKI_QUESTION_FUSED);
    DKI_TRY(dki_plans_get(cuda->plans, &key, &entry, &known));
    if (known) return DK_OK;
    DKI_TRY(has_product(choose, layer, kind, epilogue, &has));
    if (has) {
        trial it = {.layer = layer, .way = DKI_WAY_FUSED};
        DKI_TRY(dki_trial_allocate(layer));
        DKI_TRY(measure(choose, run, &it, INFINITY, &fused));
        it.way = DKI_WAY_PLAIN;
        DKI_TRY(measure(choose, run, &it, fused, &plain));
    }
    dki_log_line(cuda->services.log, DK_LOG_DEBUG,
                 "%s %lld → %lld: epilogue %d %.4f ms, kernel of its own %.4f ms",
                 kind == DKI_PRODUCT_FORWARD ? "forward" : "data gradient", (long long)product.k,
                 (long long)product.m, (int)epilogue, fused, plain);
    if (!isfinite(fused) || plain < clearly_better * fused) entry.answer = DKI_WAY_PLAIN;
    return dki_plans_put(cuda->plans, &key, &entry, true);
}

/* dW: the update in the product, or behind it? */
static dk_status choose_update(chooser *choose, dki_trial_layer *layer) {
    dki_cuda *cuda = choose->cuda;
    dki_product product;
    dki_operands operands;
    dki_algorithm algorithm;
    dki_plan_entry entry = {{{0}, 0}, DKI_WAY_FUSED};
    trial it = {.layer = layer, .kind = DKI_PRODUCT_PARAMS, .update = true};
    bool known = false, has = false;
    double plain = INFINITY, fused = INFINITY;
    DKI_TRY(choose_algorithm_of(choose, layer, &it));
    describe(&it, 0, &product, &operands);
    const dki_plan_key key = dki_plan_key_of(&product, DKI_QUESTION_UPDATE);
    DKI_TRY(dki_plans_get(cuda->plans, &key, &entry, &known));
    if (known) return DK_OK;
    DKI_TRY(dki_plans_algorithm(cuda->plans, &product, &algorithm, &has));
    if (has) {
        DKI_TRY(dki_trial_allocate(layer));
        it.way = DKI_WAY_FUSED;
        DKI_TRY(measure(choose, try_backward_params, &it, INFINITY, &fused));
        it.way = DKI_WAY_PLAIN;
        DKI_TRY(measure(choose, try_backward_params, &it, fused, &plain));
    }
    dki_log_line(cuda->services.log, DK_LOG_DEBUG,
                 "dW %lld × %lld: update in the product %.4f ms, behind it %.4f ms",
                 (long long)product.n, (long long)product.m, fused, plain);
    if (!isfinite(fused) || plain < clearly_better * fused) entry.answer = DKI_WAY_PLAIN;
    return dki_plans_put(cuda->plans, &key, &entry, true);
}

/* As dki_cuda_may_fuse_gelu will say of forward, and of the data gradient through the layer below. */
static bool epilogue_has_gelu(const chooser *choose, const dki_layer_shape *shape,
                              const dki_nonlinearity *g, const dki_matrix *z) {
    return dki_keeps_z(choose->request, shape) && !shape->dropout &&
           dki_cuda_may_fuse_gelu(choose->cuda, g, z);
}

static bool may_fuse_gelu(const chooser *choose, const dki_trial_layer *layer) {
    const dki_linear_forward op = dki_trial_forward(layer, 0);
    return epilogue_has_gelu(choose, layer->shape.layer, &op.g, &op.z);
}

static bool may_fuse_gelu_below(const chooser *choose, const dki_trial_layer *layer) {
    const dki_linear_backward_data op = dki_trial_backward_data(layer, 0);
    return epilogue_has_gelu(choose, layer->shape.below, &op.g, &op.z);
}

static bool may_fuse(const chooser *choose, const dki_trial_layer *layer) {
    const dki_plan_request *request = choose->request;
    const dki_layer_shape *shape = layer->shape.layer;
    if (shape->activation == DK_GELU_TANH) return may_fuse_gelu(choose, layer);
    return !shape->dropout && (shape->activation == DK_IDENTITY ||
                               (shape->activation == DK_RELU && !request->keep_all));
}

static dk_status choose_layer(chooser *choose, size_t k, dki_trial_layer *layer) {
    const dki_layer_shape *shape = &choose->request->layers[k];
    DKI_TRY(choose_algorithm(choose, layer, DKI_PRODUCT_FORWARD, DKI_EPILOGUE_NONE));
    if (may_fuse(choose, layer)) {
        const dki_epilogue epilogue = dki_cuda_forward_epilogue(shape->activation);
        DKI_TRY(choose_algorithm(choose, layer, DKI_PRODUCT_FORWARD, epilogue));
        DKI_TRY(choose_fused(choose, layer, DKI_PRODUCT_FORWARD, epilogue));
    }
    if (!choose->request->gradients) return DK_OK;
    DKI_TRY(choose_algorithm(choose, layer, DKI_PRODUCT_PARAMS, DKI_EPILOGUE_NONE));
    if (dki_cuda_may_fuse_update(choose->cuda, choose->request))
        DKI_TRY(choose_update(choose, layer));
    if (k == 0) return DK_OK;
    DKI_TRY(choose_algorithm(choose, layer, DKI_PRODUCT_DATA, DKI_EPILOGUE_NONE));
    if (may_fuse_gelu_below(choose, layer)) {
        DKI_TRY(choose_algorithm(choose, layer, DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU));
        DKI_TRY(choose_fused(choose, layer, DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU));
    }
    return DK_OK;
}

/* A layer that there is no scratch memory for keeps the library's first guesses. */
static dk_status without_memory(const chooser *choose, dk_status status) {
    if (status != DK_E_MEMORY) return status;
    dki_log_line(choose->cuda->services.log, DK_LOG_INFO,
                 "no memory to time products in, so the library's first guess is taken: %s",
                 dk_error_text());
    return DK_OK;
}

static dk_status choose_all(chooser *choose) {
    for (size_t k = 0; k < choose->request->layer_count; ++k) {
        dki_trial_layer layer = {.cuda = choose->cuda};
        dk_status status = dki_chooser_lay_out(choose, k, &layer);
        if (!status) status = choose_layer(choose, k, &layer);
        dki_trial_close(&layer);
        DKI_TRY(without_memory(choose, status));
    }
    DKI_TRY(without_memory(choose, dki_choose_lanes(choose)));
    return without_memory(choose, dki_choose_spare(choose));
}

static dk_status choose_here(chooser *choose) {
    dki_cuda *cuda = choose->cuda;
    DKI_TRY(dki_cuda_choose_launches(cuda));
    DKI_TRY(dki_timer_open(&choose->timer, cuda->gpu, cuda->lanes[DKI_LANE_PARAMS]));
    const dk_status status = choose_all(choose);
    dki_timer_close(&choose->timer);
    return status;
}

/* Other threads' work would blur the times, so it is waited for; new work waits for the lock. What
 * is timed on two lanes goes to streams of our own, not to the application's. */
dk_status dki_cuda_choose(dki_cuda *cuda, const dki_plan_request *request) {
    chooser choose = {.cuda = cuda, .request = request};
    DKI_TRY(dki_cuda_sync(&cuda->base));
    const dki_stream main_lane = dki_cuda_swap_main(cuda, cuda->own_main);
    const dk_status status = choose_here(&choose);
    dki_cuda_swap_main(cuda, main_lane);
    return status;
}

/* What a step is compared with, and its parts: the bare products of its shapes, and its own operations
 * of one kind or another, played again. */
#include "backend/cost.h"
#include "benchmark/benchmark.h"

dk_status dki_bench_products(dki_bench *bench) {
    const dki_tensors *t = &bench->trainer->session->tensors;
    const size_t layers = bench->net->desc.layer_count;
    DKI_TRY(dki_new(bench->allocator, &bench->products, 3 * layers, "products"));
    for (size_t k = 1; k <= layers; ++k) {
        const dki_matrix w = dki_step_weight(bench->trainer->session, k);
        dki_matrix dw = w;
        dw.data = t->gradients + bench->net->layout.places[k - 1].w;
        bench->products[bench->product_count++] =
            (dki_bare_product){DKI_PRODUCT_FORWARD, t->a[k - 1], w, t->a[k]};
        bench->products[bench->product_count++] =
            (dki_bare_product){DKI_PRODUCT_PARAMS, t->delta[k], t->a[k - 1], dw};
        if (k > 1)
            bench->products[bench->product_count++] =
                (dki_bare_product){DKI_PRODUCT_DATA, t->delta[k], w, t->delta[k - 1]};
    }
    return DK_OK;
}

double dki_bench_flops(const dki_bench *bench) {
    double flops = 0.0;
    for (size_t i = 0; i < bench->product_count; ++i)
        flops += dki_product_flops(&bench->products[i]);
    return flops;
}

static dk_status queue_products(const dki_bench *bench, int method) {
    dki_backend *backend = dki_bench_backend(bench);
    for (size_t i = 0; i < bench->product_count; ++i)
        DKI_TRY(backend->ops->bare_product(backend, DKI_LANE_MAIN, method, &bench->products[i]));
    return DK_OK;
}

/* As many as a launch has steps, or the launches would be a part of the one and not of the other. */
static dk_status queue_floor(void *argument) {
    const dki_bench_part *part = argument;
    for (int64_t i = 0; i < part->bench->steps_a_launch; ++i)
        DKI_TRY(queue_products(part->bench, part->method));
    return DK_OK;
}

static dk_status queue_operations(void *argument) {
    const dki_bench_part *part = argument;
    for (int64_t i = 0; i < part->bench->steps_a_launch; ++i)
        DKI_TRY(dki_trace_play(&part->bench->trace, part->kinds));
    return DK_OK;
}

dk_status dki_bench_prepare_parts(dki_bench *bench) {
    static const unsigned kinds[DKI_PART_COUNT] = {
        1u << DKI_OPERATION_FORWARD,
        1u << DKI_OPERATION_LOSS | 1u << DKI_OPERATION_BACKWARD_DATA |
            1u << DKI_OPERATION_BACKWARD_PARAMS | 1u << DKI_OPERATION_ORDER,
        1u << DKI_OPERATION_DECIDE | 1u << DKI_OPERATION_UPDATE | 1u << DKI_OPERATION_ORDER};
    for (int i = 0; i < DKI_PART_COUNT; ++i) {
        dki_bench_part *part = &bench->parts[i];
        *part = (dki_bench_part){.bench = bench, .kinds = kinds[i]};
        part->played = (dki_played){NULL, queue_operations, part};
    }
    for (; bench->method_count < DKI_BENCH_METHODS; ++bench->method_count) {
        dki_bench_part *part = &bench->floors[bench->method_count];
        *part = (dki_bench_part){.bench = bench, .method = bench->method_count};
        part->played = (dki_played){NULL, queue_floor, part};
        dk_status status = queue_products(bench, bench->method_count);
        if (status == DK_E_UNSUPPORTED && bench->method_count > 0) break;
        if (status) return status;
    }
    return DK_OK;
}

#include "backend/cpu/matmul.h"

#include "base/memory.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

/* A description of a matrix: a structure in version 2, a handle in version 3. */
#if DNNL_VERSION_MAJOR < 3
#define HANDLE(desc) (&(desc))
#else
#define HANDLE(desc) (desc)
#endif

struct dki_matmul {
    const dk_allocator *allocator;
    dki_matmul_shape shape;
    dnnl_engine_t engine;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t a, b, out, scratch;
    size_t scratch_bytes;
};

bool dki_matmul_available(void) {
    /* Instruction sets are sets of bits; a better one includes the bits of those below. */
    const unsigned needed = dnnl_cpu_isa_avx512_core_bf16;
    return ((unsigned)dnnl_get_effective_cpu_isa() & needed) == needed;
}

#if DNNL_VERSION_MAJOR < 3

static dnnl_status_t describe(dnnl_memory_desc_t *desc, const dnnl_dims_t dims,
                              dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(desc, 2, dims, type, strides);
}

static void forget(dnnl_memory_desc_t *desc) {
    (void)desc;
}

static dnnl_status_t append_sum(dnnl_post_ops_t post) {
    return dnnl_post_ops_append_sum(post, 1.0f);
}

static dnnl_status_t describe_product(dnnl_primitive_desc_t *desc, const dki_matmul *m,
                                      const_dnnl_primitive_attr_t attributes) {
    dnnl_matmul_desc_t product;
    const dnnl_status_t status = dnnl_matmul_desc_init(&product, &m->a, &m->b, NULL, &m->out);
    return status ? status
                  : dnnl_primitive_desc_create(desc, &product, attributes, m->engine, NULL);
}

static dnnl_status_t take_scratch(dki_matmul *m, const_dnnl_primitive_desc_t desc) {
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    if (!scratch) return dnnl_success;
    m->scratch = *scratch;
    m->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    return dnnl_success;
}

#else

static dnnl_status_t describe(dnnl_memory_desc_t *desc, const dnnl_dims_t dims,
                              dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(desc, 2, dims, type, strides);
}

static void forget(dnnl_memory_desc_t *desc) {
    if (*desc) dnnl_memory_desc_destroy(*desc);
}

static dnnl_status_t append_sum(dnnl_post_ops_t post) {
    return dnnl_post_ops_append_sum(post, 1.0f, 0, dnnl_data_type_undef);
}

static dnnl_status_t describe_product(dnnl_primitive_desc_t *desc, const dki_matmul *m,
                                      const_dnnl_primitive_attr_t attributes) {
    return dnnl_matmul_primitive_desc_create(desc, m->engine, m->a, m->b, NULL, m->out, attributes);
}

static dnnl_status_t take_scratch(dki_matmul *m, const_dnnl_primitive_desc_t desc) {
    const_dnnl_memory_desc_t scratch =
        dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    if (!scratch) return dnnl_success;
    m->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    return dnnl_memory_desc_clone(&m->scratch, scratch);
}

#endif

/* The three matrices as they lie: a transposed one has its strides swapped. */
static dnnl_status_t describe_matrices(dki_matmul *m) {
    const dki_matmul_shape *s = &m->shape;
    const bool turned_a = s->kind == DKI_PRODUCT_PARAMS, turned_b = s->kind == DKI_PRODUCT_FORWARD;
    const dnnl_dims_t a = {s->rows, s->depth}, b = {s->depth, s->cols}, out = {s->rows, s->cols};
    const dnnl_dims_t along_a = {turned_a ? 1 : s->lda, turned_a ? s->lda : 1};
    const dnnl_dims_t along_b = {turned_b ? 1 : s->ldb, turned_b ? s->ldb : 1};
    const dnnl_dims_t along_out = {s->ldc, 1};
    dnnl_status_t status = describe(&m->a, a, dnnl_bf16, along_a);
    if (!status) status = describe(&m->b, b, dnnl_bf16, along_b);
    return status ? status : describe(&m->out, out, s->narrow ? dnnl_bf16 : dnnl_f32, along_out);
}

/* Scratch is the caller's, so that threads can share a primitive. */
static dnnl_status_t set_attributes(const dki_matmul *m, dnnl_primitive_attr_t attributes) {
    dnnl_status_t status =
        dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    dnnl_post_ops_t post = NULL;
    if (status || !m->shape.accumulate) return status;
    status = dnnl_post_ops_create(&post);
    if (!status) status = append_sum(post);
    if (!status) status = dnnl_primitive_attr_set_post_ops(attributes, post);
    if (post) dnnl_post_ops_destroy(post);
    return status;
}

static dnnl_status_t make_primitive(dki_matmul *m) {
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status = dnnl_engine_create(&m->engine, dnnl_cpu, 0);
    if (!status) status = describe_matrices(m);
    if (!status) status = dnnl_primitive_attr_create(&attributes);
    if (!status) status = set_attributes(m, attributes);
    if (!status) status = describe_product(&desc, m, attributes);
    if (!status) status = take_scratch(m, desc);
    if (!status) status = dnnl_primitive_create(&m->primitive, desc);
    if (desc) dnnl_primitive_desc_destroy(desc);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return status;
}

dk_status dki_matmul_create(dki_matmul **matmul, const dk_allocator *allocator,
                            const dki_matmul_shape *shape) {
    *matmul = NULL;
    dki_matmul *made = NULL;
    DKI_TRY(dki_new(allocator, &made, 1, "a matrix product"));
    made->allocator = allocator;
    made->shape = *shape;
    /* oneDNN divides the work among the threads of the moment, once and for all. */
    const int threads = omp_get_max_threads();
    omp_set_num_threads((int)shape->threads);
    const dnnl_status_t status = make_primitive(made);
    omp_set_num_threads(threads);
    if (status) {
        dki_matmul_destroy(made);
        const bool memory = status == dnnl_out_of_memory;
        return dki_fail(memory ? DK_E_MEMORY : DK_E_UNSUPPORTED,
                        "oneDNN %s a bf16 product of %lld × %lld × %lld",
                        memory ? "found no memory for" : "has here no way to make",
                        (long long)shape->rows, (long long)shape->cols, (long long)shape->depth);
    }
    *matmul = made;
    return DK_OK;
}

void dki_matmul_destroy(dki_matmul *matmul) {
    if (!matmul) return;
    if (matmul->primitive) dnnl_primitive_destroy(matmul->primitive);
    forget(&matmul->a);
    forget(&matmul->b);
    forget(&matmul->out);
    forget(&matmul->scratch);
    if (matmul->engine) dnnl_engine_destroy(matmul->engine);
    dki_release(matmul->allocator, matmul);
}

const dki_matmul_shape *dki_matmul_shape_of(const dki_matmul *matmul) {
    return &matmul->shape;
}

size_t dki_matmul_scratch(const dki_matmul *matmul) {
    return matmul->scratch_bytes;
}

/* Streams and memory objects aren't for several threads, and making them (1 µs for all) is cheaper
 * than keeping sets of them for every thread and shape. */
bool dki_matmul_run(const dki_matmul *matmul, const uint16_t *a, const uint16_t *b, void *out,
                    void *scratch) {
    enum { OPERANDS = 4 };
    const dnnl_memory_desc_t *descs[OPERANDS] = {&matmul->a, &matmul->b, &matmul->out,
                                                 &matmul->scratch};
    void *const data[OPERANDS] = {(void *)(uintptr_t)a, (void *)(uintptr_t)b, out, scratch};
    dnnl_exec_arg_t arguments[OPERANDS] = {{DNNL_ARG_SRC, NULL},
                                           {DNNL_ARG_WEIGHTS, NULL},
                                           {DNNL_ARG_DST, NULL},
                                           {DNNL_ARG_SCRATCHPAD, NULL}};
    const int count = matmul->scratch_bytes ? OPERANDS : OPERANDS - 1;
    dnnl_stream_t stream = NULL;
    bool done =
        dnnl_stream_create(&stream, matmul->engine, dnnl_stream_default_flags) == dnnl_success;
    for (int i = 0; i < count && done; ++i)
        done = dnnl_memory_create(&arguments[i].memory, HANDLE(*descs[i]), matmul->engine,
                                  data[i]) == dnnl_success;
    if (done)
        done = dnnl_primitive_execute(matmul->primitive, stream, count, arguments) == dnnl_success;
    for (int i = 0; i < count; ++i)
        if (arguments[i].memory) dnnl_memory_destroy(arguments[i].memory);
    if (stream) dnnl_stream_destroy(stream);
    return done;
}

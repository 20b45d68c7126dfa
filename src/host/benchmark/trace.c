#include "benchmark/trace.h"

static dki_trace *trace_of(const dki_backend *backend) {
    return (dki_trace *)(uintptr_t)backend->ops;
}

static dk_status queue(dki_backend *backend, const dki_backend_ops *ops,
                       const dki_operation *operation) {
    const dki_lane lane = operation->lane;
    switch (operation->kind) {
    case DKI_OPERATION_GATHER:
        return ops->gather(backend, lane, &operation->as.gather);
    case DKI_OPERATION_BEGIN:
        return ops->begin(backend, lane, &operation->as.begin);
    case DKI_OPERATION_FORWARD:
        return ops->linear_forward(backend, lane, &operation->as.forward);
    case DKI_OPERATION_LOSS:
        return ops->loss(backend, lane, &operation->as.loss);
    case DKI_OPERATION_BACKWARD_DATA:
        return ops->linear_backward_data(backend, lane, &operation->as.backward_data);
    case DKI_OPERATION_BACKWARD_PARAMS:
        return ops->linear_backward_params(backend, lane, &operation->as.backward_params);
    case DKI_OPERATION_DECIDE:
        return ops->decide(backend, lane, &operation->as.decide);
    case DKI_OPERATION_UPDATE:
        return ops->update(backend, lane, &operation->as.update);
    case DKI_OPERATION_ORDER:
        return ops->order(backend, lane, operation->as.after);
    }
    return DK_OK;
}

/* Writes it down and lets the backend do it. */
static dk_status note(dki_backend *backend, dki_operation operation) {
    dki_trace *trace = trace_of(backend);
    const int mark = 2 * (int)trace->count;
    DKI_TRY(dki_grow(trace->allocator, (void **)&trace->list, &trace->capacity, trace->count + 1,
                     sizeof *trace->list, "a trace"));
    trace->list[trace->count++] = operation;
    if (!trace->timed || operation.kind == DKI_OPERATION_ORDER)
        return queue(backend, trace->real, &operation);
    DKI_REQUIRE(mark + 1 < DKI_MARKS, DK_E_UNSUPPORTED,
                "a step of more than %d operations can't be timed one by one", DKI_MARKS / 2);
    DKI_TRY(trace->real->mark(backend, operation.lane, mark));
    DKI_TRY(queue(backend, trace->real, &operation));
    return trace->real->mark(backend, operation.lane, mark + 1);
}

static dk_status note_gather(dki_backend *backend, dki_lane lane, const dki_gather *op) {
    return note(backend, (dki_operation){DKI_OPERATION_GATHER, lane, {.gather = *op}});
}

static dk_status note_begin(dki_backend *backend, dki_lane lane, const dki_begin *op) {
    return note(backend, (dki_operation){DKI_OPERATION_BEGIN, lane, {.begin = *op}});
}

static dk_status note_forward(dki_backend *backend, dki_lane lane, const dki_linear_forward *op) {
    return note(backend, (dki_operation){DKI_OPERATION_FORWARD, lane, {.forward = *op}});
}

static dk_status note_loss(dki_backend *backend, dki_lane lane, const dki_loss *op) {
    return note(backend, (dki_operation){DKI_OPERATION_LOSS, lane, {.loss = *op}});
}

static dk_status note_backward_data(dki_backend *backend, dki_lane lane,
                                    const dki_linear_backward_data *op) {
    return note(backend,
                (dki_operation){DKI_OPERATION_BACKWARD_DATA, lane, {.backward_data = *op}});
}

static dk_status note_backward_params(dki_backend *backend, dki_lane lane,
                                      const dki_linear_backward_params *op) {
    return note(backend,
                (dki_operation){DKI_OPERATION_BACKWARD_PARAMS, lane, {.backward_params = *op}});
}

static dk_status note_decide(dki_backend *backend, dki_lane lane, const dki_decide *op) {
    return note(backend, (dki_operation){DKI_OPERATION_DECIDE, lane, {.decide = *op}});
}

static dk_status note_update(dki_backend *backend, dki_lane lane, const dki_update_range *op) {
    return note(backend, (dki_operation){DKI_OPERATION_UPDATE, lane, {.update = *op}});
}

static dk_status note_order(dki_backend *backend, dki_lane before, dki_lane after) {
    return note(backend, (dki_operation){DKI_OPERATION_ORDER, before, {.after = after}});
}

typedef struct {
    dki_trace *trace;
    dki_body body;
    void *argument;
} traced_body;

static dk_status run_traced(void *argument) {
    const traced_body *traced = argument;
    traced->trace->count = 0;
    return traced->body(traced->argument);
}

/* A recording that is there already was made without the trace, so it has one of its own. */
static dk_status run(dki_backend *backend, dki_recording **recording, dki_body body,
                     void *argument) {
    dki_trace *trace = trace_of(backend);
    traced_body traced = {trace, body, argument};
    if (!body) return trace->real->run(backend, recording, NULL, NULL);
    return trace->real->run(backend, &trace->recording, run_traced, &traced);
}

void dki_trace_begin(dki_trace *trace, dki_backend *backend, const dk_allocator *allocator,
                     bool timed) {
    trace->real = backend->ops;
    trace->backend = backend;
    trace->allocator = allocator;
    trace->timed = timed;
    trace->ops = *backend->ops;
    trace->ops.gather = note_gather;
    trace->ops.begin = note_begin;
    trace->ops.linear_forward = note_forward;
    trace->ops.loss = note_loss;
    trace->ops.linear_backward_data = note_backward_data;
    trace->ops.linear_backward_params = note_backward_params;
    trace->ops.decide = note_decide;
    trace->ops.update = note_update;
    trace->ops.order = note_order;
    trace->ops.run = run;
    backend->ops = &trace->ops;
}

void dki_trace_end(dki_trace *trace) {
    trace->backend->ops = trace->real;
}

void dki_trace_close(dki_trace *trace) {
    if (!trace->backend) return;
    trace->real->run(trace->backend, &trace->recording, NULL, NULL);
    dki_release(trace->allocator, trace->list);
    *trace = (dki_trace){.count = 0};
}

dk_status dki_trace_play(const dki_trace *trace, unsigned kinds) {
    for (size_t i = 0; i < trace->count; ++i)
        if (kinds & dki_kind_bit(trace->list[i].kind))
            DKI_TRY(queue(trace->backend, trace->real, &trace->list[i]));
    return DK_OK;
}

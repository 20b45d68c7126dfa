/* Work that is recorded once and replayed. */
#include "backend/cuda/gpu_cuda.h"

#include "base/memory.h"

struct dki_graph {
    cudaGraphExec_t executable;
    int kernels, others; /* nodes */
};

dk_status dki_gpu_capture_begin(dki_gpu *gpu, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    /* Thread-local: other threads, the application's too, may allocate meanwhile. */
    return dki_gpu_done(
        gpu, cudaStreamBeginCapture(dki_gpu_handle(stream), cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
}

/* Kernels, and what else takes time. */
static dk_status count_node(dki_gpu *gpu, cudaGraphNode_t node, dki_graph *graph) {
    enum cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
    DKI_TRY(dki_gpu_status(gpu, cudaGraphNodeGetType(node, &type), "cudaGraphNodeGetType"));
    graph->kernels += type == cudaGraphNodeTypeKernel;
    graph->others += type == cudaGraphNodeTypeMemcpy || type == cudaGraphNodeTypeMemset;
    return DK_OK;
}

static dk_status count_nodes(dki_gpu *gpu, cudaGraph_t recorded, dki_graph *graph) {
    cudaGraphNode_t *nodes = NULL;
    size_t count = 0;
    DKI_TRY(dki_gpu_status(gpu, cudaGraphGetNodes(recorded, NULL, &count), "cudaGraphGetNodes"));
    if (count == 0) return DK_OK;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): a node is a pointer */
    DKI_TRY(dki_new(gpu->services.allocator, &nodes, count, "a graph"));
    dk_status status =
        dki_gpu_status(gpu, cudaGraphGetNodes(recorded, nodes, &count), "cudaGraphGetNodes");
    for (size_t i = 0; i < count && !status; ++i) status = count_node(gpu, nodes[i], graph);
    dki_release(gpu->services.allocator, nodes);
    return status;
}

void dki_gpu_graph_nodes(const dki_graph *graph, int *kernels, int *others) {
    *kernels = graph->kernels;
    *others = graph->others;
}

/* Uploading now spares the first launch that time. */
static dk_status instantiate(dki_gpu *gpu, cudaGraph_t recorded, dki_stream stream,
                             dki_graph **graph) {
    dki_graph *made = NULL;
    DKI_TRY(dki_new(gpu->services.allocator, &made, 1, "a graph"));
    cudaError_t error = cudaGraphInstantiate(&made->executable, recorded, 0);
    if (error != cudaSuccess) made->executable = NULL;
    dk_status status = dki_gpu_status(gpu, error, "cudaGraphInstantiate");
    if (status == DK_OK)
        status = dki_gpu_status(gpu, cudaGraphUpload(made->executable, dki_gpu_handle(stream)),
                                "cudaGraphUpload");
    if (status == DK_OK) status = count_nodes(gpu, recorded, made);
    if (status == DK_OK)
        *graph = made;
    else
        dki_gpu_graph_destroy(gpu, made);
    return status;
}

dk_status dki_gpu_capture_end(dki_gpu *gpu, dki_stream stream, dki_graph **graph) {
    *graph = NULL;
    DKI_TRY(dki_gpu_enter(gpu));
    cudaGraph_t recorded = NULL;
    dk_status status = dki_gpu_status(gpu, cudaStreamEndCapture(dki_gpu_handle(stream), &recorded),
                                      "cudaStreamEndCapture");
    if (status == DK_OK) status = instantiate(gpu, recorded, stream, graph);
    if (recorded && !dki_gpu_is_lost(gpu)) (void)cudaGraphDestroy(recorded);
    dki_gpu_leave(gpu);
    return status;
}

dk_status dki_gpu_graph_launch(dki_gpu *gpu, dki_graph *graph, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu, cudaGraphLaunch(graph->executable, dki_gpu_handle(stream)),
                        "cudaGraphLaunch");
}

void dki_gpu_graph_destroy(dki_gpu *gpu, dki_graph *graph) {
    if (!graph) return;
    if (graph->executable && !dki_gpu_is_lost(gpu) && dki_gpu_enter(gpu) == DK_OK)
        (void)dki_gpu_done(gpu, cudaGraphExecDestroy(graph->executable), "cudaGraphExecDestroy");
    dki_release(gpu->services.allocator, graph);
}

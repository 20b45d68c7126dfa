/* The thin set of functions between the CUDA backend and the machine: memory, streams, events,
 * graphs and products. gpu_*.c implement it with the CUDA runtime and cuBLASLt; the tests implement
 * it on the host, so that everything above runs without a GPU, and so that each call can be made to
 * fail.
 *
 * Every function that can fail returns a status and sets the error text, which names the call,
 * CUDA's error and what to do. Once the device is poisoned all of them return DK_E_DEVICE_LOST.
 * Functions that release are safe then, too. All may be called from any thread. */
#ifndef DKI_GPU_H
#define DKI_GPU_H

#include "backend/cuda/product.h"

typedef struct dki_gpu dki_gpu;
typedef void *dki_event;
typedef struct dki_graph dki_graph;

/** What one GPU is; part of the key of cached plans. */
typedef struct dki_gpu_facts {
    char name[128];
    char library[256]; /* for people: "CUDA 13.0, cuBLASLt 13.1.0, driver 580.65" */
    int ordinal, major, minor, processors; /* compute capability, multiprocessors */
    int kernels; /* the compute capability, as 90, for which those of our kernels that this GPU runs
                    were compiled: of a build for older ones the driver makes code anew, which still
                    has what that capability has */
    int driver_version, runtime_version; /* as CUDA gives them: 13000 */
    uint64_t library_version;            /* cublasLtGetVersion */
    size_t product_workspace;            /* bytes that products want, one for each lane */
} dki_gpu_facts;

/** Opens GPU `ordinal`. DK_E_DEVICE: no driver, too old a driver, no such GPU, an unsupported
 *  architecture; each with its text. */
dk_status dki_gpu_open(dki_gpu **gpu, const dki_services *services, int ordinal);
void dki_gpu_close(dki_gpu *gpu);
const dki_gpu_facts *dki_gpu_facts_of(const dki_gpu *gpu);
dk_status dki_gpu_memory(dki_gpu *gpu, uint64_t *total, uint64_t *free_now);

/** Device memory, not zeroed, 256-byte aligned. DK_E_MEMORY says how much was wanted and is free. */
dk_status dki_gpu_alloc(dki_gpu *gpu, size_t bytes, void **memory);
void dki_gpu_free(dki_gpu *gpu, void *memory);
/** Pinned host memory, zeroed, at the same address for host and device. */
dk_status dki_gpu_alloc_host(dki_gpu *gpu, size_t bytes, void **memory);
void dki_gpu_free_host(dki_gpu *gpu, void *memory);
/** Whether all of [p, p + bytes) is memory of this GPU. */
dk_status dki_gpu_is_resident(dki_gpu *gpu, const void *p, size_t bytes, bool *resident);

dk_status dki_gpu_stream_create(dki_gpu *gpu, dki_stream *stream);
/** For a cudaStream_t of the application's, which outlives it. */
dk_status dki_gpu_stream_wrap(dki_gpu *gpu, void *handle, dki_stream *stream);
/** Whether kernels of ours begin on it before the one before them has ended (kernels/queue.h). */
void dki_gpu_stream_depend(dki_gpu *gpu, dki_stream stream, bool dependent);
void dki_gpu_stream_destroy(dki_gpu *gpu, dki_stream stream);
dk_status dki_gpu_stream_sync(dki_gpu *gpu, dki_stream stream);
/** Queued; either side may be device memory or pinned host memory. */
dk_status dki_gpu_copy(dki_gpu *gpu, dki_stream stream, void *to, const void *from, size_t bytes);
dk_status dki_gpu_zero(dki_gpu *gpu, dki_stream stream, void *memory, size_t bytes);

/** Events keep time where `timing` is set. */
dk_status dki_gpu_event_create(dki_gpu *gpu, bool timing, dki_event *event);
void dki_gpu_event_destroy(dki_gpu *gpu, dki_event event);
dk_status dki_gpu_event_record(dki_gpu *gpu, dki_event event, dki_stream stream);
/** Notes the time at which `stream` gets there, for event_elapsed; in a capture, at each launch of the
 *  graph. Nobody waits for such an event. */
dk_status dki_gpu_event_mark(dki_gpu *gpu, dki_event event, dki_stream stream);
/** What is queued on `stream` from now on waits for what the event recorded. */
dk_status dki_gpu_event_wait(dki_gpu *gpu, dki_event event, dki_stream stream);
/** The calling thread waits. An event that was never recorded is over. */
dk_status dki_gpu_event_sync(dki_gpu *gpu, dki_event event);
/** Between two recorded events that are both over. */
dk_status dki_gpu_event_elapsed(dki_gpu *gpu, dki_event first, dki_event last,
                                double *milliseconds);

/** Between begin and end, what this thread queues on the stream, and on those that wait for its
 *  events, is recorded instead of run. end gives NULL on failure, and must be called even after a
 *  failure in between. */
dk_status dki_gpu_capture_begin(dki_gpu *gpu, dki_stream stream);
dk_status dki_gpu_capture_end(dki_gpu *gpu, dki_stream stream, dki_graph **graph);
dk_status dki_gpu_graph_launch(dki_gpu *gpu, dki_graph *graph, dki_stream stream);
void dki_gpu_graph_destroy(dki_gpu *gpu, dki_graph *graph);
/** What a recording consists of: kernels, and whatever else takes time (copies, zeroing). */
void dki_gpu_graph_nodes(const dki_graph *graph, int *kernels, int *others);

/** The status of a launcher's code; `kernel` for the text. */
dk_status dki_gpu_launched(dki_gpu *gpu, int code, const char *kernel);

/** Between the two this GPU is the calling thread's current one, so that kernels launched there go
 *  to it, and not to the one that the application has chosen (it is the current one again after
 *  that). For profilers (NVTX) what the thread queues has that name. Pairs nest; the other functions
 *  need none around them. */
void dki_gpu_range_begin(dki_gpu *gpu, const char *name);
void dki_gpu_range_end(dki_gpu *gpu);

/** The library's algorithms for a product, best guess first; *count may be 0: it has none. Needs no
 *  device memory and may be called while capturing. */
dk_status dki_gpu_algorithms(dki_gpu *gpu, const dki_product *product, dki_algorithm *list,
                             int capacity, int *count);
/** Whether a (cached) algorithm is valid for the product here. */
bool dki_gpu_algorithm_valid(dki_gpu *gpu, const dki_product *product,
                             const dki_algorithm *algorithm);
/** Queues one product. The product has been validated. */
dk_status dki_gpu_multiply(dki_gpu *gpu, dki_stream stream, const dki_product *product,
                           const dki_algorithm *algorithm, const dki_operands *operands);

#endif

/* What a .cu file needs to be CUDA for nvcc and, under the thread emulator of tests/simt, C++ for
 * the host compiler: the launch macro is the only concession the kernels make. */
#ifndef DKI_LAUNCH_H
#define DKI_LAUNCH_H

#if defined(DKI_SIMT)
#include "simt/simt.h"

/** Kernels run one after the other: only noted. */
static inline void dki_wait_for_earlier() {
    simt::wait_for_earlier();
}

/** An access that only an aligned address allows: a GPU would end the program at another one. */
#define DK_ALIGNED(address, bytes) simt::check_aligned(address, bytes)
#else
#include "kernels/queue.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

/** An array in a block's shared memory, of a size known to the compiler. */
#define DK_SHARED(type, name, count) __shared__ type name[count]

#define DK_ALIGNED(address, bytes) ((void)0)

/** The first statement of every kernel: what kernels before it on its stream have written is there from
 *  here on, and what they read may be written. Only a kernel that was launched dependently waits. */
__device__ __forceinline__ void dki_wait_for_earlier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    cudaGridDependencySynchronize();
#endif
}

/** The error of the launch, 0 = success; an older error that nobody asked for isn't taken for it. The
 *  kernel doesn't tell the next one to start early: that one comes when its blocks run out, so that
 *  it takes no room from what still works. */
template <class... Formal, class... Actual>
static inline int dki_launch(void (*kernel)(Formal...), dim3 grid, dim3 block, const void *queue,
                             const Actual &...arguments) {
    const dki_queue *on = static_cast<const dki_queue *>(queue);
    cudaLaunchAttribute dependent = {};
    dependent.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    dependent.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = static_cast<cudaStream_t>(on->stream);
    config.attrs = &dependent;
    config.numAttrs = on->dependent ? 1 : 0;
    (void)cudaGetLastError();
    const cudaError_t error =
        cudaLaunchKernelEx(&config, kernel, static_cast<Formal>(arguments)...);
    (void)cudaGetLastError();
    return (int)error;
}

/** kernel<<<grid, block, 0, stream>>>(…). A kernel whose name has commas stands in parentheses. */
#define DK_LAUNCH(kernel, grid, block, stream, ...)                                                \
    dki_launch(kernel, grid, block, stream, __VA_ARGS__)
#endif

#endif

/* What a .cu file needs to be CUDA for nvcc and, under the thread emulator of tests/simt, C++ for
 * the host compiler: the launch macro is the only concession the kernels make. */
#ifndef DKI_LAUNCH_H
#define DKI_LAUNCH_H

#if defined(DKI_SIMT)
#include "simt/simt.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

/** An array in a block's shared memory, of a size known to the compiler. */
#define DK_SHARED(type, name, count) __shared__ type name[count]

/** kernel<<<grid, block, 0, stream>>>(…); evaluates to the error of the launch, 0 = success; an older
 *  error that nobody asked for isn't taken for it. A kernel whose name has commas stands in
 *  parentheses. */
#define DK_LAUNCH(kernel, grid, block, stream, ...)                                                \
    ((void)cudaGetLastError(),                                                                     \
     kernel<<<(grid), (block), 0, (cudaStream_t)(stream)>>>(__VA_ARGS__), (int)cudaGetLastError())
#endif

#endif

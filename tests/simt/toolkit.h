// The toolkit's own headers for vector types, half and bfloat16, as the host compiler sees them, and
// then the words that mark functions for nvcc, which mean nothing here. The headers come first:
// they use these words in their own way.
#ifndef DELTAK_TESTS_SIMT_TOOLKIT_H
#define DELTAK_TESTS_SIMT_TOOLKIT_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <math.h>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define CUDA_NO_HALF // no type "half" and "nv_bfloat16": good names for variables
#define CUDA_NO_BFLOAT16
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <driver_types.h>
#include <vector_functions.h>
#include <vector_types.h>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static_assert(false, "shared memory is declared with DK_SHARED");

#endif

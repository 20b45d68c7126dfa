// Kernels that nvcc compiled, as its host code tells the runtime of them before main begins.
#ifndef DELTAK_TESTS_EMULATED_REGISTERED_H
#define DELTAK_TESTS_EMULATED_REGISTERED_H

#include "fatbin.h"

namespace emulated {

/// Whether the host's function stands for a kernel that nvcc compiled.
bool is_registered(const void *function);

/// The architecture of the image that the driver takes for the GPU, as 90; 0 = there is none that it can.
int architecture_of(const void *function);

/// All that were registered.
std::vector<Image> registered_images();

} // namespace emulated

#endif

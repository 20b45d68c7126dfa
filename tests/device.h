// The device that the device tests run on: $DELTAK_TEST_DEVICE, else the CPU. The same programs run
// on the CPU, on a GPU, and (linked with an emulated CUDA) on a GPU that isn't there. A test whose
// name ends in OnTheCpu, or OnAGpu, is about that alone and left out elsewhere.
#ifndef DELTAK_TESTS_DEVICE_H
#define DELTAK_TESTS_DEVICE_H

extern "C" {
#include "backend/cpu/matmul.h"
}

#include <cstdlib>
#include <cstring>

namespace device {

inline const char *name() {
    const char *set = std::getenv("DELTAK_TEST_DEVICE");
    return set && *set ? set : "cpu";
}

inline bool is_cpu() {
    return std::strcmp(name(), "cpu") == 0;
}

/// What the CPU owes: fp32, and bf16 where the processor multiplies it.
inline bool cpu_has(dk_precision precision) {
    return precision == DK_FP32 || (precision == DK_BF16 && dki_matmul_available());
}

} // namespace device

#endif

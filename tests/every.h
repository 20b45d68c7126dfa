// Every member of the library's lists: a test that loops over these has a new one by itself.
#pragma once

extern "C" {
#include "kernels/activation.h"
}

#include <vector>

namespace support {

inline std::vector<dk_activation> activations() {
    std::vector<dk_activation> all;
    for (int kind = 0; kind < DKI_ACTIVATION_COUNT; ++kind)
        all.push_back(static_cast<dk_activation>(kind));
    return all;
}

} // namespace support

// Fat binaries: what nvcc puts into an object beside the host's code, the kernels once for each
// architecture that it was told to compile for.
#ifndef DELTAK_TESTS_EMULATED_FATBIN_H
#define DELTAK_TESTS_EMULATED_FATBIN_H

#include <string>
#include <vector>

namespace emulated {

/// The PTX of one module for one architecture: 90 for compute_90.
struct Image {
    int architecture;
    std::string ptx;
};

/// All PTX in a fat binary, whose wrapper (fatbinary_section.h of the toolkit) nvcc's host code registers.
/// Throws std::runtime_error where it is none, or its PTX is compressed.
std::vector<Image> images_of(const void *wrapper);

/// Which of them the driver compiles for a GPU of that compute capability: of those that aren't newer, the
/// newest; NULL if there is none.
const Image *image_for(const std::vector<Image> &images, int capability);

} // namespace emulated

#endif

// cuBLASLt: the descriptions are made, and read back, by NVIDIA's own library, which needs no GPU for
// that; what it would choose and compute is ours.
#ifndef DELTAK_TESTS_EMULATED_LT_H
#define DELTAK_TESTS_EMULATED_LT_H

#include "insides.h"

#include <cublasLt.h>

namespace emulated {

/// A product as it was described, in the backend's terms.
struct Product {
    dki_product shape{};
    dki_operands at{};                                           ///< its scalars are the two below
    float alpha = 1, beta = 0;                                   ///< of the host
    const float *device_alpha = nullptr, *device_beta = nullptr; ///< or read when it runs
    size_t room = 0;           ///< of the workspace that it was given
    int id = 0;                ///< the algorithm's
    bool rounds_parts = false; ///< algorithm 3 adds its halves in D's type
    bool has_bias() const { return dki_epilogue_has_bias(shape.epilogue); }
    bool has_aux() const { return dki_epilogue_has_aux(shape.epilogue); }
};

/// The five descriptions of a product.
struct Description {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, c, d;
};

/// lt_read.cpp: fills in a product from its description; what is wrong with it, or "". `aligned`:
/// all but the alignment of its addresses.
std::string read_product(const Description &description, Product &product);

/// lt_memory.cpp: what is wrong with the product's memory when it is queued, or when it runs; or "".
std::string wrong_operands(const Product &product);
std::string wrong_memory(const Product &product);
void add_footprint(const Product &product, Footprint &touched);

/// Bytes of workspace that an algorithm takes.
int64_t workspace_of(const dki_product &shape, int id);

/// D = α op(A) op(B) + β D and the epilogue; see gemm.cpp.
void multiply(const Product &product);

inline size_t bytes_of(int32_t type) {
    return type == DKI_ELEMENT_F32 ? 4 : 2;
}

} // namespace emulated

#endif

/* A static libdeltak has the CUDA backend in itself. */
#include "backend/cuda/cuda.h"
#include "backend/plugin.h"

dk_status dki_cuda_load(dki_backend **backend, const dki_services *services,
                        const dki_cuda_options *options) {
    return dki_cuda_open(backend, services, options);
}

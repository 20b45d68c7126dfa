/* A libdeltak that was built without CUDA. */
#include "backend/plugin.h"

dk_status dki_cuda_load(dki_backend **backend, const dki_services *services,
                        const dki_cuda_options *options) {
    (void)services;
    (void)options;
    *backend = NULL;
    return dki_fail(DK_E_DEVICE, "this libdeltak was built without CUDA: build it where nvcc is "
                                 "found (-DDELTAK_CUDA=ON says what is missing), or use the device "
                                 "\"cpu\"");
}

/* libdeltak_cuda.so's one exported function. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/plugin_host.h"

#include <string.h>

/* To a host of another build, whose tables may look otherwise. */
static dk_status open_nothing(dki_backend **backend, const dki_services *services,
                              const dki_cuda_options *options) {
    (void)services;
    (void)options;
    *backend = NULL;
    return DK_E_DEVICE;
}

__attribute__((visibility("default"))) const dki_plugin *
dki_cuda_plugin(const dki_plugin_host *host) {
    static const dki_plugin plugin = {DKI_BUILD, dki_cuda_open};
    static const dki_plugin stranger = {DKI_BUILD, open_nothing};
    if (strcmp(host->build, DKI_BUILD) != 0) return &stranger;
    dki_plugin_attach(host);
    return &plugin;
}

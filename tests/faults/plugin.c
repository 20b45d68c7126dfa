/* A plugin that is found, loaded and asked, and has no GPU. */
#include "backend/plugin.h"

static const dki_plugin_host *host;

static dk_status no_gpu(dki_backend **backend, const dki_services *services,
                        const dki_cuda_options *options) {
    (void)services;
    (void)options;
    *backend = NULL;
    return host->fail(DK_E_DEVICE, "the test's plugin has no GPU");
}

DK_API const dki_plugin *dki_cuda_plugin(const dki_plugin_host *given) {
    static const dki_plugin plugin = {DKI_BUILD, no_gpu};
    host = given;
    return &plugin;
}

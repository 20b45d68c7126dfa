/* The CUDA backend comes in a library of its own, libdeltak_cuda.so, opened when a GPU is asked
 * for, so that one program runs on machines with and without CUDA. A static libdeltak has it linked
 * in. The two sides know each other by one function and these tables, and refuse another build's
 * partner. */
#ifndef DKI_PLUGIN_H
#define DKI_PLUGIN_H

#include "backend/backend.h"

/** What the plugin gets of its host; it has no error text of its own. */
typedef struct dki_plugin_host {
    const char *build;                                        /* DKI_BUILD of the host */
    dk_status (*fail)(dk_status status, const char *text);    /* sets the error text */
    dk_status (*fail_in)(dk_status status, const char *text); /* puts "text: " before it */
    const char *(*text)(void);                                /* the error text */
} dki_plugin_host;

typedef struct dki_plugin {
    const char *build; /* DKI_BUILD of the plugin */
    dk_status (*open)(dki_backend **backend, const dki_services *services,
                      const dki_cuda_options *options);
} dki_plugin;

/** The plugin's one exported function, DKI_PLUGIN_ENTRY; never NULL. */
typedef const dki_plugin *(*dki_plugin_entry)(const dki_plugin_host *host);
#define DKI_PLUGIN_ENTRY "dki_cuda_plugin"
const dki_plugin *dki_cuda_plugin(const dki_plugin_host *host);

/** Opens GPU `ordinal` through the plugin beside this library (or the one linked in). DK_E_DEVICE:
 *  no plugin, one of another build, libraries of CUDA missing, no driver, no such GPU; each with its
 *  text. DK_E_UNSUPPORTED (precision), DK_E_MEMORY. */
dk_status dki_cuda_load(dki_backend **backend, const dki_services *services,
                        const dki_cuda_options *options);

#endif

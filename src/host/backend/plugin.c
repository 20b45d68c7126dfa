/* Finds and opens the CUDA backend's plugin.
 *
 * It is looked for in the folder of the file that this code is in (libdeltak.so; a program that has
 * the library's objects in itself), and where the library was to be installed, and nowhere else: a
 * file of that name in the current folder, or in one that the environment names, is not ours. */
#include "backend/plugin_load.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static dk_status set_text(dk_status status, const char *text) {
    return dki_fail(status, "%s", text);
}

static dk_status put_before_text(dk_status status, const char *text) {
    return dki_fail_in(status, "%s", text);
}

static const dki_plugin_host host = {DKI_BUILD, set_text, put_before_text, dk_error_text};

/* Where this code lies, links resolved; empty if the system doesn't say. */
static void own_folder(char folder[DKI_PLUGIN_PATH]) {
    *folder = 0;
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1(&host, &info, (void **)&map, RTLD_DL_LINKMAP)) return;
    /* The loader knows the program itself by no name, dladdr by whatever argv[0] says. */
    char *path = realpath(*map->l_name ? map->l_name : "/proc/self/exe", NULL);
    char *slash = path ? strrchr(path, '/') : NULL;
    if (slash && slash - path < DKI_PLUGIN_PATH) {
        *slash = 0;
        snprintf(folder, DKI_PLUGIN_PATH, "%s", path);
    }
    free(path);
}

static bool find_in(const char *folder, char path[DKI_PLUGIN_PATH]) {
    int length = snprintf(path, DKI_PLUGIN_PATH, "%s/%s", folder, DKI_PLUGIN_FILE);
    return *folder && length < DKI_PLUGIN_PATH && access(path, F_OK) == 0;
}

dk_status dki_plugin_find(const char *folder, const char *other, char path[DKI_PLUGIN_PATH]) {
    DKI_REQUIRE(find_in(folder, path) || find_in(other, path), DK_E_DEVICE,
                "the CUDA backend isn't installed: there is no %s in %s or in %s", DKI_PLUGIN_FILE,
                *folder ? folder : "libdeltak's folder", other);
    return DK_OK;
}

/* The loader's message names what is missing, "libcublasLt.so.13: cannot open …". */
static dk_status not_loadable(const char *path) {
    const char *reason = dlerror();
    bool missing = reason && strstr(reason, "cannot open shared object file");
    return dki_fail(DK_E_DEVICE, "%s can't be loaded: %s%s", path, reason ? reason : "no reason",
                    missing ? "; install the CUDA runtime libraries, or set LD_LIBRARY_PATH to the "
                              "folder where they are"
                            : "");
}

dk_status dki_plugin_load(const char *path, const dki_plugin **plugin) {
    *plugin = NULL;
    /* It is never unloaded: CUDA isn't made for that. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) return not_loadable(path);
    void *symbol = dlsym(library, DKI_PLUGIN_ENTRY);
    DKI_REQUIRE(symbol, DK_E_DEVICE, "%s is no plugin of deltak: it has no %s", path,
                DKI_PLUGIN_ENTRY);
    dki_plugin_entry entry;
    memcpy(&entry, &symbol, sizeof entry); /* ISO C converts no data pointer to a function's */
    const dki_plugin *found = entry(&host);
    DKI_REQUIRE(strcmp(found->build, DKI_BUILD) == 0, DK_E_DEVICE,
                "%s is of another build (%s) than this libdeltak (%s): install both from one build",
                path, found->build, DKI_BUILD);
    *plugin = found;
    return DK_OK;
}

dk_status dki_cuda_load(dki_backend **backend, const dki_services *services,
                        const dki_cuda_options *options) {
    *backend = NULL;
    char folder[DKI_PLUGIN_PATH], path[DKI_PLUGIN_PATH];
    own_folder(folder);
    DKI_TRY(dki_plugin_find(folder, DKI_INSTALL_LIBDIR, path));
    const dki_plugin *plugin;
    DKI_TRY(dki_plugin_load(path, &plugin));
    return plugin->open(backend, services, options);
}

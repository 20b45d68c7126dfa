/* Loading the CUDA plugin, in parts that the tests can reach. */
#ifndef DKI_PLUGIN_LOAD_H
#define DKI_PLUGIN_LOAD_H

#include "backend/plugin.h"

#define DKI_PLUGIN_FILE "libdeltak_cuda.so"

enum { DKI_PLUGIN_PATH = 4096 };

/** The plugin's path in the first of two folders that has it; an empty name stands for none.
 *  DK_E_DEVICE: neither has. */
dk_status dki_plugin_find(const char *folder, const char *other, char path[DKI_PLUGIN_PATH]);

/** The table of the plugin at `path`, which stays loaded for good. DK_E_DEVICE: it can't be loaded,
 *  is none, or is of another build; each with its text. */
dk_status dki_plugin_load(const char *path, const dki_plugin **plugin);

#endif

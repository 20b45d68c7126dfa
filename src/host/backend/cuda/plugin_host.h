/* The plugin's way to the host's error text. */
#ifndef DKI_PLUGIN_HOST_H
#define DKI_PLUGIN_HOST_H

#include "backend/plugin.h"

/** From now on dki_fail and the others of base/error.h set the error text of this host. */
void dki_plugin_attach(const dki_plugin_host *host);

#endif

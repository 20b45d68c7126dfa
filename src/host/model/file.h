/* The JSON part of a model file: everything about a network that isn't a tensor. */
#ifndef DKI_MODEL_FILE_H
#define DKI_MODEL_FILE_H

#include "model/net.h"

/** In __metadata__: the network, and in a checkpoint the training. */
#define DKI_MODEL_KEY    "deltak"
#define DKI_TRAINING_KEY "deltak.training"

/** The network as JSON text; the caller releases it with the network's allocator. DK_E_MEMORY. */
dk_status dki_net_to_json(const dk_net *net, char **text);

/** Whether a text describes the same network, preprocessing and classes; how its weights were drawn, and
 *  from which table it learnt, may differ. DK_E_MEMORY; DK_E_MODEL for no JSON. */
dk_status dki_net_is_described(const dk_net *net, const char *text, bool *is);

/** A parsed description. */
typedef struct dki_model_json dki_model_json;

/** Parses and checks the text; `desc` points into *json. DK_E_MODEL, DK_E_MEMORY. */
dk_status dki_model_json_parse(dki_model_json **json, const dk_allocator *allocator,
                               const char *text, dk_net_desc *desc);

/** Gives a network made from the description its preprocessing and class names. */
dk_status dki_model_json_apply(const dki_model_json *json, dk_net *net);

void dki_model_json_release(dki_model_json *json);

#endif

/* An application of one line: what is tested is how it is built. */
#include <deltak/deltak.h>

int main(void) {
    dk_context *context = NULL;
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cpu";
    const dk_status status = dk_context_create(&context, &options);
    dk_context_destroy(context);
    return status != DK_OK;
}

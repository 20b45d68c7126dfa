// A context that lives as long as the process, on one thread of the CPU, with counted memory.
#ifndef DELTAK_TESTS_FUZZ_CONTEXT_H
#define DELTAK_TESTS_FUZZ_CONTEXT_H

#include "fuzz.h"

namespace fuzz {

inline dk_context *open_context() {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cpu";
    options.threads = 1;
    options.allocator = *allocator();
    dk_context *made = nullptr;
    expect(dk_context_create(&made, &options) == DK_OK, "there is a context");
    return made;
}

inline dk_context *context() {
    static dk_context *const opened = open_context();
    return opened;
}

} // namespace fuzz

#endif

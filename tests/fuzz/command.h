// The command's parsers without the command: what ends its process comes back to the target.
#ifndef DELTAK_TESTS_FUZZ_COMMAND_H
#define DELTAK_TESTS_FUZZ_COMMAND_H

#include "fuzz.h"

#include <csetjmp>

namespace fuzz {

extern std::jmp_buf usage_error; // where cli_usage returns to
extern long error_lines;         // how many the command has printed

// Whether `parse` came to its end; it ended in a usage error, with a text, otherwise. It must own
// nothing: a usage error leaves it by longjmp, as it would leave the process by exit.
template <class Parse> bool parses(Parse &&parse) {
    if (setjmp(usage_error)) return false;
    parse();
    return true;
}

} // namespace fuzz

#endif

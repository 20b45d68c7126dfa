// Loads, stores and atomic operations, by name.
#ifndef DELTAK_TESTS_EMULATED_PTX_MEMORY_H
#define DELTAK_TESTS_EMULATED_PTX_MEMORY_H

#include "code.h"

#include <string>
#include <string_view>

namespace ptx {

enum class Space { global, shared, parameters };

struct Memory {
    Space space = Space::global;
    size_t bytes = 0;        ///< of an element
    size_t elements = 1;     ///< of a vector
    bool is_relaxed = false; ///< others may access it at the same time
    std::string type;        ///< of an element in memory, as "u8"
};

/// Of the name of an ld, st or atom, without that first part; throws what it doesn't know.
Memory memory_of(std::string_view name);

/// nullptr: there is no such access.
Execute load(const Memory &memory, Width into);
Execute store(const Memory &memory, Width from);

struct Atomic {
    Execute execute = nullptr;
    unsigned operands = 0; ///< beside the address
    Width width = Width::b32;
};
Atomic atomic(std::string_view operation, const Memory &memory);

} // namespace ptx

#endif

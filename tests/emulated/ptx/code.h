// A decoded module: what parse() makes and run() reads.
//
// A register is an array of the values that the 32 lanes of a warp have in it. It lies in cells of 32
// words: one for up to 32 bits, two for 64 bits; a predicate's cell holds one word, with a bit for each
// lane. Values of 16 bits lie in the lower half of a word whose upper half is 0. Constants and special
// registers, as %tid.x, are cells too, filled before a warp starts.
#ifndef DELTAK_TESTS_EMULATED_PTX_CODE_H
#define DELTAK_TESTS_EMULATED_PTX_CODE_H

#include "ptx.h"

#include <unordered_map>

namespace ptx {

constexpr unsigned lane_count = 32;
constexpr uint32_t all_lanes = ~uint32_t{0};

using Cell = uint32_t; ///< an index
constexpr Cell no_cell = ~Cell{0};

enum class Width : uint8_t { predicate, b16, b32, b64 };

struct Warp;
struct Op;
using Execute = void (*)(Warp &, const Op &);

/// An instruction.
struct Op {
    enum Kind : uint8_t { compute, branch, leave, barrier, shuffle };

    Execute execute = nullptr; ///< for the lanes that are active; of compute and shuffle
    int64_t offset = 0;        ///< to the address
    Cell into[4] = {};         ///< what it writes
    Cell from[5] = {};         ///< what it reads; the first is the address, if there is one
    Cell guard = no_cell;      ///< a predicate: which lanes branch or leave
    uint32_t target = 0;       ///< of a branch
    uint32_t line = 0;         ///< of the module's text
    uint8_t writes = 0, reads = 0;
    uint8_t demands = 0; ///< a bit for each of what it reads: must have been written
    Kind kind = compute;
    Access access = Access::read; ///< of what lies at the address
    bool unless = false;          ///< the guard is to be false
};

enum class Special : uint8_t { tid, ntid, ctaid, nctaid };

struct Kernel {
    struct Constant {
        Cell cell;
        Width width;
        uint64_t bits;
    };
    struct Filled {
        Cell cell;
        Special special;
        int dimension;
    };

    std::string name;
    Signature signature;
    std::vector<Op> code;
    Cell cells = 0; ///< how many
    std::vector<Constant> constants;
    std::vector<Filled> specials;
    size_t parameter_bytes = 0;
    /// The narrowest access to shared memory: races are looked for in units of so many bytes.
    size_t shared_unit = 4;
};

class Module {
  public:
    std::string text;          ///< without its comments
    std::vector<size_t> lines; ///< where they begin
    int capability = 0;
    std::unordered_map<std::string, Kernel> kernels;

    const Kernel &kernel(const std::string &name) const;
    std::string line(uint32_t number) const;
};

} // namespace ptx

#endif

// An interpreter of PTX, the assembly language that nvcc makes of kernels before ptxas makes machine code
// of it: what nvcc compiled is run on the CPU, warp by warp, and watched while it runs. It knows the
// instructions that nvcc makes of src/kernels; whatever else it is given, it refuses by name.
//
// NVIDIA, "PTX ISA" (docs.nvidia.com/cuda/parallel-thread-execution), says what the instructions mean.
#ifndef DELTAK_TESTS_EMULATED_PTX_PTX_H
#define DELTAK_TESTS_EMULATED_PTX_PTX_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ptx {

struct Dim {
    unsigned x = 1, y = 1, z = 1;
};

/// A module, decoded; nothing changes it any more, so that threads may share it.
class Module;

/// The text of a module, as nvcc writes it and a fat binary holds it. Throws std::runtime_error with the
/// line that it can't decode.
std::shared_ptr<const Module> parse(const std::string &text);

/// Where in the space of parameters one lies.
struct Parameter {
    size_t offset, bytes;
};

struct Signature {
    std::vector<Parameter> parameters; ///< in the order of the kernel's declaration
    size_t shared_bytes = 0;           ///< of shared memory that the kernel itself declares
    unsigned max_threads = 0;          ///< of a block, by __launch_bounds__; 0 = not said
};

/// Throws std::runtime_error if the module has no such kernel (its name is the mangled one).
const Signature &signature(const Module &module, const std::string &kernel);
/// For which compute capability it was compiled, as 90.
int capability(const Module &module);

/// What may meet others' accesses to the same bytes is atomic: volatile and relaxed ones, too.
enum class Access { read, write, atomic };

struct Hooks {
    /// Called before threads touch global memory: one of them, or several whose bytes lie side by side.
    /// `waited`: all of them have executed griddepcontrol.wait. Returns whether the bytes lie in an
    /// allocation; where not, the kernel ends there.
    std::function<bool(Access access, uintptr_t address, size_t bytes, bool waited)> global;
};

struct Launch {
    std::string kernel; ///< its mangled name
    Dim grid, block;
    void *const *arguments = nullptr; ///< one for each parameter, as cudaLaunchKernelExC takes them
    uint64_t seed = 0;                ///< the order of blocks, and of warps between barriers
    uint64_t steps = uint64_t{1} << 28; ///< instructions of a warp, after which its loop is endless
};

struct Outcome {
    /// No thread did what it may not: touch memory outside of allocations, or at a misaligned address;
    /// race in shared memory; part at a barrier or a shuffle; run for ever; store, branch or find an
    /// address by what nobody wrote to a register or to shared memory. Such a value may be handed on.
    bool well = true;
    /// Every thread executed griddepcontrol.wait before it touched global memory, and before it ended.
    bool waited = true;
    /// What was wrong: the kernel, the block, the thread, the line of the module's text. The first such
    /// thing; the kernel ends there if it isn't well.
    std::string text;
};

/// Runs a kernel to its end. Throws std::runtime_error if the launch itself is wrong.
Outcome run(const Module &module, const Launch &launch, const Hooks &hooks);

} // namespace ptx

#endif

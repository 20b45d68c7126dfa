// Runs a kernel's blocks one after the other.
#include "block.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace ptx {

const Kernel &Module::kernel(const std::string &name) const {
    const auto found = kernels.find(name);
    if (found == kernels.end()) throw std::runtime_error("no kernel in the module: " + name);
    return found->second;
}

std::string Module::line(uint32_t number) const {
    const size_t begin = lines.at(number - 1);
    return text.substr(begin, text.find('\n', begin) - begin);
}

const Signature &signature(const Module &module, const std::string &kernel) {
    return module.kernel(kernel).signature;
}

int capability(const Module &module) {
    return module.capability;
}

static std::vector<std::byte> pack(const Kernel &kernel, void *const *arguments) {
    std::vector<std::byte> packed(kernel.parameter_bytes);
    size_t i = 0;
    for (const Parameter &parameter : kernel.signature.parameters)
        memcpy(packed.data() + parameter.offset, arguments[i++], parameter.bytes);
    return packed;
}

static void check(const Kernel &kernel, Dim grid, Dim block) {
    const uint64_t threads = uint64_t{block.x} * block.y * block.z;
    const unsigned most = kernel.signature.max_threads ? kernel.signature.max_threads : 1024;
    if (uint64_t{grid.x} * grid.y * grid.z == 0 || threads == 0)
        throw std::runtime_error(kernel.name + ": a launch without threads");
    if (threads > most)
        throw std::runtime_error(kernel.name + ": a block of " + std::to_string(threads) +
                                 " threads, at most " + std::to_string(most));
}

Outcome run(const Module &module, const Launch &launch, const Hooks &hooks) {
    const Kernel &kernel = module.kernel(launch.kernel);
    check(kernel, launch.grid, launch.block);
    Grid grid = {module, kernel, launch, hooks, pack(kernel, launch.arguments), {}};
    std::mt19937_64 random(launch.seed);
    std::vector<uint32_t> order(uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    Outcome outcome;
    try {
        Block block(grid);
        for (const uint32_t at : order) block.run(unravel(at, launch.grid), random);
    } catch (const Fault &fault) {
        outcome.well = false;
        outcome.text = fault.what();
    }
    outcome.waited = grid.early.empty();
    if (outcome.well) outcome.text = grid.early;
    return outcome;
}

} // namespace ptx

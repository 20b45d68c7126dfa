// Small kernels in PTX, and memory for them.
#ifndef DELTAK_TESTS_EMULATED_PTX_SUPPORT_PTX_H
#define DELTAK_TESTS_EMULATED_PTX_SUPPORT_PTX_H

#include "ptx/ptx.h"

#include <gtest/gtest.h>

#include <cstring>

namespace ptx {

/// A kernel k(first, second) of two addresses, in %first and %second. %tid is the thread of the block,
/// %index that of the grid; there are registers %h0…, %r0…, %d0… of 16, 32 and 64 bits, predicates %p0…,
/// and 1024 bytes of shared memory at `shared`.
inline std::string kernel_text(const std::string &body, const std::string &start) {
    return R"(
.version 8.0
.target sm_90
.address_size 64
.visible .entry k(
    .param .u64 k_first,
    .param .u64 .ptr .align 1 k_second
)
.maxntid 512, 1, 1
{
    .reg .pred %p<32>;
    .reg .b16 %h<32>;
    .reg .b32 %r<32>, %tid, %index;
    .reg .b64 %d<32>, %first, %second;
    .shared .align 16 .b8 shared[1024];
    )" + start +
           R"(
    ld.param.u64 %first, [k_first];
    ld.param.u64 %second, [k_second];
    mov.u32 %tid, %tid.x;
    mad.lo.s32 %index, %ctaid.x, %ntid.x, %tid;
)" + body + R"(
    ret;
})";
}

/// The text of a kernel whose first statement waits for earlier ones.
inline std::string kernel_text(const std::string &body) {
    return kernel_text(body, "griddepcontrol.wait;");
}

/// A launch of a small kernel on two allocations.
struct Small {
    std::vector<uint32_t> first = std::vector<uint32_t>(1024);
    std::vector<uint32_t> second = std::vector<uint32_t>(1024);
    unsigned blocks = 1, threads = 32;
    uint64_t seed = 1, steps = 100000;
    std::vector<std::pair<Access, size_t>> touched; ///< how, and how many bytes

    Outcome run_text(const std::string &text) {
        void *addresses[] = {first.data(), second.data()};
        void *arguments[] = {&addresses[0], &addresses[1]};
        Launch launch;
        launch.kernel = "k";
        launch.grid.x = blocks;
        launch.block.x = threads;
        launch.arguments = arguments;
        launch.seed = seed;
        launch.steps = steps;
        const Hooks hooks = {[this](Access access, uintptr_t address, size_t bytes, bool) {
            touched.emplace_back(access, bytes);
            return holds(first, address, bytes) || holds(second, address, bytes);
        }};
        return ptx::run(*parse(text), launch, hooks);
    }
    Outcome run(const std::string &body) { return run_text(kernel_text(body)); }

  private:
    static bool holds(const std::vector<uint32_t> &memory, uintptr_t address, size_t bytes) {
        const auto begin = reinterpret_cast<uintptr_t>(memory.data());
        return address >= begin && address + bytes <= begin + 4 * memory.size();
    }
};

/// The run ended with a report that has these words, at the line that has the instruction.
inline void expect_fault(const Outcome &outcome, const std::string &words,
                         const std::string &instruction) {
    EXPECT_FALSE(outcome.well);
    EXPECT_NE(outcome.text.find(words), std::string::npos) << outcome.text;
    EXPECT_NE(outcome.text.find(instruction), std::string::npos) << outcome.text;
}

inline void expect_well(const Outcome &outcome) {
    EXPECT_TRUE(outcome.well && outcome.waited) << outcome.text;
}

} // namespace ptx

#endif

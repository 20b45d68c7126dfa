// nvcc's own PTX of src/kernels, for each architecture of this build: all of it decodes, and some kernels
// are run against plain C++. The device tests run the others.
#include "support_ptx.h"

#include "kernels/kernels.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>

namespace ptx {
namespace {

struct File {
    std::string path, text;
};

/// PTX that is kept beside the objects of the kernels (cmake/kernel_report.sh).
const std::vector<File> &files() {
    static const std::vector<File> all = [] {
        std::vector<File> found;
        std::istringstream objects(DELTAK_KERNEL_OBJECTS);
        for (std::string object; std::getline(objects, object, '|');)
            for (const auto &entry : std::filesystem::directory_iterator(object + ".ptx")) {
                std::ostringstream text;
                text << std::ifstream(entry.path()).rdbuf();
                found.push_back({entry.path(), text.str()});
            }
        return found;
    }();
    return all;
}

/// The mangled names of a module's kernels.
std::vector<std::string> kernels_of(const std::string &text) {
    const std::string entry = ".entry ";
    std::vector<std::string> names;
    for (size_t at = 0; (at = text.find(entry, at)) != std::string::npos;) {
        at += entry.size();
        names.push_back(text.substr(at, text.find('(', at) - at));
    }
    return names;
}

class PtxKernels : public testing::Test {
  protected:
    void SetUp() override {
        if (files().empty()) GTEST_SKIP() << "no CUDA compiler: there is no PTX of the kernels";
    }
};

TEST_F(PtxKernels, DecodeForEveryArchitecture) {
    std::map<int, size_t> kernels;
    for (const File &file : files()) {
        SCOPED_TRACE(file.path);
        std::shared_ptr<const Module> module;
        ASSERT_NO_THROW(module = parse(file.text));
        for (const std::string &name : kernels_of(file.text)) {
            EXPECT_FALSE(signature(*module, name).parameters.empty()) << name;
            ++kernels[capability(*module)];
        }
    }
    ASSERT_TRUE(kernels.count(75) && kernels.count(80) && kernels.count(90));
    for (const auto &[architecture, count] : kernels)
        EXPECT_EQ(count, kernels[75]) << "for " << architecture;
    EXPECT_GT(kernels[75], 100u);
}

/// Memory of a launch; all of them may be touched.
struct Memory {
    std::vector<std::pair<uintptr_t, size_t>> spans;
    template <class T> void add(std::vector<T> &values) {
        spans.emplace_back(reinterpret_cast<uintptr_t>(values.data()), sizeof(T) * values.size());
    }
    Hooks hooks() const {
        return {[this](Access, uintptr_t address, size_t bytes, bool) {
            for (const auto &[begin, size] : spans)
                if (address >= begin && address + bytes <= begin + size) return true;
            return false;
        }};
    }
};

/// Runs the kernel with this in its name as every architecture has it.
template <class Check>
void run_everywhere(const std::string &part, Dim grid, Dim block, std::vector<void *> arguments,
                    const Memory &memory, const Check &check) {
    std::set<int> seen;
    for (const File &file : files())
        for (const std::string &name : kernels_of(file.text)) {
            if (name.find(part) == std::string::npos) continue;
            const auto module = parse(file.text);
            SCOPED_TRACE(file.path + ": " + name);
            Launch launch;
            launch.kernel = name;
            launch.grid = grid;
            launch.block = block;
            launch.arguments = arguments.data();
            launch.seed = seen.size();
            ASSERT_EQ(signature(*module, name).parameters.size(), arguments.size());
            const Outcome outcome = run(*module, launch, memory.hooks());
            EXPECT_TRUE(outcome.well) << outcome.text;
            EXPECT_EQ(outcome.waited, capability(*module) >= 90) << outcome.text;
            check();
            seen.insert(capability(*module));
        }
    EXPECT_TRUE(seen.count(75) && seen.count(80) && seen.count(90)) << part;
}

/// To nearest, ties to even; the bits above are those of the number below.
uint16_t bf16_of(uint32_t bits) {
    const uint32_t low = bits & 0xffff, high = bits >> 16;
    return static_cast<uint16_t>(high + (low > 0x8000 || (low == 0x8000 && (high & 1))));
}

TEST_F(PtxKernels, RoundToBfloat16) {
    std::mt19937 random(1);
    int64_t count = 1003;
    std::vector<uint32_t> from(1004);
    for (uint32_t &bits : from) bits = random() & 0xbfffffff;                              // finite
    for (size_t i = 0; i < from.size(); i += 5) from[i] = (from[i] & 0xffff0000) | 0x8000; // ties
    std::vector<uint16_t> to(1008);
    Memory memory;
    memory.add(from);
    memory.add(to);
    void *source = from.data(), *target = to.data();
    for (bool packed : {false, true})
        run_everywhere("cast_kernelI13__nv_bfloat16", {3, 1, 1}, {256, 1, 1},
                       {&source, &target, &count, &packed}, memory, [&] {
                           for (size_t i = 0; i < 1003; ++i)
                               ASSERT_EQ(to[i], bf16_of(from[i])) << i << ": " << from[i];
                           EXPECT_EQ(to[1003], 0) << "beyond the end";
                           to.assign(to.size(), 0);
                       });
}

/// Barriers, shuffles, shared memory, doubles. Integers have exact sums, in any order.
TEST_F(PtxKernels, SumSquares) {
    int64_t count = 20001;
    std::vector<float> x(20004);
    double expected = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<float>(i % 7) - 3;
        if (i < 20001) expected += double{x[i]} * double{x[i]};
    }
    std::vector<double> partial(8);
    Memory memory;
    memory.add(x);
    memory.add(partial);
    void *from = x.data(), *to = partial.data();
    bool packed = true;
    const auto blocks = static_cast<unsigned>((count + DKI_NORM_PIECE - 1) / DKI_NORM_PIECE);
    ASSERT_LE(blocks, partial.size());
    run_everywhere("square_sums_kernel", {blocks, 1, 1}, {256, 1, 1}, {&from, &count, &packed, &to},
                   memory, [&] {
                       double sum = 0;
                       for (unsigned i = 0; i < blocks; ++i) sum += partial[i];
                       EXPECT_EQ(sum, expected);
                       partial.assign(partial.size(), -1);
                   });
}

} // namespace
} // namespace ptx

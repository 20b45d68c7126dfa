// Runs a target on the files of the folders and on the files that are named: what stands in for
// libFuzzer where a build has none of it.
#include "fuzz.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace fs = std::filesystem;

static std::vector<fs::path> inputs_of(int argc, char **argv) {
    std::vector<fs::path> inputs;
    for (int i = 1; i < argc; ++i) {
        if (!fs::is_directory(argv[i])) {
            inputs.push_back(argv[i]);
            continue;
        }
        for (const auto &file : fs::directory_iterator(argv[i])) inputs.push_back(file.path());
    }
    std::sort(inputs.begin(), inputs.end());
    return inputs;
}

static void run(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fuzz::broken(("the input can be read: " + path.string()).c_str());
    // Exactly as long as the input, so that AddressSanitizer sees the first byte behind it.
    const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
    std::printf("%s\n", path.c_str()); // known if the process ends here
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

int main(int argc, char **argv) {
    const std::vector<fs::path> inputs = inputs_of(argc, argv);
    if (inputs.empty()) fuzz::broken("there are inputs");
    for (const fs::path &input : inputs) run(input);
    std::printf("%zu inputs\n", inputs.size());
}

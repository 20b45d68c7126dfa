// deltak_soak SECONDS STEPS THREADS RESULTS COMMIT: the long form; `make soak` runs it.
#include "soak/soak.h"

#include <cstdlib>
#include <fstream>

int main(int argc, char **argv) {
    if (argc != 6) {
        std::fprintf(stderr, "usage: deltak_soak SECONDS STEPS THREADS RESULTS COMMIT\n");
        return 2;
    }
    soak::Options options;
    options.seconds = std::atof(argv[1]);
    options.steps = std::atoll(argv[2]);
    options.lives = options.steps / 10;
    options.threads = std::atoi(argv[3]);
    options.progress = stdout;
    const soak::Result result = soak::run(options);
    if (!result.failed.empty()) {
        std::fprintf(stderr, "soak: %s\n", result.failed.c_str());
        return 1;
    }
    std::ofstream(argv[4]) << soak::json(result, argv[5]);
    std::vector<std::string> found = soak::growth(result);
    for (const std::string &more : soak::slowdown(result)) found.push_back(more);
    for (const std::string &what : found) std::fprintf(stderr, "soak: %s\n", what.c_str());
    std::printf("%lld steps in %.0f s: %s, %s\n", static_cast<long long>(result.steps),
                result.seconds, found.empty() ? "nothing grew" : "something grew", argv[4]);
    return found.empty() ? 0 : 1;
}

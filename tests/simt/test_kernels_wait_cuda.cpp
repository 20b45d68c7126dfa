// Every kernel waits for the ones before it before it does anything else. On a GPU a kernel without it
// would read, now and then, what the one before hasn't written yet.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

std::string text_of(const std::filesystem::path &path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Where the parentheses that open at `at` close.
size_t behind_parentheses(const std::string &text, size_t at) {
    int depth = 0;
    do {
        depth += text[at] == '(' ? 1 : text[at] == ')' ? -1 : 0;
        ++at;
    } while (depth > 0 && at < text.size());
    return at;
}

} // namespace

// Breaks with a kernel that has anything before the wait: a declaration could read memory already.
TEST(Kernels, BeginWithTheWait) {
    const std::string wait = "dki_wait_for_earlier();", mark = "__global__", suffix = "_kernel(";
    int kernels = 0;
    for (const auto &entry :
         std::filesystem::directory_iterator(DELTAK_SOURCE_DIR "/src/kernels")) {
        const std::string text = text_of(entry.path());
        if (entry.path().extension() != ".cu") {
            EXPECT_EQ(text.find(mark), std::string::npos) << entry.path() << ": kernels lie in .cu";
            continue;
        }
        for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
            const size_t name = text.find(suffix, at);
            ASSERT_NE(name, std::string::npos) << entry.path() << ": a kernel of another name";
            const size_t body = text.find('{', behind_parentheses(text, name + suffix.size() - 1));
            const size_t first = text.find_first_not_of(" \n", body + 1);
            EXPECT_EQ(text.compare(first, wait.size(), wait), 0)
                << entry.path() << ": " << text.substr(at, name - at) << "_kernel";
            ++kernels;
        }
    }
    EXPECT_GE(kernels, 17);
}

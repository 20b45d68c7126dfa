// What the kernels' sources must look like, for the emulator to see their faults.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
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

// Every kernel waits for the ones before it before it does anything else. On a GPU a kernel without it
// would read, now and then, what the one before hasn't written yet. Breaks with anything before the
// wait: a declaration could read memory already.
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

// Several elements at a time are loaded and stored by dki_pack, which has the emulator check the
// alignment; on a GPU an access at a misaligned address ends the program. Breaks with a pointer to
// one of CUDA's vector types, or to what an address was cast to, anywhere else.
TEST(Kernels, AccessVectorsByPacks) {
    const std::regex vector_pointer(
        "\\b(char|short|int|long|longlong|float|double|uchar|ushort|uint|"
        "ulong|ulonglong)[234]\\s*(const\\s*)?[*]"),
        cast("reinterpret_cast<(?!const void [*]|uintptr_t)");
    int casts = 0;
    for (const auto &entry :
         std::filesystem::directory_iterator(DELTAK_SOURCE_DIR "/src/kernels")) {
        const std::string text = text_of(entry.path());
        EXPECT_FALSE(std::regex_search(text, vector_pointer)) << entry.path();
        if (entry.path().filename() == "vector.cuh")
            casts += static_cast<int>(std::distance(
                std::sregex_iterator(text.begin(), text.end(), cast), std::sregex_iterator()));
        else
            EXPECT_FALSE(std::regex_search(text, cast)) << entry.path();
    }
    EXPECT_EQ(casts, 2); // dki_pack's
}

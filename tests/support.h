// What several tests share: an allocator that counts and fails on demand, a directory of one's own.
#ifndef DELTAK_TESTS_SUPPORT_H
#define DELTAK_TESTS_SUPPORT_H

#include "deltak/deltak.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace support {

/// An allocator that counts what is live and can make its n-th call fail. It outlives every object
/// made with it.
class Allocator {
  public:
    /// The hooks; point into this object.
    dk_allocator hooks{&alloc, &release, this};

    std::atomic<long> calls{0};
    std::atomic<long> live_blocks{0};
    std::atomic<long> live_bytes{0};
    std::atomic<long> fail_at{0}; ///< the call, from 1, that returns NULL; 0 = none

    const dk_allocator *get() const { return &hooks; }

  private:
    static void *alloc(void *user, size_t bytes, size_t alignment) {
        auto *self = static_cast<Allocator *>(user);
        if (++self->calls == self->fail_at) return nullptr;
        void *memory = nullptr;
        if (posix_memalign(&memory, alignment, bytes ? bytes : 1) != 0) return nullptr;
        ++self->live_blocks;
        self->live_bytes += static_cast<long>(bytes);
        return memory;
    }

    static void release(void *user, void *memory, size_t bytes) {
        auto *self = static_cast<Allocator *>(user);
        --self->live_blocks;
        self->live_bytes -= static_cast<long>(bytes);
        free(memory);
    }
};

/// Runs `work` with call 1, 2, 3 … failing, until a run in which none fails. Each failed run must
/// report DK_E_MEMORY, every run must give back all it took (`work` releases what it made).
/// Returns the number of allocations of a clean run.
inline long fail_each_allocation(const std::function<dk_status(const dk_allocator *)> &work,
                                 long most = 10000) {
    for (long n = 1; n <= most; ++n) {
        Allocator allocator;
        allocator.fail_at = n;
        dk_status status = work(allocator.get());
        EXPECT_EQ(allocator.live_blocks, 0) << "leak after allocation " << n << " failed";
        EXPECT_EQ(allocator.live_bytes, 0) << "sizes disagree after allocation " << n;
        if (allocator.calls < n) {
            EXPECT_EQ(status, DK_OK) << dk_error_text();
            return n - 1;
        }
        EXPECT_EQ(status, DK_E_MEMORY) << "allocation " << n << " failed: " << dk_error_text();
        if (testing::Test::HasFailure()) return n;
    }
    ADD_FAILURE() << "still allocating after " << most << " calls";
    return most;
}

/// A fixture with an empty directory, removed afterwards.
class TempDirectory : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "deltak-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory = name;
    }
    void TearDown() override {
        std::error_code ignored;
        std::filesystem::remove_all(directory, ignored);
    }

    /// The path of a file in the directory.
    std::string path(const std::string &name) const { return (directory / name).string(); }

    /// Writes a file and returns its path.
    std::string write(const std::string &name, const std::string &bytes) const {
        std::ofstream(path(name), std::ios::binary) << bytes;
        return path(name);
    }

    std::filesystem::path directory;
};

/// All bytes of a file; "" where there is none.
inline std::string slurp(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Where the real data lies: $DELTAK_DATA, else ../shared/data beside the sources.
inline std::string data_directory() {
    const char *set = std::getenv("DELTAK_DATA");
    return set ? set : std::string(DELTAK_SOURCE_DIR) + "/../shared/data";
}

/// One to four random edits of `bytes`: a byte changed, removed, inserted, a piece repeated, an end
/// cut off. The same generator state gives the same edits.
inline std::string mutate(const std::string &bytes, std::mt19937 &random) {
    std::string changed = bytes;
    for (unsigned edit = 1 + random() % 4; edit > 0 && !changed.empty(); --edit) {
        size_t at = random() % changed.size();
        switch (random() % 6) {
        case 0:
            changed[at] = static_cast<char>(random());
            break;
        case 1:
            changed[at] ^= static_cast<char>(1u << random() % 8);
            break;
        case 2:
            changed.erase(at, 1 + random() % 8);
            break;
        case 3:
            changed.insert(at, 1 + random() % 3, static_cast<char>(random()));
            break;
        case 4:
            changed.insert(at, changed.substr(random() % changed.size(), random() % 16));
            break;
        default:
            changed.resize(at);
            break;
        }
    }
    return changed;
}

/// Expects that the last error's text holds `part`.
inline void expect_error_names(const std::string &part) {
    EXPECT_NE(std::string(dk_error_text()).find(part), std::string::npos)
        << "\"" << part << "\" is not in: " << dk_error_text();
}

} // namespace support

#define DELTAK_NEEDS_DATA(file)                                                                    \
    if (!std::filesystem::exists(support::data_directory() + "/" + (file)))                        \
    GTEST_SKIP() << support::data_directory() << "/" << (file)                                     \
                 << " is not there: set DELTAK_DATA to the folder of test data"

#endif

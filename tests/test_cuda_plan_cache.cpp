// The plans on disk: what is stored is found again by the same key only; a file that is cut, changed
// or another's is as good as none; writers at the same time never leave a torn one; a folder that
// can't be written costs nothing but a line in the log. Needs plan_cache.c only, no GPU and no CUDA.
#include "support.h"

extern "C" {
#include "backend/cuda/plan_cache.h"
}

#include <cstring>
#include <functional>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// A variable of the environment for as long as this lives.
class Variable {
  public:
    Variable(const char *name, const char *value) : name_(name) {
        const char *old = getenv(name);
        had_ = old != nullptr;
        if (old) old_ = old;
        value ? setenv(name, value, 1) : unsetenv(name);
    }
    ~Variable() { had_ ? setenv(name_, old_.c_str(), 1) : unsetenv(name_); }
    Variable(const Variable &) = delete;
    Variable &operator=(const Variable &) = delete;

  private:
    const char *name_;
    bool had_ = false;
    std::string old_;
};

class CudaPlanCache : public testing::Test {
  protected:
    std::string root = testing::TempDir() + "deltak-plans-XXXXXX";
    std::string folder;
    std::vector<std::pair<dk_log_level, std::string>> lines;
    dki_logger log{};
    dki_gpu_facts facts{};

    void SetUp() override {
        ASSERT_NE(mkdtemp(root.data()), nullptr);
        folder = root + "/deltak";
        log.write = [](void *user, dk_log_level level, const char *line) {
            static_cast<CudaPlanCache *>(user)->lines.emplace_back(level, line);
        };
        log.user = this;
        log.level = DK_LOG_DEBUG;
        pthread_mutex_init(&log.lock, nullptr);
        snprintf(facts.name, sizeof facts.name, "NVIDIA Example");
        facts.major = 9;
        facts.processors = 132;
        facts.library_version = 130100;
    }

    void TearDown() override {
        pthread_mutex_destroy(&log.lock);
        std::error_code ignored;
        fs::remove_all(root, ignored);
    }

    dki_plan_cache open(const dki_gpu_facts &of) {
        Variable cache("XDG_CACHE_HOME", root.c_str());
        dki_plan_cache opened;
        dki_plan_cache_open(&opened, &log, &of);
        return opened;
    }
    dki_plan_cache open() { return open(facts); }

    static dki_plan_key key(int64_t m = 512) {
        dki_plan_key made;
        memset(&made, 0, sizeof made);
        made.product = {m, 128, 784, 784, 784, 512, 0, 1, 0, 0, 0, 0, 0, 0, 128, 4096, 0};
        made.question = DKI_QUESTION_ALGORITHM;
        return made;
    }

    static dki_plan_entry entry(uint64_t seed = 1) {
        dki_plan_entry made{};
        for (int i = 0; i < 8; ++i)
            made.algorithm.data[i] = (seed + static_cast<uint64_t>(i)) * 0x9e3779b97f4a7c15u;
        made.algorithm.workspace = static_cast<int64_t>(seed);
        made.answer = static_cast<int64_t>(seed % 4);
        return made;
    }

    static bool equal(const dki_plan_entry &one, const dki_plan_entry &two) {
        return memcmp(&one, &two, sizeof one) == 0;
    }

    std::vector<fs::path> files() const {
        std::vector<fs::path> all;
        for (const auto &file : fs::directory_iterator(folder)) all.push_back(file.path());
        return all;
    }

    static std::string read(const fs::path &path) {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    static void write(const fs::path &path, const std::string &bytes) {
        std::ofstream(path, std::ios::binary | std::ios::trunc)
            .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }

    /// Whether the cache has nothing under this key, and leaves the caller's entry alone.
    static testing::AssertionResult missing(const dki_plan_cache &cache, const dki_plan_key &of) {
        const dki_plan_entry before = entry(77);
        dki_plan_entry got = before;
        if (dki_plan_cache_load(&cache, &of, &got))
            return testing::AssertionFailure() << "was believed";
        if (!equal(got, before)) return testing::AssertionFailure() << "wrote the entry";
        return testing::AssertionSuccess();
    }

    /// Stores one entry and gives its file.
    fs::path store_one(const dki_plan_cache &cache) {
        const dki_plan_key of = key();
        const dki_plan_entry stored = entry();
        dki_plan_cache_store(&cache, &of, &stored);
        const auto all = files();
        EXPECT_EQ(all.size(), 1u);
        return all.at(0);
    }
};

TEST_F(CudaPlanCache, FindsWhatWasStoredInAnotherProcessToo) {
    const dki_plan_cache writer = open(), reader = open();
    const dki_plan_key of = key();
    const dki_plan_entry stored = entry();
    EXPECT_TRUE(missing(reader, of));
    dki_plan_cache_store(&writer, &of, &stored);
    dki_plan_entry got{};
    ASSERT_TRUE(dki_plan_cache_load(&reader, &of, &got));
    EXPECT_TRUE(equal(got, stored));
    const dki_plan_entry newer = entry(2);
    dki_plan_cache_store(&writer, &of, &newer);
    ASSERT_TRUE(dki_plan_cache_load(&reader, &of, &got));
    EXPECT_TRUE(equal(got, newer));
    EXPECT_EQ(files().size(), 1u) << "no temporary file is left";
    EXPECT_TRUE(lines.empty()) << lines.at(0).second;
}

TEST_F(CudaPlanCache, EveryFieldOfTheKeyCounts) {
    const dki_plan_cache cache = open();
    store_one(cache);
    for (size_t byte = 0; byte < sizeof(dki_plan_key); ++byte) {
        dki_plan_key other = key();
        reinterpret_cast<unsigned char *>(&other)[byte] ^= 1;
        EXPECT_TRUE(missing(cache, other)) << "byte " << byte;
    }
}

TEST_F(CudaPlanCache, EveryFieldOfTheDeviceCounts) {
    store_one(open());
    const std::vector<std::function<void(dki_gpu_facts &)>> changes = {[](dki_gpu_facts &f) { f.name[0] = 'n'; },
                                                                       [](dki_gpu_facts &f) { f.name[14] = '2'; },
                                                                       [](dki_gpu_facts &f) { f.major = 10; },
                                                                       [](dki_gpu_facts &f) { f.minor = 1; },
                                                                       [](dki_gpu_facts &f) { f.processors = 114; },
                                                                       [](dki_gpu_facts &f) { ++f.library_version; }};
    for (size_t i = 0; i < changes.size(); ++i) {
        dki_gpu_facts other = facts;
        changes[i](other);
        EXPECT_TRUE(missing(open(other), key())) << "change " << i;
    }
    dki_gpu_facts elsewhere = facts; // the same GPU in another slot
    elsewhere.ordinal = 3;
    dki_plan_entry got{};
    const dki_plan_cache cache = open(elsewhere);
    const dki_plan_key of = key();
    EXPECT_TRUE(dki_plan_cache_load(&cache, &of, &got));
}

// The name of a file is a hash: should two keys meet there, the key inside tells them apart.
TEST_F(CudaPlanCache, AFileUnderAnothersNameIsNotBelieved) {
    const dki_plan_cache cache = open();
    const fs::path first = store_one(cache);
    const dki_plan_key other = key(1024);
    const dki_plan_entry stored = entry(2);
    dki_plan_cache_store(&cache, &other, &stored);
    for (const fs::path &path : files())
        if (path != first) fs::copy_file(first, path, fs::copy_options::overwrite_existing);
    EXPECT_TRUE(missing(cache, other));
    dki_plan_entry got{};
    const dki_plan_key of = key();
    EXPECT_TRUE(dki_plan_cache_load(&cache, &of, &got));
}

TEST_F(CudaPlanCache, ACutOrLengthenedFileIsNotBelieved) {
    const dki_plan_cache cache = open();
    const fs::path path = store_one(cache);
    const std::string whole = read(path);
    for (size_t length = 0; length < whole.size(); ++length) {
        write(path, whole.substr(0, length));
        ASSERT_TRUE(missing(cache, key())) << "cut at " << length;
    }
    write(path, whole + '\0');
    EXPECT_TRUE(missing(cache, key()));
    ASSERT_EQ(lines.size(), whole.size() + 1);
    for (const auto &line : lines) EXPECT_EQ(line.first, DK_LOG_DEBUG) << line.second;
    write(path, whole);
    dki_plan_entry got{};
    const dki_plan_key of = key();
    EXPECT_TRUE(dki_plan_cache_load(&cache, &of, &got)) << "whole again";
}

// FNV-1a maps each state to another for another byte, so one changed byte always changes the sum.
TEST_F(CudaPlanCache, AChangedByteIsNotBelieved) {
    const dki_plan_cache cache = open();
    const fs::path path = store_one(cache);
    const std::string whole = read(path);
    for (size_t at = 0; at < whole.size(); ++at)
        for (const int flip : {1, 0x80, 0xff}) {
            std::string changed = whole;
            changed[at] = static_cast<char>(changed[at] ^ flip);
            write(path, changed);
            ASSERT_TRUE(missing(cache, key())) << "byte " << at << " ^ " << flip;
        }
}

TEST_F(CudaPlanCache, WhatIsNoFileIsNotBelieved) {
    const dki_plan_cache cache = open();
    const fs::path path = store_one(cache);
    fs::remove(path);
    fs::create_directory(path);
    EXPECT_TRUE(missing(cache, key()));
    fs::remove(path);
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    EXPECT_TRUE(missing(cache, key())) << "and nobody waits for a writer";
}

// Four processes and two threads store different entries under one key while this one loads. A
// write in place, or a shared temporary name, would show a torn file.
TEST_F(CudaPlanCache, WritersAtOnceLeaveOneWholeFile) {
    constexpr int writers = 4, rounds = 50;
    const dki_plan_cache cache = open();
    const dki_plan_key of = key();
    const dki_plan_entry start = entry(0);
    dki_plan_cache_store(&cache, &of, &start);
    std::vector<pid_t> children;
    for (int writer = 0; writer < writers; ++writer) {
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            for (int round = 0; round < rounds; ++round) {
                const dki_plan_entry stored = entry(static_cast<uint64_t>(writer));
                dki_plan_cache_store(&cache, &of, &stored);
            }
            _exit(0);
        }
        children.push_back(child);
    }
    std::vector<std::thread> threads;
    for (int writer = 0; writer < 2; ++writer)
        threads.emplace_back([&cache, &of, writer] {
            for (int round = 0; round < rounds; ++round) {
                const dki_plan_entry stored = entry(static_cast<uint64_t>(writer));
                dki_plan_cache_store(&cache, &of, &stored);
            }
        });
    for (int round = 0; round < 4 * rounds; ++round) {
        dki_plan_entry got{};
        ASSERT_TRUE(dki_plan_cache_load(&cache, &of, &got)) << "round " << round;
        bool known = false;
        for (uint64_t writer = 0; writer < writers; ++writer) known |= equal(got, entry(writer));
        ASSERT_TRUE(known) << "round " << round;
    }
    for (std::thread &thread : threads) thread.join();
    for (const pid_t child : children) {
        int status = -1;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    }
    EXPECT_EQ(files().size(), 1u) << "no temporary file is left";
    EXPECT_TRUE(lines.empty()) << lines.at(0).second;
}

TEST_F(CudaPlanCache, ItsFolderIsForItsOwnerOnly) {
    const dki_plan_cache cache = open();
    EXPECT_FALSE(fs::exists(folder)) << "opening makes nothing";
    const fs::path path = store_one(cache);
    struct stat status {};
    ASSERT_EQ(stat(folder.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
}

// Its bytes go to the library of products: who else may write them must not choose them.
TEST_F(CudaPlanCache, AFileThatOthersMayWriteDoesntCount) {
    const dki_plan_cache cache = open();
    const fs::path path = store_one(cache);
    EXPECT_FALSE(missing(cache, key()));
    for (const mode_t mode : {0620, 0602, 0666}) {
        ASSERT_EQ(chmod(path.c_str(), mode), 0);
        EXPECT_TRUE(missing(cache, key())) << std::oct << mode;
    }
    ASSERT_EQ(chmod(path.c_str(), 0644), 0);
    EXPECT_FALSE(missing(cache, key()));
    if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
    ASSERT_EQ(chown(path.c_str(), 65534, static_cast<gid_t>(-1)), 0);
    EXPECT_TRUE(missing(cache, key()));
}

// A file where the folder should be can't be written to by anyone, root included.
TEST_F(CudaPlanCache, AFolderThatCantBeMadeIsALineInTheLog) {
    const dki_plan_cache cache = open();
    write(folder, "in the way");
    const dki_plan_key of = key();
    const dki_plan_entry stored = entry();
    dki_plan_cache_store(&cache, &of, &stored);
    EXPECT_TRUE(missing(cache, of));
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0].first, DK_LOG_DEBUG);
    EXPECT_NE(lines[0].second.find(folder), std::string::npos) << lines[0].second;
    EXPECT_EQ(read(folder), "in the way");
}

TEST_F(CudaPlanCache, AReadOnlyFolderIsALineInTheLog) {
    const dki_plan_cache cache = open();
    fs::create_directory(folder);
    ASSERT_EQ(chmod(root.c_str(), 0755), 0);
    ASSERT_EQ(chmod(folder.c_str(), 0555), 0);
    const uid_t user = geteuid();
    if (user == 0) {
        ASSERT_EQ(seteuid(65534), 0) << "root may write everywhere, nobody may not";
    }
    const dki_plan_key of = key();
    const dki_plan_entry stored = entry();
    dki_plan_cache_store(&cache, &of, &stored);
    if (user == 0) {
        ASSERT_EQ(seteuid(user), 0);
    }
    EXPECT_TRUE(missing(cache, of));
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0].first, DK_LOG_DEBUG);
    EXPECT_EQ(chmod(folder.c_str(), 0700), 0);
    EXPECT_TRUE(fs::is_empty(folder));
}

// A target that can't be replaced (here: a folder) leaves no temporary file behind.
TEST_F(CudaPlanCache, AFailedRenameLeavesNothing) {
    const dki_plan_cache cache = open();
    const fs::path path = store_one(cache);
    fs::remove(path);
    fs::create_directory(path);
    const dki_plan_key of = key();
    const dki_plan_entry stored = entry();
    dki_plan_cache_store(&cache, &of, &stored);
    EXPECT_EQ(files(), std::vector<fs::path>{path});
    EXPECT_EQ(lines.size(), 1u);
}

TEST_F(CudaPlanCache, LiesWhereTheEnvironmentSays) {
    const auto opened = [&](const char *cache, const char *home) {
        Variable one("XDG_CACHE_HOME", cache), two("HOME", home);
        dki_plan_cache made;
        dki_plan_cache_open(&made, &log, &facts);
        return std::string(made.folder);
    };
    EXPECT_EQ(opened("/c", "/h"), "/c/deltak");
    EXPECT_EQ(opened(nullptr, "/h"), "/h/.cache/deltak");
    EXPECT_EQ(opened("relative", "/h"), "/h/.cache/deltak");
    EXPECT_EQ(opened("", "/h"), "/h/.cache/deltak");
    EXPECT_EQ(opened(nullptr, nullptr), "");
    EXPECT_EQ(opened(nullptr, "relative"), "");
    const std::string endless = "/" + std::string(DKI_PLAN_CACHE_PATH, 'x');
    EXPECT_EQ(opened(endless.c_str(), "/h"), "") << "not a cut path";
}

TEST_F(CudaPlanCache, WithoutAFolderNothingIsKept) {
    dki_plan_cache cache = open();
    cache.folder[0] = '\0';
    const dki_plan_key of = key();
    const dki_plan_entry stored = entry();
    dki_plan_cache_store(&cache, &of, &stored);
    EXPECT_TRUE(missing(cache, of));
    EXPECT_TRUE(lines.empty());
    EXPECT_TRUE(fs::is_empty(root));
}

// Folders above the last one are made, too: ~/.cache may be missing.
TEST_F(CudaPlanCache, MakesTheFoldersAboveItsOwn) {
    Variable cache_home("XDG_CACHE_HOME", nullptr), home("HOME", root.c_str());
    dki_plan_cache cache;
    dki_plan_cache_open(&cache, &log, &facts);
    const dki_plan_key of = key();
    const dki_plan_entry stored = entry();
    dki_plan_cache_store(&cache, &of, &stored);
    dki_plan_entry got{};
    EXPECT_TRUE(dki_plan_cache_load(&cache, &of, &got));
    EXPECT_TRUE(fs::is_directory(root + "/.cache/deltak"));
}

} // namespace

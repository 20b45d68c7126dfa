// A model that is saved onto a disk that fills up, byte by byte; and what of a save may fail unseen.
#include "subjects.h"
#include "support.h"
#include "support_promise.h"

extern "C" {
#include "base/memory.h"
#include "format/file.h"
}

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>

namespace faults {
namespace {

class Disk : public testing::Test {
  protected:
    Disk() {
        all->data = support::synth(all->context.get(), "synth:spirals", 30);
        all->net = support::net_for(all->data.get(), {3});
        EXPECT_EQ(save(), DK_OK) << dk_error_text();
        whole = files_of(folder);
        bytes = std::filesystem::file_size(path);
        put_old();
    }

    dk_status save() const { return dk_net_save(all->net.get(), path.c_str()); }
    void put_old() const { folder.write("model", "the old model"); }

    const std::string old = "\n/model\nthe old model";
    const support::Folder folder;
    const std::string path = folder / "model";
    const std::shared_ptr<Objects> all = objects(1);
    std::string whole;
    uintmax_t bytes = 0;
};

// Breaks where a write that was cut short counts as done, or the temporary file stays.
TEST_F(Disk, FillsAfterAnyNumberOfBytes) {
    long refused = 0;
    const Weather kinds[] = {{0, 0, 0, ENOSPC}, {0, 7, 0, EDQUOT}}; // whole writes, and small ones
    for (Weather kind : kinds)
        for (uintmax_t space = 0; space < bytes; ++space) {
            SCOPED_TRACE(testing::Message() << space << " bytes are left");
            kind.space = static_cast<int64_t>(space);
            set_weather(kind);
            const dk_status status = save();
            refused += effects().refused;
            set_weather({});
            ASSERT_EQ(status, DK_E_IO);
            const std::string text = dk_error_text();
            ASSERT_NE(text.find(path), std::string::npos) << text;
            ASSERT_NE(text.find(strerror(kind.full)), std::string::npos) << text;
            ASSERT_NE(text.find("free some space"), std::string::npos) << text;
            ASSERT_EQ(files_of(folder), old);
        }
    support::promise("Every failure is survived", "a disk fills up while a model is saved",
                     refused);
    set_weather({0, 7, static_cast<int64_t>(bytes), ENOSPC});
    EXPECT_EQ(save(), DK_OK) << dk_error_text();
    set_weather({});
    EXPECT_EQ(files_of(folder), whole);
}

// Only the folder may fail to be opened, and to be made durable where its file system can't.
TEST_F(Disk, WhatMayFailUnseen) {
    using Statuses = std::vector<dk_status>;
    const struct {
        Function function;
        int error;
        Statuses statuses; // of the first call's failure, the second's, …
    } cases[] = {{Function::open, EACCES, {DK_E_IO, DK_OK}},
                 {Function::fsync, EIO, {DK_E_IO, DK_E_IO}},
                 {Function::fsync, EINVAL, {DK_E_IO, DK_OK}},
                 {Function::close, EIO, {DK_E_IO, DK_OK}}};
    for (const auto &c : cases) {
        SCOPED_TRACE(testing::Message() << name_of(c.function) << ": " << strerror(c.error));
        Statuses found;
        for (long n = 1;; ++n) {
            put_old();
            arm({c.function, n, false, c.error});
            const dk_status status = save();
            if (disarm() == 0) break;
            found.push_back(status);
            EXPECT_EQ(files_of(folder), n == 1 ? old : whole) << n;
        }
        EXPECT_EQ(found, c.statuses);
    }
}

// The reason that is told is the first one's, not that of what failed in cleaning up.
TEST_F(Disk, AFailureToCleanUpHidesNothing) {
    set_weather({0, 0, 20, ENOSPC});
    arm({Function::unlink, 1, true, EROFS});
    const dk_status status = save();
    EXPECT_EQ(disarm(), 1);
    set_weather({});
    EXPECT_EQ(status, DK_E_IO);
    EXPECT_NE(std::string(dk_error_text()).find(strerror(ENOSPC)), std::string::npos)
        << dk_error_text();
    EXPECT_EQ(support::slurp(path), "the old model");
}

/// Pages that are written past the page cache, a tail that isn't, and the file that they replace.
class Pages : public testing::Test {
  protected:
    static constexpr size_t direct = 3 * DKI_DIRECT, bytes = direct + 100;

    Pages() : data(static_cast<char *>(std::aligned_alloc(DKI_PAGE, direct + DKI_PAGE)), &free) {
        for (size_t i = 0; i < bytes; ++i) data.get()[i] = static_cast<char>(i * i / 251);
        whole.assign(data.get(), bytes);
    }
    dk_status save() const {
        folder.write("file", "old");
        return dki_file_write(&dki_libc_allocator, path.c_str(), data.get(), bytes);
    }
    std::string found() const { return support::slurp(path); }

    // Where the program was built: memory, where temporary files may lie, takes any bytes past the cache.
    const support::Folder folder{std::filesystem::current_path()};
    const std::string path = folder / "file";
    const std::unique_ptr<char, void (*)(void *)> data;
    std::string whole;
};

// Breaks where the rest after a cut write is lost or written twice, or stays past the cache, which refuses it.
TEST_F(Pages, AreWrittenWholeHoweverTheyAreCut) {
    EXPECT_EQ(save(), DK_OK) << dk_error_text();
    EXPECT_EQ(found(), whole);
    for (const Weather &kind : {Weather{3, 0, -1, 0}, Weather{0, 70000, -1, 0},
                                Weather{2, 1 << 20, -1, 0}, Weather{0, 0, bytes, ENOSPC}}) {
        set_weather(kind);
        EXPECT_EQ(save(), DK_OK) << dk_error_text();
        set_weather({});
        EXPECT_EQ(found(), whole);
    }
    const std::vector<size_t> spaces = {0, 1, DKI_PAGE, DKI_DIRECT + 5, direct, bytes - 1};
    for (size_t space : spaces) {
        set_weather({0, 0, static_cast<int64_t>(space), ENOSPC});
        EXPECT_EQ(save(), DK_E_IO) << space;
        set_weather({});
        EXPECT_EQ(found(), "old");
    }
}

// EINVAL is what a file system says that can't: then they go through the cache, where it is a failure.
TEST_F(Pages, GoThroughTheCacheWhereTheFileSystemRefusesThem) {
    const int descriptor = ::open(folder.write("probe", "").c_str(), O_WRONLY | O_DIRECT);
    if (descriptor < 0) GTEST_SKIP() << "nothing goes past the cache in " << folder.path();
    ::close(descriptor);
    const struct {
        long at;
        bool for_ever;
        int error;
        dk_status status;
    } cases[] = {{1, false, EINVAL, DK_OK},
                 {2, false, EINVAL, DK_E_IO},
                 {1, true, EINVAL, DK_E_IO},
                 {1, false, EIO, DK_E_IO},
                 {3, false, EINVAL, DK_OK}};
    for (const auto &c : cases) {
        SCOPED_TRACE(testing::Message() << c.at << " " << strerror(c.error));
        arm({Function::write, c.at, c.for_ever, c.error});
        EXPECT_EQ(save(), c.status) << dk_error_text();
        disarm();
        EXPECT_EQ(found(), c.status ? "old" : whole);
    }
}

} // namespace
} // namespace faults

// Reading whole files, gzip, maps, and writing that leaves the old file whole.
#include "support.h"

extern "C" {
#include "base/memory.h"
#include "format/file.h"
}

#include <zlib.h>

#include <sys/stat.h>
#include <unistd.h>

namespace {

using support::expect_error_names;

const dk_allocator *libc = &dki_libc_allocator;

std::string gzip(const std::string &bytes) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string packed(deflateBound(&stream, bytes.size()) + 32, '\0');
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef *>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    return packed;
}

std::string random_bytes(size_t count) {
    std::mt19937 random(7);
    std::string bytes(count, '\0');
    for (char &byte : bytes) byte = static_cast<char>(random() % 50);
    return bytes;
}

class FormatFile : public support::TempDirectory {
  protected:
    /// The file's content by dki_file_read, "" and a failure if it can't be read.
    std::string read(const std::string &path, size_t limit = DKI_FILE_LIMIT) {
        dki_file file;
        status = dki_file_read(libc, path.c_str(), limit, &file);
        std::string bytes(reinterpret_cast<const char *>(file.data), file.bytes);
        if (status == DK_OK) {
            EXPECT_EQ(file.data[file.bytes], 0) << "no zero byte at the end";
        }
        dki_file_release(libc, &file);
        return bytes;
    }

    size_t files_in_directory() const {
        return static_cast<size_t>(
            std::distance(std::filesystem::directory_iterator(directory), {}));
    }

    dk_status status = DK_OK;
};

TEST_F(FormatFile, ReadsWhatWasWritten) {
    for (size_t bytes : {0, 1, 100, 65535, 65536, 70000, 1000000}) {
        std::string content = random_bytes(bytes);
        EXPECT_EQ(read(write("plain", content)), content);
        EXPECT_EQ(read(write("packed", gzip(content))), content);
        EXPECT_EQ(status, DK_OK) << dk_error_text();
    }
}

TEST_F(FormatFile, ReadsAllMembersOfAGzipAndItsPadding) {
    std::string two = gzip("first ") + gzip("second");
    EXPECT_EQ(read(write("two", two)), "first second");
    EXPECT_EQ(read(write("padded", two + std::string(512, '\0'))), "first second");
    read(write("tail", two + "x"));
    EXPECT_EQ(status, DK_E_DATA);
    expect_error_names("1 bytes follow");
}

TEST_F(FormatFile, AGzipCutAnywhereIsAnError) {
    std::string packed = gzip(random_bytes(300));
    for (size_t cut = 2; cut < packed.size(); ++cut) {
        read(write("cut", packed.substr(0, cut)));
        EXPECT_EQ(status, DK_E_DATA) << cut;
        expect_error_names("cut short");
    }
}

TEST_F(FormatFile, MutatedGzipNeitherCrashesNorLeaks) {
    std::mt19937 random(11);
    std::string packed = gzip(random_bytes(2000));
    for (int i = 0; i < 3000; ++i) {
        std::string bytes = support::mutate(packed, random);
        support::Allocator allocator;
        dki_file file;
        dki_file_inflate(allocator.get(), "mutated", bytes.data(), bytes.size(), 1 << 20, &file);
        dki_file_release(allocator.get(), &file);
        ASSERT_EQ(allocator.live_blocks, 0);
    }
}

TEST_F(FormatFile, ALyingLengthAtTheEndOfAGzipIsOnlyAHint) {
    std::string packed = gzip(std::string(100000, 'a'));
    packed.replace(packed.size() - 4, 4, "\xff\xff\xff\x7f");
    support::Allocator allocator;
    dki_file file;
    // zlib checks it against the data; no 2 GiB are taken on its word
    EXPECT_EQ(dki_file_inflate(allocator.get(), "lying", packed.data(), packed.size(),
                               DKI_FILE_LIMIT, &file),
              DK_E_DATA);
}

TEST_F(FormatFile, HonoursTheLimit) {
    std::string content(1000, 'a');
    EXPECT_EQ(read(write("exact", content), 1000), content);
    EXPECT_EQ(read(write("exact.gz", gzip(content)), 1000), content);
    read(path("exact"), 999);
    EXPECT_EQ(status, DK_E_DATA);
    read(path("exact.gz"), 999);
    EXPECT_EQ(status, DK_E_DATA);
    expect_error_names("999 bytes");
}

TEST_F(FormatFile, NamesPathReasonAndRemedy) {
    read(path("absent"));
    EXPECT_EQ(status, DK_E_IO);
    expect_error_names("absent: can't read it: No such file or directory: check the path");
    read(directory.string());
    EXPECT_EQ(status, DK_E_IO);
    expect_error_names("Is a directory");
    dki_file file;
    EXPECT_EQ(dki_file_map("/dev/null", &file), DK_E_IO);
    EXPECT_EQ(dki_file_map(path("absent").c_str(), &file), DK_E_IO);
    EXPECT_EQ(read("/dev/null"), "");
    EXPECT_EQ(status, DK_OK);
}

TEST_F(FormatFile, MapsAndPeeks) {
    std::string content = random_bytes(10000);
    dki_file file;
    ASSERT_EQ(dki_file_map(write("plain", content).c_str(), &file), DK_OK);
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(file.data), file.bytes), content);
    dki_file_release(libc, &file);
    ASSERT_EQ(dki_file_map(write("empty", "").c_str(), &file), DK_OK);
    EXPECT_EQ(file.bytes, 0u);
    dki_file_release(libc, &file);

    unsigned char head[16];
    size_t got = 0;
    for (const std::string &name : {write("plain", content), write("packed", gzip(content))}) {
        ASSERT_EQ(dki_file_peek(name.c_str(), head, sizeof head, &got), DK_OK);
        EXPECT_EQ(std::string(reinterpret_cast<char *>(head), got), content.substr(0, 16));
    }
    ASSERT_EQ(dki_file_peek(write("short", "ab").c_str(), head, sizeof head, &got), DK_OK);
    EXPECT_EQ(got, 2u);
}

TEST_F(FormatFile, RefusesToMapAPipeWithoutWaitingForItsWriter) {
    const std::string path = directory / "pipe";
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    alarm(20); // ends a test that waits
    dki_file file;
    EXPECT_EQ(dki_file_map(path.c_str(), &file), DK_E_IO);
    alarm(0);
    expect_error_names("not a regular file");
}

TEST_F(FormatFile, WritesNewAndReplacesOld) {
    std::string content = random_bytes(100000);
    for (const std::string &bytes : {std::string("first"), content, std::string()}) {
        ASSERT_EQ(dki_file_write(libc, path("out").c_str(), bytes.data(), bytes.size()), DK_OK)
            << dk_error_text();
        EXPECT_EQ(support::slurp(path("out")), bytes);
        EXPECT_EQ(files_in_directory(), 1u) << "a temporary file was left";
    }
}

TEST_F(FormatFile, KeepsTheModeOfTheOldFileAndObeysTheUmask) {
    struct stat made;
    mode_t mask = umask(027);
    dki_file_write(libc, path("new").c_str(), "x", 1);
    umask(mask);
    ASSERT_EQ(stat(path("new").c_str(), &made), 0);
    EXPECT_EQ(made.st_mode & 0777, 0640u);
    ASSERT_EQ(chmod(path("new").c_str(), 0604), 0);
    ASSERT_EQ(dki_file_write(libc, path("new").c_str(), "y", 1), DK_OK);
    ASSERT_EQ(stat(path("new").c_str(), &made), 0);
    EXPECT_EQ(made.st_mode & 0777, 0604u);
}

TEST_F(FormatFile, WritesThroughALink) {
    write("real", "old");
    std::filesystem::create_symlink("real", path("link"));
    ASSERT_EQ(dki_file_write(libc, path("link").c_str(), "new", 3), DK_OK);
    EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
    EXPECT_EQ(support::slurp(path("real")), "new");
}

TEST_F(FormatFile, AnAbandonedWriterLeavesTheOldFile) {
    write("out", "old");
    dki_writer writer;
    ASSERT_EQ(dki_writer_open(libc, path("out").c_str(), &writer), DK_OK);
    ASSERT_EQ(dki_writer_put(&writer, "new", 3), DK_OK);
    dki_writer_abandon(&writer);
    dki_writer_abandon(&writer);
    EXPECT_EQ(support::slurp(path("out")), "old");
    EXPECT_EQ(files_in_directory(), 1u);
}

TEST_F(FormatFile, TwoWritersOfOneFileDontMeet) {
    dki_writer one, two;
    ASSERT_EQ(dki_writer_open(libc, path("out").c_str(), &one), DK_OK);
    ASSERT_EQ(dki_writer_open(libc, path("out").c_str(), &two), DK_OK);
    dki_writer_put(&one, "one", 3);
    dki_writer_put(&two, "two", 3);
    EXPECT_EQ(dki_writer_commit(&two), DK_OK);
    EXPECT_EQ(dki_writer_commit(&one), DK_OK);
    EXPECT_EQ(support::slurp(path("out")), "one");
    EXPECT_EQ(files_in_directory(), 1u);
}

TEST_F(FormatFile, AFullDiskIsAnErrorAndADeviceStaysADevice) {
    if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
    EXPECT_EQ(dki_file_write(libc, "/dev/full", "x", 1), DK_E_IO);
    expect_error_names("/dev/full: can't write it: No space left on device: free some space");
    EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
    EXPECT_EQ(dki_file_write(libc, "/dev/null", "x", 1), DK_OK) << dk_error_text();
}

TEST_F(FormatFile, RefusesWhatCannotBeWritten) {
    EXPECT_EQ(dki_file_write(libc, directory.c_str(), "x", 1), DK_E_IO);
    expect_error_names("Is a directory");
    EXPECT_EQ(dki_file_write(libc, path("no/such/folder").c_str(), "x", 1), DK_E_IO);
    expect_error_names("No such file or directory");
    EXPECT_EQ(dki_file_write(libc, path("folder/").c_str(), "x", 1), DK_E_IO);
    EXPECT_EQ(dki_file_write(libc, "", "x", 1), DK_E_IO);
    EXPECT_EQ(files_in_directory(), 0u);
}

/// Root may write anywhere: acts as "nobody" until it goes out of scope.
class Unprivileged {
  public:
    explicit Unprivileged(const std::string &owned) {
        if (geteuid() != 0) return;
        ready = chown(owned.c_str(), nobody, nobody) == 0 && seteuid(nobody) == 0;
        was_root = ready;
    }
    ~Unprivileged() {
        if (was_root) {
            EXPECT_EQ(seteuid(0), 0);
        }
    }
    Unprivileged(const Unprivileged &) = delete;

    bool ready = true;

  private:
    static constexpr uid_t nobody = 65534;
    bool was_root = false;
};

TEST_F(FormatFile, AReadOnlyFileOrFolderKeepsItsFile) {
    Unprivileged user(directory.string());
    if (!user.ready) GTEST_SKIP() << "root may write anywhere, and can't become another user here";
    chmod(write("out", "old").c_str(), 0444);
    EXPECT_EQ(dki_file_write(libc, path("out").c_str(), "new", 3), DK_E_IO);
    expect_error_names("Permission denied");
    chmod(path("out").c_str(), 0644);
    chmod(directory.c_str(), 0555);
    EXPECT_EQ(dki_file_write(libc, path("out").c_str(), "new", 3), DK_E_IO);
    expect_error_names("Permission denied");
    chmod(directory.c_str(), 0755);
    EXPECT_EQ(support::slurp(path("out")), "old");
    EXPECT_EQ(files_in_directory(), 1u);
}

TEST_F(FormatFile, SurvivesEveryFailedAllocation) {
    std::string plain = write("plain", random_bytes(5000));
    std::string packed = write("packed", gzip(random_bytes(5000)));
    for (const std::string &name : {plain, packed}) {
        long allocations = support::fail_each_allocation([&](const dk_allocator *allocator) {
            dki_file file;
            dk_status result = dki_file_read(allocator, name.c_str(), DKI_FILE_LIMIT, &file);
            dki_file_release(allocator, &file);
            return result;
        });
        EXPECT_GE(allocations, 1);
    }
    write("out", "old");
    support::fail_each_allocation([&](const dk_allocator *allocator) {
        EXPECT_EQ(support::slurp(path("out")), "old");
        return dki_file_write(allocator, path("out").c_str(), "new", 3);
    });
    EXPECT_EQ(support::slurp(path("out")), "new");
}

} // namespace

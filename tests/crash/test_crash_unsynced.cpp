// The power goes: what wasn't synced may be lost, cut or reordered. What the library asked of the file
// system is written down (the linker leads its calls through here), and after each operation every state
// that the disk may be in is looked at.
#include "support_disk.h"
#include "support_promise.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdarg>

using disk::Recorder;

// ---- the library's calls -------------------------------------------------------------------------

extern "C" {
int __real_open(const char *path, int flags, ...);
ssize_t __real_write(int descriptor, const void *data, size_t bytes);
int __real_fsync(int descriptor);
int __real_close(int descriptor);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_unlinkat(int folder, const char *name, int flags);
int __real_mkdir(const char *path, mode_t mode);

int __wrap_open(const char *path, int flags, ...) {
    std::va_list arguments;
    va_start(arguments, flags);
    const unsigned mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    Recorder::get().before();
    const int descriptor = __real_open(path, flags, mode);
    if (descriptor >= 0) Recorder::get().opened(descriptor, path, flags & O_CREAT);
    return descriptor;
}
ssize_t __wrap_write(int descriptor, const void *data, size_t bytes) {
    Recorder::get().before();
    const ssize_t written = __real_write(descriptor, data, bytes);
    if (written > 0) Recorder::get().wrote(descriptor, data, size_t(written));
    return written;
}
int __wrap_fsync(int descriptor) {
    Recorder::get().before();
    const int failed = __real_fsync(descriptor);
    if (!failed) Recorder::get().synced(descriptor);
    return failed;
}
int __wrap_close(int descriptor) {
    Recorder::get().before();
    Recorder::get().closed(descriptor);
    return __real_close(descriptor);
}
int __wrap_rename(const char *from, const char *to) {
    Recorder::get().before();
    const int failed = __real_rename(from, to);
    if (!failed) Recorder::get().renamed(from, to);
    return failed;
}
int __wrap_unlink(const char *path) {
    Recorder::get().before();
    const int failed = __real_unlink(path);
    if (!failed) Recorder::get().removed(path);
    return failed;
}
int __wrap_unlinkat(int folder, const char *name, int flags) {
    Recorder::get().before();
    const int failed = __real_unlinkat(folder, name, flags);
    if (!failed) Recorder::get().removed(Recorder::get().path_of(folder) + "/" + name);
    return failed;
}
int __wrap_mkdir(const char *path, mode_t mode) {
    Recorder::get().before();
    const int failed = __real_mkdir(path, mode);
    if (!failed) Recorder::get().made_folder(path);
    return failed;
}
}

namespace {

using crash::Process;
using crash::World;
using disk::Kind;
using disk::Operation;
using disk::State;

// "saved FOLDER/checkpoint-000000000004.safetensors": from then on that state may not be lost.
void listen(void *, dk_log_level, const char *line) {
    const std::string text = line;
    const size_t at = text.find("checkpoint-");
    if (text.rfind("saved ", 0) == 0 && at != std::string::npos)
        Recorder::get().said_saved(std::stoll(text.substr(at + 11, 12)));
}

class Unsynced : public support::TempDirectory {
  protected:
    World world{&listen, nullptr};
    std::vector<uint32_t> expected;
    std::string root, folder;

    void SetUp() override {
        TempDirectory::SetUp();
        root = std::filesystem::canonical(directory).string();
        folder = root + "/run";
        expected = crash::uninterrupted(world);
    }

    // Looks at every state after every operation; `disk` and `promised` are how it was before.
    void expect_old_or_new(disk::Disk disk, const std::vector<Operation> &operations,
                           const State &before, int64_t promised) {
        std::map<std::string, std::set<std::string>> whole;
        for (const auto &[path, bytes] : before) whole[path].insert(bytes);
        for (const Operation &operation : operations)
            if (operation.kind == Kind::rename) whole[operation.to].insert(operation.file->content);
        std::set<State> different;
        int64_t states = 0;
        for (size_t k = 0; k <= operations.size() && !HasFailure(); ++k) {
            SCOPED_TRACE(k);
            disk.each_state([&](const State &state) {
                ++states;
                State checkpoints;
                int64_t newest = -1;
                for (const auto &[path, bytes] : state) {
                    const std::string name = std::filesystem::path(path).filename();
                    if (name.rfind("checkpoint-", 0) != 0) continue;
                    EXPECT_TRUE(whole[path].count(bytes)) << path << " is damaged";
                    if (!crash::is_checkpoint(name)) continue;
                    newest = std::stoll(name.substr(11, 12)); // names ascend
                    checkpoints[name] = bytes;
                }
                EXPECT_GE(newest, promised) << "a checkpoint that was saved is lost";
                different.insert(checkpoints);
            });
            if (k == operations.size()) break;
            disk.apply(operations[k]);
            if (operations[k].kind == Kind::saved) promised = operations[k].step;
        }
        for (const State &state : different) go_on_from(state);
        EXPECT_GT(promised, 0);
        support::promise("Checkpoints survive anything",
                         "states of a disk that loses what wasn't synced", states);
    }
    void go_on_from(const State &state) {
        const std::string copy = path("copy");
        std::filesystem::remove_all(copy);
        if (!state.empty()) crash::write_files(copy, state);
        crash::expect_survived(world, copy, expected);
    }
};

TEST_F(Unsynced, ANewRunNeverLosesWhatItSaved) {
    Process run(world);
    run.begin();
    Recorder::get().begin(root);
    ASSERT_EQ(run.fit({folder, 4, 1, 0, nullptr}), DK_OK) << dk_error_text();
    const std::vector<Operation> operations = Recorder::get().end();
    int64_t renames = 0, removals = 0;
    for (const Operation &operation : operations) {
        renames += operation.kind == Kind::rename;
        removals += operation.kind == Kind::remove;
    }
    ASSERT_GE(renames, 2);
    ASSERT_GE(removals, 2); // an older checkpoint, and what tried the folder
    expect_old_or_new(disk::Disk(root), operations, {}, -1);
}

// Later checkpoints are set aside first; two are kept.
TEST_F(Unsynced, ARunResumedFromAnOlderOneNeverLosesThat) {
    crash::stopped_run(world, folder, {4, 8, 10, 12});
    disk::Disk disk(root);
    disk.add_folder(folder);
    State before;
    Recorder::get().begin(root);
    for (const auto &[name, bytes] : crash::files_of(folder)) {
        auto file = std::make_shared<disk::File>();
        file->content = before[folder + "/" + name] = bytes;
        disk.add(folder + "/" + name, file);
        Recorder::get().found(folder + "/" + name, file);
    }
    Process run(world);
    ASSERT_EQ(run.resume(folder + "/" + crash::name_of(8)), DK_OK) << dk_error_text();
    ASSERT_EQ(run.fit({folder, 8, 2, 0, nullptr}), DK_OK) << dk_error_text();
    const std::vector<Operation> operations = Recorder::get().end();
    for (int64_t later : {10, 12})
        EXPECT_TRUE(std::filesystem::exists(folder + "/" + crash::name_of(later) + ".old"));
    expect_old_or_new(disk, operations, before, 8);
}

// The folder may be somebody else's mkdir, whose name isn't on the disk yet.
TEST_F(Unsynced, AFolderThatWasJustMadeIsNotLostEither) {
    Process run(world);
    run.begin();
    Recorder::get().begin(root);
    ASSERT_EQ(__wrap_mkdir(folder.c_str(), 0777), 0);
    ASSERT_EQ(run.fit({folder, 8, 1, 0, nullptr}), DK_OK) << dk_error_text();
    expect_old_or_new(disk::Disk(root), Recorder::get().end(), {}, -1);
}

// Without ptrace, too: kill -9 before each operation.
TEST_F(Unsynced, ARunKilledAtEachFileOperationGoesOn) {
    long kills = 0;
    for (int code = 128 + SIGKILL; code == 128 + SIGKILL; ++kills) {
        SCOPED_TRACE(kills + 1);
        std::filesystem::remove_all(folder);
        const pid_t child = fork();
        if (child == 0) {
            Process run(world);
            run.begin();
            Recorder::get().kill_at(kills + 1);
            _exit(run.fit({folder, 5, 1, 0, nullptr}) == DK_OK ? 0 : 1);
        }
        code = crash::wait_for(child);
        ASSERT_TRUE(code == 0 || code == 128 + SIGKILL) << code;
        ASSERT_NO_FATAL_FAILURE(crash::expect_survived(world, folder, expected));
        ASSERT_FALSE(HasFailure());
    }
    // The first save and the last, of seven operations each: those in between are put off while one is
    // being written.
    EXPECT_GE(kills, 14);
    support::promise("Checkpoints survive anything", "killed at every file operation of a run",
                     kills - 1);
}

} // namespace

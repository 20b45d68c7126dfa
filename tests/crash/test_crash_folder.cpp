// Folders of checkpoints: in use, another run's, read-only, on a full disk, under any name.
#include "support_crash.h"
#include "support_promise.h"

#include <sys/resource.h>
#include <sys/stat.h>

namespace {

using crash::Process;
using crash::World;

constexpr const char *checkpoints = "Checkpoints survive anything";

class Folders : public support::TempDirectory {
  protected:
    World world;
    std::string folder;

    void SetUp() override {
        TempDirectory::SetUp();
        folder = path("run");
    }
    // A new run in a folder is refused before its first step.
    void refused(const std::string &where, dk_status status, const std::string &text) {
        SCOPED_TRACE(where);
        Process process(world);
        process.begin();
        const std::vector<uint32_t> bits = process.bits();
        EXPECT_EQ(process.fit({where, 1, 2, 0, nullptr}), status) << dk_error_text();
        support::expect_error_names(text);
        EXPECT_EQ(process.bits(), bits);
        EXPECT_EQ(dk_trainer_steps(process.trainer.get()), 0);
    }
    std::vector<int64_t> steps_in(const std::string &where) const {
        std::vector<int64_t> steps;
        for (const auto &[name, bytes] : crash::files_of(where))
            if (crash::is_checkpoint(name)) steps.push_back(std::stoll(name.substr(11, 12)));
        return steps;
    }
};

// ---- whose it is -------------------------------------------------------------------------------

TEST_F(Folders, OneRunAtATime) {
    Process process(world);
    process.begin();
    dk_fit_options options = DK_FIT_OPTIONS_INIT;
    std::function<void()> second = [&] {
        refused(folder, DK_E_STATE, "another run saves its checkpoints there");
    };
    options.epochs = 1;
    options.checkpoint = folder.c_str();
    options.progress_user = &second;
    options.progress = [](void *user, const dk_progress *progress) {
        if (progress->step == 3) (*static_cast<std::function<void()> *>(user))();
        return 0;
    };
    ASSERT_EQ(dk_trainer_fit(process.trainer.get(), world.data.get(), nullptr, &options, nullptr),
              DK_OK)
        << dk_error_text();
}

TEST_F(Folders, OneProcessAtATimeUntilItIsDead) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        Process process(world);
        process.begin();
        dk_fit_options options = DK_FIT_OPTIONS_INIT;
        options.checkpoint = folder.c_str();
        options.progress_user = &ready[1];
        options.progress = [](void *user, const dk_progress *) {
            if (::write(*static_cast<int *>(user), "", 1) == 1) pause();
            return 0;
        };
        _exit(dk_trainer_fit(process.trainer.get(), world.data.get(), nullptr, &options, nullptr));
    }
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    refused(folder, DK_E_STATE, "another run saves its checkpoints there");
    kill(child, SIGKILL);
    ASSERT_EQ(crash::wait_for(child), 128 + SIGKILL);
    close(ready[0]);
    close(ready[1]);
    Process process(world);
    process.begin();
    EXPECT_EQ(process.fit({folder, 8, 2, 0, nullptr}), DK_OK) << dk_error_text();
}

TEST_F(Folders, AnotherRunsIsLeftAlone) {
    crash::stopped_run(world, folder, {5, 9});
    const crash::Files before = crash::files_of(folder);
    refused(folder, DK_E_STATE, "has checkpoints of another run");
    EXPECT_EQ(crash::files_of(folder), before);
}

// ---- what is in it -----------------------------------------------------------------------------

TEST_F(Folders, TheLastOnesAreKept) {
    for (size_t keep : {1u, 2u, 5u}) {
        SCOPED_TRACE(keep);
        std::filesystem::remove_all(folder);
        for (int64_t stop : {3, 6, 11, 12, 17, 24}) {
            Process process(world);
            ASSERT_EQ(process.begin_or_resume(folder), DK_OK) << dk_error_text();
            const dk_status status = process.fit({folder, 0, int64_t(keep), stop, nullptr});
            ASSERT_TRUE(status == DK_E_STOPPED || status == DK_OK) << dk_error_text();
        }
        const std::vector<int64_t> all = {3, 6, 11, 12, 17, 24};
        EXPECT_EQ(steps_in(folder), std::vector<int64_t>(all.end() - long(keep), all.end()));
    }
}

TEST_F(Folders, OnlyWhatAKilledRunLeftIsRemoved) {
    crash::stopped_run(world, folder, {5});
    crash::Files files = crash::files_of(folder);
    const crash::Files others = {{"notes.txt", "mine"},
                                 {".hidden", "mine"},
                                 {"checkpoint-5.safetensors", "few digits"},
                                 {"checkpoint-000000000003.safetensors.old", "set aside"},
                                 {"checkpoint-00000000000x.safetensors", "no number"},
                                 {".deltak-7-0.tmp.txt", "another ending"}};
    files.insert(others.begin(), others.end());
    files[".deltak-999999-0.tmp"] = "half";
    files[".deltak-1-12.tmp"] = "";
    crash::write_files(folder, files);
    std::filesystem::create_directory(folder + "/.deltak-2-0.tmp");
    Process process(world);
    ASSERT_EQ(process.resume(folder), DK_OK) << dk_error_text();
    ASSERT_EQ(process.fit({folder, 0, 1, 0, nullptr}), DK_OK) << dk_error_text();
    const crash::Files after = crash::files_of(folder);
    for (const auto &[name, bytes] : others) {
        ASSERT_EQ(after.count(name), 1u) << name;
        EXPECT_EQ(after.at(name), bytes);
    }
    EXPECT_EQ(after.count(".deltak-999999-0.tmp") + after.count(".deltak-1-12.tmp"), 0u);
    EXPECT_TRUE(std::filesystem::is_directory(folder + "/.deltak-2-0.tmp"));
    EXPECT_EQ(steps_in(folder), std::vector<int64_t>{crash::run_steps});
}

// ---- where it is -------------------------------------------------------------------------------

TEST_F(Folders, UnderAnyName) {
    const std::vector<uint32_t> expected = crash::uninterrupted(world);
    std::filesystem::create_directory(path("real"));
    std::filesystem::create_directory_symlink("real", path("link"));
    const std::string names[] = {"with some blanks",
                                 "δέλτα–κ 勾配",
                                 "trailing/",
                                 "./dotted/../dotted",
                                 "checkpoint-000000000001.safetensors",
                                 "%s %n \"quoted\" \\",
                                 "new\nline",
                                 std::string(255, 'n'),
                                 "link"};
    std::filesystem::create_directory(path("dotted"));
    for (const std::string &name : names) {
        SCOPED_TRACE(name);
        crash::stopped_run(world, path(name), {7});
        Process process(world);
        ASSERT_EQ(process.resume(path(name)), DK_OK) << dk_error_text();
        ASSERT_EQ(process.fit({path(name), 0, 1, 0, nullptr}), DK_OK) << dk_error_text();
        EXPECT_EQ(process.bits(), expected);
        EXPECT_EQ(steps_in(path(name)), std::vector<int64_t>{crash::run_steps});
    }
    EXPECT_EQ(steps_in(path("real")), std::vector<int64_t>{crash::run_steps});
    EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
    support::promise(checkpoints, "a folder with an uncommon name", int64_t(std::size(names)));
}

TEST_F(Folders, WhereNothingCanBeSavedTheRunIsRefusedAtOnce) {
    write("file", "a file");
    std::filesystem::create_directory_symlink("nowhere", path("dangling"));
    refused(path("file"), DK_E_IO, path("file"));
    EXPECT_EQ(support::slurp(path("file")), "a file");
    refused(path("missing/run"), DK_E_IO, path("missing/run"));
    refused(path("file/run"), DK_E_IO, path("file/run"));
    refused(path(std::string(256, 'n')), DK_E_IO, "nnnn");
    refused(path("dangling"), DK_E_IO, path("dangling"));
    std::string deep = directory.string();
    while (deep.size() < 5000) deep += "/" + std::string(200, 'd');
    refused(deep, DK_E_IO, "dddd");
}

// Root may write anywhere, so a child does it that isn't.
TEST_F(Folders, AReadOnlyFolderIsRefusedAtOnce) {
    std::filesystem::create_directory(folder);
    std::filesystem::permissions(directory, std::filesystem::perms(0755));
    std::filesystem::permissions(folder, std::filesystem::perms(0555));
    const pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && seteuid(65534) != 0) _exit(99);
        refused(folder, DK_E_IO, "Permission denied");
        _exit(HasFailure() ? 1 : 0);
    }
    EXPECT_EQ(crash::wait_for(child), 0);
    std::filesystem::permissions(folder, std::filesystem::perms(0755));
}

TEST_F(Folders, TheUmaskIsHonoured) {
    for (const mode_t mask : {0077, 0022, 0027}) {
        SCOPED_TRACE(mask);
        const mode_t before = umask(mask);
        std::filesystem::remove_all(folder);
        crash::stopped_run(world, folder, {2});
        umask(before);
        struct stat info {};
        ASSERT_EQ(stat(folder.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 0777, 0777u & ~mask);
        ASSERT_EQ(stat((folder + "/" + crash::name_of(2)).c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 0777, 0666u & ~mask);
    }
}

// ---- a disk that fills -------------------------------------------------------------------------

// No file may grow beyond so many bytes: write fails, as it does on a full disk.
void limit_files(rlim_t bytes) {
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = std::min(bytes, limit.rlim_max);
    setrlimit(RLIMIT_FSIZE, &limit);
}

class FullDisk : public Folders {
  protected:
    struct Log {
        int errors = 0;
        static void call(void *user, dk_log_level level, const char *line) {
            if (level == DK_LOG_ERROR && std::string(line).find("no checkpoint of step") == 0)
                ++static_cast<Log *>(user)->errors;
        }
    } log;
    World heard{&Log::call, &log};
    int64_t full_from = 0;
    bool room_again = false; // when a save has failed
    useconds_t pause = 5000; // between steps; doubles, so that 14 of them are a minute

    void SetUp() override {
        Folders::SetUp();
        signal(SIGXFSZ, SIG_IGN);
    }
    void TearDown() override {
        limit_files(RLIM_INFINITY);
        signal(SIGXFSZ, SIG_DFL);
        Folders::TearDown();
    }
    // A run that goes on from step 6, and whose disk is full from another step on.
    dk_status fit(Process *process, dk_fit_result *result) {
        crash::stopped_run(world, folder, {6});
        EXPECT_EQ(process->resume(folder), DK_OK) << dk_error_text();
        dk_fit_options options = DK_FIT_OPTIONS_INIT;
        options.epochs = 3;
        options.restore_best = true;
        options.checkpoint = folder.c_str();
        options.checkpoint_steps = 1;
        options.checkpoint_seconds = 0.0;
        options.checkpoint_keep = 1;
        options.progress_user = this;
        options.progress = [](void *user, const dk_progress *progress) {
            auto *self = static_cast<FullDisk *>(user);
            if (progress->step == self->full_from) limit_files(1000);
            if (progress->step < self->full_from) return 0;
            if (self->log.errors == 0)
                usleep(self->pause *= 2); // the thread that writes runs when nothing else does
            else if (self->room_again)
                limit_files(RLIM_INFINITY);
            return 0;
        };
        const dk_status status = dk_trainer_fit(process->trainer.get(), heard.data.get(),
                                                heard.data.get(), &options, result);
        limit_files(RLIM_INFINITY);
        return status;
    }
};

TEST_F(FullDisk, TrainingGoesOnAndSavesAgainWhenThereIsRoom) {
    full_from = 9;
    room_again = true;
    Process process(heard);
    dk_fit_result result{};
    ASSERT_EQ(fit(&process, &result), DK_OK) << dk_error_text();
    EXPECT_EQ(process.bits(), crash::uninterrupted(world));
    EXPECT_GE(result.checkpoints_failed, 1);
    EXPECT_EQ(result.checkpoints_failed, log.errors);
    EXPECT_GE(result.checkpoints, 1);
    EXPECT_EQ(steps_in(folder), std::vector<int64_t>{crash::run_steps});
    EXPECT_EQ(crash::files_of(folder).size(), 1u);
}

TEST_F(FullDisk, TheLastFailureIsSaidAndTheOldCheckpointIsWhole) {
    full_from = 7;
    Process process(heard);
    dk_fit_result result{};
    EXPECT_EQ(fit(&process, &result), DK_E_IO);
    support::expect_error_names("no checkpoint of step 24");
    EXPECT_EQ(process.bits(), crash::uninterrupted(world)); // the network is trained
    EXPECT_EQ(result.steps, crash::run_steps);
    EXPECT_GE(result.checkpoints_failed, 1);
    EXPECT_EQ(result.checkpoints_failed, log.errors);
    const std::vector<int64_t> left = steps_in(folder);
    ASSERT_EQ(left.size(), 1u);
    EXPECT_TRUE(left[0] == 6 || left[0] == 7) << left[0]; // 7 may have been saved before
    EXPECT_EQ(crash::files_of(folder).size(), 1u);
    ASSERT_NO_FATAL_FAILURE(crash::expect_survived(world, folder, crash::uninterrupted(world)));
    support::promise(checkpoints, "a disk that fills while a run saves", 2);
}

} // namespace

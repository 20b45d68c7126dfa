// kill -9 at the entry and at the exit of every system call of a save: the old state or the new one is
// whole, and the run goes on.
#include "support_crash.h"
#include "support_promise.h"

#include <sys/ptrace.h>

namespace {

using crash::Process;
using crash::World;

enum class Ending { killed, finished, failed, not_traced };

// Runs `work` in a child that is stopped at each entry into a system call and each exit from one, on any
// of its threads, and killed at the n-th stop.
template <class Work> Ending killed_at(long n, const Work &work) {
    const pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(99);
        raise(SIGSTOP);
        _exit(work() == DK_OK ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) return Ending::not_traced;
    ptrace(PTRACE_SETOPTIONS, child, nullptr,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    for (long stops = 0;;) {
        const pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0) return Ending::killed; // nobody is left
        if (!WIFSTOPPED(status)) {
            if (thread != child || !WIFEXITED(status)) continue;
            return WEXITSTATUS(status) == 0 ? Ending::finished : Ending::failed;
        }
        const int signal = WSTOPSIG(status);
        const bool system_call = signal == (SIGTRAP | 0x80);
        if (system_call && ++stops == n) {
            kill(child, SIGKILL);
            while (waitpid(-1, &status, __WALL) >= 0 || errno == EINTR) {
            }
            return Ending::killed;
        }
        // A new thread stops once; other signals are the child's own.
        const bool own = !system_call && signal != SIGTRAP && signal != SIGSTOP;
        ptrace(PTRACE_SYSCALL, thread, nullptr, own ? signal : 0);
    }
}

#define DELTAK_NEEDS_PTRACE()                                                                      \
    if (killed_at(1, [] { return DK_OK; }) == Ending::not_traced)                                  \
    GTEST_SKIP() << "no ptrace here; test_crash_unsynced kills at each file operation"

class Syscalls : public support::TempDirectory {
  protected:
    World world;
};

// dk_trainer_save over an old checkpoint.
TEST_F(Syscalls, ASaveOverAnOldFileLeavesTheOldOrTheNewOne) {
    DELTAK_NEEDS_PTRACE();
    const std::string folder = path("run"), file = folder + "/" + crash::name_of(4);
    const std::vector<float> x = support::normal(2 * 5, 3);
    const std::vector<int32_t> labels = {0, 1, 2, 0, 1};
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 5;
    batch.x = x.data();
    batch.labels = labels.data();
    Process run(world);
    run.begin();
    auto step = [&] { ASSERT_EQ(dk_trainer_step(run.trainer.get(), &batch, nullptr), DK_OK); };
    auto saved = [&](const char *name) {
        EXPECT_EQ(dk_trainer_save(run.trainer.get(), path(name).c_str()), DK_OK) << dk_error_text();
        return support::slurp(path(name));
    };
    for (int i = 0; i < 4; ++i) step();
    const std::string before = saved("before");
    std::filesystem::create_directory(folder);
    long kills = 0, old_ones = 0, new_ones = 0;
    step();
    const std::string after = saved("after");
    ASSERT_NE(before, after);
    for (Ending ending = Ending::killed; ending == Ending::killed && !HasFailure();) {
        SCOPED_TRACE(kills + 1);
        crash::write_files(folder, {{crash::name_of(4), before}});
        ending =
            killed_at(kills + 1, [&] { return dk_trainer_save(run.trainer.get(), file.c_str()); });
        ASSERT_NE(ending, Ending::failed);
        kills += ending == Ending::killed;
        const std::string left = support::slurp(file);
        ASSERT_TRUE(left == before || left == after) << left.size() << " bytes";
        (left == before ? old_ones : new_ones) += 1;
        for (const auto &[name, bytes] : crash::files_of(folder))
            EXPECT_TRUE(name == crash::name_of(4) || name.rfind(".deltak-", 0) == 0) << name;
    }
    EXPECT_GE(old_ones, 20);
    EXPECT_GE(new_ones, 4);
    support::promise("Checkpoints survive anything", "killed at every system call of a save",
                     kills);
}

// The whole of it: a thread that saves, a folder that is pruned to one, training beside it.
TEST_F(Syscalls, ARunKilledAtAnySystemCallGoesOn) {
    DELTAK_NEEDS_PTRACE();
    const std::vector<uint32_t> expected = crash::uninterrupted(world);
    const std::string start = path("start"), folder = path("run");
    crash::stopped_run(world, start, {crash::run_steps - 2});
    const crash::Files files = crash::files_of(start);
    ASSERT_EQ(files.size(), 1u);
    const long stride = crash::is_long() ? 1 : 5;
    long kills = 0;
    Process run(world);
    crash::write_files(folder, files);
    ASSERT_EQ(run.resume(folder), DK_OK) << dk_error_text();
    for (long n = 1;; n += stride) {
        SCOPED_TRACE(n);
        const Ending ending = killed_at(n, [&] { return run.fit({folder, 1, 1, 0, nullptr}); });
        ASSERT_NE(ending, Ending::failed);
        ASSERT_NO_FATAL_FAILURE(crash::expect_survived(world, folder, expected));
        if (ending != Ending::killed || HasFailure()) break;
        ++kills;
        crash::write_files(folder, files);
    }
    EXPECT_GE(kills, 100 / stride);
    support::promise("Checkpoints survive anything",
                     "a run killed at a system call, while it trains and saves", kills);
}

} // namespace

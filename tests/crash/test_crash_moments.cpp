// kill -9 at random moments of a run that saves after every step: resumed, it ends with the bits of a run
// that nothing happened to.
#include "support_crash.h"
#include "support_promise.h"

#include <chrono>
#include <thread>

namespace {

using crash::Process;
using crash::World;

class Moments : public support::TempDirectory {
  protected:
    World world;
    std::string folder_;

    // A child that begins the run or goes on with it, killed after that time unless it is done.
    int killed_after(std::chrono::nanoseconds time) {
        const pid_t child = fork();
        if (child == 0) {
            Process run(world);
            if (run.begin_or_resume(folder_) != DK_OK) _exit(2);
            _exit(run.fit({folder_, 1, 2, 0, nullptr}) == DK_OK ? 0 : 3);
        }
        std::this_thread::sleep_for(time);
        kill(child, SIGKILL);
        return crash::wait_for(child);
    }
};

TEST_F(Moments, ARunKilledAtAnyMomentEndsWithTheSameBits) {
    const std::vector<uint32_t> expected = crash::uninterrupted(world);
    const int wanted = crash::is_long() ? 1000 : 150;
    std::mt19937_64 random(1);
    folder_ = path("run");
    int kills = 0, twice = 0;
    std::chrono::nanoseconds whole = std::chrono::milliseconds(20);
    for (int tries = 0; kills < wanted && tries < 20 * wanted; ++tries) {
        SCOPED_TRACE(tries);
        // Moments are spread over the whole of a run, however fast this machine is just now.
        const int code = killed_after(whole * (random() % 1000) / 1000);
        ASSERT_TRUE(code == 0 || code == 128 + SIGKILL) << code;
        if (code == 0) {
            whole = whole * 9 / 10;
            std::filesystem::remove_all(folder_);
            continue;
        }
        whole = whole * 51 / 50;
        ++kills;
        if (random() % 3 == 0) { // what was resumed is killed, too, before it goes on
            ++twice;
            continue;
        }
        ASSERT_NO_FATAL_FAILURE(crash::expect_survived(world, folder_, expected));
        ASSERT_FALSE(HasFailure());
        std::filesystem::remove_all(folder_);
    }
    EXPECT_EQ(kills, wanted) << "runs were over before they were killed";
    EXPECT_GT(twice, 0);
    support::promise("Checkpoints survive anything", "killed at a random moment of a run", kills);
}

} // namespace

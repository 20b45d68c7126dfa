// A share of the soak, with a network so small that thousands of steps take seconds; and whether its
// judgement finds what it is to find.
#include "soak/soak.h"
#include "support_promise.h"

#include <cstdlib>

namespace {

soak::Options small() {
    soak::Options options;
    options.steps = 6000;
    options.lives = 300;
    options.threads = 2;
    options.inputs = 16;
    options.hidden = 24;
    options.batch = 8;
    return options;
}

/// Steps that get longer by a constant each end with 19 times the first ones' time, in every run; whatever
/// else the processor does may double it now and then, in a run as short as this.
bool takes_longer(const soak::Result &result) {
    return result.fit.ratio >= 2.0 || result.single.ratio >= 2.0;
}

TEST(Soak, NothingGrows) {
    // What a thread's cache holds counts as in use, and comes and goes by kilobytes, as arenas do.
    if (!std::getenv("GLIBC_TUNABLES"))
        GTEST_SKIP() << "without malloc's caches and with one arena: "
                        "GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1";
    soak::Result result;
    int runs = 0;
    do {
        result = soak::run(small());
        ASSERT_EQ("", result.failed);
        EXPECT_GE(result.steps, small().steps);
        EXPECT_GE(result.lives, small().lives);
        EXPECT_GE(result.checkpoints, 2);
        for (const std::string &what : soak::growth(result)) ADD_FAILURE() << what;
    } while (takes_longer(result) && ++runs < 5);
    EXPECT_FALSE(takes_longer(result)) << result.fit.ratio << ", " << result.single.ratio;
    support::promise("Long runs", "steps in the suite's share of the soak", result.steps);
    support::promise("Long runs", "contexts, sets, networks and trainers made and destroyed",
                     result.lives);
}

TEST(Soak, FindsWhatGrows) {
    soak::Result result;
    result.rounds = 1000;
    result.steps = 100000;
    EXPECT_TRUE(soak::growth(result).empty());
    const auto grown = [&](auto change) {
        soak::Result other = result;
        change(other.end);
        return soak::growth(other).size();
    };
    EXPECT_EQ(1u, grown([](soak::Possessions &end) { ++end.handles; }));
    EXPECT_EQ(1u, grown([](soak::Possessions &end) { ++end.threads; }));
    EXPECT_EQ(1u, grown([](soak::Possessions &end) { ++end.library_blocks; }));
    EXPECT_EQ(1u, grown([](soak::Possessions &end) { end.heap += 32 * 1000; }));
    EXPECT_EQ(0u, grown([](soak::Possessions &end) { end.heap += 32 * 499; }));
    EXPECT_EQ(1u, grown([](soak::Possessions &end) { end.resident += 33 * 100000; }));
}

// A rise of 1 % over the whole series shows through noise of 0.2 %, and not through one of 20 %; noise
// alone is never a rise.
TEST(Soak, TellsARiseFromNoise) {
    const auto found = [](double rise, double noise) {
        std::vector<double> series;
        for (int i = 0; i < 1000; ++i)
            series.push_back(1.0 + rise * i / 1000.0 + noise * ((i * 7919) % 1000) / 1000.0);
        soak::Result result;
        result.fit = soak::drift_of(series);
        return !soak::slowdown(result).empty();
    };
    EXPECT_TRUE(found(0.01, 0.0));
    EXPECT_TRUE(found(0.01, 0.001));
    EXPECT_FALSE(found(0.01, 0.2));
    EXPECT_FALSE(found(0.0, 0.01));
    EXPECT_FALSE(found(0.0, 0.2));
    EXPECT_FALSE(found(-0.1, 0.0));
}

} // namespace

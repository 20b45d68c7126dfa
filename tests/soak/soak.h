// A long training, watched: memory, handles and the time of a step, from its beginning to its end.
#ifndef DELTAK_TESTS_SOAK_H
#define DELTAK_TESTS_SOAK_H

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace soak {

/// A training of 784-512-512-10 by default: one dk_trainer_fit with validation and checkpoints, and at the
/// end of each of its epochs some steps of another trainer's (dk_trainer_step), and objects that are made,
/// used and destroyed.
struct Options {
    int64_t steps = 100000; ///< at least so many, of both kinds together
    double seconds = 0.0;   ///< and at least so long
    int64_t lives =
        10000; ///< at least so many times are a context and all that can be had of it made
    int threads = 0;
    int64_t inputs = 784, hidden = 512, classes = 10, batch = 128;
    int64_t epoch_steps = 40, single_steps = 60; ///< of fit, and of dk_trainer_step, a round
    std::FILE *progress = nullptr;               ///< a line now and then, or NULL
};

/// What a process has.
struct Possessions {
    int64_t handles = 0, threads = 0; ///< /proc/self/fd, /proc/self/task
    int64_t resident = 0;             ///< bytes, by /proc/self/statm
    int64_t heap = 0;                 ///< bytes in use, by mallinfo2
    int64_t library_blocks = 0,
            library = 0; ///< what the library has of its allocator, and bytes of it
};

/// Medians of the first and the last tenth of a series, and how far apart its tenths are anyway.
struct Drift {
    double first_ms = 0.0, last_ms = 0.0;
    double ratio = 1.0;  ///< last/first
    double spread = 1.0; ///< 90th percentile over the 10th, of all
};

struct Result {
    int64_t rounds = 0, steps = 0, lives = 0, checkpoints = 0, checkpoints_failed = 0;
    double seconds = 0.0;
    Possessions begin, end; ///< after the first rounds, which fill caches; and after the last
    Drift fit, single;      ///< processor time of a step
    std::string failed;     ///< a call that failed; "" = none
};

Result run(const Options &options);

Drift drift_of(const std::vector<double> &milliseconds);

/// What grew beyond its bound, one sentence each.
std::vector<std::string> growth(const Result &result);

/// A step that takes longer and longer: a drift beyond the spread. A steady rise has its last tenth beyond
/// the 90th percentile and its first below the 10th, however slow it is and whatever the noise; noise
/// without a rise has both medians in the middle. For long series: what disturbs a machine for a tenth of
/// a short one is no noise there.
std::vector<std::string> slowdown(const Result &result);

/// One JSON object without nested ones.
std::string json(const Result &result, const std::string &commit);

} // namespace soak

#endif

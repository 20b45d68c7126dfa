// What a soak's numbers say.
#include "soak/soak.h"

#include <algorithm>
#include <sstream>

namespace soak {

namespace {

/// The value below which `part` of them lie.
double quantile(std::vector<double> values, double part) {
    const auto at = static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), values.begin() + at, values.end());
    return values[static_cast<size_t>(at)];
}

std::string sentence(const std::string &what, double from, double to, double most) {
    std::ostringstream text;
    text << what << ": from " << from << " to " << to << ", at most " << most;
    return text.str();
}

} // namespace

Drift drift_of(const std::vector<double> &milliseconds) {
    Drift drift;
    const auto tenth = static_cast<std::ptrdiff_t>(milliseconds.size() / 10);
    if (tenth < 3) return drift;
    drift.first_ms = quantile({milliseconds.begin(), milliseconds.begin() + tenth}, 0.5);
    drift.last_ms = quantile({milliseconds.end() - tenth, milliseconds.end()}, 0.5);
    drift.ratio = drift.last_ms / drift.first_ms;
    drift.spread = quantile(milliseconds, 0.9) / quantile(milliseconds, 0.1);
    return drift;
}

std::vector<std::string> growth(const Result &result) {
    std::vector<std::string> found;
    const Possessions &begin = result.begin, &end = result.end;
    const auto exactly = [&](const char *what, int64_t from, int64_t to) {
        if (from != to)
            found.push_back(sentence(what, static_cast<double>(from), static_cast<double>(to),
                                     static_cast<double>(from)));
    };
    /* The smallest block of the C library's takes 32 bytes. One that is lost in each step, or each
     * life, is ten times this bound or more; one in each round is twice it. */
    const int64_t least = 32, most = least * result.rounds / 2;
    exactly("open files", begin.handles, end.handles);
    exactly("threads", begin.threads, end.threads);
    exactly("the library's blocks", begin.library_blocks, end.library_blocks);
    if (end.library - begin.library > most) // a text has more digits now and then
        found.push_back(sentence("the library's bytes", static_cast<double>(begin.library),
                                 static_cast<double>(end.library),
                                 static_cast<double>(begin.library + most)));
    if (end.heap - begin.heap > most)
        found.push_back(sentence("bytes of the heap", static_cast<double>(begin.heap),
                                 static_cast<double>(end.heap),
                                 static_cast<double>(begin.heap + most)));
    /* What is resident counts the holes between blocks, too: less than a block for each step. */
    if (end.resident - begin.resident > least * result.steps)
        found.push_back(sentence("resident bytes", static_cast<double>(begin.resident),
                                 static_cast<double>(end.resident),
                                 static_cast<double>(begin.resident + least * result.steps)));
    if (result.checkpoints_failed)
        found.push_back(sentence("checkpoints that failed", 0.0,
                                 static_cast<double>(result.checkpoints_failed), 0.0));
    return found;
}

std::vector<std::string> slowdown(const Result &result) {
    std::vector<std::string> found;
    for (const Drift *drift : {&result.fit, &result.single})
        if (drift->ratio > drift->spread)
            found.push_back(sentence(
                drift == &result.fit ? "ms of a step in dk_trainer_fit" : "ms of a dk_trainer_step",
                drift->first_ms, drift->last_ms, drift->first_ms * drift->spread));
    return found;
}

std::string json(const Result &result, const std::string &commit) {
    std::ostringstream text;
    text.precision(6);
    const auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / 1048576.0; };
    text << "{\n  \"steps\": " << result.steps << ",\n  \"seconds\": " << result.seconds
         << ",\n  \"objects_made_and_destroyed\": " << result.lives
         << ",\n  \"checkpoints\": " << result.checkpoints;
    const auto pair = [&](const std::string &what, double begin, double end) {
        text << ",\n  \"" << what << "_begin\": " << begin << ",\n  \"" << what
             << "_end\": " << end;
    };
    const Possessions &b = result.begin, &e = result.end;
    pair("resident_MiB", mib(b.resident), mib(e.resident));
    pair("heap_MiB", mib(b.heap), mib(e.heap));
    pair("library_MiB", mib(b.library), mib(e.library));
    pair("library_blocks", static_cast<double>(b.library_blocks),
         static_cast<double>(e.library_blocks));
    pair("open_files", static_cast<double>(b.handles), static_cast<double>(e.handles));
    pair("threads", static_cast<double>(b.threads), static_cast<double>(e.threads));
    text << ",\n  \"fit_step_ms\": " << result.fit.first_ms
         << ",\n  \"fit_step_ratio\": " << result.fit.ratio
         << ",\n  \"fit_step_spread\": " << result.fit.spread
         << ",\n  \"single_step_ms\": " << result.single.first_ms
         << ",\n  \"single_step_ratio\": " << result.single.ratio
         << ",\n  \"single_step_spread\": " << result.single.spread << ",\n  \"commit\": \""
         << commit << "\"\n}\n";
    return text.str();
}

} // namespace soak

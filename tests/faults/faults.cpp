#include "faults.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <unordered_set>

namespace faults {
namespace {

Fault fault;
std::atomic<bool> armed{false};
std::atomic<long> seen{0}, failed{0};

std::mutex lock; // of the weather and the books
Weather weather;
Effects felt{};
std::mt19937 chance;
std::atomic<bool> calm{true};
std::atomic<long> maps{0};

// Never destroyed: blocks are released after the end of main, too.
std::unordered_set<void *> &blocks() {
    static auto *all = new std::unordered_set<void *>;
    return *all;
}

} // namespace

const char *name_of(Function function) {
    static const char *const names[] = {"none",
#define X(name) #name,
                                        DELTAK_FAULTS_EACH(X)
#undef X
    };
    return names[static_cast<int>(function)];
}

void arm(const Fault &wanted) {
    fault = wanted;
    seen = failed = 0;
    armed = true;
}

long disarm() {
    armed = false;
    return failed;
}

bool fails(Function function) {
    if (!armed || fault.function != function) return false;
    const long now = ++seen;
    if (now != fault.at && !(fault.for_ever && now > fault.at)) return false;
    ++failed;
    errno = fault.error;
    return true;
}

void set_weather(const Weather &wanted) {
    const std::lock_guard<std::mutex> guard(lock);
    weather = wanted;
    felt = {};
    chance.seed(1);
    calm = weather.interruptions == 0 && weather.longest == 0 && weather.space < 0;
}

Effects effects() {
    const std::lock_guard<std::mutex> guard(lock);
    return felt;
}

bool interrupted() {
    static thread_local int in_a_row = 0;
    if (calm) return false;
    const std::lock_guard<std::mutex> guard(lock);
    if (in_a_row >= weather.interruptions) {
        in_a_row = 0;
        return false;
    }
    ++in_a_row;
    ++felt.interruptions;
    errno = EINTR;
    return true;
}

size_t cut(size_t bytes) {
    if (calm || bytes == 0) return bytes;
    const std::lock_guard<std::mutex> guard(lock);
    if (weather.longest == 0) return bytes;
    const size_t now = std::min<size_t>(bytes, 1 + chance() % weather.longest);
    felt.shortened += now < bytes;
    return now;
}

size_t cut_to_space(size_t bytes) {
    if (calm || bytes == 0) return bytes;
    const std::lock_guard<std::mutex> guard(lock);
    if (weather.space < 0) return bytes;
    const size_t now = std::min(bytes, static_cast<size_t>(weather.space));
    weather.space -= static_cast<int64_t>(now);
    if (now == 0) {
        ++felt.refused;
        errno = weather.full;
    }
    return now;
}

void *noted(void *block) {
    const std::lock_guard<std::mutex> guard(lock);
    if (block) blocks().insert(block);
    return block;
}

void forget(void *block) {
    const std::lock_guard<std::mutex> guard(lock);
    blocks().erase(block);
}

void note_map(int more) {
    maps += more;
}

Held held() {
    const std::lock_guard<std::mutex> guard(lock);
    return {static_cast<long>(blocks().size()), maps};
}

} // namespace faults

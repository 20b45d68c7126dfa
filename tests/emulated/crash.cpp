// What is known when the program is about to die of an access: whether it was the host that touched device
// memory, and what was reported before.
#include "insides.h"

#include <csignal>
#include <cstring>
#include <unistd.h>

namespace emulated {

namespace {

void say(const char *text) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, strlen(text));
}

/// Nothing here allocates or waits; the signal then takes its usual way.
[[maybe_unused]] void last_words(int signal, siginfo_t *info, void *) {
    Device &d = device();
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    if (address - d.arena.first() < d.arena.bytes())
        say("emulated CUDA: device memory was touched while it is closed, or where there is "
            "none\n");
    for (const std::string &report : d.reports) {
        say("emulated CUDA: ");
        say(report.c_str());
        say("\n");
    }
    std::signal(signal, SIG_DFL);
}

} // namespace

/// AddressSanitizer says more by itself.
void speak_when_dying() {
#if !defined(__SANITIZE_ADDRESS__)
    struct sigaction action = {};
    action.sa_sigaction = last_words;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
#endif
}

} // namespace emulated

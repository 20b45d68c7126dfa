// Signals while products are computed: an application may handle them where it likes, also on the thread
// that trains.
#include "support.h"
#include "support_net.h"

#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace {

volatile std::sig_atomic_t handled;

// Trains with and without a signal every few microseconds; the bits must be the same.
std::vector<uint32_t> train(dk_precision precision, bool signals) {
    dk_context_options opening = DK_CONTEXT_OPTIONS_INIT;
    opening.device = "cpu";
    opening.precision = precision;
    opening.threads = 1;
    dk_context *opened = nullptr;
    EXPECT_EQ(dk_context_create(&opened, &opening), DK_OK) << dk_error_text();
    support::Context context(opened);
    support::Dataset data = support::synth(context.get(), "synth:teacher", 8, 1, 2, 1);
    support::Net net = support::net_for(data.get(), {1000, 1000});
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = 8;
    support::Trainer trainer = support::trainer(net.get(), options);
    const long interval = signals ? 50 : 0;
    const itimerval timer = {{0, interval}, {0, interval}};
    setitimer(ITIMER_REAL, &timer, nullptr);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 40;
    EXPECT_EQ(dk_trainer_fit(trainer.get(), data.get(), nullptr, &fit, nullptr), DK_OK)
        << dk_error_text();
    const itimerval none{};
    setitimer(ITIMER_REAL, &none, nullptr);
    return support::parameter_bits(net.get());
}

// In a child, whose heap may be spoilt; returns what waitpid says of it.
int train_among_signals(dk_precision precision, const std::vector<uint32_t> &expected) {
    const pid_t child = fork();
    if (child == 0) {
        struct sigaction action {};
        action.sa_handler = [](int) { handled = handled + 1; };
        action.sa_flags = SA_RESTART;
        sigaction(SIGALRM, &action, nullptr);
        const bool same = train(precision, true) == expected;
        _exit(!same ? 1 : handled < 20 ? 2 : 0);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
}

TEST(Signals, HandledOnTheThreadThatTrainsTheyChangeNothing) {
    for (const dk_precision precision : {DK_FP32, DK_BF16}) {
        SCOPED_TRACE(dk_precision_name(precision));
        if (!device::cpu_has(precision)) continue;
        const int status = train_among_signals(precision, train(precision, false));
        EXPECT_FALSE(WIFSIGNALED(status)) << "killed by signal " << WTERMSIG(status);
        EXPECT_EQ(WEXITSTATUS(status), 0);
    }
}

} // namespace

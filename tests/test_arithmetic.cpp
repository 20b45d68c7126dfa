// An application's floating-point environment: whatever it is, results are the same, none of its traps
// goes off on clean data, and it is as it was when a call returns.
#include "every.h"
#include "support.h"
#include "support_data.h"
#include "support_net.h"

#include <cfenv>
#include <cstring>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

/// What an application may have set, and how.
struct Environment {
    const char *name;
    void (*set)();
};

const Environment ENVIRONMENTS[] = {
    {"to nearest", [] {}},
    {"upwards", [] { std::fesetround(FE_UPWARD); }},
    {"towards zero", [] { std::fesetround(FE_TOWARDZERO); }},
    {"traps", [] { feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW); }},
#if defined(__SSE2__)
    {"no denormals", [] { _mm_setcsr(_mm_getcsr() | 0x8040); }}, // as -ffast-math sets it
#endif
};

/// Everything of the environment that can be asked for.
std::vector<int> state() {
    std::vector<int> all = {std::fegetround(), fegetexcept(), std::fetestexcept(FE_ALL_EXCEPT)};
#if defined(__SSE2__)
    all.push_back(static_cast<int>(_mm_getcsr()));
#endif
    return all;
}

/// The environment of one test, and the default one afterwards.
struct Within {
    explicit Within(const Environment &environment) { environment.set(); }
    ~Within() { std::fesetenv(FE_DFL_ENV); }
};

/// The bits of what a training gives: NaN, where a metric has no meaning, equals itself.
struct Result {
    std::vector<uint32_t> parameters;
    std::vector<uint64_t> metrics;

    void add(double value) {
        metrics.emplace_back();
        std::memcpy(&metrics.back(), &value, sizeof value);
    }
    bool operator==(const Result &other) const {
        return parameters == other.parameters && metrics == other.metrics;
    }
};

/// Reads, learns and predicts, all within the environment, threads included.
Result train(const char *data, dk_activation activation, int threads) {
    const support::Context context = support::open_context(threads);
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    if (std::strchr(data, ':')) options.rows = 300;
    const support::Dataset set = support::open(context.get(), data, options);
    const auto [rest, part] = support::split(set.get(), 0.25, 1);
    dk_net *made = nullptr;
    const int64_t hidden[] = {96, 33};
    EXPECT_EQ(DK_OK, dk_net_create_for(&made, rest.get(), hidden, 2, activation, 1));
    const support::Net net(made);
    const support::Trainer trainer = support::trainer(net.get(), DK_TRAIN_OPTIONS_INIT);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 2;
    dk_fit_result fitted{};
    EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), rest.get(), part.get(), &fit, &fitted))
        << dk_error_text();
    dk_metrics metrics;
    EXPECT_EQ(DK_OK, dk_evaluate(net.get(), part.get(), 0, &metrics)) << dk_error_text();
    Result result;
    result.parameters = support::parameter_bits(net.get());
    for (double value : {fitted.train_loss, metrics.accuracy, metrics.loss, metrics.r2})
        result.add(value);
    return result;
}

} // namespace

// Breaks where a thread, or a call, computes in the environment that it finds.
TEST(Arithmetic, ResultsAreTheSameInEveryEnvironment) {
    for (const char *data : {"builtin:digits", "synth:teacher"}) {
        const Result expected = train(data, DK_GELU, 1);
        for (const Environment &environment : ENVIRONMENTS)
            for (int threads : {1, 2}) {
                const Within within(environment);
                EXPECT_TRUE(expected == train(data, DK_GELU, threads))
                    << data << ", " << environment.name << ", " << threads << " threads";
            }
    }
}

// Breaks where a call leaves its own environment behind, or a flag that its work has raised.
TEST(Arithmetic, ACallLeavesTheEnvironmentAsItWas) {
    for (const Environment &environment : ENVIRONMENTS) {
        const Within within(environment);
        std::feclearexcept(FE_ALL_EXCEPT);
        const std::vector<int> before = state();
        train("builtin:digits", DK_SOFTPLUS, 2);
        EXPECT_EQ(before, state()) << environment.name;
    }
}

// Every formula, on clean data: the functions whose branches are computed side by side, above all.
TEST(Arithmetic, NoTrapGoesOffOnCleanData) {
    const support::Folder folder; // names of classes, which no number is
    const std::string names = folder.write("t.csv", "a,b,k\n1,2,cat\n3,4,dog\n5,6,cat\n9,1,dog\n");
    for (dk_activation activation : support::activations()) {
        const Within within(ENVIRONMENTS[3]);
        train("builtin:digits", activation, 2);
        train(names.c_str(), activation, 2);
    }
}

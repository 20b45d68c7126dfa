// Failures under the CUDA backend, on the emulated CUDA: each call to the GPU and of the system in each
// workflow, and those of the cache of plans, which nothing depends on.
#include "support_plans.h"

#include "faults/model_workflows.h"
#include "faults/subjects.h"
#include "support_promise.h"

#include <set>

namespace emulated {
namespace {

using faults::Kind;
using faults::Workflow;

/// Nobody can be told of the waits before memory is given back; an algorithm that can't be checked isn't taken
/// from the cache.
bool is_wait() {
    const std::set<std::string> waits = {"cublasLtMatmulAlgoCheck", "cudaEventRecord",
                                         "cudaEventSynchronize", "cudaStreamSynchronize"};
    return waits.count(failed_call()) > 0;
}

Kind gpu_kind(dk_status status) {
    auto armed = std::make_shared<long>(0);
    Kind kind;
    kind.name = std::string("the GPU: ") + dk_status_name(status);
    kind.counted_as = "a call to CUDA fails (emulated)";
    kind.arm = [=](long at, bool for_ever) {
        *armed = at;
        for_ever ? fail_from(at, status) : fail_at(at, status);
    };
    kind.disarm = [=] {
        const bool happened = calls() >= *armed;
        fail_at(0, DK_OK);
        return happened;
    };
    kind.restore = [] {
        expect_clean();
        EXPECT_EQ(open_gpus(), 0);
        reset();
    };
    kind.may_pass = is_wait;
    kind.status = status;
    kind.ends_steps = kind.on_the_gpu = true;
    const long parts = status == DK_E_MEMORY ? 12 / support::one_in_if_short(2) : 6;
    kind.of_n = parts; // an epoch's each call: test_backend_training
    kind.of_n_for_ever = status == DK_E_MEMORY ? parts / 2 : 1;
    kind.for_good = status == DK_E_DEVICE_LOST;
    return kind;
}

class BackendFaults : public Test, public testing::WithParamInterface<Workflow> {};

TEST_P(BackendFaults, OfTheGpuAreSurvived) {
    survive(GetParam(), {gpu_kind(DK_E_MEMORY), gpu_kind(DK_E_DEVICE_LOST)});
}

/// The host's own memory and threads. Files are the same code as on the CPU. Who predicts again takes
/// neither.
TEST_P(BackendFaults, OfTheHostAreSurvived) {
    if (std::string(GetParam().name) == "PredictionAgain") return;
    std::vector<Kind> kinds;
    for (const faults::Meaning &meaning : faults::meanings())
        if (meaning.function == faults::Function::posix_memalign ||
            meaning.function == faults::Function::pthread_create)
            kinds.push_back(kind_of(meaning, meaning.errors[0]));
    for (Kind &kind : kinds) kind.of_n = 6;
    survive(GetParam(), kinds);
}

INSTANTIATE_TEST_SUITE_P(Using, BackendFaults, testing::ValuesIn(faults::model_workflows()),
                         [](const testing::TestParamInfo<Workflow> &row) {
                             return faults::name_of(row);
                         });

// A lost device is lost for its objects; the process goes on with the CPU.
TEST_F(Test, ALostDeviceLeavesTheCpu) {
    {
        const auto all = faults::trainable();
        fail_from(1);
        dk_metrics metrics;
        EXPECT_EQ(dk_evaluate(all->net.get(), all->data.get(), 0, &metrics), DK_E_DEVICE_LOST);
        dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
        options.device = "cpu";
        dk_context *made = nullptr;
        ASSERT_EQ(dk_context_create(&made, &options), DK_OK) << dk_error_text();
        const support::Context cpu(made);
        const support::Dataset data = support::synth(cpu.get(), "synth:spirals", 40);
        const support::Net net = support::net_for(data.get(), {4});
        EXPECT_EQ(dk_trainer_fit(support::trainer(net.get()).get(), data.get(), nullptr, nullptr,
                                 nullptr),
                  DK_OK)
            << dk_error_text();
    }
    fail_at(0, DK_OK);
}

// --- plans on disk ------------------------------------------------------------------------------

dki_plan_entry entry_of(int64_t answer) {
    dki_plan_entry entry{};
    entry.answer = answer;
    return entry;
}

class PlanFiles : public testing::Test {
  protected:
    PlanFiles() { dki_plan_cache_open(&cache, &silence, &facts); }

    void store(int64_t answer) {
        const dki_plan_entry entry = entry_of(answer);
        dki_plan_cache_store(&cache, &key, &entry);
    }
    /// The answer that is found; 0 = none.
    int64_t load() {
        dki_plan_entry entry{};
        return dki_plan_cache_load(&cache, &key, &entry) ? entry.answer : 0;
    }
    long files() const {
        long count = 0;
        for (const auto &entry : std::filesystem::directory_iterator(cache.folder))
            count += entry.is_regular_file();
        return count;
    }

    const PlanFolder folder;
    dki_logger silence{};
    const dki_gpu_facts facts{};
    dki_plan_cache cache;
    dki_plan_key key{};
};

// Whatever fails, the old answer is found or none, and nothing lies beside it.
TEST_F(PlanFiles, AreOnlyMissedWhereACallFails) {
    using faults::Function;
    long failures = 0;
    store(1);
    for (Function function : {Function::open, Function::read, Function::close, Function::write,
                              Function::rename, Function::mkostemp, Function::mkdir})
        for (bool for_ever : {false, true})
            for (long n = 1;; ++n) {
                SCOPED_TRACE(testing::Message() << name_of(function) << " " << n);
                store(1);
                faults::arm({function, n, for_ever, EIO});
                const int64_t before = load();
                store(2);
                if (faults::disarm() == 0) break;
                ++failures;
                EXPECT_TRUE(before == 0 || before == 1) << before;
                EXPECT_TRUE(load() == 1 || load() == 2) << load();
                EXPECT_EQ(files(), 1);
                ASSERT_FALSE(HasFailure());
            }
    support::promise("Every failure is survived", "the cache of plans can't be used", failures);
    faults::set_weather({2, 3, -1, 0});
    store(3);
    EXPECT_EQ(load(), 3);
    faults::set_weather({});
    faults::set_weather({0, 0, 20, ENOSPC});
    store(4);
    faults::set_weather({});
    EXPECT_EQ(load(), 3);
    EXPECT_EQ(files(), 1);
}

} // namespace
} // namespace emulated

// What the tests of a network's plans share: a backend of its own that prepares it, the folder of plans
// on disk, and a whole training run.
#ifndef DELTAK_TESTS_EMULATED_SUPPORT_PLANS_H
#define DELTAK_TESTS_EMULATED_SUPPORT_PLANS_H

#include "support_emulated.h"

#include "support_extent.h"
#include "support_net.h"

extern "C" {
#include "backend/cuda/cuda.h"
#include "base/memory.h"
#include "train/trainer.h"
}

#include <filesystem>

namespace emulated {

class PlanTest : public Test {
  protected:
    dki_logger silence{};
    const dki_services services = {&dki_libc_allocator, &silence};
    dki_backend *backend = nullptr;
    std::vector<dki_layer_shape> layers; ///< at most `most_layers`
    static constexpr size_t most_layers = 8;
    bool keep_z[most_layers] = {};

    void open(bool deterministic = false, bool plan_cache = false) {
        const dki_cuda_options options = {0, DK_BF16, deterministic, plan_cache};
        ASSERT_EQ(dki_cuda_open(&backend, &services, &options), DK_OK) << dk_error_text();
    }
    void close() {
        if (backend) backend->ops->close(backend);
        backend = nullptr;
    }
    void TearDown() override {
        close();
        Test::TearDown();
    }
    dki_plan_request request_of(int64_t rows) {
        dki_plan_request request{};
        request.layers = layers.data();
        request.layer_count = layers.size();
        request.max_batch = rows;
        request.gradients = request.choose = true;
        return request;
    }
    dk_status prepare(const dki_plan_request &request, dki_plan &plan) {
        plan = dki_plan{};
        plan.keep_z = keep_z;
        return backend->ops->prepare(backend, &request, &plan);
    }
    /// Leaves an answer on disk, as another process would.
    void store(const dki_plan_key &key, int64_t answer) {
        dki_plan_entry entry{};
        entry.answer = answer;
        dki_plan_cache cache;
        dki_plan_cache_open(&cache, &silence, dki_gpu_facts_of(dki_cuda_of(backend)->gpu));
        dki_plan_cache_store(&cache, &key, &entry);
    }
    /// Whichever call of the choice fails: an answer or that call's status, and the backend goes on.
    void expect_usable_after_failures(const dki_plan_request &request) {
        dki_plan plan;
        open();
        fail_at(0, DK_OK);
        EXPECT_EQ(prepare(request, plan), DK_OK) << dk_error_text();
        const long all = calls();
        close();
        for (long n = 1; n <= all; n += support::one_in_if_short(3) * (all / 12) + 1) {
            SCOPED_TRACE(n);
            open();
            fail_at(n, DK_E_MEMORY);
            const dk_status status = prepare(request, plan);
            EXPECT_TRUE(status == DK_OK || status == DK_E_MEMORY) << dk_error_text();
            fail_at(0, DK_OK);
            EXPECT_EQ(prepare(request, plan), DK_OK) << dk_error_text();
            expect_clean();
            close();
        }
    }
};

/// The plans on disk lie in a folder of their own while one lives.
class PlanFolder {
  public:
    PlanFolder() {
        EXPECT_NE(mkdtemp(root.data()), nullptr);
        if (const char *before = getenv("XDG_CACHE_HOME")) old = before;
        setenv("XDG_CACHE_HOME", root.c_str(), 1);
    }
    ~PlanFolder() {
        old.empty() ? unsetenv("XDG_CACHE_HOME") : setenv("XDG_CACHE_HOME", old.c_str(), 1);
        std::filesystem::remove_all(root);
    }
    PlanFolder(const PlanFolder &) = delete;
    PlanFolder &operator=(const PlanFolder &) = delete;

  private:
    std::string root = testing::TempDir() + "deltak-plans-XXXXXX", old;
};

using Look = std::function<void(const dk_trainer &)>;

/// All weights after two epochs over 64 rows of seven features and three classes; with a look at the
/// trainer before and after.
inline std::vector<float> train(const std::vector<dk_layer> &layers,
                                const dk_train_options &options, const Look &before,
                                const Look &after) {
    dk_context_options device_options = DK_CONTEXT_OPTIONS_INIT;
    device_options.device = "cuda:0";
    device_options.no_plan_cache = true;
    dk_context *opened = nullptr;
    EXPECT_EQ(dk_context_create(&opened, &device_options), DK_OK) << dk_error_text();
    const support::Context context(opened);
    support::Arrays arrays;
    arrays.features = 7;
    arrays.classes = 3;
    arrays.x = support::normal(64 * 7, 3);
    for (int i = 0; i < 64; ++i) arrays.labels.push_back(i % 3);
    const support::Dataset data = arrays.open(context.get());
    const support::Net net =
        support::net(context.get(), support::Description(7, layers, DK_LOSS_SOFTMAX_CROSS_ENTROPY));
    const support::Trainer trainer = support::trainer(net.get(), options);
    before(*trainer);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 2;
    EXPECT_EQ(dk_trainer_fit(trainer.get(), data.get(), nullptr, &fit, nullptr), DK_OK)
        << dk_error_text();
    after(*trainer);
    std::vector<float> all;
    for (size_t k = 1; k <= layers.size(); ++k) {
        const std::vector<float> w = support::tensor(net.get(), DK_WEIGHT, k);
        all.insert(all.end(), w.begin(), w.end());
    }
    return all;
}

} // namespace emulated

#endif

// On how many lanes a network's gradients are computed: decided by time, the same bits either way,
// remembered, and two where nothing may be timed.
#include "support_standin.h"

#include "support_net.h"

extern "C" {
#include "backend/cuda/cuda.h"
#include "base/memory.h"
#include "train/trainer.h"
}

#include "insides.h"

#include <filesystem>
#include <functional>

namespace standin {
namespace {

/// A backend of its own, and what prepare() says of a network.
class LanesTest : public Test {
  protected:
    dki_logger silence{};
    const dki_services services = {&dki_libc_allocator, &silence};
    dki_backend *backend = nullptr;
    std::vector<dki_layer_shape> layers = {{7, 13, DK_RELU, false},
                                           {13, 13, DK_GELU, true},
                                           {13, 13, DK_GELU, true},
                                           {13, 13, DK_GELU, true},
                                           {13, 3, DK_IDENTITY, false}};

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
    /// Leaves an answer on disk, as another process would.
    void store(int64_t answer, int64_t rows) {
        const dki_cuda *cuda = dki_cuda_of(backend);
        dki_plan_request request{};
        request.layers = layers.data();
        request.layer_count = layers.size();
        request.max_batch = rows;
        const dki_plan_key key = dki_plan_key_of_lanes(&cuda->rules, &request);
        dki_plan_entry entry{};
        entry.answer = answer;
        dki_plan_cache cache;
        dki_plan_cache_open(&cache, &silence, dki_gpu_facts_of(cuda->gpu));
        dki_plan_cache_store(&cache, &key, &entry);
    }
    /// 1 or 2.
    int lanes(int64_t rows = 16, bool gradients = true, bool choose = true) {
        bool keep_z[8] = {};
        size_t aux_bytes[8] = {};
        dki_plan plan{};
        plan.keep_z = keep_z;
        plan.aux_bytes = aux_bytes;
        dki_plan_request request{};
        request.layers = layers.data();
        request.layer_count = layers.size();
        request.max_batch = rows;
        request.gradients = gradients;
        request.choose = choose;
        EXPECT_EQ(backend->ops->prepare(backend, &request, &plan), DK_OK) << dk_error_text();
        return plan.one_lane ? 1 : 2;
    }
};

// Side by side everything hides behind everything; with contention it costs 5 % more, or 1 % more,
// which is within what measurements differ by.
TEST_F(LanesTest, TheFasterWayIsTakenIfItIsClearlyFaster) {
    const std::pair<double, int> answers[] = {{0, 2}, {1.05, 1}, {1.01, 2}, {0.9, 2}};
    for (const auto &[contention, expected] : answers) {
        SCOPED_TRACE(contention);
        set_contention(contention);
        open();
        EXPECT_EQ(lanes(), expected);
        close();
    }
}

TEST_F(LanesTest, NobodyAsksWhereItDoesNotMatter) {
    set_contention(1.05);
    open();
    EXPECT_EQ(lanes(16, true, false), 2) << "nothing was timed yet";
    EXPECT_EQ(lanes(16, false), 2) << "no gradients";
    layers.resize(1);
    EXPECT_EQ(lanes(), 2) << "a layer has no data gradient of its own";
    close();
    open(true);
    layers.push_back({13, 3, DK_IDENTITY, false});
    EXPECT_EQ(lanes(), 2) << "deterministic";
}

// An answer holds for as long as the backend lives; another network is another question.
TEST_F(LanesTest, AnAnswerIsRememberedForItsNetwork) {
    set_contention(1.05);
    open();
    EXPECT_EQ(lanes(), 1);
    set_contention(0);
    const long products = counts().products;
    EXPECT_EQ(lanes(), 1);
    EXPECT_EQ(lanes(16, true, false), 1);
    EXPECT_EQ(counts().products, products) << "nothing is timed again";
    EXPECT_EQ(lanes(17), 2);
    layers[0].activation = DK_IDENTITY;
    EXPECT_EQ(lanes(), 2);
}

TEST_F(LanesTest, AnAnswerIsFoundOnDiskByTheNextProcess) {
    std::string root = testing::TempDir() + "deltak-lanes-XXXXXX";
    ASSERT_NE(mkdtemp(root.data()), nullptr);
    const char *before = getenv("XDG_CACHE_HOME");
    const std::string old = before ? before : "";
    setenv("XDG_CACHE_HOME", root.c_str(), 1);
    set_contention(1.05);
    open(false, true);
    EXPECT_EQ(lanes(), 1);
    close();
    set_contention(0);
    open(false, true);
    EXPECT_EQ(lanes(), 1);
    close();
    open(true, true);
    EXPECT_EQ(lanes(), 2) << "deterministic doesn't read what was timed";
    close();
    set_contention(1.05);
    open(false, true);
    store(7, 24);
    EXPECT_EQ(lanes(24), 1) << "seven lanes there aren't, so it was timed";
    close();
    before ? setenv("XDG_CACHE_HOME", old.c_str(), 1) : unsetenv("XDG_CACHE_HOME");
    std::filesystem::remove_all(root);
}

// Once the algorithms are known, only pairs are timed: of layer 1 (ReLU below), of layer 2, which
// stands for layer 3 (GELU below), and of layer 4 (another width). Three more like layer 2 add none.
TEST_F(LanesTest, AlikeLayersAreTimedOnce) {
    open();
    lanes();
    reset_counts();
    lanes(16, true);
    EXPECT_EQ(counts().products, 0);
    layers[0].dropout = true; // another network, of the same products
    lanes();
    const long pairs = counts().products;
    EXPECT_GT(pairs, 0);
    layers.insert(layers.begin() + 2, 3, layers[2]);
    reset_counts();
    lanes();
    EXPECT_EQ(counts().products, pairs);
}

TEST_F(LanesTest, WithoutMemoryToTimeInThereAreTwo) {
    set_contention(1.05);
    open();
    set_memory(memory_in_use() + 1000);
    EXPECT_EQ(lanes(), 2);
}

// Whichever call of the choice fails: an answer or that call's status, and the backend goes on.
TEST_F(LanesTest, AFailureInBetweenLeavesTheBackendUsable) {
    set_contention(1.05);
    layers.resize(2);
    open();
    fail_at(0, DK_OK);
    lanes();
    const long all = calls();
    close();
    for (long n = 1; n <= all; n += all / 12 + 1) {
        SCOPED_TRACE(n);
        open();
        bool keep_z[2] = {};
        size_t aux_bytes[2] = {};
        dki_plan plan{};
        plan.keep_z = keep_z;
        plan.aux_bytes = aux_bytes;
        const dki_plan_request request = {layers.data(), 2, 16, true, false, true};
        fail_at(n, DK_E_MEMORY);
        const dk_status status = backend->ops->prepare(backend, &request, &plan);
        EXPECT_TRUE(status == DK_OK || status == DK_E_MEMORY) << dk_error_text();
        fail_at(0, DK_OK);
        EXPECT_EQ(backend->ops->prepare(backend, &request, &plan), DK_OK) << dk_error_text();
        expect_clean();
        close();
    }
}

// --- a whole training run ----------------------------------------------------------------------

/// Every graph that is alive is a chain, node after node: one lane.
bool one_after_the_other() {
    for (const auto &graph : device().graphs) {
        const auto &nodes = graph.first->body->nodes;
        for (size_t i = 1; i < nodes.size(); ++i)
            if (std::find(nodes[i].after.begin(), nodes[i].after.end(), i - 1) ==
                nodes[i].after.end())
                return false;
    }
    return !device().graphs.empty();
}

/// All weights after a few steps by AdamW, whose updates follow each gradient.
std::vector<float> trained(bool expect_one_lane) {
    dk_context_options device_options = DK_CONTEXT_OPTIONS_INIT;
    device_options.device = "cuda:0";
    device_options.no_plan_cache = true;
    dk_context *opened = nullptr;
    EXPECT_EQ(dk_context_create(&opened, &device_options), DK_OK) << dk_error_text();
    const support::Context context(opened);
    support::Description description(
        7,
        {support::layer(13, DK_RELU), support::layer(9, DK_GELU), support::layer(3, DK_IDENTITY)},
        DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    support::Arrays arrays;
    arrays.features = 7;
    arrays.classes = 3;
    arrays.x = support::normal(64 * 7, 3);
    for (int i = 0; i < 64; ++i) arrays.labels.push_back(i % 3);
    const support::Dataset data = arrays.open(context.get());
    const support::Net net = support::net(context.get(), description);
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = 16;
    options.optimizer = DK_ADAMW;
    const support::Trainer trainer = support::trainer(net.get(), options);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 2;
    EXPECT_EQ(dk_trainer_fit(trainer.get(), data.get(), nullptr, &fit, nullptr), DK_OK)
        << dk_error_text();
    EXPECT_EQ(trainer->session->one_lane, expect_one_lane);
    EXPECT_EQ(one_after_the_other(), expect_one_lane);
    std::vector<float> all;
    for (size_t k = 1; k <= 3; ++k) {
        const std::vector<float> w = support::tensor(net.get(), DK_WEIGHT, k);
        all.insert(all.end(), w.begin(), w.end());
    }
    return all;
}

TEST_F(Test, TrainingGivesTheSameBitsOnOneLaneAndOnTwo) {
    const std::vector<float> two = trained(false);
    for (uint64_t seed = 0; seed < schedules; ++seed) {
        SCOPED_TRACE(seed);
        set_contention(1.05);
        set_schedule(seed);
        EXPECT_EQ(trained(true), two);
    }
}

} // namespace
} // namespace standin

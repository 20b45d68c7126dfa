// On how many lanes a network's gradients are computed: decided by time, the same bits either way,
// remembered, and two where nothing may be timed.
#include "support_extent.h"
#include "support_plans.h"

#include "insides.h"

namespace emulated {
namespace {

/// What prepare() says of a network.
class LanesTest : public PlanTest {
  protected:
    LanesTest() {
        layers = {{7, 13, DK_RELU, false},
                  {13, 13, DK_GELU, true},
                  {13, 13, DK_GELU, true},
                  {13, 13, DK_GELU, true},
                  {13, 3, DK_IDENTITY, false}};
    }
    /// 1 or 2.
    int lanes(int64_t rows = 16, bool gradients = true, bool choose = true) {
        dki_plan plan;
        dki_plan_request request = request_of(rows);
        request.gradients = gradients;
        request.choose = choose;
        EXPECT_EQ(prepare(request, plan), DK_OK) << dk_error_text();
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
    const PlanFolder folder;
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
    const dki_plan_request request = request_of(24);
    store(dki_plan_key_of_lanes(&dki_cuda_of(backend)->rules, &request), 7);
    EXPECT_EQ(lanes(24), 1) << "seven lanes there aren't, so it was timed";
    close();
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

TEST_F(LanesTest, AFailureInBetweenLeavesTheBackendUsable) {
    set_contention(1.05);
    layers.resize(2);
    expect_usable_after_failures(request_of(16));
}

// --- a whole training run ----------------------------------------------------------------------

/// Every graph that is alive is a chain, node after node: one lane.
bool one_after_the_other() {
    for (const auto &graph : device().graphs) {
        const auto &nodes = graph.second->nodes;
        for (size_t i = 1; i < nodes.size(); ++i)
            if (std::find(nodes[i].after.begin(), nodes[i].after.end(), i - 1) ==
                nodes[i].after.end())
                return false;
    }
    return !device().graphs.empty();
}

/// All weights after a few steps by AdamW, whose updates follow each gradient; or by plain SGD, whose
/// updates are in the products of the gradients.
std::vector<float> trained(bool expect_one_lane, bool fuse_update) {
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = 16;
    options.optimizer = fuse_update ? DK_SGD : DK_ADAMW;
    options.fuse_update = fuse_update;
    return train(
        {support::layer(13, DK_RELU), support::layer(9, DK_GELU), support::layer(3, DK_IDENTITY)},
        options, [](const dk_trainer &) {},
        [&](const dk_trainer &trainer) {
            EXPECT_EQ(trainer.session->one_lane, expect_one_lane);
            EXPECT_EQ(trainer.session->fuse_update, fuse_update);
            EXPECT_EQ(one_after_the_other(), expect_one_lane);
        });
}

TEST_F(Test, TrainingGivesTheSameBitsOnOneLaneAndOnTwo) {
    for (bool fuse_update : {false, true}) {
        set_contention(0);
        const std::vector<float> two = trained(false, fuse_update);
        for (uint64_t seed = 0; seed < schedules; seed += support::one_in(3)) {
            SCOPED_TRACE(testing::Message() << seed << (fuse_update ? ", fused" : ""));
            set_contention(1.05);
            set_schedule(seed);
            EXPECT_EQ(trained(true, fuse_update), two);
        }
    }
}

} // namespace
} // namespace emulated

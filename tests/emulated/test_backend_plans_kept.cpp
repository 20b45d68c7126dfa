// Plans in checkpoints: what timing chose is taken from there, by a process where it would choose
// otherwise; nothing is timed anew; and plans of another device, or that are damaged, are refused.
#include "support_plans.h"

#include "insides.h"
#include "support_extent.h"
#include "support_promise.h"

namespace emulated {
namespace {

class KeptPlans : public PlanTest {
  protected:
    KeptPlans() {
        layers = {{7, 13, DK_RELU, false},
                  {13, 13, DK_GELU, true},
                  {13, 13, DK_GELU, true},
                  {13, 3, DK_IDENTITY, false}};
    }
    bool one_lane() {
        dki_plan plan;
        EXPECT_EQ(prepare(request_of(16), plan), DK_OK) << dk_error_text();
        return plan.one_lane;
    }
    std::string keep() {
        void *bytes = nullptr;
        size_t count = 0;
        EXPECT_EQ(backend->ops->keep_plans(backend, &bytes, &count), DK_OK) << dk_error_text();
        const std::string kept(static_cast<const char *>(bytes), count);
        dki_release(&dki_libc_allocator, bytes);
        return kept;
    }
    dk_status take(const std::string &bytes) {
        return backend->ops->take_plans(backend, bytes.data(), bytes.size());
    }
    /// Whether launches are dependent is no plan, as it changes no bit: each process tries it.
    static void try_launches(dki_backend *backend) {
        dki_cuda *cuda = dki_cuda_enter(backend, "launches");
        ASSERT_EQ(dki_cuda_leave(cuda, dki_cuda_choose_launches(cuda)), DK_OK) << dk_error_text();
    }
    // Plans by which a network has one lane; none are known to the backend that is open then.
    std::string plans_of_one_lane() {
        set_contention(1.05);
        open();
        EXPECT_TRUE(one_lane());
        const std::string kept = keep();
        close();
        set_contention(0);
        open();
        return kept;
    }
};

TEST_F(KeptPlans, AreTakenInsteadOfTimingAnew) {
    const std::string kept = plans_of_one_lane();
    ASSERT_EQ(take(kept), DK_OK) << dk_error_text();
    try_launches(backend);
    const long products = counts().products;
    EXPECT_TRUE(one_lane()) << "timing would have said two";
    EXPECT_EQ(counts().products, products) << "something was timed";
    EXPECT_EQ(keep(), kept);
    EXPECT_EQ(take(kept), DK_OK) << "the same again";
}

TEST_F(KeptPlans, ThatContradictWhatWasChosenAlreadyAreRefused) {
    const std::string kept = plans_of_one_lane();
    EXPECT_FALSE(one_lane());
    EXPECT_EQ(take(kept), DK_E_STATE);
    EXPECT_FALSE(one_lane());
}

TEST_F(KeptPlans, OfAnotherDeviceAreRefused) {
    std::string kept = plans_of_one_lane();
    kept[8] = 'X'; // of the device's name
    EXPECT_EQ(take(kept), DK_E_STATE);
    EXPECT_NE(std::string(dk_error_text()).find("its plans are those of a X"), std::string::npos)
        << dk_error_text();
}

// Bytes changed (every one, where there is time), and every length: taken where it makes sense, refused
// otherwise; never more than that.
TEST_F(KeptPlans, DamagedAreRefusedOrMakeSense) {
    const std::string kept = plans_of_one_lane();
    int64_t tried = 0;
    const size_t stride = static_cast<size_t>(support::one_in(19));
    for (size_t at = 0; at < kept.size(); at += stride) {
        std::string changed = kept;
        changed[at] = static_cast<char>(changed[at] ^ 0x55);
        close();
        open();
        const dk_status status = take(changed);
        ASSERT_TRUE(status == DK_OK || status == DK_E_MODEL || status == DK_E_STATE)
            << at << ": " << dk_error_text();
        ++tried;
    }
    for (size_t length = 0; length < kept.size(); ++length, ++tried)
        ASSERT_EQ(take(kept.substr(0, length)), DK_E_MODEL) << length;
    ASSERT_EQ(take(kept + '\0'), DK_E_MODEL);
    support::promise("Hostile files are harmless", "plans of a checkpoint: bytes changed, cut",
                     tried);
}

// The whole way: timing in the second process would choose two lanes.
TEST_F(KeptPlans, AResumedRunHasThePlansOfTheFirst) {
    const std::string file = testing::TempDir() + "deltak-plans-kept.safetensors";
    const std::vector<dk_layer> network = {support::layer(13, DK_GELU), support::layer(13, DK_GELU),
                                           support::layer(3, DK_IDENTITY)};
    const auto make = [&](dk_context **context, dk_net **net) {
        dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
        options.device = "cuda:0";
        options.no_plan_cache = true;
        support::Description description(7, network, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
        ASSERT_EQ(dk_context_create(context, &options), DK_OK) << dk_error_text();
        ASSERT_EQ(dk_net_create(net, *context, description.get()), DK_OK) << dk_error_text();
    };
    dk_context *context = nullptr;
    dk_net *net = nullptr;
    dk_trainer *trainer = nullptr;
    set_contention(1.05);
    make(&context, &net);
    ASSERT_EQ(dk_trainer_create(&trainer, net, nullptr), DK_OK) << dk_error_text();
    EXPECT_TRUE(trainer->session->one_lane);
    ASSERT_EQ(dk_trainer_save(trainer, file.c_str()), DK_OK) << dk_error_text();
    dk_trainer_destroy(trainer);
    dk_net_destroy(net);
    dk_context_destroy(context);
    set_contention(0);
    make(&context, &net);
    try_launches(context->backend);
    const long products = counts().products;
    ASSERT_EQ(dk_trainer_resume(&trainer, net, nullptr, file.c_str(), false), DK_OK)
        << dk_error_text();
    EXPECT_TRUE(trainer->session->one_lane);
    EXPECT_EQ(counts().products, products) << "something was timed";
    dk_trainer_destroy(trainer);
    dk_net_destroy(net);
    dk_context_destroy(context);
    std::filesystem::remove(file);
}

} // namespace
} // namespace emulated

// A device's memory and what goes wrong with it: NaN on its way in, batches that don't fit, what
// trainers leave behind.
#include "support_device.h"

#include <atomic>
#include <cstdlib>
#include <limits>

namespace {

using namespace devices;
using operations::same_bits;

// ---- what goes wrong ------------------------------------------------------------------------------

// Breaks where the latch stays set, or a NaN gets past it into W: by way of a hidden ReLU that drops
// it, for one.
TEST(DeviceMemory, NaNInABatchIsReportedWithItsStepAndDoesNoHarm) {
    Context context;
    const float nan = std::numeric_limits<float>::quiet_NaN(),
                infinity = std::numeric_limits<float>::infinity();
    for (float bad : {nan, infinity})
        for (dk_activation g : {DK_RELU, DK_TANH}) {
            Random random(2);
            Net net(5, {layer(9, g), layer(3, DK_IDENTITY)}, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
            net.build(context);
            Trainer trainer(net, plain_options(12, DK_ADAM, 0.01));
            Batch good = random_batch(net, 12, random), poisoned = good;
            poisoned.x[5 * 7 + 3] = bad;
            trainer.step(good);
            const Floats before = net.parameters();
            EXPECT_EQ(DK_E_NONFINITE, trainer.try_step(poisoned));
            EXPECT_TRUE(has("step 2")) << dk_error_text();
            EXPECT_TRUE(is_finite(net.parameters()));
            const double loss = trainer.step(good);
            EXPECT_TRUE(std::isfinite(loss));
            EXPECT_TRUE(is_finite(net.parameters()));
            EXPECT_FALSE(same_bits(before, net.parameters())) << "the third step did nothing";
            EXPECT_EQ(2u, state_of(context, trainer).applied);
        }
}

/// malloc with a limit, so that a host with much memory refuses what a device would; and a count.
struct Limited {
    static constexpr size_t largest = size_t{1} << 28;
    std::atomic<int64_t> live{0};
    dk_allocator get() { return {&alloc, &release, this}; }
    static void *alloc(void *user, size_t bytes, size_t alignment) {
        void *memory = nullptr;
        if (bytes > largest || posix_memalign(&memory, alignment, bytes) != 0) return nullptr;
        static_cast<Limited *>(user)->live += static_cast<int64_t>(bytes);
        return memory;
    }
    static void release(void *user, void *memory, size_t bytes) {
        if (memory) static_cast<Limited *>(user)->live -= static_cast<int64_t>(bytes);
        std::free(memory);
    }
};

// Breaks where a failed allocation leaves an error behind on the device, or the advice is untrue.
// Activations and δ of 2²⁴ rows are more than 200 GiB.
TEST(DeviceMemory, ABatchThatDoesntFitNamesOneThatDoes) {
    Limited limited;
    const dk_allocator allocator = limited.get();
    Context context(2, DK_FP32, device::name(), &allocator);
    std::vector<dk_layer> layers(24, layer(128, DK_TANH));
    layers.push_back(layer(3, DK_IDENTITY));
    Net net(128, layers);
    net.build(context);
    dk_train_options options = plain_options(1 << 24);
    dk_trainer *none = nullptr;
    EXPECT_EQ(DK_E_MEMORY, dk_trainer_create(&none, net.get(), &options));
    EXPECT_EQ(nullptr, none);
    for (const char *part : {"batches of 16777216 rows need ", " MiB are free", " would fit"})
        EXPECT_TRUE(has(part)) << dk_error_text();
    const std::string text = dk_error_text(), before = "; a batch of ";
    const size_t at = text.find(before);
    ASSERT_NE(std::string::npos, at) << text;
    options.batch = std::atoll(text.c_str() + at + before.size());
    EXPECT_GT(options.batch, 0);
    EXPECT_LT(options.batch, 1 << 24);
    if (!device::is_cpu()) { // there what is free is other programs' affair, too
        for (int64_t factor : {1, 2}) {
            dk_memory_plan plan;
            dk_train_options wanted = options;
            wanted.batch *= factor;
            ASSERT_EQ(DK_OK, dk_plan(context.get(), &net.settings, &wanted, &plan));
            EXPECT_EQ(factor == 1,
                      plan.total - plan.parameters - plan.working_copy <= plan.device_free)
                << wanted.batch << " rows";
        }
    }
    // The CPU's allocator has a limit of its own here. And for a session products of so many rows are
    // timed, which the emulator takes minutes for.
    if (device::is_cpu() || times(context, 0, 1) == 0) options.batch = 16;
    Trainer trainer(net, options);
    Random random(1);
    EXPECT_TRUE(std::isfinite(trainer.step(random_batch(net, 7, random))));
}

/// Bytes in use: the host's by the allocator, the device's by the backend's own count, and what the device
/// says of itself, unless it is the host. That moves on a GPU without our doing: the driver takes memory in
/// blocks of 2 MiB for modules, launches and graphs, keeps some of it for the next ones, and other processes
/// use the GPU, too. 32 blocks are allowed for, which a leak of a third of a MiB in each of 200 trainers
/// exceeds; on the emulated GPU, which has none of that, nothing is.
struct InUse {
    int64_t host = 0, counted = 0, free = 0, others = 0;
    InUse(const Context &context, const Limited &limited) : host(limited.live) {
        dki_backend *backend = context.get()->backend;
        dki_backend_info info{};
        EXPECT_EQ(DK_OK, backend->ops->describe(backend, &info)) << dk_error_text();
        counted = static_cast<int64_t>(info.allocated);
        if (device::is_cpu()) return;
        free = static_cast<int64_t>(info.memory_free);
        others = is_emulated(context) ? 0 : int64_t{64} << 20;
    }
    void expect_same(const InUse &now, const char *what) const {
        EXPECT_EQ(host, now.host) << what;
        EXPECT_EQ(counted, now.counted) << what;
        EXPECT_LE(free - now.free, others) << what;
    }
};

// Breaks where a recording, a plan's trial or a feed outlives its trainer, or a step allocates.
TEST(DeviceMemory, NothingIsLeftBehind) {
    Limited limited;
    const dk_allocator allocator = limited.get();
    Context context(1, DK_FP32, device::name(), &allocator);
    Net net(6, {layer(9, DK_TANH, 0.5f), layer(3, DK_IDENTITY)}, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    net.build(context);
    const Set set(context, net, 70, 5);
    Random random(3);
    const Batch batch = random_batch(net, 8, random);
    const auto use = [&](int steps) {
        Trainer trainer(net, plain_options(8, DK_ADAM, 1e-3));
        trainer.step(batch);
        fit(trainer, set.get(), 1); // several steps a launch, single ones, and a smaller one
        const InUse before(context, limited);
        for (int step = 0; step < steps; ++step) {
            const dk_batch view = batch.view();
            ASSERT_EQ(DK_OK, dk_trainer_step(trainer.get(), &view, nullptr)) << dk_error_text();
        }
        fit(trainer, set.get(), 2);
        before.expect_same(InUse(context, limited), "steps");
    };
    use(0); // what the device loads at its first use stays
    const InUse before(context, limited);
    for (int i = 0; i < times(context, 10, 200); ++i) use(0);
    before.expect_same(InUse(context, limited), "trainers");
    use(times(context, 400, 10000));
    before.expect_same(InUse(context, limited), "a long run");
}

} // namespace

// bf16 on the CPU, beside what the tests of operations and of precisions ask of every backend: the
// primitives and the scratch memory that it keeps, the working copy of the parameters, sessions, and
// the same bits at any number of threads. Skipped where the processor has no bf16 products.
#include "support.h"
#include "support_device.h"

extern "C" {
#include "backend/cpu/matmuls.h"
#include "backend/cpu/scratch.h"
}

#include <set>
#include <thread>

namespace {

using namespace devices;
using networks::Reference;
using networks::reference_of;
using networks::Session;
using operations::Array;
using operations::Device;
using operations::same_bits;

// ---- scratch memory ----------------------------------------------------------------------------

class Scratch : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(DK_OK, dki_scratch_create(&scratch, allocator.get(), 3)); }
    void TearDown() override {
        dki_scratch_destroy(scratch);
        EXPECT_EQ(0, allocator.live_blocks);
    }
    // A block with every byte written, so that a sanitizer sees one that is too short.
    dki_scratch_block take(int place, size_t bytes) {
        const dki_scratch_block block = dki_scratch_take(scratch, place, bytes);
        EXPECT_NE(nullptr, block.memory);
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(block.memory) % 64);
        if (block.memory) memset(block.memory, place, bytes);
        return block;
    }
    support::Allocator allocator;
    dki_scratch *scratch = nullptr;
};

// Breaks where two pieces get one block, or a piece none because all are in use.
TEST_F(Scratch, BlocksInUseAreDifferentOnes) {
    std::vector<dki_scratch_block> blocks;
    std::set<void *> memory;
    for (int i = 0; i < 8; ++i) {
        blocks.push_back(take(i % 2, 1000));
        memory.insert(blocks.back().memory);
    }
    EXPECT_EQ(8u, memory.size());
    for (const dki_scratch_block &block : blocks) dki_scratch_give(scratch, block);
}

// Breaks where each piece allocates, or where a thread gets another's block that is still in that
// one's cache.
TEST_F(Scratch, ABlockIsTheSameAgainAndOnlyGrows) {
    const dki_scratch_block first = take(2, 100), other = take(1, 100);
    EXPECT_EQ(2, first.slot);
    EXPECT_EQ(1, other.slot);
    dki_scratch_give(scratch, first);
    dki_scratch_give(scratch, other);
    const long before = allocator.calls;
    for (size_t bytes : {100, 1, 99}) {
        const dki_scratch_block again = take(2, bytes);
        EXPECT_EQ(first.memory, again.memory);
        dki_scratch_give(scratch, again);
    }
    EXPECT_EQ(before, allocator.calls);
    dki_scratch_give(scratch, take(2, 5000));
    EXPECT_EQ(before + 1, allocator.calls);
    dki_scratch_give(scratch, take(2, 4000));
    EXPECT_EQ(before + 1, allocator.calls);
}

// Breaks where a failure leaves a block taken for good, or one with a wrong size.
TEST_F(Scratch, WithoutMemoryThereIsNoBlockAndLaterThereIs) {
    for (size_t bytes : {10, 1000}) {
        allocator.fail_at = allocator.calls + 1;
        const dki_scratch_block none = dki_scratch_take(scratch, 0, bytes);
        EXPECT_EQ(nullptr, none.memory);
        dki_scratch_give(scratch, none);
        const dki_scratch_block block = take(0, bytes);
        EXPECT_EQ(0, block.slot);
        dki_scratch_give(scratch, block);
    }
}

// ---- primitives --------------------------------------------------------------------------------

class CpuBf16 : public testing::Test {
  protected:
    void SetUp() override {
        if (!device::cpu_has(DK_BF16)) GTEST_SKIP() << "this processor has no bf16 products";
    }
};

// Breaks where a product runs by the primitive of another shape: each field counts.
TEST_F(CpuBf16, EveryShapeHasOnePrimitive) {
    const dki_matmul_shape base = {DKI_PRODUCT_DATA, 16, 16, 16, 32, 32, 32, 0, 0, 1};
    std::vector<dki_matmul_shape> shapes(9, base);
    shapes[1].kind = DKI_PRODUCT_FORWARD;
    shapes[2].rows = 15;
    shapes[3].cols = 15;
    shapes[4].depth = 15;
    shapes[5].lda = 33;
    shapes[6].ldb = 33;
    shapes[7].accumulate = 1;
    shapes[8].narrow = 1;
    dki_matmuls *table = nullptr;
    ASSERT_EQ(DK_OK, dki_matmuls_create(&table, &dki_libc_allocator));
    std::vector<std::vector<const dki_matmul *>> found(4);
    std::vector<std::thread> threads;
    for (std::vector<const dki_matmul *> &mine : found)
        threads.emplace_back([&] {
            for (const dki_matmul_shape &shape : shapes) {
                mine.push_back(nullptr);
                EXPECT_EQ(DK_OK, dki_matmuls_find(table, &shape, &mine.back()));
            }
        });
    for (std::thread &thread : threads) thread.join();
    for (const auto &mine : found) EXPECT_EQ(found[0], mine);
    EXPECT_EQ(shapes.size(), std::set<const dki_matmul *>(found[0].begin(), found[0].end()).size());
    for (size_t i = 0; i < shapes.size(); ++i)
        EXPECT_EQ(0, memcmp(dki_matmul_shape_of(found[0][i]), &shapes[i], sizeof shapes[i]));
    dki_matmuls_destroy(table);
}

// ---- parameters --------------------------------------------------------------------------------

// Breaks where a range begins elsewhere in the working copy, where an element beside it is written,
// or where the copy is of θ before its update.
TEST_F(CpuBf16, UpdateAndCastRoundTheWorkingCopyOfTheirRange) {
    const operations::Backend kind = {"cpu_bf16", operations::open_cpu_bf16};
    Device device(kind);
    Random random(5);
    const int64_t all = 40011, first = 3, count = 40001;
    const Floats theta = random.normal(all), g = random.normal(all);
    for (bool cast : {false, true}) {
        Array<float> parameters(device, theta), gradients(device, g);
        Array<uint16_t> working(device, std::vector<uint16_t>(all, 0x1234));
        const dki_step_state state = operations::state_at(1);
        Array<dki_step_state> states(device, {state});
        dki_update_range update{};
        update.parameters = parameters.data();
        update.gradients = gradients.data();
        update.working = working.data();
        update.range = {first, count};
        update.rule.kind = DK_SGD;
        update.state = states.data();
        const dki_cast copy = {parameters.data(), working.data(), {first, count}};
        ASSERT_EQ(DK_OK, cast ? device.ops->cast(device.backend, DKI_LANE_MAIN, &copy)
                              : device.ops->update(device.backend, DKI_LANE_MAIN, &update));
        const Floats after = parameters.read();
        EXPECT_EQ(cast, same_bits(after, theta));
        const std::vector<uint16_t> rounded = working.read();
        for (int64_t i = 0; i < all; ++i) {
            const auto at = static_cast<size_t>(i);
            const bool inside = i >= first && i < first + count;
            ASSERT_EQ(inside ? dki_bf16_from_float(after[at]) : 0x1234, rounded[at]) << i;
        }
    }
}

// ---- cost --------------------------------------------------------------------------------------

// Breaks where a matrix counts for its fp32 bytes, or what stays fp32 for fewer: 64 rows, 16 → 32.
TEST_F(CpuBf16, CostCountsTwoBytesForWhatIsBf16) {
    Device device({"cpu_bf16", operations::open_cpu_bf16}, 1);
    float place = 0.0f;
    const dki_matrix in = {&place, 64, 16, 16}, w = {&place, 32, 16, 16},
                     out = {&place, 64, 32, 32};
    const auto expect = [&](const dki_operation &operation, double read, double written) {
        dki_cost cost{};
        EXPECT_EQ(DK_OK, device.ops->cost(device.backend, &operation, &cost));
        EXPECT_EQ(read, cost.read);
        EXPECT_EQ(written, cost.written);
    };
    dki_operation o{};
    o.kind = DKI_OPERATION_FORWARD;
    o.as.forward.a_in = in, o.as.forward.w = w, o.as.forward.a_out = out;
    o.as.forward.b = &place; // b is fp32
    expect(o, 2 * (1024 + 512) + 4 * 32, 2 * 2048);
    o = dki_operation{};
    o.kind = DKI_OPERATION_BACKWARD_DATA;
    o.as.backward_data.delta = out, o.as.backward_data.w = w, o.as.backward_data.delta_out = in;
    o.as.backward_data.g.kind = DK_RELU, o.as.backward_data.db = &place; // and so is db
    expect(o, 2 * (2048 + 512 + 1024), 2 * 1024 + 4 * 16);
    o = dki_operation{};
    o.kind = DKI_OPERATION_BACKWARD_PARAMS;
    o.as.backward_params.delta = out, o.as.backward_params.a_in = in; // and dW
    o.as.backward_params.dw = w;
    expect(o, 2 * (2048 + 1024), 4 * 512);
    o = dki_operation{};
    o.kind = DKI_OPERATION_UPDATE;
    o.as.update.range = {0, 1000};
    o.as.update.working = &place;
    expect(o, 8000, 4000 + 2000);
}

// ---- sessions and training ---------------------------------------------------------------------

// A network of more than one tile each way, with a short one at every edge.
Net &build(Net &net, const Context &context) {
    net.settings.loss = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    return net.build(context);
}
const std::vector<dk_layer> layers = {layer(531, DK_GELU), layer(145, DK_RELU, 0.25f),
                                      layer(7, DK_IDENTITY)};

// Breaks where rows of the caller's fp32 go into a[0] as they are.
TEST_F(CpuBf16, SessionsTakeTheCallersRows) {
    Context context(2, DK_BF16);
    Net net(23, layers);
    build(net, context);
    Random random(8);
    const Batch batch = random_batch(net, 133, random);
    const Reference reference(reference_of(net, batch), nullptr, dki_ref_precision_of(DK_BF16));
    Session session(net, 200);
    reference.expect_loss(session.gradients(batch), "gradients");
    reference.expect_session(session.get(), net, "gradients");
    Floats y(133 * 7);
    ASSERT_EQ(DK_OK, dk_session_forward(session.get(), batch.x.data(), 133, y.data()));
    operations::expect_within(y, reference.value(DK_A, 3), reference.bound(DK_A, 3), "forward");
}

// Breaks with a cut, or a sum, that depends on the number of threads; 133 rows in batches of 40 have a
// shorter one at the end.
TEST_F(CpuBf16, TrainingGivesTheSameBitsOnAnyNumberOfThreads) {
    Floats one;
    for (int threads : {1, 2, 5}) {
        Context context(threads, DK_BF16);
        Net net(23, layers);
        build(net, context);
        const Set set(context, net, 133, 6);
        Trainer trainer(net, plain_options(40, DK_ADAMW, 1e-3));
        const Floats before = net.parameters();
        fit(trainer, set.get(), 3);
        const Floats after = net.parameters();
        EXPECT_FALSE(same_bits(before, after));
        if (one.empty()) one = after;
        EXPECT_TRUE(same_bits(one, after)) << threads << " threads";
    }
}

// Breaks where callers share a block of scratch, or a primitive's state: each predicts what it
// predicts alone.
TEST_F(CpuBf16, SeveralThreadsPredictAtATime) {
    enum { CALLERS = 12 }; // more than there are blocks for
    Context context(2, DK_BF16);
    Net net(23, layers);
    build(net, context);
    Random random(2);
    const Floats x = random.normal(133 * 23);
    Floats alone(133 * 7);
    Session session(net, 133, DK_SESSION_INFERENCE);
    ASSERT_EQ(DK_OK, dk_session_forward(session.get(), x.data(), 133, alone.data()));
    std::vector<std::thread> threads;
    std::vector<Floats> results(CALLERS, Floats(alone.size()));
    for (Floats &y : results)
        threads.emplace_back([&] {
            Session mine(net, 133, DK_SESSION_INFERENCE);
            for (int i = 0; i < 5; ++i)
                EXPECT_EQ(DK_OK, dk_session_forward(mine.get(), x.data(), 133, y.data()));
        });
    for (std::thread &thread : threads) thread.join();
    for (const Floats &y : results) EXPECT_TRUE(same_bits(alone, y));
}

// ---- memory ------------------------------------------------------------------------------------

// Breaks with primitives or scratch made anew: a step that has been done before allocates nothing. The
// first one makes no primitives (some 50 allocations), only the scratch of one thread, which may grow
// once for each of the 10 operations that need some.
TEST_F(CpuBf16, AStepThatRepeatsAllocatesNothing) {
    support::Allocator allocator;
    Context context(1, DK_BF16, "cpu", allocator.get());
    Net net(23, layers);
    build(net, context);
    Random random(3);
    const Batch batch = random_batch(net, 133, random);
    Trainer trainer(net, plain_options(133, DK_ADAM, 1e-3));
    const long before = allocator.calls;
    trainer.step(batch);
    const long after = allocator.calls;
    EXPECT_LE(after - before, 10);
    trainer.step(batch);
    EXPECT_EQ(after, allocator.calls);
}

// Breaks with a leak, or with a failure that isn't told: memory that runs out anywhere between the
// opening of the device and the end of a step.
TEST_F(CpuBf16, MemoryThatRunsOutIsAnError) {
    const dk_layer small[] = {layer(9, DK_TANH), layer(3, DK_IDENTITY)};
    const Floats x(5 * 4, 0.5f), y(5 * 3, 0.25f);
    const long allocations = support::fail_each_allocation([&](const dk_allocator *allocator) {
        dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
        dk_context *context = nullptr;
        dk_net *net = nullptr;
        dk_trainer *trainer = nullptr;
        dk_net_desc desc = DK_NET_DESC_INIT;
        dk_batch batch = DK_BATCH_INIT;
        const dk_train_options training = plain_options(5);
        double loss = 0.0;
        options.device = "cpu";
        options.threads = 1;
        options.precision = DK_BF16;
        options.allocator = *allocator;
        desc.inputs = 4;
        desc.layers = small;
        desc.layer_count = 2;
        batch.rows = 5;
        batch.x = x.data();
        batch.targets = y.data();
        dk_status status = dk_context_create(&context, &options);
        if (!status) status = dk_net_create(&net, context, &desc);
        if (!status) status = dk_trainer_create(&trainer, net, &training);
        if (!status) status = dk_trainer_step(trainer, &batch, &loss);
        dk_trainer_destroy(trainer);
        dk_net_destroy(net);
        dk_context_destroy(context);
        return status;
    });
    EXPECT_GT(allocations, 20);
}

} // namespace

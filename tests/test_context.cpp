// Contexts: what is refused and by which text, whose memory is used, how long things live, what the
// log and the error text do between threads.
#include "device.h"
#include "support.h"
#include "support_net.h"

extern "C" {
#include "model/context.h"
}

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

namespace {

using support::open_context;

dk_status create(const dk_context_options &options, support::Context *made = nullptr) {
    dk_context *context = reinterpret_cast<dk_context *>(16); // so that NULL is seen to be written
    dk_status status = dk_context_create(&context, &options);
    EXPECT_EQ(context == nullptr, status != DK_OK);
    if (made)
        made->reset(context);
    else
        dk_context_destroy(context);
    return status;
}

dk_context_options on(const char *device) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = device;
    return options;
}

TEST(Context, OpensTheCpuByItsNameByAutoAndByNothing) {
    support::Context context;
    ASSERT_EQ(create(on("cpu"), &context), DK_OK) << dk_error_text();
    dk_context_info info;
    ASSERT_EQ(dk_context_describe(context.get(), &info), DK_OK);
    EXPECT_STREQ(info.device, "cpu");
    EXPECT_EQ(create(on("auto")), DK_OK) << dk_error_text();
    EXPECT_EQ(create(on(nullptr)), DK_OK) << dk_error_text();
    dk_context *by_default = nullptr;
    EXPECT_EQ(dk_context_create(&by_default, nullptr), DK_OK) << dk_error_text();
    dk_context_destroy(by_default);
    dk_context_destroy(nullptr);
}

TEST(Context, SaysWhatIsMissingForACudaDevice) {
    for (const char *device : {"cuda", "cuda:0", "cuda:4095"}) {
        dk_status status = create(on(device));
        if (status == DK_OK) continue; // there is such a GPU
        EXPECT_EQ(status, DK_E_DEVICE) << device;
        support::expect_error_names(device);
    }
}

TEST(Context, RefusesDevicesThatDoNotExist) {
    for (const char *device : {"", "gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda: 1",
                               "cuda:1x", "cuda0", "auto "}) {
        EXPECT_EQ(create(on(device)), DK_E_ARGUMENT) << device;
        support::expect_error_names("\"" + std::string(device) + "\"");
    }
}

TEST(Context, RefusesPrecisionsThatTheCpuLacks) {
    dk_context_options options = on("cpu");
    for (dk_precision precision : {DK_TF32, DK_BF16, DK_FP16}) {
        if (device::cpu_has(precision)) continue;
        options.precision = precision;
        EXPECT_EQ(create(options), DK_E_UNSUPPORTED);
        support::expect_error_names("fp32");
    }
    for (int number : {-1, 4, 1000}) {
        options.precision = static_cast<dk_precision>(number);
        EXPECT_EQ(create(options), DK_E_ARGUMENT);
        support::expect_error_names(std::to_string(number));
    }
}

TEST(Context, TakesZeroTo4096Threads) {
    dk_context_options options = on("cpu");
    for (int threads : {1, 2, 3, 4096}) {
        options.threads = threads;
        support::Context context;
        ASSERT_EQ(create(options, &context), DK_OK) << dk_error_text();
        dk_context_info info;
        ASSERT_EQ(dk_context_describe(context.get(), &info), DK_OK);
        EXPECT_EQ(info.threads, threads);
    }
    for (int threads : {-1, 4097, INT32_MIN, INT32_MAX}) {
        options.threads = threads;
        EXPECT_EQ(create(options), DK_E_ARGUMENT);
        support::expect_error_names(std::to_string(threads));
    }
    options.threads = 0;
    support::Context context;
    ASSERT_EQ(create(options, &context), DK_OK);
    dk_context_info info;
    ASSERT_EQ(dk_context_describe(context.get(), &info), DK_OK);
    EXPECT_GE(info.threads, 1);
}

TEST(Context, RefusesAnotherStructureSize) {
    for (size_t size :
         {size_t{0}, sizeof(dk_context_options) - 1, sizeof(dk_context_options) + 8}) {
        dk_context_options options = on("cpu");
        options.size = size;
        EXPECT_EQ(create(options), DK_E_ARGUMENT);
        support::expect_error_names(std::to_string(size));
        support::expect_error_names("DK_CONTEXT_OPTIONS_INIT");
    }
    EXPECT_EQ(dk_context_create(nullptr, nullptr), DK_E_ARGUMENT);
}

TEST(Context, RefusesHalfAnAllocator) {
    support::Allocator allocator;
    dk_context_options options = on("cpu");
    options.allocator.alloc = allocator.hooks.alloc;
    EXPECT_EQ(create(options), DK_E_ARGUMENT);
    options.allocator = {nullptr, allocator.hooks.release, nullptr};
    EXPECT_EQ(create(options), DK_E_ARGUMENT);
}

TEST(Context, DescribesItself) {
    support::Context context = open_context(2);
    dk_context_info info;
    ASSERT_EQ(dk_context_describe(context.get(), &info), DK_OK);
    for (const char *text : {info.device, info.device_name, info.library, info.kernel, info.vector})
        EXPECT_TRUE(text && *text);
    EXPECT_EQ(info.threads, 2);
    EXPECT_EQ(info.precision, DK_FP32);
    EXPECT_GT(info.memory_free, 0u);
    EXPECT_GT(info.memory_total, info.memory_free);
    EXPECT_EQ(dk_context_describe(nullptr, &info), DK_E_ARGUMENT);
    EXPECT_EQ(dk_context_describe(context.get(), nullptr), DK_E_ARGUMENT);
}

// ---- memory ------------------------------------------------------------------------------------

// Gives memory that is aligned exactly as asked for and no better, and checks what comes back.
class StrictAllocator {
  public:
    dk_allocator hooks{&alloc, &release, this};
    ~StrictAllocator() { EXPECT_TRUE(blocks_.empty()) << blocks_.size() << " blocks are left"; }
    size_t allocations = 0, releases = 0, live_bytes = 0;

  private:
    static void *alloc(void *user, size_t bytes, size_t alignment) {
        auto *self = static_cast<StrictAllocator *>(user);
        std::lock_guard<std::mutex> lock(self->mutex_);
        EXPECT_TRUE(alignment >= 1 && alignment <= 256 && (alignment & (alignment - 1)) == 0)
            << alignment;
        void *start = nullptr;
        if (posix_memalign(&start, 2 * alignment, bytes + alignment) != 0) return nullptr;
        char *memory = static_cast<char *>(start) + alignment; // an odd multiple
        std::memset(memory, 0xa5, bytes);
        self->blocks_[memory] = {start, bytes};
        self->live_bytes += bytes;
        ++self->allocations;
        return memory;
    }
    static void release(void *user, void *memory, size_t bytes) {
        auto *self = static_cast<StrictAllocator *>(user);
        std::lock_guard<std::mutex> lock(self->mutex_);
        auto found = self->blocks_.find(memory);
        if (found == self->blocks_.end()) {
            ADD_FAILURE() << "released what was never allocated";
            return;
        }
        EXPECT_EQ(found->second.second, bytes);
        free(found->second.first);
        self->live_bytes -= bytes;
        ++self->releases;
        self->blocks_.erase(found);
    }
    std::mutex mutex_;
    std::map<void *, std::pair<void *, size_t>> blocks_;
};

TEST(ContextAllocator, ServesEverythingAndGetsEverythingBack) {
    StrictAllocator allocator;
    {
        support::Context context = open_context(2, &allocator.hooks);
        EXPECT_GT(allocator.allocations, 0u);
        size_t before = allocator.live_bytes;
        support::Dataset data = support::synth(context.get(), "synth:spirals", 200);
        // 200 rows of two floats, and a label each
        EXPECT_GE(allocator.live_bytes - before, 200 * (2 * sizeof(float) + sizeof(int32_t)));
        auto [train, test] = support::split(data.get(), 0.25);
        support::Net net = support::net_for(train.get(), {17, 9});
        dk_net_desc desc;
        ASSERT_EQ(dk_net_describe(net.get(), &desc), DK_OK);
        dk_memory_plan plan;
        ASSERT_EQ(dk_plan(context.get(), &desc, nullptr, &plan), DK_OK) << dk_error_text();
        before = allocator.live_bytes;
        support::Trainer trainer = support::trainer(net.get());
        // what is planned beyond the network's own parameters comes from the hooks, too
        EXPECT_GE(allocator.live_bytes - before, plan.total - plan.parameters);
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.epochs = 2;
        fit.restore_best = true;
        ASSERT_EQ(dk_trainer_fit(trainer.get(), train.get(), test.get(), &fit, nullptr), DK_OK)
            << dk_error_text();
        dk_metrics metrics;
        ASSERT_EQ(dk_evaluate(net.get(), test.get(), 7, &metrics), DK_OK);
        support::predictions(net.get(), test.get());
    }
    EXPECT_EQ(allocator.allocations, allocator.releases);
    EXPECT_EQ(allocator.live_bytes, 0u);
}

// ---- lives -------------------------------------------------------------------------------------

TEST(ContextLife, EndsWithTheLastObjectInWhicheverOrderTheyAreDestroyed) {
    enum { CONTEXT, DATA, PART, NET, TRAINER, SESSION, COUNT };
    std::array<int, COUNT> order;
    std::iota(order.begin(), order.end(), 0);
    do {
        support::Allocator allocator;
        support::Context context = open_context(1, allocator.get());
        support::Dataset data = support::synth(context.get(), "synth:spirals", 12);
        auto [rest, part] = support::split(data.get(), 0.5);
        rest.reset();
        support::Net net = support::net_for(data.get(), {2});
        dk_train_options options = DK_TRAIN_OPTIONS_INIT;
        options.batch = 4;
        support::Trainer trainer = support::trainer(net.get(), options);
        dk_session *made = nullptr;
        ASSERT_EQ(dk_session_create(&made, net.get(), 4, DK_SESSION_GRADIENTS), DK_OK);
        support::Session session(made);
        for (int i = 0; i < COUNT; ++i) {
            ASSERT_GT(allocator.live_blocks, 0);
            switch (order[static_cast<size_t>(i)]) {
            case CONTEXT:
                context.reset();
                break;
            case DATA:
                data.reset();
                break;
            case PART:
                part.reset();
                break;
            case NET:
                net.reset();
                break;
            case TRAINER:
                trainer.reset();
                break;
            case SESSION:
                session.reset();
                break;
            }
        }
        ASSERT_EQ(allocator.live_blocks, 0);
        ASSERT_EQ(allocator.live_bytes, 0);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST(ContextLife, WhatDependsOnDestroyedObjectsGoesOnWorking) {
    support::Context context = open_context();
    support::Dataset data = support::synth(context.get(), "synth:spirals", 60);
    auto [train, test] = support::split(data.get(), 0.5);
    support::Net net = support::net_for(data.get(), {8});
    support::Trainer trainer = support::trainer(net.get());
    dk_session *made = nullptr;
    ASSERT_EQ(dk_session_create(&made, net.get(), 4, DK_SESSION_INFERENCE), DK_OK);
    support::Session session(made);
    context.reset();
    data.reset();
    net.reset();
    EXPECT_EQ(dk_trainer_fit(trainer.get(), train.get(), test.get(), nullptr, nullptr), DK_OK)
        << dk_error_text();
    trainer.reset();
    train.reset();
    const float x[2] = {0.5f, -0.25f};
    float y[3];
    EXPECT_EQ(dk_session_forward(session.get(), x, 1, y), DK_OK) << dk_error_text();
}

TEST(ContextLife, DestroyingNothingDoesNothing) {
    dk_net_destroy(nullptr);
    dk_trainer_destroy(nullptr);
    dk_session_destroy(nullptr);
    dk_dataset_destroy(nullptr);
    EXPECT_EQ(dk_net_parameter_count(nullptr), 0);
    EXPECT_EQ(dk_trainer_steps(nullptr), 0);
    EXPECT_EQ(dk_trainer_session(nullptr), nullptr);
    EXPECT_EQ(dk_net_class_name(nullptr, 0), nullptr);
}

// ---- log and error text ------------------------------------------------------------------------

struct Lines {
    std::atomic<int> inside{0};
    std::vector<std::pair<dk_log_level, std::string>> lines;
    static void write(void *user, dk_log_level level, const char *line) {
        auto *self = static_cast<Lines *>(user);
        EXPECT_EQ(++self->inside, 1) << "two threads at once";
        self->lines.emplace_back(level, line);
        --self->inside;
    }
};

TEST(ContextLog, WritesWholeLinesUpToItsLevelOneThreadAtATime) {
    Lines log;
    dk_context_options options = on("cpu");
    options.log = &Lines::write;
    options.log_user = &log;
    options.log_level = DK_LOG_INFO;
    support::Context context;
    ASSERT_EQ(create(options, &context), DK_OK) << dk_error_text();
    log.lines.clear(); // opening may have warned
    dki_log_line(&context->log, DK_LOG_DEBUG, "not wanted");
    std::thread other([&] {
        for (int i = 0; i < 500; ++i) dki_log_line(&context->log, DK_LOG_INFO, "line %d", i);
    });
    for (int i = 0; i < 500; ++i) dki_log_line(&context->log, DK_LOG_ERROR, "line %d", i);
    other.join();
    ASSERT_EQ(log.lines.size(), 1000u);
    int next[2] = {0, 0};
    for (const auto &[level, line] : log.lines) {
        ASSERT_TRUE(level == DK_LOG_INFO || level == DK_LOG_ERROR);
        EXPECT_EQ(line, "line " + std::to_string(next[level == DK_LOG_INFO]++));
    }
}

TEST(ContextLog, IsSilentWithoutACallback) {
    support::Context context = open_context();
    dki_log_line(&context->log, DK_LOG_ERROR, "nobody listens");
}

TEST(ErrorText, BelongsToTheThreadThatFailed) {
    EXPECT_EQ(create(on("first")), DK_E_ARGUMENT);
    std::string before = "unset", after;
    std::thread other([&] {
        before = dk_error_text();
        EXPECT_EQ(create(on("second")), DK_E_ARGUMENT);
        after = dk_error_text();
    });
    other.join();
    EXPECT_EQ(before, "");
    EXPECT_NE(after.find("second"), std::string::npos) << after;
    support::expect_error_names("first");
}

TEST(ErrorText, StaysAfterASuccess) {
    EXPECT_EQ(create(on("abacus")), DK_E_ARGUMENT);
    EXPECT_EQ(create(on("cpu")), DK_OK);
    support::expect_error_names("abacus");
}

} // namespace

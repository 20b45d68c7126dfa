// What threads may do at once, and what is refused; run under ThreadSanitizer as well (.ci/run threads).
#include "support.h"
#include "support_net.h"
#include "support_promise.h"

extern "C" {
#include "model/net.h"
}

#include <atomic>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace {

using support::layer;

const char *const PROMISE = "Threads";

/// Classes with names, and on the CPU enough rows and columns for several pieces of every operation;
/// kernels thread by thread take their time.
support::Dataset classes(dk_context *context, uint64_t seed) {
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.rows = device::is_cpu() ? 600 : 80;
    options.seed = seed;
    return support::open(context, device::is_cpu() ? "builtin:digits" : "synth:spirals", options);
}

/// A training of its own: with validation, dropout and what else a run has. Returns the bits.
std::vector<uint32_t> train(const dk_dataset *set, uint64_t seed) {
    const auto [rest, part] = support::split(set, 0.25, seed);
    dk_net *made = nullptr;
    const int64_t wide[] = {256, 128}, small[] = {17, 9}, *hidden = device::is_cpu() ? wide : small;
    EXPECT_EQ(DK_OK,
              dk_net_create_for(&made, rest.get(), hidden, 2, seed % 2 ? DK_GELU : DK_RELU, seed))
        << dk_error_text();
    const support::Net net(made);
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = device::is_cpu() ? 128 : 16;
    options.seed = seed;
    options.optimizer = seed % 2 ? DK_ADAMW : DK_SGD;
    options.lr = 0.01;
    const support::Trainer trainer = support::trainer(net.get(), options);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 3;
    fit.restore_best = true;
    EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), rest.get(), part.get(), &fit, nullptr))
        << dk_error_text();
    return support::parameter_bits(net.get());
}

/// Runs `work(0)` … `work(count − 1)` on a thread each, from one start.
template <class Work> void at_once(int count, const Work &work) {
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            ++ready;
            while (ready < count) std::this_thread::yield();
            work(i);
        });
    for (std::thread &thread : threads) thread.join();
}

} // namespace

// Breaks where contexts share anything that is written.
TEST(Threads, ContextsTrainAtOnceWithTheBitsOfEachAlone) {
    const int count = 2, rounds = device::is_cpu() ? 3 : 1;
    const auto run = [](int i) {
        const support::Context context = support::open_repeatable(2);
        const support::Dataset set = classes(context.get(), static_cast<uint64_t>(1 + i));
        return train(set.get(), static_cast<uint64_t>(1 + i));
    };
    std::vector<std::vector<uint32_t>> alone(count), together(count);
    for (int i = 0; i < count; ++i) alone[i] = run(i);
    for (int round = 0; round < rounds; ++round) {
        at_once(count, [&](int i) { together[i] = run(i); });
        EXPECT_EQ(alone, together);
    }
    support::promise(PROMISE, "trainings in contexts of their own at once, bit-equal",
                     count * rounds);
}

// Breaks where two users of one backend meet in its scratch, its pool, its plans or its lanes.
TEST(Threads, NetworksOfOneContextTrainAtOnceWithTheBitsOfEachAlone) {
    const int count = 3, rounds = device::is_cpu() ? 3 : 1;
    const support::Context context = support::open_context(2);
    const support::Dataset set = classes(context.get(), 1);
    std::vector<std::vector<uint32_t>> alone(count), together(count);
    const auto run = [&](int i) { return train(set.get(), static_cast<uint64_t>(1 + i)); };
    for (int i = 0; i < count; ++i) alone[i] = run(i);
    for (int round = 0; round < rounds; ++round) {
        at_once(count, [&](int i) { together[i] = run(i); });
        EXPECT_EQ(alone, together);
    }
    support::promise(PROMISE, "trainings in one context at once, bit-equal", count * rounds);
}

namespace {

/// A network in training, and a batch for it.
struct Training {
    explicit Training(support::Context own = support::open_context(2)) : context(std::move(own)) {}
    support::Context context;
    support::Dataset set = classes(context.get(), 1);
    support::Net net = support::net_for(set.get(), {17, 9});
    support::Trainer trainer = support::trainer(net.get(), options());
    std::vector<float> x = std::vector<float>(16 * 64, 0.5f);
    std::vector<int32_t> labels = std::vector<int32_t>(16, 1);

    static dk_train_options options() {
        dk_train_options options = DK_TRAIN_OPTIONS_INIT;
        options.batch = 16;
        options.schedule = DK_SCHEDULE_CONSTANT;
        options.warmup = 0.0;
        return options;
    }
    int64_t steps() const { // of an epoch
        dk_dataset_info info{};
        EXPECT_EQ(DK_OK, dk_dataset_describe(set.get(), &info));
        return (info.rows + 15) / 16;
    }
    dk_status step() {
        dk_batch batch = DK_BATCH_INIT;
        batch.rows = 16;
        batch.x = x.data();
        batch.labels = labels.data();
        double loss = 0.0;
        return dk_trainer_step(trainer.get(), &batch, &loss);
    }
};

/// What the trainer refuses while its fit hasn't returned, and what may be done with its network.
void expect_one_call_at_a_time(Training &t) {
    EXPECT_EQ(DK_E_STATE, t.step());
    support::expect_error_names("in use");
    EXPECT_EQ(DK_E_STATE, dk_trainer_fit(t.trainer.get(), t.set.get(), nullptr, nullptr, nullptr));
    EXPECT_EQ(DK_E_STATE, dk_trainer_save(t.trainer.get(), "/nonexistent/file"));
    dk_metrics metrics;
    EXPECT_EQ(DK_OK, dk_evaluate(t.net.get(), t.set.get(), 0, &metrics)) << dk_error_text();
    const std::vector<float> w = support::tensor(t.net.get(), DK_WEIGHT, 1);
    EXPECT_EQ(DK_OK, dk_net_set(t.net.get(), DK_WEIGHT, 1, w.data(), w.size())) << dk_error_text();
    std::vector<float> db(17);
    EXPECT_EQ(DK_OK, dk_session_read(dk_trainer_session(t.trainer.get()), DK_BIAS_GRAD, 1,
                                     db.data(), db.size()))
        << dk_error_text();
}

} // namespace

// Breaks where a second call gets into a trainer: another thread's, or one of a callback.
TEST(Threads, ATrainerRefusesASecondCall) {
    Training t;
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 1;
    fit.progress_user = &t;
    fit.progress = [](void *user, const dk_progress *progress) {
        if (progress->epoch_end) return 0;
        auto &training = *static_cast<Training *>(user);
        expect_one_call_at_a_time(training);
        std::thread([&] { expect_one_call_at_a_time(training); }).join();
        return 0;
    };
    ASSERT_EQ(DK_OK, dk_trainer_fit(t.trainer.get(), t.set.get(), nullptr, &fit, nullptr))
        << dk_error_text();
    EXPECT_EQ(DK_OK, t.step()) << dk_error_text();
}

// Three threads step one trainer: each call is a whole step or none.
TEST(Threads, StepsOfOneTrainerAreTakenOrRefused) {
    Training t;
    std::atomic<int64_t> taken{0}, refused{0};
    const int calls = device::is_cpu() ? 300 : 10;
    at_once(3, [&](int) {
        for (int i = 0; i < calls; ++i) {
            const dk_status status = t.step();
            ASSERT_TRUE(status == DK_OK || status == DK_E_STATE) << dk_error_text();
            ++(status == DK_OK ? taken : refused);
        }
    });
    EXPECT_EQ(3 * calls, taken + refused);
    EXPECT_EQ(taken, dk_trainer_steps(t.trainer.get()));
    EXPECT_EQ(DK_OK, t.step()) << dk_error_text();
    support::promise(PROMISE, "steps of one trainer by three threads at once", 3 * calls);
}

// One thread trains a network while others evaluate, predict, read, write and freeze it: they take turns.
TEST(Threads, ANetworkIsReadAndWrittenInTurns) {
    Training t;
    std::atomic<bool> over{false};
    std::atomic<int64_t> uses{0};
    dk_predictor *made = nullptr;
    ASSERT_EQ(DK_OK, dk_predictor_create(&made, t.net.get(), 8)) << dk_error_text();
    const support::Predictor predictor(made); // one for both
    std::thread trains([&] {
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.epochs = device::is_cpu() ? 20 : 1;
        EXPECT_EQ(DK_OK, dk_trainer_fit(t.trainer.get(), t.set.get(), nullptr, &fit, nullptr))
            << dk_error_text();
        over = true;
    });
    at_once(2, [&](int i) {
        std::vector<float> values(17), y(16 * 10);
        do {
            dk_metrics metrics;
            EXPECT_EQ(DK_OK, dk_evaluate(t.net.get(), t.set.get(), 0, &metrics));
            EXPECT_EQ(DK_OK, dk_predict(t.net.get(), t.x.data(), 16, y.data()));
            EXPECT_EQ(DK_OK, dk_predictor_run(predictor.get(), t.x.data(), 16, y.data()));
            EXPECT_EQ(DK_OK, dk_net_get(t.net.get(), DK_BIAS, 1, values.data(), 17));
            EXPECT_EQ(DK_OK, dk_net_set(t.net.get(), DK_BIAS, 1, values.data(), 17));
            EXPECT_EQ(DK_OK, i ? dk_net_learn_preprocessing(t.net.get(), t.set.get())
                               : dk_net_freeze(t.net.get(), 2, uses % 2 == 0));
            ++uses;
        } while (!over);
    });
    trains.join();
    support::promise(PROMISE, "rounds of reading and writing a network while it is trained", uses);
}

namespace {

/// Memory whose first user after `halt` waits for `resume`.
struct HaltingMemory {
    std::atomic<bool> halting{false}, halted{false};
    dk_allocator hooks{&alloc, &release, this};

    static void *alloc(void *user, size_t bytes, size_t alignment) {
        auto *self = static_cast<HaltingMemory *>(user);
        if (self->halting && !self->halted.exchange(true))
            while (self->halting) std::this_thread::yield();
        return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    }
    static void release(void *, void *memory, size_t) { std::free(memory); }
};

/// Until so many threads wait to write the network, and to read it; or until `over`.
void wait_for_queue(dk_net *net, uint64_t writers, int readers, const std::atomic<bool> &over) {
    for (bool queued = false; !queued && !over; std::this_thread::yield()) {
        pthread_mutex_lock(&net->lock.mutex);
        queued = net->lock.writers - net->lock.first_writer == writers &&
                 net->lock.waiting_readers == readers;
        pthread_mutex_unlock(&net->lock.mutex);
    }
}

} // namespace

// While one thread reads a network (it is halted as it saves it), a step comes, and then another reader: it
// sees what the step leaves. Breaks where readers pass a step that waits.
TEST(Threads, AReaderThatComesAfterAStepSeesWhatTheStepLeaves) {
    if (!device::is_cpu()) GTEST_SKIP() << "the order is the same on every device";
    HaltingMemory memory;
    Training t(support::open_context(2, &memory.hooks));
    std::vector<float> before(17), after(17);
    ASSERT_EQ(DK_OK, dk_net_get(t.net.get(), DK_BIAS, 1, before.data(), 17));
    std::atomic<bool> stepped{false}, read{false};
    memory.halting = true;
    std::thread saves([&] { dk_net_save(t.net.get(), "/nonexistent/folder/file"); });
    while (!memory.halted) std::this_thread::yield();
    std::thread steps([&] {
        EXPECT_EQ(DK_OK, t.step()) << dk_error_text();
        stepped = true;
    });
    wait_for_queue(t.net.get(), 1, 0, stepped);
    std::thread reads([&] {
        EXPECT_EQ(DK_OK, dk_net_get(t.net.get(), DK_BIAS, 1, after.data(), 17));
        read = true;
    });
    wait_for_queue(t.net.get(), 1, 1, read);
    memory.halting = false;
    for (std::thread *thread : {&saves, &steps, &reads}) thread->join();
    EXPECT_NE(before, after);
    EXPECT_EQ(after, support::tensor(t.net.get(), DK_BIAS, 1));
}

// Up to 16 threads do nothing but read a network while it is trained: neither side waits for the other to
// end. A step waits for one read of each of them. While the trainer is outside of the lock they read as
// often as they can: where threads outnumber cores, the system may give each some milliseconds before the
// trainer, or its loader, is back on one. Hence a read of 1000 rows, of which these are tens; and readers
// give up after as many as a step can't have met if they are let in once for each.
TEST(Threads, ATrainingAndItsReadersAllGoOn) {
    if (!device::is_cpu()) GTEST_SKIP() << "the order is the same on every device";
    const int64_t rows = 1000, reads_a_step = 1000;
    for (const int readers : {1, 2, 4, 16}) {
        Training t;
        const std::vector<float> x(rows * 64, 0.5f);
        std::vector<std::atomic<int64_t>> reads(readers);
        std::atomic<int> reading{0};
        std::atomic<bool> over{false};
        std::vector<std::thread> threads;
        for (int i = 0; i < readers; ++i)
            threads.emplace_back([&, i] {
                dk_session *made = nullptr;
                ASSERT_EQ(DK_OK, dk_session_create(&made, t.net.get(), rows, DK_SESSION_INFERENCE));
                const support::Session session(made);
                ++reading;
                for (; !over && reads[i] < reads_a_step * t.steps(); ++reads[i])
                    EXPECT_EQ(DK_OK, dk_session_forward(session.get(), x.data(), rows, nullptr));
            });
        while (reading < readers) std::this_thread::yield();
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.epochs = 1;
        EXPECT_EQ(DK_OK, dk_trainer_fit(t.trainer.get(), t.set.get(), nullptr, &fit, nullptr))
            << dk_error_text();
        for (const auto &count : reads)
            EXPECT_LT(count, reads_a_step * t.steps())
                << "the training waited for the readers to end";
        over = true;
        for (std::thread &thread : threads) thread.join();
        for (const auto &count : reads) EXPECT_GT(count, 0) << "a reader waited for ever";
        EXPECT_EQ(t.steps(), dk_trainer_steps(t.trainer.get()));
        support::promise(PROMISE, "steps beside 1 to 16 threads that only read", t.steps());
    }
}

// Breaks where two threads' batches meet in one session.
TEST(Threads, ASessionRunsOrRefuses) {
    const support::Context context = support::open_context(2);
    const support::Net net = support::net(
        context.get(), support::Description(4, {layer(33, DK_TANH), layer(2, DK_IDENTITY)}));
    dk_session *made = nullptr;
    ASSERT_EQ(DK_OK, dk_session_create(&made, net.get(), 8, DK_SESSION_GRADIENTS));
    const support::Session session(made);
    std::vector<std::vector<float>> x, expected(3, std::vector<float>(16));
    for (uint32_t i = 0; i < 3; ++i) {
        x.push_back(support::normal(32, i));
        ASSERT_EQ(DK_OK, dk_session_forward(session.get(), x[i].data(), 8, expected[i].data()));
    }
    std::atomic<int64_t> ran{0};
    at_once(3, [&](int i) {
        std::vector<float> y(16);
        for (int call = 0; call < (device::is_cpu() ? 500 : 10); ++call) {
            const dk_status status = dk_session_forward(session.get(), x[i].data(), 8, y.data());
            ASSERT_TRUE(status == DK_OK || status == DK_E_STATE) << dk_error_text();
            EXPECT_TRUE(status != DK_OK || expected[i] == y);
            ran += status == DK_OK;
        }
    });
    EXPECT_GE(ran, 1);
}

// ThreadSanitizer starts no threads in the child of a process that has some.
#if defined(__SANITIZE_THREAD__)
#define WATCHED_BY_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED_BY_TSAN 1
#endif
#endif

#if !defined(WATCHED_BY_TSAN)
// Breaks where a child waits for threads, or takes locks, that stayed in the parent.
TEST(Threads, AForkedChildTrainsInAContextOfItsOwnOnTheCpu) {
    const auto run = [] {
        const support::Context context = support::open_context(2);
        const support::Dataset set = classes(context.get(), 1);
        return train(set.get(), 1);
    };
    const support::Context context =
        support::open_context(2); // alive, and its threads, as it forks
    const support::Dataset set = classes(context.get(), 1);
    const std::vector<uint32_t> before = train(set.get(), 1);
    const int children = 3;
    for (int i = 0; i < children; ++i) {
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            alarm(240); // a child that hangs is a failure, too
            _exit(run() == before ? 0 : 1);
        }
        int status = 0;
        ASSERT_EQ(child, waitpid(child, &status, 0));
        EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
        EXPECT_EQ(0, WEXITSTATUS(status)) << "other bits";
        EXPECT_EQ(before, train(set.get(), 1)) << "of the parent, afterwards";
    }
    support::promise(PROMISE, "trainings in children of a process that trains", children);
}
#endif

// The lock of a network: readers at once, writers alone, and a bound to how long each waits.
#include "support.h"
#include "support_extent.h"
#include "support_net.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

extern "C" {
#include "base/fair_lock.h"
}

namespace {

/// Whether `condition` comes true within a minute, by far more than any of these waits for.
template <class Condition> bool soon(const Condition &condition) {
    for (int i = 0; i < 60000 && !condition(); i++)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return condition();
}

struct Lock {
    dki_fair_lock lock;
    Lock() { dki_fair_lock_init(&lock); }
    ~Lock() { dki_fair_lock_destroy(&lock); }

    int waiting_readers() {
        pthread_mutex_lock(&lock.mutex);
        const int count = lock.waiting_readers;
        pthread_mutex_unlock(&lock.mutex);
        return count;
    }
    uint64_t waiting_writers() {
        pthread_mutex_lock(&lock.mutex);
        const uint64_t count = lock.writers - lock.first_writer;
        pthread_mutex_unlock(&lock.mutex);
        return count;
    }
};

} // namespace

// Breaks where a reader keeps another one out.
TEST(FairLock, ReadersAreInsideTogether) {
    Lock lock;
    std::atomic<int> inside{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 4; i++)
        readers.emplace_back([&] {
            dki_fair_lock_read(&lock.lock);
            ++inside;
            EXPECT_TRUE(soon([&] { return inside == 4; }));
            dki_fair_unlock(&lock.lock);
        });
    for (std::thread &reader : readers) reader.join();
}

// The order of turns where all of them are known to wait: writers as they came, and between two of them
// the readers that waited, all at once. Breaks where readers, or writers, are preferred.
TEST(FairLock, WaitingReadersGoBetweenTwoWriters) {
    Lock lock;
    std::mutex of_order;
    std::string order;
    const auto note = [&](char who) {
        const std::lock_guard<std::mutex> hold(of_order);
        order += who;
    };
    const auto write = [&](char who) {
        dki_fair_lock_write(&lock.lock);
        note(who);
        dki_fair_unlock(&lock.lock);
    };
    const auto read = [&] {
        dki_fair_lock_read(&lock.lock);
        note('r');
        dki_fair_unlock(&lock.lock);
    };
    std::vector<std::thread> threads;
    dki_fair_lock_read(&lock.lock);
    threads.emplace_back(write, '1');
    EXPECT_TRUE(soon([&] { return lock.waiting_writers() == 1; }));
    threads.emplace_back(read); // comes after the writer, and stands behind it
    threads.emplace_back(read);
    EXPECT_TRUE(soon([&] { return lock.waiting_readers() == 2; }));
    threads.emplace_back(write, '2');
    EXPECT_TRUE(soon([&] { return lock.waiting_writers() == 2; }));
    dki_fair_unlock(&lock.lock);
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(order, "1rr2");
}

// Between asking and coming in, a reader sees at most two writers pass: the one inside and the one that
// waits. Where several readers loop, and several writers, nobody waits for ever, and no write is torn.
TEST(FairLock, NobodyStarvesAndNoWriteIsTorn) {
    Lock lock;
    const int turns = support::tries_long_cases() ? 20000 : 1000;
    std::atomic<int64_t> writes_ended{0};
    int64_t one = 0, other = 0; // guarded by the lock, always equal
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++)
        threads.emplace_back([&] {
            for (int turn = 0; turn < turns; turn++) {
                dki_fair_lock_write(&lock.lock);
                ++one;
                std::this_thread::yield();
                ++other;
                ++writes_ended;
                dki_fair_unlock(&lock.lock);
            }
        });
    for (int i = 0; i < 6; i++)
        threads.emplace_back([&] {
            for (int turn = 0; turn < turns; turn++) {
                dki_fair_lock_read(&lock.lock);
                EXPECT_EQ(one, other);
                std::this_thread::yield();
                EXPECT_EQ(one, other);
                dki_fair_unlock(&lock.lock);
            }
        });
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(one, 2 * turns);
    EXPECT_EQ(writes_ended, 2 * turns);
}

namespace {

/// A session that runs one row again and again, in a thread of its own.
struct Reader {
    support::Session session;
    std::atomic<int64_t> turns{0};

    explicit Reader(const dk_net *net) {
        dk_session *made = nullptr;
        EXPECT_EQ(DK_OK, dk_session_create(&made, net, 1, DK_SESSION_INFERENCE)) << dk_error_text();
        session.reset(made);
    }
    void loop(const std::atomic<bool> &over, int64_t limit) {
        std::vector<float> x(64, 0.5f), y(10);
        while (!over && turns < limit) {
            EXPECT_EQ(DK_OK, dk_session_forward(session.get(), x.data(), 1, y.data()));
            ++turns;
        }
    }
};

/// Trains for two epochs while `count` threads read the network in loops.
void fit_beside_readers(int count) {
    const support::Context context = support::open_context(2);
    dk_data_options data = DK_DATA_OPTIONS_INIT;
    data.rows = 800;
    const support::Dataset set = support::open(context.get(), "builtin:digits", data);
    const support::Net net = support::net_for(set.get(), {32});
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = 16;
    const support::Trainer trainer = support::trainer(net.get(), options);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 2;
    const int64_t steps = 100;
    // Each step lets each waiting reader in once, and readers come in as they like while the trainer does
    // something else, all of its setting up included: some thousand turns. They give up after many more.
    const int64_t limit = 300000 / count;

    std::deque<Reader> readers;
    for (int i = 0; i < count; i++) readers.emplace_back(net.get());
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (Reader &reader : readers) threads.emplace_back([&] { reader.loop(over, limit); });
    EXPECT_TRUE(soon([&] { // all of them are at it before the training begins
        return std::all_of(readers.begin(), readers.end(), [](Reader &r) { return r.turns > 0; });
    }));
    std::vector<int64_t> before;
    for (Reader &reader : readers) before.push_back(reader.turns);
    EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), set.get(), nullptr, &fit, nullptr));
    for (int i = 0; i < count; i++) {
        const int64_t turns = readers[i].turns;
        EXPECT_LT(turns, limit) << "of " << count << ": the training waited for the readers to end";
        EXPECT_GT(turns, before[i])
            << "of " << count << ": a reader waited for the training to end";
    }
    over = true;
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(steps, dk_trainer_steps(trainer.get()));
}

} // namespace

// Breaks where readers keep the trainer out until they stop, or the trainer keeps a reader out.
TEST(FairLock, ATrainingAndItsReadersAllGoOn) {
    for (int readers : {1, 2, 4, 8, 16}) fit_beside_readers(readers);
}

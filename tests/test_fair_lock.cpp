// The readers' and writers' lock: who may go in, and when; run under ThreadSanitizer as well (.ci/run threads).
extern "C" {
#include "base/fair_lock.h"
}

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <list>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace {

/// A thread that takes the lock, stays in until it is told to leave, and says where it is.
class Visitor {
  public:
    Visitor(dki_fair_lock &lock, bool to_write)
        : writes(to_write), thread([this, &lock] { visit(lock); }) {}
    void leave() {
        may_leave = true;
        thread.join();
    }
    const bool writes;
    std::atomic<bool> in{false};

  private:
    void visit(dki_fair_lock &lock) {
        (writes ? dki_fair_lock_write : dki_fair_lock_read)(&lock);
        in = true;
        while (!may_leave) std::this_thread::yield();
        in = false;
        dki_fair_unlock(&lock);
    }
    std::atomic<bool> may_leave{false};
    std::thread thread; // last: it uses the others
};

/// What the header of the lock promises, as plain lists.
struct Model {
    std::set<Visitor *> inside, readers_waiting;
    std::deque<Visitor *> writers_waiting;

    bool writer_inside() const { return !inside.empty() && (*inside.begin())->writes; }
    void come(Visitor *visitor) {
        const bool waits =
            visitor->writes ? !inside.empty() : writer_inside() || !writers_waiting.empty();
        if (!waits)
            inside.insert(visitor);
        else if (visitor->writes)
            writers_waiting.push_back(visitor);
        else
            readers_waiting.insert(visitor);
    }
    void leave(Visitor *visitor) {
        inside.erase(visitor);
        if (visitor->writes) inside.swap(readers_waiting);
        if (!inside.empty() || writers_waiting.empty()) return;
        inside.insert(writers_waiting.front());
        writers_waiting.pop_front();
    }
};

/// Real threads beside the model, one event at a time.
class Scene {
  public:
    Scene() { dki_fair_lock_init(&lock); }
    ~Scene() {
        while (!model.inside.empty()) leave(0);
        dki_fair_lock_destroy(&lock);
    }
    void come(bool writes) {
        visitors.emplace_back(lock, writes);
        model.come(&visitors.back());
        settle();
    }
    void leave(size_t which) {
        auto it = model.inside.begin();
        std::advance(it, which % model.inside.size());
        Visitor *visitor = *it;
        model.leave(visitor);
        visitor->leave();
        visitors.remove_if([&](const Visitor &other) { return &other == visitor; });
        settle();
    }
    bool empty() const { return visitors.empty(); }
    size_t inside() const { return model.inside.size(); }

  private:
    bool as_the_model_has_it() {
        pthread_mutex_lock(&lock.mutex);
        const bool queued = lock.writers - lock.first_writer == model.writers_waiting.size() &&
                            lock.waiting_readers == static_cast<int>(model.readers_waiting.size());
        pthread_mutex_unlock(&lock.mutex);
        bool same = queued;
        for (Visitor &visitor : visitors)
            same = same && visitor.in == (model.inside.count(&visitor) == 1);
        return same;
    }
    // Threads take their time to come and to wake up; who should wait never goes in meanwhile.
    void settle() {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (!as_the_model_has_it()) {
            for (Visitor &visitor : visitors)
                ASSERT_FALSE(visitor.in && !model.inside.count(&visitor)) << "in before its turn";
            ASSERT_LT(std::chrono::steady_clock::now(), end) << "somebody isn't let in";
            std::this_thread::yield();
        }
    }
    dki_fair_lock lock;
    Model model;
    std::list<Visitor> visitors;
};

} // namespace

// Breaks where readers pass a writer that waits (it would starve), where a writer passes the readers
// who wait for the one before it (they would), or where writers don't go in the order they came.
TEST(FairLock, LetsThreadsInAsTheModelDoes) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        std::mt19937 random(seed);
        Scene scene;
        for (int event = 0, waiting = 0; event < 60 && !HasFatalFailure(); ++event) {
            const bool comes = scene.inside() == 0 || (waiting < 16 && random() % 2);
            waiting += comes ? 1 : -1;
            if (comes)
                scene.come(random() % 3 == 0);
            else
                scene.leave(random());
        }
        while (!HasFatalFailure() && !scene.empty()) scene.leave(random());
        if (HasFatalFailure()) std::_Exit(1); // threads that are never let in can't be joined
    }
}

// Every thread ends, and no write is lost or seen half done. Breaks where a writer isn't alone.
TEST(FairLock, ReadersAndWritersOfAnyNumberEndAndSeeWholeWrites) {
    for (const int readers : {1, 2, 5, 16})
        for (const int writers : {1, 2, 4}) {
            dki_fair_lock lock;
            dki_fair_lock_init(&lock);
            const int turns = 200;
            int64_t first = 0, second = 0; // the same, but inside of a write
            std::vector<std::thread> threads;
            for (int i = 0; i < writers; ++i)
                threads.emplace_back([&] {
                    for (int turn = 0; turn < turns; ++turn) {
                        dki_fair_lock_write(&lock);
                        ++first;
                        std::this_thread::yield();
                        ++second;
                        dki_fair_unlock(&lock);
                    }
                });
            for (int i = 0; i < readers; ++i)
                threads.emplace_back([&] {
                    for (int turn = 0; turn < turns; ++turn) {
                        dki_fair_lock_read(&lock);
                        EXPECT_EQ(first, second);
                        dki_fair_unlock(&lock);
                    }
                });
            for (std::thread &thread : threads) thread.join();
            EXPECT_EQ(writers * turns, first);
            EXPECT_EQ(writers * turns, second);
            dki_fair_lock_destroy(&lock);
        }
}

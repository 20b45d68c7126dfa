// The emulation itself: that it keeps to what CUDA promises of streams, events and graphs, and to
// nothing more.
#include "support_emulated.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace emulated {
namespace {

/// All orders that some schedule gives.
std::set<Order> orders(const std::function<Order()> &run) {
    std::set<Order> all;
    for (uint64_t seed = 0; seed < 40; ++seed) {
        set_schedule(seed);
        all.insert(run());
    }
    return all;
}

TEST_F(GpuTest, NothingRunsBeforeTheHostWaitsAndThenOnlyWhatItWaitsFor) {
    Log log;
    log.kernel(one, 1);
    log.kernel(two, 2);
    EXPECT_EQ(log.order, Order());
    ASSERT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
    EXPECT_EQ(log.order, Order({2}));
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    EXPECT_EQ(log.order, Order({2, 1}));
}

TEST_F(GpuTest, AStreamIsInOrderAndStreamsAreNot) {
    const auto all = orders([&] {
        Log log;
        for (int i = 0; i < 2; ++i) log.kernel(one, i), log.kernel(two, 10 + i);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
        return log.order;
    });
    EXPECT_EQ(all.size(), 6u) << "all interleavings of two and two: (4 over 2)";
    for (const Order &order : all) {
        const auto at = [&](int n) { return std::find(order.begin(), order.end(), n); };
        EXPECT_LT(at(0), at(1));
        EXPECT_LT(at(10), at(11));
    }
}

TEST_F(GpuTest, AnEventOrdersStreamsByItsLatestRecordAtTheTimeOfTheWait) {
    dki_event event = GpuTest::event();
    const auto all = orders([&] {
        Log log;
        log.kernel(one, 1);
        EXPECT_EQ(dki_gpu_event_record(gpu, event, one), DK_OK);
        EXPECT_EQ(dki_gpu_event_wait(gpu, event, two), DK_OK);
        log.kernel(one, 2);
        EXPECT_EQ(dki_gpu_event_record(gpu, event, one), DK_OK); // changes nothing for two
        log.kernel(two, 3);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
        EXPECT_EQ(dki_gpu_event_sync(gpu, event), DK_OK);
        return log.order;
    });
    EXPECT_EQ(all, std::set<Order>({{1, 2, 3}, {1, 3, 2}}));
    dki_gpu_event_destroy(gpu, event);
}

TEST_F(GpuTest, AnEventThatWasNeverRecordedIsOver) {
    dki_event event = GpuTest::event();
    Log log;
    EXPECT_EQ(dki_gpu_event_wait(gpu, event, one), DK_OK);
    log.kernel(one, 1);
    EXPECT_EQ(dki_gpu_event_sync(gpu, event), DK_OK);
    EXPECT_EQ(log.order, Order());
    EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    EXPECT_EQ(log.order, Order({1}));
    dki_gpu_event_destroy(gpu, event);
}

TEST_F(GpuTest, WorkOutlivesItsStreamAndItsEvent) {
    Log log;
    dki_stream third = nullptr;
    ASSERT_EQ(dki_gpu_stream_create(gpu, &third), DK_OK);
    dki_event event = GpuTest::event();
    log.kernel(third, 1);
    ASSERT_EQ(dki_gpu_event_record(gpu, event, third), DK_OK);
    ASSERT_EQ(dki_gpu_event_wait(gpu, event, one), DK_OK);
    log.kernel(one, 2);
    dki_gpu_event_destroy(gpu, event);
    dki_gpu_stream_destroy(gpu, third);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    EXPECT_EQ(log.order, Order({1, 2}));
}

/// What arrives on the device when the host writes its staging memory again after `wait`.
std::set<int> staged(dki_gpu *gpu, dki_stream stream, void *device, int *staging, bool wait) {
    std::set<int> all;
    for (uint64_t seed = 0; seed < schedules; ++seed) {
        set_schedule(seed);
        *staging = 1;
        EXPECT_EQ(dki_gpu_copy(gpu, stream, device, staging, sizeof(int)), DK_OK);
        if (wait) {
            EXPECT_EQ(dki_gpu_stream_sync(gpu, stream), DK_OK);
        }
        *staging = 2;
        EXPECT_EQ(dki_gpu_stream_sync(gpu, stream), DK_OK);
        int result = 0;
        peek(&result, device, sizeof result);
        all.insert(result);
        EXPECT_EQ(take_reports().empty(), result == 1);
    }
    return all;
}

TEST_F(GpuTest, StagingIsReadWhenTheCopyRuns) {
    void *memory = device(sizeof(int));
    int *staging = pinned(1);
    EXPECT_EQ(staged(gpu, one, memory, staging, true), std::set<int>({1}));
    EXPECT_EQ(staged(gpu, one, memory, staging, false), std::set<int>({1, 2}));
    dki_gpu_free(gpu, memory);
    dki_gpu_free_host(gpu, staging);
}

/// Copies staging → a on one stream, a → back on the other, with or without an event between.
std::set<int> through_two_streams(dki_gpu *gpu, dki_stream one, dki_stream two, dki_event event,
                                  void *a, int *host, bool ordered) {
    std::set<int> all;
    for (uint64_t seed = 0; seed < schedules; ++seed) {
        set_schedule(seed);
        EXPECT_EQ(dki_gpu_zero(gpu, one, a, sizeof(int)), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        host[0] = 7;
        EXPECT_EQ(dki_gpu_copy(gpu, one, a, host, sizeof(int)), DK_OK);
        if (ordered) {
            EXPECT_EQ(dki_gpu_event_record(gpu, event, one), DK_OK);
            EXPECT_EQ(dki_gpu_event_wait(gpu, event, two), DK_OK);
        }
        EXPECT_EQ(dki_gpu_copy(gpu, two, host + 1, a, sizeof(int)), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        all.insert(host[1]);
        EXPECT_EQ(take_reports().empty(), ordered) << "whatever the schedule";
    }
    return all;
}

TEST_F(GpuTest, AMissingDependencyGivesAWrongResultUnderSomeSchedule) {
    void *memory = device(sizeof(int));
    int *host = pinned(2);
    dki_event event = GpuTest::event();
    EXPECT_EQ(through_two_streams(gpu, one, two, event, memory, host, true), std::set<int>({7}));
    EXPECT_EQ(through_two_streams(gpu, one, two, event, memory, host, false),
              std::set<int>({0, 7}));
    dki_gpu_event_destroy(gpu, event);
    dki_gpu_free(gpu, memory);
    dki_gpu_free_host(gpu, host);
}

TEST_F(GpuTest, EventsKeepTheVirtualTime) {
    set_times([](const dki_product &, int) { return 1.0; }, 0.25);
    dki_event first = event(true), last = event(true), without = event(false);
    double ms = -1;
    ASSERT_EQ(dki_gpu_event_record(gpu, first, one), DK_OK);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(launch(one, [] {}), 0);
    ASSERT_EQ(dki_gpu_event_record(gpu, last, one), DK_OK);
    EXPECT_EQ(dki_gpu_event_elapsed(gpu, first, last, &ms), DK_E_DEVICE) << "not over";
    ASSERT_EQ(dki_gpu_event_sync(gpu, last), DK_OK);
    ASSERT_EQ(dki_gpu_event_elapsed(gpu, first, last, &ms), DK_OK);
    EXPECT_EQ(ms, 0.75);
    EXPECT_EQ(dki_gpu_event_elapsed(gpu, first, without, &ms), DK_E_DEVICE) << "keeps no time";
    for (dki_event event : {first, last, without}) dki_gpu_event_destroy(gpu, event);
}

/// As far apart as three stretches of 0.5 to 2 ms, whatever the work takes, and not the same twice.
TEST_F(GpuTest, EventsTellRandomTimesWhereTheyAreToldTo) {
    set_timing(Timing::random);
    const dki_event first = event(true), between = event(true), last = event(true);
    std::set<double> told;
    for (int i = 0; i < 10; ++i) {
        for (dki_event next : {first, between, between, last})
            ASSERT_EQ(dki_gpu_event_record(gpu, next, one), DK_OK);
        ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        double ms = 0;
        ASSERT_EQ(dki_gpu_event_elapsed(gpu, first, last, &ms), DK_OK);
        EXPECT_GE(ms, 1.5);
        EXPECT_LE(ms, 6);
        told.insert(ms);
    }
    EXPECT_EQ(told.size(), 10u);
    for (dki_event made : {first, between, last}) dki_gpu_event_destroy(gpu, made);
}

/// On the host's clock between two records is at least what the work between them took, in a graph, too.
TEST_F(GpuTest, EventsTellTheHostsTimeWhereTheyAreToldTo) {
    set_timing(Timing::host);
    const auto nap = std::chrono::milliseconds(3);
    const dki_event first = event(true), last = event(true);
    const auto queue = [&] {
        ASSERT_EQ(dki_gpu_event_mark(gpu, first, one), DK_OK);
        ASSERT_EQ(launch(one, [=] { std::this_thread::sleep_for(nap); }), 0);
        ASSERT_EQ(dki_gpu_event_mark(gpu, last, one), DK_OK);
    };
    const auto expect_a_nap = [&] {
        double ms = 0;
        ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        ASSERT_EQ(dki_gpu_event_elapsed(gpu, first, last, &ms), DK_OK);
        EXPECT_GE(ms, 3);
    };
    queue();
    expect_a_nap();
    dki_graph *graph = nullptr;
    ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
    queue();
    ASSERT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_OK);
    ASSERT_EQ(dki_gpu_graph_launch(gpu, graph, one), DK_OK);
    expect_a_nap();
    dki_gpu_graph_destroy(gpu, graph);
    for (dki_event made : {first, last}) dki_gpu_event_destroy(gpu, made);
}

// --- graphs ------------------------------------------------------------------------------------

TEST_F(GpuTest, AGraphRunsItsNodesInAnyOrderThatDependenciesAllow) {
    dki_event forked = event(), joined = event();
    Log log;
    dki_graph *graph = nullptr;
    ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
    log.kernel(one, 1);
    ASSERT_EQ(dki_gpu_event_record(gpu, forked, one), DK_OK);
    ASSERT_EQ(dki_gpu_event_wait(gpu, forked, two), DK_OK);
    log.kernel(one, 2);
    log.kernel(two, 3);
    ASSERT_EQ(dki_gpu_event_record(gpu, joined, two), DK_OK);
    ASSERT_EQ(dki_gpu_event_wait(gpu, joined, one), DK_OK);
    log.kernel(one, 4);
    ASSERT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_OK) << dk_error_text();
    EXPECT_EQ(log.order, Order()) << "captured, not run";
    const auto all = orders([&] {
        log.order.clear();
        EXPECT_EQ(dki_gpu_graph_launch(gpu, graph, one), DK_OK);
        log.kernel(one, 5);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        return log.order;
    });
    EXPECT_EQ(all, std::set<Order>({{1, 2, 3, 4, 5}, {1, 3, 2, 4, 5}}));
    EXPECT_EQ(counts().graph_launches, 40);
    EXPECT_EQ(counts().captures, 1);
    // Both streams are out of the capture.
    log.order.clear();
    log.kernel(two, 6);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
    EXPECT_EQ(log.order, Order({6}));
    dki_gpu_graph_destroy(gpu, graph);
    dki_gpu_event_destroy(gpu, forked);
    dki_gpu_event_destroy(gpu, joined);
}

TEST_F(GpuTest, AGraphRunsBesideOtherStreamsButNotBesideItself) {
    dki_graph *graph = nullptr;
    Log log;
    ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
    log.kernel(one, 1);
    log.kernel(one, 2);
    ASSERT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_OK);
    const auto beside_kernel = orders([&] {
        log.order.clear();
        EXPECT_EQ(dki_gpu_graph_launch(gpu, graph, one), DK_OK);
        log.kernel(two, 9);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
        return log.order;
    });
    EXPECT_EQ(beside_kernel, std::set<Order>({{1, 2, 9}, {1, 9, 2}, {9, 1, 2}}));
    const auto beside_itself = orders([&] {
        log.order.clear();
        EXPECT_EQ(dki_gpu_graph_launch(gpu, graph, one), DK_OK);
        EXPECT_EQ(dki_gpu_graph_launch(gpu, graph, two), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
        return log.order;
    });
    EXPECT_EQ(beside_itself, std::set<Order>({{1, 2, 1, 2}}));
    dki_gpu_graph_destroy(gpu, graph);
}

TEST_F(GpuTest, ACaptureWhoseForkIsNotJoinedFails) {
    dki_event forked = event();
    dki_graph *graph = nullptr;
    ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
    ASSERT_EQ(dki_gpu_event_record(gpu, forked, one), DK_OK);
    ASSERT_EQ(dki_gpu_event_wait(gpu, forked, two), DK_OK);
    ASSERT_EQ(launch(two, [] {}), 0);
    EXPECT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_E_DEVICE);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(dki_gpu_event_sync(gpu, forked), DK_E_DEVICE) << "recorded in a capture";
    EXPECT_EQ(dki_gpu_event_wait(gpu, forked, one), DK_E_DEVICE) << "in one that is over";
    dki_gpu_event_destroy(gpu, forked);
}

TEST_F(GpuTest, WhatACapturingThreadMustNotDoBreaksTheCapture) {
    dki_event old = event();
    ASSERT_EQ(dki_gpu_event_record(gpu, old, two), DK_OK);
    void *memory = nullptr;
    const std::vector<std::function<dk_status()>> forbidden = {
        [&] { return dki_gpu_stream_sync(gpu, one); },
        [&] { return dki_gpu_event_sync(gpu, old); },
        [&] { return dki_gpu_alloc(gpu, 16, &memory); },
        [&] { return dki_gpu_alloc_host(gpu, 16, &memory); },
        [&] { return dki_gpu_event_wait(gpu, old, one); }, // depends on work outside
    };
    for (size_t i = 0; i < forbidden.size(); ++i) {
        SCOPED_TRACE(i);
        dki_graph *graph = nullptr;
        ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
        ASSERT_EQ(launch(one, [] {}), 0);
        EXPECT_EQ(forbidden[i](), DK_E_DEVICE);
        EXPECT_NE(launch(one, [] {}), 0) << "the capture is broken";
        EXPECT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_E_DEVICE);
        EXPECT_EQ(graph, nullptr);
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK) << "out of the capture";
    }
    dki_gpu_event_destroy(gpu, old);
}

TEST_F(GpuTest, AnotherThreadMayAllocateMeanwhile) {
    dki_graph *graph = nullptr;
    ASSERT_EQ(dki_gpu_capture_begin(gpu, one), DK_OK);
    std::thread([&] { dki_gpu_free(gpu, device(16)); }).join();
    EXPECT_EQ(dki_gpu_capture_end(gpu, one, &graph), DK_OK) << dk_error_text();
    dki_gpu_graph_destroy(gpu, graph);
}

} // namespace
} // namespace emulated

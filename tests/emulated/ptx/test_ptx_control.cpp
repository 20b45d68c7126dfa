// How threads part and meet again, and what they may not do on the way.
#include "support_ptx.h"

#include <algorithm>

namespace ptx {
namespace {

const std::string store = R"(
    mul.wide.u32 %d0, %index, 4;
    add.s64 %d1, %first, %d0;
    st.global.u32 [%d1], %r1;
)";

TEST(PtxControl, LoopsAsOftenAsEachThreadSays) {
    Small small;
    expect_well(small.run(R"(
    mov.u32 %r0, 0;
    mov.u32 %r1, 0;
again:
    add.s32 %r0, %r0, 1;
    and.b32 %r2, %r0, 1;
    setp.eq.s32 %p0, %r2, 0;
    @%p0 bra even;
    add.s32 %r1, %r1, 10;
    bra.uni both;
even:
    add.s32 %r1, %r1, 1;
both:
    setp.le.s32 %p1, %r0, %tid;
    @%p1 bra again;
)" + store));
    for (unsigned i = 0; i < 32; ++i) {
        const unsigned turns = i + 1;
        EXPECT_EQ(small.first[i], (turns + 1) / 2 * 10 + turns / 2) << i;
    }
    EXPECT_EQ(small.touched.size(), 1u) << "they meet again before they store";
}

TEST(PtxControl, EndsSomeThreadsEarly) {
    Small small;
    small.threads = 40;
    expect_well(small.run(R"(
    setp.lt.s32 %p0, %tid, 7;
    @!%p0 exit;
    mov.u32 %r1, 5;
)" + store));
    EXPECT_EQ(std::count(small.first.begin(), small.first.end(), 5u), 7);
}

TEST(PtxControl, KnowsWhereAThreadIs) {
    void *address = nullptr;
    std::vector<uint32_t> memory(12 * 12);
    address = memory.data();
    void *arguments[] = {&address, &address};
    Launch launch;
    launch.kernel = "k";
    launch.grid = {2, 3, 2};
    launch.block = {3, 2, 2};
    launch.arguments = arguments;
    const std::string text = kernel_text(R"(
    mad.lo.u32 %r0, %ctaid.z, %nctaid.y, %ctaid.y;
    mad.lo.u32 %r0, %r0, %nctaid.x, %ctaid.x;
    mad.lo.u32 %r0, %r0, %ntid.z, %tid.z;
    mad.lo.u32 %r0, %r0, %ntid.y, %tid.y;
    mad.lo.u32 %r0, %r0, %ntid.x, %tid.x;
    mul.wide.u32 %d0, %r0, 4;
    add.s64 %d1, %first, %d0;
    add.s32 %r1, %r0, 1;
    st.global.u32 [%d1], %r1;
)");
    expect_well(run(*parse(text), launch, {[](Access, uintptr_t, size_t, bool) { return true; }}));
    for (unsigned i = 0; i < memory.size(); ++i) EXPECT_EQ(memory[i], i + 1);
}

/// A thread of each block appends its number to a list.
TEST(PtxControl, RunsBlocksInAnOrderFromTheSeed) {
    const auto order = [](uint64_t seed) {
        Small small;
        small.seed = seed;
        small.threads = 1;
        small.blocks = 50;
        expect_well(small.run(R"(
    atom.global.add.u32 %r0, [%second], 4;
    cvt.u64.u32 %d0, %r0;
    add.s64 %d1, %first, %d0;
    st.global.u32 [%d1], %index;
)"));
        return std::vector<uint32_t>(small.first.begin(), small.first.begin() + 50);
    };
    std::vector<uint32_t> one = order(1);
    EXPECT_EQ(one, order(1));
    EXPECT_NE(one, order(2));
    std::sort(one.begin(), one.end());
    for (unsigned i = 0; i < 50; ++i) EXPECT_EQ(one[i], i);
}

TEST(PtxControl, ShufflesWithinSegments) {
    Small small;
    expect_well(small.run(R"(
    shfl.sync.bfly.b32 %r1|%p0, %tid, 5, 31, -1;
)" + store));
    for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(small.first[i], i ^ 5);
    expect_well(small.run(R"(
    shfl.sync.bfly.b32 %r0|%p0, %tid, 8, 6175, -1; // in segments of 8: 0x181f
    selp.b32 %r1, 100, %r0, %p0; // only what lies above the segment is outside of it
)" + store));
    for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(small.first[i], i & 8 ? 100 : i);
}

TEST(PtxControl, LanesWaitForEachOtherAtAShuffle) {
    Small small;
    expect_well(small.run(R"(
    mov.u32 %r2, %tid;
    setp.lt.s32 %p0, %tid, 16;
    @%p0 bra there;
    add.s32 %r2, %r2, 100;
    bra.uni there;
back:
    ret;
there:
    shfl.sync.bfly.b32 %r1, %r2, 16, 31, -1;
)" + store));
    for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(small.first[i], (i ^ 16) + (i < 16 ? 100 : 0));
}

TEST(PtxControl, ReportsShufflesWithLanesThatDoNotCome) {
    Small small;
    const std::string some = R"(
    setp.lt.s32 %p0, %tid, 16;
    @%p0 bra end;
)";
    expect_fault(small.run(some + "shfl.sync.bfly.b32 %r1, %tid, 1, 31, -1; end: bar.sync 0;"),
                 "a shuffle that lanes of its mask never come to", "shfl");
    expect_fault(
        small.run(some + "bra.uni on; end: ret; on: shfl.sync.bfly.b32 %r1, %tid, 1, 31, -1;"),
        "a shuffle with lanes that have ended", "shfl");
    expect_fault(small.run("shfl.sync.bfly.b32 %r1, %tid, 1, 31, 65535;"),
                 "a shuffle by a lane outside of its mask", "shfl");
    expect_fault(small.run(some + "shfl.sync.bfly.b32 %r1, %tid, 16, 31, -65536; end:"),
                 "a shuffle from a lane that doesn't take part", "shfl");
    expect_fault(small.run("xor.b32 %r0, %tid, -1; shfl.sync.bfly.b32 %r1, %tid, 1, 31, %r0;"),
                 "lanes name different masks", "shfl");
    for (const char *unknown : {"%r9, 31, -1", "1, %r9, -1", "1, 31, %r9"})
        expect_fault(small.run(std::string("shfl.sync.bfly.b32 %r1, %tid, ") + unknown + ";"),
                     "uses what nobody wrote", unknown);
    small.threads = 20; // the last warp has twelve lanes too few
    expect_fault(small.run("shfl.sync.bfly.b32 %r1, %tid, 1, 31, -1;"),
                 "a shuffle with lanes that have ended", "shfl");
}

TEST(PtxControl, ReportsDivergentBarriers) {
    Small small;
    expect_fault(small.run(R"(
    setp.lt.s32 %p0, %tid, 16;
    @%p0 bra other;
    bar.sync 0;
    bra.uni end;
other:
    bar.sync 0;
end:
)"),
                 "a barrier that only a part of the warp comes to", "bar.sync");
}

TEST(PtxControl, ReportsEndlessLoops) {
    Small small;
    expect_fault(small.run("again: bra.uni again;"), "an endless loop", "bra.uni");
    small.steps = 20;
    expect_well(small.run("mov.u32 %r0, 1;"));
}

TEST(PtxControl, ReportsUsesOfUnwrittenRegisters) {
    Small small;
    const std::string use = "st.global.u32 [%first], %r0;", unknown = "uses what nobody wrote";
    expect_fault(small.run("add.s32 %r0, %r1, 1;" + use), unknown, use);
    expect_fault(small.run(R"(
    setp.ne.s32 %p0, %tid, 9;
    @%p0 bra skip;
    mov.u32 %r1, 1;
skip:
    setp.eq.s32 %p1, %tid, 4;
    @!%p1 bra end;
    add.s32 %r0, %r1, 1;
    st.global.u32 [%first], %r0;
end:
)"),
                 "thread (4, 0, 0): " + unknown, "st.global");
    expect_fault(small.run("add.s64 %d0, %first, %d1; ld.global.u32 %r0, [%d0];"), unknown, "ld.");
    expect_fault(small.run("atom.global.add.u32 %r0, [%first], %r1;"), unknown, "atom.");
    expect_fault(small.run("st.shared.u32 [%r1], 0;"), unknown, "st.shared");
    expect_fault(small.run("setp.eq.s32 %p0, %r1, 1; @%p0 bra end; end:"),
                 "branches by what nobody wrote", "bra end");
    small.blocks = 8; // what another block wrote isn't there for the second
    expect_fault(small.run(R"(
    shr.u32 %r2, %index, 5;
    setp.eq.s32 %p0, %r2, 1;
    @%p0 bra skip;
    mov.u32 %r1, 1;
skip:
    add.s32 %r0, %r1, 1;
)" + use),
                 "block (1, 0, 0)", use);
}

TEST(PtxControl, AllowsUnwrittenRegistersThatAreDropped) {
    Small small;
    expect_well(small.run(R"(
    add.s32 %r0, %r9, 1;
    selp.b32 %r0, %r0, 2, %p9;
    mov.u32 %r0, 3;
    st.global.u32 [%first], %r0;
)"));
}

/// The value comes from another lane, and so does whether it is known.
TEST(PtxControl, ShufflesWhatIsKnown) {
    Small small;
    const std::string some = R"(
    setp.ge.s32 %p0, %tid, 16;
    @%p0 bra all;
    mov.u32 %r0, 7;
all:
    shfl.sync.bfly.b32 %r1, %r0, 16, 31, -1;
    setp.lt.s32 %p1, %tid, 16;
)";
    expect_well(small.run(some + "@%p1 bra end; st.global.u32 [%first], %r1; end:"));
    expect_fault(small.run(some + "@!%p1 bra end; st.global.u32 [%first], %r1; end:"),
                 "thread (0, 0, 0): uses what nobody wrote", "st.global");
}

TEST(PtxControl, SaysWhoDidNotWaitForEarlierKernels) {
    Small small;
    const std::string wait = "griddepcontrol.wait;";
    EXPECT_TRUE(small.run_text(kernel_text("ld.global.u32 %r0, [%first];", wait)).waited);
    Outcome outcome = small.run_text(kernel_text("ld.global.u32 %r0, [%first];" + wait, ""));
    EXPECT_TRUE(outcome.well);
    EXPECT_FALSE(outcome.waited);
    EXPECT_NE(outcome.text.find("touches global memory before griddepcontrol.wait"),
              std::string::npos)
        << outcome.text;
    outcome = small.run_text(kernel_text("", ""));
    EXPECT_FALSE(outcome.waited);
    EXPECT_NE(outcome.text.find("ends without griddepcontrol.wait"), std::string::npos);
    outcome = small.run_text(kernel_text(R"(
    setp.eq.s32 %p0, %tid, 31;
    @%p0 bra end;
    griddepcontrol.wait;
end:
)",
                                         ""));
    EXPECT_FALSE(outcome.waited);
    EXPECT_NE(outcome.text.find("thread (31, 0, 0)"), std::string::npos) << outcome.text;
}

TEST(PtxControl, RefusesWrongLaunches) {
    Small small;
    small.threads = 513; // .maxntid 512
    EXPECT_THROW(small.run(""), std::runtime_error);
    small.threads = 0;
    EXPECT_THROW(small.run(""), std::runtime_error);
    EXPECT_THROW(signature(*parse(kernel_text("")), "other"), std::runtime_error);
}

} // namespace
} // namespace ptx

// What the interpreter does with memory, and what it reports.
#include "support_ptx.h"

#include <algorithm>

namespace ptx {
namespace {

const std::string own = R"(
    mul.wide.u32 %d0, %index, 4;
    add.s64 %d1, %first, %d0;
    add.s64 %d2, %second, %d0;
)";

TEST(PtxMemory, LoadsAndStoresEveryWidth) {
    Small small;
    small.threads = 1;
    for (unsigned i = 0; i < 8; ++i) small.first[i] = 0x80818283u + 0x10101010u * i;
    expect_well(small.run(R"(
    ld.global.u8 %r0, [%first+3];    st.global.u32 [%second], %r0;
    ld.global.s8 %r1, [%first+3];    st.global.u32 [%second+4], %r1;
    ld.global.s16 %r2, [%first+2];   st.global.u32 [%second+8], %r2;
    ld.global.s8 %h0, [%first];      st.global.u16 [%second+12], %h0;
    ld.global.u16 %h1, [%first];     st.global.u16 [%second+14], %h1;
    ld.global.s32 %d3, [%first];     st.global.u64 [%second+16], %d3;
    ld.global.u32 %d4, [%first];     st.global.u64 [%second+24], %d4;
    ld.global.v4.f32 {%r4, %r5, %r6, %r7}, [%first+16];
    st.global.v4.f32 [%second+32], {%r7, %r6, %r5, %r4};
    ld.global.v2.u64 {%d5, %d6}, [%first];
    st.global.v2.u64 [%second+48], {%d6, %d5};
    st.global.u8 [%second+67], %r4;
    ld.volatile.global.f32 %r8, [%first+4];
    st.volatile.global.f32 [%second+68], %r8;
    ld.u32 %r9, [%second+-0];        st.global.v2.u32 [%second+72], {%r9, 7};
)"));
    const std::vector<uint32_t> expected = {
        0x80,       0xffffff80, 0xffff8081, 0x8283ff83, 0x80818283, 0xffffffff, 0x80818283,
        0,          0xf0f1f2f3, 0xe0e1e2e3, 0xd0d1d2d3, 0xc0c1c2c3, 0xa0a1a2a3, 0xb0b1b2b3,
        0x80818283, 0x90919293, 0xc3000000, 0x90919293, 0x80,       7};
    EXPECT_EQ(std::vector<uint32_t>(small.second.begin(), small.second.begin() + 20), expected);
}

TEST(PtxMemory, HandsNeighboursToTheHookTogether) {
    Small small;
    expect_well(small.run(own + "ld.global.u32 %r0, [%d1]; st.global.u32 [%d2], %r0;"));
    const std::vector<std::pair<Access, size_t>> expected = {{Access::read, 128},
                                                             {Access::write, 128}};
    EXPECT_EQ(small.touched, expected);
}

TEST(PtxMemory, TakesVolatileForAtomic) {
    Small small;
    expect_well(small.run(R"(
    ld.volatile.global.u32 %r0, [%first];
    st.volatile.global.u32 [%first], %r0;
    ld.relaxed.sys.global.u64 %d0, [%first];
    st.relaxed.gpu.global.u64 [%first], %d0;
)"));
    const std::vector<std::pair<Access, size_t>> expected = {
        {Access::atomic, 4}, {Access::atomic, 4}, {Access::atomic, 8}, {Access::atomic, 8}};
    EXPECT_EQ(small.touched, expected);
}

TEST(PtxMemory, ReportsTheThreadThatReadsOutside) {
    Small small;
    small.blocks = 33; // of 32 threads, for 1024 elements
    const Outcome outcome = small.run(own + "ld.global.u32 %r0, [%d1];");
    expect_fault(outcome, "block (32, 0, 0), thread (0, 0, 0)", "ld.global.u32 %r0, [%d1]");
    EXPECT_NE(outcome.text.find("outside of allocations"), std::string::npos);
    small.blocks = 1;
    expect_fault(small.run(own + "ld.global.u32 %r0, [%d1+4072];"), "thread (6, 0, 0)", "+4072");
}

TEST(PtxMemory, ReportsTheEndsOfTheAddressSpace) {
    Small small;
    expect_fault(small.run(R"(
    setp.ne.s32 %p0, %tid, 5;
    @%p0 bra end;
    mov.u64 %d0, 0;
    ld.global.u32 %r0, [%d0];
end:
)"),
                 "thread (5, 0, 0): touches global memory outside", "[%d0]");
    expect_fault(small.run("mov.u64 %d0, 0; ld.global.u32 %r0, [%d0+-4];"), "outside", "+-4");
}

TEST(PtxMemory, ReportsStoresOutside) {
    Small small;
    expect_fault(small.run(own + "st.global.u32 [%d1+-4], %tid;"), "outside of allocations",
                 "st.global.u32");
    expect_fault(small.run("atom.global.exch.b32 %r0, [%first+4096], %tid;"),
                 "outside of allocations", "exch");
}

TEST(PtxMemory, ReportsMisalignedVectors) {
    Small small;
    small.threads = 1;
    expect_fault(small.run("ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%first+8];"),
                 "misaligned access of 16 bytes", "ld.global.v4");
    expect_fault(small.run("st.global.v2.u32 [%first+4], {%tid, %tid};"),
                 "misaligned access of 8 bytes", "st.global.v2");
    expect_fault(small.run("ld.global.u16 %h0, [%first+1];"), "misaligned access of 2 bytes", "ld");
    expect_fault(small.run("ld.shared.v2.f32 {%r0, %r1}, [shared+4];"), "misaligned", "ld.shared");
}

TEST(PtxMemory, UpdatesAtomically) {
    Small small;
    small.blocks = 3;
    expect_well(small.run(R"(
    atom.global.add.u32 %r0, [%first], 2;
    setp.ne.s32 %p0, %index, 5;
    @%p0 bra end;
    atom.global.exch.b32 %r1, [%second], 7;
    st.global.u32 [%second+4], %r1;
    atom.global.cas.b64 %d0, [%second+8], 0, 9;
    atom.relaxed.global.cas.b64 %d0, [%second+8], 0, 10;
    st.global.u64 [%second+16], %d0;
end:
)"));
    EXPECT_EQ(small.first[0], 192u);
    EXPECT_EQ(std::vector<uint32_t>(small.second.begin(), small.second.begin() + 6),
              (std::vector<uint32_t>{7, 0, 9, 0, 9, 0}));
    EXPECT_EQ(std::count_if(small.touched.begin(), small.touched.end(),
                            [](const auto &touch) { return touch.first == Access::atomic; }),
              96 / 32 + 3); // those of a warp at the same place are one
}

const std::string slot = "shl.b32 %r0, %tid, 2; mov.u32 %r1, shared; add.s32 %r2, %r0, %r1;";

TEST(PtxMemory, SharesMemoryAcrossABarrier) {
    Small small;
    small.threads = 64;
    expect_well(small.run(own + slot + R"(
    st.shared.u32 [%r2], %tid;
    bar.sync 0;
    xor.b32 %r3, %r2, 252;
    ld.shared.u32 %r4, [%r3];
    st.global.u32 [%d1], %r4;
)"));
    for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(small.first[i], 63 - i);
}

TEST(PtxMemory, ReportsRacesInSharedMemory) {
    Small small;
    small.threads = 64;
    expect_fault(small.run(slot + R"(
    st.shared.u32 [%r2], %tid;
    xor.b32 %r3, %r2, 4;
    ld.shared.u32 %r4, [%r3];
)"),
                 "race in shared memory: reads what was written by thread (", "ld.shared");
    expect_fault(small.run(slot + R"(
    st.shared.u32 [%r2], %tid;
    bar.sync 0;
    xor.b32 %r3, %r2, 4;
    ld.shared.u32 %r4, [%r3];
    st.shared.u32 [%r2], 0;
)"),
                 "race in shared memory: writes what was read by ", "st.shared");
    expect_fault(small.run("st.shared.u32 [shared], 0;"),
                 "race in shared memory: writes what was written by ", "st.shared");
    expect_fault(small.run(R"(
    setp.ne.s32 %p0, %tid, 0;
    @%p0 bra all;
    st.shared.u32 [shared], 0;
all:
    bar.sync 0;
    ld.shared.u32 %r4, [shared];
    @%p0 bra end;
    st.shared.u32 [shared], 0;
end:
)"),
                 "race in shared memory: writes what was read by others", "st.shared");
}

TEST(PtxMemory, NeighboursMayWriteHalvesOfAWord) {
    Small small;
    expect_well(small.run(R"(
    shl.b32 %r0, %tid, 1;
    mov.u32 %r1, shared;
    add.s32 %r2, %r0, %r1;
    st.shared.u16 [%r2], 5;
    ld.shared.u16 %h0, [%r2];
)"));
    expect_fault(small.run("st.shared.u16 [shared], 5;"), "race in shared memory", "st.shared.u16");
}

TEST(PtxMemory, ReportsReadsOfUnwrittenSharedMemory) {
    Small small;
    small.blocks = 8; // none may see what another one left
    expect_fault(small.run(slot + R"(
    setp.eq.s32 %p0, %index, 3;
    @%p0 bra read;
    st.shared.u32 [%r2], %tid;
read:
    ld.shared.u32 %r4, [%r2];
    st.global.u32 [%first], %r4;
)"),
                 "block (0, 0, 0), thread (3, 0, 0): uses what nobody wrote", "st.global");
    small.threads = 1;
    expect_fault(small.run(R"(
    setp.eq.s32 %p0, %index, 1;
    @%p0 bra read;
    st.shared.u32 [shared], 1;
read:
    ld.shared.u32 %r4, [shared];
    st.global.u32 [%first], %r4;
)"),
                 "block (1, 0, 0)", "st.global");
    expect_fault(small.run(R"(
    st.shared.u32 [shared], %r9; // hands on what nobody wrote
    ld.shared.u32 %r4, [shared];
    st.global.u32 [%first], %r4;
)"),
                 "uses what nobody wrote", "st.global");
}

TEST(PtxMemory, AllowsUnwrittenSharedMemoryThatIsDropped) {
    Small small;
    expect_well(small.run(slot + R"(
    setp.ge.s32 %p0, %tid, 8;
    @%p0 bra all;
    st.shared.u32 [%r2], %tid;
all:
    bar.sync 0;
    ld.shared.u32 %r4, [%r2];
    add.s32 %r4, %r4, 1;
    @%p0 bra end;
    st.global.u32 [%first], %r4;
end:
)"));
}

TEST(PtxMemory, ReportsAccessOutsideOfSharedMemory) {
    Small small;
    small.threads = 1;
    expect_fault(small.run("st.shared.u32 [shared+1024], 0;"), "outside of shared memory", "1024");
    expect_fault(small.run("st.shared.u32 [shared+-4], 0;"), "outside of shared memory", "-4");
    expect_fault(small.run("mov.b64 %d0, 16; ld.param.u32 %r0, [%d0];"),
                 "outside of the parameters", "ld.param");
}

} // namespace
} // namespace ptx

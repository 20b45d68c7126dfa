// What the interpreter makes of a module's text, and what it refuses.
#include "support_ptx.h"

namespace ptx {
namespace {

TEST(PtxParse, KnowsAKernelsSignature) {
    const auto module = parse(R"(
// a comment { with ; braces
.version 9.0
.target sm_100, debug
.address_size 64

.entry one(
	.param .u8 one_0,
	.param .align 8 .b8 one_1[20],
	.param .align 4 .b8 one_2[3],
	.param .u64 .ptr .align 1 one_3
)
.maxntid 64, 2, 1
.minnctapersm 3
{
	.shared .align 4 .b8 small[3];
	.shared .align 16 .b8 wide[32];
	ret;
}
.entry two(
)
{
	.pragma "nounroll"; /* nothing
	to do */
	ret;
}
)");
    EXPECT_EQ(capability(*module), 100);
    const Signature one = signature(*module, "one"), two = signature(*module, "two");
    ASSERT_EQ(one.parameters.size(), 4u);
    const size_t offsets[] = {0, 8, 28, 32}, sizes[] = {1, 20, 3, 8};
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(one.parameters[i].offset, offsets[i]);
        EXPECT_EQ(one.parameters[i].bytes, sizes[i]);
    }
    EXPECT_EQ(one.shared_bytes, 48u);
    EXPECT_EQ(one.max_threads, 128u);
    EXPECT_TRUE(two.parameters.empty());
    EXPECT_EQ(two.shared_bytes, 0u);
    EXPECT_EQ(two.max_threads, 0u);
}

TEST(PtxParse, ReadsParametersOfEveryWidth) {
    struct {
        uint8_t byte = 200;
        int8_t negative = -3;
        uint8_t padding[6] = {};
        float pair[2] = {1.5f, -2};
    } values;
    uint32_t result[6] = {};
    void *address = result;
    void *arguments[] = {&address, &values};
    Launch launch;
    launch.kernel = "k";
    launch.arguments = arguments;
    const auto module = parse(R"(
.target sm_90
.entry k(.param .u64 k_0, .param .align 8 .b8 k_1[16])
{
	.reg .b64 %rd<4>;
	.reg .b32 %r<8>;
	.reg .b16 %rs<4>;
	griddepcontrol.wait;
	ld.param.u64 %rd0, [k_0];
	ld.param.v2.u8 {%rs0, %rs1}, [k_1];
	ld.param.s8 %rs2, [k_1+1];
	ld.param.v2.f32 {%r0, %r1}, [k_1+8];
	mov.b64 %rd1, k_1;
	ld.param.f32 %r2, [%rd1+12];
	{ .reg .b16 %rs0; mov.u16 %rs0, 7; mov.b32 %r3, {%rs0, %rs1}; }
	mov.b32 %r4, {%rs0, %rs2};
	st.global.v4.u32 [%rd0], {%r3, %r4, %r0, %r1};
	st.global.u32 [%rd0+16], %r2;
	ret;
}
)");
    const Hooks hooks = {[](Access, uintptr_t, size_t, bool) { return true; }};
    const Outcome outcome = run(*module, launch, hooks);
    EXPECT_TRUE(outcome.well && outcome.waited) << outcome.text;
    EXPECT_EQ(result[0], 253u << 16 | 7) << "a name in braces hides the one outside";
    EXPECT_EQ(result[1], 0xfffdu << 16 | 200);
    EXPECT_EQ(result[2], 0x3fc00000u);
    EXPECT_EQ(result[3], 0xc0000000u);
    EXPECT_EQ(result[4], 0xc0000000u);
}

/// What parse() says of a kernel whose twenty-first line is this.
std::string refusal(const std::string &line) {
    try {
        parse(kernel_text(line));
    } catch (const std::runtime_error &error) {
        return error.what();
    }
    return "nothing";
}

TEST(PtxParse, SaysWhatItCannotDecode) {
    const std::string begin = "cannot decode line 21: ";
    const std::pair<const char *, const char *> cases[] = {
        {"tex.1d.v4.f32.s32 {%r0, %r1, %r2, %r3}, [t, {%r4}];", "unknown instruction"},
        {"add.rz.f32 %r0, %r1, %r2;", "unknown instruction"},
        {"add.s32 %r0, %r1;", "unknown instruction"},
        {"bar.sync 1;", "unknown instruction"},
        {"@%p0 add.s32 %r0, %r1, %r2;", "only branches may have a guard"},
        {"add.s32 %d0, %r1, %r2;", "a register of another width"},
        {"add.s32 %r0, %h1, %r2;", "a register of another width"},
        {"add.s32 %r0, %r40, %r2;", "what is this operand?"},
        {"add.s32 %r0, 12x, %r2;", "what is this operand?"},
        {"mov.b64 %d0, 0f3F800000;", "what is this operand?"},
        {"add.s32 %x0, %r1, %r2;", "no such register"},
        {"ld.global.u32 %r0, %d0;", "no address"},
        {"ld.global.u32 %r0, [%r1];", "a register of another width"},
        {"ld.global.v2.u32 %r0, [%d0];", "another number of elements"},
        {"ld.const.u32 %r0, [%d0];", "what is .const?"},
        {"ld.global.u64 %r0, [%d0];", "no such access"},
        {"st.param.u32 [k_first], %r0;", "no such access"},
        {"atom.global.max.u32 %r0, [%d0], 1;", "no such atomic operation"},
        {"atom.shared.add.u32 %r0, [%d0], 1;", "no such atomic operation"},
        {".local .b8 stack[16];", "unknown instruction"},
    };
    for (const auto &[line, why] : cases) {
        const std::string said = refusal(line);
        EXPECT_EQ(said.find(begin), 0u) << said;
        EXPECT_NE(said.find(why), std::string::npos) << said;
    }
    EXPECT_NE(refusal("bra nowhere;").find("no label nowhere"), std::string::npos);
    EXPECT_THROW(parse(".visible .func f() { ret; }"), std::runtime_error);
    EXPECT_THROW(parse(".entry k() { ret;"), std::runtime_error);
}

} // namespace
} // namespace ptx

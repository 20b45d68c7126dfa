// The update kernels under the thread emulator: each optimizer's bits are those of dki_update, over
// ranges that begin and end anywhere, with a working copy in each storage type.
#include "simt/kernels.h"

extern "C" {
#include "kernels/optimizer.h"
}

using namespace kernels;

namespace {

const std::vector<dk_optimizer> optimizers = {
#define NAME(KIND) KIND,
    DKI_EACH_OPTIMIZER(NAME)
#undef NAME
};

dki_rule rule_of(dk_optimizer kind) {
    dki_rule rule{};
    rule.kind = kind;
    rule.beta1 = 0.9;
    rule.beta2 = 0.99;
    rule.epsilon = 1e-8f;
    rule.decoupled = kind == DK_ADAMW || kind == DK_LION;
    rule.clip_value = 1.5f;
    return rule;
}

/// Where the regions lie: so many elements after 16 bytes.
struct Offsets {
    size_t parameters, gradients, slot1, slot2, working;
};

/// The regions of one update, the range in their middle.
struct Regions {
    dki_element type;
    Array<float> parameters, gradients, slot1, slot2;
    Matrix working;
    dki_step_state state = state_at(5);
    dki_update_range op{};

    Regions(dki_element type_, const dki_rule &rule, dki_range range, int64_t total,
            Offsets offsets = {}, uint64_t seed = 1)
        : Regions(type_, rule, range, total, offsets, Random(seed)) {}

    int run() { return dki_cuda_update(nullptr, type, &op); }

  private:
    Regions(dki_element type_, const dki_rule &rule, dki_range range, int64_t total,
            Offsets offsets, Random random)
        : type(type_), parameters(random.normal(DKI_ELEMENT_F32, total), offsets.parameters),
          gradients(random.normal(DKI_ELEMENT_F32, total, 1e3), offsets.gradients),
          slot1(squares(random.normal(DKI_ELEMENT_F32, total)), offsets.slot1),
          slot2(squares(random.normal(DKI_ELEMENT_F32, total)), offsets.slot2),
          working(type_, 1, total, {0, static_cast<int64_t>(offsets.working)},
                  Floats(static_cast<size_t>(total), 0.5f)) {
        const int slots = dki_optimizer_slots(rule.kind);
        op.parameters = parameters.data();
        op.gradients = gradients.data();
        op.slot1 = slots >= 1 ? slot1.data() : nullptr;
        op.slot2 = slots >= 2 ? slot2.data() : nullptr;
        op.working = type == DKI_ELEMENT_F32 ? nullptr : working.data();
        op.range = range;
        op.rule = rule;
        op.decay = 0.01f;
        op.state = &state;
        state.rate = {0.125f, 0.4f, 0.3f, 0x1p-10f, 1};
        for (int64_t i = 0; i < total; i += 5) { // moments that come to rest
            gradients.data()[i] = 0.0f;
            slot1.data()[i] = slot2.data()[i] = std::ldexp(1.5f, -118 - static_cast<int>(i % 31));
        }
    }

    static Floats squares(Floats values) {
        for (float &v : values) v = v * v;
        return values;
    }
};

/// What a region holds.
struct Values {
    Floats parameters, slot1, slot2, working;
};

Values values_of(const Regions &regions) {
    return {regions.parameters.read(), regions.slot1.read(), regions.slot2.read(),
            regions.working.read()};
}

/// The scalar formula, element by element.
Values updated(const Regions &regions) {
    Values values = values_of(regions);
    const Floats gradients = regions.gradients.read();
    const dki_update_range &op = regions.op;
    for (int64_t k = op.range.first; k < op.range.first + op.range.count; ++k) {
        const size_t i = static_cast<size_t>(k);
        values.parameters[i] =
            dki_update(op.rule, regions.state.rate, op.decay, values.parameters[i], gradients[i],
                       &values.slot1[i], &values.slot2[i]);
        if (op.working)
            values.working[i] = static_cast<float>(
                rounded(regions.type, static_cast<double>(values.parameters[i])));
    }
    return values;
}

void expect_values(const Values &x, const Values &r, const std::string &what) {
    expect_same(x.parameters, r.parameters, what + " parameters");
    expect_same(x.slot1, r.slot1, what + " slot 1");
    expect_same(x.slot2, r.slot2, what + " slot 2");
    expect_same(x.working, r.working, what + " working copy");
}

// Ranges that begin and end within a pack, at its ends, and both within one; more than a block.
const std::vector<dki_range> ranges = {{0, 1},  {3, 1},  {1, 2},   {2, 3},   {0, 4},    {1, 7},
                                       {4, 31}, {5, 32}, {7, 127}, {8, 128}, {3, 1021}, {6, 2053}};

// Every bit, of every element; those beside the range stay. Fails where an element is missed or
// taken twice, an end of the range is cut wrongly, or an optimizer is given another one's rule.
TEST(UpdateKernel, EveryOptimizerHasTheBitsOfTheFormula) {
    uint64_t order = 0;
    for (const dk_optimizer kind : optimizers)
        for (const dki_element type : elements)
            for (const dki_range range : ranges) {
                simt::set_order(++order % orders.size());
                Regions regions(type, rule_of(kind), range, range.first + range.count + 5);
                const Values expected = updated(regions);
                ASSERT_EQ(0, regions.run());
                expect_values(values_of(regions), expected,
                              element_name(type) + " optimizer " + std::to_string(kind) + " [" +
                                  std::to_string(range.first) + ", +" +
                                  std::to_string(range.count) + ")");
                EXPECT_EQ(0u, regions.state.bad_tick);
            }
    simt::set_order(0);
}

// One region off its 16 bytes (8, for the working copy) is enough for access by elements.
TEST(UpdateKernel, RegionsMayBeginAnywhere) {
    const std::vector<Offsets> all = {{1, 0, 0, 0, 0}, {0, 2, 0, 0, 0}, {0, 0, 3, 0, 0},
                                      {0, 0, 0, 1, 0}, {0, 0, 0, 0, 1}, {0, 0, 0, 0, 2},
                                      {0, 0, 0, 0, 4}, {1, 1, 1, 1, 1}};
    for (const dk_optimizer kind : {DK_ADAM, DK_SGD})
        for (const dki_element type : elements)
            for (const Offsets &offsets : all) {
                Regions regions(type, rule_of(kind), {3, 1021}, 1030, offsets);
                const Values expected = updated(regions);
                ASSERT_EQ(0, regions.run());
                expect_values(values_of(regions), expected, "misaligned " + element_name(type));
            }
}

// More elements than the threads of the largest grid take in one turn.
TEST(UpdateKernel, TheGridGoesRound) {
    const int64_t count = int64_t{8192} * 256 * 4 + 4099;
    Regions regions(DKI_ELEMENT_F32, rule_of(DK_SGD), {0, count}, count);
    const Values expected = updated(regions);
    ASSERT_EQ(0, regions.run());
    expect_same(regions.parameters.read(), expected.parameters, "many");
}

TEST(UpdateKernel, TheWorkingCopyMayBeAbsent) {
    for (const dki_element type : elements) {
        Regions regions(type, rule_of(DK_ADAMW), {1, 100}, 104);
        regions.op.working = nullptr;
        const Values expected = updated(regions);
        ASSERT_EQ(0, regions.run());
        expect_values(values_of(regions), expected, element_name(type));
    }
}

TEST(UpdateKernel, DoesNothingOnceLatchedOrSkipped) {
    for (const dk_optimizer kind : optimizers)
        for (const bool latched : {false, true}) {
            Regions regions(DKI_ELEMENT_BF16, rule_of(kind), {1, 300}, 304);
            if (latched)
                regions.state.bad_tick = 3;
            else
                regions.state.skip = 1;
            const Values before = values_of(regions);
            ASSERT_EQ(0, regions.run());
            expect_values(values_of(regions), before, "still");
            EXPECT_EQ(latched ? 3u : 0u, regions.state.bad_tick);
        }
}

/// Each element is as before or as updated: those that a thread reaches after the latch may stay.
void expect_either(const Floats &x, const Floats &before, const Floats &after, size_t bad,
                   const std::string &what) {
    for (size_t i = 0; i < x.size(); ++i) {
        const bool old = std::memcmp(&x[i], &before[i], sizeof(float)) == 0;
        const bool fresh = std::memcmp(&x[i], &after[i], sizeof(float)) == 0;
        EXPECT_TRUE(i == bad ? old : old || fresh) << what << " " << i;
    }
}

// A gradient that isn't finite is latched, even where clamping would hide it (Inf → 1.5); the
// element and its slots stay. At every place of a pack, in whole packs and in cut ones.
TEST(UpdateKernel, LatchesAGradientThatIsNotFiniteAndLeavesTheElement) {
    for (const dk_optimizer kind : optimizers)
        for (const float g : {INFINITY, -INFINITY, NAN})
            for (const size_t bad : {1, 2, 3, 4, 5, 6, 7, 40, 41}) {
                Regions regions(DKI_ELEMENT_F16, rule_of(kind), {1, 41}, 44);
                const Values before = values_of(regions), after = updated(regions);
                regions.gradients.data()[bad] = g;
                ASSERT_EQ(0, regions.run());
                EXPECT_EQ(5u, regions.state.bad_tick);
                const Values values = values_of(regions);
                const std::string what = "optimizer " + std::to_string(kind);
                expect_either(values.parameters, before.parameters, after.parameters, bad, what);
                expect_either(values.slot1, before.slot1, after.slot1, bad, what);
                expect_either(values.slot2, before.slot2, after.slot2, bad, what);
                EXPECT_TRUE(std::isfinite(values.working[bad]));
            }
}

// θ = 3e38 − (−3e38) overflows with a finite gradient.
TEST(UpdateKernel, LatchesAParameterThatOverflows) {
    for (const dk_optimizer kind : {DK_SGD, DK_MOMENTUM, DK_NESTEROV}) {
        dki_rule rule = rule_of(kind);
        rule.clip_value = 0.0f;
        Regions regions(DKI_ELEMENT_BF16, rule, {0, 8}, 8);
        regions.state.rate = {1.0f, 1.0f, 1.0f, 1.0f, 0};
        regions.op.decay = 0.0f;
        regions.parameters.data()[6] = 3e38f;
        regions.gradients.data()[6] = -3e38f;
        const Values before = values_of(regions);
        ASSERT_EQ(0, regions.run());
        EXPECT_EQ(5u, regions.state.bad_tick);
        EXPECT_EQ(3e38f, regions.parameters.read()[6]);
        EXPECT_EQ(before.slot1[6], regions.slot1.read()[6]);
    }
}

// Beside the range nothing is looked at, nor computed: with ε = 0, a pack's places without an element
// would give 0/0.
TEST(UpdateKernel, SeesNothingBesideTheRange) {
    Regions regions(DKI_ELEMENT_BF16, rule_of(DK_ADAM), {2, 37}, 44);
    for (const size_t beside : {0, 1, 39, 40}) regions.gradients.data()[beside] = NAN;
    regions.op.rule.epsilon = 0.0f;
    ASSERT_EQ(0, regions.run());
    EXPECT_EQ(0u, regions.state.bad_tick);
}

} // namespace

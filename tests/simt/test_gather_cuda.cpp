// The gather kernels under the thread emulator: the bits of the CPU backend's formulas for every
// type of features and every storage type, whatever the strides.
#include "simt/kernels.h"
#include "support_extent.h"

using namespace kernels;

namespace {

template <class In> dk_dtype dtype();
template <> dk_dtype dtype<float>() {
    return DK_F32;
}
template <> dk_dtype dtype<double>() {
    return DK_F64;
}
template <> dk_dtype dtype<uint8_t>() {
    return DK_U8;
}
template <> dk_dtype dtype<int32_t>() {
    return DK_I32;
}
template <> dk_dtype dtype<int64_t>() {
    return DK_I64;
}

/// Any bits of the type, but finite numbers: of the size that people store.
template <class In> In value(Random &random) {
    const uint64_t word = random();
    if (std::is_integral<In>::value) return static_cast<In>(word);
    return static_cast<In>(static_cast<double>(word >> 11) * 0x1p-50 - 4.0);
}

/// How the source's elements lie.
struct Strides {
    int64_t row, col;
};

struct Case {
    dki_element type;
    Size size;
    Place place;
    int64_t source_rows;
    Strides strides;
    size_t offset; ///< of the source
    bool standardise, ordered, at_cursor;
};

/// One gather with all that it reads and writes, and what should come out.
template <class In> struct Gather {
    Case c;
    Array<In> features;
    Doubles shift;
    Floats scale;
    std::vector<int64_t> order;
    Matrix x;
    dki_step_state state = state_at(3);
    dki_gather op{};

    explicit Gather(const Case &c_, uint64_t seed = 1) : Gather(c_, Random(seed)) {}

    int run() { return dki_cuda_gather(nullptr, c.type, &op); }

    int64_t from(int64_t row) const {
        const int64_t position = row + (c.at_cursor ? 5 : 0);
        return c.ordered ? order[static_cast<size_t>(position)] : position;
    }

    Floats expected() {
        Floats values;
        for (int64_t i = 0; i < c.size.rows; ++i)
            for (int64_t j = 0; j < c.size.cols; ++j) {
                const In in = features.data()[from(i) * c.strides.row + j * c.strides.col];
                float v = static_cast<float>(in);
                if (c.standardise) {
                    const size_t k = static_cast<size_t>(j);
                    const double difference = static_cast<double>(in) - shift[k];
                    v = static_cast<float>(difference * static_cast<double>(scale[k]));
                }
                values.push_back(static_cast<float>(rounded(c.type, static_cast<double>(v))));
            }
        return values;
    }

  private:
    Gather(const Case &c_, Random random)
        : c(c_), features(source(c_, random), c_.offset), shift(static_cast<size_t>(c_.size.cols)),
          scale(random.normal(DKI_ELEMENT_F32, c_.size.cols)),
          x(c_.type, c_.size.rows, c_.size.cols, c_.place) {
        for (double &s : shift) s = static_cast<double>(random() % 2048) / 3.0;
        for (int64_t i = 0; i < c.source_rows; ++i)
            order.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(c.source_rows)));
        op.features = features.data();
        op.type = dtype<In>();
        op.row_stride = c.strides.row;
        op.col_stride = c.strides.col;
        op.shift = c.standardise ? shift.data() : nullptr;
        op.scale = c.standardise ? scale.data() : nullptr;
        op.at_cursor = c.at_cursor;
        op.order = c.ordered ? order.data() : nullptr;
        op.x = x.view();
        op.state = &state;
        state.cursor = 5;
    }

    static std::vector<In> source(const Case &c, Random &random) {
        std::vector<In> values(static_cast<size_t>((c.source_rows - 1) * c.strides.row +
                                                   (c.size.cols - 1) * c.strides.col + 1));
        for (In &v : values) v = value<In>(random);
        return values;
    }
};

std::string text(const Case &c) {
    return describe("gather", c.type, c.size, c.place) + "strides " +
           std::to_string(c.strides.row) + ", " + std::to_string(c.strides.col) + " offset " +
           std::to_string(c.offset) + (c.standardise ? " standardised" : "") +
           (c.ordered ? " ordered" : "") + (c.at_cursor ? " at the cursor" : "");
}

template <class In> void expect_bits(const Case &c) {
    Gather<In> gather(c);
    const Floats expected = gather.expected();
    ASSERT_EQ(0, gather.run()) << text(c);
    expect_same(gather.x.read(), expected, text(c));
    EXPECT_EQ(c.at_cursor ? 5u + static_cast<uint64_t>(c.size.rows) : 5u, gather.state.cursor);
}

template <class In> class GatherKernel : public testing::Test {};
using Types = testing::Types<float, double, uint8_t, int32_t, int64_t>;
TYPED_TEST_SUITE(GatherKernel, Types);

// Every size and place, rows packed, padded and interleaved, transposed sources, ragged starts.
// Fails where an element of a cut pack is missed, a stride is taken wrongly, padding is written, or
// shift and scale belong to another column or row.
TYPED_TEST(GatherKernel, HasTheBitsOfTheFormula) {
    uint64_t turn = 0;
    for (const dki_element type : elements)
        for (const Size &size : sizes)
            for (const Place &place : places) {
                const int64_t source_rows = size.rows + 9, wide = size.cols;
                const std::vector<Strides> all = {{wide, 1},
                                                  {(wide + 15) / 16 * 16, 1},
                                                  {wide + 5, 1},
                                                  {3 * wide, 3},
                                                  {1, source_rows}};
                simt::set_order(turn % orders.size());
                const Strides strides = all[turn % 5 == 0 ? turn / 5 % 5 : turn % 5];
                expect_bits<TypeParam>({type, size, place, source_rows, strides, turn % 3,
                                        turn % 2 == 0, turn % 4 < 2, turn % 8 < 4});
                ++turn;
            }
    simt::set_order(0);
}

// The path of a training step, in every storage type: packed rows of whole packs, in the shuffled
// order, at the cursor.
TYPED_TEST(GatherKernel, PackedRows) {
    for (const dki_element type : elements)
        for (const bool standardise : {false, true})
            for (const uint64_t order : orders) {
                simt::set_order(order);
                expect_bits<TypeParam>(
                    {type, {37, 784}, {0, 0}, 60, {784, 1}, 0, standardise, true, true});
            }
    simt::set_order(0);
}

// More rows, and more columns, than the largest grid takes in one turn.
TEST(GatherKernels, TheGridGoesRound) {
    if (!support::tries_long_cases()) GTEST_SKIP() << "2 million threads";
    const int64_t rows = int64_t{8192} * 256 + 300, cols = int64_t{8192} * 256 * 4 + 9;
    expect_bits<uint8_t>(
        {DKI_ELEMENT_F32, {rows, 1}, {0, 0}, rows + 9, {1, 1}, 0, true, false, true});
    expect_bits<uint8_t>({DKI_ELEMENT_F32, {2, cols}, {0, 0}, 3, {cols, 1}, 0, true, true, false});
}

namespace {

/// Labels, weights and targets of the rows of one batch.
void expect_answers(const Size &size, int64_t target_cols, bool standardise) {
    const Case c = {
        DKI_ELEMENT_BF16, size, {0, 0}, size.rows + 9, {size.cols, 1}, 0, true, true, true};
    Gather<float> gather(c);
    Random random(7);
    Doubles targets; // more digits than floats have
    for (float value : random.normal(DKI_ELEMENT_F32, c.source_rows * target_cols))
        targets.push_back(static_cast<double>(value) / 3.0);
    const Floats weights = random.normal(DKI_ELEMENT_F32, c.source_rows);
    const Floats scale = random.normal(DKI_ELEMENT_F32, target_cols);
    Doubles shift(scale.begin(), scale.end());
    for (double &s : shift) s *= 1.0 / 3.0;
    std::vector<int32_t> labels;
    for (int64_t i = 0; i < c.source_rows; ++i) labels.push_back(static_cast<int32_t>(random()));
    const size_t rows = static_cast<size_t>(size.rows);
    const size_t wide = static_cast<size_t>(target_cols);
    Array<int32_t> labels_out = Array<int32_t>::of(rows);
    Array<float> weights_out = Array<float>::of(rows);
    Array<float> targets_out = Array<float>::of(rows * wide);
    gather.op.labels_in = labels.data();
    gather.op.labels = labels_out.data();
    gather.op.weights_in = weights.data();
    gather.op.weights = weights_out.data();
    gather.op.targets_in = targets.data();
    gather.op.targets = targets_out.data();
    gather.op.target_cols = target_cols;
    if (standardise) {
        gather.op.target_shift = shift.data();
        gather.op.target_scale = scale.data();
    }
    ASSERT_EQ(0, gather.run());
    std::vector<int32_t> expected_labels;
    Floats expected_weights, expected_targets;
    for (int64_t i = 0; i < size.rows; ++i) {
        const size_t from = static_cast<size_t>(gather.from(i));
        expected_labels.push_back(labels[from]);
        expected_weights.push_back(weights[from]);
        for (size_t j = 0; j < wide; ++j) {
            const double y = targets[from * wide + j], difference = y - shift[j];
            expected_targets.push_back(
                static_cast<float>(standardise ? difference * static_cast<double>(scale[j]) : y));
        }
    }
    EXPECT_EQ(expected_labels, labels_out.read());
    expect_same(weights_out.read(), expected_weights, "weights");
    expect_same(targets_out.read(), expected_targets, "targets");
}

} // namespace

// Labels, weights and targets of the same rows; targets in double, as on the CPU; more rows, too, than
// the grid takes at a time.
TEST(GatherKernels, BringsTheAnswersOfTheSameRows) {
    for (const Size &size : sizes)
        for (const int64_t target_cols : {1, 3, 33, 700})
            for (const bool standardise : {false, true})
                expect_answers(size, target_cols, standardise);
    if (support::tries_long_cases()) expect_answers({int64_t{8192} * 256 + 300, 1}, 1, false);
}

/// The tick that is latched when the source's element (row, col) of 20×13 is `bad`, and rows 5 … 14
/// are taken.
template <class In>
uint64_t latched(dki_element type, In bad, int64_t row, int64_t col, int64_t padding = 0) {
    const Case c = {type, {10, 13}, {3, 0}, 20, {13 + padding, 1}, 0, false, false, true};
    Gather<In> gather(c);
    for (int64_t i = 0; i < 20; ++i)
        for (int64_t j = 0; j < 13; ++j) gather.features.data()[i * (13 + padding) + j] = In(1);
    gather.features.data()[row * (13 + padding) + col] = bad;
    EXPECT_EQ(0, gather.run());
    EXPECT_EQ(15u, gather.state.cursor);
    return gather.state.bad_tick;
}

// X is looked at as it is stored: what is finite in the source may be beyond the type. 65520 is the
// least number that fp16 rounds to infinity.
TEST(GatherKernels, LatchesWhatIsNotFiniteInX) {
    for (const dki_element type : elements)
        for (const int64_t padding : {0, 3})
            for (int64_t col = 0; col < 13; ++col)
                for (const int64_t row : {5, 14}) {
                    EXPECT_EQ(3u, latched<float>(type, NAN, row, col, padding));
                    EXPECT_EQ(3u, latched<float>(type, -INFINITY, row, col, padding));
                    EXPECT_EQ(3u, latched<double>(type, 1e300, row, col, padding));
                }
    for (const int64_t row : {4, 15}) EXPECT_EQ(0u, latched<float>(DKI_ELEMENT_F32, NAN, row, 3));
    EXPECT_EQ(3u, latched<int32_t>(DKI_ELEMENT_F16, 65520, 7, 12));
    EXPECT_EQ(0u, latched<int32_t>(DKI_ELEMENT_F16, 65519, 7, 12));
    EXPECT_EQ(0u, latched<int32_t>(DKI_ELEMENT_BF16, 65520, 7, 12));
}

TEST(GatherKernels, KeepsTheFirstBadTick) {
    const Case c = {DKI_ELEMENT_F32, {4, 4}, {0, 0}, 13, {4, 1}, 0, false, false, false};
    Gather<float> gather(c);
    gather.state.bad_tick = 2;
    gather.features.data()[0] = NAN;
    ASSERT_EQ(0, gather.run());
    EXPECT_EQ(2u, gather.state.bad_tick);
}

} // namespace

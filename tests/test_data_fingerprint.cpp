// The hash by which a resumed run knows its data: every label, target and weight is in it, all of each.
#include "support_context.h"

extern "C" {
#include "data/dataset.h"
}

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace {

constexpr int64_t rows = 5, outputs = 2;

/// A set that a test may change one number of.
struct Numbers {
    std::vector<double> x = std::vector<double>(rows, 0.5);
    std::vector<int32_t> labels = std::vector<int32_t>(rows, 1);
    std::vector<float> targets = std::vector<float>(rows * outputs, 1);
    std::vector<double> wide = std::vector<double>(rows * outputs, 1);
    std::vector<float> weights = std::vector<float>(rows, 1);
};

enum class Answers { labels, targets, wide };

std::string fingerprint(support::BareContext &context, const Numbers &of, Answers answers) {
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = rows;
    arrays.features = 1;
    arrays.x = of.x.data();
    arrays.x_type = DK_F64;
    if (answers == Answers::labels) arrays.labels = of.labels.data();
    if (answers == Answers::targets) arrays.targets = of.targets.data();
    if (answers == Answers::wide) arrays.targets_f64 = of.wide.data();
    arrays.classes = 3;
    arrays.target_count = outputs;
    arrays.weights = of.weights.data();
    dk_dataset *set = nullptr;
    EXPECT_EQ(dk_dataset_from_arrays(&set, context.get(), &arrays), DK_OK) << dk_error_text();
    char text[DKI_HASH_TEXT];
    EXPECT_EQ(dki_dataset_fingerprint(set, text), DK_OK);
    dk_dataset_destroy(set);
    return text;
}

// Breaks if bytes of a number are left out: 1 and 2 differ in the upper half of a double alone, 1 and
// its neighbour in the lower one.
TEST(Fingerprint, HoldsEveryAnswerAndWeight) {
    support::BareContext context;
    const Numbers old;
    for (Answers answers : {Answers::labels, Answers::targets, Answers::wide})
        EXPECT_EQ(fingerprint(context, old, answers), fingerprint(context, Numbers(), answers));
    EXPECT_EQ(fingerprint(context, old, Answers::targets),
              fingerprint(context, old, Answers::wide));
    const auto differs = [&](Answers answers, const std::function<void(Numbers &)> &change) {
        Numbers other;
        change(other);
        return fingerprint(context, other, answers) != fingerprint(context, old, answers);
    };
    for (size_t i = 0; i < size_t{rows}; ++i) {
        EXPECT_TRUE(differs(Answers::labels, [=](Numbers &n) { n.labels[i] = 2; })) << i;
        EXPECT_TRUE(differs(Answers::labels, [=](Numbers &n) { n.weights[i] = 2; })) << i;
        EXPECT_TRUE(differs(Answers::labels, [=](Numbers &n) { n.x[i] = 2; })) << i;
    }
    for (size_t i = 0; i < size_t{rows * outputs}; ++i) {
        EXPECT_TRUE(differs(Answers::targets, [=](Numbers &n) { n.targets[i] = 2; })) << i;
        EXPECT_TRUE(differs(Answers::wide, [=](Numbers &n) { n.wide[i] = 2; })) << i;
        EXPECT_TRUE(differs(Answers::wide, [=](Numbers &n) { n.wide[i] = std::nextafter(1, 2); }))
            << i;
    }
}

} // namespace

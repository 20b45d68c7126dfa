// dk_dataset_open, dk_dataset_from_arrays and dk_dataset_read: tables, names and the caller's
// arrays, what is inferred from the labels, and every way of being wrong that isn't a matter of one
// file format alone.
#include "support_open.h"

extern "C" {
#include "base/number.h"
#include "model/net.h"
}

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace {

using support::bytes_of;
using support::floats;
using support::idx;
using support::ints;
using support::names;
using support::npy;

struct Open : support::OpenTest {};

// ----- tables -----

TEST_F(Open, ATableOfWholeLabelsIsAClassification) {
    for (bool gz : {false, true}) {
        const std::string text = "1,2,7\n3,4,1\n5,6,7\n8,9,2\n";
        open(gz ? folder.write_gz("t.csv.gz", text) : folder.write("t.csv", text));
        EXPECT_EQ(info.task, DK_TASK_CLASSIFICATION);
        EXPECT_EQ(info.x_type, DK_F64);
        EXPECT_FALSE(info.image);
        EXPECT_FALSE(info.mapped);
        EXPECT_EQ(x(), (floats{1, 2, 3, 4, 5, 6, 8, 9}));
        EXPECT_EQ(labels(), (ints{2, 0, 2, 1}));
        EXPECT_EQ(classes(), (names{"1", "2", "7"}));
        EXPECT_EQ(dk_dataset_class_name(set, -1), nullptr);
        EXPECT_EQ(dk_dataset_class_name(set, 3), nullptr);
    }
}

TEST_F(Open, NumbersAreOrderedByValueAndTextByBytes) {
    open(folder.write("n.csv", "0,10\n0,9\n0,-3\n0,9\n"));
    EXPECT_EQ(classes(), (names{"-3", "9", "10"}));
    EXPECT_EQ(labels(), (ints{2, 1, 0, 1}));
    open(folder.write("t.csv", "0,setosa\n0,Virginica\n0,iris versicolor\n0,setosa\n"));
    EXPECT_EQ(info.task, DK_TASK_CLASSIFICATION);
    EXPECT_EQ(classes(), (names{"Virginica", "iris versicolor", "setosa"}));
    EXPECT_EQ(labels(), (ints{2, 0, 1, 2}));
}

TEST_F(Open, FractionsOrManyValuesAreARegression) {
    open(folder.write("f.csv", "0,1.5\n0,2\n"));
    EXPECT_EQ(info.task, DK_TASK_REGRESSION);
    EXPECT_EQ(info.targets, 1);
    EXPECT_EQ(targets(), (floats{1.5f, 2}));
    EXPECT_TRUE(classes().empty());
    for (int different : {100, 101}) {
        std::string text;
        for (int i = 0; i < 2 * different; ++i) text += "0," + std::to_string(i / 2) + "\n";
        open(folder.write("m.csv", text));
        EXPECT_EQ(info.task, different <= 100 ? DK_TASK_CLASSIFICATION : DK_TASK_REGRESSION);
    }
}

TEST_F(Open, TheTaskCanBeSaid) {
    const std::string path = folder.write("t.csv", "0,1\n0,2\n0,2.5\n");
    options.task = DK_TASK_CLASSIFICATION;
    open(path);
    EXPECT_EQ(classes(), (names{"1", "2", "2.5"}));
    EXPECT_EQ(labels(), (ints{0, 1, 2}));
    options.task = DK_TASK_REGRESSION;
    open(folder.write("u.csv", "0,1\n0,2\n"));
    EXPECT_EQ(targets(), (floats{1, 2}));
    options.task = DK_TASK_NONE;
    open(path);
    EXPECT_EQ(info.features, 2);
    EXPECT_EQ(info.task, DK_TASK_NONE);
    EXPECT_EQ(x(), (floats{0, 1, 0, 2, 0, 2.5f}));
    int32_t label;
    float target;
    EXPECT_EQ(dk_dataset_read(set, 0, 1, nullptr, &label, nullptr), DK_E_STATE);
    EXPECT_EQ(dk_dataset_read(set, 0, 1, nullptr, nullptr, &target), DK_E_STATE);
}

TEST_F(Open, TheLabelColumnCanBeChosen) {
    const std::string path = folder.write("t.csv", "a,kind,b\n1,x,2\n3,y,4\n5,x,6\n");
    for (const char *column : {"kind", "1"}) {
        options.label_column = column;
        open(path);
        EXPECT_EQ(x(), (floats{1, 2, 3, 4, 5, 6}));
        EXPECT_EQ(classes(), (names{"x", "y"}));
    }
    options.label_column = "first";
    open(folder.write("u.csv", "1,10,11\n2,20,21\n"));
    EXPECT_EQ(x(), (floats{10, 11, 20, 21}));
    EXPECT_EQ(labels(), (ints{0, 1}));
}

TEST_F(Open, AtMostSoManyRows) {
    const std::string path = folder.write("t.csv", "1,1\n2,2\n3,3\n");
    for (int64_t rows : {1, 2, 3, 9}) {
        options.rows = rows;
        open(path);
        EXPECT_EQ(info.rows, std::min<int64_t>(rows, 3));
        EXPECT_EQ(info.targets, info.rows); // classes of the rows that were read
    }
}

TEST_F(Open, TablesThatAreWrong) {
    fails(folder.write("empty.csv", ""), DK_E_DATA, {"empty.csv"});
    fails(folder.write("header.csv", "a,b\n"), DK_E_STATE, {"header.csv"});
    fails(folder.write("ragged.csv", "1,2\n3,4,5\n"), DK_E_DATA, {"ragged.csv", "2"});
    fails(folder.write("text.csv", "1,2,0\n3,x,0\n4,5,0\n"), DK_E_DATA, {"text.csv", "2"});
    fails(folder.write("nan.csv", "1,0\nnan,0\n"), DK_E_NONFINITE, {"nan.csv"});
    fails(folder.write("one.csv", "1\n2\n"), DK_E_DATA, {"one.csv"});
    options.label_column = "colour";
    fails(folder.write("name.csv", "a,b\n1,2\n"), DK_E_ARGUMENT, {"colour"});
}

TEST_F(Open, ARegressionNeedsNumbers) {
    options.task = DK_TASK_REGRESSION;
    fails(folder.write("t.csv", "1,2\n3,4\n5,large\n6,7\n"), DK_E_DATA,
          {"t.csv", "line 3", "\"large\"", "no number"});
    fails(folder.write("h.csv", "1,2\n5,1e300\n"), DK_E_NONFINITE, {"h.csv", "row 1", "range"});
}

TEST_F(Open, ThousandsOfFractionsCantBeClasses) {
    std::string text;
    for (int i = 0; i < 1001; ++i) text += "0," + std::to_string(i) + ".5\n";
    options.task = DK_TASK_CLASSIFICATION;
    fails(folder.write("t.csv", text), DK_E_DATA, {"1001", "regression"});
}

// A file of another kind is named, with the way out, and isn't blamed for what it isn't.
TEST_F(Open, FilesOfOtherKindsAreNamed) {
    const std::pair<std::string, const char *> cases[] = {
        {std::string("PK\003\004\0\0", 6), "ZIP archive (.npz"},
        {std::string("\211HDF\r\n\032\n\0", 9), "HDF5"},
        {std::string("PAR1\0", 5), "Parquet"},
        {"\200\004\225", "pickle"},
        {"\3757zXZ", "xz"},
        {"\377\376a", "UTF-16"},
        {"{\"a\": 1}\n", "JSON"},
        {"[[1, 2]]", "JSON"},
        {"+1 1:0.5 3:2\n", "libsvm"},
        {"# made by hand\n1,2\n", "comment"},
        {"a,b\r1,2\r", "CR alone"},
        {"sep=;\n1;2\n", "Excel"},
        {"1 2.5 -3e2\r\n4 5 6\n", "separated by blanks"},
    };
    for (const auto &[bytes, kind] : cases) fails(folder.write("t.csv", bytes), DK_E_DATA, {kind});
    fails(folder.write("t.csv", "1,5;2\n2,5;3\n"), DK_E_DATA, {"decimal commas"});
    open(folder.write("t.csv", "1 , 2\n3 , 4\n")); // blanks around a separator
}

// ----- like another set -----

TEST_F(Open, LikeAnotherSetKeepsItsClasses) {
    dk_dataset *model = nullptr;
    const std::string first = folder.write("first.csv", "1,2,1\n3,4,2\n5,6,3\n");
    ASSERT_EQ(dk_dataset_open(&model, context.get(), first.c_str(), nullptr), DK_OK);
    options.like = model;
    open(folder.write("second.csv", "9,9,3\n8,8,1\n")); // one class is absent
    EXPECT_EQ(info.task, DK_TASK_CLASSIFICATION);
    EXPECT_EQ(info.targets, 3);
    EXPECT_EQ(labels(), (ints{2, 0}));
    EXPECT_EQ(classes(), (names{"1", "2", "3"}));
    fails(folder.write("u.csv", "1,1,1\n2,2,4\n"), DK_E_DATA,
          {"u.csv", "line 2", "unknown label \"4\"", "1, 2, 3"});
    fails(folder.write("s.csv", "1,1,1\n2,2,3.0\n"), DK_E_DATA, {"line 2", "\"3.0\""});
    fails(folder.write("w.csv", "1,1,1,1\n"), DK_E_SHAPE, {"3 features", "expected are 2"});
    options.task = DK_TASK_NONE;
    open(folder.write("x.csv", "1,2,1\n")); // the label, where it was, is left out
    EXPECT_EQ(info.features, 2);
    fails(folder.write("z.csv", "1,2,1,1\n"), DK_E_SHAPE, {"4 features", "expected are 2"});
    open(folder.write("y.csv", "1,2\n"));
    EXPECT_EQ(info.features, 2);
    options.task = DK_TASK_REGRESSION;
    fails(first, DK_E_ARGUMENT, {"regression", "classification"});
    dk_dataset_destroy(model);
}

TEST_F(Open, LikeASetOfTextLabelsSuggestsTheNearest) {
    dk_dataset *model = nullptr;
    const std::string first = folder.write("first.csv", "1,setosa\n3,virginica\n");
    ASSERT_EQ(dk_dataset_open(&model, context.get(), first.c_str(), nullptr), DK_OK);
    options.like = model;
    fails(folder.write("u.csv", "1,setosa\n2,virginca\n"), DK_E_DATA,
          {"line 2", "\"virginca\"", "did you mean \"virginica\""});
    dk_dataset_destroy(model);
}

TEST_F(Open, LikeARegressionReadsNumbers) {
    dk_dataset *model = nullptr;
    const std::string first = folder.write("first.csv", "1,0.5\n3,1.5\n");
    ASSERT_EQ(dk_dataset_open(&model, context.get(), first.c_str(), nullptr), DK_OK);
    options.like = model;
    open(folder.write("second.csv", "1,1\n2,2\n")); // by itself: classes
    EXPECT_EQ(info.task, DK_TASK_REGRESSION);
    EXPECT_EQ(targets(), (floats{1, 2}));
    fails(folder.write("u.csv", "1,one\n"), DK_E_DATA, {"\"one\""});
    dk_dataset_destroy(model);
}

TEST_F(Open, LikeASetWithoutNamesReadsIndices) {
    const float values[] = {1, 2};
    const int32_t classes_of[] = {0, 4};
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = 2;
    arrays.features = 1;
    arrays.x = values;
    arrays.labels = classes_of;
    arrays.classes = 5;
    dk_dataset *model = nullptr;
    ASSERT_EQ(dk_dataset_from_arrays(&model, context.get(), &arrays), DK_OK);
    options.like = model;
    open(folder.write("t.csv", "1,3\n1,4\n"));
    EXPECT_EQ(labels(), (ints{3, 4}));
    EXPECT_EQ(info.targets, 5);
    for (const char *label : {"5", "-1", "1.5"})
        fails(folder.write("u.csv", "1,0\n1," + std::string(label) + "\n"), DK_E_DATA,
              {"line 2", label, "0 … 4"});
    fails(folder.write("v.csv", "1,cat\n"), DK_E_DATA, {"\"cat\"", "indices"});
    dk_dataset_destroy(model);
}

// A network stands for the data it was made for; one that was made by hand, by its loss.
TEST_F(Open, LikeANetwork) {
    dk_layer layer = DK_LAYER_INIT;
    layer.width = 3;
    char cat[] = "cat", dog[] = "dog", eel[] = "eel";
    char *named[] = {eel, cat, dog}; // in an order of its own
    dk_net net{};
    net.desc.inputs = 2;
    net.desc.layer_count = 1;
    net.desc.loss = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    net.layers = &layer;
    net.task = DK_TASK_CLASSIFICATION;
    net.class_names = named;
    options.like_net = &net;
    open(folder.write("t.csv", "1,2,dog\n3,4,eel\n"));
    EXPECT_EQ(labels(), (ints{2, 0}));
    EXPECT_EQ(classes(), (names{"eel", "cat", "dog"}));
    fails(folder.write("u.csv", "1,2,3,dog\n"), DK_E_SHAPE, {"3 features", "expected are 2"});
    net.task = DK_TASK_AUTO;
    net.class_names = nullptr;
    open(folder.write("v.csv", "1,2,2\n"));
    EXPECT_EQ(labels(), (ints{2}));
    net.desc.loss = DK_LOSS_MSE;
    fails(folder / "v.csv", DK_E_SHAPE, {"1 targets", "expected are 3"});
    layer.width = 1;
    open(folder / "v.csv");
    EXPECT_EQ(targets(), (floats{2}));
    options.like = set;
    fails(folder / "v.csv", DK_E_ARGUMENT, {"like_net"});
}

// The two real regressions keep their task, though some of their columns are whole numbers.
TEST_F(Open, RealRegressions) {
    const char *data = std::getenv("DELTAK_DATA");
    const std::string path = std::string(data ? data : "../shared/data") + "/uci/";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
    open(path + "protein.csv.gz");
    EXPECT_EQ(info.task, DK_TASK_REGRESSION);
    EXPECT_EQ(info.rows, 45730);
    EXPECT_EQ(info.features, 9);
    open(path + "bike.csv.gz");
    EXPECT_EQ(info.task, DK_TASK_REGRESSION);
    EXPECT_EQ(info.rows, 17379);
    EXPECT_EQ(info.features, 17);
}

// ----- names -----

TEST_F(Open, TheBuiltInDigits) {
    open("builtin:digits");
    EXPECT_EQ(info.rows, 1797);
    EXPECT_EQ(info.features, 64);
    EXPECT_EQ(info.image_rows, 8);
    EXPECT_EQ(info.image_cols, 8);
    EXPECT_EQ(info.targets, 10);
    EXPECT_EQ(classes(), (names{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
    for (float value : x()) ASSERT_TRUE(value >= 0 && value <= 16);
    EXPECT_EQ(labels()[0], 0);
    EXPECT_EQ(labels()[1], 1);
}

TEST_F(Open, UnknownNamesSuggestTheNearest) {
    fails("builtin:digit", DK_E_ARGUMENT, {"did you mean \"builtin:digits\""});
    fails("synth:spiral", DK_E_ARGUMENT, {"did you mean \"synth:spirals\""});
    fails("synth:", DK_E_ARGUMENT, {"synth:teacher"});
    fails("bultin:digits", DK_E_IO, {"did you mean \"builtin:digits\""});
    fails(folder / "absent.csv", DK_E_IO, {"absent.csv", "No such file"});
    fails(folder.path(), DK_E_DATA, {"x.npy"});
    fails("", DK_E_ARGUMENT, {"empty"});
}

TEST_F(Open, ArgumentsThatAreWrong) {
    dk_dataset *none = nullptr;
    EXPECT_EQ(dk_dataset_open(nullptr, context.get(), "x", nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(dk_dataset_open(&none, nullptr, "x", nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(dk_dataset_open(&none, context.get(), nullptr, nullptr), DK_E_ARGUMENT);
    options.size = 4;
    fails("synth:spirals", DK_E_ARGUMENT, {"size"});
    options.size = sizeof options + 8;
    fails("synth:spirals", DK_E_ARGUMENT, {"size"});
    options.size = sizeof options;
    options.rows = -1;
    fails("synth:spirals", DK_E_ARGUMENT, {"negative"});
    options.rows = 0;
    options.task = static_cast<dk_task>(9);
    fails("synth:spirals", DK_E_ARGUMENT, {"task 9"});
    options.task = DK_TASK_AUTO;
    options.part = DK_PART_TEST;
    fails(folder.write("t.csv", "1,2\n"), DK_E_STATE, {"no test part"});
    EXPECT_EQ(dk_dataset_describe(nullptr, &info), DK_E_ARGUMENT);
    EXPECT_EQ(dk_dataset_class_name(nullptr, 0), nullptr);
    dk_dataset_destroy(nullptr);
}

// ----- the caller's arrays -----

TEST_F(Open, ArraysThatAreWrong) {
    const floats values = {1, 2, 3, 4}, bad = {1, 2, 3, INFINITY}, weights = {1, -1};
    const ints classes_of = {0, 2};
    dk_arrays good = DK_ARRAYS_INIT;
    good.rows = 2;
    good.features = 2;
    good.x = values.data();
    struct Case {
        std::function<void(dk_arrays &)> change;
        dk_status status;
        const char *text;
    };
    const Case cases[] = {
        {[&](dk_arrays &a) { a.x = nullptr; }, DK_E_ARGUMENT, "x is NULL"},
        {[&](dk_arrays &a) { a.rows = 0; }, DK_E_SHAPE, "0 × 2"},
        {[&](dk_arrays &a) { a.features = -1; }, DK_E_SHAPE, "2 × -1"},
        {[&](dk_arrays &a) { a.rows = a.features = int64_t{1} << 40; }, DK_E_SHAPE, "address"},
        {[&](dk_arrays &a) { a.x_type = static_cast<dk_dtype>(7); }, DK_E_ARGUMENT, "x_type"},
        {[&](dk_arrays &a) { a.x = bad.data(); }, DK_E_NONFINITE, "feature 1 of row 1"},
        {[&](dk_arrays &a) { a.labels = classes_of.data(); }, DK_E_SHAPE, "classes"},
        {[&](dk_arrays &a) { a.labels = classes_of.data(), a.classes = 2; }, DK_E_DATA, "label 2"},
        {[&](dk_arrays &a) { a.targets = values.data(); }, DK_E_SHAPE, "target_count"},
        {[&](dk_arrays &a) { a.targets = bad.data(), a.target_count = 2; }, DK_E_NONFINITE, "1"},
        {[&](dk_arrays &a) { a.labels = classes_of.data(), a.targets = values.data(); },
         DK_E_ARGUMENT, "labels and targets"},
        {[&](dk_arrays &a) { a.weights = weights.data(); }, DK_E_DATA, "weight -1"},
        {[&](dk_arrays &a) { a.size = 0; }, DK_E_ARGUMENT, "size"},
    };
    for (const Case &c : cases) {
        dk_arrays arrays = good;
        c.change(arrays);
        dk_dataset *none = nullptr;
        EXPECT_EQ(dk_dataset_from_arrays(&none, context.get(), &arrays), c.status) << c.text;
        EXPECT_EQ(none, nullptr);
        EXPECT_NE(std::string(dk_error_text()).find(c.text), std::string::npos)
            << c.text << " in " << dk_error_text();
    }
}

TEST_F(Open, ReadsRowsOfThePartAsked) {
    const floats values = {1, 2, 3, 4, 5, 6};
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = 3;
    arrays.features = 2;
    arrays.x = values.data();
    ASSERT_EQ(dk_dataset_from_arrays(&set, context.get(), &arrays), DK_OK);
    float read[4];
    ASSERT_EQ(dk_dataset_read(set, 1, 2, read, nullptr, nullptr), DK_OK);
    EXPECT_EQ(floats(read, read + 4), (floats{3, 4, 5, 6}));
    EXPECT_EQ(dk_dataset_read(set, 2, 2, read, nullptr, nullptr), DK_E_SHAPE);
    EXPECT_EQ(dk_dataset_read(set, -1, 1, read, nullptr, nullptr), DK_E_SHAPE);
    EXPECT_EQ(dk_dataset_read(set, 1, INT64_MAX, read, nullptr, nullptr), DK_E_SHAPE);
    EXPECT_EQ(dk_dataset_read(set, 3, 0, read, nullptr, nullptr), DK_OK);
}

// ----- memory -----

TEST_F(Open, SurvivesEveryFailedAllocation) {
    folder.write("x.npy", npy("<f4", false, "(2, 2)", bytes_of(floats{1, 2, 3, 4})));
    folder.write("y.npy", npy("<i8", false, "(2,)", bytes_of(std::vector<int64_t>{500, 7})));
    const std::string sources[] = {
        folder.write("t.csv", "a,b\n1,cat\n2,dog\n"),
        folder.write("n.csv", "1,1.0\n2,2\n"),
        folder.write("m.npy", npy("<f4", false, "(2, 2)", bytes_of(floats{1, 0, 2, 1}))),
        folder.write("i-images-idx3-ubyte", idx({1, 1, 2}, "xy")),
        folder.path(),
        "builtin:digits",
        "synth:spirals",
        "synth:teacher",
    };
    folder.write("i-labels-idx1-ubyte", idx({1}, "a"));
    for (const std::string &source : sources) {
        const long before = context.live();
        for (int n = 1;; ++n) {
            dk_dataset *made = nullptr;
            context.fail_at(n);
            const dk_status status = dk_dataset_open(&made, context.get(), source.c_str(), nullptr);
            const bool failed = context.failed();
            context.fail_at(0);
            if (!failed) {
                EXPECT_EQ(status, DK_OK) << dk_error_text();
                EXPECT_GT(n, 4);
                dk_dataset_destroy(made);
                break;
            }
            ASSERT_EQ(status, DK_E_MEMORY) << source << " " << n << ": " << dk_error_text();
            ASSERT_EQ(made, nullptr);
            ASSERT_EQ(context.live(), before) << source << " " << n;
        }
    }
}

// ----- numbers as text -----

TEST(Number, TheShortestTextReadsBack) {
    const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "0"},
                 {7, "7"},
                 {-12, "-12"},
                 {0.1, "0.1"},
                 {2.5, "2.5"},
                 {1e100, "1e+100"},
                 {1.0 / 3, "0.3333333333333333"},
                 {0x1p53, "9007199254740992"}};
    bool is_number = false;
    for (const auto &c : cases) {
        char text[DKI_NUMBER_TEXT];
        dki_number_text(c.value, text);
        EXPECT_STREQ(text, c.text);
        double value = -1;
        EXPECT_EQ(dki_number_parse(text, &value, &is_number), DK_OK);
        EXPECT_TRUE(is_number);
        EXPECT_EQ(value, c.value);
    }
    double value;
    for (const char *text : {"", "x", "1x", "nan", "inf", "0x10", "1 ", " 1", "1e999", "-"}) {
        EXPECT_EQ(dki_number_parse(text, &value, &is_number), DK_OK);
        EXPECT_FALSE(is_number) << text;
    }
}

} // namespace

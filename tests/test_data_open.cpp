// dk_dataset_open, dk_dataset_from_arrays and dk_dataset_read: every source, what is inferred from
// the labels, and every way of being wrong that isn't a matter of one file format alone.
#include "support_context.h"
#include "support_data.h"

extern "C" {
#include "data/dataset.h"
#include "data/number.h"
}

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace {

using support::bytes_of;
using support::idx;
using support::npy;

struct Open : ::testing::Test {
    support::BareContext context;
    support::Folder folder;
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    dk_dataset *set = nullptr;
    dk_dataset_info info{};

    ~Open() override { dk_dataset_destroy(set); }

    // Opens in place of the set before; describes it.
    void open(const std::string &source) {
        dk_dataset_destroy(set);
        set = nullptr;
        ASSERT_EQ(dk_dataset_open(&set, context.get(), source.c_str(), &options), DK_OK)
            << dk_error_text();
        ASSERT_EQ(dk_dataset_describe(set, &info), DK_OK);
    }
    // Expects a failure whose text holds all of `parts`.
    void fails(const std::string &source, dk_status status, const std::vector<std::string> &parts) {
        dk_dataset *none = set;
        EXPECT_EQ(dk_dataset_open(&none, context.get(), source.c_str(), &options), status)
            << dk_error_text();
        EXPECT_EQ(none, nullptr);
        for (const std::string &part : parts)
            EXPECT_NE(std::string(dk_error_text()).find(part), std::string::npos)
                << "no \"" << part << "\" in: " << dk_error_text();
    }
    std::vector<float> x() const {
        std::vector<float> values(info.rows * info.features);
        EXPECT_EQ(dk_dataset_read(set, 0, info.rows, values.data(), nullptr, nullptr), DK_OK);
        return values;
    }
    std::vector<int32_t> labels() const {
        std::vector<int32_t> values(info.rows);
        EXPECT_EQ(dk_dataset_read(set, 0, info.rows, nullptr, values.data(), nullptr), DK_OK)
            << dk_error_text();
        return values;
    }
    std::vector<float> targets() const {
        std::vector<float> values(info.rows * info.targets);
        EXPECT_EQ(dk_dataset_read(set, 0, info.rows, nullptr, nullptr, values.data()), DK_OK)
            << dk_error_text();
        return values;
    }
    std::vector<std::string> classes() const {
        std::vector<std::string> names;
        for (int64_t c = 0; const char *name = dk_dataset_class_name(set, c); ++c)
            names.push_back(name);
        return names;
    }
};

using floats = std::vector<float>;
using ints = std::vector<int32_t>;
using names = std::vector<std::string>;

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
    fails(folder.write("header.csv", "a,b\n"), DK_E_DATA, {"header.csv"});
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

// ----- like another set -----

TEST_F(Open, LikeAnotherSetKeepsItsClasses) {
    dk_dataset *model = nullptr;
    const std::string first = folder.write("first.csv", "1,2,1\n3,4,2\n5,6,3\n");
    ASSERT_EQ(dk_dataset_open(&model, context.get(), first.c_str(), nullptr), DK_OK);
    options.like = model;
    // One class is absent, and numbers are written in another way.
    open(folder.write("second.csv", "9,9,3.0\n8,8,1\n"));
    EXPECT_EQ(info.task, DK_TASK_CLASSIFICATION);
    EXPECT_EQ(info.targets, 3);
    EXPECT_EQ(labels(), (ints{2, 0}));
    EXPECT_EQ(classes(), (names{"1", "2", "3"}));
    fails(folder.write("u.csv", "1,1,1\n2,2,4\n"), DK_E_DATA,
          {"u.csv", "line 2", "unknown label \"4\"", "1, 2, 3"});
    fails(folder.write("w.csv", "1,1,1,1\n"), DK_E_SHAPE, {"3 features", "expected are 2"});
    options.task = DK_TASK_NONE;
    fails(folder.write("x.csv", "1,2,1\n"), DK_E_SHAPE,
          {"3 features", "expected are 2", "leave the label column out"});
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

// ----- NPY -----

TEST_F(Open, ANpyMatrixOfEveryTypeAndOrder) {
    const floats features = {1, 2, 3, 4, 5, 6};
    const auto check = [&](const char *descr, dk_dtype type, const std::string &c,
                           const std::string &fortran) {
        for (bool f : {false, true}) {
            open(folder.write("m.npy", npy(descr, f, "(3, 3)", f ? fortran : c)));
            EXPECT_EQ(info.x_type, type);
            EXPECT_EQ(info.image, type == DK_U8);
            EXPECT_TRUE(info.mapped);
            EXPECT_EQ(x(), features);
            EXPECT_EQ(labels(), (ints{1, 0, 1}));
            EXPECT_EQ(classes(), (names{"0", "1"}));
        }
    };
    const auto both = [&](auto zero, const char *descr, dk_dtype type) {
        using T = decltype(zero);
        check(descr, type, bytes_of(std::vector<T>{1, 2, 1, 3, 4, 0, 5, 6, 1}),
              bytes_of(std::vector<T>{1, 3, 5, 2, 4, 6, 1, 0, 1}));
    };
    both(0.0f, "<f4", DK_F32);
    both(0.0, "<f8", DK_F64);
    both(uint8_t{0}, "|u1", DK_U8);
    both(int32_t{0}, "<i4", DK_I32);
    both(int64_t{0}, "<i8", DK_I64);
}

TEST_F(Open, ANpyLabelColumnAtEitherEnd) {
    const std::string data = bytes_of(floats{1, 2, 3, 4, 5, 6, 7, 8});
    for (bool fortran : {false, true}) {
        const std::string path = folder.write("m.npy", npy("<f4", fortran, "(2, 4)", data));
        const floats first = fortran ? floats{3, 5, 7, 4, 6, 8} : floats{2, 3, 4, 6, 7, 8};
        for (const char *column : {"first", "0"}) {
            options.label_column = column;
            open(path);
            EXPECT_EQ(x(), first);
            EXPECT_EQ(classes(), fortran ? (names{"1", "2"}) : (names{"1", "5"}));
        }
        for (const char *column : {"last", "3"}) {
            options.label_column = column;
            open(path);
            EXPECT_EQ(x(), fortran ? (floats{1, 3, 5, 2, 4, 6}) : (floats{1, 2, 3, 5, 6, 7}));
        }
        options.label_column = "2";
        fails(path, DK_E_DATA, {"label column 2", "first or the last"});
        for (const char *column : {"4", "-1", "name", "1x", ""}) {
            options.label_column = column;
            fails(path, DK_E_ARGUMENT, {"no label column"});
        }
    }
}

TEST_F(Open, NpyFilesThatAreWrong) {
    const std::string data = bytes_of(floats{1, 2, 3, 4, 5, 6, 7, 8});
    const std::string whole = npy("<f4", false, "(4, 2)", data);
    fails(folder.write("a.npy", whole.substr(0, whole.size() - 1)), DK_E_DATA, {"a.npy"});
    fails(folder.write("b.npy", npy("<f4", false, "(4, 3)", data)), DK_E_DATA, {"b.npy"});
    fails(folder.write("c.npy", npy("<f4", false, "(0, 2)", "")), DK_E_DATA, {"c.npy"});
    fails(folder.write("d.npy", npy("<f4", false, "(8,)", data)), DK_E_DATA, {"1 dimensions"});
    fails(folder.write("e.npy", npy("<f4", false, "(8, 1)", data)), DK_E_DATA, {"no features"});
    fails(folder.write_gz("f.npy.gz", whole), DK_E_DATA, {"f.npy.gz", "gunzip"});
    options.task = DK_TASK_NONE;
    open(folder.write("g.npy", npy("<f4", false, "(8,)", data)));
    EXPECT_EQ(info.features, 1);
    fails(folder.write("h.npy", npy("<f4", true, "(2, 2, 2)", data)), DK_E_DATA, {"Fortran"});
}

TEST_F(Open, LabelsOfANpyMatrixMustBeFinite) {
    fails(folder.write("a.npy", npy("<f4", false, "(2, 2)", bytes_of(floats{1, 2, 3, NAN}))),
          DK_E_NONFINITE, {"a.npy", "row 1", "NaN"});
}

TEST_F(Open, ADirectoryOfNpyFiles) {
    folder.write("x.npy", npy("<f4", false, "(2, 1, 2)", bytes_of(floats{1, 2, 3, 4})));
    fails(folder.path(), DK_E_IO, {"y.npy"});
    folder.write("y.npy", npy("<i8", false, "(2,)", bytes_of(std::vector<int64_t>{500, 7})));
    open(folder.path());
    EXPECT_TRUE(info.mapped);
    EXPECT_EQ(info.image_rows, 1);
    EXPECT_EQ(info.image_cols, 2);
    EXPECT_EQ(x(), (floats{1, 2, 3, 4}));
    EXPECT_EQ(classes(), (names{"7", "500"}));
    EXPECT_EQ(labels(), (ints{1, 0}));
    options.part = DK_PART_TEST;
    fails(folder.path(), DK_E_DATA, {"no test part", "x_test.npy"});
    folder.write("x_test.npy", npy("<f4", false, "(1, 2)", bytes_of(floats{5, 6})));
    folder.write("y_test.npy", npy("<i8", false, "(1, 1)", bytes_of(std::vector<int64_t>{7})));
    options.like = set;
    dk_dataset *train = set;
    set = nullptr;
    open(folder.path());
    EXPECT_EQ(x(), (floats{5, 6}));
    EXPECT_EQ(labels(), (ints{0}));
    EXPECT_EQ(info.targets, 2);
    dk_dataset_destroy(train);
}

TEST_F(Open, IntegerLabelFilesAreClassesHoweverMany) {
    std::vector<int64_t> y(150);
    for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<int64_t>(i);
    folder.write("x.npy", npy("|u1", false, "(150, 1)", std::string(150, 'x')));
    folder.write("y.npy", npy("<i8", false, "(150,)", bytes_of(y)));
    open(folder.path());
    EXPECT_EQ(info.task, DK_TASK_CLASSIFICATION);
    EXPECT_EQ(info.targets, 150);
    y[3] = (int64_t{1} << 53) + 2;
    folder.write("y.npy", npy("<i8", false, "(150,)", bytes_of(y)));
    fails(folder.path(), DK_E_DATA, {"row 3", "2^53"});
    options.task = DK_TASK_REGRESSION;
    y[3] = 3;
    folder.write("y.npy", npy("<i8", false, "(150,)", bytes_of(y)));
    open(folder.path());
    EXPECT_EQ(info.targets, 1);
}

TEST_F(Open, SeveralTargetsARow) {
    folder.write("x.npy", npy("<f4", false, "(2, 1)", bytes_of(floats{1, 2})));
    for (bool fortran : {false, true}) {
        folder.write("y.npy", npy("<f8", fortran, "(2, 3)",
                                  bytes_of(fortran ? std::vector<double>{1, 4, 2, 5, 3, 6}
                                                   : std::vector<double>{1, 2, 3, 4, 5, 6})));
        open(folder.path());
        EXPECT_EQ(info.task, DK_TASK_REGRESSION);
        EXPECT_EQ(info.targets, 3);
        EXPECT_EQ(targets(), (floats{1, 2, 3, 4, 5, 6}));
        options.rows = 1;
        open(folder.path());
        EXPECT_EQ(targets(), (floats{1, 2, 3}));
        options.rows = 0;
    }
    folder.write("y.npy", npy("<f8", false, "(2, 3)",
                              bytes_of(std::vector<double>{1, 2, 3, 4, INFINITY, 6})));
    fails(folder.path(), DK_E_NONFINITE, {"y.npy", "target 1 of row 1"});
    options.task = DK_TASK_CLASSIFICATION;
    fails(folder.path(), DK_E_DATA, {"3 numbers a row"});
    options.task = DK_TASK_AUTO;
    folder.write("y.npy", npy("<f4", false, "(3,)", bytes_of(floats{1, 2, 3})));
    fails(folder.path(), DK_E_DATA, {"3 rows", "2"});
}

// ----- IDX -----

TEST_F(Open, ADirectoryWithMnistsNames) {
    for (bool gz : {false, true}) {
        support::Folder mnist;
        const auto write = [&](const std::string &name, const std::string &bytes) {
            return gz ? mnist.write_gz(name + ".gz", bytes) : mnist.write(name, bytes);
        };
        const std::string images = write("train-images-idx3-ubyte", idx({3, 1, 2}, "abcdef"));
        write("train-labels-idx1-ubyte", idx({3}, {'\7', '\0', '\7'}));
        open(mnist.path());
        EXPECT_EQ(info.rows, 3);
        EXPECT_EQ(info.features, 2);
        EXPECT_EQ(info.image_rows, 1);
        EXPECT_EQ(info.image_cols, 2);
        EXPECT_TRUE(info.image);
        EXPECT_FALSE(info.mapped);
        EXPECT_EQ(x(), (floats{'a', 'b', 'c', 'd', 'e', 'f'}));
        EXPECT_EQ(labels(), (ints{1, 0, 1}));
        EXPECT_EQ(classes(), (names{"0", "7"}));
        open(images); // the file by itself finds its labels
        EXPECT_EQ(labels(), (ints{1, 0, 1}));
        options.part = DK_PART_TEST;
        fails(mnist.path(), DK_E_DATA, {"no test part", "t10k"});
        write("t10k-images-idx3-ubyte", idx({1, 1, 2}, "xy"));
        fails(mnist.path(), DK_E_IO, {"t10k-labels-idx1-ubyte"});
        write("t10k-labels-idx1-ubyte", idx({1}, std::string(1, '\7')));
        open(mnist.path());
        EXPECT_EQ(x(), (floats{'x', 'y'}));
        options.part = DK_PART_TRAIN;
        write("train-labels-idx1-ubyte", idx({2}, {'\7', '\0'}));
        fails(mnist.path(), DK_E_DATA, {"train-labels", "2 rows", "3"});
    }
}

TEST_F(Open, IdxFilesThatAreWrong) {
    fails(folder.write("pictures", idx({2, 2}, "abcd")), DK_E_DATA, {"labels aren't known"});
    fails(folder.write("some-labels-idx1-ubyte", idx({4}, "abcd")), DK_E_DATA, {"images"});
    fails(folder.write("short-images-idx3-ubyte", idx({2, 2, 2}, "abcd")), DK_E_DATA, {"short"});
    options.task = DK_TASK_NONE;
    open(folder.write("pictures", idx({2, 2}, "abcd")));
    EXPECT_EQ(info.rows, 2);
    EXPECT_EQ(info.targets, 0);
}

TEST_F(Open, Mnist) {
    const char *data = std::getenv("DELTAK_DATA");
    const std::string path = std::string(data ? data : "../shared/data") + "/mnist";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
    open(path);
    EXPECT_EQ(info.rows, 60000);
    EXPECT_EQ(info.features, 784);
    EXPECT_EQ(info.image_rows, 28);
    EXPECT_EQ(classes(), (names{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
    int32_t first[3];
    ASSERT_EQ(dk_dataset_read(set, 0, 3, nullptr, first, nullptr), DK_OK);
    EXPECT_EQ(first[0], 5);
    EXPECT_EQ(first[1], 0);
    EXPECT_EQ(first[2], 4);
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
    fails(folder.write("t.csv", "1,2\n"), DK_E_DATA, {"no test part"});
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
    for (const auto &c : cases) {
        char text[DKI_NUMBER_TEXT];
        dki_number_text(c.value, text);
        EXPECT_STREQ(text, c.text);
        double value = -1;
        EXPECT_TRUE(dki_number_parse(text, &value));
        EXPECT_EQ(value, c.value);
    }
    double value;
    for (const char *text : {"", "x", "1x", "nan", "inf", "0x10", "1 ", " 1", "1e999", "-"})
        EXPECT_FALSE(dki_number_parse(text, &value)) << text;
}

} // namespace

// dk_dataset_open: NPY and IDX files, alone and in directories.
#include "support_net.h"
#include "support_open.h"

#include <cmath>
#include <utility>

namespace {

using support::bytes_of;
using support::floats;
using support::idx;
using support::ints;
using support::names;
using support::npy;

struct OpenArrays : support::OpenTest {};

// ----- NPY -----

TEST_F(OpenArrays, ANpyMatrixOfEveryTypeAndOrder) {
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

TEST_F(OpenArrays, ANpyLabelColumnAtEitherEnd) {
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

// Breaks where it is forgotten in which column the labels were: the last feature becomes the label.
TEST_F(OpenArrays, AMatrixLikeTheTrainingsHasItsLabelsWhereTheyWere) {
    const std::string data = bytes_of(floats{10, 2, 3, 14, 15, 6, 7, 18});
    for (bool fortran : {false, true}) {
        const std::string path = folder.write("m.npy", npy("<f4", fortran, "(2, 4)", data));
        const floats features = fortran ? floats{3, 15, 7, 14, 6, 18} : floats{2, 3, 14, 6, 7, 18};
        options = DK_DATA_OPTIONS_INIT;
        options.label_column = "first";
        open(path);
        const names expected = classes();
        const support::Dataset training(std::exchange(set, nullptr));
        options = DK_DATA_OPTIONS_INIT;
        options.like = training.get();
        for (dk_task task : {DK_TASK_AUTO, DK_TASK_NONE}) {
            options.task = task; // DK_TASK_NONE: to be predicted
            open(path);
            EXPECT_EQ(x(), features);
        }
        open(folder.write("x.npy", npy("<f4", false, "(2, 3)", bytes_of(floats(6, 1)))));
        EXPECT_EQ(x(), floats(6, 1)); // features alone
        const std::string wide = npy("<f4", fortran, "(2, 5)", bytes_of(floats(10, 1)));
        fails(folder.write("w.npy", wide), DK_E_SHAPE, {"5 features", "expected are 3"});
        options.task = DK_TASK_AUTO;
        open(path);
        EXPECT_EQ(x(), features);
        EXPECT_EQ(classes(), expected);
        fails(folder.path() + "/w.npy", DK_E_SHAPE, {"5 columns", "had 4", "column 0"});
        options.label_column =
            "last"; // what is said counts, here to other classes than the network's
        fails(path, DK_E_DATA, {"m.npy"});
    }
}

TEST_F(OpenArrays, NpyFilesThatAreWrong) {
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

TEST_F(OpenArrays, LabelsOfANpyMatrixMustBeFinite) {
    fails(folder.write("a.npy", npy("<f4", false, "(2, 2)", bytes_of(floats{1, 2, 3, NAN}))),
          DK_E_NONFINITE, {"a.npy", "row 1", "NaN"});
}

TEST_F(OpenArrays, ADirectoryOfNpyFiles) {
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
    fails(folder.path(), DK_E_STATE, {"no test part", "x_test.npy"});
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

TEST_F(OpenArrays, IntegerLabelFilesAreClassesHoweverMany) {
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

TEST_F(OpenArrays, SeveralTargetsARow) {
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

TEST_F(OpenArrays, ADirectoryWithMnistsNames) {
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
        fails(mnist.path(), DK_E_STATE, {"no test part", "t10k"});
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

TEST_F(OpenArrays, IdxFilesThatAreWrong) {
    fails(folder.write("pictures", idx({2, 2}, "abcd")), DK_E_DATA, {"labels aren't known"});
    fails(folder.write("some-labels-idx1-ubyte", idx({4}, "abcd")), DK_E_DATA, {"images"});
    fails(folder.write("short-images-idx3-ubyte", idx({2, 2, 2}, "abcd")), DK_E_DATA, {"short"});
    options.task = DK_TASK_NONE;
    open(folder.write("pictures", idx({2, 2}, "abcd")));
    EXPECT_EQ(info.rows, 2);
    EXPECT_EQ(info.targets, 0);
}

TEST_F(OpenArrays, Mnist) {
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

} // namespace

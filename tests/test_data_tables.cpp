// What a table is taken to mean: header, columns, labels, missing marks. Each test is a fault that people
// reported of programs that decide by one field.
#include "support_net.h"
#include "support_open.h"

#include <cmath>
#include <string>
#include <vector>

namespace {

using support::floats;
using support::ints;
using support::names;

struct Tables : support::OpenTest {
    std::string write(const std::string &text) { return folder.write("t.csv", text); }
    /// Note `index`, or "".
    std::string note(size_t index) const {
        const char *text = dk_dataset_note(set, index);
        return text ? text : "";
    }
    void expect_note(size_t index, const std::string &part) const {
        EXPECT_NE(note(index).find(part), std::string::npos) << note(index);
    }
};

/// Rows of "0.5, LABEL" for labels made by `label`.
template <class Label> std::string rows(int count, const Label &label) {
    std::string text;
    for (int i = 0; i < count; i++) text += "0.5," + std::string(label(i)) + "\n";
    return text;
}

// ----- header -----

// A name in the label's column alone is one where all that follow are numbers.
TEST_F(Tables, AHeaderOfNumbersAndOneName) {
    open(write("0,1,target\n1,2,0.5\n3,4,1.5\n5,6,2.5\n"));
    EXPECT_EQ(info.task, DK_TASK_REGRESSION);
    EXPECT_EQ(info.rows, 3);
    EXPECT_EQ(targets(), (floats{0.5f, 1.5f, 2.5f}));
    // A text among texts is a class.
    open(write("7,1,cat\n1,2,dog\n3,4,cat\n"));
    EXPECT_EQ(info.rows, 3);
    // A text among numbers and texts is one, too: the whole column tells.
    open(write("7,1,cat\n1,2,5\n3,4,cat\n3,4,5\n"));
    EXPECT_EQ(classes(), (names{"5", "cat"}));
}

TEST_F(Tables, AHeaderThatOnlyCountsAsksForTheOption) {
    const std::string path = write("0,1\n0.25,1.5\n-0.75,2.5\n"),
                      many = "0,1,2,3\n7,8,9,1\n4,2,1,1\n";
    fails(path, DK_E_DATA, {"counts the columns", "--header yes", "--header no"});
    options.header = DK_HEADER_YES;
    open(path);
    EXPECT_EQ(info.rows, 2);
    EXPECT_EQ(x(), (floats{0.25f, -0.75f}));
    options.header = DK_HEADER_NO;
    open(path);
    EXPECT_EQ(info.rows, 3);
    options.header = DK_HEADER_AUTO;
    fails(folder.write("m.csv", many), DK_E_DATA, {"counts the columns"});
    // Whole numbers all the way: rows of a truth table, say.
    open(write("0,1\n1,1\n1,0\n0,0\n"));
    EXPECT_EQ(info.rows, 4);
    // Written as fractions they are no count.
    open(write("1.0,2.0\n0.5,1.5\n"));
    EXPECT_EQ(info.rows, 2);
}

// A missing value in the second row doesn't hide a header; a mark of one isn't a name.
TEST_F(Tables, TheFirstValueOfAColumnTells) {
    options.task = DK_TASK_NONE;
    fails(write("a,b\n,1\n2,3\n"), DK_E_DATA, {"t.csv:2", "missing"});
    fails(write("NA,1\n2,3\n"), DK_E_DATA, {"t.csv:1", "missing"});
}

TEST_F(Tables, ALabelByNameWantsAHeader) {
    options.header = DK_HEADER_NO;
    options.label_column = "y";
    fails(write("x,y\n1,2\n"), DK_E_ARGUMENT, {"no header"});
}

// Which of two columns of a name is meant can't be known.
TEST_F(Tables, ANameOfTwoColumnsIsRefused) {
    options.label_column = "y";
    fails(write("y,a,y\n1,2,3\n4,5,6\n"), DK_E_ARGUMENT, {"columns 0 and 2", "\"y\""});
    options.label_column = "2";
    open(write("y,a,y\n1,2,3\n4,5,6\n"));
    EXPECT_EQ(x(), (floats{1, 2, 4, 5}));
}

// In a table of one column an empty line between rows is a value that is missing; at the end it is none.
TEST_F(Tables, ABlankLineOfOneColumn) {
    options.task = DK_TASK_NONE;
    fails(write("x\n1\n\n3\n"), DK_E_DATA, {"t.csv:3", "empty line"});
    fails(write("x\n\n1\n3\n"), DK_E_DATA, {"t.csv:2", "empty line"});
    open(write("x\n1\n3\n\n\n"));
    EXPECT_EQ(info.rows, 2);
    open(write("x,y\n1,2\n\n3,4\n"));
    EXPECT_EQ(info.rows, 2);
}

// ----- labels -----

TEST_F(Tables, AMissingMarkAmongNumbersIsNoClass) {
    for (const char *mark : {"NA", "n/a", "?", "null", "None", "-", "", "nan", "NaN"})
        fails(write(rows(300, [&](int i) { return i == 99 ? mark : std::to_string(i) + ".5"; })),
              *mark == 'n' && mark[1] == 'a' && mark[2] == 'n' ? DK_E_NONFINITE
              : std::string(mark) == "NaN"                     ? DK_E_NONFINITE
                                                               : DK_E_DATA,
              {"100"});
    // Among texts it may be a name, and a note asks.
    open(write("1,none\n2,mild\n3,none\n4,severe\n"));
    EXPECT_EQ(classes(), (names{"mild", "none", "severe"}));
    expect_note(1, "reads like a missing value");
}

// What a person reads as a number, and the program doesn't, is a message and not a class.
TEST_F(Tables, NumbersToTheEyeAreNotClasses) {
    for (const char *label :
         {"\"1,5\"", "1 000", "$3", "50%", "€4.20", "3 €", "1'000", "\"1,234.5\""})
        fails(write(rows(4, [&](int) { return label; })), DK_E_DATA,
              {"line 1", "looks like a number", "--task classification"});
    options.task = DK_TASK_CLASSIFICATION;
    open(write("1,50%\n2,20%\n"));
    EXPECT_EQ(classes(), (names{"20%", "50%"}));
    options.task = DK_TASK_AUTO;
    open(write("1,10-20\n2,20-30\n")); // a range is a name
    EXPECT_EQ(classes(), (names{"10-20", "20-30"}));
}

TEST_F(Tables, ATextAmongManyNumbersIsRefused) {
    fails(write(rows(300, [](int i) { return i == 7 ? "oops" : std::to_string(i) + ".25"; })),
          DK_E_DATA, {"line 8", "\"oops\"", "299"});
    fails(write(rows(300, [](int i) { return i == 7 ? "oops" : std::to_string(i); })), DK_E_DATA,
          {"line 8"});
    open(write("1,1\n2,2\n3,other\n4,1\n"));
    EXPECT_EQ(classes(), (names{"1", "2", "other"}));
}

// Two labels beyond 2^53 have one double, and stay two classes, in the order of their numbers.
TEST_F(Tables, LargeIntegersStayApart) {
    open(write("1,9007199254740993\n2,9007199254740992\n3,9007199254740993\n"));
    EXPECT_EQ(classes(), (names{"9007199254740992", "9007199254740993"}));
    EXPECT_EQ(labels(), (ints{1, 0, 1}));
}

TEST_F(Tables, ZerosInFrontMakeANumberAName) {
    open(write("1,01234\n2,06789\n3,1234\n"));
    EXPECT_EQ(classes(), (names{"01234", "1234", "06789"}));
    expect_note(1, "differ in spelling alone");
    open(write(rows(300, [](int i) { return "0" + std::to_string(1000 + i); })));
    EXPECT_EQ(info.task, DK_TASK_CLASSIFICATION);
    EXPECT_EQ(info.targets, 300);
}

// Breaks where a column of names is taken for the labels in silence.
TEST_F(Tables, AClassARowIsNoted) {
    open(write(rows(40, [](int i) { return "n" + std::to_string(i % 21); })));
    expect_note(1, "21 classes in 40 rows");
    open(write(rows(40, [](int i) { return "n" + std::to_string(i % 20); })));
    EXPECT_EQ(dk_dataset_note(set, 1), nullptr);
}

// Breaks where a few whole-number prices become classes in silence, because there are few.
TEST_F(Tables, FewWholeNumbersThatHardlyRepeatAreDoubtful) {
    open(write("3,120\n1,95\n7,210\n2,130\n9,99\n"));
    EXPECT_EQ(info.task, DK_TASK_CLASSIFICATION);
    expect_note(1, "--task regression");
    for (const char *text : {"3,0\n1,1\n7,0\n2,1\n9,1\n", "3,1\n1,2\n7,3\n2,4\n"}) {
        open(write(text)); // two classes again and again; too few rows to tell
        EXPECT_EQ(dk_dataset_note(set, 1), nullptr) << text;
    }
}

TEST_F(Tables, NumbersOfOtherLanguagesAreNoNames) {
    for (const char *text : {"1,1.5d0\n2,2.5D-3\n", "1,0x1f\n2,-0x20\n"})
        fails(write(text), DK_E_DATA, {"looks like a number"});
    open(write("1,2d\n2,3d\n3,0x\n"));
    EXPECT_EQ(classes(), (names{"0x", "2d", "3d"}));
}

TEST_F(Tables, SpellingsOfOneClassAreNoted) {
    for (const char *text : {"1,True\n2,TRUE\n3,false\n", "1,1\n2,1.0\n3,2\n"}) {
        open(write(text));
        EXPECT_EQ(info.targets, 3);
        expect_note(1, "differ in spelling alone");
    }
}

// ----- what is doubtful -----

TEST_F(Tables, TheSummarySaysWhatWasRead) {
    options.label_column = "y";
    open(write("a;y;b\n1;cat;2\n3;dog;4\n"));
    for (const char *part : {"2 rows", "3 columns by ;", "a header", "2 features (a, b)",
                             "label \"y\"", "2 classes (cat, dog)"})
        expect_note(0, part);
    EXPECT_EQ(note(1), "");
    open("synth:teacher");
    expect_note(0, "regression");
    EXPECT_EQ(dk_dataset_note(nullptr, 0), nullptr);
}

TEST_F(Tables, DoubtsNameTheOptionThatDecides) {
    open(write(rows(300, [](int i) { return std::to_string(i * 7 % 300); })));
    EXPECT_EQ(info.task, DK_TASK_REGRESSION);
    expect_note(1, "--task classification");
    open(write(rows(300, [](int i) { return std::to_string(i % 30); })));
    EXPECT_EQ(info.task, DK_TASK_CLASSIFICATION);
    expect_note(1, "--task regression");
    open(write("1,a\n2,a\n4,a\n"));
    expect_note(1, "only one class");
    open(write("id,x,y\n17,0.5,a\n18,1.5,b\n19,0,a\n"));
    expect_note(1, "--id-column id");
    // Said by the user, nothing is doubtful.
    options.task = DK_TASK_CLASSIFICATION;
    options.id_column = "id";
    open(write("id,x,y\n17,0.5,a\n18,1.5,b\n19,0,a\n"));
    EXPECT_EQ(note(1), "");
}

// ----- columns -----

TEST_F(Tables, ColumnsCanBeIgnoredAndNameRows) {
    options.ignore_columns = "c,0";
    options.id_column = "id";
    open(write("z,id,a,c,y\n9,r1,1,x,0.5\n9,\"r,2\",2,y,1.5\n"));
    EXPECT_EQ(info.features, 1);
    EXPECT_EQ(x(), (floats{1, 2}));
    EXPECT_STREQ(dk_dataset_row_name(set, 0), "r1");
    EXPECT_STREQ(dk_dataset_row_name(set, 1), "r,2");
    EXPECT_EQ(dk_dataset_row_name(set, 2), nullptr);
    options.ignore_columns = "y";
    fails(folder / "t.csv", DK_E_ARGUMENT, {"is the label"});
    options.ignore_columns = "id";
    fails(folder / "t.csv", DK_E_ARGUMENT, {"is the id"});
    options.ignore_columns = "yy";
    fails(folder / "t.csv", DK_E_ARGUMENT, {"\"yy\"", "did you mean"});
    options.ignore_columns = nullptr;
    options.id_column = "y";
    fails(folder / "t.csv", DK_E_ARGUMENT, {"can't name the rows"});
}

struct Like : Tables {
    dk_dataset *model = nullptr;
    ~Like() override { dk_dataset_destroy(model); }
    void train_on(const std::string &text, const char *label = nullptr) {
        const std::string path = folder.write("train.csv", text);
        options.label_column = label;
        ASSERT_EQ(DK_OK, dk_dataset_open(&model, context.get(), path.c_str(), &options))
            << dk_error_text();
        options.label_column = nullptr;
        options.like = model;
    }
};

// By names, whatever the order, and the label that the training had.
TEST_F(Like, ColumnsGoByTheirNames) {
    train_on("y,a,b\n0.5,1,2\n1.5,3,4\n", "y");
    open(write("b,a,y\n20,10,7.5\n"));
    EXPECT_EQ(x(), (floats{10, 20}));
    EXPECT_EQ(targets(), (floats{7.5f}));
    open(write("y,a,b\n7.5,10,20\n")); // the label isn't last
    EXPECT_EQ(targets(), (floats{7.5f}));
    open(write("new,b,y,a\n0,20,7.5,10\n"));
    EXPECT_EQ(x(), (floats{10, 20}));
    expect_note(1, "\"new\"");
    fails(write("b,aa,y\n20,10,7.5\n"), DK_E_DATA, {"\"a\"", "is missing"});
    fails(write("b,a,z\n20,10,7.5\n"), DK_E_DATA, {"\"y\"", "--label-column"});
    fails(write("a,a,b,y\n20,10,1,7.5\n"), DK_E_ARGUMENT, {"columns 0 and 1"});
}

// Without the label: features alone, or the training's own file.
TEST_F(Like, FeaturesAloneAreFound) {
    train_on("y,a,b\n0.5,1,2\n1.5,3,4\n", "y");
    options.task = DK_TASK_NONE;
    for (const char *text : {"a,b\n10,20\n", "b,a\n20,10\n", "y,a,b\n5,10,20\n", "b,y,a\n20,5,10\n",
                             "y,a,b\n?,10,20\n", "10,20\n", "5,10,20\n"}) {
        open(write(text));
        EXPECT_EQ(x(), (floats{10, 20})) << text;
    }
    expect_note(1, "left out column 0");
}

// One side has no header: the same places, or the same number of columns in their order.
TEST_F(Like, WithoutAHeaderPlacesTell) {
    train_on("0.5,1,2\n1.5,3,4\n", "first");
    open(write("7.5,10,20\n"));
    EXPECT_EQ(x(), (floats{10, 20}));
    EXPECT_EQ(targets(), (floats{7.5f}));
    open(write("y,a,b\n7.5,10,20\n"));
    EXPECT_EQ(x(), (floats{10, 20}));
}

// Names that are numbers are found as such, where the file has all of them.
TEST_F(Like, CountedColumnsThatTheModelKnows) {
    options.header = DK_HEADER_YES;
    train_on("0,1,y\n0.25,1.5,0.5\n-0.75,2.5,1.5\n");
    options.header = DK_HEADER_AUTO;
    options.task = DK_TASK_NONE;
    open(write("1,0\n8,9\n"));
    EXPECT_EQ(x(), (floats{9, 8}));
}

// A network remembers all of it, in its file, too.
TEST(TablesOfNetworks, AreFoundAgain) {
    const support::Context context = support::open_context(1);
    const support::Folder folder;
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.label_column = "y";
    options.id_column = "id";
    const std::string trained =
        folder.write("train.csv", "id,y,a,b\nq,0.5,1,2\nr,1.5,3,4\ns,1,0,1\n");
    const support::Dataset set = support::open(context.get(), trained.c_str(), options);
    const support::Net net = support::net_for(set.get(), {3});
    const std::string path = folder / "m.safetensors";
    ASSERT_EQ(DK_OK, dk_net_save(net.get(), path.c_str())) << dk_error_text();
    dk_net *made = nullptr;
    ASSERT_EQ(DK_OK, dk_net_load(&made, context.get(), path.c_str())) << dk_error_text();
    const support::Net loaded(made);
    const std::string other = folder.write("t.csv", "b,y,a,id\n20,7.5,10,t\n");
    for (const dk_net *like : {net.get(), loaded.get()}) {
        dk_data_options again = DK_DATA_OPTIONS_INIT;
        again.like_net = like;
        const support::Dataset found = support::open(context.get(), other.c_str(), again);
        float x[2], y = 0.0f;
        ASSERT_EQ(DK_OK, dk_dataset_read(found.get(), 0, 1, x, nullptr, &y)) << dk_error_text();
        EXPECT_EQ(x[0], 10.0f);
        EXPECT_EQ(x[1], 20.0f);
        EXPECT_EQ(y, 7.5f);
        EXPECT_STREQ(dk_dataset_row_name(found.get(), 0), "t");
    }
}

} // namespace

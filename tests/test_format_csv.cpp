// CSV: what counts as a number, a header, a label; every way a table can be wrong; the real files.
#include "support.h"

extern "C" {
#include "base/memory.h"
#include "format/csv.h"
#include "format/csv_number.h"
#include "format/utf8.h"
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

namespace {

using support::expect_error_names;

const dk_allocator *libc = &dki_libc_allocator;

/// A table parsed from bytes that end exactly where their allocation does.
struct Table {
    explicit Table(const std::string &text, const char *label = nullptr, bool no_label = false,
                   int64_t max_rows = 0, const dk_allocator *from = libc)
        : allocator(from), copy(new char[text.size()]) {
        std::memcpy(copy.get(), text.data(), text.size());
        dki_csv_options options{};
        options.label_column = label;
        options.no_label = no_label;
        options.max_rows = max_rows;
        status = dki_csv_parse(allocator, "t.csv", copy.get(), text.size(), &options, &csv);
    }
    ~Table() { dki_csv_release(allocator, &csv); }
    Table(const Table &) = delete;

    std::vector<double> values() const {
        return {csv.values, csv.values + csv.rows * csv.features};
    }
    std::vector<std::string> labels() const { return {csv.labels, csv.labels + csv.rows}; }
    std::vector<std::string> header() const {
        if (!csv.header) return {};
        return {csv.header, csv.header + csv.columns};
    }

    const dk_allocator *allocator;
    std::unique_ptr<char[]> copy;
    dki_csv csv{};
    dk_status status;
};

using Values = std::vector<double>;
using Texts = std::vector<std::string>;

class FormatCsv : public support::TempDirectory {};

TEST_F(FormatCsv, ReadsNumbersAndLabels) {
    Table table("1,2.5,3\n-4,5e2,6\n");
    ASSERT_EQ(table.status, DK_OK) << dk_error_text();
    EXPECT_EQ(table.csv.rows, 2);
    EXPECT_EQ(table.csv.columns, 3);
    EXPECT_EQ(table.csv.features, 2);
    EXPECT_EQ(table.csv.label_column, 2);
    EXPECT_EQ(table.csv.header, nullptr);
    EXPECT_EQ(table.values(), (Values{1, 2.5, -4, 500}));
    EXPECT_EQ(table.labels(), (Texts{"3", "6"}));
    EXPECT_EQ(Values(table.csv.label_values, table.csv.label_values + 2), (Values{3, 6}));
    EXPECT_EQ(std::vector<int64_t>(table.csv.lines, table.csv.lines + 2),
              (std::vector<int64_t>{1, 2}));
}

TEST_F(FormatCsv, AcceptsTheManyWaysToWriteATable) {
    const Values expected{1, 2, 4, 5};
    for (const char *text :
         {"1,2,3\n4,5,6\n", "1,2,3\n4,5,6", "1,2,3\r\n4,5,6\r\n", "1,2,3\r\n4,5,6\r",
          "\xef\xbb\xbf"
          "1,2,3\n4,5,6\n",
          "\n\n1,2,3\n\r\n  \n4,5,6\n\n", " 1 , 2,\t3\n4,5 ,6 \n",
          "\"1\",\"2\",\"3\"\n4,\"5\" ,6\n", "1;2;3\n4;5;6\n", "1\t2\t3\n4\t5\t6\n",
          "+1,2.,3\n4,.5e1,6\n", "a,b,c\n1,2,3\n4,5,6\n"}) {
        Table table(text);
        ASSERT_EQ(table.status, DK_OK) << text << ": " << dk_error_text();
        EXPECT_EQ(table.values(), expected) << text;
        EXPECT_EQ(table.labels(), (Texts{"3", "6"})) << text;
    }
}

TEST_F(FormatCsv, ChoosesTheLabelColumn) {
    const std::string text = "x,class,y\n1,2,3\n4,5,6\n";
    EXPECT_EQ(Table(text).labels(), (Texts{"3", "6"}));
    EXPECT_EQ(Table(text, "last").labels(), (Texts{"3", "6"}));
    EXPECT_EQ(Table(text, "first").labels(), (Texts{"1", "4"}));
    EXPECT_EQ(Table(text, "1").labels(), (Texts{"2", "5"}));
    Table named(text, "class");
    EXPECT_EQ(named.labels(), (Texts{"2", "5"}));
    EXPECT_EQ(named.values(), (Values{1, 3, 4, 6}));
    EXPECT_EQ(named.header(), (Texts{"x", "class", "y"}));

    EXPECT_EQ(Table(text, "clas").status, DK_E_ARGUMENT);
    expect_error_names("no column is named \"clas\": did you mean \"class\"?");
    EXPECT_EQ(Table(text, "qqqqq").status, DK_E_ARGUMENT);
    expect_error_names("0 to 2");
    EXPECT_EQ(Table(text, "3").status, DK_E_ARGUMENT);
    expect_error_names("there is no column 3: they are numbered 0 to 2");
    EXPECT_EQ(Table(text, "99999999999999999999999").status, DK_E_ARGUMENT);

    Table none(text, nullptr, true);
    EXPECT_EQ(none.values(), (Values{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(none.csv.labels, nullptr);
    EXPECT_EQ(none.csv.label_values, nullptr);
    EXPECT_EQ(none.csv.label_column, -1);
    EXPECT_EQ(Table("1\n2\n", nullptr, true).values(), (Values{1, 2}));
    EXPECT_EQ(Table("1\n2\n").status, DK_E_DATA);
    expect_error_names("one column only");
}

TEST_F(FormatCsv, TellsAHeaderFromData) {
    // text labels do not make a header
    Table plain("1,2,cat\n3,4,dog\n");
    EXPECT_EQ(plain.csv.rows, 2);
    EXPECT_EQ(plain.labels(), (Texts{"cat", "dog"}));
    EXPECT_EQ(plain.csv.label_values, nullptr);
    // nor do they hide one
    Table headed("a,b,kind\n1,2,cat\n3,4,dog\n");
    EXPECT_EQ(headed.csv.rows, 2);
    EXPECT_EQ(headed.header(), (Texts{"a", "b", "kind"}));
    EXPECT_EQ(headed.csv.lines[0], 2);
    // a name among numbered columns, an empty name (as pandas writes its index)
    EXPECT_EQ(Table("id,0,1,y\n7,8,9,1\n").header(), (Texts{"id", "0", "1", "y"}));
    EXPECT_EQ(Table(",a,b,y\n7,8,9,1\n").header(), (Texts{"", "a", "b", "y"}));
    // quoted names, with separators and quotes
    EXPECT_EQ(Table("\"a,b\",\"c \"\"d\"\"\",y\n1,2,3\n").header(), (Texts{"a,b", "c \"d\"", "y"}));
    // a missing value in the first row is an error, not a header
    EXPECT_EQ(Table("NA,1,2\n3,4,5\n").status, DK_E_DATA);
    expect_error_names("missing value");
    EXPECT_EQ(Table(",1,2\n3,4,5\n").status, DK_E_DATA);
    // A line without a number can't be a row: it's the next one that is wrong.
    EXPECT_EQ(Table("a,b,c\nd,e,f\n").status, DK_E_DATA);
    expect_error_names("t.csv:2: column 0 (\"a\"): \"d\" is not a number");
    EXPECT_EQ(Table("a,b,c\nm,kg,s\n1,2,3\n").status, DK_E_DATA);
    expect_error_names("t.csv:2: column 0 (\"a\"): \"m\" is not a number");
    EXPECT_EQ(Table("a;b;c\n1,5;2,5;3\n").status, DK_E_DATA);
    expect_error_names("t.csv:2: column 0 (\"a\"): \"1,5\" is not a number: write decimal points");
    EXPECT_EQ(Table("a,2,c\nd,e,f\n").status, DK_E_DATA);
    expect_error_names("t.csv:1: column 0 (from 0): \"a\" is not a number");
}

TEST_F(FormatCsv, LabelsKeepTheirSpelling) {
    Table table("1,007\n2,1e3\n3,\" a \"\"b\"\" \"\n4,  two words \n5,\xc3\xa9t\xc3\xa9\n");
    ASSERT_EQ(table.status, DK_OK) << dk_error_text();
    EXPECT_EQ(table.labels(), (Texts{"007", "1e3", " a \"b\" ", "two words", "\xc3\xa9t\xc3\xa9"}));
    EXPECT_EQ(table.csv.label_values, nullptr);
    // nan is a fine name among names, and no number among numbers
    EXPECT_EQ(Table("1,nan\n2,bread\n").labels(), (Texts{"nan", "bread"}));
    EXPECT_EQ(Table("1,1\n2,nan\n").status, DK_E_NONFINITE);
    expect_error_names("t.csv:2: the label");
    EXPECT_EQ(Table("1,1\n2,1e999\n").status, DK_E_DATA);
}

TEST_F(FormatCsv, SaysWhatIsWrongAndWhere) {
    auto refused = [](const std::string &text, dk_status status, const char *part) {
        EXPECT_EQ(Table(text).status, status) << text;
        expect_error_names("t.csv");
        expect_error_names(part);
    };
    refused("", DK_E_DATA, "no rows");
    refused("\n \n\r\n", DK_E_DATA, "no rows");
    refused("a,b,c\n", DK_E_STATE, "no rows follow its header");
    refused("1,2,3\n4,5\n", DK_E_DATA, "t.csv:2: found 2 fields, expected 3");
    refused("1,2,3\n4,5,6,7\n", DK_E_DATA, "t.csv:2: found 4 fields, expected 3");
    refused("a,b\n1,2,3\n", DK_E_DATA, "t.csv:2: found 3 fields, expected 2");
    refused("1,2,3\n\n4,x,6\n", DK_E_DATA, "t.csv:3: column 1 (from 0): \"x\" is not a number");
    refused("u,v,w\n1,2,3\n4,x,6\n", DK_E_DATA, "t.csv:3: column 1 (\"v\"): \"x\" is not a number");
    refused("1,2,3\n4,,6\n", DK_E_DATA, "t.csv:2: column 1 (from 0): \"\" is a missing value");
    refused("1,2,3\n4,?,6\n", DK_E_DATA, "missing value");
    refused("1,2,3\n4,5,\n", DK_E_DATA, "t.csv:2: column 2 (from 0): \"\" is a missing label");
    refused("1,2,3\n4,nan,6\n", DK_E_NONFINITE, "t.csv:2: column 1");
    refused("1,2,3\n4,-Inf,6\n", DK_E_NONFINITE, "t.csv:2: column 1");
    refused("1,2,3\n4,1e309,6\n", DK_E_DATA, "beyond the range");
    refused("1,2,3\n4,0x10,6\n", DK_E_DATA, "\"0x10\" is not a number");
    refused("1;2;3\n4;5,5;6\n", DK_E_DATA, "decimal points");
    refused("1,5;2,5;3\n4,5;5,5;6\n", DK_E_DATA, "decimal points");
    refused("1,\"2,3\n4,5,6\n", DK_E_DATA, "t.csv:1: a quote opens here and never closes");
    refused("1,\"2\"x,3\n", DK_E_DATA, "t.csv:1: text behind a closing quote");
    refused(std::string("1,2\0,3\n", 7), DK_E_DATA, "zero bytes");
    refused("1,\xff\n2,b\n", DK_E_DATA, "UTF-8");
    refused("a\xff,b\n1,2\n", DK_E_DATA, "UTF-8");
    refused("1 2 3\n4 5 6\n", DK_E_DATA, "one column only");
    refused(std::string(2 * DKI_CSV_COLUMNS + 2, ','), DK_E_DATA, "more than 1000000 columns");
    refused("1,2\n\"" + std::string(DKI_CSV_LINE_BYTES, 'a') + "\",2\n", DK_E_DATA, "t.csv:2");
}

TEST_F(FormatCsv, CountsLinesInsideQuotes) {
    EXPECT_EQ(Table("1,\"a\nb\"\nx,c\n").status, DK_E_DATA);
    expect_error_names("t.csv:3");
    Table table("1,\"a\nb\"\n2,c\n");
    EXPECT_EQ(table.labels(), (Texts{"a\nb", "c"}));
    EXPECT_EQ(table.csv.lines[1], 3);
}

TEST_F(FormatCsv, StopsAfterSoManyRows) {
    Table table("a,b\n1,2\n3,4\n5,oops,7\n", nullptr, false, 2);
    ASSERT_EQ(table.status, DK_OK) << dk_error_text();
    EXPECT_EQ(table.values(), (Values{1, 3}));
    EXPECT_EQ(Table("1,2\n", nullptr, false, 100).csv.rows, 1);
}

class CsvNumber : public testing::Test {
  protected:
    dki_number read(const std::string &text) {
        value = -1;
        return dki_csv_number(text.data(), text.size(), c_locale, &value);
    }
    ~CsvNumber() override { freelocale(c_locale); }
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", nullptr);
    double value = 0;
};

TEST_F(CsvNumber, IsTheNearestDouble) {
    std::mt19937_64 random(3);
    for (int i = 0; i < 200000; ++i) {
        char text[64];
        double any;
        uint64_t bits = random();
        std::memcpy(&any, &bits, sizeof any);
        if (!std::isfinite(any)) continue;
        int digits = static_cast<int>(random() % 21);
        if (i % 2)
            any = static_cast<double>(static_cast<int64_t>(random())) * std::pow(10, -i % 30);
        snprintf(text, sizeof text, i % 3 ? "%.*g" : "%.*e", digits, any);
        ASSERT_EQ(read(text),
                  std::isfinite(strtod(text, nullptr)) ? DKI_NUMBER_FINITE : DKI_NUMBER_TOO_LARGE)
            << text;
        if (std::isfinite(value)) {
            ASSERT_EQ(value, strtod(text, nullptr)) << text;
        }
    }
}

TEST_F(CsvNumber, KnowsItsBorders) {
    for (const char *text : {"0",
                             "-0",
                             "1",
                             "1.",
                             ".1",
                             "1e22",
                             "1e23",
                             "1e-22",
                             "1e-23",
                             "9007199254740992",
                             "9007199254740993",
                             "90071992547409935e-1",
                             "0.1",
                             "123456789012345678901234567890",
                             "00000000000000000000000001",
                             "0.00000000000000000000000000000000001",
                             "1.7976931348623157e308",
                             "4.9e-324",
                             "1e-400",
                             "2.2250738585072011e-308",
                             "1e-99999999999999"}) {
        EXPECT_EQ(read(text), DKI_NUMBER_FINITE) << text;
        EXPECT_EQ(value, strtod(text, nullptr)) << text;
        EXPECT_EQ(std::signbit(value), *text == '-') << text;
    }
    for (const char *text : {"1e309", "-1e309", "1.7976931348623159e308", "1e99999999999999"})
        EXPECT_EQ(read(text), DKI_NUMBER_TOO_LARGE) << text;
    for (const char *text : {"nan", "NaN", "-nan", "inf", "INF", "+Infinity", "-inf"})
        EXPECT_EQ(read(text), DKI_NUMBER_NONFINITE) << text;
    for (const char *text : {"",      "-",    "+",      ".",     "-.", "e5",  ".e5",  "1e",
                             "1e+",   "1e5.", "1.2.3",  "1 2",   " 1", "1 ",  "--1",  "+-1",
                             "0x1p3", "0x10", "nan(1)", "infin", "1f", "1,5", "1_000"})
        EXPECT_EQ(read(text), DKI_NUMBER_TEXT) << text;
    EXPECT_EQ(read("0." + std::string(400, '3')), DKI_NUMBER_FINITE);
    EXPECT_EQ(value, 1.0 / 3);
    EXPECT_EQ(read(std::string(1000, '1')), DKI_NUMBER_TEXT);
}

TEST(CsvText, Utf8IsTheOneOfTheStandard) {
    for (const char *text :
         {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
          "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
        EXPECT_TRUE(dki_is_utf8(text)) << text;
    for (const char *text :
         {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
          "\xc2"
          "a"})
        EXPECT_FALSE(dki_is_utf8(text)) << text;
}

/// One table with everything in it.
const char *const rich = "\xef\xbb\xbf"
                         "a,\"b \"\"q\"\"\",c,kind\r\n1.5,-2e-3,\"3\",cat\r\n\r\n"
                         "4,5.25,6,\"dog, big\"\r\n7,8,900000000000000000001,owl\r\n";

TEST_F(FormatCsv, EveryCutIsAnErrorOrASmallerTable) {
    const std::string whole = rich;
    for (size_t cut = 0; cut <= whole.size(); ++cut) {
        Table table(whole.substr(0, cut));
        if (table.status == DK_OK)
            EXPECT_LE(table.csv.rows, 3) << cut;
        else
            EXPECT_TRUE(table.status == DK_E_DATA || table.status == DK_E_STATE) << cut;
    }
    EXPECT_EQ(Table(whole).status, DK_OK) << dk_error_text();
}

TEST_F(FormatCsv, MutationsNeitherCrashNorLeak) {
    std::mt19937 random(4);
    for (int i = 0; i < 10000; ++i) {
        support::Allocator allocator;
        {
            Table table(support::mutate(rich, random), i % 3 ? nullptr : "kind", i % 7 == 0, 0,
                        allocator.get());
            bool finite = true;
            for (double value : table.values()) finite = finite && std::isfinite(value);
            ASSERT_TRUE(finite);
        }
        ASSERT_EQ(allocator.live_blocks, 0);
    }
}

TEST_F(FormatCsv, SurvivesEveryFailedAllocation) {
    std::string name = write("rich.csv", rich);
    long allocations = support::fail_each_allocation([&](const dk_allocator *allocator) {
        dki_csv csv;
        dk_status status = dki_csv_read(allocator, name.c_str(), nullptr, &csv);
        dki_csv_release(allocator, &csv);
        return status;
    });
    EXPECT_GE(allocations, 8);
}

TEST_F(FormatCsv, AFewBytesCannotAskForMuchMemory) {
    // a hundred thousand columns, then a hundred thousand short lines
    std::string text(99999, ',');
    text = "1" + text + "1\n";
    for (int i = 0; i < 100000; ++i) text += "1\n";
    support::Allocator allocator;
    class Watch {
      public:
        explicit Watch(support::Allocator &from) : inner(from) {}
        dk_allocator hooks{[](void *self, size_t bytes, size_t alignment) {
                               auto *watch = static_cast<Watch *>(self);
                               watch->most = std::max(watch->most, bytes);
                               return watch->inner.hooks.alloc(&watch->inner, bytes, alignment);
                           },
                           [](void *self, void *memory, size_t bytes) {
                               auto *watch = static_cast<Watch *>(self);
                               watch->inner.hooks.release(&watch->inner, memory, bytes);
                           },
                           this};
        support::Allocator &inner;
        size_t most = 0;
    } watch(allocator);
    EXPECT_EQ(Table(text, nullptr, false, 0, &watch.hooks).status, DK_E_DATA);
    // 4 bytes of values a byte of text, and a few rows; fields of the first row are 24 bytes each
    EXPECT_LE(watch.most, 16 * text.size());
}

TEST_F(FormatCsv, ReadsTheRealFiles) {
    DELTAK_NEEDS_DATA("uci/bike.csv.gz");
    const struct {
        const char *name;
        int64_t rows, features;
        bool integer;
    } files[] = {{"uci/bike.csv.gz", 17379, 17, false},
                 {"uci/protein.csv.gz", 45730, 9, false},
                 {"digits/digits.csv.gz", 1797, 64, true}};
    for (const auto &file : files) {
        dki_csv csv;
        std::string name = support::data_directory() + "/" + file.name;
        ASSERT_EQ(dki_csv_read(libc, name.c_str(), nullptr, &csv), DK_OK) << dk_error_text();
        EXPECT_EQ(csv.rows, file.rows);
        EXPECT_EQ(csv.features, file.features);
        EXPECT_EQ(csv.header, nullptr);
        EXPECT_NE(csv.label_values, nullptr);
        dki_csv_release(libc, &csv);
    }
}

} // namespace

// NPY: what numpy.save writes in versions 1.0 to 3.0, every malformed header, every cut.
#include "support.h"

extern "C" {
#include "base/memory.h"
#include "format/npy.h"
}

#include <cstring>

namespace {

using support::expect_error_names;

const dk_allocator *libc = &dki_libc_allocator;

/// An NPY file with this header dict, padded as NumPy pads it.
std::string npy(const std::string &dict, const std::string &elements, int major = 1) {
    size_t prefix = major == 1 ? 10 : 12;
    std::string header = dict;
    while ((prefix + header.size() + 1) % 64 != 0) header += ' ';
    header += '\n';
    std::string bytes = "\x93NUMPY";
    bytes += static_cast<char>(major);
    bytes += '\0';
    for (size_t i = 0; i < prefix - 8; ++i) bytes += static_cast<char>(header.size() >> 8 * i);
    return bytes + header + elements;
}

std::string dict(const std::string &descr, const std::string &order, const std::string &shape) {
    return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

template <class T> std::string raw(const std::vector<T> &values) {
    return {reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T)};
}

/// Parses bytes that end exactly where their allocation does, so that reading on is seen.
struct Parsed {
    explicit Parsed(const std::string &bytes) : copy(new char[bytes.size()]) {
        std::memcpy(copy.get(), bytes.data(), bytes.size());
        status = dki_npy_parse("test.npy", copy.get(), bytes.size(), &array);
    }

    template <class T> std::vector<T> values() const {
        const T *first = static_cast<const T *>(array.data);
        return {first, first + array.bytes / sizeof(T)};
    }

    std::unique_ptr<char[]> copy;
    dki_array array{};
    dk_status status;
};

class FormatNpy : public support::TempDirectory {};

TEST_F(FormatNpy, ReadsEveryTypeAndVersion) {
    for (int major : {1, 2, 3}) {
        Parsed f4(npy(dict("<f4", "False", "(2, 3)"), raw<float>({1, 2, 3, 4, 5, 6}), major));
        ASSERT_EQ(f4.status, DK_OK) << dk_error_text();
        EXPECT_EQ(f4.array.type, DK_F32);
        EXPECT_EQ(f4.array.dims, 2);
        EXPECT_EQ(f4.array.shape[0], 2);
        EXPECT_EQ(f4.array.shape[1], 3);
        EXPECT_FALSE(f4.array.fortran_order);
        EXPECT_EQ(f4.values<float>(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
    }
    Parsed f8(npy(dict("=f8", "True", "(1,2,)"), raw<double>({0.1, -2})));
    ASSERT_EQ(f8.status, DK_OK) << dk_error_text();
    EXPECT_EQ(f8.array.type, DK_F64);
    EXPECT_TRUE(f8.array.fortran_order);
    EXPECT_EQ(f8.values<double>(), (std::vector<double>{0.1, -2}));
    Parsed u1(npy(dict("|u1", "False", "(3,)"), "abc"));
    ASSERT_EQ(u1.status, DK_OK) << dk_error_text();
    EXPECT_EQ(u1.array.type, DK_U8);
    EXPECT_EQ(u1.array.dims, 1);
    Parsed i4(npy(dict("<i4", "False", "(1, 1, 2)"), raw<int32_t>({-1, 7})));
    ASSERT_EQ(i4.status, DK_OK) << dk_error_text();
    EXPECT_EQ(i4.values<int32_t>(), (std::vector<int32_t>{-1, 7}));
    Parsed i8(npy(dict("<i8", "False", "(1,)"), raw<int64_t>({INT64_MIN})));
    ASSERT_EQ(i8.status, DK_OK) << dk_error_text();
    EXPECT_EQ(i8.array.type, DK_I64);
}

TEST_F(FormatNpy, TakesTheKeysInAnyOrderAndQuotes) {
    Parsed parsed(npy("{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"|u1\"}", "ab"));
    EXPECT_EQ(parsed.status, DK_OK) << dk_error_text();
}

TEST_F(FormatNpy, RefusesMalformedHeaders) {
    auto refused = [](const std::string &header, const char *part) {
        EXPECT_EQ(Parsed(npy(header, "ab")).status, DK_E_DATA) << header;
        expect_error_names("test.npy");
        expect_error_names(part);
    };
    const std::string start = "{'descr': '|u1', 'fortran_order': False, ";
    refused("", "expected '{'");
    refused("{", "quoted text");
    refused("{}", "lacks 'descr'");
    refused("{'descr': '|u1'}", "lacks 'fortran_order'");
    refused(start + "}", "lacks 'shape'");
    refused(start + "'shape': (2,)", "expected ',' or '}'");
    refused(start + "'shape': (2,)} x", "nothing but blanks");
    refused(start + "'shape': (2,), 'shape': (2,)}", "the key 'shape' twice");
    refused(start + "'shape': (2,), 'size': 2}", "unknown key 'size'");
    refused(start + "'shape': (2)}", "a comma in a tuple of one");
    refused(start + "'shape': 2}", "a tuple");
    refused(start + "'shape': [2]}", "a tuple");
    refused(start + "'shape': (2 2)}", "',' or ')'");
    refused(start + "'shape': (-2,)}", "a dimension");
    refused(start + "'shape': (2.0,)}", "',' or ')'");
    refused(start + "'shape': (99999999999999999999,)}", "below 2^63");
    refused(start + "'shape': (1,1,1,1,1,1,1,1,2)}", "at most 8");
    refused(start + "'shape': ()}", "single number");
    refused(start + "'shape': (0, 2)}", "no rows");
    refused(start + "'shape': (4294967296, 4294967296)}", "address space");
    refused(start + ", 'shape': (2,)}", "quoted text");
    refused("{'descr: 1}", "the end of a quoted text");
    refused("{'descr' '|u1'}", "expected ':'");
    refused("{'descr': '|u1', 'fortran_order': 0, 'shape': (2,)}", "True or False");
    refused(dict(">f4", "False", "(2,)"), "big-endian");
    refused(dict("<f2", "False", "(1,)"), "dtype '<f2'");
    refused(dict("|b1", "False", "(2,)"), "dtype '|b1'");
    refused(dict("|O", "False", "(2,)"), "dtype '|O'");
    refused(dict("|f4", "False", "(2,)"), "dtype '|f4'");
    refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "records");
}

TEST_F(FormatNpy, StatesBothNumbersWhereLengthsDisagree) {
    std::string header = dict("<f4", "False", "(2, 3)");
    EXPECT_EQ(Parsed(npy(header, std::string(23, 0))).status, DK_E_DATA);
    expect_error_names("promises 24 bytes of elements, the file holds 23: it is cut short");
    EXPECT_EQ(Parsed(npy(header, std::string(25, 0))).status, DK_E_DATA);
    expect_error_names("promises 24 bytes of elements, the file holds 25");
    std::string lying = npy(header, std::string(24, 0));
    lying[8] = '\xff', lying[9] = '\xff';
    EXPECT_EQ(Parsed(lying).status, DK_E_DATA);
    expect_error_names("its header promises 65535 bytes");
    std::string huge = npy(header, std::string(24, 0), 2);
    huge[11] = '\x7f';
    EXPECT_EQ(Parsed(huge).status, DK_E_DATA);
    std::string version = npy(header, std::string(24, 0));
    version[6] = 4;
    EXPECT_EQ(Parsed(version).status, DK_E_DATA);
    expect_error_names("version 4.0");
    EXPECT_EQ(Parsed("").status, DK_E_DATA);
    EXPECT_EQ(Parsed("PK\3\4 a zip archive").status, DK_E_DATA);
    expect_error_names("not an NPY file");
}

TEST_F(FormatNpy, RefusesElementsAtAnAddressTheirTypeCannotHave) {
    // a valid header of 10 + 55 = 65 bytes: no padding was written
    std::string text = "{'descr':'<f4','fortran_order':False,'shape':(1,)}    \n";
    ASSERT_EQ(text.size(), 55u);
    std::string bytes("\x93NUMPY\1\0", 8);
    bytes += static_cast<char>(text.size());
    bytes += '\0';
    EXPECT_EQ(Parsed(bytes + text + raw<float>({1})).status, DK_E_DATA);
    expect_error_names("start at byte 65");
}

TEST_F(FormatNpy, EveryCutIsAnError) {
    for (int major : {1, 2}) {
        std::string whole = npy(dict("<f4", "True", "(2, 3)"), std::string(24, 0), major);
        for (size_t cut = 0; cut < whole.size(); ++cut)
            EXPECT_EQ(Parsed(whole.substr(0, cut)).status, DK_E_DATA) << cut;
    }
}

TEST_F(FormatNpy, MutationsNeitherCrashNorReadOn) {
    std::mt19937 random(2);
    std::string whole = npy(dict("<f4", "False", "(2, 3)"), std::string(24, 1));
    std::string tight = whole.substr(0, 80); // most edits hit the dict, not the padding
    for (int i = 0; i < 10000; ++i) {
        std::string bytes = i % 2 ? support::mutate(whole, random)
                                  : support::mutate(tight, random) + whole.substr(80);
        Parsed parsed(bytes);
        if (parsed.status != DK_OK) continue;
        volatile uint8_t sum = 0; // touches every byte that the array claims
        for (uint8_t byte : parsed.values<uint8_t>()) sum = sum + byte;
    }
}

TEST_F(FormatNpy, ReadsWhatItWrites) {
    std::vector<float> values{1, -2.5f, 3e38f, 1e-45f, 0, -0.0f};
    std::string name = path("out.npy");
    ASSERT_EQ(dki_npy_write(libc, name.c_str(), values.data(), 3, 2), DK_OK) << dk_error_text();
    dki_file file;
    dki_array array;
    ASSERT_EQ(dki_npy_open(name.c_str(), &file, &array), DK_OK) << dk_error_text();
    EXPECT_EQ(array.shape[0], 3);
    EXPECT_EQ(array.shape[1], 2);
    EXPECT_EQ(std::memcmp(array.data, values.data(), array.bytes), 0);
    dki_file_release(libc, &file);
    std::string bytes = support::slurp(name);
    EXPECT_EQ(bytes.size(), 128u + 24u);
    EXPECT_EQ(bytes[127], '\n');
}

TEST_F(FormatNpy, WritingFailsWithoutALeakOrATrace) {
    std::vector<float> values(100000);
    EXPECT_EQ(dki_npy_write(libc, "/dev/full", values.data(), 1000, 100), DK_E_IO);
    EXPECT_EQ(dki_npy_write(libc, path("no/folder").c_str(), values.data(), 1, 1), DK_E_IO);
    EXPECT_EQ(dki_npy_write(libc, path("big").c_str(), values.data(), INT64_MAX, INT64_MAX),
              DK_E_SHAPE);
    EXPECT_TRUE(std::filesystem::is_empty(directory));
    write("old.npy", "old");
    support::fail_each_allocation([&](const dk_allocator *allocator) {
        EXPECT_EQ(support::slurp(path("old.npy")), "old");
        return dki_npy_write(allocator, path("old.npy").c_str(), values.data(), 1, 1);
    });
}

TEST_F(FormatNpy, OpenErrorsNameTheFile) {
    dki_file file;
    dki_array array;
    EXPECT_EQ(dki_npy_open(path("absent.npy").c_str(), &file, &array), DK_E_IO);
    expect_error_names("absent.npy");
    EXPECT_EQ(dki_npy_open(write("empty.npy", "").c_str(), &file, &array), DK_E_DATA);
    expect_error_names("empty.npy");
    EXPECT_EQ(file.map, nullptr);
}

} // namespace

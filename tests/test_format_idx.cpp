// IDX: every type, every lie a header can tell, every cut, and MNIST itself.
#include "support.h"

extern "C" {
#include "base/memory.h"
#include "format/idx.h"
}

#include <cstring>

namespace {

using support::expect_error_names;

const dk_allocator *libc = &dki_libc_allocator;

std::string big_endian(uint64_t value, int bytes) {
    std::string text;
    for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> 8 * i);
    return text;
}

/// An IDX file: type, shape, elements as they are stored.
std::string idx(int type, const std::vector<uint32_t> &shape, const std::string &elements) {
    std::string bytes{0, 0, static_cast<char>(type), static_cast<char>(shape.size())};
    for (uint32_t size : shape) bytes += big_endian(size, 4);
    return bytes + elements;
}

/// Parses bytes that end exactly where their allocation does, so that reading on is seen.
struct Parsed {
    explicit Parsed(const std::string &bytes, const dk_allocator *from = libc) : allocator(from) {
        status = dki_alloc(allocator, bytes.size(), 1, "the test's bytes", &file.memory);
        if (status != DK_OK) return;
        std::memcpy(file.memory, bytes.data(), bytes.size());
        file.data = static_cast<unsigned char *>(file.memory);
        file.bytes = bytes.size();
        status = dki_idx_parse(allocator, "test.idx", &file, &array);
    }
    ~Parsed() { dki_file_release(allocator, &file); }
    Parsed(const Parsed &) = delete;

    template <class T> std::vector<T> values() const {
        const T *first = static_cast<const T *>(array.data);
        return {first, first + array.bytes / sizeof(T)};
    }

    const dk_allocator *allocator;
    dki_file file{};
    dki_array array{};
    dk_status status;
};

class FormatIdx : public support::TempDirectory {};

TEST_F(FormatIdx, ReadsEveryType) {
    Parsed u8(idx(8, {2, 3}, std::string("\0\1\2\3\376\377", 6)));
    ASSERT_EQ(u8.status, DK_OK) << dk_error_text();
    EXPECT_EQ(u8.array.type, DK_U8);
    EXPECT_EQ(u8.array.dims, 2);
    EXPECT_EQ(u8.array.shape[0], 2);
    EXPECT_EQ(u8.array.shape[1], 3);
    EXPECT_FALSE(u8.array.fortran_order);
    EXPECT_EQ(u8.values<uint8_t>(), (std::vector<uint8_t>{0, 1, 2, 3, 254, 255}));

    Parsed i16(idx(0x0b, {3}, big_endian(1, 2) + big_endian(0xfffe, 2) + big_endian(0x8000, 2)));
    ASSERT_EQ(i16.status, DK_OK) << dk_error_text();
    EXPECT_EQ(i16.array.type, DK_I32);
    EXPECT_EQ(i16.values<int32_t>(), (std::vector<int32_t>{1, -2, -32768}));

    Parsed i32(idx(0x0c, {2}, big_endian(0x01020304, 4) + big_endian(0xffffffff, 4)));
    ASSERT_EQ(i32.status, DK_OK) << dk_error_text();
    EXPECT_EQ(i32.values<int32_t>(), (std::vector<int32_t>{0x01020304, -1}));

    Parsed f32(idx(0x0d, {1, 1, 2}, big_endian(0x3fc00000, 4) + big_endian(0xc0000000, 4)));
    ASSERT_EQ(f32.status, DK_OK) << dk_error_text();
    EXPECT_EQ(f32.array.type, DK_F32);
    EXPECT_EQ(f32.values<float>(), (std::vector<float>{1.5f, -2.0f}));

    Parsed f64(idx(0x0e, {1}, big_endian(0x3ff8000000000000, 8)));
    ASSERT_EQ(f64.status, DK_OK) << dk_error_text();
    EXPECT_EQ(f64.array.type, DK_F64);
    EXPECT_EQ(f64.values<double>(), std::vector<double>{1.5});
}

TEST_F(FormatIdx, RefusesWhatItDoesNotKnow) {
    auto refused = [](const std::string &bytes, const char *part) {
        EXPECT_EQ(Parsed(bytes).status, DK_E_DATA);
        expect_error_names("test.idx");
        expect_error_names(part);
    };
    refused("", "not an IDX file");
    refused("ab", "not an IDX file");
    refused("\1" + idx(8, {1}, "a").substr(1), "not an IDX file");
    refused(idx(7, {1}, "a"), "not an IDX file");
    refused(idx(8, {}, "a"), "not an IDX file");
    refused(idx(9, {1}, "a"), "signed bytes");
    refused(idx(8, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "a"), "9 dimensions, at most 8");
}

TEST_F(FormatIdx, StatesBothNumbersWhereLengthsDisagree) {
    EXPECT_EQ(Parsed(idx(8, {2, 3}, "abcde")).status, DK_E_DATA);
    expect_error_names("promises 6 bytes of elements, the file holds 5: it is cut short");
    EXPECT_EQ(Parsed(idx(8, {2, 3}, "abcdefg")).status, DK_E_DATA);
    expect_error_names("promises 6 bytes of elements, the file holds 7");
    EXPECT_EQ(Parsed(idx(8, {0, 3}, "")).status, DK_E_DATA);
    expect_error_names("no rows");
    EXPECT_EQ(Parsed(idx(0x0e, {0xffffffff, 0xffffffff, 1}, "")).status, DK_E_DATA);
    expect_error_names("promises more");
    // widening i16 may overflow where the stored bytes did not, but such a file can't be held
    EXPECT_EQ(Parsed(idx(0x0b, {0x7fffffff, 0x7fffffff, 1}, "")).status, DK_E_DATA);
}

TEST_F(FormatIdx, EveryCutIsAnError) {
    for (int type : {0x08, 0x0b, 0x0e}) {
        std::string whole = idx(type, {2, 2},
                                std::string(type == 8      ? 4
                                            : type == 0x0b ? 8
                                                           : 32,
                                            1));
        ASSERT_EQ(Parsed(whole).status, DK_OK) << dk_error_text();
        for (size_t cut = 0; cut < whole.size(); ++cut)
            EXPECT_EQ(Parsed(whole.substr(0, cut)).status, DK_E_DATA) << cut;
    }
}

TEST_F(FormatIdx, MutationsNeitherCrashNorLeak) {
    std::mt19937 random(1);
    for (int type : {0x08, 0x0b, 0x0d, 0x0e}) {
        std::string whole = idx(type, {2, 4}, std::string(type == 8 ? 8 : 64, 3));
        for (int i = 0; i < 2000; ++i) {
            support::Allocator allocator;
            {
                Parsed parsed(support::mutate(whole, random), allocator.get());
                if (parsed.status == DK_OK) {
                    volatile uint8_t sum = 0; // touches every byte that the array claims
                    for (uint8_t byte : parsed.values<uint8_t>()) sum = sum + byte;
                }
            }
            ASSERT_EQ(allocator.live_blocks, 0);
        }
    }
}

TEST_F(FormatIdx, SurvivesEveryFailedAllocation) {
    std::string name = write("a.idx", idx(0x0e, {2}, std::string(16, 0)));
    support::fail_each_allocation([&](const dk_allocator *allocator) {
        dki_file file;
        dki_array array;
        dk_status status = dki_idx_read(allocator, name.c_str(), &file, &array);
        dki_file_release(allocator, &file);
        return status;
    });
}

TEST_F(FormatIdx, ReadsMnist) {
    DELTAK_NEEDS_DATA("mnist/t10k-images-idx3-ubyte.gz");
    std::string folder = support::data_directory() + "/mnist/";
    dki_file file;
    dki_array array;
    ASSERT_EQ(dki_idx_read(libc, (folder + "t10k-images-idx3-ubyte.gz").c_str(), &file, &array),
              DK_OK)
        << dk_error_text();
    EXPECT_EQ(array.dims, 3);
    EXPECT_EQ(array.shape[0], 10000);
    EXPECT_EQ(array.shape[1], 28);
    EXPECT_EQ(array.shape[2], 28);
    EXPECT_EQ(array.bytes, 7840000u);
    dki_file_release(libc, &file);

    ASSERT_EQ(dki_idx_read(libc, (folder + "t10k-labels-idx1-ubyte.gz").c_str(), &file, &array),
              DK_OK);
    std::vector<int> counts(10);
    for (size_t i = 0; i < array.bytes; ++i)
        ++counts.at(static_cast<const uint8_t *>(array.data)[i]);
    // the class counts of the published test set
    EXPECT_EQ(counts, (std::vector<int>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}));
    dki_file_release(libc, &file);
}

} // namespace

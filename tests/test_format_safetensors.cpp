// safetensors: round trips, the bytes themselves, and every way a header can lie.
#include "support.h"

extern "C" {
#include "base/memory.h"
#include "format/bytes.h"
#include "format/hash.h"
#include "format/safetensors.h"
}

#include <cstring>
#include <memory>
#include <xxhash.h>

namespace {

using support::expect_error_names;

const dk_allocator *libc = &dki_libc_allocator;

std::string little_endian(uint64_t value) {
    std::string text;
    for (int i = 0; i < 8; ++i) text += static_cast<char>(value >> 8 * i);
    return text;
}

std::string file_of(const std::string &header, const std::string &buffer) {
    return little_endian(header.size()) + header + buffer;
}

/// A header entry.
std::string entry(const std::string &name, const std::string &dtype, const std::string &shape,
                  const std::string &offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}";
}

/// Parses bytes that end exactly where their allocation does, so that reading on is seen.
struct Parsed {
    explicit Parsed(const std::string &bytes, const dk_allocator *from = libc)
        : allocator(from), copy(new char[bytes.size()]) {
        std::memcpy(copy.get(), bytes.data(), bytes.size());
        status = dki_safetensors_parse(allocator, "m.safetensors", copy.get(), bytes.size(), &file);
    }
    ~Parsed() { dki_safetensors_release(allocator, &file); }
    Parsed(const Parsed &) = delete;

    const dk_allocator *allocator;
    std::unique_ptr<char[]> copy;
    dki_safetensors file{};
    dk_status status;
};

dki_safetensor tensor(const char *name, const std::vector<int64_t> &shape,
                      const std::vector<float> &values) {
    dki_safetensor made{};
    made.name = name;
    made.dtype = "F32";
    made.dims = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), made.shape);
    made.data = values.data();
    made.bytes = 4 * values.size();
    return made;
}

dk_status read_f32(const dki_safetensors *file, const char *name, const int64_t *shape, int dims,
                   float *values) {
    const dk_status status = dki_safetensors_expect_f32(file, name, shape, dims);
    if (status == DK_OK) dki_safetensors_copy_f32(file, name, values);
    return status;
}

// As 32 digits.
std::string hash_of(const void *data, size_t bytes) {
    const XXH128_hash_t hash = XXH3_128bits(data, bytes);
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)hash.high64,
                  (unsigned long long)hash.low64);
    return text;
}

class FormatSafetensors : public support::TempDirectory {
  protected:
    const std::vector<float> weight{1, 2, 3, -4, 5.5f, 1e-45f}, bias{7, 8};
    const std::vector<dki_safetensor> two{tensor("layers.1.weight", {2, 3}, weight),
                                          tensor("layers.1.bias", {2}, bias)};
    const std::vector<dki_metadata> metadata{{"format", "pt"},
                                             {"deltak", "{\"a\":\"\xc3\xa9\\\"\n\"}"}};

    dk_status write_two(const std::string &name, const dk_allocator *allocator = libc) {
        return dki_safetensors_write(allocator, name.c_str(), metadata.data(), metadata.size(),
                                     two.data(), two.size());
    }
    std::string bytes_of_two() {
        EXPECT_EQ(write_two(path("two")), DK_OK) << dk_error_text();
        return support::slurp(path("two"));
    }
};

TEST_F(FormatSafetensors, ReadsWhatItWrites) {
    std::string name = path("model.safetensors");
    ASSERT_EQ(write_two(name), DK_OK) << dk_error_text();
    dki_safetensors file;
    ASSERT_EQ(dki_safetensors_open(libc, name.c_str(), &file), DK_OK) << dk_error_text();
    EXPECT_EQ(file.count, 2u);
    EXPECT_STREQ(file.tensors[0].name, "layers.1.weight");
    EXPECT_STREQ(dki_safetensors_metadata(&file, "format"), "pt");
    EXPECT_STREQ(dki_safetensors_metadata(&file, "deltak"), metadata[1].value);
    EXPECT_EQ(dki_safetensors_metadata(&file, "absent"), nullptr);
    std::vector<float> values(6);
    const int64_t shape[] = {2, 3}, other[] = {3, 2};
    ASSERT_EQ(read_f32(&file, "layers.1.weight", shape, 2, values.data()), DK_OK);
    EXPECT_EQ(values, weight);
    EXPECT_EQ(read_f32(&file, "layers.1.weight", other, 2, values.data()), DK_E_MODEL);
    expect_error_names("shape [2, 3], expected [3, 2]");
    EXPECT_EQ(read_f32(&file, "layers.1.wieght", shape, 2, values.data()), DK_E_MODEL);
    expect_error_names("no tensor \"layers.1.wieght\", but \"layers.1.weight\"");
    dki_safetensors_release(libc, &file);
}

TEST_F(FormatSafetensors, WritesTheBytesOfTheSpecification) {
    const std::string zeros(32, '0');
    std::string header =
        "{\"__metadata__\":{\"xxh3\":\"" + zeros + "\",\"xxh3.layers.1.weight\":\"" +
        hash_of(weight.data(), 24) + "\",\"xxh3.layers.1.bias\":\"" + hash_of(bias.data(), 8) +
        "\",\"format\":\"pt\",\"deltak\":\"{\\\"a\\\":\\\"\xc3\xa9\\\\\\\"\\n\\\"}\"},"
        "\"layers.1.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"layers.1.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]}}";
    while (header.size() % 8) header += ' ';
    header.replace(header.find(zeros), 32, hash_of(header.data(), header.size()));
    std::string buffer(reinterpret_cast<const char *>(weight.data()), 24);
    buffer.append(reinterpret_cast<const char *>(bias.data()), 8);
    std::string bytes = bytes_of_two();
    EXPECT_EQ(bytes, file_of(header, buffer));
    EXPECT_EQ(bytes_of_two(), bytes) << "two writes differ";
}

// From a mebibyte on, so that they can be written without the page cache; wherever they lie in memory.
TEST_F(FormatSafetensors, LargeTensorsBeginOnAPage) {
    for (int64_t elements : {(1 << 18) - 10, (1 << 18) - 9, (1 << 18) + 1, 1 << 19}) {
        SCOPED_TRACE(elements);
        std::vector<float> values(static_cast<size_t>(elements + 9));
        for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1013);
        const std::vector<float> first(values.begin(), values.begin() + 9),
            rest(values.begin() + 9, values.end());
        std::vector<float> moved(values.size() + 1025);
        const size_t page = reinterpret_cast<uintptr_t>(moved.data()) % 4096 / 4;
        for (size_t from : {1024 - page, 1025 - page}) { // on a page, and beside one
            float *at = moved.data() + from;
            std::copy(values.begin(), values.end(), at);
            dki_safetensor both[] = {tensor("a", {9}, first), tensor("b", {elements}, rest)};
            both[0].data = at;
            both[1].data = at + 9;
            ASSERT_EQ(dki_safetensors_write(libc, path("large").c_str(), nullptr, 0, both, 2),
                      DK_OK)
                << dk_error_text();
            const std::string bytes = support::slurp(path("large"));
            const size_t data = bytes.size() - 4 * values.size();
            EXPECT_EQ(data % 4096 == 0, 4 * values.size() >= 1 << 20);
            EXPECT_EQ(data % 8, 0u);
            EXPECT_EQ(std::memcmp(bytes.data() + data, values.data(), 4 * values.size()), 0);
            const Parsed parsed(bytes);
            ASSERT_EQ(parsed.status, DK_OK) << dk_error_text();
            EXPECT_EQ(dki_safetensors_verify(libc, &parsed.file, true), DK_OK) << dk_error_text();
            // As it was written before that.
            std::string header = bytes.substr(8, data - 8);
            header.erase(header.find_last_not_of(' ') + 1);
            while (header.size() % 8) header += ' ';
            const size_t hash = header.find("\"xxh3\":\"") + 8;
            header.replace(hash, 32, 32, '0');
            header.replace(hash, 32, hash_of(header.data(), header.size()));
            const Parsed old(file_of(header, bytes.substr(data)));
            ASSERT_EQ(old.status, DK_OK) << dk_error_text();
            EXPECT_EQ(dki_safetensors_verify(libc, &old.file, true), DK_OK) << dk_error_text();
        }
    }
}

TEST_F(FormatSafetensors, HashesAreThoseOfXxh3) {
    // the specification's own answer for no bytes
    EXPECT_EQ(hash_of("", 0), "99aa06d3014798d86001c324468d497f");
    char text[DKI_HASH_TEXT];
    dki_hash_text("abc", 3, text);
    EXPECT_EQ(text, hash_of("abc", 3));
    dki_hasher *hasher = dki_hasher_open();
    dki_hasher_add(hasher, "a", 1);
    dki_hasher_add(hasher, "bc", 2);
    char pieces[DKI_HASH_TEXT];
    dki_hasher_close(hasher, pieces);
    EXPECT_STREQ(pieces, text);
}

TEST_F(FormatSafetensors, AnyChangedBitIsFound) {
    const std::string bytes = bytes_of_two();
    auto whole = [](const std::string &changed) {
        Parsed parsed(changed);
        return parsed.status == DK_OK && dki_safetensors_verify(libc, &parsed.file, false) == DK_OK;
    };
    ASSERT_TRUE(whole(bytes)) << dk_error_text();
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
        std::string changed = bytes;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
        ASSERT_FALSE(whole(changed)) << "bit " << bit % 8 << " of byte " << bit / 8;
    }
    for (size_t length = 0; length < bytes.size(); ++length)
        ASSERT_FALSE(whole(bytes.substr(0, length))) << length << " bytes";
    ASSERT_FALSE(whole(bytes + '\0'));
}

TEST_F(FormatSafetensors, OfTheSameHeaderOnlyTheWritersTextIsTaken) {
    const std::string bytes = bytes_of_two();
    const size_t end = 8 + dki_load_le64(bytes.data());
    const std::string header = bytes.substr(8, end - 8), buffer = bytes.substr(end);
    auto refused = [&](const std::string &changed) {
        Parsed parsed(file_of(changed, buffer));
        ASSERT_EQ(parsed.status, DK_OK) << dk_error_text();
        EXPECT_EQ(dki_safetensors_verify(libc, &parsed.file, false), DK_E_MODEL);
        expect_error_names("isn't in the form that deltak writes");
    };
    refused(header + "        ");
    refused("{ " + header.substr(1));
    std::string escaped = header;
    refused(escaped.replace(escaped.find("pt"), 2, "\\u0070t"));
}

TEST_F(FormatSafetensors, WithoutHashesAFileIsTakenUnlessTheyAreRequired) {
    Parsed parsed(file_of("{" + entry("a", "F32", "[1]", "[0,4]") + "}", "1234"));
    ASSERT_EQ(parsed.status, DK_OK);
    EXPECT_EQ(dki_safetensors_verify(libc, &parsed.file, false), DK_OK);
    EXPECT_EQ(dki_safetensors_verify(libc, &parsed.file, true), DK_E_MODEL);
}

TEST_F(FormatSafetensors, ReadsScalarsEmptyTensorsAndOtherOrders) {
    std::string header =
        "{" + entry("b", "F32", "[1]", "[4,8]") + "," + entry("nothing", "F32", "[0,5]", "[4,4]") +
        "," + entry("a", "F32", "[]", "[0,4]") + "," + entry("c", "BF16", "[1]", "[8,10]") + "}  ";
    Parsed parsed(file_of(header, std::string("\0\0\x80\x3f\0\0\0\x40\0\0", 10)));
    ASSERT_EQ(parsed.status, DK_OK) << dk_error_text();
    EXPECT_EQ(parsed.file.count, 4u);
    float value = 0;
    EXPECT_EQ(read_f32(&parsed.file, "a", nullptr, 0, &value), DK_OK);
    EXPECT_EQ(value, 1);
    const int64_t one[] = {1};
    // at an odd address, perhaps: the header here is not padded
    EXPECT_EQ(read_f32(&parsed.file, "b", one, 1, &value), DK_OK);
    EXPECT_EQ(value, 2);
    EXPECT_EQ(read_f32(&parsed.file, "c", one, 1, &value), DK_E_MODEL);
    expect_error_names("\"c\" is BF16, expected F32");
    EXPECT_EQ(Parsed(file_of("{}", "")).status, DK_OK) << dk_error_text();
}

TEST_F(FormatSafetensors, RefusesLies) {
    auto refused = [](const std::string &bytes, const char *part) {
        EXPECT_EQ(Parsed(bytes).status, DK_E_MODEL) << bytes;
        expect_error_names("m.safetensors");
        expect_error_names(part);
    };
    auto header = [&](const std::string &text, const char *part) {
        refused(file_of("{" + text + "}", std::string(8, 0)), part);
    };
    refused("", "too few");
    refused("1234567", "too few");
    refused(little_endian(100000001) + "{}", "at most 100000000");
    refused(little_endian(UINT64_MAX) + "{}", "at most 100000000");
    refused(little_endian(3) + "{}", "promises a header of 3 bytes, the file has 2");
    refused(file_of("", ""), "doesn't begin with {");
    refused(file_of("[]", ""), "doesn't begin with {");
    refused(file_of("{\"a\":}", ""), "no valid JSON");
    refused(file_of("{} x", ""), "no valid JSON");
    header("\"a\":1", "no text \"dtype\"");
    header(entry("a", "F32", "[2]", "[0,8]") + "," + entry("a", "F32", "[2]", "[0,8]"),
           "no valid JSON");
    header(entry("a", "F33", "[2]", "[0,8]"), "unknown dtype \"F33\"");
    header(entry("a", "F32", "2", "[0,8]"), "no list \"shape\"");
    header(entry("a", "F32", "[2.0]", "[0,8]"), "whole number");
    header(entry("a", "F32", "[-2]", "[0,8]"), "whole number");
    header(entry("a", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), "9 dimensions");
    header(entry("a", "F32", "[99999999999999999999]", "[0,8]"), "no valid JSON");
    header(entry("a", "F32", "[9223372036854775807,2]", "[0,8]"), "overflows");
    header(entry("a", "F32", "[4611686018427387904]", "[0,0]"), "overflows");
    header(entry("a", "F32", "[2]", "[0]"), "no pair");
    header(entry("a", "F32", "[2]", "[0,8,9]"), "no pair");
    header(entry("a", "F32", "[2]", "[\"0\",8]"), "no pair");
    header(entry("a", "F32", "[2]", "[8,0]"), "claims bytes 8 to 0");
    header(entry("a", "F32", "[2]", "[-8,0]"), "claims bytes -8 to 0");
    header(entry("a", "F32", "[3]", "[0,12]"), "claims bytes 0 to 12 of a buffer of 8");
    header(entry("a", "F32", "[3]", "[0,8]"),
           "needs 12 bytes by its shape and dtype, its range has 8");
    header(entry("a", "F32", "[1]", "[0,4]"), "accounts for 4 bytes of tensors, the file holds 8");
    header(entry("a", "F32", "[1]", "[4,8]"), "4 bytes before tensor \"a\" belong to no tensor");
    header(entry("a", "F32", "[1]", "[0,4]") + "," + entry("b", "F32", "[2]", "[0,8]"), "overlap");
    header("\"__metadata__\":1," + entry("a", "F32", "[2]", "[0,8]"), "not an object");
    header("\"__metadata__\":{\"k\":1}," + entry("a", "F32", "[2]", "[0,8]"),
           "\"k\" in __metadata__");
    header("\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}", "no valid JSON");
    header("", "accounts for 0 bytes of tensors, the file holds 8");
}

TEST_F(FormatSafetensors, EveryCutIsAnError) {
    std::string whole = bytes_of_two();
    for (size_t cut = 0; cut < whole.size(); ++cut)
        EXPECT_EQ(Parsed(whole.substr(0, cut)).status, DK_E_MODEL) << cut;
    EXPECT_EQ(Parsed(whole + "x").status, DK_E_MODEL);
}

TEST_F(FormatSafetensors, MutationsNeitherCrashNorLeak) {
    std::mt19937 random(5);
    std::string whole = bytes_of_two();
    for (int i = 0; i < 10000; ++i) {
        std::string bytes = support::mutate(whole, random);
        // half of them with a length that fits again, so that the edit reaches the JSON
        if (i % 2 && bytes.size() > 8 + 32)
            bytes.replace(0, 8, little_endian(bytes.size() - 8 - 32));
        support::Allocator allocator;
        {
            Parsed parsed(bytes, allocator.get());
            volatile char sum = 0; // touches every byte that a tensor claims
            for (size_t t = 0; parsed.status == DK_OK && t < parsed.file.count; ++t)
                for (size_t b = 0; b < parsed.file.tensors[t].bytes; ++b)
                    sum = sum + static_cast<const char *>(parsed.file.tensors[t].data)[b];
        }
        ASSERT_EQ(allocator.live_blocks, 0);
    }
}

TEST_F(FormatSafetensors, WillNotWriteWhatItCouldNotRead) {
    auto refused = [&](const std::vector<dki_metadata> &meta,
                       const std::vector<dki_safetensor> &tensors, const char *part) {
        EXPECT_EQ(dki_safetensors_write(libc, path("out").c_str(), meta.data(), meta.size(),
                                        tensors.data(), tensors.size()),
                  DK_E_ARGUMENT);
        expect_error_names(part);
    };
    refused({}, {two[0], two[0]}, "two entries are named \"layers.1.weight\"");
    refused({{"a", "1"}, {"a", "2"}}, {}, "two entries are named \"a\"");
    refused({{"xxh3.a", "1"}}, {}, "no metadata may be named \"xxh3.a\"");
    refused({{"a", "\xff"}}, {}, "UTF-8");
    refused({{"\xff", "a"}}, {}, "UTF-8");
    refused({}, {tensor("\xc0", {2}, bias)}, "UTF-8");
    refused({}, {tensor("__metadata__", {2}, bias)}, "no tensor may be named");
    refused({}, {tensor("a", {3}, bias)}, "its shape doesn't make 8 bytes");
    refused({}, {tensor("a", {-2}, bias)}, "its shape doesn't make 8 bytes");
    dki_safetensor unknown = two[0];
    unknown.dtype = "F31";
    refused({}, {unknown}, "unknown dtype");
    EXPECT_TRUE(std::filesystem::is_empty(directory));
}

TEST_F(FormatSafetensors, FailuresLeaveTheOldFileWhole) {
    EXPECT_EQ(write_two("/dev/full"), DK_E_IO);
    expect_error_names("/dev/full");
    EXPECT_EQ(write_two(path("no/folder")), DK_E_IO);
    write("old", "old");
    support::fail_each_allocation([&](const dk_allocator *allocator) {
        EXPECT_EQ(support::slurp(path("old")), "old");
        return write_two(path("old"), allocator);
    });
    long allocations = support::fail_each_allocation([&](const dk_allocator *allocator) {
        dki_safetensors file;
        dk_status status = dki_safetensors_open(allocator, path("old").c_str(), &file);
        dki_safetensors_release(allocator, &file);
        return status;
    });
    EXPECT_EQ(allocations, 2);
    dki_safetensors file;
    EXPECT_EQ(dki_safetensors_open(libc, path("absent").c_str(), &file), DK_E_IO);
    EXPECT_EQ(dki_safetensors_open(libc, write("empty", "").c_str(), &file), DK_E_MODEL);
}

} // namespace

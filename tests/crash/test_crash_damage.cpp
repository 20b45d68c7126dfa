// Damaged checkpoints: whatever became of the bytes, it is said, nothing is changed, and the checkpoint
// before is offered.
#include "support_damage.h"
#include "support_model.h"
#include "support_promise.h"

#include <sys/resource.h>

namespace {

using crash::Damage;
using crash::with_bit;

constexpr const char *checkpoints = "Checkpoints survive anything";

// The most memory that was in use until now; sanitizers keep what was released.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
long most_megabytes() {
    return 0;
}
#else
long most_megabytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}
#endif

// To the reader at every byte; as a file in a folder at some of them, unless there is time for all.
TEST_F(Damage, CutAtAnyByteOfTheHeader) {
    for (size_t length = 0; length <= header && !HasFailure(); ++length) {
        SCOPED_TRACE(length);
        ASSERT_EQ(crash::verify(bytes.substr(0, length)), DK_E_MODEL);
        if (crash::is_long() || length % 7 == 0) expect_offer(bytes.substr(0, length));
    }
    support::promise(checkpoints, "cut at a byte of the header", int64_t(header) + 1);
}

TEST_F(Damage, CutAtAnyByteOfTheTensors) {
    for (size_t length = header; length < bytes.size() && !HasFailure(); ++length) {
        SCOPED_TRACE(length);
        expect_offer(bytes.substr(0, length));
    }
    expect_older_resumes();
    support::promise(checkpoints, "cut at a byte of the tensors", int64_t(bytes.size() - header));
}

// Each bit of each byte in the long form, one bit of each in the suite's share.
TEST_F(Damage, AnyBitOfTheHeaderFlipped) {
    const long before = most_megabytes();
    int64_t flips = 0;
    for (size_t byte = 0; byte < header && !HasFailure(); ++byte) {
        SCOPED_TRACE(byte);
        const unsigned bits = crash::is_long() || byte < 8 ? 8 : 1;
        for (unsigned bit = 0; bit < bits; ++bit, ++flips) {
            const std::string damaged = with_bit(bytes, byte, (bit + unsigned(byte)) % 8);
            ASSERT_EQ(crash::verify(damaged), DK_E_MODEL) << "bit " << bit;
            if (flips % 7 == 0) expect_offer(damaged);
        }
    }
    EXPECT_LE(most_megabytes() - before, 16);
    support::promise(checkpoints, "a bit of the header flipped", flips);
}

TEST_F(Damage, BitsOfTheTensorsFlipped) {
    std::mt19937 random(2);
    const int64_t flips = crash::is_long() ? 10000 : 1000;
    for (int64_t i = 0; i < flips && !HasFailure(); ++i) {
        const size_t byte = header + random() % (bytes.size() - header);
        const std::string damaged = with_bit(bytes, byte, random() % 8);
        SCOPED_TRACE(byte);
        ASSERT_EQ(crash::verify(damaged), DK_E_MODEL);
        support::expect_error_names("isn't what was saved");
        if (i % 10 == 0) expect_offer(damaged);
    }
    support::promise(checkpoints, "a bit of the tensors flipped", flips);
}

TEST_F(Damage, BytesAppendedPagesZeroedTensorsSwapped) {
    int64_t ways = 0;
    auto refuse = [&](const std::string &damaged) {
        ++ways;
        expect_offer(damaged);
    };
    for (const std::string &more : {std::string(1, '\0'), std::string(" "), std::string(4096, '\0'),
                                    bytes, bytes.substr(header)})
        refuse(bytes + more);
    for (size_t page : {64, 512, 4096})
        for (size_t at = 0; at < bytes.size(); at += page) {
            std::string damaged = bytes;
            const size_t end = std::min(bytes.size(), at + page);
            std::fill(damaged.begin() + long(at), damaged.begin() + long(end), '\0');
            if (damaged != bytes) refuse(damaged);
        }
    // layers.1.weight [4, 2] and slot1.layers.1.weight: alike in all but their bytes.
    std::string swapped = bytes;
    const size_t each = (bytes.size() - header) / 3, weight = 4 * 2 * sizeof(float);
    std::swap_ranges(swapped.begin() + long(header), swapped.begin() + long(header + weight),
                     swapped.begin() + long(header + each));
    refuse(swapped);
    refuse(std::string());
    refuse(std::string(bytes.size(), '\0'));
    support::promise(checkpoints, "bytes appended, zeroed or swapped", ways);
}

// Both whole, and yet not what their names say.
TEST_F(Damage, AnotherCheckpointUnderItsName) {
    expect_offer(support::slurp(older));
    support::expect_error_names("its name says step 13, and it holds step 8");
    // The only one beside it is none to offer.
    put(bytes);
    std::ofstream(older, std::ios::binary | std::ios::trunc) << bytes;
    std::filesystem::resize_file(newer, bytes.size() - 1);
    crash::Process process(world);
    ASSERT_EQ(process.resume(folder), DK_E_MODEL);
    support::expect_error_names("No older checkpoint that is whole");
    // Under a name of the user's own it is welcome.
    std::ofstream(path("mine.safetensors"), std::ios::binary) << bytes;
    EXPECT_EQ(process.resume(path("mine.safetensors")), DK_OK) << dk_error_text();
    support::promise(checkpoints, "another checkpoint under its name", 2);
}

// A model is no checkpoint, however whole; nor is what only looks like one offered.
TEST_F(Damage, OfTheOlderOnesTheNewestWholeOneIsOffered) {
    const crash::Files good = {{crash::name_of(older_step), support::slurp(older)}};
    put("{}");
    const std::string between = folder + "/" + crash::name_of(10);
    ASSERT_EQ(dk_net_save(net_->net.get(), between.c_str()), DK_OK);
    std::ofstream(folder + "/" + crash::name_of(11)) << bytes.substr(0, 100);
    std::filesystem::create_directory(folder + "/" + crash::name_of(12));
    expect_offer("{}");
    std::filesystem::remove(older);
    ASSERT_EQ(net_->resume(folder), DK_E_MODEL);
    support::expect_error_names("No older checkpoint that is whole");
}

// ---- the same content in another form ----------------------------------------------------------

class Form : public Damage {
  protected:
    std::string text() const { return bytes.substr(8, header - 8); }
    // The file with another header, its length put right.
    std::string with_header(std::string changed) const {
        const uint64_t length = changed.size();
        std::string start(8, '\0');
        std::memcpy(start.data(), &length, 8);
        return start + changed + bytes.substr(header);
    }
    std::string with_object(const std::function<void(json_t *, json_t *)> &change) const {
        support::Json root(text());
        change(root.value, json_object_get(root.value, "__metadata__"));
        return padded(root.text());
    }
    std::string padded(std::string changed) const {
        changed.resize((changed.size() + 7) / 8 * 8, ' ');
        return with_header(changed);
    }
    std::string replaced(const std::string &from, const std::string &to) const {
        std::string changed = text();
        const size_t at = changed.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        changed.replace(at, from.size(), to);
        return padded(changed);
    }
};

TEST_F(Form, OneHeaderHasOneText) {
    expect_offer(with_header(text() + "        "));
    expect_offer(with_header(text() + "\n       "));
    support::expect_error_names("isn't in the form");
    expect_offer(replaced("{\"__metadata__\"", "{ \"__metadata__\""));
    expect_offer(replaced("\"dtype\":\"F32\"", "\"dtype\": \"F32\""));
    expect_offer(replaced("\"dtype\"", "\"\\u0064type\""));
    expect_offer(replaced("\"shape\":[4,2]", "\"shape\":[4,2.0]"));
    expect_offer(
        replaced("\"dtype\":\"F32\",\"shape\":[4,2]", "\"shape\":[4,2],\"dtype\":\"F32\""));
    expect_offer(replaced("\"dtype\":\"F32\",", "\"dtype\":\"F32\",\"dtype\":\"F32\","));
    expect_offer(replaced("\"deltak\":\"", "\"deltak\":\"{}\",\"deltak\":\""));
    expect_offer(replaced("\"dtype\":\"F32\",", "\"dtype\":\"F32\",\"more\":1,"));
    std::string without_blanks = text();
    without_blanks.erase(without_blanks.find_last_not_of(' ') + 1);
    if (without_blanks.size() != text().size()) expect_offer(with_header(without_blanks));
    support::promise(checkpoints, "a header in another form", 10);
}

TEST_F(Form, EveryHashIsThereAndRight) {
    int64_t ways = 0;
    std::vector<std::string> names;
    support::Json root(text());
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(root.value, "__metadata__"), key,
                        value) if (std::strncmp(key, "xxh3", 4) == 0) names.emplace_back(key);
    ASSERT_EQ(names.size(), 1u + 3 * 4);
    for (const std::string &name : names) {
        SCOPED_TRACE(name);
        auto refuse = [&](const std::function<void(json_t *, json_t *)> &change) {
            expect_offer(with_object(change));
            ++ways;
        };
        refuse([&](json_t *, json_t *metadata) { json_object_del(metadata, name.c_str()); });
        refuse([&](json_t *, json_t *metadata) {
            json_object_set_new(metadata, name.c_str(), json_string(std::string(32, '0').c_str()));
        });
        refuse([&](json_t *, json_t *metadata) {
            json_t *hash = json_object_get(metadata, name.c_str());
            json_object_set(metadata, (name + "x").c_str(), hash);
            json_object_del(metadata, name.c_str());
        });
    }
    expect_offer(with_object([&](json_t *, json_t *metadata) {
        for (const std::string &name : names) json_object_del(metadata, name.c_str());
    }));
    support::promise(checkpoints, "a hash missing, wrong or renamed", ways + 1);
}

} // namespace

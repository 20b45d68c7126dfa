// What the tests of dk_dataset_open share: a set opened in place of the one before.
#ifndef DELTAK_TESTS_SUPPORT_OPEN_H
#define DELTAK_TESTS_SUPPORT_OPEN_H

#include "support_context.h"
#include "support_data.h"

extern "C" {
#include "data/dataset.h"
}

#include <string>
#include <vector>

namespace support {

using floats = std::vector<float>;
using ints = std::vector<int32_t>;
using names = std::vector<std::string>;

struct OpenTest : ::testing::Test {
    BareContext context;
    Folder folder;
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    dk_dataset *set = nullptr;
    dk_dataset_info info{};

    ~OpenTest() override { dk_dataset_destroy(set); }

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
        std::vector<std::string> all;
        for (int64_t c = 0; const char *name = dk_dataset_class_name(set, c); ++c)
            all.push_back(name);
        return all;
    }
};

} // namespace support

#endif

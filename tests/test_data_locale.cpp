// A program of its own, so that where the locale is missing only this is reported as skipped.
#include "support_context.h"
#include "support_data.h"

#include <clocale>
#include <string>

namespace {

// A decimal comma in the program's locale changes neither the numbers that are read nor the names
// of classes that are made of numbers.
TEST(Locale, ChangesNoNumber) {
    const char *found = nullptr;
    for (const char *name : {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "nl_NL.UTF-8"})
        if (!found) found = std::setlocale(LC_ALL, name);
    if (!found) GTEST_SKIP() << "no locale with a decimal comma is installed";
    support::BareContext context;
    support::Folder folder;
    const std::string path = folder.write("t.csv", "1.25,0.5\n2.5,1.75\n");
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.task = DK_TASK_CLASSIFICATION;
    dk_dataset *set = nullptr;
    ASSERT_EQ(dk_dataset_open(&set, context.get(), path.c_str(), &options), DK_OK)
        << dk_error_text();
    float x[2];
    EXPECT_EQ(dk_dataset_read(set, 0, 2, x, nullptr, nullptr), DK_OK);
    EXPECT_EQ(x[0], 1.25f);
    EXPECT_EQ(x[1], 2.5f);
    EXPECT_STREQ(dk_dataset_class_name(set, 0), "0.5");
    EXPECT_STREQ(dk_dataset_class_name(set, 1), "1.75");
    dk_dataset_destroy(set);
    dk_activation activation = DK_IDENTITY;
    float alpha = 0.0f;
    EXPECT_EQ(dk_activation_parse("leaky_relu(0.2)", &activation, &alpha), DK_OK)
        << dk_error_text();
    EXPECT_EQ(alpha, 0.2f);
    EXPECT_EQ(dk_activation_parse("elu(0,5)", &activation, &alpha), DK_E_ARGUMENT);
    std::setlocale(LC_ALL, "C");
}

} // namespace

// Data that are hard on a training without being malformed: constant columns, classes without rows,
// one row, one class, batches larger than the set. Every one trains to finite numbers; and labels that
// are no class, and columns without a number, are refused by name.
#include "support_data.h"
#include "support_fit.h"
#include "support_promise.h"

#include <cmath>

namespace {

using support::Arrays;
using support::Folder;
using support::layer;

const char *const PROMISE = "Numbers don't go wrong in silence";

/// `rows` rows of two features; class i mod `classes` of `named`.
Arrays classes_of(int64_t rows, int64_t classes, int64_t named) {
    Arrays arrays;
    arrays.features = 2;
    arrays.classes = named;
    arrays.x = support::normal(static_cast<size_t>(2 * rows), 1);
    for (int64_t i = 0; i < rows; ++i) arrays.labels.push_back(static_cast<int32_t>(i % classes));
    return arrays;
}

Arrays targets_of(int64_t rows, float spread) {
    Arrays arrays;
    arrays.features = 2;
    arrays.target_count = 1;
    arrays.x = support::normal(static_cast<size_t>(2 * rows), 2);
    arrays.targets = support::normal(static_cast<size_t>(rows), 3);
    for (float &target : arrays.targets) target = 7.0f + spread * target;
    return arrays;
}

Arrays with_constant_column(Arrays arrays, float value) {
    for (size_t i = 0; i < arrays.x.size(); i += 2) arrays.x[i] = value;
    return arrays;
}

struct Hard {
    const char *name;
    Arrays train, valid;
};

const std::vector<Hard> hard_sets = {
    {"a constant column", with_constant_column(classes_of(12, 3, 3), 5.0f), classes_of(6, 3, 3)},
    {"a constant column of 1e30", with_constant_column(targets_of(12, 1.0f), 1e30f),
     with_constant_column(targets_of(6, 1.0f), 1e30f)},
    {"a column of zeros", with_constant_column(targets_of(12, 1.0f), 0.0f), targets_of(6, 1.0f)},
    {"a constant target", targets_of(12, 0.0f), targets_of(6, 0.0f)},
    {"two classes without rows", classes_of(12, 2, 4), classes_of(6, 4, 4)},
    {"no row of some classes to validate", classes_of(12, 4, 4), classes_of(6, 1, 4)},
    {"one class", classes_of(12, 1, 1), classes_of(6, 1, 1)},
    {"one row", classes_of(1, 1, 3), classes_of(1, 1, 3)},
    {"one row to validate", targets_of(12, 1.0f), targets_of(1, 1.0f)},
    {"one row of one class", classes_of(1, 1, 1), classes_of(1, 1, 1)},
    {"one row of numbers", targets_of(1, 1.0f), targets_of(1, 1.0f)},
};

} // namespace

// Breaks where a deviation of 0 is divided by, a class without rows counts as a mean of nothing, or a
// batch larger than the set reads past it.
TEST(NumbersOfHardSets, TrainToFiniteNumbers) {
    const support::Context context = support::open_context();
    int64_t tried = 0;
    for (const Hard &hard : hard_sets)
        for (int64_t batch : {1, 5, 1000})
            for (dk_optimizer optimizer : {DK_SGD, DK_ADAGRAD, DK_ADAMW}) {
                const std::string what = std::string(hard.name) + ", batches of " +
                                         std::to_string(batch) + ", " +
                                         dk_optimizer_name(optimizer);
                const support::Dataset train = hard.train.open(context.get()),
                                       valid = hard.valid.open(context.get());
                const support::Net net = support::net_for(train.get(), {4});
                dk_train_options options = support::batches(batch);
                options.optimizer = optimizer;
                const support::Trainer trainer = support::trainer(net.get(), options);
                dk_fit_options fit = support::epochs(4);
                fit.early_stop = 2;
                dk_fit_result result;
                ASSERT_EQ(DK_OK,
                          dk_trainer_fit(trainer.get(), train.get(), valid.get(), &fit, &result))
                    << what << ": " << dk_error_text();
                EXPECT_TRUE(std::isfinite(result.train_loss)) << what;
                EXPECT_TRUE(std::isfinite(result.valid_loss)) << what;
                EXPECT_GE(result.best_epoch, 1) << what;
                const int64_t rows = support::rows_of(train.get());
                EXPECT_EQ((rows + batch - 1) / batch * result.epochs, result.steps) << what;
                dk_metrics metrics;
                EXPECT_EQ(DK_OK, dk_evaluate(net.get(), valid.get(), 0, &metrics)) << what;
                for (float y : support::predictions(net.get(), valid.get()))
                    EXPECT_TRUE(std::isfinite(y)) << what;
                ++tried;
            }
    support::promise(PROMISE, "trainings on sets at the edge of making sense", tried);
}

TEST(NumbersOfLabels, ThatAreNoClassAreRefusedBeforeAStepIsTaken) {
    const support::Context context = support::open_context();
    const Arrays arrays = classes_of(4, 3, 3);
    const support::Dataset set = arrays.open(context.get());
    const support::Net net = support::net_for(set.get(), {4});
    const support::Trainer trainer = support::trainer(net.get(), support::batches(2));
    const std::vector<uint32_t> before = support::parameter_bits(net.get());
    for (int32_t bad : {3, -1, INT32_MIN, INT32_MAX})
        for (size_t at : {size_t{0}, size_t{3}}) {
            std::vector<int32_t> labels = arrays.labels;
            labels[at] = bad;
            dk_batch batch = DK_BATCH_INIT;
            batch.rows = 4;
            batch.x = arrays.x.data();
            batch.labels = labels.data();
            EXPECT_EQ(DK_E_DATA, dk_trainer_step(trainer.get(), &batch, nullptr)) << bad;
            for (const std::string &part : {"row " + std::to_string(at), std::to_string(bad)})
                support::expect_error_names(part);
            Arrays broken = arrays;
            broken.labels = labels;
            dk_arrays view = DK_ARRAYS_INIT;
            view.rows = 4;
            view.features = 2;
            view.classes = 3;
            view.x = broken.x.data();
            view.labels = broken.labels.data();
            dk_dataset *none = nullptr;
            EXPECT_EQ(DK_E_DATA, dk_dataset_from_arrays(&none, context.get(), &view)) << bad;
            EXPECT_EQ(nullptr, none);
        }
    EXPECT_EQ(before, support::parameter_bits(net.get()));
    EXPECT_EQ(0, dk_trainer_steps(trainer.get()));
}

// A set that is read as another was: labels of files, in CSV and IDX.
TEST(NumbersOfLabels, ThatTheFirstSetDoesNotHaveAreRefusedInFiles) {
    const support::Context context = support::open_context();
    const Folder folder;
    const support::Dataset csv =
        support::open(context.get(), folder.write("a.csv", "1,2,0\n3,4,1\n5,6,0\n").c_str());
    folder.write("a-images-idx3-ubyte", support::idx({2, 1, 2}, "abcd"));
    folder.write("a-labels-idx1-ubyte", support::idx({2}, std::string("\0\1", 2)));
    const support::Dataset images =
        support::open(context.get(), (folder / "a-images-idx3-ubyte").c_str());
    folder.write("b-images-idx3-ubyte", support::idx({2, 1, 2}, "abcd"));
    folder.write("b-labels-idx1-ubyte", support::idx({2}, std::string("\0\2", 2)));
    const auto refused = [&](const support::Dataset &like, const std::string &source) {
        dk_data_options options = DK_DATA_OPTIONS_INIT;
        options.like = like.get();
        dk_dataset *none = nullptr;
        EXPECT_EQ(DK_E_DATA, dk_dataset_open(&none, context.get(), source.c_str(), &options));
        EXPECT_EQ(nullptr, none);
        support::expect_error_names("2");
    };
    refused(csv, folder.write("b.csv", "1,2,0\n3,4,2\n"));
    refused(images, folder / "b-images-idx3-ubyte");
}

TEST(NumbersOfColumns, WithoutANumberAreRefusedWithTheirPlace) {
    const support::Context context = support::open_context();
    const Folder folder;
    for (const char *bad : {"nan", "NaN", "inf", "-inf"}) {
        const std::string path =
            folder.write("x.csv", "1," + std::string(bad) + ",0\n2," + std::string(bad) + ",1\n");
        dk_dataset *none = nullptr;
        EXPECT_EQ(DK_E_NONFINITE, dk_dataset_open(&none, context.get(), path.c_str(), nullptr))
            << bad << ": " << dk_error_text();
        EXPECT_EQ(nullptr, none);
        support::expect_error_names("x.csv");
        support::expect_error_names("1"); // line and column
    }
}

// A mapped file is looked through as it is read: the fit that meets the row ends with its place, and the
// trainer goes on with another set.
TEST(NumbersOfMappedFiles, ThatAreNotFiniteEndTheFitWithTheirPlace) {
    const support::Context context = support::open_context();
    const Folder folder;
    const int rows = 64;
    std::vector<float> table = support::normal(3 * rows, 4);
    const auto file = [&](const char *name) {
        return folder.write(name, support::npy("<f4", false, "(64, 3)", support::bytes_of(table)));
    };
    const support::Dataset good = support::open(context.get(), file("good.npy").c_str());
    table[3 * 40 + 1] = NAN;
    const support::Dataset bad = support::open(context.get(), file("bad.npy").c_str());
    dk_dataset_info info;
    ASSERT_EQ(DK_OK, dk_dataset_describe(bad.get(), &info));
    ASSERT_TRUE(info.mapped);
    const support::Net net = support::net_for(good.get(), {4});
    const support::Trainer trainer = support::trainer(net.get(), support::batches(8));
    EXPECT_EQ(DK_E_NONFINITE, dk_trainer_fit(trainer.get(), bad.get(), nullptr, nullptr, nullptr));
    for (const char *part : {"epoch 1", "bad.npy", "feature 1 of row 40", "NaN"})
        support::expect_error_names(part);
    dk_fit_options fit = support::epochs(2);
    EXPECT_EQ(DK_E_NONFINITE, dk_trainer_fit(trainer.get(), good.get(), bad.get(), &fit, nullptr));
    dk_fit_result result;
    EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), good.get(), good.get(), &fit, &result))
        << dk_error_text();
    EXPECT_TRUE(std::isfinite(result.valid_loss));
}

#include "model_workflows.h"

#include "subjects.h"

extern "C" {
#include "backend/cpu/matmul.h"
}

namespace faults {
namespace {

using support::Folder;

constexpr int64_t hidden[] = {5};

Subject context(const Folder &) {
    auto made = std::make_shared<support::Context>();
    return {[=] {
                dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
                options.device = device::name();
                options.threads = 3;
                options.no_plan_cache = true;
                dk_context *context = reinterpret_cast<dk_context *>(16);
                const dk_status status = dk_context_create(&context, &options);
                return keep(*made, context, status);
            },
            [=] { return std::string(*made ? "a context" : "none"); }};
}

Subject net(const Folder &) {
    auto all = objects(1);
    all->data = support::synth(all->context.get(), "synth:teacher", 30, 1, 3, 2);
    return {[=] {
                dk_net *made = reinterpret_cast<dk_net *>(16);
                const dk_status status =
                    dk_net_create_for(&made, all->data.get(), hidden, 1, DK_RELU, 1);
                return keep(all->net, made, status);
            },
            [=] { return seen(all->net); }};
}

Subject preprocessing(const Folder &) {
    auto all = trainable();
    return {[=] { return dk_net_learn_preprocessing(all->net.get(), all->valid.get()); },
            [=] { return seen(all->net); }};
}

/// Classes, class weights, both preprocessings: whatever a file can hold.
std::shared_ptr<Objects> describable(bool numbers) {
    auto all = objects(1);
    all->data = support::synth(all->context.get(), numbers ? "synth:teacher" : "synth:spirals", 30);
    all->net = support::net_for(all->data.get(), {5});
    return all;
}

Subject saved(const std::string &path, bool numbers) {
    auto all = describable(numbers);
    return {[=] { return dk_net_save(all->net.get(), path.c_str()); },
            [=] { return seen(all->net); }};
}

/// The link stays one, whatever fails.
Subject saved_through_a_link(const Folder &folder) {
    folder.write("model", "the old model");
    std::filesystem::create_symlink("model", folder / "link");
    Subject made = saved(folder / "link", false);
    return {made.act, [state = made.state, link = folder / "link"] {
                return state() + (std::filesystem::is_symlink(link) ? "a link" : "a file");
            }};
}

Subject loaded(const Folder &folder, bool numbers) {
    auto all = describable(numbers);
    const std::string path = folder / "model";
    EXPECT_EQ(dk_net_save(all->net.get(), path.c_str()), DK_OK) << dk_error_text();
    all->net.reset();
    return {[=] {
                dk_net *made = reinterpret_cast<dk_net *>(16);
                const dk_status status = dk_net_load(&made, all->context.get(), path.c_str());
                return keep(all->net, made, status);
            },
            [=] { return seen(all->net); }};
}

Subject trainer(dk_optimizer optimizer, dk_precision precision = DK_FP32) {
    auto all = trainable(precision);
    return {[=] {
                dk_train_options options = DK_TRAIN_OPTIONS_INIT;
                options.optimizer = optimizer;
                dk_trainer *made = reinterpret_cast<dk_trainer *>(16);
                const dk_status status = dk_trainer_create(&made, all->net.get(), &options);
                return keep(all->trainer, made, status);
            },
            [=] { return seen(all->net) + (all->trainer ? "trainer" : ""); }};
}

void add_trainer(Objects *all) {
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = 64; // one step an epoch
    options.schedule = DK_SCHEDULE_CONSTANT;
    all->trainer.reset(); // a network has one
    all->trainer = support::trainer(all->net.get(), options);
}

Subject step(dk_precision precision) {
    auto all = trainable(precision);
    add_trainer(all.get());
    auto x = std::make_shared<std::vector<float>>(support::normal(10 * 2, 7));
    return {[=] {
                const int32_t labels[10] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1};
                dk_batch batch = DK_BATCH_INIT;
                batch.rows = 10;
                batch.x = x->data();
                batch.labels = labels;
                double loss = 0;
                return dk_trainer_step(all->trainer.get(), &batch, &loss);
            },
            [=] { return seen(all->net); }, [=] { add_trainer(all.get()); }};
}

Subject fitted(const std::shared_ptr<Objects> &all, int64_t epochs, bool validates) {
    add_trainer(all.get());
    return {[=] {
                dk_fit_options options = DK_FIT_OPTIONS_INIT;
                options.epochs = epochs;
                options.early_stop = validates ? 2 : 0;
                return dk_trainer_fit(all->trainer.get(), all->data.get(),
                                      validates ? all->valid.get() : nullptr, &options, nullptr);
            },
            [=] { return seen(all->net); }, [=] { add_trainer(all.get()); }};
}

/// The rows lie in a file, and are read ahead by a thread.
Subject fitted_from_a_file(const Folder &folder) {
    auto all = objects();
    const std::string path =
        folder.write("rows.npy", support::npy("<f4", false, "(40, 4)",
                                              support::bytes_of(support::normal(160, 5))));
    all->data = support::open(all->context.get(), path.c_str());
    all->net = support::net_for(all->data.get(), {5});
    return fitted(all, 1, false);
}

Subject checkpointed(const std::string &path) {
    auto all = trainable();
    add_trainer(all.get());
    return {[=] { return dk_trainer_save(all->trainer.get(), path.c_str()); },
            [=] { return seen(all->net); }};
}

/// From a checkpoint, or the newest in its folder.
Subject resumed(const Folder &folder, bool from_the_folder) {
    auto all = trainable();
    add_trainer(all.get());
    const std::string path = folder / "checkpoint-000000000000.safetensors";
    EXPECT_EQ(dk_trainer_save(all->trainer.get(), path.c_str()), DK_OK) << dk_error_text();
    all->trainer.reset();
    const std::vector<float> other(10, 1.0f);
    EXPECT_EQ(dk_net_set(all->net.get(), DK_WEIGHT, 1, other.data(), other.size()), DK_OK);
    const std::string from = from_the_folder ? folder.path() : path;
    return {[=] {
                dk_trainer *made = reinterpret_cast<dk_trainer *>(16);
                const dk_status status =
                    dk_trainer_resume(&made, all->net.get(), nullptr, from.c_str(), false);
                return keep(all->trainer, made, status);
            },
            [=] { return seen(all->net) + (all->trainer ? "trainer" : ""); }};
}

Subject evaluated(const Folder &) {
    auto all = trainable();
    auto loss = std::make_shared<double>(0);
    return {[=] {
                dk_metrics metrics;
                const dk_status status = dk_evaluate(all->net.get(), all->valid.get(), 8, &metrics);
                if (!status) *loss = metrics.loss;
                return status;
            },
            [=] { return seen(all->net) + std::to_string(*loss); }};
}

Subject predicted(bool whole_set, dk_precision precision = DK_FP32) {
    auto all = trainable(precision);
    auto y = std::make_shared<std::vector<float>>(20 * 3, -1.0f);
    auto x = std::make_shared<std::vector<float>>(support::normal(20 * 2, 9));
    return {[=] {
                std::vector<float> now(y->size());
                const dk_status status =
                    whole_set ? dk_predict_dataset(all->net.get(), all->valid.get(), now.data())
                              : dk_predict(all->net.get(), x->data(), 20, now.data());
                if (!status) *y = now;
                return status;
            },
            [=] { return seen(all->net) + support::bytes_of(*y); }};
}

Subject predictor_made(const Folder &) {
    auto all = trainable();
    return {[=] {
                dk_predictor *made = reinterpret_cast<dk_predictor *>(16);
                const dk_status status = dk_predictor_create(&made, all->net.get(), 8);
                return keep(all->predictor, made, status);
            },
            [=] { return seen(all->net) + (all->predictor ? "predictor" : ""); }};
}

Subject predicted_again(dk_precision precision = DK_FP32) {
    auto all = trainable(precision);
    auto y = std::make_shared<std::vector<float>>(20 * 3, -1.0f);
    auto x = std::make_shared<std::vector<float>>(support::normal(20 * 2, 9));
    dk_predictor *made = nullptr;
    EXPECT_EQ(DK_OK, dk_predictor_create(&made, all->net.get(), 8)) << dk_error_text();
    all->predictor.reset(made);
    return {[=] {
                std::vector<float> now(y->size());
                const dk_status status =
                    dk_predictor_run(all->predictor.get(), x->data(), 20, now.data());
                if (!status) *y = now;
                return status;
            },
            [=] { return seen(all->net) + support::bytes_of(*y); }};
}

Subject session(const Folder &) {
    auto all = trainable();
    return {[=] {
                dk_session *made = reinterpret_cast<dk_session *>(16);
                const dk_status status =
                    dk_session_create(&made, all->net.get(), 8, DK_SESSION_GRADIENTS);
                return keep(all->session, made, status);
            },
            [=] { return seen(all->net) + (all->session ? "session" : ""); }};
}

/// The step and the reference, side by side.
Subject checked(const Folder &) {
    auto all = objects();
    auto passed = std::make_shared<size_t>(0);
    return {[=] {
                support::Description net(
                    3, {support::layer(4, DK_TANH), support::layer(2, DK_IDENTITY)});
                dk_train_options options = DK_TRAIN_OPTIONS_INIT;
                options.batch = 5;
                dk_check_row rows[13];
                size_t count = 0, good = 0;
                const dk_status status =
                    dk_check(all->context.get(), net.get(), &options, rows, 13, &count);
                for (size_t i = 0; !status && i < count; ++i) good += rows[i].passed;
                *passed = good;
                return status;
            },
            [=] { return std::to_string(*passed); }};
}

const Workflow workflows[] = {
    {"Context", context},
    {"Net", net},
    {"Preprocessing", preprocessing},
    {"SavingANewFile", [](const Folder &f) { return saved(f / "model", false); }},
    {"SavingOverAFile",
     [](const Folder &f) { return saved(f.write("model", "the old model"), true); }},
    {"SavingThroughALink", saved_through_a_link},
    {"LoadingAClassifier", [](const Folder &f) { return loaded(f, false); }},
    {"LoadingARegression", [](const Folder &f) { return loaded(f, true); }},
    {"TrainerOfSgd", [](const Folder &) { return trainer(DK_SGD); }},
    {"TrainerOfAdamW", [](const Folder &) { return trainer(DK_ADAMW); }},
    {"Step", [](const Folder &) { return step(DK_FP32); }, After::on_the_host},
    {"Fit", [](const Folder &) { return fitted(trainable(), 1, false); }, After::on_the_host},
    {"FitFromAFile", fitted_from_a_file, After::on_the_host},
    {"FitWithEarlyStop", [](const Folder &) { return fitted(trainable(), 4, true); },
     After::got_on},
    {"Checkpoint", [](const Folder &f) { return checkpointed(f.write("saved", "old")); }},
    {"Resuming", [](const Folder &f) { return resumed(f, false); }, After::on_the_host},
    {"ResumingFromAFolder", [](const Folder &f) { return resumed(f, true); }, After::on_the_host},
    {"Evaluation", evaluated},
    {"Prediction", [](const Folder &) { return predicted(false); }},
    {"PredictionOfASet", [](const Folder &) { return predicted(true); }},
    {"Predictor", predictor_made},
    {"PredictionAgain", [](const Folder &) { return predicted_again(); }},
    {"Session", session},
    {"Check", checked},
};

// Where the processor multiplies bf16: oneDNN's primitives, and scratch by the thread.
const Workflow in_bf16[] = {
    {"Bf16Trainer", [](const Folder &) { return trainer(DK_SGD, DK_BF16); }},
    {"Bf16Step", [](const Folder &) { return step(DK_BF16); }},
    {"Bf16Fit", [](const Folder &) { return fitted(trainable(DK_BF16), 2, true); }, After::got_on},
    {"Bf16Prediction", [](const Folder &) { return predicted(true, DK_BF16); }},
    {"Bf16PredictionAgain", [](const Folder &) { return predicted_again(DK_BF16); }},
};

} // namespace

std::vector<Workflow> model_workflows() {
    return {std::begin(workflows), std::end(workflows)};
}

std::vector<Workflow> bf16_workflows() {
    if (!dki_matmul_available()) return {};
    return {std::begin(in_bf16), std::end(in_bf16)};
}

} // namespace faults

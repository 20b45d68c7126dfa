// A run that is interrupted and resumed gives the bits of one that isn't: on the CPU, on a GPU, and on
// an emulated one, in every precision.
#include "support.h"
#include "support_device.h"
#include "support_extent.h"
#include "support_promise.h"

namespace {

using support::Dataset;
using support::parameter_bits;
using support::TempDirectory;

// What a run is made of. Dropout, accumulated micro-batches, a tail in each epoch, validation, and
// the best parameters: all that a checkpoint has to bring back.
struct Job {
    dk_optimizer optimizer = DK_ADAMW;
    dk_precision precision = DK_FP32;
    int64_t rows = 83, epochs = 12;
    bool restore_best = true;
    double clip_norm = 0.0;

    dk_train_options training() const {
        dk_train_options options = DK_TRAIN_OPTIONS_INIT;
        options.optimizer = optimizer;
        options.batch = 5;
        options.accumulate = 2;
        options.lr = optimizer == DK_LION || optimizer == DK_ADAMW ? 1e-3 : 1e-2;
        options.clip_norm = clip_norm;
        options.seed = 7;
        return options;
    }
};

// A process as it were: everything made anew.
struct Process {
    support::Context context;
    Dataset all, train, valid;
    support::Net net;
    support::Trainer trainer;

    explicit Process(const Job &run) {
        dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
        options.device = device::name();
        options.no_plan_cache = true;
        options.precision = run.precision;
        options.threads = 1;
        options.deterministic =
            true; // whole and interrupted runs would each time a GPU's algorithms
        dk_context *made = nullptr;
        EXPECT_EQ(dk_context_create(&made, &options), DK_OK) << dk_error_text();
        context.reset(made);
        all = support::synth(context.get(), "synth:spirals", run.rows + 20);
        std::tie(train, valid) = support::split(all.get(), 20.0 / double(run.rows + 20));
        std::vector<dk_layer> layers = {support::layer(9, DK_TANH), support::layer(6, DK_RELU),
                                        support::layer(3, DK_IDENTITY)};
        layers[0].dropout = 0.3f;
        net = support::net(context.get(),
                           support::Description(2, layers, DK_LOSS_SOFTMAX_CROSS_ENTROPY));
        EXPECT_EQ(dk_net_learn_preprocessing(net.get(), train.get()), DK_OK) << dk_error_text();
    }
    void begin(const Job &run) { trainer = support::trainer(net.get(), run.training()); }
    dk_status resume(const Job &run, const std::string &path, bool anyway = false) {
        dk_trainer *made = nullptr;
        const dk_train_options options = run.training();
        const dk_status status =
            dk_trainer_resume(&made, net.get(), &options, path.c_str(), anyway);
        EXPECT_EQ(made == nullptr, status != DK_OK);
        trainer.reset(made);
        return status;
    }
};

// Goes on with a fit until `steps` more steps are done, or to its end.
struct Stop {
    int64_t steps;
    int64_t seen = -1;
    static int call(void *user, const dk_progress *progress) {
        auto *self = static_cast<Stop *>(user);
        if (self->seen < 0) self->seen = progress->step - 1;
        return self->steps > 0 && progress->step - self->seen >= self->steps;
    }
};

dk_status fit(Process &process, const Job &run, const std::string &folder, int64_t steps,
              dk_fit_result *result = nullptr) {
    Stop stop{steps};
    dk_fit_options options = DK_FIT_OPTIONS_INIT;
    options.epochs = run.epochs;
    options.restore_best = run.restore_best;
    options.progress = &Stop::call;
    options.progress_user = &stop;
    options.checkpoint = folder.empty() ? nullptr : folder.c_str();
    return dk_trainer_fit(process.trainer.get(), process.train.get(), process.valid.get(), &options,
                          result);
}

bool has_precision(dk_precision precision) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = device::name();
    options.no_plan_cache = true;
    options.precision = precision;
    dk_context *context = nullptr;
    const dk_status status = dk_context_create(&context, &options);
    dk_context_destroy(context);
    return status == DK_OK;
}

class Resume : public TempDirectory, public testing::WithParamInterface<dk_optimizer> {
  protected:
    // Interrupts a run after every few steps of it, in another process each time; returns how often.
    int64_t interrupt(int64_t steps, const Job &run, const dk_fit_result &whole,
                      const std::vector<uint32_t> &expected) {
        const std::string folder = path("chain");
        int64_t cuts = 0;
        dk_fit_result result{};
        for (dk_status status = DK_E_STOPPED; status == DK_E_STOPPED;) {
            Process process(run);
            if (cuts == 0)
                process.begin(run);
            else if (process.resume(run, folder) != DK_OK)
                return ADD_FAILURE() << dk_error_text(), cuts;
            status = fit(process, run, folder, steps, &result);
            if (status == DK_E_STOPPED && ++cuts < 10 * whole.steps) continue;
            EXPECT_EQ(status, DK_OK) << dk_error_text();
            EXPECT_EQ(parameter_bits(process.net.get()), expected) << "after " << cuts << " cuts";
        }
        EXPECT_EQ(result.steps, whole.steps);
        EXPECT_EQ(result.best_epoch, whole.best_epoch);
        EXPECT_EQ(result.train_loss, whole.train_loss);
        EXPECT_EQ(result.valid_loss, whole.valid_loss);
        EXPECT_EQ(result.epochs, whole.epochs);
        return cuts;
    }
};

// At every step, in every precision; where kernels run thread by thread, at some and in one of those that
// the device has for each optimizer, unless there is time for all.
TEST_P(Resume, InterruptedItGivesTheSameBits) {
    const int64_t steps = device::is_cpu() ? 1 : support::one_in(10);
    int64_t cuts = 0;
    std::vector<dk_precision> all;
    for (dk_precision precision : {DK_FP32, DK_TF32, DK_BF16, DK_FP16})
        if (has_precision(precision)) all.push_back(precision);
    for (size_t i = 0; i < all.size(); ++i) {
        const dk_precision precision = all[i];
        SCOPED_TRACE(dk_precision_name(precision));
        if (steps > 1 && static_cast<size_t>(GetParam()) % all.size() != i) continue;
        Job run;
        run.optimizer = GetParam();
        run.precision = precision;
        if (steps > 1) run.epochs = 4; // a cut before an epoch's tail, or two
        Process whole(run);
        dk_fit_result result{};
        whole.begin(run);
        ASSERT_EQ(fit(whole, run, "", 0, &result), DK_OK) << dk_error_text();
        ASSERT_EQ(result.steps, 9 * run.epochs);
        cuts += interrupt(steps, run, result, parameter_bits(whole.net.get()));
        std::filesystem::remove_all(path("chain"));
    }
    EXPECT_GE(cuts, steps > 1 ? 1 : 100);
    support::promise("Resume is bit-exact",
                     device::is_cpu() ? "interrupted and resumed, CPU"
                                      : "interrupted and resumed, emulated GPU or GPU",
                     cuts);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, Resume,
                         testing::Values(DK_SGD, DK_MOMENTUM, DK_NESTEROV, DK_RMSPROP, DK_ADAGRAD,
                                         DK_ADAM, DK_ADAMW, DK_LION),
                         [](const testing::TestParamInfo<dk_optimizer> &given) {
                             return std::string(dk_optimizer_name(given.param));
                         });

} // namespace

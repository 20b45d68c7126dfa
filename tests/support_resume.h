// A run that was stopped, and what going on with it needs: shared by the tests of refusals and of resuming
// anyway.
#pragma once

#include "support.h"
#include "support_net.h"

namespace support {

class StoppedRun : public TempDirectory {
  protected:
    Context context = open_context();
    Dataset data = synth(context.get(), "synth:spirals", 60);
    Net net = net_for(data.get(), {5});
    Trainer trainer;

    static dk_train_options training() {
        dk_train_options options = DK_TRAIN_OPTIONS_INIT;
        options.batch = 7;
        return options;
    }
    dk_fit_options fitting(int64_t steps = 0) {
        stop_at_ = steps;
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.epochs = 3;
        fit.checkpoint = folder_.c_str();
        fit.progress = [](void *at, const dk_progress *progress) {
            return progress->step == *static_cast<int64_t *>(at) ? 1 : 0;
        };
        fit.progress_user = &stop_at_;
        return fit;
    }
    void SetUp() override {
        TempDirectory::SetUp();
        folder_ = path("run");
        interrupt();
    }
    // A run that was stopped after 12 of its 27 steps.
    void interrupt() {
        Trainer first = support::trainer(net.get(), training());
        const dk_fit_options fit = fitting(12);
        ASSERT_EQ(dk_trainer_fit(first.get(), data.get(), data.get(), &fit, nullptr), DK_E_STOPPED)
            << dk_error_text();
    }
    dk_status resume(dk_net *of, const dk_train_options *options, bool anyway = false) {
        dk_trainer *made = reinterpret_cast<dk_trainer *>(16);
        trainer.reset();
        const dk_status status = dk_trainer_resume(&made, of, options, folder_.c_str(), anyway);
        EXPECT_EQ(made == nullptr, status != DK_OK);
        trainer.reset(made);
        return status;
    }
    dk_status go_on(const dk_dataset *train, const dk_dataset *valid, const dk_fit_options &fit,
                    dk_fit_result *result = nullptr) {
        return dk_trainer_fit(trainer.get(), train, valid, &fit, result);
    }

    std::string folder_;
    int64_t stop_at_ = 0;
};

} // namespace support

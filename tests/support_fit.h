// What the tests of training over data sets share.
#pragma once

#include "support.h"
#include "support_net.h"

#include <functional>
#include <vector>

namespace support {

class Fit : public TempDirectory {
  protected:
    Context context = open_context();
};

struct Recorder {
    std::vector<dk_progress> calls;
    std::function<int(const dk_progress &)> then = [](const dk_progress &) { return 0; };
    static int call(void *user, const dk_progress *progress) {
        auto *self = static_cast<Recorder *>(user);
        self->calls.push_back(*progress);
        return self->then(*progress);
    }
    dk_fit_options options(int64_t epochs) {
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.epochs = epochs;
        fit.progress = &call;
        fit.progress_user = this;
        return fit;
    }
};

inline dk_train_options batches(int64_t batch, double lr = 1e-2) {
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = batch;
    options.lr = lr;
    return options;
}

inline dk_fit_options epochs(int64_t count) {
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = count;
    return fit;
}

} // namespace support

// What the tests of a device share beside networks and batches: sets, and a look at its state.
#ifndef DELTAK_TESTS_SUPPORT_DEVICE_H
#define DELTAK_TESTS_SUPPORT_DEVICE_H

#include "networks.h"
#include "support_net.h"

namespace devices {

using networks::Batch;
using networks::Context;
using networks::layer;
using networks::Net;
using networks::plain_options;
using networks::random_batch;
using networks::Trainer;
using operations::Floats;
using operations::Random;

inline dk_context_info describe(const Context &context) {
    dk_context_info info;
    EXPECT_EQ(DK_OK, dk_context_describe(context.get(), &info)) << dk_error_text();
    return info;
}

inline bool is_emulated(const Context &context) {
    return std::strcmp(describe(context).device_name, "emulated CUDA") == 0;
}

/// How often to do something: kernels that run thread by thread on the CPU, or under a sanitizer of the
/// GPU's, take their time.
inline int times(const Context &context, int emulated, int real) {
    if (std::getenv("DELTAK_TEST_SHORT")) return emulated;
    return is_emulated(context) ? emulated : real;
}

/// Whether the device has a precision.
inline bool has_precision(dk_precision precision) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = device::name();
    options.no_plan_cache = true;
    options.precision = precision;
    dk_context *context = nullptr;
    const dk_status status = dk_context_create(&context, &options);
    dk_context_destroy(context);
    const bool refused = device::is_cpu() && !device::cpu_has(precision);
    EXPECT_TRUE(status == (refused ? DK_E_UNSUPPORTED : DK_OK) ||
                (status == DK_E_UNSUPPORTED && precision != DK_FP32))
        << dk_error_text();
    return status == DK_OK;
}

inline bool has(const char *part) {
    return std::string(dk_error_text()).find(part) != std::string::npos;
}

inline bool is_finite(const Floats &values) {
    for (float value : values)
        if (!std::isfinite(value)) return false;
    return true;
}

inline dki_step_state state_of(const Context &context, const Trainer &trainer) {
    dki_backend *backend = context.get()->backend;
    dki_step_state state{};
    EXPECT_EQ(DK_OK, backend->ops->sync(backend));
    EXPECT_EQ(DK_OK, backend->ops->download(backend, &state, trainer.session()->tensors.state,
                                            sizeof state));
    return state;
}

/// Rows of labels or targets, as `net` takes them, for dk_trainer_fit; owns the arrays.
class Set {
  public:
    Set(const Context &context, const Net &net, int64_t rows, uint64_t seed) {
        Random random(seed);
        const Batch batch = random_batch(net, rows, random);
        arrays_.features = net.settings.inputs;
        arrays_.x = batch.x;
        arrays_.labels = batch.labels;
        arrays_.targets = batch.targets;
        arrays_.weights = random.uniform(rows, 0.5, 2.0);
        (batch.labels.empty() ? arrays_.target_count : arrays_.classes) = net.outputs();
        set_ = arrays_.open(context.get());
    }
    dk_dataset *get() const { return set_.get(); }

  private:
    support::Arrays arrays_;
    support::Dataset set_;
};

inline void fit(const Trainer &trainer, const dk_dataset *set, int64_t epochs) {
    dk_fit_options options = DK_FIT_OPTIONS_INIT;
    options.epochs = epochs;
    EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), set, nullptr, &options, nullptr))
        << dk_error_text();
}

} // namespace devices

#endif

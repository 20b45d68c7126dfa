// What the workflows have in common: objects that live as long as the subject, and what is seen of
// them.
#ifndef DELTAK_TESTS_FAULTS_SUBJECTS_H
#define DELTAK_TESTS_FAULTS_SUBJECTS_H

#include "support_net.h"
#include "workflow.h"

#include <gtest/gtest.h>

#include <memory>

namespace faults {

/// Objects of a workflow, released in this order from the end.
struct Objects {
    support::Context context;
    support::Dataset data, valid;
    support::Net net;
    support::Trainer trainer;
    support::Session session;
    support::Predictor predictor;
};

inline std::shared_ptr<Objects> objects(int threads = 2, dk_precision precision = DK_FP32) {
    auto made = std::make_shared<Objects>();
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = device::name();
    options.threads = threads;
    options.precision = precision;
    options.no_plan_cache = true;
    options.deterministic = true; // on a GPU nothing is timed, which takes long on an emulated one
    dk_context *context = nullptr;
    EXPECT_EQ(dk_context_create(&context, &options), DK_OK) << dk_error_text();
    made->context.reset(context);
    return made;
}

/// With a set of spirals, another for validation, and a network for them.
inline std::shared_ptr<Objects> trainable(dk_precision precision = DK_FP32) {
    auto made = objects(2, precision);
    made->data = support::synth(made->context.get(), "synth:spirals", 48);
    made->valid = support::synth(made->context.get(), "synth:spirals", 20, 2);
    made->net = support::net_for(made->data.get(), {5});
    return made;
}

/// Takes over what a call made; nothing where it failed.
template <class Owner, class Raw> dk_status keep(Owner &owner, Raw *made, dk_status status) {
    EXPECT_EQ(made == nullptr, status != DK_OK);
    owner.reset(made);
    return status;
}

inline std::string seen(const support::Net &net) {
    if (!net) return "no net";
    std::string all = support::bytes_of(support::parameter_bits(net.get()));
    dk_net_desc desc;
    dk_preprocessing p;
    EXPECT_EQ(dk_net_describe(net.get(), &desc), DK_OK);
    EXPECT_EQ(dk_net_preprocessing(net.get(), &p), DK_OK);
    const auto add = [&](const auto *values, int64_t count) {
        if (values) all += support::bytes_of(std::vector(values, values + count));
    };
    const int64_t outputs = desc.layers[desc.layer_count - 1].width;
    add(p.feature_shift, desc.inputs);
    add(p.feature_scale, desc.inputs);
    add(p.target_shift, outputs);
    add(p.target_scale, outputs);
    return all;
}

inline std::string seen(const support::Dataset &data) {
    if (!data) return "no data";
    dk_dataset_info info;
    EXPECT_EQ(dk_dataset_describe(data.get(), &info), DK_OK);
    std::vector<float> x(static_cast<size_t>(info.rows * info.features));
    const bool classes = info.task == DK_TASK_CLASSIFICATION,
               numbers = info.task == DK_TASK_REGRESSION;
    std::vector<int32_t> labels(static_cast<size_t>(classes ? info.rows : 0));
    std::vector<float> targets(static_cast<size_t>(numbers ? info.rows * info.targets : 0));
    EXPECT_EQ(dk_dataset_read(data.get(), 0, info.rows, x.data(), classes ? labels.data() : nullptr,
                              numbers ? targets.data() : nullptr),
              DK_OK)
        << dk_error_text();
    std::string all = support::bytes_of(x) + support::bytes_of(labels) + support::bytes_of(targets);
    for (int64_t c = 0; const char *name = dk_dataset_class_name(data.get(), c); ++c)
        all += std::string(name) + ";";
    return all;
}

} // namespace faults

#endif

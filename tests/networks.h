// What the tests of networks share: owners of the library's objects, batches of random rows, and
// the reference's view of the same network and batch.
#ifndef DELTAK_TESTS_NETWORKS_H
#define DELTAK_TESTS_NETWORKS_H

#include "operations.h"
#include "support_reference.h"

extern "C" {
#include "train/trainer.h"
}

namespace networks {

using operations::Doubles;
using operations::Floats;
using operations::Random;

class Context {
  public:
    explicit Context(int threads = 2, dk_precision precision = DK_FP32,
                     const char *device = device::name(), const dk_allocator *allocator = nullptr,
                     bool deterministic = false) {
        dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
        options.device = device;
        options.no_plan_cache = true;
        options.threads = threads;
        options.precision = precision;
        options.deterministic = deterministic;
        if (allocator) options.allocator = *allocator;
        EXPECT_EQ(DK_OK, dk_context_create(&context_, &options)) << dk_error_text();
    }
    /// One in which nothing is chosen by timing.
    static Context repeatable() { return Context(2, DK_FP32, device::name(), nullptr, true); }
    ~Context() { dk_context_destroy(context_); }
    Context(const Context &) = delete;
    Context &operator=(const Context &) = delete;
    dk_context *get() const { return context_; }

  private:
    dk_context *context_ = nullptr;
};

inline dk_layer layer(int64_t width, dk_activation activation, float dropout = 0.0f,
                      bool frozen = false) {
    dk_layer l = DK_LAYER_INIT;
    l.width = width;
    l.activation = activation;
    l.alpha = operations::alpha_of(activation);
    l.dropout = dropout;
    l.frozen = frozen;
    return l;
}

/// A network with random biases; `settings` of its description may be changed before build().
class Net {
  public:
    Net(int64_t inputs, std::vector<dk_layer> layers, dk_loss loss = DK_LOSS_MSE)
        : layers_(std::move(layers)) {
        const dk_net_desc fresh = DK_NET_DESC_INIT;
        settings = fresh;
        settings.inputs = inputs;
        settings.loss = loss;
        settings.huber_delta = 0.75f;
    }
    ~Net() { dk_net_destroy(net_); }
    Net(const Net &) = delete;
    Net &operator=(const Net &) = delete;

    dk_net_desc settings;

    Net &build(const Context &context, uint64_t seed = 3) {
        settings.layers = layers_.data();
        settings.layer_count = layers_.size();
        settings.seed = seed;
        EXPECT_EQ(DK_OK, dk_net_create(&net_, context.get(), &settings)) << dk_error_text();
        Random random(seed);
        for (size_t k = 1; k <= layers_.size(); ++k) set(DK_BIAS, k, random.normal(width(k), 0.3));
        return *this;
    }

    dk_net *get() const { return net_; }
    size_t depth() const { return layers_.size(); }
    int64_t width(size_t k) const { return k ? layers_[k - 1].width : settings.inputs; }
    int64_t outputs() const { return width(depth()); }
    const dk_layer &at(size_t k) const { return layers_[k - 1]; }
    size_t count(dk_tensor tensor, size_t k, int64_t rows = 0) const {
        const int64_t n = width(k);
        const bool weight = tensor == DK_WEIGHT || tensor == DK_WEIGHT_GRAD;
        const bool bias = tensor == DK_BIAS || tensor == DK_BIAS_GRAD;
        return static_cast<size_t>(weight ? n * width(k - 1) : bias ? n : rows * n);
    }
    Floats read(dk_tensor tensor, size_t k) const {
        Floats values(count(tensor, k));
        EXPECT_EQ(DK_OK, dk_net_get(net_, tensor, k, values.data(), values.size()));
        return values;
    }
    void set(dk_tensor tensor, size_t k, const Floats &values) {
        EXPECT_EQ(DK_OK, dk_net_set(net_, tensor, k, values.data(), values.size()))
            << dk_error_text();
    }
    /// Every W and b, one after the other.
    Floats parameters() const {
        Floats all;
        for (size_t k = 1; k <= depth(); ++k)
            for (dk_tensor tensor : {DK_WEIGHT, DK_BIAS}) {
                const Floats part = read(tensor, k);
                all.insert(all.end(), part.begin(), part.end());
            }
        return all;
    }

  private:
    std::vector<dk_layer> layers_;
    dk_net *net_ = nullptr;
};

struct Batch {
    int64_t rows = 0;
    Floats x, targets, weights;
    std::vector<int32_t> labels; // instead of targets where not empty

    dk_batch view() const {
        dk_batch b = DK_BATCH_INIT;
        b.rows = rows;
        b.x = x.data();
        b.labels = labels.empty() ? nullptr : labels.data();
        b.targets = labels.empty() ? targets.data() : nullptr;
        b.weights = weights.empty() ? nullptr : weights.data();
        return b;
    }
};

/// Random rows with what the network's loss takes.
inline Batch random_batch(const Net &net, int64_t rows, Random &random) {
    Batch batch;
    batch.rows = rows;
    batch.x = random.normal(rows * net.settings.inputs);
    const int64_t n = net.outputs();
    if (net.settings.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY)
        for (int64_t i = 0; i < rows; ++i)
            batch.labels.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(n)));
    else if (net.settings.loss == DK_LOSS_SIGMOID_CROSS_ENTROPY)
        batch.targets = random.uniform(rows * n, 0.0, 1.0);
    else
        batch.targets = random.normal(rows * n);
    return batch;
}

inline Batch row_of(const Batch &batch, int64_t row) {
    const auto slice = [&](const auto &all) {
        const auto width = static_cast<std::ptrdiff_t>(all.size()) / batch.rows;
        return std::decay_t<decltype(all)>(all.begin() + row * width,
                                           all.begin() + (row + 1) * width);
    };
    Batch one;
    one.rows = 1;
    one.x = slice(batch.x);
    one.targets = slice(batch.targets);
    one.labels = slice(batch.labels);
    return one;
}

class Session {
  public:
    Session(const Net &net, int64_t max_batch, dk_session_kind kind = DK_SESSION_GRADIENTS) {
        EXPECT_EQ(DK_OK, dk_session_create(&session_, net.get(), max_batch, kind))
            << dk_error_text();
    }
    ~Session() { dk_session_destroy(session_); }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;
    dk_session *get() const { return session_; }

    double gradients(const Batch &batch) {
        const dk_batch view = batch.view();
        double loss = 0.0;
        EXPECT_EQ(DK_OK, dk_session_gradients(session_, &view, &loss)) << dk_error_text();
        return loss;
    }

  private:
    dk_session *session_ = nullptr;
};

inline Floats read(dk_session *session, const Net &net, dk_tensor tensor, size_t k,
                   int64_t rows = 0) {
    Floats values(net.count(tensor, k, rows));
    EXPECT_EQ(DK_OK, dk_session_read(session, tensor, k, values.data(), values.size()))
        << dk_error_text();
    return values;
}

class Trainer {
  public:
    Trainer(const Net &net, const dk_train_options &options) {
        EXPECT_EQ(DK_OK, dk_trainer_create(&trainer_, net.get(), &options)) << dk_error_text();
    }
    ~Trainer() { dk_trainer_destroy(trainer_); }
    Trainer(const Trainer &) = delete;
    Trainer &operator=(const Trainer &) = delete;
    dk_trainer *get() const { return trainer_; }
    dk_session *session() const { return dk_trainer_session(trainer_); }

    double step(const Batch &batch) {
        const dk_batch view = batch.view();
        double loss = 0.0;
        EXPECT_EQ(DK_OK, dk_trainer_step(trainer_, &view, &loss)) << dk_error_text();
        return loss;
    }
    dk_status try_step(const Batch &batch) {
        const dk_batch view = batch.view();
        double loss = 0.0;
        return dk_trainer_step(trainer_, &view, &loss);
    }

  private:
    dk_trainer *trainer_ = nullptr;
};

/// Constant learning rate, everything readable.
inline dk_train_options plain_options(int64_t batch, dk_optimizer optimizer = DK_SGD,
                                      double lr = 0.1) {
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = batch;
    options.optimizer = optimizer;
    options.lr = lr;
    options.weight_decay = 0.0;
    options.schedule = DK_SCHEDULE_CONSTANT;
    options.warmup = 0.0;
    options.keep = DK_KEEP_ALL;
    return options;
}

/// The reference's network and batch with the device's own parameters. `tick` ≠ 0: with the dropout
/// masks of that step of `seed`.
inline RefNet reference_of(const Net &net, const Batch &batch, uint64_t seed = 0,
                           uint64_t tick = 0) {
    RefNet ref;
    ref.inputs = net.settings.inputs;
    ref.rows = batch.rows;
    for (size_t k = 1; k <= net.depth(); ++k) {
        const dk_layer &l = net.at(k);
        const Floats W = net.read(DK_WEIGHT, k), b = net.read(DK_BIAS, k);
        RefLayer made = {l.width,
                         l.activation,
                         static_cast<double>(l.alpha),
                         Numbers(W.begin(), W.end()),
                         Numbers(b.begin(), b.end()),
                         {}};
        dki_nonlinearity g{};
        g.dropout_threshold = dki_dropout_threshold(l.dropout);
        g.dropout_scale = dki_dropout_keep_scale(l.dropout);
        g.layer = static_cast<uint32_t>(k);
        dki_step_state state{};
        state.seed = seed;
        state.tick = tick;
        if (tick && l.dropout > 0.0f)
            for (int64_t i = 0; i < batch.rows; ++i)
                for (int64_t j = 0; j < l.width; ++j)
                    made.dropout.push_back(operations::mask(g, state, i, j));
        ref.layers.push_back(made);
    }
    ref.x.assign(batch.x.begin(), batch.x.end());
    ref.targets.assign(batch.targets.begin(), batch.targets.end());
    ref.weights.assign(batch.weights.begin(), batch.weights.end());
    ref.labels = batch.labels;
    if (net.settings.class_weights)
        ref.class_weights.assign(net.settings.class_weights,
                                 net.settings.class_weights + net.outputs());
    ref.loss.kind = net.settings.loss;
    ref.loss.huber_delta = static_cast<double>(net.settings.huber_delta);
    ref.loss.label_smoothing = static_cast<double>(net.settings.label_smoothing);
    return ref;
}

/// Values and error bounds of everything in one forward and backward pass.
class Reference {
  public:
    explicit Reference(RefNet net, const Doubles *dl_da = nullptr,
                       dki_ref_precision precision = DKI_REF_FP32)
        : net_(std::move(net)), pass_(net_), bounds_(net_) {
        const dki_ref_net view = net_.view();
        const dki_ref_batch batch = net_.batch();
        const double *given = dl_da ? dl_da->data() : nullptr;
        dki_ref_forward(&view, &batch, &pass_.t);
        if (given)
            dki_ref_backward_given(&view, given, &pass_.t);
        else
            EXPECT_EQ(DK_OK, dki_ref_backward(&view, &batch, &pass_.t)) << dk_error_text();
        EXPECT_EQ(DK_OK, dki_ref_bounds(&view, &batch, given, &pass_.t, precision, &bounds_.t));
    }

    double loss() const { return pass_.t.loss; }
    double loss_bound() const { return bounds_.t.loss; }
    Doubles value(dk_tensor tensor, size_t k) const { return pick(pass_.t, tensor, k); }
    Doubles bound(dk_tensor tensor, size_t k) const { return pick(bounds_.t, tensor, k); }

    /// A session's z, a, δ, dW and db of every layer that isn't frozen.
    void expect_session(dk_session *session, const Net &net, const std::string &what) const {
        for (size_t k = 1; k <= net.depth(); ++k)
            for (dk_tensor tensor : {DK_Z, DK_A, DK_DELTA, DK_WEIGHT_GRAD, DK_BIAS_GRAD}) {
                const bool gradient = tensor == DK_WEIGHT_GRAD || tensor == DK_BIAS_GRAD;
                if (gradient && net.at(k).frozen) continue;
                operations::expect_within(
                    read(session, net, tensor, k, net_.rows), value(tensor, k), bound(tensor, k),
                    what + ": " + dk_tensor_name(tensor) + " of layer " + std::to_string(k));
            }
    }

    void expect_loss(double loss, const std::string &what) const {
        EXPECT_LE(std::fabs(loss - pass_.t.loss), bounds_.t.loss) << what << ": loss";
    }

  private:
    Doubles pick(const dki_ref_tensors &t, dk_tensor tensor, size_t k) const {
        const size_t n = static_cast<size_t>(k ? net_.layers[k - 1].width : net_.inputs),
                     rows = static_cast<size_t>(net_.rows),
                     in = k ? static_cast<size_t>(net_.inputsOf(k)) : 0;
        const double *from = tensor == DK_Z             ? t.z[k]
                             : tensor == DK_A           ? t.a[k]
                             : tensor == DK_DELTA       ? t.delta[k]
                             : tensor == DK_WEIGHT_GRAD ? t.dW[k]
                                                        : t.db[k];
        const size_t count = tensor == DK_WEIGHT_GRAD ? n * in
                             : tensor == DK_BIAS_GRAD ? n
                                                      : rows * n;
        return Doubles(from, from + count);
    }

    RefNet net_;
    RefTensors pass_, bounds_;
};

} // namespace networks

#endif

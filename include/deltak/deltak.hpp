/* deltak for C++17: unique, movable handles over deltak.h, with exceptions for statuses. Header
 * only. SPDX-License-Identifier: MIT
 *
 *     deltak::context context;
 *     deltak::dataset data(context, "builtin:digits");
 *     auto [train, test] = data.split(0.2, 1);
 *     deltak::net net(train, {128, 128}, DK_RELU, 1);
 *     deltak::trainer(net).fit(train, &test);
 *     std::cout << net.evaluate(test).accuracy << '\n';
 *
 * What a function does, and its shapes, units and statuses, stand in deltak.h at the dk_ function
 * of the same name. A status other than DK_OK becomes a deltak::error. get() of each class gives
 * the C handle, for what this header doesn't wrap. Objects may be destroyed in any order. */
#ifndef DELTAK_HPP
#define DELTAK_HPP

#include <deltak/deltak.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace deltak {

/** A failed call: what() is dk_error_text(), status() says which kind. */
class error : public std::runtime_error {
  public:
    error(dk_status status, const std::string &text) : std::runtime_error(text), status_(status) {}
    dk_status status() const noexcept { return status_; }

  private:
    dk_status status_;
};

/** Throws deltak::error unless `status` is DK_OK. */
inline void check(dk_status status) {
    if (status != DK_OK) throw error(status, dk_error_text());
}

namespace detail {

/** A C handle with its destroyer. */
template <typename T, void (*destroy)(T *)> class handle {
  public:
    /** The C object, borrowed. */
    T *get() const noexcept { return object_.get(); }

  protected:
    handle() = default;
    explicit handle(T *object) : object_(object) {}
    /** Takes over what a dk_…_create function stored. */
    void take(T *object) { object_.reset(object); }

  private:
    struct deleter {
        void operator()(T *object) const noexcept { destroy(object); }
    };
    std::unique_ptr<T, deleter> object_;
};

} // namespace detail

/** A device with its threads; everything else is made from one. */
class context : public detail::handle<dk_context, dk_context_destroy> {
  public:
    explicit context(const dk_context_options &options = DK_CONTEXT_OPTIONS_INIT) {
        dk_context *made = nullptr;
        check(dk_context_create(&made, &options));
        take(made);
    }

    /** Texts in it are valid as long as the context. */
    dk_context_info describe() const {
        dk_context_info info{};
        check(dk_context_describe(get(), &info));
        return info;
    }
};

/** Rows of features with labels or targets; immutable. */
class dataset : public detail::handle<dk_dataset, dk_dataset_destroy> {
  public:
    /** "builtin:digits", "synth:…", a file or a directory; see dk_dataset_open. */
    dataset(const context &context, const std::string &source,
            const dk_data_options &options = DK_DATA_OPTIONS_INIT) {
        dk_dataset *made = nullptr;
        check(dk_dataset_open(&made, context.get(), source.c_str(), &options));
        take(made);
    }

    /** Over the caller's arrays; the features are borrowed, see dk_arrays. */
    dataset(const context &context, const dk_arrays &arrays) {
        dk_dataset *made = nullptr;
        check(dk_dataset_from_arrays(&made, context.get(), &arrays));
        take(made);
    }

    /** {the rest, round(fraction·rows) rows chosen by `seed`}. */
    std::pair<dataset, dataset> split(double fraction, std::uint64_t seed) const {
        dk_dataset *rest = nullptr;
        dk_dataset *part = nullptr;
        check(dk_dataset_split(get(), fraction, seed, &rest, &part));
        return {dataset(rest), dataset(part)};
    }

    dk_dataset_info describe() const {
        dk_dataset_info info{};
        check(dk_dataset_describe(get(), &info));
        return info;
    }

    std::int64_t rows() const { return describe().rows; }

    /** The name of a class; empty where there is none. */
    std::string class_name(std::int64_t index) const {
        const char *name = dk_dataset_class_name(get(), index);
        return name ? name : "";
    }

    /** Raw features [rows, features] of the rows from `first`. */
    std::vector<float> features(std::int64_t first, std::int64_t rows) const {
        const std::int64_t width = describe().features;
        std::vector<float> x(static_cast<std::size_t>(rows > 0 ? rows * width : 0));
        check(dk_dataset_read(get(), first, rows, x.data(), nullptr, nullptr));
        return x;
    }

  private:
    explicit dataset(dk_dataset *object) : handle(object) {}
};

/** A network: description, parameters, preprocessing, class names. */
class net : public detail::handle<dk_net, dk_net_destroy> {
  public:
    net(const context &context, const dk_net_desc &desc) {
        dk_net *made = nullptr;
        check(dk_net_create(&made, context.get(), &desc));
        take(made);
    }

    /** The usual network for a data set; see dk_net_create_for. */
    net(const dataset &train, const std::vector<std::int64_t> &hidden,
        dk_activation activation = DK_RELU, std::uint64_t seed = 1) {
        dk_net *made = nullptr;
        check(
            dk_net_create_for(&made, train.get(), hidden.data(), hidden.size(), activation, seed));
        take(made);
    }

    /** Reads a model file. */
    net(const context &context, const std::string &path) {
        dk_net *made = nullptr;
        check(dk_net_load(&made, context.get(), path.c_str()));
        take(made);
    }

    void save(const std::string &path) const { check(dk_net_save(get(), path.c_str())); }

    /** Pointers in it are valid as long as the network. */
    dk_net_desc describe() const {
        dk_net_desc desc = DK_NET_DESC_INIT;
        check(dk_net_describe(get(), &desc));
        return desc;
    }

    /** n_k, the width of layer 0 … L (0 is the input). */
    std::int64_t width(std::size_t layer) const {
        const dk_net_desc desc = describe();
        if (layer > desc.layer_count) throw error(DK_E_ARGUMENT, "there is no such layer");
        return layer == 0 ? desc.inputs : desc.layers[layer - 1].width;
    }

    std::int64_t parameter_count() const { return dk_net_parameter_count(get()); }

    /** W⁽ᵏ⁾ [n_k, n_{k−1}] of layer 1 … L. */
    std::vector<float> weight(std::size_t layer) const { return read(DK_WEIGHT, layer); }

    /** b⁽ᵏ⁾ [n_k] of layer 1 … L. */
    std::vector<float> bias(std::size_t layer) const { return read(DK_BIAS, layer); }

    void set_weight(std::size_t layer, const std::vector<float> &values) {
        check(dk_net_set(get(), DK_WEIGHT, layer, values.data(), values.size()));
    }

    void set_bias(std::size_t layer, const std::vector<float> &values) {
        check(dk_net_set(get(), DK_BIAS, layer, values.data(), values.size()));
    }

    void freeze(std::size_t layer, bool frozen = true) {
        check(dk_net_freeze(get(), layer, frozen));
    }

    void learn_preprocessing(const dataset &train) {
        check(dk_net_learn_preprocessing(get(), train.get()));
    }

    /** The name of an output; empty where there is none. */
    std::string class_name(std::int64_t index) const {
        const char *name = dk_net_class_name(get(), index);
        return name ? name : "";
    }

    dk_metrics evaluate(const dataset &data, std::int64_t batch = 0) const {
        dk_metrics metrics{};
        check(dk_evaluate(get(), data.get(), batch, &metrics));
        return metrics;
    }

    /** Outputs [rows, n_L] for raw features x [rows, n_0]; see dk_predict. */
    std::vector<float> predict(const std::vector<float> &x) const {
        const auto inputs = static_cast<std::size_t>(width(0));
        if (x.size() % inputs != 0)
            throw error(DK_E_SHAPE, "the features aren't a whole number of rows");
        const std::size_t rows = x.size() / inputs;
        std::vector<float> y(rows * outputs());
        check(dk_predict(get(), x.data(), static_cast<std::int64_t>(rows), y.data()));
        return y;
    }

    std::vector<float> predict(const dataset &data) const {
        std::vector<float> y(static_cast<std::size_t>(data.rows()) * outputs());
        check(dk_predict_dataset(get(), data.get(), y.data()));
        return y;
    }

  private:
    std::size_t outputs() const { return static_cast<std::size_t>(width(describe().layer_count)); }

    std::vector<float> read(dk_tensor tensor, std::size_t layer) const {
        if (layer == 0) throw error(DK_E_ARGUMENT, "layer 0 is the input: it has no parameters");
        const std::int64_t count = width(layer) * (tensor == DK_WEIGHT ? width(layer - 1) : 1);
        std::vector<float> values(static_cast<std::size_t>(count));
        check(dk_net_get(get(), tensor, layer, values.data(), values.size()));
        return values;
    }
};

/** Predictions again and again, at the cost of a session's forward; several threads may use one. */
class predictor : public detail::handle<dk_predictor, dk_predictor_destroy> {
  public:
    explicit predictor(const net &net, std::int64_t batch = 0) {
        dk_predictor *made = nullptr;
        check(dk_predictor_create(&made, net.get(), batch));
        take(made);
    }

    /** Outputs y [rows, n_L] for raw features x [rows, n_0]; see dk_predict. */
    void run(const float *x, std::int64_t rows, float *y) const {
        check(dk_predictor_run(get(), x, rows, y));
    }
};

/** Buffers to run a network: forward, loss, gradients, and all that lies inside. */
class session : public detail::handle<dk_session, dk_session_destroy> {
  public:
    session(const net &net, std::int64_t max_batch, dk_session_kind kind = DK_SESSION_GRADIENTS) {
        dk_session *made = nullptr;
        check(dk_session_create(&made, net.get(), max_batch, kind));
        take(made);
    }

    void dropout(bool on, std::uint64_t seed = 0, std::uint64_t tick = 0) {
        check(dk_session_dropout(get(), on, seed, tick));
    }

    /** x [rows, n_0] to y [rows, n_L], model-scale; y may be null. */
    void forward(const float *x, std::int64_t rows, float *y = nullptr) {
        check(dk_session_forward(get(), x, rows, y));
    }

    /** Forward, loss and backward of a batch; returns the mean loss. */
    double gradients(const dk_batch &batch) {
        double loss = 0;
        check(dk_session_gradients(get(), &batch, &loss));
        return loss;
    }

    /** Backward from the caller's own ∂l/∂a⁽ᴸ⁾ [rows, n_L]. */
    void backward(const float *dl_da, std::int64_t rows) {
        check(dk_session_backward(get(), dl_da, rows));
    }

    /** ∂l/∂x of the last backward; count = rows·n_0. */
    std::vector<float> input_gradient(std::size_t count) const {
        std::vector<float> values(count);
        check(dk_session_input_gradient(get(), values.data(), count));
        return values;
    }

    /** A tensor of a layer after the last call; `count` its number of elements (dk_tensor). */
    std::vector<float> read(dk_tensor tensor, std::size_t layer, std::size_t count) const {
        std::vector<float> values(count);
        check(dk_session_read(get(), tensor, layer, values.data(), count));
        return values;
    }
};

/** What fit gives back, and whether the callback stopped it. */
struct fit_result : dk_fit_result {
    bool stopped = false;
};

/** A network in training. */
class trainer : public detail::handle<dk_trainer, dk_trainer_destroy> {
  public:
    /** Return false to stop after this step. An exception stops too, and leaves fit. */
    using progress = std::function<bool(const dk_progress &)>;

    explicit trainer(net &net, const dk_train_options &options = DK_TRAIN_OPTIONS_INIT) {
        dk_trainer *made = nullptr;
        check(dk_trainer_create(&made, net.get(), &options));
        take(made);
    }

    /** A trainer that goes on from a checkpoint, or from the newest of a folder; see dk_trainer_resume. */
    trainer(net &net, const std::string &path, const dk_train_options *options = nullptr,
            bool anyway = false) {
        dk_trainer *made = nullptr;
        check(dk_trainer_resume(&made, net.get(), options, path.c_str(), anyway));
        take(made);
    }

    /** Writes a checkpoint. */
    void save(const std::string &path) { check(dk_trainer_save(get(), path.c_str())); }

    /** One update by one batch; returns its mean loss before the update. */
    double step(const dk_batch &batch) {
        double loss = 0;
        check(dk_trainer_step(get(), &batch, &loss));
        return loss;
    }

    std::int64_t steps() const { return dk_trainer_steps(get()); }

    /** Trains on a data set; `valid` may be null. The progress fields of `options` are replaced by
     *  `on_progress` where it is given. */
    fit_result fit(const dataset &train, const dataset *valid = nullptr,
                   dk_fit_options options = DK_FIT_OPTIONS_INIT,
                   const progress &on_progress = nullptr) {
        relay carried{&on_progress, nullptr};
        if (on_progress) {
            options.progress = &relay::call;
            options.progress_user = &carried;
        }
        fit_result result{};
        const dk_status status =
            dk_trainer_fit(get(), train.get(), valid ? valid->get() : nullptr, &options, &result);
        if (carried.thrown) std::rethrow_exception(carried.thrown);
        result.stopped = status == DK_E_STOPPED;
        if (!result.stopped) check(status);
        return result;
    }

  private:
    /** Carries the caller's exception past the C frames of dk_trainer_fit. */
    struct relay {
        const progress *on_progress;
        std::exception_ptr thrown;

        static int call(void *user, const dk_progress *progress) noexcept {
            auto *self = static_cast<relay *>(user);
            try {
                return (*self->on_progress)(*progress) ? 0 : 1;
            } catch (...) {
                self->thrown = std::current_exception();
                return 1;
            }
        }
    };
};

} // namespace deltak

#endif /* DELTAK_HPP */

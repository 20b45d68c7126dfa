// deltak_cuda.h: an application's own batches in device memory.
#include "deltak/deltak_cuda.h"
#include "support.h"
#include "support_net.h"

extern "C" {
#include "backend/cuda/cuda.h"
#include "kernels/queue.h"
#include "model/net.h"
}

#include <cmath>

using namespace support;

namespace {

/// An array in device memory.
class OnDevice {
  public:
    OnDevice(dk_context *context, const void *values, size_t bytes) : backend_(context->backend) {
        EXPECT_EQ(DK_OK, backend_->ops->alloc(backend_, DKI_MEMORY_DEVICE, bytes, &memory_));
        EXPECT_EQ(DK_OK, backend_->ops->upload(backend_, DKI_LANE_MAIN, memory_, values, bytes));
    }
    template <class T>
    OnDevice(dk_context *context, const std::vector<T> &values)
        : OnDevice(context, values.data(), values.size() * sizeof(T)) {}
    ~OnDevice() { backend_->ops->release(backend_, memory_); }
    OnDevice(const OnDevice &) = delete;
    OnDevice &operator=(const OnDevice &) = delete;
    const float *floats() const { return static_cast<const float *>(memory_); }
    const int32_t *integers() const { return static_cast<const int32_t *>(memory_); }
    float *out() const { return static_cast<float *>(memory_); }

  private:
    dki_backend *backend_;
    void *memory_ = nullptr;
};

struct Data {
    int64_t rows, inputs;
    std::vector<float> x, targets, weights;
    std::vector<int32_t> labels;
    Data(int64_t rows_, int64_t inputs_) : rows(rows_), inputs(inputs_) {
        x = normal(static_cast<size_t>(rows * inputs), 1);
        targets = normal(static_cast<size_t>(rows * 3), 2);
        for (int64_t i = 0; i < rows; ++i) {
            labels.push_back(static_cast<int32_t>(i % 3));
            weights.push_back(static_cast<float>(i % 2 + 1));
        }
    }
    double weight_sum() const {
        double sum = 0;
        for (float w : weights) sum += static_cast<double>(w);
        return sum;
    }
};

Net make_net(dk_context *context, int64_t inputs, bool classes) {
    return net(context, Description(inputs, {layer(9, DK_RELU), layer(3, DK_IDENTITY)},
                                    classes ? DK_LOSS_SOFTMAX_CROSS_ENTROPY : DK_LOSS_MSE));
}

Trainer make_trainer(dk_net *net) {
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = 8;
    options.warmup = 0;
    return support::trainer(net, options);
}

/// Parameters after three steps from the host's memory.
std::vector<uint32_t> from_host(dk_context *context, const Data &d, bool classes, bool weighted) {
    Net made = make_net(context, d.inputs, classes);
    Trainer trainer = make_trainer(made.get());
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = d.rows;
    batch.x = d.x.data();
    batch.labels = classes ? d.labels.data() : nullptr;
    batch.targets = classes ? nullptr : d.targets.data();
    batch.weights = weighted ? d.weights.data() : nullptr;
    for (int step = 0; step < 3; ++step)
        EXPECT_EQ(dk_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
    return parameter_bits(made.get());
}

/// The same from the device's.
std::vector<uint32_t> from_device(dk_context *context, const Data &d, bool classes, bool weighted) {
    Net made = make_net(context, d.inputs, classes);
    Trainer trainer = make_trainer(made.get());
    OnDevice x(context, d.x), labels(context, d.labels), targets(context, d.targets),
        weights(context, d.weights);
    dk_cuda_batch batch = DK_CUDA_BATCH_INIT;
    batch.rows = d.rows;
    batch.x = x.floats();
    batch.labels = classes ? labels.integers() : nullptr;
    batch.targets = classes ? nullptr : targets.floats();
    batch.weights = weighted ? weights.floats() : nullptr;
    batch.weight_sum = weighted ? d.weight_sum() : 0.0;
    double loss = 0;
    for (int step = 0; step < 3; ++step)
        EXPECT_EQ(dk_cuda_trainer_step(trainer.get(), &batch, step == 2 ? &loss : nullptr), DK_OK)
            << dk_error_text();
    EXPECT_GT(loss, 0.0);
    return parameter_bits(made.get());
}

} // namespace

// Breaks with rows read at the wrong stride, a micro-batch that starts elsewhere, a recording that is
// played with another batch's addresses, weights left out.
TEST(Application, ABatchOnTheDeviceTrainsAsOneOfTheHostsOnAGpu) {
    Context context = open_context();
    for (int64_t rows : {5, 8, 19})
        for (int64_t inputs : {8, 7})
            for (bool classes : {false, true})
                for (bool weighted : {false, true}) {
                    const Data d(rows, inputs);
                    EXPECT_EQ(from_host(context.get(), d, classes, weighted),
                              from_device(context.get(), d, classes, weighted))
                        << rows << " rows of " << inputs;
                }
}

TEST(Application, ForwardGivesTheOutputsOfTheHostsOnAGpu) {
    Context context = open_context();
    const Data d(6, 7);
    Net made = make_net(context.get(), d.inputs, false);
    dk_session *raw = nullptr;
    ASSERT_EQ(dk_session_create(&raw, made.get(), 8, DK_SESSION_INFERENCE), DK_OK);
    Session session(raw);
    std::vector<float> y(18), got(18);
    ASSERT_EQ(dk_session_forward(session.get(), d.x.data(), 6, y.data()), DK_OK);
    OnDevice x(context.get(), d.x), out(context.get(), got);
    ASSERT_EQ(dk_cuda_session_forward(session.get(), x.floats(), 6, out.out()), DK_OK)
        << dk_error_text();
    dki_backend *backend = context->backend;
    ASSERT_EQ(backend->ops->download(backend, got.data(), out.floats(), 18 * sizeof(float)), DK_OK);
    EXPECT_EQ(y, got);
}

// ---- an application's stream -------------------------------------------------------------------

namespace {

/// The stream that another context queues its work on, as an application knows its own.
void *stream_of(dk_context *context) {
    return static_cast<dki_queue *>(dki_cuda_of(context->backend)->own_main)->stream;
}

/// The application: what it queues on its stream, through a context of its own that has the same one.
class OnTheStream {
  public:
    OnTheStream(dk_context *context, OnDevice &memory)
        : backend_(context->backend), memory_(memory) {}
    void write(const std::vector<float> &values) {
        EXPECT_EQ(DK_OK, backend_->ops->upload(backend_, DKI_LANE_MAIN, memory_.out(),
                                               values.data(), values.size() * sizeof(float)));
    }

  private:
    dki_backend *backend_;
    OnDevice &memory_;
};

/// Parameters and outputs of four steps on a batch that changes from one to the next. With a stream the
/// application queues each one there, and spoils it behind the step, without a wait.
std::pair<std::vector<uint32_t>, std::vector<float>> trained(dk_context *context,
                                                             dk_context *application) {
    const Data d(8, 8);
    Net made = make_net(context, d.inputs, true);
    Trainer trainer = make_trainer(made.get());
    dk_session *raw = nullptr;
    EXPECT_EQ(dk_session_create(&raw, made.get(), 8, DK_SESSION_INFERENCE), DK_OK);
    Session session(raw);
    std::vector<float> y(24);
    OnDevice x(context, d.x), labels(context, d.labels), out(context, y);
    OnTheStream queue(application, x);
    dk_cuda_batch batch = DK_CUDA_BATCH_INIT;
    batch.rows = 8;
    batch.x = x.floats();
    batch.labels = labels.integers();
    const std::vector<float> spoilt(d.x.size(), std::nanf(""));
    for (uint32_t step = 0; step < 4; ++step) {
        queue.write(normal(d.x.size(), step));
        EXPECT_EQ(dk_cuda_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
        queue.write(spoilt);
    }
    queue.write(d.x);
    EXPECT_EQ(dk_cuda_session_forward(session.get(), x.floats(), 8, out.out()), DK_OK);
    queue.write(spoilt);
    dki_backend *reader = application->backend;
    EXPECT_EQ(DK_OK, reader->ops->download(reader, y.data(), out.floats(), 24 * sizeof(float)));
    return {parameter_bits(made.get()), y};
}

} // namespace

// Breaks where a default stream is taken for none, where the context's work isn't on the stream, or where
// a step is recorded on it, which CUDA refuses for the default streams.
TEST(Application, WorkIsInTheOrderOfItsStreamOnAGpu) {
    Context context = open_context(), application = open_context();
    const auto expected = trained(context.get(), context.get());
    for (float value : expected.second) EXPECT_TRUE(std::isfinite(value));
    void *const streams[] = {nullptr, reinterpret_cast<void *>(1), reinterpret_cast<void *>(2),
                             stream_of(application.get())};
    for (void *stream : streams) {
        SCOPED_TRACE(stream);
        ASSERT_EQ(dk_cuda_use_stream(context.get(), stream), DK_OK) << dk_error_text();
        ASSERT_EQ(dk_cuda_use_stream(application.get(), stream), DK_OK) << dk_error_text();
        EXPECT_EQ(trained(context.get(), application.get()), expected);
        ASSERT_EQ(dk_cuda_use_own_stream(application.get()), DK_OK) << dk_error_text();
    }
    ASSERT_EQ(dk_cuda_use_own_stream(context.get()), DK_OK) << dk_error_text();
    EXPECT_EQ(trained(context.get(), context.get()), expected);
}

namespace {

/// Outputs behind each of some steps, which are on another stream than the step, with no wait between. (A step
/// behind a step is in order by itself: they are the same graph.) A NULL among the streams is the default one;
/// where there are none, or one is missing, the context's own.
std::vector<float> outputs_on(dk_context *context, const std::vector<void *> &streams) {
    const Data d(8, 8);
    Net made = make_net(context, d.inputs, true);
    Trainer trainer = make_trainer(made.get());
    dk_session *raw = nullptr;
    EXPECT_EQ(dk_session_create(&raw, made.get(), 8, DK_SESSION_INFERENCE), DK_OK);
    Session session(raw);
    std::vector<float> y(4 * 24);
    OnDevice x(context, d.x), labels(context, d.labels), out(context, y);
    dk_cuda_batch batch = DK_CUDA_BATCH_INIT;
    batch.rows = 8;
    batch.x = x.floats();
    batch.labels = labels.integers();
    const auto follow = [&](size_t i) {
        EXPECT_EQ(i < streams.size() ? dk_cuda_use_stream(context, streams[i])
                                     : dk_cuda_use_own_stream(context),
                  DK_OK)
            << dk_error_text();
    };
    for (size_t step = 0; step < 4; ++step) {
        follow(step % 2);
        EXPECT_EQ(dk_cuda_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
        follow(step % 2 + 1);
        EXPECT_EQ(dk_cuda_session_forward(session.get(), x.floats(), 8, out.out() + step * 24),
                  DK_OK);
    }
    EXPECT_EQ(DK_OK, context->backend->ops->download(context->backend, y.data(), out.floats(),
                                                     y.size() * sizeof(float)));
    return y;
}

} // namespace

// Breaks where work on a new stream doesn't come after that on the one before it.
TEST(Application, AStreamsWorkComesBeforeThatOfTheNextOneOnAGpu) {
    Context context = open_context(), some = open_context(), other = open_context();
    const auto expected = outputs_on(context.get(), {});
    for (float value : expected) EXPECT_TRUE(std::isfinite(value));
    void *const one = stream_of(some.get()), *const two = stream_of(other.get());
    EXPECT_EQ(outputs_on(context.get(), {one, two, one}), expected);
    EXPECT_EQ(outputs_on(context.get(), {one, nullptr}), expected);
}

// Breaks with a pointer that is used before it is looked at.
TEST(Application, RefusesWhatIsNotTheDevicesOnAGpu) {
    Context context = open_context();
    const Data d(6, 8);
    Net made = make_net(context.get(), d.inputs, true);
    Trainer trainer = make_trainer(made.get());
    OnDevice x(context.get(), d.x), labels(context.get(), d.labels), w(context.get(), d.weights);
    dk_cuda_batch good = DK_CUDA_BATCH_INIT;
    good.rows = 5;
    good.x = x.floats();
    good.labels = labels.integers();
    auto refused = [&](const dk_cuda_batch &batch, const char *name) {
        EXPECT_EQ(dk_cuda_trainer_step(trainer.get(), &batch, nullptr), DK_E_ARGUMENT) << name;
        expect_error_names(name);
    };
    dk_cuda_batch bad = good;
    bad.x = d.x.data();
    refused(bad, "x");
    bad.x = x.floats() + 1;
    refused(bad, "16 bytes");
    bad = good;
    bad.labels = d.labels.data();
    refused(bad, "labels");
    bad = good;
    bad.rows = 7; // more than was allocated
    refused(bad, "x");
    bad = good;
    bad.weights = w.floats();
    refused(bad, "weight_sum");
    bad = good;
    bad.targets = x.floats();
    refused(bad, "either labels or targets");
    EXPECT_EQ(dk_cuda_trainer_step(trainer.get(), &good, nullptr), DK_OK) << dk_error_text();
    std::vector<float> input(40);
    EXPECT_EQ(dk_session_read(dk_trainer_session(trainer.get()), DK_A, 0, input.data(), 40),
              DK_E_NOT_KEPT);
}

TEST(Application, TheCpuSaysThatItIsNoGpu) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cpu";
    dk_context *raw = nullptr;
    ASSERT_EQ(dk_context_create(&raw, &options), DK_OK);
    Context context(raw);
    Net made = make_net(context.get(), 8, true);
    Trainer trainer = make_trainer(made.get());
    dk_session *session = nullptr;
    ASSERT_EQ(dk_session_create(&session, made.get(), 8, DK_SESSION_INFERENCE), DK_OK);
    Session held(session);
    const dk_cuda_batch batch = DK_CUDA_BATCH_INIT;
    EXPECT_EQ(dk_cuda_use_stream(context.get(), nullptr), DK_E_STATE);
    EXPECT_EQ(dk_cuda_use_own_stream(context.get()), DK_E_STATE);
    EXPECT_EQ(dk_cuda_trainer_step(trainer.get(), &batch, nullptr), DK_E_STATE);
    EXPECT_EQ(dk_cuda_session_forward(session, nullptr, 1, nullptr), DK_E_STATE);
    expect_error_names("\"cuda\"");
}

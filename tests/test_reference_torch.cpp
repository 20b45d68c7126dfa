// The reference against PyTorch in double precision, by the fixtures of
// fixtures/make_torch_fixtures.py. Agreement is |x − r| ≤ 1e-12·max(1, ‖r‖∞) for every tensor: a
// few hundred roundings of numbers of this size stay below 1e-13, and a wrong formula doesn't.
//
// What breaks these tests: any g, g′, loss, class weight, label smoothing, normaliser, optimizer,
// clipping or schedule that isn't PyTorch's.
#include "every.h"
#include "support_reference.h"

#include <jansson.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

namespace {

constexpr double tolerance = 1e-12;

class Fixture {
  public:
    explicit Fixture(const char *name) {
        const std::string path = std::string(DELTAK_SOURCE_DIR) + "/tests/fixtures/" + name;
        json_error_t error;
        root = json_load_file(path.c_str(), JSON_REJECT_DUPLICATES, &error);
        if (!root) throw std::runtime_error(path + ": " + error.text);
    }
    ~Fixture() { json_decref(root); }
    Fixture(const Fixture &) = delete;
    Fixture &operator=(const Fixture &) = delete;
    json_t *root;
};

Numbers numbers(const json_t *array) {
    Numbers out;
    for (size_t i = 0; i < json_array_size(array); i++)
        out.push_back(json_number_value(json_array_get(array, i)));
    return out;
}

double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

std::string text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

bool flag(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}

size_t indexOf(const std::vector<std::string> &names, const std::string &name) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) throw std::runtime_error("unknown name " + name);
    return static_cast<size_t>(found - names.begin());
}

dk_activation activationOf(const std::string &name) {
    dk_activation activation;
    float alpha;
    if (dk_activation_parse(name.c_str(), &activation, &alpha))
        throw std::runtime_error(dk_error_text());
    return activation;
}

void expectNear(const Numbers &expected, const double *computed, const std::string &what) {
    ASSERT_FALSE(expected.empty()) << what;
    double largest = 1, error = 0;
    for (size_t i = 0; i < expected.size(); i++) {
        largest = std::max(largest, std::fabs(expected[i]));
        ASSERT_TRUE(std::isfinite(computed[i])) << what;
        error = std::max(error, std::fabs(computed[i] - expected[i]));
    }
    EXPECT_LE(error, tolerance * largest) << what;
}

// The network of one case; `given` are the arrays that all cases share.
RefNet networkOf(const json_t *root, const json_t *test) {
    const json_t *given = json_object_get(root, "given"), *alpha = json_object_get(root, "alpha");
    const Numbers widths = numbers(json_object_get(root, "widths"));
    RefNet net;
    net.inputs = static_cast<int64_t>(widths[0]);
    net.rows = static_cast<int64_t>(number(root, "rows"));
    for (size_t k = 1; k < widths.size(); k++) {
        const std::string name =
            json_string_value(json_array_get(json_object_get(test, "activations"), k - 1));
        net.layers.push_back({static_cast<int64_t>(widths[k]),
                              activationOf(name),
                              number(alpha, name.c_str()),
                              numbers(json_array_get(json_object_get(given, "W"), k - 1)),
                              numbers(json_array_get(json_object_get(given, "b"), k - 1)),
                              {}});
    }
    static const std::vector<std::string> losses = {"mse", "mae", "huber", "softmax_cross_entropy",
                                                    "sigmoid_cross_entropy"};
    net.loss.kind = static_cast<dk_loss>(indexOf(losses, text(test, "loss")));
    net.loss.huber_delta = number(test, "huber_delta");
    net.loss.label_smoothing = number(test, "smoothing");
    net.x = numbers(json_object_get(given, "x"));
    const bool values = net.loss.kind <= DK_LOSS_HUBER;
    if (!values && text(test, "target") == "labels")
        for (double label : numbers(json_object_get(given, "labels")))
            net.labels.push_back(static_cast<int32_t>(label));
    net.targets = numbers(json_object_get(given, values ? "targets" : "probabilities"));
    if (flag(test, "class_weights"))
        net.class_weights = numbers(json_object_get(given, "class_weights"));
    if (flag(test, "weighted")) net.weights = numbers(json_object_get(given, "sample_weights"));
    return net;
}

TEST(ReferenceTorch, EveryActivationAndLoss) {
    const Fixture fixture("torch_networks.json");
    const json_t *cases = json_object_get(fixture.root, "cases");
    ASSERT_GE(json_array_size(cases), 96u);
    std::set<dk_activation> seen;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *test = json_array_get(cases, i),
                     *expected = json_object_get(test, "expected");
        RefNet net = networkOf(fixture.root, test);
        for (const auto &layer : net.layers) seen.insert(layer.activation);
        RefTensors pass(net);
        const dki_ref_net view = net.view();
        const dki_ref_batch batch = net.batch();
        dki_ref_forward(&view, &batch, &pass.t);
        ASSERT_EQ(DK_OK, dki_ref_backward(&view, &batch, &pass.t)) << dk_error_text();

        char *dump = json_dumps(json_object_get(test, "activations"), JSON_COMPACT);
        const std::string name = "case " + std::to_string(i) + " " + dump + " " +
                                 text(test, "loss") + " " + text(test, "target") + ": ";
        free(dump);
        const double loss = number(expected, "loss");
        EXPECT_NEAR(loss, pass.t.loss, tolerance * std::max(1.0, std::fabs(loss))) << name;
        expectNear(numbers(json_object_get(expected, "dx")), pass.t.delta[0], name + "dx");
        for (size_t k = 1; k <= net.layers.size(); k++) {
            const auto at = [&](const char *key) {
                return numbers(json_array_get(json_object_get(expected, key), k - 1));
            };
            expectNear(at("dW"), pass.t.dW[k], name + "dW");
            expectNear(at("db"), pass.t.db[k], name + "db");
            if (!json_object_get(expected, "z")) continue;
            expectNear(at("z"), pass.t.z[k], name + "z");
            expectNear(at("a"), pass.t.a[k], name + "a");
        }
    }
    for (dk_activation g : support::activations())
        EXPECT_TRUE(seen.count(g)) << dk_activation_name(g) << " is in no case";
}

// Backward from the caller's ∂l/∂a is backward, when that is the loss's own.
TEST(ReferenceTorch, GivenGradientOfTheLossIsBackward) {
    const Fixture fixture("torch_networks.json");
    RefNet net = networkOf(fixture.root, json_array_get(json_object_get(fixture.root, "cases"), 3));
    const dki_ref_net view = net.view();
    const dki_ref_batch batch = net.batch();
    RefTensors pass(net), given(net);
    dki_ref_forward(&view, &batch, &pass.t);
    dki_ref_forward(&view, &batch, &given.t);
    ASSERT_EQ(DK_OK, dki_ref_backward(&view, &batch, &pass.t));
    const int64_t count = net.rows * net.outputs();
    Numbers dl_da;
    for (int64_t i = 0; i < count; i++) // mse: 2(a − y)/(B·n_L)
        dl_da.push_back(2 * (pass.t.a[3][i] - net.targets[static_cast<size_t>(i)]) /
                        static_cast<double>(count));
    dki_ref_backward_given(&view, dl_da.data(), &given.t);
    for (size_t k = 1; k <= 3; k++)
        expectNear(Numbers(pass.t.dW[k], pass.t.dW[k] + 6), given.t.dW[k], "dW");
    expectNear(Numbers(pass.t.delta[0], pass.t.delta[0] + 15), given.t.delta[0], "dx");
}

TEST(ReferenceTorch, EveryOptimizer) {
    static const std::vector<std::string> names = {"sgd",     "momentum", "nesterov", "rmsprop",
                                                   "adagrad", "adam",     "adamw",    "lion"};
    const Fixture fixture("torch_optimizers.json");
    const json_t *cases = json_object_get(fixture.root, "cases");
    ASSERT_GE(json_array_size(cases), 30u);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *test = json_array_get(cases, i);
        Numbers theta = numbers(json_object_get(fixture.root, "theta"));
        Numbers m(theta.size()), v(theta.size());
        const auto count = static_cast<int64_t>(theta.size());
        dki_ref_rule rule = {};
        rule.optimizer = static_cast<dk_optimizer>(indexOf(names, text(test, "optimizer")));
        rule.lr = number(test, "lr");
        rule.beta1 = number(test, "beta1");
        rule.beta2 = number(test, "beta2");
        rule.epsilon = number(test, "epsilon");
        rule.weight_decay = number(test, "weight_decay");
        rule.decoupled = flag(test, "decoupled");
        for (size_t step = 0; step < 6; step++) {
            Numbers g = numbers(json_array_get(json_object_get(fixture.root, "gradients"), step));
            double *tensors[] = {g.data()};
            if (json_object_get(test, "clip_norm"))
                dki_ref_clip_norm(tensors, &count, 1, number(test, "clip_norm"));
            if (json_object_get(test, "clip_value"))
                dki_ref_clip_value(g.data(), count, number(test, "clip_value"));
            rule.t = static_cast<int64_t>(step) + 1;
            dki_ref_update(&rule, count, theta.data(), g.data(), m.data(), v.data());
            expectNear(numbers(json_array_get(json_object_get(test, "theta"), step)), theta.data(),
                       "case " + std::to_string(i) + " " + text(test, "optimizer") + " step " +
                           std::to_string(step + 1));
        }
    }
}

// Clipping by a norm takes all tensors together.
TEST(ReferenceTorch, ClipNormIsGlobal) {
    double first[] = {3, 0}, second[] = {-4};
    double *tensors[] = {first, second};
    const int64_t counts[] = {2, 1};
    EXPECT_EQ(5, dki_ref_clip_norm(tensors, counts, 2, 1));
    EXPECT_NEAR(0.6, first[0], 1e-6);
    EXPECT_NEAR(-0.8, second[0], 1e-6);
    EXPECT_LT(-second[0], 0.8); // the 10⁻⁶ under the fraction
}

TEST(ReferenceTorch, EverySchedule) {
    static const std::vector<std::string> names = {"constant",   "step",   "exponential",
                                                   "polynomial", "cosine", "one_cycle"};
    const Fixture fixture("torch_schedules.json");
    const json_t *cases = json_object_get(fixture.root, "cases");
    ASSERT_GE(json_array_size(cases), 18u);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *test = json_array_get(cases, i);
        dki_ref_schedule schedule = {};
        schedule.kind = static_cast<dk_schedule>(indexOf(names, text(test, "kind")));
        schedule.steps = static_cast<int64_t>(number(test, "steps"));
        schedule.warmup = static_cast<int64_t>(number(test, "warmup"));
        schedule.final_factor = number(test, "final_factor");
        schedule.gamma = number(test, "gamma");
        schedule.power = number(test, "power");
        schedule.period = static_cast<int64_t>(number(test, "period"));
        const Numbers expected = numbers(json_object_get(test, "factors"));
        Numbers factors;
        for (size_t s = 0; s < expected.size(); s++)
            factors.push_back(dki_ref_schedule_factor(&schedule, static_cast<int64_t>(s)));
        expectNear(expected, factors.data(),
                   "case " + std::to_string(i) + " " + text(test, "kind"));
    }
}

// Past the end a schedule stays where it ended, and without an end it is constant.
TEST(ReferenceTorch, SchedulesOutsideTheirSteps) {
    dki_ref_schedule cosine = {DK_SCHEDULE_COSINE, 10, 2, 0.25, 0.1, 1, 0};
    EXPECT_NEAR(0.25, dki_ref_schedule_factor(&cosine, 10), 1e-15);
    EXPECT_NEAR(0.25, dki_ref_schedule_factor(&cosine, 1000), 1e-15);
    cosine.steps = 0;
    EXPECT_EQ(0.5, dki_ref_schedule_factor(&cosine, 0));
    EXPECT_EQ(1, dki_ref_schedule_factor(&cosine, 1000));
}

} // namespace

// What must hold of any backpropagation, held by the reference: finite differences, the written-out
// chain rule, the mean over a batch, the collapse of linear layers, a g of its own in every layer,
// g′ from a, and extreme logits.
//
// What breaks these tests: a wrong sign, a dropped derivative, a swapped transpose, a missing mean.
#include "every.h"
#include "support.h"
#include "support_reference.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <string>

namespace {

const std::vector<dk_activation> everyActivation = support::activations();

double lossOf(RefNet &net) {
    RefTensors pass(net);
    const dki_ref_net view = net.view();
    const dki_ref_batch batch = net.batch();
    dki_ref_forward(&view, &batch, &pass.t);
    EXPECT_EQ(DK_OK, dki_ref_mean_loss(&view, &batch, &pass.t)) << dk_error_text();
    return pass.t.loss;
}

void backward(RefNet &net, RefTensors &pass) {
    const dki_ref_net view = net.view();
    const dki_ref_batch batch = net.batch();
    dki_ref_forward(&view, &batch, &pass.t);
    ASSERT_EQ(DK_OK, dki_ref_backward(&view, &batch, &pass.t)) << dk_error_text();
}

// Whether nothing lies within `gap` of a kink of its activation or of the loss.
bool awayFromKinks(RefNet &net, double gap) {
    RefTensors pass(net);
    backward(net, pass);
    for (size_t k = 1; k <= net.layers.size(); k++) {
        const RefLayer &layer = net.layers[k - 1];
        for (int64_t i = 0; i < net.rows * layer.width; i++)
            if (dki_ref_g_prime_jump(layer.activation, layer.alpha, pass.t.z[k][i], gap) > 0)
                return false;
    }
    for (int64_t i = 0; i < net.rows * net.outputs(); i++) {
        const double r =
            std::fabs(pass.t.a[net.layers.size()][i] - net.targets[static_cast<size_t>(i)]);
        if (net.loss.kind == DK_LOSS_MAE && r <= gap) return false;
        if (net.loss.kind == DK_LOSS_HUBER && std::fabs(r - net.loss.huber_delta) <= gap)
            return false;
    }
    return true;
}

// Compares `gradient` with central differences D(h) = (l(θ + h) − l(θ − h))/2h for every element of
// `theta`. D(h) errs by h²l‴/6 + …, D(2h) by four times as much, so their difference is three times
// the error of D(h): it bounds it with a margin of 3 for the higher orders. l carries rounding
// errors of at most 100 of its ε, which the difference divides by h.
void expectDifferences(RefNet &net, Numbers &theta, const double *gradient,
                       const std::string &what) {
    const double h = 1e-4;
    for (size_t i = 0; i < theta.size(); i++) {
        const double kept = theta[i];
        const auto at = [&](double offset) {
            theta[i] = kept + offset;
            return lossOf(net);
        };
        const double up = at(h), one = (up - at(-h)) / (2 * h);
        const double two = (at(2 * h) - at(-2 * h)) / (4 * h);
        theta[i] = kept;
        const double bound = std::fabs(two - one) + 100 * DBL_EPSILON * (std::fabs(up) + 1) / h;
        ASSERT_LE(bound, 1e-5) << what << ": the difference says nothing";
        ASSERT_NEAR(one, gradient[i], bound) << what << " element " << i;
    }
}

void expectGradients(RefNet &net, const std::string &what) {
    RefTensors pass(net);
    backward(net, pass);
    expectDifferences(net, net.x, pass.t.delta[0], what + " dx");
    for (size_t k = 1; k <= net.layers.size(); k++) {
        const std::string where = what + " layer " + std::to_string(k);
        expectDifferences(net, net.layers[k - 1].W, pass.t.dW[k], where + " dW");
        expectDifferences(net, net.layers[k - 1].b, pass.t.db[k], where + " db");
    }
}

// A 3-4-3-2 network away from every kink, with dropout factors in layer 1 and sample weights.
RefNet smoothNet(const std::vector<dk_activation> &g, dk_loss loss) {
    for (uint64_t seed = 1;; seed++) {
        RefNet net = refNet({3, 4, 3, 2}, g, 3, seed);
        net.loss.kind = loss;
        net.loss.huber_delta = 0.7;
        net.weights = {0.5, 2, 1.25};
        net.layers[0].dropout = {2, 0, 2, 2, 2, 2, 0, 2, 0, 2, 2, 2};
        if (loss >= DK_LOSS_SOFTMAX_CROSS_ENTROPY) net.targets = {0.25, 0.75, 1, 0, 0.5, 0.5};
        if (awayFromKinks(net, 0.01)) return net;
        if (seed > 5000) throw std::runtime_error("no network away from kinks");
    }
}

TEST(ReferenceGradients, FiniteDifferencesOfEveryActivationAndLoss) {
    for (dk_activation g : everyActivation) {
        const std::string name = "activation " + std::to_string(g);
        for (dk_loss loss : {DK_LOSS_MSE, DK_LOSS_MAE, DK_LOSS_HUBER}) {
            RefNet net = smoothNet({g, g, g}, loss);
            expectGradients(net, name + " loss " + std::to_string(loss));
        }
        RefNet net = smoothNet({g, g, DK_IDENTITY}, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
        expectGradients(net, name + " softmax");
        net.loss.label_smoothing = 0.1;
        net.class_weights = {0.5, 3};
        net.labels = {0, 1, 1};
        expectGradients(net, name + " softmax with labels, smoothed and weighted");
        net.loss = {DK_LOSS_SIGMOID_CROSS_ENTROPY, 1, 0, nullptr};
        expectGradients(net, name + " sigmoid");
    }
}

// Another g in every layer, forward by the formulas written here, backward by differences.
TEST(ReferenceGradients, EveryLayerHasItsOwnActivation) {
    const std::vector<dk_activation> g = {DK_SOFTPLUS, DK_TANH, DK_LEAKY_RELU};
    RefNet net = smoothNet(g, DK_LOSS_MSE);
    net.layers[0].dropout.clear();
    RefTensors pass(net);
    backward(net, pass);
    for (size_t row = 0; row < 3; row++) {
        Numbers a(net.x.begin() + static_cast<long>(row) * 3,
                  net.x.begin() + static_cast<long>(row) * 3 + 3);
        for (size_t k = 1; k <= 3; k++) {
            const RefLayer &layer = net.layers[k - 1];
            Numbers next;
            for (size_t j = 0; j < layer.b.size(); j++) {
                double z = layer.b[j];
                for (size_t i = 0; i < a.size(); i++) z += layer.W[j * a.size() + i] * a[i];
                next.push_back(k == 1   ? std::log(1 + std::exp(z))
                               : k == 2 ? (std::exp(2 * z) - 1) / (std::exp(2 * z) + 1)
                                        : std::max(z, 0.0) + 0.3 * std::min(z, 0.0));
                EXPECT_NEAR(next.back(), pass.t.a[k][row * layer.b.size() + j], 1e-13);
            }
            a = next;
        }
    }
    expectGradients(net, "softplus, tanh, leaky_relu");
    RefNet other = smoothNet({DK_GELU, DK_HARDTANH, DK_SIGMOID}, DK_LOSS_HUBER);
    expectGradients(other, "gelu, hardtanh, sigmoid");
}

// One sample through 2-3-2, tanh and sigmoid, squared error: the chain rule written out for each
// parameter. Ten roundings of numbers below 4.
TEST(ReferenceGradients, OneSampleIsTheChainRuleWrittenOut) {
    RefNet net = refNet({2, 3, 2}, {DK_TANH, DK_SIGMOID}, 1, 5);
    RefTensors pass(net);
    backward(net, pass);
    const Numbers &x = net.x, &V = net.layers[0].W, &U = net.layers[1].W, &y = net.targets;
    double t[3], s[2];
    for (size_t j = 0; j < 3; j++)
        t[j] = std::tanh(V[j * 2] * x[0] + V[j * 2 + 1] * x[1] + net.layers[0].b[j]);
    for (size_t i = 0; i < 2; i++)
        s[i] = 1 / (1 + std::exp(-U[i * 3] * t[0] - U[i * 3 + 1] * t[1] - U[i * 3 + 2] * t[2] -
                                 net.layers[1].b[i]));
    double loss = 0;
    for (size_t i = 0; i < 2; i++) {
        loss += (s[i] - y[i]) * (s[i] - y[i]) / 2;
        const double dl_dz = (s[i] - y[i]) * s[i] * (1 - s[i]);
        EXPECT_NEAR(dl_dz, pass.t.db[2][i], 1e-14);
        for (size_t j = 0; j < 3; j++) EXPECT_NEAR(dl_dz * t[j], pass.t.dW[2][i * 3 + j], 1e-14);
    }
    EXPECT_NEAR(loss, pass.t.loss, 1e-14);
    for (size_t j = 0; j < 3; j++) {
        const double dl_dt =
            (s[0] - y[0]) * s[0] * (1 - s[0]) * U[j] + (s[1] - y[1]) * s[1] * (1 - s[1]) * U[3 + j];
        const double dl_dz = dl_dt * (1 - t[j] * t[j]);
        EXPECT_NEAR(dl_dz, pass.t.db[1][j], 1e-14);
        EXPECT_NEAR(dl_dz, pass.t.delta[1][j], 1e-14);
        for (size_t i = 0; i < 2; i++) EXPECT_NEAR(dl_dz * x[i], pass.t.dW[1][j * 2 + i], 1e-14);
    }
}

// The gradient of a batch is the weighted mean of its samples' gradients, taken one by one.
TEST(ReferenceGradients, BatchIsTheMeanOfItsSamples) {
    const int64_t rows = 5;
    for (bool weighted : {false, true}) {
        RefNet net = refNet({3, 4, 2}, {DK_GELU, DK_SOFTSIGN}, rows, 11);
        if (weighted) net.weights = {1, 0, 0.5, 3, 2};
        RefTensors pass(net);
        backward(net, pass);
        Numbers dW(12), dx;
        double loss = 0, sum = 0;
        for (size_t row = 0; row < rows; row++) {
            RefNet one = net;
            one.rows = 1;
            one.x.assign(net.x.begin() + static_cast<long>(row) * 3, net.x.end());
            one.targets.assign(net.targets.begin() + static_cast<long>(row) * 2, net.targets.end());
            one.weights.clear();
            RefTensors single(one);
            backward(one, single);
            const double w = weighted ? net.weights[row] : 1;
            for (size_t i = 0; i < 12; i++) dW[i] += w * single.t.dW[1][i];
            loss += w * single.t.loss;
            sum += w;
        }
        EXPECT_NEAR(loss / sum, pass.t.loss, 1e-14);
        for (size_t i = 0; i < 12; i++) EXPECT_NEAR(dW[i] / sum, pass.t.dW[1][i], 1e-14);
    }
}

// Identity everywhere: f(x) = W x + b with W = W⁽³⁾W⁽²⁾W⁽¹⁾, exactly for small integers.
TEST(ReferenceGradients, LinearLayersCollapse) {
    RefNet net = refNet({4, 3, 5, 2}, {DK_IDENTITY, DK_IDENTITY, DK_IDENTITY}, 3, 21);
    for (RefLayer &layer : net.layers) {
        for (double &w : layer.W) w = std::round(3 * w);
        for (double &b : layer.b) b = std::round(9 * b);
    }
    for (double &x : net.x) x = std::round(4 * x);
    RefTensors pass(net);
    backward(net, pass);
    Numbers W = net.layers[0].W, b = net.layers[0].b;
    for (size_t k = 2; k <= 3; k++) {
        const RefLayer &layer = net.layers[k - 1];
        const size_t n = b.size();
        Numbers product(layer.b.size() * 4), shift = layer.b;
        for (size_t j = 0; j < layer.b.size(); j++)
            for (size_t m = 0; m < n; m++) {
                shift[j] += layer.W[j * n + m] * b[m];
                for (size_t i = 0; i < 4; i++)
                    product[j * 4 + i] += layer.W[j * n + m] * W[m * 4 + i];
            }
        W = product;
        b = shift;
    }
    for (size_t row = 0; row < 3; row++)
        for (size_t j = 0; j < 2; j++) {
            double y = b[j];
            for (size_t i = 0; i < 4; i++) y += W[j * 4 + i] * net.x[row * 4 + i];
            EXPECT_EQ(y, pass.t.a[3][row * 2 + j]);
        }
}

// g′ from z is g′ from a, wherever g can be inverted.
TEST(ReferenceGradients, DerivativeFromTheActivation) {
    for (double z = -6; z <= 6; z += 0.0625) {
        const auto expect = [&](dk_activation g, double alpha, double fromA) {
            EXPECT_NEAR(dki_ref_g_prime(g, alpha, z), fromA, 1e-14) << g << " at " << z;
        };
        const auto a = [&](dk_activation g, double alpha) { return dki_ref_g(g, alpha, z); };
        expect(DK_IDENTITY, 0, 1);
        expect(DK_RELU, 0, a(DK_RELU, 0) > 0 ? 1 : 0);
        expect(DK_LEAKY_RELU, 0.2, a(DK_LEAKY_RELU, 0.2) > 0 ? 1 : 0.2);
        expect(DK_ELU, 0.7, a(DK_ELU, 0.7) > 0 ? 1 : a(DK_ELU, 0.7) + 0.7);
        const double lambda = dki_ref_g(DK_SELU, 0, 1), limit = -dki_ref_g(DK_SELU, 0, -1e3);
        expect(DK_SELU, 0, a(DK_SELU, 0) > 0 ? lambda : a(DK_SELU, 0) + limit);
        expect(DK_SIGMOID, 0, a(DK_SIGMOID, 0) * (1 - a(DK_SIGMOID, 0)));
        expect(DK_TANH, 0, 1 - a(DK_TANH, 0) * a(DK_TANH, 0));
        expect(DK_SOFTPLUS, 0, 1 - std::exp(-a(DK_SOFTPLUS, 0)));
        const double rest = 1 - std::fabs(a(DK_SOFTSIGN, 0));
        expect(DK_SOFTSIGN, 0, rest * rest);
    }
}

// At kinks the subgradient is the one that the public header names.
TEST(ReferenceGradients, Kinks) {
    EXPECT_EQ(0, dki_ref_g_prime(DK_RELU, 0, 0));
    EXPECT_EQ(0.25, dki_ref_g_prime(DK_LEAKY_RELU, 0.25, 0));
    EXPECT_EQ(0.5, dki_ref_g_prime(DK_ELU, 0.5, 0));
    EXPECT_EQ(0, dki_ref_g_prime(DK_HARDTANH, 0, 1));
    EXPECT_EQ(0, dki_ref_g_prime(DK_HARDTANH, 0, -1));
    RefNet net = refNet({1, 1}, {DK_IDENTITY}, 1, 1);
    net.loss.kind = DK_LOSS_MAE;
    net.targets = {net.layers[0].b[0] + net.layers[0].W[0] * net.x[0]}; // r = 0
    RefTensors pass(net);
    backward(net, pass);
    EXPECT_EQ(0, pass.t.delta[1][0]);
}

// The largest numbers of fp32 give finite activations and their limits.
TEST(ReferenceGradients, ExtremeActivations) {
    for (double z : {1e4, 3e38}) {
        for (dk_activation g : everyActivation)
            for (double at : {z, -z}) {
                EXPECT_TRUE(std::isfinite(dki_ref_g(g, 0.5, at))) << g << " at " << at;
                EXPECT_TRUE(std::isfinite(dki_ref_g_prime(g, 0.5, at))) << g << " at " << at;
            }
        for (dk_activation g : {DK_GELU, DK_GELU_TANH, DK_SILU, DK_MISH, DK_SOFTPLUS}) {
            EXPECT_EQ(z, dki_ref_g(g, 0, z)) << g;
            EXPECT_EQ(0, dki_ref_g(g, 0, -z)) << g;
            EXPECT_EQ(1, dki_ref_g_prime(g, 0, z)) << g;
            EXPECT_EQ(0, dki_ref_g_prime(g, 0, -z)) << g;
        }
    }
    EXPECT_EQ(1, dki_ref_g(DK_SIGMOID, 0, 1e4));
    EXPECT_EQ(0, dki_ref_g(DK_SIGMOID, 0, -1e4));
    EXPECT_EQ(-1, dki_ref_g(DK_TANH, 0, -1e4));
}

// A network that is nothing but its logits: one layer, identity, W = 1.
RefNet logits(const Numbers &z, dk_loss loss) {
    const auto n = static_cast<int64_t>(z.size());
    RefNet net = refNet({1, n}, {DK_IDENTITY}, 1, 1);
    net.x = {0};
    net.layers[0].b = z;
    net.loss.kind = loss;
    return net;
}

TEST(ReferenceGradients, ExtremeLogits) {
    RefNet right = logits({1e4, -1e4, 0}, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    right.labels = {0};
    EXPECT_EQ(0, lossOf(right));
    RefNet wrong = right;
    wrong.labels = {1};
    RefTensors pass(wrong);
    backward(wrong, pass);
    EXPECT_EQ(2e4, pass.t.loss);
    EXPECT_EQ(1, pass.t.delta[1][0]);
    EXPECT_EQ(-1, pass.t.delta[1][1]);
    EXPECT_EQ(0, pass.t.delta[1][2]);

    RefNet sigmoid = logits({1e4, -1e4}, DK_LOSS_SIGMOID_CROSS_ENTROPY);
    sigmoid.targets = {1, 0};
    EXPECT_EQ(0, lossOf(sigmoid));
    sigmoid.targets = {0, 0};
    RefTensors other(sigmoid);
    backward(sigmoid, other);
    EXPECT_EQ(1e4 / 2, other.t.loss);
    EXPECT_EQ(0.5, other.t.delta[1][0]);
    EXPECT_EQ(0, other.t.delta[1][1]);

    RefNet single = logits({-3}, DK_LOSS_SOFTMAX_CROSS_ENTROPY); // one class: nothing to lose
    single.labels = {0};
    EXPECT_EQ(0, lossOf(single));
}

TEST(ReferenceGradients, RefusesWhatItCannotCompute) {
    RefNet net = refNet({3, 2}, {DK_IDENTITY}, 2, 1);
    RefTensors pass(net);
    const auto status = [&] {
        const dki_ref_net view = net.view();
        const dki_ref_batch batch = net.batch();
        dki_ref_forward(&view, &batch, &pass.t);
        return dki_ref_backward(&view, &batch, &pass.t);
    };
    EXPECT_EQ(DK_OK, status());
    net.labels = {0, 1};
    EXPECT_EQ(DK_E_ARGUMENT, status()); // mse takes no labels
    net.loss.kind = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    EXPECT_EQ(DK_OK, status());
    net.labels = {0, 2};
    EXPECT_EQ(DK_E_DATA, status());
    net.labels = {0, -1};
    EXPECT_EQ(DK_E_DATA, status());
    net.labels = {0, 1};
    net.weights = {0, 0};
    EXPECT_EQ(DK_E_ARGUMENT, status());
    net.weights = {2, -1};
    EXPECT_EQ(DK_E_ARGUMENT, status());

    dki_ref_net view = net.view();
    dki_ref_tensors tensors;
    EXPECT_EQ(DK_E_ARGUMENT, dki_ref_create(&tensors, &dki_libc_allocator, &view, 0));
    dki_ref_layer layers[] = {view.layers[0], view.layers[0]};
    view = {layers, 2, view.loss};
    EXPECT_EQ(DK_E_SHAPE, dki_ref_create(&tensors, &dki_libc_allocator, &view, 2));
    layers[0].inputs = layers[0].width = layers[1].inputs = INT64_MAX / 2;
    EXPECT_EQ(DK_E_SHAPE, dki_ref_create(&tensors, &dki_libc_allocator, &view, 2));
    EXPECT_EQ(nullptr, tensors.memory);
}

TEST(ReferenceGradients, GivesBackItsMemory) {
    RefNet net = refNet({3, 4, 2}, {DK_TANH, DK_IDENTITY}, 2, 1);
    const dki_ref_net view = net.view();
    support::fail_each_allocation([&](const dk_allocator *allocator) {
        dki_ref_tensors tensors;
        const dk_status status = dki_ref_create(&tensors, allocator, &view, net.rows);
        dki_ref_destroy(&tensors);
        return status;
    });
}

} // namespace

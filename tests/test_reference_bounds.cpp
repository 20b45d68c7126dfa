// The error bounds of the reference: an evaluation in which every operation errs by as much as
// single precision allows, in a random direction, stays within them; a wrong formula doesn't; and
// they are sharp enough to say something.
#include "every.h"
#include "support_reference.h"

extern "C" {
#include "kernels/activation.h"
}

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <string>

namespace {

constexpr double u = 0x1p-24;
const dki_ref_precision fp32 = DKI_REF_FP32;

const std::vector<dk_activation> everyActivation = support::activations();

// A machine of unit roundoff 2⁻²⁴ whose every result is off by nearly u, up or down at random.
class SloppyMachine {
  public:
    explicit SloppyMachine(uint64_t seed) : random(seed) {}

    double off(double x, double units) {
        return x * (1 + (random() & 1 ? 1 : -1) * 0.98 * u * units);
    }
    double g(const RefLayer &layer, double z) {
        const double a = dki_ref_g(layer.activation, layer.alpha, z);
        return layer.activation == DK_IDENTITY ? a : off(a, 8);
    }
    double slope(const RefLayer &layer, double z) {
        const double s = dki_ref_g_prime(layer.activation, layer.alpha, z);
        return layer.activation == DK_IDENTITY ? s : off(s, 8);
    }
    // Σ a_i b_i from `start`, every product and every sum off.
    template <class A, class B> double dot(double start, int64_t n, A a, B b) {
        double sum = start;
        for (int64_t i = 0; i < n; i++) sum = off(sum + off(a(i) * b(i), 1), 1);
        return sum;
    }

  private:
    std::mt19937_64 random;
};

double maxOf(const Numbers &v) {
    return *std::max_element(v.begin(), v.end());
}

// The pass of `net` on the sloppy machine, δ⁽ᴸ⁾ and the loss by the formulas of the public header.
class SloppyPass {
  public:
    std::vector<Numbers> z, a, delta, dW, db;
    double loss = 0;

    SloppyPass(RefNet &given, uint64_t seed) : net(given), machine(seed), last(net.layers.size()) {
        z.resize(last + 1), a.resize(last + 1), delta.resize(last + 1);
        dW.resize(last + 1), db.resize(last + 1);
        a[0] = net.x;
        for (size_t k = 1; k <= last; k++) forward(k);
        delta[last].resize(a[last].size());
        for (int64_t row = 0; row < net.rows; row++) lossRow(row);
        for (size_t k = last; k >= 1; k--) backward(k);
    }

  private:
    RefNet &net;
    SloppyMachine machine;
    size_t last;

    void forward(size_t k) {
        const RefLayer &layer = net.layers[k - 1];
        const int64_t inputs = net.inputsOf(k);
        for (int64_t row = 0; row < net.rows; row++)
            for (int64_t j = 0; j < layer.width; j++) {
                const auto w = [&](int64_t i) { return layer.W[size_t(j * inputs + i)]; };
                const auto in = [&](int64_t i) { return a[k - 1][size_t(row * inputs + i)]; };
                z[k].push_back(machine.dot(layer.b[size_t(j)], inputs, w, in));
                double value = machine.g(layer, z[k].back());
                if (!layer.dropout.empty())
                    value = machine.off(value * layer.dropout[a[k].size()], 1);
                a[k].push_back(value);
            }
    }

    void lossRow(int64_t row) {
        const int64_t n = net.outputs();
        const double share = 1.0 / static_cast<double>(net.rows);
        const double *out = &a[last][size_t(row * n)];
        double largest = *std::max_element(out, out + n), sum = 0;
        for (int64_t c = 0; c < n; c++)
            sum = machine.off(sum + machine.off(std::exp(machine.off(out[c] - largest, 1)), 8), 1);
        for (int64_t c = 0; c < n; c++) {
            const size_t at = size_t(row * n + c);
            const double y = net.targets[at], r = machine.off(out[c] - y, 1);
            double value = 0, slope = 0, part = share / static_cast<double>(n);
            switch (net.loss.kind) {
            case DK_LOSS_MSE:
                value = r * r, slope = 2 * r;
                break;
            case DK_LOSS_MAE:
                value = std::fabs(r), slope = r > 0 ? 1 : r < 0 ? -1 : 0;
                break;
            case DK_LOSS_HUBER:
                value = std::fabs(r) <= 0.5 ? r * r / 2 : 0.5 * (std::fabs(r) - 0.25);
                slope = std::max(-0.5, std::min(0.5, r));
                break;
            case DK_LOSS_SIGMOID_CROSS_ENTROPY:
                value =
                    std::max(out[c], 0.0) - out[c] * y + std::log1p(std::exp(-std::fabs(out[c])));
                slope = machine.off(1 / (1 + std::exp(-out[c])), 6) - y;
                break;
            default:
                part = share;
                value =
                    y * machine.off(
                            machine.off(std::log(sum), 4) - machine.off(out[c] - largest, 1), 1);
                slope = machine.off(std::exp(out[c] - largest) / sum, 8) - y;
            }
            loss += machine.off(value * part, 3);
            delta[last][at] =
                machine.off(slope * part, 3) * machine.slope(net.layers[last - 1], z[last][at]);
        }
    }

    // dW and db of layer k, and δ of the layer before it.
    void backward(size_t k) {
        const int64_t inputs = net.inputsOf(k), width = net.layers[k - 1].width;
        for (int64_t j = 0; j < width; j++) {
            const auto d = [&](int64_t row) { return delta[k][size_t(row * width + j)]; };
            db[k].push_back(machine.dot(0, net.rows, d, [](int64_t) { return 1.0; }));
            for (int64_t i = 0; i < inputs; i++)
                dW[k].push_back(machine.dot(0, net.rows, d, [&](int64_t row) {
                    return a[k - 1][size_t(row * inputs + i)];
                }));
        }
        for (int64_t row = 0; row < net.rows; row++)
            for (int64_t i = 0; i < inputs; i++) {
                double s = machine.dot(
                    0, width,
                    [&](int64_t j) { return net.layers[k - 1].W[size_t(j * inputs + i)]; },
                    [&](int64_t j) { return delta[k][size_t(row * width + j)]; });
                const size_t at = size_t(row * inputs + i);
                if (k > 1) {
                    const RefLayer &before = net.layers[k - 2];
                    s = machine.off(s * machine.slope(before, z[k - 1][at]), 1);
                    if (!before.dropout.empty()) s = machine.off(s * before.dropout[at], 1);
                }
                delta[k - 1].push_back(s);
            }
    }
};

// max |x − r|/bound; infinite where a bound of 0 is missed.
double worst(const Numbers &x, const double *r, const double *bound) {
    double result = 0;
    for (size_t i = 0; i < x.size(); i++)
        if (x[i] != r[i]) result = std::max(result, std::fabs(x[i] - r[i]) / bound[i]);
    return result;
}

struct Checked {
    RefTensors pass, bounds;
    explicit Checked(RefNet &net) : pass(net), bounds(net) {
        const dki_ref_net view = net.view();
        const dki_ref_batch batch = net.batch();
        dki_ref_forward(&view, &batch, &pass.t);
        EXPECT_EQ(DK_OK, dki_ref_backward(&view, &batch, &pass.t));
        EXPECT_EQ(DK_OK, dki_ref_bounds(&view, &batch, nullptr, &pass.t, fp32, &bounds.t));
    }
};

struct Ratios {
    double z = 0, a = 0, delta = 0, dW = 0, db = 0, loss = 0;
};

Ratios ratiosOf(const SloppyPass &sloppy, const Checked &checked, size_t layers) {
    Ratios r;
    const dki_ref_tensors &p = checked.pass.t, &b = checked.bounds.t;
    r.delta = worst(sloppy.delta[0], p.delta[0], b.delta[0]);
    for (size_t k = 1; k <= layers; k++) {
        r.z = std::max(r.z, worst(sloppy.z[k], p.z[k], b.z[k]));
        r.a = std::max(r.a, worst(sloppy.a[k], p.a[k], b.a[k]));
        r.delta = std::max(r.delta, worst(sloppy.delta[k], p.delta[k], b.delta[k]));
        r.dW = std::max(r.dW, worst(sloppy.dW[k], p.dW[k], b.dW[k]));
        r.db = std::max(r.db, worst(sloppy.db[k], p.db[k], b.db[k]));
    }
    r.loss = std::fabs(sloppy.loss - p.loss) / b.loss;
    return r;
}

RefNet netFor(const std::vector<dk_activation> &g, dk_loss loss, uint64_t seed) {
    RefNet net = refNet({5, 7, 6, 3}, g, 4, seed);
    net.loss.kind = loss;
    net.loss.huber_delta = 0.5;
    net.layers[1].dropout.assign(24, 1.25);
    if (loss >= DK_LOSS_SOFTMAX_CROSS_ENTROPY)
        net.targets = {0, 1, 0, 0.25, 0.5, 0.25, 1, 0, 0, 0.5, 0, 0.5};
    return net;
}

// What breaks this: a bound that forgets a source of error.
TEST(ReferenceBounds, HoldForASloppyMachine) {
    Ratios most;
    for (dk_activation g : everyActivation)
        for (int loss = DK_LOSS_MSE; loss <= DK_LOSS_SIGMOID_CROSS_ENTROPY; loss++)
            for (uint64_t seed = 1; seed <= 20; seed++) {
                const auto end = loss >= DK_LOSS_SOFTMAX_CROSS_ENTROPY ? DK_IDENTITY : g;
                RefNet net = netFor({g, g, end}, static_cast<dk_loss>(loss), seed);
                const Checked checked(net);
                const SloppyPass sloppy(net, seed);
                const Ratios r = ratiosOf(sloppy, checked, 3);
                for (double ratio : {r.z, r.a, r.delta, r.dW, r.db, r.loss})
                    ASSERT_LE(ratio, 1)
                        << "activation " << g << " loss " << loss << " seed " << seed;
                most = {std::max(most.z, r.z),         std::max(most.a, r.a),
                        std::max(most.delta, r.delta), std::max(most.dW, r.dW),
                        std::max(most.db, r.db),       std::max(most.loss, r.loss)};
            }
    // Random directions cancel, so the bounds aren't reached; yet they are near enough to be sharp.
    for (double ratio : {most.z, most.a, most.delta, most.dW, most.db, most.loss})
        EXPECT_GT(ratio, 0.1);
}

// What breaks this: a bound so loose that a wrong result passes. Behind three layers the
// bounds are some thousand u of what enters a quantity, where no jump at a kink enters them.
TEST(ReferenceBounds, AreSmall) {
    RefNet net = netFor({DK_TANH, DK_GELU, DK_IDENTITY}, DK_LOSS_SOFTMAX_CROSS_ENTROPY, 3);
    const Checked checked(net);
    RefTensors magnitudes(net);
    const dki_ref_net view = net.view();
    const dki_ref_batch batch = net.batch();
    dki_ref_magnitudes(&view, &batch, &checked.pass.t, &magnitudes.t);
    for (size_t k = 1; k <= 3; k++) {
        const auto part = [&](double **bounds, double **sizes, int64_t count) {
            return maxOf(Numbers(bounds[k], bounds[k] + count)) /
                   maxOf(Numbers(sizes[k], sizes[k] + count));
        };
        const int64_t width = net.layers[k - 1].width, cells = net.rows * width;
        EXPECT_LT(part(checked.bounds.t.z, magnitudes.t.z, cells), 2048 * u);
        EXPECT_LT(part(checked.bounds.t.a, magnitudes.t.a, cells), 2048 * u);
        EXPECT_LT(part(checked.bounds.t.delta, magnitudes.t.delta, cells), 2048 * u);
        EXPECT_LT(part(checked.bounds.t.dW, magnitudes.t.dW, width * net.inputsOf(k)), 2048 * u);
        EXPECT_LT(part(checked.bounds.t.db, magnitudes.t.db, width), 2048 * u);
    }
    EXPECT_LT(checked.bounds.t.loss / magnitudes.t.loss, 2048 * u);
}

// At a kink either side's g′ is right: the bound is the whole jump.
TEST(ReferenceBounds, AllowTheJumpAtAKink) {
    RefNet net = refNet({1, 1}, {DK_RELU}, 1, 1);
    net.x = {1};
    net.layers[0].W = {1};
    net.layers[0].b = {-1};
    net.targets = {-1};
    const Checked checked(net);
    EXPECT_EQ(0, checked.pass.t.delta[1][0]);
    EXPECT_GE(checked.bounds.t.delta[1][0], 2); // 2(a − y)·1
    net.layers[0].b = {-1.001};
    const Checked beside(net);
    EXPECT_LT(beside.bounds.t.delta[1][0], 1e-5);
}

// sup |g″| and the kinks' jumps, by differences of g′ over a dense sweep.
TEST(ReferenceBounds, CurvatureBoundsTheChangeOfTheDerivative) {
    const double h = 1e-3;
    for (dk_activation g : everyActivation) {
        double largest = 0;
        const double alpha = 0.3, curvature = dki_ref_g_curvature(g, alpha);
        for (double z = -12; z <= 12; z += h) {
            const double change =
                std::fabs(dki_ref_g_prime(g, alpha, z + h) - dki_ref_g_prime(g, alpha, z));
            const double jump = dki_ref_g_prime_jump(g, alpha, z + h / 2, h / 2 + 1e-12);
            EXPECT_LE(change, curvature * h + jump + 1e-13) << g << " at " << z;
            if (jump == 0) largest = std::max(largest, change / h);
        }
        EXPECT_GE(largest, 0.97 * curvature) << g;
    }
}

// The bounds allow g an error of 8u (of |z| for the GELUs) and g′ one of 24u of its largest value. What
// breaks this: a kernel that is less accurate than docs/numerics.md says.
TEST(ReferenceBounds, KernelsAreAsAccurateAsTheBoundsAssume) {
    for (dk_activation g : everyActivation) {
        const float alpha = g == DK_ELU ? 0.7f : g == DK_LEAKY_RELU ? 0.3f : 0;
        const double largest = g == DK_SELU ? 1.76 : 1.2;
        const bool relative = g != DK_GELU && g != DK_GELU_TANH;
        for (int i = -120000; i <= 120000; i++) {
            const float z = static_cast<float>(i * 2.5e-4); // −30 … 30
            const double exact = dki_ref_g(g, alpha, z), slope = dki_ref_g_prime(g, alpha, z);
            const double size = relative ? std::fabs(exact) : std::fabs(z);
            const float a = dki_activation(g, alpha, z);
            ASSERT_LE(std::fabs(a - exact), 8 * u * size) << g << " at " << z;
            ASSERT_LE(std::fabs(dki_activation_grad(g, alpha, z) - slope), 24 * u * largest)
                << g << " at " << z;
        }
    }
}

TEST(ReferenceBounds, CompareFindsTheWorstElement) {
    const float x[] = {1, 2, 3.5f};
    const double r[] = {1, 2.5, 3}, bounds[] = {0, 1, 1};
    dki_ref_comparison all = dki_ref_compare(3, x, r, bounds);
    EXPECT_EQ(0.5, all.error);
    EXPECT_EQ(1, all.bound);
    EXPECT_EQ(0.5, all.worst);
    EXPECT_TRUE(all.within);
    const double tight[] = {0, 0.25, 1};
    EXPECT_FALSE(dki_ref_compare(3, x, r, tight).within);
    EXPECT_EQ(2, dki_ref_compare(3, x, r, tight).worst);
    const float bad[] = {NAN, INFINITY};
    EXPECT_FALSE(dki_ref_compare(1, bad, r, bounds).within);
    EXPECT_FALSE(dki_ref_compare(1, bad + 1, r, bounds).within);
    const double nothing[] = {0}, other[] = {1 + 1e-9};
    EXPECT_FALSE(dki_ref_compare(1, x, other, nothing).within);
}

// Every optimizer in floats, with β m + (1 − β) g and with m + (1 − β)(g − m), from slots that are
// floats, within the bounds.
TEST(ReferenceBounds, HoldForUpdatesInFloats) {
    std::mt19937_64 random(9);
    double most = 0;
    for (int kind = DK_SGD; kind <= DK_LION; kind++)
        for (int variant = 0; variant < 4; variant++)
            for (int i = 0; i < 2000; i++) {
                const bool decoupled = variant & 1, lerp = variant & 2;
                std::normal_distribution<double> normal(0, 1);
                float w = float(normal(random)), g = float(normal(random));
                float m = float(normal(random) * 0.1), v = float(std::fabs(normal(random)) * 0.1);
                if (i % 10 == 0) m = v = 0;
                if (i % 10 == 1) g = 0;
                dki_ref_rule rule = {static_cast<dk_optimizer>(kind),
                                     0x1p-5,
                                     0.9,
                                     0.99,
                                     0x1p-20,
                                     0x1p-3,
                                     decoupled,
                                     1 + i % 5};
                double theta = w, gradient = g, m64 = m, v64 = v, bound;
                dki_ref_update_bounds(&rule, 1, &theta, &gradient, nullptr, &m64, &v64, u, &bound);
                dki_ref_update(&rule, 1, &theta, &gradient, &m64, &v64);

                const float lr = 0x1p-5f, decay = 0x1p-3f, eps = 0x1p-20f;
                const auto average = [&](double beta, float mean, float x) {
                    const float keep = float(beta), rest = float(1 - beta);
                    return lerp ? mean + rest * (x - mean) : keep * mean + rest * x;
                };
                if (decoupled)
                    w -= lr * decay * w;
                else
                    g += decay * w;
                const float c1 = float(1 - std::pow(0.9, double(rule.t)));
                const float c2 = float(std::sqrt(1 - std::pow(0.99, double(rule.t))));
                float d = g;
                if (kind == DK_MOMENTUM) d = 0.9f * m + g;
                if (kind == DK_NESTEROV) d = g + 0.9f * (0.9f * m + g);
                if (kind == DK_RMSPROP) d = g / (std::sqrt(average(0.99, v, g * g)) + eps);
                if (kind == DK_ADAGRAD) d = g / (std::sqrt(v + g * g) + eps);
                if (kind == DK_ADAM || kind == DK_ADAMW)
                    d = average(0.9, m, g) / c1 / (std::sqrt(average(0.99, v, g * g)) / c2 + eps);
                if (kind == DK_LION) {
                    const float c = average(0.9, m, g);
                    d = float((c > 0) - (c < 0));
                }
                const double error = std::fabs(double(w - lr * d) - theta);
                ASSERT_LE(error, bound) << "optimizer " << kind << " case " << i;
                ASSERT_LE(bound, kind == DK_LION ? 1 : 1e-5)
                    << "optimizer " << kind << " case " << i;
                most = std::max(most, error / bound);
            }
    EXPECT_GT(most, 0.1);
    EXPECT_LE(most, 1);
}

} // namespace

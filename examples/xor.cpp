// Learns the exclusive or, step by step from arrays of its own: deltak from C++.
#include <deltak/deltak.hpp>

#include <cstdio>
#include <vector>

int main() {
    try {
        const deltak::context context;

        // Two inputs, eight tanh units, one logit: σ(z) is the probability that x₁ xor x₂ is true.
        std::vector<dk_layer> layers(2, DK_LAYER_INIT);
        layers[0].width = 8;
        layers[0].activation = DK_TANH;
        layers[1].width = 1;
        layers[1].activation = DK_IDENTITY;

        dk_net_desc desc = DK_NET_DESC_INIT;
        desc.inputs = 2;
        desc.layers = layers.data();
        desc.layer_count = layers.size();
        desc.loss = DK_LOSS_SIGMOID_CROSS_ENTROPY;
        deltak::net net(context, desc);

        dk_train_options options = DK_TRAIN_OPTIONS_INIT;
        options.optimizer = DK_ADAM;
        options.lr = 0.05;
        options.schedule = DK_SCHEDULE_CONSTANT;
        options.warmup = 0;
        options.batch = 4;
        deltak::trainer trainer(net, options);

        // The whole truth table is one batch: features [4, 2], targets [4, 1].
        const std::vector<float> x = {0, 0, 0, 1, 1, 0, 1, 1};
        const std::vector<float> y = {0, 1, 1, 0};
        dk_batch batch = DK_BATCH_INIT;
        batch.rows = 4;
        batch.x = x.data();
        batch.targets = y.data();
        for (int step = 1; step <= 300; ++step) {
            const double loss = trainer.step(batch);
            if (step % 100 == 0) std::printf("step %d: loss %.4f\n", step, loss);
        }

        bool learnt = true;
        const std::vector<float> p = net.predict(x);
        for (std::size_t row = 0; row < y.size(); ++row) {
            std::printf("%.0f xor %.0f: %.3f\n", x[2 * row], x[2 * row + 1], p[row]);
            learnt = learnt && (p[row] > 0.5f) == (y[row] > 0.5f);
        }
        return learnt ? 0 : 1;
    } catch (const deltak::error &error) {
        std::fprintf(stderr, "xor: %s: %s\n", dk_status_name(error.status()), error.what());
        return 1;
    }
}

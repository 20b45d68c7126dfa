#!/usr/bin/env python3
"""scikit-learn's MLPClassifier as a contestant of bench/compare.py, on the CPU, in float32.

    contestant_sklearn.py TASK partial_fit

partial_fit takes whole arrays and cuts them into batches itself, without shuffling here. What
differs: its Adam has no decoupled weight decay, so `adamw` is Adam here; and it builds the one-hot
matrix of the labels on every call, which is a part of its time.
"""
import math

from protocol import serve


class Sklearn:
    def __init__(self, task, _setting):
        import numpy
        import sklearn
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits
        if task.precision != "fp32" or task.device != "cpu":
            raise ImportError("scikit-learn trains in fp32 on the CPU only")
        self.limit = threadpool_limits(task.threads)
        self.task = task
        self.versions = {"scikit-learn": sklearn.__version__, "numpy": numpy.__version__}
        self.setting = "partial_fit" + (", adam" if task.optimizer == "adamw" else "")
        self.device_name = "cpu"
        x, y = task.data()
        self.x, self.y = x.reshape(-1, task.layers[0]), y.reshape(-1)
        self.model = MLPClassifier(
            hidden_layer_sizes=tuple(task.layers[1:-1]), activation="relu", alpha=0.0,
            solver="adam" if task.optimizer == "adamw" else "sgd", momentum=0.0,
            nesterovs_momentum=False, learning_rate="constant", learning_rate_init=task.lr,
            batch_size=task.batch, shuffle=False, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
        self.train(0, 1, classes=numpy.arange(task.layers[-1]))
        self.restart()

    def train(self, first, batches, classes=None):
        rows = slice(first * self.task.batch, (first + batches) * self.task.batch)
        self.model.partial_fit(self.x[rows], self.y[rows], classes=classes)

    def restart(self):
        for (weight, bias), w, b in zip(self.task.initial(), self.model.coefs_,
                                        self.model.intercepts_):
            w[...] = weight.T
            b[...] = bias
        del self.model._optimizer  # the next partial_fit makes a new one

    def run(self, steps):
        left = steps
        while left:
            batches = min(left, self.task.batches)
            self.train(0, batches)
            left -= batches
        return steps

    def set_epsilon(self, step):
        """scikit-learn adds epsilon to sqrt(v) before the bias correction, the others after it."""
        epsilon = 1e-8 * math.sqrt(1 - 0.999 ** (step + 1))
        self.model.epsilon = epsilon  # of the optimizer that the first step makes
        if hasattr(self.model, "_optimizer"):
            self.model._optimizer.epsilon = epsilon

    def losses(self, steps, batches):
        losses = []
        for i in range(steps):
            self.set_epsilon(i)
            self.train(i % batches, 1)
            losses.append(float(self.model.loss_))
        return losses


if __name__ == "__main__":
    serve(Sklearn)

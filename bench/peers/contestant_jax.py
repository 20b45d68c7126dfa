#!/usr/bin/env python3
"""JAX as a contestant of bench/compare.py.

    contestant_jax.py TASK SETTING

SETTING  jit: a step, update included, is one jitted function whose parameters are donated;
         scan: so is an epoch, a lax.scan over the batches

SGD and AdamW are written out, with deltak's formulas. bf16 is products and activations in bf16 of
float32 weights, as in deltak.
"""
import functools

from protocol import serve

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Jax:
    def __init__(self, task, setting):
        import jax
        import jax.numpy
        import jaxlib
        self.jax, self.np, self.task = jax, jax.numpy, task
        jax.config.update("jax_default_matmul_precision",
                          {"tf32": "tensorfloat32"}.get(task.precision, "highest"))
        platform = "cuda" if task.device.startswith("cuda") else "cpu"
        try:
            device = jax.devices(platform)[0]
        except RuntimeError as error:
            raise ImportError(f"JAX without a {platform} device: {error}") from error
        jax.config.update("jax_default_device", device)
        self.versions = {"jax": jax.__version__, "jaxlib": jaxlib.__version__}
        self.device_name = device.device_kind
        self.setting = {"jit": "jit of the step", "scan": "jit of an epoch"}[setting]
        self.scan = setting == "scan"
        x, y = task.data()
        y = y.astype("int32")
        self.initial = task.initial()
        self.step = jax.jit(self.train_step, donate_argnums=(0,))
        if self.scan:
            self.x, self.y = jax.device_put(x), jax.device_put(y)
            self.epoch = jax.jit(functools.partial(jax.lax.scan, self.train_batch),
                                 donate_argnums=(0,))
        self.batches = [(jax.device_put(x[i]), jax.device_put(y[i])) for i in range(task.batches)]
        self.restart()
        if self.scan:
            self.run(1)

    def restart(self):
        put = self.jax.device_put
        parameters = [(put(w), put(b)) for w, b in self.initial]
        zeros = [(self.np.zeros(w.shape), self.np.zeros(b.shape)) for w, b in self.initial]
        again = [(self.np.zeros(w.shape), self.np.zeros(b.shape)) for w, b in self.initial]
        # (parameters, step count, m, v)
        self.state = ((parameters, self.np.float32(0), zeros, again)
                      if self.task.optimizer == "adamw" else (parameters,))
        self.position = 0

    def loss(self, parameters, x, y):
        np, kind = self.np, self.np.float32
        if self.task.precision == "bf16":
            kind = np.bfloat16
        a = x.astype(kind)
        for k, (w, b) in enumerate(parameters):
            z = np.dot(a, w.astype(kind).T, preferred_element_type=np.float32) + b
            a = np.maximum(z, 0).astype(kind) if k + 1 < len(parameters) else z
        logs = self.jax.nn.log_softmax(a)
        return -np.mean(np.take_along_axis(logs, y[:, None], axis=1))

    def update(self, state, gradients):
        tree, lr = self.jax.tree_util.tree_map, self.task.lr
        if self.task.optimizer == "sgd":
            return (tree(lambda p, g: p - lr * g, state[0], gradients),)
        parameters, count, m, v = state
        count = count + 1
        m = tree(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradients)
        v = tree(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradients)
        rate = lr / (1 - BETA1 ** count)
        root = self.np.sqrt(1 - BETA2 ** count)

        def moved(p, m, v):
            decay = self.task.weight_decay if p.ndim == 2 else 0.0  # biases don't decay
            return p * (1 - lr * decay) - rate * m / (self.np.sqrt(v) / root + EPSILON)
        return (tree(moved, parameters, m, v), count, m, v)

    def train_step(self, state, x, y):
        loss, gradients = self.jax.value_and_grad(self.loss)(state[0], x, y)
        return self.update(state, gradients), loss

    def train_batch(self, state, batch):
        return self.train_step(state, *batch)

    def run(self, steps):
        if self.scan:
            epochs = -(-steps // self.task.batches)
            for _ in range(epochs):
                self.state, _ = self.epoch(self.state, (self.x, self.y))
            self.jax.block_until_ready(self.state)
            return epochs * self.task.batches
        for _ in range(steps):
            self.state, _ = self.step(self.state, *self.batches[self.position])
            self.position = (self.position + 1) % self.task.batches
        self.jax.block_until_ready(self.state)
        return steps

    def losses(self, steps, batches):
        losses = []
        for i in range(steps):
            self.state, loss = self.step(self.state, *self.batches[i % batches])
            losses.append(float(loss))
        return losses


if __name__ == "__main__":
    serve(Jax)

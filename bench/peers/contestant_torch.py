#!/usr/bin/env python3
"""PyTorch as a contestant of bench/compare.py.

    contestant_torch.py TASK MODE-OPTIMIZER[-pure]

MODE       eager, compile (forward and loss by torch.compile), autotune (the same with
           mode="max-autotune"; on a GPU the whole step, optimizer included, is then one of the
           steps of a CUDA graph, a step for each batch), graph (such a graph of eager steps)
OPTIMIZER  foreach or fused, the two implementations of torch.optim
pure       bf16 only: weights, their gradients and the optimizer's state are bf16 as well. Otherwise
           bf16 is autocast: fp32 weights, as deltak has them
"""
import contextlib

from protocol import serve


class Torch:
    def __init__(self, task, setting):
        import torch
        self.torch = torch
        self.task = task
        self.mode, self.implementation, *rest = setting.split("-")
        self.pure = rest == ["pure"]
        self.on_gpu = task.device.startswith("cuda")
        self.device = torch.device(task.device)
        torch.set_num_threads(task.threads)
        tf32 = task.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = tf32
        self.versions = {"torch": torch.__version__}
        self.device_name = "cpu"
        if self.on_gpu:
            self.versions["torch's CUDA"] = torch.version.cuda
            self.device_name = torch.cuda.get_device_name(self.device)
        self.setting = self.describe()
        self.load()
        self.compile()
        self.position = 0
        self.epoch_graph = None
        if self.on_gpu and self.mode in ("graph", "autotune"):
            self.warm_up()
            self.epoch_graph, _ = self.capture(range(task.batches))

    def describe(self):
        words = {"eager": "eager", "compile": "torch.compile", "graph": "eager, CUDA graph",
                 "autotune": "max-autotune" + (", CUDA graph" if self.on_gpu else "")}
        kind = ""
        if self.task.precision == "bf16":
            kind = ", bf16 weights" if self.pure else ", autocast"
        return f"{words[self.mode]}, {self.implementation} optimizer{kind}"

    def load(self):
        """Data and weights on the device, and the optimizer."""
        torch, task = self.torch, self.task
        x, y = task.data()
        kind = torch.bfloat16 if self.pure else torch.float32
        self.x = torch.from_numpy(x).to(self.device, kind).unbind()
        self.y = torch.from_numpy(y).to(self.device).unbind()
        layers = []
        for weight, bias in task.initial():
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight))
                linear.bias.copy_(torch.from_numpy(bias))
            layers += [linear, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1]).to(self.device, kind)
        self.parameters = list(self.model.parameters())
        self.initial = [p.detach().clone() for p in self.parameters]
        options = {self.implementation: True, "lr": task.lr}
        weights = [p for p in self.parameters if p.dim() == 2]
        biases = [p for p in self.parameters if p.dim() == 1]
        groups = [{"params": weights, "weight_decay": task.weight_decay},
                  {"params": biases, "weight_decay": 0.0}]  # as in deltak, biases don't decay
        if task.optimizer == "adamw":
            # Within a CUDA graph the step count must be on the device, too.
            options["capturable"] = self.on_gpu and self.mode in ("graph", "autotune")
            self.optimizer = torch.optim.AdamW(groups, **options)
        else:
            self.optimizer = torch.optim.SGD(groups, **options)

    def autocast(self):
        if self.task.precision != "bf16" or self.pure:
            return contextlib.nullcontext()
        # Each weight is cast once in a step anyway, and the cache must be off in a CUDA graph.
        return self.torch.autocast(self.device.type, self.torch.bfloat16, cache_enabled=False)

    def forward(self, x, y):
        with self.autocast():
            return self.torch.nn.functional.cross_entropy(self.model(x).float(), y)

    def compile(self):
        self.loss_of = self.forward
        if self.mode == "compile":
            self.loss_of = self.torch.compile(self.forward, fullgraph=True)
        elif self.mode == "autotune":
            mode = "max-autotune-no-cudagraphs" if self.on_gpu else "max-autotune"
            self.loss_of = self.torch.compile(self.forward, fullgraph=True, mode=mode)

    def step(self, i):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(self.x[i], self.y[i])
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def warm_up(self):
        """What must have run before a capture: compilation, lazy libraries, optimizer state."""
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step(0)
        torch.cuda.current_stream().wait_stream(stream)

    def capture(self, indices):
        """A graph of steps over the batches with these numbers, and the tensors of their losses."""
        graph = self.torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with self.torch.cuda.graph(graph):
            losses = [self.step(i) for i in indices]
        return graph, losses

    def wait(self):
        if self.on_gpu:
            self.torch.cuda.synchronize()

    def run(self, steps):
        if self.epoch_graph:
            replays = -(-steps // self.task.batches)
            for _ in range(replays):
                self.epoch_graph.replay()
            self.wait()
            return replays * self.task.batches
        for _ in range(steps):
            self.step(self.position)
            self.position = (self.position + 1) % self.task.batches
        self.wait()
        return steps

    def restart(self):
        """In place: a graph has the addresses in it."""
        torch = self.torch
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.initial):
                parameter.copy_(value)
            for state in self.optimizer.state.values():
                for value in state.values():
                    if torch.is_tensor(value):
                        value.zero_()
        self.position = 0

    def losses(self, steps, batches):
        indices = [i % batches for i in range(steps)]
        if self.epoch_graph:
            graph, losses = self.capture(indices)
            graph.replay()
            self.wait()
        else:
            losses = [self.step(i) for i in indices]
        return [float(loss) for loss in losses]


if __name__ == "__main__":
    serve(Torch)

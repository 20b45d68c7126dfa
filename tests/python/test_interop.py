"""A model that deltak saved, in PyTorch: opened with safetensors, built from its metadata, and run.

    test_interop.py COMMAND DIGITS FOLDER

COMMAND is the deltak program, DIGITS a gzipped CSV of the digits, FOLDER a place for files. For each
activation a network is trained for an epoch, and its probabilities are compared with PyTorch's in
double precision. Ends with 77 where PyTorch, safetensors or NumPy can't be imported.

The bound of each probability. u = 2^-24; everything deltak does beyond this is rounded:
  x' = (x - shift) * scale     |e| <= 2u |x'|
  z = W a + b                  |e| <= g(n + 1) (|W||a| + |b|) + |W| e_a,   g(n) = nu / (1 - nu)
  a = g(z)                     |e| <= lipschitz * e_z + 8u (|a| + u): the kernels are within 4 ulps
  p = softmax(z)               |e| <= p (2 max e_z + u (2 l + 2 log C + 5)) + 2^-148, l = -log p
The gradient of log p has a 1-norm of at most 2; then the exponent z - max, the exponential, the sum
and the quotient are rounded; a last 1e-3 of the bound stands for what is of second order.
gelu and gelu_tanh lie too close together for this bound to tell them apart.
"""

import gzip
import json
import math
import subprocess
import sys
from pathlib import Path

try:
    import numpy as np
    import torch
    from safetensors import safe_open
    from torch import nn
except ImportError as error:
    print(error)
    sys.exit(77)

U = 2.0**-24

# What a layer's entry in the metadata is in PyTorch, and the Lipschitz constant of each function.
MODULES = {
    "identity": (lambda alpha: nn.Identity(), 1),
    "relu": (lambda alpha: nn.ReLU(), 1),
    "leaky_relu": (lambda alpha: nn.LeakyReLU(alpha), 1),
    "elu": (lambda alpha: nn.ELU(alpha), 1),
    "selu": (lambda alpha: nn.SELU(), 1.7581),
    "gelu": (lambda alpha: nn.GELU(), 1.1290),
    "gelu_tanh": (lambda alpha: nn.GELU(approximate="tanh"), 1.1293),
    "silu": (lambda alpha: nn.SiLU(), 1.0999),
    "mish": (lambda alpha: nn.Mish(), 1.0885),
    "sigmoid": (lambda alpha: nn.Sigmoid(), 0.25),
    "tanh": (lambda alpha: nn.Tanh(), 1),
    "softplus": (lambda alpha: nn.Softplus(threshold=1000), 1),
    "softsign": (lambda alpha: nn.Softsign(), 1),
    "hardtanh": (lambda alpha: nn.Hardtanh(), 1),
}


def build(description):
    """nn.Sequential of Linear, activation, Linear, activation, …"""
    modules, inputs = [], description["inputs"]
    for layer in description["layers"]:
        modules.append(nn.Linear(inputs, layer["width"]))
        modules.append(MODULES[layer["activation"]][0](layer["alpha"]))
        inputs = layer["width"]
    return nn.Sequential(*modules)


def open_model(path):
    """The network in fp32, and its description."""
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["deltak"])
        state = {}
        for name in file.keys():
            _, layer, tensor = name.split(".")
            state[f"{2 * (int(layer) - 1)}.{tensor}"] = file.get_tensor(name)
    net = build(description)
    net.load_state_dict(state, strict=True)
    return net, description


def gamma(n):
    return n * U / (1 - n * U)


def probabilities(net, description, x):
    """In double: p [rows, C], and the bound of each fp32 one."""
    net = net.double()
    scaling = description["features"]
    a = (x - np.float64(scaling["shift"])) * np.float64(scaling["scale"])
    error = 2 * U * np.abs(a)
    for k, layer in enumerate(description["layers"]):
        W = net[2 * k].weight.detach().numpy()
        b = net[2 * k].bias.detach().numpy()
        lipschitz = MODULES[layer["activation"]][1]
        if layer["activation"] in ("leaky_relu", "elu"):
            lipschitz = max(1, layer["alpha"])
        z = a @ W.T + b
        size = (np.abs(a) + error) @ np.abs(W).T + np.abs(b)
        error = gamma(W.shape[1] + 1) * size + error @ np.abs(W).T
        a = net[2 * k + 1](torch.from_numpy(z)).detach().numpy()
        if layer["activation"] != "identity":
            error = lipschitz * error + 8 * U * (np.abs(a) + U)
    p = torch.softmax(torch.from_numpy(a), dim=1).numpy()
    with np.errstate(divide="ignore"):
        loss = np.minimum(-np.log(p), 200.0)  # below e^-200 fp32 has 0: the absolute part holds
    relative = 2 * error.max(axis=1, keepdims=True)
    relative = relative + U * (2 * loss + 2 * math.log(p.shape[1]) + 5)
    return p, 1.001 * (p * relative + 2.0**-148)


def deltak(command, *words):
    return subprocess.run([command, *words], check=True, capture_output=True, text=True).stdout


def compare(command, activation, digits, folder):
    model, rows = folder / f"{activation}.safetensors", folder / "rows.csv"
    deltak(command, "train", "--data", "builtin:digits", "--hidden", "24,17", "--epochs", "1",
           "--activation", activation, "--device", "cpu", "--threads", "1", "--quiet", "--out",
           str(model))
    net, description = open_model(model)
    used = [layer["activation"] for layer in description["layers"]]
    assert used == [activation.split("(")[0]] * 2 + ["identity"], used
    np.savetxt(rows, digits, delimiter=",", fmt="%d")
    table = deltak(command, "predict", "--model", str(model), "--data", str(rows), "--proba")
    lines = table.splitlines()
    assert lines[0].split(",") == description["classes"], lines[0]
    found = np.loadtxt(lines[1:], delimiter=",")
    expected, bound = probabilities(net, description, digits)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    worst = float((np.abs(found - expected) / bound).max())
    print(f"{activation:16} largest error / bound {worst:.3f}, largest bound {bound.max():.1e}")
    return worst <= 1


def main(command, digits, folder):
    with gzip.open(digits, "rt") as file:
        table = np.loadtxt(file, delimiter=",", max_rows=64)
    names = [name for name in MODULES] + ["leaky_relu(0.2)", "elu(1.5)"]
    wrong = [name for name in names if not compare(command, name, table[:, :64], Path(folder))]
    if wrong:
        sys.exit(f"out of bounds: {', '.join(wrong)}")


if __name__ == "__main__":
    main(*sys.argv[1:])

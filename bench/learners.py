"""Contestants of defaults.py: each trains with its own defaults and gives its test error.

A set's error is its test RMSE in units of the training targets' standard deviation, or the part of
the test rows whose class is wrong. deltak standardises features and targets by itself, and divides
bytes by 255; for the others that is done here in the same way, as their users do it.
"""
import array
import json
import os
import statistics
import struct
import subprocess
import tempfile
import warnings


def is_classification(y):
    return isinstance(y[0], int)


def save_npy(path, rows, kind):
    """An NPY file of format 1.0: rows of bytes, floats or integers, by the type's code."""
    matrix = hasattr(rows[0], "__len__")
    shape = f"({len(rows)}, {len(rows[0])})" if matrix else f"({len(rows)},)"
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    code = {"|u1": "B", "<f8": "d", "<i8": "q"}[kind]
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
        for row in rows if matrix else [rows]:
            file.write(array.array(code, row).tobytes())


def save(folder, data):
    for name, values in zip(("x", "y", "x_test", "y_test"), data):
        if name.startswith("x"):
            kind = "|u1" if isinstance(values[0], bytes) else "<f8"
        else:
            kind = "<i8" if is_classification(values) else "<f8"
        save_npy(os.path.join(folder, name + ".npy"), values, kind)


def deltak(data, hidden, epochs, seed, command, options):
    with tempfile.TemporaryDirectory() as folder:
        save(folder, data)
        done = subprocess.run(
            [command, "train", "--data", folder, "--hidden", ",".join(map(str, hidden)), "--epochs",
             str(epochs), "--seed", str(seed), "--threads", "1", "--device", "cpu", "--quiet",
             "--json", *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(done.args)} ended with {done.returncode}: {done.stderr}")
    test = json.loads(done.stdout)["test"]
    if is_classification(data[1]):
        return 1 - test["accuracy"]
    return test["rmse"] / statistics.pstdev(data[1])


class Prepared:
    """A set as the peers take it: float32, standardised by the training part."""

    def __init__(self, data):
        import numpy
        x, y, x_test, y_test = data
        self.classes = is_classification(y)
        if isinstance(x[0], bytes):
            self.x, self.x_test = (numpy.frombuffer(b"".join(part), numpy.uint8).reshape(
                len(part), -1).astype(numpy.float32) / 255 for part in (x, x_test))
        else:
            x, x_test = numpy.array(x), numpy.array(x_test)
            sigma = x.std(0)
            sigma[sigma == 0] = 1
            self.x, self.x_test = (((part - x.mean(0)) / sigma).astype(numpy.float32)
                                   for part in (x, x_test))
        self.y, self.y_test = numpy.array(y), numpy.array(y_test)
        self.mean, self.sigma = (0, 1) if self.classes else (self.y.mean(), self.y.std())
        self.target = (self.y if self.classes else
                       ((self.y - self.mean) / self.sigma).astype(numpy.float32))

    def error(self, prediction):
        """Of classes, or of standardised numbers."""
        if self.classes:
            return float((prediction != self.y_test).mean())
        return float((((prediction - (self.y_test - self.mean) / self.sigma)) ** 2).mean() ** 0.5)


def torch(data, hidden, epochs, seed):
    """nn.Linear and AdamW as they come, batches of 128, at a constant rate."""
    import torch as library
    library.set_num_threads(1)
    library.manual_seed(seed)
    given = Prepared(data)
    x, target = library.from_numpy(given.x), library.from_numpy(given.target)
    if not given.classes:
        target = target[:, None]
    widths = [x.shape[1], *hidden, int(given.y.max()) + 1 if given.classes else 1]
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [library.nn.Linear(inputs, outputs), library.nn.ReLU()]
    model = library.nn.Sequential(*layers[:-1])
    loss_of = library.nn.CrossEntropyLoss() if given.classes else library.nn.MSELoss()
    optimizer = library.optim.AdamW(model.parameters())
    for _ in range(epochs):
        for rows in library.randperm(len(x)).split(128):
            optimizer.zero_grad()
            loss_of(model(x[rows]), target[rows]).backward()
            optimizer.step()
    with library.no_grad():
        out = model(library.from_numpy(given.x_test)).numpy()
    return given.error(out.argmax(1) if given.classes else out[:, 0])


def sklearn(data, hidden, epochs, seed):
    """MLPClassifier and MLPRegressor as they come: Glorot, Adam, batches of min(200, rows)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    given = Prepared(data)
    kind = MLPClassifier if given.classes else MLPRegressor
    model = kind(hidden_layer_sizes=tuple(hidden), max_iter=epochs, random_state=seed)
    with warnings.catch_warnings():  # it says that so few epochs aren't convergence
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(given.x, given.target)
    return given.error(model.predict(given.x_test))

"""Data sets on which defaults are compared: made from fixed seeds, or read from DELTAK_DATA.

Each is (x, y, x_test, y_test): features as rows of floats, or of bytes (images); y as floats, or as
integers that are classes. The standard library alone makes them, so that they are the same numbers
wherever Python runs.
"""
import csv
import functools
import gzip
import math
import operator
import os
import random

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("DELTAK_DATA") or os.path.join(HERE, "..", "..", "shared", "data")


def split(x, y, train):
    """The first `train` rows, and the rest."""
    return x[:train], y[:train], x[train:], y[train:]


def table(path, train, most, label=float):
    """`most` rows of a CSV table, the label in its last column, in an order that is always the same."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.reader(file))
    random.Random(1).shuffle(rows)
    rows = rows[:most]
    return split([list(map(float, row[:-1])) for row in rows], [label(row[-1]) for row in rows],
                 train)


def uci(name, train, most):
    return table(os.path.join(DATA, "uci", name + ".csv.gz"), train, most)


def digits():
    return table(os.path.join(HERE, "..", "data", "digits.csv.gz"), 1000, 1797, int)


def idx(name, header, rows, size):
    """The first rows of one of MNIST's files."""
    with gzip.open(os.path.join(DATA, "mnist", name)) as file:
        file.read(header)
        return [file.read(size) for _ in range(rows)]


def mnist(train, test):
    """Its own training and test part, of each the first rows."""
    images = [idx(f"{part}-images-idx3-ubyte.gz", 16, rows, 784)
              for part, rows in (("train", train), ("t10k", test))]
    labels = [[byte[0] for byte in idx(f"{part}-labels-idx1-ubyte.gz", 8, rows, 1)]
              for part, rows in (("train", train), ("t10k", test))]
    return images[0], labels[0], images[1], labels[1]


def friedman(kind, rows, train):
    """Friedman 1991, Multivariate adaptive regression splines: his three functions. The noise is a
    tenth of the function's standard deviation."""
    draw = random.Random(kind)
    if kind == 1:
        x = [[draw.random() for _ in range(10)] for _ in range(rows)]
        y = [10 * math.sin(math.pi * r[0] * r[1]) + 20 * (r[2] - 0.5) ** 2 + 10 * r[3] + 5 * r[4]
             for r in x]
    else:
        x = [[draw.uniform(0, 100), draw.uniform(40, 560) * math.pi, draw.random(),
              draw.uniform(1, 11)] for _ in range(rows)]
        inner = [r[1] * r[2] - 1 / (r[1] * r[3]) for r in x]
        y = [math.hypot(r[0], i) if kind == 2 else math.atan2(i, r[0]) for r, i in zip(x, inner)]
    mean = sum(y) / rows
    sigma = math.sqrt(sum((v - mean) ** 2 for v in y) / rows)
    return split(x, [v + 0.1 * sigma * draw.gauss(0, 1) for v in y], train)


def teacher(rows, train):
    """A network of 16 inputs and two hidden layers of 32 tanh, without noise."""
    draw = random.Random(5)

    def layer(width, inputs):
        return [[draw.gauss(0, 1) for _ in range(inputs)] for _ in range(width)]

    def product(weights, v):
        return [sum(map(operator.mul, w, v)) for w in weights]

    first, second, last = layer(32, 16), layer(32, 32), layer(1, 32)
    x = layer(rows, 16)
    y = []
    for row in x:
        a = [math.tanh(z / 4) for z in product(first, row)]
        a = [math.tanh(z / 3) for z in product(second, a)]
        y += product(last, a)
    return split(x, y, train)


def sines(rows, train):
    """A product of sines beside easier terms, without noise: 36,000 rows of 8 features."""
    draw = random.Random(6)
    x = [[draw.uniform(-1, 1) for _ in range(8)] for _ in range(rows)]
    y = [math.prod(math.sin(math.pi * v) for v in r[:3]) + 0.5 * r[3] * r[4] + 0.3 * r[5] for r in x]
    return split(x, y, train)


def sixty(seed):
    """Friedman 1 with 60 rows to train with, other ones for each seed: how well so few can be learnt
    depends on which they are more than on the initial weights."""
    x, y, x_test, y_test = friedman(1, 2060, 60)
    rows = list(zip(x + x_test, y + y_test))
    random.Random(seed).shuffle(rows)
    return split([row[0] for row in rows], [row[1] for row in rows], 60)


SETS = {
    "bike": lambda: uci("bike", 13903, 17379),
    "protein": lambda: uci("protein", 8000, 12000),
    "mnist": lambda: mnist(10000, 5000),
    "digits": digits,
    "friedman1": lambda: friedman(1, 7000, 5000),
    "friedman2": lambda: friedman(2, 7000, 5000),
    "friedman3": lambda: friedman(3, 7000, 5000),
    "teacher": lambda: teacher(12000, 10000),
    "sines": lambda: sines(36000, 30000),
    "sixty": sixty,
}


@functools.lru_cache(maxsize=None)
def _load(name, seed):
    return sixty(seed) if name == "sixty" else SETS[name]()


def load(name, seed):
    """The set that trainings with this seed learn: one and the same for all, but of `sixty`."""
    return _load(name, seed if name == "sixty" else 0)

#!/usr/bin/env python3
"""Trains scikit-learn's MLPRegressor and deltak on the same UCI tables and compares their test RMSE.

    python3 bench/peers/sklearn_uci.py --deltak build/release/deltak --out results.json \
        protein.csv.gz bike.csv.gz

A table is CSV (.gz or not) without a header, its last column the target. Each seed splits it 80/20,
and both train on the same rows: hidden layers 64,64 of ReLU, Adam (1e-3, 0.9, 0.999, 1e-8), no weight
decay, constant learning rate, batches of 128, 20 epochs, features and target standardised by the
training part. The RMSE is that of the test part in the target's own units, averaged over the seeds.

Both draw their initial weights Glorot uniform, which scikit-learn always does; `--init auto` shows
deltak's own default instead, He normal behind ReLU. That matters: after 20 epochs bike's RMSE is 1.4
times as large from He normal weights as from Glorot ones.

What differs: the order of the samples, and double against single precision. scikit-learn minimises
half of deltak's mean squared error, which changes nothing under Adam but the weight of its epsilon.

Needs numpy and scikit-learn.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

HIDDEN, EPOCHS, BATCH, RATE = (64, 64), 20, 128, 1e-3


def split(table, seed):
    order = numpy.random.default_rng(seed).permutation(len(table))
    held_out = len(table) // 5
    return table[order[held_out:]], table[order[:held_out]]


def train_sklearn(train, test, seed):
    """The test RMSE, and the seconds of training."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread == 0] = 1
    scaled = (train - mean) / spread
    model = MLPRegressor(hidden_layer_sizes=HIDDEN, activation="relu", solver="adam", alpha=0.0,
                         batch_size=BATCH, learning_rate="constant", learning_rate_init=RATE,
                         max_iter=EPOCHS, tol=0.0, n_iter_no_change=EPOCHS + 1, shuffle=True,
                         beta_1=0.9, beta_2=0.999, epsilon=1e-8, random_state=seed)
    start = time.perf_counter()
    with warnings.catch_warnings():  # it says that 20 epochs aren't convergence
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaled[:, :-1], scaled[:, -1])
    seconds = time.perf_counter() - start
    x = (test[:, :-1] - mean[:-1]) / spread[:-1]
    predicted = model.predict(x) * spread[-1] + mean[-1]
    return float(numpy.sqrt(numpy.mean((predicted - test[:, -1]) ** 2))), seconds


def run(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {result.returncode}:\n{result.stderr}")
    return result.stdout


def train_deltak(binary, init, train, test, seed):
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        for name, rows in (("train.csv", train), ("test.csv", test)):
            numpy.savetxt(at(name), rows, delimiter=",", fmt="%.17g")
        start = time.perf_counter()
        run([binary, "train", "--data", at("train.csv"), "--hidden", ",".join(map(str, HIDDEN)),
             "--activation", "relu", "--init", init, "--optimizer", "adam", "--lr", str(RATE),
             "--weight-decay", "0",
             "--schedule", "constant", "--warmup", "0", "--epochs", str(EPOCHS),
             "--batch", str(BATCH), "--seed", str(seed), "--device", "cpu", "--quiet",
             "--out", at("model.safetensors")])
        seconds = time.perf_counter() - start
        metrics = json.loads(run([binary, "eval", "--model", at("model.safetensors"),
                                  "--data", at("test.csv"), "--device", "cpu", "--json"]))
        return float(metrics["rmse"]), seconds


def compare(path, binary, init, seeds):
    table = numpy.loadtxt(path, delimiter=",")
    runs = {"sklearn": [], "deltak": []}
    for seed in range(1, seeds + 1):
        train, test = split(table, seed)
        runs["sklearn"].append(train_sklearn(train, test, seed))
        if binary:
            runs["deltak"].append(train_deltak(binary, init, train, test, seed))
    result = {"rows": len(table), "features": table.shape[1] - 1, "seeds": seeds}
    for name, pairs in runs.items():
        if pairs:
            rmse = [pair[0] for pair in pairs]
            result[name] = {"rmse": rmse, "mean_rmse": statistics.mean(rmse),
                            "std_rmse": statistics.stdev(rmse) if seeds > 1 else 0.0,
                            "median_seconds": statistics.median(pair[1] for pair in pairs)}
    if binary:
        result["ratio"] = result["deltak"]["mean_rmse"] / result["sklearn"]["mean_rmse"]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="+", metavar="CSV")
    parser.add_argument("--deltak", help="the deltak command; without it scikit-learn runs alone")
    parser.add_argument("--init", default="xavier_uniform", help="deltak's initialiser")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", help="write the result here as JSON")
    options = parser.parse_args()

    versions = {"python": platform.python_version(), "numpy": numpy.__version__,
                "scikit-learn": sklearn.__version__}
    if options.deltak:
        versions["deltak"] = run([options.deltak, "--version"]).strip()
    result = {"versions": versions, "hidden": HIDDEN, "epochs": EPOCHS, "batch": BATCH, "lr": RATE,
              "init": options.init, "tables": {}}
    print(f"{'table':<10} {'scikit-learn':>22} {'deltak':>22} {'ratio':>7}")
    for path in options.tables:
        name = os.path.basename(path).split(".")[0]
        entry = result["tables"][name] = compare(path, options.deltak, options.init,
                                                  options.seeds)
        cells = [f"{entry[k]['mean_rmse']:.5f} +- {entry[k]['std_rmse']:.5f}" if k in entry else "-"
                 for k in ("sklearn", "deltak")]
        ratio = f"{entry['ratio']:.4f}" if "ratio" in entry else "-"
        print(f"{name:<10} {cells[0]:>22} {cells[1]:>22} {ratio:>7}", flush=True)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How well the defaults of deltak learn beside those of PyTorch and scikit-learn.

    bench/defaults.py --deltak build/release/deltak --out bench/results/defaults.json
    bench/defaults.py --deltak build/release/deltak --quick

Each contestant trains on the same rows, with the same hidden layers of ReLU and for the same number
of epochs, on one thread; all else is its default. A network's ratio is deltak's mean test error over
the seeds, as a part of the best peer's. bench/report.py makes the table of docs/results.md of the
JSON.

--quick trains deltak alone, on the sets that need no data beside the sources, and compares it with
the peers' errors that the recorded JSON holds: status 1 when the geometric mean of the ratios is
above 1. It needs nothing but Python; the whole needs numpy, torch and scikit-learn.
"""
import argparse
import concurrent.futures
import glob
import hashlib
import importlib.metadata
import json
import math
import os
import statistics
import subprocess
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import learners  # noqa: E402  (after the number of threads)
import learning_sets  # noqa: E402
import machine  # noqa: E402

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "defaults.json")
PEERS = {"torch": "torch", "sklearn": "scikit-learn"}
MOST = 1.05  # what one network's ratio may be
SMALL = ("bike", "digits", "friedman1", "friedman3", "sixty")
WIDE = ("digits", "friedman1", "friedman3", "sixty")
WIDEST = ("digits", "sixty")
# Hidden layers, and the sets that networks of this shape learn.
SHAPES = {(128, 128): tuple(learning_sets.SETS), (32,): SMALL, (32,) * 7: SMALL, (128,) * 7: SMALL,
          (1024,): SMALL, (1024,) * 3: WIDE, (1024,) * 7: WIDEST}
QUICK_SHAPES = {(128, 128): ("digits", "friedman3", "sixty"), (32,) * 7: ("sixty",)}


def fingerprint(command):
    """Of a build: the command and the libraries beside it."""
    digest = hashlib.sha1()
    libraries = glob.glob(os.path.join(os.path.dirname(command), "libdeltak*.so"))
    for path in [command, *sorted(libraries)]:
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def work(job):
    """One training's test error; `job` is (contestant, deltak's extra, set, hidden, epochs, seed)."""
    name, extra, data, hidden, epochs, seed = job
    return getattr(learners, name)(learning_sets.load(data, seed), hidden, epochs, seed, **extra)


class Cache:
    """Errors that are known already, a JSON file each; without a folder none are."""

    def __init__(self, folder):
        self.folder = folder
        if folder:
            os.makedirs(folder, exist_ok=True)

    def path(self, key):
        name = hashlib.sha1(json.dumps(key).encode()).hexdigest()
        return os.path.join(self.folder, name + ".json")

    def get(self, key):
        if not self.folder or not os.path.exists(self.path(key)):
            return None
        with open(self.path(key), encoding="utf-8") as file:
            return json.load(file)

    def put(self, key, error):
        if self.folder:
            with open(self.path(key), "w", encoding="utf-8") as file:
                json.dump(error, file)


def train_all(jobs, options):
    """The error of each job, those of deltak's builds kept apart by their bytes."""
    cache, build = Cache(options.cache), fingerprint(options.deltak)
    # The slow ones first, or a last one keeps one process busy alone.
    jobs = sorted(jobs, key=lambda job: -sum(a * b for a, b in zip(job[3], job[3][1:])))

    def key_of(job):
        extra = {"build": build, "options": options.options} if job[0] == "deltak" else {}
        return [job[0], extra, *job[2:]]

    errors = {job_key(job): cache.get(key_of(job)) for job in jobs}
    left = [job for job in jobs if errors[job_key(job)] is None]
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        running = {pool.submit(work, job): job for job in left}
        for done in concurrent.futures.as_completed(running):
            job = running[done]
            errors[job_key(job)] = done.result()
            cache.put(key_of(job), done.result())
    return errors


def job_key(job):
    return (job[0], *job[2:])


def rate(row):
    """Adds to a row of errors the ratio to the best peer."""
    means = {name: statistics.mean(errors) for name, errors in row["errors"].items()}
    row["ratio"] = means["deltak"] / min(means[name] for name in PEERS) if len(means) > 1 else None
    return row


def compare(shapes, contestants, options):
    extra = {"deltak": {"command": os.path.abspath(options.deltak), "options": options.options}}
    seeds = range(1, options.seeds + 1)
    rows = [(data, hidden) for hidden, sets in shapes.items() for data in sets]
    jobs = [(name, extra.get(name, {}), data, hidden, options.epochs, seed)
            for data, hidden in rows for name in contestants for seed in seeds]
    errors = train_all(jobs, options)
    made = []
    for data, hidden in rows:
        x, y, x_test, _ = learning_sets.load(data, 1)
        made.append({
            "set": data, "rows": len(x), "test_rows": len(x_test), "features": len(x[0]),
            "error": "wrong" if learners.is_classification(y) else "rmse", "hidden": hidden,
            "errors": {name: [errors[(name, data, hidden, options.epochs, seed)] for seed in seeds]
                       for name in contestants}})
    return made


def with_recorded(rows, seeds):
    """The rows, with the peers' errors of the recorded result; those that it lacks are left out."""
    with open(RECORDED, encoding="utf-8") as file:
        recorded = {(row["set"], tuple(row["hidden"])): row["errors"]
                    for row in json.load(file)["rows"]}
    for row in rows:
        known = recorded.get((row["set"], row["hidden"]), {})
        row["errors"].update({name: known[name][:seeds] for name in PEERS if name in known})
    return rows


def geometric_mean(rows):
    return math.exp(statistics.mean(math.log(row["ratio"]) for row in rows))


def show(rows):
    print(f"{'set':<10} {'hidden':<10} {'deltak':>8} {'PyTorch':>8} {'sklearn':>8} {'ratio':>7}")
    for row in rows:
        means = [statistics.mean(row["errors"][name]) for name in ("deltak", *PEERS)]
        shape = f"{len(row['hidden'])} x {row['hidden'][0]}"
        print(f"{row['set']:<10} {shape:<10} " + " ".join(f"{mean:8.4f}" for mean in means) +
              f" {row['ratio']:7.3f}" + (" above" if row["ratio"] > MOST else ""))
    print(f"geometric mean {geometric_mean(rows):.3f}, largest "
          f"{max(row['ratio'] for row in rows):.3f}")


def write(path, rows, options):
    version = subprocess.run([options.deltak, "--version"], capture_output=True, text=True,
                             check=True).stdout.split()[-1]
    versions = {"deltak": version, "python": sys.version.split()[0]}
    versions.update({name: importlib.metadata.version(name)
                     for name in ("numpy", *PEERS.values())})
    result = {"commit": options.of or machine.commit(), "date": machine.today(), "machine": machine.describe(),
              "versions": versions, "options": options.options, "epochs": options.epochs,
              "seeds": options.seeds, "most": MOST, "geometric_mean": geometric_mean(rows),
              "rows": rows}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


def parsed():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0],
        epilog="What follows -- goes to `deltak train`, as in: -- --init he_normal --lr 1e-3")
    parser.add_argument("--deltak", required=True, metavar="COMMAND", help="the deltak command")
    parser.add_argument("--of", metavar="COMMIT",
                        help="what it was built of, for --out (default: this checkout's)")
    parser.add_argument("--quick", action="store_true", help="deltak alone, against the record")
    parser.add_argument("--sets", help="only these, with commas")
    parser.add_argument("--hidden", action="append", metavar="WIDTHS",
                        help="only networks with these hidden layers; may be repeated")
    parser.add_argument("--seeds", type=int, default=5, help="1 to N (default 5)")
    parser.add_argument("--epochs", type=int, default=20, help="(default 20)")
    parser.add_argument("--jobs", type=int, default=machine.cores(),
                        help="trainings at a time, of one thread each (default: every core)")
    parser.add_argument("--cache", metavar="FOLDER", help="keep errors here, and use those there")
    parser.add_argument("--out", metavar="FILE", help="write the result here as JSON")
    parser.add_argument("options", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen(shapes, options):
    """What --sets and --hidden leave of the shapes."""
    if options.hidden:
        wanted = [tuple(map(int, text.split(","))) for text in options.hidden]
        shapes = {hidden: shapes.get(hidden, tuple(learning_sets.SETS)) for hidden in wanted}
    if options.sets:
        names = options.sets.split(",")
        shapes = {hidden: tuple(name for name in sets if name in names)
                  for hidden, sets in shapes.items()}
    return shapes


def main():
    options = parsed()
    shapes = chosen(QUICK_SHAPES if options.quick else SHAPES, options)
    contestants = ["deltak"] if options.quick else ["deltak", *PEERS]
    rows = compare(shapes, contestants, options)
    if options.quick:
        rows = with_recorded(rows, options.seeds)
    rows = [rate(row) for row in rows]
    show(rows)
    if options.out:
        write(options.out, rows, options)
    return 1 if options.quick and geometric_mean(rows) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())

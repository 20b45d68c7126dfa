#!/usr/bin/env python3
"""What checkpoints cost: steps with a save beside them and steps without, in turns, in one training.

    bench/checkpoint_cost.py BUILD [--steps 100] [--pairs 300] [--batch 128] [--layers 784,512,512,10]
                             [--every SECONDS] [--device cpu] [--folder FOLDER] [--out FILE]

A checkpoint is saved before every other block of --steps steps; a block with a save and the one that follows
without are a pair. The median of the pairs' ratios, with its interval at about 94 %: what one save costs of
--steps steps, and so of a run that saves as often; with --every, of a run that saves once in so many
seconds. The network is `mnist` of the four workloads unless said otherwise. Exit status 1: more than --limit
(3 %).
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

import machine


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--steps", type=int, default=100, help="of a block (default 100)")
    parser.add_argument("--pairs", type=int, default=300, help="of blocks (default 300)")
    parser.add_argument("--every", type=float, metavar="SECONDS",
                        help="how often is saved (default: once in --steps steps)")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--layers", default="784,512,512,10", help="all widths")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=float, default=0.03)
    parser.add_argument("--folder", help="where checkpoints go (default: the system's temporary one)")
    parser.add_argument("--out", help="add the result to a list in this JSON file")
    return parser.parse_args()


def train(options, folder):
    """Seconds of the blocks with a save, and of those without."""
    command = [os.path.join(options.build, "checkpoint_blocks"), os.path.join(folder, "run"),
               options.device, str(options.batch), str(options.steps), str(options.pairs),
               *options.layers.split(",")]
    result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    if result["late"]:
        sys.exit(f"{result['late']} of {result['saved']} checkpoints weren't written when their block "
                 "was over: take longer blocks")
    return result["with"], result["without"]


def median_interval(ratios):
    """The median, and the two values between which it lies at about 94 %: of the signs of so many pairs."""
    ranked, count = sorted(ratios), len(ratios)
    reach = math.ceil(0.98 * math.sqrt(count))
    low, high = max(count // 2 - reach, 0), min((count - 1) // 2 + reach, count - 1)
    return statistics.median(ranked), ranked[low], ranked[high]


def measure(options, folder):
    state = machine.describe()
    with_save, without = train(options, folder)
    block = statistics.median(without)
    share = block / options.every if options.every else 1.0
    ratio, low, high = median_interval([1 + (a / b - 1) * share for a, b in zip(with_save, without)])
    return {"device": options.device, "layers": options.layers, "batch": options.batch,
            "steps": options.steps, "every": options.every, "pairs": len(without),
            "seconds": block, "ratio": ratio, "ratio_low": low,
            "ratio_high": high, "limit": 1 + options.limit, "commit": machine.commit(),
            "date": machine.today(), "machine": state}


def add_to(path, result):
    results = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results + [result], file, indent=1)
        file.write("\n")


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = measure(options, folder)
    every = f"{options.every:g} s" if options.every else f"{options.steps} steps"
    print(f"a checkpoint every {every} ({options.steps} steps take {result['seconds']:.3g} s): "
          f"{100 * (result['ratio'] - 1):+.2f} % of the run time "
          f"({100 * (result['ratio_low'] - 1):+.2f} to {100 * (result['ratio_high'] - 1):+.2f})")
    if options.out:
        add_to(options.out, result)
    return 0 if result["ratio"] <= result["limit"] else 1


if __name__ == "__main__":
    sys.exit(main())

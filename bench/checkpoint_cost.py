#!/usr/bin/env python3
"""What checkpoints cost: the same training with them and without, in turns.

    bench/checkpoint_cost.py BUILD [--every 100steps] [--steps 400] [--rounds 15] [--batch 128]
                             [--hidden 512,512] [--device cpu] [--folder FOLDER] [--out FILE]

The network is `mnist` of the four workloads, on synthetic rows, unless said otherwise. Medians of the
rounds' ratios; the training's own clock, without reading data. Exit status 1: more than --limit (3 %).
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

import machine


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--every", default="100steps")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--hidden", default="512,512")
    parser.add_argument("--features", type=int, default=784)
    parser.add_argument("--targets", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=float, default=0.03)
    parser.add_argument("--folder", help="where checkpoints go (default: the system's temporary one)")
    parser.add_argument("--out", help="write the result as JSON")
    return parser.parse_args()


def train(options, checkpoints, folder):
    """Seconds of one training, and how many checkpoints it saved."""
    rows = options.batch * options.steps // 4
    command = [os.path.join(options.build, "deltak"), "train", "--data", "synth:teacher",
               "--rows", str(rows), "--features", str(options.features),
               "--targets", str(options.targets), "--hidden", options.hidden,
               "--batch", str(options.batch), "--epochs", "4", "--device", options.device,
               "--quiet", "--json"]
    if checkpoints:
        command += ["--checkpoint", os.path.join(folder, "run"), "--checkpoint-every",
                    options.every]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    shutil.rmtree(os.path.join(folder, "run"), ignore_errors=True)
    return result["seconds"], result["checkpoints"]


def measure(options, folder):
    ratios, plain, saved = [], [], 0
    for turn in range(options.rounds):
        seconds = {}
        for checkpoints in ((False, True), (True, False))[turn % 2]:
            seconds[checkpoints], count = train(options, checkpoints, folder)
            saved += count
        ratios.append(seconds[True] / seconds[False])
        plain.append(seconds[False])
        print(f"round {turn + 1}: {seconds[False]:.2f} s, with checkpoints {seconds[True]:.2f} s",
              file=sys.stderr)
    quartiles = statistics.quantiles(ratios, n=4)
    return {"every": options.every, "device": options.device, "hidden": options.hidden,
            "batch": options.batch, "steps": options.steps, "rounds": options.rounds,
            "checkpoints": saved, "seconds": statistics.median(plain),
            "ratio": statistics.median(ratios), "ratio_low": quartiles[0],
            "ratio_high": quartiles[2], "limit": 1 + options.limit,
            "machine": machine.describe()}


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = measure(options, folder)
    print(f"{result['checkpoints']} checkpoints, every {options.every}: "
          f"{100 * (result['ratio'] - 1):+.2f} % of the run time "
          f"({100 * (result['ratio_low'] - 1):+.2f} to {100 * (result['ratio_high'] - 1):+.2f})")
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    return 0 if result["ratio"] <= result["limit"] else 1


if __name__ == "__main__":
    sys.exit(main())

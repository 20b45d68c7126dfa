#!/usr/bin/env python3
"""Measures deltak's training step beside what users would pick instead, in one run and in turn.

    bench/compare.py --device cpu --out bench/results/cpu.json

Every contestant is a process of its own (bench/contestant.c, bench/peers/), with the same data, the
same initial weights and the same number of threads, which stays alive and trains when asked. They
take turns, in an order that rotates from round to round; `deltak bench`, whose bare matrix products
are the floor of a step, is one of them. Before, each proves by its losses that it does the same
work.

Needs nothing but Python's standard library; a contestant whose packages are missing is reported as
missing. Exit status: 0, 1 if losses disagree, 2 if deltak itself failed or an option is wrong.
"""
import argparse
import json
import os
import sys
import tempfile
import time

import contestants
import machine
from turns import OutOfTime, Run, say

HERE = os.path.dirname(os.path.abspath(__file__))

# What each strains: bench.c has the same, and says so.
WORKLOADS = {
    "cuda": {"wide": ([4096] * 9, 8192), "medium": ([1024] * 9, 1024),
             "narrow": ([128] * 9, 65536), "mnist": ([784, 512, 512, 10], 128)},
    "cpu": {"k1024": ([1024, 1024, 1024, 1024, 10], 512), "mnist": ([784, 512, 512, 10], 128),
            "narrow": ([128] * 9, 8192), "medium": ([1024] * 9, 1024)},
}
PRECISIONS = {"cuda": ["bf16", "tf32", "fp32"], "cpu": ["fp32", "bf16"]}
# Learning rate and weight decay. AdamW moves every weight by about its rate, and so a sum over a
# layer the more, the wider it is; the rate is lowered beyond 1024.
RATES = {"sgd": (0.01, 0.0), "adamw": (1e-4, 0.01)}
ADAMW_WIDTH = 1024
# Four layers; at each end what takes about a second a round, or fits the memory.
SWEEPS = {
    "cpu": {"width": [([w] * 5, 512) for w in (256, 512, 1024, 2048)],
            "batch": [([1024] * 5, b) for b in (16, 64, 256, 1024, 4096)]},
    "cuda": {"width": [([w] * 5, 4096) for w in (256, 512, 1024, 2048, 4096, 8192, 16384)],
             "batch": [([1024] * 5, b) for b in (64, 256, 1024, 4096, 16384, 65536)]},
}
# So much data is rotated through: more than the caches hold, at least 2 batches and at most 256.
DATA_BYTES = {"cpu": 32 << 20, "cuda": 512 << 20}


def spec_of(options, name, layers, batch, optimizer, precision):
    lr, decay = RATES[optimizer]
    if optimizer == "adamw":
        lr *= min(1.0, ADAMW_WIDTH / max(layers))
    batches = max(2, min(256, DATA_BYTES[options.kind] // (4 * layers[0] * batch)))
    return {"workload": name, "layers": layers, "batch": batch, "batches": batches,
            "optimizer": optimizer, "lr": lr, "weight_decay": decay, "precision": precision,
            "device": options.device, "threads": options.threads}


def plan(options):
    """What to run, the most important first."""
    if options.layers:
        shapes = [("custom", options.layers, options.batch)]
    elif options.sweep:
        by_width = options.sweep == "width"
        shapes = [(f"{options.sweep} {layers[0] if by_width else batch}", layers, batch)
                  for layers, batch in SWEEPS[options.kind][options.sweep]]
    else:
        known = WORKLOADS[options.kind]
        shapes = [(name, *known[name]) for name in options.workloads or known]
    return [spec_of(options, *shape, optimizer, precision) for precision in options.precisions
            for optimizer in options.optimizers for shape in shapes]


def report(run):
    """A run in some lines on standard error."""
    say(f"{run['workload']}, batch {run['batch']}, {run['optimizer']}, {run['precision']}:")
    say(f"  {'bare products':<58} {run['floor']['ms']['median']:10.4g} ms")
    if run["baseline"]:
        say(f"  {'deltak on the CPU':<58} {run['baseline']['ms']['median']:10.4g} ms")
    for row in run["contestants"]:
        title = f"{contestants.NAMES[row['name']]} ({row['words']})"
        if "ms" in row:
            agree = ("   LOSSES DISAGREE" if not row["agree"] else
                     "   FIT DIFFERS FROM STEPS" if row.get("fit_is_steps") is False else "")
            ms, ratio = row["ms"]["median"], row["ratio"]["median"]
            say(f"  {title:<58} {ms:10.4g} ms {ratio:7.3f} x deltak   "
                f"losses within {row['of_bound'] or 0:.2f} of their bound{agree}")
        elif row["missing"]:
            say(f"  {title:<58} missing: {row['missing']}")
        else:
            say(f"  {title:<58} failed: {row['failed']}")


def wrong(run):
    """Whether somebody did other work than deltak, or deltak's timed way other than its steps."""
    return any("losses" in row and (not row["agree"] or row.get("fit_is_steps") is False)
               for row in run["contestants"])


def write(options, started, runs, unfinished):
    versions = {}
    for run in runs:
        for row in run["contestants"]:
            versions.update(row["versions"])
    result = {"commit": machine.commit(), "date": machine.today(),
              "command": " ".join(["bench/compare.py"] + options.said), "device": options.device,
              "sweep": options.sweep, "seconds": round(time.monotonic() - started, 1),
              "machine": options.machine, "versions": versions, "not_reached": unfinished,
              "runs": runs}
    beside = options.out + ".new"
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    os.replace(beside, options.out)


def parse(arguments):
    words = lambda text: text.split(",")
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], epilog="How it measures: docs/performance.md.")
    add = parser.add_argument
    add("--device", default="cpu", help="cpu, cuda or cuda:N (default cpu)")
    add("--workloads", type=words, metavar="NAME,…", help="of " + "; ".join(
        f"{kind}: {', '.join(known)}" for kind, known in WORKLOADS.items()) + " (default all)")
    add("--layers", type=lambda text: [int(w) for w in words(text)], metavar="WIDTHS",
        help="all widths of a network of your own, as in 784,512,10, with --batch")
    add("--batch", type=int, default=128, help="rows of its batch (default 128)")
    add("--sweep", choices=["width", "batch"], help="over widths or batch sizes")
    add("--optimizers", type=words, metavar="NAME,…", help="sgd, adamw (default both)")
    add("--precisions", type=words, metavar="NAME,…",
        help="bf16, tf32, fp32 (default on cuda: all three, of a sweep the first; on cpu: fp32)")
    add("--peers", type=words, metavar="NAME,…",
        help="torch, jax, sklearn (default all); none; deltak: deltak against itself")
    add("--settings", action="append", default=[], metavar="PEER:SETTING,…",
        help="instead of all settings of a peer, as in torch:eager-fused")
    add("--baseline", action="store_true",
        help="deltak in fp32 on the CPU beside it (on cuda always, but for sweeps)")
    add("--rounds", type=int, default=9, help="turns of each (default 9)")
    add("--turn", type=float, default=0.25, metavar="S", help="seconds of a turn (default 0.25)")
    add("--rest", type=float, default=0.1, metavar="S", help="seconds between turns (default 0.1)")
    add("--threads", type=int, help="threads of each on the CPU (default the processor's cores)")
    add("--budget", type=float, default=86400, metavar="S",
        help="stop after so many seconds, with what is done by then (default a day)")
    add("--patience", type=float, default=300, metavar="S",
        help="how long a contestant may compile before it is given up (default 300)")
    add("--python", default=sys.executable, help="the Python that has the peers' packages")
    add("--build", default=os.path.join(HERE, "..", "build", "release"), metavar="FOLDER",
        help="where the programs deltak and contestant are (default build/release)")
    add("--library-path", help="LD_LIBRARY_PATH of deltak's own processes")
    add("--out", default=os.path.join(HERE, "..", "build", "bench.json"), metavar="FILE",
        help="the JSON (default build/bench.json), written anew after each workload")
    options = parser.parse_args(arguments)
    settle(parser, options)
    return options


def settle(parser, options):
    """Defaults that depend on other options, and names that aren't any."""
    options.kind = "cuda" if options.device.startswith("cuda") else "cpu"
    options.threads = options.threads or machine.cores()
    options.baseline = options.baseline or (options.kind == "cuda" and not options.sweep)
    options.optimizers = options.optimizers or (["sgd"] if options.sweep else list(RATES))
    known = PRECISIONS[options.kind]
    options.precisions = options.precisions or (
        known[:1] if options.sweep or options.kind == "cpu" else known)
    peers = list(contestants.SETTINGS[options.kind])
    options.peers = [p for p in options.peers or peers if p != "none"]
    options.settings = {pair.split(":")[0]: pair.partition(":")[2].split(",")
                        for pair in options.settings}
    for what, given, allowed in (("workload", options.workloads or [], WORKLOADS[options.kind]),
                                 ("optimizer", options.optimizers, RATES),
                                 ("precision", options.precisions, known),
                                 ("peer", options.peers, contestants.NAMES),
                                 ("peer", options.settings, contestants.NAMES)):
        for name in given:
            if name not in allowed:
                parser.error(f"no {what} {name!r} on {options.kind}; there are "
                             f"{', '.join(allowed)}")
    for peer, names in options.settings.items():
        known = contestants.SETTINGS[options.kind].get(peer, [])
        for name in names:
            if name not in known:
                parser.error(f"no setting {name!r} of {peer} on {options.kind}; there are "
                             f"{', '.join(known) or 'none'}: --settings PEER:SETTING,…")
    options.machine = machine.describe()


def main(arguments):
    options = parse(arguments)
    options.said = arguments
    started = time.monotonic()
    deadline = started + options.budget
    specs, runs, bad, failed = plan(options), [], False, False
    os.makedirs(os.path.dirname(os.path.abspath(options.out)), exist_ok=True)
    if options.machine["load_before"] > options.machine["cores"] / 2:
        say(f"this machine is busy (load {options.machine['load_before']}, "
            f"{options.machine['cores']} cores): on a quiet one the figures mean more")
    for number, spec in enumerate(specs):
        rest = [[s["workload"], s["optimizer"], s["precision"]] for s in specs[number:]]
        try:
            if time.monotonic() > deadline - 10:  # no workload is done in less
                raise OutOfTime
            with tempfile.TemporaryDirectory(prefix="deltak-bench-") as folder:
                run = Run(options, spec, folder, deadline).go()
        except OutOfTime:
            say(f"{options.budget:.0f} s are over; not reached: {len(rest)} of {len(specs)}")
            break
        except contestants.Gone as gone:
            say(f"{spec['workload']}, {spec['optimizer']}, {spec['precision']}: {gone}")
            failed = True
            continue
        report(run)
        runs.append(run)
        bad = bad or wrong(run)
        write(options, started, runs, rest[1:])
    if bad:
        say("losses disagree, or deltak's two ways differ: not everybody did the same work")
    return 1 if bad else 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Adds results of `make fuzz` to those of earlier runs.

    scripts/fuzz_total.py TOTAL RESULTS…      TOTAL is made where it isn't there
"""
import json
import os
import sys


def add(total, results):
    for name, value in results.items():
        if isinstance(value, dict):
            sums = total.setdefault(name, dict.fromkeys(value, 0))
            for key, number in value.items():
                sums[key] = round(sums[key] + number, 1)
        else:
            total[name] = value  # the compiler and the commit of the last run


def dump(total):
    """A line a target; texts come last."""
    names = sorted(total, key=lambda name: (not isinstance(total[name], dict), name))
    lines = [f"  {json.dumps(name)}: {json.dumps(total[name])}" for name in names]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(path, *results):
    total = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            total = json.load(file)
    for result in results:
        with open(result, encoding="utf-8") as file:
            add(total, json.load(file))
    with open(path, "w", encoding="utf-8") as file:
        file.write(dump(total))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])

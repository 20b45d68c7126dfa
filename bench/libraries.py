#!/usr/bin/env python3
"""Measures the products of the CPU backend by each library of matrix products at hand, on one core.

    bench/libraries.py --build build/release --out bench/results/cpu-libraries.json

bench/sgemm.c does the work; this finds the libraries and notes what they ran on.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys

import machine

# oneDNN 2 and 3; OpenBLAS; BLIS, in Debian's and upstream's numbering.
CANDIDATES = ["libdnnl.so.3", "libdnnl.so.2", "libopenblas.so.0", "libblis.so.4", "libblis.so.3"]


def at_hand():
    found = []
    for name in CANDIDATES:
        try:
            ctypes.CDLL(name)
            found.append(name)
        except OSError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build/release", help="where sgemm was built")
    parser.add_argument("--out", required=True, help="the JSON to write")
    options = parser.parse_args()
    libraries = at_hand()
    if not libraries:
        sys.exit("libraries: none of " + ", ".join(CANDIDATES) + " is here")
    answer = subprocess.run([os.path.join(options.build, "sgemm"), *libraries], check=True,
                            capture_output=True, text=True).stdout
    result = {"commit": machine.commit(), "date": machine.today(), "machine": machine.describe(),
              "libraries": libraries, **json.loads(answer)}
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print(f"libraries: wrote {options.out}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What nvcc made of the kernels, by the rules of rules.py: from the PTX and from ptxas's report that
cmake/kernel_report.sh keeps beside the objects.

    test_compiled.py OBJECT...     none: there is no CUDA compiler, and the test is skipped
"""
import functools
import pathlib
import re
import subprocess
import sys
import unittest

import ptx
import rules

# Which release's ptxas the numbers of registers in FAMILIES were measured with: another one's choices are as good.
MEASURED = "13.0"

# The table of kernels, whose registers are those of one architecture.
DOCUMENT, DOCUMENTED = pathlib.Path(__file__).resolve().parents[2] / "docs" / "cuda.md", 90

OBJECTS = [pathlib.Path(name) for name in sys.argv[1:]]


@functools.lru_cache(maxsize=None)
def modules(obj):
    return [ptx.read(file.read_text(encoding="utf-8")) for file in sorted(pathlib.Path(f"{obj}.ptx").glob("*.ptx"))]


@functools.lru_cache(maxsize=None)
def uses(obj):
    return rules.uses(pathlib.Path(f"{obj}.ptxas").read_text(encoding="utf-8"))


def without_hash(name):
    """nvcc puts a hash of how a file was compiled into the names of an unnamed namespace."""
    return re.sub(r"_GLOBAL__N__[0-9a-f]+_", "_GLOBAL__N__", name)


def demangled(text):
    return subprocess.run(["c++filt"], input=text, capture_output=True, text=True, check=True).stdout


def short_names(found):
    """{mangled: "cast" for cast_kernel<float>(...)}."""
    names = sorted({use.name for use in found})
    told = demangled("\n".join(names)).split("\n")
    return {name: re.search(r"(\w+)_kernel\b", text).group(1) for name, text in zip(names, told)}


class Compiled(unittest.TestCase):
    def no_faults(self, faults):
        if faults:
            self.fail(f"{len(faults)} faults, of which the first:\n" + demangled("\n".join(faults[:10])))

    def test_every_file_is_there_for_every_architecture(self):
        """Without this the others could pass on nothing."""
        architectures = set()
        for obj in OBJECTS:
            with self.subTest(obj.name):
                found = modules(obj)
                names = [sorted(without_hash(k.name) for k in module.kernels) for module in found]
                self.assertTrue(names and names[0], "no PTX")
                self.assertTrue(all(some == names[0] for some in names), "architectures with other kernels")
                architectures.add(tuple(module.architecture for module in found))
                built = {}
                for use in uses(obj):
                    built.setdefault(use.architecture, []).append(without_hash(use.name))
                for architecture, kernels in built.items():
                    self.assertEqual(sorted(kernels), names[0], f"ptxas's report of sm_{architecture}")
        self.assertEqual(len(architectures), 1, "files compiled for different architectures")

    def test_every_kernel_waits_before_it_touches_memory(self):
        self.no_faults([fault for obj in OBJECTS for module in modules(obj)
                        for fault in rules.faults_of_waits(module)])

    def test_nothing_lies_in_local_memory(self):
        self.no_faults([fault for obj in OBJECTS for module in modules(obj)
                        for fault in rules.faults_of_local_memory(module)])
        self.no_faults([fault for obj in OBJECTS for use in uses(obj) for fault in rules.faults_of_memory(use)])

    def is_measured(self):
        release = modules(OBJECTS[0])[0].release
        if release != MEASURED:
            print(f"skipped 1 of 5: registers were measured with CUDA {MEASURED}, and this is {release}")
        return release == MEASURED

    def test_multiprocessors_hold_as_many_blocks_as_they_need(self):
        if not self.is_measured():
            return
        found = [use for obj in OBJECTS for use in uses(obj)]
        names = short_names(found)
        self.no_faults([fault for use in found for fault in rules.faults_of_residence(use, names[use.name])])

    def test_registers_are_as_documented(self):
        if not self.is_measured():
            return
        found = {}
        for obj in OBJECTS:
            registers = [use.registers for use in uses(obj) if use.architecture == DOCUMENTED]
            if registers:
                few, many = min(registers), max(registers)
                found[obj.name.removesuffix(".o")] = str(few) if few == many else f"{few}–{many}"
        if found:  # a build without sm_90 has nothing to compare
            text = DOCUMENT.read_text(encoding="utf-8")
            rows = re.findall(r"^\| \[`(\w+\.cu)`\].*\| ([\d–]+) \|[^|]*\|$", text, re.M)
            self.assertEqual(dict(rows), found, f"{DOCUMENT}: the registers of sm_{DOCUMENTED}")


if __name__ == "__main__":
    if not OBJECTS:
        print("skipped: no CUDA compiler: what nvcc makes of the kernels isn't looked at")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])

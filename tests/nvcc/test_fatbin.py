#!/usr/bin/env python3
"""Whether every GPU from compute capability 7.5 on finds kernels that it can run: in what was built, where it was
built for all of them, and by the architectures that cmake/cuda.cmake takes when nobody names any.

    test_fatbin.py CUDA.CMAKE [ARCHITECTURES FILE...]     ARCHITECTURES: those of this build, with commas; FILE: the
                                                          plugin, or the kernels' objects
"""
import pathlib
import re
import struct
import sys
import unittest

import fatbin
from fatbin import CODE, PTX, Entry

SOURCE, BUILT, FILES = sys.argv[1], sys.argv[2:3], sys.argv[3:]

# https://developer.nvidia.com/cuda-gpus, from 7.5 on, and one to come.
CAPABILITIES = [75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121, 130]


def defaults():
    """The lists of architectures in cmake/cuda.cmake."""
    text = pathlib.Path(SOURCE).read_text(encoding="utf-8")
    return [found.split(";") for found in re.findall(r'set\(architectures "([^"]+)"\)', text)]


def made(*entries, code=b"code of eight", magic=fatbin.MAGIC):
    """A fat binary of these entries."""
    body = b"".join(struct.pack("<HHIQIIHHI", kind, 0x101, 64, len(code), 0, 0, 0, 0, architecture) + bytes(32) + code
                    for kind, architecture in entries)
    return magic + struct.pack("<Q", len(body)) + body


class Defaults(unittest.TestCase):
    def test_every_gpu_finds_kernels(self):
        self.assertEqual(len(defaults()), 2, "for toolkits with Blackwell and without")
        for architectures in defaults():
            entries = fatbin.wanted(architectures)
            for capability in CAPABILITIES:
                self.assertEqual(fatbin.faults(entries, capability), [], architectures)


class Built(unittest.TestCase):
    def setUp(self):
        if not FILES:
            self.skipTest("no CUDA compiler: no fat binary")

    def test_has_what_the_build_was_asked_for(self):
        try:
            wanted = fatbin.wanted(BUILT[0].split(","))
        except ValueError:
            self.skipTest(f"built for {BUILT[0]}")
        kernels = len(list(pathlib.Path(SOURCE).parents[1].glob("src/kernels/*.cu")))
        found = [entries for file in FILES for entries in fatbin.read(pathlib.Path(file).read_bytes())]
        self.assertEqual(len(found), kernels, "a fat binary for each file of kernels")
        for entries in found:
            self.assertEqual(set(entries), wanted)


class Reading(unittest.TestCase):
    def test_entries(self):
        some, other = [(CODE, 75), (PTX, 90)], [(CODE, 120)]
        data = b"before" + made(*some) + b"between" + made(*other)
        self.assertEqual(fatbin.read(data), [[Entry(*e) for e in some], [Entry(*e) for e in other]])
        self.assertEqual(fatbin.read(b"nothing"), [])

    def test_what_is_none(self):
        whole = made((CODE, 90), (PTX, 90))
        for broken in (whole[:-1], made((3, 90)), whole.replace(struct.pack("<I", 64), struct.pack("<I", 16))):
            self.assertRaises(ValueError, fatbin.read, broken)

    def test_lists(self):
        self.assertEqual(fatbin.wanted(["75-real", "80-virtual", "90"]), {(CODE, 75), (PTX, 80), (CODE, 90), (PTX, 90)})
        for other in ("native", "all-major", "90a-real"):
            self.assertRaises(ValueError, fatbin.wanted, [other])


class Running(unittest.TestCase):
    def test_code_runs_within_its_major_version(self):
        entries = fatbin.wanted(["80-real", "100-real"])
        self.assertEqual(fatbin.runs(entries, 89), {(CODE, 80)})
        self.assertEqual(fatbin.runs(entries, 103), {(CODE, 100)})
        for capability in (75, 90, 110):
            self.assertEqual(len(fatbin.faults(entries, capability)), 1)
        self.assertEqual(len(fatbin.faults(fatbin.wanted(["86-real"]), 80)), 1)

    def test_ptx_runs_from_its_capability_on(self):
        entries = fatbin.wanted(["75-real", "80-real", "90-real", "100-real", "120"])
        self.assertEqual(fatbin.faults(entries, 130), [])
        self.assertEqual(len(fatbin.faults(entries, 110)), 1, "PTX for 12.0 alone")
        entries |= fatbin.wanted(["90"])
        self.assertEqual(fatbin.runs(entries, 110), {(PTX, 90)})
        self.assertEqual(fatbin.faults(entries, 110), [])

    def test_older_ptx_does_not_wait(self):
        entries = fatbin.wanted(["75", "90"])
        self.assertEqual(fatbin.faults(entries, 80), [])
        self.assertEqual(fatbin.faults(entries, 90), [], "there is code")
        self.assertEqual(len(fatbin.faults(entries, 110)), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

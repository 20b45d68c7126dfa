#!/usr/bin/env python3
"""Whether docs/testing.md has a row for each test of a build folder, and names none that isn't there.

    test_documented.py BUILD
"""
import fnmatch
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What a build has in place of all tests of a folder, where it can't have them.
PLACEHOLDERS = {"simt", "emulated", "ptx"}


def tests_in_sources():
    """Also those that a build leaves out, without benchmarks or CUDA, say."""
    return {path.stem for path in (ROOT / "tests").rglob("test_*.cpp")}


def programs(names, sources):
    """gpu_test_x and emulated_test_x are test_x on another device."""
    plain = {name: re.sub(r"^\w*?(?=test_)", "", name) for name in names - PLACEHOLDERS}
    return {plain[name] if plain[name] in sources else name for name in plain}


def tests_of(build):
    """The names of a build's tests, from what CMake wrote for ctest: a ctest of its own would begin the log of the
    one that runs this anew."""
    written = "".join(path.read_text(encoding="utf-8") for path in pathlib.Path(build).rglob("CTestTestfile.cmake"))
    return set(re.findall(r"^add_test\((?:\[=*\[)?\"?(\w+)", written, re.M))


def documented(text):
    """The names in the first columns of the tables "program | what"."""
    names = set()
    for table in re.findall(r"^\| program \| what \|\n\| --- \| --- \|\n((?:\|.*\n)+)", text, re.M):
        for row in table.splitlines():
            names.update(re.findall(r"`([^`]+)`", row.split("|")[1]))
    return names


def missing(tests, names):
    return sorted(test for test in tests if not any(fnmatch.fnmatchcase(test, name) for name in names))


def stale(tests, names, cmake):
    """A name that neither a test has nor a CMakeLists.txt, which may define it elsewhere."""
    return sorted(name for name in names if not fnmatch.filter(tests, name) and name not in cmake)


class Documented(unittest.TestCase):
    def test_every_test_has_a_row_and_every_row_a_test(self):
        names = documented((ROOT / "docs" / "testing.md").read_text(encoding="utf-8"))
        sources = tests_in_sources()
        tests = programs(tests_of(BUILD), sources) | sources
        cmake = "".join(path.read_text(encoding="utf-8") for folder in ("tests", "bench")
                        for path in (ROOT / folder).rglob("CMakeLists.txt"))
        self.assertEqual(missing(tests, names), [], "add a row to docs/testing.md")
        self.assertEqual(stale(tests, names, cmake), [], "rows of docs/testing.md without a test")

    def test_what_it_finds(self):
        text = ("| program | what |\n| --- | --- |\n| `test_a`, `fuzz_*` | `test_c` |\n\n"
                "| file |\n| --- |\n| `test_d` |\n")
        names = documented(text)
        self.assertEqual(names, {"test_a", "fuzz_*"})
        self.assertEqual(programs({"gpu_test_a", "emulated_75_test_a", "b_test_b", "simt"}, {"test_a"}),
                         {"test_a", "b_test_b"})
        self.assertEqual(missing({"test_a", "test_ab", "fuzz_csv"}, names), ["test_ab"])
        self.assertEqual(stale({"test_a"}, names, ""), ["fuzz_*"])
        self.assertEqual(stale({"fuzz_csv"}, names, "NAME test_a\n"), [])


if __name__ == "__main__":
    BUILD = sys.argv[1]
    unittest.main(argv=sys.argv[:1])

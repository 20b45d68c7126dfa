#!/usr/bin/env python3
"""Whether `ctest -L gpu` (make gpu-test) runs all that the documents promise, and that the bundle for GPU machines has.

    test_gpu_label.py BUILD
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def labelled():
    """{program: environment} of the tests with the label, from what CMake wrote for ctest: a ctest of its own would
    begin the log of the one that runs this anew. CMake writes names as they are, or in [=[ ]=]."""
    text = (pathlib.Path(BUILD) / "tests" / "CTestTestfile.cmake").read_text(encoding="utf-8")
    name = r"(?:\[=*\[)?([\w.]+)(?:\]=*\])?"
    programs = {test: pathlib.Path(path).name for test, path in re.findall(rf'^add_test\({name} "([^"]+)"', text, re.M)}
    properties = dict(re.findall(rf"^set_tests_properties\({name} PROPERTIES (.*)\)$", text, re.M))
    return {programs[test]: line for test, line in properties.items() if re.search(r'LABELS "gpu"', line)}


class Label(unittest.TestCase):
    def test_the_documents_programs_have_it(self):
        text = (ROOT / "docs" / "cuda.md").read_text(encoding="utf-8")
        named = set(re.findall(r"`(test_\w+)`", re.search(r"`make gpu-test` \([^)]*\)", text).group()))
        self.assertIn("test_cuda_gpu", named)
        self.assertLessEqual(named, set(labelled()))

    def test_the_bundle_has_the_same(self):
        packed = (pathlib.Path(BUILD) / "tests" / "gpu_tests.txt").read_text(encoding="utf-8").split()
        self.assertEqual(set(labelled()), set(packed))
        self.assertGreater(len(packed), 15)

    def test_each_runs_on_the_gpu(self):
        for program, environment in labelled().items():
            self.assertIn("DELTAK_TEST_DEVICE=cuda", environment, program)


if __name__ == "__main__":
    BUILD = sys.argv[1]
    unittest.main(argv=sys.argv[:1])

#!/usr/bin/env python3
"""scripts/test.sh, which ends with the reasons of skipped tests, on a build folder of four tests."""
import os
import subprocess
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "test.sh")


def ctest(said):
    """Output and status of a run of tests, given as {name: (output, status)}."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "CTestTestfile.cmake"), "w", encoding="utf-8") as file:
            for name, (text, status) in said.items():
                file.write(f'add_test({name} sh -c "echo \'{text}\'; exit {status}")\n'
                           f"set_tests_properties({name} PROPERTIES SKIP_RETURN_CODE 77)\n")
        done = subprocess.run([SCRIPT, folder], capture_output=True, text=True)
        return done.stdout, done.returncode


class Skips(unittest.TestCase):
    def test_a_reason_stands_once_with_its_programs(self):
        output, status = ctest({"one": ("skipped: no GPU: none at all", 77),
                                "two": ("skipped 1 of 3: no GPU: none at all", 0),
                                "three": ("skipped 2 of 9: no disk", 0), "four": ("fine", 0)})
        self.assertEqual(status, 0)
        self.assertTrue(output.endswith(
            "\nSkipped, and why:\n  no GPU: none at all:\n    one, two (1 of 3)\n"
            "  no disk:\n    three (2 of 9)\n"), output)

    def test_a_failure_stays_one(self):
        output, status = ctest({"one": ("skipped 1 of 2: no disk", 1)})
        self.assertNotEqual(status, 0)
        self.assertIn("no disk:\n    one (1 of 2)", output)

    def test_nothing_is_said_of_none(self):
        output, status = ctest({"one": ("fine", 0)})
        self.assertEqual(status, 0)
        self.assertNotIn("Skipped", output)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""scripts/reliability.py: reports into a table, and whether docs/reliability.md is up to date."""
import io
import json
import os
import sys
import tempfile
import unittest
from contextlib import redirect_stderr

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import reliability  # noqa: E402


def report(*tests):
    return {"testsuites": [{"testsuite": [
        dict({"name": name, "classname": "Some/Suite"}, **fields) for name, fields in tests]}]}


class Reliability(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.reports = os.path.join(self.folder.name, "reports")
        os.mkdir(self.reports)
        kept = reliability.RESULTS
        reliability.RESULTS = self.folder.name
        self.addCleanup(setattr, reliability, "RESULTS", kept)

    def put(self, name, content):
        with open(os.path.join(self.reports, name), "w", encoding="utf-8") as file:
            json.dump(content, file)

    def collect(self):
        with redirect_stderr(io.StringIO()):
            return reliability.collect(self.reports)

    def test_counts_of_one_kind_add_up(self):
        self.put("test_a.json", report(("Holds/sgd", {"P | in a way": "3", "time": "1s"}),
                                       ("Holds/adam", {"P | in a way": "4"}),
                                       ("Other", {"P | in another": "1000"})))
        self.assertEqual(self.collect(), 0)
        text = reliability.fill("<!-- P -->\ntyped\n<!-- /P -->\n", reliability.tables())
        self.assertIn("| in a way | 7 | `test_a: Suite.Holds` | held |", text)
        self.assertIn("| in another | 1,000 | `test_a: Suite.Other` | held |", text)
        self.assertNotIn("typed", text)

    def test_a_failed_test_shows(self):
        self.put("test_a.json", report(("Holds", {"P | so": "3", "failures": [{"failure": "x"}]})))
        self.assertEqual(self.collect(), 1)
        self.assertIn("**FAILED**", reliability.tables()["P"])

    def test_no_report_is_a_failure(self):
        self.put("test_a.json", report(("Holds", {})))
        self.assertEqual(self.collect(), 1)

    def test_what_has_no_result_says_so(self):
        self.assertIn("Not measured yet.",
                      reliability.fill("<!-- soak -->\n17 hours\n<!-- /soak -->", {}))

    def test_the_document_is_up_to_date(self):
        reliability.RESULTS = os.path.join(ROOT, "docs", "reliability")
        self.assertEqual(reliability.main(["check"]), 0)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""bench/defaults.py --quick: deltak's defaults still learn as well as the recorded peers', and worse
ones would be seen.

    test_defaults.py BUILD
"""
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, "..", "..", "bench")
BUILD = ""
sys.path.insert(0, BENCH)
import learners  # noqa: E402
import learning_report  # noqa: E402
import learning_sets  # noqa: E402


def quick(*options):
    command = [sys.executable, os.path.join(BENCH, "defaults.py"), "--deltak",
               os.path.join(BUILD, "deltak"), "--quick", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Defaults(unittest.TestCase):
    # Broken by an initialiser, rate, schedule or batch that learns worse than the peers' defaults.
    def test_they_learn_as_well_as_the_peers(self):
        done = quick()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("\n"), 6, done.stdout)  # a head, 4 networks, a summary

    # The rates and weights that deltak started from before are what the test is there to refuse.
    def test_worse_ones_are_seen(self):
        done = quick("--", "--init", "he_normal", "--lr", "1e-3", "--batch", "128")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)

    def test_sets_are_what_they_say(self):
        x, y, x_test, y_test = learning_sets.load("friedman1", 1)
        self.assertEqual([len(part) for part in (x, y, x_test, y_test)], [5000, 5000, 2000, 2000])
        self.assertIs(learning_sets.load("friedman1", 2)[0], x)
        self.assertFalse(learners.is_classification(y))
        self.assertTrue(learners.is_classification(learning_sets.load("digits", 1)[1]))
        one, other = (learning_sets.load("sixty", seed) for seed in (1, 2))
        self.assertEqual(len(one[0]), 60)
        self.assertNotEqual(one[0], other[0])
        self.assertEqual(sorted(one[0] + one[2]), sorted(other[0] + other[2]))


def row(name, hidden, deltak, torch, ratio):
    return {"set": name, "rows": 60, "features": 10, "hidden": hidden, "ratio": ratio,
            "errors": {"deltak": deltak, "torch": torch, "sklearn": [0.5, 0.7]}}


class Report(unittest.TestCase):
    RESULT = {"commit": "0123456789ab", "date": "2026-01-02", "seeds": 2, "epochs": 20, "most": 1.05,
              "machine": {"cpu": "A CPU", "cores": 2, "os": "An OS"}, "versions": {"deltak": "0.2"},
              "geometric_mean": 0.9,
              "rows": [row("a", [32], [0.1, 0.3], [0.2, 0.4], 0.667),
                       row("b", [8, 8], [0.7, 0.7], [0.6, 0.6], 1.167)]}

    def test_table(self):
        before = dict(self.RESULT, geometric_mean=1.5, commit="abc",
                      rows=[dict(self.RESULT["rows"][0], ratio=1.25)])
        text = learning_report.defaults_table(self.RESULT, before)
        self.assertIn("| a | 60 × 10 | 32 | 0.2000 ± 0.1414 | 0.3000 ± 0.1414 | 0.6000 ± 0.1414 | "
                      "0.667 | 1.250 |\n", text)
        self.assertIn("| b | 60 × 10 | 2 × 8 | 0.7000 ± 0.0000 | 0.6000 ± 0.0000 | "
                      "0.6000 ± 0.1414 | **1.167**, missed |  |\n", text)
        self.assertIn("Geometric mean of the 2 ratios: **0.900**; largest 1.167; 1 above 1.05. With "
                      "the defaults before: 1.500, largest 1.250.", text)
        self.assertIn("commit 0123456789ab, 2026-01-02; before: commit abc.", text)
        alone = learning_report.defaults_table(self.RESULT, None)
        self.assertNotIn("before", alone)


if __name__ == "__main__":
    BUILD = sys.argv.pop()
    unittest.main()

#!/usr/bin/env python3
"""bench/compare.py with the standard library alone, on a network of some hundred weights.

    test_compare.py BUILD
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, "..", "..", "bench")
BUILD = ""
sys.path.insert(0, BENCH)
import agreement  # noqa: E402


def compare(*arguments):
    """Status, standard error and result of compare.py."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "result.json")
        command = [sys.executable, os.path.join(BENCH, "compare.py"), "--build", BUILD, "--layers",
                   "16,33,10", "--batch", "24", "--rounds", "3", "--turn", "0.002", "--rest", "0",
                   "--threads", "1", "--out", out, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        try:
            with open(out, encoding="utf-8") as file:
                return done.returncode, done.stderr, json.load(file)
        except FileNotFoundError:
            return done.returncode, done.stderr, None


class Compare(unittest.TestCase):
    # A result without one of these can't be told from another machine's, or be made again.
    def test_deltak_against_itself(self):
        status, errors, result = compare("--peers", "deltak")
        self.assertEqual(status, 0, errors)
        for key in ("commit", "date", "command", "device", "machine", "versions", "seconds"):
            self.assertIn(key, result)
        for key in ("cpu", "cores", "memory_gib", "os", "kernel", "gpu", "load_before"):
            self.assertIn(key, result["machine"])
        self.assertEqual(result["versions"]["deltak"].count("."), 2)
        self.assertEqual([(run["optimizer"], run["precision"]) for run in result["runs"]],
                         [("sgd", "fp32"), ("adamw", "fp32")])
        for run in result["runs"]:
            self.assertEqual((run["layers"], run["batch"], run["batches"], run["threads"]),
                             ([16, 33, 10], 24, 256, 1))
            self.assertEqual(run["flops"], 2 * 24 * (2 * 16 * 33 + 3 * 33 * 10))
            self.check_rows(run)

    def check_rows(self, run):
        one, other = run["contestants"]
        self.assertEqual(len(one["losses"]), 8)
        # The same program, data and seed: not a bit differs; and it learns the two batches.
        self.assertEqual(one["losses"], other["losses"])
        self.assertLess(one["losses"][6], one["losses"][0])
        self.assertLess(one["losses"][7], one["losses"][1])
        self.assertEqual(len(set(one["losses"])), 8)
        for row in (one, other):
            self.assertTrue(row["agree"])
            self.assertTrue(row["fit_is_steps"])
            self.assertEqual(row["largest_difference"], 0)
            self.assertEqual(len(row["samples"]), 3)
            quartiles = row["ms"]
            self.assertTrue(0 < quartiles["low"] <= quartiles["median"] <= quartiles["high"])
        ratios = sorted(b / a for a, b in zip(one["samples"], other["samples"]))
        self.assertEqual(other["ratio"]["median"], ratios[1])
        self.assertEqual(run["floor"]["ms"]["median"], sorted(run["floor"]["samples"])[1])

    # 32 MiB hold four batches of 131072 rows of 64 bytes.
    def test_rotates_through_more_than_the_caches(self):
        _, errors, result = compare("--peers", "none", "--batch", "131072", "--optimizers", "sgd",
                                    "--rounds", "1", "--layers", "16,2,2")
        self.assertIsNotNone(result, errors)
        self.assertEqual(result["runs"][0]["batches"], 4)

    # On a GPU the project's own CPU backend is a row of the result, in fp32 whatever is compared.
    def test_baseline(self):
        status, errors, result = compare("--peers", "none", "--optimizers", "sgd", "--baseline")
        self.assertEqual(status, 0, errors)
        baseline = result["runs"][0]["baseline"]
        self.assertEqual((baseline["precision"], baseline["threads"]), ("fp32", 1))
        self.assertEqual(len(baseline["samples"]), 3)
        self.assertEqual(baseline["ms"]["median"], sorted(baseline["samples"])[1])
        self.assertGreater(baseline["ms"]["low"], 0)
        self.assertEqual(len(result["runs"][0]["contestants"]), 1)

    def test_other_losses_are_status_1(self):
        peer = os.path.join(HERE, "peer.py")
        status, errors, result = compare("--peers", "torch", "--python", peer, "--settings",
                                         "torch:eager-fused,eager-foreach", "--optimizers", "sgd")
        self.assertEqual(status, 1, errors)
        self.assertIn("losses disagree", errors)
        deltak, lies, missing = result["runs"][0]["contestants"]
        self.assertTrue(deltak["agree"])
        self.assertFalse(lies["agree"])
        self.assertIn("ms", lies)  # told, but report.py doesn't count it
        self.assertEqual(missing["missing"], "No module named 'peer'")
        self.assertNotIn("ms", missing)

    # A peer that dies says why, and the others go on.
    def test_a_peer_may_die(self):
        peer = os.path.join(HERE, "peer.py")
        status, errors, result = compare("--peers", "torch", "--python", peer, "--settings",
                                         "torch:compile-fused", "--optimizers", "sgd")
        self.assertEqual(status, 1, errors)  # its losses were wrong before it died
        deltak, dead = result["runs"][0]["contestants"]
        self.assertEqual(dead["failed"], "the peer's last words")
        self.assertEqual(len(deltak["samples"]), 3)

    def test_no_time_no_result(self):
        status, errors, result = compare("--peers", "none", "--budget", "5")
        self.assertEqual((status, result), (0, None))
        self.assertIn("not reached: 2 of 2", errors)

    # A misspelt setting is told at once, not by each peer's traceback after its packages are loaded.
    def test_an_unknown_setting_is_refused(self):
        for settings, said in (("torch:eagre-fused", "no setting 'eagre-fused' of torch on cpu"),
                               ("torch:graph-fused", "no setting 'graph-fused' of torch on cpu"),
                               ("torch", "no setting '' of torch on cpu"),
                               ("jax:jit,", "no setting '' of jax on cpu"),
                               ("trch:eager-fused", "no peer 'trch' on cpu"),
                               ("deltak:fast", "no setting 'fast' of deltak on cpu")):
            status, errors, result = compare("--settings", settings)
            self.assertEqual((status, result), (2, None), settings)
            self.assertIn(said, errors)

    def test_a_network_that_deltak_refuses_is_status_2(self):
        status, errors, _ = compare("--peers", "none", "--layers", "16,0,10")
        self.assertEqual(status, 2, errors)
        self.assertIn("width", errors)


class Agreement(unittest.TestCase):
    TASK = {"layers": [784, 512, 512, 10], "batch": 128, "optimizer": "sgd", "precision": "fp32",
            "lr": 0.01, "weight_decay": 0.0}

    def test_bound_by_hand(self):
        # 4 sqrt(2 · 3 layers) · sqrt(784) 2^-24; at the fourth step twice that
        first = 4 * math.sqrt(6) * 28 * 2.0 ** -24
        self.assertEqual(agreement.bound(self.TASK, 0, "torch", "eager", [2.0]), first)
        self.assertAlmostEqual(agreement.bound(self.TASK, 3, "torch", "eager", [2.0] * 4),
                               2 * first, delta=1e-15)
        half = dict(self.TASK, precision="bf16")
        self.assertAlmostEqual(agreement.bound(half, 0, "torch", "eager", [2.0]),
                               first + 4 * math.sqrt(6) * 2.0 ** -9, delta=1e-15)
        self.assertAlmostEqual(agreement.bound(half, 1, "torch", "x-pure", [2.0, 1.5]),
                               math.sqrt(2) * (first + 4 * math.sqrt(6) * 2.0 ** -9) + 0.5,
                               delta=1e-15)

    # What the comparison is for: a learning rate that is a twentieth off moves the losses of a
    # network in training by more than the bound.
    def test_sees_differences_and_nothing_else(self):
        reference = [2.89, 2.72, 2.63, 2.51]
        close = agreement.compare(self.TASK, reference, "torch", "eager",
                                  [value + 1e-6 for value in reference])
        self.assertTrue(close["agree"])
        other = agreement.compare(self.TASK, reference, "torch", "eager",
                                  [2.89, 2.72, 2.63 + 0.05 * 0.26, 2.51 + 0.05 * 0.21])
        self.assertFalse(other["agree"])
        for wrong in ([2.89], [2.89, 2.72, 2.63, math.nan]):
            compared = agreement.compare(self.TASK, reference, "torch", "eager", wrong)
            self.assertFalse(compared["agree"])


if __name__ == "__main__":
    BUILD = sys.argv.pop(1)
    unittest.main()

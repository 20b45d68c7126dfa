#!/usr/bin/env python3
"""deltak's contestant on a device by its line protocol: steps are counted and losses are the CPU's.

    test_contestant.py CONTESTANT DEVICE
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench"))
import agreement  # noqa: E402

CONTESTANT, DEVICE = "", ""
REQUESTS = [{"do": "time", "steps": 1}, {"do": "losses", "steps": 6, "batches": 2},
            {"do": "time", "steps": 7}]


class Contestant(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def at(self, name):
        return os.path.join(self.folder.name, name)

    def run_contestant(self, *arguments, lines=()):
        asked = "".join(json.dumps(line) + "\n" for line in lines)
        return subprocess.run([CONTESTANT, *arguments], input=asked, capture_output=True, text=True)

    def task(self, device):
        fields = {"layers": [8, 17, 5], "batch": 6, "batches": 3, "threads": 1,
                  "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.01, "precision": "fp32",
                  "device": device,
                  "x": self.at("x.npy"), "y": self.at("y.npy"), "initial": self.at("initial")}
        with open(self.at("task.json"), "w", encoding="utf-8") as file:
            json.dump(fields, file)
        return fields

    def answers(self, device):
        self.task(device)
        done = self.run_contestant("run", self.at("task.json"), lines=REQUESTS)
        self.assertEqual(done.returncode, 0, done.stderr)
        ready, *answers = map(json.loads, done.stdout.splitlines())
        self.assertTrue(ready["ready"])
        self.assertEqual(len(answers), len(REQUESTS))
        return answers

    def test_steps_and_losses(self):
        task = self.task("cpu")
        self.assertEqual(self.run_contestant("prepare", self.at("task.json")).returncode, 0)
        first, losses, second = self.answers(DEVICE)
        # Exactly as many steps on the CPU; elsewhere whole epochs, of 3.
        self.assertEqual([first["steps"], second["steps"]], [1, 7] if DEVICE == "cpu" else [3, 9])
        self.assertGreater(first["ms"], 0)
        self.assertTrue(losses["fit_is_steps"])
        of_cpu = self.answers("cpu")[1]["losses"]
        self.assertTrue(agreement.compare(task, of_cpu, "deltak", "", losses["losses"])["agree"])
        self.assertLess(losses["losses"][4], losses["losses"][0])

    def test_what_it_does_not_understand(self):
        self.task("cpu")
        for arguments in (["run", self.at("nothing")], ["train", self.at("task.json")], []):
            done = self.run_contestant(*arguments)
            self.assertEqual(done.returncode, 1)
            self.assertTrue(done.stderr.startswith("contestant: "))
        self.run_contestant("prepare", self.at("task.json"))
        for line in ({"do": "sleep", "steps": 1}, {"do": "time"}, {"do": "time", "steps": -1}):
            self.assertEqual(self.run_contestant("run", self.at("task.json"),
                                                 lines=[line]).returncode, 1)


if __name__ == "__main__":
    DEVICE = sys.argv.pop(2)
    CONTESTANT = sys.argv.pop(1)
    unittest.main()

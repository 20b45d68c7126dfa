#!/usr/bin/env python3
"""scripts/gpu-run.sh, on a bundle of programs that pass, are skipped, fail and hang, without a GPU."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "gpu-run.sh"

# A program that hangs has another one hang for it, and notes who that is: both have to be gone. Stubborn ones
# don't end when they are asked to.
HANGS = 'sleep 600 & echo $! >"$PIDS/$(basename "$0")"; wait'
STUBBORN = f'trap "" TERM; {HANGS}; {HANGS}'

# Notes its arguments, and runs the program behind its options.
SANITIZER = """printf '%s\\n' "$*" >>"$PIDS/sanitizer"
while [[ $1 == --* ]]; do shift 2; done
exec "$@"
"""
GPU = 'if [ "$1" = info ]; then echo {}; fi'
NO_GPU = "echo none; exit 5"


def alive(pid):
    """Whether it runs; one that has ended and that nobody has asked after does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Bundle:
    """A bundle whose tests are {name: a shell's text}; deltak does the same for every call."""

    def __init__(self, folder, tests, deltak=NO_GPU, **others):
        self.folder = pathlib.Path(folder) / "bundle"
        self.bin = pathlib.Path(folder) / "bin"
        self.pids = pathlib.Path(folder) / "pids"
        for made in (self.folder / "tests", self.folder / "lib", self.bin, self.pids):
            made.mkdir(parents=True)
        shutil.copy(SCRIPT, self.folder / "run.sh")
        (self.folder / "commit").write_text("none\n", encoding="utf-8")
        (self.folder / "lib" / "libdeltak_cuda.so").write_text("libcublasLt.so.13\n", encoding="utf-8")
        for name, text in tests.items():
            self.program(self.folder / "tests" / name, text)
        self.program(self.folder / "deltak", deltak)
        for name, text in others.items():
            self.program(self.folder / name, text)

    @staticmethod
    def program(path, text):
        path.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def run(self, *arguments, limit="1"):
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "PIDS": str(self.pids), "LIMIT": limit}
        done = subprocess.run([self.folder / "run.sh", *arguments], capture_output=True, text=True, env=environment,
                              timeout=200)
        summary = json.loads((self.folder / "results" / "summary.json").read_text(encoding="utf-8"))
        return done, summary, {run["name"]: run["result"] for run in summary["runs"]}

    def left_running(self):
        return [pid for file in self.pids.iterdir() if file.name != "sanitizer"
                for pid in file.read_text(encoding="utf-8").split() if alive(int(pid))]


class GpuRun(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_every_result_is_told_and_none_ends_the_run(self):
        bundle = Bundle(self.folder, {"test_a_hang": HANGS, "test_failure": "exit 3", "test_pass": "exit 0",
                                      "test_skip": "exit 77"})
        done, summary, results = bundle.run()
        self.assertEqual(results, {"test_a_hang": "hung", "test_failure": "failed", "test_pass": "passed",
                                   "test_skip": "skipped"})
        # what needs a GPU is skipped as one
        self.assertEqual([summary[word] for word in ("passed", "skipped", "failed", "hung")], [1, 2, 1, 1])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("test_a_hang hung: more than 1 s\ntest_failure failed: 3\n1 passed, 1 failed, 1 hung, 2 skipped",
                      done.stdout)
        self.assertEqual(bundle.left_running(), [])

    def test_one_that_does_not_end_when_asked_is_killed(self):
        bundle = Bundle(self.folder, {"test_stubborn": STUBBORN, "test_then": "exit 0"})
        began = time.monotonic()
        _, _, results = bundle.run()
        self.assertEqual(results, {"test_stubborn": "hung", "test_then": "passed"})
        self.assertLess(time.monotonic() - began, 60)

    def test_one_that_ends_as_if_it_were_ended_has_failed(self):
        bundle = Bundle(self.folder, {"test_124": "exit 124", "test_137": "kill -KILL $$"})
        _, _, results = bundle.run(limit="60")
        self.assertEqual(results, {"test_124": "failed", "test_137": "failed"})

    def test_all_is_well(self):
        done, _, _ = Bundle(self.folder, {"test_pass": "exit 0"}).run()
        self.assertEqual(done.returncode, 0)
        self.assertIn("\n1 passed, 0 failed, 0 hung, 1 skipped", done.stdout)

    def test_the_sanitizer_ends_with_every_program_under_every_tool(self):
        bundle = Bundle(self.folder, {"test_a_hang": HANGS, "test_pass": "exit 0"})
        bundle.program(bundle.bin / "compute-sanitizer", SANITIZER)
        _, summary, results = bundle.run("--sanitize")
        tools = ["memcheck", "racecheck", "initcheck", "synccheck"]
        self.assertEqual(results, {f"{tool}-{name}": result for tool in tools
                                   for name, result in (("test_a_hang", "hung"), ("test_pass", "passed"))})
        self.assertEqual(summary["hung"], 4)
        self.assertEqual(bundle.left_running(), [])
        calls = (bundle.pids / "sanitizer").read_text(encoding="utf-8").splitlines()
        for call in calls:
            self.assertIn("--error-exitcode 1", call)
            # tests provoke errors of calls; the other tools don't know the option
            self.assertEqual("--report-api-errors no" in call, "--tool memcheck" in call, call)
        self.assertEqual(len(calls), 8)

    def test_what_comes_behind_the_tests_is_limited_too(self):
        bundle = Bundle(self.folder, {"test_pass": "exit 0"}, deltak=GPU, probe_cublaslt=HANGS)
        bundle.program(bundle.bin / "python3", "exit 0")
        _, _, results = bundle.run()
        self.assertEqual(results["probe_cublaslt"], "hung")
        self.assertEqual(results["check-wide-bf16"], "passed")
        self.assertEqual(results["bench-cuda"], "passed")


if __name__ == "__main__":
    unittest.main()

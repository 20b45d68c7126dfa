#!/usr/bin/env python3
"""scripts/check-subjects.sh, which reads the subjects of commits, on repositories of a few commits."""
import os
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "check-subjects.sh")
ENVIRONMENT = {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
               "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
               "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
               "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}


def check(subjects, *arguments, tag=None):
    """Output and status for a repository of these commits; `tag`: after how many of them there is one."""
    with tempfile.TemporaryDirectory() as folder:
        def git(*words):
            subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, env=ENVIRONMENT)
        git("init")
        for index, subject in enumerate(subjects):
            git("commit", "--allow-empty", "-m", subject)
            if index + 1 == tag:
                git("tag", "v1")
        done = subprocess.run([SCRIPT, *arguments], cwd=folder, capture_output=True, text=True,
                              env=ENVIRONMENT)
        return done.stdout, done.returncode


@unittest.skipUnless(shutil.which("git"), "there is no git")
class Subjects(unittest.TestCase):
    def test_good_ones(self):
        self.assertEqual(check(["cuda: Take every stream", "docs: " + "δ" * 66]), ("", 0))

    def test_a_long_one(self):
        output, status = check(["docs: " + "δ" * 67])
        self.assertEqual(status, 1)
        self.assertIn("73 characters", output)
        self.assertNotIn("no area", output)

    def test_one_without_a_known_area(self):
        for subject in "Take every stream", "stream: Take all", "cuda:Take all", "xcuda: Take all":
            output, status = check(["docs: Begin", subject])
            self.assertEqual((status, output.count("no area in front")), (1, 1), subject)
            self.assertIn(subject, output)

    def test_what_is_looked_at(self):
        self.assertEqual(check(["Old", "docs: New"], tag=1), ("", 0))
        self.assertEqual(check(["Old", "docs: New"], "HEAD~1..HEAD"), ("", 0))
        self.assertEqual(check(["docs: All"], tag=1), ("", 0))
        self.assertEqual(check(["docs: Old", "New"], tag=1)[1], 1)

    def test_a_range_that_does_not_exist(self):
        self.assertNotEqual(check(["docs: Begin"], "nothing..HEAD")[1], 0)


if __name__ == "__main__":
    unittest.main()

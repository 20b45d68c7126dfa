#!/usr/bin/env python3
"""scripts/check-docs.py, which follows the documents' links, on documents with a fault each."""
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "check-docs.py")
INDEX = {"docs/README.md": "[a](a.md)\n", "docs/a.md": "# A\n"}


def check(files):
    """The faults of documents, given as {path: text}, and the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
            with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True)
        if done.stderr:
            raise AssertionError(done.stderr)
        return done.stdout.splitlines(), done.returncode


class Documents(unittest.TestCase):
    def right(self, text):
        self.assertEqual(check({**INDEX, "README.md": text}), ([], 0))

    def wrong(self, text, fault):
        self.assertEqual(check({**INDEX, "README.md": text}), ([f"README.md: {fault}"], 1))

    def test_links_that_go_somewhere(self):
        self.right("# B\n[f](docs/a.md) [h](docs/a.md#a) [folder](docs) [here](#b) [`code`](docs/a.md)\n"
                   "[web](https://example.org/x) [mail](mailto:a@example.org)\n")

    def test_a_file_that_is_missing(self):
        self.wrong("[f](docs/b.md)", "docs/b.md: there is no docs/b.md")
        self.wrong("![picture](b.svg)", "b.svg: there is no b.svg")
        self.wrong("[over\ntwo lines](b.c)", "b.c: there is no b.c")
        self.wrong("[`code`](b.c)", "b.c: there is no b.c")

    def test_a_heading_that_is_missing(self):
        self.wrong("[f](docs/a.md#b)", "docs/a.md#b: docs/a.md has no such heading")
        self.wrong("[f](#b)", "#b: README.md has no such heading")

    def test_a_file_beside_the_project(self):
        self.wrong("[f](../b.md)", "../b.md: leaves the project")

    def test_code_has_no_links(self):
        self.right("`f[1](b.c)`\n\n```\n[f](b.c)\n```\n")

    def test_anchors_of_headings(self):
        text = "## `g`, and g′: what's new?\n## Width\n## Width\n[1](#g-and-g-whats-new) [2](#width-1)\n"
        self.right(text)
        self.wrong(text + "[3](#width-2)", "#width-2: README.md has no such heading")

    def test_a_heading_in_code_is_none(self):
        self.wrong("```\n# b\n```\n[f](#b)", "#b: README.md has no such heading")

    def test_a_document_beside_the_index(self):
        lost = {**INDEX, "docs/b.md": "# B\n"}
        self.assertEqual(check(lost), (["docs/README.md: b.md isn't in the index"], 1))
        del lost["docs/README.md"]
        self.assertEqual(len(check(lost)[0]), 2)


if __name__ == "__main__":
    unittest.main()

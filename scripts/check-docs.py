#!/usr/bin/env python3
"""Checks the documents (*.md): links go somewhere, and docs/README.md has every document of docs/.

    scripts/check-docs.py [FOLDER]      the project's folder (default: the one around this script)

A relative link has to name a file or a folder that is there, within the project; an anchor has to be
that of a heading. Prints a line for each fault; the exit status is 1 if there is one.
"""
import os
import re
import sys

SKIPPED = {"build", ".git", "node_modules"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def documents(root):
    """Paths of the Markdown files below `root`, relative to it."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(files):
            if name.endswith(".md"):
                yield os.path.relpath(os.path.join(folder, name), root)


def prose(root, path):
    """A document without its blocks of code."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return FENCED.sub("", file.read())


def anchors(text):
    """The anchors of a document's headings, made as GitHub and GitLab make them."""
    found = {}
    for heading in re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE):
        heading = LINK.sub(lambda link: link.group(0)[1:].split("]")[0], heading)
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        times = found.get(anchor, 0)
        found[anchor] = times + 1
        yield f"{anchor}-{times}" if times else anchor


def links(text):
    """The targets of a document's relative links; what stands in backquotes is no link."""
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
        if not re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
            yield target


def faults_of_link(root, path, target):
    """What is wrong with the link `target` of the document `path`, if anything is."""
    name, _, anchor = target.partition("#")
    to = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
    if to.startswith(("..", "/")):
        yield f"{path}: {target}: leaves the project"
    elif not os.path.exists(os.path.join(root, to)):
        yield f"{path}: {target}: there is no {to}"
    elif anchor and to.endswith(".md") and anchor not in anchors(prose(root, to)):
        yield f"{path}: {target}: {to} has no such heading"


def faults(root):
    """A line for each fault of the documents below `root`."""
    found = list(documents(root))
    for path in found:
        for target in links(prose(root, path)):
            yield from faults_of_link(root, path, target)
    index = os.path.join("docs", "README.md")
    listed = set()
    if index in found:
        listed = {target.partition("#")[0] for target in links(prose(root, index))}
    for path in found:
        name = os.path.relpath(path, "docs")
        if os.path.dirname(path) == "docs" and path != index and name not in listed:
            yield f"{index}: {name} isn't in the index"


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(here)
    found = list(faults(root))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

#!/bin/sh
# Checks the subjects of commits: at most 72 characters, and the area that the commit is about in front,
# "cuda: Take every stream". Merges have none.
#
#     scripts/check-subjects.sh [RANGE]     as git log takes it; without it, the commits since the last
#                                           tag, or the last 50 where there is no tag
set -eu

# The folders of src/ and src/host, those beside src, and what else a commit may be about.
areas='base|bench|build|ci|cli|cpu|cuda|data|docs|examples|format|include|kernels|make|model'
areas="$areas|reference|scripts|tests|train"

if [ $# -eq 0 ]; then
    if tag=$(git describe --tags --abbrev=0 2>/dev/null); then
        set -- "$tag..HEAD"
    else
        set -- -50
    fi
fi

# Characters, not bytes, whatever the locale.
subjects=$(git log --no-merges --format='%h %s' "$@")
printf '%s\n' "$subjects" | AREAS=$areas python3 -c '
import os, re, sys
faults = 0
for line in sys.stdin.buffer.read().decode("utf-8", "replace").splitlines():
    commit, _, subject = line.partition(" ")
    for wrong, fault in (
            (len(subject) > 72, f"{len(subject)} characters, 72 are the most"),
            (not re.match("(" + os.environ["AREAS"] + "): [^ ]", subject) and commit,
             "no area in front; one of: " + os.environ["AREAS"].replace("|", ", "))):
        if wrong:
            print(f"{commit} {subject}\n    {fault}")
            faults += 1
sys.exit(1 if faults else 0)'

#!/bin/sh
# Runs the tests of a build folder, and says at the end which were skipped, and why.
#
#     scripts/test.sh BUILD [ARGUMENTS OF CTEST]
#
# A test program says so by a line "skipped: WHY", or "skipped N of M: WHY" where others of its tests ran
# (tests/main.cpp). A reason stands once, with the programs that it holds for.
set -u
build=$1
shift

status=0
ctest --test-dir "$build" --output-on-failure "$@" || status=$?

awk '
    /^[0-9]+\/[0-9]+ Test: / { program = $3 }
    /^skipped( [0-9]+ of [0-9]+)?: / {
        part = $0
        sub(/^skipped ?/, "", part)
        sub(/: .*/, "", part)
        why = $0
        sub(/^skipped[^:]*: /, "", why)
        if (!(why in programs)) order[++reasons] = why
        programs[why] = programs[why] (programs[why] == "" ? "" : ", ") program (part == "" ? "" : " (" part ")")
    }
    END {
        if (reasons) print "\nSkipped, and why:"
        for (i = 1; i <= reasons; i++) print "  " order[i] ":\n    " programs[order[i]]
    }' "$build/Testing/Temporary/LastTest.log"
exit $status

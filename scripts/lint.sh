#!/bin/sh
# Reads the sources as clang-tidy (.clang-tidy), cppcheck and shellcheck do, and follows the links of the
# documents; nothing is built.
#
#     scripts/lint.sh [JOBS]
set -eu
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
build=build/lint
failed=0
mkdir -p build

# Only how each file is compiled is wanted; one kind of GPU is enough for that.
CC=clang CXX=clang++ cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DCMAKE_CUDA_ARCHITECTURES=90 \
    -DDELTAK_BENCH=OFF >$build.log || { cat $build.log && exit 1; }

# clang-tidy reads a file once for each way in which it is compiled (the command's for three programs, the
# CPU's loops for three instruction sets): one of them is enough. Prints the files.
one_way_each='
import json, re, sys
ways = {way["file"]: way for way in json.load(open(sys.argv[1]))
        if re.search(r"/src/(host|cli)/.*\.c$", way["file"])}
json.dump(list(ways.values()), open(sys.argv[1], "w"))
print("\n".join(sorted(ways)))'

echo "lint: clang-tidy"
files=$(python3 -c "$one_way_each" $build/compile_commands.json)
echo "$files" | xargs -P "$jobs" -n 1 clang-tidy -p $build --quiet 2>$build.log || failed=1
# It counts on stderr the warnings of system headers that it doesn't show.
grep -vE '^[0-9]+ (warnings?|errors?)' $build.log >&2 || true

# invalidPointerCast: one block of memory holds arrays of several types, each where it is aligned. With -j
# above 1 it leaves alone what one file does with another's arguments, where it doesn't follow conditions; a
# second file at a time it takes only from another process.
echo "lint: cppcheck"
find src/host src/cli -name '*.c' -print0 | xargs -0 -P "$jobs" -n 20 \
    cppcheck -j 2 --quiet --enable=warning,performance,portability --inline-suppr \
    --suppress=invalidPointerCast --error-exitcode=1 --std=c11 --template=gcc \
    -Iinclude -Isrc -Isrc/host -D_GNU_SOURCE= -DDKI_VARIANT=baseline || failed=1

echo "lint: shellcheck"
git ls-files '*.sh' .ci/run | xargs shellcheck || failed=1

echo "lint: links of documents"
scripts/check-docs.py || failed=1
exit $failed

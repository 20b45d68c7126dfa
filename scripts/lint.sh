#!/bin/sh
# Reads the sources as clang-tidy (.clang-tidy), cppcheck and shellcheck do; nothing is built.
#
#     scripts/lint.sh [JOBS]
set -eu
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
build=build/lint
failed=0

# Only how each file is compiled is wanted; one kind of GPU is enough for that.
CC=clang CXX=clang++ cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DCMAKE_CUDA_ARCHITECTURES=90 \
    -DDELTAK_BENCH=OFF >$build.log || { cat $build.log && exit 1; }

echo "lint: clang-tidy"
sed -nE 's,.*"file": "(.*/src/(host|cli)/.*\.c)".*,\1,p' $build/compile_commands.json | sort -u |
    xargs -P "$jobs" -n 1 clang-tidy -p $build --quiet 2>$build.log || failed=1
# It counts on stderr the warnings of system headers that it doesn't show.
grep -vE '^[0-9]+ (warnings?|errors?)' $build.log >&2 || true

# invalidPointerCast: one block of memory holds arrays of several types, each where it is aligned.
echo "lint: cppcheck"
cppcheck -j "$jobs" --quiet --enable=warning,performance,portability --inline-suppr \
    --suppress=invalidPointerCast --error-exitcode=1 --std=c11 --template=gcc \
    -Iinclude -Isrc -Isrc/host -D_GNU_SOURCE= -DDKI_VARIANT=baseline src/host src/cli || failed=1

echo "lint: shellcheck"
git ls-files '*.sh' .ci/run | xargs shellcheck || failed=1
exit $failed

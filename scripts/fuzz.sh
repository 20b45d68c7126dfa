#!/bin/bash
# Runs libFuzzer's programs and says what they did: `make fuzz`.
#
#     scripts/fuzz.sh BUILD RUNS [TARGET…]      all targets, unless some are named
#
# BUILD has the programs (-DDELTAK_FUZZ=ON). What a target learns stays in BUILD/corpus/TARGET, what
# breaks it in BUILD/findings/TARGET, what it printed in BUILD/logs/TARGET. Writes BUILD/results.json;
# fails if there is a finding. JOBS=N targets run at a time.
set -euo pipefail
export BUILD=$1 RUNS=$2
shift 2
sources=$(cd "$(dirname "$0")/.." && pwd)
export TESTS=$sources/tests/fuzz
# shellcheck disable=SC2046 # names without blanks
[ $# -gt 0 ] || set -- $(basename -a "$BUILD"/tests/fuzz/fuzz_* | sed -n 's/^fuzz_\([a-z_]*\)$/\1/p')

# A small quarantine makes AddressSanitizer twice as fast; a program that lives long needs a limit.
export ASAN_OPTIONS=quarantine_size_mb=8:allocator_may_return_null=1 OMP_NUM_THREADS=1

findings_of() { find "$BUILD/findings/$1" -type f | wc -l; }

# Runs a target; leaves "target executions seconds crashes" in the folder of results.
fuzz_one() {
    local target=$1 log=$BUILD/logs/$1 dictionary=()
    mkdir -p "$BUILD/corpus/$target" "$BUILD/findings/$target"
    local before started=$EPOCHREALTIME code=0 executions crashes
    before=$(findings_of "$target")
    [ ! -e "$TESTS/dictionary/$target.dict" ] || dictionary=(-dict="$TESTS/dictionary/$target.dict")
    "$BUILD/tests/fuzz/fuzz_$target" -runs="$RUNS" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -malloc_limit_mb=64 -print_final_stats=1 "${dictionary[@]}" \
        -artifact_prefix="$BUILD/findings/$target/" \
        "$BUILD/corpus/$target" "$TESTS/corpus/$target" >"$log" 2>&1 || code=$?
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    crashes=$(($(findings_of "$target") - before))
    [ "$code" -eq 0 ] || [ "$crashes" -gt 0 ] || crashes=1 # ended without an input to keep
    awk -v begin="$started" -v end="$EPOCHREALTIME" -v line="$target ${executions:-0} $crashes" \
        'BEGIN {split(line, f); printf "%s %d %.1f %d\n", f[1], f[2], end - begin, f[3]}' \
        >"$BUILD/results/$target"
}
export -f fuzz_one findings_of

rm -rf "$BUILD/results"
mkdir -p "$BUILD/results" "$BUILD/logs"
printf '%s\n' "$@" | xargs -P"${JOBS:-1}" -I{} bash -euo pipefail -c 'fuzz_one {}'

commit=$(git -C "$sources" describe --always --dirty --abbrev=12 --exclude='*')
{
    echo "{"
    sort "$BUILD"/results/* | sed -E \
        's/(.*) (.*) (.*) (.*)/  "\1": {"executions": \2, "seconds": \3, "crashes": \4},/'
    printf '  "compiler": "%s",\n  "commit": "%s"\n}\n' "$(clang --version | head -n 1)" "$commit"
} >"$BUILD/results.json"

sort "$BUILD"/results/* | awk '
    BEGIN {printf "%-16s %12s %9s %9s %13s\n", "target", "executions", "seconds", "exec/s", "new findings"}
    {printf "%-16s %12d %9.1f %9.0f %13d\n", $1, $2, $3, $2 / ($3 + 0.05), $4; n += $2; k += $4}
    END {printf "%-16s %12d %33d\n", "all", n, k; exit k > 0}' || {
    grep -h -A1 -E '^BROKEN|^==.*ERROR|runtime error' "$BUILD"/logs/* || true
    exit 1
}

#!/bin/sh
# A network's life under valgrind's memcheck: trained, saved, opened, used. Of memory that isn't
# initialised only valgrind tells. The processor that it emulates has AVX2, so these are the loops
# and oneDNN's kernels that run; threads take turns, so waiting ones must not spin, and two lives run
# side by side.
#
#     scripts/valgrind.sh DELTAK
set -eu
deltak=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive

# In a folder of its own for each life.
memcheck() {
    echo "valgrind: deltak $1 ($(basename "$PWD"))"
    if ! valgrind --quiet --error-exitcode=99 --leak-check=full --num-callers=24 \
        --show-leak-kinds=definite,possible --errors-for-leak-kinds=definite,possible \
        "$deltak" "$@" --device cpu --threads 2 >out 2>err </dev/null; then
        cat out err >&2
        return 1
    fi
    # Whatever valgrind says, it begins a line by the number of the process.
    if grep -E '^==[0-9]+==' err >&2; then return 1; fi
}

digits() {
    memcheck train --data builtin:digits --rows 200 --valid-fraction 0.2 --hidden 24,24 --epochs 2 \
        --batch 32 --optimizer adamw --dropout 0.1 --quiet --out digits.safetensors \
        --metrics run.jsonl --plot curve.svg &&
        memcheck eval --model digits.safetensors --data builtin:digits --rows 100
}

rows() {
    printf 'a,b,y\n1,2,0.5\n-3,4e-1,1\n5,6,2.5\n' >rows.csv
    printf 'a,b\n1,2\n-3,4e-1\n' >new.csv
    memcheck train --data rows.csv --label-column y --hidden 5 --epochs 2 --quiet \
        --out rows.safetensors &&
        memcheck predict --model rows.safetensors --data new.csv
}

deltak=$(realpath "$deltak")
mkdir "$work/digits" "$work/rows"
(cd "$work/digits" && digits) &
digits=$!
failed=0
(cd "$work/rows" && rows) || failed=1
wait $digits || failed=1
exit $failed

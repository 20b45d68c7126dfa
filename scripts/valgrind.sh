#!/bin/sh
# A network's life under valgrind's memcheck: trained, saved, opened, used. Of memory that isn't
# initialised only valgrind tells. The processor that it emulates has AVX2, so these are the loops
# and oneDNN's kernels that run; threads take turns, so waiting ones must not spin.
#
#     scripts/valgrind.sh DELTAK
set -eu
deltak=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive

memcheck() {
    echo "valgrind: deltak $1"
    if ! valgrind --quiet --error-exitcode=99 --leak-check=full --num-callers=24 \
        --show-leak-kinds=definite,possible --errors-for-leak-kinds=definite,possible \
        "$deltak" "$@" --device cpu --threads 2 >"$work/out" 2>"$work/err" </dev/null; then
        cat "$work/out" "$work/err" >&2
        return 1
    fi
    # Whatever valgrind says, it begins a line by the number of the process.
    if grep -E '^==[0-9]+==' "$work/err" >&2; then return 1; fi
}

memcheck train --data builtin:digits --rows 200 --valid-fraction 0.2 --hidden 24,24 --epochs 2 \
    --batch 32 --optimizer adamw --dropout 0.1 --quiet --out "$work/digits.safetensors" \
    --metrics "$work/run.jsonl" --plot "$work/curve.svg"
memcheck eval --model "$work/digits.safetensors" --data builtin:digits --rows 100
printf 'a,b,y\n1,2,0.5\n-3,4e-1,1\n5,6,2.5\n' >"$work/rows.csv"
memcheck train --data "$work/rows.csv" --label-column y --hidden 5 --epochs 2 --quiet \
    --out "$work/rows.safetensors"
printf 'a,b\n1,2\n-3,4e-1\n' >"$work/new.csv"
memcheck predict --model "$work/rows.safetensors" --data "$work/new.csv"

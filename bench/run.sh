#!/bin/sh
# What `make bench` runs, once everything is built.
#
#     bench/run.sh BUILD PEERS [QUICK]
#
# PEERS is the virtual environment with the peers' packages, if there is one. With QUICK (anything
# but empty or 0) a minute's run is printed, and nothing outside build/ changes. BUDGET=SECONDS in
# the environment is what each device may take.
set -eu
build=$1 peers=$2 quick=${3:-0}
here=$(cd "$(dirname "$0")" && pwd)

python=python3
if [ -x "$peers/bin/python" ]; then python=$peers/bin/python; fi
# Debian's matplotlib is seen by Debian's Python, which needn't be the first in the path.
report=/usr/bin/python3
if ! [ -x "$report" ]; then report=python3; fi
if [ "$quick" = 0 ] || [ -z "$quick" ]; then quick=; fi

results=$here/results
if [ -n "$quick" ]; then results=$build/quick-bench; fi
mkdir -p "$results"

status=0
measure() { # NAME ARGUMENT…
    out=$1
    shift
    echo "== $out" >&2
    "$python" "$here/compare.py" --build "$build" --python "$python" \
        --out "$results/$out.json" "$@" || status=$?
}

devices=cpu
if "$build/deltak" info --device cuda >/dev/null 2>&1; then devices="cpu cuda"; fi
for device in $devices; do
    if [ -n "$quick" ]; then
        measure "$device" --device "$device" --workloads mnist --optimizers sgd --rounds 5 \
            --turn 0.1 --patience 60
        continue
    fi
    # On the CPU a quarter of an hour in all, bf16 included; what isn't reached is named in the
    # result. PyTorch's search for the best kernels takes minutes on a GPU.
    if [ "$device" = cpu ]; then
        budget=${BUDGET:-540}
        set -- --workloads k1024,mnist,narrow
    else
        budget=${BUDGET:-2400}
        set --
    fi
    measure "$device" --device "$device" --rounds 7 --budget $((budget * 7 / 10)) "$@"
    for sweep in width batch; do
        measure "$device-$sweep" --device "$device" --sweep $sweep --rounds 5 \
            --budget $((budget * 3 / 20))
    done
done

if [ -n "$quick" ]; then
    "$report" "$here/report.py" --results "$results" --print
else
    if "$build/deltak" check --device cpu --precision bf16 >/dev/null 2>&1; then # it has bf16
        measure cpu-bf16 --workloads k1024,mnist,narrow --precisions bf16 --optimizers sgd \
            --rounds 7 --budget 150
    fi
    "$python" "$here/libraries.py" --build "$build" --out "$results/cpu-libraries.json" || status=$?
    "$report" "$here/report.py"
fi
exit "$status"

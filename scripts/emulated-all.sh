#!/bin/sh
# The device tests on an emulated GPU of each generation, in several orders of independent work and by several
# clocks: with the kernels as the host's compiler compiles them (emulated_*) and as nvcc does (ptx_*).
#
#     emulated-all.sh BUILD [JOBS]     CAPABILITIES="75 80 90 100", SCHEDULES="0 3 5" and CLOCKS="model host" unless
#                                      they say otherwise; what these are: tests/emulated/emulated.h
#
# Ends with one line for each program that failed, and how it was run.
set -eu
build=$1 jobs=${2:-1}
log=$build/emulated-all
mkdir -p "$log"
export DELTAK_TEST_DEVICE=cuda DELTAK_TEST_SHORT=1 OMP_WAIT_POLICY=passive DELTAK_EMULATED_KERNEL_MS=0.1,0.01
programs=$(find "$build/tests/emulated" -maxdepth 1 -name 'emulated_test_*' -type f -perm -u+x
           find "$build/tests/emulated/nvcc" -maxdepth 1 -name 'ptx_test_*' ! -name 'ptx_test_backend_*' \
                ! -name 'ptx_test_emulated_*' -type f -perm -u+x)
[ -n "$programs" ] || { echo "no programs in $build/tests/emulated" >&2; exit 1; }

# One program on one GPU; in a shell of its own, for xargs.
# shellcheck disable=SC2016 # expanded there
run='
    name=$5.$1.$2.$3
    name=$4/${name##*/}.log
    DELTAK_EMULATED_CAPABILITY=$1 DELTAK_EMULATED_SCHEDULE=$2 DELTAK_EMULATED_CLOCK=$3 \
        timeout 900 "$5" >"$name" 2>&1 && exit 0
    [ $? -eq 77 ] || echo "FAILED: capability $1, schedule $2, clock $3: $5, see $name"
'
rm -f "$log"/*.log
for capability in ${CAPABILITIES:-75 80 90 100}; do
    for schedule in ${SCHEDULES:-0 3 5}; do
        for clock in ${CLOCKS:-model host}; do
            for program in $programs; do
                printf '%s\n' "$capability" "$schedule" "$clock" "$log" "$program"
            done
        done
    done
done | xargs -n 5 -P "$jobs" sh -c "$run" run | tee "$log/failed"
printf '%s runs, %s failed\n' "$(find "$log" -name '*.log' | wc -l)" "$(wc -l <"$log/failed")"
[ ! -s "$log/failed" ]

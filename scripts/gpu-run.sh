#!/bin/bash
# Tests and measures deltak on this machine's GPU. Needs a driver and the CUDA libraries (of a toolkit,
# or of Python wheels); nothing else. Without a GPU everything is reported as skipped.
#
#     ./run.sh [RESULTS]             the tests, the comparison with PyTorch (where python3 has it), MNIST,
#                                    the checks
#     ./run.sh --bench [RESULTS]     the comparison alone
#     ./run.sh --sanitize [RESULTS]  the tests under compute-sanitizer's four tools
#
# BUDGET=SECONDS in the environment (default 500) is what the comparison may take, sweeps included; it
# starts with what matters most, and keeps what is done by then.
#
# LIMIT=SECONDS (default 900; under compute-sanitizer 3600) is what any other program may take. One that takes
# longer hangs: it is ended, and the run goes on with the next.
#
# RESULTS (default results; beside this script unless absolute) gets summary.json, a JSON report for
# each test program, probe_cublaslt.json (which fusions are real here) and the logs. summary.json and the last
# lines say what failed, and what hung.
# Exit code 0: nothing failed or hung.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
mode=all
case ${1:-} in
--sanitize | --bench)
    mode=${1#--}
    shift
    ;;
esac
library_path=${LD_LIBRARY_PATH:-}
results=${1:-results}
mkdir -p "$results"
results=$(cd "$results" && pwd)
root=$PWD
for packed in lib/*.gz; do
    if [ -e "$packed" ]; then gunzip -f "$packed" || exit 1; fi
done

# --- the CUDA libraries ---------------------------------------------------------------------------

# Folders that may hold libcublasLt: the loader's own, toolkits', Python wheels'.
cuda_folders() {
    ldconfig -p 2>/dev/null | sed -n 's/.*libcublasLt\.so.* => \(.*\)\/[^/]*$/\1/p'
    ls -d /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib /opt/cuda*/lib64 2>/dev/null
    python3 - 2>/dev/null <<'PY'
import glob, site, sys
for root in site.getsitepackages() + [site.getusersitepackages()] + sys.path:
    for pattern in ("nvidia/cu*/lib", "nvidia/cublas/lib"):
        print(*glob.glob(f"{root}/{pattern}"), sep="\n")
PY
}

wanted=$(grep -ao 'libcublasLt\.so\.[0-9]*' lib/libdeltak_cuda.so | head -n 1)
for folder in $(cuda_folders); do
    if [ -e "$folder/$wanted" ]; then
        cuda_libraries=$folder
        break
    fi
done
echo "CUDA libraries: ${cuda_libraries:-no $wanted found}"
export LD_LIBRARY_PATH=$root/lib:${cuda_libraries:-}:${LD_LIBRARY_PATH:-}
export XDG_CACHE_HOME=$results/cache DELTAK_DATA=$root/data
nvidia-smi >"$results/nvidia-smi.txt" 2>&1 || true
if ! timeout --kill-after=10 60 ./deltak info --device cuda --json >"$results/device.json" 2>"$results/device.log"; then
    echo "no GPU: $(tail -n 1 "$results/device.log")"
    : >"$results/device.json"
fi

passed=0 skipped=0 failed=0 hung=0 rows=() wrong=()
limit=${LIMIT:-900}
patience=10 # seconds that a program which was asked to end may take for it

# Runs a command with its log, for at most $limit seconds, and counts it: 0 passed, 77 skipped, anything else
# failed. `timeout` ends a program that takes longer, and those that it started; it says so by 124, or by 137
# where it had to kill it. A program that ends by itself with such a code hasn't taken that long.
count() {
    local name=$1 code=0 word
    shift
    local began=$SECONDS
    timeout --kill-after="$patience" "$limit" "$@" >"$results/$name.log" 2>&1 </dev/null || code=$?
    case $code in
    0) word=passed passed=$((passed + 1)) ;;
    77) word=skipped skipped=$((skipped + 1)) ;;
    124 | 137) word=hung ;;
    *) word=failed ;;
    esac
    if [ "$word" = hung ] && [ $((SECONDS - began)) -lt "$limit" ]; then word=failed; fi
    case $word in
    hung) hung=$((hung + 1)) wrong+=("$name hung: more than $limit s") ;;
    failed) failed=$((failed + 1)) wrong+=("$name failed: $code") ;;
    esac
    rows+=("{\"name\": \"$name\", \"result\": \"$word\", \"seconds\": $((SECONDS - began))}")
    printf '%-40s %s (%d s)\n' "$name" "$word" $((SECONDS - began))
}

# --- tests ----------------------------------------------------------------------------------------

run_tests() {
    for test in tests/test_*; do
        name=$(basename "$test")
        count "$name" env DELTAK_TEST_DEVICE=cuda "$test" --gtest_output="json:$results/$name.json"
    done
}

run_sanitizers() {
    if ! command -v compute-sanitizer >/dev/null; then
        echo "no compute-sanitizer here: skipped"
        skipped=$((skipped + 1))
        return
    fi
    limit=${LIMIT:-3600}
    # Tests provoke errors of calls, and look at what comes of them: those aren't faults of theirs. Only memcheck
    # reports them.
    local -A options=([memcheck]="--report-api-errors no")
    for tool in memcheck racecheck initcheck synccheck; do
        for test in tests/test_*; do
            name=$(basename "$test")
            # shellcheck disable=SC2086 # a list of options
            count "$tool-$name" env DELTAK_TEST_DEVICE=cuda DELTAK_TEST_SHORT=1 compute-sanitizer \
                --tool "$tool" --error-exitcode 1 ${options[$tool]:-} "$test"
        done
    done
}

# --- speed, beside the peers that this machine's Python has ---------------------------------------

# compare.py gives the libraries of this folder to deltak alone: PyTorch brings its own.
compare() {
    local name=$1 budget=$2
    shift 2
    # It keeps to its budget by itself, but for what it has begun (--patience) and the start of PyTorch.
    local limit=$((2 * budget + 600))
    count "bench-$name" env LD_LIBRARY_PATH="$library_path" python3 bench/compare.py --build "$root" \
        --library-path "$LD_LIBRARY_PATH" --device cuda --budget "$budget" --patience 150 \
        --out "$results/$name.json" "$@"
}

# Three quarters of the time for the workloads, the rest for the two sweeps.
run_bench() {
    local budget=${BUDGET:-500}
    if ! command -v python3 >/dev/null; then
        echo "no python3 here: nothing is compared"
        skipped=$((skipped + 1))
        return
    fi
    compare cuda $((budget * 3 / 4)) --rounds 7
    compare cuda-width $((budget / 8)) --sweep width --rounds 5
    compare cuda-batch $((budget / 8)) --sweep batch --rounds 5
}

# --- the command: agreement with the reference, MNIST ---------------------------------------------

run_command() {
    for precision in fp32 tf32 bf16 fp16; do
        count "check-$precision" ./deltak check --device cuda --precision $precision --json
        count "check-wide-$precision" ./deltak check --device cuda --precision $precision --layers 257,300,129,10 \
            --batch 200 --json
        count "check-gelu-$precision" ./deltak check --device cuda --precision $precision --layers 257,304,128,10 \
            --batch 200 --activation gelu_tanh --json
        if [ -d data/mnist ]; then
            count "mnist-$precision" ./deltak train --device cuda --data data/mnist --hidden 512,512 --epochs 10 \
                --seed 1 --precision $precision --out "$results/mnist-$precision.safetensors"
            count "mnist-$precision-eval" ./deltak eval --device cuda --model "$results/mnist-$precision.safetensors" \
                --data data/mnist --precision $precision --json
        fi
    done
    if [ -d data/mnist ]; then
        count mnist-cpu ./deltak train --data data/mnist --hidden 512,512 --epochs 10 --seed 1 \
            --device cpu --out "$results/mnist-cpu.safetensors"
        count mnist-cpu-eval ./deltak eval --model "$results/mnist-cpu.safetensors" \
            --data data/mnist --device cpu --json
    fi
}

gpu() { [ -s "$results/device.json" ]; }

case $mode in
sanitize) run_sanitizers ;;
bench) if gpu; then run_bench; else skipped=$((skipped + 1)); fi ;;
*)
    run_tests
    if gpu; then
        count probe_cublaslt ./probe_cublaslt --budget 120 --json "$results/probe_cublaslt.json"
        run_bench
        run_command
    else
        skipped=$((skipped + 1))
    fi
    ;;
esac

{
    echo "{\"commit\": \"$(cat commit)\","
    if gpu; then echo "\"device\": $(cat "$results/device.json"),"; fi
    echo "\"passed\": $passed, \"skipped\": $skipped, \"failed\": $failed, \"hung\": $hung, \"runs\": ["
    separator=
    for row in "${rows[@]}"; do
        printf '%s%s' "$separator" "$row"
        separator=$',\n'
    done
    echo "]}"
} >"$results/summary.json"
if [ ${#wrong[@]} -gt 0 ]; then printf '%s\n' "${wrong[@]}"; fi
echo "$passed passed, $failed failed, $hung hung, $skipped skipped; logs in $results"
[ $((failed + hung)) -eq 0 ]

#!/bin/bash
# Packs what a GPU machine without a toolchain needs to test and measure deltak: the command, the
# library with its CUDA backend, the device tests, and the libraries that such a machine lacks. The
# CUDA libraries are not in it; run.sh finds them there.
#
#     scripts/gpu-bundle.sh BUILD FOLDER      (make gpu-bundle calls it)
set -euo pipefail
build=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
data=${DELTAK_DATA:-$here/../../shared/data}
limit_mb=60

rm -rf "$out"
mkdir -p "$out/lib" "$out/tests" "$out/data"

# What every Linux has beside its C library.
system_library() { [[ $1 =~ ^(linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt|libgcc_s)[.-] ]]; }

# Copies the libraries that a program links and a bare machine may lack; CUDA's stay where they are.
copy_libraries() {
    local name arrow path
    while read -r name arrow path _; do
        if [ "$arrow" != "=>" ] || system_library "$name"; then continue; fi
        if [[ $name == libcu* || $name == libdeltak* || -e $out/lib/$name ]]; then continue; fi
        cp -L "$path" "$out/lib/$name"
    done < <(ldd "$1")
}

cp "$build/deltak" "$build/contestant" "$build/probe_cublaslt" "$out/"
cp -P "$build"/libdeltak.so* "$build/libdeltak_cuda.so" "$out/lib/"
for test in "$build"/tests/test_*; do
    name=$(basename "$test")
    # The device tests, and those of the plugin: what a GPU changes.
    if [[ -x $test && -f $test ]] && grep -qx "$name" "$build/tests/gpu_tests.txt"; then
        cp "$test" "$out/tests/"
    fi
done
find "$out" -type f \( -perm -u+x -o -name '*.so*' \) -exec strip --strip-unneeded {} +
for program in "$out/deltak" "$out/contestant" "$out/probe_cublaslt" "$out"/tests/*; do
    copy_libraries "$program"
done
# oneDNN is most of the bundle, and shrinks to a quarter; run.sh unpacks it.
find "$out/lib" -type f -size +8M ! -name 'libdeltak*' -print0 | xargs -0 -r -n 1 -P "$(nproc)" gzip -9n
# The tests have libdeltak's objects in themselves, and look for the plugin beside themselves.
ln -s ../lib/libdeltak_cuda.so "$out/tests/libdeltak_cuda.so"

# The first rows of an IDX file (4 bytes of type and dimensions, then the sizes, big-endian).
idx_head() {
    local source=$1 rows=$2 row_bytes=$3 header=$4 target=$5
    {
        gzip -dc "$source" | head -c 4
        printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' 0 0 $((rows / 256)) $((rows % 256)))"
        gzip -dc "$source" | tail -c +9 | head -c $((header - 8 + rows * row_bytes))
    } | gzip -9n >"$target"
}

if [ -f "$data/mnist/train-images-idx3-ubyte.gz" ]; then
    mkdir -p "$out/data/mnist"
    # head closes the pipe early; gzip's complaint about that is no failure.
    set +o pipefail
    for part in "train 8000" "t10k 2000"; do
        read -r name rows <<<"$part"
        idx_head "$data/mnist/$name-images-idx3-ubyte.gz" "$rows" 784 16 \
            "$out/data/mnist/$name-images-idx3-ubyte.gz"
        idx_head "$data/mnist/$name-labels-idx1-ubyte.gz" "$rows" 1 8 \
            "$out/data/mnist/$name-labels-idx1-ubyte.gz"
    done
    set -o pipefail
else
    echo "no MNIST in $data: the bundle goes without it" >&2
fi

mkdir -p "$out/bench/peers"
cp "$here"/../bench/*.py "$out/bench/"
cp "$here"/../bench/peers/protocol.py "$here"/../bench/peers/contestant_*.py "$out/bench/peers/"
cp "$here/gpu-run.sh" "$out/run.sh"
chmod +x "$out/run.sh"
git -C "$here" rev-parse HEAD >"$out/commit" 2>/dev/null || echo unknown >"$out/commit"

size_mb=$(du -sm --apparent-size "$out" | cut -f1)
echo "$out: $size_mb MB; on the GPU machine: ./run.sh [RESULTS]"
if [ "$size_mb" -gt "$limit_mb" ]; then
    echo "gpu-bundle: more than $limit_mb MB" >&2
    exit 1
fi

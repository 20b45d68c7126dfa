#!/bin/sh
# Installs the packages that building deltak needs, where they are missing: nothing is touched, and
# no network used, if all are there.
#
#     scripts/setup-debian.sh        what `make test` and `make demo` need
#     scripts/setup-debian.sh bench  also what `make bench` needs: venv for the peers, matplotlib
#     scripts/setup-debian.sh fuzz   also what `make fuzz` needs: clang
#     scripts/setup-debian.sh ci     also the compilers, checkers and locale of .ci/run
set -eu

packages="cmake gcc g++ make pkg-config libdnnl-dev libjansson-dev libxxhash-dev zlib1g-dev libgtest-dev"
if [ "${1:-}" = bench ]; then
    packages="$packages python3-venv python3-matplotlib"
fi
if [ "${1:-}" = fuzz ]; then
    packages="$packages git clang libclang-rt-dev libomp-dev"
fi
if [ "${1:-}" = ci ]; then
    packages="$packages git clang clang-format clang-tidy libclang-rt-dev libomp-dev"
    packages="$packages cppcheck shellcheck valgrind locales"
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "setup: not a Debian system; going on. deltak needs, by their Debian names: $packages" >&2
    exit 0
fi

missing=
for package in $packages; do
    status=$(dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1 || true)
    if [ "$status" != installed ]; then missing="$missing $package"; fi
done
if [ -z "$missing" ]; then exit 0; fi

echo "setup: installing$missing" >&2
if [ "$(id -u)" -eq 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null; then
    as_root="sudo env"
else
    echo "setup: neither root nor sudo. As root, run: apt-get install$missing" >&2
    exit 1
fi
apt="$as_root DEBIAN_FRONTEND=noninteractive apt-get -q"
# shellcheck disable=SC2086 # lists of words
if ! { $apt update && $apt install -y --no-install-recommends $missing; } </dev/null >&2; then
    echo "setup: apt-get failed. As root, run: apt-get install$missing" >&2
    exit 1
fi

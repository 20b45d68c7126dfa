# The short way in; CMake does the work (CMakePresets.json, CMakeLists.txt).
#
#   make         builds build/release          make bench    measures it beside its peers (below)
#   make demo    trains on handwritten digits  make format   formats the sources
#   make test    builds and runs every test    make clean    removes build/
#   make deps    installs what is missing (Debian; the others call it)
#   make install   builds the library and the command, no tests, and installs them: PREFIX=/usr/local,
#                  DESTDIR= for packagers
#   make valgrind  a small training and its use under memcheck (half a minute)
#   make lint    clang-tidy, cppcheck and shellcheck over the sources, and the links of documents: a minute, and
#                  nothing is built
#
#   make bench         deltak beside its bare products, PyTorch, JAX and scikit-learn, on the CPU and on
#                      a GPU where there is one: bench/results, the tables and the charts (15 minutes)
#   make bench QUICK=1 a minute's run, shown here, which changes nothing outside build/
#   make reliability   runs the suite with the long form of each test, and writes the tables of
#                      docs/reliability.md
#   make fuzz          runs every fuzz target FUZZ_RUNS times (1,000,000) under the sanitizers, by clang's
#                      libFuzzer: build/fuzz/results.json, what was found in build/fuzz/findings
#   make soak          trains for SOAK_SECONDS (3600) and at least 100,000 steps, and looks for what grows:
#                      build/soak/results.json; SOAK_THREADS=N
#   make emulated      the device tests on an emulated GPU of compute capability 7.5, 8.0, 9.0 and 10.0,
#                      their kernels compiled by the host's compiler and by nvcc, in three orders of
#                      independent work and by two clocks: an hour (make test has a part of it)
#   make gpu-bundle    packs tests and benchmarks for a GPU machine without a toolchain: build/gpu-bundle
#   make gpu-test      the device tests on this machine's GPU (skipped without one)
#   make gpu-sanitize  the same under compute-sanitizer: memcheck, racecheck, initcheck, synccheck
#
# PEERS=FOLDER takes the peers from a virtual environment of your own, instead of build/peers.
# JOBS=N sets the number of compilers and tests at a time, CMAKE_FLAGS=… goes to cmake.

MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc)
CMAKE_FLAGS ?=
BUILD := build/release
DEMO := build/demo
DEMO_GPU = $(if $(shell nvidia-smi -L 2>/dev/null),-DCMAKE_CUDA_ARCHITECTURES=native,-DDELTAK_CUDA=OFF)
BUNDLE := build/gpu-bundle
DELTAK := $(BUILD)/deltak
PEERS ?= build/peers
QUICK ?=
FUZZ := build/fuzz
FUZZ_RUNS ?= 1000000
SOAK_SECONDS ?= 3600
SOAK_THREADS ?= 0
SOURCES = $(shell git ls-files '*.c' '*.h' '*.cpp' '*.hpp' '*.cu' '*.cuh')

PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: all deps product demo install test emulated bench reliability fuzz soak gpu-bundle gpu-test gpu-sanitize format check-format \
        lint valgrind clean

all: deps
	cmake --preset release $(CMAKE_FLAGS)
	cmake --build $(BUILD) -j$(JOBS)

deps:
	@scripts/setup-debian.sh

# What is installed: neither tests nor benchmarks.
product: deps
	cmake --preset release $(CMAKE_FLAGS)
	cmake --build $(BUILD) -j$(JOBS) --target deltak_product

# The folder for the plugin is compiled in, so that the prefix is known before the build.
install:
	@$(MAKE) product CMAKE_FLAGS='-DCMAKE_INSTALL_PREFIX=$(PREFIX) $(CMAKE_FLAGS)'
	DESTDIR='$(DESTDIR)' cmake --install $(BUILD)

# In a folder of its own, without tests, and with kernels for the GPUs that are here alone: half a minute.
demo: deps
	@mkdir -p $(DEMO)
	@nvidia-smi -L 2>/dev/null || echo "There is no GPU here: the demo is built for the CPU alone."
	cmake -S . -B $(DEMO)/build -DCMAKE_BUILD_TYPE=Release -DDELTAK_TESTS=OFF -DDELTAK_EXAMPLES=OFF \
	    $(DEMO_GPU) $(CMAKE_FLAGS) >$(DEMO)/cmake.log || { cat $(DEMO)/cmake.log; exit 1; }
	cmake --build $(DEMO)/build -j$(JOBS) --target deltak_product
	@echo "Trains on four fifths of 1,797 handwritten digits, everything by default. The learning curve"
	@echo "comes to $(DEMO)/curve.svg; the last lines say how many of the other digits it gets right."
	$(DEMO)/build/deltak train --data builtin:digits --valid-fraction 0.2 --hidden 128,128 --epochs 20 \
	    --out $(DEMO)/digits.safetensors --metrics $(DEMO)/run.jsonl --plot $(DEMO)/curve.svg

test: all
	@scripts/test.sh $(BUILD) -j$(JOBS)

emulated: all
	@scripts/emulated-all.sh $(BUILD) $(JOBS)

# The peers' packages come from PyPI, once; without them deltak is measured beside its floor alone.
$(PEERS)/installed:
	python3 -m venv $(PEERS) && $(PEERS)/bin/pip -q install numpy scikit-learn jax torch && touch $@ || \
	    echo "bench: the peers' packages can't be installed; those that are missing are reported" >&2

bench: all
	@scripts/setup-debian.sh bench
	@[ $(PEERS) != build/peers ] || $(MAKE) $(PEERS)/installed
	bench/run.sh $(BUILD) $(PEERS) $(QUICK)

reliability: all
	rm -rf build/reliability && mkdir -p build/reliability
	DELTAK_TEST_LONG=1 GTEST_OUTPUT=json:$(CURDIR)/build/reliability/ \
	    ctest --test-dir $(BUILD) --output-on-failure -j$(JOBS)
	scripts/reliability.py collect build/reliability
	scripts/reliability.py write

fuzz:
	@scripts/setup-debian.sh fuzz
	cmake --preset fuzz $(CMAKE_FLAGS)
	cmake --build --preset fuzz -j$(JOBS)
	JOBS=$(JOBS) scripts/fuzz.sh $(FUZZ) $(FUZZ_RUNS)

# Without malloc's caches and arenas, which come and go with threads.
soak: all
	@mkdir -p build/soak
	GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1 \
	    $(BUILD)/tests/soak/deltak_soak $(SOAK_SECONDS) 100000 $(SOAK_THREADS) \
	    build/soak/results.json $$(git rev-parse --short=12 HEAD)

gpu-bundle: all
	scripts/gpu-bundle.sh $(BUILD) $(BUNDLE)

gpu-test: all
	@scripts/test.sh $(BUILD) -L gpu

gpu-sanitize: gpu-bundle
	$(BUNDLE)/run.sh --sanitize sanitizers

format:
	@clang-format -i $(SOURCES)

check-format:
	@clang-format --dry-run -Werror $(SOURCES)

lint:
	@scripts/lint.sh $(JOBS)

valgrind: all
	@scripts/valgrind.sh $(DELTAK)

clean:
	rm -rf build

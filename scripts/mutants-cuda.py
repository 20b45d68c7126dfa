#!/usr/bin/env python3
"""Breaks the CUDA backend in one way at a time, in a copy of the sources, and tells which test sees it.

    scripts/mutants-cuda.py [NAME ...]     those whose name has NAME in it; all of them take half an hour on two cores
    scripts/mutants-cuda.py --write NAME FILE    writes the file that NAME changes, as it changes it, to FILE, for the tests
                                                 of tests/emulated/nvcc that every `make test` makes of some of them

Each mutant is a line of docs/testing.md ("Mutations of how work is queued"): what the thin layer over CUDA, the lanes
or a kernel's wait would get wrong, and what only the emulated CUDA (tests/emulated) can see.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutants" / "src"
BUILD = ROOT / "build" / "mutants" / "build"
CUDA = "src/host/backend/cuda/"
KERNELS = "src/kernels/"
TESTS = ["test_emulated_checks", "test_emulated_cost", "test_emulated_faults", "test_emulated_order",
         "test_emulated_products", "test_emulated_streams",
         "test_backend_training", "emulated_test_device", "emulated_test_device_application",
         "emulated_test_operations", "emulated_test_training_step"]
# With a CUDA compiler also these, whose kernels nvcc compiled.
DEPENDENT = {"DELTAK_EMULATED_KERNEL_MS": "0.1,0.01"}
NVCC_TESTS = {"ptx_test_emulated_casts": {}, "ptx_test_device": DEPENDENT,
              "ptx_test_fused_update": {"DELTAK_EMULATED_CLOCK": "random"}}

# name, file, what stands there, what takes its place
MUTANTS = [
    ("a kernel doesn't wait", KERNELS + "update.cu", "    dki_wait_for_earlier();\n    constexpr int N = UPDATE_LANES;",
     "    constexpr int N = UPDATE_LANES;"),
    ("a kernel waits after its first load", KERNELS + "update.cu",
     "    dki_wait_for_earlier();\n    constexpr int N = UPDATE_LANES;\n    if (dki_is_latched(op.state) || op.state->skip) return;",
     "    constexpr int N = UPDATE_LANES;\n    if (dki_is_latched(op.state) || op.state->skip) return;\n    dki_wait_for_earlier();"),
    ("nvcc leaves the wait out", KERNELS + "launch.h", "#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900",
     "#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1300"),
    ("the latch is read as if nobody wrote it", KERNELS + "latch.cuh", "return *(const volatile T *)address;",
     "return *address;"),
    ("a misaligned pointer is taken as packed", KERNELS + "cast.cu", 
     "const bool packed = dki_packed<float>(from, 0) && dki_packed<T>(to, 0);", "const bool packed = true;"),
    ("lanes aren't put in order", CUDA + "graph.c",
     "    if (before == after) return DK_OK;\n    return order_streams",
     "    if (before == after || before == DKI_LANE_PARAMS) return DK_OK;\n    return order_streams"),
    ("a graph isn't behind the parameters' lane", CUDA + "graph.c",
     "    if (cuda->params_multiplied) DKI_TRY(order(cuda, DKI_LANE_PARAMS, DKI_LANE_MAIN));\n", ""),
    ("a graph isn't behind its upload", CUDA + "graph.c",
     "    if (status || launched_on == own) return status;\n    return order_streams(cuda, cuda->ordered[DKI_LANE_MAIN], own, launched_on);\n",
     "    return status;\n"),
    ("a new stream isn't behind the one before it", CUDA + "application.c",
     "    dk_status status = dki_cuda_sync(backend);\n    if (!status) status = dki_gpu_stream_wrap",
     "    dk_status status = DK_OK;\n    if (!status) status = dki_gpu_stream_wrap"),
    ("the own stream isn't behind an application's", CUDA + "application.c",
     "    const dk_status status = dki_cuda_sync(backend);\n    if (!status) dki_cuda_take_back_main(cuda);",
     "    const dk_status status = DK_OK;\n    dki_cuda_take_back_main(cuda);"),
    ("lanes share a workspace", CUDA + "cuda.c",
     "        DKI_TRY(dki_gpu_alloc(cuda->gpu, workspace, &cuda->product_workspace[lane]));",
     "        if (lane == 0)\n            DKI_TRY(dki_gpu_alloc(cuda->gpu, workspace, &cuda->product_workspace[lane]));\n"
     "        cuda->product_workspace[lane] = cuda->product_workspace[0];"),
    ("new memory is used before it is zero", CUDA + "memory.c",
     "    if (!status) status = dki_gpu_stream_sync(cuda->gpu, stream);\n", ""),
    ("staging is written again too early", CUDA + "memory.c",
     "        DKI_TRY(dki_gpu_event_sync(cuda->gpu, staging->over[half][lane]));\n    staging->half = half;",
     "        (void)lane;\n    staging->half = half;"),
    ("parts of a sum are added in D's type", CUDA + "gpu_products.c", 
     "CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE", "CUBLASLT_REDUCTION_SCHEME_MASK"),
    ("a context stays on the thread's stack", CUDA + "gpu_errors.c",
     "    dki_gpu_leave(gpu);\n    return status;", "    return status;"),
    ("kernels are launched on whichever GPU", CUDA + "gpu_context.c",
     "    if (!is_gone(gpu)) (void)push(gpu);\n", "    if (is_gone(gpu)) (void)push(gpu);\n"),
    ("a capture forbids other threads' allocations", CUDA + "gpu_graph.c",
     "cudaStreamCaptureModeThreadLocal", "cudaStreamCaptureModeGlobal"),
    ("streams wait for the application's default one", CUDA + "gpu_stream.c",
     "cudaStreamNonBlocking", "cudaStreamDefault"),
    ("an event that keeps no time is to tell it", CUDA + "gpu_stream.c",
     "timing ? cudaEventDefault : cudaEventDisableTiming", "cudaEventDisableTiming"),
    ("a mark in a recording is none", CUDA + "gpu_stream.c",
     "capture == cudaStreamCaptureStatusNone ? cudaEventRecordDefault : cudaEventRecordExternal",
     "cudaEventRecordDefault"),
    ("two neighbours pass for one allocation", CUDA + "gpu_memory.c",
     "error == CUDA_SUCCESS && last - (uintptr_t)start < bytes;", "error == CUDA_SUCCESS;"),
    ("a recording is never destroyed", CUDA + "gpu_graph.c",
     "    if (recorded && !dki_gpu_is_lost(gpu)) (void)cudaGraphDestroy(recorded);\n", ""),
    ("scalars of the device are taken for the host's", CUDA + "gpu_products.c",
     "product->accumulate == DKI_SCALE ? CUBLASLT_POINTER_MODE_DEVICE", "false ? CUBLASLT_POINTER_MODE_DEVICE"),
    ("the heuristic isn't told of the alignment", CUDA + "gpu_products.c",
     "const uint32_t alignment = (uint32_t)product->alignment;", "const uint32_t alignment = 256;"),
    ("the workspace's size isn't asked for", CUDA + "gpu_products.c",
     "const size_t workspace = (size_t)product->workspace;", "const size_t workspace = (size_t)product->workspace * 2;"),
]


def has_nvcc():
    cache = (BUILD / "CMakeCache.txt").read_text()
    return re.search(r"^CMAKE_CUDA_COMPILER:\w+=/", cache, re.M) is not None


def first_failure(tests):
    """The first test that fails, over all programs; None if none does."""
    environment = {"DELTAK_TEST_DEVICE": "cuda", "OMP_WAIT_POLICY": "passive", "DELTAK_TEST_SHORT": "1"}
    for test in tests:
        folder = BUILD / "tests" / "emulated" / ("nvcc" if test in NVCC_TESTS else ".")
        try:
            done = subprocess.run([folder / test], capture_output=True, text=True, timeout=300,
                                  env={**os.environ, **environment, **NVCC_TESTS.get(test, {})})
        except subprocess.TimeoutExpired:
            return f"{test} doesn't end"
        failed = re.findall(r"^\[  FAILED  \] (\S+)", done.stdout, re.M)
        if failed:
            return f"{test}: {failed[0].rstrip(',')}"
        if done.returncode:
            return f"{test} ends with {done.returncode}"
    return None


def write(name, path):
    """What the build makes a program of that has to fail."""
    [(file, there, instead)] = [mutant[1:] for mutant in MUTANTS if mutant[0] == name]
    whole = (ROOT / file).read_text()
    if whole.count(there) != 1:
        sys.exit(f"{name}: what it changes in {file} stands there {whole.count(there)} times")
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(whole.replace(there, instead))


def main():
    if sys.argv[1:2] == ["--write"]:
        return write(*sys.argv[2:])
    wanted = sys.argv[1:]
    shutil.rmtree(COPY, ignore_errors=True)
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, COPY / name)  # newer than what an earlier run made of its last mutant
    subprocess.run(["cmake", "-S", COPY, "-B", BUILD, "-DCMAKE_BUILD_TYPE=Release", "-DDELTAK_CUDA=AUTO", "-DDELTAK_BENCH=OFF",
                    "-DDELTAK_FUZZ_REPLAY=OFF"], check=True, stdout=subprocess.DEVNULL)
    tests = TESTS + (list(NVCC_TESTS) if has_nvcc() else [])
    build = ["cmake", "--build", BUILD, "-j2", "--target", *tests]
    missed = 0
    for name, file, there, instead in [("as it is", "README.md", "", "")] + MUTANTS:
        if name != "as it is" and wanted and not any(part in name for part in wanted):
            continue
        path = COPY / file
        whole = path.read_text()
        if there and whole.count(there) != 1:
            print(f"| {name} | `{file}` | stands there {whole.count(there)} times |", flush=True)
            missed += 1
            continue
        path.write_text(whole.replace(there, instead) if there else whole)
        built = subprocess.run(build, capture_output=True, text=True).returncode == 0
        seen = first_failure(tests) if built else "can't be compiled"
        print(f"| {name} | `{file}` | {seen or 'not caught'} |", flush=True)
        missed += (seen is None) != (name == "as it is")
        path.write_text(whole)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

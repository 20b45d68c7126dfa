/* Opening a GPU: is there a driver, new enough, a GPU of that number, one that we support? */
#include "backend/cuda/gpu_cuda.h"

#include "base/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Turing: the oldest that CUDA 13 compiles for. */
enum { LEAST_MAJOR = 7, LEAST_MINOR = 5 };

enum { VERSION_TEXT = 32 };

/* CUDA's version numbers: 13000 is 13.0, 12080 is 12.8. */
static int major_of(int version) {
    return version / 1000;
}
static int minor_of(int version) {
    return version % 1000 / 10;
}

/* Without a driver the runtime answers like with an old one, but knows no version of it. */
static dk_status require_driver(dki_gpu *gpu, int *count) {
    int driver = 0, runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    gpu->facts.driver_version = driver;
    gpu->facts.runtime_version = runtime;
    cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice)
        (void)cudaGetLastError();
    DKI_REQUIRE(error != cudaErrorInsufficientDriver || driver > 0, DK_E_DEVICE,
                "no NVIDIA driver: libcuda.so.1 can't be loaded. Install the driver until "
                "nvidia-smi works (a container needs --gpus all), or use the device \"cpu\"");
    DKI_REQUIRE(error != cudaErrorInsufficientDriver, DK_E_DEVICE,
                "the NVIDIA driver is for CUDA %d.%d, too old for this build's CUDA %d.%d: update "
                "the driver, or use the device \"cpu\"",
                major_of(driver), minor_of(driver), major_of(runtime), minor_of(runtime));
    DKI_REQUIRE(error != cudaErrorNoDevice, DK_E_DEVICE,
                "the NVIDIA driver shows no GPU to this process: see nvidia-smi and "
                "CUDA_VISIBLE_DEVICES, or use the device \"cpu\"");
    return dki_gpu_status(gpu, error, "cudaGetDeviceCount");
}

static dk_status require_gpu(dki_gpu *gpu, int count) {
    dki_gpu_facts *facts = &gpu->facts;
    DKI_REQUIRE(facts->ordinal >= 0 && facts->ordinal < count, DK_E_DEVICE,
                "there is no GPU %d: this process sees %d, numbered from 0 (nvidia-smi, "
                "CUDA_VISIBLE_DEVICES)",
                facts->ordinal, count);
    struct cudaDeviceProp properties;
    DKI_TRY(dki_gpu_status(gpu, cudaGetDeviceProperties(&properties, facts->ordinal),
                           "cudaGetDeviceProperties"));
    snprintf(facts->name, sizeof facts->name, "%.127s", properties.name);
    facts->major = properties.major;
    facts->minor = properties.minor;
    facts->processors = properties.multiProcessorCount;
    DKI_REQUIRE(facts->major > LEAST_MAJOR ||
                    (facts->major == LEAST_MAJOR && facts->minor >= LEAST_MINOR),
                DK_E_DEVICE,
                "GPU %d (%s) has compute capability %d.%d: deltak needs %d.%d (Turing) or newer; "
                "use the device \"cpu\"",
                facts->ordinal, facts->name, facts->major, facts->minor, LEAST_MAJOR, LEAST_MINOR);
    return DK_OK;
}

/* The driver's own version, such as 580.65.06, stands only here; its kernel module writes it:
 * "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul …". */
static void read_driver_release(char *release) {
    *release = 0;
    FILE *file = fopen("/proc/driver/nvidia/version", "re");
    if (!file) return;
    char line[256] = "";
    if (!fgets(line, sizeof line, file)) *line = 0;
    (void)fclose(file);
    char *rest = NULL;
    for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        bool number = isdigit((unsigned char)word[0]) && strchr(word, '.') &&
                      strspn(word, "0123456789.") == strlen(word);
        if (!number) continue;
        snprintf(release, VERSION_TEXT, "%.*s", VERSION_TEXT - 1, word);
        return;
    }
}

static void describe_library(dki_gpu_facts *facts) {
    facts->library_version = cublasLtGetVersion();
    unsigned library = (unsigned)facts->library_version; /* 130100 is 13.1.0 */
    char release[VERSION_TEXT];
    read_driver_release(release);
    if (!*release)
        snprintf(release, sizeof release, "for CUDA %d.%d", major_of(facts->driver_version),
                 minor_of(facts->driver_version));
    snprintf(facts->library, sizeof facts->library, "CUDA %d.%d, cuBLASLt %u.%u.%u, driver %s",
             major_of(facts->runtime_version), minor_of(facts->runtime_version), library / 10000,
             library / 100 % 100, library % 100, release);
}

/* What NVIDIA recommends for products: 32 MiB from Hopper on, 4 MiB before. */
static size_t workspace_of(const dki_gpu_facts *facts) {
    return (size_t)(facts->major >= 9 ? 32 : 4) << 20;
}

/* A build without code for this GPU shows here, too. */
static dk_status describe_kernels(dki_gpu *gpu) {
    struct cudaFuncAttributes attributes = {0};
    DKI_TRY(dki_gpu_enter(gpu));
    DKI_TRY(dki_gpu_done(gpu, cudaFuncGetAttributes(&attributes, dki_cuda_any_kernel()),
                         "cudaFuncGetAttributes"));
    const int ptx = attributes.ptxVersion, binary = attributes.binaryVersion;
    gpu->facts.kernels = ptx < binary ? ptx : binary;
    return DK_OK;
}

static dk_status open_library(dki_gpu *gpu) {
    DKI_TRY(dki_gpu_enter(gpu));
    dk_status status =
        dki_gpu_library_status(gpu, cublasLtCreate(&gpu->library), "cublasLtCreate", NULL);
    if (status) gpu->library = NULL;
    dki_gpu_leave(gpu);
    return status;
}

dk_status dki_gpu_open(dki_gpu **gpu, const dki_services *services, int ordinal) {
    *gpu = NULL;
    dki_gpu *made = NULL;
    DKI_TRY(dki_new(services->allocator, &made, 1, "a GPU"));
    made->services = *services;
    made->facts.ordinal = ordinal;
    int count = 0;
    dk_status status;
    DKI_TRY_OUT(require_driver(made, &count));
    DKI_TRY_OUT(require_gpu(made, count));
    describe_library(&made->facts);
    made->facts.product_workspace = workspace_of(&made->facts);
    DKI_TRY_OUT(dki_gpu_hold_context(made));
    DKI_TRY_OUT(describe_kernels(made));
    DKI_TRY_OUT(open_library(made));
    *gpu = made;
    return DK_OK;
out:
    dki_gpu_close(made);
    return status;
}

void dki_gpu_close(dki_gpu *gpu) {
    if (!gpu) return;
    /* On a lost GPU the library's own clean-up could only fail; the process gives it back. */
    if (gpu->library && !dki_gpu_is_lost(gpu) && dki_gpu_enter(gpu) == DK_OK) {
        cublasLtDestroy(gpu->library);
        dki_gpu_leave(gpu);
    }
    dki_gpu_release_context(gpu);
    dki_release(gpu->services.allocator, gpu);
}

const dki_gpu_facts *dki_gpu_facts_of(const dki_gpu *gpu) {
    return &gpu->facts;
}

// Registration and launches of the kernels that nvcc compiled: the interface between its host code and the
// runtime (crt/host_runtime.h of the toolkit), and cudaLaunchKernelExC.
#include "registered.h"

#include "insides.h"
#include "ptx/ptx.h"
#include "watch.h"

#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>

namespace emulated {

namespace {

/// What one call of nvcc made, and what was decoded of it.
struct Fat {
    std::vector<Image> images;
    std::map<int, std::shared_ptr<const ptx::Module>> decoded; // by architecture
};

struct Kernel {
    Fat *fat = nullptr;
    std::string name; // mangled
};

struct Registry {
    std::vector<std::unique_ptr<Fat>> fats;
    std::map<const void *, Kernel> kernels; // by the host's function
};

/// Constructors of other files fill it, perhaps before this file's have run.
Registry &registry() {
    static Registry &it = *new Registry;
    return it;
}

const Image *image_of(const Kernel &kernel) {
    const Settings &settings = device().settings;
    const int capability =
        settings.kernels ? settings.kernels : 10 * settings.major + settings.minor;
    return image_for(kernel.fat->images, capability);
}

std::shared_ptr<const ptx::Module> module_of(const Kernel &kernel, const Image &image) {
    auto &module = kernel.fat->decoded[image.architecture];
    if (!module) module = ptx::parse(image.ptx);
    return module;
}

/// Where the list of parameters begins, behind whatever stands in <>.
size_t end_of_name(const std::string &declaration) {
    int depth = 0;
    for (size_t i = 0; i < declaration.size(); ++i) {
        depth += (declaration[i] == '<') - (declaration[i] == '>');
        if (depth == 0 && declaration[i] == '(') return i;
    }
    return declaration.size();
}

/// "cast_kernel<float>" of a kernel in an unnamed namespace.
std::string readable(const std::string &mangled) {
    char *text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, nullptr);
    std::string name = text ? text : mangled;
    std::free(text);
    const std::string returns = "void ", unnamed = "(anonymous namespace)::";
    if (name.compare(0, returns.size(), returns) == 0) name.erase(0, returns.size());
    for (size_t at; (at = name.find(unnamed)) != std::string::npos;) name.erase(at, unnamed.size());
    return name.substr(0, end_of_name(name));
}

/// One launch: the arguments are copied when it is queued, and read when it runs.
struct Launched {
    std::shared_ptr<const ptx::Module> module;
    ptx::Launch launch;
    std::vector<std::vector<char>> arguments;
};

ptx::Dim dim_of(dim3 size) {
    return {size.x, size.y, size.z};
}

Touch touch_of(ptx::Access access) {
    return access == ptx::Access::read    ? Touch::read
           : access == ptx::Access::write ? Touch::write
                                          : Touch::atomic;
}

/// Under the watch of kernels.cpp. Each launch has its blocks and warps in another order.
Ran run(const Launched &launched) {
    Device &d = device();
    ptx::Launch launch = launched.launch;
    launch.seed = static_cast<uint64_t>(d.counts.kernels);
    std::vector<void *> arguments;
    for (const std::vector<char> &argument : launched.arguments)
        arguments.push_back(const_cast<char *>(argument.data()));
    launch.arguments = arguments.data();
    ptx::Hooks hooks;
    hooks.global = [watch = Watch::current()](ptx::Access access, uintptr_t address, size_t bytes,
                                              bool waited) {
        return watch->touch(touch_of(access), address, bytes, waited || !watch->is_dependent());
    };
    const ptx::Outcome outcome = ptx::run(*launched.module, launch, hooks);
    if (!outcome.well) d.report(outcome.text);
    return {outcome.well ? cudaSuccess : cudaErrorLaunchFailure, outcome.waited};
}

/// CUDA's limits from compute capability 7.5 on, and the kernel's own.
bool is_possible(dim3 grid, dim3 block, const ptx::Signature &signature) {
    const uint64_t threads = uint64_t{block.x} * block.y * block.z;
    const uint64_t most = signature.max_threads ? signature.max_threads : 1024;
    return grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= 0x7fffffff && grid.y <= 65535 &&
           grid.z <= 65535 && threads >= 1 && block.z <= 64 && threads <= most;
}

cudaError_t launch_registered(const Kernel &kernel, const cudaLaunchConfig_t &config,
                              bool dependent, void **arguments) {
    const std::string name = readable(kernel.name);
    const Image *image = image_of(kernel);
    if (!image) return noted(cudaErrorNoKernelImageForDevice);
    auto launched = std::make_shared<Launched>();
    launched->module = module_of(kernel, *image);
    const ptx::Signature &signature = ptx::signature(*launched->module, kernel.name);
    if (!is_possible(config.gridDim, config.blockDim, signature)) {
        device().report(name + ": a grid or a block of a size that is not possible");
        return noted(cudaErrorInvalidConfiguration);
    }
    launched->launch.kernel = kernel.name;
    launched->launch.grid = dim_of(config.gridDim);
    launched->launch.block = dim_of(config.blockDim);
    for (size_t i = 0; i < signature.parameters.size(); ++i) {
        const auto *argument = static_cast<const char *>(arguments[i]);
        launched->arguments.emplace_back(argument, argument + signature.parameters[i].bytes);
    }
    return submit_our_kernel(config.stream, name, dependent, [=] { return run(*launched); });
}

/// False, with a report, where the launch asks for what the emulation doesn't know.
bool read_config(const cudaLaunchConfig_t &config, bool *dependent) {
    *dependent = false;
    if (config.dynamicSmemBytes != 0) {
        device().report("cudaLaunchKernelExC: dynamic shared memory");
        return false;
    }
    for (unsigned i = 0; i < config.numAttrs; ++i) {
        const cudaLaunchAttribute &attribute = config.attrs[i];
        if (attribute.id != cudaLaunchAttributeProgrammaticStreamSerialization) {
            device().report("cudaLaunchKernelExC: an unknown attribute");
            return false;
        }
        *dependent = attribute.val.programmaticStreamSerializationAllowed != 0;
    }
    return true;
}

/// Before main, where nobody could be told otherwise.
[[noreturn]] void refuse(const std::exception &error) {
    std::fprintf(stderr, "emulated CUDA: what nvcc registers: %s\n", error.what());
    std::abort();
}

} // namespace

bool is_registered(const void *function) {
    return registry().kernels.count(function) != 0;
}

int architecture_of(const void *function) {
    const Image *image = image_of(registry().kernels.at(function));
    return image ? image->architecture : 0;
}

std::vector<Image> registered_images() {
    std::vector<Image> all;
    for (const auto &fat : registry().fats)
        all.insert(all.end(), fat->images.begin(), fat->images.end());
    return all;
}

} // namespace emulated

using emulated::device;
using emulated::noted;
using emulated::registry;

extern "C" {

void **__cudaRegisterFatBinary(void *wrapper) {
    auto fat = std::make_unique<emulated::Fat>();
    try {
        fat->images = emulated::images_of(wrapper);
    } catch (const std::exception &error) {
        emulated::refuse(error);
    }
    registry().fats.push_back(std::move(fat));
    return reinterpret_cast<void **>(registry().fats.back().get());
}

void __cudaRegisterFatBinaryEnd(void **) {}
void __cudaUnregisterFatBinary(void **) {}

void __cudaRegisterFunction(void **fat, const char *function, char *, const char *name, int, void *,
                            void *, void *, void *, int *) {
    registry().kernels[function] = {reinterpret_cast<emulated::Fat *>(fat), name};
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function,
                                void **arguments) {
    const emulated::Guard guard(device().lock);
    const auto kernel = registry().kernels.find(function);
    if (kernel == registry().kernels.end()) return noted(cudaErrorInvalidDeviceFunction);
    bool dependent = false;
    if (!emulated::read_config(*config, &dependent)) return noted(cudaErrorNotSupported);
    try {
        return emulated::launch_registered(kernel->second, *config, dependent, arguments);
    } catch (const std::exception &error) {
        device().report(kernel->second.name + ": " + error.what());
        return noted(cudaErrorInvalidPtx);
    }
}

// What <<<...>>> calls, by which the project launches nothing.
static cudaError_t refuse_chevrons() {
    device().report("a launch by <<<...>>>");
    return noted(cudaErrorNotSupported);
}
cudaError_t __cudaPopCallConfiguration(dim3 *, dim3 *, size_t *, void *) {
    return refuse_chevrons();
}
cudaError_t __cudaGetKernel(cudaKernel_t *, const void *) {
    return refuse_chevrons();
}
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void **, size_t, cudaStream_t) {
    return refuse_chevrons();
}

} // extern "C"

// How libdeltak finds and opens its CUDA plugin, and what it says where it can't.
extern "C" {
#include "backend/plugin_load.h"
#include "base/memory.h"
}

#include "support.h"

#include <dlfcn.h>

namespace {

class CudaPlugin : public support::TempDirectory {
  protected:
    dk_status load() {
        const dki_cuda_options options = {};
        return dki_cuda_load(&backend, &services, &options);
    }

    void TearDown() override {
        if (backend) backend->ops->close(backend);
        support::TempDirectory::TearDown();
    }

    dki_logger log = {nullptr, nullptr, DK_LOG_INFO, PTHREAD_MUTEX_INITIALIZER};
    dki_services services{&dki_libc_allocator, &log};
    dki_backend *backend = nullptr;
};

std::string text() {
    return dk_error_text();
}

bool says(const std::string &part) {
    return text().find(part) != std::string::npos;
}

} // namespace

#if !defined(DELTAK_TEST_CUDA)

TEST_F(CudaPlugin, ABuildWithoutCudaSaysSo) {
    EXPECT_EQ(load(), DK_E_DEVICE);
    EXPECT_TRUE(says("built without CUDA") && says("\"cpu\"")) << text();
    EXPECT_EQ(backend, nullptr);
}

#else

// Whether there is a driver is asked of the loader, not of the runtime that is being tested.
TEST_F(CudaPlugin, WithoutADriverTheTextSaysSo) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver) {
        dlclose(driver);
        GTEST_SKIP() << "this machine has a driver";
    }
    ASSERT_EQ(load(), DK_E_DEVICE);
    EXPECT_TRUE(says("no NVIDIA driver") && says("libcuda.so.1")) << text();
    EXPECT_EQ(backend, nullptr);
}

#if defined(DELTAK_CUDA_PLUGIN)

namespace {

// The plugin with a text in it replaced by another of the same length, wherever it stands.
std::string patched(std::string plugin, const std::string &text, const std::string &replacement) {
    EXPECT_EQ(text.size(), replacement.size());
    size_t found = 0;
    for (size_t at = 0; (at = plugin.find(text, at)) != std::string::npos; ++found)
        plugin.replace(at, text.size(), replacement);
    EXPECT_GT(found, 0u) << text << " is not in the plugin";
    return plugin;
}

} // namespace

TEST_F(CudaPlugin, IsFoundInTheFirstFolderThatHasIt) {
    char path[DKI_PLUGIN_PATH];
    const std::string first = this->path("first"), second = this->path("second");
    std::filesystem::create_directory(first);
    std::filesystem::create_directory(second);
    EXPECT_EQ(dki_plugin_find(first.c_str(), second.c_str(), path), DK_E_DEVICE);
    EXPECT_TRUE(says("isn't installed") && says(first) && says(second)) << text();
    write("second/" DKI_PLUGIN_FILE, "");
    ASSERT_EQ(dki_plugin_find(first.c_str(), second.c_str(), path), DK_OK);
    EXPECT_EQ(path, second + "/" DKI_PLUGIN_FILE);
    write("first/" DKI_PLUGIN_FILE, "");
    ASSERT_EQ(dki_plugin_find(first.c_str(), second.c_str(), path), DK_OK);
    EXPECT_EQ(path, first + "/" DKI_PLUGIN_FILE);
}

// No folder's name must not become the root folder's, nor a long one be cut into another's.
TEST_F(CudaPlugin, IsNotFoundWhereThereIsNoFolder) {
    char path[DKI_PLUGIN_PATH];
    EXPECT_EQ(dki_plugin_find("", "", path), DK_E_DEVICE);
    const std::string longer = this->path("") + std::string(DKI_PLUGIN_PATH, '/');
    write(DKI_PLUGIN_FILE, "");
    EXPECT_EQ(dki_plugin_find(longer.c_str(), "", path), DK_E_DEVICE);
}

TEST_F(CudaPlugin, TheOneOfThisBuildIsLoadedTwiceAsTheSame) {
    const dki_plugin *once = nullptr, *twice = nullptr;
    ASSERT_EQ(dki_plugin_load(DELTAK_CUDA_PLUGIN, &once), DK_OK) << text();
    ASSERT_EQ(dki_plugin_load(DELTAK_CUDA_PLUGIN, &twice), DK_OK) << text();
    EXPECT_EQ(once, twice);
    EXPECT_NE(once->open, nullptr);
}

TEST_F(CudaPlugin, AnotherBuildIsRefused) {
    const dki_plugin *plugin = nullptr;
    ASSERT_EQ(dki_plugin_load(DELTAK_CUDA_PLUGIN, &plugin), DK_OK) << text();
    const std::string build = plugin->build;
    std::string other = build;
    other.back() = other.back() == '0' ? '1' : '0';
    const std::string copy =
        write("other.so", patched(support::slurp(DELTAK_CUDA_PLUGIN), build, other));
    EXPECT_EQ(dki_plugin_load(copy.c_str(), &plugin), DK_E_DEVICE);
    EXPECT_TRUE(says("another build") && says(build) && says(other) && says(copy)) << text();
    EXPECT_EQ(plugin, nullptr);
}

// The plugin refuses, too: a host of another build may not know to ask.
TEST_F(CudaPlugin, RefusesAHostOfAnotherBuild) {
    void *library = dlopen(DELTAK_CUDA_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << dlerror();
    auto entry = reinterpret_cast<dki_plugin_entry>(dlsym(library, DKI_PLUGIN_ENTRY));
    ASSERT_NE(entry, nullptr);
    dki_plugin_host stranger = {};
    stranger.build = "another";
    const dki_plugin *answer = entry(&stranger);
    ASSERT_NE(answer, nullptr);
    const dki_cuda_options options = {};
    backend = reinterpret_cast<dki_backend *>(this);
    EXPECT_EQ(answer->open(&backend, &services, &options), DK_E_DEVICE);
    EXPECT_EQ(backend, nullptr);
    dlclose(library);
}

TEST_F(CudaPlugin, LibrariesThatItLacksAreNamed) {
    const std::string copy = write("lacking.so", patched(support::slurp(DELTAK_CUDA_PLUGIN),
                                                         "libcublasLt.so", "libcublasXX.so"));
    const dki_plugin *plugin = nullptr;
    EXPECT_EQ(dki_plugin_load(copy.c_str(), &plugin), DK_E_DEVICE);
    EXPECT_TRUE(says("libcublasXX.so") && says("LD_LIBRARY_PATH")) << text();
    EXPECT_EQ(plugin, nullptr);
}

TEST_F(CudaPlugin, AFileWithoutTheEntryIsNoPlugin) {
    const std::string copy = write("entryless.so", patched(support::slurp(DELTAK_CUDA_PLUGIN),
                                                           DKI_PLUGIN_ENTRY, "dki_cuda_nobody"));
    const dki_plugin *plugin = nullptr;
    EXPECT_EQ(dki_plugin_load(copy.c_str(), &plugin), DK_E_DEVICE);
    EXPECT_TRUE(says("no plugin of deltak") && says(DKI_PLUGIN_ENTRY)) << text();
}

TEST_F(CudaPlugin, AFileThatIsNoLibraryIsNoPlugin) {
    const dki_plugin *plugin = nullptr;
    const std::string file = write("plain.so", "no library");
    EXPECT_EQ(dki_plugin_load(file.c_str(), &plugin), DK_E_DEVICE);
    EXPECT_TRUE(says(file) && says("can't be loaded")) << text();
    EXPECT_FALSE(says("LD_LIBRARY_PATH")) << "nothing is missing: " << text();
}

// One name, or it could stand in the way of the application's own.
TEST_F(CudaPlugin, ExportsItsEntryOnly) {
    void *library = dlopen(DELTAK_CUDA_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << dlerror();
    EXPECT_NE(dlsym(library, DKI_PLUGIN_ENTRY), nullptr);
    for (const char *hidden : {"dki_cuda_open", "dki_gpu_open", "dki_fail", "dki_cuda_delta",
                               "cudaMalloc", "cudaGetErrorName"})
        EXPECT_EQ(dlsym(library, hidden), nullptr) << hidden;
    dlclose(library);
}

#endif
#endif

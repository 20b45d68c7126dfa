// Kernels as nvcc hands them over: fat binaries, which image a GPU takes, and launches of PTX that keep to
// the same rules as every kernel of the emulation. The fat binaries are made by hand.
#include "support_emulated.h"

#include "fatbin.h"

#include "kernels/queue.h"

#include <cstring>

// What nvcc's host code calls before main begins (crt/host_runtime.h).
extern "C" void **__cudaRegisterFatBinary(void *wrapper);
extern "C" void __cudaRegisterFunction(void **fat, const char *function, char *, const char *name,
                                       int, void *, void *, void *, void *, int *);

namespace emulated {
namespace {

/// A fat binary of PTX for some architectures.
class FatBinary {
  public:
    explicit FatBinary(const std::vector<Image> &images, uint16_t kind = 1) {
        std::string entries;
        for (const Image &image : images) {
            const size_t at = entries.size();
            const uint64_t bytes = (image.ptx.size() + 8) / 8 * 8; // a 0 at the end, at least
            entries.resize(at + header_of_entry + bytes);
            put<uint16_t>(entries, at, kind);
            put<uint32_t>(entries, at + 4, header_of_entry);
            put<uint64_t>(entries, at + 8, bytes);
            put<int32_t>(entries, at + 28, image.architecture);
            memcpy(&entries[at + header_of_entry], image.ptx.data(), image.ptx.size());
        }
        data_.resize(16);
        put<uint16_t>(data_, 6, 16);
        put<uint64_t>(data_, 8, entries.size());
        data_ += entries;
        wrapper_.data = data_.data();
    }
    FatBinary(const FatBinary &) = delete;
    FatBinary &operator=(const FatBinary &) = delete;

    struct Wrapper {
        int32_t magic = 0x466243b1, version = 1;
        const char *data = nullptr;
        void *more = nullptr;
    };
    Wrapper *wrapper() { return &wrapper_; }

  private:
    static constexpr size_t header_of_entry = 64;
    std::string data_;
    Wrapper wrapper_;

    template <class T> static void put(std::string &bytes, size_t at, T value) {
        memcpy(&bytes[at], &value, sizeof value);
    }
};

/// write(p, value): thread i of the grid sets p[i] to value + `more`. hasty is the same without a wait.
std::string module_text(int architecture, int more) {
    const auto kernel = [&](const std::string &name, const std::string &wait) {
        return ".visible .entry " + name + "(.param .u64 " + name + "_p, .param .u32 " + name +
               "_value)\n.maxntid 64, 1, 1\n{\n"
               ".reg .b32 %r<8>;\n.reg .b64 %d<8>;\n" +
               wait + "ld.param.u64 %d1, [" + name + "_p];\nld.param.u32 %r1, [" + name +
               "_value];\nadd.s32 %r2, %r1, " + std::to_string(more) +
               ";\nmov.u32 %r3, %ctaid.x;\nmov.u32 %r4, %ntid.x;\nmov.u32 %r5, %tid.x;\n"
               "mad.lo.s32 %r6, %r3, %r4, %r5;\ncvta.to.global.u64 %d2, %d1;\n"
               "mul.wide.s32 %d3, %r6, 4;\nadd.s64 %d4, %d2, %d3;\nst.global.u32 [%d4], "
               "%r2;\nret;\n}\n";
    };
    return "// made by hand\n.version 8.0\n.target sm_" + std::to_string(architecture) +
           "\n.address_size 64\n" +
           kernel("_Z5writePii", architecture < 90 ? "" : "griddepcontrol.wait;\n") +
           kernel("_Z5hastyPii", "");
}

Image image(int architecture) {
    return {architecture, module_text(architecture, 100 * architecture)};
}

// --- the reader --------------------------------------------------------------------------------

std::string why_not(FatBinary &fat) {
    try {
        images_of(fat.wrapper());
    } catch (const std::runtime_error &error) {
        return error.what();
    }
    return "";
}

TEST(FatBinary, HoldsTheTextForEachArchitecture) {
    FatBinary fat({image(75), image(90)});
    const std::vector<Image> images = images_of(fat.wrapper());
    ASSERT_EQ(images.size(), 2u);
    for (int i : {0, 1}) {
        const Image expected = image(i ? 90 : 75);
        EXPECT_EQ(images[i].architecture, expected.architecture);
        EXPECT_EQ(images[i].ptx, expected.ptx);
    }
    FatBinary machine_code({image(75)}, 2);
    EXPECT_TRUE(images_of(machine_code.wrapper()).empty());
}

TEST(FatBinary, IsRefusedWhereItIsNoneOrCannotBeRead) {
    FatBinary none({image(75)}), compressed({{75, "\x7f\x01 no text"}});
    none.wrapper()->magic = 0;
    EXPECT_NE(why_not(none).find("isn't a fat binary"), std::string::npos);
    EXPECT_NE(why_not(compressed).find("-no-compress"), std::string::npos);
}

/// "The newest that isn't newer": nvcc's documentation, "Just-in-Time Compilation".
TEST(FatBinary, AGpuTakesTheNewestImageThatIsNotNewer) {
    const std::vector<Image> images = {image(90), image(75), image(100)};
    const auto taken = [&](int capability) {
        const Image *found = image_for(images, capability);
        return found ? found->architecture : 0;
    };
    EXPECT_EQ(taken(70), 0);
    EXPECT_EQ(taken(75), 75);
    EXPECT_EQ(taken(89), 75);
    EXPECT_EQ(taken(90), 90);
    EXPECT_EQ(taken(100), 100);
    EXPECT_EQ(taken(120), 100);
}

// --- launches ----------------------------------------------------------------------------------

constexpr char write_kernel = 0, hasty_kernel = 0, unknown_kernel = 0; // their addresses count

void register_kernels() {
    static FatBinary &fat = *new FatBinary({image(75), image(90)});
    static void **const module = __cudaRegisterFatBinary(fat.wrapper());
    const auto add = [](const char *function, const char *name) {
        __cudaRegisterFunction(module, function, nullptr, name, -1, nullptr, nullptr, nullptr,
                               nullptr, nullptr);
    };
    add(&write_kernel, "_Z5writePii");
    add(&hasty_kernel, "_Z5hastyPii");
}

class RegisteredTest : public GpuTest {
  protected:
    static constexpr unsigned count = 64;
    int *memory = nullptr;
    cudaLaunchConfig_t config{};
    cudaLaunchAttribute attribute{};

    void SetUp() override {
        GpuTest::SetUp();
        register_kernels();
        memory = static_cast<int *>(device(count * sizeof(int)));
        config.gridDim = 2;
        config.blockDim = count / 2;
        config.stream = stream_of(one);
        config.attrs = &attribute;
        dki_gpu_range_begin(gpu, "test");
    }
    void TearDown() override {
        dki_gpu_range_end(gpu);
        dki_gpu_free(gpu, memory);
        GpuTest::TearDown();
    }

    static cudaStream_t stream_of(dki_stream stream) {
        return static_cast<cudaStream_t>(static_cast<const dki_queue *>(stream)->stream);
    }
    cudaError_t start(const char *function, int value = 1) {
        void *arguments[] = {&memory, &value};
        return cudaLaunchKernelExC(&config, function, arguments);
    }
    void depend() {
        attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attribute.val.programmaticStreamSerializationAllowed = 1;
        config.numAttrs = 1;
    }
    /// What the kernel wrote everywhere.
    int written() {
        EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK) << dk_error_text();
        std::vector<int> values(count);
        peek(values.data(), memory, count * sizeof(int));
        EXPECT_EQ(values, std::vector<int>(count, values[0]));
        return values[0];
    }
};

TEST_F(RegisteredTest, TheImageForTheGpuRuns) {
    ASSERT_EQ(start(&write_kernel), cudaSuccess);
    EXPECT_EQ(written(), 9001);
    set_capability(8, 9);
    ASSERT_EQ(start(&write_kernel, 2), cudaSuccess);
    EXPECT_EQ(written(), 7502);
    set_capability(9, 0);
    set_kernels(80);
    ASSERT_EQ(start(&write_kernel, 3), cudaSuccess);
    EXPECT_EQ(written(), 7503);
    EXPECT_EQ(counts().kernels, 3);
}

TEST_F(RegisteredTest, AttributesNameTheImage) {
    cudaFuncAttributes attributes{};
    ASSERT_EQ(cudaFuncGetAttributes(&attributes, &write_kernel), cudaSuccess);
    EXPECT_EQ(attributes.ptxVersion, 90);
    set_kernels(80);
    ASSERT_EQ(cudaFuncGetAttributes(&attributes, &write_kernel), cudaSuccess);
    EXPECT_EQ(attributes.ptxVersion, 75);
    EXPECT_EQ(attributes.binaryVersion, 90);
    set_capability(7, 0);
    set_kernels(0);
    EXPECT_EQ(cudaFuncGetAttributes(&attributes, &write_kernel), cudaErrorNoKernelImageForDevice);
    EXPECT_EQ(start(&write_kernel), cudaErrorNoKernelImageForDevice);
}

TEST_F(RegisteredTest, ArgumentsAreThoseOfTheLaunch) {
    int value = 5;
    void *arguments[] = {&memory, &value};
    ASSERT_EQ(cudaLaunchKernelExC(&config, &write_kernel, arguments), cudaSuccess);
    value = 6;
    EXPECT_EQ(written(), 9005);
}

TEST_F(RegisteredTest, DependentKernelsHaveToWait) {
    depend();
    ASSERT_EQ(start(&write_kernel), cudaSuccess);
    EXPECT_EQ(written(), 9001);
    EXPECT_EQ(counts().dependent_kernels, 1);
    expect_clean();
    ASSERT_EQ(start(&hasty_kernel), cudaSuccess);
    EXPECT_EQ(written(), 9001);
    const std::vector<std::string> reports = take_reports();
    ASSERT_EQ(reports.size(), 2u);
    EXPECT_NE(reports[0].find("before it has waited"), std::string::npos) << reports[0];
    EXPECT_NE(reports[1].find("doesn't wait"), std::string::npos) << reports[1];
    set_kernels(80); // whose image has no wait
    ASSERT_EQ(start(&write_kernel), cudaSuccess);
    EXPECT_EQ(written(), 7501);
    EXPECT_EQ(take_reports().size(), 2u);
}

TEST_F(RegisteredTest, WhatItTouchesNeedsAnOrder) {
    ASSERT_EQ(start(&write_kernel), cudaSuccess);
    config.stream = stream_of(two);
    ASSERT_EQ(start(&hasty_kernel), cudaSuccess);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, one), DK_OK);
    ASSERT_EQ(dki_gpu_stream_sync(gpu, two), DK_OK);
    EXPECT_TRUE(reported("no order between write and hasty, which touch 256 bytes"));
}

TEST_F(RegisteredTest, WhatLiesOutsideIsReportedAndTheGpuLost) {
    config.gridDim = 3;
    ASSERT_EQ(start(&write_kernel), cudaSuccess);
    EXPECT_EQ(dki_gpu_stream_sync(gpu, one), DK_E_DEVICE_LOST);
    EXPECT_TRUE(reported("outside of allocations"));
}

TEST_F(RegisteredTest, ImpossibleLaunchesAreRefused) {
    EXPECT_EQ(start(&unknown_kernel), cudaErrorInvalidDeviceFunction);
    config.blockDim = 65; // of at most 64, as the kernel says
    EXPECT_EQ(start(&write_kernel), cudaErrorInvalidConfiguration);
    EXPECT_TRUE(reported("not possible"));
    config.blockDim = 32;
    config.gridDim = 0;
    EXPECT_EQ(start(&write_kernel), cudaErrorInvalidConfiguration);
    EXPECT_TRUE(reported("not possible"));
    config.gridDim = 1;
    config.dynamicSmemBytes = 16;
    EXPECT_EQ(start(&write_kernel), cudaErrorNotSupported);
    EXPECT_TRUE(reported("dynamic shared memory"));
    config.dynamicSmemBytes = 0;
    attribute.id = cudaLaunchAttributeCooperative;
    config.numAttrs = 1;
    EXPECT_EQ(start(&write_kernel), cudaErrorNotSupported);
    EXPECT_TRUE(reported("unknown attribute"));
    EXPECT_EQ(counts().kernels, 0);
    (void)cudaGetLastError();
}

} // namespace
} // namespace emulated

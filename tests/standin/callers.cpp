// Streams of the application's on the stand-in, by CUDA's handles: 0 and 1 are the default stream, 2 is
// the calling thread's own one, any other is a stream that was made here. None of the first three can be
// recorded.
#include "insides.h"

namespace standin {

Stream *Device::callers_stream(const void *handle) {
    enum { per_thread = 2 };
    const auto number = reinterpret_cast<uintptr_t>(handle);
    if (number > per_thread) return stream(const_cast<void *>(handle), "a stream of the caller's");
    const std::thread::id key =
        number == per_thread ? std::this_thread::get_id() : std::thread::id();
    Stream *&there = default_streams[key];
    if (!there) {
        streams.push_back(std::make_unique<Stream>());
        there = streams.back().get();
        there->is_default = true;
    }
    return there;
}

} // namespace standin

using standin::device;
using standin::Guard;

dk_status dki_gpu_stream_wrap(dki_gpu *gpu, void *handle, dki_stream *stream) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    *stream = nullptr;
    DKI_TRY(d.enter("dki_gpu_stream_wrap"));
    DKI_REQUIRE(d.callers_stream(handle), DK_E_DEVICE,
                "dki_gpu_stream_wrap: not a stream (stand-in)");
    d.wraps.push_back(std::make_unique<standin::Wrap>(standin::Wrap{gpu, handle}));
    *stream = d.wraps.back().get();
    return DK_OK;
}

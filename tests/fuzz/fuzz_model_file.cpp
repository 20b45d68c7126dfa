// Model files through dk_net_load: a network that was loaded is saved as a file that loads, and is
// saved the same again; with a changed bit it doesn't load.
#include "context.h"
#include "files.h"
#include "fuzz.h"

#include <vector>

namespace {

dk_net *load(const uint8_t *data, size_t bytes) {
    static fuzz::File file;
    file.fill(data, bytes);
    dk_net *net = nullptr;
    const dk_status status = dk_net_load(&net, fuzz::context(), file.path());
    fuzz::expect(fuzz::succeeded(status, {DK_E_MODEL, DK_E_NONFINITE}) == (net != nullptr),
                 "there is a network if loading succeeded");
    return net;
}

std::vector<uint8_t> save(const dk_net *net) {
    static fuzz::Pipe pipe;
    fuzz::expect(dk_net_save(net, pipe.path()) == DK_OK, "a network that was loaded can be saved");
    const uint8_t *first = pipe.take();
    return {first, first + pipe.bytes()};
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz::context();
    // JSON, and rows of weights padded to 64 bytes: sixteen times those of one input.
    constexpr size_t factor = fuzz::json_factor + 16, extra = fuzz::json_extra;
    fuzz::Run run(bytes, factor, extra);
    dk_net *net = load(data, bytes);
    if (!net) return 0;
    run.more(bytes, 4 * factor, extra);
    std::vector<uint8_t> saved = save(net);
    dk_net *again = load(saved.data(), saved.size());
    fuzz::expect(again, "what was saved can be loaded");
    fuzz::expect(save(again) == saved, "what was saved is saved the same");
    dk_net_destroy(again);
    dk_net_destroy(net);
    *fuzz::any_byte(&saved) ^= static_cast<uint8_t>(1u << bytes % 8);
    fuzz::expect(!load(saved.data(), saved.size()), "a changed bit is seen");
    return 0;
}

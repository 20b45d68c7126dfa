// The description in a model file: a network made of an accepted one writes a description that makes
// the same network again, and writes the same text.
#include "context.h"
#include "fuzz.h"

extern "C" {
#include "base/memory.h"
#include "model/file.h"
}

namespace {

constexpr int64_t most_parameters = 1 << 12; // dk_net_load asks the tensors for them first

int64_t parameters_of(const dk_net_desc &desc) {
    int64_t inputs = desc.inputs, count = 0;
    for (size_t k = 0; k < desc.layer_count && count <= most_parameters; ++k) {
        const int64_t width = desc.layers[k].width;
        count += width * (inputs + 1);
        inputs = width;
    }
    return count;
}

// NULL where the text is refused, or the network would be large.
dk_net *make(const char *text) {
    dki_model_json *json = nullptr;
    dk_net_desc desc;
    dk_net *net = nullptr;
    dk_status status = dki_model_json_parse(&json, fuzz::allocator(), text, &desc);
    if (!fuzz::succeeded(status, {DK_E_MODEL})) {
        fuzz::expect(!json, "nothing is left of a refused description");
        return nullptr;
    }
    if (parameters_of(desc) <= most_parameters) {
        fuzz::expect(dki_net_make(&net, fuzz::context(), &desc) == DK_OK,
                     "an accepted description makes a network");
        if (!fuzz::succeeded(dki_model_json_apply(json, net), {DK_E_MODEL})) {
            dk_net_destroy(net);
            net = nullptr;
        }
    }
    dki_model_json_release(json);
    return net;
}

std::string describe(const dk_net *net) {
    char *text = nullptr;
    fuzz::expect(dki_net_to_json(net, &text) == DK_OK, "a network is described");
    std::string copy = text;
    dki_release(fuzz::allocator(), text);
    return copy;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    // JSON. A row of weights takes 64 floats at most, and the network is made twice.
    constexpr size_t extra = fuzz::json_extra + 64 * sizeof(float) * most_parameters;
    fuzz::context();
    const std::string text = fuzz::Input(data, bytes).text();
    fuzz::Run run(bytes, fuzz::json_factor, extra);
    dk_net *net = make(text.c_str());
    if (!net) return 0;
    const std::string written = describe(net);
    run.more(written.size(), 2 * fuzz::json_factor, extra);
    dk_net *again = make(written.c_str());
    fuzz::expect(again, "what was written can be read");
    fuzz::expect(describe(again) == written, "what was written is written the same");
    dk_net_destroy(again);
    dk_net_destroy(net);
    return 0;
}

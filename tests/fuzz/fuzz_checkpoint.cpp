// The state of a run in a checkpoint: an accepted one is written the same again, and a run goes on from
// it, in a file whose tensors and hashes are right, as whoever means harm would make it.
#include "context.h"
#include "files.h"
#include "fuzz.h"

extern "C" {
#include "base/memory.h"
#include "format/safetensors.h"
#include "kernels/optimizer.h"
#include "model/file.h"
#include "train/run_state.h"
}

#include <vector>

namespace {

constexpr int64_t width = 2, most_batch = 16; // a batch decides how much memory training needs

dk_net *make_net() {
    dk_layer layer = DK_LAYER_INIT;
    layer.width = width;
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = width;
    desc.layers = &layer;
    desc.layer_count = 1;
    desc.loss = DK_LOSS_MSE;
    dk_net *net = nullptr;
    fuzz::expect(dk_net_create(&net, fuzz::context(), &desc) == DK_OK, "there is a network");
    return net;
}

dk_dataset *make_set() {
    static const float x[4 * width] = {1, 2, 3, 4, 5, 6, 7, 8}, targets[4 * width] = {1, -1, 2};
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = 4;
    arrays.features = arrays.target_count = width;
    arrays.x = x;
    arrays.targets = targets;
    dk_dataset *set = nullptr;
    fuzz::expect(dk_dataset_from_arrays(&set, fuzz::context(), &arrays) == DK_OK, "there are data");
    return set;
}

std::string take(char *text) {
    std::string copy = text;
    dki_release(fuzz::allocator(), text);
    return copy;
}

std::string write(const dki_run_state &run) {
    char *text = nullptr;
    fuzz::expect(dki_run_state_to_json(&run, fuzz::allocator(), &text) == DK_OK, "it is written");
    return take(text);
}

bool read(const std::string &text, dki_run_state *run) {
    const dk_status status = dki_run_state_from_json(run, fuzz::allocator(), text.c_str());
    return fuzz::succeeded(status, {DK_E_MODEL});
}

std::vector<uint8_t> bytes_of(fuzz::Pipe *pipe) {
    const uint8_t *first = pipe->take();
    return {first, first + pipe->bytes()};
}

// The checkpoint of a run with this state, its numbers zero.
std::vector<uint8_t> make_file(fuzz::Pipe *pipe, dk_net *net, const dki_run_state &run,
                               const std::string &text) {
    static const float zeros[width * width] = {};
    std::vector<std::string> prefixes = {"", "slot1.", "slot2."};
    prefixes.resize(1 + static_cast<size_t>(dki_optimizer_slots(run.options.optimizer)));
    if (run.fitting && run.fit.has_best) prefixes.push_back("best.");
    std::vector<std::string> names;
    for (const std::string &prefix : prefixes)
        for (const char *name : {"layers.1.weight", "layers.1.bias"})
            names.push_back(prefix + name);
    std::vector<dki_safetensor> tensors;
    for (const std::string &name : names) {
        const bool bias = tensors.size() % 2;
        tensors.push_back({name.c_str(),
                           "F32",
                           bias ? 1 : 2,
                           {width, width},
                           zeros,
                           (bias ? width : width * width) * sizeof(float)});
        if (bias) tensors.back().shape[1] = 0;
    }
    char *model = nullptr;
    fuzz::expect(dki_net_to_json(net, &model) == DK_OK, "a network is described");
    const std::string description = take(model);
    const dki_metadata metadata[] = {{DKI_MODEL_KEY, description.c_str()},
                                     {DKI_TRAINING_KEY, text.c_str()}};
    fuzz::expect(dki_safetensors_write(fuzz::allocator(), pipe->path(), metadata, 2, tensors.data(),
                                       tensors.size()) == DK_OK,
                 "a checkpoint is written");
    return bytes_of(pipe);
}

dk_trainer *resume(const fuzz::File &file, const std::vector<uint8_t> &bytes, dk_net *net,
                   bool anyway) {
    file.fill(bytes.data(), bytes.size());
    dk_trainer *trainer = nullptr;
    const dk_status status = dk_trainer_resume(&trainer, net, nullptr, file.path(), anyway);
    fuzz::expect(fuzz::succeeded(status, {DK_E_MODEL, DK_E_STATE}) == (trainer != nullptr),
                 "there is a trainer if resuming succeeded");
    return trainer;
}

// The rest of an interrupted fit, or a new one.
void fit(dk_trainer *trainer, const dk_dataset *set) {
    dk_fit_options options = DK_FIT_OPTIONS_INIT;
    options.epochs = 2;
    options.restore_best = true;
    fuzz::succeeded(dk_trainer_fit(trainer, set, set, &options, nullptr),
                    {DK_E_NONFINITE, DK_E_STATE});
}

// A run that goes on is saved as one that goes on here, and is saved the same again.
void go_on(dk_net *net, const dk_dataset *set, const dki_run_state &run, const std::string &text) {
    static fuzz::Pipe pipe;
    static fuzz::File file;
    dk_trainer *trainer = resume(file, make_file(&pipe, net, run, text), net, true);
    if (!trainer) return;
    fuzz::expect(dk_trainer_save(trainer, pipe.path()) == DK_OK, "what was resumed is saved");
    dk_trainer_destroy(trainer);
    const std::vector<uint8_t> saved = bytes_of(&pipe);
    trainer = resume(file, saved, net, false);
    fuzz::expect(trainer, "what was saved is resumed");
    fuzz::expect(dk_trainer_save(trainer, pipe.path()) == DK_OK && bytes_of(&pipe) == saved,
                 "and is saved the same");
    static const float x[width] = {1, -1}, targets[width] = {0.5f, 2};
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 1;
    batch.x = x;
    batch.targets = targets;
    double loss = 0;
    if (fuzz::succeeded(dk_trainer_step(trainer, &batch, &loss), {DK_E_NONFINITE, DK_E_ARGUMENT}))
        fit(trainer, set);
    dk_trainer_destroy(trainer);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static dk_net *const net = make_net();
    static const dk_dataset *const set = make_set();
    // JSON, and the plans' bytes; a trainer of the largest batch.
    fuzz::Run run(bytes, fuzz::json_factor, fuzz::json_extra);
    dki_run_state state, again;
    if (!read(fuzz::Input(data, bytes).text(), &state)) return 0;
    const std::string text = write(state);
    run.more(text.size(), fuzz::json_factor, 0);
    fuzz::expect(read(text, &again), "what was written can be read");
    fuzz::expect(write(again) == text, "what was written is written the same");
    if (state.options.batch <= most_batch && text.size() < fuzz::Pipe::room / 2) {
        run.more(text.size(), 2 * fuzz::json_factor, 1 << 20);
        go_on(net, set, state, text);
    }
    dki_run_state_release(&state);
    dki_run_state_release(&again);
    return 0;
}

// Data sets opened from files of any bytes: alone (NPY, IDX, CSV, gzip, as their first bytes say), and
// as MNIST's pair and as x.npy with y.npy; as they are, and like another set or a network. An open set
// is read, measured, and opened again like itself.
#include "context.h"
#include "files.h"
#include "fuzz.h"

extern "C" {
#include "data/dataset.h"
}

#include <cmath>
#include <filesystem>
#include <vector>

namespace {

// Two files in memory under the names that data sets have in folders.
struct Folder {
    fuzz::File first, second;
    std::filesystem::path root;

    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "deltak-fuzz-XXXXXX").string();
        fuzz::expect(mkdtemp(name.data()), "there is a folder");
        root = name;
        link("idx", "train-images-idx3-ubyte", "train-labels-idx1-ubyte");
        link("npy", "x.npy", "y.npy");
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(root, ignored);
    }
    void link(const char *folder, const char *one, const char *other) const {
        std::filesystem::create_directory(root / folder);
        std::filesystem::create_symlink(first.path(), root / folder / one);
        std::filesystem::create_symlink(second.path(), root / folder / other);
    }
};

// What a file may have to be like: two classes with names, and two without.
struct Known {
    dk_dataset *set = nullptr;
    dk_net *net = nullptr;

    Known() {
        fuzz::File file;
        const std::string rows = "1,cat\n2,dog\n";
        file.fill(rows.data(), rows.size());
        dk_layer layer = DK_LAYER_INIT;
        layer.width = 2;
        layer.activation = DK_IDENTITY;
        dk_net_desc desc = DK_NET_DESC_INIT;
        desc.inputs = 1;
        desc.layers = &layer;
        desc.layer_count = 1;
        desc.loss = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
        fuzz::expect(dk_dataset_open(&set, fuzz::context(), file.path(), nullptr) == DK_OK &&
                         dk_net_create(&net, fuzz::context(), &desc) == DK_OK,
                     "there are a set and a network");
    }
};

struct Choice {
    std::string source;
    dk_data_options options;
};

// Three bytes: the kind of source, the options, and where the second file begins.
Choice choose(const Folder &folder, const Known &known, fuzz::Input *input) {
    static const char *const columns[] = {nullptr, "first", "0", "y"};
    const uint8_t kind = input->byte(), how = input->byte(), cut = input->byte();
    const fuzz::Input first = input->piece(kind & 3 ? size_t{cut} * (kind >> 2 | 1u) : SIZE_MAX);
    folder.first.fill(first.data(), first.size());
    folder.second.fill(input->data(), input->size());
    Choice choice = {folder.first.path(), DK_DATA_OPTIONS_INIT};
    if (kind & 1) choice.source = folder.root / "npy";
    if (kind & 2) choice.source = folder.root / "idx";
    if ((kind & 3) == 3) choice.source = folder.root / "idx" / "train-images-idx3-ubyte";
    choice.options.task = static_cast<dk_task>(how & 3);
    choice.options.label_column = columns[how >> 2 & 3];
    choice.options.rows = how & 16 ? 2 : 0;
    if (how & 64) choice.options.like = known.set;
    if (how & 128) choice.options.like_net = known.net; // with both: refused
    choice.options.part = how & 32 && kind & 3 ? DK_PART_TEST : DK_PART_TRAIN;
    return choice;
}

dk_dataset *open(const Choice &choice) {
    dk_dataset *set = nullptr;
    const dk_status status =
        dk_dataset_open(&set, fuzz::context(), choice.source.c_str(), &choice.options);
    fuzz::expect(fuzz::succeeded(status, {DK_E_STATE, DK_E_DATA, DK_E_NONFINITE, DK_E_ARGUMENT,
                                          DK_E_SHAPE}) == (set != nullptr),
                 "there is a set if opening succeeded");
    return set;
}

// A label is the index of a class that there is, a target is finite.
void check_answers(const dk_dataset_info &info, const std::vector<int32_t> &labels,
                   const std::vector<float> &targets) {
    if (info.task == DK_TASK_CLASSIFICATION)
        for (int32_t label : labels)
            fuzz::expect(label >= 0 && label < info.targets, "a label is one of the classes");
    if (info.task == DK_TASK_REGRESSION)
        for (float target : targets) fuzz::expect(std::isfinite(target), "targets are finite");
}

void read(const dk_dataset *set) {
    dk_dataset_info info;
    fuzz::expect(dk_dataset_describe(set, &info) == DK_OK, "a set is described");
    fuzz::expect(info.rows >= 1 && info.features >= 1, "a set has rows and features");
    const bool classes = info.task == DK_TASK_CLASSIFICATION;
    const bool numbers = info.task == DK_TASK_REGRESSION;
    const auto rows = static_cast<size_t>(info.rows), width = static_cast<size_t>(info.features);
    std::vector<float> x(rows * width), targets(numbers ? rows * size_t(info.targets) : 0);
    std::vector<int32_t> labels(classes ? rows : 0);
    fuzz::expect(dk_dataset_read(set, 0, info.rows, x.data(), classes ? labels.data() : nullptr,
                                 numbers ? targets.data() : nullptr) == DK_OK,
                 "a set is read");
    check_answers(info, labels, targets);
    std::vector<double> mean(width), sigma(width), target_mean(size_t(info.targets) + 1),
        target_sigma(size_t(info.targets) + 1);
    if (fuzz::succeeded(dki_dataset_statistics(set, mean.data(), sigma.data(),
                                               numbers ? target_mean.data() : nullptr,
                                               numbers ? target_sigma.data() : nullptr),
                        {DK_E_NONFINITE}))
        for (size_t j = 0; j < width; ++j)
            fuzz::expect(std::isfinite(mean[j]) && sigma[j] > 0, "statistics are finite");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static Folder folder;
    static const Known known;
    // A file's costs are at most CSV's. What gzip hides is bounded by its expansion: 1032 times that.
    const bool packed = bytes > 4 && data[3] == 0x1f && data[4] == 0x8b;
    fuzz::Run run(bytes, packed ? 100 * 1032 : 100, 1 << 17);
    fuzz::Input input(data, bytes);
    Choice choice = choose(folder, known, &input);
    dk_dataset *set = open(choice);
    if (!set) return 0;
    run.more(bytes, packed ? 100 * 1032 : 100, 1 << 17);
    read(set);
    choice.options.like = set;
    choice.options.like_net = nullptr;
    dk_dataset *like = open(choice);
    fuzz::expect(like, "a set is like itself");
    dk_dataset_destroy(like);
    dk_dataset_destroy(set);
    return 0;
}

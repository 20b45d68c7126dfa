// The rows that `deltak predict` reads from a stream: each good line has its answer, in order, a header
// none, and the first bad one an error line.
#include "command.h"
#include "context.h"
#include "files.h"

extern "C" {
#include "cli.h"
#include "predict.h"
}

#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t inputs = 3, outputs = 2;

dk_net *make_net() {
    dk_layer layer = DK_LAYER_INIT;
    layer.width = outputs;
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = inputs;
    desc.layers = &layer;
    desc.layer_count = 1;
    desc.loss = DK_LOSS_MSE;
    dk_net *net = nullptr;
    fuzz::expect(dk_net_create(&net, fuzz::context(), &desc) == DK_OK, "there is a network");
    return net;
}

// The commas of each line that isn't blank, as a line of CRs is to a reader of tables.
std::vector<int> commas_of(const char *text, size_t bytes) {
    std::vector<int> commas;
    bool blank = true;
    for (size_t i = 0; i < bytes; ++i) {
        if (text[i] == '\n') {
            blank = true;
            continue;
        }
        if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r') continue;
        if (blank) commas.push_back(0);
        blank = false;
        commas.back() += text[i] == ',';
    }
    return commas;
}

struct Stream {
    fuzz::File file;
    dk_net *net = make_net();
    char *text = nullptr;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    int predict(const fuzz::Input &input) {
        predictor p{};
        p.context = fuzz::context();
        p.net = net;
        p.inputs = inputs;
        p.outputs = outputs;
        p.out = out;
        p.options = DK_DATA_OPTIONS_INIT;
        p.options.task = DK_TASK_NONE;
        p.options.like_net = net;
        file.fill(input.data(), input.size());
        lseek(file.descriptor(), 0, SEEK_SET);
        rewind(out);
        const int code = predict_stream(&p, file.descriptor(), "stream");
        fflush(out);
        return code;
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static Stream stream;
    // What a batch needs is the same for every stream.
    fuzz::Run run(bytes, 0, 1 << 20);
    const fuzz::Input input(data, bytes);
    fuzz::error_lines = 0;
    const int code = stream.predict(input);
    fuzz::expect(code == CLI_OK || code == CLI_DATA, "an exit code of a prediction");
    fuzz::expect((code == CLI_OK) == (fuzz::error_lines == 0), "a failure has an error line");
    const auto asked = commas_of(reinterpret_cast<const char *>(data), bytes);
    const auto answers = commas_of(stream.text, stream.bytes);
    // One line may be a header, and quotes may hold line ends.
    const bool quoted = std::memchr(data, '"', bytes) != nullptr;
    fuzz::expect(answers.size() <= asked.size(), "a line, an answer");
    fuzz::expect(code != CLI_OK || quoted || answers.size() + 1 >= asked.size(),
                 "all lines but a header have an answer");
    for (const int commas : answers)
        fuzz::expect(commas == outputs - 1, "as many numbers as the network gives");
    return 0;
}

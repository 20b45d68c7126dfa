// The option groups: any options with any values, in any order, and words that are no options. What comes out of an accepted line is
// described to the library, which may refuse it, and shown by the help.
#include "command.h"

extern "C" {
#include "options.h"
}

namespace {

struct Groups {
    cli_device device;
    cli_data data;
    cli_network network;
    cli_checkpoint checkpoint;
    dk_train_options training;
    dk_layer layers[CLI_MOST_HIDDEN + 1];
};

struct Group {
    const argp *parser;
    void *input;
};

Groups groups;
const Group all[] = {
    {&cli_device_argp, &groups.device},        {&cli_data_argp, &groups.data},
    {&cli_network_argp, &groups.network},      {&cli_layer_argp, &groups.network},
    {&cli_optimizer_argp, &groups.training},   {&cli_schedule_argp, &groups.training},
    {&cli_checkpoint_argp, &groups.checkpoint}};

void reset() {
    static const cli_device device = CLI_DEVICE_INIT;
    static const cli_data data = CLI_DATA_INIT;
    static const cli_checkpoint checkpoint = {};
    static const dk_train_options training = DK_TRAIN_OPTIONS_INIT;
    groups.device = device;
    groups.data = data;
    groups.training = training;
    groups.checkpoint = checkpoint;
    cli_network_init(&groups.network, "128,64");
}

// An option as argp hands it over: an alias is the option before it.
void parse(const Group &group, uint8_t which, char *value) {
    int count = 0;
    while (group.parser->options[count].name) ++count;
    const argp_option *option = &group.parser->options[which % count];
    while (option->flags & OPTION_ALIAS) --option;
    argp_state state{};
    state.input = group.input;
    fuzz::expect(group.parser->parser(option->key, value, &state) == 0, "an option is known");
}

// What argp can't take is explained by all options that there are.
void explain(const char *word) {
    argp_child children[sizeof all / sizeof *all + 1] = {};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) children[i].argp = all[i].parser;
    argp root{};
    root.children = children;
    cli_explain(&root, word);
}

void show_help(const Group &group) {
    if (!group.parser->help_filter) return;
    for (const argp_option *option = group.parser->options; option->name; ++option) {
        char *text = group.parser->help_filter(option->key, option->doc, group.input);
        fuzz::expect(!option->doc || text, "the help has a text");
        if (text != option->doc) free(text);
    }
}

void describe() {
    const cli_network &network = groups.network;
    fuzz::expect(network.hidden_count <= CLI_MOST_HIDDEN, "as many widths as fit");
    const dk_net_desc desc =
        cli_network_describe(&network, 4, 3, DK_TASK_CLASSIFICATION, 1, groups.layers);
    fuzz::succeeded(dk_net_validate(&desc), {DK_E_ARGUMENT, DK_E_SHAPE});
    const dk_data_options data = cli_data_options(&groups.data, DK_PART_TRAIN);
    fuzz::expect(data.rows >= 0 && data.features >= 0 && data.targets >= 0, "none is negative");
}

} // namespace

// Records of two bytes, which group and which option, and a value that ends with a line. An option
// number from 240 makes a word of the value.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz::Run run(bytes, 0, 0);
    fuzz::Input input(data, bytes);
    std::string text = input.text() + '\n'; // outlives the options that point into it
    for (char &c : text) c = c == '\n' ? '\0' : c;
    reset();
    for (size_t at = 0; at + 2 < text.size();) {
        const Group &group = all[static_cast<uint8_t>(text[at]) % (sizeof all / sizeof *all)];
        const auto which = static_cast<uint8_t>(text[at + 1]);
        char *value = &text[at + 2];
        if (which >= 240) {
            fuzz::expect(!fuzz::parses([&] { explain(value); }), "a word that is no option");
            return 0;
        }
        if (!fuzz::parses([&] { parse(group, which, value); })) return 0;
        at += 2 + std::strlen(value) + 1;
    }
    describe();
    for (const Group &group : all) show_help(group);
    return 0;
}

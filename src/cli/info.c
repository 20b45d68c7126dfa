#include "cli.h"
#include "json.h"
#include "options.h"
#include "text.h"

enum { KEY_JSON = CLI_KEY };

typedef struct info_choices {
    cli_device device;
    bool json;
} info_choices;

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "Results as one JSON object", 1},
    {0},
};

static const char DOC[] = "Shows the version, the device that would be used, and every name that "
                          "options take."
                          "\v"
                          "Example:\n"
                          "  deltak info --device cpu --json";

static error_t parse(int key, char *argument, struct argp_state *state) {
    info_choices *choices = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &choices->device;
        return 0;
    case KEY_JSON:
        choices->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&cli_device_argp, 0, "Device:", 2}, {0}};
static const struct argp argp = {options, parse, NULL, DOC, children, NULL, NULL};

static const struct {
    const char *key;
    cli_name_at at;
} LISTS[] = {
    {"activations", cli_activation_at}, {"losses", cli_loss_at},        {"inits", cli_init_at},
    {"optimizers", cli_optimizer_at},   {"schedules", cli_schedule_at}, {"tasks", cli_task_at},
    {"precisions", cli_precision_at},
};
enum { LIST_COUNT = sizeof LISTS / sizeof *LISTS };

static void print_json(const dk_context *context, const dk_context_info *info) {
    json_t *object = cli_json_object();
    cli_json_machine(object, context);
    cli_json_text(object, "library", info->library);
    cli_json_integer(object, "memory_total", (int64_t)info->memory_total);
    cli_json_integer(object, "memory_free", (int64_t)info->memory_free);
    for (int i = 0; i < LIST_COUNT; ++i) {
        json_t *list = cli_json_array();
        for (int n = 0; LISTS[i].at(n); ++n) cli_json_append_text(list, LISTS[i].at(n));
        cli_json_put(object, LISTS[i].key, list);
    }
    cli_json_print(object);
}

static const char *known(const char *text) {
    return text && *text ? text : "unknown";
}

static void print_text(const dk_context_info *info) {
    const double gib = 1024.0 * 1024.0 * 1024.0;
    printf("%-12s %s\n", "version", dk_version());
    printf("%-12s %s (%s)\n", "device", known(info->device), known(info->device_name));
    printf("%-12s %s\n", "library", known(info->library));
    printf("%-12s %s\n", "kernel", known(info->kernel));
    printf("%-12s %s\n", "vector", known(info->vector));
    printf("%-12s %d\n", "threads", info->threads);
    printf("%-12s %.1f GiB, %.1f GiB free\n", "memory", (double)info->memory_total / gib,
           (double)info->memory_free / gib);
    printf("%-12s %s\n\n", "precision", dk_precision_name(info->precision));
    for (int i = 0; i < LIST_COUNT; ++i) {
        char names[512];
        printf("%-12s %s\n", LISTS[i].key, cli_names(LISTS[i].at, names, sizeof names));
    }
}

int cli_info(int argc, char **argv) {
    info_choices choices = {.device = CLI_DEVICE_INIT};
    cli_parse(&argp, argc, argv, &choices);
    dk_context *context = NULL;
    dk_context_info info;
    int code = CLI_OK;
    dk_status status = cli_device_open(&choices.device, &context);
    if (!status) status = dk_context_describe(context, &info);
    if (status)
        code = cli_fail(CLI_AT_OPTIONS, status);
    else if (choices.json)
        print_json(context, &info);
    else
        print_text(&info);
    dk_context_destroy(context);
    return code;
}

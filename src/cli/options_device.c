#include "cli.h"
#include "options.h"
#include "text.h"

#include <stdio.h>

enum { KEY_DEVICE = CLI_KEY, KEY_THREADS, KEY_PRECISION, KEY_DETERMINISTIC, KEY_NO_PLAN_CACHE };

static const struct argp_option options[] = {
    {"device", KEY_DEVICE, "NAME", 0,
     "auto (a working GPU, else the CPU), cpu, cuda, or cuda:N (default {})", 0},
    {"threads", KEY_THREADS, "N", 0,
     "CPU threads; 0 = as many as this process may use (default {})", 0},
    {"precision", KEY_PRECISION, "NAME", 0,
     "How products are computed: {}. The CPU has fp32, and bf16 with AVX512_BF16 or AMX", 0},
    {"deterministic", KEY_DETERMINISTIC, NULL, 0,
     "On a GPU: take each product's first algorithm; nothing is chosen by timing", 0},
    {"no-plan-cache", KEY_NO_PLAN_CACHE, NULL, 0,
     "On a GPU: don't remember in ~/.cache/deltak which algorithms were the fastest", 0},
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state) {
    cli_device *device = state->input;
    switch (key) {
    case KEY_DEVICE:
        device->device = argument;
        return 0;
    case KEY_THREADS:
        device->threads = (int)cli_integer("--threads", argument, 0, 4096);
        return 0;
    case KEY_PRECISION:
        if (dk_precision_parse(argument, &device->precision))
            cli_usage("--precision: %s", dk_error_text());
        return 0;
    case KEY_DETERMINISTIC:
        device->deterministic = true;
        return 0;
    case KEY_NO_PLAN_CACHE:
        device->no_plan_cache = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *describe(int key, const char *text, void *input) {
    const cli_device *device = input;
    char names[128], value[256] = "";
    if (!device) return (char *)text;
    switch (key) {
    case KEY_DEVICE:
        return cli_substitute(text, device->device);
    case KEY_THREADS:
        snprintf(value, sizeof value, "%d", device->threads);
        break;
    case KEY_PRECISION:
        snprintf(value, sizeof value, "%s (default %s)",
                 cli_names(cli_precision_at, names, sizeof names),
                 dk_precision_name(device->precision));
        break;
    default:
        return (char *)text;
    }
    return cli_substitute(text, value);
}

const struct argp cli_device_argp = {options, parse, NULL, NULL, NULL, describe, NULL};

static void print_log(void *user, dk_log_level level, const char *line) {
    (void)user;
    cli_error("%s%s", level == DK_LOG_WARNING ? "warning: " : "", line);
}

dk_status cli_device_open(const cli_device *device, dk_context **context) {
    dk_context_options wanted = DK_CONTEXT_OPTIONS_INIT;
    wanted.device = device->device;
    wanted.threads = device->threads;
    wanted.precision = device->precision;
    wanted.deterministic = device->deterministic;
    wanted.no_plan_cache = device->no_plan_cache;
    wanted.log = print_log;
    return dk_context_create(context, &wanted);
}

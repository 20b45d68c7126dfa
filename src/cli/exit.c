#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *current_command;

void cli_set_command(const char *command) {
    current_command = command;
}

int cli_exit_code(cli_stage stage, dk_status status) {
    switch (status) {
    case DK_OK:
        return CLI_OK;
    case DK_E_ARGUMENT:
        return stage == CLI_AT_MODEL ? CLI_MODEL : CLI_USAGE;
    case DK_E_SHAPE:
    case DK_E_STATE:
        if (stage == CLI_AT_DATA) return CLI_DATA;
        return stage == CLI_AT_MODEL ? CLI_MODEL : CLI_USAGE;
    case DK_E_IO:
        if (stage == CLI_AT_MODEL) return CLI_MODEL;
        return CLI_DATA;
    case DK_E_DATA:
        return CLI_DATA;
    case DK_E_MODEL:
        return CLI_MODEL;
    case DK_E_NONFINITE:
        if (stage == CLI_AT_MODEL) return CLI_MODEL;
        return stage == CLI_AT_TRAINING ? CLI_DIVERGED : CLI_DATA;
    case DK_E_MEMORY:
    case DK_E_DEVICE:
    case DK_E_DEVICE_LOST:
    case DK_E_UNSUPPORTED:
        return CLI_DEVICE;
    case DK_E_NOT_KEPT:
    case DK_E_STOPPED:
        break;
    }
    return CLI_FAILED;
}

/* A text may carry what a file held: control characters would break the one line that an error is,
 * or reach the terminal. */
static void print_line(const char *text) {
    fputs("deltak: ", stderr);
    for (const unsigned char *c = (const unsigned char *)text; *c; ++c)
        fputc(*c < ' ' || *c == 127 ? ' ' : *c, stderr);
    fputc('\n', stderr);
}

static void print_formatted(const char *format, va_list arguments) {
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    print_line(text);
}

int cli_fail(cli_stage stage, dk_status status) {
    print_line(dk_error_text());
    return cli_exit_code(stage, status);
}

void cli_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_formatted(format, arguments);
    va_end(arguments);
}

_Noreturn void cli_usage(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_formatted(format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try `deltak %s%s--help'.\n", current_command ? current_command : "",
            current_command ? " " : "");
    exit(CLI_USAGE);
}

void *cli_allocate(size_t count, size_t bytes) {
    void *memory = calloc(count ? count : 1, bytes ? bytes : 1);
    if (!memory) {
        cli_error("out of memory: %zu elements of %zu bytes", count, bytes);
        exit(CLI_DEVICE);
    }
    return memory;
}

int cli_finish(int code) {
    errno = 0;
    bool failed = fflush(stdout) != 0;
    failed = ferror(stdout) || failed;
    if (!failed) return code;
    cli_error("can't write to standard output: %s", errno ? strerror(errno) : "write error");
    return code == CLI_OK ? CLI_FAILED : code;
}

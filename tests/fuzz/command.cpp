#include "command.h"

extern "C" {
#include "cli.h"
}

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace fuzz {
std::jmp_buf usage_error;
long error_lines;
} // namespace fuzz

// As exit.c has them, but for the process.

static void take_line(const char *format, va_list arguments) {
    char text[2048] = "";
    vsnprintf(text, sizeof text, format, arguments);
    fuzz::expect(*text != '\0', "an error line isn't empty");
    ++fuzz::error_lines;
}

void cli_usage(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    take_line(format, arguments);
    va_end(arguments);
    std::longjmp(fuzz::usage_error, 1);
}

void cli_error(const char *format, ...) {
    if (std::strncmp(format, "note:", 5) == 0) return; /* no failure */
    va_list arguments;
    va_start(arguments, format);
    take_line(format, arguments);
    va_end(arguments);
}

int cli_exit_code(cli_stage, dk_status status) {
    fuzz::succeeded(status, {DK_E_DATA, DK_E_NONFINITE, DK_E_SHAPE, DK_E_ARGUMENT, DK_E_STATE});
    return CLI_DATA;
}

int cli_fail(cli_stage stage, dk_status status) {
    ++fuzz::error_lines;
    return cli_exit_code(stage, status);
}

void *cli_allocate(size_t count, size_t bytes) {
    return calloc(count ? count : 1, bytes ? bytes : 1);
}

void cli_set_command(const char *) {}

int cli_finish(int code) {
    return code;
}

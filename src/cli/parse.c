#include "parse.h"

#include "cli.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPTIONS = 128 };

typedef struct option_list {
    const struct argp_option *options[MOST_OPTIONS];
    size_t count;
} option_list;

static void collect(const struct argp *argp, option_list *list) {
    /* An option without name, key and doc ends a list. */
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); ++o)
        if (o->name && list->count < MOST_OPTIONS) list->options[list->count++] = o;
    for (const struct argp_child *child = argp->children; child && child->argp; ++child)
        collect(child->argp, list);
}

/* An alias takes its value as the option before it does. */
_Noreturn void cli_explain(const struct argp *root, const char *word) {
    option_list list = {.count = 0};
    collect(root, &list);
    if (strncmp(word, "--", 2) != 0)
        cli_usage("unknown option \"%s\": options are whole words, as in --data", word);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *names[MOST_OPTIONS];
    size_t matches = 0;
    bool exact = false;
    for (size_t i = 0; i < list.count; ++i) {
        names[i] = list.options[i]->name;
        matches += strncmp(names[i], name, strlen(name)) == 0;
        exact |= strcmp(names[i], name) == 0;
    }
    if (exact || matches == 1)
        cli_usage("option --%s %s", name, strchr(word, '=') ? "takes no value" : "needs a value");
    if (matches > 1) cli_usage("option --%s is ambiguous: write it in full", name);
    const char *nearest = cli_nearest_of(name, names, list.count);
    if (nearest) cli_usage("unknown option --%s: did you mean --%s?", name, nearest);
    cli_usage("unknown option --%s", name);
}

static error_t parse_root(int key, char *argument, struct argp_state *state) {
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = state->input;
        return 0;
    case 'h':
        /* With ARGP_NO_ERRS argp would print no help either. */
        state->flags &= ~(unsigned)ARGP_NO_ERRS;
        argp_state_help(state, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC);
        exit(cli_finish(CLI_OK));
    case ARGP_KEY_ARG:
        if (state->root_argp->children[0].argp->args_doc) return ARGP_ERR_UNKNOWN;
        cli_usage("unexpected argument \"%s\"", argument);
    case ARGP_KEY_ERROR:
        cli_explain(state->root_argp, state->argv[state->next - 1]);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void cli_parse(const struct argp *argp, int argc, char **argv, void *input) {
    static const struct argp_option options[] = {
        {"help", 'h', NULL, 0, "Show this help", -1},
        {0},
    };
    const struct argp_child children[] = {{argp, 0, NULL, 0}, {0}};
    const struct argp root = {options, parse_root, NULL, NULL, children, NULL, NULL};
    char name[64];
    snprintf(name, sizeof name, "deltak %s", argv[0]);
    cli_set_command(argv[0]);
    char *words[] = {name, "--help", NULL};
    /* The help shows the defaults: whatever else is on the line must not change them before. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; ++i)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            argc = 2;
            argv = words;
        }
    argv[0] = name;
    unsigned flags = ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP;
    if (argp_parse(&root, argc, argv, flags, NULL, input)) cli_usage("can't read the options");
}

char *cli_substitute(const char *text, const char *value) {
    const char *hole = text ? strstr(text, "{}") : NULL;
    if (!hole) return (char *)text;
    char *result = NULL;
    if (asprintf(&result, "%.*s%s%s", (int)(hole - text), text, value, hole + 2) < 0) return NULL;
    return result;
}

/* JSON as text. jansson keeps a token that it reads, and a text that it writes, in a buffer that grows,
 * and drops bytes in silence where memory for that runs out. So nothing here makes it grow one unseen:
 * what is written goes into memory of ours, and what is read comes behind a string as long as all of
 * it, which tells by its own length whether the buffer has grown enough. */
#include "base/memory.h"
#include "format/json.h"

#include <errno.h>
#include <string.h>

/* ["xxxx…", TEXT] in parts. */
typedef struct {
    const char *text;
    size_t bytes, position; /* in all of it */
} reader;

static const char before[] = "[\"", between[] = "\",", after[] = "]";
enum { BEFORE = sizeof before - 1, BETWEEN = sizeof between - 1, AFTER = sizeof after - 1 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Gives up to `room` bytes from the position on. */
static size_t read_part(void *to, size_t room, void *argument) {
    reader *it = argument;
    const struct {
        const char *from; /* NULL: x's */
        size_t bytes;
    } parts[] = {{before, BEFORE},
                 {NULL, it->bytes},
                 {between, BETWEEN},
                 {it->text, it->bytes},
                 {after, AFTER}};
    size_t at = it->position;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
        if (at >= parts[i].bytes) {
            at -= parts[i].bytes;
            continue;
        }
        const size_t bytes = smaller(room, parts[i].bytes - at);
        if (parts[i].from)
            memcpy(to, parts[i].from + at, bytes);
        else
            memset(to, 'x', bytes);
        it->position += bytes;
        return bytes;
    }
    return 0;
}

static dk_status no_memory(const char *what) {
    return dki_fail(DK_E_MEMORY, "out of memory: %s", what);
}

/* jansson doesn't always say that memory ran out; the system does. */
static dk_status explain(const char *what, size_t bytes, const json_error_t *error) {
    const enum json_error_code code = json_error_code(error);
    if (errno == ENOMEM || code == json_error_out_of_memory || code == json_error_unknown)
        return no_memory(what);
    const long at = (long)error->position - (long)(BEFORE + bytes + BETWEEN);
    return dki_fail(DK_E_MODEL, "%s is no valid JSON at byte %ld of it: %s", what, at > 0 ? at : 0,
                    error->text);
}

dk_status dki_json_parse(const char *text, size_t bytes, const char *what, json_t **value) {
    reader it = {.text = text, .bytes = bytes};
    json_error_t error;
    *value = NULL;
    errno = 0;
    json_t *array = json_load_callback(read_part, &it, JSON_REJECT_DUPLICATES, &error);
    if (!array) return explain(what, bytes, &error);
    dk_status status = DK_OK;
    if (json_string_length(json_array_get(array, 0)) != bytes)
        status = no_memory(what);
    else if (json_array_size(array) != 2)
        status = dki_fail(DK_E_MODEL, "%s is no valid JSON: it is more than one value", what);
    else
        *value = json_incref(json_array_get(array, 1));
    json_decref(array);
    return status;
}

dk_status dki_json_print(const dk_allocator *allocator, const json_t *value, size_t flags,
                         size_t lead, size_t alignment, const char *what, char **text,
                         size_t *length) {
    char *made = NULL;
    size_t end = 0;
    *text = NULL;
    const size_t bytes = json_dumpb(value, NULL, 0, flags);
    if (bytes == 0 || !dki_add(lead, bytes, &end) || !dki_round_up(end, alignment, &end))
        return no_memory(what);
    *length = end - lead;
    DKI_TRY(dki_new(allocator, &made, *length + 1, what));
    memset(made, ' ', *length);
    if (json_dumpb(value, made, *length, flags) != bytes) {
        dki_release(allocator, made);
        return no_memory(what);
    }
    *text = made;
    return DK_OK;
}

dk_status dki_json_dump(const dk_allocator *allocator, json_t *value, const char *what,
                        char **text) {
    size_t length = 0;
    dk_status status = dki_json_print(allocator, value, JSON_COMPACT | JSON_ENSURE_ASCII, 0, 1,
                                      what, text, &length);
    json_decref(value);
    return status;
}

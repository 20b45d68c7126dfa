#include "format/inflate.h"

#include "base/memory.h"
#include "format/bytes.h"

#include <zlib.h>

/* No DEFLATE stream expands by more than this (RFC 1951: 258 bytes by two bits at best). */
enum { MOST_EXPANSION = 1032, PIECE = 1 << 30, GZIP_WINDOW = 15 + 16 };

typedef struct {
    const dk_allocator *allocator;
    const char *name;
    const unsigned char *data;
    size_t bytes, limit;
    z_stream stream;
    void *memory;
    size_t capacity, used;
} inflater;

static void *zlib_alloc(void *allocator, unsigned count, unsigned size) {
    void *memory = NULL;
    dki_alloc(allocator, count, size, "zlib", &memory);
    return memory;
}

static void zlib_free(void *allocator, void *memory) {
    dki_release(allocator, memory);
}

static size_t position(const inflater *it) {
    return (size_t)(it->stream.next_in - it->data);
}

static dk_status no_memory(const char *name) {
    return dki_fail(DK_E_MEMORY, "%s: out of memory while inflating it", name);
}

static dk_status explain(const inflater *it, int result) {
    if (result == Z_MEM_ERROR) return no_memory(it->name);
    if (result == Z_BUF_ERROR)
        return dki_fail(DK_E_DATA,
                        "%s: the gzip is cut short: its %zu bytes hold no end of the data; fetch "
                        "it again",
                        it->name, it->bytes);
    return dki_fail(DK_E_DATA, "%s: the gzip is damaged near byte %zu (%s): fetch it again",
                    it->name, position(it), it->stream.msg ? it->stream.msg : "not deflate");
}

/* The output's size by the last four bytes, a hint only: they hold it modulo 2^32, may lie, and
 * speak of the last member alone. */
static size_t expected_bytes(const inflater *it) {
    if (it->bytes < 18) return 0; /* the shortest gzip: ten bytes of header, eight of trailer */
    size_t expected = dki_load_le32(it->data + it->bytes - 4);
    if (expected / MOST_EXPANSION > it->bytes) expected = 0;
    return expected < it->limit ? expected : it->limit;
}

/* Inflates one member, appending to the memory. */
static dk_status inflate_member(inflater *it) {
    z_stream *stream = &it->stream;
    for (int result = Z_OK; result != Z_STREAM_END;) {
        if (it->used + 1 >= it->capacity)
            DKI_TRY(
                dki_grow(it->allocator, &it->memory, &it->capacity, it->capacity + 1, 1, it->name));
        size_t room = it->capacity - it->used - 1;
        size_t left = it->bytes - position(it);
        stream->avail_out = (uInt)(room < PIECE ? room : PIECE);
        stream->avail_in = (uInt)(left < PIECE ? left : PIECE);
        stream->next_out = (unsigned char *)it->memory + it->used;
        result = inflate(stream, Z_NO_FLUSH);
        it->used = (size_t)(stream->next_out - (unsigned char *)it->memory);
        DKI_REQUIRE(it->used <= it->limit, DK_E_DATA,
                    "%s: inflates to more than %zu bytes: split it", it->name, it->limit);
        if (result != Z_OK && result != Z_STREAM_END) return explain(it, result);
    }
    return DK_OK;
}

/* A gzip file is one or more members; zero bytes may pad it (gzip(1) allows both). */
static dk_status inflate_members(inflater *it) {
    for (;;) {
        DKI_TRY(inflate_member(it));
        size_t at = position(it);
        if (!dki_is_gzip(it->data + at, it->bytes - at)) break;
        if (inflateReset(&it->stream) != Z_OK) return explain(it, Z_STREAM_ERROR);
    }
    for (size_t at = position(it); at < it->bytes; ++at)
        DKI_REQUIRE(it->data[at] == 0, DK_E_DATA,
                    "%s: %zu bytes follow the end of the gzip at byte %zu: fetch it again",
                    it->name, it->bytes - position(it), position(it));
    return DK_OK;
}

dk_status dki_file_inflate(const dk_allocator *allocator, const char *name, const void *data,
                           size_t bytes, size_t limit, dki_file *file) {
    *file = (dki_file){0};
    inflater it = {
        .allocator = allocator, .name = name, .data = data, .bytes = bytes, .limit = limit};
    dk_status status = DK_OK;
    if (!dki_is_gzip(data, bytes)) {
        DKI_REQUIRE(bytes <= limit, DK_E_DATA,
                    "%s: it has %zu bytes, at most %zu can be read: split it", name, bytes, limit);
        DKI_TRY(dki_alloc(allocator, bytes + 1, 1, name, &it.memory));
        if (bytes) memcpy(it.memory, data, bytes);
        *file = (dki_file){.data = it.memory, .bytes = bytes, .memory = it.memory};
        return DK_OK;
    }
    it.stream = (z_stream){.next_in = (unsigned char *)data, /* zlib only reads it */
                           .zalloc = zlib_alloc,
                           .zfree = zlib_free,
                           .opaque = (void *)allocator};
    int result = inflateInit2(&it.stream, GZIP_WINDOW);
    if (result != Z_OK) return explain(&it, result);
    /* As in reading: a zero byte at the end, and room to see the end without growing. */
    DKI_TRY_OUT(dki_grow(allocator, &it.memory, &it.capacity, expected_bytes(&it) + 2, 1, name));
    DKI_TRY_OUT(inflate_members(&it));
    ((char *)it.memory)[it.used] = 0;
    *file = (dki_file){.data = it.memory, .bytes = it.used, .memory = it.memory};
    it.memory = NULL;
out:
    inflateEnd(&it.stream);
    dki_release(allocator, it.memory);
    return status;
}

dk_status dki_inflate_head(const char *name, const unsigned char *data, size_t bytes,
                           unsigned char *head, size_t room, size_t *got) {
    z_stream stream = {.next_in = (unsigned char *)data,
                       .avail_in = (uInt)bytes,
                       .next_out = head,
                       .avail_out = (uInt)room,
                       .zalloc = zlib_alloc,
                       .zfree = zlib_free,
                       .opaque = (void *)&dki_libc_allocator};
    *got = 0;
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK) return no_memory(name);
    int result = inflate(&stream, Z_SYNC_FLUSH);
    inflateEnd(&stream);
    if (result == Z_MEM_ERROR) return no_memory(name);
    *got = room - stream.avail_out;
    return DK_OK;
}

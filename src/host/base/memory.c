#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* The size of a block is kept in front of it, so that releasing needs the pointer alone. */
typedef struct {
    size_t bytes;
    char padding[DKI_ALIGNMENT - sizeof(size_t)];
} header;

static void *libc_alloc(void *user, size_t bytes, size_t alignment) {
    (void)user;
    void *memory = NULL;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void libc_release(void *user, void *memory, size_t bytes) {
    (void)user;
    (void)bytes;
    free(memory);
}

const dk_allocator dki_libc_allocator = {libc_alloc, libc_release, NULL};

dk_status dki_alloc(const dk_allocator *allocator, size_t count, size_t size, const char *what,
                    void **memory) {
    *memory = NULL;
    size_t bytes = 0, total = 0;
    DKI_REQUIRE(dki_mul(count, size, &bytes) && dki_add(bytes, sizeof(header), &total), DK_E_MEMORY,
                "%s: %zu × %zu bytes overflow the address space", what, count, size);
    header *block = allocator->alloc(allocator->user, total, DKI_ALIGNMENT);
    DKI_REQUIRE(block, DK_E_MEMORY, "out of memory: %s needs %zu bytes", what, bytes);
    memset(block, 0, total);
    block->bytes = total;
    *memory = block + 1;
    return DK_OK;
}

void dki_release(const dk_allocator *allocator, void *memory) {
    if (!memory) return;
    header *block = (header *)memory - 1;
    allocator->release(allocator->user, block, block->bytes);
}

dk_status dki_copy_text(const dk_allocator *allocator, const char *text, char **copy) {
    *copy = NULL;
    if (!text) return DK_OK;
    size_t bytes = strlen(text) + 1;
    DKI_TRY(dki_new(allocator, copy, bytes, "a text"));
    memcpy(*copy, text, bytes);
    return DK_OK;
}

dk_status dki_grow(const dk_allocator *allocator, void **items, size_t *capacity, size_t needed,
                   size_t size, const char *what) {
    if (needed <= *capacity) return DK_OK;
    size_t wanted = *capacity < 16 ? 16 : *capacity;
    while (wanted < needed)
        DKI_REQUIRE(dki_mul(wanted, 2, &wanted), DK_E_MEMORY, "%s: too many", what);
    void *grown = NULL;
    DKI_TRY(dki_alloc(allocator, wanted, size, what, &grown));
    if (*items) memcpy(grown, *items, *capacity * size);
    dki_release(allocator, *items);
    *items = grown;
    *capacity = wanted;
    return DK_OK;
}

#include "backend/cpu/scratch.h"

#include <stdatomic.h>

typedef struct {
    atomic_bool taken;
    void *memory; /* of who has taken it */
    size_t bytes;
} slot;

struct dki_scratch {
    const dk_allocator *allocator;
    int count;
    slot *slots;
};

dk_status dki_scratch_create(dki_scratch **scratch, const dk_allocator *allocator, int blocks) {
    *scratch = NULL;
    dki_scratch *made = NULL;
    DKI_TRY(dki_new(allocator, &made, 1, "scratch memory"));
    made->allocator = allocator;
    made->count = blocks;
    dk_status status = dki_new(allocator, &made->slots, (size_t)blocks, "scratch memory");
    if (status)
        dki_release(allocator, made);
    else
        *scratch = made;
    return status;
}

void dki_scratch_destroy(dki_scratch *scratch) {
    if (!scratch) return;
    for (int i = 0; i < scratch->count; ++i)
        dki_release(scratch->allocator, scratch->slots[i].memory);
    dki_release(scratch->allocator, scratch->slots);
    dki_release(scratch->allocator, scratch);
}

static void *new_block(const dki_scratch *scratch, size_t bytes) {
    void *memory = NULL;
    return dki_alloc(scratch->allocator, bytes, 1, "scratch memory", &memory) ? NULL : memory;
}

/* What a block held before isn't kept. */
static void *grown(const dki_scratch *scratch, slot *taken, size_t bytes) {
    if (taken->bytes >= bytes) return taken->memory;
    dki_release(scratch->allocator, taken->memory);
    taken->memory = new_block(scratch, bytes);
    taken->bytes = taken->memory ? bytes : 0;
    return taken->memory;
}

dki_scratch_block dki_scratch_take(dki_scratch *scratch, int place, size_t bytes) {
    for (int i = 0; i < scratch->count; ++i) {
        const int at = (place + i) % scratch->count;
        if (!atomic_exchange(&scratch->slots[at].taken, true))
            return (dki_scratch_block){grown(scratch, &scratch->slots[at], bytes), at};
    }
    return (dki_scratch_block){new_block(scratch, bytes), -1};
}

void dki_scratch_give(dki_scratch *scratch, dki_scratch_block block) {
    if (block.slot < 0)
        dki_release(scratch->allocator, block.memory);
    else
        atomic_store(&scratch->slots[block.slot].taken, false);
}

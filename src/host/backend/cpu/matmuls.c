#include "backend/cpu/matmuls.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { BUCKETS = 256 };

/* Entries are put in front of their bucket and stay until the table goes, so that a reader never
 * sees one change. */
typedef struct entry {
    struct entry *next;
    dki_matmul *matmul;
} entry;

struct dki_matmuls {
    const dk_allocator *allocator;
    pthread_mutex_t lock; /* of who adds */
    _Atomic(entry *) buckets[BUCKETS];
};

dk_status dki_matmuls_create(dki_matmuls **table, const dk_allocator *allocator) {
    DKI_TRY(dki_new(allocator, table, 1, "the table of products"));
    (*table)->allocator = allocator;
    pthread_mutex_init(&(*table)->lock, NULL);
    return DK_OK;
}

void dki_matmuls_destroy(dki_matmuls *table) {
    if (!table) return;
    for (int i = 0; i < BUCKETS; ++i)
        for (entry *at = atomic_load(&table->buckets[i]), *next; at; at = next) {
            next = at->next;
            dki_matmul_destroy(at->matmul);
            dki_release(table->allocator, at);
        }
    pthread_mutex_destroy(&table->lock);
    dki_release(table->allocator, table);
}

/* FNV-1a, word by word. */
static size_t bucket_of(const dki_matmul_shape *shape) {
    int64_t words[sizeof *shape / sizeof(int64_t)];
    memcpy(words, shape, sizeof words);
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i)
        hash = (hash ^ (uint64_t)words[i]) * 0x100000001b3u;
    return (size_t)(hash >> 32) % BUCKETS;
}

static const dki_matmul *look(const dki_matmuls *table, const dki_matmul_shape *shape) {
    for (const entry *at = atomic_load(&table->buckets[bucket_of(shape)]); at; at = at->next)
        if (memcmp(dki_matmul_shape_of(at->matmul), shape, sizeof *shape) == 0) return at->matmul;
    return NULL;
}

static dk_status add(dki_matmuls *table, const dki_matmul_shape *shape) {
    entry *made = NULL;
    DKI_TRY(dki_new(table->allocator, &made, 1, "the table of products"));
    dk_status status = dki_matmul_create(&made->matmul, table->allocator, shape);
    if (status) {
        dki_release(table->allocator, made);
        return status;
    }
    _Atomic(entry *) *bucket = &table->buckets[bucket_of(shape)];
    made->next = atomic_load(bucket);
    atomic_store(bucket, made);
    return DK_OK;
}

dk_status dki_matmuls_find(dki_matmuls *table, const dki_matmul_shape *shape,
                           const dki_matmul **matmul) {
    dk_status status = DK_OK;
    *matmul = look(table, shape);
    if (*matmul) return DK_OK;
    pthread_mutex_lock(&table->lock);
    if (!look(table, shape)) status = add(table, shape);
    pthread_mutex_unlock(&table->lock);
    *matmul = status ? NULL : look(table, shape);
    return status;
}

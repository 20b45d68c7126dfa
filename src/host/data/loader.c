/* A file that is mapped and then cut short by somebody else raises SIGBUS at the next read of what
 * is gone: the kernel offers a library no way to turn that into an error. Files are therefore best
 * replaced by renaming a new one over them, which leaves an open mapping whole. */
#include "data/loader.h"

#include "base/thread.h"
#include "data/source.h"
#include "data/view.h"
#include "kernels/shuffle.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    CHUNKS = 3,
    ORDER_ROWS = 4096,     /* least number of rows in a chunk of an in-memory set */
    STAGED_BYTES = 8 << 20 /* most that a chunk of a mapped set holds, unless a batch is more */
};

/* The thread fills chunk `filled` mod CHUNKS, the consumer reads chunk `taken` mod CHUNKS; a chunk
 * belongs to one of them at a time, so only the counters and what follows them need the lock. */
struct dki_loader {
    dk_dataset *dataset;
    const dk_allocator *allocator;
    int64_t batch, chunk_rows;
    dki_loading loading;
    bool copies; /* chunks hold copies of the rows */
    dki_chunk chunks[CHUNKS];

    dki_epoch_start start;
    bool running; /* a thread is there to be joined */
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t moved; /* a counter or a flag changed */
    uint64_t filled, taken;
    bool finished; /* nothing comes after chunk filled − 1 */
    bool stop;     /* atomic: the thread looks at it between rows as well */
    dk_status status;
    char text[1024]; /* of status */

    bool holding; /* the consumer is within chunk `taken` */
    int64_t position;
};

/* ----- the thread ----- */

static bool stopping(dki_loader *loader) {
    return __atomic_load_n(&loader->stop, __ATOMIC_RELAXED);
}

/* The pages of element first … first + count − 1 of the file. */
static void advise(const dki_storage *storage, int64_t first, int64_t count, int advice) {
    size_t size = dki_dtype_bytes(storage->type);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)storage->features + (uintptr_t)first * size;
    uintptr_t to = from + (uintptr_t)count * size;
    from -= from % page;
    posix_madvise((void *)from, to - from, advice); /* a hint: its failure changes nothing */
}

/* Tells the kernel how the file will be read. Returns whether the file is too large to stay in
 * memory, where reading ahead around a random row would be wasted. */
static bool advise_epoch(const dki_loader *loader) {
    const dki_storage *storage = loader->dataset->storage;
    int64_t elements = (storage->rows - 1) * storage->row_stride +
                       (storage->features_count - 1) * storage->col_stride + 1;
    if (!loader->start.shuffle) {
        advise(storage, 0, elements, POSIX_MADV_SEQUENTIAL);
        return false;
    }
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    bool large = (double)elements * (double)dki_dtype_bytes(storage->type) > memory / 2;
    advise(storage, 0, elements, large ? POSIX_MADV_RANDOM : POSIX_MADV_NORMAL);
    if (!large) advise(storage, 0, elements, POSIX_MADV_WILLNEED);
    return large;
}

/* Copies the rows in chunk->order out of the file. */
static dk_status stage(dki_loader *loader, dki_chunk *to, bool large) {
    const dki_storage *storage = loader->dataset->storage;
    int64_t width = storage->features_count, targets = storage->target_count;
    size_t row_bytes = (size_t)width * dki_dtype_bytes(storage->type);
    /* The device then works on many rows at once instead of on one page fault after another. */
    if (large && storage->col_stride == 1)
        for (int64_t i = 0; i < to->rows && !stopping(loader); ++i)
            advise(storage, to->order[i] * storage->row_stride, width, POSIX_MADV_WILLNEED);
    for (int64_t i = 0; i < to->rows && !stopping(loader); ++i) {
        int64_t row = to->order[i];
        void *copy = (char *)to->features + (size_t)i * row_bytes;
        dki_view_copy(storage->features, storage->type, row * storage->row_stride,
                      storage->col_stride, width, copy);
        /* What lies in memory was looked through when the set was made. */
        int64_t bad = storage->mapped ? dki_view_nonfinite(copy, storage->type, 0, 1, width) : -1;
        if (bad >= 0) return dki_fail_nonfinite(storage, row, bad);
        if (to->labels) to->labels[i] = storage->labels[row];
        if (to->targets)
            memcpy(to->targets + i * targets, storage->targets + row * targets,
                   (size_t)targets * sizeof *to->targets);
        if (to->weights) to->weights[i] = storage->weights[row];
    }
    return DK_OK;
}

/* Waits for a chunk that the consumer is done with; NULL when told to stop. */
static dki_chunk *free_chunk(dki_loader *loader) {
    pthread_mutex_lock(&loader->lock);
    while (loader->filled - loader->taken == CHUNKS && !stopping(loader))
        pthread_cond_wait(&loader->moved, &loader->lock);
    dki_chunk *found = stopping(loader) ? NULL : &loader->chunks[loader->filled % CHUNKS];
    pthread_mutex_unlock(&loader->lock);
    return found;
}

/* One more chunk is ready, or (finished) none will be. */
static void announce(dki_loader *loader, bool finished, dk_status status) {
    pthread_mutex_lock(&loader->lock);
    if (finished) {
        loader->finished = true;
        loader->status = status;
        if (status != DK_OK) snprintf(loader->text, sizeof loader->text, "%s", dk_error_text());
    } else {
        ++loader->filled;
    }
    pthread_cond_broadcast(&loader->moved);
    pthread_mutex_unlock(&loader->lock);
}

static void *fill_chunks(void *argument) {
    dki_loader *loader = argument;
    const dk_dataset *set = loader->dataset;
    bool large = loader->copies && set->storage->mapped && advise_epoch(loader);
    dk_status status = DK_OK;
    const dki_epoch_start *start = &loader->start;
    for (int64_t first = start->row; first < set->rows && status == DK_OK;
         first += loader->chunk_rows) {
        dki_chunk *to = free_chunk(loader);
        if (!to) break;
        int64_t left = set->rows - first;
        to->rows = left < loader->chunk_rows ? left : loader->chunk_rows;
        for (int64_t i = 0; i < to->rows && !stopping(loader); ++i) {
            uint64_t at = (uint64_t)(first + i);
            if (start->shuffle)
                at = dki_shuffle(start->seed, start->epoch, (uint64_t)set->rows, at);
            to->order[i] =
                loader->loading == DKI_LOAD_ORDER ? (int64_t)at : dki_dataset_row(set, (int64_t)at);
        }
        if (loader->copies) status = stage(loader, to, large);
        if (status == DK_OK) announce(loader, false, DK_OK);
    }
    announce(loader, true, status);
    return NULL;
}

/* ----- its owner ----- */

static void stop_thread(dki_loader *loader) {
    if (!loader->running) return;
    pthread_mutex_lock(&loader->lock);
    __atomic_store_n(&loader->stop, true, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&loader->moved);
    pthread_mutex_unlock(&loader->lock);
    pthread_join(loader->thread, NULL);
    loader->running = false;
}

static dk_status allocate_chunk(dki_loader *loader, dki_chunk *to) {
    const dki_storage *storage = loader->dataset->storage;
    size_t rows = (size_t)loader->chunk_rows, count = 0;
    DKI_TRY(dki_new(loader->allocator, &to->order, rows, "the order of the rows"));
    if (!loader->copies) return DK_OK;
    DKI_REQUIRE(dki_mul(rows, (size_t)storage->features_count, &count), DK_E_MEMORY,
                "a batch of %lld rows of %lld features overflows the address space",
                (long long)loader->batch, (long long)storage->features_count);
    DKI_TRY(dki_alloc(loader->allocator, count, dki_dtype_bytes(storage->type), "rows read ahead",
                      &to->features));
    if (storage->labels)
        DKI_TRY(dki_new(loader->allocator, &to->labels, rows, "labels read ahead"));
    if (storage->targets) {
        DKI_REQUIRE(dki_mul(rows, (size_t)storage->target_count, &count), DK_E_MEMORY,
                    "a batch of %lld rows of %lld targets overflows the address space",
                    (long long)loader->batch, (long long)storage->target_count);
        DKI_TRY(dki_new(loader->allocator, &to->targets, count, "targets read ahead"));
    }
    if (storage->weights)
        DKI_TRY(dki_new(loader->allocator, &to->weights, rows, "weights read ahead"));
    return DK_OK;
}

/* Whole batches a chunk, so that no batch straddles two; no more than the set holds. */
static int64_t choose_chunk_rows(const dk_dataset *set, int64_t batch, bool copies) {
    const dki_storage *storage = set->storage;
    int64_t batches = (ORDER_ROWS + batch - 1) / batch;
    if (copies) {
        double row_bytes = (double)storage->features_count * (double)dki_dtype_bytes(storage->type);
        if (storage->targets) row_bytes += 8.0 * (double)storage->target_count;
        double fitting = STAGED_BYTES / ((row_bytes + 16) * (double)batch);
        batches = fitting < 1 ? 1 : (int64_t)fitting;
    }
    int64_t all = (set->rows - 1) / batch + 1;
    return batches < all ? batches * batch : set->rows;
}

dk_status dki_loader_create(dki_loader **loader, const dk_dataset *dataset, int64_t batch,
                            dki_loading loading) {
    *loader = NULL;
    DKI_REQUIRE(batch >= 1, DK_E_ARGUMENT, "a batch of %lld rows: it needs one at least",
                (long long)batch);
    const dk_allocator *allocator = &dataset->storage->context->allocator;
    dki_loader *made = NULL;
    DKI_TRY(dki_new(allocator, &made, 1, "a loader"));
    made->allocator = allocator;
    made->dataset = dki_dataset_hold(dataset);
    made->batch = batch < dataset->rows ? batch : dataset->rows;
    made->loading = loading;
    made->copies =
        loading == DKI_LOAD_COPIES || (loading == DKI_LOAD_IN_PLACE && dataset->storage->mapped);
    made->chunk_rows = choose_chunk_rows(dataset, made->batch, made->copies);
    pthread_mutex_init(&made->lock, NULL); /* with default attributes neither can fail */
    pthread_cond_init(&made->moved, NULL);
    for (int i = 0; i < CHUNKS; ++i) {
        dk_status status = allocate_chunk(made, &made->chunks[i]);
        if (status != DK_OK) {
            dki_loader_destroy(made);
            return status;
        }
    }
    *loader = made;
    return DK_OK;
}

void dki_loader_destroy(dki_loader *loader) {
    if (!loader) return;
    stop_thread(loader);
    for (int i = 0; i < CHUNKS; ++i) {
        dki_chunk *old = &loader->chunks[i];
        dki_release(loader->allocator, old->order);
        dki_release(loader->allocator, old->features);
        dki_release(loader->allocator, old->labels);
        dki_release(loader->allocator, old->targets);
        dki_release(loader->allocator, old->weights);
    }
    pthread_cond_destroy(&loader->moved);
    pthread_mutex_destroy(&loader->lock);
    dk_dataset *dataset = loader->dataset;
    dki_release(loader->allocator, loader);
    dk_dataset_destroy(dataset);
}

dk_status dki_loader_begin(dki_loader *loader, const dki_epoch_start *start) {
    stop_thread(loader);
    loader->start = start ? *start : (dki_epoch_start){.shuffle = false};
    loader->filled = loader->taken = 0;
    loader->finished = loader->stop = loader->holding = false;
    loader->status = DK_OK;
    loader->position = 0;
    DKI_REQUIRE(dki_thread_start(&loader->thread, fill_chunks, loader), DK_E_MEMORY,
                "no thread to read data ahead: the limit of threads or of memory is reached");
    loader->running = true;
    return DK_OK;
}

/* Gives the chunk at hand back and waits for the next one; NULL at the end of the epoch. */
static dki_chunk *next_chunk(dki_loader *loader, dk_status *status) {
    pthread_mutex_lock(&loader->lock);
    if (loader->holding) {
        ++loader->taken;
        pthread_cond_broadcast(&loader->moved);
    }
    while (loader->filled == loader->taken && !loader->finished)
        pthread_cond_wait(&loader->moved, &loader->lock);
    loader->holding = loader->filled != loader->taken;
    if (!loader->holding) *status = loader->status;
    pthread_mutex_unlock(&loader->lock);
    loader->position = 0;
    return loader->holding ? &loader->chunks[loader->taken % CHUNKS] : NULL;
}

/* The same with the thread's error, if that ended it. */
static dk_status take_chunk(dki_loader *loader, dki_chunk **chunk) {
    dk_status status = DK_OK;
    DKI_REQUIRE(loader->running, DK_E_STATE, "the loader has begun no epoch");
    *chunk = next_chunk(loader, &status);
    if (status != DK_OK) dki_error_restore(loader->text);
    return status;
}

dk_status dki_loader_next_chunk(dki_loader *loader, const dki_chunk **chunk) {
    dki_chunk *taken = NULL;
    DKI_TRY(take_chunk(loader, &taken));
    *chunk = taken;
    return DK_OK;
}

int64_t dki_loader_chunk_rows(const dki_loader *loader) {
    return loader->chunk_rows;
}

dk_status dki_loader_next(dki_loader *loader, dki_loaded *batch) {
    const dki_storage *storage = loader->dataset->storage;
    *batch = (dki_loaded){.type = storage->type};
    DKI_REQUIRE(loader->running, DK_E_STATE, "the loader has begun no epoch");
    /* `taken` is written by this thread alone, so it is read here without the lock. */
    dki_chunk *from = loader->holding ? &loader->chunks[loader->taken % CHUNKS] : NULL;
    if (!from || loader->position == from->rows) {
        DKI_TRY(take_chunk(loader, &from));
        if (!from) return DK_OK;
    }
    int64_t at = loader->position, left = from->rows - at;
    batch->rows = left < loader->batch ? left : loader->batch;
    loader->position += batch->rows;
    if (!loader->copies) {
        batch->features = storage->features;
        batch->row_stride = storage->row_stride;
        batch->col_stride = storage->col_stride;
        batch->order = from->order + at;
        batch->labels = storage->labels;
        batch->targets = storage->targets;
        batch->weights = storage->weights;
        return DK_OK;
    }
    int64_t width = storage->features_count;
    batch->features =
        (char *)from->features + (size_t)(at * width) * dki_dtype_bytes(storage->type);
    batch->row_stride = width;
    batch->col_stride = 1;
    batch->labels = from->labels ? from->labels + at : NULL;
    batch->targets = from->targets ? from->targets + at * storage->target_count : NULL;
    batch->weights = from->weights ? from->weights + at : NULL;
    return DK_OK;
}

double dki_loaded_weight(const dki_loaded *batch, const float *class_weights) {
    if (!batch->weights && !(class_weights && batch->labels)) return (double)batch->rows;
    double sum = 0;
    for (int64_t i = 0; i < batch->rows; ++i)
        sum += dki_row_weight(batch->weights, batch->labels, class_weights,
                              batch->order ? batch->order[i] : i);
    return sum;
}

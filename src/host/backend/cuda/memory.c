/* Memory of the device and pinned memory of the host; copies from and to the program's own. */
#include "base/memory.h"
#include "backend/cuda/cuda.h"

#include <string.h>

enum { STAGING_ALIGNMENT = 256 };

dk_status dki_cuda_staging_open(dki_cuda *cuda) {
    for (int half = 0; half < DKI_STAGING_HALVES; ++half) {
        DKI_TRY(
            dki_gpu_alloc_host(cuda->gpu, DKI_STAGING_BYTES, (void **)&cuda->staging.halves[half]));
        for (int lane = 0; lane < DKI_LANE_COUNT; ++lane)
            DKI_TRY(dki_gpu_event_create(cuda->gpu, false, &cuda->staging.over[half][lane]));
    }
    return DK_OK;
}

void dki_cuda_staging_close(dki_cuda *cuda) {
    for (int half = 0; half < DKI_STAGING_HALVES; ++half) {
        for (int lane = 0; lane < DKI_LANE_COUNT; ++lane)
            if (cuda->staging.over[half][lane])
                dki_gpu_event_destroy(cuda->gpu, cuda->staging.over[half][lane]);
        if (cuda->staging.halves[half]) dki_gpu_free_host(cuda->gpu, cuda->staging.halves[half]);
    }
}

/* Nobody may read it before it is zero, on whatever lane, so the zeroing is waited for. */
static dk_status alloc_device(dki_cuda *cuda, size_t bytes, void **memory) {
    const dki_stream stream = cuda->lanes[DKI_LANE_COPY];
    DKI_TRY(dki_gpu_alloc(cuda->gpu, bytes, memory));
    dk_status status = dki_gpu_zero(cuda->gpu, stream, *memory, bytes);
    if (!status) status = dki_gpu_stream_sync(cuda->gpu, stream);
    if (status) {
        dki_gpu_free(cuda->gpu, *memory);
        *memory = NULL;
    }
    return status;
}

void dki_cuda_count_allocated(dki_cuda *cuda, int64_t bytes) {
    cuda->allocated += (uint64_t)bytes;
    if (cuda->allocated > cuda->allocated_most) cuda->allocated_most = cuda->allocated;
}

static dk_status alloc_block(dki_cuda *cuda, dki_memory where, size_t bytes, void **memory) {
    dki_block *block = NULL;
    DKI_TRY(dki_new(cuda->services.allocator, &block, 1, "a block of memory"));
    *block = (dki_block){.bytes = bytes ? bytes : 1, .where = where, .next = cuda->blocks};
    dk_status status = where == DKI_MEMORY_SHARED
                           ? dki_gpu_alloc_host(cuda->gpu, block->bytes, &block->memory)
                           : alloc_device(cuda, block->bytes, &block->memory);
    if (status) {
        dki_release(cuda->services.allocator, block);
        return status;
    }
    if (where == DKI_MEMORY_DEVICE) dki_cuda_count_allocated(cuda, (int64_t)block->bytes);
    cuda->blocks = block;
    *memory = block->memory;
    return DK_OK;
}

dk_status dki_cuda_alloc(dki_backend *backend, dki_memory where, size_t bytes, void **memory) {
    dki_cuda *cuda = dki_cuda_enter(backend, "alloc %zu", bytes);
    *memory = NULL;
    return dki_cuda_leave(cuda, alloc_block(cuda, where, bytes, memory));
}

static void free_block(dki_cuda *cuda, dki_block **link) {
    dki_block *block = *link;
    *link = block->next;
    if (block->where == DKI_MEMORY_SHARED) {
        dki_gpu_free_host(cuda->gpu, block->memory);
    } else {
        dki_gpu_free(cuda->gpu, block->memory);
        dki_cuda_count_allocated(cuda, -(int64_t)block->bytes);
    }
    dki_release(cuda->services.allocator, block);
}

/* Device memory that nobody gave back goes with the device; freed here, a leak would never show. */
void dki_cuda_release_blocks(dki_cuda *cuda) {
    while (cuda->blocks) {
        dki_block *block = cuda->blocks;
        cuda->blocks = block->next;
        if (block->where == DKI_MEMORY_SHARED) dki_gpu_free_host(cuda->gpu, block->memory);
        dki_release(cuda->services.allocator, block);
    }
}

void dki_cuda_release(dki_backend *backend, void *memory) {
    if (!memory) return;
    /* A lost device doesn't use the memory any more. */
    (void)dki_cuda_sync(backend);
    dki_cuda *cuda = dki_cuda_enter(backend, "release");
    dki_block **link = &cuda->blocks;
    while (*link && (*link)->memory != memory) link = &(*link)->next;
    if (*link) free_block(cuda, link);
    dki_cuda_leave(cuda, DK_OK);
}

/* The lock is given back before the wait: other threads go on queueing, above all the one that
 * copies the next batch. */
dk_status dki_cuda_sync(dki_backend *backend) {
    dki_cuda *cuda = dki_cuda_enter(backend, "sync");
    dk_status status = DK_OK;
    for (int lane = 0; lane < DKI_LANE_COUNT && !status; ++lane)
        status = dki_gpu_event_record(cuda->gpu, cuda->synced[lane], cuda->lanes[lane]);
    DKI_TRY(dki_cuda_leave(cuda, status));
    for (int lane = 0; lane < DKI_LANE_COUNT; ++lane)
        DKI_TRY(dki_gpu_event_sync(cuda->gpu, cuda->synced[lane]));
    return DK_OK;
}

/* Goes on with the other half, which is free once all lanes have made their copies. */
static dk_status next_half(dki_cuda *cuda) {
    dki_staging *staging = &cuda->staging;
    const int half = (staging->half + 1) % DKI_STAGING_HALVES;
    for (int lane = 0; lane < DKI_LANE_COUNT; ++lane)
        DKI_TRY(dki_gpu_event_sync(cuda->gpu, staging->over[half][lane]));
    staging->half = half;
    staging->used = 0;
    return DK_OK;
}

static size_t at_most(size_t bytes, size_t limit) {
    return bytes < limit ? bytes : limit;
}

static dk_status upload(dki_cuda *cuda, dki_lane lane, char *to, const char *from, size_t bytes) {
    dki_staging *staging = &cuda->staging;
    while (bytes) {
        if (staging->used == DKI_STAGING_BYTES) DKI_TRY(next_half(cuda));
        char *piece = staging->halves[staging->half] + staging->used;
        const size_t size = at_most(bytes, DKI_STAGING_BYTES - staging->used);
        memcpy(piece, from, size);
        DKI_TRY(dki_gpu_copy(cuda->gpu, cuda->lanes[lane], to, piece, size));
        DKI_TRY(
            dki_gpu_event_record(cuda->gpu, staging->over[staging->half][lane], cuda->lanes[lane]));
        staging->used += (size + STAGING_ALIGNMENT - 1) / STAGING_ALIGNMENT * STAGING_ALIGNMENT;
        to += size;
        from += size;
        bytes -= size;
    }
    return DK_OK;
}

dk_status dki_cuda_upload(dki_backend *backend, dki_lane lane, void *to, const void *from,
                          size_t bytes) {
    dki_cuda *cuda = dki_cuda_enter(backend, "upload %zu", bytes);
    return dki_cuda_leave(cuda, upload(cuda, lane, to, from, bytes));
}

/* Fills a whole half from the device. */
static dk_status fetch(dki_cuda *cuda, const char *from, size_t bytes) {
    dki_staging *staging = &cuda->staging;
    const dki_stream stream = cuda->lanes[DKI_LANE_COPY];
    DKI_TRY(next_half(cuda));
    staging->used = DKI_STAGING_BYTES;
    DKI_TRY(dki_gpu_copy(cuda->gpu, stream, staging->halves[staging->half], from, bytes));
    return dki_gpu_event_record(cuda->gpu, staging->over[staging->half][DKI_LANE_COPY], stream);
}

/* While one half is copied to the program, the next one is on its way. */
static dk_status download(dki_cuda *cuda, char *to, const char *from, size_t bytes) {
    dki_staging *staging = &cuda->staging;
    if (bytes) DKI_TRY(fetch(cuda, from, at_most(bytes, DKI_STAGING_BYTES)));
    while (bytes) {
        const int half = staging->half;
        const size_t size = at_most(bytes, DKI_STAGING_BYTES);
        if (bytes > size)
            DKI_TRY(fetch(cuda, from + size, at_most(bytes - size, DKI_STAGING_BYTES)));
        DKI_TRY(dki_gpu_event_sync(cuda->gpu, staging->over[half][DKI_LANE_COPY]));
        memcpy(to, staging->halves[half], size);
        to += size;
        from += size;
        bytes -= size;
    }
    return DK_OK;
}

dk_status dki_cuda_download(dki_backend *backend, void *to, const void *from, size_t bytes) {
    DKI_TRY(dki_cuda_sync(backend));
    dki_cuda *cuda = dki_cuda_enter(backend, "download %zu", bytes);
    return dki_cuda_leave(cuda, download(cuda, to, from, bytes));
}

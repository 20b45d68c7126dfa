#include "data/feed.h"

#include "data/view.h"

enum { SLOTS = 2, ALIGNMENT = 256 };

/* Rows on the device: the whole set, packed, or the slots one behind the other. */
typedef struct {
    void *features;
    int32_t *labels;
    double *targets;
    float *weights;
} columns;

/* What a chunk became. */
typedef struct {
    int64_t rows;
    double *weights; /* Σ of each batch's */
} slot;

struct dki_feed {
    dk_context *context;
    dk_dataset *dataset;
    const float *class_weights;
    dki_loader *loader;
    int64_t batch;
    bool in_place; /* the device reads the host's memory */
    bool resident; /* the device has the whole set */
    int64_t slot_rows;
    void *memory; /* the device's, with what follows in it */
    columns device;
    int64_t *order; /* [SLOTS·slot_rows], of a resident set */
    slot slots[SLOTS];
    int now;          /* the slot that is being read */
    int64_t position; /* rows of it that were given out */
};

static dki_backend *backend_of(const dki_feed *feed) {
    return feed->context->backend;
}

/* Takes a piece of `count` items at *end from `base`, or only counts where that is NULL. */
static void *take(char *base, size_t *end, int64_t count, size_t size) {
    size_t at = *end;
    *end += ((size_t)count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return base ? base + at : NULL;
}

/* Lays out rows and order; returns the bytes. Sizes are those of arrays that exist on the host, so
 * nothing overflows. */
static size_t lay_out(dki_feed *feed, char *base) {
    const dki_storage *storage = feed->dataset->storage;
    const int64_t ring = SLOTS * feed->slot_rows,
                  rows = feed->resident ? feed->dataset->rows : ring;
    size_t end = 0;
    columns *to = &feed->device;
    to->features = take(base, &end, rows * storage->features_count, dki_dtype_bytes(storage->type));
    to->labels = storage->labels ? take(base, &end, rows, sizeof *to->labels) : NULL;
    to->targets = storage->targets
                      ? take(base, &end, rows * storage->target_count, sizeof *to->targets)
                      : NULL;
    to->weights = storage->weights ? take(base, &end, rows, sizeof *to->weights) : NULL;
    feed->order = feed->resident ? take(base, &end, ring, sizeof *feed->order) : NULL;
    return end;
}

/* Queues the rows of a chunk to row `first` of the device's arrays. */
static dk_status send_rows(dki_feed *feed, const dki_chunk *chunk, int64_t first) {
    const dki_storage *storage = feed->dataset->storage;
    const size_t rows = (size_t)chunk->rows, outputs = (size_t)storage->target_count;
    const size_t row_bytes = (size_t)storage->features_count * dki_dtype_bytes(storage->type);
    const columns *to = &feed->device;
    const struct {
        void *to;
        const void *from;
        size_t row_bytes;
    } parts[] = {{to->features, chunk->features, row_bytes},
                 {to->labels, chunk->labels, sizeof *chunk->labels},
                 {to->targets, chunk->targets, outputs * sizeof *chunk->targets},
                 {to->weights, chunk->weights, sizeof *chunk->weights}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i)
        if (parts[i].to)
            DKI_TRY(backend_of(feed)->ops->upload(backend_of(feed), DKI_LANE_COPY,
                                                  (char *)parts[i].to +
                                                      (size_t)first * parts[i].row_bytes,
                                                  parts[i].from, rows * parts[i].row_bytes));
    return DK_OK;
}

/* Sends the whole set once, in its own order. */
static dk_status make_resident(dki_feed *feed) {
    dki_loader *loader = NULL;
    dk_status status = dki_loader_create(&loader, feed->dataset, 1, DKI_LOAD_COPIES);
    if (!status) status = dki_loader_begin(loader, NULL);
    int64_t first = 0;
    while (!status) {
        const dki_chunk *chunk = NULL;
        status = dki_loader_next_chunk(loader, &chunk);
        if (status || !chunk) break;
        status = send_rows(feed, chunk, first);
        first += chunk->rows;
    }
    dki_loader_destroy(loader);
    return status;
}

static dk_status allocate_slots(dki_feed *feed) {
    int64_t batches = (feed->slot_rows + feed->batch - 1) / feed->batch;
    for (int i = 0; i < SLOTS; ++i)
        DKI_TRY(dki_new(&feed->context->allocator, &feed->slots[i].weights, (size_t)batches,
                        "the batches' weights"));
    return DK_OK;
}

/* A set is kept on the device where it takes at most half of what is free there. */
static dk_status choose_residence(dki_feed *feed) {
    dki_backend_info info;
    feed->resident = true;
    feed->slot_rows = 0;
    DKI_TRY(backend_of(feed)->ops->describe(backend_of(feed), &info));
    feed->resident = lay_out(feed, NULL) <= info.memory_free / 2;
    return DK_OK;
}

static dk_status build_on_device(dki_feed *feed) {
    dki_backend *backend = backend_of(feed);
    DKI_TRY(choose_residence(feed));
    DKI_TRY(dki_loader_create(&feed->loader, feed->dataset, feed->batch,
                              feed->resident ? DKI_LOAD_ORDER : DKI_LOAD_COPIES));
    feed->slot_rows = dki_loader_chunk_rows(feed->loader);
    DKI_TRY(allocate_slots(feed));
    size_t bytes = lay_out(feed, NULL);
    dk_status status = backend->ops->alloc(backend, DKI_MEMORY_DEVICE, bytes, &feed->memory);
    if (status)
        return dki_fail_in(status, "%s of %s (%.1f MiB)",
                           feed->resident ? "the device's copy" : "room for two pieces",
                           feed->dataset->storage->name, (double)bytes / 1048576.0);
    lay_out(feed, feed->memory);
    return feed->resident ? make_resident(feed) : DK_OK;
}

dk_status dki_feed_create(dki_feed **feed, dk_context *context, const dk_dataset *dataset,
                          int64_t batch, const float *class_weights) {
    *feed = NULL;
    dki_feed *made = NULL;
    DKI_TRY(dki_new(&context->allocator, &made, 1, "a feed"));
    made->context = dki_context_hold(context);
    made->dataset = dki_dataset_hold(dataset);
    made->class_weights = class_weights;
    made->batch = batch < dataset->rows ? batch : dataset->rows;
    made->in_place = context->backend->host_memory;
    dk_status status = made->in_place ? dki_loader_create(&made->loader, made->dataset, made->batch,
                                                          DKI_LOAD_IN_PLACE)
                                      : build_on_device(made);
    if (status)
        dki_feed_destroy(made);
    else
        *feed = made;
    return status;
}

void dki_feed_destroy(dki_feed *feed) {
    if (!feed) return;
    dk_context *context = feed->context;
    dki_loader_destroy(feed->loader);
    context->backend->ops->release(context->backend, feed->memory);
    for (int i = 0; i < SLOTS; ++i) dki_release(&context->allocator, feed->slots[i].weights);
    dk_dataset_destroy(feed->dataset);
    dki_release(&context->allocator, feed);
    dk_context_destroy(context);
}

dk_status dki_feed_begin(dki_feed *feed, const dki_epoch_start *start) {
    feed->slots[feed->now].rows = 0;
    feed->position = 0;
    return dki_loader_begin(feed->loader, start);
}

/* The weight of one row of a chunk, by the labels and weights on the host. */
static double weight_of(const dki_feed *feed, const dki_chunk *chunk, int64_t i) {
    const dki_storage *storage = feed->dataset->storage;
    int64_t row = chunk->order[i];
    if (feed->resident) row = dki_dataset_row(feed->dataset, row);
    return dki_row_weight(storage->weights, storage->labels, feed->class_weights, row);
}

/* The weights of a chunk's batches. */
static void weigh(const dki_feed *feed, const dki_chunk *chunk, double *weights) {
    const dki_storage *storage = feed->dataset->storage;
    bool all_ones = !storage->weights && !(feed->class_weights && storage->labels);
    for (int64_t first = 0; first < chunk->rows; first += feed->batch) {
        int64_t left = chunk->rows - first, rows = left < feed->batch ? left : feed->batch;
        double sum = 0.0;
        for (int64_t i = first; i < first + rows && !all_ones; ++i)
            sum += weight_of(feed, chunk, i);
        weights[first / feed->batch] = all_ones ? (double)rows : sum;
    }
}

/* Queues the next chunk into the slot that isn't being read; no rows at the end of the epoch. */
static dk_status fill(dki_feed *feed, int index) {
    dki_backend *backend = backend_of(feed);
    const dki_chunk *chunk = NULL;
    feed->slots[index].rows = 0;
    DKI_TRY(dki_loader_next_chunk(feed->loader, &chunk));
    if (!chunk) return DK_OK;
    weigh(feed, chunk, feed->slots[index].weights);
    int64_t first = index * feed->slot_rows;
    DKI_TRY(feed->resident
                ? backend->ops->upload(backend, DKI_LANE_COPY, feed->order + first, chunk->order,
                                       (size_t)chunk->rows * sizeof *chunk->order)
                : send_rows(feed, chunk, first));
    feed->slots[index].rows = chunk->rows;
    return DK_OK;
}

/* The other slot's turn. The second order() lets the copy lane overwrite the old slot once the steps
 * that are queued by now are done: they are all that read it. */
static dk_status turn(dki_feed *feed) {
    dki_backend *backend = backend_of(feed);
    DKI_TRY(fill(feed, 1 - feed->now));
    DKI_TRY(backend->ops->order(backend, DKI_LANE_COPY, DKI_LANE_MAIN));
    DKI_TRY(backend->ops->order(backend, DKI_LANE_MAIN, DKI_LANE_COPY));
    feed->now = 1 - feed->now;
    feed->position = 0;
    return DK_OK;
}

static dk_status next_in_place(dki_feed *feed, dki_fed *batch) {
    *batch = (dki_fed){.rows = 0};
    DKI_TRY(dki_loader_next(feed->loader, &batch->from));
    batch->rows = batch->from.rows;
    batch->weight = dki_loaded_weight(&batch->from, feed->class_weights);
    return DK_OK;
}

dk_status dki_feed_next(dki_feed *feed, dki_fed *batch) {
    if (feed->in_place) return next_in_place(feed, batch);
    *batch = (dki_fed){.rows = 0};
    if (feed->position == feed->slots[feed->now].rows) DKI_TRY(turn(feed));
    const slot *now = &feed->slots[feed->now];
    const dki_storage *storage = feed->dataset->storage;
    int64_t left = now->rows - feed->position;
    if (left == 0) return DK_OK;
    batch->rows = left < feed->batch ? left : feed->batch;
    batch->weight = now->weights[feed->position / feed->batch];
    batch->position = (uint64_t)(feed->now * feed->slot_rows + feed->position);
    batch->following = (left - batch->rows) / feed->batch;
    batch->from = (dki_loaded){.rows = batch->rows,
                               .features = feed->device.features,
                               .type = storage->type,
                               .row_stride = storage->features_count,
                               .col_stride = 1,
                               .order = feed->order,
                               .labels = feed->device.labels,
                               .targets = feed->device.targets,
                               .weights = feed->device.weights};
    feed->position += batch->rows;
    return DK_OK;
}

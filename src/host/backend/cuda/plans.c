/* The table of plans: a hash table with open addressing. */
#include "backend/cuda/plans.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    dki_plan_key key;
    dki_plan_entry entry;
    bool used;
} plan_slot;

struct dki_plans {
    const dk_allocator *allocator;
    dki_gpu *gpu;
    bool disk;
    dki_plan_cache cache;
    plan_slot *slots;
    size_t capacity, count; /* a power of two, at most half of it used */
};

enum { FIRST_CAPACITY = 64 };

dk_status dki_plans_create(dki_plans **plans, const dki_services *services, dki_gpu *gpu,
                           const dki_plans_options *options) {
    *plans = NULL;
    dki_plans *table = NULL;
    DKI_TRY(dki_new(services->allocator, &table, 1, "the table of plans"));
    table->allocator = services->allocator;
    table->gpu = gpu;
    table->disk = options->disk && !options->deterministic;
    table->capacity = FIRST_CAPACITY;
    dk_status status =
        dki_new(services->allocator, &table->slots, FIRST_CAPACITY, "the table of plans");
    if (status) {
        dki_plans_destroy(table);
        return status;
    }
    dki_plan_cache_open(&table->cache, services->log, dki_gpu_facts_of(gpu));
    *plans = table;
    return DK_OK;
}

void dki_plans_destroy(dki_plans *plans) {
    if (!plans) return;
    dki_release(plans->allocator, plans->slots);
    dki_release(plans->allocator, plans);
}

dki_plan_key dki_plan_key_of(const dki_product *product, dki_question question) {
    dki_plan_key key;
    memset(&key, 0, sizeof key);
    key.product = *product;
    key.question = question;
    return key;
}

/* k is a hash of the layers: 64 bits of FNV-1a, so that two networks that a user ever has won't
 * meet; and if they did, they would only be slower. */
static dki_plan_key key_of_network(const dki_product_rules *rules, const dki_plan_request *request,
                                   dki_question question, uint64_t hash) {
    dki_plan_key key;
    memset(&key, 0, sizeof key);
    const int64_t keep_all = request->keep_all; /* decides where g′ comes from */
    hash = dki_hash(hash, &keep_all, sizeof keep_all);
    for (size_t k = 0; k < request->layer_count; ++k) {
        const dki_layer_shape *layer = &request->layers[k];
        const int64_t numbers[] = {layer->inputs, layer->width, (int64_t)layer->activation,
                                   layer->dropout};
        hash = dki_hash(hash, numbers, sizeof numbers);
    }
    key.product.m = (int64_t)request->layer_count;
    key.product.n = request->max_batch;
    memcpy(&key.product.k, &hash, sizeof hash);
    key.product.type = (int32_t)rules->element;
    key.product.tf32 = rules->tf32;
    key.question = question;
    return key;
}

dki_plan_key dki_plan_key_of_lanes(const dki_product_rules *rules,
                                   const dki_plan_request *request) {
    return key_of_network(rules, request, DKI_QUESTION_LANES, DKI_HASH_START);
}

/* An update takes as long as it moves bytes, which are the slots' and, by the element, those of the
 * working copy. */
dki_plan_key dki_plan_key_of_spare(const dki_product_rules *rules,
                                   const dki_plan_request *request) {
    const int64_t slots = dki_optimizer_slots(request->early_rule->kind);
    return key_of_network(rules, request, DKI_QUESTION_SPARE,
                          dki_hash(DKI_HASH_START, &slots, sizeof slots));
}

/* Where the key is, or where it would go. */
static plan_slot *slot_of(plan_slot *slots, size_t capacity, const dki_plan_key *key) {
    size_t i = (size_t)dki_hash(DKI_HASH_START, key, sizeof *key);
    for (;; ++i) {
        plan_slot *slot = &slots[i & (capacity - 1)];
        if (!slot->used || memcmp(&slot->key, key, sizeof *key) == 0) return slot;
    }
}

static dk_status grow(dki_plans *plans) {
    plan_slot *slots = NULL;
    const size_t capacity = 2 * plans->capacity;
    DKI_TRY(dki_new(plans->allocator, &slots, capacity, "the table of plans"));
    for (size_t i = 0; i < plans->capacity; ++i)
        if (plans->slots[i].used) *slot_of(slots, capacity, &plans->slots[i].key) = plans->slots[i];
    dki_release(plans->allocator, plans->slots);
    plans->slots = slots;
    plans->capacity = capacity;
    return DK_OK;
}

bool dki_plans_know(const dki_plans *plans, const dki_plan_key *key, dki_plan_entry *entry) {
    const plan_slot *slot = slot_of(plans->slots, plans->capacity, key);
    if (slot->used) *entry = slot->entry;
    return slot->used;
}

dk_status dki_plans_put(dki_plans *plans, const dki_plan_key *key, const dki_plan_entry *entry,
                        bool timed) {
    if (2 * (plans->count + 1) > plans->capacity) DKI_TRY(grow(plans));
    plan_slot *slot = slot_of(plans->slots, plans->capacity, key);
    if (slot->used) return DK_OK;
    *slot = (plan_slot){.key = *key, .entry = *entry, .used = true};
    ++plans->count;
    if (timed && plans->disk) dki_plan_cache_store(&plans->cache, key, entry);
    return DK_OK;
}

/* What a file says is asked again here: its checksum says only that we wrote it. */
static bool makes_sense(dki_plans *plans, const dki_plan_key *key, const dki_plan_entry *entry) {
    switch (key->question) {
    case DKI_QUESTION_ALGORITHM:
        return entry->algorithm.workspace <= key->product.workspace &&
               dki_gpu_algorithm_valid(plans->gpu, &key->product, &entry->algorithm);
    case DKI_QUESTION_FUSED:
    case DKI_QUESTION_UPDATE:
        return entry->answer == DKI_WAY_PLAIN || entry->answer == DKI_WAY_FUSED;
    case DKI_QUESTION_LANES:
        return entry->answer == 1 || entry->answer == DKI_STEP_LANES;
    case DKI_QUESTION_SPARE:
        return entry->answer >= 0 && entry->answer <= DKI_SPARE_MOST &&
               entry->answer % DKI_SPARE_STEP == 0;
    default:
        return false;
    }
}

dk_status dki_plans_get(dki_plans *plans, const dki_plan_key *key, dki_plan_entry *entry,
                        bool *found) {
    *found = dki_plans_know(plans, key, entry);
    if (*found || !plans->disk || !dki_plan_cache_load(&plans->cache, key, entry) ||
        !makes_sense(plans, key, entry))
        return DK_OK;
    *found = true;
    return dki_plans_put(plans, key, entry, false);
}

const dki_plan_device *dki_plans_device(const dki_plans *plans) {
    return &plans->cache.device;
}

static int by_key(const void *a, const void *b) {
    return memcmp(&((const dki_plan_record *)a)->key, &((const dki_plan_record *)b)->key,
                  sizeof(dki_plan_key));
}

dk_status dki_plans_list(const dki_plans *plans, dki_plan_record **records, size_t *count) {
    *count = 0;
    DKI_TRY(dki_new(plans->allocator, records, plans->count, "a list of plans"));
    for (size_t i = 0; i < plans->capacity; ++i)
        if (plans->slots[i].used)
            (*records)[(*count)++] = (dki_plan_record){plans->slots[i].key, plans->slots[i].entry};
    qsort(*records, *count, sizeof **records, by_key);
    return DK_OK;
}

static dk_status check(dki_plans *plans, const dki_plan_record *record) {
    dki_plan_entry known;
    DKI_REQUIRE(makes_sense(plans, &record->key, &record->entry), DK_E_MODEL,
                "a plan isn't one of this GPU: it is damaged, or the libraries have changed");
    DKI_REQUIRE(!dki_plans_know(plans, &record->key, &known) ||
                    memcmp(&known, &record->entry, sizeof known) == 0,
                DK_E_STATE,
                "this context has made other choices of algorithms already: use a new one");
    return DK_OK;
}

dk_status dki_plans_take(dki_plans *plans, const dki_plan_record *records, size_t count) {
    for (size_t i = 0; i < count; ++i) DKI_TRY(check(plans, &records[i]));
    for (size_t i = 0; i < count; ++i)
        DKI_TRY(dki_plans_put(plans, &records[i].key, &records[i].entry, false));
    return DK_OK;
}

/* An algorithm chosen for D = A B serves D += A B, too, where the library says so. (Not an update:
 * which of the two is asked for first would then show in its bits.) */
static bool known_without_accumulate(const dki_plans *plans, const dki_product *product,
                                     dki_plan_entry *entry) {
    if (product->accumulate != DKI_ADD) return false;
    dki_product plain = *product;
    plain.accumulate = DKI_OVERWRITE;
    dki_plan_key key = dki_plan_key_of(&plain, DKI_QUESTION_ALGORITHM);
    return dki_plans_know(plans, &key, entry) &&
           dki_gpu_algorithm_valid(plans->gpu, product, &entry->algorithm);
}

dk_status dki_plans_algorithm(dki_plans *plans, const dki_product *product,
                              dki_algorithm *algorithm, bool *found) {
    dki_plan_key key = dki_plan_key_of(product, DKI_QUESTION_ALGORITHM);
    dki_plan_entry entry = {{{0}, 0}, 0};
    DKI_TRY(dki_plans_get(plans, &key, &entry, found));
    if (!*found) {
        int count = 1;
        if (!known_without_accumulate(plans, product, &entry)) {
            entry = (dki_plan_entry){{{0}, 0}, 0};
            DKI_TRY(dki_gpu_algorithms(plans->gpu, product, &entry.algorithm, 1, &count));
        }
        *found = count > 0;
        if (*found) DKI_TRY(dki_plans_put(plans, &key, &entry, false));
    }
    *algorithm = entry.algorithm;
    return DK_OK;
}

/* `unknown` is the answer where there is none. */
static dk_status fused_or(dki_plans *plans, const dki_product *product, dki_question question,
                          dki_way unknown, bool *fused) {
    dki_plan_key key = dki_plan_key_of(product, question);
    dki_plan_entry entry = {{{0}, 0}, unknown};
    dki_algorithm algorithm;
    bool known = false;
    DKI_TRY(dki_plans_get(plans, &key, &entry, &known));
    *fused = false;
    if (entry.answer == DKI_WAY_FUSED)
        DKI_TRY(dki_plans_algorithm(plans, product, &algorithm, fused));
    if (known) return DK_OK;
    entry.answer = *fused ? DKI_WAY_FUSED : DKI_WAY_PLAIN;
    return dki_plans_put(plans, &key, &entry, false);
}

dk_status dki_plans_fused(dki_plans *plans, const dki_product *product, dki_question question,
                          bool *fused) {
    return fused_or(plans, product, question, DKI_WAY_FUSED, fused);
}

dk_status dki_plans_timed_fused(dki_plans *plans, const dki_product *product, bool *fused) {
    return fused_or(plans, product, DKI_QUESTION_FUSED, DKI_WAY_PLAIN, fused);
}

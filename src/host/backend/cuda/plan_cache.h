/* What timing has shown, kept on disk for the next process: one small file for each question, in
 * $XDG_CACHE_HOME/deltak or ~/.cache/deltak.
 *
 * A file is believed only if every byte of it is as it must be; any other, and any failure of the
 * file system, means that the answer isn't there, and is a line in the log at most. */
#ifndef DKI_PLAN_CACHE_H
#define DKI_PLAN_CACHE_H

#include "backend/cuda/gpu.h"

/** What is asked of a product, or of a network. */
typedef enum dki_question {
    DKI_QUESTION_ALGORITHM = 0, /* which algorithm of the library? */
    DKI_QUESTION_FUSED = 1,     /* is this epilogue better than a kernel of ours? */
    DKI_QUESTION_UPDATE = 2,    /* dW: is the update in the product better than behind it? */
    DKI_QUESTION_LANES = 3,     /* a network: on how many lanes are its gradients? 1 or 2 */
    DKI_QUESTION_SPARE = 4      /* and how many multiprocessors are left to early updates? */
} dki_question;

/** Compared and hashed as bytes: no padding, zeroed before it is filled. */
typedef struct dki_plan_key {
    dki_product product;
    int64_t question; /* dki_question */
} dki_plan_key;

typedef struct dki_plan_entry {
    dki_algorithm algorithm; /* DKI_QUESTION_ALGORITHM */
    int64_t answer;          /* the other questions: dki_way, or a number */
} dki_plan_entry;

/** The part of the key that all plans of one GPU share; no padding. */
typedef struct dki_plan_device {
    char name[128];
    int32_t major, minor, processors, zero;
    uint64_t library_version;
} dki_plan_device;

enum { DKI_PLAN_CACHE_PATH = 3072 };

typedef struct dki_plan_cache {
    char folder[DKI_PLAN_CACHE_PATH]; /* "" = nothing is kept */
    dki_plan_device device;
    dki_logger *log;
} dki_plan_cache;

/** FNV-1a, 64 bits: `hash` after `bytes` bytes more. */
#define DKI_HASH_START UINT64_C(0xcbf29ce484222325)
static inline uint64_t dki_hash(uint64_t hash, const void *data, size_t bytes) {
    const unsigned char *byte = (const unsigned char *)data;
    for (size_t i = 0; i < bytes; ++i) hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/** Whose plans these are, and where. Makes nothing yet. */
void dki_plan_cache_open(dki_plan_cache *cache, dki_logger *log, const dki_gpu_facts *facts);

/** Whether the answer is there. */
bool dki_plan_cache_load(const dki_plan_cache *cache, const dki_plan_key *key,
                         dki_plan_entry *entry);

/** Makes the folder where needed. Several processes may store at once: a reader sees one whole file
 *  or another. */
void dki_plan_cache_store(const dki_plan_cache *cache, const dki_plan_key *key,
                          const dki_plan_entry *entry);

#endif

/* The table of plans as bytes, for a checkpoint: whose plans these are, how many, and the records. A
 * process that goes on with a run takes them instead of timing anew, and so computes the same bits. */
#include "backend/cuda/cuda.h"
#include "base/memory.h"

#include <string.h>

/* The bytes are the machine's own, as the GPU is. */
typedef struct {
    char magic[8]; /* with the version of this layout, and of what the answers mean */
    dki_plan_device device;
    uint32_t deterministic; /* the library's first choices; nothing was timed */
    uint32_t count;
} plans_head;

_Static_assert(sizeof(plans_head) == 16 + sizeof(dki_plan_device) &&
                   sizeof(dki_plan_record) == sizeof(dki_plan_key) + sizeof(dki_plan_entry),
               "written as bytes, so without padding");

static const char head_magic[8] = "dkkept2";

static plans_head head_of(const dki_cuda *cuda, size_t count) {
    plans_head head;
    memset(&head, 0, sizeof head);
    memcpy(head.magic, head_magic, sizeof head.magic);
    head.device = *dki_plans_device(cuda->plans);
    head.deterministic = cuda->options.deterministic;
    head.count = (uint32_t)count;
    return head;
}

static dk_status keep(const dki_cuda *cuda, void **bytes, size_t *count) {
    dki_plan_record *records = NULL;
    size_t plans = 0;
    DKI_TRY(dki_plans_list(cuda->plans, &records, &plans));
    *count = sizeof(plans_head) + plans * sizeof *records;
    dk_status status = dki_alloc(cuda->services.allocator, *count, 1, "a copy of the plans", bytes);
    if (!status) {
        const plans_head head = head_of(cuda, plans);
        memcpy(*bytes, &head, sizeof head);
        memcpy((char *)*bytes + sizeof head, records, plans * sizeof *records);
    }
    dki_release(cuda->services.allocator, records);
    return status;
}

dk_status dki_cuda_keep_plans(dki_backend *backend, void **bytes, size_t *count) {
    dki_cuda *cuda = dki_cuda_enter(backend, "keep plans");
    return dki_cuda_leave(cuda, keep(cuda, bytes, count));
}

static dk_status take(const dki_cuda *cuda, const void *bytes, size_t count) {
    const dki_plan_device *here = dki_plans_device(cuda->plans);
    plans_head head;
    DKI_REQUIRE(count >= sizeof head, DK_E_MODEL, "plans of %zu bytes are cut short", count);
    memcpy(&head, bytes, sizeof head);
    const size_t records = (count - sizeof head) / sizeof(dki_plan_record);
    DKI_REQUIRE(memcmp(head.magic, head_magic, sizeof head.magic) == 0 && head.count == records &&
                    count == sizeof head + records * sizeof(dki_plan_record),
                DK_E_MODEL, "plans of %zu bytes aren't what this version of deltak writes", count);
    head.device.name[sizeof head.device.name - 1] = '\0';
    DKI_REQUIRE(memcmp(&head.device, here, sizeof *here) == 0, DK_E_STATE,
                "its plans are those of a %s with cuBLASLt %llu; this is a %s with %llu",
                head.device.name, (unsigned long long)head.device.library_version, here->name,
                (unsigned long long)here->library_version);
    DKI_REQUIRE(head.deterministic == cuda->options.deterministic, DK_E_STATE,
                "its algorithms were %s: open the context with deterministic = %s",
                head.deterministic ? "the library's first choices" : "chosen by timing",
                head.deterministic ? "true" : "false");
    dki_plan_record *copies = NULL; /* aligned */
    DKI_TRY(dki_new(cuda->services.allocator, &copies, records, "the plans"));
    memcpy(copies, (const char *)bytes + sizeof head, records * sizeof *copies);
    dk_status status = dki_plans_take(cuda->plans, copies, records);
    dki_release(cuda->services.allocator, copies);
    return status;
}

dk_status dki_cuda_take_plans(dki_backend *backend, const void *bytes, size_t count) {
    dki_cuda *cuda = dki_cuda_enter(backend, "take plans");
    return dki_cuda_leave(cuda, take(cuda, bytes, count));
}

#include "format/array.h"

#include "base/memory.h"

dk_status dki_array_measure(const char *name, size_t element, dki_array *array) {
    size_t bytes = element;
    for (int i = 0; i < array->dims; ++i) {
        DKI_REQUIRE(array->shape[i] >= 1, DK_E_DATA,
                    "%s: dimension %d of its shape is %lld: there are no rows in it", name, i,
                    (long long)array->shape[i]);
        DKI_REQUIRE(dki_mul(bytes, (size_t)array->shape[i], &bytes) && bytes <= PTRDIFF_MAX,
                    DK_E_DATA,
                    "%s: its header promises more bytes than an address space holds (dimension %d "
                    "is %lld): the file is damaged",
                    name, i, (long long)array->shape[i]);
    }
    array->bytes = bytes;
    return DK_OK;
}

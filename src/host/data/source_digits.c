/* builtin:digits, the 1,797 rows of the test part of the UCI optical digits: 8 × 8 counts of 0 … 16
 * and the digit (E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49; CC BY 4.0). */
#include "data/digits.h"
#include "data/table.h"

dk_status dki_source_digits(const dki_request *request, dki_storage *storage) {
    const dki_csv_options options = {.max_rows = request->options.rows};
    dk_status status = DK_OK;
    dki_file text = {0};
    dki_csv table = {0};
    DKI_TRY_OUT(dki_file_inflate(request->allocator, request->source, dki_digits_csv_gz,
                                 dki_digits_csv_gz_size, DKI_FILE_LIMIT, &text));
    DKI_TRY_OUT(dki_csv_parse(request->allocator, request->source, (const char *)text.data,
                              text.bytes, &options, &table));
    DKI_TRY_OUT(dki_table_apply(request, &table, storage));
    storage->image_rows = storage->image_cols = 8;
out:
    dki_csv_release(request->allocator, &table);
    dki_file_release(request->allocator, &text);
    return status;
}

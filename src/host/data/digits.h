/* data/digits.csv.gz, embedded in the library by the build: the source of `builtin:digits`. */
#ifndef DKI_DIGITS_H
#define DKI_DIGITS_H

#include <stddef.h>

/** The bytes of the file; dki_digits_csv_gz_size of them. */
extern const unsigned char dki_digits_csv_gz[];
extern const size_t dki_digits_csv_gz_size;

#endif

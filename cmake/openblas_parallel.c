/* Tells the build how the OpenBLAS at hand makes its threads: ends with 0 if by OpenMP. */
#include <stdio.h>

int openblas_get_parallel(void); /* 0 none, 1 its own threads, 2 OpenMP */
char *openblas_get_config(void);

int main(void) {
    printf("%s", openblas_get_config());
    return openblas_get_parallel() == 2 ? 0 : 1;
}

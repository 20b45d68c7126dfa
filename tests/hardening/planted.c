/* A library under a name that deltak or the loader looks for: it tells that it was loaded, by making
 * the file that $DELTAK_TEST_PLANTED names. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void tell(void) {
    const char *path = getenv("DELTAK_TEST_PLANTED");
    FILE *file = path ? fopen(path, "we") : NULL;
    if (file) fclose(file);
}

/* A stream as kernels are launched on it. */
#ifndef DKI_QUEUE_H
#define DKI_QUEUE_H

#include <stdbool.h>

typedef struct dki_queue {
    void *stream;   /* cudaStream_t */
    bool borrowed;  /* the application's */
    bool dependent; /* a kernel may be put on the GPU while the one before it on the stream still
                       runs, and waits for that one itself (dki_wait_for_earlier); compute
                       capability 9.0 */
} dki_queue;

#endif

/* What cuBLASLt really does on this GPU for the products of a layer: which epilogues it has and
 * whether they are one kernel, and what running side by side is worth. Measured through deltak's own
 * layer over CUDA (backend/cuda/gpu.h) on deltak's own scratch layers (trial.h), so that the answers
 * are about the very calls that a step makes. */
#ifndef PROBE_H
#define PROBE_H

#include "backend/cuda/trial.h"

typedef enum probe_question {
    PROBE_EPILOGUE,  /* an epilogue beside the plain product */
    PROBE_SCALARS,   /* α and β on host or device, β 0 or 1, in the weight gradient */
    PROBE_LANES,     /* a layer's two gradients side by side, beside one after the other */
    PROBE_CARVE_OUT, /* an update beside a product that leaves multiprocessors free */
    PROBE_QUESTIONS
} probe_question;

/** A layer of a workload: its batch and widths, and whether a data gradient goes through it. */
typedef struct probe_shape {
    const char *workload;
    int64_t rows, inputs, width;
    bool data_gradient;
} probe_shape;

typedef struct probe_precision {
    const char *name;
    dk_precision precision;
} probe_precision;

enum { PROBE_PRECISIONS = 4, PROBE_MOST_SHAPES = 16 };
extern const probe_precision probe_precisions[PROBE_PRECISIONS];

/** One answer. Times are ms of one call, the median of several replays; INFINITY = not measured. */
typedef struct probe_row {
    probe_question question;
    probe_shape shape;
    const char *precision, *product;
    char variant[40];
    bool taken;          /* the library has it, and it ran */
    int candidates;      /* algorithms that the library proposes */
    int kernels, others; /* nodes of one recorded call: kernels; copies and zeroing */
    int plain_nodes;     /* nodes in all of what it is compared with */
    double ms;           /* this */
    double plain_ms;     /* the plain product; both, one after the other */
    double own_ms;       /* the plain product and deltak's own kernels for the same result */
    double alone_ms;     /* the product that leaves multiprocessors free, by itself */
} probe_row;

typedef struct probe_options {
    int ordinal;
    int candidates; /* algorithms to time for each product */
    double budget;  /* seconds after which no further layer is begun; 0 = no limit */
    bool questions[PROBE_QUESTIONS];
    bool precisions[PROBE_PRECISIONS];
    probe_shape shapes[PROBE_MOST_SHAPES];
    size_t shape_count;
    void (*tell)(const probe_row *row); /* as soon as it is known; or NULL */
} probe_options;

typedef struct probe_result {
    dki_gpu_facts facts;
    probe_row *rows;
    size_t count, capacity;
    bool complete; /* the budget was enough */
} probe_result;

/** Asks everything that the options say. The result is to be released, also after a failure: it has
 *  what is known until then. DK_E_DEVICE: no GPU. */
dk_status probe_run(const probe_options *options, probe_result *result);
void probe_release(probe_result *result);

/** The command: argv to exit code. 0 = measured, 1 = failed, 77 = no GPU. */
int probe_main(int argc, char **argv);

/** The table's head and rows for people; everything for machines, with a newline at the end. */
void probe_print_head(const dki_gpu_facts *facts);
void probe_print_row(const probe_row *row);
const char *probe_question_name(probe_question question);
/** false: `path` couldn't be written. "-" = standard output. */
bool probe_write_json(const probe_result *result, const char *path);

/* --- the insides ------------------------------------------------------------------------------ */

/** One layer under measurement. */
typedef struct probe {
    const probe_options *options;
    probe_result *result;
    const char *precision;
    dki_cuda *cuda;
    dki_timer timer;
    dki_event forked, joined; /* between the two lanes */
    probe_shape shape;
    dki_layer_shape layer, below; /* the activation is that of the question at hand */
    dki_trial_layer trial;
    float *scalars; /* device memory: α, β = 1, 0; then 1, 1 */
} probe;

/** A product: what is asked for, then the fastest algorithm found for it. */
typedef struct probe_call {
    probe *of;
    dki_lane lane;
    dki_product_kind kind;
    dki_epilogue epilogue;
    bool beta, device_scalars; /* β = 1; α and β in device memory */
    int processors;
    dki_algorithm algorithm;
    int candidates;
    double ms; /* INFINITY: the library doesn't have it */
} probe_call;

/** Finds the fastest of the library's algorithms for the call. */
dk_status probe_fastest(probe_call *call);
/** A trial: queues the call (argument) once. */
dk_status probe_queue_call(void *argument, int copy);
/** Times a trial; *ms is INFINITY where it fails. Only a lost device is an error. */
dk_status probe_time(probe *it, dki_trial trial, void *argument, double *ms);
/** Records a trial once and counts its nodes. */
dk_status probe_nodes(probe *it, dki_trial trial, void *argument, int *kernels, int *others);
/** The second lane begins after, and ends before, what the first one does. */
dk_status probe_fork(probe *it);
dk_status probe_join(probe *it);
/** A row of the layer with nothing known yet. */
probe_row probe_new_row(const probe *it, probe_question question, const char *product,
                        const char *variant);
dk_status probe_add_row(probe *it, const probe_row *row);

dk_status probe_epilogues(probe *it);
dk_status probe_scalars(probe *it);
dk_status probe_lanes(probe *it);
dk_status probe_carve_outs(probe *it);

#endif

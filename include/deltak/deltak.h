/* deltak: training of large multi-layer perceptrons on NVIDIA GPUs and on the CPU.
 * SPDX-License-Identifier: MIT
 *
 * ---------------------------------------------------------------------------------------------
 * THE MODEL
 *
 * A network of L layers maps a row x = a⁽⁰⁾ of n_0 features to a⁽ᴸ⁾:
 *
 *     z⁽ᵏ⁾ = W⁽ᵏ⁾ a⁽ᵏ⁻¹⁾ + b⁽ᵏ⁾,     a⁽ᵏ⁾ = g⁽ᵏ⁾(z⁽ᵏ⁾),     k = 1 … L
 *
 * W⁽ᵏ⁾ is n_k × n_{k−1}; g⁽ᵏ⁾ acts element by element and may differ from layer to layer. Training
 * minimises the mean loss of a batch by gradient descent and its usual refinements; with
 * δ⁽ᵏ⁾ = ∂l/∂z⁽ᵏ⁾ the gradients are
 *
 *     δ⁽ᴸ⁾ = ∇_a l ⊙ g⁽ᴸ⁾′(z⁽ᴸ⁾)                             (1)
 *     δ⁽ᵏ⁾ = (W⁽ᵏ⁺¹⁾ᵀ δ⁽ᵏ⁺¹⁾) ⊙ g⁽ᵏ⁾′(z⁽ᵏ⁾)                   (2)
 *     ∂l/∂W⁽ᵏ⁾ = δ⁽ᵏ⁾ a⁽ᵏ⁻¹⁾ᵀ,   ∂l/∂b⁽ᵏ⁾ = δ⁽ᵏ⁾               (3), (4)
 *
 * THE CONVENTIONS
 *
 * - Layers are numbered 1 … L, as above; layer 0 is the input.
 * - Every matrix is dense, row-major, 32-bit float, without padding between its rows. A batch is
 *   one sample a row: features [rows, n_0], outputs [rows, n_L]. A weight is [n_k, n_{k−1}], the
 *   layout of a PyTorch nn.Linear.
 * - Every function that can fail returns a dk_status, 0 (DK_OK) on success. The text that says
 *   what failed, where, and what to do about it is dk_error_text(), kept per thread.
 * - A pointer-to-pointer parameter hands over an object that the caller destroys; on failure it is
 *   set to NULL. Destroying NULL does nothing. Objects are destroyed in any order: what depends on
 *   another object holds it.
 * - Descriptions and options are copied. Arrays are borrowed for the duration of the call, except
 *   where a function says otherwise.
 * - A structure that the caller fills starts with its own size and has an initialiser; write
 *   `dk_fit_options fit = DK_FIT_OPTIONS_INIT;` and change what differs. NULL in its place means
 *   the initialiser. The ABI grows by appending fields.
 * - Functions block until their results lie where the caller asked for them, unless said otherwise.
 * - Any number of threads may use contexts, data sets and networks at once. Networks of one context
 *   train side by side, each with the bits that it has alone. Calls on one network take turns: what
 *   dk_evaluate, dk_predict, dk_net_get or dk_net_save sees of a network in training is what a whole
 *   step left. Nobody waits for ever. A call that reads runs beside others that do, and waits for one
 *   that writes at most, such as a step, after those that read as it came; a call that writes waits for
 *   these, and for the writers ahead of it with a turn of readers before each. So a training beside
 *   many readers waits for a turn of theirs at each step. A trainer and a session take one call at a
 *   time; a second one, another thread's or one from a callback of the first, is refused with
 *   DK_E_STATE. An object is destroyed, and what it lends is read, when no other thread uses it.
 * - A call computes in the default floating-point environment (to nearest, denormals kept, no traps),
 *   whatever its thread's is, and so do the library's own threads and the callbacks of the call. When
 *   it returns, the thread has its own again, flags included: no bit depends on it, and a process that
 *   traps on overflow isn't ended by deltak.
 * - After fork() a child may open contexts of its own and use the CPU, if no other thread was in the
 *   library at the time. What was made before belongs to the parent. GPUs aren't for a child of a process
 *   that has used one, unless it runs another program.
 * - The same seed, device, library versions and plan give the same bits; on the CPU, at any number
 *   of threads.
 *
 * A COMPLETE EXAMPLE
 *
 *     #include <deltak/deltak.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         dk_context *context = NULL;
 *         dk_dataset *data = NULL, *train = NULL, *test = NULL;
 *         dk_net *net = NULL;
 *         dk_trainer *trainer = NULL;
 *         dk_metrics result;
 *         const int64_t hidden[] = {128, 128};
 *         if (dk_context_create(&context, NULL) ||
 *             dk_dataset_open(&data, context, "builtin:digits", NULL) ||
 *             dk_dataset_split(data, 0.2, 1, &train, &test) ||
 *             dk_net_create_for(&net, train, hidden, 2, DK_RELU, 1) ||
 *             dk_trainer_create(&trainer, net, NULL) ||
 *             dk_trainer_fit(trainer, train, test, NULL, NULL) ||
 *             dk_evaluate(net, test, 0, &result) || dk_net_save(net, "digits.safetensors"))
 *             fprintf(stderr, "%s\n", dk_error_text());
 *         else
 *             printf("test accuracy %.2f %%\n", 100 * result.accuracy);
 *         dk_trainer_destroy(trainer);
 *         dk_net_destroy(net);
 *         dk_dataset_destroy(test);
 *         dk_dataset_destroy(train);
 *         dk_dataset_destroy(data);
 *         dk_context_destroy(context);
 *         return 0;
 *     }
 *
 * CONTENTS, from simple to advanced
 *
 *     1 status and version   2 contexts   3 data sets   4 networks   5 training
 *     6 evaluation and prediction   7 sessions: forward, loss, gradients, insides
 *     8 memory plan   9 check against the reference   10 benchmark   11 names
 * ------------------------------------------------------------------------------------------- */
#ifndef DELTAK_H
#define DELTAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define DK_API
#elif defined(__GNUC__)
#define DK_API __attribute__((visibility("default")))
#else
#define DK_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ===== 1. Status and version =============================================================== */

/** What a function reports. The numbers are part of the ABI. */
typedef enum dk_status {
    DK_OK = 0,            /**< done */
    DK_E_ARGUMENT = 1,    /**< a null pointer, a number out of range, an unknown name */
    DK_E_SHAPE = 2,       /**< widths, rows or counts that don't fit together */
    DK_E_STATE = 3,       /**< a call that needs another call first, or an object in use */
    DK_E_MEMORY = 4,      /**< host or device memory ran out; the text says how much was needed */
    DK_E_IO = 5,          /**< the operating system refused to open, read, write or rename a file */
    DK_E_DATA = 6,        /**< a data file is malformed, or its values can't be used */
    DK_E_MODEL = 7,       /**< a model file is malformed, or isn't a deltak model */
    DK_E_DEVICE = 8,      /**< the device asked for can't be used; the text says what is missing */
    DK_E_DEVICE_LOST = 9, /**< the device failed under way; this process goes on without it */
    DK_E_UNSUPPORTED = 10, /**< valid, but this device or build doesn't have it */
    DK_E_NONFINITE = 11,   /**< NaN or Inf in data, loss, gradients or parameters */
    DK_E_NOT_KEPT = 12,    /**< the fused training step didn't keep this tensor (see dk_keep) */
    DK_E_STOPPED = 13      /**< a callback asked to stop */
} dk_status;

/** The name of a status, such as "DK_E_SHAPE"; "unknown status" for any other number. Static. */
DK_API const char *dk_status_name(dk_status status);

/** The text of the last failure on the calling thread: what failed, where, what to do. "" when
 *  nothing failed yet. Borrowed until the next failing call on this thread; never NULL. */
DK_API const char *dk_error_text(void);

#define DK_VERSION_MAJOR 0
#define DK_VERSION_MINOR 2
#define DK_VERSION_PATCH 0

/** The version of the library that is loaded, "0.2.0"; compare with DK_VERSION_*. Static. */
DK_API const char *dk_version(void);

/* ===== 2. Contexts ========================================================================= */

/** A device with its threads, log and allocator. Everything else is made from one. */
typedef struct dk_context dk_context;

typedef enum dk_log_level {
    DK_LOG_ERROR = 0,
    DK_LOG_WARNING = 1,
    DK_LOG_INFO = 2,
    DK_LOG_DEBUG = 3
} dk_log_level;

/** Receives one line without a newline, valid during the call. May be called from any thread that
 *  calls into the library, and from the one that writes checkpoints; never from two at once for one
 *  context. It doesn't call into the library. */
typedef void (*dk_log_fn)(void *user, dk_log_level level, const char *line);

/** Where host memory comes from. alloc returns memory aligned to `alignment` (a power of two,
 *  at most 256) or NULL; release gets what alloc returned and its size. Both are called from any
 *  thread. All zero means the C library's. */
typedef struct dk_allocator {
    void *(*alloc)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory, size_t bytes);
    void *user;
} dk_allocator;

/** How products and stored activations are computed. Master parameters, gradients and losses are
 *  always fp32. */
typedef enum dk_precision {
    DK_FP32 = 0, /**< true fp32, on any device */
    DK_TF32 = 1, /**< fp32 storage, TF32 products (NVIDIA sm_80 and later) */
    DK_BF16 = 2, /**< bf16 products and activations (sm_80 and later; CPUs that multiply bf16:
                      AVX512_BF16 or AMX) */
    DK_FP16 = 3  /**< fp16 with dynamic loss scaling, on GPUs */
} dk_precision;

typedef struct dk_context_options {
    size_t size;            /**< sizeof(dk_context_options) */
    const char *device;     /**< "auto" (a working GPU, else the CPU), "cpu", "cuda", "cuda:N" */
    int threads;            /**< CPU threads; 0 = as many as this process may run on, at most the
                                 OMP_NUM_THREADS of the environment */
    dk_precision precision; /**< refused with DK_E_UNSUPPORTED where the device lacks it */
    bool deterministic;     /**< never choose an algorithm by timing. The CPU never does. */
    dk_log_fn log;          /**< NULL = silence */
    void *log_user;         /**< first argument of log */
    dk_log_level log_level; /**< lines above this level are not made */
    dk_allocator allocator; /**< all zero = malloc and free */
    bool no_plan_cache; /**< on a GPU: don't remember in $XDG_CACHE_HOME/deltak (~/.cache/deltak)
                             which algorithms were the fastest */
} dk_context_options;

#define DK_CONTEXT_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(dk_context_options), "auto", 0, DK_FP32, false, NULL, NULL, DK_LOG_WARNING,         \
            {NULL, NULL, NULL}, false                                                              \
    }

/** Opens a device. `options` NULL = defaults. Asking for the CPU makes no CUDA call. On a GPU it takes a
 *  good part of a second, unless the process holds CUDA's context there already, through another
 *  dk_context or by its own use of CUDA: keep one, rather than make one for each task.
 *  DK_E_ARGUMENT (unknown device text, negative threads), DK_E_DEVICE (no such device; the text
 *  says what is missing), DK_E_UNSUPPORTED (precision), DK_E_MEMORY. */
DK_API dk_status dk_context_create(dk_context **context, const dk_context_options *options);

/** Releases the caller's hold. The context lives until the last object made from it is gone. */
DK_API void dk_context_destroy(dk_context *context);

/** What a context runs on; text fields are valid as long as the context. */
typedef struct dk_context_info {
    const char *device;      /**< "cpu" or "cuda:N" */
    const char *device_name; /**< the processor's or GPU's own name */
    const char *library;     /**< the BLAS: name, version and configuration */
    const char *kernel;      /**< the BLAS kernel in use: bits are comparable only within one */
    const char *vector;      /**< the instruction set of the fused loops: "avx512", "avx2", … */
    int threads;             /**< threads that the device's loops use; 0 on a GPU */
    dk_precision precision;
    uint64_t memory_total; /**< bytes of device memory */
    uint64_t memory_free;  /**< bytes of device memory free now */
} dk_context_info;

/** Fills `info`. DK_E_ARGUMENT. */
DK_API dk_status dk_context_describe(const dk_context *context, dk_context_info *info);

/* ===== 3. Data sets ======================================================================== */

/** Rows of features with a label or target each: in memory, or in a memory-mapped file. Immutable,
 *  may be shared between threads. Features stay in the file's own type; the network's
 *  preprocessing (section 4) is applied when a batch is gathered. */
typedef struct dk_dataset dk_dataset;

/** A network: its description, parameters, preprocessing and class names (section 4). */
typedef struct dk_net dk_net;

typedef enum dk_task {
    DK_TASK_AUTO = 0,           /**< decided from the labels, see dk_dataset_open */
    DK_TASK_CLASSIFICATION = 1, /**< one class index a row */
    DK_TASK_REGRESSION = 2,     /**< one or more numbers a row */
    DK_TASK_NONE = 3            /**< features only, for prediction */
} dk_task;

typedef enum dk_part {
    DK_PART_TRAIN = 0, /**< the training part where a source has two, else everything */
    DK_PART_TEST = 1   /**< the test part; DK_E_STATE where a source has none */
} dk_part;

/** Whether the first line of a table names its columns. */
typedef enum dk_header {
    DK_HEADER_AUTO =
        0, /**< decide where that is sure, else DK_E_DATA, which asks for this option */
    DK_HEADER_YES = 1,
    DK_HEADER_NO = 2
} dk_header;

typedef struct dk_data_options {
    size_t size;              /**< sizeof(dk_data_options) */
    dk_part part;             /**< of a source with a training and a test part */
    dk_task task;             /**< DK_TASK_AUTO = decide from the labels */
    const char *label_column; /**< tables: "last" (default, also NULL), "first", a column number
                                   from 0, or a name in the header */
    const dk_dataset *like;   /**< read the labels as this set's were: task, classes, widths */
    const dk_net *like_net;   /**< the same, as the data this network was made for */
    uint64_t seed;            /**< of a synthetic set */
    int64_t rows; /**< of a synthetic set; 0 = its default. Elsewhere: at most so many, 0 = all */
    int64_t features; /**< of synth:teacher; 0 = its default */
    int64_t targets;  /**< outputs of synth:teacher; classes of synth:spirals; 0 = its default */
    dk_header header; /**< tables */
    const char *ignore_columns; /**< tables: names or numbers of columns to leave out, by commas */
    const char *id_column;      /**< tables: name or number of the column that names the rows; it is
                                     no feature, and dk_dataset_row_name gives its texts */
} dk_data_options;

#define DK_DATA_OPTIONS_INIT                                                                       \
    {                                                                                              \
        sizeof(dk_data_options), DK_PART_TRAIN, DK_TASK_AUTO, NULL, NULL, NULL, 1, 0, 0, 0,        \
            DK_HEADER_AUTO, NULL, NULL                                                             \
    }

/** Opens a source of data:
 *  - `builtin:digits`: the UCI optical digits (Alpaydin and Kaynak 1998), 1,797 rows of 64.
 *  - `synth:spirals`: interleaved spirals in the plane, a class each, with noise (classification).
 *  - `synth:teacher`: Gaussian inputs, targets by a random two-layer tanh network (regression).
 *  - a directory with MNIST's four names (`train-images-idx3-ubyte`, …, each also with `.gz`).
 *  - a directory with `x.npy` and `y.npy` (and `x_test.npy`, `y_test.npy` for the test part).
 *  - an IDX images file (`.gz` too), with its labels beside it by MNIST's naming.
 *  - a `.npy` matrix (f32, f64, u8, i32, i64; C or Fortran order), memory-mapped; one column is the
 *    label.
 *  - anything else: CSV (`.gz` too), with a header or without, one column the label.
 *
 *  The first line of a table is a header where that is sure: some column has a name there and
 *  numbers below (the label's column: numbers alone), or none of its features is a number, or it has
 *  the names of `like`. Where it only counts the columns (0,1,2,…), `header` must say so.
 *
 *  Task and classes follow from all labels unless said: text labels, integer-typed label files, whole
 *  numbers of at most 100 different values, and numbers written with leading zeros are classes, ordered
 *  by number (text: by byte order); other numbers are regression. A class name is the label as it was
 *  written, and no two texts are one class: 1 and 1.0 are two, which a note says. Numbers with a mark of
 *  a missing value among them (empty, NA, N/A, null, none, ?, -), with a text among many different
 *  numbers, or written with decimal commas, thousands, currencies or percent signs are DK_E_DATA.
 *
 *  With `like` or `like_net` a table's columns are found again: by their names if both tables have a
 *  header, whatever their order, columns that are new being left out; else by their places, as those
 *  of an NPY matrix are. The label's column is remembered, too, unless label_column is given.
 *
 *  DK_E_ARGUMENT (unknown builtin or synth name), DK_E_STATE (no test part; a header and no rows), DK_E_IO, DK_E_DATA
 *  (malformed file, ragged row, text among numbers, a label unknown to `like`, no rows; the text
 *  names file, line and remedy), DK_E_NONFINITE (NaN or Inf, with its row and column), DK_E_SHAPE
 *  (unlike `like`), DK_E_MEMORY.
 */
DK_API dk_status dk_dataset_open(dk_dataset **dataset, dk_context *context, const char *source,
                                 const dk_data_options *options);

/** The same of a table that lies in memory; `name` stands for it in error texts and notes, and
 *  `first_line` is the number of its first line there, ≥ 1. The text is borrowed for the call. */
DK_API dk_status dk_dataset_open_text(dk_dataset **dataset, dk_context *context, const char *name,
                                      const char *text, size_t bytes, int64_t first_line,
                                      const dk_data_options *options);

typedef enum dk_dtype { DK_F32 = 0, DK_F64 = 1, DK_U8 = 2, DK_I32 = 3, DK_I64 = 4 } dk_dtype;

/** A caller's arrays as a data set. Exactly one of labels and targets, or neither. */
typedef struct dk_arrays {
    size_t size;               /**< sizeof(dk_arrays) */
    int64_t rows;              /**< number of samples */
    int64_t features;          /**< n_0 */
    const void *x;             /**< [rows, features] of x_type, row-major; borrowed until the last
                                data set that was made from it is destroyed */
    dk_dtype x_type;           /**< DK_U8 is treated as an image: one scale for all features */
    const int32_t *labels;     /**< [rows] class indices in 0 … classes−1; copied */
    int64_t classes;           /**< number of classes, with labels */
    const float *targets;      /**< [rows, target_count], row-major; copied */
    int64_t target_count;      /**< n_L, with targets */
    const float *weights;      /**< [rows] sample weights ≥ 0, or NULL; copied */
    const double *targets_f64; /**< in place of targets, where floats lose what matters, such as
                                    the seconds of a time since 1970; copied */
} dk_arrays;

#define DK_ARRAYS_INIT                                                                             \
    { sizeof(dk_arrays), 0, 0, NULL, DK_F32, NULL, 0, NULL, 0, NULL, NULL }

/** A data set over the caller's arrays. Features are looked through for NaN and Inf once.
 *  DK_E_ARGUMENT, DK_E_SHAPE, DK_E_DATA (a label out of range, a negative weight),
 *  DK_E_NONFINITE, DK_E_MEMORY. */
DK_API dk_status dk_dataset_from_arrays(dk_dataset **dataset, dk_context *context,
                                        const dk_arrays *arrays);

/** Splits off round(fraction·rows) rows, chosen by a seeded permutation, without copying features:
 *  `rest` gets the others, each in the original order. Both hold the parent.
 *  DK_E_ARGUMENT (fraction outside (0, 1)), DK_E_SHAPE (a part would be empty), DK_E_MEMORY. */
DK_API dk_status dk_dataset_split(const dk_dataset *dataset, double fraction, uint64_t seed,
                                  dk_dataset **rest, dk_dataset **part);

/** Releases the caller's hold. */
DK_API void dk_dataset_destroy(dk_dataset *dataset);

typedef struct dk_dataset_info {
    int64_t rows;
    int64_t features;
    dk_task task;
    int64_t targets;    /**< classes, or target columns, or 0 */
    dk_dtype x_type;    /**< as stored */
    bool image;         /**< u8 features: preprocessing learns one scale for all of them */
    bool mapped;        /**< read from a memory-mapped file as batches are made */
    int64_t image_rows; /**< height where the source tells, else 0 */
    int64_t image_cols; /**< width where the source tells, else 0 */
} dk_dataset_info;

DK_API dk_status dk_dataset_describe(const dk_dataset *dataset, dk_dataset_info *info);

/** The name of class 0 … classes−1, or NULL. Borrowed as long as the data set. */
DK_API const char *dk_dataset_class_name(const dk_dataset *dataset, int64_t index);

/** The name of a row by the table's id column, as written, or NULL. Borrowed as long as the data set. */
DK_API const char *dk_dataset_row_name(const dk_dataset *dataset, int64_t row);

/** What was made of the source, a line each: note 0 says rows, columns, header, task and classes of all
 *  of it; those behind it are doubts, each with the option that decides (whole numbers taken for
 *  numbers or for classes, a column that counts the rows, classes that differ in spelling alone, columns
 *  that were left out). NULL behind the last. Borrowed as long as the data set. */
DK_API const char *dk_dataset_note(const dk_dataset *dataset, size_t index);

/** Copies rows first … first+rows−1, raw (no preprocessing): x [rows, features] as float; labels
 *  [rows]; targets [rows, targets]. Each may be NULL. DK_E_ARGUMENT, DK_E_SHAPE (outside the set),
 *  DK_E_STATE (labels of a regression set, and the like). */
DK_API dk_status dk_dataset_read(const dk_dataset *dataset, int64_t first, int64_t rows, float *x,
                                 int32_t *labels, float *targets);

/** Writes `bytes` as the whole new content of a file, as the library writes models: whole or not at all,
 *  through a file of another name beside it; a link is followed and stays one, what is overwritten keeps
 *  its rights, and a file that may not be written isn't replaced. A device or a pipe is written directly.
 *  A limit of file size, or a pipe that nobody reads, is an error, not the process's end.
 *  DK_E_ARGUMENT, DK_E_IO, DK_E_MEMORY. */
DK_API dk_status dk_file_write(const char *path, const void *data, size_t bytes);

/* ===== 4. Networks ========================================================================= */

/** The elementwise g of a layer; g′ at a kink is PyTorch's subgradient. */
typedef enum dk_activation {
    DK_IDENTITY = 0,   /**< z */
    DK_RELU = 1,       /**< max(0, z);                               g′(0) = 0 */
    DK_LEAKY_RELU = 2, /**< z > 0 ? z : α z;                         α = 0.01; g′(0) = α */
    DK_ELU = 3,        /**< z > 0 ? z : α (eᶻ − 1);                  α = 1 (Clevert 2016) */
    DK_SELU = 4,       /**< λ (z > 0 ? z : α (eᶻ − 1));              Klambauer 2017 */
    DK_GELU = 5,       /**< z Φ(z) = z (1 + erf(z/√2))/2;            Hendrycks 2016 */
    DK_GELU_TANH = 6, /**< z (1 + tanh(√(2/π)(z + 0.044715 z³)))/2; PyTorch approximate="tanh" */
    DK_SILU = 7,      /**< z σ(z) */
    DK_MISH = 8,      /**< z tanh(log(1 + eᶻ));                     Misra 2019 */
    DK_SIGMOID = 9,   /**< σ(z) = 1/(1 + e⁻ᶻ) */
    DK_TANH = 10,     /**< tanh z */
    DK_SOFTPLUS = 11, /**< log(1 + eᶻ), in its stable form for every z */
    DK_SOFTSIGN = 12, /**< z/(1 + |z|) */
    DK_HARDTANH = 13, /**< min(1, max(−1, z));                      g′(±1) = 0 */
    DK_RELU6 = 14     /**< min(6, max(0, z));                       g′(0) = g′(6) = 0 */
} dk_activation;

/** The loss l of a sample. The loss of a batch is Σᵢ wᵢ lᵢ / Σᵢ wᵢ, wᵢ = 1 unless given. */
typedef enum dk_loss {
    DK_LOSS_MSE = 0, /**< mean over outputs of (a − y)² */
    DK_LOSS_MAE = 1, /**< mean over outputs of |a − y|; sign(0) = 0 */
    DK_LOSS_HUBER = 2, /**< mean over outputs of r²/2 if |r| ≤ δ, else δ(|r| − δ/2); r = a − y */
    DK_LOSS_SOFTMAX_CROSS_ENTROPY = 3, /**< −Σ_c w_c y_c log softmax(z)_c on the logits, last
                                           activation identity. Class indices or probabilities,
                                           label smoothing y ← (1 − ε) y + ε/C and class weights as
                                           in PyTorch's cross_entropy: with indices the batch is
                                           divided by Σᵢ w_{yᵢ}, with probabilities by the count. */
    DK_LOSS_SIGMOID_CROSS_ENTROPY = 4 /**< mean over outputs of −y log σ(z) − (1 − y) log(1 − σ(z))
                                           on the logits, last activation identity. Targets in
                                           [0, 1]; with class indices, the one-hot vector. */
} dk_loss;

/** How the weights of a layer start. fan_in = n_{k−1}, fan_out = n_k. Biases start at 0; in a
 *  layer with AUTO and an activation other than DK_IDENTITY they are uniform in ±1/√fan_in. */
typedef enum dk_init {
    DK_INIT_AUTO = 0,      /**< XAVIER_UNIFORM; but selu has LECUN_NORMAL, and in networks of more
                                than 10 layers relu, relu6, leaky_relu, elu, gelu, gelu_tanh, silu,
                                mish and softplus have HE_NORMAL, without which they wouldn't start */
    DK_INIT_HE_NORMAL = 1, /**< σ² = gain²/fan_in, gain² = 2 (leaky_relu: 2/(1+α²)); He 2015 */
    DK_INIT_HE_UNIFORM = 2,     /**< the same variance, uniform */
    DK_INIT_XAVIER_NORMAL = 3,  /**< σ² = 2/(fan_in + fan_out); Glorot 2010 */
    DK_INIT_XAVIER_UNIFORM = 4, /**< the same variance, uniform */
    DK_INIT_LECUN_NORMAL = 5,   /**< σ² = 1/fan_in; LeCun 1998 */
    DK_INIT_LECUN_UNIFORM = 6,  /**< the same variance, uniform */
    DK_INIT_CONSTANT = 7        /**< every weight = init_value */
} dk_init;

typedef struct dk_layer {
    int64_t width;            /**< n_k ≥ 1 */
    dk_activation activation; /**< g⁽ᵏ⁾ */
    float alpha;              /**< of leaky_relu and elu; 0 = the activation's default */
    float dropout; /**< probability in [0, 1) that an element of a⁽ᵏ⁾ is dropped in training;
                        the others are scaled by 1/(1 − p) (inverted dropout). 0 in layer L */
    dk_init init;
    float init_value;     /**< of DK_INIT_CONSTANT */
    bool frozen;          /**< W and b keep their values in training */
    uint32_t reserved[4]; /**< 0 */
} dk_layer;

#define DK_LAYER_INIT                                                                              \
    {                                                                                              \
        0, DK_RELU, 0.0f, 0.0f, DK_INIT_AUTO, 0.0f, false, {                                       \
            0, 0, 0, 0                                                                             \
        }                                                                                          \
    }

typedef struct dk_net_desc {
    size_t size;                /**< sizeof(dk_net_desc) */
    int64_t inputs;             /**< n_0 ≥ 1 */
    const dk_layer *layers;     /**< [layer_count], layer 1 first */
    size_t layer_count;         /**< L, 1 … 1024 */
    uint64_t seed;              /**< of the initial weights */
    dk_loss loss;               /**< what training minimises and evaluation reports */
    float huber_delta;          /**< δ of DK_LOSS_HUBER, > 0 */
    float label_smoothing;      /**< ε in [0, 1) of softmax cross-entropy */
    const float *class_weights; /**< [n_L] > 0 of softmax cross-entropy, or NULL */
} dk_net_desc;

#define DK_NET_DESC_INIT                                                                           \
    { sizeof(dk_net_desc), 0, NULL, 0, 1, DK_LOSS_MSE, 1.0f, 0.0f, NULL }

/** Says whether a description is valid without allocating anything; dk_error_text() names the first
 *  thing that isn't. DK_E_ARGUMENT, DK_E_SHAPE (widths whose product overflows). */
DK_API dk_status dk_net_validate(const dk_net_desc *desc);

/** Creates a network with initial weights that are a function of the seed alone: the same bits on
 *  every device. DK_E_ARGUMENT, DK_E_SHAPE, DK_E_MEMORY (names what was needed and what is free).
 */
DK_API dk_status dk_net_create(dk_net **net, dk_context *context, const dk_net_desc *desc);

/** The usual case: hidden layers of one activation, and a last layer, a loss and preprocessing that
 *  follow from the data: classification: identity with softmax cross-entropy; regression: identity
 *  with mse. Learns the preprocessing from `dataset` (see dk_net_learn_preprocessing).
 *  `hidden` [hidden_count], may be NULL with 0. Statuses of dk_net_create; DK_E_STATE for a data
 *  set without labels. */
DK_API dk_status dk_net_create_for(dk_net **net, const dk_dataset *dataset, const int64_t *hidden,
                                   size_t hidden_count, dk_activation activation, uint64_t seed);

/** Releases the caller's hold. */
DK_API void dk_net_destroy(dk_net *net);

/** Fills `desc` with the network's description, defaults resolved (alpha, init); its pointers are
 *  borrowed as long as the network. */
DK_API dk_status dk_net_describe(const dk_net *net, dk_net_desc *desc);

/** Σ_k n_k (n_{k−1} + 1); 0 for NULL. */
DK_API int64_t dk_net_parameter_count(const dk_net *net);

/** Which tensor of a layer. Shapes are per layer k; [rows, ·] has the rows of the last batch. */
typedef enum dk_tensor {
    DK_WEIGHT = 0,      /**< W⁽ᵏ⁾ [n_k, n_{k−1}] */
    DK_BIAS = 1,        /**< b⁽ᵏ⁾ [n_k] */
    DK_Z = 2,           /**< z⁽ᵏ⁾ [rows, n_k] */
    DK_A = 3,           /**< a⁽ᵏ⁾ [rows, n_k], dropout applied; k = 0 is the input */
    DK_DELTA = 4,       /**< δ⁽ᵏ⁾ [rows, n_k], of the batch's mean loss */
    DK_WEIGHT_GRAD = 5, /**< dW⁽ᵏ⁾ [n_k, n_{k−1}] */
    DK_BIAS_GRAD = 6    /**< db⁽ᵏ⁾ [n_k] */
} dk_tensor;

/** Copies W or b of layer 1 … L out of the network; count must be its number of elements.
 *  DK_E_ARGUMENT (another tensor, no such layer), DK_E_SHAPE (count), DK_E_DEVICE_LOST. */
DK_API dk_status dk_net_get(const dk_net *net, dk_tensor tensor, size_t layer, float *values,
                            size_t count);

/** Sets W or b of a layer. The same statuses, and DK_E_NONFINITE for NaN or Inf. */
DK_API dk_status dk_net_set(dk_net *net, dk_tensor tensor, size_t layer, const float *values,
                            size_t count);

/** Freezes or thaws a layer: dW, db are no longer computed for it, W and b keep their values. */
DK_API dk_status dk_net_freeze(dk_net *net, size_t layer, bool frozen);

/** Learns from a training set how its features become inputs, and its targets outputs; and takes
 *  over its class names. u8 images: x/255 for all features alike. Others: (x − μ_j)/σ_j with the mean
 *  and the population standard deviation of column j, in double, whatever type the data have, so that
 *  equal numbers give equal networks; a constant column gets σ = 1. A column is also constant where
 *  its values differ in their last bits alone, as 0.1 + 0.2 and 0.3 do: σ ≤ 2ε|μ|, where ε is 2⁻²³ if
 *  all of them are floats, else 2⁻⁵² (whole numbers up to 2⁵³ are exact: ε = 0).
 *  Regression targets likewise, but for the sigmoid cross-entropy; metrics and predictions come back
 *  in original units. Saved with the model; applied wherever a data set or dk_predict meets the
 *  network. A failure leaves the network's old preprocessing.
 *  DK_E_SHAPE (widths), DK_E_STATE (a data set without labels), DK_E_NONFINITE (data, or a column out
 *  of fp32's range), DK_E_MEMORY. */
DK_API dk_status dk_net_learn_preprocessing(dk_net *net, const dk_dataset *train);

/** The preprocessing: x′ = (x − shift)·scale; shifts are doubles, since a column such as seconds
 * since 1970 may lie far from 0 and close together. Each pointer is NULL where there is none, else
 *  borrowed until the preprocessing is learnt anew. feature_* [n_0], target_* [n_L]. */
typedef struct dk_preprocessing {
    const double *feature_shift;
    const float *feature_scale;
    const double *target_shift; /**< μ of each target */
    const float *target_scale;  /**< 1/σ of each target */
} dk_preprocessing;

DK_API dk_status dk_net_preprocessing(const dk_net *net, dk_preprocessing *preprocessing);

/** The name of output 0 … n_L−1 of a classifier, or NULL. Borrowed as long as the network. */
DK_API const char *dk_net_class_name(const dk_net *net, int64_t index);

/** Writes a safetensors file: layers.K.weight [n_k, n_{k−1}] and layers.K.bias (K = 1 … L), the
 *  rest as JSON under `deltak` in __metadata__, with the XXH3 of the header and of each tensor.
 *  Written beside `path`, brought to the disk and renamed: the old file stays whole until the new one
 *  is. The same network gives the same bytes.
 *  DK_E_IO, DK_E_NONFINITE (a parameter is NaN or Inf), DK_E_MEMORY. */
DK_API dk_status dk_net_save(const dk_net *net, const char *path);

/** Reads what dk_net_save or dk_trainer_save wrote. Every length, offset, shape and number in the
 *  file is checked, and the hashes, which a file that another program wrote may lack. DK_E_IO, DK_E_MODEL (with the position and the reason), DK_E_NONFINITE, DK_E_MEMORY. */
DK_API dk_status dk_net_load(dk_net **net, dk_context *context, const char *path);

/* ===== 5. Training ========================================================================= */

/** The update of θ by the gradient g, at step t = 1, 2, … with learning rate η. Where PyTorch has
 *  the optimizer, the formula and its defaults are PyTorch's. beta1 is the momentum μ of momentum
 *  and nesterov; beta2 is RMSprop's α. */
typedef enum dk_optimizer {
    DK_SGD = 0,      /**< θ ← θ − η g */
    DK_MOMENTUM = 1, /**< u ← μ u + g;  θ ← θ − η u            (PyTorch SGD, dampening 0) */
    DK_NESTEROV = 2, /**< u ← μ u + g;  θ ← θ − η (g + μ u)    (PyTorch SGD, nesterov) */
    DK_RMSPROP = 3, /**< v ← α v + (1−α) g²;  θ ← θ − η g/(√v + ε)  (Hinton 2012; PyTorch) */
    DK_ADAGRAD = 4, /**< v ← v + g²;  θ ← θ − η g/(√v + ε)    (Duchi 2011; PyTorch) */
    DK_ADAM = 5,    /**< m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;
                         θ ← θ − η/(1−β₁ᵗ) · m/(√v/√(1−β₂ᵗ) + ε)   (Kingma 2015; PyTorch) */
    DK_ADAMW = 6,   /**< Adam with decoupled decay              (Loshchilov 2019; PyTorch) */
    DK_LION = 7 /**< θ ← θ − η sign(β₁m + (1−β₁)g);  m ← β₂m + (1−β₂)g   (Chen 2023) */
} dk_optimizer;

/** Weight decay λ: coupled adds λθ to the gradient, decoupled multiplies θ by 1 − ηλ first. */
typedef enum dk_decay {
    DK_DECAY_AUTO = 0, /**< decoupled for adamw and lion, coupled for the others, as in PyTorch */
    DK_DECAY_COUPLED = 1,
    DK_DECAY_DECOUPLED = 2
} dk_decay;

/** The learning rate at step s of S, s = 0 … S−1, as a factor of `lr`. With w warm-up steps the first
 *  w take (s + 1)/w of the peak, and the schedule runs over the rest: u = (s − w)/(S − w). one_cycle
 *  has its rise instead of a warm-up: over w steps (0: 30 % of S, not rounded). Past S it stays. */
typedef enum dk_schedule {
    DK_SCHEDULE_CONSTANT = 0,    /**< 1 */
    DK_SCHEDULE_STEP = 1,        /**< gamma^⌊(s − w)/period⌋ */
    DK_SCHEDULE_EXPONENTIAL = 2, /**< gamma^u: gamma is reached at the end */
    DK_SCHEDULE_POLYNOMIAL = 3,  /**< f + (1 − f)(1 − u)^power, f = final_factor */
    DK_SCHEDULE_COSINE = 4,      /**< f + (1 − f)(1 + cos πu)/2;  Loshchilov 2017 */
    DK_SCHEDULE_ONE_CYCLE = 5 /**< cosine from 1/25 up to 1, then cosine down to f/25; Smith 2018,
                                   as PyTorch's OneCycleLR with div_factor 25, final_div_factor 1/f
                                   (f = 0: 1e-4) */
} dk_schedule;

/** What the training step keeps readable (dk_trainer_session): everything costs memory traffic. */
typedef enum dk_keep {
    DK_KEEP_NEEDED = 0, /**< what the step itself needs */
    DK_KEEP_ALL = 1     /**< every z, a, δ, dW, db of the last micro-batch */
} dk_keep;

typedef struct dk_train_options {
    size_t size; /**< sizeof(dk_train_options) */

    int64_t batch;      /**< rows of a micro-batch; memory is planned for it. See dk_batch_for */
    int64_t accumulate; /**< micro-batches of one update in dk_trainer_fit: the effective batch is
                             batch × accumulate */
    uint64_t seed;      /**< of batch order and dropout */

    dk_optimizer optimizer;
    double lr;      /**< η > 0: the peak of the schedule; negative = 1e-3, but for adam and adamw
                         3e-3·√(128/w), w the width of the widest hidden layer before another hidden
                         layer, at least 32 */
    double beta1;   /**< negative = 0.9 */
    double beta2;   /**< negative = 0.999 (adam, adamw), 0.99 (rmsprop, lion) */
    double epsilon; /**< negative = 1e-8, 1e-10 for adagrad */
    double weight_decay; /**< λ ≥ 0; negative = 0.01 for adamw and 0 for the others */
    dk_decay decay;
    bool decay_biases; /**< false: weights only */
    double clip_norm; /**< > 0: gradients are scaled so that their global 2-norm is at most this, as
                           PyTorch's clip_grad_norm_ does; 0 = off */
    double clip_value; /**< > 0: each element of the gradient is clamped to ±this; 0 = off */

    dk_schedule schedule;
    int64_t total_steps; /**< S; 0 = epochs × steps of an epoch in dk_trainer_fit */
    double warmup;       /**< ≥ 1: steps; below 1: this part of S */
    double final_factor; /**< f of polynomial, cosine and one_cycle */
    double gamma;        /**< of step and exponential */
    double power;        /**< of polynomial */
    int64_t period;      /**< of step, in steps; 0 = ⌊S/3⌋, at least 1 */

    dk_keep keep;

    /** Update W⁽ᵏ⁾ inside the product that makes dW⁽ᵏ⁾, which then need not travel through memory.
     *  It is for GPUs and goes for plain SGD without clip_value, and not in fp16; the parameters are
     *  those of false within rounding. Otherwise, on a CPU (which gains nothing by it) and in a step
     *  of several micro-batches, the update follows its gradient as it does without; where that is
     *  so of every step, a line of the log says it. Where it goes, dW can't be read
     *  (DK_E_NOT_KEPT). Neither clip_norm nor DK_KEEP_ALL goes with it (DK_E_ARGUMENT).
     *
     *  What it costs: a gradient that isn't finite reaches the parameters. A step of which
     *  DK_E_NONFINITE tells may have been taken by some layers. In fp32 and tf32 weights may be NaN
     *  then; in bf16 such a weight falls back to its copy rounded to bf16. And where dW⁽ᵏ⁾ overflows
     *  though δ⁽ᵏ⁾ and a⁽ᵏ⁻¹⁾ are finite, fp32 and tf32 find out one step late, when W⁽ᵏ⁾ is read. So
     *  save the network from time to time. */
    bool fuse_update;
} dk_train_options;

#define DK_TRAIN_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(dk_train_options), 128, 1, 1, DK_ADAMW, -1.0, -1.0, -1.0, -1.0, -1.0,               \
            DK_DECAY_AUTO, false, 0.0, 0.0, DK_SCHEDULE_COSINE, 0, 0.05, 0.0, 0.1, 1.0, 0,         \
            DK_KEEP_NEEDED, false                                                                  \
    }

/** The batch that suits a training set of so many rows, and `deltak train`'s default: the largest
 *  power of two that makes 16 steps an epoch, but from 16 to 128. A small set needs the steps more than
 *  it needs the larger batch's speed. */
DK_API int64_t dk_batch_for(int64_t rows);

/** A network in training: buffers for one micro-batch, gradients, optimizer slots, schedule, random
 *  state. A network has at most one trainer at a time. */
typedef struct dk_trainer dk_trainer;

/** DK_E_ARGUMENT (an option out of range), DK_E_STATE (the network has a trainer), DK_E_MEMORY (the
 *  text says how much is needed, how much is free, and what would fit). */
DK_API dk_status dk_trainer_create(dk_trainer **trainer, dk_net *net,
                                   const dk_train_options *options);
DK_API void dk_trainer_destroy(dk_trainer *trainer);

/** What it trains by: its options, with what negative values and DK_DECAY_AUTO stood for.
 *  DK_E_ARGUMENT (NULL). */
DK_API dk_status dk_trainer_options(const dk_trainer *trainer, dk_train_options *options);

/** A batch in the caller's memory, model-scale: preprocessing is not applied. */
typedef struct dk_batch {
    size_t size;           /**< sizeof(dk_batch) */
    int64_t rows;          /**< ≥ 1 */
    const float *x;        /**< [rows, n_0] */
    const int32_t *labels; /**< [rows] class indices, for the cross-entropies; or */
    const float *targets;  /**< [rows, n_L]: values, or class probabilities */
    const float *weights;  /**< [rows] sample weights ≥ 0 with a positive sum, or NULL */
} dk_batch;

#define DK_BATCH_INIT                                                                              \
    { sizeof(dk_batch), 0, NULL, NULL, NULL, NULL }

/** One update by one batch of any number of rows: more than `batch` rows are taken in micro-batches
 *  whose gradients are accumulated, as one batch to rounding. With `loss` NULL it may return before
 *  the device is done, and a non-finite value is reported by a later call; otherwise *loss is the
 *  batch's mean loss before the update. Without dk_trainer_fit the schedule needs total_steps
 *  (0 = constant after the warm-up, which must then be ≥ 1 or 0).
 *  DK_E_ARGUMENT, DK_E_SHAPE, DK_E_DATA (a label out of range), DK_E_NONFINITE (names the step, and
 *  the layer where it shows first; the parameters are those before it. On a GPU that holds for a bad
 *  batch; where a gradient overflows on its way down, the layers above may have taken the step, unless
 *  clip_norm or fp16 decides first. Where the update of an element overflows, or of an optimizer's
 *  slot, that element stays as it was, and others have taken the step. Finite they are, and the
 *  trainer goes on), DK_E_STATE (an earlier step failed half-way), DK_E_DEVICE_LOST. */
DK_API dk_status dk_trainer_step(dk_trainer *trainer, const dk_batch *batch, double *loss);

/** The steps taken so far, skipped ones included. */
DK_API int64_t dk_trainer_steps(const dk_trainer *trainer);

/** Writes a checkpoint: a model file (dk_net_load reads it as one: the parameters as they are then, not
 *  the best epoch's) that also has the optimizer's slots,
 *  the counts of steps and epochs, the schedule, the random state, the loss scale, the options, and
 *  which algorithms were chosen; each tensor and the header with its hash. Waits for the steps that
 *  are queued, and blocks until the file is on the disk. Written beside `path` and renamed: an old
 *  file stays whole until the new one is. (dk_trainer_fit saves by itself, see
 *  dk_fit_options.checkpoint, and then with its place in the data.)
 *  DK_E_ARGUMENT, DK_E_NONFINITE (nothing is saved), DK_E_STATE (a step failed half-way), DK_E_IO,
 *  DK_E_MEMORY, DK_E_DEVICE_LOST. */
DK_API dk_status dk_trainer_save(dk_trainer *trainer, const char *path);

/** A trainer as dk_trainer_create makes it, in the state that a checkpoint has; and the network with
 *  its parameters. Training then goes on with the same bits as if it had never been interrupted.
 *  `net` is made as it was then: by the same calls with the same data, or by dk_net_load from the
 *  checkpoint. `path` is a checkpoint, or a folder of them: its newest is taken. `options` are those of
 *  then; NULL = as recorded (of a file that isn't trusted, give them: its batch decides how much memory
 *  the trainer takes).
 *
 *  Refused unless `anyway`: other options, another kind of device, version, precision, library or
 *  kernel (dk_context_info) than recorded, and on a GPU other choices of algorithms, which are taken
 *  from the checkpoint and never timed anew. The optimizer must be the same in any case.
 *
 *  A failure changes nothing but, where the device fails on the way, the network. DK_E_ARGUMENT, DK_E_IO,
 *  DK_E_MODEL (not a checkpoint, or damaged: the text says what, and which older one is whole),
 *  DK_E_SHAPE (another network), DK_E_STATE (other circumstances, see above; the network has a
 *  trainer), DK_E_NONFINITE, DK_E_MEMORY, DK_E_DEVICE_LOST. */
DK_API dk_status dk_trainer_resume(dk_trainer **trainer, dk_net *net,
                                   const dk_train_options *options, const char *path, bool anyway);

/** What fit reports to its callback: after every step (a GPU takes several of a small network at
 *  once), and once more at the end of each epoch. */
typedef struct dk_progress {
    int64_t epoch;             /**< from 1 */
    int64_t epochs;            /**< as asked for */
    int64_t step;              /**< steps taken in this fit */
    int64_t steps;             /**< steps of the whole fit */
    bool epoch_end;            /**< the epoch's last call: the validation fields are set */
    double loss;               /**< mean training loss of this epoch so far; a GPU's is some steps
                                    behind until epoch_end, and NaN before the first is known */
    double learning_rate;      /**< of the last step */
    double samples_per_second; /**< of this epoch so far */
    double seconds;            /**< since fit began; those before it was resumed included */
    double seconds_left;       /**< estimate for the rest of the fit */
    bool has_valid;            /**< a validation set was given */
    double valid_loss;         /**< at epoch_end, with has_valid */
    double valid_metric;       /**< accuracy, or rmse in original units */
    bool best;                 /**< the best validation loss so far */
} dk_progress;

/** Return 0 to go on; anything else stops after this step (on a GPU: after those queued with it), and
 *  dk_trainer_fit returns DK_E_STOPPED with the network as trained so far. Called on the thread that called
 *  dk_trainer_fit. */
typedef int (*dk_progress_fn)(void *user, const dk_progress *progress);

typedef struct dk_fit_options {
    size_t size;        /**< sizeof(dk_fit_options) */
    int64_t epochs;     /**< ≥ 1 */
    int64_t early_stop; /**< > 0: stop after so many epochs without a better validation loss,
                             and restore the parameters of the best epoch; needs `valid` */
    bool restore_best;  /**< restore the best epoch's parameters at the end, too, when all epochs
                             ran; needs `valid` */
    dk_progress_fn progress; /**< or NULL */
    void *progress_user;     /**< first argument of progress */
    bool in_order; /**< take the rows in the data set's own order, instead of a new one each epoch:
                        for comparisons, and for data that were shuffled before */

    /** Checkpoints: a folder (made if missing, its parent must be there) that gets
     *  checkpoint-STEPS.safetensors whenever one of the three is due, at the end of the fit, and when
     *  the callback stops it; NULL = none. Training waits only while a copy is made; a thread writes
     *  it, and the next one is put off until that is done. Each file is written beside its name,
     *  brought to the disk and renamed. One that can't be saved is a line in the log (DK_LOG_ERROR) and
     *  counted in the result; training goes on. One run at a time may save in a folder. */
    const char *checkpoint;
    int64_t checkpoint_steps;  /**< every so many steps (a GPU takes several of a small network at
                                    once); 0 = not by steps */
    double checkpoint_seconds; /**< so many seconds after the last one; 0 = not by time */
    int64_t checkpoint_epochs; /**< at the end of every so many epochs; 0 = not by epochs */
    int64_t checkpoint_keep;   /**< ≥ 1: keep the last so many */
} dk_fit_options;

#define DK_FIT_OPTIONS_INIT                                                                        \
    { sizeof(dk_fit_options), 10, 0, false, NULL, NULL, false, NULL, 0, 600.0, 0, 3 }

typedef struct dk_fit_result {
    int64_t epochs;      /**< epochs completed */
    int64_t steps;       /**< steps taken */
    int64_t best_epoch;  /**< by validation loss, from 1; 0 without a validation set */
    double train_loss;   /**< mean over the rows of the last epoch, each as it was trained on */
    double valid_loss;   /**< of the network as it is left; NaN without a validation set */
    double seconds;      /**< those before it was resumed included */
    bool stopped_early;  /**< by early_stop */
    int64_t checkpoints; /**< saved, since it began or was resumed */
    int64_t checkpoints_failed; /**< that couldn't be saved */
} dk_fit_result;

/** Trains on a data set, every row once an epoch in a new order (a seeded permutation of all rows,
 *  the same on every device) unless in_order is set; an epoch's last batch holds what is left over. A
 *  second fit goes on with the next order and its own schedule; the first one of a trainer that was
 *  resumed from within a fit (dk_trainer_resume) goes on with that one, and needs the same data and
 *  options. `valid`, `options` and `result` may be NULL; result is filled on DK_OK and DK_E_STOPPED,
 *  and where only the last checkpoint failed.
 *  DK_E_ARGUMENT (options), DK_E_SHAPE (data that don't fit the network), DK_E_STATE (unlabelled
 *  data, early_stop without valid; other data or options than those of the fit that is gone on with;
 *  a folder for checkpoints that is in use, or has those of another run), DK_E_DATA (a batch whose
 *  sample weights are all 0), DK_E_NONFINITE (names epoch and step, and the layer where it shows first;
 *  no checkpoint is saved then), DK_E_STOPPED, DK_E_IO (the folder can't be used; or the last
 *  checkpoint couldn't be saved, though the network is trained), DK_E_MEMORY (the last checkpoint's,
 *  too), DK_E_DEVICE_LOST. */
DK_API dk_status dk_trainer_fit(dk_trainer *trainer, const dk_dataset *train,
                                const dk_dataset *valid, const dk_fit_options *options,
                                dk_fit_result *result);

/* ===== 6. Evaluation and prediction ======================================================== */

typedef struct dk_metrics {
    dk_task task;
    int64_t samples;
    double loss;     /**< the network's loss, in its own (standardised) units */
    double accuracy; /**< of classes: argmax (ties: the lower index); else NaN */
    double rmse; /**< of regression: root of the mean over all targets, original units; else NaN */
    double mae;  /**< mean absolute error, original units; else NaN */
    double r2; /**< 1 − Σ(y − ŷ)²/Σ(y − ȳ)², mean over targets with a spread, else NaN */
} dk_metrics;

/** Evaluates a network on a data set, in batches of `batch` rows (0 = chosen). No dropout.
 *  DK_E_ARGUMENT, DK_E_SHAPE, DK_E_STATE (unlabelled), DK_E_DATA (sample weights that are all 0),
 *  DK_E_NONFINITE, DK_E_MEMORY. */
DK_API dk_status dk_evaluate(const dk_net *net, const dk_dataset *dataset, int64_t batch,
                             dk_metrics *metrics);

/** Predicts from raw features x [rows, n_0]: applies the preprocessing, runs the network without
 *  dropout, and writes y [rows, n_L]: class probabilities (softmax, or sigmoids of the sigmoid
 *  cross-entropy), or targets in original units. x and y are the caller's. Features that a float
 *  can't hold, such as seconds since 1970: dk_dataset_from_arrays and dk_predict_dataset. Each call
 *  makes buffers for its rows, 1024 at most, and lets them go: on a CPU a microsecond for a row of a small
 *  network, on a GPU far more than the computation. For many calls make a dk_predictor.
 *  DK_E_ARGUMENT, DK_E_NONFINITE (in x, with row and feature; or in y), DK_E_MEMORY. */
DK_API dk_status dk_predict(const dk_net *net, const float *x, int64_t rows, float *y);

/** The same for every row of a data set, whose labels are not looked at. y [rows, n_L]. */
DK_API dk_status dk_predict_dataset(const dk_net *net, const dk_dataset *dataset, float *y);

/** The same in double: of targets that a float can't hold, such as seconds since 1970, which
 *  dk_predict_dataset rounds. */
DK_API dk_status dk_predict_dataset_f64(const dk_net *net, const dk_dataset *dataset, double *y);

/** Buffers for predictions that are kept between calls. */
typedef struct dk_predictor dk_predictor;

/** A predictor of a network, which may go on training: each call sees what a whole step left. Rows go
 *  through the network `batch` at a time (0 = chosen), for which there are buffers from now on: 1 where
 *  rows come one by one. DK_E_ARGUMENT, DK_E_MEMORY. */
DK_API dk_status dk_predictor_create(dk_predictor **predictor, const dk_net *net, int64_t batch);

/** What dk_predict does, in buffers that are there: at most a fifth above dk_session_forward (784-256-10
 *  on a CPU: 8 µs for a row, dk_session_forward 7.5). Any number of rows; any number of threads may call
 *  it at once: a call that finds no buffers free makes some more, which stay (DK_E_MEMORY then; else a
 *  call allocates nothing). DK_E_ARGUMENT, DK_E_SHAPE (x that fits no memory), DK_E_NONFINITE (in x, with
 *  row and feature, before y is written; or in y), DK_E_MEMORY. */
DK_API dk_status dk_predictor_run(dk_predictor *predictor, const float *x, int64_t rows, float *y);

/** When no call is under way. */
DK_API void dk_predictor_destroy(dk_predictor *predictor);

/* ===== 7. Sessions: forward, loss, gradients, insides ====================================== */

/** Buffers to run one network: z, a, δ and gradients, for batches of up to max_batch rows. Several
 *  sessions may run one network from several threads at once. */
typedef struct dk_session dk_session;

typedef enum dk_session_kind {
    DK_SESSION_INFERENCE = 0, /**< forward only: no δ, no gradients */
    DK_SESSION_GRADIENTS = 1  /**< everything */
} dk_session_kind;

/** DK_E_ARGUMENT, DK_E_SHAPE, DK_E_MEMORY. */
DK_API dk_status dk_session_create(dk_session **session, const dk_net *net, int64_t max_batch,
                                   dk_session_kind kind);
DK_API void dk_session_destroy(dk_session *session);

/** Turns dropout on with the masks of step `tick` of seed `seed` (a function of both, the row and
 *  the layer), or off, as a new session has it. DK_E_ARGUMENT, DK_E_STATE (a trainer's session). */
DK_API dk_status dk_session_dropout(dk_session *session, bool on, uint64_t seed, uint64_t tick);

/** Forward: x [rows, n_0] to y = a⁽ᴸ⁾ [rows, n_L] (the logits, for the cross-entropies); model-scale,
 *  no preprocessing. y may be NULL. Keeps every z and a. DK_E_ARGUMENT, DK_E_SHAPE (rows),
 *  DK_E_STATE (a trainer's session, which is for reading). */
DK_API dk_status dk_session_forward(dk_session *session, const float *x, int64_t rows, float *y);

/** Forward, mean loss, and backward: equations (1)–(4) over the batch. Keeps z, a, δ, dW, db of
 *  every layer (dW, db not of frozen ones). *loss may be NULL. NaN and Inf are not an error here:
 *  they are in what can be read. DK_E_ARGUMENT, DK_E_SHAPE, DK_E_DATA, DK_E_STATE (inference). */
DK_API dk_status dk_session_gradients(dk_session *session, const dk_batch *batch, double *loss);

/** Backward from the caller's own loss: dl_da = ∂l/∂a⁽ᴸ⁾ [rows, n_L] of the last forward's rows.
 *  Nothing is divided by rows. DK_E_STATE (no forward before), DK_E_SHAPE, DK_E_ARGUMENT. */
DK_API dk_status dk_session_backward(dk_session *session, const float *dl_da, int64_t rows);

/** ∂l/∂x = δ⁽¹⁾ W⁽¹⁾ [rows, n_0] of the last backward, the gradient with respect to the input.
 *  `count` = rows·n_0. DK_E_STATE (no backward before), DK_E_SHAPE. */
DK_API dk_status dk_session_input_gradient(dk_session *session, float *dl_dx, size_t count);

/** Copies a tensor of layer 1 … L (DK_A: also 0) as it stands after the last call; shapes at
 *  dk_tensor, `count` its number of elements. DK_E_NOT_KEPT, DK_E_STATE (nothing ran yet, or no
 *  backward), DK_E_ARGUMENT, DK_E_SHAPE (count). */
DK_API dk_status dk_session_read(dk_session *session, dk_tensor tensor, size_t layer, float *values,
                                 size_t count);

/** The session of a trainer, for reading the insides of the last step; borrowed. NULL for NULL. */
DK_API dk_session *dk_trainer_session(dk_trainer *trainer);

/* ===== 8. Memory plan ====================================================================== */

/** Bytes that a network and its trainer allocate on the device, known before allocating. */
typedef struct dk_memory_plan {
    uint64_t parameters;   /**< fp32 masters */
    uint64_t gradients;    /**< fp32 */
    uint64_t slots;        /**< optimizer state */
    uint64_t working_copy; /**< low-precision weights */
    uint64_t activations;  /**< a and z, the input included */
    uint64_t deltas;       /**< δ */
    uint64_t workspace;    /**< scratch of the products and reductions */
    uint64_t staging;      /**< targets, indices, step state */
    uint64_t total;
    uint64_t device_free;
    int64_t parameter_count;
    double flops_per_step; /**< of the three products of every layer for one micro-batch */
} dk_memory_plan;

/** Plans without allocating. `options` NULL = the initialiser. DK_E_ARGUMENT, DK_E_SHAPE. */
DK_API dk_status dk_plan(dk_context *context, const dk_net_desc *desc,
                         const dk_train_options *options, dk_memory_plan *plan);

/* ===== 9. Check against the reference ====================================================== */

/** One compared quantity x of a layer. The reference computes it twice: r from the same parameters
 *  and data, end to end; and r′ from the operands that the device itself had, so that x − r′ is the
 *  error of one operation. Each element has bounds of its own, derived from the lengths of the
 *  reductions and the unit roundoff; how is in docs/numerics.md. */
typedef struct dk_check_row {
    const char *quantity; /**< "z", "a", "delta", "dW", "db", "update", "loss"; static */
    size_t layer;         /**< 1 … L; 0 for the loss */
    double error;         /**< end to end: max |x − r| / max |r| */
    double local;         /**< of the operation: max |x − r′| / max |r| */
    double bound;         /**< the largest bound of an element's |x − r′|, / max |r| */
    double worst;         /**< the largest |x − r′|/bound of an element */
    bool passed;          /**< every element is within both its bounds */
} dk_check_row;

/** Runs one training step of random data on the context's device and on the reference (double,
 *  plain loops), and compares layer by layer: z, a, δ, dW, db, loss, and the parameters after one
 *  update. Fills up to `capacity` rows; *count is how many there are: 6L + 1, fewer with frozen
 *  layers; in the order of the computation. A row that fails is not an error status.
 *  DK_E_ARGUMENT, DK_E_SHAPE, DK_E_NONFINITE (the step diverges), DK_E_MEMORY. */
DK_API dk_status dk_check(dk_context *context, const dk_net_desc *desc,
                          const dk_train_options *options, dk_check_row *rows, size_t capacity,
                          size_t *count);

/* ===== 10. Benchmark ======================================================================= */

typedef struct dk_bench_options {
    size_t size;    /**< sizeof(dk_bench_options) */
    int repeats;    /**< rounds that count, 1 … 10000 */
    double seconds; /**< at least so long, all rounds together */
} dk_bench_options;

#define DK_BENCH_OPTIONS_INIT                                                                      \
    { sizeof(dk_bench_options), 20, 2.0 }

/** Medians over the rounds, with quartiles. Times are of one step, by the device's own clock. */
typedef struct dk_bench_result {
    int repeats;                                  /**< rounds that count */
    double step_ms, step_ms_low, step_ms_high;    /**< a training step: median and quartiles */
    double floor_ms, floor_ms_low, floor_ms_high; /**< its bare matrix products, nothing else */
    double ratio, ratio_low, ratio_high;          /**< step/floor, round by round */
    double forward_ms;                            /**< the forward operations alone */
    double backward_ms;                           /**< the loss and the backward operations alone */
    double update_ms;      /**< the update alone, without what fuse_update puts into backward_ms;
                                on a GPU, a part of it hides in a step */
    double host_us;        /**< for the calling thread to queue a step; on the CPU, to do it */
    double samples_per_s;  /**< at the median */
    double gflops;         /**< 10⁹ operations of the products a second, at the median step */
    double floor_fraction; /**< floor_ms/step_ms: 1 = nothing but the products takes time */
    double flops;          /**< of the products of one step; 2 for a multiplication and addition */
    uint64_t device_bytes; /**< device memory that the context had at the most: parameters, session,
                                data, workspaces; on the CPU, the same of the host's */
    uint64_t host_peak_bytes;  /**< the process' largest resident size so far */
    const char *floor_library; /**< the BLAS that made the floor; valid as long as the context */
} dk_bench_result;

/** Times training steps of `options->batch` random rows as dk_trainer_fit runs them, back to back,
 *  on changing batches; and the bare matrix products of the same shapes by the fastest BLAS at hand.
 *  In each round everything has its turn. The learning rate is so small that the parameters stay
 *  where they are. One micro-batch a step. Blocks for at least `bench->seconds`; meanwhile nothing
 *  else may use the context. `options` and `bench` NULL = the initialisers. DK_E_ARGUMENT,
 *  DK_E_SHAPE, DK_E_MEMORY, DK_E_NONFINITE. */
DK_API dk_status dk_benchmark(dk_context *context, const dk_net_desc *desc,
                              const dk_train_options *options, const dk_bench_options *bench,
                              dk_bench_result *result);

/** Working sets whose bandwidth is measured: 64 KiB, and four times the one before. */
enum { DK_BENCH_SIZES = 7 };

/** What the device was measured to reach, in the same run. */
typedef struct dk_bench_rates {
    double matrix_gflops; /**< 10⁹ operations a second of a large matrix product, in the context's
                               precision */
    double launch_us;     /**< the shortest operation, in µs, when many are queued */
    int sizes;            /**< of the working sets below; fewer on a device that takes too long */
    double working_set[DK_BENCH_SIZES];    /**< bytes, ascending */
    double bandwidth_gb_s[DK_BENCH_SIZES]; /**< 10⁹ bytes a second, of an update by plain SGD */
} dk_bench_rates;

/** One operation of a step, as the device does it. */
typedef struct dk_bench_operation {
    const char *operation; /**< "gather", "begin", "forward", "loss", "data gradient",
                                "weight gradient" (with fuse_update, and the update of W),
                                "decide", "update"; static */
    size_t layer;          /**< 1 … L, whose W it is about; 0 = none, or several */
    int lane;              /**< 0 or 1: operations of different lanes may overlap */
    double flops;          /**< of its matrix product, by formula */
    double bytes;          /**< read and written, by formula: the least that its launches move */
    int launches;          /**< kernels; on the CPU, jobs that its threads share */
    double predicted_ms;   /**< the larger of flops and bytes at the rates that were measured, and
                                the launches */
    double measured_ms;    /**< median in real steps, each after another step; where lanes overlap,
                                operations slow each other down, and their sum is more than a step */
} dk_bench_operation;

/** dk_benchmark, and where the time goes: fills up to `capacity` rows, one for each operation in the
 *  order of queueing; *count is how many there are, about 4L + 4. A network of more than 2048
 *  operations is DK_E_UNSUPPORTED; otherwise as dk_benchmark. */
DK_API dk_status dk_bench_explain(dk_context *context, const dk_net_desc *desc,
                                  const dk_train_options *options, const dk_bench_options *bench,
                                  dk_bench_result *result, dk_bench_rates *rates,
                                  dk_bench_operation *rows, size_t capacity, size_t *count);

/* ===== 11. Names =========================================================================== */

/* The names used in model files and on the command line: "relu", "leaky_relu", "mse",
 * "softmax_cross_entropy", "he_normal", "adamw", "cosine", "fp32", "classification", … .
 * *_name returns NULL for a number that isn't one; *_parse gives DK_E_ARGUMENT with the nearest
 * name. An activation may carry its α: "leaky_relu(0.2)"; *alpha is 0 where none is given. */
DK_API const char *dk_activation_name(dk_activation activation);
DK_API const char *dk_loss_name(dk_loss loss);
DK_API const char *dk_init_name(dk_init init);
DK_API const char *dk_optimizer_name(dk_optimizer optimizer);
DK_API const char *dk_schedule_name(dk_schedule schedule);
DK_API const char *dk_precision_name(dk_precision precision);
DK_API const char *dk_task_name(dk_task task);
DK_API const char *dk_tensor_name(dk_tensor tensor);

DK_API dk_status dk_activation_parse(const char *text, dk_activation *activation, float *alpha);
DK_API dk_status dk_loss_parse(const char *text, dk_loss *loss);
DK_API dk_status dk_init_parse(const char *text, dk_init *init);
DK_API dk_status dk_optimizer_parse(const char *text, dk_optimizer *optimizer);
DK_API dk_status dk_schedule_parse(const char *text, dk_schedule *schedule);
DK_API dk_status dk_precision_parse(const char *text, dk_precision *precision);

#ifdef __cplusplus
}
#endif

#endif /* DELTAK_H */

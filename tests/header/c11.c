/* The public headers, alone, are pedantic C11. */
#include <deltak/deltak.h>
#include <deltak/deltak_cuda.h>

extern dk_context_options dk_test_options;
dk_context_options dk_test_options = DK_CONTEXT_OPTIONS_INIT;
extern dk_data_options dk_test_data;
dk_data_options dk_test_data = DK_DATA_OPTIONS_INIT;
extern dk_arrays dk_test_arrays;
dk_arrays dk_test_arrays = DK_ARRAYS_INIT;
extern dk_layer dk_test_layer;
dk_layer dk_test_layer = DK_LAYER_INIT;
extern dk_net_desc dk_test_net;
dk_net_desc dk_test_net = DK_NET_DESC_INIT;
extern dk_train_options dk_test_train;
dk_train_options dk_test_train = DK_TRAIN_OPTIONS_INIT;
extern dk_batch dk_test_batch;
dk_batch dk_test_batch = DK_BATCH_INIT;
extern dk_fit_options dk_test_fit;
dk_fit_options dk_test_fit = DK_FIT_OPTIONS_INIT;
extern dk_bench_options dk_test_bench;
dk_bench_options dk_test_bench = DK_BENCH_OPTIONS_INIT;
extern dk_cuda_batch dk_test_cuda_batch;
dk_cuda_batch dk_test_cuda_batch = DK_CUDA_BATCH_INIT;

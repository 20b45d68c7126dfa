/* Trains a network on the built-in handwritten digits, tests it, and saves it: deltak from C.
 *
 * With deltak installed:
 *     cc train_digits.c $(pkg-config --cflags --libs deltak) -o train_digits && ./train_digits */
#include <deltak/deltak.h>
#include <stdio.h>

int main(void) {
    dk_context *context = NULL;
    dk_dataset *data = NULL, *train = NULL, *test = NULL;
    dk_net *net = NULL;
    dk_trainer *trainer = NULL;
    dk_metrics result;
    const int64_t hidden[] = {128, 128};
    int failed = 1;

    /* Every function that can fail returns a dk_status, and DK_OK is 0: the first failure ends the
     * chain, and dk_error_text() says what it was. */
    if (/* The GPU if one works, else the CPU. */
        dk_context_create(&context, NULL) ||
        /* 1,797 images of 8 × 8 pixels; also a file, or a directory with MNIST's four names. */
        dk_dataset_open(&data, context, "builtin:digits", NULL) ||
        /* A fifth, chosen by seed 1, is kept for the test. */
        dk_dataset_split(data, 0.2, 1, &train, &test) ||
        /* 64-128-128-10 with ReLU; the last layer, the loss and the scaling of the inputs follow
         * from the training data. */
        dk_net_create_for(&net, train, hidden, 2, DK_RELU, 1) ||
        /* AdamW with a cosine schedule, batches of 128; its rate follows from the widths. */
        dk_trainer_create(&trainer, net, NULL) ||
        /* Ten epochs. */
        dk_trainer_fit(trainer, train, test, NULL, NULL) || dk_evaluate(net, test, 0, &result) ||
        /* A safetensors file: `deltak eval`, dk_net_load and Python open it. */
        dk_net_save(net, "digits.safetensors")) {
        fprintf(stderr, "train_digits: %s\n", dk_error_text());
    } else {
        printf("test accuracy %.2f %%\n", 100 * result.accuracy);
        failed = 0;
    }

    /* In any order; NULL does nothing. */
    dk_trainer_destroy(trainer);
    dk_net_destroy(net);
    dk_dataset_destroy(test);
    dk_dataset_destroy(train);
    dk_dataset_destroy(data);
    dk_context_destroy(context);
    return failed;
}

#include "train.h"

#include "json.h"

#include <math.h>
#include <signal.h>

static const double MIB = 1024.0 * 1024.0;

typedef struct plan_line {
    const char *key, *what;
    uint64_t bytes;
} plan_line;

void cli_train_print_plan(const train_choices *choices, const train_run *run,
                          const dk_memory_plan *plan) {
    const plan_line lines[] = {
        {"parameters", "parameters", plan->parameters},
        {"gradients", "gradients", plan->gradients},
        {"slots", "optimizer slots", plan->slots},
        {"working_copy", "low-precision copy", plan->working_copy},
        {"activations", "activations", plan->activations},
        {"deltas", "deltas", plan->deltas},
        {"workspace", "workspace", plan->workspace},
        {"staging", "staging", plan->staging},
        {"total", "total", plan->total},
        {"device_free", "free on the device", plan->device_free},
    };
    size_t count = sizeof lines / sizeof *lines;
    if (choices->json) {
        json_t *object = cli_json_object();
        for (size_t i = 0; i < count; ++i)
            cli_json_integer(object, lines[i].key, (int64_t)lines[i].bytes);
        cli_json_integer(object, "parameter_count", plan->parameter_count);
        cli_json_real(object, "flops_per_step", plan->flops_per_step);
        cli_json_integer(object, "batch", choices->train.batch);
        cli_json_machine(object, run->context);
        cli_json_print(object);
        return;
    }
    printf("%lld parameters, batch %lld, %s: memory on the device in MiB\n",
           (long long)plan->parameter_count, (long long)choices->train.batch,
           dk_optimizer_name(choices->train.optimizer));
    for (size_t i = 0; i < count; ++i)
        printf("  %-20s %12.2f\n", lines[i].what, (double)lines[i].bytes / MIB);
}

static void put_metrics(json_t *object, const char *key, bool has, const dk_metrics *metrics) {
    if (!has) {
        cli_json_put(object, key, json_null());
        return;
    }
    json_t *part = cli_json_object();
    cli_json_metrics(part, metrics);
    cli_json_put(object, key, part);
}

static void print_json(const train_choices *choices, const train_run *run) {
    bool evaluated = !run->stopped_by;
    json_t *object = cli_json_object();
    cli_json_text(object, "task", dk_task_name(run->info.task));
    cli_json_integer(object, "parameters", dk_net_parameter_count(run->net));
    cli_json_integer(object, "epochs", run->result.epochs);
    cli_json_integer(object, "steps", run->result.steps);
    cli_json_real(object, "train_loss", run->result.train_loss);
    put_metrics(object, "valid", evaluated && run->valid, &run->on_valid);
    put_metrics(object, "test", evaluated && run->test, &run->on_test);
    if (run->valid)
        cli_json_integer(object, "best_epoch", run->result.best_epoch);
    else
        cli_json_put(object, "best_epoch", json_null());
    cli_json_flag(object, "stopped_early", run->result.stopped_early);
    cli_json_text(object, "resumed_from", choices->checkpoint.resume);
    cli_json_integer(object, "checkpoints", run->result.checkpoints);
    cli_json_integer(object, "checkpoints_failed", run->result.checkpoints_failed);
    cli_json_text(object, "signal",
                  !run->stopped_by            ? NULL
                  : run->stopped_by == SIGINT ? "SIGINT"
                                              : "SIGTERM");
    cli_json_real(object, "seconds", run->result.seconds);
    cli_json_real(object, "samples_per_second", run->samples_per_second);
    cli_json_integer(object, "seed", (int64_t)choices->train.seed);
    cli_json_text(object, "model", choices->out ? cli_train_out_name(choices) : NULL);
    cli_json_machine(object, run->context);
    cli_json_print(object);
}

static void print_metrics(const char *name, const dk_metrics *metrics) {
    if (metrics->task == DK_TASK_CLASSIFICATION)
        printf("%s accuracy %.2f %% of %lld, loss %.4g\n", name, 100 * metrics->accuracy,
               (long long)metrics->samples, metrics->loss);
    else
        printf("%s rmse %.6g, r2 %.4f, of %lld, loss %.4g\n", name, metrics->rmse, metrics->r2,
               (long long)metrics->samples, metrics->loss);
}

void cli_train_print_result(const train_choices *choices, const train_run *run) {
    if (choices->json) {
        print_json(choices, run);
        return;
    }
    char speed[16];
    printf("%lld parameters, %lld epochs%s, %lld steps, %.1f s, %s samples/s, training loss %.4g\n",
           (long long)dk_net_parameter_count(run->net), (long long)run->result.epochs,
           run->result.stopped_early ? " (stopped early)" : "", (long long)run->result.steps,
           run->result.seconds, cli_short_number(run->samples_per_second, speed, sizeof speed),
           run->result.train_loss);
    if (run->stopped_by) return;
    if (run->valid) print_metrics("validation", &run->on_valid);
    if (run->test) print_metrics("test", &run->on_test);
    if (choices->out) printf("model saved in %s\n", cli_train_out_name(choices));
}

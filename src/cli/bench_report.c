/* The results of a benchmark, as a table or as JSON. */
#include "bench_report.h"

#include "json.h"

#include <string.h>

static void put_result(json_t *object, const dk_bench_result *r) {
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"step_ms", r->step_ms},
        {"step_ms_low", r->step_ms_low},
        {"step_ms_high", r->step_ms_high},
        {"floor_ms", r->floor_ms},
        {"floor_ms_low", r->floor_ms_low},
        {"floor_ms_high", r->floor_ms_high},
        {"ratio", r->ratio},
        {"ratio_low", r->ratio_low},
        {"ratio_high", r->ratio_high},
        {"floor_fraction", r->floor_fraction},
        {"forward_ms", r->forward_ms},
        {"backward_ms", r->backward_ms},
        {"update_ms", r->update_ms},
        {"host_us", r->host_us},
        {"samples_per_s", r->samples_per_s},
        {"gflops", r->gflops},
        {"tflops", 1e-3 * r->gflops},
        {"flops", r->flops},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        cli_json_real(object, numbers[i].key, numbers[i].value);
    cli_json_integer(object, "device_bytes", (int64_t)r->device_bytes);
    cli_json_integer(object, "host_peak_bytes", (int64_t)r->host_peak_bytes);
    cli_json_integer(object, "repeats", r->repeats);
    cli_json_text(object, "floor_library", r->floor_library);
}

static json_t *bandwidths(const dk_bench_rates *rates) {
    json_t *list = cli_json_array();
    for (int i = 0; i < rates->sizes; ++i) {
        json_t *object = cli_json_object();
        cli_json_real(object, "bytes", rates->working_set[i]);
        cli_json_real(object, "gb_per_s", rates->bandwidth_gb_s[i]);
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *operations(const bench_report *report) {
    json_t *list = cli_json_array();
    for (size_t i = 0; i < report->count; ++i) {
        const dk_bench_operation *row = &report->rows[i];
        json_t *object = cli_json_object();
        cli_json_text(object, "operation", row->operation);
        cli_json_integer(object, "layer", (int64_t)row->layer);
        cli_json_integer(object, "lane", row->lane);
        cli_json_real(object, "flops", row->flops);
        cli_json_real(object, "bytes", row->bytes);
        cli_json_integer(object, "launches", row->launches);
        cli_json_real(object, "predicted_ms", row->predicted_ms);
        cli_json_real(object, "measured_ms", row->measured_ms);
        json_array_append_new(list, object);
    }
    return list;
}

void cli_bench_json(const bench_report *report, const dk_context *context) {
    json_t *object = cli_json_object();
    cli_json_text(object, "workload", report->workload);
    cli_json_put(object, "layers", cli_layers_json(report->layers));
    cli_json_integer(object, "batch", report->train->batch);
    cli_json_text(object, "optimizer", dk_optimizer_name(report->train->optimizer));
    cli_json_text(object, "activation", dk_activation_name(report->network->activation));
    put_result(object, &report->result);
    if (report->rates) {
        cli_json_real(object, "matrix_gflops", report->rates->matrix_gflops);
        cli_json_put(object, "bandwidth_gb_s", bandwidths(report->rates));
        cli_json_real(object, "launch_us", report->rates->launch_us);
        cli_json_put(object, "operations", operations(report));
    }
    cli_json_machine(object, context);
    cli_json_print(object);
}

static void print_summary(const bench_report *report, const dk_context *context) {
    const dk_bench_result *r = &report->result;
    char widths[256];
    dk_context_info info = {0};
    dk_context_describe(context, &info);
    printf("%s, batch %lld, %s, %s on %s\n\n",
           cli_layers_text(report->layers, widths, sizeof widths), (long long)report->train->batch,
           dk_optimizer_name(report->train->optimizer), dk_precision_name(info.precision),
           info.device ? info.device : "?");
    printf("%-22s %10s %10s %10s\n", "", "quartile", "median", "quartile");
    printf("%-22s %10.4g %10.4g %10.4g\n", "step, ms", r->step_ms_low, r->step_ms, r->step_ms_high);
    printf("%-22s %10.4g %10.4g %10.4g\n", "bare products, ms", r->floor_ms_low, r->floor_ms,
           r->floor_ms_high);
    printf("%-22s %10.3f %10.3f %10.3f\n", "ratio", r->ratio_low, r->ratio, r->ratio_high);
    const struct {
        const char *name;
        double value;
    } lines[] = {
        {"forward alone, ms", r->forward_ms},
        {"backward alone, ms", r->backward_ms},
        {"update alone, ms", r->update_ms},
        {"the host's part, us", r->host_us},
        {"samples/s", r->samples_per_s},
        {"TFLOP/s", 1e-3 * r->gflops},
        {"products, part of step", r->floor_fraction},
        {"device memory, MiB", (double)r->device_bytes / 1048576.0},
        {"host memory, MiB", (double)r->host_peak_bytes / 1048576.0},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; ++i)
        printf("%-22s %10s %10.4g\n", lines[i].name, "", lines[i].value);
    printf("\nbare products by %s, %d rounds\n", r->floor_library ? r->floor_library : "?",
           r->repeats);
}

static void print_rates(const dk_bench_rates *rates) {
    printf(
        "\nthis device: %.4g GFLOP/s (a large product), %.3g us a launch, GB/s by working set:\n",
        rates->matrix_gflops, rates->launch_us);
    for (int i = 0; i < rates->sizes; ++i)
        printf("  %.4g MiB: %.4g\n", rates->working_set[i] / 1048576.0, rates->bandwidth_gb_s[i]);
}

/* Sums of what the table shows. */
typedef struct {
    double products, others; /* measured, ms */
} sums;

static sums print_operations(const bench_report *report) {
    sums total = {0.0, 0.0};
    printf("\n%-16s %5s %4s %9s %9s %8s %10s %10s %6s\n", "operation", "layer", "lane", "GFLOP",
           "MB", "launches", "should, ms", "takes, ms", "step");
    for (size_t i = 0; i < report->count; ++i) {
        const dk_bench_operation *row = &report->rows[i];
        char layer[24] = "-";
        if (row->layer) snprintf(layer, sizeof layer, "%zu", row->layer);
        printf("%-16s %5s %4d %9.4g %9.4g %8d %10.4g %10.4g %5.1f%%\n", row->operation, layer,
               row->lane, 1e-9 * row->flops, 1e-6 * row->bytes, row->launches, row->predicted_ms,
               row->measured_ms, 100.0 * row->measured_ms / report->result.step_ms);
        if (row->flops > 0.0)
            total.products += row->measured_ms;
        else
            total.others += row->measured_ms;
    }
    return total;
}

/* What all operations of one name took beyond the floor's share of their flops. */
static void print_kind(const bench_report *report, size_t first) {
    const char *name = report->rows[first].operation;
    double took = 0.0, flops = 0.0, predicted = 0.0;
    for (size_t i = 0; i < report->count; ++i) {
        const dk_bench_operation *row = &report->rows[i];
        if (i < first && strcmp(row->operation, name) == 0) return; /* had its line */
        if (strcmp(row->operation, name) != 0) continue;
        took += row->measured_ms;
        flops += row->flops;
        predicted += row->predicted_ms;
    }
    const double floor = report->result.floor_ms * flops / report->result.flops;
    printf("  %-16s %10.4g ms, %10.4g above its bare products, %10.4g predicted\n", name, took,
           took - floor, predicted);
}

static void print_won(const bench_report *report, const sums *total) {
    const dk_bench_result *r = &report->result;
    const double together = total->products + total->others;
    printf(
        "\noperations with a product %.4g ms, others %.4g ms, together %.4g ms; a step %.4g ms%s\n",
        total->products, total->others, together, r->step_ms,
        together > r->step_ms ? ": lanes overlap, or the marks take time" : "");
    printf("above the bare products: %.4g ms of a step; of that, by operation:\n",
           r->step_ms - r->floor_ms);
    for (size_t i = 0; i < report->count; ++i) print_kind(report, i);
}

void cli_bench_table(const bench_report *report, const dk_context *context) {
    print_summary(report, context);
    if (!report->rates) return;
    print_rates(report->rates);
    const sums total = print_operations(report);
    print_won(report, &total);
}

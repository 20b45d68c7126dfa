/* The public names of enumerations. The order of each table is the enumeration's. */
#include "base/names.h"

#include "base/arithmetic.h"
#include "base/number.h"
#include "kernels/activation.h"

#include <math.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof *(table))

#define NAMED(kind, name, ...) [kind] = (name),
static const char *const activation_names[] = {DKI_EACH_ACTIVATION(NAMED)};
#undef NAMED
_Static_assert(COUNT(activation_names) == DKI_ACTIVATION_COUNT, "one row for each activation");
static const char *const loss_names[] = {"mse", "mae", "huber", "softmax_cross_entropy",
                                         "sigmoid_cross_entropy"};
static const char *const init_names[] = {"auto",          "he_normal",      "he_uniform",
                                         "xavier_normal", "xavier_uniform", "lecun_normal",
                                         "lecun_uniform", "constant"};
static const char *const optimizer_names[] = {"sgd",     "momentum", "nesterov", "rmsprop",
                                              "adagrad", "adam",     "adamw",    "lion"};
static const char *const schedule_names[] = {"constant",   "step",   "exponential",
                                             "polynomial", "cosine", "one_cycle"};
static const char *const precision_names[] = {"fp32", "tf32", "bf16", "fp16"};
static const char *const task_names[] = {"auto", "classification", "regression", "none"};
static const char *const tensor_names[] = {"W", "b", "z", "a", "delta", "dW", "db"};

static const char *name_of(const char *const *names, size_t count, int index) {
    return index >= 0 && (size_t)index < count ? names[index] : NULL;
}

/* dk_kind_name of every enumeration. */
#define NAME(kind)                                                                                 \
    const char *dk_##kind##_name(dk_##kind value) {                                                \
        return name_of(kind##_names, COUNT(kind##_names), (int)value);                             \
    }
NAME(activation)
NAME(loss)
NAME(init)
NAME(optimizer)
NAME(schedule)
NAME(precision)
NAME(task)
NAME(tensor)

/* dk_kind_parse of those without a parameter. */
#define PARSE(kind)                                                                                \
    dk_status dk_##kind##_parse(const char *text, dk_##kind *value) {                              \
        DKI_REQUIRE(text &&value, DK_E_ARGUMENT, "dk_" #kind "_parse: a NULL argument");           \
        size_t index = 0;                                                                          \
        DKI_TRY(                                                                                   \
            dki_name_index(#kind, text, strlen(text), kind##_names, COUNT(kind##_names), &index)); \
        *value = (dk_##kind)index;                                                                 \
        return DK_OK;                                                                              \
    }
PARSE(loss)
PARSE(init)
PARSE(optimizer)
PARSE(schedule)
PARSE(precision)

/* The number in "name(number)", from its parenthesis on; 0 where it isn't a positive one. */
static dk_status parameter_of(const char *text, float *value) {
    *value = 0.0f;
    const size_t length = strlen(text);
    char number[DKI_NUMBER_TEXT];
    if (length < 3 || length - 2 >= sizeof number || text[length - 1] != ')') return DK_OK;
    memcpy(number, text + 1, length - 2);
    number[length - 2] = '\0';
    double read = 0.0;
    bool is_number = false;
    DKI_TRY(dki_number_parse(number, &read, &is_number));
    if (is_number && isfinite((float)read) && read > 0.0) *value = (float)read;
    return DK_OK;
}

dk_status dk_activation_parse(const char *text, dk_activation *activation, float *alpha) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(text && activation && alpha, DK_E_ARGUMENT, "dk_activation_parse: a NULL argument");
    size_t length = strcspn(text, "("), index = 0;
    DKI_TRY(dki_name_index("activation", text, length, activation_names, COUNT(activation_names),
                           &index));
    float value = 0.0f;
    if (text[length]) {
        DKI_REQUIRE(dki_activation_alpha((dk_activation)index, 0.0f) != 0.0f, DK_E_ARGUMENT,
                    "\"%s\": %s takes no parameter", text, activation_names[index]);
        DKI_TRY(parameter_of(text + length, &value));
        DKI_REQUIRE(value > 0.0f, DK_E_ARGUMENT,
                    "\"%s\": write the parameter as %s(0.2), a number above 0", text,
                    activation_names[index]);
    }
    *activation = (dk_activation)index;
    *alpha = value;
    return DK_OK;
}

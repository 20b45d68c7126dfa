#include "data/array_source.h"
#include "format/idx.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char images_name[] = "images-idx3", labels_name[] = "labels-idx1";

/* `path`, or `path`.gz where only that exists. DK_E_IO, DK_E_MEMORY. */
static dk_status with_or_without_gz(const dk_allocator *allocator, const char *directory,
                                    const char *name, char **path) {
    char *plain = NULL, *packed = NULL;
    bool has_plain = false, has_packed = false;
    dk_status status = DK_OK;
    DKI_TRY_OUT(dki_join_path(allocator, directory, name, "", &plain));
    DKI_TRY_OUT(dki_join_path(allocator, directory, name, ".gz", &packed));
    DKI_TRY_OUT(dki_file_exists(plain, &has_plain));
    DKI_TRY_OUT(dki_file_exists(packed, &has_packed));
    char **chosen = has_packed && !has_plain ? &packed : &plain;
    *path = *chosen;
    *chosen = NULL;
out:
    dki_release(allocator, plain);
    dki_release(allocator, packed);
    return status;
}

static dk_status read_images(const dki_request *request, const char *path, int64_t *rows,
                             dki_storage *storage) {
    dki_file file = {0};
    dki_array array;
    dk_status status = DK_OK;
    DKI_TRY_OUT(dki_idx_read(request->allocator, path, &file, &array));
    *rows = array.shape[0];
    if (array.dims < 2) {
        status = dki_fail(DK_E_DATA,
                          "%s is a file of labels: open the images, the labels beside them are "
                          "found by their name",
                          path);
        goto out;
    }
    DKI_TRY_OUT(dki_adopt_features(request, path, &file, &array, storage));
    status = dki_check_features(request, storage->features_count);
out:
    dki_file_release(request->allocator, &file);
    return status;
}

static dk_status read_labels(const dki_request *request, const char *path, int64_t rows,
                             dki_storage *storage) {
    dki_file file = {0};
    dki_array array;
    DKI_TRY(dki_idx_read(request->allocator, path, &file, &array));
    dk_status status = dki_apply_label_array(request, path, &array, rows, storage);
    dki_file_release(request->allocator, &file);
    return status;
}

/* ----- MNIST's four names ----- */

static dk_status has_images(const char *directory, const char *part, bool *has) {
    char name[PATH_MAX];
    *has = false;
    for (int gz = 0; gz < 2 && !*has; ++gz) {
        int length = snprintf(name, sizeof name, "%s/%s-%s-ubyte%s", directory, part, images_name,
                              gz ? ".gz" : "");
        if (length > 0 && (size_t)length < sizeof name) DKI_TRY(dki_file_exists(name, has));
    }
    return DK_OK;
}

dk_status dki_is_idx_directory(const char *path, bool *is) {
    DKI_TRY(has_images(path, "train", is));
    return *is ? DK_OK : has_images(path, "t10k", is);
}

dk_status dki_source_idx_directory(const dki_request *request, dki_storage *storage) {
    const dk_allocator *allocator = request->allocator;
    bool test = request->options.part == DK_PART_TEST;
    bool has = false;
    DKI_TRY(has_images(request->source, test ? "t10k" : "train", &has));
    DKI_REQUIRE(has, test ? DK_E_STATE : DK_E_DATA,
                "%s has no %s part: there is no %s-images-idx3-ubyte (or .gz) in it",
                request->source, test ? "test" : "training", test ? "t10k" : "train");
    char *images = NULL, *labels = NULL;
    int64_t rows = 0;
    dk_status status = DK_OK;
    DKI_TRY_OUT(with_or_without_gz(allocator, request->source,
                                   test ? "t10k-images-idx3-ubyte" : "train-images-idx3-ubyte",
                                   &images));
    DKI_TRY_OUT(read_images(request, images, &rows, storage));
    if (request->options.task == DK_TASK_NONE) goto out;
    DKI_TRY_OUT(with_or_without_gz(allocator, request->source,
                                   test ? "t10k-labels-idx1-ubyte" : "train-labels-idx1-ubyte",
                                   &labels));
    status = read_labels(request, labels, rows, storage);
out:
    dki_release(allocator, images);
    dki_release(allocator, labels);
    return status;
}

/* ----- one file of images ----- */

/* "d/train-images-idx3-ubyte.gz" → "d", "train-labels-idx1-ubyte"; false for another name. */
static bool name_labels(char *directory, char *name) {
    char *slash = strrchr(directory, '/');
    const char *base = slash ? slash + 1 : directory;
    const char *found = strstr(base, images_name);
    size_t length = strlen(base);
    if (!found || length >= PATH_MAX) return false;
    memcpy(name, base, length + 1);
    memcpy(name + (found - base), labels_name, strlen(labels_name)); /* of the same length */
    if (length > 3 && strcmp(name + length - 3, ".gz") == 0) name[length - 3] = '\0';
    if (!slash)
        memcpy(directory, ".", sizeof ".");
    else if (slash == directory)
        slash[1] = '\0';
    else
        *slash = '\0';
    return true;
}

dk_status dki_source_idx(const dki_request *request, dki_storage *storage) {
    int64_t rows = 0;
    DKI_TRY(read_images(request, request->source, &rows, storage));
    if (request->options.task == DK_TASK_NONE) return DK_OK;
    char directory[PATH_MAX], name[PATH_MAX];
    int length = snprintf(directory, sizeof directory, "%s", request->source);
    DKI_REQUIRE(length > 0 && (size_t)length < sizeof directory && name_labels(directory, name),
                DK_E_DATA,
                "%s: its labels aren't known: name the files …images-idx3… and …labels-idx1…, as "
                "MNIST's are, or open it without labels",
                request->source);
    char *labels = NULL;
    DKI_TRY(with_or_without_gz(request->allocator, directory, name, &labels));
    dk_status status = read_labels(request, labels, rows, storage);
    dki_release(request->allocator, labels);
    return status;
}

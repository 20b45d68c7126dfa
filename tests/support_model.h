// Model files taken apart and put together again.
#pragma once

#include "support.h"
#include "support_net.h"

#include <jansson.h>

#include <cstdlib>
#include <cstring>

namespace support {

// A JSON value that is released at the end of its scope.
struct Json {
    json_t *value;
    explicit Json(json_t *owned) : value(owned) {}
    explicit Json(const std::string &text) : value(json_loads(text.c_str(), 0, nullptr)) {}
    Json(const Json &) = delete;
    Json &operator=(const Json &) = delete;
    ~Json() { json_decref(value); }
    std::string text() const {
        char *dumped = json_dumps(value, JSON_COMPACT);
        std::string result(dumped ? dumped : "");
        free(dumped);
        return result;
    }
};

// A safetensors file taken apart: the header as JSON text, and the bytes behind it.
struct Parts {
    std::string header, data;

    // Without hashes, as another program would write it: what is changed then gets past them.
    static Parts of(const std::string &bytes) {
        uint64_t length = 0;
        std::memcpy(&length, bytes.data(), 8);
        Json header(bytes.substr(8, length));
        json_t *metadata = json_object_get(header.value, "__metadata__");
        const char *key;
        json_t *value;
        void *next;
        json_object_foreach_safe(metadata, next, key, value) {
            if (std::strncmp(key, "xxh3", 4) == 0) json_object_del(metadata, key);
        }
        return {header.text(), bytes.substr(8 + length)};
    }
    std::string join() const {
        uint64_t length = header.size();
        std::string bytes(8, '\0');
        std::memcpy(bytes.data(), &length, 8);
        return bytes + header + data;
    }
};

inline std::string description_of(const Parts &parts) {
    Json header(parts.header);
    return json_string_value(
        json_object_get(json_object_get(header.value, "__metadata__"), "deltak"));
}

// The file with another description in its metadata.
inline std::string with_description(const Parts &parts, const std::string &description) {
    Json header(parts.header);
    json_t *text = json_stringn_nocheck(description.data(), description.size());
    json_object_set_new_nocheck(json_object_get(header.value, "__metadata__"), "deltak", text);
    return Parts{header.text(), parts.data}.join();
}

class ModelFile : public TempDirectory {
  protected:
    Context context = open_context();

    std::string save(const dk_net *net, const std::string &name = "model") {
        EXPECT_EQ(dk_net_save(net, path(name).c_str()), DK_OK) << dk_error_text();
        return slurp(path(name));
    }
    // Loads bytes; a net on success.
    dk_status load(const std::string &bytes, Net *net = nullptr) {
        write("loaded", bytes);
        return load_path(path("loaded"), net);
    }
    dk_status load_path(const std::string &file, Net *net = nullptr) {
        dk_net *made = reinterpret_cast<dk_net *>(16);
        dk_status status = dk_net_load(&made, context.get(), file.c_str());
        EXPECT_EQ(made == nullptr, status != DK_OK);
        Net owned(status == DK_OK ? made : nullptr);
        if (net) *net = std::move(owned);
        return status;
    }

    // A small classifier with preprocessing and class names.
    std::string small() {
        Dataset data = synth(context.get(), "synth:spirals", 30);
        return save(net_for(data.get(), {3}, DK_LEAKY_RELU).get(), "small");
    }
};

inline void expect_same_layer(const dk_layer &a, const dk_layer &b) {
    EXPECT_EQ(a.width, b.width);
    EXPECT_EQ(a.activation, b.activation);
    EXPECT_EQ(a.alpha, b.alpha);
    EXPECT_EQ(a.dropout, b.dropout);
    EXPECT_EQ(a.init, b.init);
    EXPECT_EQ(a.init_value, b.init_value);
    EXPECT_EQ(a.frozen, b.frozen);
}

template <class T> void expect_same_values(const T *a, const T *b, int64_t count) {
    ASSERT_EQ(a == nullptr, b == nullptr);
    if (a) {
        EXPECT_EQ(std::memcmp(a, b, static_cast<size_t>(count) * sizeof(T)), 0);
    }
}

inline void expect_same_net(const dk_net *a, const dk_net *b) {
    dk_net_desc da, db;
    ASSERT_EQ(dk_net_describe(a, &da), DK_OK);
    ASSERT_EQ(dk_net_describe(b, &db), DK_OK);
    EXPECT_EQ(da.inputs, db.inputs);
    EXPECT_EQ(da.seed, db.seed);
    EXPECT_EQ(da.loss, db.loss);
    EXPECT_EQ(da.huber_delta, db.huber_delta);
    EXPECT_EQ(da.label_smoothing, db.label_smoothing);
    ASSERT_EQ(da.layer_count, db.layer_count);
    for (size_t k = 0; k < da.layer_count; ++k) expect_same_layer(da.layers[k], db.layers[k]);
    int64_t outputs = da.layers[da.layer_count - 1].width;
    expect_same_values(da.class_weights, db.class_weights, outputs);
    dk_preprocessing pa, pb;
    ASSERT_EQ(dk_net_preprocessing(a, &pa), DK_OK);
    ASSERT_EQ(dk_net_preprocessing(b, &pb), DK_OK);
    expect_same_values(pa.feature_shift, pb.feature_shift, da.inputs);
    expect_same_values(pa.feature_scale, pb.feature_scale, da.inputs);
    expect_same_values(pa.target_shift, pb.target_shift, outputs);
    expect_same_values(pa.target_scale, pb.target_scale, outputs);
    for (int64_t c = 0; c < outputs; ++c)
        EXPECT_STREQ(dk_net_class_name(a, c), dk_net_class_name(b, c));
    EXPECT_EQ(parameter_bits(a), parameter_bits(b));
}

} // namespace support
